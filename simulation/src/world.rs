//! Everything but the worker, as state.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use local_aws::queues::{DeduplicationScope, Deleted, Message};
use local_aws::{NewMessage, QueueSettings, Queues};
use privatelink_simulator::{AccessKey, Answer, Cloud, Seed};
use serde_json::Value;
use tokio::sync::Notify;

use crate::outside::Outside;
use crate::pace::{self, Pace};
use crate::record::{Asked, CallNumber, Change, Entry, InvocationNumber, Served, What};
use crate::time::VirtualTime;
use crate::trouble::{Chance, Troubles};

/// A region, for whoever needs only one.
pub const REGION: &str = "eu-west-1";

/// The template's visibility timeout of the request queue.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

/// The template's receive count.
const RECEIVES_MAX: u32 = 1000;

/// When every world begins, in seconds since 1970: some day in 2026.
const EPOCH_SECONDS: u64 = 1_790_000_000;

/// The longest wait that a service may ask for.
const HINT_MAX: Duration = Duration::from_mins(2);

/// A day without anything on the agenda.
const IDLE: Duration = Duration::from_hours(24);

/// What kind of queues there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// As the template makes them.
    #[default]
    Fifo,
    /// Without lanes across batches.
    Standard,
}

impl QueueKind {
    /// The request queue's name.
    #[must_use]
    pub fn requests(self) -> &'static str {
        match self {
            Self::Fifo => "requests.fifo",
            Self::Standard => "requests",
        }
    }

    /// The dead-letter queue's name.
    #[must_use]
    pub fn dead_letters(self) -> &'static str {
        match self {
            Self::Fifo => "dead-letter.fifo",
            Self::Standard => "dead-letter",
        }
    }

    fn settings(self) -> QueueSettings {
        match self {
            Self::Fifo => {
                QueueSettings { deduplication: DeduplicationScope::MessageGroup, ..QueueSettings::fifo() }
            }
            Self::Standard => QueueSettings::standard(),
        }
        .visibility_timeout(VISIBILITY_TIMEOUT)
    }
}

/// Alibaba Cloud, the queues and the bus, and a record of what happened.
#[derive(Debug)]
pub struct World {
    /// Alibaba Cloud.
    pub cloud: RefCell<Cloud>,
    /// SQS.
    pub queues: RefCell<Queues>,
    /// What was published, in order.
    pub events: RefCell<Vec<Event>>,
    /// The invocations that have ended, in the order of their ends.
    pub invocations: RefCell<Vec<Invoked>>,
    /// An endpoint whose calls make the worker panic.
    pub cursed: Cell<&'static str>,
    /// Everything that happened, in order.
    pub record: RefCell<Vec<Entry>>,
    /// The kind of the queues.
    pub kind: QueueKind,
    pub(crate) time: VirtualTime,
    /// The request queue was changed: a receive that found nothing may find something.
    pub(crate) changed: Notify,
    pub(crate) chance: RefCell<Chance>,
    pace: Pace,
    key: AccessKey,
    rng: RefCell<fastrand::Rng>,
    began: SystemTime,
    sent: Cell<u64>,
    started: Cell<u32>,
    invoked: Cell<InvocationNumber>,
    called: Cell<CallNumber>,
    agenda: RefCell<BTreeMap<(SystemTime, u64), Act>>,
    planned: Cell<u64>,
    agenda_changed: Notify,
}

/// A completion event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When the bus took it.
    pub at: SystemTime,
    /// Its detail.
    pub detail: Value,
}

/// One invocation of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoked {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How many messages it was given.
    pub messages: usize,
}

/// What is to happen by itself.
#[derive(Debug)]
pub(crate) enum Act {
    /// Somebody else does something.
    Outside(Outside),
    /// A call arrives that nobody waits for any more.
    Arrive { call: CallNumber, asked: Asked, request: Box<http::Request<Bytes>> },
    /// A change takes effect that was given up.
    Change { by: Option<InvocationNumber>, asked_at: SystemTime, change: Change },
}

