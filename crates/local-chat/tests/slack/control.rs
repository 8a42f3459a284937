//! The control endpoints, as `curl -d` and as programs use them.

use local_chat::Slack;
use local_chat::slack::{APPROVER, CHANNEL, REQUESTER};
use serde_json::{Value, json};

use crate::app::{App, HttpResponse, api, http, post_approval};

const OK: (u16, &str) = (200, r#"{"text":"Queued"}"#);

/// The content type that `curl -d` declares for every body.
const CURL: &str = "content-type: application/x-www-form-urlencoded";

async fn control(slack: &Slack, method: &str, endpoint: &str, body: &str) -> HttpResponse {
    http(method, &format!("{}/control/{endpoint}", slack.url()), &[CURL], body).await.unwrap()
}

#[tokio::test]
async fn command_as_a_form_goes_to_the_intake() {
    let (slack, app) = (Slack::start().await.unwrap(), App::start(Some(OK)).await);
    slack.workspace().request_url = Some(app.url.clone());

    let body = format!("user={REQUESTER}&text=detach+sg-old");
    let response = control(&slack, "POST", "command", &body).await;

    assert_eq!(
        (response.status, response.json()),
        (200, json!({ "status": 200, "body": "{\"text\":\"Queued\"}" }))
    );
    assert!(app.request().await.contains("&text=detach+sg-old&"));
    let shown = control(&slack, "GET", &format!("conversations/{CHANNEL}"), "").await;
    assert!(shown.body.ends_with(" privatelink (only visible to U0REQUESTER): Queued\n"), "{}", shown.body);
    assert!(shown.head.contains("content-type: text/plain; charset=utf-8"), "{}", shown.head);
}

#[tokio::test]
async fn click_as_json_goes_to_the_url_that_it_names() {
    let (slack, app) = (Slack::start().await.unwrap(), App::start(Some(OK)).await);
    post_approval(&slack).await;

    let body =
        json!({ "action": "approve", "user": APPROVER, "channel": CHANNEL, "url": app.url }).to_string();
    let response = control(&slack, "POST", "click", &body).await;

    assert_eq!(response.json()["status"], 200);
    let request = app.request().await;
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let (_, payload) = form_urlencoded::parse(body.as_bytes()).next().unwrap();
    let payload: Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(payload["actions"][0]["value"], "signed approve");
}

#[tokio::test]
async fn click_by_ts_is_of_that_message() {
    let slack = Slack::start().await.unwrap();
    let (first, _second) = (post_approval(&slack).await, post_approval(&slack).await);
    let body = format!("action=decline&user={APPROVER}&ts={first}&send=false");
    let request = control(&slack, "POST", "click", &body).await.json();
    let payload = request["body"].as_str().unwrap();
    assert!(payload.contains(&format!("message_ts%22%3A%22{first}%22")), "{payload}");
    assert!(request["headers"]["x-slack-signature"].as_str().unwrap().starts_with("v0="));
}

#[tokio::test]
async fn unreachable_intake_is_reported() {
    let slack = Slack::start().await.unwrap();
    let body = format!("user={REQUESTER}&text=help&url=https://127.0.0.1/");
    let response = control(&slack, "POST", "command", &body).await.json();
    assert_eq!(response, json!({ "status": null, "error": "\"https://127.0.0.1/\" is not an http URL" }));
    assert!(slack.conversation(CHANNEL).contains("failed with the error \"dispatch_failed\""));
}

#[tokio::test]
async fn invalid_request_says_what_is_wrong() {
    let slack = Slack::start().await.unwrap();
    let path = format!("conversations/{CHANNEL}?format=xml");
    for (method, endpoint, body, status, error) in [
        ("POST", "command", "text=help", 400, "the parameter \"user\" is missing"),
        ("POST", "command", "user=U0REQUESTER&txt=help", 400, "the parameter \"txt\" is unknown"),
        ("POST", "command", "{", 400, "the body is neither a form nor a JSON object"),
        ("POST", "command", "user=U0REQUESTER", 409, "there is no intake URL"),
        ("POST", "command", "user=U1&send=false", 409, "U1 is not a member of C0OPSCHANGE"),
        ("POST", "command", "user=U1&channel=C1&send=false", 404, "there is no channel C1"),
        ("POST", "click", "user=U00APPROVER&action=approve&send=false", 409, "sees no message with a button"),
        ("POST", "click", "user=U00APPROVER&action=approve&send=false&ts=1", 400, "not a timestamp"),
        ("GET", "conversations/C1", "", 404, "there is no channel C1"),
        ("GET", path.as_str(), "", 400, "must be text or json"),
        ("GET", "command", "", 404, "unknown endpoint"),
    ] {
        let response = control(&slack, method, endpoint, body).await;
        let text = response.json()["error"].as_str().unwrap().to_owned();
        assert!(response.status == status && text.contains(error), "{endpoint} {body}: {response:?}");
    }
}

#[tokio::test]
async fn messages_are_readable_as_json() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let messages = control(&slack, "GET", &format!("conversations/{CHANNEL}?format=json"), "").await.json();
    assert_eq!(messages[0]["ts"], json!(ts));
    assert_eq!(messages[0]["author"], "app");
    assert_eq!(
        messages[0]["buttons"][1],
        json!({ "action_id": "decline", "text": "Decline", "value": "signed decline" })
    );
    let shown = "@U0REQUESTER asks to detach sg-old & more\n[Approve detach] [Decline]";
    assert_eq!(messages[0]["shown"], shown);
}

#[tokio::test]
async fn faults_are_planned_and_removed() {
    let slack = Slack::start().await.unwrap();
    let message = json!({ "channel": CHANNEL, "text": "x" });
    let planned =
        control(&slack, "POST", "faults", "method=chat.postMessage&error=fatal_error&times=2").await;
    assert_eq!(planned.json(), json!({ "planned": 2 }));
    assert_eq!(api(&slack, "chat.postMessage", &message).await["error"], "fatal_error");

    assert_eq!(control(&slack, "DELETE", "faults", "").await.status, 200);

    assert_eq!(api(&slack, "chat.postMessage", &message).await["ok"], true);
    let journal = control(&slack, "GET", "journal", "").await.json();
    assert_eq!(journal[0]["ending"], json!({ "faulted": { "error": "fatal_error" } }));
    assert_eq!((&journal[1]["ending"], &journal[1]["body"]), (&json!("done"), &message));
}

#[tokio::test]
async fn channel_is_created_and_changed() {
    let slack = Slack::start().await.unwrap();
    let message = json!({ "channel": "C0NEW000000", "text": "x" });
    assert_eq!(
        control(&slack, "POST", "channels", "id=C0NEW000000&name=new&members=U1,U2").await.status,
        200
    );
    assert_eq!(api(&slack, "chat.postMessage", &message).await["error"], "not_in_channel");
    assert_eq!(
        control(&slack, "POST", "channels", r#"{"id": "C0NEW000000", "app": true}"#).await.status,
        200
    );
    assert_eq!(api(&slack, "chat.postMessage", &message).await["ok"], true);
    assert_eq!(slack.workspace().channels["C0NEW000000"].members.len(), 2);
}
