//! Slack's `ts`: the time of a message, which is also its id within a channel.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// The time of a message in microseconds since 1970, written as `1795330800.000100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The text is not a `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp like 1795330800.000100")]
pub struct NotATimestamp;

impl Timestamp {
    /// This time.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// This time, or the next free one if it is not after the previous message.
    pub(super) fn after(previous: Option<Self>, now: SystemTime) -> Self {
        let now = Self::of(now);
        previous.map_or(now, |previous| now.max(Self(previous.0.saturating_add(1))))
    }

    #[must_use]
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let (seconds, micros) = text.split_once('.').ok_or(NotATimestamp)?;
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(seconds) || !is_digits(micros) || micros.len() != 6 {
            return Err(NotATimestamp);
        }
        let (seconds, micros): (u64, u64) =
            (seconds.parse().map_err(|_| NotATimestamp)?, micros.parse().map_err(|_| NotATimestamp)?);
        seconds.checked_mul(1_000_000).and_then(|all| all.checked_add(micros)).map(Self).ok_or(NotATimestamp)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_has_slacks_form() {
        let ts = Timestamp::of(UNIX_EPOCH + Duration::from_micros(1_795_330_800_000_100));
        assert_eq!(ts.to_string(), "1795330800.000100");
        assert_eq!("1795330800.000100".parse(), Ok(ts));
        assert_eq!(ts.time(), UNIX_EPOCH + Duration::from_micros(1_795_330_800_000_100));
    }

    #[test]
    fn other_text_is_no_timestamp() {
        for text in ["", "1795330800", "1795330800.1", "1795330800.+00100", "x.000100", "1.0000001"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text}");
        }
    }

    #[test]
    fn messages_of_one_moment_have_different_timestamps() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_330_801);
        let first = Timestamp::after(None, now);
        assert!(Timestamp::after(Some(first), now) > first);
        assert!(Timestamp::after(Some(first), now - Duration::from_secs(1)) > first);
    }
}
