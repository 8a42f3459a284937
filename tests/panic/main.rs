//! A panic of the worker is logged as one JSON line, without any other output and without the texts that it quotes.
//!
//! This test runs without the test harness, because the harness installs its own panic hook. The program starts a
//! second process of itself, which panics several times.

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

/// A text that the log must not contain.
const BODY: &str = "\u{e9} s3cret";

/// The panics of the second process, in their order, and a part of what is logged of the message of each.
const PANICS: [(fn(), &str); 2] = [
    (|| panic!("a {} panic\nof two lines", "planned"), "a planned panic\nof two lines"),
    // The standard library's message quotes the text.
    (|| println!("{}", &BODY[1..]), "byte index 1 is not a char boundary"),
];

fn main() {
    if std::env::args().any(|argument| argument == PANIC) {
        telemetry::start(Level::default());
        for (panic, _) in PANICS {
            std::panic::catch_unwind(panic).expect_err("a panic");
        }
        return;
    }
    panic_is_logged_as_one_line_without_quotations();
    println!("1 passed, 0 failed");
}

fn panic_is_logged_as_one_line_without_quotations() {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program).arg(PANIC).output().expect("the second process");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    assert!(!stdout.contains("s3cret"), "{stdout}");
    assert_eq!(stdout.lines().count(), PANICS.len(), "{stdout}");
    for (line, (_, message)) in stdout.lines().zip(PANICS) {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let logged = line["panic_message"].as_str().expect("a message");
        let location = line["location"].as_str().expect("a location");
        assert_eq!(line["level"], "ERROR");
        assert!(logged.contains(message) && location.contains("tests/panic/main.rs:"), "{line}");
    }
}
