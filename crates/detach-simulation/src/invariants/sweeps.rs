//! S1 to S7: what a sweep may request, and what its verdict says.
//!
//! A verdict is compared with what was served to the invocation, by rules of these files, and with the actual state of the
//! simulated world.

mod calls;
mod events;
mod reading;
mod requests;
mod verdicts;

use serde_json::Value;

use super::facts::{Facts, SweepRun};
use super::{Breach, Guarantee, breach};
use crate::record::InvocationNumber;
use crate::sandbox::Interruption;
use reading::Reading;

/// One invocation of the sweeper, and what was served to it.
struct Sweep<'a> {
    facts: &'a Facts<'a>,
    invocation: InvocationNumber,
    run: &'a SweepRun<'a>,
    reading: Reading,
    /// The detail of its event, if it published one.
    detail: Option<&'a Value>,
}

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    for (invocation, run) in &facts.sweeps {
        let detail = facts.events_of_sweep(*invocation).next().map(|event| event.detail);
        let reading = Reading::of(facts, *invocation, run);
        let sweep = Sweep { facts, invocation: *invocation, run, reading, detail };
        calls::check(&sweep)?;
        requests::check(&sweep)?;
        verdicts::check(&sweep)?;
        events::check(&sweep)?;
    }
    requests::ids(facts)
}

impl Sweep<'_> {
    fn breach<T>(&self, guarantee: Guarantee, how: impl AsRef<str>) -> Result<T, Breach> {
        breach(guarantee, format!("sweep #{}: {}", self.invocation, how.as_ref()))
    }

    /// The text of a field of its event; empty if there is none.
    fn text(&self, field: &str) -> &str {
        self.detail.and_then(|detail| detail[field].as_str()).unwrap_or_default()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.detail.and_then(|detail| detail[field].as_u64())
    }

    /// Whether it was suspended for a time.
    fn is_suspended(&self) -> bool {
        matches!(self.run.interruption, Some(Interruption::Suspend { .. }))
    }

    /// The group that replaces the last one of an endpoint with this record. A group that the sweep looks for is never
    /// used as a replacement.
    fn replacement(&self, record: &Value) -> Option<&str> {
        let replacements = &self.facts.history.plan.deployment.rules.replacements;
        let of_vpc = replacements.iter().find(|(vpc_id, _)| record["VpcId"] == vpc_id.as_str());
        let is_wanted = |id: &str| self.run.planned.groups.iter().any(|group| group.eq_ignore_ascii_case(id));
        of_vpc.map(|(_, id)| id.as_str()).filter(|id| !is_wanted(id))
    }

    /// Whether it may request detaches.
    fn may_apply(&self) -> bool {
        let plan = &self.facts.history.plan;
        let is_allowed = plan.sweeps.is_apply_allowed && !plan.deployment.rules.dry_run_only;
        is_allowed && self.run.planned.is_apply
    }
}
