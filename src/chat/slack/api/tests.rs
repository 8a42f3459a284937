use http::{StatusCode, Uri};

use super::codes::CODES;
use super::*;
use crate::chat::content::samples;
use crate::chat::decision::ClickNotice;
use crate::chat::request::{ChatRequest, Phase};
use crate::chat::texts::Language;

const TOKEN: &str = "xoxb-1-secret";

fn parse(text: &str) -> Result<Tokens, UnusableSecrets> {
    Tokens::parse(&RawValue::from_string(text.to_owned()).unwrap())
}

fn tokens() -> Tokens {
    parse(&format!(r#"{{"bot_tokens": {{"T04TEAM": "{TOKEN}", "T2": "xoxb-2-secret"}}}}"#)).unwrap()
}

fn slack() -> BaseUrl {
    BaseUrl { scheme: http::uri::Scheme::HTTPS, authority: http::uri::Authority::from_static("slack.com") }
}

fn post(notice: &Notice) -> Post {
    Post::new(notice, &slack(), Some(&tokens())).unwrap()
}

fn notice(name: &str) -> Notice {
    samples::notices(Language::En).into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn response(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
}

fn failure(code: &str) -> Response<Bytes> {
    response(200, &json!({ "ok": false, "error": code }).to_string())
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

/// The method of a call, and its arguments without the message.
fn shown(request: &Request<Bytes>) -> (String, Value) {
    let mut body: Value = serde_json::from_slice(request.body()).unwrap();
    let body = body.as_object_mut().unwrap();
    for argument in ["text", "blocks"] {
        assert!(body.remove(argument).is_some());
    }
    let method = request.uri().path().strip_prefix("/api/").unwrap().to_owned();
    (method, Value::Object(std::mem::take(body)))
}

/// What follows the first call of a notice, if Slack answers it like this.
fn after(name: &str, response: Response<Bytes>) -> Step {
    let mut post = post(&notice(name));
    call(post.next(None));
    post.next(Some(Ok(response)))
}

#[test]
fn tokens_are_one_for_each_workspace() {
    assert_eq!(tokens().0.keys().map(TenantId::as_str).collect::<Vec<_>>(), ["T04TEAM", "T2"]);
    let long = format!(r#"{{"bot_tokens": {{"T1": "xoxb-{}"}}}}"#, "a".repeat(600));
    for text in [
        r"{}",
        r"[]",
        r#""xoxb-1-secret""#,
        r#"{"bot_tokens": {}}"#,
        r#"{"bot_tokens": []}"#,
        r#"{"bot_tokens": ["xoxb-1-secret"]}"#,
        r#"{"bot_tokens": {"T 1": "xoxb-1-secret"}}"#,
        r#"{"bot_tokens": {"": "xoxb-1-secret"}}"#,
        r#"{"bot_tokens": {"T1": "xoxb-1-secret", "T1": "xoxb-2-secret"}}"#,
        r#"{"bot_tokens": {"T1": "Bearer xoxb-1"}}"#,
        r#"{"bot_tokens": {"T1": "xoxb-1 secret"}}"#,
        r#"{"bot_tokens": {"T1": "xoxb-1-secret\n"}}"#,
        r#"{"bot_tokens": {"T1": "xoxb"}}"#,
        r#"{"bot_tokens": {"T1": 1}}"#,
        &long,
    ] {
        let error = parse(text).map(|_| text.to_owned()).unwrap_err();
        assert_eq!(error, UnusableSecrets::Platform { platform: Platform::Slack, rule: Tokens::RULE });
        assert!(!error.to_string().contains("secret\""), "{error}");
    }
}

#[test]
fn token_is_in_no_debug_output() {
    let mut post = post(&notice("approval_request"));
    let step = post.next(None);
    let shown = format!("{:?} {post:?} {step:?}", tokens());
    assert!(!shown.contains("secret") && !shown.contains("xox"), "{shown}");
    assert_eq!(call(step).headers()[AUTHORIZATION], format!("Bearer {TOKEN}"));
}

#[test]
fn workspace_without_a_token_is_undeliverable() {
    let request = samples::request(Phase::Preview, Language::En);
    let conversation = crate::chat::identity::Conversation::parse("slack:T3/C3").unwrap();
    let notice = Notice::PreviewExpired { request: ChatRequest { conversation, ..request } };
    for tokens in [None, Some(&tokens())] {
        let end = Post::new(&notice, &slack(), tokens).map(|_| ()).unwrap_err();
        let why = "the secret in CHAT_TOKEN_SECRET_ARN has no bot token for the workspace T3: add it";
        assert_eq!(end, End::Undeliverable { why: why.to_owned() });
    }
}

#[test]
fn call_has_the_form_of_the_web_api() {
    let request = call(post(&notice("preview_expired")).next(None));
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), &Uri::from_static("https://slack.com/api/chat.postMessage"));
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let message = Message::of(&Content::of(&notice("preview_expired")));
    assert_eq!(
        body,
        json!({
            "channel": "C04CHANNEL",
            "text": message.text,
            "blocks": message.blocks,
            "parse": "none",
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
}

#[test]
fn each_notice_is_told_by_its_method() {
    let new =
        json!({ "channel": "C04CHANNEL", "parse": "none", "unfurl_links": false, "unfurl_media": false });
    let mut reply = new.clone();
    reply["thread_ts"] = json!("1795330800.000100");
    let update = json!({ "channel": "C04CHANNEL", "parse": "none", "ts": "1795330800.000100" });
    let alone = json!({ "channel": "C04CHANNEL", "parse": "none", "user": "U04APPROVER" });
    for (name, method, arguments) in [
        ("approval_request", "chat.postMessage", &new),
        ("preview_expired", "chat.postMessage", &new),
        ("preview: refused", "chat.postMessage", &new),
        ("outcome: detached", "chat.postMessage", &reply),
        ("approved", "chat.update", &update),
        ("declined", "chat.update", &update),
        ("expired", "chat.postEphemeral", &alone),
        ("not_allowed", "chat.postEphemeral", &alone),
    ] {
        let call = call(post(&notice(name)).next(None));
        assert_eq!(shown(&call), (method.to_owned(), arguments.clone()), "{name}");
    }
}

#[test]
fn click_without_its_message_is_told_in_a_new_one() {
    let Notice::Click(click) = notice("approved") else { panic!() };
    let call = call(post(&Notice::Click(ClickNotice { message: None, ..click })).next(None));
    assert_eq!(shown(&call).0, "chat.postMessage");
}

#[test]
fn message_that_slack_has_is_posted() {
    assert_eq!(end(after("approval_request", response(200, r#"{"ok": true, "ts": "1.2"}"#))), End::Posted);
    assert_eq!(end(after("approved", response(200, r#"{"ok": true}"#))), End::Posted);
}

/// For each code that does not depend on the call.
#[test]
fn every_code_has_one_meaning() {
    for (index, (code, meaning)) in CODES.iter().enumerate() {
        assert!(CODES[..index].iter().all(|(other, _)| other != code), "{code}");
        assert_eq!(codes::shown(code), *code);
        let result = end(after("approval_request", failure(code)));
        let expected = match meaning {
            Meaning::Transient => {
                End::Retry { why: format!("chat.postMessage failed with {code}"), after: None }
            }
            Meaning::Uncertain => {
                End::Lost { why: format!("chat.postMessage failed with {code}"), after: None }
            }
            _ => End::Undeliverable {
                why: format!("chat.postMessage failed with {code}: {}", meaning.advice()),
            },
        };
        assert_eq!(result, expected);
    }
}

#[test]
fn operator_reads_what_to_change() {
    for (code, advice) in [
        ("not_in_channel", "/invite"),
        ("channel_not_found", "/invite"),
        ("is_archived", "unarchive"),
        ("token_revoked", "CHAT_TOKEN_SECRET_ARN"),
        ("invalid_auth", "CHAT_TOKEN_SECRET_ARN"),
        ("missing_scope", "chat:write"),
        ("restricted_action", "administrator"),
        ("restricted_action_of_next_year", "administrator"),
        ("msg_too_long", "issue tracker"),
        ("never_seen_before", "issue tracker"),
    ] {
        match end(after("approval_request", failure(code))) {
            End::Undeliverable { why } => assert!(why.contains(code) && why.contains(advice), "{why}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn text_that_is_no_code_is_not_repeated() {
    for code in ["", "<!channel>", "two words", "UPPER", &"a".repeat(65)] {
        let End::Undeliverable { why } = end(after("approval_request", failure(code))) else { panic!() };
        assert!(why.starts_with("chat.postMessage failed with an unreadable code: "), "{why}");
    }
}

#[test]
fn missing_or_unreadable_response_is_retried() {
    let mut post = post(&notice("approved"));
    call(post.next(None));
    let result =
        end(post.next(Some(Err(NoResponse { why: "connection refused".to_owned(), was_sent: false }))));
    assert_eq!(
        result,
        End::Retry { why: "chat.update got no response: connection refused".to_owned(), after: None }
    );
    for (status, body) in [
        (200, ""),
        (200, "<html>proxy</html>"),
        (200, "[]"),
        (200, r#"{"ok": "true"}"#),
        (200, r#"{"ok": false}"#),
        (302, ""),
        (400, "bad request"),
        (403, "<html>proxy</html>"),
        (404, r#"{"ok": true}"#),
        (500, r#"{"ok": true}"#),
        (503, r#"{"ok": false, "error": "not_in_channel"}"#),
    ] {
        let status_shown = StatusCode::from_u16(status).unwrap();
        let why = format!("chat.update returned {status_shown} without Slack's response");
        assert_eq!(end(after("approved", response(status, body))), End::Retry { why, after: None }, "{body}");
    }
}

#[test]
fn post_without_a_response_may_have_been_carried_out() {
    for name in ["approval_request", "outcome: detached"] {
        let mut unanswered = post(&notice(name));
        call(unanswered.next(None));
        let no_response = |was_sent| NoResponse { why: "Timeout".to_owned(), was_sent };
        let result = end(unanswered.next(Some(Err(no_response(true)))));
        assert_eq!(
            result,
            End::Lost { why: "chat.postMessage got no response: Timeout".to_owned(), after: None }
        );
        let result = end(unanswered.next(Some(Err(no_response(false)))));
        assert_eq!(
            result,
            End::Retry { why: "chat.postMessage got no response: Timeout".to_owned(), after: None }
        );
        for response in
            [response(500, ""), response(200, "<html>"), failure("internal_error"), failure("fatal_error")]
        {
            assert!(matches!(end(after(name, response)), End::Lost { .. }), "{name}");
        }
        for response in
            [response(429, ""), response(403, "<html>"), response(302, ""), failure("ratelimited")]
        {
            assert!(matches!(end(after(name, response)), End::Retry { .. }), "{name}");
        }
    }
    // An update or a text for one person can be repeated.
    for name in ["approved", "declined", "expired", "not_allowed"] {
        assert!(matches!(end(after(name, failure("internal_error"))), End::Retry { .. }), "{name}");
    }
}

#[test]
fn failure_with_another_status_is_read() {
    let result = end(after("approval_request", response(401, r#"{"ok": false, "error": "invalid_auth"}"#)));
    assert!(matches!(result, End::Undeliverable { .. }), "{result:?}");
}

#[test]
fn wait_that_slack_asks_for_is_honored_up_to_an_hour() {
    let body = r#"{"ok": false, "error": "ratelimited"}"#;
    for (header, seconds) in [
        ("30", Some(30)),
        (" 0 ", Some(0)),
        ("3601", Some(3600)),
        ("18446744073709551615", Some(3600)),
        ("-1", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 07:00:00 GMT", None),
    ] {
        for (status, body) in [(429, ""), (429, body), (200, body), (503, "")] {
            let response = Response::builder().status(status).header(RETRY_AFTER, header);
            let result = end(after("approved", response.body(Bytes::from(body)).unwrap()));
            let End::Retry { after, .. } = result else { panic!("{result:?}") };
            assert_eq!(after, seconds.map(Duration::from_secs), "{header} {status}");
        }
    }
}

/// The threads of the calls that follow failures with these codes, and the end.
fn retold(name: &str, codes: &[&str]) -> (Vec<Value>, End) {
    let mut post = post(&notice(name));
    call(post.next(None));
    let mut threads = Vec::new();
    for code in codes {
        match post.next(Some(Ok(failure(code)))) {
            Step::Call(request) => {
                let (method, arguments) = shown(&request);
                assert_eq!(method, "chat.postMessage");
                threads.push(arguments["thread_ts"].clone());
            }
            Step::End(end) => return (threads, end),
        }
    }
    (threads, end(post.next(Some(Ok(response(200, r#"{"ok": true}"#))))))
}

#[test]
fn outcome_whose_thread_is_gone_is_posted_without_it() {
    let codes = [
        "thread_not_found",
        "message_not_found",
        "cannot_reply_to_message",
        "restricted_action_non_threadable_channel",
    ];
    for code in codes {
        assert_eq!(retold("outcome: detached", &[code]), (vec![Value::Null], End::Posted), "{code}");
        let (threads, end) = retold("outcome: detached", &[code, code]);
        assert_eq!(threads, [Value::Null]);
        assert!(matches!(end, End::Undeliverable { .. }), "{end:?}");
    }
}

#[test]
fn decision_whose_message_cannot_be_changed_is_told_in_a_new_one() {
    let thread = json!("1795330800.000100");
    for name in ["approved", "declined"] {
        assert_eq!(retold(name, &["message_not_found"]), (vec![Value::Null], End::Posted));
        for code in ["cant_update_message", "edit_window_closed", "block_mismatch"] {
            assert_eq!(retold(name, &[code]), (vec![thread.clone()], End::Posted));
            assert_eq!(
                retold(name, &[code, "thread_not_found"]),
                (vec![thread.clone(), Value::Null], End::Posted)
            );
        }
    }
}

#[test]
fn person_who_left_is_not_told() {
    for code in ["user_not_in_channel", "user_not_found"] {
        for name in ["not_allowed", "expired"] {
            let dropped = End::Dropped("the person is no longer in the conversation");
            assert_eq!(retold(name, &[code]), (vec![], dropped), "{code}");
        }
    }
}
