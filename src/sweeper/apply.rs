//! The second half of a sweep in mode `apply`: requests the detaches, and reads the requested endpoints again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Sweeper;
use super::detaches::Detach;
use super::log;
use crate::alibaba::privatelink::Target;
use crate::aws::request_queue::RequestQueue;
use crate::clock::Clock;
use crate::completion::sweep::Shortfall;
use crate::drive::sweep::{Endpoints, NotReadAgain, Sweep, endpoints_of, read_again};
use crate::sweep::{Plan, Reference};
use crate::telemetry;
use crate::transport::Transport;

/// How long a request that the queue did not confirm is sent again. The queue may have it, so this is shorter than the
/// five minutes for which a FIFO queue drops duplicates.
const RESEND_TIME_MAX: Duration = Duration::from_mins(4);

/// What a sweep requested, and what it could not do.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// The detaches whose requests the queue has.
    pub(super) requested: HashSet<Target>,
    pub(super) shortfall: Shortfall,
}

/// The requests of a sweep.
#[derive(Debug)]
struct Requests {
    /// Those that the queue has.
    accepted: HashSet<Target>,
    /// Those that the queue has not confirmed.
    unsent: Vec<Detach>,
    /// When the sweeper stops sending the unconfirmed requests again.
    send_until: Instant,
}

impl<T: Transport, Q: RequestQueue, B> Sweeper<T, Q, B> {
    /// Sends the requests, and reads their endpoints again until no reference is left that a request can detach, or
    /// until `until`. When no such reference is left, reads every requested endpoint once more.
    pub(super) async fn apply(
        &self,
        detaches: Vec<Detach>,
        plan: &mut Plan,
        what: &Sweep<'_>,
        clock: &Clock,
        until: Instant,
    ) -> Applied {
        let time = &self.settings.time;
        let all = endpoints_of(plan.requestable());
        let send_until = until.min(clock.now() + RESEND_TIME_MAX);
        let mut requests = Requests { accepted: HashSet::new(), unsent: detaches, send_until };
        let last_reading_at = until.checked_sub(time.last_reading).unwrap_or(clock.started());
        let mut not_read = NotReadAgain::default();
        let mut are_all_read = false;
        let mut pause = time.pause_min;
        loop {
            self.send(&mut requests, clock).await;
            let now = clock.now();
            let left = endpoints_of(plan.requestable().filter(|one| requests.awaits(one, now)));
            let is_done = left.is_empty() && (are_all_read || requests.accepted.is_empty());
            if is_done || now >= last_reading_at {
                break;
            }
            let endpoints = if left.is_empty() {
                &all
            } else {
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                info!(
                    endpoints = count(&left),
                    pause_ms, "references are left; reading their endpoints again after a pause"
                );
                clock.sleep_until(last_reading_at.min(now + pause)).await;
                pause = (pause * 2).min(time.pause_max);
                &left
            };
            let was_rejected = not_read.credentials.is_some();
            not_read = read_again(plan, endpoints, &self.cloud, what, clock, until).await;
            log::not_read_again(&not_read, was_rejected);
            are_all_read = count(endpoints) == count(&all);
            // A request is sent again only if the latest reading would still request it.
            requests.unsent.retain(|detach| plan.requestable().any(|one| one.target() == detach.target));
        }
        let shortfall = Shortfall {
            unsent: requests.unsent.len(),
            is_out_of_time: clock.now() >= until,
            not_read_again: not_read.endpoints,
            code: not_read.code,
        };
        Applied { requested: requests.accepted, shortfall }
    }

    /// Sends the requests that the queue has not confirmed.
    async fn send(&self, requests: &mut Requests, clock: &Clock) {
        if requests.unsent.is_empty() || clock.now() >= requests.send_until {
            return;
        }
        let messages: Vec<_> = requests.unsent.iter().map(|detach| detach.message.clone()).collect();
        let results = Box::pin(self.queue.send(&messages, requests.send_until, clock)).await;
        let mut first_error = None;
        for (detach, result) in std::mem::take(&mut requests.unsent).into_iter().zip(results) {
            match result {
                Ok(()) => drop(requests.accepted.insert(detach.target)),
                Err(error) => {
                    first_error.get_or_insert(error);
                    requests.unsent.push(detach);
                }
            }
        }
        let (accepted, unsent) = (requests.accepted.len(), requests.unsent.len());
        match first_error {
            None => info!(accepted, "the request queue accepted every request"),
            Some(error) => warn!(
                accepted,
                unsent,
                "the request queue did not accept every request; the first error: {}",
                telemetry::cause(&error)
            ),
        }
    }
}

impl Requests {
    /// Whether one of the requests can still detach the reference.
    fn awaits(&self, reference: &Reference, now: Instant) -> bool {
        let target = reference.target();
        let is_unsent = || self.unsent.iter().any(|detach| detach.target == target);
        self.accepted.contains(&target) || now < self.send_until && is_unsent()
    }
}

fn count(endpoints: &Endpoints) -> usize {
    endpoints.values().map(std::collections::BTreeMap::len).sum()
}
