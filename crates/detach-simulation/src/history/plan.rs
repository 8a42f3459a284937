//! The plan of a history, drawn from one number: endpoints, requests, and all faults.

mod faults;
mod other_clients;
mod replacements;
mod requests;
mod settings;
mod sweeps;

use std::num::NonZeroU16;
use std::time::Duration;

use privatelink_detach::request::{EndpointId, Rules, SecurityGroupId, VpcId};
use privatelink_simulator::{Endpoint, Seed};

use crate::faults::Faults;
use crate::outside::Outside;
use crate::pace::Pace;
use crate::sandbox::{CredentialsPlace, Deployment};
use crate::world::{QueueKind, REGION};

pub use requests::{ParsedRequest, Request};
pub use sweeps::{PlannedSweep, Sweeps, TIMEOUT as SWEEP_TIMEOUT};

/// All security groups. Each endpoint starts with the first few of them.
const GROUPS: [&str; 6] = ["sg-a", "sg-b", "sg-c", "sg-d", "sg-e", "sg-f"];

/// A group and an endpoint that the deployment protects.
pub(crate) const PROTECTED_GROUP: &str = "sg-safe";
pub(crate) const PROTECTED_ENDPOINT: &str = "ep-safe";

#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of the plan, and of every random choice while it runs.
    pub seed: u64,
    pub kind: QueueKind,
    /// The initial state of Alibaba Cloud.
    pub cloud: Seed,
    pub pace: Pace,
    pub deployment: Deployment,
    pub sandboxes: usize,
    pub requests: Vec<Request>,
    /// None in most histories.
    pub sweeps: Sweeps,
    /// What other clients do, each with its time since the start.
    pub outside: Vec<(Duration, Outside)>,
    /// What fails in AWS.
    pub faults: Faults,
    /// When all faults end, since the start.
    pub faults_end_at: Duration,
}

impl Plan {
    /// A plan without requests and faults.
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
            sweeps: Sweeps::default(),
            outside: Vec::new(),
            faults: Faults::default(),
            faults_end_at: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random(fastrand::Rng::with_seed(seed));
        let faults_end_at = random.seconds(30, 400);
        let kind = if random.chance(0.7) { QueueKind::Fifo } else { QueueKind::Standard };
        let endpoints: Vec<Endpoint> = (0..random.number(1, 3)).map(|n| endpoint(n, &mut random)).collect();
        let mut cloud = Seed { endpoints, ..Seed::default() };
        cloud.security_groups.extend(GROUPS.map(Into::into));
        let mut plan = Self {
            kind,
            pace: pace(&mut random),
            deployment: deployment(),
            sandboxes: usize::try_from(random.number(1, 4)).unwrap_or(1),
            faults_end_at,
            ..Self::quiet(seed)
        };
        if random.chance(0.7) {
            plan.deployment.clock_ahead_seconds = settings::draw(&mut cloud, seed, &mut random);
        }
        plan.requests = requests::draw(&cloud, faults_end_at, &mut random);
        if random.chance(0.5) {
            faults::draw(&cloud, faults_end_at, &mut plan.outside, &mut random);
        }
        if random.chance(0.4) {
            other_clients::draw(&cloud, faults_end_at, &mut plan.outside, &mut random);
        }
        if random.chance(0.5) {
            plan.faults = faults::draw_aws(kind, faults_end_at, &mut random);
        } else if random.chance(0.2) {
            plan.faults.misconfigurations.push(faults::short_time(faults_end_at, &mut random));
        }
        // Drawn last: what follows changes nothing else in the history of a seed.
        if random.chance(0.03) {
            plan.deployment.rules.dry_run_only = true;
            for parsed in plan.requests.iter_mut().filter_map(|request| request.parsed.as_mut()) {
                parsed.dry_run = true;
            }
        }
        if random.chance(0.15) {
            plan.deployment.credentials = CredentialsPlace::Secret;
            faults::draw_credentials(faults_end_at, &mut plan.outside, &mut random);
        }
        plan.cloud = cloud;
        // Drawn last, too.
        if random.chance(0.35) {
            replacements::draw(&mut plan, &mut random);
        }
        plan.outside.sort_by_key(|(at, _)| *at);
        plan.outside.push((faults_end_at, Outside::FaultsEnd));
        plan
    }
}

/// The plan, with a group that exists and replaces the last one of endpoints in this VPC.
pub(crate) fn with_replacement(mut plan: Plan, vpc: &str, group: &str) -> Plan {
    if let (Some(vpc), Some(group)) = (VpcId::parse(vpc), SecurityGroupId::parse(group)) {
        plan.cloud.security_groups.insert(group.as_str().into());
        plan.deployment.rules.replacements.insert(vpc, group);
    }
    plan
}

/// The template's settings, with a protected group and a protected endpoint.
fn deployment() -> Deployment {
    let rules = Rules {
        protected_security_groups: SecurityGroupId::parse(PROTECTED_GROUP).into_iter().collect(),
        protected_endpoints: EndpointId::parse(PROTECTED_ENDPOINT).into_iter().collect(),
        ..Rules::default()
    };
    Deployment { rules, concurrency: NonZeroU16::MIN.saturating_add(9), ..Deployment::default() }
}

fn endpoint(number: u64, random: &mut Random) -> Endpoint {
    // Most endpoints have more than one group, so one of them can be detached.
    let groups = if random.chance(0.1) { 1 } else { random.number(2, 5) };
    let groups = GROUPS.into_iter().take(usize::try_from(groups).unwrap_or(1));
    Endpoint::new(REGION, format!("ep-{number}"), groups)
}

fn pace(random: &mut Random) -> Pace {
    let ms = Duration::from_millis;
    let alibaba = random.one_of(&[(5, 40), (40, 150), (40, 150), (200, 2000)]);
    let aws = random.one_of(&[(1, 4), (5, 20), (50, 500)]);
    Pace { alibaba: ms(alibaba.0)..=ms(alibaba.1), aws: ms(aws.0)..=ms(aws.1) }
}

/// A seeded source of random choices.
pub(crate) struct Random(fastrand::Rng);

impl Random {
    /// True with this probability.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.0.f64() < share
    }

    pub(crate) fn number(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    pub(crate) fn share(&mut self, most: f64) -> f64 {
        self.0.f64() * most
    }

    /// A duration between two numbers of seconds, in milliseconds.
    pub(crate) fn seconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.number(least * 1000, most * 1000))
    }

    /// A time before `end`.
    pub(crate) fn before(&mut self, end: Duration) -> Duration {
        end.mul_f64(self.0.f64())
    }

    /// # Panics
    ///
    /// If `some` is empty.
    pub(crate) fn one_of<T: Clone>(&mut self, some: &[T]) -> T {
        some[self.0.usize(..some.len())].clone()
    }
}
