//! `make demo` as a process: its exit status, and the lines of its output that the README quotes.
//!
//! The process is the example `demo`, which cargo builds with the tests of the whole package.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

/// The sample of this run, the webhook of a run without arguments. The other one, a batch, takes 20 s.
const SAMPLE: &str = "events/webhook-several.json";

/// The endpoints of the sample.
const ENDPOINTS: [&str; 2] = ["ep-hp3cart ", "ep-hp3reviews "];

/// An event of the run that only the batch causes.
const OF_THE_BATCH: &str = "region throttled";

/// The example, in the directory beside the one of this test's program.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join("demo")
}

/// The lines of a timeline without their times, which differ from run to run.
fn events_in(timeline: &str) -> Vec<&str> {
    let events = timeline.lines().filter_map(|line| line.trim_start().split_once(" s  "));
    events.map(|(_, event)| event.split(", after ").next().unwrap()).collect()
}

#[test]
fn demo_prints_the_lines_that_the_readme_quotes() {
    let quoted = include_str!("../README.md").split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let of_the_sample = |event: &&str| {
        ENDPOINTS.iter().any(|endpoint| event.starts_with(endpoint)) && !event.contains(OF_THE_BATCH)
    };
    let quoted: Vec<&str> = events_in(quoted).into_iter().filter(of_the_sample).collect();
    assert!(quoted.len() >= 5, "{quoted:?}");

    let demo = Command::new(program()).arg(SAMPLE).output();
    let demo = demo.expect("`cargo build --example demo` has built the program");
    let printed = String::from_utf8(demo.stdout).unwrap();
    assert_eq!(demo.status.code(), Some(0), "{printed}{}", String::from_utf8_lossy(&demo.stderr));
    let events = events_in(&printed);
    for event in quoted {
        assert!(events.contains(&event), "not printed: {event}\n{printed}");
    }
}
