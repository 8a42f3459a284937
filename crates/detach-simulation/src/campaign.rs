//! Many histories, on one thread for each processor. The result does not depend on the number of threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::history::{History, Plan, Trace};
use crate::tally::Tally;

/// One history of this many is run twice, to check that a seed always gives the same history.
const REPEAT_EVERY: u64 = 500;

/// The minimum share of histories with a real success. The usual share is about 69 %; with a much lower one, the
/// guarantees would hold only because the worker does nothing.
pub const SUCCESS_SHARE_MIN: f64 = 0.5;

/// The minimum share of histories of sweeps in which a sweep requested detaches and then read that no references are left.
pub const SWEPT_SHARE_MIN: f64 = 0.2;

/// A history that broke a guarantee.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that reproduces it.
    pub seed: u64,
    /// The guarantee, and how it was broken.
    pub check: String,
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\nhistory {} breaks {}", self.trace, self.seed, self.check)
    }
}

/// What the histories of a campaign are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Requests.
    Requests,
    /// Requests, in histories with replacements only.
    Replacements,
    /// Sweeps, their requests, and some other requests.
    Sweeps,
}

impl Subject {
    /// Runs the history of a seed.
    #[must_use]
    pub fn history(self, seed: u64) -> History {
        match self {
            Self::Requests | Self::Replacements => History::of_seed(seed),
            Self::Sweeps => History::of_sweeps(seed),
        }
    }

    /// Whether the history of this seed belongs to the subject.
    fn has(self, seed: u64) -> bool {
        match self {
            Self::Requests | Self::Sweeps => true,
            Self::Replacements => !Plan::of_seed(seed).deployment.rules.replacements.is_empty(),
        }
    }
}

/// Runs the histories of a range of seeds. Returns the sum of all or, of the failures that were found, the one with the
/// lowest seed.
///
/// # Panics
///
/// Never: the threads catch every panic.
pub fn run(subject: Subject, seeds: std::ops::Range<u64>, threads: usize) -> Result<Tally, Box<Failure>> {
    crate::log::start_verbose();
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<Box<Failure>>> = Mutex::default();
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || found.lock().is_ok_and(|found| found.is_some()) {
                return tally;
            }
            if let Err(failure) = one(subject, seed, &mut tally)
                && let Ok(mut found) = found.lock()
                && found.as_ref().is_none_or(|other| other.seed > failure.seed)
            {
                *found = Some(failure);
            }
        }
    };
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread that catches every panic")).collect()
    });
    if let Some(failure) = found.into_inner().ok().flatten() {
        return Err(failure);
    }
    let mut all = Tally::default();
    for tally in &tallies {
        all.merge(tally);
    }
    let (share, least) = match subject {
        Subject::Requests | Subject::Replacements => (all.success_share(), SUCCESS_SHARE_MIN),
        Subject::Sweeps => (all.swept_share(), SWEPT_SHARE_MIN),
    };
    if all.histories > 0 && share < least {
        let check =
            format!("minimum share of successes: only {share:.3} of the histories have a real success");
        return Err(Box::new(Failure { seed: seeds.start, check, trace: all.to_string() }));
    }
    Ok(all)
}

fn one(subject: Subject, seed: u64, tally: &mut Tally) -> Result<(), Box<Failure>> {
    if !subject.has(seed) {
        return Ok(());
    }
    // A panic outside a lane is a bug of the worker like any other.
    let outcome = catch_unwind(|| subject.history(seed));
    let Ok(history) = outcome else {
        let check = "panic: the worker panicked outside a lane".to_owned();
        return Err(Box::new(Failure { seed, check, trace: String::new() }));
    };
    let failure = |check: String| Box::new(Failure { seed, check, trace: Trace(&history).to_string() });
    let checked = catch_unwind(AssertUnwindSafe(|| history.check()));
    match checked {
        Err(_) => return Err(failure("panic: a check panicked".to_owned())),
        Ok(Err(breach)) => return Err(failure(breach.to_string())),
        Ok(Ok(())) => {}
    }
    if seed.is_multiple_of(REPEAT_EVERY)
        && Trace(&subject.history(seed)).to_string() != Trace(&history).to_string()
    {
        return Err(failure("determinism: the same seed gave a different history".to_owned()));
    }
    tally.add(&history);
    Ok(())
}
