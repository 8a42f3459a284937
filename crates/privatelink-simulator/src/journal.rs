//! What was called, and how often: counts for assertions, and a journal for explanations.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;

use crate::{
    action::Action,
    call::Call,
    fault::Place,
    ids::{EndpointId, SecurityGroupId},
    wire_time::rfc3339,
};

/// How many calls the journal holds at least, once there were as many; twice that at most.
pub const JOURNAL_KEPT: usize = 10_000;

/// How many endpoints are counted one by one: a bound for callers that make up ids.
const ENDPOINTS_COUNTED_MAX: usize = 100_000;

/// How often things happened since the cloud began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Every call that arrived, refused or not.
    pub calls_total: u64,
    /// Those of each known action.
    pub calls: BTreeMap<Action, u64>,
    /// Calls of no known action.
    pub calls_unknown: u64,
    /// Calls that were not let in, for whatever reason about their signature or credentials.
    pub signatures_rejected: u64,
    /// Calls above a quota.
    pub throttled: u64,
    /// Calls that met an injected fault.
    pub faults: u64,
    /// What concerns one endpoint, whether it exists or not.
    pub endpoints: BTreeMap<EndpointId, EndpointCounts>,
}

impl Counts {
    /// How often an action was called.
    #[must_use]
    pub fn of(&self, action: Action) -> u64 {
        self.calls.get(&action).copied().unwrap_or_default()
    }

    /// What concerns one endpoint; zeros if it was never named.
    #[must_use]
    pub fn endpoint(&self, endpoint: impl Into<EndpointId>) -> EndpointCounts {
        self.endpoints.get(&endpoint.into()).cloned().unwrap_or_default()
    }

    /// Counts a call that arrived.
    pub(crate) fn arrived(&mut self, call: &Call) -> Place {
        let action = call.action();
        self.calls_total += 1;
        let of_action = match action {
            Some(action) => self.calls.entry(action).or_default(),
            None => &mut self.calls_unknown,
        };
        *of_action += 1;
        let mut place = Place {
            overall: self.calls_total,
            of_action: *of_action,
            of_endpoint: 0,
            of_action_and_endpoint: 0,
        };
        if let Some(counts) = call.get("EndpointId").and_then(|id| self.about(&EndpointId::from(id))) {
            counts.calls_total += 1;
            place.of_endpoint = counts.calls_total;
            if let Some(action) = action {
                let of_both = counts.calls.entry(action).or_default();
                *of_both += 1;
                place.of_action_and_endpoint = *of_both;
            }
        }
        place
    }

    /// The counts of an endpoint, to be changed; none for one too many.
    pub(crate) fn about(&mut self, endpoint: &EndpointId) -> Option<&mut EndpointCounts> {
        if self.endpoints.len() >= ENDPOINTS_COUNTED_MAX && !self.endpoints.contains_key(endpoint) {
            return None;
        }
        Some(self.endpoints.entry(endpoint.clone()).or_default())
    }
}

/// What concerns one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointCounts {
    /// Every call that named it.
    pub calls_total: u64,
    /// Those of each action.
    pub calls: BTreeMap<Action, u64>,
    /// Detaches that were accepted: dry runs, replays and refusals are none.
    pub detaches_accepted: u64,
    /// Attaches that were accepted.
    pub attaches_accepted: u64,
    /// Calls that only repeated the result of an earlier one with the same client token.
    pub replays: u64,
    /// Calls refused because somebody else held the endpoint.
    pub lock_rejections: u64,
    /// The most detaches at one time: an accepted one runs until its task ends, and one that arrives meanwhile counts
    /// beside it whether it is accepted or not. A client that keeps to one at a time never shows more than 1.
    pub detaches_in_flight_max: u64,
}

/// One call, as it arrived and as it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and in JSON a bool")]
pub struct JournalEntry {
    /// When it arrived.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// The action as the caller named it.
    pub action: Option<String>,
    /// The endpoint that it names.
    pub endpoint_id: Option<EndpointId>,
    /// The group that it names.
    pub security_group_id: Option<SecurityGroupId>,
    /// The client token that it brought.
    pub client_token: Option<String>,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// The nonce that it was signed with.
    pub nonce: Option<String>,
    /// The name that it gives to the session it asks for.
    pub session_name: Option<String>,
    /// Whether it carries its OIDC token in the query instead of the body. STS accepts it; logs may then show it.
    pub token_in_url: bool,
    /// Whether the service looked at it: it was let in, and no fault struck before.
    pub executed: bool,
    /// Whether a fault struck it.
    pub fault: bool,
    /// The status that was answered; none for a hang or a reset.
    pub status: Option<u16>,
    /// The true error code, or the injected one if a fault put one in its place; none for a success.
    pub code: Option<String>,
}

/// The last calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Vec<JournalEntry>);

impl Journal {
    pub(crate) fn entries(&self) -> &[JournalEntry] {
        &self.0
    }

    pub(crate) fn write(&mut self, entry: JournalEntry) {
        if self.0.len() >= 2 * JOURNAL_KEPT {
            self.0.drain(..JOURNAL_KEPT);
        }
        self.0.push(entry);
    }
}
