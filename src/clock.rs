//! Time: the only file that reads a clock or sleeps.
//!
//! All waits use tokio's clock, so a paused tokio clock is a virtual clock for all other code. The wall clock is tied
//! to it once per invocation, because Lambda may freeze a process for hours between two.

pub mod calendar;

use std::time::{Duration, Instant, SystemTime};

/// A wall clock and a monotonic clock, read at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: SystemTime,
    instant: Instant,
}

impl Clock {
    /// Ties the system's wall clock to this moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
    pub fn start() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// Ties another wall clock, such as a simulation's, to this moment.
    #[must_use]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { wall, instant: monotonic() }
    }

    /// When this clock was tied.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.instant
    }

    /// Now, for durations.
    #[must_use]
    pub fn now(&self) -> Instant {
        monotonic()
    }

    /// Now, as a date.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.wall_of(monotonic())
    }

    /// The wall clock at a moment of this invocation.
    #[must_use]
    pub fn wall_of(&self, at: Instant) -> SystemTime {
        match at.checked_duration_since(self.instant) {
            Some(later) => self.wall + later,
            None => self.wall.checked_sub(self.instant.duration_since(at)).unwrap_or(self.wall),
        }
    }

    /// The moment of a wall-clock time; the start of this clock for one that is too long ago to have a moment.
    #[must_use]
    pub fn instant_of(&self, at: SystemTime) -> Instant {
        match at.duration_since(self.wall) {
            Ok(later) => self.instant.checked_add(later).unwrap_or(self.instant),
            Err(earlier) => self.instant.checked_sub(earlier.duration()).unwrap_or(self.instant),
        }
    }

    /// Sleeps until then; returns at once if that has passed.
    #[expect(clippy::disallowed_methods, reason = "this file owns waiting")]
    pub async fn sleep_until(&self, at: Instant) {
        if at > self.now() {
            tokio::time::sleep_until(at.into()).await;
        }
    }

    /// The output of `work`, if it is ready by then.
    #[expect(clippy::disallowed_methods, reason = "this file owns waiting")]
    pub async fn by<F: Future>(&self, until: Instant, work: F) -> Option<F::Output> {
        tokio::time::timeout_at(until.into(), work).await.ok()
    }

    /// The time until then; zero if that has passed.
    #[must_use]
    pub fn left(&self, until: Instant) -> Duration {
        until.saturating_duration_since(self.now())
    }
}

/// A time on another clock, which is ahead by this much; the same time if the other has none.
#[must_use]
pub fn shifted(at: SystemTime, ahead: time::Duration) -> SystemTime {
    let by = ahead.unsigned_abs();
    let shifted = if ahead.is_negative() { at.checked_sub(by) } else { at.checked_add(by) };
    shifted.unwrap_or(at)
}

/// Whether `time` has passed since then; also true if the clock was set back.
#[must_use]
pub fn is_past(since: SystemTime, time: Duration, now: SystemTime) -> bool {
    now.duration_since(since).map_or(true, |passed| passed >= time)
}

#[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}
