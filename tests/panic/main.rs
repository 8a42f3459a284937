//! A panic of the worker is logged as one JSON line, without any other output.
//!
//! This test runs without the test harness, because the harness installs its own panic hook. The program starts a
//! second process of itself, which panics.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its result"
)]

use std::process::Command;

use privatelink_detach::telemetry::{self, Level};

/// The argument of the process that panics.
const PANIC: &str = "--panic";

fn main() {
    if std::env::args().any(|argument| argument == PANIC) {
        telemetry::start(Level::default());
        panic!("a {} panic\nof two lines", "planned");
    }
    panic_is_logged_as_one_line();
    println!("1 passed, 0 failed");
}

fn panic_is_logged_as_one_line() {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program).arg(PANIC).output().expect("the second process");
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
