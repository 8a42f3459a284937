//! I6, I8 and L1: limits of time and of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;
use serde_json::Value;

use super::facts::{Call, Facts, Publication, Run};
use super::{Breach, Guarantee, breach, is_write};
use crate::faults::{Breaks, Faults, Misconfiguration};
use crate::history::{Plan, Request};
use crate::record::InvocationNumber;
use crate::sandbox::Ending;
use crate::world::{QueueKind, VISIBILITY_TIMEOUT};

/// The maximum number of writes of one message in one delivery. The back-off grows to 20 s with full jitter, so a minute
/// holds about ten.
pub const WRITES_MAX: usize = 30;

/// The maximum number of reads of one message in one delivery, each of them one list of groups. A minute holds at most 120
/// polls; a few more reads precede and follow a write.
pub const READS_MAX: usize = 125;

/// The maximum number of calls of a read besides its first: a page for each of an endpoint's ten groups, and its
/// record; both may repeat once.
const CALLS_PER_READ_MAX: usize = 12;

/// One poll interval and its call.
const POLL: Duration = Duration::from_secs(3 + 10);

/// The longest visibility timeout of a return to the queue: the two minutes that the service may request, and the
/// jitter.
const DEFERRAL_MAX: Duration = Duration::from_secs(145);

/// The function's timeout.
const INVOCATION_MAX: Duration = Duration::from_secs(90);

/// The longest time that an invocation works: the last call begins within a minute, and the calls to AWS follow.
const WORK_MAX: Duration = Duration::from_secs(60 + 10 + 12);

/// The longest time that an invocation works after Alibaba Cloud refused the credentials of its first call, or without
/// credentials: a few reads of the secret of up to 4 s, a few calls of up to 2 s, the back-offs between them, and the
/// return to the queue. It does not wait until the credentials are repaired.
const WORK_WITHOUT_CREDENTIALS_MAX: Duration = Duration::from_secs(25);

/// The shortest function timeout with which the worker can make calls: a little longer than the reserve.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_secs(11);

/// The time that a request needs without faults: a task or two, and the wait that an earlier fault caused.
const REQUEST_MAX: Duration = Duration::from_mins(1);

/// The longest delay of a change in AWS.
const AWS_DELAY_MAX: Duration = Duration::from_secs(30);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    on_time(facts)?;
    ends(facts)
}

/// I8, for each invocation, and for each delivery of a message.
pub(super) fn calls(facts: &Facts<'_>) -> Result<(), Breach> {
    invocations(facts)?;
    for ((invocation, endpoint), (writes, reads, messages)) in calls_of_deliveries(facts) {
        let others = calls_besides(facts, invocation, endpoint);
        if writes > WRITES_MAX * messages
            || reads > READS_MAX * messages
            || others > reads * CALLS_PER_READ_MAX
        {
            let how = format!(
                "invocation {invocation} made {writes} writes, {reads} reads and {others} other calls for \
                 {messages} message(s) about {endpoint}"
            );
            return breach(Guarantee::BoundedCalls, how);
        }
    }
    Ok(())
}

/// Without faults in AWS, no invocation waits longer than its limit, and none is still running at its timeout.
fn invocations(facts: &Facts<'_>) -> Result<(), Breach> {
    let faults = &facts.history.plan.faults;
    let is_timeout =
        |misconfiguration: &Misconfiguration| matches!(misconfiguration.breaks, Breaks::Timeout(_));
    let timeouts = faults.misconfigurations.iter().copied().filter(is_timeout).collect();
    if *faults != (Faults { misconfigurations: timeouts, ..Faults::default() }) {
        return Ok(());
    }
    for (invocation, run) in &facts.runs {
        without_credentials(facts, *invocation, run)?;
        let time = run.ends.duration_since(run.began).unwrap_or_default();
        let Some((at, ending)) = run.ended else { continue };
        let took = at.duration_since(run.began).unwrap_or_default();
        // Only a response shows a wrong clock when Lambda ends the invocation.
        let is_end_known = facts.clock_tolerance().is_zero()
            || facts.is_clock_corrected(*invocation, run.ends - TIMEOUT_MIN);
        let is_overrun = *ending == Ending::Killed && time >= TIMEOUT_MIN && is_end_known;
        let mut sent = run.batch.iter().filter_map(|received| facts.messages.get(received.message.as_str()));
        let is_overdue = sent.any(|sent| {
            let parsed = facts.request(sent.request).and_then(|request| request.parsed.as_ref());
            parsed.is_some_and(|parsed| sent.at + parsed.deadline <= at + facts.clock_ahead())
        });
        // The last read at a deadline may use the reserve.
        if is_overrun || (took > WORK_MAX && !is_overdue) {
            let end = if is_overrun { "was killed" } else { "ended" };
            let how = format!("invocation {invocation} {end} after {took:?} of its {time:?}");
            return breach(Guarantee::BoundedCalls, how);
        }
    }
    Ok(())
}

