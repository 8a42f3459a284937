//! I6, I8 and L1: what must not take longer, or cost more, than this.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;

use super::facts::{Call, Facts, Publication};
use super::{Breach, Promise, breach};
use crate::record::InvocationNumber;
use crate::sandbox::Ending;
use crate::trouble::{Breaks, Mistake, Troubles};
use crate::world::{QueueKind, VISIBILITY_TIMEOUT};

/// Most Detach calls of one message in one delivery. Back-off grows to 20 s with full jitter, so a minute holds about ten.
pub const DETACHES_MAX: usize = 30;

/// Most looks of one message in one delivery, each of them one list of groups. A minute holds some 25 polls.
pub const LOOKS_MAX: usize = 60;

/// Most calls of a look beside its first: a page for each of an endpoint's ten groups, and its record; both may repeat once.
const CALLS_PER_LOOK_MAX: usize = 12;

/// A poll, with the call that it is.
const POLL: Duration = Duration::from_millis(3_450 + 10_000);

/// The longest visibility timeout that a hand-back asks for: what the service may ask for, and the jitter.
const HAND_BACK: Duration = Duration::from_secs(145);

/// The longest invocation.
const INVOCATION: Duration = Duration::from_secs(90);

/// The longest that an invocation works: the last call begins within a minute, and what follows are calls to AWS.
const WORK: Duration = Duration::from_secs(60 + 10 + 12);

/// The shortest timeout of the function with which anything can be done: a little longer than the reserve.
const TIMEOUT_MIN: Duration = Duration::from_secs(11);

/// What a request needs once everything is well: a wait for a task or two, and for what an earlier fault made it wait for.
const REQUEST: Duration = Duration::from_mins(1);

/// The latest that a change in AWS takes effect.
const LATE: Duration = Duration::from_secs(30);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    in_time(facts)?;
    ends(facts)
}

/// I8, for each invocation, and for each delivery of a message.
pub(super) fn calls(facts: &Facts<'_>) -> Result<(), Breach> {
    invocations(facts)?;
    for ((invocation, endpoint), (detaches, looks, messages)) in calls_of_deliveries(facts) {
        let others = calls_besides(facts, invocation, endpoint);
        if detaches > DETACHES_MAX * messages
            || looks > LOOKS_MAX * messages
            || others > looks * CALLS_PER_LOOK_MAX
        {
            let how = format!(
                "invocation {invocation} made {detaches} Detach calls, {looks} looks and {others} other calls for \
                 {messages} message(s) about {endpoint}"
            );
            return breach(Promise::Bounded, how);
        }
    }
    Ok(())
}

/// With AWS healthy, no invocation waits for longer than it may, and none is still at work when its time is up.
fn invocations(facts: &Facts<'_>) -> Result<(), Breach> {
    let troubles = &facts.history.plan.troubles;
    let is_timeout = |mistake: &Mistake| matches!(mistake.breaks, Breaks::Timeout(_));
    let timeouts = troubles.mistakes.iter().copied().filter(is_timeout).collect();
    if *troubles != (Troubles { mistakes: timeouts, ..Troubles::default() }) {
        return Ok(());
    }
    for (invocation, run) in &facts.runs {
        let time = run.ends.duration_since(run.began).unwrap_or_default();
        let Some((at, ending)) = run.ended else { continue };
        let took = at.duration_since(run.began).unwrap_or_default();
        let is_overrun = *ending == Ending::Killed && time >= TIMEOUT_MIN;
        let mut sent = run.batch.iter().filter_map(|given| facts.messages.get(given.message.as_str()));
        let is_overdue = sent.any(|sent| {
            let wanted = facts.request(sent.request).and_then(|request| request.wanted.as_ref());
            wanted.is_some_and(|wanted| sent.at + wanted.deadline <= at)
        });
        // A last look may use the reserve.
        if is_overrun || (took > WORK && !is_overdue) {
            let end = if is_overrun { "was killed" } else { "ended" };
            let how = format!("invocation {invocation} {end} after {took:?} of its {time:?}");
            return breach(Promise::Bounded, how);
        }
    }
    Ok(())
}

/// Later pages and records.
fn calls_besides(facts: &Facts<'_>, invocation: InvocationNumber, endpoint: &str) -> usize {
    let its =
        facts.calls.iter().filter(|call| call.invocation == invocation && call.asked.endpoint == endpoint);
    let besides = its.filter(|call| match call.asked.action {
        Some(Action::ListVpcEndpointSecurityGroups) => call.asked.next_token.is_some(),
        action => action == Some(Action::ListVpcEndpoints),
    });
    besides.count()
}