impl World {
    /// A world at its beginning, with FIFO queues and without any trouble. `random` makes the times that calls take.
    ///
    /// # Panics
    ///
    /// If the seed contradicts itself.
    #[must_use]
    pub fn new(seed: Seed, pace: Pace, random: u64) -> Rc<Self> {
        Self::troubled(seed, QueueKind::Fifo, pace, Troubles::default(), random)
    }

    /// A world in which things go wrong; `random` also makes which and when.
    ///
    /// # Panics
    ///
    /// If the seed contradicts itself.
    #[must_use]
    pub fn troubled(seed: Seed, kind: QueueKind, pace: Pace, troubles: Troubles, random: u64) -> Rc<Self> {
        let mut queues = Queues::default();
        queues.create(kind.dead_letters(), kind.settings()).expect("a fresh queue");
        let receives_max = troubles.receives_max.unwrap_or(RECEIVES_MAX);
        let requests = kind.settings().redrive(receives_max, kind.dead_letters());
        queues.create(kind.requests(), requests).expect("a fresh queue");
        let mut rng = fastrand::Rng::with_seed(random);
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS);
        Rc::new(Self {
            key: seed.access_keys.first().cloned().unwrap_or_default(),
            cloud: RefCell::new(Cloud::new(seed).expect("a seed without contradictions")),
            queues: RefCell::new(queues),
            events: RefCell::default(),
            invocations: RefCell::default(),
            cursed: Cell::new("ep-cursed"),
            record: RefCell::default(),
            kind,
            time: VirtualTime::starting_at(began),
            changed: Notify::new(),
            chance: RefCell::new(Chance::new(troubles, rng.u64(..), began)),
            pace,
            rng: RefCell::new(rng),
            began,
            sent: Cell::new(0),
            started: Cell::new(0),
            invoked: Cell::new(0),
            called: Cell::new(0),
            agenda: RefCell::default(),
            planned: Cell::new(0),
            agenda_changed: Notify::new(),
        })
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.time.now()
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// The key that workers sign with.
    #[must_use]
    pub fn key(&self) -> AccessKey {
        self.key.clone()
    }

    /// Puts a request into the queue, in the lane of its endpoint, as a message that repeats no other.
    ///
    /// # Panics
    ///
    /// If it names no endpoint.
    pub fn send(&self, request: &Value) {
        let endpoint = request["endpoint_id"].as_str().expect("an endpoint to make a lane of");
        self.send_message(self.message(request.to_string(), endpoint));
    }

    /// A message that repeats no other, in the lane of this endpoint if there are lanes.
    #[must_use]
    pub fn message(&self, body: String, endpoint: &str) -> NewMessage {
        self.sent.set(self.sent.get() + 1);
        match self.kind {
            QueueKind::Fifo => {
                NewMessage::fifo(body, &format!("{REGION}/{endpoint}"), &self.sent.get().to_string())
            }
            QueueKind::Standard => NewMessage::new(body),
        }
    }

    /// Puts a message into the request queue.
    ///
    /// # Panics
    ///
    /// If it is one that SQS does not take.
    pub fn send_message(&self, message: NewMessage) {
        let body = message.body.clone();
        let sent = self.queues.borrow_mut().send(self.kind.requests(), message, self.now());
        let message = sent.expect("a message that SQS takes").message_id.to_string();
        self.note(What::Sent { message, body });
        self.changed.notify_waiters();
    }

    /// Plans something to happen this long after the beginning.
    pub fn plan(&self, after: Duration, outside: Outside) {
        self.at(self.began + after, Act::Outside(outside));
    }

