//! The API: tokens, new messages, replies, changes of cards, errors and faults.

use std::time::Duration;

use local_chat::feishu::{
    APP_ID, APP_SECRET, APPROVER, Author, CHAT, Chat, Content, REQUESTER, RateLimit, TENANT,
};
use local_chat::{Ending, Fault, Feishu};
use serde_json::{Value, json};

use crate::app::{
    CREATE, JSON, api, approval, call, call_with, card, http, interactive, lines, patch, post, reply, text,
    token,
};

const INVALID_TOKEN: u64 = 99_991_663;

#[tokio::test]
async fn message_and_replies_are_shown_in_their_threads() {
    let feishu = Feishu::start().await.unwrap();
    let request = feishu.command("detach sg-old", REQUESTER, CHAT).unwrap();
    let id = feishu.workspace().chats[CHAT].messages[0].id.clone();
    assert_eq!(request.conversation, CHAT);

    let (_, asked) = reply(&feishu, &id, &interactive(&approval())).await;
    let asked = asked["message_id"].as_str().unwrap();
    post(&feishu, &text("elsewhere")).await;
    let mut outcome = text("Detached");
    outcome["reply_in_thread"] = json!(true);
    let (_, first) = reply(&feishu, asked, &outcome).await;
    let (_, second) = reply(&feishu, first["message_id"].as_str().unwrap(), &text("Again")).await;

    assert_eq!(first["thread_id"], second["thread_id"]);
    assert_eq!((&first["root_id"], &second["root_id"]), (&json!(asked), &json!(asked)));
    assert_eq!(
        lines(&feishu),
        [
            format!("{REQUESTER}: @privatelink detach sg-old").as_str(),
            "privatelink: > @privatelink detach sg-old",
            "Detach sg-old?",
            "@ou_1 asks & waits",
            "[Approve detach] [Decline]",
            "    privatelink: Detached",
            "    privatelink: Again",
            "privatelink: elsewhere",
        ]
    );
}

#[tokio::test]
async fn response_describes_the_message() {
    let feishu = Feishu::start().await.unwrap();
    let (code, mut data) = api(&feishu, "POST", CREATE, &text("x")).await;
    let id = data["message_id"].take();
    let time = data["create_time"].take();

    assert_eq!(code, 0);
    assert!(id.as_str().unwrap().starts_with("om_") && id.as_str().unwrap().len() == 35, "{id}");
    assert_eq!(time, data["update_time"].take());
    let expected = json!({ "message_id": null, "create_time": null, "update_time": null, "msg_type": "text",
        "deleted": false, "updated": false, "chat_id": CHAT, "body": { "content": "{\"text\":\"x\"}" },
        "sender": { "id": APP_ID, "id_type": "app_id", "sender_type": "app", "tenant_key": TENANT } });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn changed_card_has_no_old_buttons() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;

    assert_eq!(patch(&feishu, &id, &card("Approved")).await, 0);

    assert_eq!(lines(&feishu), ["privatelink (edited): Approved"]);
    assert!(feishu.click_newest(CHAT, "approve", APPROVER).is_err());
}

#[tokio::test]
async fn card_of_more_than_two_weeks_cannot_be_changed() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let age = |days: u64| {
        let mut workspace = feishu.workspace();
        let message = workspace.chats.get_mut(CHAT).unwrap().message_mut(&id).unwrap();
        message.at -= Duration::from_hours(days * 24);
    };
    age(13);
    assert_eq!(patch(&feishu, &id, &card("Approved")).await, 0);
    age(2);
    assert_eq!(patch(&feishu, &id, &card("Again")).await, 230_031);
}

