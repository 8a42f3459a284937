//! The metric filters of the completion log group, evaluated against events of every outcome, reason and verdict.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant, SystemTime};

use privatelink_detach::alibaba::privatelink::EndpointFilter;
use privatelink_detach::alibaba::records::EndpointStatus;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::completion::sweep::{self, Mode, Shortfall, Sweep};
use privatelink_detach::completion::{Circumstances, Completion, SOURCE};
use privatelink_detach::detach::{Evidence, Ground, Outcome, ReasonCode, Refusal, TimeExpired};
use privatelink_detach::request::{
    EndpointId, FieldError, RegionId, Rejection, RejectionCode, RequestId, SecurityGroupId, Subject, Trigger,
};
use privatelink_detach::sweep::{Plan, Verdict};
use serde_json::{Value, json};

use super::filters;
use crate::cloudformation::{Deployment, file};
use crate::schema;

/// A deployment that has every metric.
pub(super) fn deployment() -> Deployment {
    Deployment::of("ENVIRONMENT", &[("CanaryScheduleExpression", "rate(1 hour)")])
}

/// A metric without the prefix of the stack, and its dimension.
pub(super) type Metric = (String, Option<(String, String)>);

/// The project's own reason codes. A new code does not compile until it has a place in this list.
fn own_codes() -> impl Iterator<Item = ReasonCode> {
    use ReasonCode as Code;
    std::iter::successors(Some(Code::InvalidRequest), |code| match code {
        Code::InvalidRequest => Some(Code::RegionNotAllowed),
        Code::RegionNotAllowed => Some(Code::ProtectedSecurityGroup),
        Code::ProtectedSecurityGroup => Some(Code::ProtectedEndpoint),
        Code::ProtectedEndpoint => Some(Code::SecurityGroupNotAttached),
        Code::SecurityGroupNotAttached => Some(Code::EndpointMustContainSecurityGroup),
        Code::EndpointMustContainSecurityGroup => Some(Code::FinancialLocked),
        Code::FinancialLocked => Some(Code::ReplacementNotAttached),
        Code::ReplacementNotAttached => Some(Code::DryRunIgnored),
        Code::DryRunIgnored => Some(Code::DeadlineExceeded),
        Code::DeadlineExceeded => Some(Code::InvocationTimeout),
        Code::InvocationTimeout => Some(Code::CompletionNotPublished),
        Code::CompletionNotPublished | Code::Alibaba(_) => None,
    })
}

/// The outcome with this reason; `None` if no event has it.
fn outcome_of(code: ReasonCode) -> Option<Outcome> {
    let rejected = |code| {
        let error = FieldError { code, field: "region_id".to_owned(), problem: "is wrong".to_owned() };
        Some(Outcome::Rejected(Rejection { code, errors: vec![error] }))
    };
    match code {
        ReasonCode::InvalidRequest => rejected(RejectionCode::InvalidRequest),
        ReasonCode::RegionNotAllowed => rejected(RejectionCode::RegionNotAllowed),
        ReasonCode::ProtectedSecurityGroup => rejected(RejectionCode::ProtectedSecurityGroup),
        ReasonCode::ProtectedEndpoint => rejected(RejectionCode::ProtectedEndpoint),
        ReasonCode::DeadlineExceeded => Some(Outcome::Unconfirmed(TimeExpired::Deadline)),
        ReasonCode::InvocationTimeout => Some(Outcome::Unconfirmed(TimeExpired::Invocation)),
        ReasonCode::CompletionNotPublished => None,
        ReasonCode::SecurityGroupNotAttached
        | ReasonCode::EndpointMustContainSecurityGroup
        | ReasonCode::FinancialLocked
        | ReasonCode::ReplacementNotAttached
        | ReasonCode::DryRunIgnored
        | ReasonCode::Alibaba(_) => Some(Outcome::Refused(Refusal {
            code,
            action: None,
            message: None,
            ground: Ground::Rule,
            alibaba_code: None,
            lookalike: None,
        })),
    }
}

/// What the metrics of a completion event depend on.
struct Sample {
    outcome: Outcome,
    request_id: &'static str,
    dry_run: Option<bool>,
    duration_ms: u64,
    deliveries: u32,
    detach_calls: u32,
}

impl Sample {
    fn of(outcome: Outcome) -> Self {
        let dry_run = Some(matches!(outcome, Outcome::DryRunPassed));
        Self { outcome, request_id: "r", dry_run, duration_ms: 1000, deliveries: 1, detach_calls: 0 }
    }

    fn failed(code: ReasonCode) -> Self {
        Self::of(outcome_of(code).expect("events have this code"))
    }

