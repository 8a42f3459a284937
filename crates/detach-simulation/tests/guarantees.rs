//! Checks every guarantee: in 10,000 histories, at every crash point, and for every fault. Prints the statistics, also
//! on success: a suite that stops testing anything must be noticed.

#![expect(clippy::print_stdout, clippy::panic, reason = "a test program reports and fails this way")]

use std::num::NonZero;
use std::thread;
use std::time::Duration;

use detach_simulation::campaign::Subject;
use detach_simulation::{campaign, crashes, matrix};

/// The number of histories in every run of the tests.
const HISTORIES: u64 = 10_000;

/// The number of histories of sweeps in every run of the tests.
const SWEEP_HISTORIES: u64 = 3_000;

/// The minimum share of histories in which a last group was replaced.
const REPLACED_SHARE_MIN: f64 = 0.05;

/// Every run so far had more points and cases than these minimums: with fewer, some are no longer tested.
const CRASHES_MIN: usize = 5_000;
const CASES_MIN: usize = 3_600;

fn main() {
    // cargo lists the tests of every test program; this one has none to list.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let run = |subject, count| {
        let tally =
            campaign::run(subject, 1..count + 1, threads).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{tally}\n");
        assert_eq!(tally.histories, count);
        tally
    };
    let tally = run(Subject::Requests, HISTORIES);
    assert!(tally.simulated > Duration::from_hours(100), "too little virtual time passed");
    assert!(tally.replaced_share() > REPLACED_SHARE_MIN, "last groups are replaced");
    let tally = run(Subject::Sweeps, SWEEP_HISTORIES);
    let verdicts = ["incomplete", "no_endpoints", "no_references", "over_limit", "references_found"];
    assert!(verdicts.iter().all(|verdict| tally.verdicts.contains_key(*verdict)), "every verdict occurs");
    crash_points(threads);
    fault_matrix(threads);
}

fn crash_points(threads: usize) {
    let summary = crashes::run(threads).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary}");
    assert!(summary.points() >= CRASHES_MIN);
    assert!(summary.kills.values().all(|points| *points > 0));
}

fn fault_matrix(threads: usize) {
    let summary = matrix::run(threads).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary}");
    let all = summary.faults * summary.actions * summary.attempts * summary.moments;
    let omitted: usize = summary.omitted.values().sum();
    assert_eq!(summary.cases, all - omitted, "each is run or omitted for a reason");
    let places = summary.attempts * summary.moments;
    assert_eq!(summary.omitted["a write has no pages"], 2 * 6 * places, "six faults concern pages");
    assert_eq!(summary.omitted["a read is not accepted"], 2 * 2 * places, "two faults concern writes");
    assert_eq!(summary.ends.values().sum::<usize>(), summary.cases, "each has an expected end");
    assert!(summary.cases >= CASES_MIN);
    let omitted: usize = summary.aws_omitted.values().sum();
    assert_eq!(summary.aws_cases, 4 * 5 * 2 * 3 - omitted, "each is run or omitted for a reason");
}
