//! Every fault, at every call that can meet it, at several times and in every moment of the call: each combination is a
//! history of its own with one exact end.
//!
//! The ends are in `expected`, written from the documentation of the service and from the promises. What AWS can do to a
//! call is a smaller matrix beside it.

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
use crate::record::What;
use crate::sandbox::Interruption;
use case::failure;
use expected::End;
use faults::Ill;
use reference::{Place, Reference};

pub use case::Failure;

/// The endpoint of every case, its groups, and the one that must go. Lists come in pages of two.
const ENDPOINT: &str = "ep-a";
const GROUPS: [&str; 4] = ["sg-a", "sg-b", "sg-c", "sg-d"];
const GROUP: &str = "sg-a";

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const LIST: Action = Action::ListVpcEndpointSecurityGroups;
const RECORD: Action = Action::ListVpcEndpoints;

/// The calls that the worker makes.
const ACTIONS: [Action; 3] = [DETACH, LIST, RECORD];

/// The deadline of a request whose fault lasts for its whole life, and of one whose first delivery dies before.
const DEADLINE: Duration = Duration::from_secs(45);
const DEADLINE_OF_REDELIVERED: Duration = Duration::from_secs(590);

/// When a fault begins that only the redelivery is to meet: after the first delivery has died, before its message shows.
const BETWEEN_DELIVERIES: Duration = Duration::from_mins(5);

/// Which of an action's calls meets the fault. Of lists only first pages count, but for `LaterPage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    First,
    Middle,
    Last,
    /// All of them, for as long as the request lives.
    Every,
    /// A page after the first.
    LaterPage,
}

impl Attempt {
    const ALL: [Self; 5] = [Self::First, Self::Middle, Self::Last, Self::Every, Self::LaterPage];
}

/// At which moment of the call the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The call is not carried out.
    BeforeExecution,
    /// It is, and its answer is replaced.
    AfterExecution,
    /// The call is answered truly, the process dies with the answer in hand, and the redelivery's call meets the fault.
    AfterAnswer,
}

impl Moment {
    const ALL: [Self; 3] = [Self::BeforeExecution, Self::AfterExecution, Self::AfterAnswer];
}

/// One combination.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    ill: &'a Ill,
    action: Action,
    attempt: Attempt,
    moment: Moment,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ill, action, attempt, moment } = self;
        write!(formatter, "{} × {action} × {attempt:?} × {moment:?}", ill.name)
    }
}

impl Case<'_> {
    /// Why there is nothing to try.
    fn is_meaningless(&self) -> Option<&'static str> {
        let (is_write, effect) = (self.action == DETACH, &self.ill.effect);
        let is_of_pages =
            matches!(effect, Effect::RepeatNextToken | Effect::OverstatedTotal { .. } | Effect::RepeatedItem);
        let is_of_writes = matches!(effect, Effect::AcceptedWithoutEffect | Effect::AcceptedThenFails);
        if is_of_pages && is_write {
            Some("a write has no pages")
        } else if is_of_writes && !is_write {
            Some("a read is not accepted")
        } else if self.attempt == Attempt::LaterPage && self.action != LIST {
            Some("it comes in one page")
        } else if effect.modifies_response() && self.moment == Moment::BeforeExecution {
            Some("a true answer is spoilt only after the call was carried out")
        } else if !effect.modifies_response() && !is_write && self.moment == Moment::AfterExecution {
            Some("a read changes nothing, so a lost answer is a call that was not carried out")
        } else if is_write && self.attempt == Attempt::Last && self.moment == Moment::AfterAnswer {
            Some("after the accepted write the redelivery makes no other")
        } else {
            None
        }
    }

    /// The plan in which it happens.
    fn plan(&self, reference: &Reference, place: Place) -> Plan {
        let mut plan = reference.plan.clone();
        plan.cloud.settings.error_format = self.ill.format;
        let fault = Fault::on(self.action, self.ill.effect.clone());
        let is_lasting = self.attempt == Attempt::Every;
        if self.moment == Moment::AfterAnswer {
            plan.troubles.interruptions.insert(1, Interruption::Kill { polls: place.polls });
            if is_lasting {
                plan.requests = vec![reference::request(DEADLINE_OF_REDELIVERED)];
                plan.calm_at = DEADLINE_OF_REDELIVERED;
                plan.outside.push((BETWEEN_DELIVERIES, Outside::Fault(Box::new(fault))));
            } else {
                // The next call of the action; of a list's later page, the page after the first again.
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

/// What the matrix amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many faults there are.
    pub faults: usize,
    /// Calls that can meet one.
    pub actions: usize,
    /// Attempts.
    pub attempts: usize,
    /// Moments.
    pub moments: usize,
    /// How many combinations were lived through.
    pub cases: usize,
    /// How many were not, by the reason.
    pub meaningless: BTreeMap<&'static str, usize>,
    /// How many there are of each end.
    pub ends: BTreeMap<String, usize>,
    /// Combinations of an AWS operation, what becomes of it, how often, and a scenario that were lived through.
    pub aws_cases: usize,
    /// The others.
    pub aws_meaningless: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, actions, attempts, moments, cases, .. } = self;
        let all = faults * actions * attempts * moments;
        writeln!(
            formatter,
            "{faults} faults × {actions} calls × {attempts} attempts × {moments} moments = {all} combinations, \
             {cases} of them lived through"
        )?;
        for (why, count) in &self.meaningless {
            writeln!(formatter, "  {count:>5} not: {why}")?;
        }
        for (end, count) in &self.ends {
            writeln!(formatter, "  {count:>5} end as {end}")?;
        }
        let aws_skipped: usize = self.aws_meaningless.values().sum();
        writeln!(
            formatter,
            "{} combinations of AWS operation, fate, times and scenario, {} of them lived through",
            self.aws_cases + aws_skipped,
            self.aws_cases
        )?;
        for (why, count) in &self.aws_meaningless {
            writeln!(formatter, "  {count:>5} not: {why}")?;
        }
        Ok(())
    }
}

