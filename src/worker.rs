//! The worker: messages of the request queue in, completion events out.
//!
//! In reading order: [`handler`] recognizes the event of an invocation, [`crate::aws::sqs_event`] reads a batch's records, `batch`
//! divides a batch into lanes, `settlement` processes one message, `deferral` returns unfinished messages to the queue,
//! `direct` responds to an invocation without a queue. [`queue`] is SQS, `quota_share` divides Alibaba Cloud's quotas
//! among the workers, [`assemble`] builds the worker of production. The detach itself is in [`crate::drive`].

pub mod assemble;
mod batch;
mod context;
mod deferral;
pub mod direct;
pub mod handler;
pub mod queue;
mod quota_share;
mod received;
mod settings;
mod settlement;

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join3;

use crate::alibaba::client::Client;
use crate::aws::bus::Bus;
use crate::clock::Clock;
use crate::drive::cloud::Cloud;
use crate::drive::observer::{Log, Observer};
use crate::drive::time_budget::Run;
use crate::lambda::Invocation;
use crate::random::Random;
use crate::transport::Transport;
use context::Context;
use queue::Queue;
use quota_share::QuotaShare;

pub use settings::{DeferralLimits, Settings};

/// Time for the connections that are opened while the process starts: a longer wait would cost more than it saves.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// The worker's clients, settings and state. A process has one.
#[derive(Debug)]
pub struct Worker<T, Q, B> {
    cloud: Cloud<T>,
    queue: Q,
    bus: B,
    settings: Settings,
    share: QuotaShare,
    redelivery_share: QuotaShare,
    /// Whether a request returned to the queue without usable credentials, and none has ended since. Then requests read before
    /// they wait for a share: most of them would wait for nothing.
    lacks_credentials: Cell<bool>,
    observer: Box<dyn Observer>,
}

impl<T: Transport, Q, B> Worker<T, Q, B> {
    /// `random` determines jitter and client tokens, and must be a different source in every process.
    pub fn new(client: Client<T>, queue: Q, bus: B, settings: Settings, random: impl Into<Random>) -> Self {
        let random = random.into();
        let mut shares = random.generator();
        let share = QuotaShare::of(settings.concurrency, &mut shares);
        let redelivery_share = QuotaShare::of_redeliveries(settings.concurrency, &mut shares);
        let cloud = Cloud::new(client, random).one_of(settings.concurrency);
        let (lacks_credentials, observer) = (Cell::new(false), Box::new(Log));
        Self { cloud, queue, bus, settings, share, redelivery_share, lacks_credentials, observer }
    }

    /// The same worker with another observer than the log.
    #[must_use]
    pub fn observed_by(self, observer: Box<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Gets the credentials for Alibaba Cloud, and opens the connections that every request needs, before a request waits for
    /// them. A failure does not prevent the start: requests wait in the queue until there are credentials, and a call opens
    /// its own connection.
    pub async fn prepare(&self, clock: &Clock)
    where
        Q: Queue,
        B: Bus,
    {
        // With several allowed regions, the region of the first request is unknown.
        let regions = &self.settings.rules.allowed_regions;
        let only_region = regions.first().filter(|_| regions.len() == 1);
        let cloud = self.cloud.prepare(only_region, CONNECT_TIME_MAX, clock, &*self.observer);
        let bus = clock.by(clock.now() + CONNECT_TIME_MAX, self.bus.prepare());
        // Last, while the other two wait for the network.
        let queue = async { self.queue.prepare() };
        join3(cloud, bus, queue).await;
    }

    fn context<'a>(&self, invocation: &'a Invocation) -> Context<'a> {
        let run = Run::of_invocation(invocation.clock, invocation.ends_at, self.settings.time);
        run.correct_end(self.cloud.clock_ahead());
        Context::new(invocation, run)
    }
}
