//! The virtual time of a check: it advances only while every task waits.

use std::time::{Duration, SystemTime};

use privatelink_detach::clock::Clock;

/// When every check starts, in seconds since 1970: a minute after the samples in `events/` were signed and sent.
pub(crate) const BEGINS_AT: u64 = 1_795_330_860;

pub(crate) fn beginning() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGINS_AT)
}

/// Runs work that needs a clock.
pub(crate) fn run<R>(work: impl AsyncFnOnce(Clock) -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async { work(Clock::starting_at(beginning())).await })
}
