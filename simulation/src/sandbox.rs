//! One execution environment of the worker's function.

use std::num::NonZeroU16;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use local_aws::mapping;
use local_aws::queues::ReceivedMessage;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::handler;
use privatelink_detach::request::Rules;
use privatelink_detach::worker::{Invocation, InvocationLimits, Settings, Worker};
use privatelink_simulator::AccessKey;
use serde_json::value::RawValue;

use crate::seam::Seam;
use crate::world::{Invoked, REQUESTS, World};

/// The template's timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The template's deadline of a request.
const DEADLINE: Duration = Duration::from_hours(1);

/// A worker with production's settings, and whatever it remembers from one invocation to the next.
#[derive(Debug)]
pub struct Sandbox {
    world: Rc<World>,
    worker: Worker<Seam, Seam, Seam>,
    concurrency: NonZeroU16,
    random: fastrand::Rng,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this answer.
    Answered(String),
    /// With an error, which fails the whole batch.
    Failed(String),
    /// Killed: its time was up, or it was to be killed. What the sandbox remembered is lost.
    Killed,
}

impl Sandbox {
    /// A fresh one, of as many as the template lets run at once; `random` makes its worker's jitter, tokens and nonces.
    #[must_use]
    pub fn new(world: &Rc<World>, random: u64) -> Self {
        Self::one_of(WorkerConfig::CONCURRENCY_DEFAULT, world, random)
    }

    /// The same, of so many.
    #[must_use]
    pub fn one_of(concurrency: NonZeroU16, world: &Rc<World>, random: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(random);
        let worker = worker(world, concurrency, random.u64(..));
        Self { world: Rc::clone(world), worker, concurrency, random }
    }

    /// As many as may run at once, no two alike.
    #[must_use]
    pub fn several(world: &Rc<World>, concurrency: NonZeroU16, random: u64) -> Vec<Self> {
        let mut random = fastrand::Rng::with_seed(random);
        (0..concurrency.get()).map(|_| Self::one_of(concurrency, world, random.u64(..))).collect()
    }

    /// The worker in it.
    #[must_use]
    pub fn worker(&self) -> &Worker<Seam, Seam, Seam> {
        &self.worker
    }

    /// Invokes the function with a batch; with `polls`, kills it after so many.
    ///
    /// # Panics
    ///
    /// If the mapping makes an event that is no JSON.
    pub async fn invoke(&mut self, batch: &[ReceivedMessage], polls: Option<u32>) -> Ending {
        let began = self.world.now();
        let ending = self.run(batch, polls).await;
        let took = self.world.now().duration_since(began).unwrap_or_default();
        let invoked = Invoked { at: began, took, messages: batch.len() };
        self.world.invocations.borrow_mut().push(invoked);
        if ending == Ending::Killed {
            self.worker = worker(&self.world, self.concurrency, self.random.u64(..));
        }
        ending
    }

    async fn run(&self, batch: &[ReceivedMessage], polls: Option<u32>) -> Ending {
        let event = mapping::event(REQUESTS, batch).to_string();
        let event = RawValue::from_string(event).expect("an event in JSON");
        let (now, limits) = (self.world.now(), &self.worker.settings().invocation);
        let ends = now + TIMEOUT;
        let invocation = Invocation::new(Clock::starting_at(now), ends, "lambda".to_owned(), None, limits);
        let mut handled = pin!(handler::handle(&self.worker, &event, &invocation));
        let mut polled = 0;
        let handled = std::future::poll_fn(|context| {
            if polls.is_some_and(|polls| polled >= polls) {
                return Poll::Ready(None);
            }
            polled += 1;
            handled.as_mut().poll(context).map(Some)
        });
        match self.world.time.by(ends, handled).await.flatten() {
            Some(Ok(answer)) => Ending::Answered(answer.to_string()),
            Some(Err(error)) => Ending::Failed(error.to_string()),
            None => Ending::Killed,
        }
    }
}

fn worker(world: &Rc<World>, concurrency: NonZeroU16, random: u64) -> Worker<Seam, Seam, Seam> {
    let key = AccessKey::default();
    let keys = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(keys));
    let seam = || Seam(Rc::clone(world));
    let client = Client::new(seam(), source, ServiceUrl::Regional, random);
    let settings = Settings {
        rules: Rules::default(),
        deadline: DEADLINE,
        concurrency,
        limits: Limits::default(),
        invocation: InvocationLimits::default(),
    };
    Worker::new(client, seam(), seam(), settings, random)
}
