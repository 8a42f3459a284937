//! Access tokens, group messages, callback routes and faults, as an app sees them.

use std::time::Duration;

use local_chat::dingtalk::{
    APP_KEY, APP_SECRET, Author, CALLBACK_ROUTE, CARD_PERMISSION, CONVERSATION, CallbackRoute, Conversation,
    DingTalk, MESSAGE_PERMISSION, ROBOT_CODE,
};
use local_chat::{Ending, Fault};
use serde_json::{Value, json};

use crate::app::{
    CARDS, CREATE, DELIVER, JSON, MESSAGES, REGISTER, TOKEN, call, call_with, card, done, http, lines,
    message, token,
};

#[tokio::test]
async fn token_is_the_same_while_it_is_valid() {
    let dingtalk = DingTalk::start().await.unwrap();
    let (first, second) = (token(&dingtalk).await, token(&dingtalk).await);
    assert_eq!(first["accessToken"], second["accessToken"]);
    let rest = second["expireIn"].as_u64().unwrap();
    assert!((7000..=7200).contains(&rest), "{rest}");
}

#[tokio::test]
async fn wrong_secret_gets_no_token() {
    let dingtalk = DingTalk::start().await.unwrap();
    for body in [
        json!({ "appKey": APP_KEY, "appSecret": "another" }),
        json!({ "appKey": "another", "appSecret": APP_SECRET }),
        json!({ "appKey": APP_KEY }),
    ] {
        let response = call_with(&dingtalk, "", TOKEN, &body).await.unwrap();
        assert_eq!(response.error(), (400, "invalidClientIdOrSecret".to_owned()));
    }
}

#[tokio::test]
async fn expired_token_is_refused_and_another_one_issued() {
    let dingtalk = DingTalk::start().await.unwrap();
    dingtalk.workspace().token_lifetime = Duration::ZERO;
    let first = token(&dingtalk).await["accessToken"].as_str().unwrap().to_owned();

    let response = call_with(&dingtalk, &first, MESSAGES, &message("x")).await.unwrap();

    assert_eq!(response.error(), (400, "InvalidAuthentication".to_owned()));
    assert_ne!(token(&dingtalk).await["accessToken"], json!(first));
    assert_eq!(dingtalk.conversation(CONVERSATION), "");
}

#[tokio::test]
async fn call_without_a_token_of_the_app_is_refused() {
    let dingtalk = DingTalk::start().await.unwrap();
    for (token, code) in [("", "AuthenticationFailed.MissingParameter"), ("x", "InvalidAuthentication")] {
        for name in [MESSAGES, CREATE, DELIVER, CARDS, REGISTER] {
            let response = call_with(&dingtalk, token, name, &json!({})).await.unwrap();
            assert_eq!(response.error(), (400, code.to_owned()), "{name}");
        }
    }
}

#[tokio::test]
async fn call_without_the_permission_is_refused() {
    let dingtalk = DingTalk::start().await.unwrap();
    dingtalk.workspace().app.permissions.clear();
    for (name, permission) in [
        (MESSAGES, MESSAGE_PERMISSION),
        (CREATE, CARD_PERMISSION),
        (DELIVER, CARD_PERMISSION),
        (CARDS, CARD_PERMISSION),
        (REGISTER, CARD_PERMISSION),
    ] {
        let response = call(&dingtalk, name, &json!({})).await.unwrap();
        let code = "Forbidden.AccessDenied.AccessTokenPermissionDenied".to_owned();
        assert_eq!(response.error(), (403, code), "{name}");
        assert_eq!(response.json()["accessdenieddetail"], json!({ "requiredScopes": [permission] }));
    }
}

#[tokio::test]
async fn error_has_a_code_a_message_and_a_request_id() {
    let dingtalk = DingTalk::start().await.unwrap();
    let body = call_with(&dingtalk, "x", MESSAGES, &message("x")).await.unwrap().json();
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "message", "requestid"]);
    let id = body["requestid"].as_str().unwrap();
    let lengths: Vec<_> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
}

#[tokio::test]
async fn text_is_shown_as_it_is_and_markdown_without_markup() {
    let dingtalk = DingTalk::start().await.unwrap();
    let mut markdown = message("");
    markdown["msgKey"] = json!("sampleMarkdown");
    markdown["msgParam"] =
        json!(json!({ "title": "Detached", "text": "### Detached\n\n**sg-old** 移除" }).to_string());

    let response = done(&dingtalk, MESSAGES, &message("**queued**")).await;
    done(&dingtalk, MESSAGES, &markdown).await;

    assert!(response["processQueryKey"].is_string(), "{response}");
    assert_eq!(lines(&dingtalk), ["privatelink: **queued**", "privatelink: Detached", "sg-old 移除"]);
}

