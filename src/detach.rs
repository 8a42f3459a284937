//! What to do next about one detach: the rules, and nothing but the rules.
//!
//! Pure: answers and the time go in, the next step comes out. No clock, no network, no async. One step is at most
//! one HTTP call, so whoever carries the steps out can stop, or die, between any two of them: a later delivery
//! starts with a look and goes on from what is true then.
//!
//! Two laws hold everywhere. Look before the write, and after any fault look again. And doubt is no answer: what
//! contradicts itself is looked at again until the deadline.

mod outcome;
mod pace;
mod tokens;

use std::time::{Duration, Instant};

use crate::alibaba::client::Seen;
use crate::alibaba::error::{Fault, Kind};
use crate::alibaba::pages::{Page, Pages, Turn};
use crate::alibaba::privatelink::{Action, Answer, Call, Endpoint, GroupStatus, SecurityGroup};
use crate::completion::reason::ReasonCode;
use crate::request::{DetachRequest, EndpointId, SecurityGroupId};
use tokens::Tokens;

pub use outcome::{Account, Outcome, Refusal, TimeUsedUp};
pub use pace::Limits;

/// How often a state that forbids the detach is believed, on an endpoint that looks fit for it.
const DENIALS_MAX: u32 = 2;

/// How often in a row our group is seen attached, after it had begun to go, before it is asked for again.
const RETURNS_MAX: u32 = 2;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make this call after this long, once, and tell what it saw.
    Call {
        /// Counted from now; nothing is called about this request before.
        after: Duration,
        /// The call.
        call: Call,
    },
    /// The request has ended.
    Finish(Outcome),
}

/// One detach in one delivery, from its first look to its outcome.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, seen or asked")]
pub struct Detach {
    endpoint_id: EndpointId,
    security_group_id: SecurityGroupId,
    dry_run: bool,
    deadline: Instant,
    limits: Limits,
    tokens: Tokens,
    rng: fastrand::Rng,
    look: Look,
    is_last_look: bool,
    awaited: Option<Awaited>,
    /// Why the latest Detach was not accepted, and since when, until one is.
    objection: Option<(Fault, Instant)>,
    denials: u32,
    write_faults: u32,
    look_faults: u32,
    polls: u32,
    has_seen_endpoint: bool,
    has_seen_group: bool,
    account: Account,
}

/// A look under way: one complete list, then perhaps the endpoint's record.
#[derive(Debug, Clone, Default)]
struct Look {
    groups: Pages<SecurityGroup>,
    endpoints: Pages<Endpoint>,
    listed: Option<Listed>,
    /// Read the record whatever the list says.
    is_full: bool,
}

impl Look {
    fn is_between_pages(&self) -> bool {
        self.groups.is_begun() || self.endpoints.is_begun()
    }

    fn has_listed_groups(&self) -> bool {
        matches!(&self.listed, Some(Listed::Groups(groups)) if !groups.is_empty())
    }
}

/// What the list said.
#[derive(Debug, Clone)]
enum Listed {
    Groups(Vec<SecurityGroup>),
    EndpointNotFound,
}

/// An accepted detach that has not shown its effect yet.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    since: Instant,
    has_begun: bool,
    returns: u32,
}

impl Detach {
    /// A detach of `request`, to be ended by `deadline`.
    ///
    /// `is_first_delivery` decides whether the caller's own client token is used; `seed` makes our own tokens and
    /// the jitter, and must differ from delivery to delivery.
    #[must_use]
    pub fn new(
        request: &DetachRequest,
        is_first_delivery: bool,
        deadline: Instant,
        limits: Limits,
        seed: u64,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let callers = request.client_token.clone().filter(|_| is_first_delivery);
        Self {
            endpoint_id: request.endpoint_id.clone(),
            security_group_id: request.security_group_id.clone(),
            dry_run: request.dry_run,
            deadline,
            limits,
            tokens: Tokens::new(rng.u128(..), callers),
            rng,
            look: Look { is_full: true, ..Look::default() },
            is_last_look: false,
            awaited: None,
            objection: None,
            denials: 0,
            write_faults: 0,
            look_faults: 0,
            polls: 0,
            has_seen_endpoint: false,
            has_seen_group: false,
            account: Account::default(),
        }
    }

    /// The first step: a look, at once. Past the deadline it is also the last.
    pub fn start(&mut self, now: Instant) -> Step {
        self.is_last_look = now >= self.deadline;
        Step::Call { after: Duration::ZERO, call: Call::ListSecurityGroups { next_token: None } }
    }

