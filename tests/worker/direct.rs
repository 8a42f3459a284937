//! Direct invocations: one request in, the detail of its event out, no queue behind it.

use std::time::Duration;

use local_aws::{Action as Aws, Fault as AwsFault};
use privatelink_detach::worker::handler::HandlerError;
use privatelink_simulator::Action;
use serde_json::{Value, json};

use crate::stage::{Setting, Stage, request};

#[tokio::test]
async fn the_reply_is_the_detail_of_the_event() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let reply = stage.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(reply, stage.only_event());
    assert_eq!((&reply["outcome"], &reply["trigger"]), (&json!("detached"), &json!("direct")));
    assert_eq!(reply["request_id"], "lambda-request");
    assert_eq!(reply["accepted_at"], reply["started_at"]);
    assert_eq!(stage.aws_calls(), [Aws::PutEvents], "no queue is touched");
}

#[tokio::test]
async fn a_direct_request_that_is_not_valid_is_rejected_in_the_reply() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    for (payload, says) in [
        (
            r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dryrun":true}"#,
            "dryrun",
        ),
        (
            r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dry_run":true,"dry_run":false}"#,
            "given twice",
        ),
        (r#"{"detail-type":"x","detail":{}}"#, "EventBridge"),
        (r#"{"requests":[]}"#, "several"),
        ("[1]", "object"),
        (r#""text""#, "object"),
        ("null", "object"),
    ] {
        let reply = stage.invoke(payload).await.unwrap();
        assert_eq!(reply["outcome"], "rejected", "{payload}");
        assert!(reply["reason"]["message"].as_str().unwrap().contains(says), "{reply:#}");
    }
    assert_eq!(stage.events().len(), 7);
    assert_eq!((stage.cloud.cloud().counts().calls_total, stage.dead_letters().len()), (0, 0));
}

#[tokio::test]
async fn time_that_runs_out_is_told_as_such() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    setting.seed.settings.detach_takes = Duration::from_mins(1);
    setting.time.wait_max = Duration::from_secs(1);
    let stage = Stage::set(setting).await;
    let reply = stage.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(
        (&reply["outcome"], &reply["reason"]["code"]),
        (&json!("unconfirmed"), &json!("InvocationTimeout"))
    );
    assert!(reply["reason"]["message"].as_str().unwrap().contains("Detaching"), "{reply:#}");
    assert_eq!((stage.only_event(), stage.dead_letters().len()), (reply, 0));
}

#[tokio::test]
async fn an_event_that_cannot_be_published_fails_the_invocation_and_tells_the_outcome() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    stage.aws.bus().faults().plan(Aws::PutEvents, 9, AwsFault::EntryFails(0));
    let error = stage.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap_err();
    assert!(error.to_string().contains("already_detached"), "{error}");
    let diagnostic = lambda_runtime::Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "CompletionNotPublished");
}

#[tokio::test]
async fn batches_that_are_not_from_sqs_fail_as_a_whole() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let fails = async |payload: &Value| stage.invoke(&payload.to_string()).await.unwrap_err();
    let sns =
        fails(&json!({ "Records": [{ "eventSource": "aws:sns", "messageId": "m", "body": "{}" }] })).await;
    assert!(matches!(&sns, HandlerError::UnsupportedSource(source) if source == "aws:sns"), "{sns}");
    let unnamed = fails(&json!({ "Records": [{ "messageId": "m", "body": "{}" }] })).await;
    assert!(matches!(unnamed, HandlerError::UnsupportedSource(_)), "{unnamed}");
    let shape =
        fails(&json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": 7 }] })).await;
    assert!(matches!(shape, HandlerError::UnreadableBatch { .. }), "{shape}");
    for payload in
        [r#"{"Records":[],"Records":[]}"#, r#"{"Records":{}}"#, r#"{"Records":[{"eventSource":7}]}"#]
    {
        let odd = stage.invoke(payload).await.unwrap_err();
        assert!(matches!(odd, HandlerError::UnreadableBatch { .. }), "{payload}: {odd}");
    }
    for record in [
        json!({ "eventSource": "aws:sqs", "body": "{}" }),
        json!({ "eventSource": "aws:sqs", "messageId": "", "body": "{}" }),
    ] {
        let valid = json!({ "eventSource": "aws:sqs", "messageId": "m", "body": "{}" });
        let unidentified = fails(&json!({ "Records": [valid, record] })).await;
        assert_eq!(unidentified.to_string(), "record 1 of the batch has no message id");
    }
    assert_eq!(stage.calls(Action::ListVpcEndpoints), 0);
    assert_eq!(stage.events(), Vec::<Value>::new());
}
