//! The groups that may be attached in place of an endpoint's last one.

use std::collections::BTreeMap;

use super::{SecurityGroupId, VpcId};

/// The configured replacements, at most one for each VPC.
///
/// Attaching a group opens access, so the configuration alone names the group, never a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacements(BTreeMap<VpcId, SecurityGroupId>);

impl Replacements {
    /// Adds the replacement of a VPC. Returns false and changes nothing if the VPC already has one.
    pub fn insert(&mut self, vpc_id: VpcId, security_group_id: SecurityGroupId) -> bool {
        let is_new = !self.0.contains_key(&vpc_id);
        if is_new {
            self.0.insert(vpc_id, security_group_id);
        }
        is_new
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The replacements that name this group; none if there is no group. Limits a request to the replacement that an
    /// operator has approved.
    #[must_use]
    pub fn only(&self, security_group_id: Option<&SecurityGroupId>) -> Self {
        let is_it = |(_, replacement): &(&VpcId, &SecurityGroupId)| Some(*replacement) == security_group_id;
        Self(self.iter().filter(is_it).map(|(vpc_id, id)| (vpc_id.clone(), id.clone())).collect())
    }

    /// Every replacement with its VPC, by VPC.
    pub fn iter(&self) -> impl Iterator<Item = (&VpcId, &SecurityGroupId)> {
        self.0.iter()
    }

    /// The group that may replace `requested` on an endpoint of this VPC. `None` if the VPC has no replacement, or if
    /// the replacement is the requested group itself, in any letter case.
    #[must_use]
    pub fn of(&self, vpc_id: Option<&str>, requested: &SecurityGroupId) -> Option<&SecurityGroupId> {
        let replacement = self.0.get(&VpcId::parse(vpc_id?)?)?;
        let is_requested = replacement.as_str().eq_ignore_ascii_case(requested.as_str());
        (!is_requested).then_some(replacement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str) -> SecurityGroupId {
        SecurityGroupId::parse(id).unwrap()
    }

    #[test]
    fn vpc_has_one_replacement_which_never_replaces_itself() {
        let mut replacements = Replacements::default();
        let vpc = || VpcId::parse("vpc-a").unwrap();
        assert!(replacements.insert(vpc(), group("sg-spare")));
        assert!(!replacements.insert(vpc(), group("sg-second")), "the VPC has one");
        for (vpc_id, requested, expected) in [
            (Some("vpc-a"), "sg-old", Some("sg-spare")),
            (Some("vpc-b"), "sg-old", None),
            (Some("not a VPC"), "sg-old", None),
            (None, "sg-old", None),
            (Some("vpc-a"), "sg-spare", None),
            (Some("vpc-a"), "sg-Spare", None),
        ] {
            let replacement = replacements.of(vpc_id, &group(requested));
            assert_eq!(replacement.map(SecurityGroupId::as_str), expected, "{vpc_id:?} {requested}");
        }
    }

    #[test]
    fn only_the_approved_group_is_left() {
        let mut replacements = Replacements::default();
        for (vpc_id, id) in [("vpc-a", "sg-spare"), ("vpc-b", "sg-other"), ("vpc-c", "sg-spare")] {
            assert!(replacements.insert(VpcId::parse(vpc_id).unwrap(), group(id)));
        }
        let vpcs = |replacements: &Replacements| -> Vec<String> {
            replacements.iter().map(|(vpc_id, _)| vpc_id.to_string()).collect()
        };
        assert_eq!(vpcs(&replacements.only(Some(&group("sg-spare")))), ["vpc-a", "vpc-c"]);
        assert_eq!(vpcs(&replacements.only(Some(&group("sg-third")))), [""; 0]);
        assert_eq!(vpcs(&replacements.only(None)), [""; 0]);
    }
}
