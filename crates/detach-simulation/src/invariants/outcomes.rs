//! I2: every accepted request ends in exactly one outcome, and nothing is lost on the way.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;

use super::facts::{Facts, Publication};
use super::{Breach, Promise, breach};
use crate::outside::Outside;
use crate::world::QueueKind;

/// How long before a delivery something may have begun that changes the endpoint while it runs: the longest task of
/// somebody else, and the longest lag.
const CHANGE_TAKES_MAX: Duration = Duration::from_secs(90);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    every_event_is_somebodys(facts)?;
    nothing_leaves_unanswered(facts)?;
    for place in 0..facts.history.plan.requests.len() {
        nothing_is_lost(facts, place)?;
        failures_are_copied_first(facts, place)?;
        one_outcome(facts, place)?;
    }
    copies_are_exact(facts)
}

fn every_event_is_somebodys(facts: &Facts<'_>) -> Result<(), Breach> {
    for publication in &facts.publications {
        let at = facts.after(publication.at);
        let name = &publication.detail["request_id"];
        let Some(place) = publication.request else {
            return breach(Promise::Outcome, format!("an event at {at} names no request: {name}"));
        };
        if facts.given(publication.invocation, place).next().is_none() {
            let how = format!("an event at {at} is about {name}, which its invocation was not given");
            return breach(Promise::Outcome, how);
        }
    }
    Ok(())
}

/// A message that is deleted, by whomever, has an event by then; or, past its deadline, at least a copy.
fn nothing_leaves_unanswered(facts: &Facts<'_>) -> Result<(), Breach> {
    for (at, message) in &facts.departures {
        let Some(sent) = facts.messages.get(message) else { continue };
        let since = sent.at..=*at;
        let is_published = facts
            .publications
            .iter()
            .any(|event| event.request == Some(sent.request) && since.contains(&event.at));
        let is_copied = facts.copies.iter().any(|copy| copy.message == *message && since.contains(&copy.at));
        let is_overdue = sent.at + deadline(sent.body) <= *at;
        let is_answered = is_published || (is_copied && is_overdue);
        if !is_answered {
            let how = format!("message {message} left the queue at {} without an answer", facts.after(*at));
            return breach(Promise::Outcome, how);
        }
    }
    Ok(())
}

/// How long a request has, also one that must be rejected.
fn deadline(body: &str) -> Duration {
    let fields: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let seconds = fields.and_then(|fields| fields["deadline_seconds"].as_u64());
    seconds.map_or(Duration::from_hours(1), Duration::from_secs)
}

fn nothing_is_lost(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let Some(request) = facts.request(place) else { return Ok(()) };
    let is_published = facts.publications.iter().any(|publication| publication.request == Some(place));
    let mut queues = facts.history.waiting.iter().chain(&facts.history.dead_letters);
    if is_published || queues.any(|message| message.body == request.body) {
        return Ok(());
    }
    let is_sent = facts.messages_of(place).next().is_some();
    if is_sent {
        return breach(Promise::Outcome, format!("lost: {}", request.body));
    }
    breach(Promise::Outcome, format!("never sent: {}", request.body))
}

/// What nobody could answer waits in the dead-letter queue when its event leaves, and nothing else does.
fn failures_are_copied_first(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let messages: BTreeSet<&str> = facts.messages_of(place).map(|(message, _)| message).collect();
    for publication in facts.publications.iter().filter(|event| event.request == Some(place)) {
        let is_denial =
            matches!(publication.reason(), code if code == "NoPermission" || code.starts_with("Forbidden."));
        let is_to_be_copied = match publication.outcome() {
            "rejected" | "unconfirmed" => true,
            "refused" => is_denial,
            _ => false,
        };
        let mut copies = facts.copies.iter();
        let is_its = |message: &str| {
            facts.given(publication.invocation, place).any(|(given, _)| given.message == message)
        };
        let is_copied = copies.any(|copy| copy.at <= publication.asked_at && is_its(copy.message));
        if is_to_be_copied && !is_copied {
            let how = format!(
                "{} at {} without a dead-letter copy",
                publication.outcome(),
                facts.after(publication.at)
            );
            return breach(Promise::Outcome, how);
        }
    }
    let could_be_copied = facts.publications.iter().any(|event| {
        event.request == Some(place) && matches!(event.outcome(), "rejected" | "unconfirmed" | "refused")
    });
    // Without an event, the copy says itself why it is there: what it stands for never left.
    let has_event = facts.publications.iter().any(|event| event.request == Some(place));
    match facts.copies.iter().find(|copy| messages.contains(copy.message)) {
        Some(copy) if has_event && !could_be_copied && !may_have_failed(facts) => {
            breach(Promise::Outcome, format!("a copy at {} of what was answered", facts.after(copy.at)))
        }
        _ => Ok(()),
    }
}

