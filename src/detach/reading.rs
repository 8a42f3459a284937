//! A read under way: the pages of the group list, then those of the endpoint's record.

use crate::alibaba::pages::Pages;
use crate::alibaba::records::{Endpoint, SecurityGroup};

use super::assessment::{GroupList, Others, Presence};

#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) groups: Pages<SecurityGroup>,
    pub(super) endpoints: Pages<Endpoint>,
    /// The complete list, while the record is being read.
    pub(super) listed: Option<GroupList>,
    /// Whether the record is read even if the list alone says to wait.
    pub(super) is_full: bool,
}

impl Reading {
    pub(super) fn new(is_full: bool) -> Self {
        Self { groups: Pages::default(), endpoints: Pages::default(), listed: None, is_full }
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
