//! The Web API: what it posts and changes, what it refuses, and injected faults.

use std::time::Duration;

use local_chat::slack::{APPROVER, Author, CHANNEL, Channel, REQUESTER, RateLimit};
use local_chat::{Ending, Fault, Slack};
use serde_json::{Value, json};

use crate::app::{JSON, api, call, http, post_approval};

#[tokio::test]
async fn conversation_shows_replies_edits_and_private_messages() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let private =
        json!({ "channel": CHANNEL, "user": APPROVER, "text": "You may not &lt;approve&gt; this." });
    assert_eq!(api(&slack, "chat.postEphemeral", &private).await["ok"], true);
    let reply =
        json!({ "channel": CHANNEL, "thread_ts": ts, "text": "Detached in 4.2 s\nby <@U00APPROVER>" });
    let reply = api(&slack, "chat.postMessage", &reply).await;
    assert_eq!(reply["message"]["thread_ts"], json!(ts));

    let without_times = |text: String| {
        let lines = text.lines().map(|line| line.replace(|char: char| char.is_ascii_digit(), "0"));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        without_times(slack.conversation(CHANNEL)),
        [
            "00:00:00 privatelink: @U0REQUESTER asks to detach sg-old & more",
            "         [Approve detach] [Decline]",
            "    00:00:00 privatelink: Detached in 0.0 s",
            "             by @U00APPROVER",
            "00:00:00 privatelink (only visible to U00APPROVER): You may not <approve> this.",
        ]
    );

    let update = json!({ "channel": CHANNEL, "ts": ts, "text": "Approved" });
    let updated = api(&slack, "chat.update", &update).await;
    assert_eq!(
        (&updated["ok"], &updated["ts"], &updated["text"]),
        (&json!(true), &json!(ts), &json!("Approved"))
    );
    assert_eq!(updated["message"]["blocks"], Value::Null);
    assert_eq!(without_times(slack.conversation(CHANNEL))[0], "00:00:00 privatelink (edited): Approved");
}

#[tokio::test]
async fn response_has_slacks_shape() {
    let slack = Slack::start().await.unwrap();
    let blocks = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "x" } }]);
    let body = json!({ "channel": CHANNEL, "text": "x", "blocks": blocks });
    let response = api(&slack, "chat.postMessage", &body).await;

    let ts = &response["ts"];
    let mut stored_blocks = blocks;
    stored_blocks[0]["block_id"] = json!("blk0");
    let expected = json!({ "ok": true, "channel": CHANNEL, "ts": ts, "message": {
        "type": "message", "ts": ts, "text": "x", "team": "T0LOCALCHAT", "user": "U0PRIVLINK1",
        "bot_id": "B0PRIVLINK1", "app_id": "A0PRIVLINK1", "blocks": stored_blocks } });
    assert_eq!(response, expected);
}

