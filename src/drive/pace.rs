//! How fast a sweep calls each operation in each region.
//!
//! A quota belongs to the account, and the workers need most of it. Calls of one operation in one region are spaced evenly,
//! also those of two sweeps that follow each other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::alibaba::privatelink::Read;
use crate::request::RegionId;

/// The shortest time between two calls of an operation in one region. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Of two pages of the list of endpoints.
    pub endpoints: Duration,
    /// Of two lists of an endpoint's groups.
    pub security_groups: Duration,
}

/// At most 40 lists of endpoints and 1,000 lists of groups per minute. Alibaba's quotas are 1,000 and 3,000.
impl Default for Pace {
    fn default() -> Self {
        Self { endpoints: Duration::from_millis(1500), security_groups: Duration::from_millis(60) }
    }
}

/// An operation of a sweep, each with its own quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Endpoints,
    SecurityGroups,
}

impl Operation {
    fn of(call: &Read) -> Self {
        match call {
            Read::Endpoints { .. } => Self::Endpoints,
            Read::SecurityGroups { .. } => Self::SecurityGroups,
        }
    }
}

/// When each operation was last called in each region. Lives as long as the process.
#[derive(Debug, Default)]
pub(super) struct Departures {
    last: RefCell<HashMap<(RegionId, Operation), Instant>>,
}

impl Departures {
    /// When this call may leave, by the pace; `None` if it is the first of its operation.
    pub(super) fn next(&self, region: &RegionId, call: &Read, pace: &Pace) -> Option<Instant> {
        let operation = Operation::of(call);
        let interval = match operation {
            Operation::Endpoints => pace.endpoints,
            Operation::SecurityGroups => pace.security_groups,
        };
        self.last.borrow().get(&(region.clone(), operation)).map(|last| *last + interval)
    }

    /// Records that this call leaves now.
    ///
    /// The next call is spaced from this moment, not from when this one was allowed to leave: otherwise the calls after a late
    /// one would be too close to it.
    pub(super) fn note(&self, region: &RegionId, call: &Read, now: Instant) {
        self.last.borrow_mut().insert((region.clone(), Operation::of(call)), now);
    }
}
