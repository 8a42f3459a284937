//! Checks chat: Slack's calls, the text of a command, the messages of the messenger's queue, and Slack's responses.
//!
//! One request is signed. No input may make another request count as signed.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::access::AccessTokens;
use privatelink_detach::chat::call::{
    self, Action, ChatCall, Click, CommandCall, Unopened, VerificationSecrets,
};
use privatelink_detach::chat::command::{self, Command, Detach, Problem};
use privatelink_detach::chat::decision::{self, ClickNotice, ClickResult};
use privatelink_detach::chat::identity::{Conversation, MessageId, Person, Platform, UserId};
use privatelink_detach::chat::notice::{Notice, body};
use privatelink_detach::chat::policy::{NotAllowed, Policy, Requesters};
use privatelink_detach::chat::post::{Addresses, End, Post, Step, Tokens};
use privatelink_detach::chat::request::{ChatRequest, Phase, id_of, unix_seconds};
use privatelink_detach::chat::signed::{self, ChatKeys};
use privatelink_detach::chat::texts::{Language, LanguageSetting};
use privatelink_detach::request::{
    self, DEADLINE_SECONDS, EndpointId, RegionId, RequestId, Rules, SecurityGroupId,
};
use privatelink_detach::transport::BaseUrl;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::text::assert_tame;
use crate::virtual_time::{BEGINS_AT, beginning};

/// A body is decoded as a form, and one of its fields parsed as JSON.
const MEMORY: Bound = Bound { base: 32 * 1024, per_byte: 32 };

/// The words of a text are read one after the other; problems are recorded once each.
const MEMORY_COMMAND: Bound = Bound { base: 8 * 1024, per_byte: 4 };

/// Most problems of one command: each of the six parts missing, repeated or invalid, and the unknown words.
const PROBLEMS_MAX: usize = 6 * 3 + 1;

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const TOKEN: &str = "xoxb-1234567890-abcdefghijkl";

/// Slack's limits: blocks of a message, characters of a text, bytes of a button's value.
const BLOCKS_MAX: usize = 50;
const TEXT_LENGTH_MAX: usize = 3000;
const BUTTON_LENGTH_MAX: usize = 2000;

/// Most calls for one notice: a message that cannot be changed is followed by a new one, and that by one without a thread.
const CALLS_MAX: usize = 3;

/// Longest reason of a log line, in characters.
const WHY_LENGTH_MAX: usize = 500;

/// Longest wait that a response can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Placeholders in an input for the valid signature of a call, the value of the request's buttons, its reply address, that of
/// its approval, and the notice of a click. The corpus and the dictionaries contain them.
const OUR_SIGNATURE: &str = "@signature";
const OUR_BUTTON: &str = "@button";
const OUR_REPLY: &str = "@reply";
const OUR_APPROVED_REPLY: &str = "@approved-reply";
const OUR_NOTICE: &str = "@notice";

fn keys() -> ChatKeys {
    ChatKeys::parse(&json!([KEY]).to_string()).expect("a key")
}

fn verification() -> VerificationSecrets {
    let text = json!({ "slack": { "signing_secrets": [SECRET] } }).to_string();
    VerificationSecrets::parse(&text).expect("a secret")
}

fn person(id: &str) -> Person {
    Person::parse(&format!("slack:T04TEAMAAAA/{id}")).expect("a person")
}

fn conversation() -> Conversation {
    Conversation::parse("slack:T04TEAMAAAA/C04OPSAAAAA").expect("a conversation")
}

fn policy() -> Policy {
    Policy {
        tenants: [conversation().tenant].into(),
        conversations: [conversation()].into(),
        requesters: Requesters::Listed([person("U04REQUESTR")].into()),
        approvers: [person("U04REQUESTR"), person("U09APPROVER")].into(),
    }
}

