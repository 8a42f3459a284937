//! The sweep: which endpoints of a scope use a security group, decided by reading them all. Pure: no clock, no network, no
//! environment.
//!
//! In reading order: [`RegionReading`] reads the endpoints of one region that pass a filter, call by call; [`Plan`] folds
//! what was read; [`Plan::verdict`] says what it means. The caller makes the calls and passes the results back.
//!
//! A verdict about references requires a complete reading: one page or one endpoint that could not be read makes it
//! [`Verdict::Incomplete`].

mod endpoint;
mod existence;
mod plan;
mod reading;
mod scope;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use existence::security_groups_found;
pub use plan::{Lookalike, Plan, Reference, Region, Unread, Verdict};
pub use reading::{Counts, Next, RegionReading, Ticket};

use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::CallError;
use crate::backoff::Backoff;

/// Maximum number of security groups of one sweep.
pub const SECURITY_GROUPS_MAX: usize = 10;

/// Maximum number of regions of one sweep. Alibaba Cloud has about thirty.
pub const REGIONS_MAX: usize = 50;

/// How a region is read. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub backoff: Backoff,
    /// The number of errors in a row after which an endpoint, or the list of endpoints, counts as unread. With the back-off
    /// it takes about half a minute.
    pub errors_max: u32,
    /// How often the list of endpoints is read again, until it names no endpoint that was not read.
    pub relists_max: u32,
    /// The number of complete lists of an endpoint's groups after which one that never repeats counts as unread.
    pub lists_max: u32,
    /// How long the list of groups must stay empty before it counts: an endpoint keeps at least one group.
    pub empty_list_for: Duration,
    /// The wait before a list that may be incomplete is read again.
    pub repeat_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            errors_max: 6,
            relists_max: 3,
            lists_max: 5,
            empty_list_for: Duration::from_secs(10),
            repeat_after: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The wait before a call is repeated after an error that follows `errors` others, or `None` if it is not repeated.
    fn retry_after(&self, error: &CallError, errors: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        let is_permanent = matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused);
        if is_permanent || (errors >= self.errors_max && error.kind != ErrorKind::Throttled) {
            return None;
        }
        Some(self.backoff.after(errors, rng).max(error.retry_after.unwrap_or_default()))
    }
}
