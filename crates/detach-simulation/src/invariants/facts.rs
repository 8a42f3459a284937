//! A history's record, put in order: which call belongs to which invocation, which event to which request.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::history::{History, Request};
use crate::outside::Outside;
use crate::record::{Asked, CallNumber, Change, Given, InvocationNumber, Served, What};
use crate::sandbox::{Ending, Interruption};

/// A history, in order.
#[derive(Debug)]
pub struct Facts<'a> {
    /// All of it.
    pub history: &'a History,
    /// Every message by its id.
    pub messages: BTreeMap<&'a str, Sent<'a>>,
    /// The invocations by their number.
    pub runs: BTreeMap<InvocationNumber, Run<'a>>,
    /// The calls to Alibaba Cloud, in the order in which they left.
    pub calls: Vec<Call<'a>>,
    /// The completion events, in order.
    pub publications: Vec<Publication<'a>>,
    /// The copies in the dead-letter queue.
    pub copies: Vec<Burial<'a>>,
    /// When each message left the request queue.
    pub departures: Vec<(SystemTime, &'a str)>,
    /// What others did.
    pub outside: Vec<(SystemTime, &'a Outside)>,
}

/// A message that the request queue accepted.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// When.
    pub at: SystemTime,
    /// The request in it, by its place in the plan.
    pub request: usize,
    /// Its body.
    pub body: &'a str,
}

/// An invocation.
#[derive(Debug)]
pub struct Run<'a> {
    /// The process that it runs in.
    pub process: u32,
    /// When it began.
    pub began: SystemTime,
    /// When Lambda ends it.
    pub ends: SystemTime,
    /// Its messages.
    pub batch: &'a [Given],
    /// When and how it ended, if it did.
    pub ended: Option<(SystemTime, &'a Ending)>,
    /// What befell it.
    pub interruption: Option<Interruption>,
}

/// A call to Alibaba Cloud.
#[derive(Debug)]
pub struct Call<'a> {
    /// Whose.
    pub invocation: InvocationNumber,
    /// When it left.
    pub at: SystemTime,
    /// What it asked.
    pub asked: &'a Asked,
    /// When it arrived, and what it came to.
    pub served: Option<(SystemTime, &'a Served)>,
    /// When the worker had its answer, or knew that there would be none.
    pub returned: Option<(SystemTime, bool)>,
}

impl<'a> Call<'a> {
    /// What the worker got for an answer.
    #[must_use]
    pub fn answer(&self) -> Option<&'a Served> {
        let (_, served) = self.served?;
        self.returned.is_some_and(|(_, is_answered)| is_answered).then_some(served)
    }

    /// Whether the worker was told that a quota is used up.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let is_code = |code: &String| code.starts_with("Throttling") || code == "Rejected.Throttling";
        self.answer()
            .is_some_and(|served| served.status == Some(429) || served.code.as_ref().is_some_and(is_code))
    }
}

/// A completion event.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// When the bus took it.
    pub at: SystemTime,
    /// When the worker had decided, and asked to publish it.
    pub asked_at: SystemTime,
    /// Whose.
    pub invocation: InvocationNumber,
    /// What it says.
    pub detail: &'a Value,
    /// The request, by its place in the plan.
    pub request: Option<usize>,
}

impl<'a> Publication<'a> {
    /// The outcome's name.
    #[must_use]
    pub fn outcome(&self) -> &'a str {
        self.detail["outcome"].as_str().unwrap_or_default()
    }

    /// The reason's code.
    #[must_use]
    pub fn reason(&self) -> &'a str {
        self.detail["reason"]["code"].as_str().unwrap_or_default()
    }

    /// Whether its detail-type is `Security Group Detach Completed`.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !matches!(self.outcome(), "refused" | "rejected" | "unconfirmed")
    }
}

/// A copy in the dead-letter queue.
#[derive(Debug, Clone, Copy)]
pub struct Burial<'a> {
    /// When the queue took it.
    pub at: SystemTime,
    /// When the worker asked for it.
    pub asked_at: SystemTime,
    /// Whose it is.
    pub by: Option<InvocationNumber>,
    /// The message that it copies.
    pub message: &'a str,
    /// Its body.
    pub body: &'a str,
}

