//! The latency of calls.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The round-trip time of calls, drawn uniformly from a range.
///
/// A call takes effect in the middle of its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Of calls to Alibaba Cloud.
    pub alibaba: RangeInclusive<Duration>,
    /// Of calls to SQS and `EventBridge`.
    pub aws: RangeInclusive<Duration>,
}

impl Default for Pace {
    /// Fast services in the same region.
    fn default() -> Self {
        let (alibaba, aws) = (Duration::from_millis(40), Duration::from_millis(4));
        Self { alibaba: alibaba..=alibaba, aws: aws..=aws }
    }
}

/// Draws a time within the bounds.
pub(crate) fn draw(bounds: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    *bounds.start() + bounds.end().saturating_sub(*bounds.start()).mul_f64(rng.f64())
}
