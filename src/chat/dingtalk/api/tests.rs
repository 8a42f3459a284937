use http::Uri;
use http::header::RETRY_AFTER;
use serde_json::value::RawValue;

use super::codes::CODES;
use super::*;
use crate::chat::answer::AnswerNotice;
use crate::chat::apps::App as _;
use crate::chat::call::UnusableSecrets;
use crate::chat::content::samples;
use crate::chat::identity::{Conversation, MessageId, Platform, UserId};
use crate::chat::samples::at;
use crate::chat::texts::Language;

const NOW: u64 = 1_795_330_800;
const SECRET: &str = "the-app-secret";

fn parse(text: &str) -> Result<Apps<App>, UnusableSecrets> {
    Apps::parse(&RawValue::from_string(text.to_owned()).unwrap())
}

fn app() -> Value {
    json!({ "app_key": "dingkey", "app_secret": SECRET, "robot_code": "dingrobot", "card_template_id": "c1.schema" })
}

fn apps() -> Apps<App> {
    parse(&json!({ "apps": { "dingCORP": app(), "ding2": app() } }).to_string()).unwrap()
}

fn dingtalk() -> BaseUrl {
    let authority = http::uri::Authority::from_static("api.dingtalk.com");
    BaseUrl { scheme: http::uri::Scheme::HTTPS, authority }
}

/// A sample of the notices, in a conversation of `DingTalk`.
fn notice(name: &str) -> Notice {
    let place = Conversation::parse("dingtalk:dingCORP/cidA+b/c==").unwrap();
    if name == "answer" {
        return Notice::Answer(AnswerNotice {
            conversation: place,
            message: None,
            person: UserId::parse("u1").unwrap(),
            language: Language::En,
            request_id: None,
            text: "Line <1>\n*Line* 2".to_owned(),
        });
    }
    let mut notice = samples::notices(Language::En).into_iter().find(|(known, _)| *known == name).unwrap().1;
    let request = match &mut notice {
        Notice::ApprovalRequest { request, .. }
        | Notice::PreviewExpired { request }
        | Notice::Preview { request, .. }
        | Notice::Outcome { request, .. } => request,
        Notice::Click(click) => {
            click.conversation = place.clone();
            click.message = MessageId::parse("named-by-the-click");
            match &mut click.result {
                ClickResult::Approved(request)
                | ClickResult::Declined(request)
                | ClickResult::Expired(request) => request,
                ClickResult::NotAllowed(_) => return notice,
            }
        }
        Notice::Answer(_) => unreachable!(),
    };
    request.conversation = place;
    request.id = RequestId::parse("dingtalk-0123456789abcdef01234567").unwrap();
    notice
}

/// A post and the access tokens of the process.
struct Posting {
    post: Post,
    access: AccessTokens,
}

impl Posting {
    /// Without an access token.
    fn cold(name: &str) -> Self {
        let post = Post::new(&notice(name), &dingtalk(), Some(&apps())).unwrap();
        Self { post, access: AccessTokens::default() }
    }

    /// With a cached access token.
    fn warm(name: &str) -> Self {
        let mut posting = Self::cold(name);
        let (tenant, value) =
            (notice(name).conversation().tenant.clone(), HeaderValue::from_static("token-1"));
        posting.access.put(tenant, "dingkey".to_owned(), value, Duration::from_hours(2), at(NOW));
        posting
    }

    fn next(&mut self, last: Option<Response<Bytes>>) -> Step {
        self.post.next(last.map(Ok), &mut self.access, at(NOW))
    }

    fn call(&mut self, last: Option<Response<Bytes>>) -> Request<Bytes> {
        match self.next(last) {
            Step::Call(request) => *request,
            Step::End(end) => panic!("{end:?}"),
        }
    }

    fn end(&mut self, last: Response<Bytes>) -> End {
        match self.next(Some(last)) {
            Step::End(end) => end,
            Step::Call(request) => panic!("{request:?}"),
        }
    }
}

fn response(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
}

fn failure(status: u16, code: &str) -> Response<Bytes> {
    response(status, &json!({ "code": code, "message": "…", "requestid": "1" }).to_string())
}

