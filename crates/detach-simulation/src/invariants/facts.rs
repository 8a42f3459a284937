//! A history's record, indexed: which call belongs to which invocation, which event to which request.

mod entries;
mod sweeps;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use crate::history::{History, Request};
use crate::outside::Outside;
use crate::record::{BatchMessage, CallNumber, Change, EntryKind, InvocationNumber, Operation};
use crate::secret::SecretState;

use super::ATTACH;
use entries::DeadLetterCopy;
pub use entries::{Call, Publication, Run};
pub(super) use entries::{Return, Sent};
pub use sweeps::SweepRun;

/// The age of a `Date`, and the longest call.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2 + 10);

/// The longest pause between two reads of the secret, and the longest read.
const SECRET_PAUSE_MAX: Duration = Duration::from_secs(30 + 4);

#[derive(Debug)]
pub struct Facts<'a> {
    pub history: &'a History,
    /// Every message by its id.
    pub messages: BTreeMap<&'a str, Sent<'a>>,
    pub runs: BTreeMap<InvocationNumber, Run<'a>>,
    /// The workers' calls to Alibaba Cloud, in the order of sending.
    pub calls: Vec<Call<'a>>,
    pub publications: Vec<Publication<'a>>,
    pub copies: Vec<DeadLetterCopy<'a>>,
    /// The messages that returned to the queue, or should have.
    pub returns: Vec<Return<'a>>,
    /// When a worker received an error or an empty success from AWS, and which.
    pub failures: Vec<(SystemTime, InvocationNumber, Operation)>,
    /// When each message was deleted from the request queue.
    pub departures: Vec<(SystemTime, &'a str)>,
    /// When a worker asked the request queue to delete a message, and which worker; also without effect.
    pub deletes: Vec<(SystemTime, InvocationNumber)>,
    /// The invocations of the sweeper.
    pub sweeps: BTreeMap<InvocationNumber, SweepRun<'a>>,
    /// The sweepers' calls to Alibaba Cloud, in the order of sending.
    pub sweep_calls: Vec<Call<'a>>,
    /// The events of sweeps.
    pub sweep_events: Vec<Publication<'a>>,
    /// What other clients did.
    pub outside: Vec<(SystemTime, &'a Outside)>,
}

impl<'a> Facts<'a> {
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut facts = Self {
            history,
            messages: BTreeMap::new(),
            runs: BTreeMap::new(),
            calls: Vec::new(),
            publications: Vec::new(),
            copies: Vec::new(),
            returns: Vec::new(),
            failures: Vec::new(),
            departures: Vec::new(),
            deletes: Vec::new(),
            sweeps: BTreeMap::new(),
            sweep_calls: Vec::new(),
            sweep_events: Vec::new(),
            outside: Vec::new(),
        };
        for entry in &history.record {
            facts.add(entry.at, &entry.kind);
        }
        facts.separate_sweeps();
        let names = facts.names();
        for publication in &mut facts.publications {
            let name = publication.detail["request_id"].as_str().unwrap_or_default();
            publication.request = names.get(name).copied();
        }
        facts
    }

    fn add(&mut self, at: SystemTime, kind: &'a EntryKind) {
        let index = |call: CallNumber| usize::try_from(call).map_or(0, |call| call - 1);
        match kind {
            EntryKind::Sent { message, body } => {
                let mut requests = self.history.plan.requests.iter();
                let request = requests.position(|request| request.body == *body).unwrap_or(usize::MAX);
                self.messages.insert(message, Sent { at, request, body });
            }
            EntryKind::Invoked { invocation, process, batch, ends, interruption, .. } => {
                let (process, ends, interruption) = (*process, *ends, *interruption);
                let run = Run { process, began: at, ends, batch, ended: None, interruption };
                self.runs.insert(*invocation, run);
            }
            EntryKind::Ended { invocation, ending } => {
                if let Some(run) = self.runs.get_mut(invocation) {
                    run.ended = Some((at, ending));
                } else if let Some(sweep) = self.sweeps.get_mut(invocation) {
                    sweep.ended = Some((at, ending));
                }
            }
            EntryKind::Called { invocation, requested, .. } => {
                let (invocation, left_at) = (*invocation, at);
                let call = Call { invocation, at, left_at, requested, served: None, returned: None };
                self.calls.push(call);
            }
            EntryKind::Left { call } => self.calls[index(*call)].left_at = at,
            EntryKind::Served { call, served } => self.calls[index(*call)].served = Some((at, served)),
            EntryKind::Returned { call, has_response } => {
                self.calls[index(*call)].returned = Some((at, *has_response));
            }
            EntryKind::Changed {
                by: Some(by),
                requested_at,
                change: Change::Defer { messages, visibility },
                ..
            } => {
                let (invocation, requested_at, visibility) = (*by, *requested_at, *visibility);
                let messages = messages.iter().map(|(message, _)| message.as_str()).collect();
                self.returns.push(Return { invocation, requested_at, messages, visibility });
            }
            EntryKind::Changed { by, requested_at, change: Change::Delete { message, .. }, refusal } => {
                self.deletes.extend(by.map(|by| (*requested_at, by)));
                self.departures.extend(refusal.is_none().then_some((at, message.as_str())));
            }
            EntryKind::Changed { by, requested_at, change, refusal: None } => {
                self.changed((at, *requested_at), *by, change);
            }
            EntryKind::Failed { by: Some(by), operation } => self.failures.push((at, *by, *operation)),
            EntryKind::SweepInvoked { .. } | EntryKind::Actual { .. } | EntryKind::Requesting { .. } => {
                self.add_sweep(at, kind);
            }
            EntryKind::Outside(outside) => self.outside.push((at, outside)),
            EntryKind::Changed { .. }
            | EntryKind::Failed { .. }
            | EntryKind::ReceiveLost { .. }
            | EntryKind::Duplicated { .. } => {}
        }
    }

    fn changed(
        &mut self,
        (at, requested_at): (SystemTime, SystemTime),
        by: Option<InvocationNumber>,
        change: &'a Change,
    ) {
        match change {
            Change::Delete { .. } | Change::Defer { .. } | Change::Request { .. } => {}
            Change::SendDeadLetter { message, copy } => {
                self.copies.push(DeadLetterCopy { at, requested_at, by, message, copy });
            }
            Change::Publish { detail_type, detail } => {
                let (invocation, request) = (by.unwrap_or_default(), None);
                let event = Publication { at, requested_at, invocation, detail_type, detail, request };
                self.publications.push(event);
            }
        }
    }

    /// The id of each request: its own `request_id`, or the id of its first message. Only a message that SQS itself
    /// moved to the dead-letter queue has no id attribute, and gets another id after a redrive.
    fn names(&self) -> BTreeMap<String, usize> {
        let may_be_moved = self.history.plan.faults.receives_max.is_some();
        let mut names = BTreeMap::new();
        for (place, request) in self.history.plan.requests.iter().enumerate() {
            if let Some(name) = &request.request_id {
                names.insert(name.clone(), place);
                continue;
            }
            let mut messages: Vec<_> = self.messages_of(place).collect();
            messages.sort_by_key(|(_, sent)| sent.at);
            messages.truncate(if may_be_moved { messages.len() } else { 1 });
            names.extend(messages.into_iter().map(|(message, _)| (message.to_owned(), place)));
        }
        names
    }

    /// The messages that contain a request: more than one after a redrive.
    pub fn messages_of(&self, request: usize) -> impl Iterator<Item = (&'a str, Sent<'a>)> {
        let messages = self.messages.iter();
        messages.filter(move |(_, sent)| sent.request == request).map(|(id, sent)| (*id, *sent))
    }

    /// The request with this index in the plan.
    #[must_use]
    pub fn request(&self, place: usize) -> Option<&'a Request> {
        self.history.plan.requests.get(place)
    }

    /// The messages of an invocation that contain this request: more than one only after a redrive.
    pub fn batch_messages(
        &self,
        invocation: InvocationNumber,
        request: usize,
    ) -> impl Iterator<Item = (&'a BatchMessage, Sent<'a>)> {
        let batch = self.runs.get(&invocation).map_or(&[][..], |run| run.batch);
        batch.iter().filter_map(move |received| {
            let sent = self.messages.get(received.message.as_str())?;
            (sent.request == request).then_some((received, *sent))
        })
    }

    /// The calls of one delivery until then, in order: those of its invocation about the endpoint since the previous
    /// message of the lane ended. Without a request: those of the message that was being processed.
    pub fn calls_of_delivery(
        &self,
        invocation: InvocationNumber,
        endpoint: &str,
        request: Option<usize>,
        until: SystemTime,
    ) -> impl Iterator<Item = &Call<'a>> {
        let since = self.previous_request_ended_at(invocation, endpoint, request, until);
        self.calls.iter().filter(move |call| {
            let is_within = since.is_none_or(|since| call.at >= since) && call.at <= until;
            call.invocation == invocation && call.requested.endpoint == endpoint && is_within
        })
    }

    /// When an invocation last published or copied the result of another message about the endpoint, before `until`.
    fn previous_request_ended_at(
        &self,
        invocation: InvocationNumber,
        endpoint: &str,
        request: Option<usize>,
        until: SystemTime,
    ) -> Option<SystemTime> {
        let is_other = |place: usize| {
            let parsed = self.request(place).and_then(|request| request.parsed.as_ref());
            Some(place) != request && parsed.is_some_and(|parsed| parsed.endpoint == endpoint)
        };
        let events = self.publications.iter().filter(|event| event.invocation == invocation);
        let events =
            events.filter(|event| event.request.is_some_and(is_other)).map(|event| event.requested_at);
        let copies = self.copies.iter().filter(|copy| copy.by == Some(invocation));
        let copies =
            copies.filter(|copy| self.messages.get(copy.message).is_some_and(|sent| is_other(sent.request)));
        events.chain(copies.map(|copy| copy.requested_at)).filter(|at| *at < until).max()
    }

    /// Whether an invocation ended a request at one of these times: it published an event, made a copy, or, if both have no
    /// effect, deleted a message.
    #[must_use]
    pub fn has_settled(&self, by: InvocationNumber, times: RangeInclusive<SystemTime>) -> bool {
        let mut copies = self.copies.iter().filter(|copy| copy.by == Some(by));
        self.publications.iter().any(|event| event.invocation == by && times.contains(&event.requested_at))
            || copies.any(|copy| times.contains(&copy.requested_at))
            || self.deletes.iter().any(|(at, invocation)| *invocation == by && times.contains(at))
    }

    /// The time since the start, for messages.
    #[must_use]
    pub fn after(&self, at: SystemTime) -> String {
        format!("+{:.3} s", self.since(at).as_secs_f64())
    }

    /// The time since the start.
    #[must_use]
    pub fn since(&self, at: SystemTime) -> Duration {
        at.duration_since(self.history.began).unwrap_or_default()
    }

    /// How much too early a worker with a wrong clock may judge a deadline before a response corrects the clock.
    #[must_use]
    pub fn clock_ahead(&self) -> Duration {
        let seconds = self.history.plan.deployment.clock_ahead_seconds;
        Duration::from_secs(seconds.max(0).unsigned_abs()) + self.clock_tolerance()
    }

    /// How much too late.
    #[must_use]
    pub fn clock_behind(&self) -> Duration {
        let seconds = self.history.plan.deployment.clock_ahead_seconds;
        Duration::from_secs(seconds.min(0).unsigned_abs()) + self.clock_tolerance()
    }

    /// How far a clock may still be wrong after a response has corrected it; zero in a history without a wrong clock.
    #[must_use]
    pub fn clock_tolerance(&self) -> Duration {
        let is_right = self.history.plan.deployment.clock_ahead_seconds == 0;
        if is_right { Duration::ZERO } else { CLOCK_TOLERANCE }
    }

    /// Whether a response had shown the service's time to the process of this invocation before then.
    #[must_use]
    pub fn is_clock_corrected(&self, invocation: InvocationNumber, until: SystemTime) -> bool {
        let process = |invocation| self.runs.get(&invocation).map(|run| run.process);
        self.calls.iter().any(|call| {
            let is_before = call.returned.is_some_and(|(at, _)| at <= until);
            // An injected response without a code may be unreadable.
            let is_of_service = call.response().is_some_and(|served| {
                let is_error = served.code.is_some() && served.status.is_some_and(|status| status >= 400);
                is_error || (!served.is_fault && served.status == Some(200))
            });
            is_before && is_of_service && process(call.invocation) == process(invocation)
        })
    }

    /// Whether a worker may have had no key at some of these times: the secret was not readable then or a moment before,
    /// which is when the worker last tried to read it.
    #[must_use]
    pub fn may_lack_key(&self, times: RangeInclusive<SystemTime>) -> bool {
        let (mut state, mut until) = (SecretState::Readable, None);
        for (changed_at, outside) in self.outside.iter().filter(|(changed_at, _)| changed_at <= times.end()) {
            let next = match outside {
                Outside::Secret(next) => *next,
                Outside::FaultsEnd => SecretState::Readable,
                _ => continue,
            };
            if state != SecretState::Readable {
                until = Some(*changed_at);
            }
            state = next;
        }
        state != SecretState::Readable
            || until.is_some_and(|until| *times.start() <= until + SECRET_PAUSE_MAX)
    }

    /// Whether the secret could not be read in all of this time.
    #[must_use]
    pub fn is_secret_unreadable(&self, times: RangeInclusive<SystemTime>) -> bool {
        let changes = self.outside.iter().filter_map(|(at, outside)| match outside {
            Outside::Secret(state) => Some((*at, *state != SecretState::Readable)),
            Outside::FaultsEnd => Some((*at, false)),
            _ => None,
        });
        let mut is_unreadable = false;
        for (at, next) in changes.filter(|(at, _)| at <= times.end()) {
            is_unreadable = next && (is_unreadable || at <= *times.start());
        }
        is_unreadable
    }

    /// The number of calls that attach a replacement, really, and whose acceptance the worker learned.
    #[must_use]
    pub fn accepted_attaches(&self) -> usize {
        let is_accepted = |call: &&Call<'_>| {
            call.requested.action == ATTACH
                && !call.requested.dry_run
                && call.response().is_some_and(|served| served.status == Some(200))
        };
        self.calls.iter().filter(is_accepted).count()
    }

    /// The endpoint's VPC, which never changes.
    #[must_use]
    pub fn vpc_of(&self, endpoint: &str) -> Option<&'a str> {
        let mut endpoints = self.history.plan.cloud.endpoints.iter();
        endpoints.find(|other| other.endpoint_id.as_str() == endpoint)?.vpc_id.as_deref()
    }

    /// The configured replacement of the endpoint's VPC, as the plan says.
    #[must_use]
    pub fn replacement_of(&self, endpoint: &str) -> Option<&'a str> {
        let vpc_id = self.vpc_of(endpoint)?;
        let mut replacements = self.history.plan.deployment.rules.replacements.iter();
        replacements.find(|(vpc, _)| vpc.as_str() == vpc_id).map(|(_, group)| group.as_str())
    }

    /// Whether reads may show an earlier state in this history.
    #[must_use]
    pub fn has_lag(&self) -> bool {
        let settings = &self.history.plan.cloud.settings;
        !settings.read_lag.is_zero() || !settings.record_lag.is_zero()
    }
}
