//! S7: a sweep only reads, in its regions, within its share of the quotas and its time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;

use super::super::facts::Call;
use super::super::steps::Throttle;
use super::super::{Breach, Guarantee};
use super::Sweep;
use crate::sandbox::Ending;

/// The least time between two calls: of lists of endpoints, 40 a minute, and of lists of groups, 1,000 a minute.
const ENDPOINTS_EVERY: Duration = Duration::from_millis(1500);
const GROUPS_EVERY: Duration = Duration::from_millis(60);

/// A timer fires up to a millisecond early.
const TIMER: Duration = Duration::from_millis(1);

/// The longest time of a sweep until its last call begins, and what it keeps for its event.
pub(super) const SWEEP_MAX: Duration = Duration::from_mins(14);
pub(super) const RESERVE: Duration = Duration::from_secs(10);

/// The check of the groups' existence may continue for this long after the reading.
const CHECK_MAX: Duration = Duration::from_secs(5);

pub(super) fn check(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let calls: Vec<&Call<'_>> = sweep.facts.calls_of_sweep(sweep.invocation).collect();
    let mut last: BTreeMap<(&str, Action), SystemTime> = BTreeMap::new();
    for call in &calls {
        let requested = call.requested;
        let (Some(action), at) = (requested.action, sweep.facts.after(call.at)) else {
            return sweep.breach(Guarantee::SweepReads, format!("an unknown call {requested:?}"));
        };
        let (product, every) = match action {
            Action::ListVpcEndpoints => ("privatelink", ENDPOINTS_EVERY),
            Action::ListVpcEndpointSecurityGroups => ("privatelink", GROUPS_EVERY),
            Action::DescribeSecurityGroups => ("ecs", Duration::ZERO),
            _ => return sweep.breach(Guarantee::SweepReads, format!("it calls {action:?} at {at}")),
        };
        let region = requested.region.as_str();
        let is_host = requested.host == format!("{product}.{region}.aliyuncs.com");
        if !is_host || !sweep.run.planned.regions.iter().any(|one| one == region) {
            return sweep.breach(Guarantee::SweepReads, format!("a call in another region: {requested:?}"));
        }
        let before = last.insert((region, action), call.at);
        if before.is_some_and(|before| call.at + TIMER < before + every) {
            return sweep.breach(Guarantee::SweepReads, format!("a second {action:?} too soon, at {at}"));
        }
    }
    throttled(sweep, &calls)?;
    in_time(sweep, &calls)
}

fn throttled(sweep: &Sweep<'_>, calls: &[&Call<'_>]) -> Result<(), Breach> {
    let is_paced = |call: &&&Call<'_>| call.requested.action != Some(Action::DescribeSecurityGroups);
    let process = sweep.run.process;
    let throttles = calls.iter().filter(is_paced).filter_map(|call| Throttle::of(call, process));
    let throttles: Vec<_> = throttles.collect();
    let is_forbidden = |call: &&&&Call<'_>| throttles.iter().any(|throttle| throttle.forbids(call, process));
    match calls.iter().filter(is_paced).find(|call| is_forbidden(&call)) {
        Some(call) => {
            let at = sweep.facts.after(call.at);
            sweep.breach(Guarantee::SweepReads, format!("a call at {at} in a region that is throttled"))
        }
        None => Ok(()),
    }
}

/// No call begins after the time of a sweep, and the invocation ends before its timeout.
fn in_time(sweep: &Sweep<'_>, calls: &[&Call<'_>]) -> Result<(), Breach> {
    let run = sweep.run;
    if sweep.is_suspended() || !sweep.facts.clock_tolerance().is_zero() {
        return Ok(());
    }
    let until = (run.began + SWEEP_MAX).min(run.ends - RESERVE);
    if let Some(late) = calls.iter().find(|call| call.at > until + CHECK_MAX) {
        let at = sweep.facts.after(late.at);
        return sweep.breach(Guarantee::SweepReads, format!("a call at {at}, after its time"));
    }
    let is_killed = matches!(run.ended, None | Some((_, Ending::Killed)));
    let has_aws = sweep.facts.history.plan.faults == crate::faults::Faults::default();
    if is_killed && run.interruption.is_none() && has_aws {
        return sweep.breach(Guarantee::SweepReads, "it was killed at its timeout");
    }
    Ok(())
}
