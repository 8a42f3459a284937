//! Feishu: an encrypted text, whose signature covers the body, and cards.

use std::fmt::Write;
use std::time::Duration;

use aes::Aes256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use http::{HeaderMap, HeaderValue};
use privatelink_detach::chat::access::AccessTokens;
use privatelink_detach::chat::call::{self, ChatCall, Unopened};
use privatelink_detach::chat::content::Content;
use privatelink_detach::chat::feishu::message::card;
use privatelink_detach::chat::identity::{MessageId, Platform};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    MEMORY, OUR_BUTTON, OUR_SIGNATURE, Place, button, check_click, check_command_call, check_responses,
    header, replaced, verification,
};
use crate::memory::bounded;
use crate::message::Message;
use crate::virtual_time::{BEGINS_AT, beginning};

/// The Encrypt Key and the Verification Token, and the app's credentials.
pub(super) const KEY: &str = "test key";
pub(super) const TOKEN: &str = "rvaYgkND1GOiu5MM0E1rncYC6PLtF7JV";
pub(super) const APP_ID: &str = "cli_0123456789abcdef";
pub(super) const APP_SECRET: &str = "feishu-app-s3cret-0123456789abcd";

pub(super) const PLACE: Place = Place {
    platform: Platform::Feishu,
    tenant: "736588c9260f175e",
    conversation: "oc_0123456789abcdef",
    requester: "ou_requester",
    approver: "ou_approver",
    card: "om_card",
    id: "feishu-0123456789abcdef01234567",
    addresses: &["https://open.feishu.cn/open-apis/"],
};

/// The beginning of a whole call's body whose rest is encrypted.
const ENCRYPTED: &[u8] = b"@encrypted ";

/// Feishu's limit of a card, in bytes.
const CARD_BYTES_MAX: usize = 30 * 1024;

/// The body of a call with these encrypted bytes.
fn body_of(encrypted: &[u8]) -> Vec<u8> {
    json!({ "encrypt": BASE64_STANDARD.encode(encrypted) }).to_string().into_bytes()
}

/// The body of a call with this text, which may contain the placeholder of the value of a button.
fn encrypted(text: &[u8]) -> Vec<u8> {
    let text = replaced(text, OUR_BUTTON, &button(&PLACE));
    let length = 16 - text.len() % 16;
    let mut bytes = text;
    bytes.resize(bytes.len() + length, u8::try_from(length).expect("a block"));
    let iv = [7; 16];
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&Sha256::digest(KEY), &iv).expect("a key");
    let length = bytes.len();
    cipher.encrypt_padded::<NoPadding>(&mut bytes, length).expect("whole blocks");
    body_of(&[&iv[..], &bytes].concat())
}