/// The only request that is signed.
fn request() -> ChatRequest {
    ChatRequest {
        conversation: conversation(),
        thread: None,
        requester: person("U04REQUESTR").id,
        approver: None,
        language: Language::En,
        phase: Phase::Preview,
        id: RequestId::parse("slack-0123456789abcdef01234567").expect("an id"),
        region_id: RegionId::parse("eu-west-1").expect("a region"),
        endpoint_id: EndpointId::parse("ep-a").expect("an endpoint"),
        security_group_id: SecurityGroupId::parse("sg-a").expect("a group"),
        dry_run: false,
        expires_at: BEGINS_AT + 600,
        deadline: None,
        ticket: None,
    }
}

fn approved() -> ChatRequest {
    ChatRequest {
        phase: Phase::Outcome,
        thread: MessageId::parse("1795330710.000100"),
        approver: UserId::parse("U09APPROVER"),
        ..request()
    }
}

fn declined() -> ClickNotice {
    ClickNotice {
        result: ClickResult::Declined(request()),
        conversation: conversation(),
        message: MessageId::parse("1795330710.000100"),
        person: person("U09APPROVER").id,
        language: Language::En,
        request_id: Some(request().id),
    }
}

/// Whether no character of an id could be a separator, markup or a second line.
fn is_id(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:=-/+".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(is_allowed)
}

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

/// The bytes with a placeholder replaced.
fn replaced(input: &[u8], placeholder: &str, value: &str) -> Vec<u8> {
    match input.windows(placeholder.len()).position(|window| window == placeholder.as_bytes()) {
        Some(at) => [&input[..at], value.as_bytes(), &input[at + placeholder.len()..]].concat(),
        None => input.to_vec(),
    }
}

/// The input is the body of a call, which Slack signed; and it is a whole call with its headers, which anyone sent.
pub(crate) fn check_call(input: &[u8]) {
    let body = replaced(input, OUR_BUTTON, &signed::button(&request(), &keys()));
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
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let timestamp = text(&headers, "x-slack-request-timestamp");
    let valid = signature(SECRET, &timestamp, body);
    if text(&headers, "x-slack-signature") == OUR_SIGNATURE {
        headers.insert("x-slack-signature", HeaderValue::from_str(&valid).expect("a header"));
    }
    let opened = call::open(Platform::Slack, &headers, body, beginning(), &verification());
    if matches!(opened, Ok(_) | Err(Unopened::Unknown)) {
        assert_eq!(text(&headers, "x-slack-signature"), valid);
        let sent_at: u64 = timestamp.parse().expect("a verified call has a time");
        assert!((BEGINS_AT - 240..=BEGINS_AT + 30).contains(&sent_at), "sent at {sent_at}");
    }
}

fn check_opened(call: &ChatCall, body: &[u8]) {
    match call {
        ChatCall::Handshake(response) => assert_eq!(response, &None),
        ChatCall::Command(command) => check_command_call(command, body),
        ChatCall::Click(click) => check_click(click),
        ChatCall::Ignored(_) | ChatCall::Late => panic!("Slack has no such call"),
    }
}

fn check_command_call(command: &CommandCall, body: &[u8]) {
    assert!(call::looks_like_a_command(Platform::Slack, body));
    let CommandCall { person, conversation, platform_id, .. } = command;
    assert_eq!(person.tenant, conversation.tenant);
    for id in [person.tenant.id.as_str(), person.id.as_str(), conversation.id.as_str()] {
        assert!(is_id(id), "{id:?}");
    }
    let id = id_of(&person.tenant, platform_id);
    assert_eq!((id.as_str().len(), id.as_str().starts_with("slack-")), (30, true), "{id}");
    assert!(!platform_id.is_empty());
}

