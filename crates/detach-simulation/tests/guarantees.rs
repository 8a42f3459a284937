//! Every promise, held against the worker as it is: ten thousand histories, every point of a crash, every fault. What was
//! lived through is printed, also when all is well: a suite that does nothing must not go unseen.

#![expect(clippy::print_stdout, clippy::panic, reason = "a program that tests")]

use std::num::NonZero;
use std::thread;
use std::time::Duration;

use detach_simulation::{campaign, crashes, matrix};

/// Histories in every run of the tests.
const HISTORIES: u64 = 10_000;

/// Fewer points, and fewer cases, than these were never counted: fewer means that some are not tried any more.
const CRASHES_MIN: usize = 1_100;
const CASES_MIN: usize = 2_400;

fn main() {
    // cargo asks every test program for its tests, and this is none of them.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let tally = campaign::run(1..HISTORIES + 1, threads).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally}\n");
    assert_eq!(tally.histories, HISTORIES);
    assert!(tally.simulated > Duration::from_hours(100), "hardly anything happened");
    crash_points(threads);
    fault_matrix(threads);
}

fn crash_points(threads: usize) {
    let summary = crashes::run(threads).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary}");
    assert!(summary.places() >= CRASHES_MIN);
    assert!(summary.kills.values().all(|points| *points > 0));
}

fn fault_matrix(threads: usize) {
    let summary = matrix::run(threads).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary}");
    let all = summary.faults * summary.actions * summary.attempts * summary.moments;
    let left_out: usize = summary.meaningless.values().sum();
    assert_eq!(summary.cases, all - left_out, "each is lived through or named");
    let places = summary.attempts * summary.moments;
    assert_eq!(summary.meaningless["a write has no pages"], 3 * places, "three faults spoil pages");
    assert_eq!(summary.meaningless["a read is not accepted"], 2 * 2 * places, "two spoil writes");
    assert_eq!(summary.ends.values().sum::<usize>(), summary.cases, "each has an end");
    assert!(summary.cases >= CASES_MIN);
    let left_out: usize = summary.aws_meaningless.values().sum();
    assert_eq!(summary.aws_cases, 4 * 4 * 2 * 3 - left_out, "each is lived through or named");
}
