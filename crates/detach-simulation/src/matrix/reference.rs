//! The scenario that every fault is applied to, and the calls in it that a fault can hit.

use std::collections::BTreeMap;
use std::time::Duration;

use privatelink_simulator::{Action, Endpoint, Seed, Settings};

use super::case::{Failure, check_guarantees, run_plan};
use super::{ACTIONS, ATTACH, Attempt, DETACH, ENDPOINT, GROUP, GROUPS, LIST, REPLACEMENT, VPC};
use crate::history::{ParsedRequest, Plan, Request, with_replacement};
use crate::invariants::{Call, Facts};
use crate::outside::Outside;
use crate::record::{CallNumber, EntryKind};
use crate::sandbox::Interruption;
use crate::world::REGION;

/// How long another client holds the endpoint's lock, each time just before the worker's write arrives.
const HELD: Duration = Duration::from_secs(3);

/// The time between the sending of a call and the other client's change: less than the call takes to arrive.
const LEAD: Duration = Duration::from_millis(5);

/// More polls than any invocation of the scenario takes.
const POLLS_MAX: u32 = 1000;

/// A call of the scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its number among the calls of its action.
    pub(super) nth: u64,
    /// How often the handler was polled when it had the response.
    pub(super) polls: u32,
    /// Whether a write of the same kind as the call was accepted before it; for a read, a Detach.
    pub(super) is_after_acceptance: bool,
    /// Whether it is the write that was accepted.
    pub(super) is_acceptance: bool,
}

#[derive(Debug)]
pub(super) struct Reference {
    /// The scenario without a fault: every action is called several times, because another client changes the endpoint
    /// twice, lists have several pages, and the detach takes time.
    plan: Plan,
    /// The scenario of an attach: the group is the endpoint's only one, and another client changes the endpoint twice.
    plan_of_attach: Plan,
    places: BTreeMap<(Action, Attempt), Place>,
}

impl Reference {
    /// Runs the scenario until the places of all its calls are known.
    pub(super) fn new() -> Result<Self, Failure> {
        let plan_of_attach = with_holds(plan_of_attach(), ATTACH)?;
        let plan = with_holds(plan(Duration::from_hours(1)), DETACH)?;
        let mut places = BTreeMap::new();
        for action in ACTIONS {
            let plan = if action == ATTACH { &plan_of_attach } else { &plan };
            let history = run_plan("the scenario", plan.clone())?;
            check_guarantees("the scenario", &history)?;
            let facts = Facts::of(&history);
            // Pages after the first have a separate place.
            let calls: Vec<usize> = (0..facts.calls.len())
                .filter(|index| {
                    let requested = facts.calls[*index].requested;
                    requested.action == Some(action) && requested.next_token.is_none()
                })
                .collect();
            assert!(calls.len() >= 3, "{action} is called {} times", calls.len());
            for (attempt, index) in [
                (Attempt::First, calls[0]),
                (Attempt::Middle, calls[calls.len() / 2]),
                (Attempt::Last, calls[calls.len() - 1]),
            ] {
                places.insert((action, attempt), place(plan, &facts, index)?);
            }
            let is_page =
                |call: &Call<'_>| call.requested.action == Some(LIST) && call.requested.next_token.is_some();
            if action == LIST {
                let page = facts.calls.iter().position(is_page).expect("a list of several pages");
                places.insert((LIST, Attempt::LaterPage), place(plan, &facts, page)?);
            }
        }
        Ok(Self { plan, plan_of_attach, places })
    }

    /// The scenario in which a fault hits this action.
    pub(super) fn plan(&self, action: Action) -> &Plan {
        if action == ATTACH { &self.plan_of_attach } else { &self.plan }
    }

    /// Where a fault of this attempt occurs; one that never ends begins at the first call.
    pub(super) fn place(&self, action: Action, attempt: Attempt) -> Place {
        let attempt = if attempt == Attempt::Every { Attempt::First } else { attempt };
        self.places[&(action, attempt)]
    }
}

/// The scenario, with another client that holds the endpoint's lock each time just before the last such write arrives.
fn with_holds(mut plan: Plan, write: Action) -> Result<Plan, Failure> {
    for _ in 0..2 {
        let history = run_plan("the scenario", plan.clone())?;
        let facts = Facts::of(&history);
        let last = facts.calls.iter().rfind(|call| call.requested.action == Some(write));
        let at = last.map_or(Duration::ZERO, |call| facts.since(call.at)) + LEAD;
        plan.outside.push((at, Outside::Hold { endpoint: ENDPOINT.to_owned(), takes: HELD }));
    }
    Ok(plan)
}

/// The scenario of an attach without the other client.
fn plan_of_attach() -> Plan {
    let mut plan = plan(Duration::from_hours(1));
    plan.cloud.endpoints =
        vec![Endpoint { vpc_id: Some(VPC.to_owned()), ..Endpoint::new(REGION, ENDPOINT, [GROUP]) }];
    with_replacement(plan, VPC, REPLACEMENT)
}

/// The scenario without the other client.
fn plan(deadline: Duration) -> Plan {
    let endpoints = vec![Endpoint::new(REGION, ENDPOINT, GROUPS)];
    let settings = Settings { page_size_max: 2, detach_takes: Duration::from_secs(8), ..Settings::default() };
    Plan {
        cloud: Seed { endpoints, settings, ..Seed::default() },
        requests: vec![request(deadline)],
        faults_end_at: Duration::from_mins(1),
        ..Plan::quiet(1)
    }
}

pub(super) fn request(deadline: Duration) -> Request {
    let (endpoint, group) = (ENDPOINT.to_owned(), GROUP.to_owned());
    let parsed = ParsedRequest {
        region: REGION.to_owned(),
        endpoint,
        group,
        dry_run: false,
        expect_attached: false,
        deadline,
    };
    Request::new(0, parsed, Duration::ZERO, &serde_json::json!({}))
}

fn place(plan: &Plan, facts: &Facts<'_>, index: usize) -> Result<Place, Failure> {
    let call = &facts.calls[index];
    let write = if call.requested.action == Some(ATTACH) { ATTACH } else { DETACH };
    let is_accepted = |call: &&Call<'_>| {
        call.requested.action == Some(write)
            && call.response().is_some_and(|served| served.status == Some(200))
    };
    let before = &facts.calls[..index];
    let nth = before.iter().filter(|other| other.requested.action == call.requested.action).count() + 1;
    let number = CallNumber::try_from(index + 1).expect("a few calls");
    Ok(Place {
        nth: u64::try_from(nth).expect("a few calls"),
        polls: polls_until_response(plan, number)?,
        is_after_acceptance: before.iter().any(|call| is_accepted(&call)),
        is_acceptance: is_accepted(&call),
    })
}

/// How often the handler must be polled until it has the response to this call, found by a binary search over kills.
fn polls_until_response(plan: &Plan, number: CallNumber) -> Result<u32, Failure> {
    let (mut too_few, mut enough) = (0, POLLS_MAX);
    while too_few + 1 < enough {
        let polls = u32::midpoint(too_few, enough);
        let mut plan = plan.clone();
        plan.faults.interruptions.insert(1, Interruption::Kill { polls });
        let history = run_plan("the scenario, killed", plan)?;
        let until = history.record.iter().take_while(|entry| !matches!(entry.kind, EntryKind::Ended { .. }));
        let is_the_response =
            |kind: &EntryKind| matches!(kind, EntryKind::Returned { call, .. } if *call == number);
        if until.map(|entry| &entry.kind).any(is_the_response) {
            enough = polls;
        } else {
            too_few = polls;
        }
    }
    Ok(enough)
}
