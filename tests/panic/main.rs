//! What a panic looks like in the log of the worker: one JSON line, and nothing beside it.
//!
//! Without the test harness, whose own panic hook would be in the way: the program starts itself once more, as the
//! process that panics.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reports"
)]

use std::process::Command;

use privatelink_detach::telemetry::{self, Level};

/// The argument that makes this the process that panics.
const PANIC: &str = "--panic";

fn main() {
    if std::env::args().any(|argument| argument == PANIC) {
        telemetry::start(Level::default());
        panic!("a {} panic\nof two lines", "planned");
    }
    a_panic_is_one_line_of_the_log();
    println!("1 passed, 0 failed");
}

fn a_panic_is_one_line_of_the_log() {
    let itself = std::env::current_exe().expect("this program has a path");
    let output = Command::new(itself).arg(PANIC).output().expect("it starts");
    assert!(!output.status.success());
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(
        (&line["level"], &line["panic_message"]),
        (&"ERROR".into(), &"a planned panic\nof two lines".into())
    );
    assert!(
        line["location"].as_str().is_some_and(|location| location.contains("tests/panic/main.rs:")),
        "{line}"
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
