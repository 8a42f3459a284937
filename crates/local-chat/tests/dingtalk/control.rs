//! The control endpoints, as `curl -d` and as programs use them.

use local_chat::dingtalk::{
    APPROVER, CALLBACK_ROUTE, CARD_SIGNATURE_HEADER, CONVERSATION, DingTalk, REQUESTER,
};
use serde_json::{Value, json};

use crate::app::{
    App, CREATE, HttpResponse, MESSAGES, call, call_with, card, done, http, lines, message, token,
};

/// The content type that `curl -d` declares for every body.
const CURL: &str = "content-type: application/x-www-form-urlencoded";

async fn control(dingtalk: &DingTalk, verb: &str, endpoint: &str, body: &str) -> HttpResponse {
    http(verb, &format!("{}/control/{endpoint}", dingtalk.url()), &[CURL], body).await.unwrap()
}

#[tokio::test]
async fn command_as_a_form_goes_to_the_intake() {
    let (dingtalk, app) = (DingTalk::start().await.unwrap(), App::start(Some((200, "{}"))).await);
    dingtalk.workspace().request_url = Some(app.url.clone());

    let response =
        control(&dingtalk, "POST", "command", &format!("user={REQUESTER}&text=detach+sg-old")).await;

    assert_eq!((response.status, response.json()), (200, json!({ "status": 200, "body": "{}" })));
    assert!(app.request().await.contains(r#""content":" detach sg-old""#));
    let shown = control(&dingtalk, "GET", &format!("conversations/{CONVERSATION}"), "").await;
    assert!(shown.body.ends_with(" manager4220: @privatelink detach sg-old\n"), "{}", shown.body);
}

#[tokio::test]
async fn click_goes_to_the_url_of_its_route() {
    let (dingtalk, app) = (DingTalk::start().await.unwrap(), App::start(Some((200, "{}"))).await);
    done(&dingtalk, CREATE, &card("track")).await;
    dingtalk.workspace().callback_routes.get_mut(CALLBACK_ROUTE).unwrap().url = Some(app.url.clone());
    dingtalk.workspace().request_url = Some("http://127.0.0.1:1/".to_owned());

    let body = json!({ "action": "approve", "user": APPROVER }).to_string();
    let response = control(&dingtalk, "POST", "click", &body).await;

    assert_eq!(response.json()["status"], 200, "{response:?}");
    assert!(app.request().await.contains(r#""outTrackId":"track""#));
}

#[tokio::test]
async fn click_goes_to_the_url_of_the_messages_otherwise() {
    let (dingtalk, app) = (DingTalk::start().await.unwrap(), App::start(Some((200, "{}"))).await);
    done(&dingtalk, CREATE, &card("track")).await;
    dingtalk.workspace().request_url = Some(app.url.clone());
    let response = control(&dingtalk, "POST", "click", &format!("action=decline&user={APPROVER}")).await;
    assert_eq!(response.json()["status"], 200, "{response:?}");
}

#[tokio::test]
async fn click_on_a_card_that_is_named_is_returned() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("first")).await;
    done(&dingtalk, CREATE, &card("second")).await;
    let body = format!("action=decline&user={APPROVER}&card=first&send=false");
    let request = control(&dingtalk, "POST", "click", &body).await.json();
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["outTrackId"], "first");
    assert!(request["headers"][CARD_SIGNATURE_HEADER].is_string(), "{request}");
}

#[tokio::test]
async fn conversation_with_a_base64_id_is_created_and_read() {
    let dingtalk = DingTalk::start().await.unwrap();
    let id = "cid/a+b/c==";
    let body =
        json!({ "id": id, "name": "new", "members": ["u1"], "guests": ["u2"], "app": true }).to_string();
    assert_eq!(control(&dingtalk, "POST", "conversations", &body).await.status, 200);
    let body = json!({ "user": "u2", "text": "help", "conversation": id, "send": false }).to_string();
    assert_eq!(control(&dingtalk, "POST", "command", &body).await.status, 200);

    for path in [id, "cid%2Fa%2Bb%2Fc%3D%3D"] {
        let shown = control(&dingtalk, "GET", &format!("conversations/{path}"), "").await;
        assert!(shown.body.ends_with(" u2: @privatelink help\n"), "{shown:?}");
    }
    let body = json!({ "id": id, "app": false, "single": true }).to_string();
    control(&dingtalk, "POST", "conversations", &body).await;
    let workspace = dingtalk.workspace();
    let conversation = &workspace.conversations[id];
    assert!(conversation.is_single && !conversation.has_robot && conversation.members.contains("u1"));
}

#[tokio::test]
async fn messages_are_readable_as_json() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, MESSAGES, &message("queued")).await;
    done(&dingtalk, CREATE, &card("track")).await;
    let messages =
        control(&dingtalk, "GET", &format!("conversations/{CONVERSATION}?format=json"), "").await.json();

    assert_eq!((&messages[0]["author"], &messages[0]["text"]), (&json!("app"), &json!("queued")));
    assert_eq!(messages[1]["card"]["out_track_id"], "track");
    assert_eq!(messages[1]["card"]["parameters"]["request_1"], "signed");
    assert_eq!(messages[1]["buttons"][1], json!({ "action_id": "decline", "text": "Decline" }));
    let shown = "Detach sg-old?\nAsked by manager4220\nfrom ep-shop\n[Approve detach] [Decline]";
    assert_eq!(messages[1]["shown"], shown);
}

