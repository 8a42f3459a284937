//! Whether the groups of a sweep exist: a mistyped group must not count as unused.

use crate::request::SecurityGroupId;

/// Whether every group exists in some region. `existing` has the groups that ECS found in each region, or `None` for a region
/// without a response. The result is `None` if it depends on such a region.
#[must_use]
pub fn security_groups_found(
    security_group_ids: &[SecurityGroupId],
    existing: &[Option<Vec<String>>],
) -> Option<bool> {
    let exists = |id: &SecurityGroupId| existing.iter().flatten().flatten().any(|found| found == id.as_str());
    if security_group_ids.iter().all(exists) {
        Some(true)
    } else if existing.iter().all(Option::is_some) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_only_if_each_is_in_a_region_and_missing_only_if_every_region_says_so() {
        let found = |ids: &[&str], existing: &[Option<&[&str]>]| {
            let ids: Vec<_> = ids.iter().map(|id| SecurityGroupId::parse(id).unwrap()).collect();
            let owned = |ids: &&[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
            let existing: Vec<_> = existing.iter().map(|ids| ids.as_ref().map(owned)).collect();
            security_groups_found(&ids, &existing)
        };
        let a: Option<&[&str]> = Some(&["sg-a"]);
        let (b, none): (Option<&[&str]>, Option<&[&str]>) = (Some(&["sg-b"]), Some(&[]));
        assert_eq!(found(&["sg-a", "sg-b"], &[a, b]), Some(true));
        assert_eq!(found(&["sg-a"], &[None, a]), Some(true), "another region may not respond");
        assert_eq!(found(&["sg-a", "sg-b"], &[a, None]), None);
        assert_eq!(found(&["sg-a", "sg-b"], &[a, none]), Some(false));
        assert_eq!(found(&["sg-A"], &[a]), Some(false), "the letter case counts");
    }
}
