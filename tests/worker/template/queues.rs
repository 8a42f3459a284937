//! The queues, the event source mapping, the rules and the schedule of requests: their limits match the constants in
//! the code.

use std::time::Duration;

use privatelink_detach::aws;
use privatelink_detach::completion::SOURCE;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::drive::time_budget::{LENGTH_ASSUMED, TimeLimits};
use privatelink_detach::intake::SEND_TIME_MAX;
use privatelink_detach::intake::payload::DETAIL_TYPE;
use privatelink_detach::request::DEADLINE_SECONDS;
use privatelink_detach::worker::DeferralLimits;
use serde_json::{Value, json};

use super::schedules::SCHEDULES;
use crate::cloudformation::{Deployment, TEMPLATE, number, parameter};
use crate::environment::TestEnvironment;

/// The longest retention period of SQS.
const RETENTION_MAX: Duration = Duration::from_hours(14 * 24);

/// The longest time for which SQS can hide a message.
const VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_hours(12);

/// The time for which a FIFO queue drops duplicates.
const DEDUPLICATION: Duration = Duration::from_mins(5);

/// The largest `maxReceiveCount` that SQS allows.
const RECEIVES_MAX: u64 = 1000;

/// The largest number of retries and the longest event age, in seconds, of EventBridge and EventBridge Scheduler.
pub(crate) const RETRY_MAX: (&str, &str) = ("185", "21600");

fn with_schedules() -> Deployment {
    Deployment::of("ENVIRONMENT", &SCHEDULES)
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(number(value))
}

pub(crate) fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:123456789012:stack-{queue}")
}

/// The common properties of the request queue and the dead-letter queue. The sender sets the message group (the lane)
/// and the deduplication id, and lanes must share neither throughput limits nor deduplication.
fn queue_of_requests(name: &str) -> Value {
    json!({
        "QueueName": format!("stack-{name}.fifo"),
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "MessageRetentionPeriod": RETENTION_MAX.as_secs().to_string(),
        "SqsManagedSseEnabled": "true",
    })
}

#[test]
fn queues_have_the_properties_that_sender_and_worker_rely_on() {
    let deployment = with_schedules();
    let mut requests = queue_of_requests("requests");
    let timeout = seconds(&deployment.properties("WorkerFunction")["Timeout"]);
    // Six times, as AWS recommends: Lambda can retry a throttled batch before its messages become visible again.
    requests["VisibilityTimeout"] = (6 * timeout).as_secs().to_string().into();
    requests["RedrivePolicy"] = json!({
        "deadLetterTargetArn": arn("dead-letter.fifo"),
        "maxReceiveCount": RECEIVES_MAX.to_string(),
    });
    assert_eq!(deployment.properties("RequestQueue"), requests);
    let mut dead_letters = queue_of_requests("dead-letter");
    dead_letters["RedriveAllowPolicy"] =
        json!({ "redrivePermission": "byQueue", "sourceQueueArns": [arn("requests.fifo")] });
    assert_eq!(deployment.properties("DeadLetterQueue"), dead_letters);
    // A standard queue: Lambda, EventBridge and EventBridge Scheduler cannot send to a FIFO queue.
    for (name, queue) in [("intake", "IntakeFailureQueue"), ("sweeper", "SweeperFailureQueue")] {
        let failures = json!({
            "QueueName": format!("stack-{name}-failures"),
            "MessageRetentionPeriod": RETENTION_MAX.as_secs().to_string(),
            "SqsManagedSseEnabled": "true",
        });
        assert_eq!(deployment.properties(queue), failures);
    }
    let mut queues = deployment.of_type("AWS::SQS::Queue");
    queues.sort_unstable();
    assert_eq!(queues, ["DeadLetterQueue", "IntakeFailureQueue", "RequestQueue", "SweeperFailureQueue"]);
}