impl<'a> Facts<'a> {
    /// The facts of a history.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut facts = Self {
            history,
            messages: BTreeMap::new(),
            runs: BTreeMap::new(),
            calls: Vec::new(),
            publications: Vec::new(),
            copies: Vec::new(),
            departures: Vec::new(),
            outside: Vec::new(),
        };
        for entry in &history.record {
            facts.add(entry.at, &entry.what);
        }
        let names = facts.names();
        for publication in &mut facts.publications {
            let name = publication.detail["request_id"].as_str().unwrap_or_default();
            publication.request = names.get(name).copied();
        }
        facts
    }

    fn add(&mut self, at: SystemTime, what: &'a What) {
        let index = |call: CallNumber| usize::try_from(call).map_or(0, |call| call - 1);
        match what {
            What::Sent { message, body } => {
                let mut requests = self.history.plan.requests.iter();
                let request = requests.position(|request| request.body == *body).unwrap_or(usize::MAX);
                self.messages.insert(message, Sent { at, request, body });
            }
            What::Invoked { invocation, process, batch, ends, interruption, .. } => {
                let (process, ends, interruption) = (*process, *ends, *interruption);
                let run = Run { process, began: at, ends, batch, ended: None, interruption };
                self.runs.insert(*invocation, run);
            }
            What::Ended { invocation, ending } => {
                if let Some(run) = self.runs.get_mut(invocation) {
                    run.ended = Some((at, ending));
                }
            }
            What::Called { invocation, asked, .. } => {
                let call = Call { invocation: *invocation, at, asked, served: None, returned: None };
                self.calls.push(call);
            }
            What::Served { call, served } => self.calls[index(*call)].served = Some((at, served)),
            What::Returned { call, is_answered } => {
                self.calls[index(*call)].returned = Some((at, *is_answered));
            }
            What::Changed { by, asked_at, change, refusal: None } => {
                self.changed((at, *asked_at), *by, change);
            }
            What::Outside(outside) => self.outside.push((at, outside)),
            What::Changed { .. }
            | What::Failed { .. }
            | What::ReceiveLost { .. }
            | What::Duplicated { .. } => {}
        }
    }

    fn changed(
        &mut self,
        (at, asked_at): (SystemTime, SystemTime),
        by: Option<InvocationNumber>,
        change: &'a Change,
    ) {
        match change {
            Change::Delete { message, .. } => self.departures.push((at, message)),
            Change::HandBack { .. } => {}
            Change::Bury { message, copy } => {
                self.copies.push(Burial { at, asked_at, by, message, body: &copy.body });
            }
            Change::Publish { detail } => {
                let invocation = by.unwrap_or_default();
                self.publications.push(Publication { at, asked_at, invocation, detail, request: None });
            }
        }
    }

    /// What each request must be called: by its own name, or by that of its first message. Only what SQS itself moved to
    /// the dead-letter queue carries no name, and comes back as another message.
    fn names(&self) -> BTreeMap<String, usize> {
        let may_be_moved = self.history.plan.troubles.receives_max.is_some();
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

    /// The messages that brought a request: more than one after a redrive.
    pub fn messages_of(&self, request: usize) -> impl Iterator<Item = (&'a str, Sent<'a>)> {
        let messages = self.messages.iter();
        messages.filter(move |(_, sent)| sent.request == request).map(|(id, sent)| (*id, *sent))
    }

    /// The request at this place in the plan.
    #[must_use]
    pub fn request(&self, place: usize) -> Option<&'a Request> {
        self.history.plan.requests.get(place)
    }

    /// The messages of an invocation that brought this request: several only after a redrive.
    pub fn given(
        &self,
        invocation: InvocationNumber,
        request: usize,
    ) -> impl Iterator<Item = (&'a Given, Sent<'a>)> {
        let batch = self.runs.get(&invocation).map_or(&[][..], |run| run.batch);
        batch.iter().filter_map(move |given| {
            let sent = self.messages.get(given.message.as_str())?;
            (sent.request == request).then_some((given, *sent))
        })
    }

    /// The calls of one delivery up to then, in order: those of its invocation about the endpoint since the message before
    /// it in its lane was answered. Without a request: those of whatever message was being worked on.
    pub fn calls_of_delivery(
        &self,
        invocation: InvocationNumber,
        endpoint: &str,
        request: Option<usize>,
        until: SystemTime,
    ) -> impl Iterator<Item = &Call<'a>> {
        let since = self.answered_before(invocation, endpoint, request, until);
        self.calls.iter().filter(move |call| {
            let is_in_time = since.is_none_or(|since| call.at >= since) && call.at <= until;
            call.invocation == invocation && call.asked.endpoint == endpoint && is_in_time
        })
    }

    /// When an invocation answered another message about the endpoint, the last time before then.
    fn answered_before(
        &self,
        invocation: InvocationNumber,
        endpoint: &str,
        request: Option<usize>,
        until: SystemTime,
    ) -> Option<SystemTime> {
        let is_other = |place: usize| {
            let wanted = self.request(place).and_then(|request| request.wanted.as_ref());
            Some(place) != request && wanted.is_some_and(|wanted| wanted.endpoint == endpoint)
        };
        let events = self.publications.iter().filter(|event| event.invocation == invocation);
        let events = events.filter(|event| event.request.is_some_and(is_other)).map(|event| event.asked_at);
        let copies = self.copies.iter().filter(|copy| copy.by == Some(invocation));
        let copies =
            copies.filter(|copy| self.messages.get(copy.message).is_some_and(|sent| is_other(sent.request)));
        events.chain(copies.map(|copy| copy.asked_at)).filter(|at| *at < until).max()
    }

    /// How long after the beginning, for a sentence.
    #[must_use]
    pub fn after(&self, at: SystemTime) -> String {
        format!("+{:.3} s", self.since(at).as_secs_f64())
    }

    /// How long after the beginning.
    #[must_use]
    pub fn since(&self, at: SystemTime) -> Duration {
        at.duration_since(self.history.began).unwrap_or_default()
    }

    /// Whether reads may show the past in this history.
    #[must_use]
    pub fn has_lag(&self) -> bool {
        let settings = &self.history.plan.cloud.settings;
        !settings.read_lag.is_zero() || !settings.record_lag.is_zero()
    }
}
