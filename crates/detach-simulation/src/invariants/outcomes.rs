//! I2: every accepted request ends in exactly one outcome, and none is lost.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::facts::{Facts, Publication};
use super::{Breach, Guarantee, breach, justified};
use crate::meaning::{Meaning, of_code};
use crate::outside::Outside;
use crate::world::QueueKind;

/// How long before a delivery a change may have begun that affects the endpoint during the delivery: the longest task
/// of another client, and the longest lag.
const CHANGE_TAKES_MAX: Duration = Duration::from_secs(90);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    every_event_names_a_delivered_request(facts)?;
    no_message_is_deleted_without_outcome(facts)?;
    for place in 0..facts.history.plan.requests.len() {
        no_request_is_lost(facts, place)?;
        failures_are_copied_before_their_event(facts, place)?;
        one_outcome(facts, place)?;
    }
    copies_are_exact(facts)
}

fn every_event_names_a_delivered_request(facts: &Facts<'_>) -> Result<(), Breach> {
    for publication in &facts.publications {
        let at = facts.after(publication.at);
        let name = &publication.detail["request_id"];
        let Some(place) = publication.request else {
            return breach(Guarantee::OneOutcome, format!("an event at {at} names no request: {name}"));
        };
        if facts.batch_messages(publication.invocation, place).next().is_none() {
            let how = format!("an event at {at} names {name}, which is not in the batch of its invocation");
            return breach(Guarantee::OneOutcome, how);
        }
        let ending = if publication.is_completed() { "Completed" } else { "Failed" };
        let detail_type = format!("Security Group Detach {ending}");
        let parsed = facts.request(place).and_then(|request| request.parsed.as_ref());
        let names_pair = parsed.is_none_or(|parsed| {
            let is = |field: &str, value: &str| publication.detail[field] == value;
            is("endpoint_id", &parsed.endpoint) && is("security_group_id", &parsed.group)
        });
        if publication.detail_type != detail_type || !names_pair {
            let how = format!(
                "an event at {at} for {name} has the type {} and the content {}",
                publication.detail_type, publication.detail
            );
            return breach(Guarantee::OneOutcome, how);
        }
    }
    Ok(())
}

/// A message that is deleted, by the worker or the mapping, has an event by then; or, past its deadline, at least a
/// copy.
fn no_message_is_deleted_without_outcome(facts: &Facts<'_>) -> Result<(), Breach> {
    for (at, message) in &facts.departures {
        let Some(sent) = facts.messages.get(message) else { continue };
        let since = sent.at..=*at;
        let is_published = facts
            .publications
            .iter()
            .any(|event| event.request == Some(sent.request) && since.contains(&event.at));
        let is_copied = facts.copies.iter().any(|copy| copy.message == *message && since.contains(&copy.at));
        let is_overdue = sent.at + deadline(sent.body) <= *at + facts.clock_ahead();
        let has_outcome = is_published || (is_copied && is_overdue);
        if !has_outcome {
            let how =
                format!("message {message} was deleted at {} without an event or copy", facts.after(*at));
            return breach(Guarantee::OneOutcome, how);
        }
    }
    Ok(())
}

/// The deadline of a request, also of one that must be rejected.
fn deadline(body: &str) -> Duration {
    let fields: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let seconds = fields.and_then(|fields| fields["deadline_seconds"].as_u64());
    seconds.map_or(Duration::from_hours(1), Duration::from_secs)
}

fn no_request_is_lost(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let Some(request) = facts.request(place) else { return Ok(()) };
    let is_published = facts.publications.iter().any(|publication| publication.request == Some(place));
    let mut queues = facts.history.waiting.iter().chain(&facts.history.dead_letters);
    if is_published || queues.any(|message| message.body == request.body) {
        return Ok(());
    }
    let is_sent = facts.messages_of(place).next().is_some();
    if is_sent {
        return breach(Guarantee::OneOutcome, format!("lost: {}", request.body));
    }
    breach(Guarantee::OneOutcome, format!("never sent: {}", request.body))
}

/// The worker's own codes of a refusal that are not codes of Alibaba Cloud.
const OWN_CODES: [&str; 3] = ["DryRunIgnored", "FinancialLocked", "SecurityGroupNotAttached"];

