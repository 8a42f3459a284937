//! The queues and what is between them and the functions: their numbers hang together with the code's.

use std::time::Duration;

use privatelink_detach::aws;
use privatelink_detach::completion::SOURCE;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::intake::payload::DETAIL_TYPE;
use privatelink_detach::intake::sender::SEND_TIME_MAX;
use privatelink_detach::request::DEADLINE_SECONDS;
use privatelink_detach::worker::InvocationLimits;
use serde_json::{Value, json};

use crate::cloudformation::{Deployment, number, parameter};
use crate::stage::Stage;

/// For how long SQS keeps a message at most.
const KEPT_MAX: Duration = Duration::from_hours(14 * 24);

/// For how long SQS can hide a message.
const HIDDEN_MAX: Duration = Duration::from_hours(12);

/// For how long a FIFO queue recognises a message.
const RECOGNISED: Duration = Duration::from_mins(5);

/// The most receives that SQS counts before it moves a message away.
const RECEIVES_MAX: u64 = 1000;

/// The longest delivery to the intake that EventBridge and its Scheduler can be told to try, its tries and their time.
const DELIVERY: (&str, &str) = ("185", "21600");

fn usual() -> Deployment {
    Deployment::of("ENVIRONMENT", &[("ScheduleExpression", "rate(1 hour)"), ("ScheduleInput", "{}")])
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(number(value))
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:123456789012:stack-{queue}")
}

/// What both queues of requests have in common: the sender gives every message its lane and its name in it, and a lane
/// must neither wait for another nor lose a message to another's names.
fn lanes(name: &str) -> Value {
    json!({
        "QueueName": format!("stack-{name}.fifo"),
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "MessageRetentionPeriod": KEPT_MAX.as_secs().to_string(),
        "SqsManagedSseEnabled": "true",
    })
}

#[test]
fn the_queues_are_what_sender_and_worker_take_them_for() {
    let deployment = usual();
    let mut requests = lanes("requests");
    let timeout = seconds(&deployment.properties("WorkerFunction")["Timeout"]);
    // Six times, as AWS advises: a batch whose invocation is throttled can be tried again before its messages reappear.
    requests["VisibilityTimeout"] = (6 * timeout).as_secs().to_string().into();
    requests["RedrivePolicy"] = json!({
        "deadLetterTargetArn": arn("dead-letter.fifo"),
        "maxReceiveCount": RECEIVES_MAX.to_string(),
    });
    assert_eq!(deployment.properties("RequestQueue"), requests);
    let mut letters = lanes("dead-letter");
    letters["RedriveAllowPolicy"] =
        json!({ "redrivePermission": "byQueue", "sourceQueueArns": [arn("requests.fifo")] });
    assert_eq!(deployment.properties("DeadLetterQueue"), letters);
    // A standard queue: neither Lambda nor EventBridge nor its Scheduler can send to a FIFO queue.
    let failures = json!({
        "QueueName": "stack-intake-failures",
        "MessageRetentionPeriod": KEPT_MAX.as_secs().to_string(),
        "SqsManagedSseEnabled": "true",
    });
    assert_eq!(deployment.properties("IntakeFailureQueue"), failures);
    let mut queues = deployment.of_type("AWS::SQS::Queue");
    queues.sort_unstable();
    assert_eq!(queues, ["DeadLetterQueue", "IntakeFailureQueue", "RequestQueue"]);
}