/// An invocation all of whose calls are refused for their credentials, or that has no credentials for any call, returns its
/// messages without waiting for others.
fn without_credentials(facts: &Facts<'_>, invocation: InvocationNumber, run: &Run<'_>) -> Result<(), Breach> {
    let Some((ended_at, _)) = run.ended else { return Ok(()) };
    let mut calls = facts.calls.iter().filter(|call| call.invocation == invocation).peekable();
    let since = match calls.peek() {
        Some(first) => first.returned.map(|(at, _)| at),
        None => facts.is_secret_unreadable(run.began..=ended_at).then_some(run.began),
    };
    let is_refused = |call: &Call<'_>| {
        let response = call.response().filter(|served| !served.is_fault);
        let code = response.and_then(|served| served.code.as_deref());
        code.is_some_and(|code| code.starts_with("InvalidAccessKeyId"))
    };
    let Some(since) = since.filter(|_| calls.all(is_refused)) else { return Ok(()) };
    let took = ended_at.duration_since(since).unwrap_or_default();
    if took > WORK_WITHOUT_CREDENTIALS_MAX {
        let how = format!("invocation {invocation} waited {took:?} for credentials");
        return breach(Guarantee::BoundedCalls, how);
    }
    Ok(())
}

/// The number of calls for later pages and records.
fn calls_besides(facts: &Facts<'_>, invocation: InvocationNumber, endpoint: &str) -> usize {
    let its = facts
        .calls
        .iter()
        .filter(|call| call.invocation == invocation && call.requested.endpoint == endpoint);
    let besides = its.filter(|call| match call.requested.action {
        Some(Action::ListVpcEndpointSecurityGroups) => call.requested.next_token.is_some(),
        action => action == Some(Action::ListVpcEndpoints),
    });
    besides.count()
}

/// The number of writes, reads and messages of each invocation and endpoint.
fn calls_of_deliveries<'a>(
    facts: &Facts<'a>,
) -> BTreeMap<(InvocationNumber, &'a str), (usize, usize, usize)> {
    let mut deliveries: BTreeMap<(InvocationNumber, &str), (usize, usize, usize)> = BTreeMap::new();
    for call in &facts.calls {
        let (writes, reads, _) =
            deliveries.entry((call.invocation, call.requested.endpoint.as_str())).or_default();
        match call.requested.action {
            action if is_write(action) => *writes += 1,
            Some(Action::ListVpcEndpointSecurityGroups) if call.requested.next_token.is_none() => *reads += 1,
            _ => {}
        }
    }
    for ((invocation, endpoint), (_, _, messages)) in &mut deliveries {
        let batch = facts.runs.get(invocation).map_or(&[][..], |run| run.batch);
        let is_about = |request: usize| {
            facts
                .request(request)
                .and_then(|request| request.parsed.as_ref())
                .is_some_and(|parsed| parsed.endpoint == *endpoint)
        };
        *messages = batch
            .iter()
            .filter(|received| {
                facts.messages.get(received.message.as_str()).is_some_and(|sent| is_about(sent.request))
            })
            .count();
    }
    deliveries
}

impl Facts<'_> {
    /// The maximum numbers of writes and of reads in one invocation about one endpoint.
    #[must_use]
    pub fn most_calls(&self) -> (usize, usize) {
        let deliveries = calls_of_deliveries(self);
        let writes = deliveries.values().map(|(writes, _, _)| *writes).max();
        let reads = deliveries.values().map(|(_, reads, _)| *reads).max();
        (writes.unwrap_or_default(), reads.unwrap_or_default())
    }
}

