//! The age that a signed call may have when it arrives, the same for every scheme of signatures.

use std::time::{Duration, SystemTime};

/// Maximum age of a signed call. Together with [`AHEAD_MAX`] it is less than SQS's deduplication interval of five minutes: a
/// replayed call is either too old or enqueues nothing, unless its sender had signed and sent it again, too.
pub const AGE_MAX: Duration = Duration::from_mins(4);

/// How far a sender's clock may be ahead of AWS's.
pub const AHEAD_MAX: Duration = Duration::from_secs(30);

/// Why the time of a call is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untimely {
    /// Not a number of seconds since 1970-01-01.
    NotANumber,
    /// More than [`AGE_MAX`] ago.
    TooOld,
    /// More than [`AHEAD_MAX`] in the future.
    TooEarly,
}

/// Checks the time of sending, in seconds since 1970-01-01 as decimal digits, of a call that arrived at `received_at`.
pub fn check(timestamp: &str, received_at: SystemTime) -> Result<(), Untimely> {
    // `parse` alone would accept a sign.
    let is_number = timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds = timestamp.parse().ok().filter(|_| is_number).ok_or(Untimely::NotANumber)?;
    let sent_at =
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Untimely::TooEarly)?;
    match received_at.duration_since(sent_at) {
        Ok(age) if age > AGE_MAX => Err(Untimely::TooOld),
        Err(ahead) if ahead.duration() > AHEAD_MAX => Err(Untimely::TooEarly),
        _ => Ok(()),
    }
}
