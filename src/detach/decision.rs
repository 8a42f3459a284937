//! The decision after a complete read: end, wait or write; and what follows from a write.
//!
//! [`super::assessment`] says what the read means by itself; here the history of the delivery is added.

use std::time::{Duration, Instant};

use super::assessment::{
    Assessment, Change, Contradiction, GroupList, Observation, Others, Presence, assess,
};
use super::{AcceptedDetach, Detach, Outcome, ReasonCode, Refusal, Step, UNLISTED_MAX, call_now, refuse};
use crate::alibaba::codes::{self, ErrorKind};
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::privatelink::{Action, Call};
use crate::alibaba::records::{BusinessStatus, ConnectionStatus, EndpointStatus, GroupStatus};

/// How often Alibaba Cloud must refuse the detach because of the endpoint's state, while the endpoint is stable, before
/// the refusal counts as permanent.
const WRONG_STATES_MAX: u32 = 2;

/// Consecutive reads that must show our group attached again after an accepted detach had begun, before it is detached
/// again.
const RETURNS_MAX: u32 = 2;

impl Detach {
    pub(super) fn decide(&mut self, observation: &Observation, now: Instant) -> Step {
        if let Some(record) = &observation.record {
            self.has_seen_endpoint = true;
            self.evidence.endpoint_status.clone_from(&record.status);
            if matches!(record.status, Some(EndpointStatus::Creating | EndpointStatus::Pending)) {
                self.wrong_states = 0;
            }
        }
        let assessment = assess(observation);
        match assessment {
            Assessment::Inconclusive(Contradiction::NotFoundButRecorded) => {
                let code = ErrorCode::Alibaba(codes::ENDPOINT_NOT_FOUND);
                return self.inconclusive(&code, ErrorKind::EndpointNotFound, None, now);
            }
            Assessment::Inconclusive(Contradiction::GroupsWithoutRecord | Contradiction::UnknownStatus) => {
                return self.contradicted(now);
            }
            Assessment::Unsettled => {
                self.end_read_errors();
                return self.repeat(now);
            }
            Assessment::EndpointMissing if self.has_seen_endpoint => {
                return Step::Finish(Outcome::EndpointGone);
            }
            Assessment::EndpointMissing => {
                let code = ReasonCode::from_alibaba(codes::ENDPOINT_NOT_FOUND.as_str());
                return refuse(Refusal::by_check(code, Some(Action::ListEndpoints)));
            }
            Assessment::Detached => {
                if let Some(refusal) = self.not_attached() {
                    return refuse(refusal);
                }
                self.evidence.confirmed_at = Some(now);
                // A dry run detaches nothing: another caller detached the group.
                let is_ours = self.has_seen_group() && !self.dry_run;
                return Step::Finish(if is_ours { Outcome::Detached } else { Outcome::AlreadyDetached });
            }
            Assessment::Changing(Change::AbsentWhilePending) if self.dry_run => {
                return self.detach(observation, now);
            }
            Assessment::Changing(_)
            | Assessment::LastGroup
            | Assessment::OthersChanging
            | Assessment::Attached => {}
        }
        self.end_read_errors();
        if let Some(refusal) = self.permanent_objection(observation, now) {
            return refuse(refusal);
        }
        match assessment {
            Assessment::Changing(change @ (Change::AbsentWhileCreating | Change::AbsentWhilePending)) => {
                self.wait_for_change(change.is_of_a_detach(), now)
            }
            _ if self.dry_run => self.detach(observation, now),
            Assessment::Changing(change) => self.wait_for_change(change.is_of_a_detach(), now),
            _ => self.on_attached(observation, assessment, now),
        }
    }

    fn has_seen_group(&self) -> bool {
        self.evidence.security_group_seen == Some(true)
    }

    /// Why the absence of the group is no success: the endpoint has a group with nearly the same id, or the sender expects
    /// the group on the endpoint.
    fn not_attached(&self) -> Option<Refusal> {
        let is_ours = self.has_seen_group() && !self.dry_run;
        let is_unexpected = self.expects_attached && !is_ours;
        let is_mistyped = self.reading.lookalike.is_some() && !self.has_seen_group();
        (is_unexpected || is_mistyped).then(|| Refusal {
            lookalike: self.reading.lookalike.clone(),
            ..Refusal::by_check(ReasonCode::SecurityGroupNotAttached, None)
        })
    }

