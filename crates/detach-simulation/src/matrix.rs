//! The fault matrix: every fault, at every call that can meet it, at several attempts and at every moment of the call.
//! Each combination is a separate history with one expected end.
//!
//! The ends are in `expected`, written from the service's documentation and from the guarantees. A second, smaller
//! matrix covers the calls to AWS.

mod aws;
pub(crate) mod case;
mod expected;
mod faults;
mod reference;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use local_aws::queues::AttributeValue;
use privatelink_simulator::{Action, Effect, Fault};

use crate::history::{History, Plan};
use crate::invariants::Facts;
use crate::outside::Outside;
use crate::record::EntryKind;
use crate::sandbox::Interruption;
use case::failure;
use expected::End;
use faults::NamedFault;
use reference::{Place, Reference};

pub use case::Failure;

/// The endpoint of every case, its groups, and the one to detach. Lists have two groups per page.
const ENDPOINT: &str = "ep-a";
const GROUPS: [&str; 4] = ["sg-a", "sg-b", "sg-c", "sg-d"];
const GROUP: &str = "sg-a";

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;
const LIST: Action = Action::ListVpcEndpointSecurityGroups;
const RECORD: Action = Action::ListVpcEndpoints;

/// The calls that the worker makes.
const ACTIONS: [Action; 4] = [DETACH, LIST, RECORD, ATTACH];

/// In the cases of an attach, the VPC of the endpoint and its replacement; the group to detach is the only one.
const VPC: &str = "vpc-a";
const REPLACEMENT: &str = "sg-spare";

/// The deadline of a request whose fault never ends, and of one whose first delivery is killed before.
const DEADLINE: Duration = Duration::from_secs(45);
const DEADLINE_OF_REDELIVERED: Duration = Duration::from_secs(590);

/// When a fault begins that only the redelivery meets: after the first delivery was killed, before its message is
/// visible again.
const BETWEEN_DELIVERIES: Duration = Duration::from_mins(5);

/// Which of an action's calls meets the fault. Of lists only first pages count, except for `LaterPage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    First,
    Middle,
    Last,
    /// All of them, until the request ends.
    Every,
    /// A page after the first.
    LaterPage,
}

impl Attempt {
    const ALL: [Self; 5] = [Self::First, Self::Middle, Self::Last, Self::Every, Self::LaterPage];
}

/// At which moment of the call the fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The call is not executed.
    BeforeExecution,
    /// The call is executed, and its response is replaced.
    AfterExecution,
    /// The call succeeds, the process is killed once it has the response, and the redelivery's call meets the fault.
    AfterResponse,
}

impl Moment {
    const ALL: [Self; 3] = [Self::BeforeExecution, Self::AfterExecution, Self::AfterResponse];
}

#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    fault: &'a NamedFault,
    action: Action,
    attempt: Attempt,
    moment: Moment,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, action, attempt, moment } = self;
        write!(formatter, "{} × {action} × {attempt:?} × {moment:?}", fault.name)
    }
}

