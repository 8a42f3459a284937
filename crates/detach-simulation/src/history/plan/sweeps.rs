//! The sweeps of a history, and the plan of a history that is about sweeps.

use std::time::Duration;

use privatelink_detach::request::RegionId;
use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, SecurityGroup, Seed};
use serde_json::{Value, json};

use super::{GROUPS, PROTECTED_ENDPOINT, PROTECTED_GROUP, Plan, Random};
use super::{deployment, endpoint, faults, other_clients, pace, replacements, requests, settings};
use crate::faults::{Breaks, Misconfiguration};
use crate::outside::Outside;
use crate::record::Operation;
use crate::sandbox::CredentialsPlace;
use crate::world::{OTHER_REGION, QueueKind, REGION};

/// The template's timeout of the sweeper's function.
pub const TIMEOUT: Duration = Duration::from_mins(15);

/// The calls that a sweep makes.
const ACTIONS: [Action; 3] =
    [Action::ListVpcEndpoints, Action::ListVpcEndpointSecurityGroups, Action::DescribeSecurityGroups];

/// The sweeps of a history, and the deployment's settings for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweeps {
    /// In the order of their times.
    pub planned: Vec<PlannedSweep>,
    pub is_apply_allowed: bool,
    /// The number of execution environments.
    pub sandboxes: usize,
    /// The function's timeout.
    pub timeout: Duration,
}

impl Default for Sweeps {
    fn default() -> Self {
        Self { planned: Vec::new(), is_apply_allowed: true, sandboxes: 1, timeout: TIMEOUT }
    }
}

/// One sweep, and its content as the checks know it, without parsing the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSweep {
    /// When it is started, since the start.
    pub at: Duration,
    /// The execution environment that it runs in.
    pub sandbox: usize,
    pub body: String,
    /// Whether the invocation must fail as `InvalidSweep`.
    pub is_invalid: bool,
    pub sweep_id: Option<String>,
    pub groups: Vec<String>,
    pub regions: Vec<String>,
    /// The `scope` of its body.
    pub scope: Value,
    pub is_apply: bool,
    pub max_detaches: Option<u64>,
}

impl PlannedSweep {
    /// The sweep with this body, at the start and in the first execution environment.
    #[must_use]
    pub fn new(body: &Value) -> Self {
        let texts = |name: &str| {
            let values = body[name].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            at: Duration::ZERO,
            sandbox: 0,
            body: body.to_string(),
            is_invalid: false,
            sweep_id: body["sweep_id"].as_str().map(str::to_owned),
            groups: texts("security_group_ids"),
            regions: texts("region_ids"),
            scope: body["scope"].clone(),
            is_apply: body["mode"] == "apply",
            max_detaches: body["max_detaches"].as_u64(),
        }
    }
}

