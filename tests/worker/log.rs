//! The worker's log, as each test's own thread wrote it.
//!
//! One subscriber serves all tests: a callsite that was first met without one may stay silent for the others.

use std::cell::RefCell;
use std::sync::Once;

use privatelink_detach::telemetry::{self, Level};
use serde_json::Value;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the buffer of its thread.
struct Writer;

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to listen; panics are logged as the worker logs them, and shown as tests show them.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(telemetry::json_lines(Level::default(), || Writer)).unwrap();
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            telemetry::log_panic(panic);
            shown(panic);
        }));
    });
}

/// Every line that this thread wrote, each one JSON object.
pub(crate) fn lines() -> Vec<Value> {
    let written = WRITTEN.with_borrow(Clone::clone);
    String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
