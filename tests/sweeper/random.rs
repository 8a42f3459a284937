//! Random clouds and random errors: a sweep finds exactly the references of the endpoints that its last list named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use privatelink_detach::alibaba::privatelink::EndpointFilter;
use privatelink_detach::alibaba::records::Tag;
use privatelink_detach::sweep::{Plan, Verdict};
use privatelink_simulator::{Action, Cloud, Effect, Endpoint, Fault, Seed};

use super::wire::{REGIONS, Scope, Wire};

const SEEDS: u64 = 200;

const ENDPOINTS: usize = 300;

/// The groups of the sweeps.
const GROUPS: [&str; 2] = ["sg-wanted", "sg-also-wanted"];

/// A reference: region, endpoint and group.
type Reference = (String, String, String);

/// What happens in one run beside the reading.
struct Run {
    seed: Seed,
    filter: EndpointFilter,
    latency: Duration,
    /// What changes, and before which call.
    changes: BTreeMap<u64, Change>,
    /// The endpoint that never responds, if there is one.
    broken: Option<String>,
}

#[derive(Debug, Clone)]
enum Change {
    Create(Box<Endpoint>),
    Remove(String),
}

impl Run {
    fn of(seed: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let endpoints: Vec<_> = (0..ENDPOINTS).map(|n| endpoint(n, rng)).collect();
        let filter = filter(rng);
        let in_scope: Vec<_> = endpoints.iter().filter(|endpoint| contains(&filter, endpoint)).collect();
        let mut seed = Seed::default();
        // Two of ten verify signatures: it takes half of the time.
        seed.settings.verify_signatures = rng.u8(..10) < 2;
        let page_size = [1_000, 1_000, 40, 9, 3][rng.usize(..5)];
        seed.settings.page_size_max = page_size;
        let lag = Duration::from_millis(rng.u64(..2_000)) * u32::from(rng.bool());
        (seed.settings.read_lag, seed.settings.record_lag) = (lag, lag);

        // At most two changes of the list in all: each may need another round, and three are made.
        let changes = (0..rng.u64(..3)).map(|n| {
            let change = if in_scope.is_empty() || rng.bool() {
                let id = format!("ep-new-{n}");
                Change::Create(Box::new(Endpoint {
                    endpoint_id: id.as_str().into(),
                    ..endpoint(rng.usize(..3), rng)
                }))
            } else {
                Change::Remove(in_scope[rng.usize(..in_scope.len())].endpoint_id.to_string())
            };
            (rng.u64(2..in_scope.len() as u64 + 5), change)
        });
        let changes = changes.collect();
        let broken = (rng.u8(..10) == 0 && !in_scope.is_empty())
            .then(|| in_scope[rng.usize(..in_scope.len())].endpoint_id.to_string());
        seed.faults = faults(&in_scope, rng);
        let lists = Action::ListVpcEndpointSecurityGroups;
        let always = |id: &String| Fault::on(lists, Effect::code("SystemBusy")).for_endpoint(id.as_str());
        seed.faults.splice(0..0, broken.as_ref().map(always));
        seed.endpoints = endpoints;
        Self { seed, filter, latency: Duration::from_millis(rng.u64(5..400)), changes, broken }
    }
}

fn endpoint(n: usize, rng: &mut fastrand::Rng) -> Endpoint {
    let groups: BTreeSet<_> = (0..rng.usize(1..5)).map(|_| rng.usize(..12)).collect();
    // A sixth of the groups are wanted. A list without any must be read twice, 10 s apart, so there are few.
    let name = |n: usize| GROUPS.get(n).map_or_else(|| format!("sg-{n}"), |group| (*group).to_owned());
    let groups: Vec<String> =
        if rng.u8(..100) == 0 { Vec::new() } else { groups.into_iter().map(name).collect() };
    let mut endpoint = Endpoint::new(REGIONS[n % REGIONS.len()], format!("ep-{n:03}"), groups);
    endpoint.endpoint_name = rng.bool().then(|| format!("name-{}", rng.u8(..4)));
    endpoint.vpc_id = Some(format!("vpc-{}", rng.u8(..3)));
    endpoint.resource_group_id = Some(format!("rg-{}", rng.u8(..2)));
    let tags = [("env", ["prod", "test"]), ("team", ["one", "two"])];
    let tags = tags.into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
    endpoint.tags =
        tags.into_iter().map(|(key, values)| (key.to_owned(), values[rng.usize(..2)].to_owned())).collect();
    if rng.u8(..20) == 0 {
        "GatewayLoadBalancer".clone_into(&mut endpoint.endpoint_type);
        endpoint.security_groups.clear();
    }
    endpoint
}

