//! Direct invocations: the payload is one request, and the reply is the `detail` of its event. No queue is used.

use std::time::Duration;

use local_aws::{Action as Aws, Fault as AwsFault};
use privatelink_detach::aws::sqs_event::BatchError;
use privatelink_detach::worker::handler::HandlerError;
use privatelink_simulator::Action;
use serde_json::{Value, json};

use crate::environment::{TestEnvironment, TestSettings, request};

#[tokio::test]
async fn reply_is_the_detail_of_the_event() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let reply = env.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(reply, env.only_event());
    assert_eq!((&reply["outcome"], &reply["trigger"]), (&json!("detached"), &json!("direct")));
    assert_eq!(reply["request_id"], "lambda-request");
    assert_eq!(reply["accepted_at"], reply["started_at"]);
    assert_eq!(env.aws_calls(), [Aws::PutEvents], "no SQS call");
}

#[tokio::test]
async fn invalid_direct_request_is_rejected_in_the_reply() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    for (payload, problem) in [
        (
            r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dryrun":true}"#,
            "dryrun",
        ),
        (
            r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dry_run":true,"dry_run":false}"#,
            "given twice",
        ),
    ] {
        let reply = env.invoke(payload).await.unwrap();
        assert_eq!(reply["outcome"], "rejected", "{payload}");
        assert!(reply["reason"]["message"].as_str().unwrap().contains(problem), "{reply:#}");
    }
    assert_eq!(env.events().len(), 2);
    assert_eq!((env.cloud.cloud().counts().calls_total, env.dead_letters().len()), (0, 0));
}

#[tokio::test]
async fn payload_without_a_field_of_a_request_fails_the_invocation() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    for payload in [
        r#"{"Messages":[{"MessageId":"m","Body":"{}"}]}"#,
        r#"{"detail-type":"x","detail":{}}"#,
        r#"{"requests":[]}"#,
        r#"{"Records":null}"#,
        "{}",
        "[]",
        r#""text""#,
        "null",
        "7",
    ] {
        let error = env.invoke(payload).await.unwrap_err();
        assert!(matches!(error, HandlerError::UnsupportedPayload), "{payload}: {error}");
        assert_eq!(lambda_runtime::Diagnostic::from(error).error_type, "UnsupportedPayload");
    }
    assert_eq!((env.events().len(), env.aws_calls().len()), (0, 0));
}

/// The records of a batch of SQS.
fn records(messages: &[(&str, &Value)]) -> Vec<Value> {
    let record = |(id, body): &(&str, &Value)| json!({ "eventSource": "aws:sqs", "messageId": id, "receiptHandle": id, "body": body.to_string() });
    messages.iter().map(record).collect()
}

#[tokio::test]
async fn array_of_records_is_a_batch_as_pipes_sends_it() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let records = records(&[("m-1", &request("ep-a", "sg-a")), ("m-2", &json!({}))]);
    let response = env.invoke(&Value::from(records).to_string()).await.unwrap();
    assert_eq!(response, json!({ "batchItemFailures": [] }));
    let outcomes: Vec<_> = env.events().iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected", "detached"]);
    let other = env.invoke(r#"[{"messageId":"m","body":"{}"}]"#).await.unwrap_err();
    assert!(matches!(other, HandlerError::Batch(BatchError::UnsupportedSource(_))), "{other}");
    let number = env.invoke("[1]").await.unwrap_err();
    assert!(matches!(number, HandlerError::Batch(BatchError::NotAnObject { index: 0 })), "{number}");
}

#[tokio::test]
async fn message_that_is_twice_in_a_batch_is_reported_once() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut all = records(&[("m-1", &request("ep-a", "sg-a")), ("m-1", &request("ep-a", "sg-a"))]);
    let response = env.invoke(&json!({ "Records": all }).to_string()).await.unwrap();
    assert_eq!((response, env.events().len()), (json!({ "batchItemFailures": [] }), 1));
    for record in &mut all {
        record["attributes"] = json!({ "SentTimestamp": "soon" });
    }
    let response = env.invoke(&json!({ "Records": all }).to_string()).await.unwrap();
    assert_eq!(response, json!({ "batchItemFailures": [{ "itemIdentifier": "m-1" }] }));
}