fn signature(key: &str, timestamp: &str, nonce: &str, body: &[u8]) -> String {
    let hash = Sha256::digest([timestamp.as_bytes(), nonce.as_bytes(), key.as_bytes(), body].concat());
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

/// The headers of a call that this key signs at the beginning.
fn headers(key: &str, body: &[u8]) -> HeaderMap {
    let timestamp = BEGINS_AT.to_string();
    let signature = signature(key, &timestamp, "nonce", body);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-lark-request-timestamp", &*timestamp),
        ("x-lark-request-nonce", "nonce"),
        ("x-lark-signature", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

fn open(headers: &HeaderMap, body: &[u8]) -> Result<ChatCall, Unopened> {
    let secrets = verification();
    bounded(&MEMORY, body.len(), || call::open(Platform::Feishu, headers, body, beginning(), &secrets))
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The input is the text of a call, which Feishu encrypted and signed; it is what someone encrypted without the key; and it is
/// a whole call with its headers, which anyone sent.
pub(crate) fn check_call(input: &[u8]) {
    let body = encrypted(input);
    match open(&headers(KEY, &body), &body) {
        Ok(call) => {
            check_opened(&call);
            // A token can be written with escapes.
            assert!(contains(input, TOKEN) || contains(input, "\\"), "no call without the token");
        }
        Err(error) => assert!(matches!(error, Unopened::Unknown | Unopened::NoMatch), "{error:?}"),
    }
    // The same call with one more byte, signed by someone else, and not signed: only a check of the address has no signature.
    let changed = [&body[..], b" "].concat();
    let unsigned = [
        open(&headers(KEY, &body), &changed),
        open(&headers("test kez", &body), &body),
        open(&HeaderMap::new(), &body),
    ];
    for opened in unsigned {
        match opened {
            Ok(ChatCall::Handshake(_)) => {
                assert!(contains(input, TOKEN) || contains(input, "\\"), "no check without the token");
            }
            Ok(call) => panic!("accepted without a signature: {call:?}"),
            Err(error) => assert!(matches!(error, Unopened::NoMatch | Unopened::Headers), "{error:?}"),
        }
    }
    let body = body_of(input);
    assert!(open(&headers(KEY, &body), &body).is_err(), "the key did not encrypt it");
    check_whole_call(input);
}

/// The first line is not used; the signature may be the placeholder of the valid one, and the body that of an encrypted text.
fn check_whole_call(input: &[u8]) {
    let Some(Message { mut headers, body, .. }) = Message::read(input) else { return };
    let body = body.strip_prefix(ENCRYPTED).map_or_else(|| body.to_vec(), encrypted);
    let [timestamp, nonce] =
        ["x-lark-request-timestamp", "x-lark-request-nonce"].map(|name| header(&headers, name));
    let valid = signature(KEY, &timestamp, &nonce, &body);
    if header(&headers, "x-lark-signature") == OUR_SIGNATURE {
        headers.insert("x-lark-signature", HeaderValue::from_str(&valid).expect("a header"));
    }
    match open(&headers, &body) {
        Err(Unopened::NoMatch | Unopened::Headers) | Ok(ChatCall::Handshake(_)) => {}
        opened => {
            assert_eq!(header(&headers, "x-lark-signature"), valid);
            let age = |sent_at: u64| BEGINS_AT.cast_signed() - sent_at.cast_signed();
            if let Ok(ChatCall::Command(_) | ChatCall::Click(_)) = opened {
                let sent_at = timestamp.parse().expect("a verified call has a time");
                assert!((-30..=240).contains(&age(sent_at)), "sent at {sent_at}");
            }
        }
    }
}

fn check_opened(call: &ChatCall) {
    match call {
        ChatCall::Handshake(response) => assert!(response.as_ref().expect("a body")["challenge"].is_string()),
        ChatCall::Command(command) => {
            check_command_call(&PLACE, command);
            assert_eq!(command.message.as_ref().map(MessageId::as_str), Some(&*command.platform_id));
            assert!(!command.text.split_whitespace().any(|word| word.starts_with('@')), "{command:?}");
        }
        ChatCall::Click(click) => check_click(&PLACE, click),
        ChatCall::Ignored(_) | ChatCall::Late => {}
    }
}

/// Feishu accepts the card of a notice.
pub(super) fn check_content(content: &Content) {
    let card = card(content);
    assert!(card.to_string().len() <= CARD_BYTES_MAX, "{} bytes", card.to_string().len());
    assert_eq!(card["config"]["update_multi"], true);
}

/// The input is a response of Feishu's to every call for a notice, and to every call after that for an access token.
pub(crate) fn check_response(input: &[u8]) {
    let is_success = |response: &http::Response<bytes::Bytes>| {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or(json!({ "code": 0 }));
        response.status().is_success() && body["code"] == 0
    };
    check_responses(&PLACE, input, &mut AccessTokens::default(), is_success);
    let mut access = AccessTokens::default();
    let token = HeaderValue::from_static("Bearer t-1");
    access.put(PLACE.conversation().tenant, APP_ID.to_owned(), token, Duration::from_hours(2), beginning());
    check_responses(&PLACE, input, &mut access, is_success);
}
