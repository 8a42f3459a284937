//! What matrix and crash points share: cases on several threads, how a history ended, and what is told of a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::history::{History, Plan, Story};
use crate::invariants::{Facts, Publication};

/// A case that ended otherwise than it must.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The promise that was broken, or how its end differs from the expected one.
    pub check: String,
    /// The history.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}: {}", self.story, self.case, self.check)
    }
}

/// Runs every case, on so many threads: all results in the cases' order, or the failure of the first that failed.
pub(crate) fn each<C: Sync, R: Send>(
    cases: &[C],
    threads: usize,
    run: impl Fn(&C) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    crate::log::start_in_full();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(place) else { return done };
            let result = run(case);
            if result.is_err() {
                // The others stop after the case that they are at.
                next.store(cases.len(), Ordering::Relaxed);
            }
            done.push((place, result));
        }
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a thread that contains every panic"))
            .collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Lives through a plan. A panic outside of a lane would be a defect of the worker like any other.
pub(crate) fn lived(case: &str, plan: Plan) -> Result<History, Failure> {
    catch_unwind(AssertUnwindSafe(|| History::of_plan(plan))).map_err(|_| {
        let check = "everything: it panics".to_owned();
        Failure { case: case.to_owned(), check, story: String::new() }
    })
}

/// The failure of a case in this history.
pub(crate) fn failure(case: &str, check: impl fmt::Display, history: &History) -> Failure {
    let (case, check) = (case.to_owned(), check.to_string());
    Failure { case, check, story: Story(history).to_string() }
}

/// Every promise holds in it.
pub(crate) fn promises(case: &str, history: &History) -> Result<(), Failure> {
    history.check().map_err(|breach| failure(case, breach, history))
}

/// What was published about one request of a history, in the order in which it became true.
pub(crate) fn events<'a>(facts: &Facts<'a>, request: usize) -> Vec<Publication<'a>> {
    let mut events: Vec<_> =
        facts.publications.iter().filter(|event| event.request == Some(request)).copied().collect();
    // All of them are written alike, to the millisecond.
    events.sort_by_key(|event| event.detail["completed_at"].as_str());
    events
}

/// An outcome, with its reason's code if it has one. Gone is gone, whoever did it.
pub(crate) fn family(event: &Publication<'_>) -> String {
    match (event.outcome(), event.reason()) {
        ("detached" | "already_detached", _) => "gone".to_owned(),
        (outcome, "") => outcome.to_owned(),
        (outcome, reason) => format!("{outcome} ({reason})"),
    }
}

/// The bodies in the dead-letter queue.
pub(crate) fn letters(history: &History) -> BTreeSet<&str> {
    history.dead_letters.iter().map(|letter| letter.body.as_str()).collect()
}

/// Each endpoint with its groups, and what is left of them once nothing is under way.
pub(crate) fn truth(history: &History) -> BTreeMap<&str, Vec<(&str, &str)>> {
    history
        .endpoints
        .iter()
        .map(|endpoint| {
            let groups = endpoint.security_groups.iter();
            let groups = groups.map(|group| (group.id.as_str(), group.status.as_str())).collect();
            (endpoint.endpoint_id.as_str(), groups)
        })
        .collect()
}
