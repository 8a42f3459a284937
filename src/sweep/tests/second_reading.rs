//! What a sweep reads after its requests, and what it proves.

use super::*;
use crate::alibaba::records::EndpointStatus;

fn stable(id: &str) -> Endpoint {
    Endpoint { status: Some(EndpointStatus::Active), ..record(id) }
}

/// Stable endpoints that use the wanted group and another one.
fn service(ids: &[&str]) -> Service {
    let mut service = Service::with(&[]);
    for id in ids {
        service.add(stable(id), &[WANTED, "sg-x"]);
    }
    service
}

/// Reads these endpoints of a plan again.
fn read_again(
    plan: &mut Plan,
    ids: &[&str],
    service: &mut Service,
    interfere: impl FnMut(usize, &Read, &mut Service) -> Option<CallOutcome>,
) -> Sweep {
    let mut sweep = Sweep::of(EndpointFilter::default());
    let endpoints = ids.iter().map(|id| (EndpointId::parse(id).unwrap(), record(id)));
    let (limits, rng) = (Limits::default(), fastrand::Rng::with_seed(1));
    let filter = EndpointFilter::default();
    sweep.reading = RegionReading::of_endpoints(region(), filter, endpoints, limits, rng, sweep.now);
    sweep.run(service, interfere);
    plan.read_again(&region(), &sweep.reading, &Rules::default());
    sweep
}

/// The result of a group list about one endpoint.
fn on_groups_of<'a>(
    id: &'a str,
    result: impl Fn() -> CallOutcome + 'a,
) -> impl Fn(usize, &Read, &mut Service) -> Option<CallOutcome> + 'a {
    move |_, call, _| match call {
        Read::SecurityGroups { endpoint_id, .. } if endpoint_id.as_str() == id => Some(result()),
        _ => None,
    }
}

fn missing() -> CallOutcome {
    error(Action::ListSecurityGroups, 400, "EndpointNotFound")
}

#[test]
fn it_replaces_what_it_read_and_keeps_the_rest() {
    let all = ["ep-a", "ep-b", "ep-c", "ep-d", "ep-e"];
    let mut service = service(&all);
    let mut plan = sweep(&service).plan(&[WANTED]);
    assert_eq!(found(&plan), all);
    service.endpoints.remove("ep-a");
    service.endpoints.get_mut("ep-b").unwrap().1.remove(0);
    service.endpoints.get_mut("ep-d").unwrap().1[0].status = GroupStatus::Detaching;
    service.endpoints.get_mut("ep-e").unwrap().1.remove(0);
    let denied = on_groups_of("ep-c", || error(Action::ListSecurityGroups, 400, "NoPermission"));
    let second = read_again(&mut plan, &all[..4], &mut service, denied);
    assert_eq!((second.count(Action::ListSecurityGroups), second.count(Action::ListEndpoints)), (4, 1));
    assert_eq!(found(&plan), ["ep-c", "ep-d", "ep-e"], "one could not be read, and one was not read again");
    assert_eq!(plan.references[1].status, GroupStatus::Detaching);
    assert_eq!(plan.verdict(None), Verdict::ReferencesFound);
    let elsewhere = RegionId::parse("cn-hangzhou").unwrap();
    plan.read_again(&elsewhere, &second.reading, &Rules::default());
    assert_eq!(plan.references.iter().filter(|one| one.region_id == region()).count(), 3);
}

