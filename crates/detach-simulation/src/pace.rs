//! How long calls take.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long calls take there and back, from the shortest to the longest; any time in between is as likely.
///
/// A call takes effect in the middle of its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Calls to Alibaba Cloud.
    pub alibaba: RangeInclusive<Duration>,
    /// Calls to SQS and `EventBridge`.
    pub aws: RangeInclusive<Duration>,
}

impl Default for Pace {
    /// Neighbours that are never busy.
    fn default() -> Self {
        let (alibaba, aws) = (Duration::from_millis(40), Duration::from_millis(4));
        Self { alibaba: alibaba..=alibaba, aws: aws..=aws }
    }
}

/// A time within the bounds.
pub(crate) fn draw(bounds: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    *bounds.start() + bounds.end().saturating_sub(*bounds.start()).mul_f64(rng.f64())
}