fn check_click(click: &Click) {
    let ids = [Some(click.person.id.as_str()), click.message.as_ref().map(MessageId::as_str)];
    assert!(ids.into_iter().flatten().all(is_id), "{click:?}");
    let decided = decision::decide(click, &policy(), &keys(), Language::En, beginning());
    let Ok(ClickNotice { result, conversation: told, person: clicker, .. }) = decided else { return };
    assert_eq!((told, click.person.tenant.clone()), (conversation(), conversation().tenant));
    assert_eq!(clicker, click.person.id);
    match result {
        ClickResult::Approved(approval) => {
            assert_eq!((click.action, &click.person), (Action::Approve, &person("U09APPROVER")));
            assert_eq!(approval, ChatRequest { thread: click.message.clone(), ..approved() });
        }
        ClickResult::Declined(declined) => {
            assert_eq!((click.action, declined), (Action::Decline, request()));
            assert!([person("U04REQUESTR"), person("U09APPROVER")].contains(&click.person));
        }
        ClickResult::Expired(_) => panic!("the only request is not expired"),
        ClickResult::NotAllowed(_) => {}
    }
}

pub(crate) fn check_command(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let parsed = bounded(&MEMORY_COMMAND, text.len(), || command::parse(text));
    let backwards: Vec<&str> = text.split_whitespace().rev().collect();
    let of_backwards = command::parse(&backwards.join("\u{3000}")).result;
    match parsed.result {
        Ok(Command::Help) => assert_eq!(of_backwards, Ok(Command::Help)),
        Ok(Command::Detach(detach)) => {
            // The order of the words does not matter, nor which white space separates them.
            assert_eq!(of_backwards.as_ref(), Ok(&Command::Detach(detach.clone())));
            check_detach(detach, text, parsed.language);
        }
        Err(problems) => {
            assert!((1..=PROBLEMS_MAX).contains(&problems.len()), "{problems:?}");
            for (n, problem) in problems.iter().enumerate() {
                assert!(!problems[..n].contains(problem), "{problem:?} twice");
            }
            let others = of_backwards.expect_err("problems");
            assert_eq!(problems.len(), others.len());
            assert!(problems.iter().all(|problem| others.contains(problem)), "{problems:?} {others:?}");
            let words = text.split_whitespace().count();
            let unknown = problems.iter().find_map(|problem| match problem {
                Problem::Unknown(count) => Some(*count),
                _ => None,
            });
            assert!(unknown.is_none_or(|count| (1..=words).contains(&count)));
        }
    }
}

fn check_detach(detach: Detach, text: &str, language: Language) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ids = [detach.region_id.as_str(), detach.endpoint_id.as_str(), detach.security_group_id.as_str()];
    for id in ids {
        assert_eq!(words.iter().filter(|word| **word == id).count(), 1, "{id} is typed once");
    }
    assert!(detach.deadline.is_none_or(|deadline| DEADLINE_SECONDS.contains(&deadline.as_secs())));
    if let Some(ticket) = &detach.ticket {
        assert!(words.contains(&format!("ticket={}", ticket.as_str()).as_str()));
    }
    // The queue accepts its dry run, and its approval.
    let expires_at = unix_seconds(beginning() + Duration::from_hours(1));
    let id = request().id;
    let preview =
        ChatRequest::of_command(detach, id, &person("U04REQUESTR"), conversation(), language, expires_at);
    let outcome = ChatRequest { phase: Phase::Outcome, approver: approved().approver, ..preview.clone() };
    for request in [preview, outcome] {
        let detach = request.to_detach(signed::metadata(&request, &keys()));
        let parsed = request::parse(&detach.to_body(&request.request_id()), &Rules::default());
        assert_eq!(parsed.result, Ok(detach));
        assert_eq!(signed::open_button(&signed::button(&request, &keys()), &keys()), Some(request));
    }
}