/// Whether an event may not have reached the bus, or an invocation may have ended before it did.
fn may_have_failed(facts: &Facts<'_>) -> bool {
    facts.history.plan.troubles != crate::trouble::Troubles::default()
        || facts.runs.values().any(|run| run.interruption.is_some())
}

/// Outcomes that follow each other are of one family, unless there is a reason.
fn one_outcome(facts: &Facts<'_>, place: usize) -> Result<(), Breach> {
    let mut events: Vec<&Publication<'_>> =
        facts.publications.iter().filter(|event| event.request == Some(place)).collect();
    // As their `completed_at` orders them: one that was given up may reach the bus after a newer one.
    events.sort_by_key(|event| event.asked_at);
    for pair in events.windows(2) {
        let [earlier, later] = pair else { continue };
        let (one, other) = (earlier.outcome(), later.outcome());
        let when = format!("{one} at {}, {other} at {}", facts.after(earlier.at), facts.after(later.at));
        let is_one_delivery = earlier.invocation == later.invocation && facts.messages_of(place).count() == 1;
        if is_one_delivery && earlier.detail != later.detail {
            return breach(Promise::Outcome, format!("two outcomes of one delivery: {when}"));
        }
        if earlier.is_good() != later.is_good() && !has_reason(facts, place, earlier, later) {
            return breach(Promise::Outcome, format!("the opposite without a reason: {when}"));
        }
    }
    Ok(())
}

fn has_reason(facts: &Facts<'_>, place: usize, earlier: &Publication<'_>, later: &Publication<'_>) -> bool {
    let is_redriven =
        facts.outside.iter().any(|(at, act)| matches!(act, Outside::Redrive) && *at <= later.at);
    is_redriven
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
    let Some((given, _)) = facts.given(earlier.invocation, place).next() else { return false };
    let again = facts.runs.get(&later.invocation).map_or(later.at, |run| run.began);
    let mut departures = facts.departures.iter();
    let is_deleted =
        departures.any(|(at, message)| *message == given.message && (earlier.asked_at..=again).contains(at));
    !is_deleted || facts.history.plan.kind == QueueKind::Standard
}

/// Something happened that may turn an outcome into its opposite.
fn has_changed(facts: &Facts<'_>, place: usize, earlier: &Publication<'_>, later: &Publication<'_>) -> bool {
    let Some(wanted) = facts.request(place).and_then(|request| request.wanted.as_ref()) else { return false };
    let Some((_, sent)) = facts.given(earlier.invocation, place).next() else { return false };
    let began = facts.runs.get(&earlier.invocation).map_or(earlier.at, |run| run.began);
    let since = began.checked_sub(CHANGE_TAKES_MAX).unwrap_or(began)..=later.at;
    let deadline = sent.at + wanted.deadline;
    let is_overdue = deadline <= later.at;
    let is_changed_outside = facts.outside.iter().any(|(at, act)| {
        since.contains(at)
            && match act.endpoint() {
                Some(endpoint) => endpoint == wanted.endpoint,
                None => {
                    matches!(act, Outside::Key { .. } | Outside::Permissions { .. } | Outside::Calm)
                }
            }
    });
    // The caller's own token is for the first delivery: what it was refused for is not tried with it again.
    let is_about_the_token = [earlier, later].iter().any(|event| event.reason().starts_with("Idempoten"));
    is_overdue
        || is_about_the_token
        || is_changed_outside
        || is_changed_by_us(facts, wanted.endpoint.as_str(), &since)
        || is_said_by_a_fault(facts, earlier, &wanted.endpoint)
        || is_said_by_a_fault(facts, later, &wanted.endpoint)
}

/// A Detach of ours on the same endpoint, for this request or another one, was carried out.
fn is_changed_by_us(facts: &Facts<'_>, endpoint: &str, since: &std::ops::RangeInclusive<SystemTime>) -> bool {
    facts.calls.iter().any(|call| {
        let is_write = call.asked.action == Some(Action::DetachSecurityGroupFromVpcEndpoint);
        let arrived = call.served.filter(|(at, served)| since.contains(at) && served.is_executed);
        is_write && !call.asked.dry_run && call.asked.endpoint == endpoint && arrived.is_some()
    })
}

/// A fault put words into the service's mouth.
fn is_said_by_a_fault(facts: &Facts<'_>, event: &Publication<'_>, endpoint: &str) -> bool {
    let mut calls = facts.calls_of_delivery(event.invocation, endpoint, event.request, event.asked_at);
    calls.any(|call| call.answer().is_some_and(|served| served.is_fault && served.code.is_some()))
}

fn copies_are_exact(facts: &Facts<'_>) -> Result<(), Breach> {
    for copy in &facts.copies {
        let is_exact = facts.messages.get(copy.message).is_some_and(|sent| sent.body == copy.body);
        if !is_exact {
            let how = format!("the copy of {} at {} is another text", copy.message, facts.after(copy.at));
            return breach(Promise::Outcome, how);
        }
    }
    Ok(())
}
