use std::time::Duration;

use super::*;
use crate::alibaba::records::{GroupStatus, Tag};
use crate::sweep::{Lookalike, Unread};
use crate::transport::NoResponse;

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_330_812)
}

fn region_id(id: &str) -> RegionId {
    RegionId::parse(id).unwrap()
}

fn group() -> SecurityGroupId {
    SecurityGroupId::parse("sg-a").unwrap()
}

fn endpoint(number: usize) -> EndpointId {
    EndpointId::parse(&format!("ep-{number}")).unwrap()
}

/// A plan of one region with this many references and unread endpoints.
fn plan(references: usize, unread: usize) -> Plan {
    let reference = |number| Reference {
        region_id: region_id("eu-west-1"),
        endpoint_id: endpoint(number),
        endpoint_name: Some("w\u{1b}eb".to_owned()),
        vpc_id: None,
        security_group_id: group(),
        status: GroupStatus::Attached,
        security_groups: Vec::new(),
        blocked_by: None,
        replacement_security_group_id: None,
    };
    let code = || NoResponse::Timeout.into();
    let region = Region {
        endpoints_read: references,
        unread: (0..unread).map(|n| Unread { endpoint_id: endpoint(references + n), code: code() }).collect(),
        ..Region::default()
    };
    Plan {
        regions: BTreeMap::from([(region_id("eu-west-1"), region)]),
        references: (0..references).map(reference).collect(),
        ..Plan::new(vec![group()], at())
    }
}

fn detail(plan: &Plan, max_detaches: Option<u32>, requested: &HashSet<Target>) -> Detail {
    let sweep = Sweep {
        sweep_id: &RequestId::parse("s").unwrap(),
        mode: Mode::Apply,
        mode_requested: Mode::Apply,
        filter: &EndpointFilter::default(),
        plan,
        max_detaches,
        verdict: plan.verdict(max_detaches),
        requested,
        shortfall: &Shortfall::default(),
        completed_at: at(),
    };
    Detail::new(&sweep, &RunbookUrl::default())
}

fn reason(plan: &Plan, max_detaches: Option<u32>) -> Option<ReasonDetail> {
    detail(plan, max_detaches, &HashSet::new()).reason
}

#[test]
fn long_lists_are_cut_and_their_length_is_told() {
    let plan = plan(301, 302);
    let detail = detail(&plan, None, &HashSet::from([plan.references[0].target()]));
    assert_eq!((detail.references.len(), detail.references_total), (300, 301));
    let unread = &detail.endpoints_unread[&region_id("eu-west-1")];
    assert_eq!((unread.endpoints.len(), unread.total), (300, 302));
    assert_eq!((detail.references[0].requested, detail.references[1].requested), (true, false));
    assert_eq!(detail.requested_count, 1);
    assert_eq!(detail.references[0].endpoint_name.as_deref(), Some("web"));
    assert!(detail.bytes() < BYTES_MAX, "{} bytes", detail.bytes());
}

#[test]
fn references_with_long_names_are_cut_to_the_size_of_an_event() {
    let mut plan = plan(300, 0);
    for reference in &mut plan.references {
        reference.endpoint_name = Some("\u{1f512}".repeat(300));
    }
    let detail = detail(&plan, None, &HashSet::new());
    assert_eq!((detail.references.len(), detail.references_total), (150, 300));
    assert!(detail.bytes() <= BYTES_MAX, "{} bytes", detail.bytes());
}

#[test]
fn unread_endpoints_are_limited_over_all_regions() {
    let mut plan = plan(0, 200);
    let second = Region { unread: plan.regions[&region_id("eu-west-1")].unread.clone(), ..Region::default() };
    plan.regions.insert(region_id("eu-west-2"), second);
    let detail = detail(&plan, None, &HashSet::new());
    let listed: Vec<_> =
        detail.endpoints_unread.values().map(|one| (one.endpoints.len(), one.total)).collect();
    assert_eq!(listed, [(200, 200), (100, 200)]);
}

#[test]
fn only_a_verdict_that_is_no_answer_has_a_reason() {
    assert_eq!(reason(&plan(2, 0), Some(2)), None);
    let mut unused = plan(0, 0);
    unused.regions.values_mut().for_each(|region| region.endpoints_read = 1);
    assert_eq!(reason(&unused, Some(0)), None);
    let codes = [(plan(2, 0), Some(1)), (plan(2, 1), Some(1)), (plan(0, 0), None)]
        .map(|(plan, max)| reason(&plan, max).unwrap().code);
    assert_eq!(codes, ["OverLimit", "Incomplete", "NoEndpoints"]);
}

#[test]
fn every_reason_names_an_existing_runbook_section() {
    let runbook = include_str!("../../../docs/runbook.md");
    for plan in [plan(2, 0), plan(2, 1), plan(0, 0)] {
        let reason = reason(&plan, Some(1)).unwrap();
        assert!(runbook.contains(&format!("\n## {}\n", reason.code)), "{reason:?}");
        assert_eq!(reason.runbook, format!("docs/runbook.md#{}", reason.code.to_ascii_lowercase()));
    }
}

#[test]
fn incomplete_names_every_gap() {
    let mut plan = plan(1, 2);
    let lookalike = |number: usize| Lookalike {
        region_id: region_id("eu-west-1"),
        endpoint_id: endpoint(number),
        listed: "sg-A".to_owned(),
        security_group_id: group(),
    };
    plan.lookalikes = (0..7).map(lookalike).collect();
    plan.security_groups_found = Some(false);
    plan.regions.values_mut().for_each(|region| region.list_error = Some(NoResponse::Timeout.into()));
    let message = reason(&plan, None).unwrap().message;
    for part in [
        "the list of endpoints of eu-west-1 could not be read (Timeout)",
        "2 endpoints of eu-west-1 could not be read, such as ep-1 (Timeout)",
        "ep-4 of eu-west-1 has sg-A, which differs from sg-a only in letter case; 2 more ids",
        "ECS does not find every group",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
}

#[test]
fn scope_is_all_or_the_filters_that_were_given() {
    let json = |filter| serde_json::to_value(ScopeDetail::new(&filter)).unwrap();
    assert_eq!(json(EndpointFilter::default()), "all");
    let filter = EndpointFilter {
        vpc_id: Some("vpc-1".to_owned()),
        tags: vec![Tag { key: "env".to_owned(), value: String::new() }],
        ..EndpointFilter::default()
    };
    assert_eq!(json(filter), serde_json::json!({ "vpc_id": "vpc-1", "tags": { "env": "" } }));
}