fn filter(rng: &mut fastrand::Rng) -> EndpointFilter {
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let mut filter = EndpointFilter::default();
    match rng.u8(..8) {
        0 => filter.vpc_id = Some("vpc-1".to_owned()),
        1 => filter.tags = vec![tag("env", "prod")],
        2 => filter.tags = vec![tag("env", "test"), tag("team", "one")],
        3 => filter.endpoint_name = Some("name-2".to_owned()),
        4 => {
            filter.resource_group_id = Some("rg-1".to_owned());
            filter.vpc_id = Some("vpc-0".to_owned());
        }
        5 => filter.vpc_id = Some("vpc-none".to_owned()),
        _ => {}
    }
    filter
}

/// Whether an endpoint is in the scope.
fn contains(filter: &EndpointFilter, endpoint: &Endpoint) -> bool {
    let same = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
    same(&filter.vpc_id, &endpoint.vpc_id)
        && same(&filter.endpoint_name, &endpoint.endpoint_name)
        && same(&filter.resource_group_id, &endpoint.resource_group_id)
        && filter.tags.iter().all(|tag| endpoint.tags.get(&tag.key) == Some(&tag.value))
}

/// Errors that the reading survives.
fn faults(in_scope: &[&Endpoint], rng: &mut fastrand::Rng) -> Vec<Fault> {
    let effect = |rng: &mut fastrand::Rng| match rng.u8(..11) {
        0 => Effect::Hang,
        1 => Effect::Reset,
        2 => Effect::Truncated,
        3 => Effect::html(StatusCode::BAD_GATEWAY),
        4 => Effect::code("SystemBusy"),
        5 => Effect::Empty,
        6 => Effect::RepeatedItem,
        7 => Effect::OverstatedTotal { by: 1 },
        8 => Effect::Unsuccessful,
        _ => Effect::throttled(Duration::from_millis(rng.u64(100..20_000))),
    };
    let mut faults = Vec::new();
    for _ in 0..rng.u8(..4) {
        faults.push(Fault::on(Action::ListVpcEndpoints, effect(rng)).nth(rng.u64(1..12)));
    }
    for _ in 0..rng.u8(..6) {
        let calls = rng.u64(1..in_scope.len() as u64 + 10);
        faults.push(Fault::on(Action::ListVpcEndpointSecurityGroups, effect(rng)).nth(calls));
    }
    for _ in 0..rng.u8(..4) {
        if let Some(endpoint) = rng.choice(in_scope) {
            let fault = Fault::on(Action::ListVpcEndpointSecurityGroups, effect(rng));
            faults.push(fault.for_endpoint(endpoint.endpoint_id.clone()).next(rng.u64(1..3)));
        }
    }
    // Once: an endpoint whose list is empty twice, 10 s apart, has no groups.
    if let Some(endpoint) = rng.choice(in_scope).filter(|_| rng.bool()) {
        let fault = Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::EmptyList).next(1);
        faults.push(fault.for_endpoint(endpoint.endpoint_id.clone()));
    }
    faults
}

fn apply(change: &Change, cloud: &mut Cloud, now: SystemTime) {
    match change {
        Change::Create(endpoint) => cloud.set_endpoint((**endpoint).clone(), now).unwrap(),
        Change::Remove(id) => {
            cloud.remove_endpoint(id.as_str(), now);
        }
    }
}

/// The references of these endpoints.
fn references<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> BTreeSet<Reference> {
    let of = |endpoint: &'a Endpoint| {
        let groups = endpoint.security_groups.iter().filter(|group| GROUPS.contains(&group.id.as_str()));
        groups.map(|group| {
            (endpoint.region_id.to_string(), endpoint.endpoint_id.to_string(), group.id.to_string())
        })
    };
    endpoints.flat_map(of).collect()
}

fn found(plan: &Plan) -> BTreeSet<Reference> {
    let of = |reference: &privatelink_detach::sweep::Reference| {
        (
            reference.region_id.to_string(),
            reference.endpoint_id.to_string(),
            reference.security_group_id.to_string(),
        )
    };
    let found: BTreeSet<_> = plan.references.iter().map(of).collect();
    assert_eq!(found.len(), plan.references.len(), "no reference comes twice");
    found
}

