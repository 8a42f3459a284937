//! I8 and I12: how soon a message that returned to the queue may be delivered again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::facts::{Call, Facts, Return};
use super::steps::{AT_ONCE, Throttle, is_suspended, throttles};
use super::{Breach, Guarantee, breach};
use crate::history::ParsedRequest;
use crate::record::{BatchMessage, Operation};
use crate::world::QueueKind;

/// The shortest time between two deliveries of a message, in seconds, by its receives until the first of them.
const REDELIVERY_MIN_SECONDS: [u64; 5] = [5, 10, 20, 40, 60];

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    deliveries(facts)?;
    let throttles = throttles(facts);
    for one in &facts.returns {
        requested_pause(facts, one)?;
        throttled_region(facts, one, &throttles)?;
    }
    Ok(())
}

/// I8: the time between two deliveries of a message grows, which bounds their number.
fn deliveries(facts: &Facts<'_>) -> Result<(), Breach> {
    // A standard queue may deliver a message again at any time.
    if facts.history.plan.faults.duplicated > 0.0 {
        return Ok(());
    }
    let mut latest: BTreeMap<&str, (SystemTime, u32)> = BTreeMap::new();
    for run in facts.runs.values() {
        for BatchMessage { message, receive_count, .. } in run.batch {
            let Some((before, receives)) = latest.insert(message, (run.began, *receive_count)) else {
                continue;
            };
            let passed = run.began.duration_since(before).unwrap_or_default();
            let least = redelivery_min(facts.history.plan.kind, receives);
            if passed < least {
                let how = format!(
                    "{message} was delivered {passed:?} after its delivery number {receives}, not {least:?}"
                );
                return breach(Guarantee::BoundedCalls, how);
            }
        }
    }
    Ok(())
}

/// In a FIFO queue no message is received more often than the head of its lane, with which it returns.
fn redelivery_min(kind: QueueKind, receives: u32) -> Duration {
    let doublings = match kind {
        QueueKind::Fifo => usize::try_from(receives.saturating_sub(1)).unwrap_or(usize::MAX),
        QueueKind::Standard => 0,
    };
    Duration::from_secs(REDELIVERY_MIN_SECONDS[doublings.min(REDELIVERY_MIN_SECONDS.len() - 1)])
}

/// I12: an error with a hint, because of which a message returned to the queue at once, is not followed by a delivery
/// before the time that it requested.
fn requested_pause(facts: &Facts<'_>, one: &Return<'_>) -> Result<(), Breach> {
    let Some(endpoint) = one.messages.iter().find_map(|message| endpoint_of(facts, message)) else {
        return Ok(());
    };
    let is_its = |call: &&Call<'_>| {
        call.invocation == one.invocation
            && call.requested.endpoint == endpoint
            && call.returned.is_some_and(|(at, _)| at <= one.requested_at)
    };
    let Some(call) = facts.calls.iter().rev().find(is_its) else { return Ok(()) };
    let (Some(served), Some((returned, _))) = (call.response(), call.returned) else { return Ok(()) };
    let is_at_once = one.requested_at.duration_since(returned).is_ok_and(|passed| passed <= AT_ONCE);
    let hint = served.hint.filter(|_| served.status != Some(200)).unwrap_or_default();
    if !is_at_once || is_suspended(facts, call) || is_settled_between(facts, one, returned) {
        return Ok(());
    }
    visible_after(facts, one, returned + hint)
}

/// I12: a process that the region throttled returns no message for less than the rest of that time.
fn throttled_region(facts: &Facts<'_>, one: &Return<'_>, throttles: &[Throttle<'_>]) -> Result<(), Breach> {
    let Some(run) = facts.runs.get(&one.invocation) else { return Ok(()) };
    // A message without a readable request names no region, and the lane behind it returns with it. It may be missing in
    // the list: its entry may have been rejected.
    let first =
        run.batch.iter().position(|received| one.messages.first() == Some(&received.message.as_str()));
    let until_first = run.batch.iter().take(first.map_or(0, |first| first + 1));
    let lane = first.and_then(|first| run.batch[first].lane.as_ref());
    let mut its = until_first.filter(|received| received.lane.as_ref() == lane);
    if its.any(|received| endpoint_of(facts, &received.message).is_none()) {
        return Ok(());
    }
    let region = first.and_then(|first| region_of(facts, &run.batch[first].message));
    let its = throttles.iter().filter(|throttle| {
        throttle.process == run.process
            && throttle.from < one.requested_at
            && region.is_none_or(|region| throttle.region == region)
    });
    let until = its.map(|throttle| throttle.until).max();
    until.map_or(Ok(()), |until| visible_after(facts, one, until))
}

fn visible_after(facts: &Facts<'_>, one: &Return<'_>, until: SystemTime) -> Result<(), Breach> {
    if one.requested_at + one.visibility >= until {
        return Ok(());
    }
    let how = format!(
        "{:?} returned to the queue at {} for {:?}, although the service requested a pause until {}",
        one.messages,
        facts.after(one.requested_at),
        one.visibility,
        facts.after(until)
    );
    breach(Guarantee::Pauses, how)
}

/// Whether the invocation published or copied, or tried to, after that time and before the return.
fn is_settled_between(facts: &Facts<'_>, one: &Return<'_>, since: SystemTime) -> bool {
    let between = since..=one.requested_at;
    let is_settlement = |operation| matches!(operation, Operation::Publish | Operation::SendDeadLetter);
    facts.has_settled(one.invocation, between.clone())
        || facts.failures.iter().any(|(at, by, operation)| {
            *by == one.invocation && is_settlement(*operation) && between.contains(at)
        })
}

/// The endpoint that a message's request names, if it is a readable request.
fn endpoint_of<'a>(facts: &Facts<'a>, message: &str) -> Option<&'a str> {
    parsed(facts, message).map(|parsed| parsed.endpoint.as_str())
}

fn region_of<'a>(facts: &Facts<'a>, message: &str) -> Option<&'a str> {
    parsed(facts, message).map(|parsed| parsed.region.as_str())
}

fn parsed<'a>(facts: &Facts<'a>, message: &str) -> Option<&'a ParsedRequest> {
    facts.request(facts.messages.get(message)?.request)?.parsed.as_ref()
}
