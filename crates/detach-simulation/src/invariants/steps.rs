//! I10 to I13: in which order, how soon, and with which token a worker may call.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;

use super::facts::{Call, Facts};
use super::proof::Looks;
use super::{Breach, Promise, breach};
use crate::sandbox::Interruption;
use crate::world::QueueKind;

const DETACH: Option<Action> = Some(Action::DetachSecurityGroupFromVpcEndpoint);
const LIST: Option<Action> = Some(Action::ListVpcEndpointSecurityGroups);
const RECORD: Option<Action> = Some(Action::ListVpcEndpoints);

/// What may pass between a step and the one that follows at once.
const AT_ONCE: Duration = Duration::from_millis(20);

/// The shortest back-off.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let mut deliveries: BTreeMap<(u32, &str), Vec<&Call<'_>>> = BTreeMap::new();
    for call in &facts.calls {
        deliveries.entry((call.invocation, call.asked.endpoint.as_str())).or_default().push(call);
    }
    for calls in deliveries.values() {
        for pair in calls.windows(2) {
            after_a_fault(facts, pair[0], pair[1])?;
        }
        for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.asked.action == DETACH) {
            look_first(facts, call, &calls[..index])?;
            in_time(facts, call)?;
        }
    }
    tokens(facts)?;
    throttled(facts)?;
    order(facts)
}

/// Whether an invocation stood still, which makes everything in it late.
fn is_stalled(facts: &Facts<'_>, call: &Call<'_>) -> bool {
    let run = facts.runs.get(&call.invocation);
    run.is_some_and(|run| matches!(run.interruption, Some(Interruption::Stall { .. })))
}

/// The list, its record, and at once the write: nothing in between, and nothing unreadable.
fn look_first(facts: &Facts<'_>, call: &Call<'_>, before: &[&Call<'_>]) -> Result<(), Breach> {
    let is_read = |call: &Call<'_>, action| {
        call.asked.action == action && call.answer().is_some_and(|served| served.status == Some(200))
    };
    let mut earlier = before.iter().rev();
    let record = earlier.next().filter(|record| is_read(record, RECORD));
    let list = earlier.find(|other| other.asked.action != RECORD).filter(|list| is_read(list, LIST));
    let left = record.and_then(|record| record.returned).map(|(at, _)| call.at.duration_since(at));
    let is_at_once = left.is_some_and(|left| left.is_ok_and(|left| left <= AT_ONCE));
    let looks = Looks::of(
        facts.calls_of_delivery(call.invocation, &call.asked.endpoint, None, call.at),
        call.asked.group.as_deref().unwrap_or_default(),
        call.at,
    );
    let is_there = looks
        .listed
        .as_ref()
        .is_some_and(|listed| call.asked.group.as_ref().is_some_and(|group| listed.contains(group)));
    let is_at_rest = !matches!(looks.status.as_deref(), None | Some("Pending" | "Creating" | "Deleting"));
    // A dry run asks whatever it has seen.
    let allows = looks.is_complete && (call.asked.dry_run || (is_there && is_at_rest));
    if allows && list.is_some() && (is_at_once || (record.is_some() && is_stalled(facts, call))) {
        return Ok(());
    }
    breach(Promise::LookFirst, format!("a Detach at {} without a look just before", facts.after(call.at)))
}

fn in_time(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let mut deadlines = batch.iter().filter_map(|given| {
        let sent = facts.messages.get(given.message.as_str())?;
        let wanted = facts.request(sent.request)?.wanted.as_ref()?;
        let is_it =
            wanted.endpoint == call.asked.endpoint && Some(&wanted.group) == call.asked.group.as_ref();
        is_it.then_some(sent.at + wanted.deadline)
    });
    if deadlines.any(|deadline| call.at < deadline) || is_stalled(facts, call) {
        return Ok(());
    }
    breach(Promise::LookFirst, format!("a Detach at {} after its deadline", facts.after(call.at)))
}

