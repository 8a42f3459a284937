//! How a request ends, and the account of what was seen and done on the way.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::alibaba::error::{Fault, Kind};
use crate::alibaba::privatelink::{Action, GroupStatus};
use crate::completion::reason::ReasonCode;
use crate::request::Rejection;

/// Most request ids that an account keeps of each kind; an event shows no more.
const API_REQUEST_IDS_MAX: usize = 20;

/// The one way in which a request ended. Event, queue and reply are each one match on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Proved gone, after this delivery asked for it or saw it on the endpoint.
    Detached,
    /// Proved gone, and this delivery never saw it there.
    AlreadyDetached,
    /// Alibaba would accept the detach.
    DryRunPassed,
    /// The endpoint was there earlier in this delivery and is not any more.
    EndpointGone,
    /// A definite no.
    Refused(Refusal),
    /// No valid request, or not allowed here.
    Rejected(Box<Rejection>),
    /// No proof in time.
    Unconfirmed(TimeUsedUp),
}

/// Who said no, to what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Alibaba's code or ours.
    pub code: ReasonCode,
    /// The call that was refused; none if a guard of ours spoke before calling.
    pub action: Option<Action>,
    /// Alibaba's own words, shortened and without secrets.
    pub message: Option<String>,
    /// Alibaba's access control said no: one bad policy must not destroy a backlog.
    pub is_denial: bool,
}

impl Refusal {
    /// A guard of ours that has read the endpoint.
    pub(super) fn guard(code: ReasonCode) -> Self {
        Self { code, action: None, message: None, is_denial: false }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            is_denial: fault.kind == Kind::Denied,
            code: ReasonCode::from_alibaba(fault.name),
            action: Some(fault.action),
            message: fault.message,
        }
    }
}

/// Which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUsedUp {
    /// The request's deadline.
    Deadline,
    /// That of a direct invocation, which nobody repeats.
    Invocation,
}

/// What one delivery saw and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The first complete list of the endpoint's groups.
    pub security_groups_before: Option<Vec<String>>,
    /// The latest complete list.
    pub security_groups_after: Option<Vec<String>>,
    /// Where our group stood in the latest complete list; inner `None` is absent.
    pub group_status: Option<Option<GroupStatus>>,
    /// The latest status of the endpoint's record.
    pub endpoint_status: Option<String>,
    /// When gone was proved.
    pub confirmed_at: Option<Instant>,
    /// HTTP calls of Detach.
    pub detach_calls: u32,
    /// How many of them were accepted.
    pub detach_accepted: u32,
    /// HTTP calls that read, every page.
    pub look_calls: u32,
    /// Faults that were followed by another try, by code.
    pub retries: BTreeMap<String, u32>,
    /// The latest fault's name, and what it meant.
    pub fault_last: Option<(String, Kind)>,
    pub(super) detach_request_ids: Vec<String>,
    pub(super) look_request_ids: Vec<String>,
}

impl Account {
    /// Alibaba's ids of the Detach calls and, once gone was proved, of the reads that proved it: the latest 20.
    pub fn api_request_ids(&self) -> impl Iterator<Item = &str> {
        let confirming: &[String] = if self.confirmed_at.is_some() { &self.look_request_ids } else { &[] };
        let surplus = (self.detach_request_ids.len() + confirming.len()).saturating_sub(API_REQUEST_IDS_MAX);
        self.detach_request_ids.iter().chain(confirming).skip(surplus).map(String::as_str)
    }

    pub(super) fn called(&mut self, action: Action, api_request_id: Option<String>) {
        let ids = match action {
            Action::Detach => {
                self.detach_calls += 1;
                &mut self.detach_request_ids
            }
            Action::ListSecurityGroups | Action::ListEndpoints => {
                self.look_calls += 1;
                &mut self.look_request_ids
            }
        };
        if ids.len() >= API_REQUEST_IDS_MAX {
            ids.remove(0);
        }
        ids.extend(api_request_id);
    }

    pub(super) fn faulted(&mut self, name: &str, kind: Kind, is_retried: bool) {
        if is_retried {
            *self.retries.entry(name.to_owned()).or_default() += 1;
        }
        self.fault_last = Some((name.to_owned(), kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_request_ids_the_latest_are_kept_in_order() {
        let mut account = Account::default();
        for n in 0..15 {
            account.called(Action::Detach, Some(format!("write-{n}")));
        }
        for n in 0..8 {
            account.called(Action::ListEndpoints, Some(format!("read-{n}")));
        }
        let ids = |account: &Account| account.api_request_ids().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ids(&account).len(), 15, "reads count only once they have proved something");
        account.confirmed_at = Some(crate::clock::Clock::start().now());
        let shown = ids(&account);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (20, "write-3", "read-7"));
    }
}
