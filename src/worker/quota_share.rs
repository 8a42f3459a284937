//! This worker's share of the account's quotas in a region: the workers that may run at once divide them, so that a long
//! queue is processed without throttled calls.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::request::RegionId;

/// Maximum number of requests that all workers together begin in a region in any [`WINDOW`].
///
/// A request without errors makes one write and reads the endpoint's record twice; the quotas are 500 and 1000 calls in
/// 60 s for one account (PrivateLink developer reference, "API rate limits"). The rest is for retries and for other callers
/// of the account.
const REQUESTS_MAX: usize = 480;

/// A whole batch begins at once, regardless of the number of workers: most of them are idle most of the time. With more
/// than 48 workers the shares together exceed the quota, and a long queue is throttled sometimes.
const REQUESTS_MIN: usize = 10;

/// Maximum number of redelivered requests that all workers together begin by reading, in a region in any [`WINDOW`],
/// before they have a share. Each reads one list of groups; the polls, a sweep and the first reads of the other requests
/// leave little more of that quota. A worker may begin [`REQUESTS_MIN`] at least.
const REDELIVERIES_MAX: usize = 240;

/// The length of a quota's window. Where a window begins is unknown, so no period of this length may have more requests.
const WINDOW: Duration = Duration::from_mins(1);

/// When requests began, or will begin, in each region. Lives as long as the process, so that the next invocation knows it.
#[derive(Debug)]
pub(super) struct QuotaShare {
    requests_max: usize,
    begun: RefCell<HashMap<RegionId, VecDeque<Instant>>>,
}

impl QuotaShare {
    /// The share of one of this many workers.
    pub(super) fn of(workers: NonZeroU16) -> Self {
        Self::divided(REQUESTS_MAX, workers)
    }

    /// The share of one of this many workers in the redelivered requests that begin by reading.
    pub(super) fn of_redeliveries(workers: NonZeroU16) -> Self {
        Self::divided(REDELIVERIES_MAX, workers)
    }

    fn divided(requests: usize, workers: NonZeroU16) -> Self {
        let requests_max = (requests / usize::from(workers.get())).max(REQUESTS_MIN);
        Self { requests_max, begun: RefCell::default() }
    }

    /// Takes a part of the share, if one is left now.
    pub(super) fn take_now(&self, region: &RegionId, now: Instant) -> bool {
        let is_open = self.opens(region, now) <= now;
        if is_open {
            self.take(region, now, now);
        }
        is_open
    }

    /// When the next request may begin in this region: `now`, or later.
    pub(super) fn opens(&self, region: &RegionId, now: Instant) -> Instant {
        self.forget(now);
        let begun = self.begun.borrow();
        let Some(begun) = begun.get(region) else { return now };
        match begun.len().checked_sub(self.requests_max) {
            Some(index) => begun[index] + WINDOW,
            None => now,
        }
    }

    /// A request begins in this region at that moment, which is `now` or later. Returns when it counts as begun.
    pub(super) fn take(&self, region: &RegionId, at: Instant, now: Instant) -> Instant {
        self.forget(now);
        let mut begun = self.begun.borrow_mut();
        let begun = begun.entry(region.clone()).or_default();
        // The moments stay in order, although a request that cannot wait may begin before others that do.
        let at = begun.back().map_or(at, |last| at.max(*last));
        begun.push_back(at);
        at
    }

    /// The request that counts as begun at that moment used none of the quota.
    pub(super) fn give_back(&self, region: &RegionId, at: Instant) {
        if let Some(begun) = self.begun.borrow_mut().get_mut(region)
            && let Some(index) = begun.iter().rposition(|begins| *begins == at)
        {
            begun.remove(index);
        }
    }

    /// Forgets requests that began more than a window ago.
    fn forget(&self, now: Instant) {
        self.begun.borrow_mut().retain(|_, begun| {
            while begun.front().is_some_and(|at| *at + WINDOW <= now) {
                begun.pop_front();
            }
            !begun.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn share(workers: u16) -> QuotaShare {
        QuotaShare::of(NonZeroU16::new(workers).unwrap())
    }

    /// When this many requests that arrive together begin.
    fn begin(share: &QuotaShare, region: &RegionId, now: Instant, count: usize) -> Vec<Duration> {
        let begin = |_| {
            let at = share.opens(region, now);
            share.take(region, at, now);
            at - now
        };
        (0..count).map(begin).collect()
    }

    #[test]
    fn every_minute_begins_as_many_requests_as_the_share() {
        let (share, region, now) = (share(24), RegionId::parse("eu-west-1").unwrap(), Clock::start().now());
        let seconds = |waits: &[(usize, u64)]| -> Vec<Duration> {
            waits.iter().flat_map(|&(count, wait)| vec![Duration::from_secs(wait); count]).collect()
        };
        assert_eq!(begin(&share, &region, now, 43), seconds(&[(20, 0), (20, 60), (3, 120)]));
        let later = now + Duration::from_secs(90);
        assert_eq!(begin(&share, &region, later, 18), seconds(&[(17, 30), (1, 90)]));
        let elsewhere = RegionId::parse("us-east-1").unwrap();
        assert_eq!(begin(&share, &elsewhere, later, 1), seconds(&[(1, 0)]));
        let much_later = now + Duration::from_hours(1);
        assert_eq!(begin(&share, &region, much_later, 21), seconds(&[(20, 0), (1, 60)]));
    }

    #[test]
    fn part_that_is_given_back_is_that_of_another_request() {
        let (share, region, now) = (share(48), RegionId::parse("eu-west-1").unwrap(), Clock::start().now());
        let taken: Vec<_> = (0..10).map(|n| share.take(&region, now + Duration::from_secs(n), now)).collect();
        let later = now + Duration::from_secs(10);
        assert_eq!(share.opens(&region, later), now + Duration::from_mins(1));
        share.give_back(&region, taken[3]);
        assert_eq!(share.opens(&region, later), later);
        share.take(&region, later, later);
        assert_eq!(share.opens(&region, later), now + Duration::from_mins(1), "the first request counts");
        share.give_back(&RegionId::parse("us-east-1").unwrap(), now);
        share.give_back(&region, now + Duration::from_hours(1));
        assert_eq!(share.opens(&region, later), now + Duration::from_mins(1));
    }

    #[test]
    fn share_is_at_least_one_batch_and_old_requests_are_forgotten() {
        let (share, region, now) = (share(1000), RegionId::parse("eu-west-1").unwrap(), Clock::start().now());
        for minutes in 0..100 {
            for _ in 0..10 {
                let at = now + Duration::from_mins(minutes);
                assert_eq!(share.opens(&region, at), at);
                share.take(&region, at, at);
            }
        }
        assert_eq!(share.begun.borrow()[&region].len(), 10);
    }
}