/// Between a call that failed and the next one of its delivery lies the back-off, and what the service asked for.
fn after_a_fault(facts: &Facts<'_>, failed: &Call<'_>, next: &Call<'_>) -> Result<(), Breach> {
    let Some((returned, _)) = failed.returned else { return Ok(()) };
    let is_failed = failed.answer().is_none_or(|served| served.status != Some(200));
    // Whoever is told of a missing endpoint reads its record at once.
    let is_followed_up = next.asked.action == RECORD && failed.asked.action == LIST;
    if !is_failed || is_followed_up || is_at_its_end(facts, failed, next) {
        return Ok(());
    }
    let hint = failed.answer().and_then(|served| served.hint).unwrap_or_default();
    let pause = BACK_OFF_MIN.max(hint);
    let passed = next.at.duration_since(returned).unwrap_or_default();
    if passed >= pause {
        return Ok(());
    }
    let how =
        format!("a call at {}, {passed:?} after a fault, where {pause:?} are due", facts.after(next.at));
    breach(Promise::Pauses, how)
}

/// Whether one message was answered between two calls, or the later one is a last look at a deadline.
fn is_at_its_end(facts: &Facts<'_>, failed: &Call<'_>, next: &Call<'_>) -> bool {
    let by = failed.invocation;
    let batch = facts.runs.get(&by).map_or(&[][..], |run| run.batch);
    let mut requests = batch.iter().filter_map(|given| facts.messages.get(given.message.as_str()));
    let is_overdue = requests.any(|sent| {
        let wanted = facts.request(sent.request).and_then(|request| request.wanted.as_ref());
        wanted.is_some_and(|wanted| next.at + AT_ONCE >= sent.at + wanted.deadline)
    });
    is_overdue || is_answered_between(facts, failed, next)
}

/// I11, over all deliveries.
fn tokens(facts: &Facts<'_>) -> Result<(), Breach> {
    let mut latest: BTreeMap<(u32, &str, &str), &Call<'_>> = BTreeMap::new();
    let mut users: BTreeMap<&str, u32> = BTreeMap::new();
    for call in facts.calls.iter().filter(|call| call.asked.action == DETACH) {
        let token = call.asked.client_token.as_deref().unwrap_or_default();
        let at = facts.after(call.at);
        if token.is_empty() {
            return breach(Promise::Tokens, format!("a Detach at {at} without a token"));
        }
        let group = call.asked.group.as_deref().unwrap_or_default();
        let before = latest.insert((call.invocation, &call.asked.endpoint, group), call);
        if is_the_callers(token) {
            callers_own(facts, call, before)?;
            continue;
        }
        if before.is_none() && is_the_callers_turn(facts, call) {
            return breach(Promise::Tokens, format!("a Detach at {at} without the caller's token"));
        }
        if *users.entry(token).or_insert(call.invocation) != call.invocation {
            return breach(Promise::Tokens, format!("a Detach at {at} with the token of another delivery"));
        }
        let Some(before) = before else { continue };
        let is_same = before.asked.client_token == call.asked.client_token;
        let is_wrong = match is_decided(before) {
            Some(is_decided) => is_decided == is_same && !is_answered_between(facts, before, call),
            None => false,
        };
        if is_wrong {
            let how = if is_same {
                "keeps the token of a call that was decided"
            } else {
                "loses the token of a call that may be carried out"
            };
            return breach(Promise::Tokens, format!("a Detach at {at} {how}"));
        }
    }
    Ok(())
}

/// Whether the invocation answered a message between two of its calls.
fn is_answered_between(facts: &Facts<'_>, one: &Call<'_>, other: &Call<'_>) -> bool {
    let between = one.at..=other.at;
    let by = one.invocation;
    facts.publications.iter().any(|event| event.invocation == by && between.contains(&event.asked_at))
        || facts.copies.iter().any(|copy| copy.by == Some(by) && between.contains(&copy.asked_at))
}

/// Ours begin with 32 hexadecimal digits.
fn is_the_callers(token: &str) -> bool {
    token.split('-').next().is_none_or(|prefix| prefix.len() != 32)
}

/// The caller's token is for the first Detach of the first delivery, or for a repetition of that very call.
fn callers_own(facts: &Facts<'_>, call: &Call<'_>, before: Option<&Call<'_>>) -> Result<(), Breach> {
    let is_repeated = before.is_some_and(|before| {
        before.asked.client_token == call.asked.client_token && is_decided(before) != Some(true)
    });
    // Another message about the same pair may have gone before it in the same invocation.
    let is_first = before.is_none_or(|before| is_answered_between(facts, before, call));
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let is_first_delivery = batch.iter().any(|given| given.receive_count == 1);
    if is_repeated || (is_first && is_first_delivery) {
        return Ok(());
    }
    let how = format!("a Detach at {} with the caller's token when it is not its turn", facts.after(call.at));
    breach(Promise::Tokens, how)
}