impl Plan {
    /// The plan of a history with sweeps, which also has some requests of other senders.
    #[must_use]
    pub fn of_sweeps(seed: u64) -> Self {
        let mut random = Random(fastrand::Rng::with_seed(seed));
        let faults_end_at = random.seconds(30, 400);
        let mut endpoints: Vec<Endpoint> = (0..random.number(1, 6))
            .map(|number| varied(endpoint(number, &mut random), &mut random))
            .collect();
        if random.chance(0.15) {
            endpoints[0].endpoint_id = PROTECTED_ENDPOINT.into();
        }
        let mut cloud = Seed { endpoints, ..Seed::default() };
        cloud.security_groups.extend(GROUPS.map(Into::into));
        let mut plan = Self {
            pace: pace(&mut random),
            deployment: deployment(),
            sandboxes: usize::try_from(random.number(1, 4)).unwrap_or(1),
            faults_end_at,
            ..Self::quiet(seed)
        };
        if random.chance(0.5) {
            plan.deployment.clock_ahead_seconds = settings::draw(&mut cloud, seed, &mut random);
        }
        let others = Seed { endpoints: for_other_senders(&cloud), ..Seed::default() };
        if random.chance(0.3) && !others.endpoints.is_empty() {
            plan.requests = requests::draw(&others, faults_end_at, &mut random);
        }
        draw_deployment(&mut plan, &mut random);
        plan.sweeps.planned = draw(&cloud, &plan, &mut random);
        if random.chance(0.4) {
            faults::draw(&cloud, faults_end_at, &mut plan.outside, &mut random);
        }
        if random.chance(0.1) {
            plan.outside.push((random.before(faults_end_at), Outside::Fault(Box::new(missing(&mut random)))));
        }
        if random.chance(0.06) {
            let denied_actions = [random.one_of(&ACTIONS)].into();
            let denied = vec![AccessKey { denied_actions, ..AccessKey::default() }];
            if random.chance(0.5) {
                cloud.access_keys = denied;
            } else {
                let denied = vec![random.one_of(&ACTIONS)];
                plan.outside.push((random.before(faults_end_at), Outside::Permissions { denied }));
            }
        }
        if random.chance(0.5) {
            other_clients::draw(&cloud, faults_end_at, &mut plan.outside, &mut random);
        }
        if random.chance(0.3) {
            let new = varied(Endpoint::new(REGION, "ep-new", GROUPS.into_iter().take(3)), &mut random);
            let created = Outside::Create { endpoint: Box::new(new) };
            plan.outside.push((random.before(faults_end_at), created));
        }
        if random.chance(0.4) {
            plan.faults = faults::draw_aws(QueueKind::Fifo, faults_end_at, &mut random);
            if random.chance(0.15) {
                let breaks = Breaks::Operation(random.one_of(&[Operation::Request, Operation::Publish]));
                let (from, until) = (Duration::ZERO, random.before(faults_end_at));
                plan.faults.misconfigurations.push(Misconfiguration { breaks, from, until });
            }
        }
        plan.cloud = cloud;
        if random.chance(0.4) {
            replacements::draw_for_sweeps(&mut plan, &mut random);
        }
        // Drawn last: it changes nothing else in the history of a seed.
        if random.chance(0.15) {
            plan.deployment.credentials = CredentialsPlace::Secret;
            faults::draw_credentials(faults_end_at, &mut plan.outside, &mut random);
        }
        plan.outside.sort_by_key(|(at, _)| *at);
        plan.outside.push((faults_end_at, Outside::FaultsEnd));
        plan
    }
}

/// The endpoints about which other senders make requests that are not rejected.
fn for_other_senders(cloud: &Seed) -> Vec<Endpoint> {
    let is_one = |endpoint: &&Endpoint| {
        endpoint.region_id.as_str() == REGION
            && endpoint.endpoint_id.as_str() != PROTECTED_ENDPOINT
            && endpoint.group(&PROTECTED_GROUP.into()).is_none()
            && endpoint.endpoint_type == "Interface"
    };
    cloud.endpoints.iter().filter(is_one).cloned().collect()
}

/// Wrong responses that an endpoint does not exist.
fn missing(random: &mut Random) -> Fault {
    let effect = Effect::code("EndpointNotFound");
    Fault::on(Action::ListVpcEndpointSecurityGroups, effect).next(random.number(1, 12))
}

/// What the deployment allows a sweep.
fn draw_deployment(plan: &mut Plan, random: &mut Random) {
    plan.sweeps.is_apply_allowed = random.chance(0.9);
    plan.sweeps.sandboxes = usize::try_from(random.number(1, 3)).unwrap_or(1);
    if random.chance(0.15) {
        plan.sweeps.timeout = random.seconds(20, 120);
    }
    if random.chance(0.1) {
        plan.deployment.rules.allowed_regions = RegionId::parse(REGION).into_iter().collect();
    }
    if random.chance(0.05) {
        plan.deployment.rules.dry_run_only = true;
        for parsed in plan.requests.iter_mut().filter_map(|request| request.parsed.as_mut()) {
            parsed.dry_run = true;
        }
    }
}

/// The endpoint with the fields by which a sweep selects, and sometimes with something that it must not request.
fn varied(endpoint: Endpoint, random: &mut Random) -> Endpoint {
    let mut endpoint = Endpoint {
        region_id: if random.chance(0.8) { REGION } else { OTHER_REGION }.into(),
        endpoint_name: random.chance(0.8).then(|| random.one_of(&["name-a", "name-b"]).to_owned()),
        vpc_id: Some(random.one_of(&["vpc-a", "vpc-a", "vpc-b"]).to_owned()),
        resource_group_id: Some(random.one_of(&["rg-a", "rg-b"]).to_owned()),
        ..endpoint
    };
    if random.chance(0.7) {
        endpoint.tags.insert("team".to_owned(), random.one_of(&["a", "b"]).to_owned());
    }
    if random.chance(0.15) {
        endpoint.security_groups.push(SecurityGroup::attached(PROTECTED_GROUP));
    }
    if random.chance(0.05) {
        "FinancialLocked".clone_into(&mut endpoint.business_status);
    }
    if random.chance(0.05) {
        "GatewayLoadBalancer".clone_into(&mut endpoint.endpoint_type);
        endpoint.security_groups.clear();
    }
    endpoint
}

