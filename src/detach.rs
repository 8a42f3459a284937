//! The rules: the next step of one detach.
//!
//! Pure: results of calls and the time go in, the next step comes out. No clock, no network, no async. One step is at
//! most one HTTP call, so the caller can stop, or be killed, between any two of them: a later delivery starts with a
//! read and continues from the state that it finds.
//!
//! Two rules apply everywhere. Every write is preceded by a read, and every error is followed by another read. An
//! inconclusive read never ends a request: the next read follows, until the deadline.
//!
//! This file has the state of one delivery and its steps; [`assessment`] decides what one complete read means by
//! itself, `decision` when to wait, write and end, `replacement` which group is attached before the last one is
//! detached, and `waiting` how long.

pub mod assessment;
mod decision;
mod evidence;
mod limits;
mod outcome;
mod reading;
mod replacement;
mod tokens;
mod waiting;

use std::time::{Duration, Instant};

use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::CallError;
use crate::alibaba::pages::{List, Page, Turn};
use crate::alibaba::privatelink::{Action, Call, Write};
use crate::alibaba::records::{Endpoint, GroupStatus, SecurityGroup};
use crate::alibaba::response::{CallResult, Response};
use crate::alibaba::settling::Settling;
use crate::request::{DetachRequest, EndpointId, RegionId, Replacements, SecurityGroupId};
use assessment::{GroupList, Observation, Presence};
use reading::{Reading, lookalike};
use tokens::Tokens;

pub use evidence::Evidence;
pub use limits::Limits;
pub use outcome::{Ground, Outcome, ReasonCode, Refusal, TimeExpired};

/// How often a code that the table does not know must be the response before it counts as a permanent refusal.
const UNLISTED_MAX: u32 = 2;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make this call once, and pass its result to [`Detach::next`].
    Call {
        /// Counted from now; no call for this request is made earlier.
        after: Duration,
        call: Call,
    },
    /// The request has ended.
    Finish(Outcome),
}

/// One detach in one delivery, from its first read to its outcome.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact: requested, read, or decided once"
)]
pub struct Detach {
    region_id: RegionId,
    endpoint_id: EndpointId,
    security_group_id: SecurityGroupId,
    dry_run: bool,
    /// Whether an absent group refuses the request, if this delivery never read it on the endpoint.
    expects_attached: bool,
    replacements: Replacements,
    deadline: Instant,
    limits: Limits,
    tokens: Tokens,
    rng: fastrand::Rng,
    reading: Reading,
    settling: Settling,
    is_last_read: bool,
    /// Whether the last read was repeated because it was refused for our clock.
    has_repeated_last_read: bool,
    /// The replacement for the VPC in the endpoint's record, as last read.
    replacement: Option<SecurityGroupId>,
    /// Whether replacements are configured, but the endpoint's record, as last read, names no VPC.
    lacks_vpc: bool,
    /// The group for which this delivery called Attach, until a list shows it attached.
    attaching: Option<SecurityGroupId>,
    accepted: Option<AcceptedWrite>,
    /// Whether a write may have been carried out although its response does not say so. A read that leads to another write
    /// refutes it.
    has_unknown_write: bool,
    /// The error of the latest write and its time, until a write is accepted.
    objection: Option<(CallError, Instant)>,
    /// Refusals for the endpoint's state since it last changed.
    wrong_states: u32,
    /// Writes that failed with a code that the table does not know, since one was accepted.
    unlisted_writes: u32,
    /// Reads that failed with such a code, since one was complete.
    unlisted_reads: u32,
    write_errors: u32,
    read_errors: u32,
    /// The lanes of all workers in this region.
    lanes: u32,
    has_seen_endpoint: bool,
    evidence: Evidence,
}

/// An accepted write whose effect is not confirmed yet.
#[derive(Debug, Clone, Copy)]
struct AcceptedWrite {
    write: Write,
    since: Instant,
    has_begun: bool,
    returns: u32,
}

