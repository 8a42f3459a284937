//! I10 to I13: the order of a worker's calls, and their pauses. The client tokens are in `tokens`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;

use super::confirmed::Reads;
use super::facts::{Call, Facts, Run};
use super::{ATTACH, Breach, Guarantee, breach, tokens};
use crate::world::QueueKind;

const LIST: Option<Action> = Some(Action::ListVpcEndpointSecurityGroups);
const RECORD: Option<Action> = Some(Action::ListVpcEndpoints);

/// The maximum time between a step and the next one if the next one follows directly.
pub(super) const AT_ONCE: Duration = Duration::from_millis(20);

const BACK_OFF_MIN: Duration = Duration::from_millis(500);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let mut deliveries: BTreeMap<(u32, &str), Vec<&Call<'_>>> = BTreeMap::new();
    for call in &facts.calls {
        deliveries.entry((call.invocation, call.requested.endpoint.as_str())).or_default().push(call);
    }
    for calls in deliveries.values() {
        for pair in calls.windows(2) {
            pause_after_error(facts, pair[0], pair[1])?;
        }
        for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.is_write()) {
            read_first(facts, call, &calls[..index])?;
            before_deadline(facts, call)?;
        }
    }
    tokens::check(facts)?;
    throttled(facts)?;
    order(facts)
}

/// Whether an invocation was suspended, which delays everything in it.
pub(super) fn is_suspended(facts: &Facts<'_>, call: &Call<'_>) -> bool {
    facts.runs.get(&call.invocation).is_some_and(Run::is_suspended)
}

/// The list, the record, and directly the write: no other call in between, and no unreadable response.
fn read_first(facts: &Facts<'_>, call: &Call<'_>, before: &[&Call<'_>]) -> Result<(), Breach> {
    let is_read = |call: &Call<'_>, action| {
        call.requested.action == action && call.response().is_some_and(|served| served.status == Some(200))
    };
    let mut earlier = before.iter().rev();
    let record = earlier.next().filter(|record| is_read(record, RECORD));
    let list = earlier.find(|other| other.requested.action != RECORD).filter(|list| is_read(list, LIST));
    let left = record.and_then(|record| record.returned).map(|(at, _)| call.at.duration_since(at));
    let is_at_once = left.is_some_and(|left| left.is_ok_and(|left| left <= AT_ONCE));
    let reads = Reads::of(
        facts.calls_of_delivery(call.invocation, &call.requested.endpoint, None, call.at),
        call.requested.group.as_deref().unwrap_or_default(),
        call.at,
    );
    // R2 checks what must be listed before an attach.
    let is_listed = call.requested.action == ATTACH
        || reads
            .listed
            .as_ref()
            .is_some_and(|listed| call.requested.group.as_ref().is_some_and(|group| listed.contains(group)));
    let is_stable = reads.status.as_deref() == Some("Active");
    // A dry run needs only a complete read.
    let allows =
        reads.is_complete && reads.is_settled && (call.requested.dry_run || (is_listed && is_stable));
    if allows && list.is_some() && (is_at_once || (record.is_some() && is_suspended(facts, call))) {
        return Ok(());
    }
    breach(
        Guarantee::ReadFirst,
        format!("a write at {} without a complete read directly before", facts.after(call.at)),
    )
}

/// A write leaves before its deadline, also if its connection opens slowly.
fn before_deadline(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let mut deadlines = batch.iter().filter_map(|received| {
        let sent = facts.messages.get(received.message.as_str())?;
        let parsed = facts.request(sent.request)?.parsed.as_ref()?;
        let is_it = parsed.endpoint == call.requested.endpoint
            && (call.requested.action == ATTACH || Some(&parsed.group) == call.requested.group.as_ref());
        is_it.then_some(sent.at + parsed.deadline)
    });
    if deadlines.any(|deadline| call.left_at < deadline + facts.clock_tolerance())
        || is_suspended(facts, call)
    {
        return Ok(());
    }
    breach(Guarantee::ReadFirst, format!("a write at {} after its deadline", facts.after(call.left_at)))
}

/// Between a failed call and the next one of its delivery, the back-off passes, or the time that the service requested.
fn pause_after_error(facts: &Facts<'_>, failed: &Call<'_>, next: &Call<'_>) -> Result<(), Breach> {
    let Some((returned, _)) = failed.returned else { return Ok(()) };
    let is_failed = failed.response().is_none_or(|served| served.status != Some(200));
    // After a list fails because the endpoint does not exist, the worker reads its record at once.
    let is_followed_up = next.requested.action == RECORD && failed.requested.action == LIST;
    // A last read that is refused for the clock is repeated at once with the correct time.
    let is_of_the_clock = facts.history.plan.deployment.clock_ahead_seconds != 0
        && failed.response().is_some_and(|served| served.code.as_deref() == Some("InvalidTimeStamp.Expired"));
    if !is_failed || is_followed_up || is_of_the_clock || is_pause_waived(facts, failed, next) {
        return Ok(());
    }
    let hint = failed.response().and_then(|served| served.hint).unwrap_or_default();
    let pause = BACK_OFF_MIN.max(hint);
    let passed = next.at.duration_since(returned).unwrap_or_default();
    if passed >= pause {
        return Ok(());
    }
    let how = format!("a call at {}, {passed:?} after an error instead of {pause:?}", facts.after(next.at));
    breach(Guarantee::Pauses, how)
}

