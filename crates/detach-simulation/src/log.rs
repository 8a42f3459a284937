//! The worker's log, as production writes it, captured in memory: one buffer for each thread, because a history runs on
//! one.

use std::cell::RefCell;
use std::sync::Once;

use privatelink_detach::telemetry::{self, Level};

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// Starts to capture, at the level of the first call. If another subscriber is installed already, nothing is captured.
pub fn start(level: Level) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(telemetry::json_lines(level, || Writer));
    });
}

/// Starts to capture at the most verbose level.
///
/// # Panics
///
/// Never: the level exists.
pub fn start_verbose() {
    start(Level::parse("trace").expect("a level"));
}

/// Clears the buffer of this thread.
pub(crate) fn clear() {
    WRITTEN.with_borrow_mut(Vec::clear);
}

/// The log lines of this thread, each one JSON object.
#[must_use]
pub fn written() -> String {
    WRITTEN.with_borrow(|written| String::from_utf8_lossy(written).into_owned())
}
