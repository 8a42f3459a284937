//! Calendar dates of wall-clock times. Every time has one: an extreme time must not stop a lane.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::{datetime, format_description};

/// The latest date. A `SystemTime` can be far beyond it.
const LATEST: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// A date to the second: `2026-11-22T07:00:12Z`.
pub const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A date to the millisecond: `2026-11-22T07:00:12.431Z`.
pub const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The date in UTC, limited to the years 1970 to 9999.
#[must_use]
pub fn utc(at: SystemTime) -> OffsetDateTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(LATEST).min(LATEST)
}

#[must_use]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "the formats are constants of this file")]
pub fn text(at: SystemTime, format: &[BorrowedFormatItem<'_>]) -> String {
    utc(at).format(format).expect("a UTC date from 1970 to 9999 has every component of these formats")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_time_has_a_date() {
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(text(after(1), SECONDS), "1970-01-01T00:00:01Z");
        assert_eq!(
            text(after(1_795_330_812) + Duration::from_millis(431), MILLISECONDS),
            "2026-11-22T07:00:12.431Z"
        );
        assert_eq!(text(after(u64::MAX / 1000), SECONDS), "9999-12-31T23:59:59Z");
        assert_eq!(text(SystemTime::UNIX_EPOCH - Duration::from_secs(1), SECONDS), "1970-01-01T00:00:00Z");
    }
}
