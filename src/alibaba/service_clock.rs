//! Alibaba Cloud's clock, as far as its answers have shown it: what is signed must carry its time.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::DATE;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::clock::calendar;

/// Largest difference of clocks that is believed, two days: a sandbox that slept is hours behind, a `Date` further
/// away is nobody's clock.
const OFFSET_SECONDS_MAX: i64 = 2 * 24 * 60 * 60;

/// How far the service's clock is ahead of ours. One for all calls, since one clock of ours is wrong for all.
#[derive(Debug, Default)]
pub struct ServiceClock {
    offset_seconds: Cell<i64>,
}

impl ServiceClock {
    /// The service's time at this moment of ours.
    #[must_use]
    pub fn at(&self, now: SystemTime) -> SystemTime {
        let offset = self.offset_seconds.get();
        let by = Duration::from_secs(offset.unsigned_abs());
        let corrected = if offset >= 0 { now.checked_add(by) } else { now.checked_sub(by) };
        corrected.unwrap_or(now)
    }

    /// Believes an answer's `Date`, if it has one that can be a clock's.
    pub fn correct(&self, now: SystemTime, headers: &HeaderMap) {
        let Some(theirs) = date(headers) else { return };
        let offset = (theirs - calendar::utc(now)).whole_seconds();
        if offset.abs() <= OFFSET_SECONDS_MAX {
            self.offset_seconds.set(offset);
        }
    }
}

/// An answer's own time.
pub(super) fn date(headers: &HeaderMap) -> Option<OffsetDateTime> {
    let date = headers.get(DATE)?.to_str().ok()?;
    OffsetDateTime::parse(date, &Rfc2822).ok()
}
