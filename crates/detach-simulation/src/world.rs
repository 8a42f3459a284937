//! Everything but the worker, as state.

mod agenda;
mod calls;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use local_aws::queues::{DeduplicationScope, Message};
use local_aws::{NewMessage, QueueSettings, Queues};
use privatelink_simulator::{AccessKey, Cloud, Seed};
use serde_json::Value;
use tokio::sync::Notify;

use crate::pace::Pace;
use crate::record::{CallNumber, Entry, InvocationNumber, What};
use crate::time::VirtualTime;
use crate::trouble::{Chance, Troubles};
pub(crate) use agenda::Act;

/// A region, for whoever needs only one.
pub const REGION: &str = "eu-west-1";

/// The template's visibility timeout of the request queue.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

/// The template's receive count.
const RECEIVES_MAX: u32 = 1000;

/// When every world begins, in seconds since 1970: some day in 2026.
const EPOCH_SECONDS: u64 = 1_790_000_000;

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

    fn messages_of(&self, queue: &str) -> Vec<Message> {
        self.queues.borrow().messages(queue).map(<[_]>::to_vec).unwrap_or_default()
    }

    fn messages(&self, queue: &str) -> usize {
        self.queues.borrow().messages(queue).map_or(0, <[_]>::len)
    }
}