/// Detach calls, looks and messages of each invocation and endpoint.
fn calls_of_deliveries<'a>(
    facts: &Facts<'a>,
) -> BTreeMap<(InvocationNumber, &'a str), (usize, usize, usize)> {
    let mut deliveries: BTreeMap<(InvocationNumber, &str), (usize, usize, usize)> = BTreeMap::new();
    for call in &facts.calls {
        let (detaches, looks, _) =
            deliveries.entry((call.invocation, call.asked.endpoint.as_str())).or_default();
        match call.asked.action {
            Some(Action::DetachSecurityGroupFromVpcEndpoint) => *detaches += 1,
            Some(Action::ListVpcEndpointSecurityGroups) if call.asked.next_token.is_none() => *looks += 1,
            _ => {}
        }
    }
    for ((invocation, endpoint), (_, _, messages)) in &mut deliveries {
        let batch = facts.runs.get(invocation).map_or(&[][..], |run| run.batch);
        let is_about = |request: usize| {
            facts
                .request(request)
                .and_then(|request| request.wanted.as_ref())
                .is_some_and(|wanted| wanted.endpoint == *endpoint)
        };
        *messages = batch
            .iter()
            .filter(|given| {
                facts.messages.get(given.message.as_str()).is_some_and(|sent| is_about(sent.request))
            })
            .count();
    }
    deliveries
}

impl Facts<'_> {
    /// The most Detach calls and the most looks of one invocation about one endpoint.
    #[must_use]
    pub fn most_calls(&self) -> (usize, usize) {
        let deliveries = calls_of_deliveries(self);
        let detaches = deliveries.values().map(|(detaches, _, _)| *detaches).max();
        let looks = deliveries.values().map(|(_, looks, _)| *looks).max();
        (detaches.unwrap_or_default(), looks.unwrap_or_default())
    }
}

fn in_time(facts: &Facts<'_>) -> Result<(), Breach> {
    let plan = &facts.history.plan;
    let is_healthy = plan.troubles == Troubles::default();
    let lanes: std::collections::BTreeSet<&str> =
        plan.requests.iter().map(|request| request.lane.as_str()).collect();
    // A lane without a sandbox waits for one.
    if !is_healthy || plan.kind != QueueKind::Fifo || plan.sandboxes < lanes.len() {
        return Ok(());
    }
    let is_throttled = facts.calls.iter().any(Call::is_throttled);
    for (message, sent) in &facts.messages {
        let Some(request) = facts.request(sent.request) else { continue };
        let deadline = request.wanted.as_ref().map_or(Duration::ZERO, |wanted| wanted.deadline);
        let due = (sent.at + deadline).max(became_head(facts, message, sent.at, &request.lane));
        // A region that throttles is left alone for as long as it says, by a last look, too, and may say it again.
        let latest = due + POLL + if is_throttled { VISIBILITY_TIMEOUT } else { HAND_BACK };
        let is_answer = |event: &&Publication<'_>| event.request == Some(sent.request) && event.at >= sent.at;
        let answered = facts.publications.iter().find(is_answer).map(|event| event.at);
        if answered.is_none_or(|at| at > latest) {
            let when = answered.map_or("never".to_owned(), |at| format!("at {}", facts.after(at)));
            let how =
                format!("message {message} was to be answered by {}, and was {when}", facts.after(latest));
            return breach(Promise::InTime, how);
        }
    }
    Ok(())
}

/// When all that was sent before it into its lane had left.
fn became_head(facts: &Facts<'_>, message: &str, sent_at: SystemTime, lane: &str) -> SystemTime {
    let before = facts.messages.iter().filter(|(other, sent)| {
        let is_lane = facts.request(sent.request).is_some_and(|request| request.lane == lane);
        is_lane && (sent.at, **other) < (sent_at, message)
    });
    let left = before.map(|(other, _)| {
        let departure = facts.departures.iter().find(|(_, departed)| departed == other);
        departure.map_or(facts.history.ended, |(at, _)| *at)
    });
    left.max().unwrap_or(sent_at)
}

fn ends(facts: &Facts<'_>) -> Result<(), Breach> {
    let plan = &facts.history.plan;
    let calm_at = facts.history.began + plan.calm_at;
    let left: BTreeMap<&str, SystemTime> =
        facts.departures.iter().map(|(at, message)| (*message, *at)).collect();
    // Whatever was begun before may still be killed, or may be in flight for as long as the queue says.
    let troubled =
        if plan.troubles == Troubles::default() { Duration::ZERO } else { VISIBILITY_TIMEOUT + LATE };
    let waiting = facts.messages.keys().filter(|message| left.get(*message).is_none_or(|at| *at > calm_at));
    let requests = REQUEST * u32::try_from(waiting.count()).unwrap_or(u32::MAX);
    let latest = calm_at + INVOCATION + HAND_BACK + troubled + requests;
    for message in facts.messages.keys() {
        let at = left.get(message).copied();
        // One that nobody deleted and that is not there was moved to the dead-letter queue.
        let is_waiting = facts.history.waiting.iter().any(|waiting| waiting.id == **message);
        if is_waiting || at.is_some_and(|at| at > latest) {
            let when = at.map_or("never".to_owned(), |at| format!("at {}", facts.after(at)));
            let how = format!("message {message} was to end by {}, and did {when}", facts.after(latest));
            return breach(Promise::Ends, how);
        }
    }
    Ok(())
}
