//! Checks chat: the platforms' calls, the text of a command, the messages of the messenger's queue, and the platforms'
//! responses.
//!
//! One request of each platform is signed. No input may make another request count as signed.

pub(crate) mod dingtalk;
pub(crate) mod feishu;
pub(crate) mod slack;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::access::AccessTokens;
use privatelink_detach::chat::answer::AnswerNotice;
use privatelink_detach::chat::call::{Action, Click, CommandCall, VerificationSecrets};
use privatelink_detach::chat::command::{self, Command, Detach, Problem};
use privatelink_detach::chat::content::Content;
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

use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::text::{assert_tame, assert_without};
use crate::virtual_time::{BEGINS_AT, beginning};

/// A body is decoded or decrypted, and one of its fields parsed as JSON.
const MEMORY: Bound = Bound { base: 32 * 1024, per_byte: 32 };

/// The words of a text are read one after the other; problems are recorded once each.
const MEMORY_COMMAND: Bound = Bound { base: 8 * 1024, per_byte: 4 };

/// Most problems of one command: each of the six parts missing, repeated or invalid, and the unknown words.
const PROBLEMS_MAX: usize = 6 * 3 + 1;

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Most calls for one notice: one for an access token, its repetition, and a message in place of one that cannot be changed.
const CALLS_MAX: usize = 6;

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

/// A platform, and the people of the request that is signed on it.
struct Place {
    platform: Platform,
    tenant: &'static str,
    conversation: &'static str,
    requester: &'static str,
    approver: &'static str,
    /// The message with the buttons.
    card: &'static str,
    id: &'static str,
    /// What the address of every call to the platform begins with.
    addresses: &'static [&'static str],
}

impl Place {
    fn person(&self, id: &str) -> Person {
        Person::parse(&format!("{}:{}/{id}", self.platform.name(), self.tenant)).expect("a person")
    }

    fn conversation(&self) -> Conversation {
        let text = format!("{}:{}/{}", self.platform.name(), self.tenant, self.conversation);
        Conversation::parse(&text).expect("a conversation")
    }

    fn policy(&self) -> Policy {
        Policy {
            tenants: [self.conversation().tenant].into(),
            conversations: [self.conversation()].into(),
            requesters: Requesters::Listed([self.person(self.requester)].into()),
            approvers: [self.person(self.requester), self.person(self.approver)].into(),
        }
    }

    /// The only request that is signed.
    fn request(&self) -> ChatRequest {
        ChatRequest {
            conversation: self.conversation(),
            thread: None,
            requester: self.person(self.requester).id,
            approver: None,
            language: Language::En,
            phase: Phase::Preview,
            id: RequestId::parse(self.id).expect("an id"),
            region_id: RegionId::parse("eu-west-1").expect("a region"),
            endpoint_id: EndpointId::parse("ep-a").expect("an endpoint"),
            security_group_id: SecurityGroupId::parse("sg-a").expect("a group"),
            dry_run: false,
            expires_at: BEGINS_AT + 600,
            deadline: None,
            ticket: None,
        }
    }

    fn approved(&self) -> ChatRequest {
        ChatRequest {
            phase: Phase::Outcome,
            thread: MessageId::parse(self.card),
            approver: UserId::parse(self.approver),
            ..self.request()
        }
    }

    fn declined(&self) -> ClickNotice {
        ClickNotice {
            result: ClickResult::Declined(self.request()),
            conversation: self.conversation(),
            message: MessageId::parse(self.card),
            person: self.person(self.approver).id,
            language: Language::En,
            request_id: Some(self.request().id),
        }
    }
}

fn keys() -> ChatKeys {
    ChatKeys::parse(&json!([KEY]).to_string()).expect("a key")
}

fn verification() -> VerificationSecrets {
    let text = json!({
        "slack": { "signing_secrets": [slack::SECRET] },
        "dingtalk": { "app_secrets": [dingtalk::APP_SECRET], "card_secrets": [dingtalk::CARD_SECRET] },
        "feishu": { "encrypt_keys": [feishu::KEY], "verification_tokens": [feishu::TOKEN] },
    });
    VerificationSecrets::parse(&text.to_string()).expect("a secret")
}

/// The value of the buttons of the request.
fn button(place: &Place) -> String {
    signed::button(&place.request(), &keys())
}

