//! What a history begins with, drawn from one number: endpoints, requests, and everything that will go wrong.

mod faults;
mod neighbours;
mod requests;
mod switches;

use std::num::NonZeroU16;
use std::time::Duration;

use privatelink_detach::request::{EndpointId, Rules, SecurityGroupId};
use privatelink_simulator::{Endpoint, Seed};

use crate::outside::Outside;
use crate::pace::Pace;
use crate::sandbox::Deployment;
use crate::trouble::Troubles;
use crate::world::{QueueKind, REGION};

pub use requests::{Request, Wanted};

/// The groups that there are. Endpoints begin with the first few of them.
const GROUPS: [&str; 6] = ["sg-a", "sg-b", "sg-c", "sg-d", "sg-e", "sg-f"];

/// A group and an endpoint that the deployment protects.
const PROTECTED_GROUP: &str = "sg-safe";
const PROTECTED_ENDPOINT: &str = "ep-safe";

/// What a history begins with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The number that it was drawn from, and that makes every chance in it.
    pub seed: u64,
    /// The kind of the queues.
    pub kind: QueueKind,
    /// Alibaba Cloud.
    pub cloud: Seed,
    /// How long calls take.
    pub pace: Pace,
    /// How the worker is configured.
    pub deployment: Deployment,
    /// How many sandboxes there are.
    pub sandboxes: usize,
    /// The requests.
    pub requests: Vec<Request>,
    /// What others do, each so long after the beginning.
    pub outside: Vec<(Duration, Outside)>,
    /// What goes wrong in AWS.
    pub troubles: Troubles,
    /// When all of it ends.
    pub calm_at: Duration,
}

impl Plan {
    /// A plan with nothing in it: one request's worth of a healthy world.
    #[must_use]
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            kind: QueueKind::Fifo,
            cloud: Seed::default(),
            pace: Pace::default(),
            deployment: Deployment::default(),
            sandboxes: 1,
            requests: Vec::new(),
            outside: Vec::new(),
            troubles: Troubles::default(),
            calm_at: Duration::ZERO,
        }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let calm_at = dice.seconds(30, 400);
        let kind = if dice.is(0.7) { QueueKind::Fifo } else { QueueKind::Standard };
        let endpoints: Vec<Endpoint> = (0..dice.number(1, 3)).map(|n| endpoint(n, &mut dice)).collect();
        let mut cloud = Seed { endpoints, ..Seed::default() };
        cloud.security_groups.extend(GROUPS.map(Into::into));
        let mut plan = Self {
            kind,
            pace: pace(&mut dice),
            deployment: deployment(),
            sandboxes: usize::try_from(dice.number(1, 4)).unwrap_or(1),
            calm_at,
            ..Self::quiet(seed)
        };
        if dice.is(0.7) {
            switches::draw(&mut cloud, seed, &mut dice);
        }
        plan.requests = requests::draw(&cloud, calm_at, &mut dice);
        if dice.is(0.5) {
            faults::draw(&cloud, calm_at, &mut plan.outside, &mut dice);
        }
        if dice.is(0.4) {
            neighbours::draw(&cloud, calm_at, &mut plan.outside, &mut dice);
        }
        if dice.is(0.5) {
            plan.troubles = faults::troubles(kind, calm_at, &mut dice);
        } else if dice.is(0.2) {
            plan.troubles.mistakes.push(faults::short_time(calm_at, &mut dice));
        }
        plan.cloud = cloud;
        plan.outside.sort_by_key(|(at, _)| *at);
        plan.outside.push((calm_at, Outside::Calm));
        plan
    }
}

/// As the template has it, with something to protect.
fn deployment() -> Deployment {
    let rules = Rules {
        protected_security_groups: SecurityGroupId::parse(PROTECTED_GROUP).into_iter().collect(),
        protected_endpoints: EndpointId::parse(PROTECTED_ENDPOINT).into_iter().collect(),
        ..Rules::default()
    };
    Deployment { rules, concurrency: NonZeroU16::MIN.saturating_add(9), ..Deployment::default() }
}

fn endpoint(number: u64, dice: &mut Dice) -> Endpoint {
    // Mostly there is a group to spare.
    let groups = if dice.is(0.1) { 1 } else { dice.number(2, 5) };
    let groups = GROUPS.into_iter().take(usize::try_from(groups).unwrap_or(1));
    Endpoint::new(REGION, format!("ep-{number}"), groups)
}

fn pace(dice: &mut Dice) -> Pace {
    let ms = Duration::from_millis;
    let alibaba = dice.one_of(&[(5, 40), (40, 150), (40, 150), (200, 2000)]);
    let aws = dice.one_of(&[(1, 4), (5, 20), (50, 500)]);
    Pace { alibaba: ms(alibaba.0)..=ms(alibaba.1), aws: ms(aws.0)..=ms(aws.1) }
}

/// Draws from one source of chance.
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    /// True so often, of 1.
    pub(crate) fn is(&mut self, share: f64) -> bool {
        self.0.f64() < share
    }

    pub(crate) fn number(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    pub(crate) fn share(&mut self, most: f64) -> f64 {
        self.0.f64() * most
    }

    /// Milliseconds between these seconds.
    pub(crate) fn seconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.number(least * 1000, most * 1000))
    }

    /// A moment before then.
    pub(crate) fn before(&mut self, end: Duration) -> Duration {
        end.mul_f64(self.0.f64())
    }

    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn one_of<T: Clone>(&mut self, some: &[T]) -> T {
        some[self.0.usize(..some.len())].clone()
    }
}
