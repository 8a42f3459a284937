//! One history: what a seed makes of a world, from its beginning until nothing is left to happen.

mod plan;
mod story;

use std::time::{Duration, SystemTime};

use local_aws::queues::Message;

use crate::invariants::{self, Breach};
use crate::mapping;
use crate::record::Entry;
use crate::sandbox::Sandbox;
use crate::world::World;
use crate::{log, time};

pub use plan::{Plan, Request, Wanted};
pub use story::Story;

/// How long a history may last at most: the longest deadline, and what may come after it.
pub const LENGTH_MAX: Duration = Duration::from_hours(14);

/// A history that has ended, and everything that is left of it.
#[derive(Debug)]
pub struct History {
    /// What it began with.
    pub plan: Plan,
    /// What happened.
    pub record: Vec<Entry>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is still in the request queue.
    pub waiting: Vec<Message>,
    /// What is in the dead-letter queue.
    pub dead_letters: Vec<Message>,
    /// The endpoints, once everything that was under way on them has ended.
    pub endpoints: Vec<privatelink_simulator::Endpoint>,
    /// The worker's log.
    pub log: String,
}

impl History {
    /// Lives through what a seed makes.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::of_plan(Plan::of_seed(seed))
    }

    /// Lives through a plan.
    #[must_use]
    pub fn of_plan(plan: Plan) -> Self {
        time::on_virtual_clock(Self::live(plan))
    }

    /// The first promise that it breaks, if it breaks one.
    pub fn check(&self) -> Result<(), Breach> {
        invariants::check(self)
    }

    async fn live(plan: Plan) -> Self {
        log::clear();
        let (world, mut sandboxes) = Self::prepare(&plan);
        // What is not done then is seen in the queue.
        let _ = mapping::drain(&world, &mut sandboxes, LENGTH_MAX).await;
        Self::told(plan, &world)
    }

    /// A plan's world at its beginning, and its sandboxes.
    #[must_use]
    pub fn prepare(plan: &Plan) -> (std::rc::Rc<World>, Vec<Sandbox>) {
        let (seed, troubles) = (plan.cloud.clone(), plan.troubles.clone());
        let world = World::troubled(seed, plan.kind, plan.pace.clone(), troubles, plan.seed);
        for request in &plan.requests {
            world.plan(request.at, crate::Outside::Send(Box::new(request.message(&world))));
        }
        for (at, outside) in &plan.outside {
            world.plan(*at, outside.clone());
        }
        let deployment = std::rc::Rc::new(plan.deployment.clone());
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let sandboxes = (0..plan.sandboxes)
            .map(|number| Sandbox::deployed(&deployment, number, &world, random.u64(..)))
            .collect();
        (world, sandboxes)
    }

    /// What is left of a world.
    #[must_use]
    pub fn told(plan: Plan, world: &World) -> Self {
        Self {
            plan,
            record: world.record.take(),
            began: world.began(),
            ended: world.now(),
            waiting: world.requests(),
            dead_letters: world.dead_letters(),
            endpoints: world.cloud.borrow_mut().snapshot(world.now() + LENGTH_MAX).endpoints,
            log: log::written(),
        }
    }
}
