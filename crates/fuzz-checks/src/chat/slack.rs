//! Slack: a form, whose signature covers the body, and the blocks of a message.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use privatelink_detach::chat::access::AccessTokens;
use privatelink_detach::chat::call::{self, ChatCall, Unopened};
use privatelink_detach::chat::identity::Platform;
use privatelink_detach::chat::notice::Notice;
use privatelink_detach::chat::post::Step;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    MEMORY, OUR_BUTTON, OUR_SIGNATURE, Place, button, check_click, check_command_call, check_responses,
    header, post, replaced, verification,
};
use crate::memory::bounded;
use crate::message::Message;
use crate::virtual_time::{BEGINS_AT, beginning};

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

pub(super) const TOKEN: &str = "xoxb-1234567890-abcdefghijkl";

pub(super) const PLACE: Place = Place {
    platform: Platform::Slack,
    tenant: "T04TEAMAAAA",
    conversation: "C04OPSAAAAA",
    requester: "U04REQUESTR",
    approver: "U09APPROVER",
    card: "1795330710.000100",
    id: "slack-0123456789abcdef01234567",
    addresses: &["https://slack.com/api/chat."],
};

/// Slack's limits: blocks of a message, characters of a text, bytes of a button's value.
const BLOCKS_MAX: usize = 50;
const TEXT_LENGTH_MAX: usize = 3000;
const BUTTON_LENGTH_MAX: usize = 2000;

/// The signature of a body that Slack sends at the beginning.
fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC accepts a key of any length");
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("v0=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

fn headers(timestamp: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-slack-request-timestamp", HeaderValue::from_str(timestamp).expect("a header"));
    headers.insert("x-slack-signature", HeaderValue::from_str(signature).expect("a header"));
    headers
}

/// The input is the body of a call, which Slack signed; and it is a whole call with its headers, which anyone sent.
pub(crate) fn check_call(input: &[u8]) {
    let body = replaced(input, OUR_BUTTON, &button(&PLACE));
    let (timestamp, secrets) = (BEGINS_AT.to_string(), verification());
    let signed = headers(&timestamp, &signature(SECRET, &timestamp, &body));
    let open = |headers: &HeaderMap, body: &[u8]| {
        bounded(&MEMORY, body.len(), || call::open(Platform::Slack, headers, body, beginning(), &secrets))
    };
    match open(&signed, &body) {
        Ok(call) => check_opened(&call, &body),
        Err(error) => assert_eq!(error, Unopened::Unknown, "the signature is valid"),
    }
    // The same call with one more byte, and signed by someone else.
    let changed = [&body[..], b"&"].concat();
    assert_eq!(open(&signed, &changed), Err(Unopened::NoMatch));
    let by_other = headers(&timestamp, &signature("8f742231b10e8888abcd99yyyzzz85a6", &timestamp, &body));
    assert_eq!(open(&by_other, &body), Err(Unopened::NoMatch));
    check_whole_call(input);
}

/// The first line is not used; the signature may be the placeholder of the valid one.
fn check_whole_call(input: &[u8]) {
    let Some(Message { mut headers, body, .. }) = Message::read(input) else { return };
    let timestamp = header(&headers, "x-slack-request-timestamp");
    let valid = signature(SECRET, &timestamp, body);
    if header(&headers, "x-slack-signature") == OUR_SIGNATURE {
        headers.insert("x-slack-signature", HeaderValue::from_str(&valid).expect("a header"));
    }
    let opened = call::open(Platform::Slack, &headers, body, beginning(), &verification());
    if matches!(opened, Ok(_) | Err(Unopened::Unknown)) {
        assert_eq!(header(&headers, "x-slack-signature"), valid);
        let sent_at: u64 = timestamp.parse().expect("a verified call has a time");
        assert!((BEGINS_AT - 240..=BEGINS_AT + 30).contains(&sent_at), "sent at {sent_at}");
    }
}

fn check_opened(call: &ChatCall, body: &[u8]) {
    match call {
        ChatCall::Handshake(response) => assert_eq!(response, &None),
        ChatCall::Command(command) => {
            assert!(call::looks_like_a_command(Platform::Slack, body));
            check_command_call(&PLACE, command);
        }
        ChatCall::Click(click) => check_click(&PLACE, click),
        ChatCall::Ignored(_) | ChatCall::Late => panic!("Slack has no such call"),
    }
}

/// Slack accepts the message of a notice, and shows nothing of it as markup that others wrote.
pub(super) fn check_message(notice: &Notice) {
    let first =
        post(&PLACE, notice).map(|mut post| post.next(None, &mut AccessTokens::default(), beginning()));
    let Ok(Step::Call(request)) = first else { panic!("a call") };
    let body: Value = serde_json::from_slice(request.body()).expect("JSON");
    assert!((1..=BLOCKS_MAX).contains(&body["blocks"].as_array().expect("blocks").len()));
    check_markup(body["text"].as_str().expect("a text"));
    check_block(&body["blocks"]);
}

fn check_block(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(check_block),
        Value::Object(fields) => {
            if let Some(text) = fields.get("text").and_then(Value::as_str) {
                assert!((1..=TEXT_LENGTH_MAX).contains(&text.chars().count()), "{text:?}");
                if value["type"] == "mrkdwn" {
                    check_markup(text);
                }
            }
            if let Some(button) = fields.get("value") {
                assert!(button.as_str().is_some_and(|button| button.len() <= BUTTON_LENGTH_MAX));
            }
            fields.values().for_each(check_block);
        }
        _ => {}
    }
}

/// Every `<` begins a mention of a person of the request, a date, or a link.
fn check_markup(text: &str) {
    let forms = ["@U04REQUESTR>", "@U09APPROVER>", "!date^", "https://"];
    for rest in text.split('<').skip(1) {
        assert!(forms.iter().any(|form| rest.starts_with(form)), "<{rest}");
    }
}

/// The input is a response of Slack's to every call for a notice.
pub(crate) fn check_response(input: &[u8]) {
    check_responses(&PLACE, input, &mut AccessTokens::default(), |response| {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or(json!({ "ok": true }));
        response.status().is_success() && body["ok"] == true
    });
}
