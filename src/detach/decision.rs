//! The decision after a complete read: end, wait or write; and what follows from a write.
//!
//! [`super::assessment`] says what the read means by itself; here the history of the delivery is added.

use std::time::{Duration, Instant};

use super::assessment::{
    Assessment, Change, Contradiction, GroupList, Observation, Others, Presence, assess,
};
use super::{AcceptedWrite, Detach, Outcome, ReasonCode, Refusal, Step, UNLISTED_MAX, call_now, refuse};
use crate::alibaba::codes::{self, ErrorKind};
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::privatelink::{Action, Call, Write};
use crate::alibaba::records::{BusinessStatus, ConnectionStatus, EndpointStatus, GroupStatus};

/// How often Alibaba Cloud must refuse a write because of the endpoint's state, while the endpoint is stable, before the
/// refusal counts as permanent.
const WRONG_STATES_MAX: u32 = 2;

/// Consecutive reads that must show the groups as they were before an accepted write that had begun, before the write
/// is made again.
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
        self.note_replacement(observation);
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
                return self.write(observation, now);
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
                self.wait_for_change(change.is_of_a_write(), now)
            }
            _ if self.dry_run => self.write(observation, now),
            Assessment::Changing(change) => self.wait_for_change(change.is_of_a_write(), now),
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

    /// The refusal that follows from the latest error of a write, if the endpoint's record shows that waiting does not
    /// help.
    fn permanent_objection(&self, observation: &Observation, now: Instant) -> Option<Refusal> {
        let (objection, since) = self.objection.as_ref()?;
        let record = observation.record.as_ref()?;
        let attached = Presence::Listed(GroupStatus::Attached);
        let GroupList::Complete { ours, others } = observation.groups else { return None };
        // Beside another group, the detach follows: what refused the attach does not matter to it.
        let is_outdated = objection.action == Action::Attach && others != Others::None;
        if ours != attached || is_outdated {
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
            // Refused as the detach of a last group, although the list shows another group and is no longer outdated.
            ErrorKind::Refused => {
                others == Others::Attached
                    && self.wrong_states >= WRONG_STATES_MAX
                    && (self.dry_run || self.is_past_lag(*since, now))
            }
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

    /// The endpoint is changing, because of this program's write or another caller's: wait and read.
    pub(super) fn wait_for_change(&mut self, is_of_a_write: bool, now: Instant) -> Step {
        if let Some(accepted) = &mut self.accepted {
            accepted.has_begun |= is_of_a_write;
            accepted.returns = 0;
        }
        self.poll(now)
    }

    /// Attached to a stable endpoint: write, unless an accepted write still has time to show its effect.
    fn on_attached(&mut self, observation: &Observation, assessment: Assessment, now: Instant) -> Step {
        if let Some(step) = self.await_replacement(now) {
            return step;
        }
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
            && !self.is_past_lag(*since, now)
        {
            // The list may lag: the group, or the last of the others, may be detached already.
            let may_lag = match objection.kind {
                ErrorKind::SecurityGroupNotFound => true,
                ErrorKind::Refused => assessment == Assessment::Attached,
                _ => false,
            };
            if may_lag {
                return self.poll(now);
            }
        }
        match assessment {
            Assessment::OthersChanging => self.poll(now),
            _ => self.write(observation, now),
        }
    }

    /// Detaches the group, or attaches the replacement if the group is the endpoint's last one.
    fn write(&mut self, observation: &Observation, now: Instant) -> Step {
        let is_last_group = matches!(
            observation.groups,
            GroupList::Complete { ours: Presence::Listed(_), others: Others::None }
        );
        let replacement = self.replacement.clone().filter(|_| is_last_group);
        if is_last_group && replacement.is_none() {
            if self.lacks_vpc {
                return self.contradicted(now);
            }
            return refuse(Refusal::by_check(ReasonCode::EndpointMustContainSecurityGroup, None));
        }
        if self.is_last_read || now >= self.deadline {
            return self.read_again(Duration::ZERO, true, now);
        }
        self.has_unknown_write = false;
        let (dry_run, action) =
            (self.dry_run, if replacement.is_some() { Action::Attach } else { Action::Detach });
        if self.objection.as_ref().is_some_and(|(objection, _)| objection.action != action) {
            // The errors of one write say nothing about the other.
            (self.objection, self.wrong_states, self.unlisted_writes) = (None, 0, 0);
        }
        call_now(match replacement {
            Some(security_group_id) => {
                let client_token = self.tokens.current(Write::Attach);
                Call::Attach { security_group_id, client_token, dry_run }
            }
            None => Call::Detach { client_token: self.tokens.current(Write::Detach), dry_run },
        })
    }

    pub(super) fn on_accepted(&mut self, write: Write, now: Instant) -> Step {
        self.evidence.add_accepted(write);
        self.tokens.renew(write);
        self.note_attach(write);
        if self.dry_run {
            return refuse(Refusal::by_check(ReasonCode::DryRunIgnored, Some(write.action())));
        }
        self.accepted = Some(AcceptedWrite { write, since: now, has_begun: false, returns: 0 });
        self.has_unknown_write = false;
        self.attaching = self.replacement.clone().filter(|_| write == Write::Attach);
        self.objection = None;
        self.wrong_states = 0;
        self.unlisted_writes = 0;
        self.write_errors = 0;
        self.poll(now)
    }

    pub(super) fn on_write_error(&mut self, write: Write, error: CallError, now: Instant) -> Step {
        if write == Write::Attach {
            // It may have been accepted: its response was lost, or an earlier call still runs.
            self.attaching.clone_from(&self.replacement);
        }
        match error.kind {
            // Another caller has detached the other groups since the read.
            ErrorKind::Refused if write == Write::Detach && self.can_replace(&error) => {
                self.wrong_states += 1;
            }
            ErrorKind::Denied | ErrorKind::Refused => return refuse(error.into()),
            // The replacement does not exist: the configuration is wrong.
            ErrorKind::SecurityGroupNotFound if write == Write::Attach => return refuse(error.into()),
            ErrorKind::TokenMismatch if self.tokens.is_senders(write) => return refuse(error.into()),
            ErrorKind::WrongState => self.wrong_states += 1,
            ErrorKind::Unlisted => self.unlisted_writes += 1,
            _ => {}
        }
        if self.unlisted_writes >= UNLISTED_MAX {
            return refuse(error.into());
        }
        if !error.keeps_token {
            self.tokens.renew(write);
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