    /// The refusal that follows from the latest error of a Detach, if the endpoint's record shows that waiting does not
    /// help.
    fn permanent_objection(&self, observation: &Observation, now: Instant) -> Option<Refusal> {
        let (objection, since) = self.objection.as_ref()?;
        let record = observation.record.as_ref()?;
        let attached = Presence::Listed(GroupStatus::Attached);
        if !matches!(&observation.groups, GroupList::Complete { ours, .. } if *ours == attached) {
            return None;
        }
        let is_stable = !matches!(
            record.status,
            Some(EndpointStatus::Creating | EndpointStatus::Pending | EndpointStatus::Deleting)
        );
        let is_permanent = match objection.kind {
            ErrorKind::Locked if record.business_status == Some(BusinessStatus::FinancialLocked) => {
                return Some(Refusal::by_check(ReasonCode::FinancialLocked, Some(objection.action)));
            }
            ErrorKind::Connecting => matches!(
                record.connection_status,
                Some(ConnectionStatus::ServiceDeleted | ConnectionStatus::Deleting)
            ),
            ErrorKind::WrongState => is_stable && self.wrong_states >= WRONG_STATES_MAX,
            // A list that lags shows the group for a while after it was detached.
            ErrorKind::SecurityGroupNotFound => {
                is_stable
                    && (self.dry_run || (self.evidence.detach_accepted == 0 && self.is_past_lag(*since, now)))
            }
            _ => false,
        };
        is_permanent.then(|| objection.clone().into())
    }

    /// Whether the lists have had time to show what happened at `since`.
    fn is_past_lag(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.limits.no_effect_after
    }

    /// The endpoint is changing, by our detach or another caller: wait and read.
    pub(super) fn wait_for_change(&mut self, is_of_a_detach: bool, now: Instant) -> Step {
        if let Some(accepted) = &mut self.accepted {
            accepted.has_begun |= is_of_a_detach;
            accepted.returns = 0;
        }
        self.poll(now)
    }

    /// Attached to a stable endpoint: detach, unless an accepted detach still has time to show its effect.
    fn on_attached(&mut self, observation: &Observation, assessment: Assessment, now: Instant) -> Step {
        if let Some(accepted) = &mut self.accepted {
            accepted.returns += 1;
            let is_lost = if accepted.has_begun {
                accepted.returns >= RETURNS_MAX
            } else {
                now.saturating_duration_since(accepted.since) >= self.limits.no_effect_after
            };
            if !is_lost {
                return if accepted.has_begun { self.read_twice(now) } else { self.poll(now) };
            }
            self.accepted = None;
        }
        if let Some((objection, since)) = &self.objection
            && objection.kind == ErrorKind::SecurityGroupNotFound
            && !self.is_past_lag(*since, now)
        {
            return self.poll(now);
        }
        match assessment {
            Assessment::OthersChanging => self.poll(now),
            _ => self.detach(observation, now),
        }
    }

    fn detach(&mut self, observation: &Observation, now: Instant) -> Step {
        let is_last_group = matches!(
            observation.groups,
            GroupList::Complete { ours: Presence::Listed(_), others: Others::None }
        );
        if is_last_group {
            return refuse(Refusal::by_check(ReasonCode::EndpointMustContainSecurityGroup, None));
        }
        if self.is_last_read || now >= self.deadline {
            return self.read_again(Duration::ZERO, true, now);
        }
        self.has_unknown_write = false;
        call_now(Call::Detach { client_token: self.tokens.current(), dry_run: self.dry_run })
    }

    pub(super) fn on_accepted(&mut self, now: Instant) -> Step {
        self.evidence.detach_accepted += 1;
        self.tokens.renew();
        if self.dry_run {
            return refuse(Refusal::by_check(ReasonCode::DryRunIgnored, Some(Action::Detach)));
        }
        self.accepted = Some(AcceptedDetach { since: now, has_begun: false, returns: 0 });
        self.has_unknown_write = false;
        self.objection = None;
        self.wrong_states = 0;
        self.unlisted_writes = 0;
        self.write_errors = 0;
        self.poll(now)
    }

    pub(super) fn on_detach_error(&mut self, error: CallError, now: Instant) -> Step {
        match error.kind {
            ErrorKind::Denied | ErrorKind::Refused => return refuse(error.into()),
            ErrorKind::TokenMismatch if self.tokens.is_senders() => return refuse(error.into()),
            ErrorKind::WrongState => self.wrong_states += 1,
            ErrorKind::Unlisted => self.unlisted_writes += 1,
            _ => {}
        }
        if self.unlisted_writes >= UNLISTED_MAX {
            return refuse(error.into());
        }
        if !error.keeps_token {
            self.tokens.renew();
        }
        if error.keeps_token && error.kind != ErrorKind::NoCredentials && !self.dry_run {
            self.has_unknown_write = true;
        }
        self.evidence.add_error(&error.code, error.kind, true);
        let mut after = self.limits.backoff.after(self.write_errors, &mut self.rng);
        if error.kind == ErrorKind::Unlisted {
            after = after.max(self.limits.unlisted_backoff_min);
        }
        let after = after.max(error.retry_after.unwrap_or_default());
        self.write_errors += 1;
        self.objection = Some((error, now));
        self.read_again(after, true, now)
    }
}