#[tokio::test]
async fn invalid_call_changes_nothing_and_names_its_error() {
    let slack = Slack::start().await.unwrap();
    let ts = post_approval(&slack).await;
    let foreign_ts = {
        let mut workspace = slack.workspace();
        let mut other = |id: &str, change: fn(&mut Channel)| {
            let mut channel = Channel::new(id, [REQUESTER.to_owned()]);
            change(&mut channel);
            workspace.channels.insert(id.to_owned(), channel);
        };
        other("CARCHIVED", |channel| channel.is_archived = true);
        other("CWITHOUT", |channel| channel.has_app = false);
        other("CPRIVATE", |channel| (channel.has_app, channel.is_private) = (false, true));
        let channel = workspace.channels.get_mut(CHANNEL).unwrap();
        let posted = channel.messages[0].ts.time();
        channel.post(Author::User(REQUESTER.to_owned()), "hello", posted).ts
    };
    let reply = json!({ "channel": CHANNEL, "thread_ts": ts, "text": "reply" });
    let reply_ts = api(&slack, "chat.postMessage", &reply).await["ts"].clone();
    let before = slack.conversation(CHANNEL);

    let post = "chat.postMessage";
    for (method, body, error) in [
        ("chat.delete", json!({ "channel": CHANNEL, "ts": ts }), "unknown_method"),
        (post, json!([]), "json_not_object"),
        (post, json!({ "text": "x" }), "invalid_arguments"),
        (post, json!({ "channel": 5, "text": "x" }), "invalid_arguments"),
        (post, json!({ "channel": CHANNEL }), "no_text"),
        (post, json!({ "channel": CHANNEL, "text": "", "blocks": [] }), "no_text"),
        (post, json!({ "channel": CHANNEL, "text": "x".repeat(40_001) }), "msg_too_long"),
        (post, json!({ "channel": CHANNEL, "text": "x", "blocks": "[]" }), "invalid_blocks_format"),
        (post, json!({ "channel": CHANNEL, "blocks": [{ "type": "header" }] }), "invalid_blocks"),
        (post, json!({ "channel": "C0MISSING00", "text": "x" }), "channel_not_found"),
        (post, json!({ "channel": "CPRIVATE", "text": "x" }), "channel_not_found"),
        (post, json!({ "channel": "CWITHOUT", "text": "x" }), "not_in_channel"),
        (post, json!({ "channel": "CARCHIVED", "text": "x" }), "is_archived"),
        (post, json!({ "channel": CHANNEL, "text": "x", "thread_ts": "1.000000" }), "thread_not_found"),
        (post, json!({ "channel": CHANNEL, "text": "x", "thread_ts": reply_ts }), "thread_not_found"),
        ("chat.update", json!({ "channel": CHANNEL, "text": "x" }), "invalid_arguments"),
        ("chat.update", json!({ "channel": CHANNEL, "ts": ts }), "no_text"),
        ("chat.update", json!({ "channel": CHANNEL, "ts": "1.000000", "text": "x" }), "message_not_found"),
        ("chat.update", json!({ "channel": CHANNEL, "ts": foreign_ts, "text": "x" }), "cant_update_message"),
        ("chat.postEphemeral", json!({ "channel": CHANNEL, "text": "x" }), "invalid_arguments"),
        (
            "chat.postEphemeral",
            json!({ "channel": CHANNEL, "user": "U0STRANGER0", "text": "x" }),
            "user_not_in_channel",
        ),
    ] {
        let response = api(&slack, method, &body).await;
        assert_eq!((&response["ok"], &response["error"]), (&json!(false), &json!(error)), "{method} {body}");
        assert_eq!(slack.journal().last().unwrap().ending, Ending::Refused(error.to_owned()));
    }
    assert_eq!(slack.conversation(CHANNEL), before);
}

#[tokio::test]
async fn invalid_block_is_explained() {
    let slack = Slack::start().await.unwrap();
    let body = json!({ "channel": CHANNEL, "blocks": [{ "type": "header" }] });
    let response = api(&slack, "chat.postMessage", &body).await;

    let error = "missing required field: text [json-pointer:/blocks/0]";
    assert_eq!(response["errors"], json!([error]));
    assert_eq!(response["response_metadata"]["messages"], json!([format!("[ERROR] {error}")]));
}

#[tokio::test]
async fn token_and_content_type_are_checked() {
    let slack = Slack::start().await.unwrap();
    let token = "authorization: Bearer xoxb-local-chat";
    let body = json!({ "channel": CHANNEL, "text": "x", "token": "xoxb-local-chat" }).to_string();
    let url = format!("{}/api/chat.postMessage", slack.url());
    for (lines, error) in [
        (vec![JSON], "not_authed"),
        (vec![JSON, "authorization: Basic xoxb-local-chat"], "not_authed"),
        (vec![JSON, "authorization: Bearer xoxb-of-another-app"], "invalid_auth"),
        (vec![token], "missing_post_type"),
        (vec![token, "content-type: text/plain"], "invalid_post_type"),
        (vec![token, "content-type: application/x-www-form-urlencoded"], "invalid_form_data"),
        (vec![token, "content-type: application/json; charset=latin-1"], "invalid_charset"),
    ] {
        let response = http("POST", &url, &lines, &body).await.unwrap();
        assert_eq!(response.json(), json!({ "ok": false, "error": error }), "{lines:?}");
    }
    let response = http("POST", &url, &[token, "content-type: application/json"], &body).await.unwrap();
    assert_eq!(
        (&response.json()["ok"], &response.json()["warning"]),
        (&json!(true), &json!("missing_charset"))
    );
    let response = http("POST", &url, &[token, JSON], "{").await.unwrap();
    assert_eq!(response.json(), json!({ "ok": false, "error": "invalid_json" }));
}

