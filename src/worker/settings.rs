//! The settings of a worker: its configuration, with the limits of production or of a test.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::completion::reason::RunbookUrl;
use crate::detach::Limits;
use crate::drive::time_budget::TimeLimits;
use crate::request::{Rules, Subject};

/// How a worker is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub rules: Rules,
    /// The deadline of a request that names none.
    pub deadline: Duration,
    /// How many workers may run at once: they divide Alibaba Cloud's quotas among them.
    pub concurrency: NonZeroU16,
    pub runbook_url: RunbookUrl,
    pub limits: Limits,
    pub time: TimeLimits,
    pub deferral: DeferralLimits,
}

impl Settings {
    /// The deadline of a request, counted from when it was accepted.
    pub(super) fn deadline_of(&self, subject: &Subject) -> Duration {
        subject.deadline.unwrap_or(self.deadline)
    }
}

/// The visibility timeouts of returned messages. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeferralLimits {
    /// After the first receive; doubled with every further one.
    pub visibility_min: Duration,
    /// The ceiling, so that a lane is read about once a minute.
    pub visibility_max: Duration,
}

impl Default for DeferralLimits {
    fn default() -> Self {
        Self { visibility_min: Duration::from_secs(5), visibility_max: Duration::from_mins(1) }
    }
}

impl DeferralLimits {
    /// The visibility timeout after this many receives, before jitter: 5 s, 10 s, 20 s, 40 s, 60 s.
    #[must_use]
    pub fn visibility(&self, receive_count: u32) -> Duration {
        let doubled = 2_u32.checked_pow(receive_count.saturating_sub(1));
        let grown = doubled.and_then(|factor| self.visibility_min.checked_mul(factor));
        grown.unwrap_or(self.visibility_max).min(self.visibility_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_timeout_doubles_up_to_a_minute() {
        let limits = DeferralLimits::default();
        let seconds = [1, 2, 3, 4, 5, 6, 1000, u32::MAX].map(|n| limits.visibility(n).as_secs());
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60, 60]);
    }
}
