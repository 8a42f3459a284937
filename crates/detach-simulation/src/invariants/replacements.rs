//! R1 to R4: which group is attached, when, and what an event says about it.

use std::time::SystemTime;

use privatelink_simulator::Action;

use super::confirmed::{Reads, fields};
use super::facts::{Call, Facts, Publication};
use super::{ATTACH, Breach, DETACH, Guarantee, breach};
use crate::history::ParsedRequest;
use crate::record::Served;

const LIST: Option<Action> = Some(Action::ListVpcEndpointSecurityGroups);

/// How many lists must show a replacement that the delivery itself attached, or may have attached.
const LISTS_AFTER_ATTACH: usize = 2;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    never_empty(facts)?;
    for call in &facts.calls {
        if call.requested.action == ATTACH {
            configured_only(facts, call)?;
            last_group_only(facts, call)?;
        } else if call.requested.action == DETACH && !call.requested.dry_run {
            replacement_seen(facts, call)?;
        }
    }
    facts.publications.iter().try_for_each(|event| reported(facts, event))
}

/// R3. Other clients leave at least one group on every endpoint.
fn never_empty(facts: &Facts<'_>) -> Result<(), Breach> {
    match facts.history.emptied.first() {
        None => Ok(()),
        Some((endpoint, at)) => {
            breach(Guarantee::NeverEmpty, format!("{endpoint} has no group from {} on", facts.after(*at)))
        }
    }
}

/// The requests of the call's batch about its endpoint.
fn requests_about<'a>(facts: &Facts<'a>, call: &Call<'_>) -> impl Iterator<Item = &'a ParsedRequest> {
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let requests = batch.iter().filter_map(|received| {
        facts.request(facts.messages.get(received.message.as_str())?.request)?.parsed.as_ref()
    });
    requests.filter(|parsed| parsed.endpoint == call.requested.endpoint)
}

/// R1.
fn configured_only(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let group = call.requested.group.as_deref();
    let is_for_another = requests_about(facts, call).any(|parsed| Some(parsed.group.as_str()) != group);
    if group.is_some() && group == facts.replacement_of(&call.requested.endpoint) && is_for_another {
        return Ok(());
    }
    let how = format!("an Attach of {group:?} to {} at {}", call.requested.endpoint, facts.after(call.at));
    breach(Guarantee::ReplacementConfigured, how)
}

/// R2, for an attach.
fn last_group_only(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let calls = facts.calls_of_delivery(call.invocation, &call.requested.endpoint, None, call.at);
    let reads = Reads::of(calls, "", call.at);
    let statuses = reads.statuses();
    let is_alone = requests_about(facts, call).any(|parsed| {
        let status = statuses.get(&parsed.group);
        // A dry run does not wait for changes.
        let is_stable = call.requested.dry_run || status.is_some_and(|status| status == "Attached");
        statuses.len() == 1 && status.is_some() && is_stable
    });
    if reads.is_complete && is_alone {
        return Ok(());
    }
    let how = format!(
        "an Attach to {} at {}, although the latest list shows {statuses:?}",
        call.requested.endpoint,
        facts.after(call.at)
    );
    breach(Guarantee::ReplacementNeeded, how)
}

/// R2, for a detach that leaves the replacement alone.
fn replacement_seen(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let endpoint = &call.requested.endpoint;
    let Some(replacement) = facts.replacement_of(endpoint) else { return Ok(()) };
    let mut lists = 0;
    let (mut has_attached, mut is_alone, mut is_seen) = (false, false, false);
    let mut reads = Reads::default();
    for before in facts.calls_of_delivery(call.invocation, endpoint, None, call.at) {
        if before.returned.is_none_or(|(at, _)| at > call.at) {
            continue;
        }
        if before.is_write() {
            has_attached = before.requested.action == ATTACH;
            lists = if has_attached { 0 } else { lists };
        }
        reads.add(before, "");
        if before.requested.action == LIST && reads.is_complete {
            let statuses = reads.statuses();
            let is_attached = |group: &str| statuses.get(group).is_some_and(|status| status == "Attached");
            let mut others = statuses.keys().filter(|id| Some(*id) != call.requested.group.as_ref());
            is_seen = is_attached(replacement);
            is_alone = !others.any(|id| id != replacement && is_attached(id));
            lists += usize::from(is_seen);
        }
    }
    let least = if has_attached { LISTS_AFTER_ATTACH } else { 1 };
    if !is_alone || (is_seen && lists >= least) {
        return Ok(());
    }
    let how = format!(
        "a Detach from {endpoint} at {}, which leaves {replacement}, after {lists} lists that show it attached \
         instead of {least}",
        facts.after(call.at)
    );
    breach(Guarantee::ReplacementNeeded, how)
}

/// R4.
fn reported(facts: &Facts<'_>, event: &Publication<'_>) -> Result<(), Breach> {
    let Some(place) = event.request else { return Ok(()) };
    let Some(parsed) = facts.request(place).and_then(|request| request.parsed.as_ref()) else {
        return Ok(());
    };
    let replacement = facts.replacement_of(&parsed.endpoint).filter(|group| *group != parsed.group);
    let is_known = replacement.is_some_and(|group| is_known(facts, event, parsed, group, event.requested_at));
    let expected = replacement.filter(|_| is_known);
    let evidence = &event.detail["evidence"];
    let named = evidence.get("replacement_security_group_id").map(serde_json::Value::as_str);
    // After a redrive one batch may contain a request twice, and the reads are those of both messages.
    let is_twice = facts.batch_messages(event.invocation, place).count() > 1;
    if named == Some(expected) || (is_twice && named == Some(None)) {
        return Ok(());
    }
    let how = format!("the event at {} names {named:?} instead of {expected:?}", facts.after(event.at));
    breach(Guarantee::ReplacementReported, how)
}

/// Whether the delivery read the replacement on the endpoint, had its attach accepted, or had its dry run passed.
fn is_known(
    facts: &Facts<'_>,
    event: &Publication<'_>,
    parsed: &ParsedRequest,
    replacement: &str,
    until: SystemTime,
) -> bool {
    let calls = || facts.calls_of_delivery(event.invocation, &parsed.endpoint, event.request, until);
    let is_accepted = |call: &Call<'_>| {
        let is_passed =
            |served: &Served| call.requested.dry_run && served.code.as_deref() == Some("DryRunOperation");
        let is_accepted = |served| fields(served).is_some_and(|fields| fields["RequestId"].is_string());
        call.requested.action == ATTACH
            && call.response().is_some_and(|served| is_passed(served) || is_accepted(served))
    };
    let reads = Reads::of(calls(), &parsed.group, until);
    // A record without the VPC does not show whether the group is the replacement.
    let vpc_id = facts.vpc_of(&parsed.endpoint).unwrap_or_default();
    reads.seen_in_vpc.contains(&(vpc_id.to_owned(), replacement.to_owned())) || calls().any(is_accepted)
}