/// Carries one run out and checks it; its verdict.
async fn check(number: u64) -> Verdict {
    let run = Run::of(number);
    let mut wire = Wire::to(run.seed.clone());
    wire.latency = run.latency / 2..=run.latency;
    let changes = run.changes.clone();
    *wire.interference.borrow_mut() = Some(Box::new(move |call, cloud, now| {
        changes.get(&call).into_iter().for_each(|change| apply(change, cloud, now));
    }));
    let scope = Scope { filter: run.filter.clone(), ..Scope::of(&GROUPS, &REGIONS) };
    let plan = scope.read(&wire).await.plan;
    for region in REGIONS {
        let sent = wire.sent.borrow();
        let last = sent.iter().rfind(|call| call.region == region).unwrap();
        assert_eq!(last.action, "ListVpcEndpoints", "{number}: the list is read again after the groups");
    }

    let created = run.changes.values().filter_map(|change| match change {
        Change::Create(endpoint) => Some(&**endpoint),
        Change::Remove(_) => None,
    });
    let all: BTreeMap<_, _> = run
        .seed
        .endpoints
        .iter()
        .chain(created)
        .filter(|endpoint| contains(&run.filter, endpoint))
        .map(|endpoint| (endpoint.endpoint_id.as_str(), endpoint))
        .collect();
    let removed: BTreeSet<_> = run
        .changes
        .values()
        .filter_map(|change| match change {
            Change::Create(_) => None,
            Change::Remove(id) => Some(id.as_str()),
        })
        .collect();
    let unread: Vec<_> =
        plan.regions.values().flat_map(|region| &region.unread).map(|one| one.endpoint_id.as_str()).collect();
    let verdict = plan.verdict(None);
    if verdict == Verdict::Incomplete {
        assert_eq!(
            unread,
            run.broken.as_deref().into_iter().collect::<Vec<_>>(),
            "{number}: {:?}",
            plan.regions
        );
        let errors = plan.regions.values().filter_map(|region| region.list_error.as_ref());
        assert_eq!(errors.count(), 0, "{number}: {:?} {:?}", plan.regions, run.changes);
    }
    let is_broken = |id: &str| run.broken.as_deref() == Some(id);

    // What the last lists named is what was read.
    let listed: Vec<_> = wire.listed.borrow().values().flatten().map(|id| all[id.as_str()]).collect();
    let expected = references(listed.iter().copied().filter(|one| !is_broken(one.endpoint_id.as_str())));
    assert_eq!(found(&plan), expected, "{number}: {:?}", run.changes);
    // Without the endpoints that changed, that is what the cloud had from the beginning.
    let is_unchanged = |id: &str| !removed.contains(id) && !id.starts_with("ep-new") && !is_broken(id);
    let stable = references(all.values().copied().filter(|one| is_unchanged(one.endpoint_id.as_str())));
    let found: BTreeSet<_> = found(&plan).into_iter().filter(|(_, id, _)| is_unchanged(id)).collect();
    assert_eq!(found, stable, "{number}");

    let are_read =
        |one: &&&Endpoint| one.endpoint_type != "GatewayLoadBalancer" && !is_broken(one.endpoint_id.as_str());
    let read: usize = plan.regions.values().map(|region| region.endpoints_read).sum();
    assert_eq!(read, listed.iter().filter(are_read).count(), "{number}");
    let expected_verdict = match (unread.is_empty(), read, expected.is_empty()) {
        (false, ..) => Verdict::Incomplete,
        (true, 0, _) => Verdict::NoEndpoints,
        (true, _, true) => Verdict::NoReferences,
        (true, _, false) => Verdict::ReferencesFound,
    };
    assert_eq!(verdict, expected_verdict, "{number}");
    verdict
}

#[test]
fn references_are_exactly_those_of_the_endpoints_in_the_last_list() {
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let verdict = runtime.unwrap().block_on(check(number));
        *verdicts.entry(verdict.as_str()).or_default() += 1;
    }
    assert!(verdicts["references_found"] > 100 && verdicts["incomplete"] > 5, "{verdicts:?}");
    assert!(verdicts["no_endpoints"] > 5, "{verdicts:?}");
}
