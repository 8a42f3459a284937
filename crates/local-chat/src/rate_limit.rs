//! A platform's limit for posting into a conversation: an average, with short bursts.

use std::time::{Duration, SystemTime};

/// A limit of messages per conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time that one message uses up.
    pub interval: Duration,
    /// The number of messages that may be posted at once.
    pub burst: u32,
}

impl Default for RateLimit {
    /// Slack documents one message per second and no number for the burst.
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), burst: 3 }
    }
}

impl RateLimit {
    /// Admits a message, or returns the time until the next one is admitted. `used_until` is the end of the time that
    /// the conversation's messages have used up.
    pub(crate) fn admit(self, used_until: &mut Option<SystemTime>, now: SystemTime) -> Result<(), Duration> {
        let end = used_until.map_or(now, |end| end.max(now));
        let ahead = end.duration_since(now).unwrap_or_default();
        let tolerance = self.interval * self.burst.saturating_sub(1);
        if ahead > tolerance {
            return Err(ahead.saturating_sub(tolerance));
        }
        *used_until = Some(end + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn burst_is_admitted_and_the_next_message_waits() {
        let limit = RateLimit { interval: Duration::from_secs(1), burst: 2 };
        let (mut used_until, now) = (None, UNIX_EPOCH + Duration::from_secs(1000));

        assert_eq!(limit.admit(&mut used_until, now), Ok(()));
        assert_eq!(limit.admit(&mut used_until, now), Ok(()));
        assert_eq!(limit.admit(&mut used_until, now), Err(Duration::from_secs(1)));
        assert_eq!(
            limit.admit(&mut used_until, now + Duration::from_millis(999)),
            Err(Duration::from_millis(1))
        );
        assert_eq!(limit.admit(&mut used_until, now + Duration::from_secs(1)), Ok(()));
    }
}