    /// The step after a call that saw this. `now` is when its answer was there.
    pub fn next(&mut self, seen: Seen, now: Instant) -> Step {
        let (action, is_sent) = match &seen.result {
            Ok(answer) => (answer.action(), true),
            Err(fault) => (fault.action, fault.kind != Kind::NoCredentials),
        };
        if is_sent {
            self.account.called(action, seen.api_request_id);
        }
        match seen.result {
            Ok(Answer::SecurityGroups(page)) => self.groups(page, now),
            Ok(Answer::Endpoints(page)) => self.endpoints(page, now),
            Ok(Answer::Accepted) => self.accepted(now),
            Err(fault) if action == Action::Detach => self.detach_failed(fault, now),
            Err(fault) => self.look_failed(fault, now),
        }
    }

    /// The step instead of one that could not be taken when it was due.
    ///
    /// A write stands on the look before it, and that look has grown old: look again, or end if the deadline passed.
    /// A read that comes late is a read.
    pub fn postponed(&mut self, call: Call, now: Instant) -> Step {
        match call {
            Call::Detach { .. } => self.look_again(Duration::ZERO, true, now),
            Call::ListSecurityGroups { .. } | Call::ListEndpoints { .. } => at_once(call),
        }
    }

    /// Whether the deadline's own look is under way: after it there is no other step.
    #[must_use]
    pub fn is_last_look(&self) -> bool {
        self.is_last_look
    }

    /// What was seen and done so far.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    // The look: every page of the groups, then the record where it matters.

    fn groups(&mut self, page: Page<SecurityGroup>, now: Instant) -> Step {
        match self.look.groups.add(page) {
            Turn::More(token) => at_once(Call::ListSecurityGroups { next_token: Some(token) }),
            Turn::Complete(groups) => self.listed(groups, now),
            Turn::Broken => self.contradiction(now),
        }
    }

    fn listed(&mut self, groups: Vec<SecurityGroup>, now: Instant) -> Step {
        let status = self.status_of_ours(&groups);
        let ids: Vec<String> = groups.iter().map(|group| group.id.clone()).collect();
        self.account.security_groups_before.get_or_insert_with(|| ids.clone());
        self.account.security_groups_after = Some(ids);
        self.account.group_status = Some(status);
        self.has_seen_group |= status.is_some();

        let is_moving = matches!(status, Some(GroupStatus::Attaching | GroupStatus::Detaching));
        if is_moving && !self.look.is_full {
            self.look_faults = 0;
            return self.moving(status == Some(GroupStatus::Detaching), now);
        }
        self.look.listed = Some(Listed::Groups(groups));
        at_once(Call::ListEndpoints { next_token: None })
    }

    fn endpoints(&mut self, page: Page<Endpoint>, now: Instant) -> Step {
        match self.look.endpoints.add(page) {
            Turn::More(token) => at_once(Call::ListEndpoints { next_token: Some(token) }),
            Turn::Complete(endpoints) => {
                let ours = endpoints.into_iter().find(|endpoint| endpoint.id == self.endpoint_id.as_str());
                self.looked(ours, now)
            }
            Turn::Broken => self.contradiction(now),
        }
    }

    fn look_failed(&mut self, fault: Fault, now: Instant) -> Step {
        match (fault.kind, fault.action) {
            // A page that fails after others makes the whole list unknown, whatever it says.
            (Kind::EndpointNotFound | Kind::Refused, _) if self.look.is_between_pages() => {
                self.doubt(&fault.name, fault.kind, fault.retry_after, now)
            }
            (Kind::EndpointNotFound, Action::ListSecurityGroups) => {
                self.look.listed = Some(Listed::EndpointNotFound);
                at_once(Call::ListEndpoints { next_token: None })
            }
            // Not found, beside groups that it was just listed with.
            (Kind::EndpointNotFound, _) if self.look.has_listed_groups() => {
                self.doubt(&fault.name, fault.kind, fault.retry_after, now)
            }
            (Kind::EndpointNotFound, _) => self.looked(None, now),
            (Kind::Denied | Kind::Refused, _) => refused(fault.into()),
            (kind, _) => self.doubt(&fault.name, kind, fault.retry_after, now),
        }
    }

    // The verdict on a complete look.

