//! One history: a complete run of a world, from its plan until nothing is left to happen.

mod plan;
mod trace;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use local_aws::queues::Message;

use crate::invariants::{self, Breach};
use crate::mapping;
use crate::record::{Entry, EntryKind};
use crate::sandbox::Sandbox;
use crate::sweeper::SweeperSandbox;
use crate::world::World;
use crate::{log, time};

pub(crate) use plan::{PROTECTED_ENDPOINT, PROTECTED_GROUP, with_replacement};
pub use plan::{ParsedRequest, Plan, PlannedSweep, Request, SWEEP_TIMEOUT, Sweeps};
pub use trace::Trace;

/// The maximum length of a history: the longest deadline, and time for what follows it.
pub const LENGTH_MAX: Duration = Duration::from_hours(14);

/// A history that has ended, with its final state.
#[derive(Debug)]
pub struct History {
    pub plan: Plan,
    pub record: Vec<Entry>,
    pub began: SystemTime,
    pub ended: SystemTime,
    /// The messages that are still in the request queue.
    pub waiting: Vec<Message>,
    pub dead_letters: Vec<Message>,
    /// The endpoints after all tasks on them have ended.
    pub endpoints: Vec<privatelink_simulator::Endpoint>,
    /// When an endpoint, while it existed, lost its last group.
    pub emptied: Vec<(String, SystemTime)>,
    pub log: String,
}

impl History {
    /// Runs the history of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::of_plan(Plan::of_seed(seed))
    }

    /// Runs the history of sweeps of a seed.
    #[must_use]
    pub fn of_sweeps(seed: u64) -> Self {
        Self::of_plan(Plan::of_sweeps(seed))
    }

    #[must_use]
    pub fn of_plan(plan: Plan) -> Self {
        time::on_virtual_clock(Self::run(plan))
    }

    /// Returns the first guarantee that the history breaks, if any.
    pub fn check(&self) -> Result<(), Breach> {
        invariants::check(self)
    }

    async fn run(plan: Plan) -> Self {
        log::clear();
        let (world, mut sandboxes) = Self::prepare(&plan);
        // Unfinished requests are found in the queue by the checks.
        let mut sweepers = SweeperSandbox::of_plan(&plan, &world);
        let _ = mapping::drain_with_sweeps(&world, &mut sandboxes, &mut sweepers, LENGTH_MAX).await;
        Self::of_world(plan, &world)
    }

    /// Builds a plan's world and its sandboxes.
    #[must_use]
    pub fn prepare(plan: &Plan) -> (std::rc::Rc<World>, Vec<Sandbox>) {
        let (seed, faults) = (plan.cloud.clone(), plan.faults.clone());
        let world = World::with_faults(seed, plan.kind, plan.pace.clone(), faults, plan.seed);
        for request in &plan.requests {
            world.schedule_outside(request.at, crate::Outside::Send(Box::new(request.message(&world))));
        }
        for (at, outside) in &plan.outside {
            world.schedule_outside(*at, outside.clone());
        }
        let deployment = std::rc::Rc::new(plan.deployment.clone());
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let sandboxes = (0..plan.sandboxes)
            .map(|number| Sandbox::deployed(&deployment, number, &world, random.u64(..)))
            .collect();
        (world, sandboxes)
    }

    /// Collects the final state of a world.
    #[must_use]
    pub fn of_world(mut plan: Plan, world: &World) -> Self {
        let record = world.record.take();
        add_requests_of_sweeps(&mut plan, &record, world.began());
        let mut cloud = world.cloud.borrow_mut();
        let endpoints = cloud.snapshot(world.now() + LENGTH_MAX).endpoints;
        // The others do not exist at the end.
        let removed = plan.cloud.endpoints.iter().map(|endpoint| &endpoint.endpoint_id);
        let ids: BTreeSet<_> =
            endpoints.iter().map(|endpoint| &endpoint.endpoint_id).chain(removed).collect();
        let emptied = ids
            .into_iter()
            .filter_map(|id| Some((id.to_string(), cloud.emptied_at(id.clone(), world.now() + LENGTH_MAX)?)))
            .collect();
        drop(cloud);
        Self {
            plan,
            record,
            began: world.began(),
            ended: world.now(),
            waiting: world.requests(),
            dead_letters: world.dead_letters(),
            endpoints,
            emptied,
            log: log::written(),
        }
    }
}

/// Adds the requests of the sweeps to the planned ones: they are carried out and checked like those.
fn add_requests_of_sweeps(plan: &mut Plan, record: &[Entry], began: SystemTime) {
    if plan.sweeps.planned.is_empty() {
        return;
    }
    for Entry { at, kind } in record {
        if let EntryKind::Sent { body, .. } = kind
            && plan.requests.iter().all(|request| request.body != *body)
        {
            plan.requests.push(Request::of_sweep(body, at.duration_since(began).unwrap_or_default()));
        }
    }
}
