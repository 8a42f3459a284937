//! I3, I4, I5 and I8: which calls are allowed, and how many.

use std::collections::BTreeMap;

use privatelink_simulator::Endpoint;

use super::confirmed::Reads;
use super::facts::{Call, Facts};
use super::{ATTACH, Breach, DETACH, Guarantee, bounds, breach, is_write};
use crate::history::ParsedRequest;
use crate::record::{EntryKind, InvocationNumber, RequestedCall};
use crate::world::QueueKind;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    one_write_at_a_time(facts)?;
    for call in &facts.calls {
        requested_only(facts, call)?;
        if call.requested.action == DETACH {
            last_group(facts, call)?;
        }
        if call.is_write() {
            no_real_write(facts, call)?;
        }
    }
    events_say_how(facts)?;
    bounds::calls(facts)
}

/// In a FIFO queue an endpoint is one lane for all invocations; in a standard queue each invocation has its own lanes.
fn one_write_at_a_time(facts: &Facts<'_>) -> Result<(), Breach> {
    let is_one_lane = facts.history.plan.kind == QueueKind::Fifo;
    let mut pending: BTreeMap<u32, (&RequestedCall, InvocationNumber)> = BTreeMap::new();
    for entry in &facts.history.record {
        match &entry.kind {
            EntryKind::Called { invocation, call, requested } if is_write(requested.action) => {
                let is_same_lane = |(other, by): &&(&RequestedCall, InvocationNumber)| {
                    other.endpoint == requested.endpoint && (is_one_lane || by == invocation)
                };
                if pending.values().any(|other| is_same_lane(&other)) {
                    let at = facts.after(entry.at);
                    let how = format!(
                        "a second write on {} at {at} while the first has no response",
                        requested.endpoint
                    );
                    return breach(Guarantee::OneWrite, how);
                }
                pending.insert(*call, (requested, *invocation));
            }
            EntryKind::Returned { call, .. } => {
                pending.remove(call);
            }
            // The process no longer waits for the response.
            EntryKind::Ended { invocation, .. } => pending.retain(|_, (_, by)| by != invocation),
            _ => {}
        }
    }
    Ok(())
}

/// The worker must know that a group is the last if the latest list showed it, or if there was no list.
fn last_group(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let Some((_, served)) = call.served else { return Ok(()) };
    let group = call.requested.group.as_deref().unwrap_or_default();
    let is_last = |endpoint: &Endpoint| matches!(endpoint.security_groups.as_slice(), [only] if only.id.as_str() == group);
    if !served.actual.as_ref().is_some_and(is_last) {
        return Ok(());
    }
    let before = facts.calls_of_delivery(call.invocation, &call.requested.endpoint, None, call.at);
    let reads = Reads::of(before, group, call.at);
    // A dry run detaches nothing: it is skipped only if the group is the only one, not if the others are changing.
    let is_only_group = |ids: usize| ids == 1 || (reads.is_only_stable_group && !call.requested.dry_run);
    let is_known_last =
        reads.listed.is_none_or(|listed| is_only_group(listed.len()) && listed.contains(group));
    if is_known_last {
        let how =
            format!("Detach of {}'s last group {group} at {}", call.requested.endpoint, facts.after(call.at));
        return breach(Guarantee::LastGroup, how);
    }
    Ok(())
}

/// A deployment that makes dry runs only never sends a real write.
fn no_real_write(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    if call.requested.dry_run || !facts.history.plan.deployment.rules.dry_run_only {
        return Ok(());
    }
    let how = format!("a real write at {} in a deployment of dry runs", facts.after(call.at));
    breach(Guarantee::RequestedOnly, how)
}

/// An event says whether its request was carried out as a dry run.
fn events_say_how(facts: &Facts<'_>) -> Result<(), Breach> {
    for event in &facts.publications {
        let request = event.request.and_then(|place| facts.request(place));
        let Some(parsed) = request.and_then(|request| request.parsed.as_ref()) else { continue };
        if event.detail["dry_run"] != parsed.dry_run {
            let (at, says) = (facts.after(event.at), &event.detail["dry_run"]);
            let how = format!("an event at {at} says dry_run {says}, and the request is {parsed:?}");
            return breach(Guarantee::RequestedOnly, how);
        }
    }
    Ok(())
}

fn requested_only(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let requested = call.requested;
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let mut parsed = batch.iter().filter_map(|received| {
        let sent = facts.messages.get(received.message.as_str())?;
        facts.request(sent.request)?.parsed.as_ref()
    });
    let is_the_call = |parsed: &ParsedRequest| {
        // R1 checks which group is attached.
        let is_pair =
            requested.action == ATTACH || requested.group.as_ref().is_none_or(|group| *group == parsed.group);
        let is_as_real = !call.is_write() || requested.dry_run == parsed.dry_run;
        let is_endpoint = parsed.region == requested.region && parsed.endpoint == requested.endpoint;
        is_endpoint && is_pair && is_as_real
    };
    let is_host = requested.host == format!("privatelink.{}.aliyuncs.com", requested.region);
    if is_host && requested.action.is_some() && parsed.any(is_the_call) {
        return Ok(());
    }
    let how = format!("a call at {} that no request names: {requested:?}", facts.after(call.at));
    breach(Guarantee::RequestedOnly, how)
}
