//! Records of the calls: counts for assertions, and a journal for explanations.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;

use crate::{
    action::Action,
    call::Call,
    fault::CallPosition,
    ids::{EndpointId, SecurityGroupId},
    wire_time::rfc3339,
};

/// The journal keeps at least this many calls, and at most twice as many.
pub const JOURNAL_ENTRIES_MIN: usize = 10_000;

/// The maximum number of endpoints with their own counts; a memory bound for callers that generate ids.
const ENDPOINTS_COUNTED_MAX: usize = 100_000;

/// Counts since the cloud was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All calls that arrived, refused or not.
    pub calls_total: u64,
    /// Calls per known action.
    pub calls: BTreeMap<Action, u64>,
    /// Calls of unknown actions.
    pub calls_unknown: u64,
    /// Calls that failed authentication.
    pub signatures_rejected: u64,
    /// Calls above a quota.
    pub throttled: u64,
    /// Calls to which an injected fault applied.
    pub faults: u64,
    /// Counts per endpoint id in the calls, whether or not the endpoint exists.
    pub endpoints: BTreeMap<EndpointId, EndpointCounts>,
}

impl Counts {
    /// The number of calls of an action.
    #[must_use]
    pub fn of(&self, action: Action) -> u64 {
        self.calls.get(&action).copied().unwrap_or_default()
    }

    /// The counts of one endpoint; zeros if no call named it.
    #[must_use]
    pub fn endpoint(&self, endpoint: impl Into<EndpointId>) -> EndpointCounts {
        self.endpoints.get(&endpoint.into()).cloned().unwrap_or_default()
    }

    /// Counts a call that arrived, and returns its position among the others.
    pub(crate) fn record_arrival(&mut self, call: &Call) -> CallPosition {
        let action = call.action();
        self.calls_total += 1;
        let of_action = match action {
            Some(action) => self.calls.entry(action).or_default(),
            None => &mut self.calls_unknown,
        };
        *of_action += 1;
        let mut position = CallPosition {
            overall: self.calls_total,
            of_action: *of_action,
            of_endpoint: 0,
            of_action_and_endpoint: 0,
        };
        if let Some(counts) = call.get("EndpointId").and_then(|id| self.endpoint_mut(&EndpointId::from(id))) {
            counts.calls_total += 1;
            position.of_endpoint = counts.calls_total;
            if let Some(action) = action {
                let of_both = counts.calls.entry(action).or_default();
                *of_both += 1;
                position.of_action_and_endpoint = *of_both;
            }
        }
        position
    }

    /// The counts of an endpoint, for changes. `None` if the limit of counted endpoints is reached.
    pub(crate) fn endpoint_mut(&mut self, endpoint: &EndpointId) -> Option<&mut EndpointCounts> {
        if self.endpoints.len() >= ENDPOINTS_COUNTED_MAX && !self.endpoints.contains_key(endpoint) {
            return None;
        }
        Some(self.endpoints.entry(endpoint.clone()).or_default())
    }
}

/// Counts of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointCounts {
    /// All calls that named the endpoint.
    pub calls_total: u64,
    /// Calls per action.
    pub calls: BTreeMap<Action, u64>,
    /// Accepted detaches; without dry runs, replays and refusals.
    pub detaches_accepted: u64,
    pub attaches_accepted: u64,
    /// Calls that returned the stored result of an earlier call with the same client token.
    pub replays: u64,
    /// Calls refused because another operation held the endpoint's lock.
    pub lock_rejections: u64,
    /// The maximum number of concurrent detaches. An accepted detach runs until its task ends; a detach that arrives
    /// during that time counts as concurrent, accepted or not. It stays 1 for a client that sends one detach at a
    /// time.
    pub detaches_in_flight_max: u64,
}

/// One call and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact and a bool in JSON")]
pub struct JournalEntry {
    /// The time of arrival.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// The action as the caller named it, known or not.
    pub action: Option<String>,
    pub endpoint_id: Option<EndpointId>,
    pub security_group_id: Option<SecurityGroupId>,
    pub client_token: Option<String>,
    pub dry_run: bool,
    /// The signature nonce.
    pub nonce: Option<String>,
    /// The session name in a call that issues a session.
    pub session_name: Option<String>,
    /// Whether the OIDC token is in the query instead of the body. STS accepts it there, but logs of URLs then
    /// contain it.
    pub token_in_url: bool,
    /// Whether the call was executed: it was authenticated, and no fault applied before the execution.
    pub executed: bool,
    /// Whether a fault applied to the call.
    pub fault: bool,
    /// The response's status; `None` for a hang or a reset.
    pub status: Option<u16>,
    /// The injected error code if a fault injected one, else the actual one; `None` for a success.
    pub code: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Vec<JournalEntry>);

impl Journal {
    pub(crate) fn entries(&self) -> &[JournalEntry] {
        &self.0
    }

    pub(crate) fn push(&mut self, entry: JournalEntry) {
        if self.0.len() >= 2 * JOURNAL_ENTRIES_MIN {
            self.0.drain(..JOURNAL_ENTRIES_MIN);
        }
        self.0.push(entry);
    }
}