#[tokio::test]
async fn the_mapping_reads_the_workers_answer_as_it_is_meant() {
    let answer = Stage::with_groups(&[]).await.invoke(r#"{"Records":[]}"#).await.unwrap();
    let names_failures = answer == json!({ "batchItemFailures": [] });
    let deployment = Deployment::of("ENVIRONMENT", &[("WorkerMaximumConcurrency", "7")]);
    let events = &deployment.properties("WorkerFunction")["Events"];
    let mapping = json!({
        "Queue": arn("requests.fifo"),
        "Enabled": "true",
        // The most that a FIFO queue delivers at once, and the most that one call hands back.
        "BatchSize": "10",
        "FunctionResponseTypes": if names_failures { vec!["ReportBatchItemFailures"] } else { vec![] },
        "ScalingConfig": { "MaximumConcurrency": "7" },
    });
    assert_eq!(*events, json!({ "Requests": { "Type": "SQS", "Properties": mapping } }));
    let paused = Deployment::of("ENVIRONMENT", &[("PollRequestQueue", "false")]);
    assert_eq!(paused.properties("WorkerFunction")["Events"]["Requests"]["Properties"]["Enabled"], "false");
    let bound = |key: &str| parameter("WorkerMaximumConcurrency").key(key).text();
    assert_eq!((bound("MinValue"), bound("MaxValue")), ("2", "1000"), "a mapping's own bounds");
}

#[test]
fn the_workers_time_is_enough_for_what_it_does_in_it() {
    let deployment = usual();
    let limits = InvocationLimits::default();
    let timeout = seconds(&deployment.properties("WorkerFunction")["Timeout"]);
    assert!(timeout >= limits.wait_max + limits.call_timeout + limits.reserve);
    assert!(limits.reserve >= 3 * aws::OPERATION_TIMEOUT, "publish, delete and hand back");
    assert_eq!(limits.length_assumed, timeout);

    let longest = Duration::from_secs(*DEADLINE_SECONDS.end());
    let queue = deployment.properties("RequestQueue");
    let visibility = seconds(&queue["VisibilityTimeout"]);
    let rests = (1..5).map(|receives| limits.hand_back(receives)).filter(|rest| *rest < limits.hand_back_max);
    let receives_needed = longest.as_secs() / limits.hand_back_max.as_secs() + rests.count() as u64;
    assert_eq!(receives_needed, 664);
    assert!(
        receives_needed < number(&queue["RedrivePolicy"]["maxReceiveCount"]),
        "the deadline ends a request"
    );
    assert!(longest + visibility < HIDDEN_MAX);
    assert!(longest + visibility < seconds(&queue["MessageRetentionPeriod"]), "it outlives its deadline");
}

#[test]
fn no_alarm_is_raised_for_a_request_that_is_still_in_time() {
    let deployment = usual();
    let visibility = seconds(&deployment.properties("RequestQueue")["VisibilityTimeout"]);
    let alarm = seconds(&deployment.properties("OldestRequestAlarm")["Threshold"]);
    assert!(alarm >= Duration::from_secs(WorkerConfig::DEADLINE_SECONDS_DEFAULT) + visibility);
}

#[test]
fn the_intakes_time_is_enough_and_three_tries_are_over_while_the_queue_remembers() {
    let function = usual().properties("IntakeFunction");
    let (timeout, call) = (seconds(&function["Timeout"]), aws::OPERATION_TIMEOUT);
    assert!(2 * call + SEND_TIME_MAX + call <= timeout);
    let expected = json!({
        "MaximumRetryAttempts": "2",
        "MaximumEventAgeInSeconds": DELIVERY.1,
        "DestinationConfig": { "OnFailure": { "Type": "SQS", "Destination": arn("intake-failures") } },
    });
    assert_eq!(function["EventInvokeConfig"], expected);
    // Lambda pauses for one minute and then for two between its three tries of an event.
    assert!(3 * timeout + Duration::from_mins(1) + Duration::from_mins(2) < RECOGNISED);
}

#[test]
fn an_event_that_cannot_be_delivered_is_kept() {
    let deployment = usual();
    let intake = "arn:aws:lambda:eu-west-1:123456789012:function:stack-intake";
    let retry = json!({ "MaximumRetryAttempts": DELIVERY.0, "MaximumEventAgeInSeconds": DELIVERY.1 });
    let kept = json!({ "Arn": arn("intake-failures") });
    let rule = json!({
        "Description": "Detach requests for privatelink-detach.",
        "EventBusName": "default",
        "EventPattern": { "detail-type": [DETAIL_TYPE] },
        "State": "ENABLED",
        "Targets": [{ "Id": "intake", "Arn": intake, "RetryPolicy": retry, "DeadLetterConfig": kept }],
    });
    assert_eq!(deployment.properties("RequestRule"), rule);
    let schedule = deployment.properties("Schedule");
    assert_eq!(
        (
            &schedule["ScheduleExpression"],
            &schedule["ScheduleExpressionTimezone"],
            &schedule["FlexibleTimeWindow"]
        ),
        (&"rate(1 hour)".into(), &"UTC".into(), &json!({ "Mode": "OFF" }))
    );
    let target = json!({
        "Arn": intake,
        "RoleArn": "arn:aws:iam::123456789012:role/ScheduleRole",
        "Input": "{}",
        "RetryPolicy": retry,
        "DeadLetterConfig": kept,
    });
    assert_eq!(schedule["Target"], target);
    let off = Deployment::of("ENVIRONMENT", &[("TakeRequestEvents", "false")]);
    assert_eq!(off.properties("RequestRule")["State"], "DISABLED");
    assert!(!off.creates("Schedule") && !off.creates("ScheduleRole"));
}

#[test]
fn completion_events_are_looked_for_where_and_as_they_are_published() {
    for changes in [&[][..], &[("CompletionBusName", "told"), ("CreateCompletionBus", "true")]] {
        let deployment = Deployment::of("ENVIRONMENT", changes);
        let bus = deployment.variables("WorkerFunction").remove("COMPLETION_BUS_NAME");
        let rule = deployment.properties("CompletionRule");
        assert_eq!(rule["EventBusName"].as_str(), bus.as_deref());
        assert_eq!(rule["EventPattern"], json!({ "source": [SOURCE] }));
        assert_eq!(rule["State"], "ENABLED");
        assert_eq!(deployment.creates("CompletionBus"), !changes.is_empty());
        let log = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/events/stack-completions";
        assert_eq!(rule["Targets"], json!([{ "Id": "log", "Arn": log }]));
    }
    let unrecorded = Deployment::of("ENVIRONMENT", &[("RecordCompletionEvents", "false")]);
    let rule = unrecorded.properties("CompletionRule");
    assert_eq!((&rule["State"], &rule["Targets"]), (&"DISABLED".into(), &Value::Null));
    assert!(!unrecorded.creates("CompletionLogGroup") && !unrecorded.creates("CompletionLogPolicy"));
}
