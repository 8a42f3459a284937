//! What becomes of a message after each end of its notice.

use std::time::Duration;

use local_aws::{Action, Fault};
use serde_json::json;

use crate::deployment::{DEAD_LETTERS, Deployment, TOKEN, TOKENS};
use crate::notices::{ID, KEY, declined, not_allowed, preview, preview_event};
use crate::server::Reply;

#[tokio::test]
async fn posted_notice_is_deleted() {
    let deployment = Deployment::new().await;
    deployment.send(preview());
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    let received = deployment.server.received();
    let [call] = received.as_slice() else { panic!("{received:#?}") };
    assert_eq!(call.url, "https://slack.com/api/chat.postMessage");
    assert_eq!(call.authorization, format!("Bearer {TOKEN}"));
    assert_eq!(call.body["channel"], "C07");
    let line = deployment.line("INFO");
    assert_eq!(line["message"], "posted");
    let span = &line["span"];
    assert_eq!(
        (&span["notice"], &span["request_id"], &span["conversation"]),
        (&json!("approval_request"), &json!(format!("{ID}.preview")), &json!("slack:T04/C07"))
    );
    assert_eq!(span["lambda_request_id"], "lambda-request");
}

#[tokio::test]
async fn click_updates_its_message_or_posts_a_new_one() {
    let deployment = Deployment::new().await;
    deployment.send(declined());
    assert_eq!(deployment.round().await, 0);
    deployment.server.plan([Reply::Code("message_not_found")]);
    deployment.send(declined());
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    assert_eq!(deployment.server.methods(), ["chat.update", "chat.update", "chat.postMessage"]);
}

#[tokio::test]
async fn notice_that_concerns_nobody_any_more_is_dropped() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Code("user_not_in_channel")]);
    deployment.send(not_allowed());
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    let line = deployment.line("WARN");
    assert!(line["message"].as_str().unwrap().starts_with("not posted, and not tried again"), "{line}");
    assert_eq!(line["span"]["notice"], "not_allowed");
}

#[tokio::test]
async fn transient_error_returns_the_message_for_longer_with_every_receive() {
    for reply in [Reply::Lost, Reply::Status(500, None), Reply::Code("internal_error")] {
        let deployment = Deployment::new().await;
        deployment.server.plan([reply.clone(), reply.clone(), reply.clone()]);
        deployment.send(declined());
        let first = deployment.returned().await;
        assert!(first.is_within(30..=36), "{reply:?}: {first:?}");
        deployment.advance(Duration::from_secs(40));
        let second = deployment.returned().await;
        assert!(second.is_within(60..=72), "{reply:?}: {second:?}");
        deployment.advance(Duration::from_secs(80));
        let third = deployment.returned().await;
        assert!(third.is_within(120..=144), "{reply:?}: {third:?}");
        deployment.advance(Duration::from_secs(150));
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    }
}

#[tokio::test]
async fn post_whose_response_is_lost_is_made_three_times_at_most() {
    for reply in [Reply::Lost, Reply::Status(503, None), Reply::Code("internal_error")] {
        let deployment = Deployment::new().await;
        deployment.server.plan(std::iter::repeat_n(reply.clone(), 4));
        deployment.send(preview());
        for _ in 0..2 {
            deployment.returned().await;
            deployment.advance(Duration::from_secs(80));
        }
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{reply:?}");
        assert_eq!(deployment.server.received().len(), 3);
        let reason = format!("{:?}", deployment.messages(DEAD_LETTERS)[0].attributes["reason"]);
        assert!(reason.contains("it may have been posted"), "{reason}");
        let line = deployment.line("ERROR");
        assert!(line["message"].as_str().unwrap().contains("it may have been posted"), "{line}");
    }
}

#[tokio::test]
async fn post_that_slack_refuses_for_a_time_is_made_until_it_succeeds() {
    let deployment = Deployment::new().await;
    let refusals =
        [Reply::Status(429, Some(1)), Reply::Code("ratelimited"), Reply::Code("service_unavailable")];
    deployment.server.plan([refusals.clone(), refusals].concat());
    deployment.send(preview());
    for _ in 0..6 {
        deployment.returned().await;
        deployment.advance(Duration::from_mins(20));
    }
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
}

