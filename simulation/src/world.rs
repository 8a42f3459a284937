//! Everything but the worker, as state.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use local_aws::queues::DeduplicationScope;
use local_aws::{NewMessage, QueueSettings, Queues};
use privatelink_simulator::{Cloud, Seed};
use serde_json::Value;
use tokio::sync::Notify;

use crate::pace::{self, Pace};
use crate::time::VirtualTime;

/// The request queue.
pub const REQUESTS: &str = "requests.fifo";

/// The dead-letter queue.
pub const DEAD_LETTERS: &str = "dead-letter.fifo";

/// A region, for whoever needs only one.
pub const REGION: &str = "eu-west-1";

/// The template's visibility timeout and receive count.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);
const RECEIVES_MAX: u32 = 1000;

/// When every world begins, in seconds since 1970: some day in 2026.
const EPOCH_SECONDS: u64 = 1_790_000_000;

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
    pub(crate) time: VirtualTime,
    /// The request queue was changed: a receive that found nothing may find something.
    pub(crate) changed: Notify,
    pace: Pace,
    rng: RefCell<fastrand::Rng>,
    sent: Cell<u64>,
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
    /// A world at its beginning. `random` makes the times that calls take.
    ///
    /// # Panics
    ///
    /// If the seed contradicts itself.
    #[must_use]
    pub fn new(seed: Seed, pace: Pace, random: u64) -> Rc<Self> {
        let mut queues = Queues::default();
        let fifo = || QueueSettings {
            deduplication: DeduplicationScope::MessageGroup,
            ..QueueSettings::fifo().visibility_timeout(VISIBILITY_TIMEOUT)
        };
        queues.create(DEAD_LETTERS, fifo()).expect("a fresh queue");
        queues.create(REQUESTS, fifo().redrive(RECEIVES_MAX, DEAD_LETTERS)).expect("a fresh queue");
        Rc::new(Self {
            cloud: RefCell::new(Cloud::new(seed).expect("a seed without contradictions")),
            queues: RefCell::new(queues),
            events: RefCell::default(),
            invocations: RefCell::default(),
            cursed: Cell::new("ep-cursed"),
            time: VirtualTime::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS)),
            changed: Notify::new(),
            pace,
            rng: RefCell::new(fastrand::Rng::with_seed(random)),
            sent: Cell::new(0),
        })
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.time.now()
    }

    /// Puts a request into the queue, in the lane of its endpoint, as a message that repeats no other.
    ///
    /// # Panics
    ///
    /// If it names no endpoint.
    pub fn send(&self, request: &Value) {
        let endpoint = request["endpoint_id"].as_str().expect("an endpoint to make a lane of");
        self.sent.set(self.sent.get() + 1);
        let message = NewMessage::fifo(
            request.to_string(),
            &format!("{REGION}/{endpoint}"),
            &self.sent.get().to_string(),
        );
        self.queues.borrow_mut().send(REQUESTS, message, self.now()).expect("a message that SQS takes");
        self.changed.notify_waiters();
    }

    /// How many requests are in the queue, in flight or not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages(REQUESTS)
    }

    /// How many messages are in the dead-letter queue.
    #[must_use]
    pub fn buried(&self) -> usize {
        self.messages(DEAD_LETTERS)
    }

    /// The outcomes of the events, in order.
    #[must_use]
    pub fn outcomes(&self) -> Vec<String> {
        let outcome = |event: &Event| event.detail["outcome"].as_str().unwrap_or_default().to_owned();
        self.events.borrow().iter().map(outcome).collect()
    }

    /// A call to Alibaba Cloud on its way: half of its time passes, it takes effect, and the other half passes.
    pub(crate) async fn call_alibaba<R>(&self, effect: impl FnOnce(&Self) -> R) -> R {
        self.call(&self.pace.alibaba, effect).await
    }

    /// The same with a call to AWS.
    pub(crate) async fn call_aws<R>(&self, effect: impl FnOnce(&Self) -> R) -> R {
        self.call(&self.pace.aws, effect).await
    }

    async fn call<R>(&self, takes: &RangeInclusive<Duration>, effect: impl FnOnce(&Self) -> R) -> R {
        let half = pace::draw(takes, &mut self.rng.borrow_mut()) / 2;
        self.time.pass(half).await;
        let result = effect(self);
        self.time.pass(half).await;
        result
    }

    fn messages(&self, queue: &str) -> usize {
        self.queues.borrow().messages(queue).map_or(0, <[_]>::len)
    }
}