/// Lives through all of it, on so many threads.
pub fn run(threads: usize) -> Result<Summary, Failure> {
    crate::log::start_in_full();
    let (ills, reference) = (faults::all(), Reference::new()?);
    let mut summary = Summary {
        faults: ills.len(),
        actions: ACTIONS.len(),
        attempts: Attempt::ALL.len(),
        moments: Moment::ALL.len(),
        ..Summary::default()
    };
    let mut cases = Vec::new();
    for ill in &ills {
        for action in ACTIONS {
            for attempt in Attempt::ALL {
                for moment in Moment::ALL {
                    let case = Case { ill, action, attempt, moment };
                    match case.is_meaningless() {
                        Some(why) => *summary.meaningless.entry(why).or_default() += 1,
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
    (summary.aws_cases, summary.aws_meaningless) = aws::run(threads)?;
    Ok(summary)
}

/// Lives through one case; its outcome.
fn one(case: &Case<'_>, reference: &Reference) -> Result<String, Failure> {
    let place = reference.place(case.action, case.attempt);
    let name = case.to_string();
    let history = case::lived(&name, case.plan(reference, place))?;
    let expected = expected::end(case, place);
    if let Some(difference) = difference(&history, &expected) {
        return Err(failure(&name, format!("it ends otherwise: {difference}"), &history));
    }
    case::promises(&name, &history)?;
    Ok(expected.outcome.to_owned())
}

/// How a history's end differs from what is expected, if it does.
fn difference(history: &History, expected: &End) -> Option<String> {
    let facts = Facts::of(history);
    let mut struck = history.record.iter().map(|entry| &entry.what);
    if !struck.any(|what| matches!(what, What::Served { served, .. } if served.is_fault)) {
        return Some("no call met the fault".to_owned());
    }
    let [event] = facts.publications.as_slice() else {
        return Some(format!("{} events instead of one", facts.publications.len()));
    };
    let detail = event.detail;
    let text = |field: &str| detail["reason"][field].as_str().unwrap_or_default().to_owned();
    let seen = (event.outcome(), event.reason());
    let wanted = (expected.outcome, expected.reason.as_deref().unwrap_or_default());
    if seen != wanted {
        return Some(format!("{seen:?} instead of {wanted:?}"));
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
        .map(|letter| {
            let reason = letter.attributes.get("reason_code").map(|attribute| &attribute.value);
            let reason = match reason {
                Some(AttributeValue::Text(reason)) => Some(reason.clone()),
                _ => None,
            };
            (letter.body.as_str(), reason)
        })
        .collect();
    let copy = (history.plan.requests[0].body.as_str(), expected.reason.clone());
    let wanted: &[_] = if expected.is_copied { &[copy] } else { &[] };
    if copies != wanted {
        return Some(format!("dead letters {copies:?} instead of {wanted:?}"));
    }
    if !history.waiting.is_empty() {
        return Some("the queue is not empty".to_owned());
    }
    let left: &[&str] = if expected.is_gone { &GROUPS[1..] } else { &GROUPS };
    let left = left.iter().map(|group| (*group, "Attached")).collect();
    let truth = case::truth(history);
    (truth != BTreeMap::from([(ENDPOINT, left)])).then(|| format!("the endpoint is truly {truth:?}"))
}
