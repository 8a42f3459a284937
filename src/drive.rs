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
use crate::alibaba::privatelink::{Action, Target};
use crate::alibaba::response::Response;
use crate::detach::{Detach, Evidence, Limits, Outcome, Step};
use crate::transport::Transport;
use cloud::{Cloud, Wait};
use observer::Event;
use time_budget::Run;

pub use attempt::Attempt;
pub use deadline::Deadline;

/// How a delivery of a request ended.
#[derive(Debug)]
pub enum Ended {
    Finished(Outcome, Evidence),
    /// The time budget is used up, the run is stopped, or it is read-only and a write is due.
    Unfinished {
        /// The end of the wait that the service requested.
        not_before: Option<Instant>,
        evidence: Evidence,
    },
}

/// Carries out the steps of one detach until it ends or the time budget is used up.
pub async fn drive<T: Transport>(
    cloud: &Cloud<T>,
    attempt: &Attempt<'_>,
    limits: Limits,
    run: &Run,
) -> Ended {
    let Attempt { request, request_id, observer, is_first_delivery, .. } = *attempt;
    let mut deadline = cloud.moment_of(&attempt.deadline, &run.clock);
    let target = Target {
        region_id: request.region_id.clone(),
        endpoint_id: request.endpoint_id.clone(),
        security_group_id: request.security_group_id.clone(),
    };
    let (token_prefix, jitter) = (cloud.token_prefix(), cloud.delivery_jitter());
    let mut detach = Detach::new(request, is_first_delivery, deadline, limits, token_prefix, jitter);
    let in_flight = cloud.enter(&request.region_id);
    let mut step = detach.start(run.clock.now());
    let mut not_before = None;
    loop {
        let (after, call) = match step {
            Step::Call { call, .. } if call.action() == Action::Detach && !run.admits_writes() => {
                return Ended::Unfinished { not_before, evidence: detach.evidence().clone() };
            }
            Step::Call { after, call } => (after, call),
            Step::Finish(outcome) => return Ended::Finished(outcome, detach.evidence().clone()),
        };
        let is_overdue = detach.is_last_read() && deadline <= run.clock.now();
        let waited = cloud.wait(after, is_overdue, attempt, run).await;
        // A write must not leave after the deadline, however long its connection takes to open.
        let time_left = match call.action() {
            Action::Detach => run.clock.left(deadline),
            Action::ListSecurityGroups | Action::ListEndpoints => Duration::MAX,
        };
        let timeout = match waited {
            Wait::Due { timeout } if !time_left.is_zero() => timeout.min(time_left),
            Wait::Late { timeout } if call.action() != Action::Detach => timeout,
            Wait::Due { .. } | Wait::Late { .. } => {
                step = detach.postponed(call, run.clock.now());
                continue;
            }
            Wait::OutOfTime => return Ended::Unfinished { not_before, evidence: detach.evidence().clone() },
        };
        let began = run.clock.now();
        let result = cloud.call(&target, &call, attempt, run, timeout).await;
        let now = run.clock.now();
        // The response may have corrected the clock.
        deadline = cloud.moment_of(&attempt.deadline, &run.clock);
        detach.move_deadline(deadline, now);
        detach.set_lanes(in_flight.lanes());
        let response = result.result.as_ref().map(Response::kind).map_err(CallError::clone);
        let api_request_id = result.api_request_id.clone();
        step = detach.next(result, now);
        let wait = match &step {
            Step::Call { after, .. } => Some(*after),
            Step::Finish(_) => None,
        };
        let api_request_id = api_request_id.as_deref();
        match response {
            Ok(response) => {
                not_before = None;
                let event = observer::succeeded(response, api_request_id, detach.evidence(), wait);
                observer.observe(request_id, &event);
            }
            Err(error) => {
                not_before = error.retry_after.map(|hint| now + hint);
                observer.observe(request_id, &Event::CallFailed { error: &error, api_request_id, wait });
                cloud.on_error(&error, &step, began, attempt, run);
            }
        }
    }
}