/// Draws one to five sweeps: most begin while the faults last, some after them, and some are started twice.
fn draw(cloud: &Seed, plan: &Plan, random: &mut Random) -> Vec<PlannedSweep> {
    let end = plan.faults_end_at;
    let mut sweeps = Vec::new();
    for number in 0..random.number(1, 3) {
        let mut sweep = one(number, cloud, plan, random);
        sweep.at = match random.number(0, 3) {
            0 => Duration::ZERO,
            1 | 2 => random.before(end),
            _ => end + random.seconds(5, 60),
        };
        let sandbox = |random: &mut Random| {
            let last = u64::try_from(plan.sweeps.sandboxes - 1).expect("a few sandboxes");
            usize::try_from(random.number(0, last)).expect("a few sandboxes")
        };
        sweep.sandbox = sandbox(random);
        // EventBridge Scheduler may deliver an invocation more than once.
        if random.chance(0.35) {
            let at = sweep.at + random.seconds(0, 400);
            sweeps.push(PlannedSweep { at, sandbox: sandbox(random), ..sweep.clone() });
        }
        sweeps.push(sweep);
    }
    sweeps.sort_by_key(|sweep| sweep.at);
    sweeps
}

fn one(number: u64, cloud: &Seed, plan: &Plan, random: &mut Random) -> PlannedSweep {
    let mut groups = vec![random.one_of(&GROUPS[..4]).to_owned()];
    for other in [GROUPS[0], GROUPS[1], PROTECTED_GROUP] {
        if random.chance(0.2) && !groups.iter().any(|group| group == other) {
            groups.push(other.to_owned());
        }
    }
    if random.chance(0.03) {
        groups.push("sg-missing".to_owned());
    }
    let regions =
        random.one_of(&[&[REGION][..], &[REGION], &[REGION, OTHER_REGION], &[OTHER_REGION, REGION]]);
    let scope = scope(random);
    let is_apply = random.chance(0.8);
    let references = references(cloud, &groups, regions);
    let max_detaches = match random.number(0, 9) {
        0 => 0,
        1 => references.saturating_sub(1),
        2 | 3 => references,
        _ => 100,
    };
    let mut body = json!({
        "security_group_ids": groups,
        "region_ids": regions,
        "scope": scope,
        "mode": if is_apply { "apply" } else { "report" },
    });
    if random.chance(0.7) {
        body["sweep_id"] = format!("sweep-{number}").into();
    }
    if is_apply || random.chance(0.3) {
        body["max_detaches"] = max_detaches.into();
    }
    if random.chance(0.3) {
        body["deadline_seconds"] = random.number(60, 900).into();
    }
    if random.chance(0.3) {
        body["metadata"] = json!({ "ticket": "7" });
    }
    let rules = &plan.deployment.rules;
    let is_elsewhere = !rules.allowed_regions.is_empty() && regions.contains(&OTHER_REGION);
    let mut is_invalid = is_elsewhere;
    if random.chance(0.04) {
        is_invalid = true;
        let (field, value) = random.one_of(&[
            ("vpc_id", json!("vpc-a")),
            ("scope", json!({})),
            ("mode", json!("Apply")),
            ("security_group_ids", json!(["sg-a", "sg-a"])),
            ("metadata", json!({ "sweep_id": "another" })),
        ]);
        body[field] = value;
    }
    PlannedSweep { is_invalid, ..PlannedSweep::new(&body) }
}

fn scope(random: &mut Random) -> Value {
    match random.number(0, 9) {
        0..=5 => json!("all"),
        6 => json!({ "vpc_id": random.one_of(&["vpc-a", "vpc-b"]) }),
        7 => json!({ "endpoint_name": random.one_of(&["name-a", "name-b"]) }),
        8 => json!({ "tags": { "team": random.one_of(&["a", "b"]) } }),
        _ => json!({ "vpc_id": "vpc-a", "resource_group_id": random.one_of(&["rg-a", "rg-b"]) }),
    }
}

/// How many uses of the groups there are at the start, in these regions.
fn references(cloud: &Seed, groups: &[String], regions: &[&str]) -> usize {
    let endpoints = cloud.endpoints.iter().filter(|one| regions.contains(&one.region_id.as_str()));
    let uses = endpoints.flat_map(|one| &one.security_groups);
    uses.filter(|used| groups.iter().any(|group| group == used.id.as_str())).count()
}