#[tokio::test]
async fn wrong_credentials_and_tokens_are_refused() {
    let feishu = Feishu::start().await.unwrap();
    let issued = token(&feishu, APP_ID, APP_SECRET).await;
    assert_eq!((&issued["code"], &issued["expire"]), (&json!(0), &json!(7200)));
    assert_eq!(token(&feishu, "cli_0000000000000000", APP_SECRET).await["code"], 10_003);
    assert_eq!(token(&feishu, APP_ID, "wrong").await, json!({ "code": 10_014, "msg": "app secret invalid" }));

    let issued = issued["tenant_access_token"].as_str().unwrap();
    let code = async |line: &str| {
        let lines = if line.is_empty() { vec![] } else { vec![line] };
        call_with(&feishu, "POST", CREATE, &lines, &text("x")).await.unwrap().json()["code"].as_u64().unwrap()
    };
    let valid = format!("authorization: Bearer {issued}");
    assert_eq!(code("").await, 99_991_661);
    assert_eq!(code("authorization: Bearer t-other").await, INVALID_TOKEN);
    assert_eq!(code(&valid).await, 0);
    feishu.workspace().expire_tokens();
    assert_eq!(code(&valid).await, INVALID_TOKEN);
    assert!(!format!("{:?}", feishu.journal()).contains(APP_SECRET));
}

#[tokio::test]
async fn token_ends_after_its_lifetime() {
    let feishu = Feishu::start().await.unwrap();
    feishu.workspace().token_lifetime = Duration::ZERO;
    let response = call(&feishu, "POST", CREATE, &text("x")).await.unwrap();
    assert_eq!((response.status, response.json()["code"].as_u64()), (400, Some(INVALID_TOKEN)));
}

#[tokio::test]
async fn same_uuid_is_the_same_message() {
    let feishu = Feishu::start().await.unwrap();
    let with = |body: Value, uuid: &str| {
        let mut body = body;
        body["uuid"] = json!(uuid);
        body
    };
    let first = post(&feishu, &with(text("once"), "u1")).await;
    assert_eq!(post(&feishu, &with(text("once"), "u1")).await, first);
    assert_ne!(post(&feishu, &with(text("other"), "u2")).await, first);
    // A reply is another target.
    let (_, reply_one) = reply(&feishu, &first, &with(text("reply"), "u1")).await;
    let (_, reply_two) = reply(&feishu, &first, &with(text("reply"), "u1")).await;
    assert_eq!(reply_one["message_id"], reply_two["message_id"]);
    assert_eq!(lines(&feishu).len(), 4);

    let (code, _) = api(&feishu, "POST", CREATE, &with(text("x"), &"u".repeat(51))).await;
    assert_eq!(code, 99_992_402);
}