#[tokio::test]
async fn longest_message_has_15_000_bytes() {
    let dingtalk = DingTalk::start().await.unwrap();
    let of_length = |length: usize| message(&"x".repeat(length - r#"{"content":""}"#.len()));
    done(&dingtalk, MESSAGES, &of_length(15_000)).await;
    let response = call(&dingtalk, MESSAGES, &of_length(15_001)).await.unwrap();
    assert_eq!(response.error(), (400, "invalidParameter.msgParam.tooLong".to_owned()));
}

#[tokio::test]
async fn refused_message_changes_nothing() {
    let dingtalk = DingTalk::start().await.unwrap();
    {
        let mut workspace = dingtalk.workspace();
        let mut without = Conversation::new("without", []);
        without.has_robot = false;
        let mut single = Conversation::new("single", []);
        single.is_single = true;
        workspace.conversations.insert("cidwithout==".to_owned(), without);
        workspace.conversations.insert("cidsingle==".to_owned(), single);
    }
    for (member, value, code) in [
        ("robotCode", json!(null), "MissingrobotCode"),
        ("robotCode", json!("dinganother"), "invalidParameter.robotCode.auth"),
        ("openConversationId", json!(null), "MissingopenConversationId"),
        ("openConversationId", json!("cidmissing=="), "invalid.openConversationId"),
        ("openConversationId", json!("cidsingle=="), "invalid.openConversationId"),
        ("openConversationId", json!("cidwithout=="), "invalidParameter.robotCode.notExsit"),
        ("msgKey", json!(null), "MissingmsgKey"),
        ("msgKey", json!("sampleVideo"), "invalidParameter.msgKey.invalid"),
        ("msgKey", json!("sampleMarkdown"), "miss.param.markdownTotitle"),
        ("msgParam", json!(null), "MissingmsgParam"),
        ("msgParam", json!({ "content": "x" }), "MissingmsgParam"),
        ("msgParam", json!("x"), "invalidParameter.msgParam.invalid"),
        ("msgParam", json!(r#"{"content":""}"#), "invalidParameter.msgParam.invalid"),
    ] {
        let mut body = message("x");
        body[member] = value;
        let response = call(&dingtalk, MESSAGES, &body).await.unwrap();
        assert_eq!(response.error(), (400, code.to_owned()), "{body}");
        assert_eq!(dingtalk.journal().last().unwrap().ending, Ending::Refused(code.to_owned()));
    }
    let workspace = dingtalk.workspace();
    assert!(workspace.conversations.values().all(|conversation| conversation.messages.is_empty()));
}

#[tokio::test]
async fn path_verb_and_body_are_checked() {
    let dingtalk = DingTalk::start().await.unwrap();
    let url = |name: &str| format!("{}/v1.0/{name}", dingtalk.url());
    for (verb, name) in [("POST", "robot/oToMessages/batchSend"), ("PUT", MESSAGES), ("POST", CARDS)] {
        let response = http(verb, &url(name), &[JSON], "{}").await.unwrap();
        assert_eq!(response.error(), (404, "InvalidAction.NotFound".to_owned()), "{name}");
    }
    let response = http("POST", &url(TOKEN), &[], "{}").await.unwrap();
    assert_eq!(response.error(), (400, "simulator.contentType".to_owned()));
    let response = http("POST", &url(TOKEN), &[JSON], "[]").await.unwrap();
    assert_eq!(response.error(), (400, "simulator.body".to_owned()));
}

#[tokio::test]
async fn registered_route_is_changed_only_by_force() {
    let dingtalk = DingTalk::start().await.unwrap();
    let mut body = json!({ "callbackRouteKey": CALLBACK_ROUTE, "callbackUrl": "http://127.0.0.1:1/", "apiSecret": "new" });
    let response = call(&dingtalk, REGISTER, &body).await.unwrap();
    assert_eq!(response.error(), (500, "param.callbackRouteKeyExist".to_owned()));

    body["forceUpdate"] = json!(true);
    let response = done(&dingtalk, REGISTER, &body).await;

    let result = json!({ "callbackUrl": "http://127.0.0.1:1/", "apiSecret": "new" });
    assert_eq!(response, json!({ "success": true, "result": result }));
    let route =
        CallbackRoute { url: Some("http://127.0.0.1:1/".to_owned()), api_secret: Some("new".to_owned()) };
    assert_eq!(dingtalk.workspace().callback_routes[CALLBACK_ROUTE], route);
    for (member, code) in
        [("callbackRouteKey", "param.callbackRouteKeyEmpty"), ("callbackUrl", "param.callbackUrlEmpty")]
    {
        let mut body = body.clone();
        body[member] = json!("");
        let response = call(&dingtalk, REGISTER, &body).await.unwrap();
        assert_eq!(response.error(), (400, code.to_owned()));
    }
}

#[tokio::test]
async fn journal_has_no_secret() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, MESSAGES, &message("x")).await;
    let body =
        json!({ "callbackRouteKey": "new", "callbackUrl": "http://127.0.0.1:1/", "apiSecret": "secret" });
    done(&dingtalk, REGISTER, &body).await;

    let journal = dingtalk.journal();
    let methods: Vec<_> = journal.iter().map(|entry| entry.method.as_str()).collect();
    assert_eq!(methods, [TOKEN, MESSAGES, TOKEN, REGISTER]);
    assert_eq!(journal[0].body, json!({ "appKey": APP_KEY }));
    assert_eq!(journal[1].body, message("x"));
    assert_eq!(journal[3].body["apiSecret"], Value::Null);
    assert!(journal.iter().all(|entry| entry.ending == Ending::Done));
}

#[tokio::test]
async fn planned_error_has_its_status_and_changes_nothing() {
    let dingtalk = DingTalk::start().await.unwrap();
    for (code, status) in [
        ("invalidParameter.param.invalid", 400),
        ("Unauthorized", 401),
        ("Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", 403),
        ("system.busy", 500),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
    ] {
        dingtalk.workspace().faults.plan(MESSAGES, 1, Fault::Error(code.to_owned()));
        let response = call(&dingtalk, MESSAGES, &message("x")).await.unwrap();
        assert_eq!(response.error(), (status, code.to_owned()));
    }
    assert_eq!(dingtalk.conversation(CONVERSATION), "");
}

#[tokio::test]
async fn throttled_call_gets_a_page_or_a_status_without_an_error_code() {
    let dingtalk = DingTalk::start().await.unwrap();
    {
        let faults = &mut dingtalk.workspace().faults;
        faults.plan(MESSAGES, 1, Fault::Error("1111".to_owned()));
        faults.plan(MESSAGES, 1, Fault::status(200));
    }

    let response = call(&dingtalk, MESSAGES, &message("x")).await.unwrap();
    assert_eq!((response.status, &response.json()["status"]), (200, &json!(1111)));
    assert_eq!(response.json()["code"], Value::Null);
    let response = call(&dingtalk, MESSAGES, &message("x")).await.unwrap();
    assert!(response.status == 200 && response.body.starts_with("<!DOCTYPE html>"), "{response:?}");
    assert!(response.head.contains("content-type: text/html"), "{}", response.head);
    assert_eq!(dingtalk.conversation(CONVERSATION), "");
}

#[tokio::test]
async fn lost_response_leaves_the_message() {
    let dingtalk = DingTalk::start().await.unwrap();
    dingtalk.workspace().faults.plan(MESSAGES, 1, Fault::ResponseLost);

    assert!(call(&dingtalk, MESSAGES, &message("posted")).await.is_none());

    assert_eq!(lines(&dingtalk), ["privatelink: posted"]);
    assert_eq!(dingtalk.journal()[1].ending, Ending::Faulted(Fault::ResponseLost));
    let workspace = dingtalk.workspace();
    assert_eq!(workspace.conversations[CONVERSATION].messages[0].author, Author::App);
}

#[tokio::test]
async fn robot_in_two_conversations_posts_to_the_one_that_is_named() {
    let dingtalk = DingTalk::start().await.unwrap();
    let other = "cid/other+id==";
    dingtalk.workspace().conversations.insert(other.to_owned(), Conversation::new("other", []));
    let mut body = message("x");
    body["openConversationId"] = json!(other);
    done(&dingtalk, MESSAGES, &body).await;
    let mut body = card("track");
    body["openSpaceId"] = json!(format!("dtv1.card//IM_GROUP.{other}"));
    done(&dingtalk, CREATE, &body).await;

    assert_eq!(dingtalk.conversation(CONVERSATION), "");
    assert_eq!(dingtalk.workspace().conversations[other].messages.len(), 2);
    assert_eq!(dingtalk.workspace().card("track").unwrap().0, other);
    assert_eq!(body["imGroupOpenDeliverModel"]["robotCode"], ROBOT_CODE);
}