/// The input is the body of a message of the messenger's queue.
pub(crate) fn check_notice(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let value_of = |placeholder: &str, value: &str| (format!("\"{placeholder}\""), json!(value).to_string());
    let notice: Value = serde_json::from_str(&body(&declined(), &keys())).expect("JSON");
    let reply = |request: &ChatRequest| signed::metadata(request, &keys())["chat"].clone();
    let mut text = text.to_owned();
    for (placeholder, value) in [
        value_of(OUR_REPLY, &reply(&request())),
        value_of(OUR_APPROVED_REPLY, &reply(&approved())),
        value_of(OUR_NOTICE, notice["chat_notice"].as_str().expect("a text")),
    ] {
        text = text.replacen(&placeholder, &value, 1);
    }
    let parse = || Notice::parse(&text, &keys(), LanguageSetting::Auto, beginning());
    let Ok(parsed) = bounded(&MEMORY, text.len(), parse) else { return };
    check_message(&parsed);
    assert_eq!((parsed.conversation(), parsed.language()), (&conversation(), Language::En));
    match parsed {
        Notice::ApprovalRequest { request: shown, completion, button } => {
            assert_eq!(shown, request());
            assert_eq!(signed::open_button(&button, &keys()), Some(request()));
            assert_eq!(completion.request_id, request().request_id());
        }
        Notice::Preview { request: shown, completion } => {
            assert_eq!((shown, completion.request_id), (request(), request().request_id()));
        }
        Notice::Outcome { request: shown, completion } => {
            assert_eq!((shown, completion.request_id), (approved(), approved().request_id()));
        }
        Notice::PreviewExpired { .. } => panic!("the only request is not expired"),
        Notice::Click(click) => assert_eq!(click, declined()),
        Notice::Answer(_) => panic!("no answer is signed"),
    }
}

/// Slack accepts the message of a notice, and shows nothing of it as markup that others wrote.
fn check_message(notice: &Notice) {
    let Step::Call(request) = first_step(&mut post(notice)) else { panic!("a call") };
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

fn first_step(post: &mut Post) -> Step {
    post.next(None, &mut AccessTokens::default(), beginning())
}

fn post(notice: &Notice) -> Post {
    let authority = http::uri::Authority::from_static("slack.com");
    let address = BaseUrl { scheme: http::uri::Scheme::HTTPS, authority };
    let addresses = Addresses { slack: address.clone(), dingtalk: address.clone(), feishu: address };
    let tokens = json!({ "slack": { "bot_tokens": { "T04TEAMAAAA": TOKEN } } }).to_string();
    Post::new(notice, &addresses, &Tokens::parse(&tokens).expect("a token"))
        .expect("the token of the workspace")
}

/// The input is a response of Slack's to every call for a notice.
pub(crate) fn check_response(input: &[u8]) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let not_allowed = ClickNotice { result: ClickResult::NotAllowed(NotAllowed::OwnRequest), ..declined() };
    let expired = ClickNotice { result: ClickResult::Expired(request()), ..declined() };
    let approval = ClickNotice { result: ClickResult::Approved(approved()), ..declined() };
    let notices = [declined(), not_allowed, expired, approval].map(Notice::Click);
    for notice in notices.into_iter().chain([Notice::PreviewExpired { request: request() }]) {
        let mut post = post(&notice);
        let mut step = first_step(&mut post);
        for _ in 0..CALLS_MAX {
            let Step::Call(request) = step else { break };
            assert!(
                request.uri().to_string().starts_with("https://slack.com/api/chat."),
                "{:?}",
                request.uri()
            );
            let last = Some(Ok(response.clone()));
            step =
                bounded(&MEMORY, input.len(), || post.next(last, &mut AccessTokens::default(), beginning()));
        }
        let Step::End(end) = step else { panic!("more than {CALLS_MAX} calls") };
        check_end(&end, &response);
    }
}

fn check_end(end: &End, response: &http::Response<Bytes>) {
    match end {
        End::Posted => {
            let body: Value = serde_json::from_slice(response.body()).unwrap_or(json!({ "ok": true }));
            assert!(response.status().is_success() && body["ok"] == true, "{response:?}");
        }
        End::Dropped(_) => assert!(!response.status().is_server_error(), "{response:?}"),
        End::Retry { why, after } | End::Lost { why, after } => {
            assert_tame(why, WHY_LENGTH_MAX);
            assert!(after.is_none_or(|after| after <= RETRY_AFTER_MAX), "{after:?}");
        }
        End::Undeliverable { why } => {
            assert_tame(why, WHY_LENGTH_MAX);
            assert!(!response.status().is_server_error(), "an outage is transient: {response:?}");
        }
    }
}
