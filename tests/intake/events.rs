//! Schedules, `EventBridge` events and SNS notifications.

use serde_json::{Value, json};

use crate::deployment::{Deployment, attribute, request};

fn event(detail: &Value) -> Value {
    json!({
        "version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602", "detail-type": "Security Group Detach Requested",
        "source": "incident.response", "account": "123456789012", "time": "2026-11-22T07:00:00Z", "region": "eu-west-1",
        "resources": [], "detail": detail,
    })
}

fn notification(message: &str) -> Value {
    json!({ "Records": [{
        "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:t:s",
        "Sns": { "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e", "TopicArn":
            "arn:aws:sns:eu-west-1:123456789012:t", "Subject": null, "Message": message,
            "Timestamp": "2026-11-22T07:00:00.000Z", "MessageAttributes": {} },
    }] })
}

/// Invokes the intake with a payload that it accepts. Returns the ids of the accepted requests, and trigger and id of every
/// message in the queue.
async fn invoke(deployment: &Deployment, payload: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let result = deployment.invoke(&payload.to_string()).await.unwrap();
    let accepted = result["accepted"].as_array().unwrap().iter();
    let accepted = accepted.map(|receipt| receipt["request_id"].as_str().unwrap().to_owned()).collect();
    let message = |message: &local_aws::queues::Message| {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        (attribute(message, "trigger").unwrap().to_owned(), body["request_id"].as_str().unwrap().to_owned())
    };
    (accepted, deployment.messages().iter().map(message).collect())
}

#[tokio::test]
async fn request_of_an_event_gets_the_event_id_in_every_delivery() {
    let deployment = Deployment::with_iam(None).await;
    let id = "7bf73129-1428-4cd3-a780-95db273d1602";
    let one = event(&request("sg-a"));
    for _ in 0..3 {
        let (accepted, messages) = invoke(&deployment, &one).await;
        assert_eq!((accepted, messages), (vec![id.to_owned()], vec![("event".to_owned(), id.to_owned())]));
    }
    let several = event(&json!({ "requests": [request("sg-b"), request("sg-c")] }));
    let (accepted, messages) = invoke(&deployment, &several).await;
    assert_eq!((accepted, messages.len()), (vec![format!("{id}.1"), format!("{id}.2")], 3));
}

#[tokio::test]
async fn event_is_accepted_only_from_a_listed_source_and_not_from_an_archive() {
    let open = Deployment::with(&[("REQUEST_EVENT_SOURCES", "my.tool,com.example/offboarding")]).await;
    let closed = Deployment::with(&[("REQUEST_EVENT_SOURCES", "")]).await;
    let from = |source: Value| {
        let mut event = event(&request("sg-a"));
        event["source"] = source;
        event
    };
    let mut replay = from("my.tool".into());
    replay["replay-name"] = "again".into();
    let mut without = from(Value::Null);
    without.as_object_mut().unwrap().remove("source");
    let refused = "SourceNotAllowed";
    for (deployment, event, error_type) in [
        (&open, &from("incident.response".into()), refused),
        (&open, &from("my.tool.other".into()), refused),
        (&open, &from("My.Tool".into()), refused),
        (&open, &from(json!(["my.tool"])), refused),
        (&open, &from("".into()), refused),
        (&open, &without, refused),
        (&open, &replay, "UnsupportedEvent"),
        (&closed, &from("my.tool".into()), refused),
        (&closed, &without, refused),
    ] {
        let error = deployment.invoke(&event.to_string()).await.unwrap_err();
        assert_eq!(error["errorType"], error_type, "{event}: {error}");
        assert!(!error.to_string().contains("response"), "untrusted text: {error}");
    }
    assert_eq!((open.messages().len(), closed.messages().len()), (0, 0));
    assert_eq!(invoke(&open, &from("com.example/offboarding".into())).await.0.len(), 1);
    // A topic and a schedule have no source; AWS checks their permission.
    assert_eq!(invoke(&closed, &notification(&request("sg-b").to_string())).await.0.len(), 1);
    assert_eq!(invoke(&closed, &request("sg-c")).await.0.len(), 1);
}

#[tokio::test]
async fn request_of_a_notification_gets_the_message_id() {
    let deployment = Deployment::with_iam(None).await;
    let id = "95df01b4-ee98-5cb9-9903-4c221d41eb5e";
    for _ in 0..2 {
        let (accepted, messages) = invoke(&deployment, &notification(&request("sg-a").to_string())).await;
        assert_eq!((accepted, messages), (vec![id.to_owned()], vec![("event".to_owned(), id.to_owned())]));
    }
    let several = json!({ "requests": [request("sg-b")] }).to_string();
    assert_eq!(invoke(&deployment, &notification(&several)).await.0, [format!("{id}.1")]);
}

