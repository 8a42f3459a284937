//! Measured times, and what is said of them.

use std::time::Duration;

/// Times of one thing, in the order of their length.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// At least one.
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time, in milliseconds, below which this percentage of them lies.
    pub(crate) fn percentile(&self, percentage: usize) -> f64 {
        self.0[self.0.len() * percentage / 100].as_secs_f64() * 1000.0
    }
}