#[test]
fn endpoint_is_deleted_only_if_the_list_lacks_it() {
    let mut service = service(&["ep-a"]);
    let mut plan = sweep(&service).plan(&[WANTED]);
    let lying = read_again(&mut plan, &["ep-a"], &mut service, |number, _, _| (number == 0).then(missing));
    assert_eq!(found(&plan), ["ep-a"], "the list has it, and its groups are read again");
    assert_eq!((lying.count(Action::ListEndpoints), lying.count(Action::ListSecurityGroups)), (2, 2));

    let denied = |_: usize, call: &Read, _: &mut Service| match call {
        Read::Endpoints { .. } => Some(error(Action::ListEndpoints, 403, "NoPermission")),
        Read::SecurityGroups { .. } => Some(missing()),
    };
    read_again(&mut plan, &["ep-a"], &mut service, denied);
    assert_eq!(found(&plan), ["ep-a"], "without a list it stays as it was read before");

    service.endpoints.remove("ep-a");
    let gone = read_again(&mut plan, &["ep-a"], &mut service, |_, _, _| None);
    assert_eq!((found(&plan), gone.calls.len()), (vec![], 2));
}

#[test]
fn absence_is_proved_by_a_stable_record_after_the_list_of_groups() {
    for (status, is_proved) in [
        (Some(EndpointStatus::Active), true),
        (Some(EndpointStatus::Deleting), true),
        (Some(EndpointStatus::Pending), false),
        (Some(EndpointStatus::Creating), false),
        (Some(EndpointStatus::Other("Frozen".to_owned())), false),
        (None, false),
    ] {
        let mut service = service(&["ep-a"]);
        let mut plan = sweep(&service).plan(&[WANTED]);
        let endpoint = service.endpoints.get_mut("ep-a").unwrap();
        endpoint.1.remove(0);
        endpoint.0.status.clone_from(&status);
        read_again(&mut plan, &["ep-a"], &mut service, |_, _, _| None);
        assert_eq!(found(&plan).is_empty(), is_proved, "{status:?}");
    }
    let mut service = service(&["ep-a"]);
    let mut plan = sweep(&service).plan(&[WANTED]);
    service.endpoints.get_mut("ep-a").unwrap().1.remove(0);
    let mut denied = |_: usize, call: &Read, _: &mut Service| {
        matches!(call, Read::Endpoints { .. }).then(|| error(Action::ListEndpoints, 403, "NoPermission"))
    };
    read_again(&mut plan, &["ep-a"], &mut service, &mut denied);
    assert_eq!(found(&plan), ["ep-a"], "without its record");
}

#[test]
fn one_of_two_groups_can_be_left() {
    let mut service = Service::with(&[]);
    service.add(stable("ep-a"), &[WANTED, "sg-second", "sg-x"]);
    let mut plan = sweep(&service).plan(&[WANTED, "sg-second"]);
    service.endpoints.get_mut("ep-a").unwrap().1.remove(0);
    read_again(&mut plan, &["ep-a"], &mut service, |_, _, _| None);
    let left: Vec<_> = plan.references.iter().map(|one| one.security_group_id.as_str()).collect();
    assert_eq!(left, ["sg-second"]);
}

#[test]
fn empty_list_counts_only_after_ten_seconds() {
    let mut service = service(&["ep-a"]);
    let mut plan = sweep(&service).plan(&[WANTED]);
    let second = read_again(&mut plan, &["ep-a"], &mut service, |number, _, _| {
        (number == 0).then(|| groups(&[], None))
    });
    assert_eq!(found(&plan), ["ep-a"], "one empty response");
    assert!(second.calls[1].1 - second.calls[0].1 >= Duration::from_secs(10));
}

#[test]
fn endpoint_that_left_the_scope_is_read_in_the_first_reading_and_dropped() {
    let mut service = Service::with(&[]);
    let named = |name: &str| Endpoint { name: Some(name.to_owned()), ..stable("ep-a") };
    service.add(named("web"), &[WANTED, "sg-x"]);
    let filter = EndpointFilter { endpoint_name: Some("web".to_owned()), ..EndpointFilter::default() };
    let mut renamed = Sweep::of(filter);
    // A list that does not compare names exactly still has the endpoint under its new name.
    renamed.run(&mut service, |number, _, service| {
        if number == 2 {
            service.add(named("web-2"), &[WANTED, "sg-x"]);
        }
        None
    });
    assert_eq!(found(&renamed.plan(&[WANTED])), [""; 0]);
}