#[tokio::test]
async fn request_of_an_event_without_an_id_gets_the_invocation_id() {
    let deployment = Deployment::with_iam(None).await;
    let mut without_id =
        [event(&request("sg-a")), event(&request("sg-b")), notification(&request("sg-c").to_string())];
    without_id[0]["id"] = "".into();
    without_id[1]["id"] = Value::Null;
    without_id[2]["Records"][0]["Sns"]["MessageId"] = "".into();
    for (number, payload) in without_id.iter().enumerate() {
        let invocation = format!("00000000-0000-4000-a000-{:012x}", number + 1);
        assert_eq!(invoke(&deployment, payload).await.0, [invocation], "{payload}");
    }
}

#[tokio::test]
async fn notifications_of_one_invocation_are_accepted_together_or_not_at_all() {
    let deployment = Deployment::with_iam(None).await;
    let mut two = notification(&request("sg-a").to_string());
    let mut other = notification(&request("sg-b").to_string())["Records"][0].clone();
    other["Sns"]["MessageId"] = "other".into();
    two["Records"].as_array_mut().unwrap().push(other);
    assert_eq!(invoke(&deployment, &two).await.0, ["95df01b4-ee98-5cb9-9903-4c221d41eb5e", "other"]);
    two["Records"][0]["Sns"]["Message"] = request("sg-c").to_string().into();
    two["Records"][1]["Sns"]["Message"] = "detach, please".into();
    assert!(deployment.invoke(&two.to_string()).await.is_err());
    assert_eq!(deployment.messages().len(), 2);
}

#[tokio::test]
async fn request_of_a_schedule_gets_the_execution_id_or_the_invocation_id() {
    let deployment = Deployment::with_iam(None).await;
    let mut single = request("sg-a");
    single["request_id"] = "d32c5kddcf5bb8c3".into();
    let (accepted, messages) = invoke(&deployment, &single).await;
    assert_eq!(accepted, ["d32c5kddcf5bb8c3"]);
    assert_eq!(messages, [("schedule".to_owned(), "d32c5kddcf5bb8c3".to_owned())]);
    let several = json!({ "id": "d32c5kddcf5bb8c4", "requests": [request("sg-b"), request("sg-c")] });
    assert_eq!(invoke(&deployment, &several).await.0, ["d32c5kddcf5bb8c4.1", "d32c5kddcf5bb8c4.2"]);
    // The runtime API numbers the invocations; this is the third.
    let invocation = "00000000-0000-4000-a000-000000000003";
    assert_eq!(invoke(&deployment, &request("sg-d")).await.0, [invocation]);
    let listed = json!({ "requests": [request("sg-e")] });
    assert_eq!(invoke(&deployment, &listed).await.0, ["00000000-0000-4000-a000-000000000004.1"]);
}

#[tokio::test]
async fn invalid_event_fails_the_invocation_and_enqueues_nothing() {
    let deployment = Deployment::with(&[("PROTECTED_ENDPOINTS", "ep-safe")]).await;
    let mut protected = request("sg-a");
    protected["endpoint_id"] = "ep-safe".into();
    let mistyped = json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dryRun": true });
    let repeated_field = r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dry_run":true,"dry_run":false}"#;
    let unreplaced_variable = json!({ "id": "<aws.scheduler.execution-id>", "requests": [request("sg-a")] });
    let mut other_type = event(&request("sg-a"));
    other_type["detail-type"] = "Security Group Detach Completed".into();
    let invalid = "InvalidEvent";
    let unsupported = "UnsupportedEvent";
    for (payload, error_type, expected) in [
        (event(&mistyped).to_string(), invalid, "an unknown name is not a field"),
        (
            event(&json!({ "requests": [request("sg-a"), protected] })).to_string(),
            invalid,
            "request 2: endpoint_id is protected",
        ),
        (event(&Value::Null).to_string(), invalid, "must be one JSON object"),
        (event(&json!({})).to_string().replace("{}", repeated_field), invalid, "dry_run is given twice"),
        (notification("detach, please").to_string(), invalid, "is not JSON"),
        (unreplaced_variable.to_string(), invalid, "id must be 1 to 64"),
        (mistyped.to_string(), invalid, "an unknown name is not a field"),
        ("{}".to_owned(), invalid, "region_id is required"),
        ("[]".to_owned(), unsupported, "not an event that the intake supports"),
        ("\"text\"".to_owned(), unsupported, "not an event that the intake supports"),
        (other_type.to_string(), unsupported, "detail-type"),
        (json!({ "Records": [] }).to_string(), unsupported, "not SNS"),
        (
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{}" }] }).to_string(),
            unsupported,
            "not SNS",
        ),
        (
            json!({ "httpMethod": "POST", "path": "/detachments" }).to_string(),
            unsupported,
            "payload format 2.0",
        ),
        (json!({ "requestContext": { "elb": {} } }).to_string(), unsupported, "payload format 2.0"),
        (
            json!({ "requestContext": {}, "requestPayload": {} }).to_string(),
            unsupported,
            "its requestPayload",
        ),
    ] {
        let error = deployment.invoke(&payload).await.unwrap_err();
        assert_eq!(error["errorType"], error_type, "{payload}: {error}");
        assert!(error["errorMessage"].as_str().unwrap().contains(expected), "{payload}: {error}");
    }
    assert_eq!(deployment.messages().len(), 0);
}