#[tokio::test]
async fn record_with_an_unreadable_attribute_fails_alone() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut records = records(&[
        ("m-1", &request("ep-a", "sg-a")),
        ("m-2", &request("ep-a", "sg-b")),
        ("m-3", &request("ep-b", "sg-a")),
        ("m-4", &request("ep-c", "sg-a")),
    ]);
    records[1]["attributes"] = json!({ "SentTimestamp": "soon", "MessageGroupId": "lane" });
    records[2]["attributes"] = json!({ "MessageGroupId": "lane" });
    let response = env.invoke(&json!({ "Records": records }).to_string()).await.unwrap();
    let failed = json!([{ "itemIdentifier": "m-2" }, { "itemIdentifier": "m-3" }]);
    assert_eq!(response["batchItemFailures"], failed, "the rest of its lane waits for it");
    let requests: Vec<_> = env.events().iter().map(|event| event["request_id"].clone()).collect();
    assert_eq!((requests.len(), requests.contains(&json!("m-1"))), (2, true), "{requests:?}");
}

#[tokio::test]
async fn direct_invocation_that_runs_out_of_time_ends_as_invocation_timeout() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    settings.seed.settings.detach_takes = Duration::from_mins(1);
    settings.time.wait_max = Duration::from_secs(1);
    let env = TestEnvironment::start(settings).await;
    let reply = env.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(
        (&reply["outcome"], &reply["reason"]["code"]),
        (&json!("unconfirmed"), &json!("InvocationTimeout"))
    );
    assert!(reply["reason"]["message"].as_str().unwrap().contains("Detaching"), "{reply:#}");
    assert_eq!((env.only_event(), env.dead_letters().len()), (reply, 0));
}

#[tokio::test]
async fn unpublished_event_fails_the_direct_invocation_and_names_the_outcome() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.aws.bus().faults().plan(Aws::PutEvents, 9, AwsFault::EntryFails(0));
    let error = env.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap_err();
    assert!(error.to_string().contains("already_detached"), "{error}");
    let diagnostic = lambda_runtime::Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "CompletionNotPublished");
}

#[tokio::test]
async fn batch_that_is_not_a_valid_sqs_event_fails_the_invocation() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let fails = async |payload: &Value| env.invoke(&payload.to_string()).await.unwrap_err();
    let sns =
        fails(&json!({ "Records": [{ "eventSource": "aws:sns", "messageId": "m", "body": "{}" }] })).await;
    assert!(
        matches!(&sns, HandlerError::Batch(BatchError::UnsupportedSource(source)) if source == "aws:sns"),
        "{sns}"
    );
    let without_source = fails(&json!({ "Records": [{ "messageId": "m", "body": "{}" }] })).await;
    assert!(
        matches!(without_source, HandlerError::Batch(BatchError::UnsupportedSource(_))),
        "{without_source}"
    );
    for payload in [r#"{"Records":[],"Records":[]}"#, r#"{"Records":{}}"#] {
        let unreadable = env.invoke(payload).await.unwrap_err();
        assert!(
            matches!(unreadable, HandlerError::Batch(BatchError::Unreadable { .. })),
            "{payload}: {unreadable}"
        );
    }
    for record in [
        json!({ "eventSource": "aws:sqs", "body": "{}" }),
        json!({ "eventSource": "aws:sqs", "messageId": "", "body": "{}" }),
    ] {
        let valid = json!({ "eventSource": "aws:sqs", "messageId": "m", "body": "{}" });
        let without_id = fails(&json!({ "Records": [valid, record] })).await;
        assert_eq!(without_id.to_string(), "record 1 of the batch has no message id");
    }
    assert_eq!(env.calls(Action::ListVpcEndpoints), 0);
    assert_eq!(env.events(), Vec::<Value>::new());
}
