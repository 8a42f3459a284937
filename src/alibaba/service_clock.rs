//! Alibaba Cloud's clock, estimated from its responses. Signed requests must have its time.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::clock::{calendar, shifted};

/// Largest plausible difference of the clocks for signing, two days: a sandbox that was frozen is hours behind, and a
/// `Date` further away is not the time of a working clock.
const OFFSET_SECONDS_MAX: i64 = 2 * 24 * 60 * 60;

/// Largest difference by which deadlines are corrected.
pub const CORRECTION_MAX: Duration = Duration::from_hours(24);

/// How long a `Date` may be older than its response: it has whole seconds, and servers renew it once a second.
const DATE_AGE_MAX: time::Duration = time::Duration::seconds(2);

/// How far the service's clock is ahead of the function's. One value for all calls: one wrong clock affects all of
/// them.
#[derive(Debug, Default)]
pub struct ServiceClock {
    /// For signing: by the `Date` of a response that rejected our time.
    offset_seconds: Cell<i64>,
    /// For deadlines: by the `Date` of responses that are Alibaba Cloud's.
    ahead: Cell<time::Duration>,
    ignored: Cell<Option<time::Duration>>,
}

impl ServiceClock {
    /// The service's time when the function's clock shows `now`, for a signature.
    #[must_use]
    pub fn at(&self, now: SystemTime) -> SystemTime {
        shifted(now, time::Duration::seconds(self.offset_seconds.get()))
    }

    /// Adopts the `Date` of a response for the next signatures, if it has a plausible one.
    pub fn correct(&self, now: SystemTime, headers: &HeaderMap) {
        let Some(service_time) = date(headers, &DATE) else { return };
        let offset = (service_time - calendar::utc(now)).whole_seconds();
        if offset.abs() <= OFFSET_SECONDS_MAX {
            self.offset_seconds.set(offset);
        }
    }

    /// How far the service's clock is ahead of the function's, for deadlines; negative if it is behind.
    #[must_use]
    pub fn ahead(&self) -> time::Duration {
        self.ahead.get()
    }

    /// The difference of the latest response, if it was too large to be a correction.
    #[must_use]
    pub fn ignored(&self) -> Option<time::Duration> {
        self.ignored.get()
    }

    /// Compares the clocks by the `Date` of a response of Alibaba Cloud, not of a proxy. Between the two times of the
    /// function's clock, the service wrote it.
    ///
    /// The known difference stays if the `Date` does not contradict it, so that a clock that is right is never
    /// corrected.
    pub fn compare(&self, sent: SystemTime, received: SystemTime, headers: &HeaderMap) {
        let Some(service_time) = date(headers, &DATE) else { return };
        let least = service_time - calendar::utc(received);
        let most = (service_time.saturating_add(DATE_AGE_MAX) - calendar::utc(sent)).max(least);
        let ahead = self.ahead.get().clamp(least, most);
        let is_plausible = ahead.unsigned_abs() <= CORRECTION_MAX;
        self.ahead.set(if is_plausible { ahead } else { time::Duration::ZERO });
        self.ignored.set((!is_plausible).then_some(ahead));
    }
}

/// The date in this header of a response.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<OffsetDateTime> {
    let date = headers.get(name)?.to_str().ok()?;
    OffsetDateTime::parse(date, &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(date: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, http::HeaderValue::from_static(date))])
    }

    #[test]
    fn clock_is_corrected_only_as_far_as_a_date_contradicts_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let clock = ServiceClock::default();
        let ahead = |sent: u64, received: u64, date| {
            clock.compare(at(sent), at(received), &headers(date));
            clock.ahead().whole_seconds()
        };
        // Three hours after 1970 began, written within a call of four seconds.
        let three = "Thu, 01 Jan 1970 03:00:00 GMT";
        let hour = 3600;
        assert_eq!(ahead(3 * hour - 1, 3 * hour + 3, three), 0, "the clock is right");
        assert_eq!(ahead(hour, hour + 4, three), 2 * 3600 - 4, "the clock is two hours behind");
        assert_eq!(ahead(hour, hour + 1, three), 2 * 3600 - 1, "a faster response is more exact");
        assert_eq!(ahead(hour, hour + 4, three), 2 * 3600 - 1, "and a slower one contradicts nothing");
        assert_eq!(ahead(5 * hour, 5 * hour + 4, three), 2 - 2 * 3600, "the clock is two hours ahead");
        assert_eq!(ahead(5 * hour, 5 * hour + 4, "soon"), 2 - 2 * 3600, "no date");
        assert_eq!(clock.ignored(), None);
    }

    #[test]
    fn difference_above_24_hours_is_ignored() {
        let at = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        let clock = ServiceClock::default();
        for (now, date, ahead, is_ignored) in [
            (0, "Fri, 02 Jan 1970 00:00:00 GMT", 24, false),
            (0, "Fri, 02 Jan 1970 00:00:01 GMT", 0, true),
            (48, "Fri, 02 Jan 1970 02:00:00 GMT", -21, false),
            (48, "Thu, 01 Jan 1970 02:00:00 GMT", 0, true),
            (48, "Fri, 31 Dec 9999 23:59:59 GMT", 0, true),
        ] {
            clock.compare(at(now), at(now), &headers(date));
            let known = (clock.ahead().whole_hours(), clock.ignored().is_some());
            assert_eq!(known, (ahead, is_ignored), "{date}");
        }
    }
}
