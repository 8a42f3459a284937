//! Everything except the worker and the sweeper, as state.

mod calls;
mod schedule;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use local_aws::queues::{DeduplicationScope, Message};
use local_aws::{NewMessage, QueueSettings, Queues};
use privatelink_detach::alibaba::credentials::Credentials;
use privatelink_simulator::{AccessKey, Cloud, Seed};
use serde_json::Value;
use tokio::sync::Notify;

use crate::faults::{FaultInjector, Faults};
use crate::pace::Pace;
use crate::record::{CallNumber, Entry, EntryKind, InvocationNumber};
use crate::secret::SecretState;
use crate::time::VirtualTime;
pub(crate) use schedule::ScheduledAction;

/// The region of all other endpoints.
pub const REGION: &str = "eu-west-1";

/// The region of some endpoints that only sweeps read.
pub const OTHER_REGION: &str = "eu-central-1";

/// The template's visibility timeout of the request queue.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

/// The template's maximum receive count.
const RECEIVES_MAX: u32 = 1000;

/// When every world starts, in seconds since 1970: a day in 2026.
const EPOCH_SECONDS: u64 = 1_790_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// As in the template.
    #[default]
    Fifo,
    /// Without lanes across batches.
    Standard,
}

impl QueueKind {
    #[must_use]
    pub fn requests(self) -> &'static str {
        match self {
            Self::Fifo => "requests.fifo",
            Self::Standard => "requests",
        }
    }

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

/// Alibaba Cloud, the queues, the bus, and a record of all events.
#[derive(Debug)]
pub struct World {
    pub cloud: RefCell<Cloud>,
    pub queues: RefCell<Queues>,
    /// The published events, in order.
    pub events: RefCell<Vec<Event>>,
    /// The invocations that have ended, in the order of their ends.
    pub invocations: RefCell<Vec<Invoked>>,
    /// An endpoint whose calls make the worker panic.
    pub panicking_endpoint: Cell<&'static str>,
    /// What a read of the secret with the functions' access key results in.
    pub secret: Cell<SecretState>,
    /// How often workers have read it.
    pub secret_reads: Cell<u64>,
    pub record: RefCell<Vec<Entry>>,
    pub kind: QueueKind,
    pub(crate) time: VirtualTime,
    /// The number of planned sweeps that have not ended. They may send requests.
    pub(crate) open_sweeps: Cell<usize>,
    /// Notifies of a change of the request queue: a receive that found no message may find one now.
    pub(crate) changed: Notify,
    pub(crate) injector: RefCell<FaultInjector>,
    pace: Pace,
    key: AccessKey,
    rng: RefCell<fastrand::Rng>,
    began: SystemTime,
    sent: Cell<u64>,
    started: Cell<u32>,
    invoked: Cell<InvocationNumber>,
    called: Cell<CallNumber>,
    schedule: RefCell<BTreeMap<(SystemTime, u64), ScheduledAction>>,
    scheduled: Cell<u64>,
    schedule_changed: Notify,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When the bus accepted it.
    pub at: SystemTime,
    pub detail: Value,
}

/// One invocation of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoked {
    pub at: SystemTime,
    pub took: Duration,
    /// The number of messages in its batch.
    pub messages: usize,
}

impl World {
    /// A world with FIFO queues and without faults. `random` seeds the latency of calls.
    ///
    /// # Panics
    ///
    /// If the seed is not valid.
    #[must_use]
    pub fn new(seed: Seed, pace: Pace, random: u64) -> Rc<Self> {
        Self::with_faults(seed, QueueKind::Fifo, pace, Faults::default(), random)
    }

    /// A world with faults; `random` also seeds which occur, and when.
    ///
    /// # Panics
    ///
    /// If the seed is not valid.
    #[must_use]
    pub fn with_faults(seed: Seed, kind: QueueKind, pace: Pace, faults: Faults, random: u64) -> Rc<Self> {
        let mut queues = Queues::default();
        queues.create(kind.dead_letters(), kind.settings()).expect("a new queue");
        let receives_max = faults.receives_max.unwrap_or(RECEIVES_MAX);
        let requests = kind.settings().redrive(receives_max, kind.dead_letters());
        queues.create(kind.requests(), requests).expect("a new queue");
        let mut rng = fastrand::Rng::with_seed(random);
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS);
        Rc::new(Self {
            key: seed.access_keys.first().cloned().unwrap_or_default(),
            cloud: RefCell::new(Cloud::new(seed).expect("a valid seed")),
            queues: RefCell::new(queues),
            events: RefCell::default(),
            invocations: RefCell::default(),
            panicking_endpoint: Cell::new("ep-cursed"),
            secret: Cell::default(),
            secret_reads: Cell::new(0),
            record: RefCell::default(),
            kind,
            time: VirtualTime::starting_at(began),
            open_sweeps: Cell::new(0),
            changed: Notify::new(),
            injector: RefCell::new(FaultInjector::new(faults, rng.u64(..), began)),
            pace,
            rng: RefCell::new(rng),
            began,
            sent: Cell::new(0),
            started: Cell::new(0),
            invoked: Cell::new(0),
            called: Cell::new(0),
            schedule: RefCell::default(),
            scheduled: Cell::new(0),
            schedule_changed: Notify::new(),
        })
    }

    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.time.now()
    }

    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// The access key that workers sign with.
    #[must_use]
    pub fn key(&self) -> AccessKey {
        self.key.clone()
    }

    /// The same, as a worker has it.
    pub(crate) fn credentials(&self) -> Credentials {
        let AccessKey { access_key_id, access_key_secret, security_token, .. } = self.key();
        Credentials::new(access_key_id.to_string(), access_key_secret, security_token)
    }

    /// Sends a request to the queue, in the message group of its endpoint, with a unique deduplication id.
    ///
    /// # Panics
    ///
    /// If it has no `endpoint_id`.
    pub fn send(&self, request: &Value) {
        let endpoint = request["endpoint_id"].as_str().expect("an `endpoint_id`");
        self.send_message(self.message(request.to_string(), endpoint));
    }

    /// A message with a unique deduplication id, in the message group of this endpoint if the queue has groups.
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

    /// Sends a message to the request queue.
    ///
    /// # Panics
    ///
    /// If SQS does not accept it.
    pub fn send_message(&self, message: NewMessage) {
        let body = message.body.clone();
        let sent = self.queues.borrow_mut().send(self.kind.requests(), message, self.now());
        let message = sent.expect("a message that SQS accepts").message_id.to_string();
        self.note(EntryKind::Sent { message, body });
        self.changed.notify_waiters();
    }

    /// The number of messages in the request queue, in flight or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages(self.kind.requests())
    }

    /// The number of messages in the dead-letter queue.
    #[must_use]
    pub fn dead_letter_count(&self) -> usize {
        self.messages(self.kind.dead_letters())
    }

    /// The messages in the request queue, in flight or not.
    #[must_use]
    pub fn requests(&self) -> Vec<Message> {
        self.messages_of(self.kind.requests())
    }

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

    pub(crate) fn note(&self, kind: EntryKind) {
        self.record.borrow_mut().push(Entry { at: self.now(), kind });
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
