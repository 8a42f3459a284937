//! The loop that reads one region.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::future::Either;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Errors, Progress, Rejected, Sweep};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::Read;
use crate::alibaba::response::Response;
use crate::clock::Clock;
use crate::drive::cloud::Cloud;
use crate::request::RegionId;
use crate::sweep::{Next, RegionReading, Ticket};
use crate::transport::Transport;

/// Maximum number of calls in flight in one region. At the default pace they use the whole share of the quota up to a response
/// time of 1.6 s, ten times the usual one.
const CALLS_MAX: usize = 28;

/// The longest call, as in [`crate::drive::time_budget::TimeLimits`]. It includes the time for credentials.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the loop of a region waits for.
enum Arrived {
    /// The end of a refresh of the credentials. If there are none, the next call fails without being sent.
    Credentials {
        call_ends: Instant,
    },
    Response(Ticket, Result<Response, CallError>),
}

/// One region that is being read.
pub(super) struct Reader<'a, T> {
    pub(super) cloud: &'a Cloud<T>,
    pub(super) sweep: &'a Sweep<'a>,
    pub(super) region_id: &'a RegionId,
    pub(super) clock: &'a Clock,
    pub(super) progress: &'a dyn Fn(&Progress<'_>),
    pub(super) errors: &'a Errors,
    /// Outlives the loop, so that the results remain if the loop is dropped.
    pub(super) reading: &'a RefCell<RegionReading>,
    pub(super) failed_calls: u32,
}

impl<T: Transport> Reader<'_, T> {
    /// Makes the calls of the reading until it is done. Rejected credentials end it.
    pub(super) async fn read(mut self) -> Result<(), Rejected> {
        let Self { cloud, sweep, region_id, clock, .. } = self;
        let mut calls = FuturesUnordered::new();
        // The call that is sent next.
        let mut waiting: Option<(Ticket, Read)> = None;
        // Credentials are refreshed apart from the calls. A call that waited for them after it was allowed to leave could
        // be sent into a region that throttles by then, and at once with others that waited.
        let mut is_refreshing = false;
        // The end of the call for which they were refreshed.
        let mut refreshed: Option<Instant> = None;
        loop {
            let mut due = None;
            if waiting.is_none() && calls.len() < CALLS_MAX {
                match self.reading.borrow_mut().next(clock.now()) {
                    Next::Call(ticket, call) => waiting = Some((ticket, call)),
                    Next::Wait(at) => due = Some(at),
                    // A read of the credentials that is canceled counts as failed.
                    Next::Done if !is_refreshing => return Ok(()),
                    Next::InFlight | Next::Done => {}
                }
            }
            let now = clock.now();
            if let Some((ticket, call)) = waiting.take() {
                due = cloud.may_read_at(region_id, &call, &sweep.pace).filter(|at| *at > now);
                // Usable credentials sign it although they are being refreshed.
                let does_not_wait = is_refreshing && cloud.has_usable_credentials(clock);
                let ends = refreshed.take().or(does_not_wait.then_some(now + CALL_TIMEOUT));
                match (due, ends) {
                    (None, Some(ends)) => {
                        cloud.note_read(region_id, &call, now);
                        let timeout = ends.saturating_duration_since(now);
                        calls.push(Either::Left(async move {
                            let result = cloud.read(region_id, &call, clock, timeout).await;
                            Arrived::Response(ticket, result)
                        }));
                        continue;
                    }
                    (None, None) if !is_refreshing => {
                        is_refreshing = true;
                        calls.push(Either::Right(async move {
                            cloud.refresh_credentials(clock, CALL_TIMEOUT).await;
                            Arrived::Credentials { call_ends: now + CALL_TIMEOUT }
                        }));
                        waiting = Some((ticket, call));
                        continue;
                    }
                    (Some(_), _) | (None, None) => waiting = Some((ticket, call)),
                }
            }
            let arrived = match due {
                None => calls.next().await,
                Some(at) if calls.is_empty() => {
                    clock.sleep_until(at).await;
                    None
                }
                Some(at) => clock.by(at, calls.next()).await.flatten(),
            };
            match arrived {
                Some(Arrived::Credentials { call_ends }) => {
                    is_refreshing = false;
                    refreshed = waiting.is_some().then_some(call_ends);
                }
                Some(Arrived::Response(ticket, result)) => self.add(ticket, result, clock.now())?,
                None => {}
            }
        }
    }

    fn add(
        &mut self,
        ticket: Ticket,
        result: Result<Response, CallError>,
        now: Instant,
    ) -> Result<(), Rejected> {
        self.errors.note(&result);
        if let Err(error) = &result {
            self.on_error(error, now)?;
        }
        self.reading.borrow_mut().add(ticket, result, now);
        self.report(now);
        Ok(())
    }

    /// Applies the consequences of an error for other calls.
    fn on_error(&mut self, error: &CallError, now: Instant) -> Result<(), Rejected> {
        self.failed_calls += 1;
        match error.kind {
            ErrorKind::Throttled => self.cloud.hold(self.region_id, now, error.retry_after),
            ErrorKind::Credentials | ErrorKind::CredentialsExpired | ErrorKind::NoCredentials => {
                if let Some(problem) = self.cloud.credential_problem() {
                    return Err(Rejected { problem, code: error.code.clone() });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn report(&self, now: Instant) {
        let counts = self.reading.borrow().counts();
        (self.progress)(&Progress {
            region_id: self.region_id,
            listed: counts.listed,
            read: counts.read,
            skipped: counts.skipped,
            failed_calls: self.failed_calls,
            throttled_until: self.cloud.held_until(self.region_id, now),
        });
    }
}
