//! S5: a sweep that was not killed publishes one event, says in it what it did, and returns it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Breach, Guarantee};
use super::Sweep;
use super::calls::{RESERVE, SWEEP_MAX};
use crate::record::{Change, EntryKind, InvocationNumber, Operation};
use crate::sandbox::Ending;

/// The time before the end of a sweep after which no further reading begins.
const LAST_READING: Duration = Duration::from_secs(15);

pub(super) fn check(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let events: Vec<&Value> =
        sweep.facts.events_of_sweep(sweep.invocation).map(|event| event.detail).collect();
    let failure = |how: &str| sweep.breach(Guarantee::SweepReported, how);
    if events.windows(2).any(|pair| pair[0] != pair[1]) {
        return failure("two different events");
    }
    // The response of a publish can be lost, and the sweep then publishes again.
    let failed = publishes_failed(sweep);
    if events.len() > 1 + failed && sweep.facts.history.plan.faults.repeated == 0.0 {
        return failure("its event was published again without an error");
    }
    if sweep.run.planned.is_invalid {
        let is_failed = match sweep.run.ended {
            Some((_, Ending::Failed(error))) => error.starts_with("InvalidSweep"),
            Some((_, Ending::Killed)) => true,
            _ => false,
        };
        let has_called = sweep.facts.calls_of_sweep(sweep.invocation).next().is_some();
        let is_refused = is_failed && events.is_empty() && !has_called;
        return if is_refused { Ok(()) } else { failure("an invalid sweep was carried out") };
    }
    match sweep.run.ended {
        Some((_, Ending::Returned(response))) => {
            let response: Value = serde_json::from_str(response).unwrap_or_default();
            if events.first() != Some(&&response) {
                return failure("its response is not the detail of its event");
            }
        }
        Some((_, Ending::Failed(error))) => {
            // A process that was suspended may have no time left for its event.
            if !(failed > 0 || sweep.is_suspended()) || !error.starts_with("EventNotPublished") {
                return failure(&format!("it fails with {error}"));
            }
        }
        Some((_, Ending::Killed)) | None => {}
    }
    match events.first() {
        Some(detail) => content(sweep, detail),
        None => Ok(()),
    }
}

/// How often the sweep got an error for its event.
fn publishes_failed(sweep: &Sweep<'_>) -> usize {
    let is_its = |by: InvocationNumber, operation| by == sweep.invocation && operation == Operation::Publish;
    sweep.facts.failures.iter().filter(|(_, by, operation)| is_its(*by, *operation)).count()
}

fn content(sweep: &Sweep<'_>, detail: &Value) -> Result<(), Breach> {
    let planned = sweep.run.planned;
    let mode = |is_apply: bool| if is_apply { "apply" } else { "report" };
    let mut expected = json!({
        "mode": mode(sweep.may_apply()),
        "mode_requested": mode(planned.is_apply),
        "security_group_ids": planned.groups,
        "scope": planned.scope,
    });
    if let Some(sweep_id) = &planned.sweep_id {
        expected["sweep_id"] = sweep_id.as_str().into();
    }
    for (field, value) in expected.as_object().into_iter().flatten() {
        if detail[field] != *value {
            let how = format!("its event has the {field} {}", detail[field]);
            return sweep.breach(Guarantee::SweepReported, how);
        }
    }
    if let Some(reference) =
        detail["references"].as_array().into_iter().flatten().find(|one| !is_judged(sweep, one))
    {
        return sweep.breach(Guarantee::SweepReported, format!("it judges a reference wrongly: {reference}"));
    }
    let (left, verdict) = (sweep.number("remaining_count"), sweep.text("verdict"));
    let is_left = match verdict {
        "no_references" | "no_endpoints" => left == Some(0),
        "references_found" | "over_limit" => left > Some(0),
        _ => true,
    };
    if !is_left {
        return sweep.breach(Guarantee::SweepReported, format!("{verdict} with {left:?} references"));
    }
    if verdict == "over_limit" && Some(left.unwrap_or_default()) <= planned.max_detaches {
        return sweep.breach(Guarantee::SweepReported, "over_limit within the limit");
    }
    let requested = sweep.number("requested_count").unwrap_or_default();
    let accepted = accepted(sweep).len() as u64;
    if requested > accepted {
        let how = format!("it says {requested} requests, and the queue accepted {accepted}");
        return sweep.breach(Guarantee::SweepReported, how);
    }
    patient(sweep, detail)
}

/// Whether a reference names no replacement but the configured one of its endpoint's VPC, and is blocked as the last group
/// of its endpoint only without one.
fn is_judged(sweep: &Sweep<'_>, reference: &Value) -> bool {
    let text = |name: &str| reference[name].as_str();
    let records = text("region_id").and_then(|region| sweep.reading.regions.get(region)?.latest.as_ref());
    let record =
        records.into_iter().flatten().find(|record| record["EndpointId"] == reference["endpoint_id"]);
    // An incomplete sweep may not have been served the record.
    let Some(record) = record else { return true };
    match (text("blocked_by"), text("replacement_security_group_id")) {
        (Some("EndpointMustContainSecurityGroup"), None) => sweep.replacement(record).is_none(),
        (None, Some(id)) => sweep.replacement(record) == Some(id),
        (_, replacement) => replacement.is_none(),
    }
}

/// The bodies of the requests that the queue accepted from the sweep, or had accepted before.
fn accepted<'a>(sweep: &Sweep<'a>) -> BTreeSet<&'a str> {
    let its = |kind: &'a EntryKind| match kind {
        EntryKind::Changed { by: Some(by), change: Change::Request { requests }, .. }
            if *by == sweep.invocation =>
        {
            Some(requests)
        }
        _ => None,
    };
    let record = sweep.facts.history.record.iter();
    record.filter_map(|entry| its(&entry.kind)).flatten().map(|request| request.body.as_str()).collect()
}

/// A sweep that leaves a requested reference has read it again until its time ended.
fn patient(sweep: &Sweep<'_>, detail: &Value) -> Result<(), Breach> {
    let mut references = detail["references"].as_array().into_iter().flatten();
    let is_left = references.any(|one| one["requested"] == true && one["blocked_by"].is_null());
    let event = sweep.facts.events_of_sweep(sweep.invocation).next();
    let until = (sweep.run.began + SWEEP_MAX).min(sweep.run.ends - RESERVE);
    let is_late = event.is_some_and(|event| event.requested_at + LAST_READING >= until);
    if is_left && !is_late && sweep.facts.clock_tolerance().is_zero() {
        return sweep
            .breach(Guarantee::SweepReported, "it ends early, although a requested reference is left");
    }
    Ok(())
}