#[tokio::test]
async fn journal_has_the_body_without_the_token() {
    let slack = Slack::start().await.unwrap();
    let body = json!({ "channel": CHANNEL, "text": "x", "token": "xoxb-local-chat" });
    assert_eq!(api(&slack, "chat.postMessage", &body).await["ok"], true);

    let journal = slack.journal();
    assert_eq!(journal.len(), 1);
    assert_eq!(journal[0].method, "chat.postMessage");
    assert_eq!(journal[0].body, json!({ "channel": CHANNEL, "text": "x" }));
    assert_eq!(journal[0].ending, Ending::Done);
}

#[tokio::test]
async fn messages_over_the_rate_limit_are_refused_per_channel() {
    let slack = Slack::start().await.unwrap();
    {
        let mut workspace = slack.workspace();
        workspace.rate_limit = Some(RateLimit { interval: Duration::from_hours(1), burst: 1 });
        workspace.channels.insert("C0OTHER0000".to_owned(), Channel::new("other", []));
    }
    let to = |channel: &str| json!({ "channel": channel, "text": "x" });

    assert_eq!(api(&slack, "chat.postMessage", &to(CHANNEL)).await["ok"], true);
    assert_eq!(api(&slack, "chat.postMessage", &to("C0OTHER0000")).await["ok"], true);
    let limited = call(&slack, "chat.postMessage", &to(CHANNEL)).await.unwrap();

    assert_eq!(limited.status, 429);
    assert_eq!(limited.json(), json!({ "ok": false, "error": "ratelimited" }));
    let seconds = limited.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=3600).contains(&seconds.parse::<u64>().unwrap()), "{seconds}");
}

#[tokio::test]
async fn fault_before_the_call_changes_nothing() {
    let slack = Slack::start().await.unwrap();
    let body = json!({ "channel": CHANNEL, "text": "x" });
    {
        let faults = &mut slack.workspace().faults;
        faults.plan("chat.postMessage", 1, Fault::Error("internal_error".to_owned()));
        faults.plan("chat.postMessage", 1, Fault::rate_limited(2));
        faults.plan("chat.postMessage", 1, Fault::status(500));
    }

    let error = api(&slack, "chat.postMessage", &body).await;
    assert_eq!(error, json!({ "ok": false, "error": "internal_error" }));
    let limited = call(&slack, "chat.postMessage", &body).await.unwrap();
    assert_eq!(limited.status, 429);
    assert!(limited.head.contains("\r\nretry-after: 2"), "{}", limited.head);
    let page = call(&slack, "chat.postMessage", &body).await.unwrap();
    assert_eq!(page.status, 500);
    assert!(page.body.starts_with("<!DOCTYPE html>"));

    assert_eq!(slack.conversation(CHANNEL), "");
    assert_eq!(api(&slack, "chat.postMessage", &body).await["ok"], true);
}

#[tokio::test]
async fn lost_response_leaves_the_message() {
    let slack = Slack::start().await.unwrap();
    slack.workspace().faults.plan("chat.postMessage", 1, Fault::ResponseLost);
    let body = json!({ "channel": CHANNEL, "text": "posted" });

    assert!(call(&slack, "chat.postMessage", &body).await.is_none());

    assert!(slack.conversation(CHANNEL).ends_with(" privatelink: posted\n"));
    assert_eq!(slack.journal()[0].ending, Ending::Faulted(Fault::ResponseLost));
}

#[tokio::test]
async fn slow_call_takes_effect_before_its_response() {
    let slack = Slack::start().await.unwrap();
    slack.workspace().faults.plan("chat.postMessage", 1, Fault::Slow(Duration::from_hours(1)));
    let body = json!({ "channel": CHANNEL, "text": "posted" });

    tokio::select! {
        response = call(&slack, "chat.postMessage", &body) => panic!("a response: {response:?}"),
        posted = slack.until(|workspace| !workspace.channels[CHANNEL].messages.is_empty()) => posted.unwrap(),
    }
}

#[tokio::test]
async fn hanging_call_has_no_effect() {
    let slack = Slack::start().await.unwrap();
    slack.workspace().faults.plan("chat.postMessage", 1, Fault::Hang);
    let body = json!({ "channel": CHANNEL, "text": "posted" });

    tokio::select! {
        response = call(&slack, "chat.postMessage", &body) => panic!("a response: {response:?}"),
        called = slack.until(|workspace| !workspace.journal().is_empty()) => called.unwrap(),
    }
    assert_eq!(slack.conversation(CHANNEL), "");
}
