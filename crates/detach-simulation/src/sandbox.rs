//! One execution environment of the worker's function.

use std::cell::Cell;
use std::num::NonZeroU16;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use local_aws::mapping;
use local_aws::queues::ReceivedMessage;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::request::Rules;
use privatelink_detach::worker::DeferralLimits;
use privatelink_detach::worker::handler;
use privatelink_detach::worker::{Settings, Worker};
use serde_json::value::RawValue;

use crate::record::{Given, What};
use crate::seam::Seam;
use crate::world::{Invoked, World};

/// The template's timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(90);

/// How long a function that does not start takes for it.
const START_FAILURE: Duration = Duration::from_millis(500);

/// How the worker is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// How many sandboxes may run at once.
    pub concurrency: NonZeroU16,
    /// What is allowed.
    pub rules: Rules,
    /// The deadline of a request that names none.
    pub deadline: Duration,
}

/// As the template has it.
impl Default for Deployment {
    fn default() -> Self {
        Self {
            concurrency: WorkerConfig::CONCURRENCY_DEFAULT,
            rules: Rules::default(),
            deadline: Duration::from_hours(1),
        }
    }
}

/// A worker with production's settings, and whatever it remembers from one invocation to the next.
#[derive(Debug)]
pub struct Sandbox {
    world: Rc<World>,
    worker: Worker<Seam, Seam, Seam>,
    deployment: Rc<Deployment>,
    number: usize,
    process: u32,
    invocation: Rc<Cell<u32>>,
    random: fastrand::Rng,
    is_cold: bool,
}