#[tokio::test]
async fn invalid_call_changes_nothing_and_names_its_code() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let text_id = post(&feishu, &text("a text")).await;
    let foreign = {
        let mut workspace = feishu.workspace();
        let mut without_app = Chat::new("without", []);
        without_app.has_app = false;
        workspace.chats.insert("oc_without".to_owned(), without_app);
        let chat = workspace.chats.get_mut(CHAT).unwrap();
        chat.has_threads = false;
        let at = chat.messages[0].at;
        chat.post(Author::User(REQUESTER.to_owned()), Content::Text("hello".to_owned()), at).id.clone()
    };
    let before = feishu.conversation(CHAT);
    let with = |name: &str, value: Value| {
        let mut body = text("x");
        body[name] = value;
        body
    };
    let large = "x".repeat(30 * 1024);

    for (body, code) in [
        (json!([]), 9499),
        (with("receive_id", json!(5)), 9499),
        (with("receive_id", Value::Null), 99_992_402),
        (with("msg_type", Value::Null), 99_992_402),
        (with("content", json!("")), 99_992_402),
        (with("receive_id", json!("oc_missing")), 230_001),
        (with("receive_id", json!("oc_without")), 230_002),
        (with("msg_type", json!("image")), 230_001),
        (with("content", json!("{")), 230_001),
        (with("content", json!("{\"text\":\"\"}")), 230_001),
        (interactive(&json!({ "elements": [] })), 230_099),
        (interactive(&card(&large)), 230_025),
        (text(&"x".repeat(150 * 1024)), 230_025),
    ] {
        assert_eq!(api(&feishu, "POST", CREATE, &body).await.0, code, "{body}");
        assert_eq!(feishu.journal().last().unwrap().ending, Ending::Refused(code.to_string()));
    }
    let no_type = "/open-apis/im/v1/messages";
    assert_eq!(api(&feishu, "POST", no_type, &text("x")).await.0, 99_992_402);
    assert_eq!(reply(&feishu, "om_missing", &text("x")).await.0, 230_001);
    assert_eq!(reply(&feishu, &id, &with("reply_in_thread", json!("true"))).await.0, 9499);
    assert_eq!(reply(&feishu, &id, &with("reply_in_thread", json!(true))).await.0, 230_071);
    assert_eq!(patch(&feishu, &text_id, &card("x")).await, 230_054);
    assert_eq!(patch(&feishu, &foreign, &card("x")).await, 230_001);
    assert_eq!(patch(&feishu, "om_missing", &card("x")).await, 230_001);
    let mut not_shared = card("x");
    not_shared["config"] = json!({});
    assert_eq!(patch(&feishu, &id, &not_shared).await, 230_099);
    assert_eq!(feishu.conversation(CHAT), before);

    feishu.workspace().chats.get_mut(CHAT).unwrap().message_mut(&id).unwrap().is_recalled = true;
    assert_eq!(reply(&feishu, &id, &text("x")).await.0, 230_011);
    assert_eq!(patch(&feishu, &id, &card("x")).await, 230_011);
}

#[tokio::test]
async fn request_that_is_no_call_is_refused() {
    let feishu = Feishu::start().await.unwrap();
    let url = format!("{}/open-apis/im/v1/chats", feishu.url());
    let response = http("POST", &url, &[JSON], "{}").await.unwrap();
    assert_eq!(response.status, 404);
    let url = format!("{}{CREATE}", feishu.url());
    let issued = token(&feishu, APP_ID, APP_SECRET).await["tenant_access_token"].clone();
    let line = format!("authorization: Bearer {}", issued.as_str().unwrap());
    let form = "content-type: application/x-www-form-urlencoded";
    let response = http("POST", &url, &[&line, form], "{}").await.unwrap();
    assert_eq!((response.status, response.json()["code"].as_u64()), (400, Some(9499)));
}

#[tokio::test]
async fn messages_over_the_rate_limit_are_refused() {
    let feishu = Feishu::start().await.unwrap();
    feishu.workspace().rate_limit = Some(RateLimit { interval: Duration::from_hours(1), burst: 1 });
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, 0);
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, 230_020);
}

#[tokio::test]
async fn planned_code_has_its_status_and_headers() {
    let feishu = Feishu::start().await.unwrap();
    {
        let faults = &mut feishu.workspace().faults;
        for code in ["230020", "99991663", "99991400"] {
            faults.plan("im.message.create", 1, Fault::Error(code.to_owned()));
        }
    }
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, 230_020);
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, INVALID_TOKEN);
    let limited = call(&feishu, "POST", CREATE, &text("x")).await.unwrap();
    assert_eq!((limited.status, limited.json()["code"].as_u64()), (429, Some(99_991_400)));
    assert!(limited.head.contains("\r\nx-ogw-ratelimit-reset: 1"), "{}", limited.head);

    assert_eq!(feishu.conversation(CHAT), "");
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, 0);
}

#[tokio::test]
async fn lost_response_leaves_the_message() {
    let feishu = Feishu::start().await.unwrap();
    feishu.workspace().faults.plan("im.message.create", 1, Fault::ResponseLost);
    assert!(call(&feishu, "POST", CREATE, &text("posted")).await.is_none());
    assert_eq!(lines(&feishu), ["privatelink: posted"]);
}
