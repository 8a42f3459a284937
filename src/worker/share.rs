//! This worker's share of what Alibaba Cloud lets the account do in a region: as many workers as may run at once divide
//! the quota among them, so that a long queue is worked off without a single call that is throttled.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::request::RegionId;

/// Requests that all workers together begin in a region in any [`WINDOW`].
///
/// A request makes one write and reads the endpoint's record twice, if nothing gets in its way; the quotas are 500 and
/// 1000 calls in 60 s for one account (PrivateLink developer reference, "API rate limits"). The rest is for retries and
/// for whoever else works with this account.
const REQUESTS_MAX: usize = 480;

/// The length of a quota's window. Where it begins is the service's secret, so none of ours may hold more.
const WINDOW: Duration = Duration::from_mins(1);

/// When requests began, or will, in each region. Lives as long as the process, so the next invocation knows.
#[derive(Debug)]
pub(super) struct Share {
    requests_max: usize,
    begun: RefCell<HashMap<RegionId, VecDeque<Instant>>>,
}

impl Share {
    /// The share of one of so many workers.
    pub(super) fn of(workers: NonZeroU16) -> Self {
        let requests_max = (REQUESTS_MAX / usize::from(workers.get())).max(1);
        Self { requests_max, begun: RefCell::default() }
    }

    /// When the next request may begin in this region: `now`, or later.
    pub(super) fn opens(&self, region: &RegionId, now: Instant) -> Instant {
        let mut begun = self.begun.borrow_mut();
        begun.retain(|_, begun| {
            while begun.front().is_some_and(|at| *at + WINDOW <= now) {
                begun.pop_front();
            }
            !begun.is_empty()
        });
        let Some(begun) = begun.get(region) else { return now };
        match begun.len().checked_sub(self.requests_max) {
            Some(index) => begun[index] + WINDOW,
            None => now,
        }
    }

    /// A request begins in this region then.
    pub(super) fn take(&self, region: &RegionId, at: Instant) {
        let mut begun = self.begun.borrow_mut();
        let begun = begun.entry(region.clone()).or_default();
        // They stay in the order of time, also where an earlier invocation had taken moments that it did not live to see.
        let at = begun.back().map_or(at, |last| at.max(*last));
        begun.push_back(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn share(workers: u16) -> Share {
        Share::of(NonZeroU16::new(workers).unwrap())
    }

    /// When so many requests that come together begin.
    fn begin(share: &Share, region: &RegionId, now: Instant, count: usize) -> Vec<Duration> {
        let begin = |_| {
            let at = share.opens(region, now);
            share.take(region, at);
            at - now
        };
        (0..count).map(begin).collect()
    }

    #[test]
    fn no_minute_holds_more_than_the_share_and_none_waits_for_nothing() {
        let (share, region, now) = (share(200), RegionId::parse("eu-west-1").unwrap(), Clock::start().now());
        assert_eq!(begin(&share, &region, now, 5), [0, 0, 60, 60, 120].map(Duration::from_secs));
        let later = now + Duration::from_secs(90);
        assert_eq!(begin(&share, &region, later, 2), [30, 90].map(Duration::from_secs));
        let much_later = now + Duration::from_hours(1);
        assert_eq!(begin(&share, &region, much_later, 3), [0, 0, 60].map(Duration::from_secs));
    }
}
