//! The worker's log, as production writes it, kept in memory: a buffer for each thread, since a history keeps to one.

use std::cell::RefCell;
use std::sync::Once;

use privatelink_detach::telemetry::{self, Level};

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

/// Begins to listen, at the level of the first call. If somebody else listens already, he keeps the log to himself.
pub fn start(level: Level) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(telemetry::json_lines(level, || Writer));
    });
}

/// Begins to listen at the level that says most.
///
/// # Panics
///
/// Never: there is such a level.
pub fn start_in_full() {
    start(Level::parse("trace").expect("a level"));
}

/// Forgets what this thread has written.
pub(crate) fn clear() {
    WRITTEN.with_borrow_mut(Vec::clear);
}

/// What this thread has written: whole lines, each one JSON object.
#[must_use]
pub fn written() -> String {
    WRITTEN.with_borrow(|written| String::from_utf8_lossy(written).into_owned())
}