    /// How many requests are in the queue, in flight or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages(self.kind.requests())
    }

    /// How many messages are in the dead-letter queue.
    #[must_use]
    pub fn buried(&self) -> usize {
        self.messages(self.kind.dead_letters())
    }

    /// The messages in the request queue, in flight or not.
    #[must_use]
    pub fn requests(&self) -> Vec<Message> {
        self.messages_of(self.kind.requests())
    }

    /// The messages in the dead-letter queue.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Message> {
        self.messages_of(self.kind.dead_letters())
    }

    /// The outcomes of the events, in order.
    #[must_use]
    pub fn outcomes(&self) -> Vec<String> {
        let outcome = |event: &Event| event.detail["outcome"].as_str().unwrap_or_default().to_owned();
        self.events.borrow().iter().map(outcome).collect()
    }

    /// Whether more requests may come: something is on the agenda.
    pub(crate) fn is_expecting(&self) -> bool {
        !self.agenda.borrow().is_empty()
    }

    pub(crate) fn note(&self, what: What) {
        self.record.borrow_mut().push(Entry { at: self.now(), what });
    }

    pub(crate) fn next_process(&self) -> u32 {
        self.started.set(self.started.get() + 1);
        self.started.get()
    }

    pub(crate) fn next_invocation(&self) -> InvocationNumber {
        self.invoked.set(self.invoked.get() + 1);
        self.invoked.get()
    }

    pub(crate) fn next_call(&self) -> CallNumber {
        self.called.set(self.called.get() + 1);
        self.called.get()
    }

    /// How long a call to Alibaba Cloud takes.
    pub(crate) fn draw_alibaba(&self) -> Duration {
        pace::draw(&self.pace.alibaba, &mut self.rng.borrow_mut())
    }

    /// A call to AWS on its way: half of its time passes, it takes effect, and the other half passes.
    pub(crate) async fn call_aws<R>(&self, effect: impl FnOnce(&Self) -> R) -> R {
        let half = pace::draw(&self.pace.aws, &mut self.rng.borrow_mut()) / 2;
        self.time.pass(half).await;
        let result = effect(self);
        self.time.pass(half).await;
        result
    }

    /// Alibaba Cloud gets a call.
    pub(crate) fn serve(&self, call: CallNumber, asked: &Asked, request: &http::Request<Bytes>) -> Answer {
        let now = self.now();
        let mut cloud = self.cloud.borrow_mut();
        let truth = cloud.endpoint(asked.endpoint.as_str(), now);
        let answer = cloud.answer(request, now);
        let entry = cloud.journal().last().expect("the call that it answered");
        let served = Served {
            status: entry.status,
            body: answer.response.body().clone(),
            code: code(answer.response.body()),
            hint: hint(answer.response.headers()),
            is_fault: entry.fault,
            is_executed: entry.executed,
            truth,
        };
        drop(cloud);
        self.note(What::Served { call, served: Box::new(served) });
        answer
    }

    /// Carries out a change in AWS that was asked for then.
    pub(crate) fn change(
        &self,
        by: Option<InvocationNumber>,
        asked_at: SystemTime,
        change: &Change,
    ) -> Result<(), String> {
        let now = self.now();
        let mut queues = self.queues.borrow_mut();
        let requests = self.kind.requests();
        let changed = match change {
            Change::Delete { handle, .. } => {
                queues.delete(requests, handle, now).map(|deleted| matches!(deleted, Deleted::Deleted(_)))
            }
            Change::HandBack { messages, visibility } => messages
                .iter()
                .try_for_each(|(_, handle)| {
                    queues.change_visibility(requests, handle, *visibility, now).map(drop)
                })
                .map(|()| true),
            Change::Bury { copy, .. } => {
                let sent = queues.send(self.kind.dead_letters(), (**copy).clone(), now);
                sent.map(|sent| !sent.is_duplicate)
            }
            Change::Publish { detail } => {
                self.events.borrow_mut().push(Event { at: now, detail: detail.clone() });
                Ok(true)
            }
        };
        drop(queues);
        let (is_effective, result) = match changed {
            Ok(is_effective) => (is_effective, Ok(())),
            Err(error) => (false, Err(error.to_string())),
        };
        // SQS says yes to a delete of what was deleted or received again, and to a repetition of a send.
        let ignored = (!is_effective).then(|| "nothing to do".to_owned());
        let refusal = result.clone().err().or(ignored);
        self.note(What::Changed { by, asked_at, change: change.clone(), refusal });
        self.changed.notify_waiters();
        result
    }

    /// Moves the dead letters back to the request queue, as SQS does: each is another message then, with the attributes
    /// of the old one.
    pub(crate) fn redrive(&self) {
        let now = self.now();
        loop {
            let mut queues = self.queues.borrow_mut();
            let batch = queues.receive(self.kind.dead_letters(), 10, None, now).expect("the queue exists");
            if batch.is_empty() {
                return;
            }
            for received in &batch {
                let deleted = queues.delete(self.kind.dead_letters(), &received.receipt_handle, now);
                deleted.expect("a message that was just received");
            }
            drop(queues);
            for Message { body, attributes, group, .. } in batch.into_iter().map(|received| received.message)
            {
                self.sent.set(self.sent.get() + 1);
                let deduplication_id =
                    (self.kind == QueueKind::Fifo).then(|| format!("redriven-{}", self.sent.get()));
                self.send_message(NewMessage { body, attributes, group, deduplication_id, delay: None });
            }
        }
    }

    pub(crate) fn at(&self, at: SystemTime, act: Act) {
        self.planned.set(self.planned.get() + 1);
        self.agenda.borrow_mut().insert((at, self.planned.get()), act);
        self.agenda_changed.notify_waiters();
    }

    /// Lets everything on the agenda happen at its time. It never ends by itself.
    pub(crate) async fn keep_agenda(&self) {
        loop {
            // Taken before the look, so that nothing that is planned after it is missed.
            let changed = self.agenda_changed.notified();
            let now = self.now();
            let due = self.agenda.borrow().first_key_value().map(|(key, _)| *key);
            match due {
                Some(key) if key.0 <= now => {
                    let act = self.agenda.borrow_mut().remove(&key);
                    self.happen(act);
                    self.changed.notify_waiters();
                }
                next => {
                    let until = next.map_or(now + IDLE, |(at, _)| at);
                    self.time.by(until, changed).await;
                }
            }
        }
    }

    fn happen(&self, act: Option<Act>) {
        match act {
            Some(Act::Outside(outside)) => {
                if !matches!(outside, Outside::Send(_)) {
                    self.note(What::Outside(outside.clone()));
                }
                outside.happen(self);
            }
            Some(Act::Arrive { call, asked, request }) => {
                self.serve(call, &asked, &request);
            }
            Some(Act::Change { by, asked_at, change }) => {
                // Nobody is left who could be told.
                let _ = self.change(by, asked_at, &change);
            }
            None => {}
        }
    }

    fn messages_of(&self, queue: &str) -> Vec<Message> {
        self.queues.borrow().messages(queue).map(<[_]>::to_vec).unwrap_or_default()
    }

    fn messages(&self, queue: &str) -> usize {
        self.queues.borrow().messages(queue).map_or(0, <[_]>::len)
    }
}

/// The error code that an answer truly carries, as JSON in either spelling or as XML.
fn code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let json = serde_json::from_str::<Value>(text).ok();
    let in_json = json.and_then(|fields| {
        fields.get("Code").or(fields.get("code")).and_then(Value::as_str).map(str::to_owned)
    });
    in_json.or_else(|| {
        let (_, after) = text.split_once("<Error>")?.1.split_once("<Code>")?;
        after.split_once("</Code>").map(|(code, _)| code.to_owned())
    })
}

/// What an answer's headers ask for: milliseconds in one of these, and never more than two minutes.
fn hint(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let left = |name: &str| {
        let mut parts = text(name).split(',').filter_map(|part| part.strip_prefix("TimeLeft:"));
        parts.next().and_then(|left| left.parse::<u64>().ok())
    };
    let after = text("x-acs-retry-after").parse().ok();
    let after = after.or(left("x-ratelimit-user-api").max(left("x-ratelimit-user")));
    after.filter(|after| *after > 0).map(|after| Duration::from_millis(after).min(HINT_MAX))
}
