//! The sweep: which endpoints of a scope use a security group, decided by reading them all. Pure: no clock, no network, no
//! environment.
//!
//! In reading order: [`RegionReading`] reads the endpoints of one region that pass a filter, call by call; [`Plan`] folds
//! what was read; [`Plan::verdict`] says what it means. A caller carries the calls out and passes the results back.
//!
//! The answer is complete or it is none: one page or one endpoint that could not be read makes it
//! [`Verdict::Incomplete`].

mod plan;
mod reading;
mod scope;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use plan::{Lookalike, Plan, Reference, Region, Unread, Verdict};
pub use reading::{Next, RegionReading, Ticket};

use crate::backoff::Backoff;

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
    /// How long an empty list of groups must be the response before it counts: an endpoint keeps at least one group.
    pub empty_list_for: Duration,
    /// The wait before a list is read again that may be incomplete.
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
