//! What AWS can do to each of the worker's calls: the end stays the same, and at most an event is repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use privatelink_simulator::{Endpoint, Seed};
use serde_json::{Value, json};

use super::case::{self, Failure, events, failure, family, letters, lived, promises, truth};
use super::{ENDPOINT, GROUP, GROUPS};
use crate::history::{History, Plan, Request, Wanted};
use crate::invariants::Facts;
use crate::outside::Outside;
use crate::record::{Operation, What};
use crate::trouble::{Fate, Planned};
use crate::world::REGION;

/// What is asked of AWS.
const OPERATIONS: [Operation; 4] =
    [Operation::Publish, Operation::Bury, Operation::Delete, Operation::HandBack];

/// What becomes of it.
const FATES: [Fate; 4] =
    [Fate::Refused, Fate::ResponseLost, Fate::Late(Duration::from_secs(10)), Fate::Repeated];

/// When whatever is broken is mended: after several tries, and before any deadline.
const MENDED: Duration = Duration::from_secs(100);

/// What is lived through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// A group is taken off.
    Success,
    /// A request that must not be.
    Rejection,
    /// A request that its first invocation cannot finish.
    Unfinished,
}

const SCENARIOS: [Scenario; 3] = [Scenario::Success, Scenario::Rejection, Scenario::Unfinished];

#[derive(Debug, Clone, Copy)]
struct Case {
    operation: Operation,
    fate: Fate,
    is_lasting: bool,
    scenario: Scenario,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, fate, is_lasting, scenario } = self;
        let times = if *is_lasting { "every one until it is mended" } else { "the first" };
        write!(formatter, "{operation:?} × {fate:?} × {times} × {scenario:?}")
    }
}

impl Case {
    fn is_meaningless(&self) -> Option<&'static str> {
        match (self.operation, self.scenario) {
            (Operation::Bury, Scenario::Success | Scenario::Unfinished) => Some("a success is not copied"),
            (Operation::HandBack, Scenario::Success | Scenario::Rejection) => {
                Some("what ends in its first invocation is not handed back")
            }
            _ => None,
        }
    }

    fn plan(&self) -> Plan {
        let calls = if self.is_lasting { u32::MAX } else { 1 };
        let planned = Planned { operation: self.operation, fate: self.fate, calls, until: MENDED };
        let mut plan = self.scenario.plan();
        plan.troubles.planned.push(planned);
        plan
    }

    /// How many events there are.
    fn events(&self) -> RangeInclusive<usize> {
        match (self.operation, self.fate, self.is_lasting) {
            // It was published, and nobody knows: the next delivery publishes its own. Deliveries are 5, 10, 20, 40 and 60 s
            // apart, so there are some until everything is mended.
            (Operation::Publish, Fate::ResponseLost | Fate::Late(_), true) => 2..=7,
            // And a message that neither the worker nor the mapping can delete is delivered again.
            (Operation::Publish, Fate::ResponseLost | Fate::Late(_) | Fate::Repeated, _)
            | (Operation::Delete, Fate::Refused, true) => 2..=2,
            _ => 1..=1,
        }
    }
}

impl Scenario {
    fn plan(self) -> Plan {
        let (endpoint, group) = (ENDPOINT.to_owned(), GROUP.to_owned());
        let wanted = Wanted { endpoint, group, dry_run: false, deadline: Duration::from_hours(1) };
        let mut request = Request::asking(0, wanted, Duration::ZERO, &json!({}));
        let mut plan = Plan {
            cloud: Seed { endpoints: vec![Endpoint::new(REGION, ENDPOINT, GROUPS)], ..Seed::default() },
            calm_at: MENDED,
            ..Plan::quiet(1)
        };
        match self {
            Self::Success => {}
            Self::Rejection => {
                let mut body: Value = serde_json::from_str(&request.body).expect("a body in JSON");
                body["dryrun"] = true.into();
                request = Request { body: body.to_string(), wanted: None, ..request };
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

/// Lives through all of it: how many cases, and how many combinations are none, by the reason.
pub(super) fn run(threads: usize) -> Result<(usize, BTreeMap<&'static str, usize>), Failure> {
    let mut meaningless = BTreeMap::new();
    let mut cases = Vec::new();
    for scenario in SCENARIOS {
        for operation in OPERATIONS {
            for fate in FATES {
                for is_lasting in [false, true] {
                    let case = Case { operation, fate, is_lasting, scenario };
                    match case.is_meaningless() {
                        Some(why) => *meaningless.entry(why).or_default() += 1,
                        None => cases.push(case),
                    }
                }
            }
        }
    }
    case::each(&cases, threads, one)?;
    Ok((cases.len(), meaningless))
}

fn one(case: &Case) -> Result<(), Failure> {
    let name = case.to_string();
    let undisturbed = lived(&name, case.scenario.plan())?;
    let history = lived(&name, case.plan())?;
    if let Some(difference) = difference(case, &history, &undisturbed) {
        return Err(failure(&name, format!("it ends otherwise: {difference}"), &history));
    }
    promises(&name, &history)
}

/// How a history's end differs from that of the same one without any trouble.
fn difference(case: &Case, history: &History, undisturbed: &History) -> Option<String> {
    let has_tried = |history: &History| {
        let mut changes = history.record.iter();
        changes.any(|entry| match &entry.what {
            What::Changed { change, .. } => change.operation() == case.operation,
            _ => false,
        })
    };
    if !has_tried(undisturbed) {
        return Some(format!("nothing is to {:?} in this scenario", case.operation));
    }
    let families =
        |history: &History| -> Vec<String> { events(&Facts::of(history), 0).iter().map(family).collect() };
    let (seen, wanted) = (families(history), families(undisturbed));
    if !case.events().contains(&seen.len()) || seen.iter().any(|family| wanted != [family.as_str()]) {
        return Some(format!("{seen:?}, not {wanted:?} {:?} times", case.events()));
    }
    if letters(history) != letters(undisturbed) {
        return Some(format!("dead letters {:?} instead of {:?}", letters(history), letters(undisturbed)));
    }
    if !history.waiting.is_empty() {
        return Some("the queue is not empty".to_owned());
    }
    let (seen, wanted) = (truth(history), truth(undisturbed));
    (seen != wanted).then(|| format!("the endpoint is truly {seen:?} instead of {wanted:?}"))
}