fn issued(token: &str) -> Response<Bytes> {
    response(200, &json!({ "accessToken": token, "expireIn": 7200 }).to_string())
}

fn delivered(success: bool, why: &str) -> Response<Bytes> {
    let delivery = json!({ "spaceType": "IM_GROUP", "spaceId": "cid", "success": success, "errorMsg": why });
    response(
        200,
        &json!({ "success": true, "result": { "outTrackId": "d", "deliverResults": [delivery] } })
            .to_string(),
    )
}

fn body(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

/// The method and path of a call, and its access token.
fn shown(request: &Request<Bytes>) -> (String, Option<&str>) {
    let token = request.headers().get(ACCESS_TOKEN).map(|value| value.to_str().unwrap());
    (format!("{} {}", request.method(), request.uri().path()), token)
}

const TOKEN_CALL: &str = "POST /v1.0/oauth2/accessToken";
const CREATE: &str = "POST /v1.0/card/instances/createAndDeliver";
const DELIVER: &str = "POST /v1.0/card/instances/deliver";
const UPDATE: &str = "PUT /v1.0/card/instances";
const SEND: &str = "POST /v1.0/robot/groupMessages/send";

/// What follows the first call of a notice after this response.
fn after(name: &str, last: Response<Bytes>) -> End {
    let mut posting = Posting::warm(name);
    posting.call(None);
    posting.end(last)
}

#[test]
fn apps_are_one_for_each_company() {
    let with = |name: &str, value: Value| {
        let mut app = app();
        app[name] = value;
        parse(&json!({ "apps": { "ding1": app } }).to_string()).map(|_| ())
    };
    assert_eq!(with("card_callback_route_key", "other".into()), Ok(()));
    assert_eq!(with("app_secret", "s".repeat(128).into()), Ok(()));
    let why = UnusableSecrets::Platform { platform: Platform::DingTalk, rule: App::RULE };
    assert!(!why.to_string().contains(SECRET));
    let unusable = Err(why);
    for name in ["app_key", "app_secret", "robot_code", "card_template_id", "card_callback_route_key"] {
        for invalid in [
            json!(""),
            json!("a b"),
            json!("a\n"),
            json!("密钥"),
            json!("s".repeat(129)),
            json!(1),
            Value::Null,
        ] {
            assert_eq!(with(name, invalid.clone()), unusable, "{name} {invalid}");
        }
    }
    assert_eq!(with("bot_token", "x".into()), unusable);
    let app = app();
    for text in [
        "{}".to_owned(),
        "[]".to_owned(),
        json!({ "apps": {} }).to_string(),
        json!({ "apps": [app] }).to_string(),
        json!({ "apps": { "ding 1": app } }).to_string(),
        json!({ "apps": { "ding1": ["k", "s", "r", "c"] } }).to_string(),
        json!({ "apps": { "ding1": app }, "app": {} }).to_string(),
        format!(r#"{{"apps": {{"ding1": {app}, "ding1": {app}}}}}"#),
        json!({ "apps": { "ding1": app } })
            .to_string()
            .replace("{\"app_key\"", "{\"app_key\":\"a\",\"app_key\""),
    ] {
        assert_eq!(parse(&text).map(|_| ()), unusable, "{text}");
    }
}

#[test]
fn secret_and_token_are_in_no_debug_output() {
    let mut posting = Posting::warm("approval_request");
    let request = posting.call(None);
    assert_eq!(shown(&request).1, Some("token-1"));
    let shown = format!("{:?} {:?} {:?} {request:?}", apps(), posting.post, posting.access);
    assert!(!shown.contains(SECRET) && !shown.contains("token-1"), "{shown}");
    let mut posting = Posting::cold("answer");
    posting.call(None);
    let request = posting.call(Some(issued("token-2")));
    let shown = format!("{:?} {:?} {request:?}", posting.post, posting.access);
    assert!(!shown.contains(SECRET) && !shown.contains("token-2"), "{shown}");
}

#[test]
fn company_without_an_app_is_undeliverable() {
    let other = parse(&json!({ "apps": { "ding2": app() } }).to_string()).unwrap();
    for apps in [None, Some(&other)] {
        let end = Post::new(&notice("answer"), &dingtalk(), apps).map(|_| ()).unwrap_err();
        let why =
            "the secret in CHAT_TOKEN_SECRET_ARN has no DingTalk app for the organization dingCORP: add it";
        assert_eq!(end, End::Undeliverable { why: why.to_owned() });
    }
}

#[test]
fn access_token_is_requested_once_and_then_cached() {
    let mut posting = Posting::cold("answer");
    let request = posting.call(None);
    assert_eq!(shown(&request), (TOKEN_CALL.to_owned(), None));
    assert_eq!(request.uri(), &Uri::from_static("https://api.dingtalk.com/v1.0/oauth2/accessToken"));
    assert_eq!(body(&request), json!({ "appKey": "dingkey", "appSecret": SECRET }));
    let request = posting.call(Some(issued("token-2")));
    assert_eq!(shown(&request), (SEND.to_owned(), Some("token-2")));
    assert_eq!(posting.end(response(200, r#"{"processQueryKey": "k"}"#)), End::Posted);
    let tenant = notice("answer").conversation().tenant.clone();
    assert_eq!(posting.access.get(&tenant, "dingkey", at(NOW)), Some(HeaderValue::from_static("token-2")));
    assert_eq!(shown(&Posting::warm("answer").call(None)), (SEND.to_owned(), Some("token-1")));
}

#[test]
fn token_with_a_short_lifetime_is_used_for_this_notice() {
    let mut posting = Posting::cold("answer");
    posting.call(None);
    let request = posting.call(Some(response(200, r#"{"accessToken": "token-2", "expireIn": 1}"#)));
    assert_eq!(shown(&request), (SEND.to_owned(), Some("token-2")));
}

#[test]
fn response_without_a_token_is_retried() {
    for (status, text) in [
        (200, "{}"),
        (200, r#"{"accessToken": "", "expireIn": 7200}"#),
        (200, r#"{"accessToken": "a\nb", "expireIn": 7200}"#),
        (200, r#"{"accessToken": "a"}"#),
        (200, "[]"),
        (500, r#"{"accessToken": "a", "expireIn": 7200}"#),
    ] {
        let mut posting = Posting::cold("answer");
        posting.call(None);
        let end = posting.end(response(status, text));
        assert!(matches!(end, End::Retry { after: None, .. }), "{text}: {end:?}");
    }
    let mut posting = Posting::cold("answer");
    posting.call(None);
    let End::Undeliverable { why } = posting.end(failure(400, "invalidClientIdOrSecret")) else { panic!() };
    assert!(why.starts_with("the call for an access token failed with invalidClientIdOrSecret: "), "{why}");
    assert!(why.contains("CHAT_TOKEN_SECRET_ARN"), "{why}");
}

#[test]
fn refused_token_is_forgotten_and_the_call_repeated_once() {
    for name in ["approval_request", "approved", "answer"] {
        let mut posting = Posting::warm(name);
        let first = posting.call(None);
        let refused = || failure(400, "InvalidAuthentication");
        assert_eq!(shown(&posting.call(Some(refused()))), (TOKEN_CALL.to_owned(), None), "{name}");
        let tenant = notice(name).conversation().tenant.clone();
        assert_eq!(posting.access.get(&tenant, "dingkey", at(NOW)), None, "{name}");
        let again = posting.call(Some(issued("token-2")));
        assert_eq!(shown(&again), (shown(&first).0, Some("token-2")), "{name}");
        assert_eq!(body(&again), body(&first), "{name}");
        let End::Undeliverable { why } = posting.end(refused()) else { panic!("{name}") };
        assert!(why.contains("InvalidAuthentication") && why.contains("CHAT_TOKEN_SECRET_ARN"), "{why}");
        assert_eq!(posting.access.get(&tenant, "dingkey", at(NOW)), None, "{name}");
    }
}

#[test]
fn approval_request_is_a_card_with_the_name_of_its_request() {
    let request = Posting::warm("approval_request").call(None);
    assert_eq!(shown(&request).0, CREATE);
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
    let content = Content::of(&notice("approval_request"));
    let shown = "Approval needed: detach a security group (sg-old, ep-a_b, eu-west-1)";
    let expected = json!({
        "cardTemplateId": "c1.schema",
        "outTrackId": "dingtalk-0123456789abcdef01234567",
        "callbackType": "HTTP",
        "callbackRouteKey": "privatelink-detach",
        "cardData": { "cardParamMap": message::card(&content, Status::Open) },
        "openSpaceId": "dtv1.card//IM_GROUP.cidA+b/c==",
        "imGroupOpenSpaceModel": {
            "supportForward": false,
            "lastMessageI18n": { "ZH_CN": shown, "EN_US": shown },
            "notification": { "alertContent": shown, "notificationOff": false },
        },
        "imGroupOpenDeliverModel": { "robotCode": "dingrobot" },
        "userIdType": 1,
    });
    assert_eq!(body(&request), expected);
}

#[test]
fn decision_changes_the_card_that_the_signed_request_names() {
    for (name, status) in [("approved", Status::Approved), ("declined", Status::Declined)] {
        let request = Posting::warm(name).call(None);
        assert_eq!(shown(&request).0, UPDATE);
        let content = Content::of(&notice(name));
        let expected = json!({
            "outTrackId": "dingtalk-0123456789abcdef01234567",
            "cardData": { "cardParamMap": message::card(&content, status) },
            "cardUpdateOptions": { "updateCardDataByKey": true, "updatePrivateDataByKey": true },
            "userIdType": 1,
        });
        assert_eq!(body(&request), expected, "{name}");
    }
}

#[test]
fn everything_else_is_a_message_to_the_group() {
    for name in ["preview_expired", "preview: refused", "outcome: detached"] {
        let request = Posting::warm(name).call(None);
        assert_eq!(shown(&request).0, SEND);
        let expected = json!({
            "robotCode": "dingrobot",
            "openConversationId": "cidA+b/c==",
            "msgKey": "sampleMarkdown",
            "msgParam": message::markdown(&Content::of(&notice(name))),
        });
        assert_eq!(body(&request), expected, "{name}");
    }
    let answer = body(&Posting::warm("answer").call(None));
    assert_eq!(answer["msgKey"], "sampleText");
    assert_eq!(answer["msgParam"], json!({ "content": "Line <1>\n*Line* 2" }).to_string());
}

#[test]
fn what_one_person_read_in_the_response_is_not_told_to_the_group() {
    for name in ["expired", "not_allowed"] {
        let end = Post::new(&notice(name), &dingtalk(), Some(&apps())).map(|_| ()).unwrap_err();
        assert_eq!(end, End::Dropped("the response to the click already informed the person"), "{name}");
    }
}

#[test]
fn accepted_call_is_posted() {
    assert_eq!(after("approval_request", delivered(true, "")), End::Posted);
    assert_eq!(after("approved", response(200, r#"{"success": true, "result": true}"#)), End::Posted);
    assert_eq!(after("answer", response(200, r#"{"processQueryKey": "k"}"#)), End::Posted);
}

#[test]
fn response_that_does_not_say_that_the_call_was_accepted_is_not_a_success() {
    for body in ["{}", r#"{"message": "hello"}"#, r#"{"errcode": 88, "errmsg": "no"}"#, r#"{"result": null}"#]
    {
        for name in ["approval_request", "approved"] {
            let end = after(name, response(200, body));
            assert!(matches!(end, End::Retry { .. }), "{name} {body}: {end:?}");
        }
        let end = after("answer", response(200, body));
        assert!(matches!(end, End::Lost { .. }), "{body}: {end:?}");
    }
}

#[test]
fn card_that_was_created_but_not_delivered_is_not_posted() {
    let retry = after("approval_request", delivered(false, "SYSTEM_ERROR"));
    let why = "createAndDeliver failed with SYSTEM_ERROR".to_owned();
    assert_eq!(retry, End::Retry { why, after: None });
    for (code, advice) in
        [("chatbotNotFound", "chatbotNotFound"), ("群不存在", "unreadable code"), ("", "unreadable code")]
    {
        let End::Undeliverable { why } = after("approval_request", delivered(false, code)) else {
            panic!("{code}")
        };
        assert!(why.contains(advice) && why.contains("add the robot to the group"), "{why}");
    }
    let refused = response(200, r#"{"success": false}"#);
    assert!(matches!(after("approval_request", refused), End::Undeliverable { .. }));
}

#[test]
fn card_of_an_earlier_attempt_is_delivered() {
    let mut posting = Posting::warm("approval_request");
    posting.call(None);
    let request = posting.call(Some(failure(400, "param.cardAlreadyExist")));
    assert_eq!(shown(&request), (DELIVER.to_owned(), Some("token-1")));
    let expected = json!({
        "outTrackId": "dingtalk-0123456789abcdef01234567",
        "openSpaceId": "dtv1.card//IM_GROUP.cidA+b/c==",
        "imGroupOpenDeliverModel": { "robotCode": "dingrobot" },
        "userIdType": 1,
    });
    assert_eq!(body(&request), expected);
    let results =
        |success| response(200, &json!({ "success": true, "result": [{ "success": success }] }).to_string());
    assert!(matches!(posting.end(results(false)), End::Undeliverable { .. }));
    assert_eq!(posting.end(results(true)), End::Posted);
    assert!(matches!(posting.end(failure(400, "param.cardAlreadyExist")), End::Undeliverable { .. }));
}

#[test]
fn decision_on_a_card_that_cannot_be_changed_is_told_in_a_message() {
    let not_changed = || response(200, r#"{"success": true, "result": false}"#);
    for name in ["approved", "declined"] {
        for refusal in [
            failure(400, "param.cardNotExist"),
            failure(400, "param.contentUnsafe"),
            failure(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied"),
            failure(400, "of.next.year"),
            not_changed(),
        ] {
            let mut posting = Posting::warm(name);
            posting.call(None);
            let request = posting.call(Some(refusal));
            assert_eq!(shown(&request).0, SEND);
            assert_eq!(body(&request)["msgParam"], message::markdown(&Content::of(&notice(name))));
            assert_eq!(posting.end(response(200, r#"{"processQueryKey": "k"}"#)), End::Posted);
        }
        // A message fails for the same reason.
        let address = failure(403, "Forbidden.AccessDenied.IpNotInWhiteList");
        assert!(matches!(after(name, address), End::Undeliverable { .. }));
        for transient in [failure(403, "Forbidden.AccessDenied.QpsLimitForApi"), failure(500, "system.busy")]
        {
            assert!(matches!(after(name, transient), End::Retry { .. }));
        }
    }
}

/// For each code that does not lead to another call.
#[test]
fn every_code_has_one_meaning() {
    for (index, (code, meaning)) in CODES.iter().enumerate() {
        assert!(CODES[..index].iter().all(|(other, _)| other != code), "{code}");
        assert_eq!(codes::shown(code), *code);
        if *meaning == Meaning::AccessToken {
            continue;
        }
        let why = format!("groupMessages/send failed with {code}");
        let expected = match meaning {
            Meaning::Transient => End::Retry { why, after: None },
            Meaning::Uncertain => End::Lost { why, after: None },
            _ => End::Undeliverable { why: format!("{why}: {}", meaning.advice()) },
        };
        assert_eq!(after("outcome: detached", failure(400, code)), expected);
    }
}

#[test]
fn operator_reads_what_to_change() {
    for (code, advice) in [
        ("Forbidden.AccessDenied.AccessTokenPermissionDenied", "Card.Instance.Write"),
        ("Forbidden.AccessDenied.IpNotInWhiteList", "address"),
        ("invalidParameter.robotCode.notExsit", "robot_code"),
        ("group.disbanded", "another group"),
        ("param.templateUnpublished", "card_template_id"),
        ("param.contentUnsafe", "administrator"),
        ("param.invalid", "issue tracker"),
        ("never.seen.before", "issue tracker"),
    ] {
        match after("approval_request", failure(400, code)) {
            End::Undeliverable { why } => assert!(why.contains(code) && why.contains(advice), "{why}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn text_that_is_no_code_is_not_repeated() {
    for code in ["", "<!channel>", "two words", "错误", &"a".repeat(101)] {
        let End::Undeliverable { why } = after("answer", failure(400, code)) else { panic!() };
        assert!(why.starts_with("groupMessages/send failed with an unreadable code: "), "{why}");
    }
    let number = after("answer", response(400, r#"{"code": 40078}"#));
    assert!(matches!(number, End::Undeliverable { why } if why.contains("failed with 40078")));
}

#[test]
fn limit_of_calls_is_transient() {
    for code in
        ["Forbidden.AccessDenied.QpsLimitForSuitekeyAndOrgAndApi", "Forbidden.AccessDenied.QpmLimitForX"]
    {
        assert!(matches!(after("answer", failure(403, code)), End::Retry { after: None, .. }), "{code}");
    }
    for body in ["", "{}"] {
        assert!(matches!(after("answer", response(429, body)), End::Retry { .. }), "{body}");
    }
    // The network's protection refuses everything for five minutes.
    let html = Response::builder().header(CONTENT_TYPE, "text/html; charset=utf-8");
    for banned in [
        response(200, r#"{"status": 1111, "wait": 5, "punish": "deny"}"#),
        response(200, "\n<!DOCTYPE html><html></html>"),
        response(403, "<html>"),
        html.body(Bytes::from_static(b"wait")).unwrap(),
    ] {
        for mut posting in [Posting::warm("answer"), Posting::cold("answer")] {
            posting.call(None);
            let end = posting.end(banned.clone());
            assert!(matches!(end, End::Retry { after: Some(BANNED_FOR), .. }), "{end:?}");
        }
    }
}

#[test]
fn message_without_a_response_may_have_been_posted() {
    let no_response = |was_sent| NoResponse { why: "Timeout".to_owned(), was_sent };
    let result = |name: &str, was_sent| {
        let mut posting = Posting::warm(name);
        posting.call(None);
        match posting.post.next(Some(Err(no_response(was_sent))), &mut posting.access, at(NOW)) {
            Step::End(end) => end,
            Step::Call(request) => panic!("{request:?}"),
        }
    };
    let why = "groupMessages/send got no response: Timeout".to_owned();
    assert_eq!(result("answer", true), End::Lost { why: why.clone(), after: None });
    assert_eq!(result("answer", false), End::Retry { why, after: None });
    // A repeated create is the same card, and a repeated update the same text.
    for name in ["approval_request", "approved"] {
        assert!(matches!(result(name, true), End::Retry { .. }), "{name}");
    }
    // Nothing was posted if the call for the token is without a response.
    let mut cold = Posting::cold("answer");
    cold.call(None);
    let step = cold.post.next(Some(Err(no_response(true))), &mut cold.access, at(NOW));
    assert!(matches!(step, Step::End(End::Retry { .. })), "{step:?}");
}

#[test]
fn unreadable_response_is_lost_only_if_the_server_may_have_carried_out_the_call() {
    for (status, text) in
        [(500, ""), (502, "<html>"), (503, "{}"), (200, "[]"), (200, "ok"), (500, r#"{"code": "x.y"}"#)]
    {
        let end = after("answer", response(status, text));
        assert!(matches!(end, End::Lost { .. }), "{status} {text}: {end:?}");
        let end = after("approval_request", response(status, text));
        assert!(matches!(end, End::Retry { .. }), "{status} {text}: {end:?}");
    }
    for (status, text) in [(302, ""), (403, "forbidden"), (400, "{}")] {
        let end = after("answer", response(status, text));
        assert!(matches!(end, End::Retry { after: None, .. }), "{status} {text}: {end:?}");
    }
}

#[test]
fn wait_that_a_response_asks_for_is_honored_up_to_an_hour() {
    for (header, seconds) in [("30", Some(30)), ("3601", Some(3600)), ("soon", None)] {
        for (status, body) in [(429, ""), (403, "x"), (500, r#"{"code": "system.busy"}"#)] {
            let response = Response::builder().status(status).header(RETRY_AFTER, header);
            let end = after("approved", response.body(Bytes::from(body)).unwrap());
            let End::Retry { after, .. } = end else { panic!("{end:?}") };
            assert_eq!(after, seconds.map(Duration::from_secs), "{header} {status}");
        }
    }
}
