//! The app's side: its calls of the Web API.

use local_chat::Slack;
use local_chat::slack::{BOT_TOKEN, CHANNEL, Timestamp};
use serde_json::{Value, json};

pub(crate) use crate::http::{App, HttpResponse, JSON, http};

/// Calls a method of the Web API with the app's token.
pub(crate) async fn call(slack: &Slack, method: &str, body: &Value) -> Option<HttpResponse> {
    let token = format!("authorization: Bearer {BOT_TOKEN}");
    http("POST", &format!("{}/api/{method}", slack.url()), &[JSON, &token], &body.to_string()).await
}

/// Calls a method and returns the body of the response, whose status must be 200.
pub(crate) async fn api(slack: &Slack, method: &str, body: &Value) -> Value {
    let response = call(slack, method, body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Posts a message with the buttons of an approval, and returns its timestamp.
pub(crate) async fn post_approval(slack: &Slack) -> Timestamp {
    let button = |text: &str, action_id: &str, style: &str| {
        json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "action_id": action_id,
            "value": format!("signed {action_id}"), "style": style })
    };
    let body = json!({ "channel": CHANNEL, "text": "Detach sg-old?", "blocks": [
        { "type": "section", "text": { "type": "mrkdwn", "text": "<@U0REQUESTER> asks to detach sg-old &amp; more" } },
        { "type": "actions", "block_id": "decision", "elements": [
            button("Approve detach", "approve", "danger"), button("Decline", "decline", "primary")] }] });
    let response = api(slack, "chat.postMessage", &body).await;
    assert_eq!(response["ok"], true, "{response}");
    response["ts"].as_str().unwrap().parse().unwrap()
}