/// Requests that were rejected, denied by RAM, refused with a code that the documentation does not list, or not confirmed
/// before the deadline are copied to the dead-letter queue before their event is published, and no others are.
fn failures_are_copied_before_their_event(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let messages: BTreeSet<&str> = facts.messages_of(place).map(|(message, _)| message).collect();
    for publication in facts.publications.iter().filter(|event| event.request == Some(place)) {
        let is_to_be_copied = match publication.outcome() {
            "rejected" | "unconfirmed" => true,
            "refused" if publication.reason() == "ReplacementNotAttached" => {
                let parsed = facts.request(place).and_then(|request| request.parsed.as_ref());
                let meaning =
                    parsed.and_then(|parsed| justified::refused_attach(facts, publication, &parsed.endpoint));
                matches!(meaning, Some(Meaning::Denied(_) | Meaning::Unlisted(_)))
            }
            "refused" => {
                !OWN_CODES.contains(&publication.reason())
                    && matches!(of_code(publication.reason(), 400), Meaning::Denied(_) | Meaning::Unlisted(_))
            }
            _ => false,
        };
        let mut copies = facts.copies.iter();
        let is_its = |message: &str| {
            facts
                .batch_messages(publication.invocation, place)
                .any(|(received, _)| received.message == message)
        };
        let is_copied = copies.any(|copy| copy.at <= publication.requested_at && is_its(copy.message));
        if is_to_be_copied && !is_copied {
            let how = format!(
                "{} at {} without a dead-letter copy before it",
                publication.outcome(),
                facts.after(publication.at)
            );
            return breach(Guarantee::OneOutcome, how);
        }
    }
    let could_be_copied = facts.publications.iter().any(|event| {
        event.request == Some(place) && matches!(event.outcome(), "rejected" | "unconfirmed" | "refused")
    });
    // Without an event, no outcome says whether the copy is expected.
    let has_event = facts.publications.iter().any(|event| event.request == Some(place));
    match facts.copies.iter().find(|copy| messages.contains(copy.message)) {
        Some(copy) if has_event && !could_be_copied && !may_have_failed(facts) => breach(
            Guarantee::OneOutcome,
            format!("a dead-letter copy at {} of a request that succeeded", facts.after(copy.at)),
        ),
        _ => Ok(()),
    }
}

/// Whether an event may not have reached the bus, or an invocation may have ended before it published its event.
fn may_have_failed(facts: &Facts<'_>) -> bool {
    facts.history.plan.faults != crate::faults::Faults::default()
        || facts.runs.values().any(|run| run.interruption.is_some())
}

/// Successive outcomes are of one family, unless there is a reason.
fn one_outcome(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let mut events: Vec<&Publication<'_>> =
        facts.publications.iter().filter(|event| event.request == Some(place)).collect();
    // In the order of their `completed_at`: an event whose call was abandoned may reach the bus after a newer one.
    events.sort_by_key(|event| event.requested_at);
    for pair in events.windows(2) {
        let [earlier, later] = pair else { continue };
        let (one, other) = (earlier.outcome(), later.outcome());
        let when = format!("{one} at {}, {other} at {}", facts.after(earlier.at), facts.after(later.at));
        let is_one_delivery = earlier.invocation == later.invocation && facts.messages_of(place).count() == 1;
        if is_one_delivery && earlier.detail != later.detail {
            return breach(Guarantee::OneOutcome, format!("two outcomes of one delivery: {when}"));
        }
        if earlier.is_completed() != later.is_completed() && !has_reason(facts, place, earlier, later) {
            return breach(Guarantee::OneOutcome, format!("the opposite outcome without a reason: {when}"));
        }
    }
    Ok(())
}

fn has_reason(facts: &Facts<'_>, place: usize, earlier: &Publication<'_>, later: &Publication<'_>) -> bool {
    let is_redriven =
        facts.outside.iter().any(|(at, act)| matches!(act, Outside::Redrive) && *at <= later.at);
    // A sweep that is started again sends the same request again.
    let is_sent_again = facts.history.plan.sweeps.planned.len() > 1 && facts.messages_of(place).count() > 1;
    is_redriven
        || is_sent_again
        || (is_delivered_twice(facts, place, earlier, later) && has_changed(facts, place, earlier, later))
}

