//! The worker's log, as each test's own thread wrote it.
//!
//! One subscriber serves all tests: a callsite that was first met without one may stay silent for the others.

use std::sync::Once;

use detach_simulation::log;
use privatelink_detach::telemetry::{self, Level};
use serde_json::Value;

/// Begins to listen; panics are logged as the worker logs them, and shown as tests show them.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::start(Level::default());
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            telemetry::log_panic(panic);
            shown(panic);
        }));
    });
}

/// Every line that this thread wrote, each one JSON object.
pub(crate) fn lines() -> Vec<Value> {
    log::written().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
