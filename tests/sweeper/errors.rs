//! What ends or delays a sweep.

use std::time::Duration;

use privatelink_detach::sweep::Verdict;
use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, Seed};

use super::wire::{REGIONS, Scope, WANTED, Wire, found, start};

/// A cloud with this many endpoints in each region, all of which use the wanted group.
fn seed(endpoints: usize) -> Seed {
    let endpoint = |region: &&str, n| Endpoint::new(*region, format!("ep-{region}-{n:03}"), [WANTED, "sg-x"]);
    let endpoints = REGIONS.iter().flat_map(|region| (0..endpoints).map(move |n| endpoint(region, n)));
    Seed { endpoints: endpoints.collect(), ..Seed::default() }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_end_the_sweep_at_once() {
    let wire = Wire::to(seed(10));
    let scope = Scope { secret: "wrong".to_owned(), ..Scope::of(&[WANTED], &REGIONS) };
    let swept = scope.read(&wire).await;
    assert!(swept.credentials.is_some());
    assert_eq!(swept.plan.verdict(None), Verdict::Incomplete);
    assert_eq!(swept.plan.regions.len(), 3, "every region is in the plan");
    assert!(wire.sent.borrow().len() <= 3, "{:?}", wire.sent.borrow());
    assert_eq!(wire.elapsed(), Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_replaced_meanwhile_end_the_sweep_and_leave_what_was_read() {
    let wire = Wire::to(seed(50));
    *wire.interference.borrow_mut() = Some(Box::new(|number, cloud, _| {
        if number == 30 {
            cloud.set_access_key(AccessKey { access_key_secret: "new".to_owned(), ..AccessKey::default() });
        }
    }));
    let swept = Scope::of(&[WANTED], &REGIONS).read(&wire).await;
    assert!(swept.credentials.is_some());
    assert_eq!(swept.plan.verdict(None), Verdict::Incomplete);
    assert_eq!(swept.plan.references.len(), 26, "29 calls, of which 3 listed the endpoints");
    assert!(wire.sent.borrow().len() < 40);
}

#[tokio::test(start_paused = true)]
async fn wrong_clock_is_corrected_and_the_plan_has_the_services_time() {
    let (one, two) = (Duration::from_hours(1), Duration::from_hours(2));
    for (hours, service_time) in [(2, start() + two), (-1, start() - one)] {
        let mut seed = seed(2);
        seed.settings.clock_offset_ms = hours * 3_600_000;
        let wire = Wire::to(seed);
        let swept = Scope::default().read(&wire).await;
        let plan = &swept.plan;
        assert_eq!((plan.verdict(None), plan.references.len()), (Verdict::ReferencesFound, 2), "{hours}");
        let late = plan.started_at.duration_since(service_time - Duration::from_secs(2)).unwrap();
        assert!(late < Duration::from_secs(4), "{hours}: {late:?}");
        let took = plan.completed_at.duration_since(plan.started_at).unwrap();
        assert!(took >= Duration::from_millis(1500) && took <= wire.elapsed(), "{hours}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_the_time_leaves_the_rest_unread() {
    let wire = Wire::to(seed(200));
    let scope = Scope { until: Some(Duration::from_secs(6)), ..Scope::default() };
    let swept = scope.read(&wire).await;
    assert_eq!(wire.elapsed(), Duration::from_secs(6));
    assert!(swept.credentials.is_none());
    let region = &swept.plan.regions[&scope.regions[0]];
    assert!((90..=100).contains(&region.endpoints_read), "{}", region.endpoints_read);
    assert_eq!((region.endpoints_read + region.unread.len(), &region.list_error), (200, &None));
    assert_eq!(swept.plan.verdict(None), Verdict::Incomplete);
}

#[tokio::test(start_paused = true)]
async fn denied_list_leaves_its_code_and_other_regions_are_read() {
    let denied = Fault::on(Action::ListVpcEndpoints, Effect::code("NoPermission")).nth(1);
    let wire = Wire::to(Seed { faults: vec![denied], ..seed(2) });
    let scope = Scope::of(&[WANTED], &REGIONS);
    let plan = scope.read(&wire).await.plan;
    let errors: Vec<_> = plan.regions.values().filter_map(|region| region.list_error.as_ref()).collect();
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), ["NoPermission"]);
    assert_eq!((plan.references.len(), plan.verdict(None)), (4, Verdict::Incomplete));
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_does_not_respond_delays_no_other() {
    let hang =
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::Hang).for_endpoint("ep-eu-west-1-000");
    let wire = Wire::to(Seed { faults: vec![hang.next(2)], ..seed(100) });
    let plan = Scope::default().read(&wire).await.plan;
    assert_eq!((found(&plan).len(), plan.verdict(None)), (100, Verdict::ReferencesFound));
    assert!(wire.elapsed() < Duration::from_secs(30), "{:?}", wire.elapsed());
}
