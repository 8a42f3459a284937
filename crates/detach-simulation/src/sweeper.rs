//! One execution environment of the sweeper's function.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::Services;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::{Settings, SweepError, Sweeper, TimeLimits};
use privatelink_detach::transport::BaseUrl;
use serde_json::value::RawValue;

use crate::history::{Plan, PlannedSweep};
use crate::record::EntryKind;
use crate::sandbox::{Ending, interrupted, shown_at};
use crate::seam::Seam;
use crate::world::World;

/// A sweeper with production's settings, its state between invocations, and the sweeps that it is invoked with.
#[derive(Debug)]
pub struct SweeperSandbox {
    world: Rc<World>,
    plan: Rc<Plan>,
    sweeper: Sweeper<Seam, Seam, Seam>,
    number: usize,
    process: u32,
    invocation: Rc<Cell<u32>>,
    random: fastrand::Rng,
}

impl SweeperSandbox {
    /// The sandboxes of a plan's sweeps.
    #[must_use]
    pub fn of_plan(plan: &Plan, world: &Rc<World>) -> Vec<Self> {
        if plan.sweeps.planned.is_empty() {
            return Vec::new();
        }
        world.open_sweeps.set(plan.sweeps.planned.len());
        let plan = Rc::new(plan.clone());
        let mut random = fastrand::Rng::with_seed(plan.seed.rotate_left(32));
        (0..plan.sweeps.sandboxes).map(|number| Self::new(number, &plan, world, random.fork())).collect()
    }

    fn new(number: usize, plan: &Rc<Plan>, world: &Rc<World>, mut random: fastrand::Rng) -> Self {
        let invocation = Rc::default();
        let sweeper = sweeper(world, plan, &invocation, random.u64(..));
        let (world, plan, process) = (Rc::clone(world), Rc::clone(plan), world.next_process());
        Self { world, plan, sweeper, number, process, invocation, random }
    }

    /// Carries out its sweeps, each at its time or when the one before it has ended.
    pub async fn run(&mut self) {
        let (plan, number) = (Rc::clone(&self.plan), self.number);
        let sweeps = plan.sweeps.planned.iter().enumerate();
        for (place, sweep) in sweeps.filter(|(_, sweep)| sweep.sandbox == number) {
            let wait = (self.world.began() + sweep.at).duration_since(self.world.now()).unwrap_or_default();
            self.world.time.sleep(wait).await;
            self.invoke(place, sweep).await;
            self.world.open_sweeps.set(self.world.open_sweeps.get() - 1);
            self.world.changed.notify_waiters();
        }
    }

    async fn invoke(&mut self, place: usize, sweep: &PlannedSweep) {
        let world = Rc::clone(&self.world);
        self.invocation.set(world.next_invocation());
        let (invocation, process) = (self.invocation.get(), self.process);
        let interruption = world.injector.borrow_mut().interruption(invocation);
        let ends = world.now() + self.plan.sweeps.timeout;
        world.note(EntryKind::SweepInvoked { invocation, process, sweep: place, ends, interruption });
        self.note_actual();
        let body = RawValue::from_string(sweep.body.clone()).expect("a payload in JSON");
        let ahead = self.plan.deployment.clock_ahead_seconds;
        let context = Invocation {
            clock: Clock::starting_at(shown_at(world.now(), self.number, ahead)),
            ends_at: ends,
            lambda_request_id: format!("lambda-{invocation}"),
            xray_trace_id: None,
        };
        let ending = {
            let handled = pin!(self.sweeper.handle(&body, &context));
            let handled = interrupted(&world, handled, interruption);
            match world.time.sleep_or(ends, handled).await.flatten() {
                Some(Ok(response)) => Ending::Returned(response.to_string()),
                Some(Err(error)) => Ending::Failed(failure(&error)),
                None => Ending::Killed,
            }
        };
        self.note_actual();
        world.note(EntryKind::Ended { invocation, ending: ending.clone() });
        if ending == Ending::Killed || world.injector.borrow_mut().is_recycled() {
            self.sweeper = self::sweeper(&world, &self.plan, &self.invocation, self.random.u64(..));
            self.process = world.next_process();
        }
    }

    fn note_actual(&self) {
        let endpoints = self.world.cloud.borrow_mut().snapshot(self.world.now()).endpoints;
        self.world.note(EntryKind::Actual { invocation: self.invocation.get(), endpoints });
    }
}

/// The name of the error as Lambda reports it, and its message.
fn failure(error: &SweepError) -> String {
    let name = match error {
        SweepError::InvalidSweep(_) => "InvalidSweep",
        SweepError::EventNotPublished { .. } => "EventNotPublished",
        SweepError::Unwritable(_) => "Unwritable",
    };
    format!("{name}: {error}")
}

fn sweeper(
    world: &Rc<World>,
    plan: &Plan,
    invocation: &Rc<Cell<u32>>,
    random: u64,
) -> Sweeper<Seam, Seam, Seam> {
    let source = plan.deployment.credentials.source(world);
    let seam = || Seam { world: Rc::clone(world), invocation: Rc::clone(invocation) };
    let services = Services::new(seam(), BaseUrl::sts(), ServiceUrl::Regional, random.rotate_left(16));
    let client = Client::new(seam(), source, ServiceUrl::Regional, random);
    let settings = Settings {
        rules: plan.deployment.rules.clone(),
        is_apply_allowed: plan.sweeps.is_apply_allowed,
        runbook_url: RunbookUrl::default(),
        limits: Limits::default(),
        pace: Pace::default(),
        time: TimeLimits::default(),
    };
    Sweeper::new(Cloud::new(client, random), Some(services), seam(), seam(), settings)
}
