//! A read under way: the pages of the group list, then those of the endpoint's record.

use std::time::{Duration, Instant};

use crate::alibaba::pages::{List, Pages};
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

/// Decides which complete lists count. It outlives a read.
#[derive(Debug, Clone, Default)]
pub(super) struct Settling {
    /// The latest complete list of groups, and since when every complete one has been the same.
    latest: Option<(Vec<SecurityGroup>, Instant)>,
    /// The latest complete list of records.
    records: Option<Vec<Endpoint>>,
}

impl Settling {
    /// Whether this list of records counts: if it is plain, or if the one before it was the same.
    pub(super) fn add_records(&mut self, list: &List<Endpoint>) -> bool {
        let before = self.records.replace(list.items.clone());
        list.is_plain || before.as_ref() == Some(&list.items)
    }

    /// Whether this list counts: by itself if it is plain and not empty, otherwise if the one before it was the same, an
    /// empty one for this long.
    pub(super) fn add(&mut self, list: List<SecurityGroup>, empty_for: Duration, now: Instant) -> bool {
        let before = self.latest.take().filter(|(items, _)| *items == list.items);
        let since = before.map(|(_, since)| since);
        let is_settled = match since {
            Some(since) => !list.items.is_empty() || now.saturating_duration_since(since) >= empty_for,
            None => list.is_plain && !list.items.is_empty(),
        };
        self.latest = Some((list.items, since.unwrap_or(now)));
        is_settled
    }

    /// How long until an empty list counts, if the latest was one.
    pub(super) fn settles_in(&self, empty_for: Duration, now: Instant) -> Duration {
        match &self.latest {
            Some((items, since)) if items.is_empty() => {
                empty_for.saturating_sub(now.saturating_duration_since(*since))
            }
            _ => Duration::ZERO,
        }
    }
}

/// The group whose id differs from ours only in letter case.
pub(super) fn lookalike(groups: &[SecurityGroup], ours: &SecurityGroupId) -> Option<String> {
    let is_alike = |id: &&String| id.as_str() != ours.as_str() && id.eq_ignore_ascii_case(ours.as_str());
    groups.iter().map(|group| &group.id).find(is_alike).cloned()
}
