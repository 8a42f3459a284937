//! This worker's share of the account's quotas in a region: the workers that may run at once divide them, so that a long
//! queue is processed without throttled calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::request::RegionId;

/// The number of requests that all workers together begin in a region in each [`WINDOW`].
///
/// A request without errors makes one write and reads the endpoint's record twice; the quotas are 500 and 1000 calls in
/// 60 s for one account (PrivateLink developer reference, "API rate limits"). The rest is for the rounding of the shares
/// to whole requests, which differs from worker to worker, for the lists of endpoints of a sweep, and for retries.
const REQUESTS: u32 = 492;

/// An idle worker begins a whole batch at once, regardless of the number of workers: most of them are idle most of the
/// time. If more than 50 idle workers receive a batch in the same minute, that minute exceeds the quota.
const BATCH: u32 = 10;

/// The number of redelivered requests that all workers together begin by reading, in a region in each [`WINDOW`], before
/// they have a share. Each reads one list of groups; the polls, a sweep and the first reads of the other requests leave
/// little more of that quota.
const REDELIVERIES: u32 = 240;

/// The length of a window of the share. The first request after a window begins the next one, as a call does in Alibaba
/// Cloud's quota, whose windows have 60 s. In a long queue the windows of a worker follow each other directly, so that
/// every window of the quota has the same requests. The difference is how much later a call of one request may arrive than
/// the same call of another: otherwise the first calls of a window would arrive in the quota's window before.
const WINDOW: Duration = Duration::from_millis(60_250);

/// The part of a window over which a worker spreads its share at least. If it began the whole share at once, it would
/// return its next batches to the queue until the window ends. If it spread it over the whole window, it could not make up
/// for the time in which it receives the next batch.
const SPREAD: Duration = Duration::from_secs(36);

/// The requests that began, or will begin, in each region. Lives as long as the process, so that the next invocation knows
/// them.
#[derive(Debug)]
pub(super) struct QuotaShare {
    /// Of all workers, in a window.
    requests: u32,
    workers: u32,
    /// The time from one request of a window to the next, at least.
    spacing: Duration,
    /// The remainder with which the first window of a region begins.
    remainder: u32,
    windows: RefCell<HashMap<RegionId, Window>>,
}

/// The latest window of a region.
#[derive(Debug)]
struct Window {
    /// When it began, or will begin.
    opened: Instant,
    /// The share.
    requests: u32,
    /// How many of these may begin at once.
    at_once: u32,
    begun: u32,
    /// What the division among the workers leaves for the next window.
    remainder: u32,
    /// When a request last asked for a part of the share, or will begin.
    asked: Instant,
}

impl QuotaShare {
    /// The share of one of this many workers. The workers round it up in different windows, at random.
    pub(super) fn of(workers: NonZeroU16, random: &mut fastrand::Rng) -> Self {
        let share = Self::divided(REQUESTS, workers, random);
        let spacing = SPREAD * share.workers / share.requests;
        Self { spacing, ..share }
    }

    /// The share of one of this many workers in the redelivered requests that begin by reading.
    pub(super) fn of_redeliveries(workers: NonZeroU16, random: &mut fastrand::Rng) -> Self {
        Self::divided(REDELIVERIES, workers, random)
    }

    fn divided(requests: u32, workers: NonZeroU16, random: &mut fastrand::Rng) -> Self {
        let workers = u32::from(workers.get());
        let (spacing, remainder) = (Duration::ZERO, random.u32(..workers));
        Self { requests, workers, spacing, remainder, windows: RefCell::default() }
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
        self.forget_idle(now);
        let mut windows = self.windows.borrow_mut();
        let Some(window) = windows.get_mut(region) else { return now };
        window.asked = window.asked.max(now);
        let opens = if window.begun >= window.requests {
            window.opened + WINDOW
        } else if window.begun < window.at_once {
            window.opened
        } else {
            window.opened + (self.spacing * window.begun).min(WINDOW)
        };
        opens.max(now)
    }

    /// A request begins in this region at that moment, which is `now` or later.
    pub(super) fn take(&self, region: &RegionId, at: Instant, now: Instant) {
        self.forget_idle(now);
        let mut windows = self.windows.borrow_mut();
        let window = windows.entry(region.clone()).or_insert_with(|| self.first_window(at));
        if at >= window.opened + WINDOW {
            *window = self.window(at, window.remainder);
        }
        window.begun += 1;
        window.asked = window.asked.max(at);
    }

    /// The first window of an idle worker.
    fn first_window(&self, opened: Instant) -> Window {
        let window = self.window(opened, self.remainder);
        Window { requests: window.requests.max(BATCH), at_once: BATCH.max(window.requests / 2), ..window }
    }

    fn window(&self, opened: Instant, remainder: u32) -> Window {
        let divided = self.requests + remainder;
        let (requests, remainder) = ((divided / self.workers).max(1), divided % self.workers);
        Window { opened, requests, at_once: 0, begun: 0, remainder, asked: opened }
    }