impl Case<'_> {
    fn is_of_write(&self) -> bool {
        matches!(self.action, DETACH | ATTACH)
    }

    /// Why there is nothing to test, if so.
    fn reason_to_omit(&self) -> Option<&'static str> {
        let (is_write, effect) = (self.is_of_write(), &self.fault.effect);
        let is_of_pages = matches!(
            effect,
            Effect::RepeatNextToken
                | Effect::OverstatedTotal { .. }
                | Effect::UnderstatedTotal { .. }
                | Effect::RepeatedItem
                | Effect::EmptyList
                | Effect::ItemField { .. }
        );
        let is_of_writes = matches!(effect, Effect::AcceptedWithoutEffect | Effect::AcceptedThenFails);
        if is_of_pages && is_write {
            Some("a write has no pages")
        } else if is_of_writes && !is_write {
            Some("a read is not accepted")
        } else if *effect == Effect::Unsuccessful && is_write {
            Some("a code with HTTP 200 shows the same, whether the write was executed or not")
        } else if matches!(effect, Effect::ItemField { .. }) && self.action != RECORD {
            Some("no other list has the field")
        } else if self.attempt == Attempt::LaterPage && self.action != LIST {
            Some("it is returned in one page")
        } else if effect.modifies_response() && self.moment == Moment::BeforeExecution {
            Some("a response is modified only after the call was executed")
        } else if !effect.modifies_response() && !is_write && self.moment == Moment::AfterExecution {
            Some("a read changes nothing, so a lost response equals a call that was not executed")
        } else if is_write && self.attempt == Attempt::Last && self.moment == Moment::AfterResponse {
            Some("after an accepted write the redelivery makes no other write")
        } else {
            None
        }
    }

    fn plan(&self, reference: &Reference, place: Place) -> Plan {
        let mut plan = reference.plan(self.action).clone();
        plan.cloud.settings.error_format = self.fault.format;
        let fault = Fault::on(self.action, self.fault.effect.clone());
        let is_lasting = self.attempt == Attempt::Every;
        if self.moment == Moment::AfterResponse {
            plan.faults.interruptions.insert(1, Interruption::Kill { polls: place.polls });
            if is_lasting {
                plan.requests = vec![reference::request(DEADLINE_OF_REDELIVERED)];
                plan.faults_end_at = DEADLINE_OF_REDELIVERED;
                plan.outside.push((BETWEEN_DELIVERIES, Outside::Fault(Box::new(fault))));
            } else {
                // The next call of the action; for a list's later page, the second page of the next list.
                let later = if self.attempt == Attempt::LaterPage { 2 } else { 1 };
                plan.cloud.faults.push(fault.nth(place.nth + later));
            }
            return plan;
        }
        let fault = if self.moment == Moment::AfterExecution { fault.after_execution() } else { fault };
        if is_lasting {
            plan.requests = vec![reference::request(DEADLINE)];
            plan.cloud.faults.push(fault);
        } else {
            plan.cloud.faults.push(fault.nth(place.nth));
        }
        plan
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub faults: usize,
    pub actions: usize,
    pub attempts: usize,
    pub moments: usize,
    /// The number of tested combinations.
    pub cases: usize,
    /// The number of omitted combinations, by reason.
    pub omitted: BTreeMap<&'static str, usize>,
    /// The number of combinations, by outcome.
    pub ends: BTreeMap<String, usize>,
    /// The number of tested combinations of AWS operation, effect, times and scenario.
    pub aws_cases: usize,
    /// The number of omitted ones, by reason.
    pub aws_omitted: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, actions, attempts, moments, cases, .. } = self;
        let all = faults * actions * attempts * moments;
        writeln!(
            formatter,
            "{faults} faults × {actions} calls × {attempts} attempts × {moments} moments = {all} combinations, \
             {cases} of them run"
        )?;
        for (why, count) in &self.omitted {
            writeln!(formatter, "  {count:>5} omitted: {why}")?;
        }
        for (end, count) in &self.ends {
            writeln!(formatter, "  {count:>5} end as {end}")?;
        }
        let aws_omitted: usize = self.aws_omitted.values().sum();
        writeln!(
            formatter,
            "{} combinations of AWS operation, effect, times and scenario, {} of them run",
            self.aws_cases + aws_omitted,
            self.aws_cases
        )?;
        for (why, count) in &self.aws_omitted {
            writeln!(formatter, "  {count:>5} omitted: {why}")?;
        }
        Ok(())
    }
}

