//! Kills or suspends the worker at every possible point: at each wait of each invocation of the main scenarios, and for
//! one of them in the redelivery once more. The outcome must be the same wherever it happens. Kills sweeps in the same way.

mod scenarios;
mod sweeps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::history::{History, Plan};
use crate::invariants::Facts;
use crate::matrix::case::{
    self, actual_state, check_guarantees, dead_letter_bodies, events, failure, family, run_plan,
};
use crate::record::{EntryKind, InvocationNumber};
use crate::sandbox::{Ending, Interruption};
use scenarios::Scenario;

pub use crate::matrix::Failure;

/// More polls than any invocation takes.
const POLLS_MAX: u32 = 2000;

/// How long a process is suspended: within its timeout, and beyond it.
const SUSPENSIONS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(100)];

/// The number of tested points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Points at which an invocation was killed, by scenario.
    pub kills: BTreeMap<&'static str, usize>,
    /// Pairs of points: one in the first delivery, one in the second.
    pub pairs: usize,
    /// Points at which an invocation was suspended, multiplied by the number of durations.
    pub suspensions: usize,
}

impl Summary {
    /// The total number of points.
    #[must_use]
    pub fn points(&self) -> usize {
        self.kills.values().sum::<usize>() + self.pairs + self.suspensions
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pairs, suspensions } = self;
        writeln!(formatter, "{} points at which a process is killed or suspended", self.points())?;
        for (scenario, count) in kills {
            writeln!(formatter, "  {count:>5} killed: {scenario}")?;
        }
        writeln!(formatter, "  {pairs:>5} killed, and again in the redelivery")?;
        writeln!(formatter, "  {suspensions:>5} suspended")
    }
}

/// An invocation of a scenario's baseline, which is the history without a crash.
struct CrashedRun<'a> {
    scenario: &'a Scenario,
    invocation: InvocationNumber,
    baseline: &'a History,
}