/// The earlier event's invocation did not delete its message: it crashed, its delete failed, or the queue delivered the
/// message twice.
fn is_delivered_twice(
    facts: &Facts<'_>,
    place: usize,
    earlier: &Publication<'_>,
    later: &Publication<'_>,
) -> bool {
    let Some((received, _)) = facts.batch_messages(earlier.invocation, place).next() else { return false };
    let again = facts.runs.get(&later.invocation).map_or(later.at, |run| run.began);
    let mut departures = facts.departures.iter();
    let is_deleted = departures
        .any(|(at, message)| *message == received.message && (earlier.requested_at..=again).contains(at));
    !is_deleted || facts.history.plan.kind == QueueKind::Standard
}

/// Whether a change between the two events can turn an outcome into its opposite.
fn has_changed(facts: &Facts<'_>, place: usize, earlier: &Publication<'_>, later: &Publication<'_>) -> bool {
    let Some(parsed) = facts.request(place).and_then(|request| request.parsed.as_ref()) else { return false };
    let Some((_, sent)) = facts.batch_messages(earlier.invocation, place).next() else { return false };
    let began = facts.runs.get(&earlier.invocation).map_or(earlier.at, |run| run.began);
    let since = began.checked_sub(CHANGE_TAKES_MAX).unwrap_or(began)..=later.at;
    let deadline = sent.at + parsed.deadline;
    let is_overdue = deadline <= later.at + facts.clock_ahead();
    let replacement = facts.replacement_of(&parsed.endpoint);
    let is_about_the_attach = [earlier, later].iter().any(|event| event.reason() == "ReplacementNotAttached");
    let is_relevant = |act: &Outside| match act {
        // A replacement that did not exist exists once another client has attached it, to any endpoint.
        Outside::Attach { group, .. } if is_about_the_attach && replacement == Some(group.as_str()) => true,
        Outside::Key { .. } | Outside::Permissions { .. } | Outside::FaultsEnd => true,
        act => act.endpoint() == Some(&parsed.endpoint),
    };
    let is_changed_outside = facts.outside.iter().any(|(at, act)| since.contains(at) && is_relevant(act));
    // The sender's own token is used in the first delivery only: a request that was refused for it is not tried with it
    // again.
    let is_about_the_token = [earlier, later].iter().any(|event| event.reason().starts_with("Idempoten"));
    // Whether the group was expected counts in the first delivery only.
    let is_about_the_expectation =
        [earlier, later].iter().any(|event| event.reason() == "SecurityGroupNotAttached");
    is_overdue
        || is_about_the_token
        || is_about_the_expectation
        || is_changed_outside
        || is_changed_by_this_deployment(facts, parsed.endpoint.as_str(), &since)
        || is_from_a_fault(facts, earlier, &parsed.endpoint)
        || is_from_a_fault(facts, later, &parsed.endpoint)
}

/// Whether a write of this deployment on the same endpoint, for this request or another one, was executed.
fn is_changed_by_this_deployment(
    facts: &Facts<'_>,
    endpoint: &str,
    since: &std::ops::RangeInclusive<SystemTime>,
) -> bool {
    facts.calls.iter().any(|call| {
        let arrived = call.served.filter(|(at, served)| since.contains(at) && served.is_executed);
        call.is_write() && !call.requested.dry_run && call.requested.endpoint == endpoint && arrived.is_some()
    })
}

/// Whether an injected fault supplied an error code to this delivery.
fn is_from_a_fault(facts: &Facts<'_>, event: &Publication<'_>, endpoint: &str) -> bool {
    let mut calls = facts.calls_of_delivery(event.invocation, endpoint, event.request, event.requested_at);
    calls.any(|call| call.response().is_some_and(|served| served.is_fault && served.code.is_some()))
}

fn copies_are_exact(facts: &Facts<'_>) -> Result<(), Breach> {
    for copy in &facts.copies {
        let is_exact = facts.messages.get(copy.message).is_some_and(|sent| sent.body == copy.copy.body);
        if !is_exact {
            let how =
                format!("the copy of {} at {} has a different body", copy.message, facts.after(copy.at));
            return breach(Guarantee::OneOutcome, how);
        }
    }
    Ok(())
}