/// Whether one message ended between two calls, or the later one is a last read at a deadline.
fn is_pause_waived(facts: &Facts<'_>, failed: &Call<'_>, next: &Call<'_>) -> bool {
    let by = failed.invocation;
    let batch = facts.runs.get(&by).map_or(&[][..], |run| run.batch);
    let mut requests = batch.iter().filter_map(|received| facts.messages.get(received.message.as_str()));
    let is_overdue = requests.any(|sent| {
        let parsed = facts.request(sent.request).and_then(|request| request.parsed.as_ref());
        parsed.is_some_and(|parsed| next.at + AT_ONCE + facts.clock_ahead() >= sent.at + parsed.deadline)
    });
    is_overdue || is_request_ended_between(facts, failed, next)
}

/// Whether the invocation published an event or made a copy between two of its calls.
pub(super) fn is_request_ended_between(facts: &Facts<'_>, one: &Call<'_>, other: &Call<'_>) -> bool {
    facts.has_settled(one.invocation, one.at..=other.at)
}

/// A time in which a process may not call a region, which throttled it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throttle<'a> {
    pub(super) process: u32,
    pub(super) region: &'a str,
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl<'a> Throttle<'a> {
    /// The throttle that begins with the response to a call, if one does.
    pub(super) fn of(call: &Call<'a>, process: u32) -> Option<Self> {
        let (from, _) = call.returned.filter(|_| call.is_throttled())?;
        Some(Self { process, region: &call.requested.region, from, until: from + call.response()?.hint? })
    }

    pub(super) fn forbids(&self, call: &Call<'_>, process: u32) -> bool {
        let is_its = self.process == process && self.region == call.requested.region;
        is_its && call.at > self.from && call.at < self.until
    }
}

/// The throttles of the workers' processes.
pub(super) fn throttles<'a>(facts: &Facts<'a>) -> Vec<Throttle<'a>> {
    let of = |call: &Call<'a>| Throttle::of(call, facts.runs.get(&call.invocation)?.process);
    facts.calls.iter().filter_map(of).collect()
}

/// A process that was throttled makes no call in the whole region for as long as the response requested.
fn throttled(facts: &Facts<'_>) -> Result<(), Breach> {
    let closed = throttles(facts);
    for call in &facts.calls {
        let Some(run) = facts.runs.get(&call.invocation) else { continue };
        if closed.iter().any(|throttle| throttle.forbids(call, run.process)) {
            let how = format!("a call at {} in a region that is throttled", facts.after(call.at));
            return breach(Guarantee::Pauses, how);
        }
    }
    Ok(())
}

/// I13. A message that SQS itself moved to the dead-letter queue has left its lane.
fn order(facts: &Facts<'_>) -> Result<(), Breach> {
    let plan = &facts.history.plan;
    if plan.kind != QueueKind::Fifo || plan.faults.receives_max.is_some() {
        return Ok(());
    }
    for (event, place) in facts.publications.iter().filter_map(|event| Some((event, event.request?))) {
        let received: Vec<_> = facts.batch_messages(event.invocation, place).collect();
        // After a redrive one batch may contain a request twice, and the event may be for either message.
        let [(received, sent)] = received.as_slice() else { continue };
        if let Some(lane) = &received.lane {
            let mut before = facts.messages.iter().filter(|(id, other)| {
                let is_lane = facts
                    .request(other.request)
                    .is_some_and(|request| lane.ends_with(&format!("/{}", request.lane)));
                is_lane
                    && (other.at, **id) < (sent.at, received.message.as_str())
                    && other.request != sent.request
            });
            let is_open = |id: &str, request: usize| {
                let has_event = facts
                    .publications
                    .iter()
                    .any(|other| other.request == Some(request) && other.requested_at <= event.requested_at);
                let is_copied = facts
                    .copies
                    .iter()
                    .any(|copy| copy.message == id && copy.requested_at <= event.requested_at);
                !has_event && !is_copied
            };
            if let Some((other, _)) = before.find(|(id, other)| is_open(id, other.request)) {
                let how = format!(
                    "{} ends at {}, before {other}, which was sent earlier",
                    received.message,
                    facts.after(event.requested_at)
                );
                return breach(Guarantee::Order, how);
            }
        }
    }
    Ok(())
}