    /// Forgets a region for which no request has asked in the last window: there the worker is idle.
    fn forget_idle(&self, now: Instant) {
        self.windows.borrow_mut().retain(|_, window| now < window.asked + WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn region() -> RegionId {
        RegionId::parse("eu-west-1").unwrap()
    }

    /// The share of one of this many workers, whose first window begins with this remainder.
    fn share(workers: u16, remainder: u32) -> QuotaShare {
        let workers = NonZeroU16::new(workers).unwrap();
        QuotaShare { remainder, ..QuotaShare::of(workers, &mut fastrand::Rng::with_seed(1)) }
    }

    /// How long each of this many requests that arrive together waits.
    fn begin(share: &QuotaShare, now: Instant, count: usize) -> Vec<Duration> {
        let begin = |_| {
            let at = share.opens(&region(), now);
            share.take(&region(), at, now);
            at - now
        };
        (0..count).map(begin).collect()
    }

    /// The number of requests in each of the first windows of a worker with a long queue.
    fn windows<const N: usize>(share: &QuotaShare) -> [usize; N] {
        let mut windows = [0; N];
        for wait in begin(share, Clock::start().now(), N * 500) {
            let window = usize::try_from(wait.as_millis() / WINDOW.as_millis()).unwrap();
            if let Some(requests) = windows.get_mut(window) {
                *requests += 1;
            }
        }
        windows
    }

    #[test]
    fn batch_begins_at_once_and_the_rest_of_the_share_is_spread() {
        let share = share(24, 0);
        let spread = |requests: std::ops::Range<u32>, window| {
            requests.map(move |n| WINDOW * window + Duration::from_secs(36) * 24 / 492 * n)
        };
        let at_once = [Duration::ZERO; 10].into_iter();
        let expected: Vec<_> =
            at_once.chain(spread(10..20, 0)).chain(spread(0..21, 1)).chain(spread(0..1, 2)).collect();
        assert_eq!(begin(&share, Clock::start().now(), expected.len()), expected);
    }

    #[test]
    fn workers_together_begin_the_whole_quota() {
        for workers in [1, 2, 7, 10, 20, 24, 40, 48] {
            let mut all = [0; 8];
            for remainder in 0..workers {
                for (all, one) in all.iter_mut().zip(windows::<8>(&share(workers, u32::from(remainder)))) {
                    *all += one;
                }
            }
            assert_eq!(all[1..], [492; 7], "{workers}");
        }
    }

    #[test]
    fn workers_round_their_share_up_in_different_windows() {
        let (workers, random) = (NonZeroU16::new(24).unwrap(), &mut fastrand::Rng::with_seed(1));
        let second: Vec<_> = (0..100).map(|_| windows::<2>(&QuotaShare::of(workers, random))[1]).collect();
        let rounded_up = second.iter().filter(|requests| **requests == 21).count();
        assert!((35..=65).contains(&rounded_up), "{second:?}");
        assert!(second.iter().all(|requests| [20, 21].contains(requests)), "{second:?}");
    }

    #[test]
    fn worker_that_is_behind_does_not_wait() {
        let (share, now) = (share(24, 0), Clock::start().now());
        begin(&share, now, 10);
        let later = now + Duration::from_secs(35);
        assert_eq!(begin(&share, later, 10), [Duration::ZERO; 10]);
        assert_eq!(share.opens(&region(), later), now + WINDOW);
    }

    #[test]
    fn idle_worker_begins_a_batch_at_once_however_many_workers_there_are() {
        let (share, mut now) = (share(1000, 0), Clock::start().now());
        let (batch, next) = ([Duration::ZERO; 10], [WINDOW]);
        assert_eq!(begin(&share, now, 11), [&batch[..], &next].concat());
        now += WINDOW * 2;
        assert_eq!(begin(&share, now, 10), batch);
        // A request that returns to the queue shows that the worker is not idle.
        assert_eq!(share.opens(&region(), now + Duration::from_secs(50)), now + WINDOW);
        now += Duration::from_secs(70);
        assert_eq!(begin(&share, now, 2), [Duration::ZERO, WINDOW]);
    }

    #[test]
    fn regions_are_apart_and_idle_ones_are_forgotten() {
        let (share, now) = (share(50, 0), Clock::start().now());
        begin(&share, now, 10);
        let elsewhere = RegionId::parse("us-east-1").unwrap();
        let later = now + Duration::from_secs(50);
        assert_eq!(share.opens(&region(), later), now + WINDOW);
        assert_eq!(share.opens(&elsewhere, later), later);
        share.take(&elsewhere, later, later);
        assert_eq!(share.windows.borrow().len(), 2);
        share.opens(&elsewhere, later + WINDOW);
        assert!(share.windows.borrow().is_empty());
    }

    #[test]
    fn redeliveries_are_not_spread() {
        let workers = NonZeroU16::new(12).unwrap();
        let share = QuotaShare::of_redeliveries(workers, &mut fastrand::Rng::with_seed(1));
        let now = Clock::start().now();
        let taken = |at| (0..30).filter(|_| share.take_now(&region(), at)).count();
        assert_eq!([now, now + WINDOW].map(taken), [20, 20]);
    }
}
