//! Which messages are notices of this deployment, and what happens while its secrets cannot be read.

use std::time::Duration;

use local_aws::{Action, Fault};
use serde_json::{Value, json};

use crate::deployment::{Deployment, SIGNING, TOKENS, local_aws, tokens_secret};
use crate::notices::{
    FOREIGN_KEY, KEY, NEXT_KEY, declined, keys_secret, preview, preview_event, preview_signed_by,
};

/// Delivers a message that is no notice: it is deleted, with one `ERROR` line that contains none of it.
async fn assert_is_deleted(body: &str) {
    let deployment = Deployment::new().await;
    deployment.send(body);
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)), "{body}");
    assert!(deployment.server.received().is_empty(), "{body}");
    let lines = deployment.log();
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    let [line] = errors.as_slice() else { panic!("{body}: {lines:#?}") };
    assert!(line["message"].as_str().unwrap().starts_with("the message is deleted: "), "{line}");
    let log = serde_json::to_string(&lines).unwrap();
    for content in ["s3cret", "sg-a", "ep-a", "C07", "U01", "CHG-1"] {
        assert!(!log.contains(content), "{content} in {log}");
    }
}

fn changed(pointer: &str, value: Value) -> String {
    let mut event = preview_event(KEY);
    *event.pointer_mut(pointer).unwrap() = value;
    event.to_string()
}

#[tokio::test]
async fn message_of_another_form_is_deleted() {
    for body in ["s3cret", "{}", "null", r#"["s3cret"]"#, r#"{"chat_notice":7}"#] {
        assert_is_deleted(body).await;
    }
    assert_is_deleted(&changed("/source", json!("com.example.s3cret"))).await;
    assert_is_deleted(&changed("/detail/trigger", json!("webhook"))).await;
    assert_is_deleted(&changed("/detail/outcome", json!("s3cret"))).await;
    // A body that was sent bare, without EventBridge.
    assert_is_deleted(&preview_event(KEY)["detail"].to_string()).await;
}

#[tokio::test]
async fn message_that_no_key_of_this_deployment_signed_is_deleted() {
    // The event of another account's deployment, which has the same source.
    let mut foreign = preview_event(FOREIGN_KEY);
    foreign["account"] = json!("999999999999");
    assert_is_deleted(&foreign.to_string()).await;
    // What was signed for another request, another person or another result of a click.
    assert_is_deleted(&changed("/detail/endpoint_id", json!("ep-b"))).await;
    assert_is_deleted(&changed("/detail/request_id", json!("slack-other.preview"))).await;
    assert_is_deleted(&changed("/detail/metadata/requested_by", json!("slack:T04/U99"))).await;
    assert_is_deleted(&changed("/detail/metadata", json!({ "chat": "s3cret" }))).await;
    let mut notice: Value = serde_json::from_str(&declined()).unwrap();
    let text = notice["chat_notice"].as_str().unwrap().to_owned();
    notice["chat_notice"] = json!(format!("{}x", &text[..text.len() - 1]));
    assert_is_deleted(&notice.to_string()).await;
}

#[tokio::test]
async fn key_that_was_just_added_is_read_at_once() {
    let deployment = Deployment::new().await;
    deployment.send(preview());
    assert_eq!(deployment.round().await, 0);
    assert_eq!(deployment.secret_reads(), 2, "the keys and the tokens");
    deployment.aws.secrets().put(SIGNING, keys_secret(&[NEXT_KEY, KEY]));
    deployment.send(preview_signed_by(NEXT_KEY));
    deployment.send(preview_signed_by(KEY));
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    assert_eq!((deployment.server.received().len(), deployment.secret_reads()), (3, 3));
}

#[tokio::test]
async fn another_message_just_before_does_not_cost_a_notice_with_a_new_key() {
    let deployment = Deployment::new().await;
    deployment.send(preview_signed_by(FOREIGN_KEY));
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    deployment.aws.secrets().put(SIGNING, keys_secret(&[NEXT_KEY, KEY]));
    deployment.send(preview_signed_by(NEXT_KEY));
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(30..=36), "{hidden:?}");
    deployment.advance(Duration::from_secs(37));
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    assert_eq!(deployment.server.received().len(), 1);
}

#[tokio::test]
async fn notice_waits_until_the_secrets_can_be_read() {
    for (arn, value) in [(SIGNING, keys_secret(&[KEY])), (TOKENS, tokens_secret())] {
        for unusable in [None, Some("s3cret"), Some("[]"), Some(r#"{"slack":{}}"#)] {
            let aws = local_aws().await;
            match unusable {
                None => aws.secrets().remove(arn),
                Some(text) => aws.secrets().put(arn, text),
            }
            let deployment = Deployment::with_aws(aws);
            deployment.send(preview());
            let hidden = deployment.returned().await;
            assert!(hidden.is_within(30..=36), "{arn} {unusable:?}: {hidden:?}");
            assert!(deployment.server.received().is_empty());
            deployment.aws.secrets().put(arn, &value);
            deployment.advance(Duration::from_secs(40));
            assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)), "{arn} {unusable:?}");
            assert!(!serde_json::to_string(&deployment.log()).unwrap().contains("s3cret"));
        }
    }
}

#[tokio::test]
async fn unverified_message_waits_while_the_keys_cannot_be_read_again() {
    let deployment = Deployment::new().await;
    deployment.send(preview());
    assert_eq!(deployment.round().await, 0);
    deployment.aws.secrets().faults().plan(Action::GetSecretValue, 3, Fault::ServerError);
    deployment.send(preview_signed_by(FOREIGN_KEY));
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(30..=36), "{hidden:?}");
    deployment.advance(Duration::from_secs(40));
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
}
