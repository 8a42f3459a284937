//! One execution environment of the worker's function.

use std::cell::Cell;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use local_aws::mapping;
use local_aws::queues::ReceivedMessage;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::CredentialsSource;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::request::Rules;
use privatelink_detach::worker::DeferralLimits;
use privatelink_detach::worker::handler;
use privatelink_detach::worker::{Settings, Worker};
use serde_json::value::RawValue;

use crate::record::{BatchMessage, EntryKind};
use crate::seam::Seam;
use crate::secret::Secret;
use crate::world::{Invoked, World};

/// The template's timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(90);

/// How long a failed start takes.
const START_FAILURE: Duration = Duration::from_millis(500);

/// Where the functions have their access key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CredentialsPlace {
    #[default]
    Environment,
    /// In a secret, which a process reads when it needs it.
    Secret,
}

impl CredentialsPlace {
    /// The credentials of one process.
    pub(crate) fn source(self, world: &Rc<World>) -> CredentialsSource<Seam> {
        match self {
            Self::Environment => CredentialsSource::Fixed(Rc::new(world.credentials())),
            Self::Secret => CredentialsSource::refreshed_by(Box::new(Secret::new(world))),
        }
    }
}

/// The worker's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The maximum number of concurrent sandboxes.
    pub concurrency: NonZeroU16,
    pub rules: Rules,
    /// The deadline of a request that names none.
    pub deadline: Duration,
    pub credentials: CredentialsPlace,
    /// How far the clock of every other sandbox is ahead of the actual time, from the first on; negative if it is behind.
    pub clock_ahead_seconds: i64,
}

/// The template's values.
impl Default for Deployment {
    fn default() -> Self {
        Self {
            concurrency: WorkerConfig::CONCURRENCY_DEFAULT,
            rules: Rules::default(),
            deadline: Duration::from_hours(1),
            credentials: CredentialsPlace::default(),
            clock_ahead_seconds: 0,
        }
    }
}

/// A worker with production's settings, and its state between invocations.
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

/// An interruption of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Kills it after its handler was polled this often, that is, at its `polls`th wait.
    Kill { polls: u32 },
    /// Suspends it there, and resumes it.
    Suspend { polls: u32, duration: Duration },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It returned this response.
    Returned(String),
    /// It returned an error, which fails the whole batch.
    Failed(String),
    /// It was killed, by plan or at its timeout. The state of the sandbox is lost.
    Killed,
}

impl Sandbox {
    /// A new sandbox, with the template's concurrency; `random` seeds its worker's jitter, tokens and nonces.
    #[must_use]
    pub fn new(world: &Rc<World>, random: u64) -> Self {
        Self::one_of(WorkerConfig::CONCURRENCY_DEFAULT, world, random)
    }

    /// A new sandbox with this concurrency.
    #[must_use]
    pub fn one_of(concurrency: NonZeroU16, world: &Rc<World>, random: u64) -> Self {
        let deployment = Rc::new(Deployment { concurrency, ..Deployment::default() });
        Self::deployed(&deployment, 0, world, random)
    }

    /// As many sandboxes as the concurrency allows, each with a different seed.
    #[must_use]
    pub fn several(world: &Rc<World>, concurrency: NonZeroU16, random: u64) -> Vec<Self> {
        let deployment = Rc::new(Deployment { concurrency, ..Deployment::default() });
        let mut random = fastrand::Rng::with_seed(random);
        (0..usize::from(concurrency.get()))
            .map(|number| Self::deployed(&deployment, number, world, random.u64(..)))
            .collect()
    }

    /// A sandbox of a deployment.
    #[must_use]
    pub fn deployed(deployment: &Rc<Deployment>, number: usize, world: &Rc<World>, random: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(random);
        let invocation = Rc::default();
        let worker = worker(world, deployment, &invocation, random.u64(..));
        let (world, deployment) = (Rc::clone(world), Rc::clone(deployment));
        let process = world.next_process();
        Self { world, worker, deployment, number, process, invocation, random, is_cold: true }
    }

    #[must_use]
    pub fn worker(&self) -> &Worker<Seam, Seam, Seam> {
        &self.worker
    }

