//! Drives one detach: carries out the steps that [`crate::detach`] decides, within a time budget. [`sweep`](mod@sweep) does
//! the same for the reading of a sweep.
//!
//! It needs no queue, no event bus and no AWS configuration. In reading order: [`drive`] is the loop, [`cloud`] makes
//! the calls and waits, [`time_budget`] limits them, [`observer`] receives an event for each. A sweep's calls are spaced by
//! [`pace`].

mod attempt;
pub mod cloud;
pub mod deadline;
mod lanes;
pub mod observer;
pub mod pace;
pub mod sweep;
mod throttled_regions;
pub mod time_budget;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::{Action, Call, Target};
use crate::alibaba::records::GroupStatus;
use crate::alibaba::response::Response;
use crate::detach::assessment::Presence;
use crate::detach::{Detach, Evidence, Limits, Outcome, Step};
use crate::request::SecurityGroupId;
use crate::transport::Transport;
use cloud::{Cloud, Wait};
use lanes::InFlight;
use observer::Event;
use time_budget::Run;

pub use attempt::Attempt;
pub use deadline::Deadline;

/// The longest single wait of a request without usable credentials inside an invocation: until the next read of the
/// credentials or the end of its own back-off, whichever is later. It is the pause after one failed read: a timeout of
/// Secrets Manager or STS that the next read fixes costs a second of computing time, instead of a return to the queue
/// for at least 5 s. Later waits are longer, and cost more than a return.
const RENEWAL_WAIT_MAX: Duration = Duration::from_secs(1);

/// How a delivery of a request ended.
#[derive(Debug)]
pub enum Ended {
    Finished(Outcome, Evidence),
    Unfinished {
        why: Unfinished,
        /// The end of the wait that the service requested.
        not_before: Option<Instant>,
        evidence: Evidence,
        /// The replacement of a last group, if its attach is the next call.
        attach_due: Option<SecurityGroupId>,
    },
}

/// Why a delivery ended before its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The time budget is used up, the run is stopped, or it is read-only and a write is due.
    OutOfTime,
    /// There are no usable credentials for the next call, and no write is under way. Only a
    /// [returnable](Driven::returnable) detach ends for this reason.
    NoCredentials {
        /// When the credentials are read again; `None` if they never are.
        renewal: Option<Instant>,
    },
}

/// Carries out the steps of one detach until it ends or the time budget is used up.
pub async fn drive<T: Transport>(
    cloud: &Cloud<T>,
    attempt: &Attempt<'_>,
    limits: Limits,
    run: &Run,
) -> Ended {
    Driven::new(cloud, attempt, limits, run).finish().await
}

/// One detach in flight.
#[derive(Debug)]
pub struct Driven<'a, T> {
    cloud: &'a Cloud<T>,
    attempt: Attempt<'a>,
    run: &'a Run,
    target: Target,
    detach: Detach,
    deadline: Instant,
    step: Step,
    not_before: Option<Instant>,
    is_returnable: bool,
    in_flight: InFlight<'a>,
}

impl<'a, T: Transport> Driven<'a, T> {
    /// A detach that begins now.
    pub fn new(cloud: &'a Cloud<T>, attempt: &Attempt<'a>, limits: Limits, run: &'a Run) -> Self {
        let Attempt { request, replacements, is_first_delivery, .. } = *attempt;
        let deadline = cloud.moment_of(&attempt.deadline, &run.clock);
        let target = Target {
            region_id: request.region_id.clone(),
            endpoint_id: request.endpoint_id.clone(),
            security_group_id: request.security_group_id.clone(),
        };
        let (token_prefix, jitter) = (cloud.token_prefix(), cloud.delivery_jitter());
        let mut detach =
            Detach::new(request, replacements, is_first_delivery, deadline, limits, token_prefix, jitter);
        let step = detach.start(run.clock.now());
        let in_flight = cloud.enter(&request.region_id);
        let (attempt, not_before, is_returnable) = (*attempt, None, false);
        Self { cloud, attempt, run, target, detach, deadline, step, not_before, is_returnable, in_flight }
    }

    /// The same detach, of a message that can return to its queue: it does not wait for usable credentials, unless a
    /// write is under way.
    #[must_use]
    pub fn returnable(self) -> Self {
        Self { is_returnable: true, ..self }
    }

    /// Carries out steps until the detach ends, the time budget is used up, or a list shows that a write may be due;
    /// `None` then.
    pub async fn confirm(&mut self) -> Option<Ended> {
        while !self.may_write_next() {
            if let Some(ended) = self.advance().await {
                return Some(ended);
            }
        }
        // The caller waits, so what was read is outdated.
        self.step = self.detach.resumed(self.run.clock.now());
        None
    }

    /// Carries out steps until the detach ends or the time budget is used up.
    pub async fn finish(mut self) -> Ended {
        loop {
            if let Some(ended) = self.advance().await {
                return ended;
            }
        }
    }