/// A header's value; empty if there is none that is a text.
fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Whether no character of an id could be a separator, markup or a second line.
fn is_id(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:=-/+".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The bytes with a placeholder replaced.
fn replaced(input: &[u8], placeholder: &str, value: &str) -> Vec<u8> {
    match input.windows(placeholder.len()).position(|window| window == placeholder.as_bytes()) {
        Some(at) => [&input[..at], value.as_bytes(), &input[at + placeholder.len()..]].concat(),
        None => input.to_vec(),
    }
}

fn check_command_call(place: &Place, command: &CommandCall) {
    let CommandCall { person, conversation, platform_id, .. } = command;
    // The person of a shared conversation can be of another tenant, and may then not request.
    assert_eq!(person.tenant.platform, place.platform);
    if place.policy().check_request(person, conversation).is_ok() {
        assert_eq!((person, conversation), (&place.person(place.requester), &place.conversation()));
    }
    for id in [person.tenant.id.as_str(), person.id.as_str(), conversation.id.as_str()] {
        assert!(is_id(id), "{id:?}");
    }
    let id = id_of(&person.tenant, platform_id);
    assert_eq!(id.as_str().strip_prefix(place.platform.name()).map(str::len), Some(1 + 24), "{id}");
    assert!(!platform_id.is_empty());
}

fn check_click(place: &Place, click: &Click) {
    let ids = [Some(click.person.id.as_str()), click.message.as_ref().map(MessageId::as_str)];
    assert!(ids.into_iter().flatten().all(is_id), "{click:?}");
    let decided = decision::decide(click, &place.policy(), &keys(), Language::En, beginning());
    let Ok(ClickNotice { result, conversation: told, person: clicker, .. }) = decided else { return };
    assert_eq!((told, click.person.tenant.clone()), (place.conversation(), place.conversation().tenant));
    assert_eq!(clicker, click.person.id);
    match result {
        ClickResult::Approved(approval) => {
            assert_eq!((click.action, &click.person), (Action::Approve, &place.person(place.approver)));
            assert_eq!(approval, ChatRequest { thread: click.message.clone(), ..place.approved() });
        }
        ClickResult::Declined(declined) => {
            assert_eq!((click.action, declined), (Action::Decline, place.request()));
            assert!([place.person(place.requester), place.person(place.approver)].contains(&click.person));
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
    let id = slack::PLACE.request().id;
    let preview = ChatRequest::of_command(
        detach,
        id,
        &slack::PLACE.person(slack::PLACE.requester),
        slack::PLACE.conversation(),
        language,
        expires_at,
    );
    let outcome =
        ChatRequest { phase: Phase::Outcome, approver: slack::PLACE.approved().approver, ..preview.clone() };
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
    let notice: Value = serde_json::from_str(&body(&slack::PLACE.declined(), &keys())).expect("JSON");
    let reply = |request: &ChatRequest| signed::metadata(request, &keys())["chat"].clone();
    let mut text = text.to_owned();
    for (placeholder, value) in [
        value_of(OUR_REPLY, &reply(&slack::PLACE.request())),
        value_of(OUR_APPROVED_REPLY, &reply(&slack::PLACE.approved())),
        value_of(OUR_NOTICE, notice["chat_notice"].as_str().expect("a text")),
    ] {
        text = text.replacen(&placeholder, &value, 1);
    }
    let parse = || Notice::parse(&text, &keys(), LanguageSetting::Auto, beginning());
    let Ok(parsed) = bounded(&MEMORY, text.len(), parse) else { return };
    slack::check_message(&parsed);
    let content = Content::of(&parsed);
    feishu::check_content(&content);
    dingtalk::check_content(&content);
    assert_eq!((parsed.conversation(), parsed.language()), (&slack::PLACE.conversation(), Language::En));
    match parsed {
        Notice::ApprovalRequest { request: shown, completion, button } => {
            assert_eq!(shown, slack::PLACE.request());
            assert_eq!(signed::open_button(&button, &keys()), Some(slack::PLACE.request()));
            assert_eq!(completion.request_id, slack::PLACE.request().request_id());
        }
        Notice::Preview { request: shown, completion } => {
            assert_eq!(
                (shown, completion.request_id),
                (slack::PLACE.request(), slack::PLACE.request().request_id())
            );
        }
        Notice::Outcome { request: shown, completion } => {
            assert_eq!(
                (shown, completion.request_id),
                (slack::PLACE.approved(), slack::PLACE.approved().request_id())
            );
        }
        Notice::PreviewExpired { .. } => panic!("the only request is not expired"),
        Notice::Click(click) => assert_eq!(click, slack::PLACE.declined()),
        Notice::Answer(_) => panic!("no answer is signed"),
    }
}

fn address(host: &'static str) -> BaseUrl {
    BaseUrl { scheme: http::uri::Scheme::HTTPS, authority: http::uri::Authority::from_static(host) }
}

fn post(place: &Place, notice: &Notice) -> Result<Post, End> {
    let addresses = Addresses {
        slack: address("slack.com"),
        dingtalk: address("api.dingtalk.com"),
        feishu: address("open.feishu.cn"),
    };
    let tokens = json!({
        "slack": { "bot_tokens": { slack::PLACE.tenant: slack::TOKEN } },
        "dingtalk": { "apps": { dingtalk::PLACE.tenant: {
            "app_key": "app-key", "app_secret": dingtalk::APP_SECRET, "robot_code": "robot",
            "card_template_id": "t.schema",
        }}},
        "feishu": { "apps": { feishu::PLACE.tenant: { "app_id": feishu::APP_ID, "app_secret": feishu::APP_SECRET } } },
    });
    assert_eq!(notice.conversation(), &place.conversation());
    Post::new(notice, &addresses, &Tokens::parse(&tokens.to_string()).expect("tokens"))
}

/// The input is a response of the platform to every call for a notice. `is_success` reads it without the code under test.
fn check_responses(
    place: &Place,
    input: &[u8],
    access: &mut AccessTokens,
    is_success: fn(&http::Response<Bytes>) -> bool,
) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let declined = place.declined();
    let not_allowed =
        ClickNotice { result: ClickResult::NotAllowed(NotAllowed::OwnRequest), ..declined.clone() };
    let expired = ClickNotice { result: ClickResult::Expired(place.request()), ..declined.clone() };
    let approval = ClickNotice { result: ClickResult::Approved(place.approved()), ..declined.clone() };
    let answer = AnswerNotice {
        conversation: place.conversation(),
        message: MessageId::parse(place.card),
        person: place.person(place.requester).id,
        language: Language::En,
        request_id: None,
        text: "text".to_owned(),
    };
    let mut notices: Vec<_> = [declined, not_allowed, expired, approval].map(Notice::Click).into();
    notices.push(Notice::PreviewExpired { request: place.request() });
    if place.platform != Platform::Slack {
        notices.push(Notice::Answer(answer));
    }
    for notice in notices {
        // A platform whose response to a click said it gets no call.
        let Ok(mut post) = post(place, &notice) else { continue };
        let mut step = post.next(None, access, beginning());
        for _ in 0..CALLS_MAX {
            let Step::Call(request) = step else { break };
            let address = request.uri().to_string();
            assert!(place.addresses.iter().any(|begin| address.starts_with(begin)), "{address}");
            let last = Some(Ok(response.clone()));
            step = bounded(&MEMORY, input.len(), || post.next(last, access, beginning()));
        }
        let Step::End(end) = step else { panic!("more than {CALLS_MAX} calls") };
        check_end(place, &end, &response, is_success);
    }
}

fn check_end(
    place: &Place,
    end: &End,
    response: &http::Response<Bytes>,
    is_success: fn(&http::Response<Bytes>) -> bool,
) {
    let secrets = [slack::TOKEN, dingtalk::APP_SECRET, feishu::APP_SECRET];
    match end {
        End::Posted => assert!(is_success(response), "{response:?}"),
        End::Dropped(_) => assert!(!response.status().is_server_error(), "{response:?}"),
        End::Retry { why, after } | End::Lost { why, after } => {
            assert_tame(why, WHY_LENGTH_MAX);
            assert_without(why, &secrets);
            assert!(after.is_none_or(|after| after <= RETRY_AFTER_MAX), "{after:?}");
        }
        End::Undeliverable { why } => {
            assert_tame(why, WHY_LENGTH_MAX);
            assert_without(why, &secrets);
            // DingTalk's own code counts also with the status of an error of the server.
            let is_outage = response.status().is_server_error() && place.platform != Platform::DingTalk;
            assert!(!is_outage, "an outage is transient: {response:?}");
        }
    }
}
