//! The scenario that every fault is put into, and where in it the calls are that a fault can strike.

use std::collections::BTreeMap;
use std::time::Duration;

use privatelink_simulator::{Action, Endpoint, Seed, Settings};

use super::case::{Failure, lived, promises};
use super::{ACTIONS, Attempt, DETACH, ENDPOINT, GROUP, GROUPS, LIST};
use crate::history::{Plan, Request, Wanted};
use crate::invariants::{Call, Facts};
use crate::outside::Outside;
use crate::record::{CallNumber, What};
use crate::sandbox::Interruption;
use crate::world::REGION;

/// How long somebody else holds the endpoint, each time just before our write arrives.
const HELD: Duration = Duration::from_secs(3);

/// From the moment in which a call leaves until somebody else is faster: less than it takes to arrive.
const SOONER: Duration = Duration::from_millis(5);

/// More polls than any invocation of the scenario takes.
const POLLS_MAX: u32 = 1000;

/// A call of the scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its number among the calls of its action.
    pub(super) nth: u64,
    /// How often the handler was polled when it had the answer.
    pub(super) polls: u32,
    /// A Detach was accepted before this call.
    pub(super) is_after_acceptance: bool,
    /// It is the Detach that was accepted.
    pub(super) is_acceptance: bool,
}

/// The scenario, and its places.
#[derive(Debug)]
pub(super) struct Reference {
    /// Without any fault: every action is called several times, because somebody else is faster twice, lists come in
    /// pages, and the detach takes its time.
    pub(super) plan: Plan,
    places: BTreeMap<(Action, Attempt), Place>,
}

impl Reference {
    /// Lives through the scenario until it is known by heart.
    pub(super) fn new() -> Result<Self, Failure> {
        let mut plan = plan(Duration::from_hours(1));
        for _ in 0..2 {
            let history = lived("the scenario", plan.clone())?;
            let facts = Facts::of(&history);
            let last = facts.calls.iter().rfind(|call| call.asked.action == Some(DETACH));
            let at = last.map_or(Duration::ZERO, |call| facts.since(call.at)) + SOONER;
            plan.outside.push((at, Outside::Hold { endpoint: ENDPOINT.to_owned(), takes: HELD }));
        }
        let history = lived("the scenario", plan.clone())?;
        promises("the scenario", &history)?;
        let facts = Facts::of(&history);
        let mut places = BTreeMap::new();
        for action in ACTIONS {
            // Pages after the first have a place of their own.
            let calls: Vec<usize> = (0..facts.calls.len())
                .filter(|index| {
                    let asked = facts.calls[*index].asked;
                    asked.action == Some(action) && asked.next_token.is_none()
                })
                .collect();
            assert!(calls.len() >= 3, "{action} is called {} times", calls.len());
            for (attempt, index) in [
                (Attempt::First, calls[0]),
                (Attempt::Middle, calls[calls.len() / 2]),
                (Attempt::Last, calls[calls.len() - 1]),
            ] {
                places.insert((action, attempt), place(&plan, &facts, index)?);
            }
        }
        let is_page = |call: &Call<'_>| call.asked.action == Some(LIST) && call.asked.next_token.is_some();
        let page = facts.calls.iter().position(is_page).expect("a list of several pages");
        places.insert((LIST, Attempt::LaterPage), place(&plan, &facts, page)?);
        Ok(Self { plan, places })
    }

    /// Where a fault of this attempt strikes; one that lasts begins at the first call.
    pub(super) fn place(&self, action: Action, attempt: Attempt) -> Place {
        let attempt = if attempt == Attempt::Every { Attempt::First } else { attempt };
        self.places[&(action, attempt)]
    }
}

/// The scenario before anybody else is in it.
fn plan(deadline: Duration) -> Plan {
    let endpoints = vec![Endpoint::new(REGION, ENDPOINT, GROUPS)];
    let settings = Settings { page_size_max: 2, detach_takes: Duration::from_secs(8), ..Settings::default() };
    Plan {
        cloud: Seed { endpoints, settings, ..Seed::default() },
        requests: vec![request(deadline)],
        calm_at: Duration::from_mins(1),
        ..Plan::quiet(1)
    }
}

/// Its request.
pub(super) fn request(deadline: Duration) -> Request {
    let (endpoint, group) = (ENDPOINT.to_owned(), GROUP.to_owned());
    let wanted = Wanted { endpoint, group, dry_run: false, deadline };
    Request::asking(0, wanted, Duration::ZERO, &serde_json::json!({}))
}

fn place(plan: &Plan, facts: &Facts<'_>, index: usize) -> Result<Place, Failure> {
    let call = &facts.calls[index];
    let is_accepted = |call: &&Call<'_>| {
        call.asked.action == Some(DETACH) && call.answer().is_some_and(|served| served.status == Some(200))
    };
    let before = &facts.calls[..index];
    let nth = before.iter().filter(|other| other.asked.action == call.asked.action).count() + 1;
    let number = CallNumber::try_from(index + 1).expect("a few calls");
    Ok(Place {
        nth: u64::try_from(nth).expect("a few calls"),
        polls: polls_until_answered(plan, number)?,
        is_after_acceptance: before.iter().any(|call| is_accepted(&call)),
        is_acceptance: is_accepted(&call),
    })
}

/// How often the handler must be polled until it has the answer to this call: found by killing it sooner and later.
fn polls_until_answered(plan: &Plan, number: CallNumber) -> Result<u32, Failure> {
    let (mut too_few, mut enough) = (0, POLLS_MAX);
    while too_few + 1 < enough {
        let polls = u32::midpoint(too_few, enough);
        let mut plan = plan.clone();
        plan.troubles.interruptions.insert(1, Interruption::Kill { polls });
        let history = lived("the scenario, killed", plan)?;
        let until = history.record.iter().take_while(|entry| !matches!(entry.what, What::Ended { .. }));
        let is_the_answer = |what: &What| matches!(what, What::Returned { call, .. } if *call == number);
        if until.map(|entry| &entry.what).any(is_the_answer) {
            enough = polls;
        } else {
            too_few = polls;
        }
    }
    Ok(enough)
}