    fn event(&self) -> Value {
        let accepted_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_330_801);
        let completed_at = accepted_at + Duration::from_millis(self.duration_ms);
        let mut evidence = Evidence::default();
        evidence.detach_calls = self.detach_calls;
        let is_confirmed = matches!(self.outcome, Outcome::Detached | Outcome::AlreadyDetached);
        if is_confirmed {
            evidence.security_groups_before = Some(vec!["sg-b".to_owned()]);
            evidence.security_groups_after = evidence.security_groups_before.clone();
            evidence.security_group_seen = Some(false);
            evidence.endpoint_status = Some(EndpointStatus::Active);
            evidence.confirmed_at = Some(Instant::now());
        }
        let is_direct = matches!(self.outcome, Outcome::Unconfirmed(TimeExpired::Invocation));
        let circumstances = Circumstances {
            trigger: if is_direct { Trigger::Direct } else { Trigger::Queue },
            deliveries: self.deliveries,
            accepted_at,
            started_at: accepted_at,
            confirmed_at: is_confirmed.then_some(completed_at),
            completed_at,
        };
        let subject = Subject {
            region_id: RegionId::parse("eu-west-1"),
            endpoint_id: EndpointId::parse("ep-a"),
            security_group_id: SecurityGroupId::parse("sg-a"),
            dry_run: self.dry_run,
            ..Subject::default()
        };
        let request_id = RequestId::parse(self.request_id).unwrap();
        let runbook = RunbookUrl::default();
        let completion =
            Completion::new(&self.outcome, &evidence, request_id, &subject, circumstances, &runbook);
        let detail = serde_json::to_value(&completion.detail).unwrap();
        schema::check(&detail);
        json!({ "source": SOURCE, "detail-type": completion.detail_type, "detail": detail })
    }
}

fn sweep_event(verdict: Verdict) -> Value {
    let now = SystemTime::UNIX_EPOCH;
    let plan = Plan::new(vec![SecurityGroupId::parse("sg-a").unwrap()], now);
    let sweep = Sweep {
        sweep_id: &RequestId::parse("s").unwrap(),
        mode: Mode::Report,
        mode_requested: Mode::Report,
        filter: &EndpointFilter::default(),
        plan: &plan,
        max_detaches: None,
        verdict,
        requested: &HashSet::new(),
        shortfall: &Shortfall::default(),
        completed_at: now,
    };
    let detail = sweep::Detail::new(&sweep, &RunbookUrl::default());
    json!({ "source": SOURCE, "detail-type": sweep::DETAIL_TYPE, "detail": detail })
}

/// Events of every outcome, reason and verdict, as the completion log group records them.
pub(super) fn events() -> Vec<Value> {
    let alibaba = |code: &str| Sample::failed(ReasonCode::Alibaba(code.to_owned()));
    let confirmed = |duration_ms| Sample { duration_ms, detach_calls: 2, ..Sample::of(Outcome::Detached) };
    let dry_run = |sample| Sample { dry_run: Some(true), ..sample };
    let mut samples = vec![
        confirmed(12_431),
        confirmed(300_000),
        confirmed(300_001),
        Sample { deliveries: 7, duration_ms: 400_000, ..Sample::of(Outcome::AlreadyDetached) },
        dry_run(Sample { duration_ms: 400_000, ..Sample::of(Outcome::AlreadyDetached) }),
        Sample::of(Outcome::EndpointGone),
        Sample::of(Outcome::DryRunPassed),
        Sample { request_id: "canary-17", ..Sample::of(Outcome::DryRunPassed) },
        dry_run(Sample { request_id: "canary-18", ..alibaba("EndpointNotFound") }),
        Sample { request_id: "canary", ..Sample::of(Outcome::DryRunPassed) },
        alibaba("EndpointNotFound"),
        alibaba("Forbidden.RAM"),
        Sample { dry_run: None, ..Sample::failed(ReasonCode::InvalidRequest) },
        dry_run(Sample::failed(ReasonCode::InvalidRequest)),
    ];
    samples.extend(own_codes().filter_map(outcome_of).map(Sample::of));
    let verdicts = [
        Verdict::NoReferences,
        Verdict::ReferencesFound,
        Verdict::OverLimit,
        Verdict::Incomplete,
        Verdict::NoEndpoints,
    ];
    samples.iter().map(Sample::event).chain(verdicts.map(sweep_event)).collect()
}

/// The metrics that the filters of the completion log group derive from an event, with their values.
fn metrics_of(deployment: &Deployment, event: &Value) -> Vec<(Metric, u64)> {
    let mut metrics = Vec::new();
    for name in deployment.of_type("AWS::Logs::MetricFilter") {
        let properties = deployment.properties(name);
        let of_events = properties["LogGroupName"] == "/aws/events/stack-completions";
        let pattern = properties["FilterPattern"].as_str().unwrap();
        if !of_events || !filters::matches(pattern, event) {
            continue;
        }
        let [transformation] = &properties["MetricTransformations"].as_array().unwrap()[..] else {
            panic!("{name} has not one metric")
        };
        let value = match transformation["MetricValue"].as_str().unwrap() {
            "1" => 1,
            selector => {
                assert!(filters::selectors(pattern).contains(&selector.to_owned()), "{name}: {selector}");
                filters::selected(selector, event).and_then(Value::as_u64).unwrap()
            }
        };
        let metric = transformation["MetricName"].as_str().unwrap().strip_prefix("stack/").unwrap();
        let dimensions = transformation["Dimensions"].as_array().cloned().unwrap_or_default();
        assert!(dimensions.len() <= 1, "{name}");
        let dimension = dimensions.first().map(|dimension| {
            let selector = dimension["Value"].as_str().unwrap();
            let value = filters::selected(selector, event).and_then(Value::as_str).unwrap();
            (dimension["Key"].as_str().unwrap().to_owned(), value.to_owned())
        });
        metrics.push(((metric.to_owned(), dimension), value));
    }
    metrics
}

