//! `DingTalk`: JSON, whose signature covers the time alone, and the parameters of cards and messages.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use privatelink_detach::chat::access::AccessTokens;
use privatelink_detach::chat::call::{self, ChatCall, Unopened};
use privatelink_detach::chat::content::Content;
use privatelink_detach::chat::dingtalk::message::{Status, card, markdown, note};
use privatelink_detach::chat::identity::Platform;
use serde_json::Value;
use sha2::Sha256;

use super::{
    MEMORY, OUR_BUTTON, OUR_SIGNATURE, Place, button, check_click, check_command_call, check_responses,
    header, replaced, verification,
};
use crate::memory::bounded;
use crate::message::Message;
use crate::virtual_time::{BEGINS_AT, beginning};

pub(super) const APP_SECRET: &str = "dingtalk-app-s3cret-0123456789ab";
pub(super) const CARD_SECRET: &str = "dingtalk-card-s3cret-0123456789a";

pub(super) const PLACE: Place = Place {
    platform: Platform::DingTalk,
    tenant: "ding0123456789abcdef",
    conversation: "cid0/1+2==",
    requester: "requester",
    approver: "approver",
    card: "dingtalk-0123456789abcdef01234567",
    id: "dingtalk-0123456789abcdef01234567",
    addresses: &["https://api.dingtalk.com/v1.0/"],
};

/// `DingTalk`'s limits in bytes: a parameter of a card, and the parameters of a message.
const PARAMETER_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 15_000;

/// The two kinds of calls: the names of their headers, their secret, and what is signed after the time.
const KINDS: [([&str; 2], &str, Option<&str>); 2] = [
    (["timestamp", "sign"], APP_SECRET, Some(APP_SECRET)),
    (["x-ddpaas-signature-timestamp", "x-ddpaas-signature"], CARD_SECRET, None),
];

fn signature(secret: &str, timestamp: &str, suffix: Option<&str>) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC accepts a key of any length");
    mac.update(timestamp.as_bytes());
    if let Some(suffix) = suffix {
        mac.update(b"\n");
        mac.update(suffix.as_bytes());
    }
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn open(headers: &HeaderMap, body: &[u8]) -> Result<ChatCall, Unopened> {
    let secrets = verification();
    bounded(&MEMORY, body.len(), || call::open(Platform::DingTalk, headers, body, beginning(), &secrets))
}

/// The input is the body of a message and of a click, which anyone sent with a valid signature of this time; and it is a
/// whole call with its headers.
pub(crate) fn check_call(input: &[u8]) {
    let body = replaced(input, OUR_BUTTON, &button(&PLACE));
    let timestamp = (BEGINS_AT * 1000).to_string();
    for ([time, sign], secret, suffix) in KINDS {
        let headers = |secret: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(time, HeaderValue::from_str(&timestamp).expect("a header"));
            let signature = signature(secret, &timestamp, suffix.map(|_| secret));
            headers.insert(sign, HeaderValue::from_str(&signature).expect("a header"));
            headers
        };
        match open(&headers(secret), &body) {
            Ok(call) => check_opened(&call, suffix.is_none()),
            // The time at which a message was typed is checked, too.
            Err(error) => assert!(matches!(error, Unopened::Unknown | Unopened::TooEarly), "{error:?}"),
        }
        let by_other = open(&headers("dingtalk-other-s3cret-0123456789"), &body);
        assert_eq!(by_other, Err(Unopened::NoMatch));
        assert_eq!(open(&HeaderMap::new(), &body), Err(Unopened::Headers));
    }
    check_whole_call(input);
}

/// The first line is not used; the signature may be the placeholder of the valid one.
fn check_whole_call(input: &[u8]) {
    let Some(Message { mut headers, body, .. }) = Message::read(input) else { return };
    let is_click = KINDS[1].0.iter().any(|name| headers.contains_key(*name));
    let ([time, sign], secret, suffix) = KINDS[usize::from(is_click)];
    let timestamp = header(&headers, time);
    let valid = signature(secret, &timestamp, suffix);
    if header(&headers, sign) == OUR_SIGNATURE {
        headers.insert(sign, HeaderValue::from_str(&valid).expect("a header"));
    }
    let opened = open(&headers, &replaced(body, OUR_BUTTON, &button(&PLACE)));
    if matches!(opened, Ok(_) | Err(Unopened::Unknown)) {
        assert_eq!(header(&headers, sign), valid);
        let sent_at: u64 = timestamp.parse().expect("a verified call has a time");
        let sent_at = if sent_at < 100_000_000_000 { sent_at } else { sent_at / 1000 };
        assert!((BEGINS_AT - 240..=BEGINS_AT + 30).contains(&sent_at), "sent at {sent_at}");
    }
}

fn check_opened(call: &ChatCall, is_click: bool) {
    match call {
        ChatCall::Command(command) if !is_click => {
            check_command_call(&PLACE, command);
            assert_eq!(command.message, None);
            assert!(!command.text.split_whitespace().any(|word| word.starts_with('@')), "{command:?}");
        }
        ChatCall::Click(click) if is_click => {
            assert_eq!(click.conversation, None);
            check_click(&PLACE, click);
        }
        ChatCall::Ignored(_) | ChatCall::Late if !is_click => {}
        call => panic!("the headers decide what a call is: {call:?}"),
    }
}

/// `DingTalk` accepts the card and the message of a notice.
pub(super) fn check_content(content: &Content) {
    for status in [Status::Open, Status::Approved, Status::Declined] {
        let card = card(content, status);
        for (name, value) in card.as_object().expect("an object") {
            let length = value.as_str().expect("a text").len();
            assert!(length <= PARAMETER_BYTES_MAX, "{name} has {length} bytes");
        }
    }
    assert!(note(content).len() <= PARAMETER_BYTES_MAX);
    let message = markdown(content);
    assert!(message.len() <= MESSAGE_BYTES_MAX, "{} bytes", message.len());
    assert!(serde_json::from_str::<Value>(&message).is_ok_and(|message| message["text"].is_string()));
}

/// The input is a response of `DingTalk`'s to every call for a notice, and to every call after that for an access token.
pub(crate) fn check_response(input: &[u8]) {
    let is_success = |response: &http::Response<bytes::Bytes>| {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        response.status().is_success() && body["success"] != false && body["result"] != false
    };
    check_responses(&PLACE, input, &mut AccessTokens::default(), is_success);
    let mut access = AccessTokens::default();
    let token = HeaderValue::from_static("t-1");
    access.put(
        PLACE.conversation().tenant,
        "app-key".to_owned(),
        token,
        Duration::from_hours(2),
        beginning(),
    );
    check_responses(&PLACE, input, &mut access, is_success);
}
