//! The worker dies, or stands still, at every point at which it can: at each wait of each invocation of the main scenarios,
//! and for one of them in the redelivery once more. However it dies, the end is the same.

mod scenarios;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::history::{History, Plan};
use crate::invariants::Facts;
use crate::matrix::case::{self, events, failure, family, letters, lived, promises, truth};
use crate::record::{InvocationNumber, What};
use crate::sandbox::{Ending, Interruption};
use scenarios::Scenario;

pub use crate::matrix::Failure;

/// More polls than any invocation takes.
const POLLS_MAX: u32 = 2000;

/// How long a process stands still: within its time, and beyond it.
const STANDSTILLS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(100)];

/// What was lived through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Points at which an invocation was killed, by scenario.
    pub kills: BTreeMap<&'static str, usize>,
    /// Pairs of points: one in the first delivery, one in the second.
    pub pairs: usize,
    /// Points at which an invocation stood still, each time for so long and for longer.
    pub standstills: usize,
}

impl Summary {
    /// All points.
    #[must_use]
    pub fn places(&self) -> usize {
        self.kills.values().sum::<usize>() + self.pairs + self.standstills
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pairs, standstills } = self;
        writeln!(formatter, "{} points at which a worker dies or stands still", self.places())?;
        for (scenario, count) in kills {
            writeln!(formatter, "  {count:>5} killed: {scenario}")?;
        }
        writeln!(formatter, "  {pairs:>5} killed, and killed again in the redelivery")?;
        writeln!(formatter, "  {standstills:>5} standing still")
    }
}

/// An invocation of a scenario's undisturbed history.
struct Sweep<'a> {
    scenario: &'a Scenario,
    invocation: InvocationNumber,
    undisturbed: &'a History,
}

