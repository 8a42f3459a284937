//! The schedule of sweeps and the canary: what they send, when they give up, and when they exist.

use std::time::Duration;

use privatelink_detach::intake::submission::{self, IdSource};
use privatelink_detach::request::Rules;
use privatelink_detach::sweeper::TimeLimits;
use serde_json::{Value, json};

use super::queues::{RETRY_MAX, arn};
use crate::cloudformation::Deployment;

/// The time, in seconds, for which Lambda and EventBridge Scheduler try to start a sweep.
const SWEEP_AGE_MAX: &str = "3600";

/// The parameters of every schedule.
pub(crate) const SCHEDULES: [(&str, &str); 8] = [
    ("ScheduleExpression", "rate(1 hour)"),
    ("ScheduleInput", "{}"),
    ("SweepScheduleExpression", "rate(1 day)"),
    ("SweepInput", r#"{"scope": "all"}"#),
    ("CanaryScheduleExpression", "rate(15 minutes)"),
    ("CanaryRegionId", "eu-west-1"),
    ("CanaryEndpointId", "ep-canary"),
    ("CanarySecurityGroupId", "sg-canary"),
];

#[test]
fn sweep_has_the_longest_timeout_and_one_attempt() {
    let function = Deployment::of("ENVIRONMENT", &SCHEDULES).properties("SweeperFunction");
    assert_eq!(function["Timeout"], "900");
    let time = TimeLimits::default();
    assert!(time.sweep + time.reserve <= Duration::from_mins(15), "{time:?}");
    let expected = json!({
        "MaximumRetryAttempts": "0",
        "MaximumEventAgeInSeconds": SWEEP_AGE_MAX,
        "DestinationConfig": { "OnFailure": { "Type": "SQS", "Destination": arn("sweeper-failures") } },
    });
    assert_eq!(function["EventInvokeConfig"], expected);
}

#[test]
fn undelivered_sweeps_go_to_the_failure_queue() {
    let deployment = Deployment::of("ENVIRONMENT", &SCHEDULES);
    let target = json!({
        "Arn": "arn:aws:lambda:eu-west-1:123456789012:function:stack-sweeper",
        "RoleArn": "arn:aws:iam::123456789012:role/ScheduleRole",
        "Input": r#"{"scope": "all"}"#,
        "RetryPolicy": { "MaximumRetryAttempts": RETRY_MAX.0, "MaximumEventAgeInSeconds": SWEEP_AGE_MAX },
        "DeadLetterConfig": { "Arn": arn("sweeper-failures") },
    });
    let schedule = deployment.properties("SweepSchedule");
    assert_eq!(
        [&schedule["ScheduleExpression"], &schedule["ScheduleExpressionTimezone"], &schedule["Target"]],
        [&json!("rate(1 day)"), &json!("UTC"), &target]
    );
    let zone =
        Deployment::of("ENVIRONMENT", &[&SCHEDULES[..], &[("SweepScheduleTimezone", "Asia/Tokyo")]].concat());
    assert_eq!(zone.properties("SweepSchedule")["ScheduleExpressionTimezone"], "Asia/Tokyo");
    // A rule rejects a schedule without an input, but rules are not evaluated everywhere.
    for unset in ["SweepScheduleExpression", "SweepInput"] {
        let changes = [&SCHEDULES[..], &[(unset, "")]].concat();
        assert!(!Deployment::of("ENVIRONMENT", &changes).creates("SweepSchedule"), "{unset}");
    }
}

#[test]
fn canary_is_a_dry_run_that_the_intake_accepts() {
    let schedule = Deployment::of("ENVIRONMENT", &SCHEDULES).properties("CanarySchedule");
    let target = &schedule["Target"];
    assert_eq!(schedule["ScheduleExpression"], "rate(15 minutes)");
    assert_eq!(target["Arn"], "arn:aws:lambda:eu-west-1:123456789012:function:stack-intake");
    assert_eq!(target["DeadLetterConfig"]["Arn"], arn("intake-failures"));
    let input = target["Input"].as_str().unwrap();
    // EventBridge Scheduler inserts the id.
    let input = input.replace("<aws.scheduler.execution-id>", "d32c5kddcf5bb8c3");
    let payload: Value = serde_json::from_str(&input).unwrap();
    assert_eq!(
        payload,
        json!({
            "request_id": "canary-d32c5kddcf5bb8c3",
            "region_id": "eu-west-1",
            "endpoint_id": "ep-canary",
            "security_group_id": "sg-canary",
            "dry_run": true,
            "expect_attached": true,
            "deadline_seconds": 600,
        })
    );
    assert_eq!(
        target["RetryPolicy"]["MaximumEventAgeInSeconds"],
        payload["deadline_seconds"].to_string(),
        "a canary that is older than its deadline is not delivered"
    );
    let submissions = submission::parse(&input, IdSource::Schedule("invocation"), &Rules::default()).unwrap();
    let [canary] = &submissions[..] else { panic!("not one request: {submissions:?}") };
    assert_eq!(canary.request_id.as_str(), "canary-d32c5kddcf5bb8c3");
    let canary_parameters = SCHEDULES.iter().filter(|(name, _)| name.starts_with("Canary"));
    for (unset, _) in canary_parameters {
        let changes = [&SCHEDULES[..], &[(unset, "")]].concat();
        assert!(!Deployment::of("ENVIRONMENT", &changes).creates("CanarySchedule"), "{unset}");
    }
}
