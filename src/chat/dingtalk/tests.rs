use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use sha2::Sha256;

use super::secrets::Secret;
use super::*;
use crate::aws::secret::SecretValue;
use crate::chat::call::{self, UnusableSecrets, VerificationSecrets};
use crate::chat::decision;
use crate::chat::policy::{NotAllowed, Policy, Requesters};
use crate::chat::request::{ChatRequest, Phase};
use crate::chat::samples::{EXPIRES_AT, KEY, KEY_NEXT, at, keys, longest, request};
use crate::chat::signed;
use crate::chat::texts::Language;
use crate::freshness::{AGE_MAX, AHEAD_MAX};

/// Signatures that the official SDK made.
#[derive(Deserialize)]
struct Vectors {
    #[serde(rename = "dingtalk_robot")]
    messages: Cases<Case>,
    #[serde(rename = "dingtalk_card")]
    clicks: Cases<Case>,
    #[serde(rename = "dingtalk_custom_robot")]
    to_custom_robots: Cases<Signed>,
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(alias = "app_secret", alias = "api_secret")]
    secret: String,
    headers: BTreeMap<String, String>,
    body: String,
    valid: bool,
}

#[derive(Deserialize)]
struct Signed {
    name: String,
    secret: String,
    timestamp: String,
    sign: String,
    sign_in_url: String,
}

const APP_SECRET: &str = "app-secret-0123456789";
const CARD_SECRET: &str = "card-secret-0123456789";
const COMPANY: &str = "ding365d52354dddaf674790231f7b4f";
const GROUP_ID: &str = "cidMTdiYTE5MWY5YThiNjgw==";

/// When every call below is sent, in milliseconds.
const SENT_AT: u64 = 1_795_330_800_123;

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/chat-dingtalk.json")).unwrap()
}

fn received() -> SystemTime {
    at(SENT_AT / 1000)
}

fn secrets(app: &[&str], card: &[&str]) -> VerificationSecrets {
    let member = json!({ "dingtalk": { "app_secrets": app, "card_secrets": card } });
    VerificationSecrets::parse(&member.to_string()).unwrap()
}

/// Whether the call got past the checks of its signature and its times.
fn is_verified(opened: &Result<ChatCall, Unopened>) -> bool {
    matches!(opened, Ok(_) | Err(Unopened::Unknown))
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    list.iter().map(header).collect()
}