    /// Whether the next call is a write, or the last one before a write. The record of an endpoint whose list shows the
    /// group attached is read for a write; its quota is that of the writes.
    fn may_write_next(&self) -> bool {
        let Step::Call { call, .. } = &self.step else { return false };
        let is_due = match call.action() {
            Action::Detach | Action::Attach => true,
            Action::ListEndpoints => match self.detach.evidence().group {
                Some(
                    Presence::Listed(GroupStatus::Attaching | GroupStatus::Detaching) | Presence::Absent,
                )
                | None => false,
                Some(Presence::Listed(_)) => true,
            },
            Action::ListSecurityGroups => false,
        };
        is_due && !self.detach.is_last_read()
    }

    fn unfinished(&self, why: Unfinished) -> Ended {
        let attach_due = match &self.step {
            Step::Call { call: Call::Attach { security_group_id, .. }, .. } => {
                Some(security_group_id.clone())
            }
            Step::Call { .. } | Step::Finish(_) => None,
        };
        let (not_before, evidence) = (self.not_before, self.detach.evidence().clone());
        Ended::Unfinished { why, not_before, evidence, attach_due }
    }

    /// Why the detach ends after this error, if it would only wait for credentials; `None` if it continues. After a
    /// write, the next read shows whether they are usable.
    fn lacks_credentials(&self, error: &CallError) -> Option<Unfinished> {
        let Step::Call { after, .. } = &self.step else { return None };
        let is_waiting = self.is_returnable
            && error.kind.is_about_credentials()
            && error.action.write().is_none()
            && !self.detach.is_last_read()
            && !self.detach.is_write_under_way();
        if !is_waiting {
            return None;
        }
        let clock = &self.run.clock;
        let renewal = self.cloud.credential_renewal(clock);
        let is_soon = renewal.map(|wait| wait.max(*after)).is_some_and(|wait| wait <= RENEWAL_WAIT_MAX);
        (!is_soon).then(|| Unfinished::NoCredentials { renewal: renewal.map(|wait| clock.now() + wait) })
    }

    /// Carries out the next step. Returns how the detach ended, if it did.
    async fn advance(&mut self) -> Option<Ended> {
        let Self { cloud, attempt, run, .. } = *self;
        let (after, call) = match &self.step {
            Step::Call { call, .. } if call.action().write().is_some() && !run.admits_writes() => {
                return Some(self.unfinished(Unfinished::OutOfTime));
            }
            Step::Call { after, call } => (*after, call.clone()),
            Step::Finish(outcome) => {
                return Some(Ended::Finished(outcome.clone(), self.detach.evidence().clone()));
            }
        };
        let is_overdue = self.detach.is_last_read() && self.deadline <= run.clock.now();
        let waited = cloud.wait(&call, after, is_overdue, &attempt, run).await;
        // A write must not leave after the deadline, however long its connection takes to open.
        let is_write = call.action().write().is_some();
        let time_left = if is_write { run.clock.left(self.deadline) } else { Duration::MAX };
        let timeout = match waited {
            Wait::Due { timeout } if !time_left.is_zero() => timeout.min(time_left),
            Wait::Late { timeout } if !is_write => timeout,
            Wait::Due { .. } | Wait::Late { .. } => {
                self.step = self.detach.postponed(call, run.clock.now());
                return None;
            }
            Wait::OutOfTime => return Some(self.unfinished(Unfinished::OutOfTime)),
        };
        let began = run.clock.now();
        let result = cloud.call(&self.target, &call, &attempt, run, timeout).await;
        let now = run.clock.now();
        // The response may have corrected the clock.
        self.deadline = cloud.moment_of(&attempt.deadline, &run.clock);
        self.detach.move_deadline(self.deadline, now);
        self.detach.set_lanes(self.in_flight.lanes());
        let response = result.result.as_ref().map(Response::kind).map_err(CallError::clone);
        let api_request_id = result.api_request_id.clone();
        self.step = self.detach.next(result, now);
        let wait = match &self.step {
            Step::Call { after, .. } => Some(*after),
            Step::Finish(_) => None,
        };
        let (request_id, observer) = (attempt.request_id, attempt.observer);
        let api_request_id = api_request_id.as_deref();
        match response {
            Ok(response) => {
                self.not_before = None;
                let event = observer::succeeded(response, api_request_id, self.detach.evidence(), wait);
                observer.observe(request_id, &event);
            }
            Err(error) => {
                self.not_before = error.retry_after.map(|hint| now + hint);
                let unfinished = self.lacks_credentials(&error);
                let wait = wait.filter(|_| unfinished.is_none());
                observer.observe(request_id, &Event::CallFailed { error: &error, api_request_id, wait });
                cloud.on_error(&error, &self.step, began, &attempt, run);
                return unfinished.map(|why| self.unfinished(why));
            }
        }
        None
    }
}
