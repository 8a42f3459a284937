//! The comparison of a plan with a later reading of its scope: what is still attached, new, blocked or gone. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::request::{EndpointId, RegionId, SecurityGroupId};
use crate::sweep::{Plan, Reference};

/// A plan compared with a later reading of its scope. Each list has the order of its source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    /// References that the plan would detach, and that may be detached now.
    pub(super) due: Vec<&'a Reference>,
    /// References of the plan that may not be detached now.
    pub(super) blocked: Vec<&'a Reference>,
    /// References that the plan does not contain, that were blocked in it, or whose replacement differs from the
    /// plan's: no operator has approved their detach.
    pub(super) new: Vec<&'a Reference>,
    /// References of the plan that no longer exist.
    pub(super) vanished: Vec<&'a Reference>,
}

/// What identifies a reference.
pub(super) type Key<'a> = (&'a RegionId, &'a EndpointId, &'a SecurityGroupId);

/// Compares a plan with a complete reading of the same scope.
pub(super) fn compare<'a>(plan: &'a Plan, now: &'a Plan) -> Comparison<'a> {
    let planned = by_key(plan);
    let mut comparison =
        Comparison { due: Vec::new(), blocked: Vec::new(), new: Vec::new(), vanished: Vec::new() };
    for reference in &now.references {
        let list = match planned.get(&key(reference)) {
            None => &mut comparison.new,
            Some(_) if reference.blocked_by.is_some() => &mut comparison.blocked,
            Some(planned) if planned.blocked_by.is_some() || attaches_another(planned, reference) => {
                &mut comparison.new
            }
            Some(_) => &mut comparison.due,
        };
        list.push(reference);
    }
    let present: BTreeSet<Key<'_>> = now.references.iter().map(key).collect();
    comparison.vanished =
        plan.references.iter().filter(|reference| !present.contains(&key(reference))).collect();
    comparison
}

/// Whether a detach would attach a group that the plan does not name for it. A group that is no longer its endpoint's last
/// one needs no replacement: an earlier run may have attached it.
fn attaches_another(planned: &Reference, now: &Reference) -> bool {
    let replacement = &now.replacement_security_group_id;
    replacement.is_some() && *replacement != planned.replacement_security_group_id
}

/// The references of a plan by region, endpoint and group.
pub(super) fn by_key(plan: &Plan) -> BTreeMap<Key<'_>, &Reference> {
    plan.references.iter().map(|reference| (key(reference), reference)).collect()
}

pub(super) fn key(reference: &Reference) -> Key<'_> {
    (&reference.region_id, &reference.endpoint_id, &reference.security_group_id)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::alibaba::records::GroupStatus;
    use crate::detach::ReasonCode;

    /// A plan with references to `sg-a` on these endpoints; `!` in front of one means that it is blocked.
    fn plan(endpoints: &[&str]) -> Plan {
        let mut plan = Plan::new(vec![SecurityGroupId::parse("sg-a").unwrap()], SystemTime::UNIX_EPOCH);
        plan.references = endpoints.iter().map(|endpoint| reference(endpoint, "sg-a", "eu-west-1")).collect();
        plan
    }

    fn reference(endpoint: &str, group: &str, region: &str) -> Reference {
        let blocked_by = endpoint.starts_with('!').then_some(ReasonCode::ProtectedEndpoint);
        Reference {
            region_id: RegionId::parse(region).unwrap(),
            endpoint_id: EndpointId::parse(endpoint.trim_start_matches('!')).unwrap(),
            endpoint_name: None,
            vpc_id: None,
            security_group_id: SecurityGroupId::parse(group).unwrap(),
            status: GroupStatus::Attached,
            security_groups: Vec::new(),
            blocked_by,
            replacement_security_group_id: None,
        }
    }

    /// A plan with one reference, which this group replaces.
    fn replaced_by(group: Option<&str>) -> Plan {
        let mut plan = plan(&["ep-a"]);
        plan.references[0].replacement_security_group_id = group.and_then(SecurityGroupId::parse);
        plan
    }

    fn ids(references: &[&Reference]) -> String {
        references.iter().map(|reference| reference.endpoint_id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_the_plan_would_detach_and_may_be_detached_now_is_due() {
        let before = plan(&["ep-a", "ep-gone", "ep-locked", "!ep-free", "!ep-still", "!ep-left"]);
        let now = plan(&["ep-a", "!ep-locked", "ep-free", "!ep-still", "ep-new", "!ep-other"]);
        let compared = compare(&before, &now);
        assert_eq!(ids(&compared.due), "ep-a");
        assert_eq!(ids(&compared.blocked), "ep-locked ep-still");
        assert_eq!(ids(&compared.new), "ep-free ep-new ep-other");
        assert_eq!(ids(&compared.vanished), "ep-gone ep-left");
    }

    #[test]
    fn only_the_replacement_of_the_plan_is_approved() {
        for (before, after, is_due) in [
            (Some("sg-s"), Some("sg-s"), true),
            (Some("sg-s"), Some("sg-t"), false),
            (Some("sg-s"), Some("sg-S"), false),
            (None, Some("sg-s"), false),
            (Some("sg-s"), None, true),
        ] {
            let (before, after) = (replaced_by(before), replaced_by(after));
            let compared = compare(&before, &after);
            let counts = (compared.due.len(), compared.new.len(), compared.vanished.len());
            assert_eq!(counts, if is_due { (1, 0, 0) } else { (0, 1, 0) });
        }
        let (before, after) = (replaced_by(Some("sg-s")), plan(&["!ep-a"]));
        assert_eq!(ids(&compare(&before, &after).blocked), "ep-a", "no replacement is configured any more");
    }

    #[test]
    fn reference_is_the_same_only_with_region_endpoint_and_group() {
        let before = plan(&["ep-a"]);
        for (group, region) in [("sg-b", "eu-west-1"), ("sg-A", "eu-west-1"), ("sg-a", "eu-central-1")] {
            let mut now = plan(&[]);
            now.references.push(reference("ep-a", group, region));
            let compared = compare(&before, &now);
            let counts = (compared.due.len(), compared.new.len(), compared.vanished.len());
            assert_eq!(counts, (0, 1, 1), "{group} {region}");
        }
    }
}