impl Detach {
    /// A detach of `request` that must end by `deadline`. If the requested group is the endpoint's last one, the group
    /// that `replacements` names for the endpoint's VPC is attached first.
    ///
    /// `is_first_delivery` decides whether the sender's own client token is used and whether its expectation counts. Our own
    /// tokens begin with `token_prefix`, which must differ from delivery to delivery and must not reveal the state of
    /// `jitter`.
    #[must_use]
    pub fn new(
        request: &DetachRequest,
        replacements: &Replacements,
        is_first_delivery: bool,
        deadline: Instant,
        limits: Limits,
        token_prefix: u128,
        jitter: fastrand::Rng,
    ) -> Self {
        let senders = request.client_token.clone().filter(|_| is_first_delivery);
        Self {
            region_id: request.region_id.clone(),
            endpoint_id: request.endpoint_id.clone(),
            security_group_id: request.security_group_id.clone(),
            dry_run: request.dry_run,
            // Later deliveries do not know whether an earlier one detached the group.
            expects_attached: request.expect_attached && is_first_delivery,
            replacements: replacements.clone(),
            deadline,
            limits,
            tokens: Tokens::new(token_prefix, senders),
            rng: jitter,
            reading: Reading::new(true),
            settling: Settling::default(),
            is_last_read: false,
            has_repeated_last_read: false,
            replacement: None,
            lacks_vpc: false,
            attaching: None,
            accepted: None,
            has_unknown_write: false,
            objection: None,
            wrong_states: 0,
            unlisted_writes: 0,
            unlisted_reads: 0,
            write_errors: 0,
            read_errors: 0,
            lanes: 1,
            has_seen_endpoint: false,
            evidence: Evidence::default(),
        }
    }

    /// The first step: a read, at once. Past the deadline it is also the last.
    pub fn start(&mut self, now: Instant) -> Step {
        self.is_last_read = now >= self.deadline;
        call_now(Call::ListSecurityGroups { next_token: None })
    }

    /// The step after a call with this result. `now` is when the call ended.
    pub fn next(&mut self, result: CallResult, now: Instant) -> Step {
        let CallResult { api_request_id, result } = result;
        match &result {
            Ok(response) => self.evidence.add_call(response.action(), api_request_id),
            Err(error) if error.kind == ErrorKind::NoCredentials => {}
            Err(error) => self.evidence.add_call(error.action, api_request_id),
        }
        match result {
            Ok(Response::SecurityGroups(page)) => self.on_groups(page, now),
            Ok(Response::Endpoints(page)) => self.on_endpoints(page, now),
            Ok(Response::Accepted(write)) => self.on_accepted(write, now),
            Ok(Response::DryRunPassed(write)) if self.dry_run => {
                self.note_attach(write);
                Step::Finish(Outcome::DryRunPassed)
            }
            Ok(Response::DryRunPassed(_)) => self.contradicted(now),
            Err(error) => match error.action.write() {
                Some(write) => self.on_write_error(write, error, now),
                None => self.on_read_error(error, now),
            },
        }
    }

    /// The step that replaces one that could not be taken when it was due.
    ///
    /// A write depends on the read before it, which is outdated by now: read again, or end if the deadline has passed. A
    /// read is not outdated.
    pub fn postponed(&mut self, call: Call, now: Instant) -> Step {
        match call {
            Call::Detach { .. } | Call::Attach { .. } => self.read_again(Duration::ZERO, true, now),
            Call::ListSecurityGroups { .. } | Call::ListEndpoints { .. } => call_now(call),
        }
    }

    /// The step after the caller has waited: what was read before is outdated.
    pub fn resumed(&mut self, now: Instant) -> Step {
        self.read_again(Duration::ZERO, true, now)
    }

    /// Judges by this deadline from now on: a response has corrected the clock. A read that seemed to be the last is an
    /// ordinary one if the deadline has not passed.
    pub fn move_deadline(&mut self, deadline: Instant, now: Instant) {
        self.deadline = deadline;
        self.is_last_read &= now >= deadline;
    }

    /// Polls as one of this many lanes of all workers from now on: they divide the region's quota among them.
    pub fn set_lanes(&mut self, lanes: u32) {
        self.lanes = lanes;
    }

    /// Whether the read at the deadline is under way: after it there is no other step.
    #[must_use]
    pub fn is_last_read(&self) -> bool {
        self.is_last_read
    }

    /// Whether a write was accepted, or may have been, and no read has confirmed or refuted its effect yet.
    #[must_use]
    pub fn is_write_under_way(&self) -> bool {
        self.accepted.is_some() || self.has_unknown_write
    }

    /// What was read and done so far.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    // The read: every page of the groups, then the record where it matters.

