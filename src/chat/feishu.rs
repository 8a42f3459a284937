//! Feishu and Lark: verifies, decrypts and parses its calls, and responds to clicks. The module `secrets` verifies and
//! decrypts, `event` parses, [`message`] renders cards, [`api`] calls the API.
//!
//! Source of the protocol: Feishu's documentation on receiving events and callbacks, and its official SDK for Python.

pub mod api;
mod event;
pub mod message;
#[cfg(test)]
mod samples;
mod secrets;

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Acknowledgement, ChatCall, Unopened};
use super::content::Content;
use super::decision::{ClickNotice, ClickResult};
use super::notice::Notice;
use crate::freshness::{self, Untimely};
use crate::json::Object;
use event::{AddressCheck, Event};
pub use secrets::Secrets;

/// The header with the time of sending, in seconds since 1970-01-01.
const TIMESTAMP: &str = "x-lark-request-timestamp";

/// The header with a text that differs in each call.
const NONCE: &str = "x-lark-request-nonce";

/// The header with the signature.
const SIGNATURE: &str = "x-lark-signature";

/// Maximum length of an encrypted check of the address, which has no signature, in characters. Feishu's have about 200.
const CHECK_LENGTH_MAX: usize = 2048;

/// The body of every call.
#[derive(Deserialize)]
struct Body {
    encrypt: String,
}

impl Body {
    /// `None` if the call is not encrypted.
    fn parse(body: &[u8]) -> Option<Self> {
        let Object(body): Object<Self> = serde_json::from_slice(body).ok()?;
        Some(body)
    }
}

/// See [`super::call::open`]. Nothing is decrypted before the signature is verified, except a check of the address: Feishu
/// does not sign it, and its Verification Token is compared instead.
pub(super) fn open(
    headers: &HeaderMap,
    body: &[u8],
    received_at: SystemTime,
    secrets: &Secrets,
) -> Result<ChatCall, Unopened> {
    let signed = signed(headers);
    let key = signed.as_ref().and_then(|Signed { timestamp, nonce, signature }| {
        secrets.keys().iter().find(|key| key.verify(timestamp, nonce, body, *signature))
    });
    let (Some(Signed { timestamp, .. }), Some(key)) = (&signed, key) else {
        let encrypted = Body::parse(body).filter(|body| body.encrypt.len() <= CHECK_LENGTH_MAX);
        return match encrypted {
            Some(encrypted) => handshake(&encrypted, secrets).ok_or(Unopened::NoMatch),
            None if signed.is_none() => Err(Unopened::Headers),
            None => Err(Unopened::NoMatch),
        };
    };
    let is_old = match freshness::check(timestamp, received_at) {
        Ok(()) => false,
        Err(Untimely::TooOld) => true,
        Err(untimely) => return Err(untimely.into()),
    };
    let encrypted = Body::parse(body).ok_or(Unopened::Unknown)?;
    let text = key.decrypt(&encrypted.encrypt).ok_or(Unopened::Unknown)?;
    if AddressCheck::parse(&text).is_some() {
        return handshake(&encrypted, secrets).ok_or(Unopened::NoMatch);
    }
    let event = Event::parse(&text).ok_or(Unopened::Unknown)?;
    if !secrets.has_token(event.token()) {
        return Err(Unopened::NoMatch);
    }
    match event.call(received_at).ok_or(Unopened::Unknown)? {
        ChatCall::Command(_) if is_old => Ok(ChatCall::Late),
        ChatCall::Click(_) if is_old => Err(Unopened::TooOld),
        call => Ok(call),
    }
}

/// The headers of a signed call.
struct Signed<'a> {
    timestamp: &'a str,
    nonce: &'a str,
    signature: [u8; 32],
}

/// `None` if a header is missing or not valid.
fn signed(headers: &HeaderMap) -> Option<Signed<'_>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, nonce) = (header(TIMESTAMP)?, header(NONCE)?);
    Some(Signed { timestamp, nonce, signature: signature(header(SIGNATURE)?)? })
}

/// The bytes of a signature: 64 hexadecimal digits in lower case.
fn signature(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut signature = [0; 32];
    if text.len() != 2 * signature.len() {
        return None;
    }
    for (byte, pair) in signature.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(signature)
}

/// The response to a check of the address with a valid Verification Token; `None` if the body is not one.
fn handshake(body: &Body, secrets: &Secrets) -> Option<ChatCall> {
    let texts = secrets.keys().iter().filter_map(|key| key.decrypt(&body.encrypt));
    let mut checks = texts.filter_map(|text| AddressCheck::parse(&text));
    let check = checks.find(|check| secrets.has_token(&check.token))?;
    Some(ChatCall::Handshake(Some(json!({ "challenge": check.challenge }))))
}

/// See [`super::call::acknowledge`]. The response replaces the card; the messenger does the same again, because the response
/// may not arrive in time. A text for the person who clicked is a toast and nothing else: others do not see it.
pub(super) fn acknowledge(notice: &ClickNotice) -> Acknowledgement {
    let content = Content::of(&Notice::Click(notice.clone()));
    let toast = |kind: &str, text: &str| json!({ "type": kind, "content": text });
    let replaced = |kind: &str| {
        let card: Value = message::card(&content);
        json!({ "toast": toast(kind, content.title), "card": { "type": "raw", "data": card } })
    };
    let alone = |kind: &str| json!({ "toast": toast(kind, &message::plain(&content.lead)) });
    let (body, notice_after) = match &notice.result {
        ClickResult::Approved(_) => (replaced("success"), Some(Duration::ZERO)),
        ClickResult::Declined(_) => (replaced("info"), Some(Duration::ZERO)),
        ClickResult::Expired(_) => (alone("warning"), None),
        ClickResult::NotAllowed(_) => (alone("error"), None),
    };
    Acknowledgement { body: Some(body), notice_after }
}

#[cfg(test)]
mod tests;
