//! How long a detach waits: constants, and the jitter that keeps callers apart.

use std::time::Duration;

use crate::backoff::Backoff;

/// Every wait of a detach. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The first poll after a detach was accepted: a detach takes some seconds.
    pub poll_first: Duration,
    /// The longest poll interval: the event then follows the detach by about 1.5 s, at 20 of the 3000 reads a minute that
    /// a region allows.
    pub poll_max: Duration,
    /// The back-off after an error.
    pub backoff: Backoff,
    /// The shortest back-off after a code that the table does not know: a condition of the gateway or the account may pass.
    pub unlisted_backoff_min: Duration,
    /// How long an empty list must be the response before it counts: an endpoint keeps at least one group.
    pub empty_list_for: Duration,
    /// How long an accepted detach may show no effect before it is requested again.
    pub no_effect_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            poll_first: Duration::from_secs(1),
            poll_max: Duration::from_secs(3),
            backoff: Backoff::default(),
            unlisted_backoff_min: Duration::from_secs(5),
            empty_list_for: Duration::from_secs(10),
            no_effect_after: Duration::from_secs(10),
        }
    }
}

/// Jitter of a poll, in both directions, as a share of it: lanes that started together drift apart.
const POLL_JITTER: f64 = 0.15;

/// Growth from poll to poll: 1 s, 1.5 s, 2.25 s, then [`Limits::poll_max`].
const POLL_GROWTH: f64 = 1.5;

impl Limits {
    /// The wait before a poll that follows `polls` others.
    pub(super) fn poll(&self, polls: u32, rng: &mut fastrand::Rng) -> Duration {
        let exponent = i32::try_from(polls).unwrap_or(i32::MAX);
        let grown = self.poll_first.as_secs_f64() * POLL_GROWTH.powi(exponent);
        let jitter = 1.0 + POLL_JITTER * (2.0 * rng.f64() - 1.0);
        Duration::from_secs_f64(grown.min(self.poll_max.as_secs_f64()) * jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_grow_from_about_one_second_to_about_three() {
        let (limits, mut rng) = (Limits::default(), fastrand::Rng::with_seed(1));
        for (polls, center) in [(0, 1.0), (1, 1.5), (2, 2.25), (3, 3.0), (99, 3.0), (u32::MAX, 3.0)] {
            for _ in 0..100 {
                let wait = limits.poll(polls, &mut rng).as_secs_f64();
                assert!((center * 0.85..=center * 1.15).contains(&wait), "{polls}: {wait}");
            }
        }
    }
}