    fn on_groups(&mut self, page: Page<SecurityGroup>, now: Instant) -> Step {
        match self.reading.groups.add(page) {
            Turn::More(token) => call_now(Call::ListSecurityGroups { next_token: Some(token) }),
            Turn::Complete(list) => self.on_group_list(list, now),
            Turn::Broken => self.contradicted(now),
        }
    }

    fn on_group_list(&mut self, list: List<SecurityGroup>, now: Instant) -> Step {
        let groups = GroupList::complete(&list.items, &self.security_group_id);
        if let GroupList::Complete { ours, .. } = groups {
            self.evidence.add_list(&list.items, ours);
            self.reading.lookalike = lookalike(&list.items, &self.security_group_id);
            self.reading.is_settled = self.settling.add(list, self.limits.empty_list_for, now);
            // The record cannot change what this read means: wait.
            if !self.reading.is_full
                && let Presence::Listed(status @ (GroupStatus::Attaching | GroupStatus::Detaching)) = ours
            {
                self.end_read_errors();
                return self.wait_for_change(status == GroupStatus::Detaching, now);
            }
        }
        self.reading.listed = Some(groups);
        call_now(Call::ListEndpoints { next_token: None })
    }

    fn on_endpoints(&mut self, page: Page<Endpoint>, now: Instant) -> Step {
        match self.reading.endpoints.add(page) {
            Turn::More(token) => call_now(Call::ListEndpoints { next_token: Some(token) }),
            Turn::Complete(records) => {
                if !self.settling.add_records(&records) {
                    return self.repeat(now);
                }
                let ours = records.items.into_iter().find(|record| record.id == self.endpoint_id.as_str());
                let region = ours.as_ref().and_then(|record| record.region_id.as_deref());
                if region.is_some_and(|region| region != self.region_id.as_str()) {
                    return self.contradicted(now);
                }
                self.on_record(ours, now)
            }
            Turn::Broken => self.contradicted(now),
        }
    }

    fn on_record(&mut self, record: Option<Endpoint>, now: Instant) -> Step {
        match self.reading.listed.take() {
            Some(groups) => {
                self.decide(&Observation { groups, is_settled: self.reading.is_settled, record }, now)
            }
            None => self.contradicted(now),
        }
    }

    fn on_read_error(&mut self, error: CallError, now: Instant) -> Step {
        match (error.kind, error.action) {
            // A page that fails after others makes the whole list unknown.
            (
                ErrorKind::EndpointNotFound | ErrorKind::Denied | ErrorKind::Refused | ErrorKind::Unlisted,
                _,
            ) if self.reading.is_between_pages() => {
                self.inconclusive(&error.code, error.kind, error.retry_after, now)
            }
            (ErrorKind::EndpointNotFound, Action::ListSecurityGroups) => {
                self.reading.listed = Some(GroupList::EndpointNotFound);
                self.reading.is_settled = true;
                call_now(Call::ListEndpoints { next_token: None })
            }
            // Not found, although its groups were just listed.
            (ErrorKind::EndpointNotFound, _) if self.reading.has_listed_groups() => {
                self.inconclusive(&error.code, error.kind, error.retry_after, now)
            }
            (ErrorKind::EndpointNotFound, _) => self.on_record(None, now),
            (ErrorKind::Denied | ErrorKind::Refused, _) => refuse(error.into()),
            (ErrorKind::Unlisted, _) => {
                self.unlisted_reads += 1;
                if self.unlisted_reads >= UNLISTED_MAX {
                    return refuse(error.into());
                }
                let wait = error.retry_after.max(Some(self.limits.unlisted_backoff_min));
                self.inconclusive(&error.code, error.kind, wait, now)
            }
            // Only a response to a call that is not refused for our clock shows whether the deadline has passed.
            (ErrorKind::Clock, Action::ListSecurityGroups)
                if self.is_last_read && !self.has_repeated_last_read && !self.reading.is_between_pages() =>
            {
                self.has_repeated_last_read = true;
                self.evidence.add_error(&error.code, error.kind, true);
                self.begin_read(Duration::ZERO, true)
            }
            (kind, _) => self.inconclusive(&error.code, kind, error.retry_after, now),
        }
    }
}

fn call_now(call: Call) -> Step {
    Step::Call { after: Duration::ZERO, call }
}

fn refuse(refusal: Refusal) -> Step {
    Step::Finish(Outcome::Refused(refusal))
}

#[cfg(test)]
mod tests;
