//! Direct invocations: the payload is one request, and the reply is the `detail` of its event. No queue is used.

use std::time::Duration;

use local_aws::{Action as Aws, Fault as AwsFault};
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
        (r#"{"detail-type":"x","detail":{}}"#, "EventBridge"),
        (r#"{"requests":[]}"#, "several"),
        ("[1]", "object"),
        (r#""text""#, "object"),
        ("null", "object"),
    ] {
        let reply = env.invoke(payload).await.unwrap();
        assert_eq!(reply["outcome"], "rejected", "{payload}");
        assert!(reply["reason"]["message"].as_str().unwrap().contains(problem), "{reply:#}");
    }
    assert_eq!(env.events().len(), 7);
    assert_eq!((env.cloud.cloud().counts().calls_total, env.dead_letters().len()), (0, 0));
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
    assert!(matches!(&sns, HandlerError::UnsupportedSource(source) if source == "aws:sns"), "{sns}");
    let without_source = fails(&json!({ "Records": [{ "messageId": "m", "body": "{}" }] })).await;
    assert!(matches!(without_source, HandlerError::UnsupportedSource(_)), "{without_source}");
    let malformed =
        fails(&json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": 7 }] })).await;
    assert!(matches!(malformed, HandlerError::UnreadableBatch { .. }), "{malformed}");
    for payload in
        [r#"{"Records":[],"Records":[]}"#, r#"{"Records":{}}"#, r#"{"Records":[{"eventSource":7}]}"#]
    {
        let unreadable = env.invoke(payload).await.unwrap_err();
        assert!(matches!(unreadable, HandlerError::UnreadableBatch { .. }), "{payload}: {unreadable}");
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
