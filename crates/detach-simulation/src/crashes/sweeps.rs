//! Kills a sweep at every wait, and starts the same sweep again: the second one must end with no references.

use std::collections::BTreeMap;
use std::time::Duration;

use privatelink_simulator::{Endpoint, Seed};
use serde_json::json;

use super::{Failure, POLLS_MAX};
use crate::history::{History, Plan, PlannedSweep, Sweeps};
use crate::invariants::Facts;
use crate::matrix::case::{self, actual_state, check_guarantees, failure, run_plan};
use crate::outside::Outside;
use crate::record::InvocationNumber;
use crate::sandbox::{Ending, Interruption};
use crate::world::REGION;

/// The first invocation: the sweep begins before any message is sent.
const SWEEP: InvocationNumber = 1;

/// When the same sweep is started again: after the first one, and after the deduplication of its requests.
const AGAIN_AT: Duration = Duration::from_mins(20);

/// A scenario by name.
type Scenario = (&'static str, fn() -> Plan);

const SCENARIOS: [Scenario; 2] = [
    ("a sweep of two endpoints", plain),
    ("a sweep that waits for a lock", || {
        let mut plan = plain();
        let held = Outside::Hold { endpoint: "ep-a".to_owned(), takes: Duration::from_secs(30) };
        plan.outside.insert(0, (Duration::ZERO, held));
        plan
    }),
];

/// Tests all points, on this many threads. Returns their number by scenario.
pub(super) fn run(threads: usize) -> Result<BTreeMap<&'static str, usize>, Failure> {
    let counts = case::each(&SCENARIOS, threads, |(name, plan)| {
        for polls in 0..POLLS_MAX {
            let history = killed(name, plan(), polls)?;
            let facts = Facts::of(&history);
            let ended = facts.sweeps.get(&SWEEP).and_then(|sweep| sweep.ended);
            if ended.is_none_or(|(_, ending)| *ending != Ending::Killed) {
                let event = facts.events_of_sweep(SWEEP).next().map(|event| event.detail);
                let is_done = event.is_some_and(|detail| {
                    detail["verdict"] == "no_references" && detail["requested_count"] == 2
                });
                if is_done {
                    return Ok((*name, usize::try_from(polls).expect("at most POLLS_MAX")));
                }
                return Err(failure(name, format!("without a crash it ends with {event:?}"), &history));
            }
        }
        let check = "the sweep does not end".to_owned();
        Err(Failure { case: (*name).to_owned(), check, trace: String::new() })
    })?;
    Ok(counts.into_iter().collect())
}

/// Runs the scenario with a sweep that is killed after this number of polls.
fn killed(name: &str, mut plan: Plan, polls: u32) -> Result<History, Failure> {
    let name = format!("{name}, killed at its wait {polls}");
    plan.faults.interruptions.insert(SWEEP, Interruption::Kill { polls });
    let history = run_plan(&name, plan)?;
    check_guarantees(&name, &history)?;
    let facts = Facts::of(&history);
    let last = facts.sweeps.last_key_value().and_then(|(again, _)| facts.events_of_sweep(*again).next());
    let verdict = last.map(|event| &event.detail["verdict"]);
    if verdict.is_none_or(|verdict| verdict != "no_references") {
        return Err(failure(&name, format!("the same sweep again ends with {verdict:?}"), &history));
    }
    let state = actual_state(&history);
    if state.values().any(|groups| *groups != [("sg-b", "Attached")]) || !history.waiting.is_empty() {
        return Err(failure(&name, format!("the endpoints are {state:?}"), &history));
    }
    Ok(history)
}

fn plain() -> Plan {
    let endpoints =
        ["ep-a", "ep-b"].map(|id| Endpoint::new(REGION, id, ["sg-a", "sg-b"])).into_iter().collect();
    let sweep = PlannedSweep::new(&json!({
        "sweep_id": "sweep-0",
        "security_group_ids": ["sg-a"],
        "region_ids": [REGION],
        "scope": "all",
        "mode": "apply",
        "max_detaches": 2,
    }));
    let again = PlannedSweep { at: AGAIN_AT, ..sweep.clone() };
    Plan {
        cloud: Seed { endpoints, ..Seed::default() },
        sweeps: Sweeps { planned: vec![sweep, again], ..Sweeps::default() },
        outside: vec![(Duration::from_mins(1), Outside::FaultsEnd)],
        faults_end_at: Duration::from_mins(1),
        ..Plan::quiet(1)
    }
}
