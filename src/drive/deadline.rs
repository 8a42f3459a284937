//! When a request must have ended, although the function's clock may be wrong.
//!
//! A deadline counts from when the queue accepted the request, by the queue's clock. It is judged by the function's
//! clock, corrected by the `Date` of Alibaba Cloud's responses, and by the message's own time if that is in our future.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, shifted};

/// The deadline of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// A moment of this process: no wrong clock moves it.
    Moment(Instant),
    /// A date by the clock of the queue.
    Date {
        at: SystemTime,
        /// How far the function's clock is behind the queue's at least, because the queue accepted the message in the
        /// function's future.
        sent_ahead: Duration,
    },
}

impl Deadline {
    /// The moment of the deadline, if Alibaba Cloud's clock is ahead of the function's by `ahead`.
    #[must_use]
    pub fn moment(&self, clock: &Clock, ahead: time::Duration) -> Instant {
        match *self {
            Self::Moment(at) => at,
            Self::Date { at, sent_ahead } => clock.instant_of(shifted(at, -correction(ahead, sent_ahead))),
        }
    }
}

/// How far the function's clock must be corrected: by Alibaba Cloud's, and to the time of the message at least.
#[must_use]
pub fn correction(ahead: time::Duration, sent_ahead: Duration) -> time::Duration {
    if sent_ahead.is_zero() { ahead } else { ahead.max(sent_ahead.try_into().unwrap_or(time::Duration::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadline_is_judged_by_the_corrected_clock() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(100);
        let clock = Clock::starting_at(wall);
        let hours = time::Duration::hours;
        let in_hours = |hours| clock.started() + Duration::from_hours(hours);
        let date = |sent_ahead| Deadline::Date { at: wall + Duration::from_hours(3), sent_ahead };
        let zero = Duration::ZERO;
        for (deadline, ahead, expected) in [
            (date(zero), hours(0), in_hours(3)),
            (date(zero), hours(2), in_hours(1)),
            (date(zero), hours(-2), in_hours(5)),
            (date(Duration::from_hours(1)), hours(0), in_hours(2)),
            (date(Duration::from_hours(1)), hours(-2), in_hours(2)),
            (date(Duration::from_hours(1)), hours(2), in_hours(1)),
            (Deadline::Moment(in_hours(3)), hours(2), in_hours(3)),
        ] {
            assert_eq!(deadline.moment(&clock, ahead), expected, "{deadline:?} {ahead}");
        }
    }
}