/// Runs both matrices, on this many threads.
pub fn run(threads: usize) -> Result<Summary, Failure> {
    crate::log::start_verbose();
    let (faults, reference) = (faults::all(), Reference::new()?);
    let mut summary = Summary {
        faults: faults.len(),
        actions: ACTIONS.len(),
        attempts: Attempt::ALL.len(),
        moments: Moment::ALL.len(),
        ..Summary::default()
    };
    let mut cases = Vec::new();
    for fault in &faults {
        for action in ACTIONS {
            for attempt in Attempt::ALL {
                for moment in Moment::ALL {
                    let case = Case { fault, action, attempt, moment };
                    match case.reason_to_omit() {
                        Some(why) => *summary.omitted.entry(why).or_default() += 1,
                        None => cases.push(case),
                    }
                }
            }
        }
    }
    summary.cases = cases.len();
    for end in case::each(&cases, threads, |case| one(case, &reference))? {
        *summary.ends.entry(end).or_default() += 1;
    }
    (summary.aws_cases, summary.aws_omitted) = aws::run(threads)?;
    Ok(summary)
}

/// Runs one case and returns its outcome.
fn one(case: &Case<'_>, reference: &Reference) -> Result<String, Failure> {
    let place = reference.place(case.action, case.attempt);
    let name = case.to_string();
    let history = case::run_plan(&name, case.plan(reference, place))?;
    let expected = expected::end(case, place);
    if let Some(difference) = difference(case.action, &history, &expected) {
        return Err(failure(&name, format!("unexpected end: {difference}"), &history));
    }
    case::check_guarantees(&name, &history)?;
    Ok(expected.outcome.to_owned())
}

/// How a history's end differs from the expected one, if it does.
fn difference(action: Action, history: &History, expected: &End) -> Option<String> {
    let facts = Facts::of(history);
    let mut kinds = history.record.iter().map(|entry| &entry.kind);
    if !kinds.any(|kind| matches!(kind, EntryKind::Served { served, .. } if served.is_fault)) {
        return Some("no call met the fault".to_owned());
    }
    let [event] = facts.publications.as_slice() else {
        return Some(format!("{} events instead of one", facts.publications.len()));
    };
    let detail = event.detail;
    let text = |field: &str| detail["reason"][field].as_str().unwrap_or_default().to_owned();
    let actual_event = (event.outcome(), event.reason());
    let expected_event = (expected.outcome, expected.reason.as_deref().unwrap_or_default());
    if actual_event != expected_event {
        return Some(format!("{actual_event:?} instead of {expected_event:?}"));
    }
    if !text("message").contains(&expected.message) {
        return Some(format!("{:?} is not in the reason: {}", expected.message, text("message")));
    }
    if let Some(retried) = &expected.retried
        && detail["effort"]["retries"][retried].as_u64().is_none_or(|count| count == 0)
    {
        return Some(format!("no retry for {retried}: {}", detail["effort"]));
    }
    let copies: Vec<_> = history
        .dead_letters
        .iter()
        .map(|dead_letter| {
            let reason = dead_letter.attributes.get("reason_code").map(|attribute| &attribute.value);
            let reason = match reason {
                Some(AttributeValue::Text(reason)) => Some(reason.clone()),
                _ => None,
            };
            (dead_letter.body.as_str(), reason)
        })
        .collect();
    let copy = (history.plan.requests[0].body.as_str(), expected.reason.clone());
    let expected_copies: &[_] = if expected.is_copied { &[copy] } else { &[] };
    if copies != expected_copies {
        return Some(format!("dead letters {copies:?} instead of {expected_copies:?}"));
    }
    if !history.waiting.is_empty() {
        return Some("the queue is not empty".to_owned());
    }
    let left: &[&str] = match (action, expected.is_detached, expected.is_replaced) {
        (ATTACH, true, _) => &[REPLACEMENT],
        (ATTACH, false, true) => &[GROUP, REPLACEMENT],
        (ATTACH, false, false) => &[GROUP],
        (_, true, _) => &GROUPS[1..],
        (_, false, _) => &GROUPS,
    };
    let left = left.iter().map(|group| (*group, "Attached")).collect();
    let actual = case::actual_state(history);
    (actual != BTreeMap::from([(ENDPOINT, left)]))
        .then(|| format!("the actual state of the endpoint is {actual:?}"))
}
