//! Commands and clicks: their bodies and signatures, and what the app's response shows.

use std::collections::BTreeMap;
use std::time::Duration;

use local_chat::Slack;
use local_chat::slack::{
    APPROVER, ActionError, BYSTANDER, CHANNEL, REQUESTER, SIGNATURE_HEADER, SIGNING_SECRET, TEAM,
    TIMESTAMP_HEADER, Timestamp, signature,
};
use serde_json::{Value, json};

use crate::app::{App, api, post_approval};

const EPHEMERAL: (u16, &str) = (200, r#"{"response_type":"ephemeral","text":"Queued"}"#);

fn form(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn payload(body: &str) -> Value {
    serde_json::from_str(&form(body)["payload"]).unwrap()
}

#[tokio::test]
async fn command_has_every_field_that_slack_sends() {
    let slack = Slack::start().await.unwrap();
    let request = slack.command("detach 安全组 & more", REQUESTER, CHANNEL).unwrap();
    assert!(request.body.is_ascii());
    let mut fields = form(&request.body);

    let trigger = fields.remove("trigger_id").unwrap();
    assert_eq!(trigger.split('.').count(), 3, "{trigger}");
    let response_url = fields.remove("response_url").unwrap();
    assert!(response_url.starts_with("https://hooks.slack.com/commands/T0LOCALCHAT/"), "{response_url}");
    let expected = [
        ("token", "localchatverification123"),
        ("team_id", TEAM),
        ("team_domain", "local-chat"),
        ("channel_id", CHANNEL),
        ("channel_name", "ops-变更"),
        ("user_id", REQUESTER),
        ("user_name", "u0requester"),
        ("command", "/privatelink"),
        ("text", "detach 安全组 & more"),
        ("api_app_id", "A0PRIVLINK1"),
        ("is_enterprise_install", "false"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn organization_is_named_in_an_enterprise_grid() {
    let slack = Slack::start().await.unwrap();
    slack.workspace().enterprise = Some("E0LOCALCHAT".to_owned());
    let fields = form(&slack.command("help", REQUESTER, CHANNEL).unwrap().body);
    assert_eq!(fields["enterprise_id"], "E0LOCALCHAT");
}

#[tokio::test]
async fn every_command_has_its_own_trigger_id() {
    let (slack, other) = (Slack::start().await.unwrap(), Slack::start().await.unwrap());
    let trigger =
        |slack: &Slack| form(&slack.command("help", REQUESTER, CHANNEL).unwrap().body)["trigger_id"].clone();
    let (first, second, third) = (trigger(&slack), trigger(&slack), trigger(&other));
    assert!(first != second && second != third && first != third, "{first} {second} {third}");
}

#[tokio::test]
async fn request_is_signed_with_its_time_and_body() {
    let slack = Slack::start().await.unwrap();
    let request = slack.command("help", REQUESTER, CHANNEL).unwrap();
    let headers: BTreeMap<_, _> = request.headers.iter().cloned().collect();
    let timestamp = headers[TIMESTAMP_HEADER].parse().unwrap();
    assert_eq!(headers[SIGNATURE_HEADER], signature(SIGNING_SECRET, timestamp, &request.body));
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn click_contains_the_stored_button_and_message() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let mut payload = payload(&slack.click(CHANNEL, ts, "approve", APPROVER).unwrap().body);

    let action_ts: Timestamp = payload["actions"][0]["action_ts"].as_str().unwrap().parse().unwrap();
    assert!(action_ts >= ts);
    assert_eq!(
        payload["actions"].take(),
        json!([{
            "type": "button", "block_id": "decision", "action_id": "approve", "value": "signed approve",
            "style": "danger", "text": { "type": "plain_text", "text": "Approve detach" }, "action_ts": action_ts,
        }])
    );
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["team"]["id"], TEAM);
    assert_eq!((&payload["user"]["id"], &payload["user"]["team_id"]), (&json!(APPROVER), &json!(TEAM)));
    assert_eq!(payload["channel"], json!({ "id": CHANNEL, "name": "ops-变更" }));
    assert_eq!(
        payload["container"],
        json!({ "type": "message", "message_ts": ts, "channel_id": CHANNEL, "is_ephemeral": false })
    );
    assert_eq!(payload["message"]["ts"], json!(ts));
    assert_eq!(payload["message"]["blocks"][1]["block_id"], "decision");
    assert!(payload["response_url"].as_str().unwrap().starts_with("https://hooks.slack.com/actions/"));
    assert!(payload["trigger_id"].is_string());
}

#[tokio::test]
async fn each_button_has_its_own_value() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let declined = payload(&slack.click(CHANNEL, ts, "decline", APPROVER).unwrap().body);
    assert_eq!(declined["actions"][0]["value"], "signed decline");
}

#[tokio::test]
async fn click_in_a_thread_names_the_thread() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let button =
        json!({ "type": "button", "text": { "type": "plain_text", "text": "Go" }, "action_id": "go" });
    let reply = json!({ "channel": CHANNEL, "thread_ts": ts, "text": "reply",
        "blocks": [{ "type": "actions", "elements": [button] }] });
    assert_eq!(api(&slack, "chat.postMessage", &reply).await["ok"], true);

    let of_reply = payload(&slack.click_newest(CHANNEL, "go", APPROVER).unwrap().body);
    let of_parent = payload(&slack.click(CHANNEL, ts, "approve", APPROVER).unwrap().body);

    assert_eq!(of_reply["container"]["thread_ts"], json!(ts));
    assert_eq!(of_reply["message"]["thread_ts"], json!(ts));
    assert_eq!(of_parent["container"]["thread_ts"], Value::Null);
    assert_eq!(of_parent["message"]["thread_ts"], json!(ts));
}

#[tokio::test]
async fn button_that_an_update_removed_cannot_be_clicked() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let update = json!({ "channel": CHANNEL, "ts": ts, "text": "Approved" });
    assert_eq!(api(&slack, "chat.update", &update).await["ok"], true);

    let error = slack.click(CHANNEL, ts, "approve", APPROVER);

    assert_eq!(error, Err(ActionError::NoButton { ts, action_id: "approve".to_owned() }));
}

#[tokio::test]
async fn only_members_act_and_only_on_what_they_see() {
    let slack = Slack::start().await.unwrap();
    let stranger = ActionError::NotAMember { user: "U0STRANGER0".to_owned(), channel: CHANNEL.to_owned() };
    assert_eq!(slack.command("help", "U0STRANGER0", CHANNEL), Err(stranger));
    assert_eq!(slack.command("help", REQUESTER, "C1"), Err(ActionError::NoChannel("C1".to_owned())));

    let button =
        json!({ "type": "button", "text": { "type": "plain_text", "text": "Go" }, "action_id": "go" });
    let private = json!({ "channel": CHANNEL, "user": APPROVER, "text": "private",
        "blocks": [{ "type": "actions", "elements": [button] }] });
    assert_eq!(api(&slack, "chat.postEphemeral", &private).await["ok"], true);

    let unseen = slack.click_newest(CHANNEL, "go", BYSTANDER);
    assert!(matches!(unseen, Err(ActionError::NoMessageWithButton { .. })), "{unseen:?}");
    let ts = slack.workspace().channels[CHANNEL].messages[0].ts;
    let unseen = slack.click(CHANNEL, ts, "go", BYSTANDER);
    assert!(matches!(unseen, Err(ActionError::NoMessage { .. })), "{unseen:?}");
    let seen = payload(&slack.click_newest(CHANNEL, "go", APPROVER).unwrap().body);
    assert_eq!((&seen["container"]["is_ephemeral"], &seen["message"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn response_to_a_command_is_shown_to_the_user_alone() {
    let (slack, app) = (Slack::start().await.unwrap(), App::start(Some(EPHEMERAL)).await);
    let request = slack.command("detach sg-old", REQUESTER, CHANNEL).unwrap();

    let response = slack.send(&request, &app.url).await.unwrap();

    assert_eq!(response.status, 200);
    let shown = slack.conversation(CHANNEL);
    assert!(shown.ends_with(" privatelink (only visible to U0REQUESTER): Queued\n"), "{shown}");
    let received = app.request().await;
    assert!(received.starts_with("POST /chat HTTP/1.1\r\n"), "{received}");
    assert!(received.ends_with(&format!("\r\n\r\n{}", request.body)), "{received}");
    for (name, value) in &request.headers {
        assert!(received.contains(&format!("\r\n{name}: {value}\r\n")), "{name}: {received}");
    }
}

#[tokio::test]
async fn response_for_all_also_shows_the_command() {
    let app = App::start(Some((200, r#"{"response_type":"in_channel","text":"Done"}"#))).await;
    let slack = Slack::start().await.unwrap();
    let request = slack.command("status", REQUESTER, CHANNEL).unwrap();
    slack.send(&request, &app.url).await.unwrap();

    let shown = slack.conversation(CHANNEL);
    let lines: Vec<_> = shown.lines().map(|line| &line["00:00:00 ".len()..]).collect();
    assert_eq!(lines, ["U0REQUESTER: /privatelink status", "privatelink: Done"]);
}

#[tokio::test]
async fn error_of_a_command_is_shown_as_slack_shows_it() {
    for (response, code) in [
        (Some((500, "")), "dispatch_failed"),
        (Some((401, "")), "dispatch_failed"),
        (Some((200, "{")), "dispatch_unknown_error"),
        (None, "operation_timeout"),
    ] {
        let (slack, app) = (Slack::start().await.unwrap(), App::start(response).await);
        let request = slack.command("help", REQUESTER, CHANNEL).unwrap();
        // Only the app that never responds reaches this limit.
        let limit = Duration::from_millis(if response.is_none() { 50 } else { 30_000 });
        let _ = slack.send_within(&request, &app.url, limit).await;
        let shown = slack.conversation(CHANNEL);
        let error = format!(
            "Slackbot (only visible to U0REQUESTER): /privatelink failed with the error \"{code}\"\n"
        );
        assert!(shown.ends_with(&error), "{shown}");
    }
}

#[tokio::test]
async fn successful_click_shows_nothing_and_a_failed_one_an_error() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let before = slack.conversation(CHANNEL);
    for (response, error) in [(EPHEMERAL, None), ((500, ""), Some("the app responded with the status 500"))] {
        let app = App::start(Some(response)).await;
        let request = slack.click(CHANNEL, ts, "approve", APPROVER).unwrap();
        slack.send(&request, &app.url).await.unwrap();
        let shown = slack.conversation(CHANNEL);
        match error {
            None => assert_eq!(shown, before),
            Some(error) => {
                let line =
                    format!("Slackbot (only visible to U00APPROVER): [Approve detach] failed: {error}\n");
                assert!(shown.ends_with(&line), "{shown}");
            }
        }
    }
}