/// Lives through all of it, on so many threads.
pub fn run(threads: usize) -> Result<Summary, Failure> {
    let scenarios = scenarios::all();
    let undisturbed = case::each(&scenarios, threads, |scenario| {
        let history = lived(scenario.name, (scenario.plan)())?;
        promises(scenario.name, &history)?;
        match difference_of_itself(scenario, &history) {
            None => Ok(history),
            Some(difference) => Err(failure(scenario.name, difference, &history)),
        }
    })?;
    let mut sweeps = Vec::new();
    for (scenario, undisturbed) in scenarios.iter().zip(&undisturbed) {
        for invocation in Facts::of(undisturbed).runs.into_keys() {
            sweeps.push(Sweep { scenario, invocation, undisturbed });
        }
    }
    let counts = case::each(&sweeps, threads, |sweep| sweep.kill(&BTreeMap::new()))?;
    let mut summary = Summary::default();
    for (sweep, count) in sweeps.iter().zip(&counts) {
        *summary.kills.entry(sweep.scenario.name).or_default() += *count;
    }
    let points: Vec<(&Sweep<'_>, u32)> = sweeps
        .iter()
        .zip(&counts)
        .filter(|(sweep, _)| sweep.scenario.is_for_standstills && sweep.invocation == 1)
        .flat_map(|(sweep, count)| {
            (0..u32::try_from(*count).unwrap_or(POLLS_MAX)).map(move |polls| (sweep, polls))
        })
        .collect();
    case::each(&points, threads, |(sweep, polls)| {
        STANDSTILLS.iter().try_for_each(|lasting| {
            let stall = Interruption::Stall { polls: *polls, lasting: *lasting };
            sweep.interrupted(&BTreeMap::from([(sweep.invocation, stall)])).map(drop)
        })
    })?;
    summary.standstills = points.len() * STANDSTILLS.len();
    let pairs: Vec<_> = points.iter().filter(|(sweep, _)| sweep.scenario.is_for_pairs).collect();
    let pairs = case::each(&pairs, threads, |(sweep, polls)| {
        let second = Sweep { invocation: sweep.invocation + 1, ..**sweep };
        second.kill(&BTreeMap::from([(sweep.invocation, Interruption::Kill { polls: *polls })]))
    })?;
    summary.pairs = pairs.iter().sum();
    Ok(summary)
}

impl Sweep<'_> {
    /// Kills the invocation at every point, until it is not killed any more, after what befell the ones before it. How many
    /// points there were.
    fn kill(&self, before: &BTreeMap<InvocationNumber, Interruption>) -> Result<usize, Failure> {
        for polls in 0..POLLS_MAX {
            let mut interruptions = before.clone();
            interruptions.insert(self.invocation, Interruption::Kill { polls });
            let history = self.interrupted(&interruptions)?;
            let is_killed = history.record.iter().any(|entry| {
                matches!(&entry.what, What::Ended { invocation, ending: Ending::Killed } if *invocation == self.invocation)
            });
            if !is_killed {
                return Ok(usize::try_from(polls).unwrap_or_default());
            }
        }
        Err(failure(self.scenario.name, "an invocation without an end", self.undisturbed))
    }

    /// Lives through the scenario with what befalls its invocations, and compares.
    fn interrupted(
        &self,
        interruptions: &BTreeMap<InvocationNumber, Interruption>,
    ) -> Result<History, Failure> {
        let name = format!("{}, interrupted: {interruptions:?}", self.scenario.name);
        let mut plan: Plan = (self.scenario.plan)();
        plan.troubles.interruptions.clone_from(interruptions);
        let history = lived(&name, plan)?;
        if let Some(difference) = self.difference(&history, interruptions.len()) {
            return Err(failure(&name, format!("it ends otherwise: {difference}"), &history));
        }
        promises(&name, &history)?;
        Ok(history)
    }

    /// How the end differs from the undisturbed one, if it does.
    fn difference(&self, history: &History, interruptions: usize) -> Option<String> {
        let (seen, wanted) = (Facts::of(history), Facts::of(self.undisturbed));
        for request in 0..history.plan.requests.len() {
            let (seen, wanted) = (families(&seen, request), families(&wanted, request));
            if seen.is_empty() || seen.len() > wanted.len() + interruptions {
                return Some(format!("request {request} has the events {seen:?}, undisturbed {wanted:?}"));
            }
            let is_allowed = |family: &String| {
                wanted.contains(family) || self.scenario.other_ends.contains(&family.as_str())
            };
            if !seen.iter().all(is_allowed) {
                return Some(format!("request {request} ends as {seen:?} instead of {wanted:?}"));
            }
        }
        if letters(history) != letters(self.undisturbed) {
            let wanted: BTreeSet<&str> = letters(self.undisturbed);
            return Some(format!("dead letters {:?} instead of {wanted:?}", letters(history)));
        }
        if !history.waiting.is_empty() {
            return Some("the queue is not empty".to_owned());
        }
        let (seen, wanted) = (truth(history), truth(self.undisturbed));
        (seen != wanted).then(|| format!("the endpoints are truly {seen:?} instead of {wanted:?}"))
    }
}

/// How the undisturbed history differs from what its scenario is meant to show.
fn difference_of_itself(scenario: &Scenario, history: &History) -> Option<String> {
    let facts = Facts::of(history);
    let mut requests = 0..history.plan.requests.len();
    let is_meant = |request: usize| families(&facts, request) == [scenario.end];
    if !requests.all(is_meant) {
        let all: Vec<_> = (0..history.plan.requests.len()).map(|request| families(&facts, request)).collect();
        return Some(format!("undisturbed it ends as {all:?} instead of {}", scenario.end));
    }
    let is_met = |code: &str| {
        facts
            .calls
            .iter()
            .any(|call| call.answer().is_some_and(|served| served.code.as_deref() == Some(code)))
    };
    if scenario.meets.is_some_and(|code| !is_met(code)) {
        return Some(format!("undisturbed it never meets {:?}", scenario.meets));
    }
    let (copies, runs) = (history.dead_letters.len(), facts.runs.len());
    if (copies, runs) != (scenario.copies, scenario.invocations) {
        return Some(format!("undisturbed it takes {runs} invocations and makes {copies} copies"));
    }
    None
}

fn families(facts: &Facts<'_>, request: usize) -> Vec<String> {
    events(facts, request).iter().map(family).collect()
}