fn on_time(facts: &Facts<'_>) -> Result<(), Breach> {
    let plan = &facts.history.plan;
    let is_healthy = plan.faults == Faults::default();
    let lanes: BTreeSet<&str> = plan.requests.iter().map(|request| request.lane.as_str()).collect();
    // A lane without a sandbox waits for one.
    if !is_healthy || plan.kind != QueueKind::Fifo || plan.sandboxes < lanes.len() {
        return Ok(());
    }
    let is_throttled = facts.calls.iter().any(Call::is_throttled);
    for (message, sent) in &facts.messages {
        let Some(request) = facts.request(sent.request) else { continue };
        if is_merged(plan, &request.lane) {
            continue;
        }
        let deadline = request.parsed.as_ref().map_or(Duration::ZERO, |parsed| parsed.deadline);
        let due = (sent.at + deadline + facts.clock_behind()).max(became_head(
            facts,
            message,
            sent.at,
            &request.lane,
        ));
        // A region that throttles is not called for as long as it requests, not even for a last read, and may request
        // it again.
        let latest = due + POLL + if is_throttled { VISIBILITY_TIMEOUT } else { DEFERRAL_MAX };
        let is_outcome =
            |event: &&Publication<'_>| event.request == Some(sent.request) && event.at >= sent.at;
        let ended_at = facts.publications.iter().find(is_outcome).map(|event| event.at);
        if ended_at.is_none_or(|at| at > latest) {
            let when = ended_at.map_or("never".to_owned(), |at| format!("at {}", facts.after(at)));
            let how =
                format!("message {message} needed an outcome by {}, and had one {when}", facts.after(latest));
            return breach(Guarantee::OnTime, how);
        }
    }
    Ok(())
}

/// Whether the worker may process the lane as one with another message group, because messages of both name the same
/// endpoint. The order in which they were received decides which message is its head then.
fn is_merged(plan: &Plan, lane: &str) -> bool {
    let endpoint = |request: &Request| {
        let body: Value = serde_json::from_str(&request.body).ok()?;
        body["endpoint_id"].as_str().map(str::to_owned)
    };
    let (own, others): (Vec<_>, Vec<_>) = plan.requests.iter().partition(|request| request.lane == lane);
    let endpoints: BTreeSet<_> = own.into_iter().filter_map(endpoint).collect();
    others.into_iter().filter_map(endpoint).any(|other| endpoints.contains(&other))
}

/// When all messages that were sent earlier into the lane had left the queue.
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
    let faults_end_at = facts.history.began + plan.faults_end_at;
    let left: BTreeMap<&str, SystemTime> =
        facts.departures.iter().map(|(at, message)| (*message, *at)).collect();
    // An invocation that began before may still be killed, or its messages may stay in flight for a visibility timeout.
    let fault_delay =
        if plan.faults == Faults::default() { Duration::ZERO } else { VISIBILITY_TIMEOUT + AWS_DELAY_MAX };
    let waiting =
        facts.messages.keys().filter(|message| left.get(*message).is_none_or(|at| *at > faults_end_at));
    let requests = REQUEST_MAX * u32::try_from(waiting.count()).unwrap_or(u32::MAX);
    let needed = INVOCATION_MAX + DEFERRAL_MAX + fault_delay + requests;
    for (message, sent) in &facts.messages {
        // A sweep may send requests after the faults have ended.
        let latest = faults_end_at.max(sent.at) + needed;
        let at = left.get(message).copied();
        // A message that was not deleted and is not in the queue was moved to the dead-letter queue.
        let is_waiting = facts.history.waiting.iter().any(|waiting| waiting.id == **message);
        if is_waiting || at.is_some_and(|at| at > latest) {
            let when = at.map_or("never".to_owned(), |at| format!("at {}", facts.after(at)));
            let how = format!(
                "message {message} had to leave the queue by {}, and did {when}",
                facts.after(latest)
            );
            return breach(Guarantee::Ends, how);
        }
    }
    Ok(())
}
