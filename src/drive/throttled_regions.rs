//! Remembers which regions throttle our calls, and until when; `cloud.rs` decides it. A quota belongs to the account, so
//! one lane's throttling applies to all lanes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use crate::request::RegionId;

/// The throttled regions. Lives as long as the process, so that the next invocation knows them.
#[derive(Debug, Default)]
pub(super) struct ThrottledRegions {
    until: RefCell<HashMap<RegionId, Instant>>,
}

impl ThrottledRegions {
    /// Marks a region as throttled until then, or until its present end if that is later.
    pub(super) fn hold(&self, region: &RegionId, now: Instant, until: Instant) {
        let mut held = self.until.borrow_mut();
        held.retain(|_, until| *until > now);
        let known = held.entry(region.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// The end of the region's latest throttling.
    pub(super) fn until(&self, region: &RegionId) -> Option<Instant> {
        self.until.borrow().get(region).copied()
    }

    /// The end of the region's throttling, if it is throttled at that moment.
    pub(super) fn held_until(&self, region: &RegionId, at: Instant) -> Option<Instant> {
        self.until(region).filter(|until| *until > at)
    }
}