    fn looked(&mut self, endpoint: Option<Endpoint>, now: Instant) -> Step {
        let Some(endpoint) = endpoint else {
            return self.endpoint_missing(now);
        };
        self.has_seen_endpoint = true;
        self.account.endpoint_status.clone_from(&endpoint.status);
        if matches!(endpoint.status.as_deref(), Some("Creating" | "Pending")) {
            self.denials = 0;
        }
        let groups = match self.look.listed.take() {
            Some(Listed::Groups(groups)) => groups,
            Some(Listed::EndpointNotFound) => {
                return self.doubt("EndpointNotFound", Kind::EndpointNotFound, None, now);
            }
            None => return self.contradiction(now),
        };
        let Some(status) = self.status_of_ours(&groups) else {
            return self.absent(&endpoint, now);
        };
        self.look_faults = 0;
        if status == GroupStatus::Attached
            && let Some(refusal) = self.lasting_objection(&endpoint, now)
        {
            return refused(refusal);
        }
        match (status, endpoint.status.as_deref()) {
            _ if self.dry_run => self.ask(&groups, now),
            (GroupStatus::Detaching, _) | (GroupStatus::Attached, Some("Pending")) => self.moving(true, now),
            (GroupStatus::Attaching, _) | (_, Some("Creating" | "Deleting")) => self.moving(false, now),
            (GroupStatus::Attached, _) => self.attached(&groups, now),
        }
    }

    fn endpoint_missing(&mut self, now: Instant) -> Step {
        match self.look.listed.take() {
            Some(Listed::Groups(groups)) if !groups.is_empty() => self.contradiction(now),
            _ if self.has_seen_endpoint => Step::Finish(Outcome::EndpointGone),
            _ => refused(Refusal {
                action: Some(Action::ListEndpoints),
                ..Refusal::guard(ReasonCode::from_alibaba("EndpointNotFound".to_owned()))
            }),
        }
    }

    /// Absent from the complete list; gone if the record allows that conclusion.
    fn absent(&mut self, endpoint: &Endpoint, now: Instant) -> Step {
        match endpoint.status.as_deref() {
            None => self.contradiction(now),
            Some("Pending") if self.dry_run => self.ask(&[], now),
            Some("Pending") => {
                self.look_faults = 0;
                self.moving(true, now)
            }
            // An endpoint that is being made may not list its groups yet.
            Some("Creating") => {
                self.look_faults = 0;
                self.moving(false, now)
            }
            Some(_) => {
                self.account.confirmed_at = Some(now);
                // A dry run detaches nothing: whoever took the group off, it was not this request.
                let is_ours = self.has_seen_group && !self.dry_run;
                Step::Finish(if is_ours { Outcome::Detached } else { Outcome::AlreadyDetached })
            }
        }
    }

    /// What Alibaba objected to, where the endpoint now shows that waiting will not cure it.
    fn lasting_objection(&self, endpoint: &Endpoint, now: Instant) -> Option<Refusal> {
        let (objection, since) = self.objection.as_ref()?;
        let is_settled = !matches!(endpoint.status.as_deref(), Some("Creating" | "Pending" | "Deleting"));
        let is_lasting = match objection.kind {
            Kind::Locked if endpoint.business_status.as_deref() == Some("FinancialLocked") => {
                let refusal = Refusal::guard(ReasonCode::FinancialLocked);
                return Some(Refusal { action: Some(objection.action), ..refusal });
            }
            Kind::Connecting => {
                matches!(endpoint.connection_status.as_deref(), Some("ServiceDeleted" | "Deleting"))
            }
            Kind::WrongState => is_settled && self.denials >= DENIALS_MAX,
            // A list that lags behind the truth shows the group for a while after it has gone.
            Kind::SecurityGroupNotFound => {
                is_settled
                    && (self.dry_run || (self.account.detach_accepted == 0 && self.is_no_lag(*since, now)))
            }
            _ => false,
        };
        is_lasting.then(|| objection.clone().into())
    }

    /// Whether the lists have had their time to catch up with what happened then.
    fn is_no_lag(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.limits.no_effect_after
    }

    /// Something is under way on the endpoint, ours or somebody else's: wait for it.
    fn moving(&mut self, has_begun: bool, now: Instant) -> Step {
        if let Some(awaited) = &mut self.awaited {
            awaited.has_begun |= has_begun;
            awaited.returns = 0;
        }
        self.poll(now)
    }