/// Whether the one request that this first Detach can be for brings a token, and is delivered for the first time.
fn is_the_callers_turn(facts: &Facts<'_>, call: &Call<'_>) -> bool {
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let candidates: Vec<_> = batch
        .iter()
        .filter_map(|given| Some((given, facts.messages.get(given.message.as_str())?)))
        .filter(|(_, sent)| {
            let wanted = facts.request(sent.request).and_then(|request| request.wanted.as_ref());
            wanted.is_some_and(|wanted| {
                wanted.endpoint == call.asked.endpoint && Some(&wanted.group) == call.asked.group.as_ref()
            })
        })
        .collect();
    let [(given, sent)] = candidates.as_slice() else { return false };
    given.receive_count == 1 && sent.body.contains("\"client_token\"")
}

/// Whether the service decided the call; none where it may be seen either way.
fn is_decided(call: &Call<'_>) -> Option<bool> {
    let Some(served) = call.answer() else { return Some(false) };
    let status = served.status.unwrap_or_default();
    match served.code.as_deref() {
        // A redirect is no answer of the service, whatever code it quotes.
        _ if status >= 500 || (300..400).contains(&status) => Some(false),
        None if status == 200 => {
            let fields: Option<serde_json::Value> = serde_json::from_slice(&served.body).ok();
            Some(fields.is_some_and(|fields| fields["RequestId"].is_string()))
        }
        None | Some("IdempotenceProcessing") => Some(false),
        Some(
            "SystemBusy"
            | "SignatureNonceUsed"
            | "ServiceUnavailable"
            | "InternalError"
            | "InternalServerError",
        ) => None,
        Some(_) => Some(true),
    }
}

/// A process that was throttled lets the whole region alone for as long as it was told.
fn throttled(facts: &Facts<'_>) -> Result<(), Breach> {
    let mut closed: Vec<(SystemTime, SystemTime, u32)> = Vec::new();
    for call in &facts.calls {
        let Some((returned, served)) = call.returned.and_then(|(at, _)| Some((at, call.answer()?))) else {
            continue;
        };
        if let (true, Some(hint), Some(run)) =
            (call.is_throttled(), served.hint, facts.runs.get(&call.invocation))
        {
            closed.push((returned, returned + hint, run.process));
        }
    }
    for call in &facts.calls {
        let process = facts.runs.get(&call.invocation).map(|run| run.process);
        let is_closed = |(from, until, by): &(SystemTime, SystemTime, u32)| {
            process == Some(*by) && call.at > *from && call.at < *until
        };
        if closed.iter().any(is_closed) {
            let how = format!("a call at {} into a region that asked to be left alone", facts.after(call.at));
            return breach(Promise::Pauses, how);
        }
    }
    Ok(())
}

/// I13. What SQS itself gave up has left its lane.
fn order(facts: &Facts<'_>) -> Result<(), Breach> {
    let plan = &facts.history.plan;
    if plan.kind != QueueKind::Fifo || plan.troubles.receives_max.is_some() {
        return Ok(());
    }
    for (event, place) in facts.publications.iter().filter_map(|event| Some((event, event.request?))) {
        let given: Vec<_> = facts.given(event.invocation, place).collect();
        // After a redrive one batch may bring a request twice, and either may be meant.
        let [(given, sent)] = given.as_slice() else { continue };
        if let Some(lane) = &given.lane {
            let mut before = facts.messages.iter().filter(|(id, other)| {
                let is_lane = facts
                    .request(other.request)
                    .is_some_and(|request| lane.ends_with(&format!("/{}", request.lane)));
                is_lane
                    && (other.at, **id) < (sent.at, given.message.as_str())
                    && other.request != sent.request
            });
            let is_open = |id: &str, request: usize| {
                let is_told = facts
                    .publications
                    .iter()
                    .any(|other| other.request == Some(request) && other.asked_at <= event.asked_at);
                let is_copied =
                    facts.copies.iter().any(|copy| copy.message == id && copy.asked_at <= event.asked_at);
                !is_told && !is_copied
            };
            if let Some((other, _)) = before.find(|(id, other)| is_open(id, other.request)) {
                let how = format!(
                    "{} ends at {}, before {other}, which was sent before it",
                    given.message,
                    facts.after(event.asked_at)
                );
                return breach(Promise::Order, how);
            }
        }
    }
    Ok(())
}
