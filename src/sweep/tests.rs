//! The rules of a sweep, checked against every response that the API could send, against a service that changes while it
//! is read, and one scenario for each rule.

mod second_reading;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::alibaba::error::CallError;
use crate::alibaba::pages::Page;
use crate::alibaba::privatelink::{Action, EndpointFilter, Read};
use crate::alibaba::records::{BusinessStatus, Endpoint, EndpointType, GroupStatus, SecurityGroup, Tag};
use crate::alibaba::response::Response;
use crate::detach::ReasonCode;
use crate::request::{EndpointId, RegionId, Rules, SecurityGroupId, VpcId};
use crate::transport::NoResponse;

/// The group that the sweeps look for.
const WANTED: &str = "sg-wanted";

type CallOutcome = Result<Response, CallError>;

fn ids(ids: &[&str]) -> Vec<SecurityGroupId> {
    ids.iter().map(|id| SecurityGroupId::parse(id).unwrap()).collect()
}

fn region() -> RegionId {
    RegionId::parse("eu-west-1").unwrap()
}

fn record(id: &str) -> Endpoint {
    Endpoint { id: id.to_owned(), ..Endpoint::default() }
}

fn group(id: &str) -> SecurityGroup {
    SecurityGroup { id: id.to_owned(), status: GroupStatus::Attached }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the results of a call")]
fn endpoints(records: &[Endpoint], next_token: Option<&str>) -> CallOutcome {
    let next_token = next_token.map(str::to_owned);
    Ok(Response::Endpoints(Page { items: records.to_vec(), next_token, total_count: None }))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the results of a call")]
fn groups(ids: &[&str], next_token: Option<&str>) -> CallOutcome {
    let items = ids.iter().map(|id| group(id)).collect();
    let next_token = next_token.map(str::to_owned);
    Ok(Response::SecurityGroups(Page { items, next_token, total_count: None }))
}

fn error(action: Action, status: u16, code: &str) -> CallOutcome {
    let body = format!(r#"{{"Code":"{code}","Message":"m","RequestId":"R"}}"#);
    let hint = code.contains("Throttling").then_some(Duration::from_secs(7));
    Err(CallError::read(action, status, body.as_bytes(), hint, str::to_owned, None).0)
}

fn timeout(action: Action) -> CallOutcome {
    Err(CallError::no_response(action, NoResponse::Timeout))
}

fn plan_of(reading: &RegionReading, wanted: &[&str], rules: &Rules) -> Plan {
    let mut plan = Plan::new(ids(wanted), SystemTime::UNIX_EPOCH);
    plan.add(&region(), reading, rules);
    plan
}

/// A region of a service: it pages, filters and changes as a test says.
#[derive(Clone, Default)]
struct Service {
    endpoints: BTreeMap<String, (Endpoint, Vec<SecurityGroup>)>,
    page_size: usize,
}

impl Service {
    fn with(endpoints: &[(&str, &[&str])]) -> Self {
        let mut service = Self { page_size: 50, ..Self::default() };
        for (id, groups) in endpoints {
            service.add(record(id), groups);
        }
        service
    }

    fn add(&mut self, record: Endpoint, groups: &[&str]) {
        let groups = groups.iter().map(|id| group(id)).collect();
        self.endpoints.insert(record.id.clone(), (record, groups));
    }

    fn respond(&self, call: &Read) -> CallOutcome {
        match call {
            Read::Endpoints { next_token, .. } => {
                let records = self.endpoints.values().map(|(record, _)| record.clone()).collect();
                Ok(Response::Endpoints(self.page(records, next_token.as_deref())))
            }
            Read::SecurityGroups { endpoint_id, next_token } => {
                match self.endpoints.get(endpoint_id.as_str()) {
                    Some((_, groups)) => {
                        Ok(Response::SecurityGroups(self.page(groups.clone(), next_token.as_deref())))
                    }
                    None => error(Action::ListSecurityGroups, 400, "EndpointNotFound"),
                }
            }
        }
    }

    fn page<T>(&self, items: Vec<T>, token: Option<&str>) -> Page<T> {
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let total = items.len();
        let items: Vec<T> = items.into_iter().skip(from).take(self.page_size).collect();
        let end = from + items.len();
        let next_token = (end < total).then(|| end.to_string());
        Page { items, next_token, total_count: Some(total as u64) }
    }
}

/// A sweep of one region, one call after the other.
struct Sweep {
    reading: RegionReading,
    now: Instant,
    /// Every call that was made, and when.
    calls: Vec<(Read, Instant)>,
}

impl Sweep {
    #[expect(clippy::disallowed_methods, reason = "any moment can be the zero of a synthetic time line")]
    fn of(filter: EndpointFilter) -> Self {
        let now = Instant::now();
        let reading =
            RegionReading::new(region(), filter, Limits::default(), fastrand::Rng::with_seed(1), now);
        Self { reading, now, calls: Vec::new() }
    }

    /// Reads the region to the end. `interfere` may change the service before a call, or respond in its place; it gets the
    /// call's number, from 0.
    fn run(
        &mut self,
        service: &mut Service,
        mut interfere: impl FnMut(usize, &Read, &mut Service) -> Option<CallOutcome>,
    ) {
        loop {
            match self.reading.next(self.now) {
                Next::Call(ticket, call) => {
                    let response = interfere(self.calls.len(), &call, service);
                    let response = response.unwrap_or_else(|| service.respond(&call));
                    self.calls.push((call, self.now));
                    self.now += Duration::from_millis(50);
                    self.reading.add(ticket, response, self.now);
                }
                Next::Wait(at) => self.now = at,
                Next::InFlight => panic!("no call is in flight"),
                Next::Done => return,
            }
            assert!(self.calls.len() < 1000, "a sweep ends");
        }
    }

    fn plan(&self, wanted: &[&str]) -> Plan {
        plan_of(&self.reading, wanted, &Rules::default())
    }

    fn count(&self, action: Action) -> usize {
        self.calls.iter().filter(|(call, _)| call.request(&region()).action == action).count()
    }
}

/// A sweep without interference.
fn sweep(service: &Service) -> Sweep {
    let mut sweep = Sweep::of(EndpointFilter::default());
    sweep.run(&mut service.clone(), |_, _, _| None);
    sweep
}

fn found(plan: &Plan) -> Vec<&str> {
    plan.references.iter().map(|reference| reference.endpoint_id.as_str()).collect()
}

#[test]
fn references_are_found_on_every_page_of_every_list() {
    for page_size in [1, 2, 50] {
        let mut service = Service::with(&[
            ("ep-a", &["sg-x", WANTED]),
            ("ep-b", &["sg-x"]),
            ("ep-c", &["sg-y", "sg-x", WANTED]),
        ]);
        service.page_size = page_size;
        let plan = sweep(&service).plan(&[WANTED]);
        assert_eq!(found(&plan), ["ep-a", "ep-c"], "{page_size}");
        assert_eq!(plan.verdict(None), Verdict::ReferencesFound);
        assert_eq!(plan.regions[&region()].endpoints_read, 3);
        assert_eq!(sweep(&service).plan(&["sg-z"]).verdict(None), Verdict::NoReferences);
    }
}

#[test]
fn quiet_region_costs_one_call_for_each_endpoint_and_two_lists() {
    let sweep = sweep(&Service::with(&[("ep-a", &["sg-x"]), ("ep-b", &["sg-x"])]));
    assert_eq!((sweep.count(Action::ListEndpoints), sweep.count(Action::ListSecurityGroups)), (2, 2));
}

#[test]
fn no_endpoint_is_no_proof() {
    assert_eq!(sweep(&Service::with(&[])).plan(&[WANTED]).verdict(None), Verdict::NoEndpoints);
    let mut service = Service::with(&[]);
    let endpoint_type = Some(EndpointType::GatewayLoadBalancer);
    service.add(Endpoint { endpoint_type, ..record("ep-a") }, &[]);
    let sweep = sweep(&service);
    let plan = sweep.plan(&[WANTED]);
    assert_eq!((plan.verdict(None), plan.regions[&region()].endpoints_skipped), (Verdict::NoEndpoints, 1));
    assert_eq!(sweep.count(Action::ListSecurityGroups), 0, "it has no security groups");
}

#[test]
fn empty_list_of_groups_is_read_again_at_least_ten_seconds_later() {
    let mut service = Service::with(&[("ep-a", &[]), ("ep-b", &["sg-x"])]);
    let mut lagging = Sweep::of(EndpointFilter::default());
    lagging.run(&mut service, |number, call, service| {
        // The group appears after the other endpoint was read.
        if number == 3 {
            service.add(record("ep-a"), &[WANTED, "sg-x"]);
        }
        assert!(number != 1 || matches!(call, Read::SecurityGroups { .. }));
        None
    });
    assert_eq!(found(&lagging.plan(&[WANTED])), ["ep-a"]);
    let of_a: Vec<_> = lagging
        .calls
        .iter()
        .filter(|(call, _)| matches!(call, Read::SecurityGroups { endpoint_id, .. } if endpoint_id.as_str() == "ep-a"))
        .collect();
    assert!(of_a.len() == 2 && of_a[1].1 - of_a[0].1 >= Duration::from_secs(10), "{of_a:?}");
}

#[test]
fn endpoint_that_disappears_is_no_reference_and_one_that_is_still_listed_is_read_again() {
    let mut service = Service::with(&[("ep-a", &[WANTED, "sg-x"]), ("ep-b", &["sg-x"])]);
    let mut vanishing = Sweep::of(EndpointFilter::default());
    vanishing.run(&mut service.clone(), |number, _, service| {
        if number == 1 {
            service.endpoints.remove("ep-a");
        }
        None
    });
    let plan = vanishing.plan(&[WANTED]);
    assert_eq!((plan.verdict(None), plan.regions[&region()].endpoints_read), (Verdict::NoReferences, 1));

    // One list without it is not enough: the next one has it again.
    let mut omitted = Sweep::of(EndpointFilter::default());
    omitted
        .run(&mut service.clone(), |number, _, _| (number == 3).then(|| endpoints(&[record("ep-b")], None)));
    assert_eq!((found(&omitted.plan(&[WANTED])), omitted.count(Action::ListEndpoints)), (vec!["ep-a"], 3));

    let mut lying = Sweep::of(EndpointFilter::default());
    lying.run(&mut service, |number, _, _| {
        (number == 1).then(|| error(Action::ListSecurityGroups, 400, "EndpointNotFound"))
    });
    assert_eq!(found(&lying.plan(&[WANTED])), ["ep-a"]);
}

#[test]
fn empty_list_of_endpoints_is_read_again() {
    let mut sweep = Sweep::of(EndpointFilter::default());
    sweep.run(&mut Service::with(&[("ep-a", &[WANTED, "sg-x"])]), |number, _, _| {
        (number == 0).then(|| endpoints(&[], None))
    });
    assert_eq!(found(&sweep.plan(&[WANTED])), ["ep-a"]);
}

#[test]
fn list_that_an_error_interrupts_is_read_from_its_beginning() {
    let mut service = Service::with(&[("ep-a", &["sg-x", WANTED]), ("ep-b", &["sg-x"])]);
    service.page_size = 1;
    let calls = sweep(&service).calls.len();
    for action in [Action::ListEndpoints, Action::ListSecurityGroups] {
        let mut sweep = Sweep::of(EndpointFilter::default());
        let mut errors = 0;
        sweep.run(&mut service.clone(), |_, call, _| {
            let (Read::Endpoints { next_token, .. } | Read::SecurityGroups { next_token, .. }) = call;
            let fails = errors == 0 && next_token.is_some() && call.request(&region()).action == action;
            errors += usize::from(fails);
            fails.then(|| timeout(action))
        });
        assert_eq!(found(&sweep.plan(&[WANTED])), ["ep-a"]);
        assert_eq!(sweep.calls.len(), calls + 2, "the failed page and the first one again: {action:?}");
    }
}

#[test]
fn new_endpoints_are_read_for_three_rounds_at_most() {
    for (rounds, expected) in [(1, Verdict::ReferencesFound), (3, Verdict::Incomplete)] {
        let mut service = Service::with(&[("ep-a", &["sg-x"])]);
        let mut lists = 0;
        let mut sweep = Sweep::of(EndpointFilter::default());
        sweep.run(&mut service, |_, call, service| {
            if matches!(call, Read::Endpoints { .. }) {
                if (1..=rounds).contains(&lists) {
                    service.add(record(&format!("ep-new{lists}")), &[WANTED, "sg-x"]);
                }
                lists += 1;
            }
            None
        });
        assert_eq!(sweep.plan(&[WANTED]).verdict(None), expected, "{rounds}");
        assert_eq!(lists, if rounds == 1 { 3 } else { 4 });
    }
}

#[test]
fn error_of_one_endpoint_is_retried_and_stops_no_other() {
    let service = Service::with(&[("ep-a", &["sg-x"]), ("ep-b", &[WANTED, "sg-x"])]);
    let is_a = |call: &Read| matches!(call, Read::SecurityGroups { endpoint_id, .. } if endpoint_id.as_str() == "ep-a");
    let run = |failures: usize, failure: &dyn Fn() -> CallOutcome| {
        let (mut sweep, mut failed) = (Sweep::of(EndpointFilter::default()), 0);
        sweep.run(&mut service.clone(), |_, call, _| {
            let fails = is_a(call) && failed < failures;
            failed += usize::from(fails);
            fails.then(failure)
        });
        let plan = sweep.plan(&[WANTED]);
        (plan.verdict(None), plan.regions[&region()].unread.len(), failed, found(&plan).len())
    };
    let list = Action::ListSecurityGroups;
    let found = Verdict::ReferencesFound;
    assert_eq!(run(6, &|| timeout(list)), (found, 0, 6, 1));
    assert_eq!(run(99, &|| timeout(list)), (Verdict::Incomplete, 1, 7, 1));
    assert_eq!(run(99, &|| error(list, 400, "NoPermission")), (Verdict::Incomplete, 1, 1, 1));
    assert_eq!(run(40, &|| error(list, 400, "Throttling.User")), (found, 0, 40, 1), "a quota is waited for");
}

#[test]
fn list_of_endpoints_that_fails_leaves_everything_unknown() {
    let service = Service::with(&[("ep-a", &["sg-x"])]);
    for first in [0, 2] {
        let mut sweep = Sweep::of(EndpointFilter::default());
        sweep.run(&mut service.clone(), |number, call, _| {
            (number >= first && matches!(call, Read::Endpoints { .. }))
                .then(|| timeout(Action::ListEndpoints))
        });
        let plan = sweep.plan(&[WANTED]);
        assert_eq!(plan.verdict(None), Verdict::Incomplete, "from call {first}");
        assert_eq!(plan.regions[&region()].list_error, Some(NoResponse::Timeout.into()));
    }
}

#[test]
fn list_with_an_endpoint_of_another_region_is_read_again() {
    let elsewhere = Endpoint { region_id: Some("eu-central-1".to_owned()), ..record("ep-b") };
    let mut sweep = Sweep::of(EndpointFilter::default());
    sweep.run(&mut Service::with(&[("ep-a", &[WANTED, "sg-x"])]), |number, _, _| {
        (number == 0).then(|| endpoints(std::slice::from_ref(&elsewhere), None))
    });
    assert_eq!((found(&sweep.plan(&[WANTED])), sweep.count(Action::ListEndpoints)), (vec!["ep-a"], 3));
    assert_eq!(sweep.count(Action::ListSecurityGroups), 1, "only the endpoint of this region is read");
}

#[test]
fn throttled_call_waits_as_long_as_the_hint() {
    let mut sweep = Sweep::of(EndpointFilter::default());
    sweep.run(&mut Service::with(&[("ep-a", &["sg-x"])]), |number, _, _| {
        (number == 1).then(|| error(Action::ListSecurityGroups, 400, "Throttling.User"))
    });
    assert!(sweep.calls[2].1 - sweep.calls[1].1 >= Duration::from_secs(7));
}

#[test]
fn reading_that_expires_is_incomplete() {
    let mut sweep = Sweep::of(EndpointFilter::default());
    let Next::Call(ticket, _) = sweep.reading.next(sweep.now) else { panic!("the list is due") };
    let mut expired = sweep.reading.clone();
    expired.expire(&NoResponse::Timeout.into());
    assert_eq!(plan_of(&expired, &[WANTED], &Rules::default()).verdict(None), Verdict::Incomplete);
    let list = Service::with(&[("ep-a", &[])])
        .respond(&Read::Endpoints { filter: EndpointFilter::default(), next_token: None });
    sweep.reading.add(ticket, list, sweep.now);
    assert_eq!(sweep.plan(&[WANTED]).verdict(None), Verdict::Incomplete, "it goes on");
    sweep.reading.expire(&NoResponse::Timeout.into());
    let plan = sweep.plan(&[WANTED]);
    assert_eq!((plan.verdict(None), plan.regions[&region()].unread.len()), (Verdict::Incomplete, 1));
}

#[test]
fn filters_apply_to_what_the_api_returns() {
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let mut service = Service::with(&[]);
    let named = |id: &str, name: &str| Endpoint { name: Some(name.to_owned()), ..record(id) };
    service.add(named("ep-a", "web"), &[WANTED, "sg-x"]);
    service.add(named("ep-b", "web-2"), &[WANTED, "sg-x"]);
    service.add(record("ep-c"), &[WANTED, "sg-x"]);
    service.add(Endpoint { tags: Some(vec![tag("env", "prod")]), ..named("ep-d", "web") }, &[WANTED, "sg-x"]);
    let (vpc_id, resource_group_id) = (Some("vpc-b".to_owned()), Some("rg-b".to_owned()));
    service.add(Endpoint { vpc_id, resource_group_id, ..named("ep-e", "db") }, &[WANTED, "sg-x"]);
    let by = |filter: EndpointFilter| {
        let mut sweep = Sweep::of(filter);
        sweep.run(&mut service.clone(), |_, _, _| None);
        found(&sweep.plan(&[WANTED])).join(" ")
    };
    let name = EndpointFilter { endpoint_name: Some("web".to_owned()), ..EndpointFilter::default() };
    assert_eq!(by(name), "ep-a ep-c ep-d", "a record without a name was matched by the API");
    let tags = EndpointFilter { tags: vec![tag("env", "test")], ..EndpointFilter::default() };
    assert_eq!(by(tags), "ep-a ep-b ep-c ep-e");
    let vpc = EndpointFilter { vpc_id: Some("vpc-a".to_owned()), ..EndpointFilter::default() };
    assert_eq!(by(vpc), "ep-a ep-b ep-c ep-d");
    let group = EndpointFilter { resource_group_id: Some("rg-a".to_owned()), ..EndpointFilter::default() };
    assert_eq!(by(group), "ep-a ep-b ep-c ep-d");
}

#[test]
fn id_in_other_letter_case_leaves_the_answer_open_and_is_named() {
    let plan = sweep(&Service::with(&[("ep-a", &["sg-WANTED", "sg-x"])])).plan(&[WANTED]);
    assert_eq!(plan.verdict(None), Verdict::Incomplete);
    assert_eq!(plan.lookalikes[0].listed, "sg-WANTED");
    assert_eq!(plan.references, [], "it may be another group");
    let mut plan = sweep(&Service::with(&[("ep-a", &["sg-x"])])).plan(&[WANTED]);
    plan.security_groups_found = Some(false);
    assert_eq!(plan.verdict(None), Verdict::Incomplete, "the group does not exist");
    plan.security_groups_found = Some(true);
    assert_eq!(plan.verdict(None), Verdict::NoReferences);
}

#[test]
fn limit_counts_what_may_be_requested() {
    let service =
        Service::with(&[("ep-a", &[WANTED, "sg-x"]), ("ep-b", &[WANTED, "sg-x"]), ("ep-c", &[WANTED])]);
    let plan = sweep(&service).plan(&[WANTED]);
    assert_eq!((plan.references.len(), plan.requestable().count()), (3, 2));
    let verdicts = [None, Some(2), Some(1), Some(0)].map(|max| plan.verdict(max));
    let (found, over) = (Verdict::ReferencesFound, Verdict::OverLimit);
    assert_eq!(verdicts, [found, found, over, over]);
}

#[test]
fn what_may_not_be_detached_is_listed_and_blocked() {
    let mut service = Service::with(&[
        ("ep-last", &[WANTED]),
        ("ep-both", &[WANTED, "sg-second"]),
        ("ep-free", &[WANTED, "sg-x"]),
        ("ep-protected", &[WANTED, "sg-x"]),
        ("ep-guarded", &["sg-protected", "sg-x"]),
    ]);
    let business_status = Some(BusinessStatus::FinancialLocked);
    service.add(Endpoint { business_status, ..record("ep-unpaid") }, &[WANTED, "sg-x"]);
    let rules = Rules {
        protected_security_groups: ids(&["sg-PROTECTED"]).into_iter().collect(),
        protected_endpoints: EndpointId::parse("ep-protected").into_iter().collect(),
        ..Rules::default()
    };
    let plan = plan_of(&sweep(&service).reading, &[WANTED, "sg-second", "sg-protected"], &rules);
    let blocked: BTreeMap<(&str, &str), Option<&str>> = plan
        .references
        .iter()
        .map(|reference| {
            let ids = (reference.endpoint_id.as_str(), reference.security_group_id.as_str());
            (ids, reference.blocked_by.as_ref().map(ReasonCode::as_str))
        })
        .collect();
    let expected = [
        (("ep-last", WANTED), Some("EndpointMustContainSecurityGroup")),
        (("ep-both", WANTED), None),
        (("ep-both", "sg-second"), Some("EndpointMustContainSecurityGroup")),
        (("ep-free", WANTED), None),
        (("ep-protected", WANTED), Some("ProtectedEndpoint")),
        (("ep-guarded", "sg-protected"), Some("ProtectedSecurityGroup")),
        (("ep-unpaid", WANTED), Some("FinancialLocked")),
    ];
    assert_eq!(blocked, expected.into());
    assert_eq!(plan.verdict(Some(2)), Verdict::ReferencesFound);
}

/// The rules of a deployment in which `sg-spare` replaces the last group of an endpoint in `vpc-a`.
fn with_replacement() -> Rules {
    let mut rules = Rules::default();
    rules.replacements.insert(VpcId::parse("vpc-a").unwrap(), SecurityGroupId::parse("sg-spare").unwrap());
    rules
}

/// The group, the reason why it is blocked, and the replacement of each reference.
fn judged(plan: &Plan) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let judged = plan.references.iter().map(|one| {
        let blocked_by = one.blocked_by.as_ref().map(ReasonCode::as_str);
        let replacement = one.replacement_security_group_id.as_ref().map(SecurityGroupId::as_str);
        (one.security_group_id.as_str(), blocked_by, replacement)
    });
    judged.collect()
}

/// An endpoint in a VPC.
fn in_vpc(id: &str, vpc_id: &str) -> Endpoint {
    Endpoint { vpc_id: Some(vpc_id.to_owned()), ..record(id) }
}

#[test]
fn last_group_is_replaced_where_its_vpc_has_a_replacement() {
    let blocked = Some("EndpointMustContainSecurityGroup");
    for (endpoint, wanted, expected) in [
        (in_vpc("ep-a", "vpc-a"), WANTED, (WANTED, None, Some("sg-spare"))),
        (in_vpc("ep-a", "vpc-b"), WANTED, (WANTED, blocked, None)),
        (record("ep-a"), WANTED, (WANTED, blocked, None)),
        (in_vpc("ep-a", "vpc-a"), "sg-spare", ("sg-spare", blocked, None)),
    ] {
        let mut service = Service::with(&[]);
        service.add(endpoint, &[wanted]);
        let plan = plan_of(&sweep(&service).reading, &[wanted], &with_replacement());
        assert_eq!(judged(&plan), [expected]);
        let limit = plan.verdict(Some(0));
        assert_eq!(limit == Verdict::OverLimit, expected.1.is_none(), "a replaced reference counts");
    }
}

#[test]
fn only_the_group_that_will_be_the_last_is_replaced() {
    let replaced = |id, replacement| (id, None, replacement);
    let (spare, detaching) = (Some("sg-spare"), GroupStatus::Detaching);
    let cases: [(&[&str], Option<usize>, Vec<_>); 6] = [
        (&[WANTED, "sg-second"], None, vec![replaced(WANTED, None), replaced("sg-second", spare)]),
        (&[WANTED, "sg-second"], Some(1), vec![replaced(WANTED, spare), replaced("sg-second", None)]),
        (&[WANTED, "sg-x"], None, vec![replaced(WANTED, None)]),
        (&[WANTED, "sg-x"], Some(1), vec![replaced(WANTED, spare)]),
        (&[WANTED, "sg-spare"], None, vec![replaced(WANTED, None)]),
        (&[WANTED, "sg-spare"], Some(1), vec![replaced(WANTED, spare)]),
    ];
    for (groups, leaving, expected) in cases {
        let mut service = Service::with(&[]);
        service.add(in_vpc("ep-a", "vpc-a"), groups);
        if let Some(leaving) = leaving {
            service.endpoints.get_mut("ep-a").unwrap().1[leaving].status = detaching;
        }
        let plan = plan_of(&sweep(&service).reading, &[WANTED, "sg-second"], &with_replacement());
        assert_eq!(judged(&plan), expected, "{groups:?} {leaving:?}");
    }
}

#[test]
fn replacement_that_the_sweep_looks_for_replaces_no_group() {
    let blocked = Some("EndpointMustContainSecurityGroup");
    for groups in [&[WANTED][..], &[WANTED, "sg-spare"]] {
        let mut service = Service::with(&[]);
        service.add(in_vpc("ep-a", "vpc-a"), groups);
        for spare in ["sg-spare", "sg-SPARE"] {
            let plan = plan_of(&sweep(&service).reading, &[WANTED, spare], &with_replacement());
            let last = plan.references.iter().filter(|one| one.blocked_by.is_some()).count();
            let is_mistyped = spare == "sg-SPARE" && groups.len() == 2;
            assert_eq!(last, usize::from(!is_mistyped), "{groups:?} {spare}");
            assert!(
                judged(&plan).iter().all(|(_, _, replacement)| replacement.is_none()),
                "{groups:?} {spare}"
            );
        }
        let plan = plan_of(&sweep(&service).reading, &["sg-spare", WANTED], &with_replacement());
        assert_eq!(judged(&plan).last(), Some(&(WANTED, blocked, None)));
    }
}

#[test]
fn what_is_blocked_for_another_reason_is_not_replaced() {
    let mut service = Service::with(&[]);
    let business_status = Some(BusinessStatus::FinancialLocked);
    service.add(Endpoint { business_status, ..in_vpc("ep-a", "vpc-a") }, &[WANTED]);
    let plan = plan_of(&sweep(&service).reading, &[WANTED], &with_replacement());
    assert_eq!(judged(&plan), [(WANTED, Some("FinancialLocked"), None)]);
}

#[test]
fn changing_groups_are_references_and_a_detaching_one_leaves() {
    let groups = [WANTED, "sg-x"];
    let mut service = Service::with(&[("ep-a", &groups), ("ep-b", &groups), ("ep-c", &groups)]);
    let changing = [
        ("ep-a", 0, GroupStatus::Attaching),
        ("ep-b", 0, GroupStatus::Detaching),
        ("ep-c", 1, GroupStatus::Detaching),
    ];
    for (id, position, status) in changing {
        service.endpoints.get_mut(id).unwrap().1[position].status = status;
    }
    let plan = sweep(&service).plan(&[WANTED]);
    assert_eq!(found(&plan), ["ep-a", "ep-b", "ep-c"]);
    let blocked = plan.references.iter().map(|reference| reference.blocked_by.is_some());
    assert_eq!(blocked.collect::<Vec<_>>(), [false, false, true], "the other group of the last is detaching");
}

#[test]
fn group_that_is_detaching_is_not_the_one_that_remains() {
    let mut service = Service::with(&[("ep-a", &[WANTED, "sg-second"])]);
    service.endpoints.get_mut("ep-a").unwrap().1[1].status = GroupStatus::Detaching;
    let plan = sweep(&service).plan(&[WANTED, "sg-second"]);
    let blocked = plan.references.iter().map(|reference| reference.blocked_by.is_some());
    assert_eq!(blocked.collect::<Vec<_>>(), [true, false], "the other one is detached already");
}

/// Every response that matters to a call.
fn responses(call: &Read) -> Vec<CallOutcome> {
    let action = call.request(&region()).action;
    let codes = ["SystemBusy", "NoPermission", "EndpointNotFound", "OperationConflict"];
    let errors = codes.iter().map(|code| error(action, 400, code));
    let mut responses: Vec<_> = errors.chain([timeout(action)]).collect();
    match action {
        Action::ListEndpoints => responses.extend([
            endpoints(&[], None),
            endpoints(&[record("ep-a")], None),
            endpoints(&[record("ep-a"), record("ep-b")], None),
            endpoints(&[record("ep-a")], Some("1")),
            endpoints(&[record("not an id")], None),
        ]),
        _ => responses.extend([
            groups(&[], None),
            groups(&["sg-x"], None),
            groups(&[WANTED, "sg-x"], None),
            groups(&["sg-x"], Some("1")),
        ]),
    }
    responses
}

/// What the service has said so far, kept beside the reading.
#[derive(Clone, Default)]
struct Told {
    /// The endpoints of the list that is being read, and of the latest complete one.
    listing: Vec<String>,
    listed: Option<Vec<String>>,
    /// The groups of the list that is being read, and of the latest complete one, by endpoint.
    pages: BTreeMap<String, Vec<String>>,
    groups: BTreeMap<String, Vec<String>>,
}

impl Told {
    fn add(&mut self, call: &Read, response: &CallOutcome) {
        match (call, response) {
            (Read::Endpoints { next_token, .. }, Ok(Response::Endpoints(page))) => {
                if next_token.is_none() {
                    self.listing.clear();
                }
                self.listing.extend(page.items.iter().map(|record| record.id.clone()));
                if page.next_token.is_none() {
                    self.listed = Some(self.listing.clone());
                }
            }
            (Read::SecurityGroups { endpoint_id, next_token }, Ok(Response::SecurityGroups(page))) => {
                let pages = self.pages.entry(endpoint_id.to_string()).or_default();
                if next_token.is_none() {
                    pages.clear();
                }
                pages.extend(page.items.iter().map(|group| group.id.clone()));
                if page.next_token.is_none() {
                    let complete = pages.clone();
                    self.groups.insert(endpoint_id.to_string(), complete);
                }
            }
            _ => {}
        }
    }

    /// Checks an end of a reading against it.
    fn check(&self, plan: &Plan) {
        if plan.verdict(None) == Verdict::Incomplete {
            return;
        }
        let listed = self.listed.as_ref().expect("the list was read to its end");
        let uses =
            |id: &&String| self.groups.get(*id).is_some_and(|groups| groups.iter().any(|id| id == WANTED));
        for id in listed {
            assert!(self.groups.contains_key(id), "{id} was read to its end");
        }
        let expected: Vec<&String> = listed.iter().filter(uses).collect();
        assert_eq!(found(plan), expected);
        assert_eq!(plan.verdict(None) == Verdict::NoEndpoints, listed.is_empty());
    }
}

/// Follows every response from here to the end of each path; returns the number of ends.
fn walk(reading: &RegionReading, now: Instant, told: &Told, verdicts: &mut HashSet<Verdict>) -> u64 {
    let (mut reading, mut now) = (reading.clone(), now);
    let (ticket, call) = loop {
        match reading.next(now) {
            Next::Call(ticket, call) => break (ticket, call),
            Next::Wait(at) => now = at,
            Next::InFlight => panic!("no call is in flight"),
            Next::Done => {
                let plan = plan_of(&reading, &[WANTED], &Rules::default());
                told.check(&plan);
                verdicts.insert(plan.verdict(None));
                return 1;
            }
        }
    };
    let mut ends = 0;
    for response in responses(&call) {
        let (mut next, mut told) = (reading.clone(), told.clone());
        told.add(&call, &response);
        next.add(ticket.clone(), response, now);
        ends += walk(&next, now, &told, verdicts);
    }
    ends
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any moment can be the zero of a synthetic time line")]
fn every_response_at_every_step_keeps_the_rules() {
    let limits = Limits { errors_max: 0, relists_max: 1, lists_max: 2, ..Limits::default() };
    let now = Instant::now();
    let reading =
        RegionReading::new(region(), EndpointFilter::default(), limits, fastrand::Rng::with_seed(1), now);
    let mut verdicts = HashSet::new();
    let ends = walk(&reading, now, &Told::default(), &mut verdicts);
    assert!(ends > 5_000, "{ends} paths");
    let expected =
        [Verdict::Incomplete, Verdict::NoEndpoints, Verdict::NoReferences, Verdict::ReferencesFound];
    assert_eq!(verdicts, expected.into());
}
