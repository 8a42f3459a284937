//! The worker's log, separately for each test's thread.
//!
//! One subscriber serves all tests: `tracing` may disable a callsite for all threads if there is no subscriber when it
//! is first reached.

use std::sync::Once;

use detach_simulation::log;
use privatelink_detach::telemetry::{self, Level};
use serde_json::Value;

/// Starts to record the log. Panics are logged as in the worker, and also reported by the test harness.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::start(Level::default());
        let default_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            telemetry::log_panic(panic);
            default_hook(panic);
        }));
    });
}

/// The lines that this thread has logged, each one JSON object.
pub(crate) fn lines() -> Vec<Value> {
    log::written().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