    /// Attached, to an endpoint at rest: ask, unless an accepted detach has not had its time.
    fn attached(&mut self, groups: &[SecurityGroup], now: Instant) -> Step {
        if let Some(awaited) = &mut self.awaited {
            awaited.returns += 1;
            let is_lost = if awaited.has_begun {
                awaited.returns >= RETURNS_MAX
            } else {
                now.saturating_duration_since(awaited.since) >= self.limits.no_effect_after
            };
            if !is_lost {
                return self.poll(now);
            }
            self.awaited = None;
        }
        if let Some((objection, since)) = &self.objection
            && objection.kind == Kind::SecurityGroupNotFound
            && !self.is_no_lag(*since, now)
        {
            return self.poll(now);
        }
        let mut others = groups.iter().filter(|group| group.id != self.security_group_id.as_str()).peekable();
        if others.peek().is_some() && others.all(|group| group.status != GroupStatus::Attached) {
            return self.poll(now);
        }
        self.ask(groups, now)
    }

    // The write.

    fn ask(&mut self, groups: &[SecurityGroup], now: Instant) -> Step {
        if matches!(groups, [only] if only.id == self.security_group_id.as_str()) {
            return refused(Refusal::guard(ReasonCode::EndpointMustContainSecurityGroup));
        }
        if self.is_last_look || now >= self.deadline {
            return self.look_again(Duration::ZERO, true, now);
        }
        at_once(Call::Detach { client_token: self.tokens.current(), dry_run: self.dry_run })
    }

    fn accepted(&mut self, now: Instant) -> Step {
        self.account.detach_accepted += 1;
        self.tokens.renew();
        if self.dry_run {
            return refused(Refusal {
                action: Some(Action::Detach),
                ..Refusal::guard(ReasonCode::DryRunNotHonoured)
            });
        }
        self.awaited = Some(Awaited { since: now, has_begun: false, returns: 0 });
        self.objection = None;
        self.denials = 0;
        self.write_faults = 0;
        self.polls = 0;
        self.poll(now)
    }

    fn detach_failed(&mut self, fault: Fault, now: Instant) -> Step {
        match fault.kind {
            Kind::DryRunPassed if self.dry_run => return Step::Finish(Outcome::DryRunPassed),
            Kind::Denied | Kind::Refused => return refused(fault.into()),
            Kind::TokenMismatch if self.tokens.is_callers() => return refused(fault.into()),
            Kind::WrongState => self.denials += 1,
            _ => {}
        }
        if !fault.keeps_token {
            self.tokens.renew();
        }
        self.account.faulted(&fault.name, fault.kind, true);
        let after = self.limits.backoff(self.write_faults, &mut self.rng);
        let after = after.max(fault.retry_after.unwrap_or_default());
        self.write_faults += 1;
        self.objection = Some((fault, now));
        self.look_again(after, true, now)
    }

    // Waiting.

    /// Nothing can be concluded: back off and look at everything again.
    fn doubt(&mut self, name: &str, kind: Kind, retry_after: Option<Duration>, now: Instant) -> Step {
        self.account.faulted(name, kind, !self.is_last_look);
        let after = self.limits.backoff(self.look_faults, &mut self.rng);
        self.look_faults += 1;
        self.look_again(after.max(retry_after.unwrap_or_default()), true, now)
    }

    /// What was read cannot be true all at once.
    fn contradiction(&mut self, now: Instant) -> Step {
        self.doubt("UnreadableAnswer", Kind::Unanswered, None, now)
    }

    fn poll(&mut self, now: Instant) -> Step {
        let after = self.limits.poll(self.polls, &mut self.rng);
        self.polls += 1;
        self.look_again(after, false, now)
    }

    /// A new look; at the deadline if that comes first, and then it is the last.
    fn look_again(&mut self, after: Duration, is_full: bool, now: Instant) -> Step {
        if self.is_last_look {
            return Step::Finish(Outcome::Unconfirmed(TimeUsedUp::Deadline));
        }
        let left = self.deadline.saturating_duration_since(now);
        self.is_last_look = after >= left;
        self.look = Look { is_full, ..Look::default() };
        self.account.look_request_ids.clear();
        Step::Call { after: after.min(left), call: Call::ListSecurityGroups { next_token: None } }
    }

    fn status_of_ours(&self, groups: &[SecurityGroup]) -> Option<GroupStatus> {
        groups.iter().find(|group| group.id == self.security_group_id.as_str()).map(|group| group.status)
    }
}

fn at_once(call: Call) -> Step {
    Step::Call { after: Duration::ZERO, call }
}

fn refused(refusal: Refusal) -> Step {
    Step::Finish(Outcome::Refused(refusal))
}

#[cfg(test)]
mod tests;
