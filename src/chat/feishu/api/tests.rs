use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use http::{StatusCode, Uri};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::samples;
use super::codes::CODES;
use super::response::RATE_LIMIT_RESET;
use super::*;
use crate::chat::apps::App as _;
use crate::chat::call::UnusableSecrets;
use crate::chat::identity::{Platform, Tenant};
use crate::chat::texts::Language;

const SECRET: &str = "pr1vate-secret-of-the-app";
const APP: &str = "cli_f941c4c300225e1d";
const TOKEN: &str = "t-pr1vate";

fn parse(member: &Value) -> Result<Apps<App>, UnusableSecrets> {
    Apps::parse(&RawValue::from_string(member.to_string()).unwrap())
}

fn apps() -> Apps<App> {
    let app = json!({ "app_id": APP, "app_secret": SECRET });
    parse(&json!({ "apps": { "af278ac2ae029da4": app, "other": app } })).unwrap()
}

fn feishu() -> BaseUrl {
    BaseUrl {
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static("open.feishu.cn"),
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn tenant() -> Tenant {
    Tenant::parse("feishu:af278ac2ae029da4").unwrap()
}

/// The tokens of a process that has one for the app.
fn access() -> AccessTokens {
    let mut access = AccessTokens::default();
    let bearer = HeaderValue::from_static("Bearer t-cached");
    access.put(tenant(), APP.to_owned(), bearer, Duration::from_hours(2), at(0));
    access
}

fn response(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
}

fn failure(code: i64) -> Response<Bytes> {
    response(400, &json!({ "code": code, "msg": "pr1vate", "error": {} }).to_string())
}

fn success() -> Response<Bytes> {
    response(200, r#"{"code":0,"msg":"success","data":{"message_id":"om_1"}}"#)
}

fn issued() -> Response<Bytes> {
    response(
        200,
        &json!({ "code": 0, "msg": "ok", "tenant_access_token": TOKEN, "expire": 7200 }).to_string(),
    )
}

fn post(notice: &Notice) -> Post {
    Post::new(notice, &feishu(), Some(&apps())).unwrap()
}

fn call(step: Step) -> Request<Bytes> {
    match step {
        Step::Call(request) => *request,
        Step::End(end) => panic!("{end:?}"),
    }
}

fn end(step: Step) -> End {
    match step {
        Step::End(end) => end,
        Step::Call(request) => panic!("{request:?}"),
    }
}

/// Method and path of a call, and its arguments without the message.
fn shown(request: &Request<Bytes>) -> (String, Value) {
    let mut body: Value = serde_json::from_slice(request.body()).unwrap();
    for argument in ["content", "msg_type", "uuid"] {
        body.as_object_mut().unwrap().remove(argument);
    }
    let path = request.uri().path_and_query().unwrap().as_str().strip_prefix("/open-apis/").unwrap();
    (format!("{} {path}", request.method()), body)
}

/// The calls that follow these responses to the first one, and the end.
fn told(name: &str, responses: Vec<Response<Bytes>>) -> (Vec<String>, Option<End>) {
    let (mut post, mut access) = (post(&samples::notice(name)), access());
    let mut calls = vec![shown(&call(post.next(None, &mut access, at(0)))).0];
    for response in responses {
        match post.next(Some(Ok(response)), &mut access, at(0)) {
            Step::Call(request) => calls.push(shown(&request).0),
            Step::End(end) => return (calls, Some(end)),
        }
    }
    (calls, None)
}

/// What follows the first call of a notice, if Feishu answers it like this.
fn after(name: &str, response: Response<Bytes>) -> End {
    told(name, vec![response]).1.unwrap()
}

const REPLY_TO_COMMAND: &str = "POST im/v1/messages/om_da45207071b8b4bec8aa911a98848932/reply";
const REPLY_TO_CARD: &str = "POST im/v1/messages/om_32433cd1b05ee1e05bff4094d9d6f921/reply";
const UPDATE: &str = "PATCH im/v1/messages/om_32433cd1b05ee1e05bff4094d9d6f921";
const SEND: &str = "POST im/v1/messages?receive_id_type=chat_id";
const TOKEN_CALL: &str = "POST auth/v3/tenant_access_token/internal";

#[test]
fn apps_are_one_for_each_tenant() {
    let app = || json!({ "app_id": APP, "app_secret": SECRET });
    let of = |app: Value| json!({ "apps": { "t": app } });
    let with = |name: &str, value: Value| {
        let mut app = app();
        app[name] = value;
        of(app)
    };
    assert!(parse(&of(app())).is_ok());
    for member in [
        json!({}),
        json!([]),
        json!(SECRET),
        json!({ "apps": {} }),
        json!({ "apps": [app()] }),
        json!({ "apps": { "": app() } }),
        json!({ "apps": { "t/1": app() } }),
        json!({ "apps": { "t": app() }, "bot_tokens": {} }),
        of(json!([APP, SECRET])),
        of(json!({ "app_id": APP })),
        with("app_id", json!("f941c4c300225e1d")),
        with("app_id", json!("cli_")),
        with("app_id", json!("cli_ 41c4c300225e1d")),
        with("app_id", json!(format!("cli_{}", "a".repeat(61)))),
        with("app_secret", json!("pr1vate")),
        with("app_secret", json!("pr1vate secret of the app")),
        with("app_secret", json!(format!("{SECRET}\n"))),
        with("app_secret", json!("s".repeat(129))),
        with("app_secret", json!(1)),
        with("encrypt_key", json!(SECRET)),
    ] {
        let error = parse(&member).map(|_| ()).unwrap_err();
        assert_eq!(
            error,
            UnusableSecrets::Platform { platform: Platform::Feishu, rule: App::RULE },
            "{member}"
        );
        assert!(!error.to_string().contains("pr1vate"), "{error}");
    }
    let twice = format!(r#"{{"apps":{{"t":{0},"t":{0}}}}}"#, app());
    assert!(Apps::<App>::parse(&RawValue::from_string(twice).unwrap()).is_err());
}

#[test]
fn secret_is_in_no_debug_output() {
    let (mut post, mut access) = (post(&samples::notice("approval_request")), AccessTokens::default());
    let mut shown = format!("{:?} {post:?}", apps());
    for last in [None, Some(Ok(issued()))] {
        let step = post.next(last, &mut access, at(0));
        write!(shown, "{step:?} {post:?} {access:?}").unwrap();
    }
    for last in [failure(10_014), failure(10_003), response(200, &format!(r#"{{"code":0,"x":"{TOKEN}"}}"#))] {
        let mut post = super::Post::new(&samples::notice("approved"), &feishu(), Some(&apps())).unwrap();
        call(post.next(None, &mut AccessTokens::default(), at(0)));
        write!(shown, "{:?}", end(post.next(Some(Ok(last)), &mut access, at(0)))).unwrap();
    }
    assert!(!shown.contains("pr1vate"), "{shown}");
}

#[test]
fn tenant_without_an_app_is_undeliverable() {
    let Notice::PreviewExpired { mut request } = samples::notice("preview_expired") else {
        panic!("a preview")
    };
    request.conversation = Conversation::parse("feishu:t3/oc_1").unwrap();
    let notice = Notice::PreviewExpired { request };
    for apps in [None, Some(&apps())] {
        let end = Post::new(&notice, &feishu(), apps).map(|_| ()).unwrap_err();
        let why = "the secret in CHAT_TOKEN_SECRET_ARN has no Feishu app for the tenant t3: add it";
        assert_eq!(end, End::Undeliverable { why: why.to_owned() });
    }
}

#[test]
fn access_token_is_requested_if_there_is_none() {
    let (mut post, mut access) = (post(&samples::notice("preview_expired")), AccessTokens::default());
    let request = call(post.next(None, &mut access, at(0)));
    assert_eq!(request.method(), Method::POST);
    assert_eq!(
        request.uri(),
        &Uri::from_static("https://open.feishu.cn/open-apis/auth/v3/tenant_access_token/internal")
    );
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    assert!(!request.headers().contains_key(AUTHORIZATION));
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body, json!({ "app_id": APP, "app_secret": SECRET }));
    let request = call(post.next(Some(Ok(issued())), &mut access, at(0)));
    assert_eq!(shown(&request).0, REPLY_TO_COMMAND);
    assert_eq!(request.headers()[AUTHORIZATION], format!("Bearer {TOKEN}"));
    assert_eq!(end(post.next(Some(Ok(success())), &mut access, at(0))), End::Posted);
    // The next notice uses it, until ten minutes before its end.
    for (seconds, path) in [(6599, REPLY_TO_COMMAND), (6600, TOKEN_CALL)] {
        let mut next =
            super::Post::new(&samples::notice("preview_expired"), &feishu(), Some(&apps())).unwrap();
        assert_eq!(shown(&call(next.next(None, &mut access, at(seconds)))).0, path, "{seconds}");
    }
}

#[test]
fn access_token_with_a_short_life_is_used_once() {
    let (mut post, mut access) = (post(&samples::notice("preview_expired")), AccessTokens::default());
    call(post.next(None, &mut access, at(0)));
    let short = response(200, r#"{"code":0,"tenant_access_token":"t-1","expire":1}"#);
    assert_eq!(shown(&call(post.next(Some(Ok(short)), &mut access, at(0)))).0, REPLY_TO_COMMAND);
}

#[test]
fn access_token_that_is_not_accepted_is_requested_once_more() {
    for code in [99_991_661, 99_991_663, 99_991_664, 99_991_665, 99_991_668, 99_991_671, 99_991_677] {
        let (mut post, mut access) = (post(&samples::notice("outcome: detached")), access());
        let request = call(post.next(None, &mut access, at(0)));
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer t-cached");
        let request = call(post.next(Some(Ok(failure(code))), &mut access, at(0)));
        assert_eq!(shown(&request).0, TOKEN_CALL);
        assert_eq!(access.get(&tenant(), APP, at(0)), None);
        let request = call(post.next(Some(Ok(issued())), &mut access, at(0)));
        assert_eq!(shown(&request), (REPLY_TO_CARD.to_owned(), json!({ "reply_in_thread": true })));
        assert_eq!(request.headers()[AUTHORIZATION], format!("Bearer {TOKEN}"));
        let result = end(post.next(Some(Ok(failure(code))), &mut access, at(0)));
        assert!(matches!(result, End::Undeliverable { .. }), "{result:?}");
    }
}

#[test]
fn credentials_that_are_not_accepted_are_undeliverable() {
    let result = |response| {
        let mut post = post(&samples::notice("approved"));
        call(post.next(None, &mut AccessTokens::default(), at(0)));
        end(post.next(Some(Ok(response)), &mut AccessTokens::default(), at(0)))
    };
    for (code, advice) in [
        (10_003, "app_secret"),
        (10_014, "app_secret"),
        (10_015, "app_secret"),
        (4242, "app_secret"),
        (99_991_662, "disabled"),
        (99_991_673, "disabled"),
        (99_991_401, "IP addresses"),
    ] {
        let End::Undeliverable { why } = result(failure(code)) else { panic!("{code}") };
        let begin = format!("auth.tenant_access_token failed with {code}: ");
        assert!(why.starts_with(&begin) && why.contains(advice), "{why}");
    }
    for response in [
        failure(2200),
        failure(99_991_400),
        response(429, ""),
        response(500, ""),
        response(200, ""),
        response(200, r#"{"code":0}"#),
        response(200, r#"{"code":0,"tenant_access_token":"","expire":7200}"#),
        response(200, r#"{"code":0,"tenant_access_token":"a b","expire":7200}"#),
        response(200, r#"{"code":0,"tenant_access_token":"t-1","expire":"7200"}"#),
    ] {
        let result = result(response);
        assert!(matches!(result, End::Retry { .. }), "{result:?}");
    }
}

#[test]
fn call_has_the_form_of_the_api() {
    let notice = samples::notice("preview_expired");
    let request = call(post(&notice).next(None, &mut access(), at(0)));
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        body,
        json!({
            "msg_type": "interactive",
            "content": message::card(&Content::of(&notice)).to_string(),
            "reply_in_thread": false,
            "uuid": post(&notice).uuid,
        })
    );
}

#[test]
fn answer_is_a_text() {
    let request = call(post(&samples::notice("answer")).next(None, &mut access(), at(0)));
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["msg_type"], "text");
    let content: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
    assert_eq!(content, json!({ "text": "a < b & *c*\n@bot help" }));
}

#[test]
fn each_notice_is_told_by_its_call() {
    let (reply, thread) = (json!({ "reply_in_thread": false }), json!({ "reply_in_thread": true }));
    for (name, path, arguments) in [
        ("approval_request", REPLY_TO_COMMAND, &reply),
        ("preview_expired", REPLY_TO_COMMAND, &reply),
        ("preview: refused", REPLY_TO_COMMAND, &reply),
        ("answer", REPLY_TO_COMMAND, &reply),
        ("outcome: detached", REPLY_TO_CARD, &thread),
        ("approved", UPDATE, &json!({})),
        ("declined", UPDATE, &json!({})),
    ] {
        let call = call(post(&samples::notice(name)).next(None, &mut access(), at(0)));
        assert_eq!(shown(&call), (path.to_owned(), arguments.clone()), "{name}");
    }
    for name in ["expired", "not_allowed"] {
        let end = Post::new(&samples::notice(name), &feishu(), Some(&apps())).map(|_| ()).unwrap_err();
        assert_eq!(end, End::Dropped("the response to the click already informed the person"), "{name}");
    }
}

#[test]
fn notice_without_its_message_is_a_new_one() {
    let Notice::Click(mut click) = samples::notice("approved") else { panic!("a click") };
    click.message = None;
    let Notice::Outcome { mut request, completion } = samples::notice("outcome: detached") else {
        panic!("an outcome")
    };
    request.thread = None;
    for notice in [Notice::Click(click), Notice::Outcome { request, completion }] {
        let call = call(post(&notice).next(None, &mut access(), at(0)));
        let arguments = json!({ "receive_id": "oc_eb1772f317cf009dfdd2c3052baa2758" });
        assert_eq!(shown(&call), (SEND.to_owned(), arguments));
    }
}

#[test]
fn uuid_is_that_of_the_notice() {
    let is_posted = |notice: &Notice| Call::first(notice).is_some();
    let uuids = || {
        let notices = samples::notices(Language::En).into_iter().map(|(_, notice)| notice).filter(is_posted);
        notices.map(|notice| post(&notice).uuid).collect::<Vec<_>>()
    };
    assert_eq!(uuids(), uuids());
    assert!(uuids().iter().all(|uuid| (1..=50).contains(&uuid.len())), "{:?}", uuids());
    // An outcome is not taken for another outcome of the same request.
    assert_eq!(uuids().into_iter().collect::<BTreeSet<_>>().len(), uuids().len());
    // Two commands have two answers, even with the same text.
    let Notice::Answer(mut answer) = samples::notice("answer") else { panic!("an answer") };
    answer.message = MessageId::parse("om_other");
    assert_ne!(post(&Notice::Answer(answer)).uuid, post(&samples::notice("answer")).uuid);
}

#[test]
fn message_that_feishu_has_is_posted() {
    for name in ["approval_request", "outcome: detached", "approved", "answer"] {
        assert_eq!(after(name, success()), End::Posted, "{name}");
    }
}

/// For each code that does not depend on the call.
#[test]
fn every_code_has_one_meaning() {
    for (index, (code, meaning)) in CODES.iter().enumerate() {
        assert!(CODES[..index].iter().all(|(other, _)| other != code), "{code}");
        let (calls, result) = told("preview_expired", vec![failure(*code)]);
        let expected = match meaning {
            Meaning::AccessToken => (vec![REPLY_TO_COMMAND, TOKEN_CALL], None),
            Meaning::NoMessage | Meaning::NoThread => (vec![REPLY_TO_COMMAND, SEND], None),
            Meaning::Transient => {
                let why = format!("im.message.reply failed with {code}");
                (vec![REPLY_TO_COMMAND], Some(End::Retry { why, after: None }))
            }
            _ => {
                let why = format!("im.message.reply failed with {code}: {}", meaning.advice());
                (vec![REPLY_TO_COMMAND], Some(End::Undeliverable { why }))
            }
        };
        assert_eq!(
            (calls, result),
            (expected.0.into_iter().map(str::to_owned).collect(), expected.1),
            "{code}"
        );
    }
}

#[test]
fn operator_reads_what_to_change() {
    for (code, advice) in [
        (230_002, "add it in the settings of the group"),
        (230_006, "bot feature"),
        (230_013, "availability"),
        (230_027, "im:message:send_as_bot"),
        (99_991_672, "im:message:send_as_bot"),
        (230_018, "administrator"),
        (230_028, "administrator"),
        (232_009, "no longer exists"),
        (99_991_401, "IP addresses"),
        (99_991_662, "disabled"),
        (230_025, "issue tracker"),
        (230_099, "issue tracker"),
        (4242, "issue tracker"),
        (-1, "issue tracker"),
    ] {
        match after("approval_request", failure(code)) {
            End::Undeliverable { why } => {
                assert!(why.contains(&code.to_string()) && why.contains(advice), "{why}");
                assert!(!why.contains("pr1vate"), "{why}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn missing_or_unreadable_response_is_retried() {
    for name in ["approval_request", "outcome: detached", "approved"] {
        for was_sent in [true, false] {
            let (mut post, mut access) = (post(&samples::notice(name)), access());
            call(post.next(None, &mut access, at(0)));
            let no_response = NoResponse { why: "Timeout".to_owned(), was_sent };
            let result = end(post.next(Some(Err(no_response)), &mut access, at(0)));
            let why = format!("{} got no response: Timeout", post.call.name());
            assert_eq!(result, End::Retry { why, after: None });
        }
    }
    for (status, body) in [
        (200, ""),
        (200, "<html>proxy</html>"),
        (200, "[]"),
        (200, "[0]"),
        (200, r#"{"code":"0"}"#),
        (200, r#"{"msg":"ok"}"#),
        (302, ""),
        (400, "bad request"),
        (404, r#"{"code":0}"#),
        (500, r#"{"code":0}"#),
        (503, r#"{"code":230002}"#),
    ] {
        let status_shown = StatusCode::from_u16(status).unwrap();
        let why = format!("im.message.patch returned {status_shown} without Feishu's response");
        assert_eq!(after("approved", response(status, body)), End::Retry { why, after: None }, "{body}");
    }
}

#[test]
fn wait_that_feishu_asks_for_is_honored_up_to_an_hour() {
    let limit = r#"{"code":99991400,"msg":"request trigger frequency limit"}"#;
    for (header, seconds) in [
        ("52", Some(52)),
        (" 0 ", Some(0)),
        ("3601", Some(3600)),
        ("18446744073709551615", Some(3600)),
        ("-1", None),
        ("soon", None),
    ] {
        for name in [RATE_LIMIT_RESET, "retry-after"] {
            for (status, body) in
                [(429, ""), (429, limit), (400, limit), (400, r#"{"code":230020}"#), (503, "")]
            {
                let response = Response::builder().status(status).header(name, header);
                let result = after("approval_request", response.body(Bytes::from(body)).unwrap());
                let End::Retry { after, .. } = result else { panic!("{result:?}") };
                assert_eq!(after, seconds.map(Duration::from_secs), "{name} {header} {status}");
            }
        }
    }
}

#[test]
fn outcome_in_a_group_without_threads_is_a_plain_reply() {
    for code in [230_071, 230_072] {
        let (mut post, mut access) = (post(&samples::notice("outcome: detached")), access());
        call(post.next(None, &mut access, at(0)));
        let request = call(post.next(Some(Ok(failure(code))), &mut access, at(0)));
        assert_eq!(shown(&request), (REPLY_TO_CARD.to_owned(), json!({ "reply_in_thread": false })));
        let request = call(post.next(Some(Ok(failure(230_011))), &mut access, at(0)));
        assert_eq!(shown(&request).0, SEND);
        let result = end(post.next(Some(Ok(failure(230_011))), &mut access, at(0)));
        assert!(matches!(result, End::Undeliverable { .. }), "{result:?}");
    }
}

#[test]
fn notice_about_a_message_that_is_gone_is_a_new_one() {
    for code in [230_001, 230_011, 230_019, 230_050, 230_110, 230_111] {
        for (name, first) in [
            ("approval_request", REPLY_TO_COMMAND),
            ("outcome: detached", REPLY_TO_CARD),
            ("declined", UPDATE),
        ] {
            let (calls, end) = told(name, vec![failure(code), success()]);
            assert_eq!((calls, end), (vec![first.to_owned(), SEND.to_owned()], Some(End::Posted)), "{code}");
        }
    }
}

#[test]
fn decision_whose_card_is_too_old_is_told_in_a_reply() {
    let (calls, end) = told("approved", vec![failure(230_031), failure(230_011), success()]);
    assert_eq!((calls, end), ([UPDATE, REPLY_TO_CARD, SEND].map(str::to_owned).to_vec(), Some(End::Posted)));
}
