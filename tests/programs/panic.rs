//! Logs as the worker does, and panics: what a panic looks like in the log.

use privatelink_detach::telemetry::{self, Level};

#[expect(clippy::panic, reason = "that is what it is for")]
fn main() {
    telemetry::start(Level::default());
    panic!("a {} panic\nof two lines", "planned");
}