#[tokio::test]
async fn event_source_mapping_matches_the_workers_response() {
    let response = TestEnvironment::with_groups(&[]).await.invoke(r#"{"Records":[]}"#).await.unwrap();
    let reports_failures = response == json!({ "batchItemFailures": [] });
    let deployment = Deployment::of("ENVIRONMENT", &[("WorkerMaximumConcurrency", "7")]);
    let events = &deployment.properties("WorkerFunction")["Events"];
    let mapping = json!({
        "Queue": arn("requests.fifo"),
        "Enabled": "true",
        // The maximum for a FIFO queue, and for one call of ChangeMessageVisibilityBatch.
        "BatchSize": "10",
        "FunctionResponseTypes": if reports_failures { vec!["ReportBatchItemFailures"] } else { vec![] },
        "ScalingConfig": { "MaximumConcurrency": "7" },
    });
    assert_eq!(*events, json!({ "Requests": { "Type": "SQS", "Properties": mapping } }));
    let paused = Deployment::of("ENVIRONMENT", &[("PollRequestQueue", "false")]);
    assert_eq!(paused.properties("WorkerFunction")["Events"]["Requests"]["Properties"]["Enabled"], "false");
    let bound = |key: &str| parameter("WorkerMaximumConcurrency").key(key).text();
    assert_eq!(
        (bound("MinValue"), bound("MaxValue")),
        ("2", "1000"),
        "the limits of an event source mapping"
    );
}

#[test]
fn worker_timeout_covers_waiting_calls_and_reserve() {
    let deployment = with_schedules();
    let limits = TimeLimits::default();
    let deferral = DeferralLimits::default();
    let timeout = seconds(&deployment.properties("WorkerFunction")["Timeout"]);
    assert!(timeout >= limits.wait_max + limits.call_timeout + limits.reserve);
    assert!(limits.reserve >= 3 * aws::OPERATION_TIMEOUT, "copy, publish, return to the queue");
    assert_eq!(LENGTH_ASSUMED, timeout);

    let longest = Duration::from_secs(*DEADLINE_SECONDS.end());
    let queue = deployment.properties("RequestQueue");
    let visibility = seconds(&queue["VisibilityTimeout"]);
    let delays = (1..5).map(|receives| deferral.visibility(receives));
    let short_delays = delays.filter(|delay| *delay < deferral.visibility_max).count() as u64;
    let receives_needed = longest.as_secs() / deferral.visibility_max.as_secs() + short_delays;
    assert_eq!(receives_needed, 664);
    assert!(
        receives_needed < number(&queue["RedrivePolicy"]["maxReceiveCount"]),
        "the deadline ends a request before the receive count does"
    );
    assert!(longest + visibility < VISIBILITY_TIMEOUT_MAX);
    assert!(
        longest + visibility < seconds(&queue["MessageRetentionPeriod"]),
        "a message outlives its deadline"
    );
}

#[test]
fn oldest_request_alarm_ignores_requests_before_their_deadline() {
    let deployment = with_schedules();
    let visibility = seconds(&deployment.properties("RequestQueue")["VisibilityTimeout"]);
    let alarm = seconds(&deployment.properties("OldestRequestAlarm")["Threshold"]);
    assert!(alarm >= Duration::from_secs(WorkerConfig::DEADLINE_SECONDS_DEFAULT) + visibility);
}

#[test]
fn intake_timeout_covers_its_calls_and_all_retries_are_deduplicated() {
    let function = with_schedules().properties("IntakeFunction");
    let (timeout, call) = (seconds(&function["Timeout"]), aws::OPERATION_TIMEOUT);
    assert!(2 * call + SEND_TIME_MAX + call <= timeout);
    let expected = json!({
        "MaximumRetryAttempts": "2",
        "MaximumEventAgeInSeconds": RETRY_MAX.1,
        "DestinationConfig": { "OnFailure": { "Type": "SQS", "Destination": arn("intake-failures") } },
    });
    assert_eq!(function["EventInvokeConfig"], expected);
    // Lambda waits one minute before the second attempt of an event and two before the third.
    assert!(3 * timeout + Duration::from_mins(1) + Duration::from_mins(2) < DEDUPLICATION);
}

#[test]
fn undelivered_events_go_to_the_failure_queue() {
    let mut deployment = with_schedules();
    deployment.parameters.insert("RequestEventSources", "my.tool,com.example.offboarding");
    let intake = "arn:aws:lambda:eu-west-1:123456789012:function:stack-intake";
    let retry = json!({ "MaximumRetryAttempts": RETRY_MAX.0, "MaximumEventAgeInSeconds": RETRY_MAX.1 });
    let failure_queue = json!({ "Arn": arn("intake-failures") });
    let rule = json!({
        "Description": "Detach requests for privatelink-detach.",
        "EventBusName": "default",
        "EventPattern": { "detail-type": [DETAIL_TYPE], "source": ["my.tool", "com.example.offboarding"] },
        "Targets": [{ "Id": "intake", "Arn": intake, "RetryPolicy": retry, "DeadLetterConfig": failure_queue }],
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
        "DeadLetterConfig": failure_queue,
    });
    assert_eq!(schedule["Target"], target);
    assert_eq!(schedule["GroupName"], deployment.properties("ScheduleGroup")["Name"]);
    let closed = Deployment::of("ENVIRONMENT", &[]);
    for name in ["RequestRule", "RequestRulePermission", "RequestRuleAlarm", "Schedule"] {
        assert!(deployment.creates(name) && !closed.creates(name), "{name}");
    }
}

#[test]
fn completion_rule_matches_the_events_that_the_worker_publishes() {
    for changes in [&[][..], &[("CompletionBusName", "own-bus"), ("CreateCompletionBus", "true")]] {
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

#[test]
fn deletion_of_the_stack_keeps_no_resource_and_destroys_no_secret() {
    for (name, resource) in TEMPLATE.key("Resources").entries() {
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert!(resource.find(policy).is_none_or(|kept| kept.text() == "Delete"), "{name}: {policy}");
        }
        assert_ne!(resource.key("Type").text(), "AWS::SecretsManager::Secret", "{name}");
    }
}
