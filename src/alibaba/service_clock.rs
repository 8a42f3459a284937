//! Alibaba Cloud's clock, estimated from its responses. Signed requests must have its time.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::clock::calendar;

/// Largest plausible difference of the clocks, two days: a sandbox that was frozen is hours behind, and a `Date`
/// further away is not the time of a working clock.
const OFFSET_SECONDS_MAX: i64 = 2 * 24 * 60 * 60;

/// How far the service's clock is ahead of the function's. One value for all calls: one wrong clock affects all of
/// them.
#[derive(Debug, Default)]
pub struct ServiceClock {
    offset_seconds: Cell<i64>,
}

impl ServiceClock {
    /// The service's time when the function's clock shows `now`.
    #[must_use]
    pub fn at(&self, now: SystemTime) -> SystemTime {
        let offset = self.offset_seconds.get();
        let by = Duration::from_secs(offset.unsigned_abs());
        let corrected = if offset >= 0 { now.checked_add(by) } else { now.checked_sub(by) };
        corrected.unwrap_or(now)
    }

    /// Adopts the `Date` of a response, if it has a plausible one.
    pub fn correct(&self, now: SystemTime, headers: &HeaderMap) {
        let Some(service_time) = date(headers, &DATE) else { return };
        let offset = (service_time - calendar::utc(now)).whole_seconds();
        if offset.abs() <= OFFSET_SECONDS_MAX {
            self.offset_seconds.set(offset);
        }
    }
}

/// The date in this header of a response.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<OffsetDateTime> {
    let date = headers.get(name)?.to_str().ok()?;
    OffsetDateTime::parse(date, &Rfc2822).ok()
}
