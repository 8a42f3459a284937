//! The batch of an invocation: each message ends by itself.

use privatelink_detach::aws::sqs_event::BatchError;
use privatelink_detach::messenger::MessengerError;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::notices::{FOREIGN_KEY, KEY, declined, not_allowed, preview, preview_event, preview_signed_by};
use crate::server::Reply;

fn record(id: &str, body: impl Into<String>) -> Value {
    json!({
        "messageId": id, "receiptHandle": "handle", "body": body.into(), "eventSource": "aws:sqs",
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1800000000000" },
    })
}

/// The ids that the response to a batch reports as failed.
async fn failed(deployment: &Deployment, payload: Value) -> Vec<String> {
    let response = deployment.invoke(&payload.to_string()).await.unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn messages_are_posted_one_after_the_other() {
    let deployment = Deployment::new().await;
    let records = [record("a", preview()), record("b", declined()), record("c", not_allowed())];
    assert_eq!(failed(&deployment, json!({ "Records": records })).await, [""; 0]);
    assert_eq!(deployment.server.methods(), ["chat.postMessage", "chat.update", "chat.postEphemeral"]);
}

#[tokio::test]
async fn bad_record_fails_alone() {
    let deployment = Deployment::new().await;
    let mut bad = record("bad", preview());
    bad["attributes"]["SentTimestamp"] = json!("soon");
    let forged = record("forged", preview_signed_by(FOREIGN_KEY));
    let records = [bad, forged, record("good", preview())];
    assert_eq!(failed(&deployment, json!({ "Records": records })).await, ["bad"]);
    assert_eq!(deployment.server.methods(), ["chat.postMessage"]);
}

#[tokio::test]
async fn panic_concerns_its_message_alone() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Panic]);
    let records = [record("a", preview()), record("b", declined())];
    assert_eq!(failed(&deployment, json!({ "Records": records })).await, ["a"]);
    assert_eq!(deployment.server.methods(), ["chat.postMessage", "chat.update"]);
}

#[tokio::test]
async fn message_that_is_twice_in_a_batch_is_posted_once() {
    let deployment = Deployment::new().await;
    let records = [record("a", preview()), record("a", preview())];
    assert_eq!(failed(&deployment, json!({ "Records": records })).await, [""; 0]);
    assert_eq!(deployment.server.received().len(), 1);
}

#[tokio::test]
async fn array_of_records_is_a_batch_as_pipes_sends_it() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Lost]);
    let records = [record("a", preview()), record("b", declined())];
    assert_eq!(failed(&deployment, json!(records)).await, ["a"]);
}

#[tokio::test]
async fn payload_that_is_no_batch_of_sqs_fails_the_invocation() {
    let deployment = Deployment::new().await;
    let error_type = async |payload: Value| {
        let error = deployment.invoke(&payload.to_string()).await.unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        lambda_runtime::Diagnostic::from(error).error_type
    };
    for payload in [json!({}), json!([]), json!("s3cret"), json!(7), preview_event(KEY)] {
        assert_eq!(error_type(payload.clone()).await, "UnsupportedPayload", "{payload}");
    }
    for payload in [json!({ "Records": "s3cret" }), json!({ "Records": ["s3cret"] }), json!([7])] {
        assert_eq!(error_type(payload.clone()).await, "UnreadableBatch", "{payload}");
    }
    let mut without_id = record("", preview());
    assert_eq!(error_type(json!({ "Records": [without_id] })).await, "Unidentified");
    without_id = record("a", preview());
    without_id["eventSource"] = json!("aws:sns");
    let error = deployment.invoke(&json!([without_id]).to_string()).await.unwrap_err();
    let MessengerError::Batch(BatchError::UnsupportedSource(source)) = &error else { panic!("{error}") };
    assert_eq!(source, "aws:sns");
    assert!(deployment.server.received().is_empty());
}
