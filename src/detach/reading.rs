//! A read under way: the pages of the group list, then those of the endpoint's record.

use crate::alibaba::pages::Pages;
use crate::alibaba::records::{Endpoint, SecurityGroup};
use crate::request::SecurityGroupId;

use super::assessment::{GroupList, Others, Presence};

#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) groups: Pages<SecurityGroup>,
    pub(super) endpoints: Pages<Endpoint>,
    /// The complete list, while the record is being read.
    pub(super) listed: Option<GroupList>,
    /// Whether that list counts; see [`super::assessment::Observation`].
    pub(super) is_settled: bool,
    /// A group of that list whose id is ours but for letter case.
    pub(super) lookalike: Option<String>,
    /// Whether the record is read even if the list alone says to wait.
    pub(super) is_full: bool,
}

impl Reading {
    pub(super) fn new(is_full: bool) -> Self {
        Self {
            groups: Pages::default(),
            endpoints: Pages::default(),
            listed: None,
            is_settled: false,
            lookalike: None,
            is_full,
        }
    }

    pub(super) fn is_between_pages(&self) -> bool {
        self.groups.is_begun() || self.endpoints.is_begun()
    }

    /// Whether the list has at least one group.
    pub(super) fn has_listed_groups(&self) -> bool {
        match self.listed {
            Some(GroupList::Complete { ours, others }) => ours != Presence::Absent || others != Others::None,
            Some(GroupList::EndpointNotFound) | None => false,
        }
    }
}

/// The group whose id differs from ours only in letter case.
pub(super) fn lookalike(groups: &[SecurityGroup], ours: &SecurityGroupId) -> Option<String> {
    let is_alike = |id: &&String| id.as_str() != ours.as_str() && id.eq_ignore_ascii_case(ours.as_str());
    groups.iter().map(|group| &group.id).find(is_alike).cloned()
}
