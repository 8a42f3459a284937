//! Which regions must be left alone, and until when: a quota belongs to the account, so one lane's throttling holds
//! all of them back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use crate::request::RegionId;

/// The regions that throttle us. Lives as long as the process, so the next invocation knows.
#[derive(Debug, Default)]
pub(super) struct Regions {
    closed: RefCell<HashMap<RegionId, Instant>>,
}

impl Regions {
    /// Leaves a region alone until then, or for longer if it is closed for longer.
    pub(super) fn close(&self, region: &RegionId, now: Instant, until: Instant) {
        let mut closed = self.closed.borrow_mut();
        closed.retain(|_, until| *until > now);
        let known = closed.entry(region.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// When the region opens, if it is closed at that moment.
    pub(super) fn closed_until(&self, region: &RegionId, at: Instant) -> Option<Instant> {
        self.closed.borrow().get(region).copied().filter(|until| *until > at)
    }
}