/// SQS leaves it out of the age of the oldest message, so the queue's alarm does not see it.
#[tokio::test]
async fn message_that_returns_a_fourth_time_is_an_error() {
    let deployment = Deployment::new().await;
    deployment.server.plan(std::iter::repeat_n(Reply::Lost, 4));
    deployment.send(declined());
    for _ in 0..3 {
        deployment.returned().await;
        deployment.advance(Duration::from_mins(5));
    }
    let is_error = |line: &serde_json::Value| line["level"] == "ERROR";
    assert!(!deployment.log().iter().any(is_error));
    deployment.returned().await;
    let line = deployment.line("ERROR");
    assert!(line["message"].as_str().unwrap().starts_with("returned to the queue: "), "{line}");
    assert_eq!(line["receives"], 4);
}

#[tokio::test]
async fn platform_decides_how_long_the_message_waits() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Status(429, Some(200)), Reply::Status(429, Some(999_999))]);
    deployment.send(preview());
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(200..=240), "{hidden:?}");
    let line = deployment.line("WARN");
    assert!(line["message"].as_str().unwrap().starts_with("returned to the queue: "), "{line}");
    assert!((200.0..=240.0).contains(&line["visibility_s"].as_f64().unwrap()), "{line}");
    deployment.advance(Duration::from_secs(250));
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(3_600..=4_320), "at most an hour, and jitter: {hidden:?}");
}

#[tokio::test]
async fn notice_that_no_retry_can_post_goes_to_the_dead_letter_queue() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Code("not_in_channel")]);
    // As EventBridge may write it: a copy that is parsed and written again would differ.
    let body = format!("\u{feff} {:#}\n", preview_event(KEY));
    deployment.send(body.clone());
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)));
    let copy = &deployment.messages(DEAD_LETTERS)[0];
    assert_eq!(copy.body, body);
    let names: Vec<_> = copy.attributes.keys().collect();
    assert_eq!(names, ["reason"]);
    let reason = format!("{:?}", copy.attributes["reason"]);
    assert!(reason.contains("not_in_channel") && reason.contains("/invite"), "{reason}");
    let line = deployment.line("ERROR");
    assert!(line["message"].as_str().unwrap().contains("not_in_channel"), "{line}");
}

#[tokio::test]
async fn workspace_without_a_token_is_a_dead_letter_without_a_call() {
    let deployment = Deployment::new().await;
    let other = json!({ "slack": { "bot_tokens": { "T99": "xoxb-other-t0ken" } } });
    deployment.aws.secrets().put(TOKENS, other.to_string());
    deployment.send(preview());
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)));
    assert!(deployment.server.received().is_empty());
    let reason = &deployment.messages(DEAD_LETTERS)[0].attributes["reason"];
    assert!(format!("{reason:?}").contains("T04"), "{reason:?}");
}

#[tokio::test]
async fn message_returns_to_the_queue_if_its_copy_fails() {
    for fault in [Fault::ServerError, Fault::EmptyResponse, Fault::OtherMd5] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Code("is_archived")]);
        deployment.aws.queues().faults().plan(Action::SendMessage, 3, fault);
        deployment.send(preview());
        let hidden = deployment.returned().await;
        assert!(hidden.is_within(30..=36), "{fault:?}: {hidden:?}");
        let line = deployment.line("WARN");
        assert!(
            line["message"].as_str().unwrap().contains("the copy to the dead-letter queue failed"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn message_whose_visibility_cannot_be_changed_returns_after_the_queues_own_timeout() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Lost]);
    deployment.aws.queues().faults().plan(Action::ChangeMessageVisibility, 9, Fault::ServerError);
    deployment.send(preview());
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(180..=180), "{hidden:?}");
}

#[tokio::test]
async fn invocation_without_time_for_a_call_returns_the_message_and_makes_none() {
    let deployment = Deployment::new().await;
    deployment.send(preview());
    assert_eq!(deployment.round_for(Duration::from_secs(7)).await, 1);
    assert!(deployment.server.received().is_empty());
    let line = deployment.line("WARN");
    assert!(line["message"].as_str().unwrap().contains("no time is left"), "{line}");
    assert_eq!(deployment.counts(), (1, 0));
}
