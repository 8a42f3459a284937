//! The matrix of AWS faults: the outcome stays the same, and at most an event is repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use privatelink_simulator::{Endpoint, Seed};
use serde_json::{Value, json};

use super::case::{
    self, Failure, actual_state, check_guarantees, dead_letter_bodies, events, failure, family, run_plan,
};
use super::{ENDPOINT, GROUP, GROUPS};
use crate::faults::{AwsEffect, PlannedEffect};
use crate::history::{History, ParsedRequest, Plan, Request};
use crate::invariants::Facts;
use crate::outside::Outside;
use crate::record::{EntryKind, Operation};
use crate::world::REGION;

const OPERATIONS: [Operation; 4] =
    [Operation::Publish, Operation::SendDeadLetter, Operation::Delete, Operation::Defer];

const EFFECTS: [AwsEffect; 5] = [
    AwsEffect::Rejected,
    AwsEffect::EmptySuccess,
    AwsEffect::ResponseLost,
    AwsEffect::AppliedLate(Duration::from_secs(10)),
    AwsEffect::AppliedTwice,
];

/// When the faults end: after several tries, and before any deadline.
const FAULTS_END: Duration = Duration::from_secs(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// A group is detached.
    Success,
    /// A request that is rejected.
    Rejection,
    /// A request that its first invocation cannot finish.
    Unfinished,
}

const SCENARIOS: [Scenario; 3] = [Scenario::Success, Scenario::Rejection, Scenario::Unfinished];

#[derive(Debug, Clone, Copy)]
struct Case {
    operation: Operation,
    effect: AwsEffect,
    is_lasting: bool,
    scenario: Scenario,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, effect, is_lasting, scenario } = self;
        let times = if *is_lasting { "every one until the faults end" } else { "the first" };
        write!(formatter, "{operation:?} × {effect:?} × {times} × {scenario:?}")
    }
}

impl Case {
    fn reason_to_omit(&self) -> Option<&'static str> {
        match (self.operation, self.scenario) {
            (Operation::SendDeadLetter, Scenario::Success | Scenario::Unfinished) => {
                Some("a success is not copied")
            }
            (Operation::Defer, Scenario::Success | Scenario::Rejection) => {
                Some("a request that ends in its first invocation is not returned to the queue")
            }
            _ => None,
        }
    }

    fn plan(&self) -> Plan {
        let calls = if self.is_lasting { u32::MAX } else { 1 };
        let planned =
            PlannedEffect { operation: self.operation, effect: self.effect, calls, until: FAULTS_END };
        let mut plan = self.scenario.plan();
        plan.faults.planned.push(planned);
        plan
    }

    /// The possible numbers of events.
    fn events(&self) -> RangeInclusive<usize> {
        match (self.operation, self.effect, self.is_lasting) {
            // The event was published, but the worker does not know: the next delivery publishes its own. Deliveries
            // are 5, 10, 20, 40 and 60 s apart, so there are several until the faults end.
            (Operation::Publish, AwsEffect::ResponseLost | AwsEffect::AppliedLate(_), true) => 2..=7,
            // A message that neither the worker nor the mapping can delete is delivered again.
            (
                Operation::Publish,
                AwsEffect::ResponseLost | AwsEffect::AppliedLate(_) | AwsEffect::AppliedTwice,
                _,
            )
            | (Operation::Delete, AwsEffect::Rejected | AwsEffect::EmptySuccess, true) => 2..=2,
            _ => 1..=1,
        }
    }
}

impl Scenario {
    fn plan(self) -> Plan {
        let (endpoint, group) = (ENDPOINT.to_owned(), GROUP.to_owned());
        let parsed = ParsedRequest {
            region: REGION.to_owned(),
            endpoint,
            group,
            dry_run: false,
            expect_attached: false,
            deadline: Duration::from_hours(1),
        };
        let mut request = Request::new(0, parsed, Duration::ZERO, &json!({}));
        let mut plan = Plan {
            cloud: Seed { endpoints: vec![Endpoint::new(REGION, ENDPOINT, GROUPS)], ..Seed::default() },
            faults_end_at: FAULTS_END,
            ..Plan::quiet(1)
        };
        match self {
            Self::Success => {}
            Self::Rejection => {
                let mut body: Value = serde_json::from_str(&request.body).expect("a body in JSON");
                body["dryrun"] = true.into();
                request = Request { body: body.to_string(), parsed: None, ..request };
            }
            Self::Unfinished => {
                let takes = Duration::from_secs(80);
                plan.outside.push((Duration::ZERO, Outside::Hold { endpoint: ENDPOINT.to_owned(), takes }));
            }
        }
        plan.requests.push(request);
        plan
    }
}

/// Runs all cases. Returns their number, and the number of omitted combinations by reason.
pub(super) fn run(threads: usize) -> Result<(usize, BTreeMap<&'static str, usize>), Failure> {
    let mut omitted = BTreeMap::new();
    let mut cases = Vec::new();
    for scenario in SCENARIOS {
        for operation in OPERATIONS {
            for effect in EFFECTS {
                for is_lasting in [false, true] {
                    let case = Case { operation, effect, is_lasting, scenario };
                    match case.reason_to_omit() {
                        Some(why) => *omitted.entry(why).or_default() += 1,
                        None => cases.push(case),
                    }
                }
            }
        }
    }
    case::each(&cases, threads, one)?;
    Ok((cases.len(), omitted))
}

fn one(case: &Case) -> Result<(), Failure> {
    let name = case.to_string();
    let baseline = run_plan(&name, case.scenario.plan())?;
    let history = run_plan(&name, case.plan())?;
    if let Some(difference) = difference(case, &history, &baseline) {
        return Err(failure(&name, format!("unexpected end: {difference}"), &history));
    }
    check_guarantees(&name, &history)
}

/// How a history's end differs from the one without faults, if it does.
fn difference(case: &Case, history: &History, baseline: &History) -> Option<String> {
    let has_tried = |history: &History| {
        let mut changes = history.record.iter();
        changes.any(|entry| match &entry.kind {
            EntryKind::Changed { change, .. } => change.operation() == case.operation,
            _ => false,
        })
    };
    if !has_tried(baseline) {
        return Some(format!("the scenario has no {:?}", case.operation));
    }
    let families =
        |history: &History| -> Vec<String> { events(&Facts::of(history), 0).iter().map(family).collect() };
    let (actual, expected) = (families(history), families(baseline));
    if !case.events().contains(&actual.len()) || actual.iter().any(|family| expected != [family.as_str()]) {
        return Some(format!("{actual:?}, not {expected:?} {:?} times", case.events()));
    }
    if dead_letter_bodies(history) != dead_letter_bodies(baseline) {
        return Some(format!(
            "dead letters {:?} instead of {:?}",
            dead_letter_bodies(history),
            dead_letter_bodies(baseline)
        ));
    }
    if !history.waiting.is_empty() {
        return Some("the queue is not empty".to_owned());
    }
    let (actual, expected) = (actual_state(history), actual_state(baseline));
    (actual != expected)
        .then(|| format!("the actual state of the endpoint is {actual:?} instead of {expected:?}"))
}
