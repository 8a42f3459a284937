//! The control endpoints, as `curl -d` and as programs use them.

use local_chat::Feishu;
use local_chat::feishu::{APPROVER, CHAT, REQUESTER};
use serde_json::json;

use crate::app::{App, CREATE, HttpResponse, api, approval, decrypted, http, interactive, lines, post, text};

async fn control(feishu: &Feishu, verb: &str, endpoint: &str, body: &str) -> HttpResponse {
    http(verb, &format!("{}/control/{endpoint}", feishu.url()), &[], body).await.unwrap()
}

#[tokio::test]
async fn command_goes_to_the_intake() {
    let (feishu, app) = (Feishu::start().await.unwrap(), App::start(Some((200, "{}"))).await);
    feishu.workspace().request_url = Some(app.url.clone());

    let response = control(&feishu, "POST", "command", &format!("user={REQUESTER}&text=detach+sg-old")).await;

    assert_eq!((response.status, response.json()), (200, json!({ "status": 200, "body": "{}" })));
    let request = app.request().await;
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let content = decrypted(body)["event"]["message"]["content"].clone();
    assert_eq!(content, "{\"text\":\"@_user_1 detach sg-old\"}");
    let shown = control(&feishu, "GET", &format!("conversations/{CHAT}"), "").await.body;
    assert!(shown.ends_with(&format!(" {REQUESTER}: @privatelink detach sg-old\n")), "{shown}");
}

#[tokio::test]
async fn click_repeat_and_verification_return_the_signed_request() {
    let feishu = Feishu::start().await.unwrap();
    let (first, _second) =
        (post(&feishu, &interactive(&approval())).await, post(&feishu, &interactive(&approval())).await);
    let event = async |endpoint: &str, body: String| {
        let request = control(&feishu, "POST", endpoint, &format!("{body}&send=false")).await.json();
        decrypted(request["body"].as_str().unwrap())
    };
    let click = event("click", format!("action=approve&user={APPROVER}&message_id={first}")).await;
    assert_eq!(click["event"]["context"]["open_message_id"], json!(first));

    let sent = event("command", format!("user={REQUESTER}&text=help&type=image&mention=false")).await;
    let id = sent["event"]["message"]["message_id"].as_str().unwrap();
    assert_eq!(sent["event"]["message"]["message_type"], "image");
    let again = event("repeat", format!("message_id={id}")).await;
    assert_eq!(again["event"], sent["event"]);
    assert_eq!(event("verify", String::new()).await["type"], "url_verification");
}

#[tokio::test]
async fn invalid_request_says_what_is_wrong() {
    let feishu = Feishu::start().await.unwrap();
    for (verb, endpoint, body, status, error) in [
        ("POST", "command", "text=help", 400, "the parameter \"user\" is missing"),
        ("POST", "command", "user=ou_1&type=video&send=false", 400, "must be text, post or image"),
        ("POST", "command", "user=ou_1", 409, "there is no intake URL"),
        ("POST", "command", "user=ou_1&send=false", 409, "ou_1 is not a member of oc_"),
        ("POST", "command", "user=ou_1&chat=oc_1&send=false", 404, "there is no chat oc_1"),
        ("POST", "repeat", "message_id=om_1&send=false", 409, "there is no event for a message om_1"),
        ("POST", "recall", "message_id=om_1", 404, "there is no message om_1"),
        ("GET", "conversations/oc_1", "", 404, "there is no chat oc_1"),
        (
            "GET",
            "chats",
            "",
            404,
            "below /control/: POST command, click, repeat, verify, chats, recall, expire-tokens or faults",
        ),
    ] {
        let response = control(&feishu, verb, endpoint, body).await;
        let text = response.json()["error"].as_str().unwrap().to_owned();
        assert!(response.status == status && text.contains(error), "{endpoint} {body}: {response:?}");
    }
}

#[tokio::test]
async fn chat_is_created_and_changed() {
    let feishu = Feishu::start().await.unwrap();
    let mut message = text("x");
    message["receive_id"] = json!("oc_new");
    let set = |body: &'static str| control(&feishu, "POST", "chats", body);
    assert_eq!(set("id=oc_new&name=new&members=ou_1,ou_2").await.status, 200);
    assert_eq!(api(&feishu, "POST", CREATE, &message).await.0, 230_002);
    assert_eq!(set(r#"{"id": "oc_new", "app": true, "threads": false}"#).await.status, 200);
    assert_eq!(api(&feishu, "POST", CREATE, &message).await.0, 0);
    let workspace = feishu.workspace();
    let chat = &workspace.chats["oc_new"];
    assert_eq!((chat.members.len(), chat.has_threads), (2, false));
}

#[tokio::test]
async fn messages_are_readable_as_json_and_can_be_recalled() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let messages = control(&feishu, "GET", &format!("conversations/{CHAT}?format=json"), "").await.json();
    assert_eq!((&messages[0]["message_id"], &messages[0]["author"]), (&json!(id), &json!("app")));
    let value = json!({ "action": "decline", "request": "signed decline" });
    let button = json!({ "action": "decline", "text": "Decline", "value": value });
    assert_eq!(messages[0]["buttons"][1], button);
    assert_eq!(messages[0]["card"], approval());

    assert_eq!(control(&feishu, "POST", "recall", &format!("message_id={id}")).await.status, 200);
    assert_eq!(lines(&feishu), ["privatelink: (recalled)"]);
}

#[tokio::test]
async fn faults_are_planned() {
    let feishu = Feishu::start().await.unwrap();
    let planned = control(&feishu, "POST", "faults", "method=im.message.create&error=230002").await;
    assert_eq!(planned.json(), json!({ "planned": 1 }));
    assert_eq!(api(&feishu, "POST", CREATE, &text("x")).await.0, 230_002);
    let journal = control(&feishu, "GET", "journal", "").await.json();
    assert_eq!(journal[0]["method"], "auth.tenant_access_token.internal");
    assert_eq!(journal[1]["ending"], json!({ "faulted": { "error": "230002" } }));
}
