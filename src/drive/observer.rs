//! What happens to a request, as typed events: for the log, a demo or a progress display.

use std::fmt;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::alibaba::credentials::CredentialProblem;
use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::{Action, Write};
use crate::alibaba::records::EndpointStatus;
use crate::alibaba::response::ResponseKind;
use crate::completion::Completion;
use crate::detach::assessment::Presence;
use crate::detach::{Evidence, Outcome, ReasonCode};
use crate::request::{RegionId, RequestId, SecurityGroupId, Subject, Trigger};
use crate::telemetry;

/// One change of a request's state.
#[derive(Debug)]
pub enum Event<'a> {
    /// A delivery, or a direct invocation, begins.
    Received {
        subject: &'a Subject,
        /// The message's id; absent in a direct invocation.
        message_id: Option<&'a str>,
        deliveries: u32,
        trigger: Trigger,
    },
    /// The region throttles calls; the next one waits this long.
    RegionThrottled { region_id: &'a RegionId, wait: Duration },
    /// This worker's share of the quota is used up; the request waits this long.
    ShareUsedUp { wait: Duration },
    /// A list was read.
    Read {
        action: Action,
        evidence: &'a Evidence,
        /// Until the next call; `None` if there is none.
        wait: Option<Duration>,
    },
    /// Alibaba Cloud accepted the write; its effect is not confirmed yet.
    Accepted {
        write: Write,
        evidence: &'a Evidence,
        api_request_id: Option<&'a str>,
        /// Until the first poll; `None` if there is none.
        wait: Option<Duration>,
    },
    /// Alibaba Cloud would accept the write.
    DryRunPassed { write: Write, api_request_id: Option<&'a str> },
    /// A call failed.
    CallFailed {
        error: &'a CallError,
        api_request_id: Option<&'a str>,
        /// Until the next call; `None` if there is none.
        wait: Option<Duration>,
    },
    /// The message returns to the queue, which delivers it again after this time.
    Deferred { why: &'a str, visibility: Duration },
    /// The request ended, and its event was published.
    Completed { outcome: &'a Outcome, completion: &'a Completion },
}

/// An error that concerns every request; an operator must act.
#[derive(Debug)]
pub enum Alert<'a> {
    /// There are no credentials, or Alibaba Cloud rejects them.
    Credentials {
        problem: &'a CredentialProblem,
        /// The code of the call that failed for it.
        code: &'a str,
    },
    /// Alibaba Cloud rejects our clock, although it was corrected by the `Date` of a response.
    Clock { code: &'a str },
    /// Alibaba Cloud responds with a code that the table does not know.
    UnlistedCode { error: &'a CallError },
    /// A time from outside is so far from our clock that the difference is not used as a correction.
    ClockFarOff {
        /// Which time it is.
        by: &'a str,
        /// How far it is ahead of our clock; negative if it is behind.
        ahead: time::Duration,
    },
    /// No call of this run got a readable response from Alibaba Cloud.
    Unreachable {
        /// The number of calls.
        calls: u32,
        /// The error of the latest one.
        error: &'a CallError,
    },
}

/// Receives every event of every request, and every alert.
pub trait Observer: fmt::Debug {
    fn observe(&self, request_id: &RequestId, event: &Event<'_>);

    fn alert(&self, alert: &Alert<'_>);
}

/// Writes each event as a log line. The request's own fields are in the span around it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Observer for Log {
    fn observe(&self, _: &RequestId, event: &Event<'_>) {
        match event {
            Event::Received { message_id, deliveries, trigger, .. } => {
                info!(message_id, deliveries, trigger = trigger.as_str(), "request received");
            }
            Event::RegionThrottled { region_id, wait } => {
                debug!(
                    region_id = region_id.as_str(),
                    wait_ms = milliseconds(*wait),
                    "region throttled; waiting"
                );
            }
            Event::ShareUsedUp { wait } => {
                debug!(wait_ms = milliseconds(*wait), "this worker's share of the quota is used up; waiting");
            }
            Event::Read { action, evidence, .. } => debug!(
                action = action.name(),
                group_status = evidence.group.map(Presence::as_str),
                endpoint_status = evidence.endpoint_status.as_ref().map(EndpointStatus::as_str),
                read_calls = evidence.read_calls,
                "endpoint read"
            ),
            Event::Accepted { write: Write::Detach, api_request_id, .. } => {
                info!(api_request_id, "detach accepted; polling until it is confirmed");
            }
            Event::Accepted { write: Write::Attach, api_request_id, evidence, .. } => {
                let replacement = evidence.replacement_security_group_id.as_ref();
                info!(
                    replacement_security_group_id = replacement.map(SecurityGroupId::as_str),
                    api_request_id,
                    "the group is the endpoint's last one; attach of its replacement accepted; polling until it is attached"
                );
            }
            Event::DryRunPassed { write, api_request_id } => {
                info!(action = write.action().name(), api_request_id, "dry run passed");
            }
            Event::CallFailed { error, api_request_id, wait } => info!(
                action = error.action.name(),
                code = &*error.code.name(),
                wait_ms = wait.map(milliseconds),
                retry_after_ms = error.retry_after.map(milliseconds),
                cause = error.cause.as_ref().map(tracing::field::display),
                api_request_id,
                "{error}"
            ),
            Event::Deferred { why, visibility } => {
                info!(visibility_s = visibility.as_secs_f64(), "returned to the queue: {why}");
            }
            Event::Completed { outcome, completion } => log_completed(outcome, completion),
        }
    }

    fn alert(&self, alert: &Alert<'_>) {
        match alert {
            Alert::Credentials { problem: CredentialProblem::Unavailable(unavailable), .. } => {
                let cause = telemetry::cause(&**unavailable);
                error!(
                    code = &*unavailable.code(),
                    advice = unavailable.advice(),
                    "the worker has no credentials for Alibaba Cloud: {cause}; requests wait until their deadline"
                );
            }
            Alert::Credentials { problem: CredentialProblem::Refused { advice }, code } => error!(
                code,
                advice,
                "Alibaba Cloud rejects the worker's credentials: {code}; requests wait until their deadline"
            ),
            Alert::Clock { code } => error!(
                code,
                "Alibaba Cloud rejects the worker's clock, although it was corrected by the Date of a response; \
                 requests wait until their deadline"
            ),
            Alert::UnlistedCode { error } => error!(
                action = error.action.name(),
                code = &*error.code.name(),
                "{error}, a code that this project does not know; its HTTP status decides whether the request is retried, \
                 or refused and copied to the dead-letter queue"
            ),
            Alert::ClockFarOff { by, ahead } => error!(
                ahead_s = ahead.whole_seconds(),
                "the worker's clock differs from {by} by more than 24 h; the difference is ignored, and deadlines are \
                 judged by the worker's clock"
            ),
            Alert::Unreachable { calls, error } => error!(
                calls,
                action = error.action.name(),
                code = &*error.code.name(),
                cause = error.cause.as_ref().map(tracing::field::display),
                "none of the worker's calls to Alibaba Cloud in this invocation got a response that can be read; \
                 requests wait until their deadline"
            ),
        }
    }
}

fn log_completed(outcome: &Outcome, completion: &Completion) {
    let (name, duration_ms) = (outcome.name(), completion.detail.duration_ms);
    let Some(reason) = &completion.reason else {
        info!(outcome = name, duration_ms, "completed");
        return;
    };
    let reason_code = reason.code.as_str();
    match outcome {
        _ if reason.code == ReasonCode::DryRunIgnored => {
            error!(outcome = name, duration_ms, reason_code, "failed: {}", reason.message);
        }
        // A rejection quotes names of fields that the sender chose: they are in the event, not in the log.
        Outcome::Rejected(_) => {
            warn!(outcome = name, duration_ms, reason_code, "failed: the completion event names every error");
        }
        _ => warn!(outcome = name, duration_ms, reason_code, "failed: {}", reason.message),
    }
}

/// The event of a call with this response.
pub(super) fn succeeded<'a>(
    response: ResponseKind,
    api_request_id: Option<&'a str>,
    evidence: &'a Evidence,
    wait: Option<Duration>,
) -> Event<'a> {
    match response {
        ResponseKind::SecurityGroups => Event::Read { action: Action::ListSecurityGroups, evidence, wait },
        ResponseKind::Endpoints => Event::Read { action: Action::ListEndpoints, evidence, wait },
        ResponseKind::Accepted(write) => Event::Accepted { write, evidence, api_request_id, wait },
        ResponseKind::DryRunPassed(write) => Event::DryRunPassed { write, api_request_id },
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
