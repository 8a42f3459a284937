//! How long a detach waits: constants, and the jitter that keeps callers apart.

use std::time::Duration;

use crate::backoff::Backoff;

/// Every wait of a detach. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time from one poll to the next of all lanes of all workers in a region together: 1,500 lists of groups a minute.
    /// That is half of the quota; the rest is for the first and last reads, for sweeps and for other callers.
    pub poll_spacing: Duration,
    /// The shortest poll interval, of a lane alone.
    pub poll_min: Duration,
    /// The longest poll interval, however many lanes there are: an event then follows its detach by about 1.5 s.
    pub poll_max: Duration,
    /// The shortest wait before a read that must show the same as the one before it, so that two responses that were made
    /// at the same time do not confirm each other.
    pub second_read_min: Duration,
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
            poll_spacing: Duration::from_millis(40),
            poll_min: Duration::from_millis(500),
            poll_max: Duration::from_secs(3),
            second_read_min: Duration::from_secs(1),
            backoff: Backoff::default(),
            unlisted_backoff_min: Duration::from_secs(5),
            empty_list_for: Duration::from_secs(10),
            no_effect_after: Duration::from_secs(10),
        }
    }
}

/// Jitter of a poll, as a share of it: lanes that started together drift apart.
const POLL_JITTER: f64 = 0.15;

impl Limits {
    /// The wait before a poll while this many lanes of all workers poll in the region.
    ///
    /// Jitter lengthens an interval, so that the lanes do not poll more often than planned. It never lengthens one beyond
    /// the ceiling: there it shortens it instead, because lanes with equal intervals would poll together.
    pub(super) fn poll(&self, lanes: u32, rng: &mut fastrand::Rng) -> Duration {
        let planned = self.poll_spacing.saturating_mul(lanes).clamp(self.poll_min, self.poll_max);
        let longest = planned.mul_f64(1.0 + POLL_JITTER).min(self.poll_max);
        let shortest = 1.0 / (1.0 + POLL_JITTER);
        longest.mul_f64(shortest + (1.0 - shortest) * rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_follow_the_number_of_lanes() {
        let (limits, mut rng) = (Limits::default(), fastrand::Rng::with_seed(1));
        for (lanes, shortest, longest) in [
            // One lane of one worker, and of one of 10, the default.
            (1, 0.5, 0.575),
            (10, 0.5, 0.575),
            (12, 0.5, 0.575),
            (13, 0.52, 0.598),
            // Two lanes of one of 10 and of 24 workers.
            (20, 0.8, 0.92),
            (48, 1.92, 2.208),
            (65, 2.6, 2.99),
            // Ten lanes of one of 10 workers and of 1000.
            (100, 3.0 / 1.15, 3.0),
            (10_000, 3.0 / 1.15, 3.0),
            (u32::MAX, 3.0 / 1.15, 3.0),
        ] {
            let waits: Vec<f64> = (0..500).map(|_| limits.poll(lanes, &mut rng).as_secs_f64()).collect();
            let range = shortest - 1e-6..=longest + 1e-6;
            assert!(waits.iter().all(|wait| range.contains(wait)), "{lanes}: {waits:?}");
            let width = longest - shortest;
            assert!(waits.iter().any(|wait| *wait < shortest + 0.1 * width), "{lanes}: not its lower end");
            assert!(waits.iter().any(|wait| *wait > longest - 0.1 * width), "{lanes}: not its upper end");
        }
    }
}
