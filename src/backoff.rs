//! The back-off after an error of Alibaba Cloud: exponential, with full jitter above a floor.

use std::time::Duration;

/// The bounds of a back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The floor, so that jitter never means an immediate call.
    pub min: Duration,
    /// The ceiling of the first back-off, doubled with every further error in a row.
    pub base: Duration,
    /// The highest ceiling: locks are held for seconds, not minutes.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(500), base: Duration::from_secs(1), max: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// The wait after an error that follows `errors` others in a row.
    #[must_use]
    pub fn after(&self, errors: u32, rng: &mut fastrand::Rng) -> Duration {
        let doubled = 2_u32.checked_pow(errors).and_then(|factor| self.base.checked_mul(factor));
        let ceiling = doubled.unwrap_or(self.max).min(self.max);
        ceiling.mul_f64(rng.f64()).max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_uses_its_whole_growing_range_above_the_floor() {
        let (backoff, mut rng) = (Backoff::default(), fastrand::Rng::with_seed(1));
        for (errors, ceiling) in
            [(0, 1.0), (1, 2.0), (2, 4.0), (4, 16.0), (5, 20.0), (63, 20.0), (u32::MAX, 20.0)]
        {
            let waits: Vec<f64> = (0..500).map(|_| backoff.after(errors, &mut rng).as_secs_f64()).collect();
            assert!(waits.iter().all(|wait| (0.5..=ceiling).contains(wait)), "{errors}");
            assert!(waits.iter().any(|wait| *wait > ceiling * 0.9), "{errors}: the range is used to its end");
        }
    }
}