fn hmac(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn message_signature(timestamp: &str) -> String {
    hmac(APP_SECRET, &format!("{timestamp}\n{APP_SECRET}"))
}

/// Opens a message that was sent at this time and arrives at [`received`].
fn open_message(timestamp: &str, body: &[u8]) -> Result<ChatCall, Unopened> {
    let headers = headers(&[("timestamp", timestamp), ("sign", &message_signature(timestamp))]);
    call::open(Platform::DingTalk, &headers, body, received(), &secrets(&[APP_SECRET], &[CARD_SECRET]))
}

/// The same for a click.
fn open_click(timestamp: &str, body: &[u8]) -> Result<ChatCall, Unopened> {
    let [time, sign] = CLICK_HEADERS;
    let headers = headers(&[(time, timestamp), (sign, &hmac(CARD_SECRET, timestamp))]);
    call::open(Platform::DingTalk, &headers, body, received(), &secrets(&[APP_SECRET], &[CARD_SECRET]))
}

/// A robot message with the body changed.
fn message_with(change: impl FnOnce(&mut Value)) -> Result<ChatCall, Unopened> {
    let mut body = json!({
        "conversationId": GROUP_ID, "conversationType": "2", "conversationTitle": "网络变更群",
        "atUsers": [{ "dingtalkId": "$:LWCP_v1:$dcd2" }], "chatbotCorpId": "dingCHATBOT", "chatbotUserId": "$:LWCP_v1:$dcd2",
        "msgId": "msgYzZmY2MyZTU0YmMx", "senderNick": "**[小钉](https://example.invalid)**", "isAdmin": false,
        "senderStaffId": "452523285939877041", "senderCorpId": COMPANY, "senderId": "$:LWCP_v1:$fd0a", "isInAtList": true,
        "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=1", "createAt": SENT_AT,
        "text": { "content": " detach sg-a ep-a eu-west-1 " }, "robotCode": "ding392b", "msgtype": "text",
    });
    change(&mut body);
    open_message(&SENT_AT.to_string(), body.to_string().as_bytes())
}

/// A click with the body and what was clicked changed.
fn click_with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<ChatCall, Unopened> {
    let mut body = json!({
        "type": "actionCallback", "outTrackId": "dingtalk-0123456789abcdef01234567", "corpId": COMPANY,
        "userId": "approver01",
    });
    let mut clicked = json!({
        "cardPrivateData": { "actionIds": ["approve"], "params": { "request_1": "v1.", "request_2": "x", "other": 1 } },
    });
    change(&mut body, &mut clicked);
    if body.get("content").is_none() && body.get("value").is_none() && body.is_object() {
        body["content"] = clicked.to_string().into();
    }
    open_click(&SENT_AT.to_string(), body.to_string().as_bytes())
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with an opened call")]
fn command(text: &str) -> Result<ChatCall, Unopened> {
    Ok(ChatCall::Command(CommandCall {
        person: Person::parse(&format!("dingtalk:{COMPANY}/452523285939877041")).unwrap(),
        conversation: Conversation::parse(&format!("dingtalk:{COMPANY}/{GROUP_ID}")).unwrap(),
        name: "@bot".to_owned(),
        message: None,
        text: text.to_owned(),
        platform_id: "msgYzZmY2MyZTU0YmMx".to_owned(),
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with an opened call")]
fn clicked(action: Action, value: &str) -> Result<ChatCall, Unopened> {
    Ok(ChatCall::Click(Click {
        person: Person::parse(&format!("dingtalk:{COMPANY}/approver01")).unwrap(),
        conversation: None,
        message: MessageId::parse("dingtalk-0123456789abcdef01234567"),
        action,
        value: value.to_owned(),
    }))
}

#[test]
fn official_sdk_makes_every_signature_alike() {
    let Vectors { messages, clicks, to_custom_robots } = vectors();
    let lengths = [messages.cases.len(), clicks.cases.len(), to_custom_robots.cases.len()];
    assert_eq!(lengths, [7, 5, 4]);
    let secret = |text: &str| Secret::new(text.to_owned()).unwrap();
    for Case { name, secret: text, headers, valid, .. } in messages.cases {
        let signature = signature(&headers["sign"]).unwrap();
        assert_eq!(secret(&text).verify_message(&headers["timestamp"], signature), valid, "{name}");
    }
    for Case { name, secret: text, headers, valid, .. } in clicks.cases {
        let [time, sign] = CLICK_HEADERS;
        let signature = signature(&headers[sign]).unwrap();
        assert_eq!(secret(&text).verify_click(&headers[time], signature), valid, "{name}");
    }
    for Signed { name, secret: text, timestamp, sign, sign_in_url } in to_custom_robots.cases {
        assert!(secret(&text).verify_message(&timestamp, signature(&sign).unwrap()), "{name}");
        let encoded: String = form_urlencoded::byte_serialize(sign.as_bytes()).collect();
        assert_eq!(encoded, sign_in_url, "{name}");
    }
}

#[test]
fn whole_calls_of_the_vectors_are_opened() {
    let Vectors { messages, clicks, .. } = vectors();
    let mut opened_calls = 0;
    for case in messages.cases.iter().chain(&clicks.cases) {
        // The parser of secrets accepts ASCII alone.
        if !case.secret.is_ascii() {
            continue;
        }
        let pairs: Vec<_> =
            case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let secrets = secrets(&[&case.secret], &[&case.secret]);
        let opened =
            call::open(Platform::DingTalk, &headers(&pairs), case.body.as_bytes(), received(), &secrets);
        let expected = match (case.valid, case.name.starts_with("card")) {
            (false, _) => Err(Unopened::NoMatch),
            (true, false) => command("移除 sg-hp3c8qj1tyct90ejabcd ep-hp33b2e43fays7s8abcd eu-west-1"),
            // Its value is in other parameters than those of this application's card.
            (true, true) => Ok(ChatCall::Click(Click {
                message: MessageId::parse("pd-1c2d82786dc1d2da920c48b76e"),
                ..match clicked(Action::Approve, "") {
                    Ok(ChatCall::Click(click)) => click,
                    other => panic!("{other:?}"),
                }
            })),
        };
        assert_eq!(opened, expected, "{}", case.name);
        opened_calls += usize::from(opened.is_ok());
    }
    assert_eq!(opened_calls, 6);
}

#[test]
fn signature_covers_the_time_alone() {
    // So a caller that has one valid signature can send any body: what a button may do is not decided here.
    let other = |body: &Value| open_message(&SENT_AT.to_string(), body.to_string().as_bytes());
    assert_eq!(other(&json!({})), Err(Unopened::Unknown));
    let changed = message_with(|m| m["text"]["content"] = "detach sg-b ep-b eu-west-1".into());
    assert_eq!(changed, command("detach sg-b ep-b eu-west-1"));
    assert_eq!(click_with(|_, c| c["cardPrivateData"]["params"]["request_1"] = "forged".into()), {
        clicked(Action::Approve, "forgedx")
    });
}

fn dingtalk_request() -> ChatRequest {
    let conversation = Conversation::parse(&format!("dingtalk:{COMPANY}/{GROUP_ID}")).unwrap();
    ChatRequest { conversation, requester: UserId::parse("452523285939877041").unwrap(), ..request() }
}

/// What a click with this signed value, in the two parameters of the card, ends as.
fn decided(value: &str, change: impl FnOnce(&mut Value)) -> Result<ClickResult, NotAllowed> {
    let (first, second) = value.split_at(value.len().min(message::PARAMETER_BYTES_MAX));
    let opened = click_with(|body, clicked| {
        clicked["cardPrivateData"]["params"] = json!({ "request_1": first, "request_2": second });
        change(body);
    });
    let Ok(ChatCall::Click(click)) = opened else { panic!("{opened:?}") };
    let conversation = dingtalk_request().conversation;
    let policy = Policy {
        tenants: [conversation.tenant.clone()].into(),
        conversations: [conversation.clone()].into(),
        requesters: Requesters::Anyone,
        approvers: [Person { tenant: conversation.tenant, id: UserId::parse("approver01").unwrap() }].into(),
    };
    let decided = decision::decide(&click, &policy, &keys(&[KEY]), Language::En, at(EXPIRES_AT - 1));
    decided.map(|notice| notice.result)
}

#[test]
fn own_signature_decides_about_a_click() {
    let request = dingtalk_request();
    let ours = signed::button(&request, &keys(&[KEY]));
    let approved = ChatRequest {
        phase: Phase::Outcome,
        thread: MessageId::parse("dingtalk-0123456789abcdef01234567"),
        approver: UserId::parse("approver01"),
        ..request.clone()
    };
    assert_eq!(decided(&ours, |_| ()), Ok(ClickResult::Approved(approved)));
    // What the platform's signature does not cover changes nothing that the worker carries out.
    let Ok(ClickResult::Approved(other)) = decided(&ours, |body| body["outTrackId"] = "dingtalk-f".into())
    else {
        panic!("an approval")
    };
    assert_eq!(other.request_id(), request.id);
    for forged in [signed::button(&request, &keys(&[KEY_NEXT])), format!("{ours}x"), String::new()] {
        assert_eq!(decided(&forged, |_| ()), Err(NotAllowed::Unverified), "{forged}");
    }
}

#[test]
fn longest_signed_value_fits_two_parameters() {
    let dingtalk = |text: &str| Conversation::parse(&text.replace("slack:", "dingtalk:")).unwrap();
    let longest = longest();
    let request = ChatRequest { conversation: dingtalk(&longest.conversation.to_string()), ..longest };
    assert!(signed::button(&request, &keys(&[KEY])).len() <= 2 * message::PARAMETER_BYTES_MAX);
}

#[test]
fn age_of_a_call_has_limits() {
    let (age, ahead) = (AGE_MAX.as_secs(), AHEAD_MAX.as_secs());
    let sent = SENT_AT / 1000;
    for unit in [1, 1000] {
        for open in [open_message, open_click] {
            let open = |seconds: u64| open(&(seconds * unit).to_string(), b"{}");
            assert!(is_verified(&open(sent - age)) && is_verified(&open(sent + ahead)));
            assert_eq!(open(sent - age - 1), Err(Unopened::TooOld));
            assert_eq!(open(sent + ahead + 1), Err(Unopened::TooEarly));
        }
    }
}

#[test]
fn time_is_a_number() {
    for open in [open_message, open_click] {
        for text in
            ["", "x", "+1795330800123", "-1795330800123", "1795330800.5", "0x6b0", "18446744073709551616"]
        {
            assert_eq!(open(text, b"{}"), Err(Unopened::Headers), "{text:?}");
        }
    }
    // The same number in another spelling is not what was signed.
    let headers = headers(&[("timestamp", "01795330800123"), ("sign", &message_signature("1795330800123"))]);
    let opened =
        call::open(Platform::DingTalk, &headers, b"{}", received(), &secrets(&[APP_SECRET], &[CARD_SECRET]));
    assert_eq!(opened, Err(Unopened::NoMatch));
}

#[test]
fn both_headers_are_needed_and_the_signature_is_32_bytes() {
    let time = SENT_AT.to_string();
    let valid = message_signature(&time);
    let open = |list: &[(&str, &str)]| {
        let secrets = secrets(&[APP_SECRET], &[CARD_SECRET]);
        call::open(Platform::DingTalk, &headers(list), b"{}", received(), &secrets)
    };
    assert_eq!(open(&[("timestamp", &time), ("sign", &valid)]), Err(Unopened::Unknown));
    let [click_time, click_sign] = CLICK_HEADERS;
    let short = BASE64_STANDARD.encode([0; 31]);
    for list in [
        &[][..],
        &[("timestamp", &*time)],
        &[("sign", &*valid)],
        &[("timestamp", &time), ("sign", "")],
        &[("timestamp", &time), ("sign", &valid[1..])],
        &[("timestamp", &time), ("sign", &short)],
        &[(click_time, &time), ("sign", &valid)],
        &[("timestamp", &time), ("sign", &valid), (click_sign, &valid)],
    ] {
        assert_eq!(open(list), Err(Unopened::Headers), "{list:?}");
    }
}

#[test]
fn each_kind_of_call_has_its_own_secrets() {
    let time = SENT_AT.to_string();
    let [click_time, click_sign] = CLICK_HEADERS;
    let open = |list: &[(&str, &str)], secrets: &VerificationSecrets| {
        call::open(Platform::DingTalk, &headers(list), b"{}", received(), secrets)
    };
    let message = [("timestamp", &*time), ("sign", &*message_signature(&time))];
    let signed = hmac(CARD_SECRET, &time);
    let click = [(click_time, &*time), (click_sign, &*signed)];
    let other = "other-secret-0123456789";
    let rotated = secrets(&[other, APP_SECRET], &[other, CARD_SECRET]);
    assert_eq!([open(&message, &rotated), open(&click, &rotated)], [const { Err(Unopened::Unknown) }; 2]);
    let swapped = secrets(&[CARD_SECRET], &[APP_SECRET]);
    assert_eq!([open(&message, &swapped), open(&click, &swapped)], [const { Err(Unopened::NoMatch) }; 2]);
    let none = VerificationSecrets::parse("{}").unwrap();
    assert_eq!(open(&message, &none), Err(Unopened::NotConfigured));
    // A signed message is no click, and the other way around.
    let body = json!({ "type": "actionCallback", "outTrackId": "d", "corpId": COMPANY, "userId": "u",
        "content": json!({ "cardPrivateData": { "actionIds": ["approve"] } }).to_string() });
    assert_eq!(open_message(&time, body.to_string().as_bytes()), Err(Unopened::Unknown));
    assert!(open_click(&time, body.to_string().as_bytes()).is_ok());
}

#[test]
fn secrets_are_two_lists() {
    let parse =
        |member: &Value| VerificationSecrets::parse(&json!({ "dingtalk": member }).to_string()).map(|_| ());
    let valid = || json!({ "app_secrets": [APP_SECRET], "card_secrets": [CARD_SECRET] });
    assert_eq!(parse(&valid()), Ok(()));
    let unusable = Err(UnusableSecrets::Platform { platform: Platform::DingTalk, rule: Secrets::RULE });
    for list in ["app_secrets", "card_secrets"] {
        let with = |value: Value| {
            let mut member = valid();
            member[list] = value;
            parse(&member)
        };
        assert_eq!(with(json!(["s".repeat(16), "s".repeat(128)])), Ok(()));
        assert_eq!(with(json!(vec![APP_SECRET; 10])), Ok(()));
        for invalid in [
            json!([]),
            json!(APP_SECRET),
            json!([1]),
            json!(vec![APP_SECRET; 11]),
            json!(["s".repeat(15)]),
            json!(["s".repeat(129)]),
            json!([format!("{APP_SECRET}\n")]),
            json!([APP_SECRET, ""]),
            Value::Null,
        ] {
            assert_eq!(with(invalid.clone()), unusable, "{list} {invalid}");
        }
        let mut missing = valid();
        missing.as_object_mut().unwrap().remove(list);
        assert_eq!(parse(&missing), unusable);
    }
    let mut unknown = valid();
    unknown["app_secret"] = json!(APP_SECRET);
    assert_eq!(parse(&unknown), unusable);
    assert_eq!(parse(&json!([[APP_SECRET], [CARD_SECRET]])), unusable);
    let twice = format!(
        r#"{{"dingtalk":{{"app_secrets":["{APP_SECRET}"],"app_secrets":["{APP_SECRET}"],
        "card_secrets":["{CARD_SECRET}"]}}}}"#
    );
    assert_eq!(VerificationSecrets::parse(&twice).map(|_| ()), unusable);
}

#[test]
fn no_text_contains_a_secret() {
    let text = r#"{"dingtalk":{"app_secrets":["s3cret"],"card_secrets":["s3cret"]}}"#;
    let unusable = VerificationSecrets::parse(text).unwrap_err();
    let shown = [unusable.to_string(), format!("{unusable:?}")];
    assert!(shown.iter().all(|text| !text.contains("s3cret")), "{shown:?}");
    let shown = format!("{:?}", secrets(&[APP_SECRET], &[CARD_SECRET]));
    assert!(!shown.contains("secret-0"), "{shown}");
}

#[test]
fn message_is_a_command() {
    assert_eq!(message_with(|_| ()), command("detach sg-a ep-a eu-west-1"));
    let removals = ["senderNick", "chatbotCorpId", "sessionWebhook", "createAt", "isInAtList", "msgtype"];
    for name in removals {
        let removed = message_with(|m| drop(m.as_object_mut().unwrap().remove(name)));
        assert_eq!(removed, command("detach sg-a ep-a eu-west-1"), "{name}");
    }
    let changes: [fn(&mut Value); 9] = [
        |m| m["msgId"] = "".into(),
        |m| m["msgId"] = Value::Null,
        |m| m["conversationId"] = "cid <1>".into(),
        |m| m["conversationId"] = Value::Null,
        |m| m["conversationType"] = Value::Null,
        |m| m["senderCorpId"] = "ding/1".into(),
        |m| m["createAt"] = "soon".into(),
        |m| m["text"] = "detach".into(),
        |m| *m = json!([]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(message_with(change), Err(Unopened::Unknown), "change {n}");
    }
}

#[test]
fn tenant_is_the_company_of_the_sender_and_not_that_of_the_robot() {
    let tenant = |change: fn(&mut Value)| match message_with(change) {
        Ok(ChatCall::Command(command)) => {
            (command.person.tenant.to_string(), command.conversation.tenant.to_string())
        }
        other => panic!("{other:?}"),
    };
    let own = format!("dingtalk:{COMPANY}");
    assert_eq!(tenant(|m| m["chatbotCorpId"] = "dingOTHER".into()), (own.clone(), own));
    let other = "dingtalk:dingOTHER".to_owned();
    assert_eq!(tenant(|m| m["senderCorpId"] = "dingOTHER".into()), (other.clone(), other));
}

#[test]
fn text_is_read_in_both_places_without_mentions() {
    let text = |change: fn(&mut Value)| match message_with(change) {
        Ok(ChatCall::Command(command)) => command.text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(|m| m["text"]["content"] = "@小钉\u{3000}detach @all\n sg-a".into()), "detach sg-a");
    assert_eq!(text(|m| m["text"]["content"] = "a@b @".into()), "a@b");
    let outside: fn(&mut Value) = |m| {
        m["text"] = Value::Null;
        m["content"] = "@bot help".into();
    };
    assert_eq!(text(outside), "help");
    assert_eq!(text(|m| m["content"] = "other".into()), "detach sg-a ep-a eu-west-1");
    // Another kind of message gets the help.
    let picture: fn(&mut Value) = |m| {
        m["msgtype"] = "richText".into();
        m["content"] = json!({ "richText": [{ "text": "detach" }] });
        m.as_object_mut().unwrap().remove("text");
    };
    assert_eq!(text(picture), "");
}

#[test]
fn message_that_cannot_be_answered_is_ignored_with_a_reason() {
    let outside = Ok(ChatCall::Ignored("a robot message outside of a group"));
    assert_eq!(message_with(|m| m["conversationType"] = "1".into()), outside);
    let stranger = Ok(ChatCall::Ignored("the sender of a robot message is not a member of the organization"));
    for name in ["senderStaffId", "senderCorpId"] {
        assert_eq!(message_with(|m| drop(m.as_object_mut().unwrap().remove(name))), stranger, "{name}");
        assert_eq!(message_with(|m| m[name] = Value::Null), stranger, "{name}");
    }
    let unusable = Ok(ChatCall::Ignored("the sender's user id has characters that the lists cannot contain"));
    for id in ["", "a/b", "a b", "张三", "a@b"] {
        assert_eq!(message_with(|m| m["senderStaffId"] = id.into()), unusable, "{id}");
    }
}

#[test]
fn message_that_was_typed_too_long_ago_is_late() {
    let typed = |at: u64| message_with(|m| m["createAt"] = at.into());
    let (age, ahead) = (AGE_MAX.as_secs() * 1000, AHEAD_MAX.as_secs() * 1000);
    let (oldest, newest) = (SENT_AT - age, SENT_AT + ahead);
    assert_eq!(typed(oldest), command("detach sg-a ep-a eu-west-1"));
    assert_eq!(typed(newest), command("detach sg-a ep-a eu-west-1"));
    assert_eq!(typed(oldest - 1000), Ok(ChatCall::Late));
    assert_eq!(typed(newest + 1000), Err(Unopened::TooEarly));
}

#[test]
fn member_that_is_given_twice_is_not_used() {
    let time = SENT_AT.to_string();
    let base = message_with(|_| ());
    assert!(base.is_ok());
    let body =
        r#"{"conversationId":"c","conversationType":"2","msgId":"m","senderStaffId":"a","senderCorpId":"d""#;
    assert!(open_message(&time, format!("{body}}}").as_bytes()).is_ok());
    for twice in
        [r#""senderStaffId":"b""#, r#""senderCorpId":"e""#, r#""msgId":"n""#, r#""conversationType":"2""#]
    {
        let opened = open_message(&time, format!("{body},{twice}}}").as_bytes());
        assert_eq!(opened, Err(Unopened::Unknown), "{twice}");
    }
    let click = |clicked: &str| {
        let content = json!(clicked);
        let body = format!(
            r#"{{"type":"actionCallback","outTrackId":"o","corpId":"c","userId":"u","content":{content}}}"#
        );
        open_click(&time, body.as_bytes()).is_ok()
    };
    assert!(click(r#"{"cardPrivateData":{"actionIds":["approve"]}}"#));
    assert!(!click(r#"{"cardPrivateData":{"actionIds":["approve"],"actionIds":["decline"]}}"#));
    assert!(!click(
        r#"{"cardPrivateData":{"actionIds":["approve"],"params":{"request_1":"a","request_1":"b"}}}"#
    ));
}

#[test]
fn click_is_one_action_of_ours_on_a_card() {
    assert_eq!(click_with(|_, _| ()), clicked(Action::Approve, "v1.x"));
    let decline = click_with(|_, c| c["cardPrivateData"]["actionIds"] = json!(["decline"]));
    assert_eq!(decline, clicked(Action::Decline, "v1.x"));
    let changes: [fn(&mut Value, &mut Value); 13] = [
        |_, c| c["cardPrivateData"]["actionIds"] = json!([]),
        |_, c| c["cardPrivateData"]["actionIds"] = json!(["approve", "decline"]),
        |_, c| c["cardPrivateData"]["actionIds"] = json!(["other"]),
        |_, c| c["cardPrivateData"]["params"]["request_1"] = json!(1),
        |_, c| c["cardPrivateData"] = Value::Null,
        |_, c| *c = json!([]),
        |b, _| b["type"] = "other".into(),
        |b, _| b["userId"] = "u/1".into(),
        |b, _| b["userId"] = Value::Null,
        |b, _| b["corpId"] = "".into(),
        |b, _| b["outTrackId"] = "a b".into(),
        |b, _| b["content"] = json!({ "cardPrivateData": { "actionIds": ["approve"] } }),
        |b, _| *b = json!([]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(click_with(change), Err(Unopened::Unknown), "change {n}");
    }
}

#[test]
fn clicked_parameters_are_read_in_both_places() {
    let moved = click_with(|b, c| b["value"] = c.to_string().into());
    assert_eq!(moved, clicked(Action::Approve, "v1.x"));
    let outside = click_with(|_, c| {
        let params = c["cardPrivateData"]["params"].take();
        c["params"] = params;
    });
    assert_eq!(outside, clicked(Action::Approve, "v1.x"));
    let beside_empty = click_with(|_, c| {
        let params = c["cardPrivateData"]["params"].take();
        c["params"] = params;
        c["cardPrivateData"]["params"] = json!({});
    });
    assert_eq!(beside_empty, clicked(Action::Approve, "v1.x"));
    for short in [
        json!({ "request_1": "short" }),
        json!({ "request_1": "short", "request_2": "" }),
        json!({ "request_1": "short", "request_2": null }),
    ] {
        let one = click_with(|_, c| c["cardPrivateData"]["params"] = short.clone());
        assert_eq!(one, clicked(Action::Approve, "short"), "{short}");
    }
    let none = click_with(|_, c| drop(c["cardPrivateData"].as_object_mut().unwrap().remove("params")));
    assert_eq!(none, clicked(Action::Approve, ""));
}

fn notice(result: ClickResult) -> ClickNotice {
    let request = dingtalk_request();
    ClickNotice {
        result,
        conversation: request.conversation,
        message: None,
        person: UserId::parse("approver01").unwrap(),
        language: Language::En,
        request_id: Some(request.id),
    }
}

#[test]
fn decision_changes_the_card_for_everybody_now_and_again_after_the_callback() {
    let cases = [
        (ClickResult::Approved(dingtalk_request()), "approved", "Approved"),
        (ClickResult::Declined(dingtalk_request()), "declined", "Declined"),
    ];
    for (result, status, title) in cases {
        let acknowledged = call::acknowledge(&notice(result));
        assert_eq!(acknowledged.notice_after, Some(Duration::from_secs(5)));
        let body = acknowledged.body.unwrap();
        let options = json!({ "updateCardDataByKey": true, "updatePrivateDataByKey": true });
        assert_eq!(body["cardUpdateOptions"], options);
        let shown = &body["cardData"]["cardParamMap"];
        assert_eq!((&shown["status"], &shown["title"]), (&json!(status), &json!(title)));
        assert!(shown["body"].as_str().unwrap().contains("approver01"), "{shown}");
        assert_eq!(body["userPrivateData"]["cardParamMap"], json!({ "note": "" }));
    }
}

#[test]
fn refusal_is_for_the_person_alone_and_needs_no_notice() {
    let results = [ClickResult::Expired(dingtalk_request()), ClickResult::NotAllowed(NotAllowed::OwnRequest)];
    for result in results {
        let name = result.name();
        let acknowledged = call::acknowledge(&notice(result));
        assert_eq!(acknowledged.notice_after, None, "{name}");
        let body = acknowledged.body.unwrap();
        assert_eq!(body["cardData"]["cardParamMap"], json!({}), "{name}");
        let note = body["userPrivateData"]["cardParamMap"]["note"].as_str().unwrap();
        assert!(note.starts_with("**") && (50..=1000).contains(&note.len()), "{note}");
    }
}

#[test]
fn response_to_a_command_shows_nothing() {
    assert_eq!(call::answer(Platform::DingTalk, "text"), None);
    assert_eq!(call::empty(Platform::DingTalk), Some(json!({})));
}