/// What befalls an invocation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It is killed after its handler was polled so often, that is at its `polls`th wait.
    Kill {
        /// How often.
        polls: u32,
    },
    /// It stands still there for so long, and then goes on.
    Stall {
        /// How often.
        polls: u32,
        /// How long.
        lasting: Duration,
    },
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
        let deployment = Rc::new(Deployment { concurrency, ..Deployment::default() });
        Self::deployed(&deployment, 0, world, random)
    }

    /// As many as may run at once, no two alike.
    #[must_use]
    pub fn several(world: &Rc<World>, concurrency: NonZeroU16, random: u64) -> Vec<Self> {
        let deployment = Rc::new(Deployment { concurrency, ..Deployment::default() });
        let mut random = fastrand::Rng::with_seed(random);
        (0..usize::from(concurrency.get()))
            .map(|number| Self::deployed(&deployment, number, world, random.u64(..)))
            .collect()
    }

    /// One of a deployment's.
    #[must_use]
    pub fn deployed(deployment: &Rc<Deployment>, number: usize, world: &Rc<World>, random: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(random);
        let invocation = Rc::default();
        let worker = worker(world, deployment, &invocation, random.u64(..));
        let (world, deployment) = (Rc::clone(world), Rc::clone(deployment));
        let process = world.next_process();
        Self { world, worker, deployment, number, process, invocation, random, is_cold: true }
    }

    /// The worker in it.
    #[must_use]
    pub fn worker(&self) -> &Worker<Seam, Seam, Seam> {
        &self.worker
    }

    /// Invokes the function with a batch; with an interruption, or with whatever the world has in store for it.
    ///
    /// # Panics
    ///
    /// If the mapping makes an event that is no JSON.
    pub async fn invoke(&mut self, batch: &[ReceivedMessage], interruption: Option<Interruption>) -> Ending {
        let world = Rc::clone(&self.world);
        if std::mem::take(&mut self.is_cold) {
            let takes = world.chance.borrow_mut().cold_start();
            world.time.pass(takes).await;
        }
        let began = world.now();
        let timeout = world.chance.borrow().timeout(began).unwrap_or(TIMEOUT);
        self.invocation.set(world.next_invocation());
        let invocation = self.invocation.get();
        let interruption = interruption.or_else(|| world.chance.borrow_mut().interruption(invocation));
        let given = |received: &ReceivedMessage| Given {
            message: received.message.id.to_string(),
            lane: received.message.group.clone(),
            receive_count: received.message.receive_count,
        };
        let batch_given = batch.iter().map(given).collect();
        let (sandbox, process, ends) = (self.number, self.process, began + timeout);
        world.note(What::Invoked { invocation, sandbox, process, batch: batch_given, ends, interruption });
        let ending = if world.chance.borrow().is_start_broken(began) {
            world.time.pass(START_FAILURE).await;
            Ending::Failed("the function did not start".to_owned())
        } else {
            self.run(batch, timeout, interruption).await
        };
        world.note(What::Ended { invocation, ending: ending.clone() });
        let took = world.now().duration_since(began).unwrap_or_default();
        world.invocations.borrow_mut().push(Invoked { at: began, took, messages: batch.len() });
        if ending == Ending::Killed || world.chance.borrow_mut().is_recycled() {
            self.renew();
        }
        ending
    }

    /// Another one takes its place, which knows nothing of it.
    fn renew(&mut self) {
        self.worker = worker(&self.world, &self.deployment, &self.invocation, self.random.u64(..));
        self.process = self.world.next_process();
        self.is_cold = true;
    }

    async fn run(
        &self,
        batch: &[ReceivedMessage],
        timeout: Duration,
        interruption: Option<Interruption>,
    ) -> Ending {
        let event = mapping::event(self.world.kind.requests(), batch).to_string();
        let event = RawValue::from_string(event).expect("an event in JSON");
        let now = self.world.now();
        let ends = now + timeout;
        let invocation = Invocation {
            clock: Clock::starting_at(now),
            ends_at: ends,
            lambda_request_id: format!("lambda-{}", self.invocation.get()),
            xray_trace_id: None,
        };
        let handled = pin!(handler::handle(&self.worker, &event, &invocation));
        let handled = self.interrupted(handled, interruption);
        match self.world.time.by(ends, handled).await.flatten() {
            Some(Ok(answer)) => Ending::Answered(answer.to_string()),
            Some(Err(error)) => Ending::Failed(error.to_string()),
            None => Ending::Killed,
        }
    }

    /// What the work comes to, unless it is killed.
    async fn interrupted<W: Future>(
        &self,
        mut work: Pin<&mut W>,
        interruption: Option<Interruption>,
    ) -> Option<W::Output> {
        let (polls_max, stall) = match interruption {
            None => return Some(work.await),
            Some(Interruption::Kill { polls }) => (polls, None),
            Some(Interruption::Stall { polls, lasting }) => (polls, Some(lasting)),
        };
        let mut polls = 0;
        let until_interrupted = |context: &mut Context<'_>| {
            if polls >= polls_max {
                return Poll::Ready(None);
            }
            polls += 1;
            work.as_mut().poll(context).map(Some)
        };
        match (std::future::poll_fn(until_interrupted).await, stall) {
            (None, Some(lasting)) => {
                self.world.time.pass(lasting).await;
                Some(work.await)
            }
            (ended, _) => ended,
        }
    }
}

fn worker(
    world: &Rc<World>,
    deployment: &Deployment,
    invocation: &Rc<Cell<u32>>,
    random: u64,
) -> Worker<Seam, Seam, Seam> {
    let key = world.key();
    let keys = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, key.security_token);
    let source = CredentialsSource::Fixed(Rc::new(keys));
    let seam = || Seam { world: Rc::clone(world), invocation: Rc::clone(invocation) };
    let client = Client::new(seam(), source, ServiceUrl::Regional, random);
    let settings = Settings {
        rules: deployment.rules.clone(),
        deadline: deployment.deadline,
        concurrency: deployment.concurrency,
        limits: Limits::default(),
        time: TimeLimits::default(),
        deferral: DeferralLimits::default(),
    };
    Worker::new(client, seam(), seam(), settings, random)
}