/// Every metric that any event creates, with the sum of its values over all events.
pub(super) fn sums() -> BTreeMap<Metric, u64> {
    let deployment = deployment();
    let mut sums = BTreeMap::new();
    for (metric, value) in events().iter().flat_map(|event| metrics_of(&deployment, event)) {
        *sums.entry(metric).or_default() += value;
    }
    sums
}

#[test]
fn every_event_is_counted_by_outcome_reason_and_verdict() {
    let by = |name: &str, key: &str, values: &[(&str, u64)]| {
        let metric = |value: &str| (name.to_owned(), Some((key.to_owned(), value.to_owned())));
        values.iter().map(|(value, count)| (metric(value), *count)).collect::<Vec<_>>()
    };
    let all = |name: &str, value: u64| vec![((name.to_owned(), None), value)];
    let expected = [
        by(
            "completed-requests",
            "outcome",
            &[("detached", 3), ("already_detached", 2), ("dry_run_passed", 3), ("endpoint_gone", 1)],
        ),
        by("failed-requests", "outcome", &[("refused", 8), ("rejected", 6), ("unconfirmed", 2)]),
        // All but the canary's and the dry run's.
        all("failed-detaches", 14),
        by(
            "failures-by-reason",
            "reason_code",
            &[
                ("InvalidRequest", 3),
                ("RegionNotAllowed", 1),
                ("ProtectedSecurityGroup", 1),
                ("ProtectedEndpoint", 1),
                ("SecurityGroupNotAttached", 1),
                ("EndpointMustContainSecurityGroup", 1),
                ("FinancialLocked", 1),
                ("ReplacementNotAttached", 1),
                ("DryRunIgnored", 1),
                ("DeadlineExceeded", 1),
                ("InvocationTimeout", 1),
            ],
        ),
        all("failures-for-other-reasons", 3),
        all("time-to-confirmation", 12_431 + 300_000 + 300_001 + 400_000),
        all("slow-confirmations", 2),
        all("deliveries", 25 - 1 + 7),
        all("detach-calls", 6),
        by(
            "sweeps",
            "verdict",
            &[
                ("no_references", 1),
                ("references_found", 1),
                ("over_limit", 1),
                ("incomplete", 1),
                ("no_endpoints", 1),
            ],
        ),
        all("sweeps-to-review", 3),
        all("canary-passes", 1),
    ];
    assert_eq!(sums(), expected.into_iter().flatten().collect());
}

#[test]
fn every_failure_has_one_outcome_and_one_reason() {
    let deployment = deployment();
    for event in events().iter().filter(|event| event["detail"]["outcome"].is_string()) {
        let metrics = metrics_of(&deployment, event);
        let count =
            |names: [&str; 2]| metrics.iter().filter(|((name, _), _)| names.contains(&&**name)).count();
        let is_failure = event["detail"]["reason"].is_object();
        assert_eq!(count(["completed-requests", "failed-requests"]), 1, "{event:#}");
        let reasons = count(["failures-by-reason", "failures-for-other-reasons"]);
        assert_eq!(reasons, usize::from(is_failure), "{event:#}");
    }
}

#[test]
fn forged_values_create_no_metric() {
    let deployment = deployment();
    let forged = json!({ "detail": { "outcome": "x1", "verdict": "x2", "request_id": "x3", "dry_run": "x4",
        "reason": { "code": "x5" } } });
    assert_eq!(metrics_of(&deployment, &forged), []);
}

#[test]
fn slow_confirmations_count_from_the_parameter() {
    let changes = [("SlowDetachSeconds", "12")];
    let deployment = Deployment::of("ENVIRONMENT", &changes);
    let is_slow = |duration_ms| {
        let event = Sample { duration_ms, ..Sample::of(Outcome::Detached) }.event();
        metrics_of(&deployment, &event).iter().any(|((name, _), _)| name == "slow-confirmations")
    };
    assert_eq!([is_slow(12_000), is_slow(12_001)], [false, true]);
}

#[test]
fn documents_list_every_metric_with_its_dimension() {
    let page = file("docs/operations.md");
    for (name, dimension) in sums().into_keys() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for {name}"));
        assert!(dimension.is_none_or(|(key, _)| row.contains(&format!("`{key}`"))), "{row}");
    }
}

#[test]
fn documented_codes_of_the_project_are_its_own_codes() {
    let page = file("docs/completion-event.md");
    let (_, table) = page.split_once("The project's own codes are a closed list:").unwrap();
    let (table, _) = table.split_once("Every other code").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| [`")?.split('`').next());
    let codes: BTreeSet<String> = own_codes().map(|code| code.to_string()).collect();
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), codes);
}
