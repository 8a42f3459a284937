//! Many histories, on as many threads as there are processors. What comes out does not depend on the threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::history::{History, Story};
use crate::tally::Tally;

/// One history in so many is lived through twice, to see that a seed makes the same one again.
const TWICE_EVERY: u64 = 500;

/// The least share of histories with a real success. It is about two thirds; with less, promises would hold because
/// nothing is ever done.
pub const SUCCESS_SHARE_MIN: f64 = 0.5;

/// A history that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What it can be lived through with again.
    pub seed: u64,
    /// The promise, and how it was broken.
    pub check: String,
    /// The history.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\nhistory {} breaks {}", self.story, self.seed, self.check)
    }
}

/// Lives through the histories of so many seeds. The failure with the lowest seed among those that were found, or the
/// sum of all.
///
/// # Panics
///
/// Never: its threads contain every panic.
pub fn run(seeds: std::ops::Range<u64>, threads: usize) -> Result<Tally, Box<Failure>> {
    crate::log::start_in_full();
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<Box<Failure>>> = Mutex::default();
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || found.lock().is_ok_and(|found| found.is_some()) {
                return tally;
            }
            if let Err(failure) = one(seed, &mut tally)
                && let Ok(mut found) = found.lock()
                && found.as_ref().is_none_or(|other| other.seed > failure.seed)
            {
                *found = Some(failure);
            }
        }
    };
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread that contains every panic")).collect()
    });
    if let Some(failure) = found.into_inner().ok().flatten() {
        return Err(failure);
    }
    let mut all = Tally::default();
    for tally in &tallies {
        all.merge(tally);
    }
    if all.success_share() < SUCCESS_SHARE_MIN {
        let check = format!("the floor: real successes in {:.3} of the histories", all.success_share());
        return Err(Box::new(Failure { seed: seeds.start, check, story: all.to_string() }));
    }
    Ok(all)
}

fn one(seed: u64, tally: &mut Tally) -> Result<(), Box<Failure>> {
    // A panic outside of a lane would be a defect of the worker like any other.
    let lived = catch_unwind(|| History::of_seed(seed));
    let Ok(history) = lived else {
        let check = "everything: it panics".to_owned();
        return Err(Box::new(Failure { seed, check, story: String::new() }));
    };
    let failure = |check: String| Box::new(Failure { seed, check, story: Story(&history).to_string() });
    let checked = catch_unwind(AssertUnwindSafe(|| history.check()));
    match checked {
        Err(_) => return Err(failure("the checks' own rules: they panic".to_owned())),
        Ok(Err(breach)) => return Err(failure(breach.to_string())),
        Ok(Ok(())) => {}
    }
    if seed.is_multiple_of(TWICE_EVERY)
        && Story(&History::of_seed(seed)).to_string() != Story(&history).to_string()
    {
        return Err(failure("determinism: the same seed makes another history".to_owned()));
    }
    tally.add(&history);
    Ok(())
}