/// Tests all points, on this many threads.
pub fn run(threads: usize) -> Result<Summary, Failure> {
    let scenarios = scenarios::all();
    let baseline = case::each(&scenarios, threads, |scenario| {
        let history = run_plan(scenario.name, (scenario.plan)())?;
        check_guarantees(scenario.name, &history)?;
        match baseline_difference(scenario, &history) {
            None => Ok(history),
            Some(difference) => Err(failure(scenario.name, difference, &history)),
        }
    })?;
    let mut runs = Vec::new();
    for (scenario, baseline) in scenarios.iter().zip(&baseline) {
        for invocation in Facts::of(baseline).runs.into_keys() {
            runs.push(CrashedRun { scenario, invocation, baseline });
        }
    }
    let counts = case::each(&runs, threads, |one| one.kill(&BTreeMap::new()))?;
    let mut summary = Summary::default();
    for (one, count) in runs.iter().zip(&counts) {
        *summary.kills.entry(one.scenario.name).or_default() += *count;
    }
    let points: Vec<(&CrashedRun<'_>, u32)> = runs
        .iter()
        .zip(&counts)
        .filter(|(one, _)| one.scenario.is_for_suspensions && one.invocation == 1)
        .flat_map(|(one, count)| {
            (0..u32::try_from(*count).unwrap_or(POLLS_MAX)).map(move |polls| (one, polls))
        })
        .collect();
    case::each(&points, threads, |(one, polls)| {
        SUSPENSIONS.iter().try_for_each(|duration| {
            let suspension = Interruption::Suspend { polls: *polls, duration: *duration };
            one.interrupted(&BTreeMap::from([(one.invocation, suspension)])).map(drop)
        })
    })?;
    summary.suspensions = points.len() * SUSPENSIONS.len();
    let pairs: Vec<_> = points.iter().filter(|(one, _)| one.scenario.is_for_pairs).collect();
    let pairs = case::each(&pairs, threads, |(one, polls)| {
        let second = CrashedRun { invocation: one.invocation + 1, ..**one };
        second.kill(&BTreeMap::from([(one.invocation, Interruption::Kill { polls: *polls })]))
    })?;
    summary.pairs = pairs.iter().sum();
    summary.kills.extend(sweeps::run(threads)?);
    Ok(summary)
}

impl CrashedRun<'_> {
    /// Kills the invocation at every point, after the given interruptions of earlier invocations, until it ends before
    /// the kill. Returns the number of points.
    fn kill(&self, before: &BTreeMap<InvocationNumber, Interruption>) -> Result<usize, Failure> {
        for polls in 0..POLLS_MAX {
            let mut interruptions = before.clone();
            interruptions.insert(self.invocation, Interruption::Kill { polls });
            let history = self.interrupted(&interruptions)?;
            let is_killed = history.record.iter().any(|entry| {
                matches!(&entry.kind, EntryKind::Ended { invocation, ending: Ending::Killed } if *invocation == self.invocation)
            });
            if !is_killed {
                return Ok(usize::try_from(polls).unwrap_or_default());
            }
        }
        Err(failure(self.scenario.name, "an invocation does not end", self.baseline))
    }

    /// Runs the scenario with these interruptions and compares its end with the baseline.
    fn interrupted(
        &self,
        interruptions: &BTreeMap<InvocationNumber, Interruption>,
    ) -> Result<History, Failure> {
        let name = format!("{}, interrupted: {interruptions:?}", self.scenario.name);
        let mut plan: Plan = (self.scenario.plan)();
        plan.faults.interruptions.clone_from(interruptions);
        let history = run_plan(&name, plan)?;
        if let Some(difference) = self.difference(&history, interruptions.len()) {
            return Err(failure(&name, format!("unexpected end: {difference}"), &history));
        }
        check_guarantees(&name, &history)?;
        Ok(history)
    }

    /// How the end differs from the baseline, if it does.
    fn difference(&self, history: &History, interruptions: usize) -> Option<String> {
        let (actual, expected) = (Facts::of(history), Facts::of(self.baseline));
        for request in 0..history.plan.requests.len() {
            let (actual, expected) = (families(&actual, request), families(&expected, request));
            if actual.is_empty() || actual.len() > expected.len() + interruptions {
                return Some(format!(
                    "request {request} has the events {actual:?}, without a crash {expected:?}"
                ));
            }
            let is_allowed = |family: &String| {
                expected.contains(family) || self.scenario.other_ends.contains(&family.as_str())
            };
            if !actual.iter().all(is_allowed) {
                return Some(format!("request {request} ends as {actual:?} instead of {expected:?}"));
            }
        }
        if dead_letter_bodies(history) != dead_letter_bodies(self.baseline) {
            let expected: BTreeSet<&str> = dead_letter_bodies(self.baseline);
            return Some(format!("dead letters {:?} instead of {expected:?}", dead_letter_bodies(history)));
        }
        if !history.waiting.is_empty() {
            return Some("the queue is not empty".to_owned());
        }
        let (actual, expected) = (actual_state(history), actual_state(self.baseline));
        (actual != expected)
            .then(|| format!("the actual state of the endpoints is {actual:?} instead of {expected:?}"))
    }
}

/// How the baseline differs from what its scenario must show, if it does.
fn baseline_difference(scenario: &Scenario, history: &History) -> Option<String> {
    let facts = Facts::of(history);
    let mut requests = 0..history.plan.requests.len();
    let is_expected = |request: usize| families(&facts, request) == [scenario.end];
    if !requests.all(is_expected) {
        let all: Vec<_> = (0..history.plan.requests.len()).map(|request| families(&facts, request)).collect();
        return Some(format!("without a crash it ends as {all:?} instead of {}", scenario.end));
    }
    let is_met = |code: &str| {
        facts
            .calls
            .iter()
            .any(|call| call.response().is_some_and(|served| served.code.as_deref() == Some(code)))
    };
    if scenario.meets.is_some_and(|code| !is_met(code)) {
        return Some(format!("without a crash no response has the code {:?}", scenario.meets));
    }
    let (copies, runs) = (history.dead_letters.len(), facts.runs.len());
    if (copies, runs) != (scenario.copies, scenario.invocations) {
        return Some(format!("without a crash it takes {runs} invocations and makes {copies} copies"));
    }
    None
}

fn families(facts: &Facts<'_>, request: usize) -> Vec<String> {
    events(facts, request).iter().map(family).collect()
}