#[tokio::test]
async fn forms_are_chosen() {
    let dingtalk = DingTalk::start().await.unwrap();
    let body = "top_level_content=true&click_in_value=true&click_time_in_seconds=true";
    control(&dingtalk, "POST", "forms", body).await;
    control(&dingtalk, "POST", "forms", "click_in_value=false").await;
    let forms = dingtalk.workspace().forms;
    assert!(forms.has_top_level_content && forms.has_click_time_in_seconds && !forms.has_click_in_value);
}

#[tokio::test]
async fn tokens_expire_on_request() {
    let dingtalk = DingTalk::start().await.unwrap();
    let first = token(&dingtalk).await["accessToken"].as_str().unwrap().to_owned();
    assert_eq!(control(&dingtalk, "POST", "expire-tokens", "").await.status, 200);
    let response = call_with(&dingtalk, &first, MESSAGES, &message("x")).await.unwrap();
    assert_eq!(response.error(), (400, "InvalidAuthentication".to_owned()));
    done(&dingtalk, MESSAGES, &message("x")).await;
}

#[tokio::test]
async fn faults_are_planned_for_a_call_and_removed() {
    let dingtalk = DingTalk::start().await.unwrap();
    let body = format!("method={MESSAGES}&error=system.busy&times=2");
    assert_eq!(control(&dingtalk, "POST", "faults", &body).await.json(), json!({ "planned": 2 }));
    let response = call(&dingtalk, MESSAGES, &message("x")).await.unwrap();
    assert_eq!(response.error(), (500, "system.busy".to_owned()));
    control(&dingtalk, "DELETE", "faults", "").await;
    done(&dingtalk, MESSAGES, &message("x")).await;

    let journal = control(&dingtalk, "GET", "journal", "").await.json();
    assert_eq!(journal[1]["ending"], json!({ "faulted": { "error": "system.busy" } }));
    assert_eq!(lines(&dingtalk), ["privatelink: x"]);
}

#[tokio::test]
async fn invalid_request_says_what_is_wrong() {
    let dingtalk = DingTalk::start().await.unwrap();
    for (verb, endpoint, body, status, error) in [
        ("POST", "command", "text=help", 400, "the parameter \"user\" is missing"),
        ("POST", "command", "user=manager4220", 409, "there is no intake URL"),
        ("POST", "command", "user=u1&send=false", 409, "u1 is not a member of cid"),
        ("POST", "command", "user=u1&conversation=cid1&send=false", 404, "there is no conversation cid1"),
        ("POST", "click", "user=0123456789&action=approve&send=false", 409, "sees no card with a button"),
        ("POST", "click", "user=0123456789&action=approve&send=false&card=x", 404, "there is no card x"),
        ("POST", "expire-tokens", "all=true", 400, "the parameter \"all\" is unknown"),
        (
            "POST",
            "faults",
            "method=card/instance&hang=true",
            400,
            "the method must be one of oauth2/accessToken",
        ),
        ("GET", "conversations/cid1", "", 404, "there is no conversation cid1"),
        ("GET", "command", "", 404, "unknown endpoint"),
    ] {
        let response = control(&dingtalk, verb, endpoint, body).await;
        let text = response.json()["error"].as_str().unwrap().to_owned();
        assert!(response.status == status && text.contains(error), "{endpoint} {body}: {response:?}");
    }
}
