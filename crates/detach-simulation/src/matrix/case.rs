//! Code that the matrix and the crash points share: cases on several threads, the end of a history, and reports of
//! failures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::history::{History, Plan, Trace};
use crate::invariants::{Facts, Publication};

/// A case with an unexpected end.
#[derive(Debug, Clone)]
pub struct Failure {
    pub case: String,
    /// The guarantee that was broken, or how the end differs from the expected one.
    pub check: String,
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}: {}", self.trace, self.case, self.check)
    }
}

/// Runs every case, on this many threads. Returns all results in the order of the cases, or the failure of the first
/// that failed.
pub(crate) fn each<C: Sync, R: Send>(
    cases: &[C],
    threads: usize,
    run: impl Fn(&C) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    crate::log::start_verbose();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(place) else { return done };
            let result = run(case);
            if result.is_err() {
                // The other threads stop after their current case.
                next.store(cases.len(), Ordering::Relaxed);
            }
            done.push((place, result));
        }
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a thread that catches every panic"))
            .collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs a plan. A panic outside a lane is a bug of the worker like any other.
pub(crate) fn run_plan(case: &str, plan: Plan) -> Result<History, Failure> {
    catch_unwind(AssertUnwindSafe(|| History::of_plan(plan))).map_err(|_| {
        let check = "panic: the worker panicked outside a lane".to_owned();
        Failure { case: case.to_owned(), check, trace: String::new() }
    })
}

pub(crate) fn failure(case: &str, check: impl fmt::Display, history: &History) -> Failure {
    let (case, check) = (case.to_owned(), check.to_string());
    Failure { case, check, trace: Trace(history).to_string() }
}

/// Checks every guarantee.
pub(crate) fn check_guarantees(case: &str, history: &History) -> Result<(), Failure> {
    history.check().map_err(|breach| failure(case, breach, history))
}

/// The events about one request of a history, in the order of their decisions.
pub(crate) fn events<'a>(facts: &Facts<'a>, request: usize) -> Vec<Publication<'a>> {
    let mut events: Vec<_> =
        facts.publications.iter().filter(|event| event.request == Some(request)).copied().collect();
    // All of them have the same format, to the millisecond.
    events.sort_by_key(|event| event.detail["completed_at"].as_str());
    events
}

/// An outcome, with its reason's code if it has one. `detached` and `already_detached` are one family.
pub(crate) fn family(event: &Publication<'_>) -> String {
    match (event.outcome(), event.reason()) {
        ("detached" | "already_detached", _) => "confirmed detached".to_owned(),
        (outcome, "") => outcome.to_owned(),
        (outcome, reason) => format!("{outcome} ({reason})"),
    }
}

pub(crate) fn dead_letter_bodies(history: &History) -> BTreeSet<&str> {
    history.dead_letters.iter().map(|dead_letter| dead_letter.body.as_str()).collect()
}

/// Each endpoint with its groups and their status, after all tasks have ended.
pub(crate) fn actual_state(history: &History) -> BTreeMap<&str, Vec<(&str, &str)>> {
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
