//! `make demo` as a process: its exit status, the lines of its output that the README quotes, and a sweep.
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

/// The output of a run with these arguments, which must end with this status.
fn run(arguments: &[&str], status: i32) -> String {
    let demo = Command::new(program()).args(arguments).output();
    let demo = demo.expect("`cargo build --example demo` has built the program");
    let printed = String::from_utf8(demo.stdout).unwrap();
    assert_eq!(demo.status.code(), Some(status), "{printed}{}", String::from_utf8_lossy(&demo.stderr));
    printed
}

#[test]
fn demo_prints_the_lines_that_the_readme_quotes() {
    let quoted = include_str!("../README.md").split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let of_the_sample = |event: &&str| {
        ENDPOINTS.iter().any(|endpoint| event.starts_with(endpoint)) && !event.contains(OF_THE_BATCH)
    };
    let quoted: Vec<&str> = events_in(quoted).into_iter().filter(of_the_sample).collect();
    assert!(quoted.len() >= 5, "{quoted:?}");

    let printed = run(&[SAMPLE], 0);
    let events = events_in(&printed);
    for event in quoted {
        assert!(events.contains(&event), "not printed: {event}\n{printed}");
    }
}

#[test]
fn demo_carries_out_the_requests_of_a_sweep_and_shows_its_verdict() {
    let printed = run(&["events/sweep-apply.json"], 0);
    for endpoint in ["ep-hp3cart  ", "ep-hp3orders", "ep-hp3shop  "] {
        let detached = format!("{endpoint}   sg-hp3vendor  DETACHED");
        assert!(events_in(&printed).contains(&detached.as_str()), "{endpoint} is not detached\n{printed}");
    }
    for line in [r#"  "requested_count": 3,"#, r#"  "remaining_count": 1,"#] {
        assert!(printed.lines().any(|printed| printed == line), "not printed: {line}\n{printed}");
    }
}

#[test]
fn each_sweep_of_a_demo_starts_with_the_initial_state_and_is_named() {
    let files = ["events/sweep-apply.json", "events/sweep-over-limit.json", "events/sweep-report.json"];
    let printed = run(&files, 0);
    let events = events_in(&printed);
    for file in files {
        let at = events.iter().position(|event| *event == file);
        let next = at.and_then(|at| events.get(at + 1)).unwrap_or_else(|| panic!("no {file}\n{printed}"));
        assert!(next.starts_with("sweeper: sweep started"), "{file}: {next}");
    }
    // As in events/README.md: the detaches of the first file do not change the results of the others.
    let verdicts = printed.lines().filter_map(|line| line.strip_prefix(r#"  "verdict": "#));
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [r#""references_found","#, r#""over_limit","#, r#""references_found","#],
        "{printed}"
    );
    let totals = printed.lines().filter_map(|line| line.strip_prefix(r#"  "references_total": "#));
    assert_eq!(totals.collect::<Vec<_>>(), ["1,", "8,", "8,"], "{printed}");
    // The calls of all three sweeps are counted.
    assert!(printed.contains("It accepted 3,"), "{printed}");
}

#[test]
fn demo_shows_why_a_sweep_is_refused() {
    let printed = run(&["events/sweep-invalid.json"], 0);
    for part in ["InvalidSweep", "scope.vpc is not a filter", "max_detaches is required with apply"] {
        assert!(printed.contains(part), "not printed: {part}\n{printed}");
    }
}