    /// Invokes the function with a batch, and with this interruption or one that the fault injector draws.
    ///
    /// # Panics
    ///
    /// If the mapping's event is not JSON.
    pub async fn invoke(&mut self, batch: &[ReceivedMessage], interruption: Option<Interruption>) -> Ending {
        let world = Rc::clone(&self.world);
        if std::mem::take(&mut self.is_cold) {
            let takes = world.injector.borrow_mut().cold_start();
            world.time.sleep(takes).await;
        }
        let began = world.now();
        let timeout = world.injector.borrow().timeout(began).unwrap_or(TIMEOUT);
        self.invocation.set(world.next_invocation());
        let invocation = self.invocation.get();
        let interruption = interruption.or_else(|| world.injector.borrow_mut().interruption(invocation));
        let batch_message = |received: &ReceivedMessage| BatchMessage {
            message: received.message.id.to_string(),
            lane: received.message.group.clone(),
            receive_count: received.message.receive_count,
        };
        let batch_messages = batch.iter().map(batch_message).collect();
        let (sandbox, process, ends) = (self.number, self.process, began + timeout);
        world.note(EntryKind::Invoked {
            invocation,
            sandbox,
            process,
            batch: batch_messages,
            ends,
            interruption,
        });
        let ending = if world.injector.borrow().is_start_broken(began) {
            world.time.sleep(START_FAILURE).await;
            Ending::Failed("the function did not start".to_owned())
        } else {
            Box::pin(self.run(batch, timeout, interruption)).await
        };
        world.note(EntryKind::Ended { invocation, ending: ending.clone() });
        let took = world.now().duration_since(began).unwrap_or_default();
        world.invocations.borrow_mut().push(Invoked { at: began, took, messages: batch.len() });
        if ending == Ending::Killed || world.injector.borrow_mut().is_recycled() {
            self.replace_process();
        }
        ending
    }

    /// Replaces the process with a new one without its state.
    fn replace_process(&mut self) {
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
            clock: Clock::starting_at(shown_at(now, self.number, self.deployment.clock_ahead_seconds)),
            ends_at: ends,
            lambda_request_id: format!("lambda-{}", self.invocation.get()),
            xray_trace_id: None,
        };
        let mut handled = Box::pin(handler::handle(&self.worker, &event, &invocation));
        let handled = interrupted(&self.world, handled.as_mut(), interruption);
        match self.world.time.sleep_or(ends, handled).await.flatten() {
            Some(Ok(response)) => Ending::Returned(response.to_string()),
            Some(Err(error)) => Ending::Failed(error.to_string()),
            None => Ending::Killed,
        }
    }
}

/// What the clock of a sandbox shows at this time: every other one from the first on is ahead.
pub(crate) fn shown_at(now: SystemTime, sandbox: usize, clock_ahead_seconds: i64) -> SystemTime {
    if !sandbox.is_multiple_of(2) {
        return now;
    }
    let by = Duration::from_secs(clock_ahead_seconds.unsigned_abs());
    if clock_ahead_seconds < 0 { now - by } else { now + by }
}

/// The output of the future, unless it is killed.
pub(crate) async fn interrupted<W: Future>(
    world: &World,
    mut work: Pin<&mut W>,
    interruption: Option<Interruption>,
) -> Option<W::Output> {
    let (polls_max, suspension) = match interruption {
        None => return Some(work.await),
        Some(Interruption::Kill { polls }) => (polls, None),
        Some(Interruption::Suspend { polls, duration }) => (polls, Some(duration)),
    };
    let mut polls = 0;
    let until_interrupted = |context: &mut Context<'_>| {
        if polls >= polls_max {
            return Poll::Ready(None);
        }
        polls += 1;
        work.as_mut().poll(context).map(Some)
    };
    match (std::future::poll_fn(until_interrupted).await, suspension) {
        (None, Some(duration)) => {
            world.time.sleep(duration).await;
            Some(work.await)
        }
        (ended, _) => ended,
    }
}

fn worker(
    world: &Rc<World>,
    deployment: &Deployment,
    invocation: &Rc<Cell<u32>>,
    random: u64,
) -> Worker<Seam, Seam, Seam> {
    let source = deployment.credentials.source(world);
    let seam = || Seam { world: Rc::clone(world), invocation: Rc::clone(invocation) };
    let client = Client::new(seam(), source, ServiceUrl::Regional, random);
    let settings = Settings {
        rules: deployment.rules.clone(),
        deadline: deployment.deadline,
        concurrency: deployment.concurrency,
        runbook_url: RunbookUrl::default(),
        limits: Limits::default(),
        time: TimeLimits::default(),
        deferral: DeferralLimits::default(),
    };
    Worker::new(client, seam(), seam(), settings, random)
}
