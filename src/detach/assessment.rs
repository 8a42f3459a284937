//! What one complete read of an endpoint means for the group, by itself: no history, no deadline, no policy.
//!
//! [`assess`] is the table in `docs/architecture.md`, row for row.

use crate::alibaba::response::{Endpoint, EndpointStatus, GroupStatus, SecurityGroup};
use crate::request::SecurityGroupId;

/// One complete read: every page of the endpoint's group list, then the endpoint's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub groups: GroupList,
    /// The endpoint's record in `ListVpcEndpoints`; `None` if it lists no such endpoint.
    pub record: Option<Endpoint>,
}

/// The response to `ListVpcEndpointSecurityGroups`, all pages together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupList {
    /// The code `EndpointNotFound`.
    EndpointNotFound,
    /// A complete list.
    Complete { ours: Presence, others: Others },
}

/// Where the group to detach stands in a complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Listed(GroupStatus),
}

impl Presence {
    /// The group's status as the service names it, or `absent`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Listed(status) => status.as_str(),
        }
    }
}

/// The other groups of a complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    None,
    /// Every one of them is attaching or detaching.
    AllChanging,
    /// At least one is attached.
    Attached,
}

impl GroupList {
    /// Our group and the others in a complete list.
    #[must_use]
    pub fn complete(groups: &[SecurityGroup], ours: &SecurityGroupId) -> Self {
        let is_ours = |group: &&SecurityGroup| group.id == ours.as_str();
        let listed = groups.iter().find(is_ours).map(|group| group.status);
        let mut others = groups.iter().filter(|group| !is_ours(group)).peekable();
        let others = if others.peek().is_none() {
            Others::None
        } else if others.all(|group| group.status != GroupStatus::Attached) {
            Others::AllChanging
        } else {
            Others::Attached
        };
        Self::Complete { ours: listed.map_or(Presence::Absent, Presence::Listed), others }
    }
}

/// What a complete read means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assessment {
    /// The group is absent from the complete list, and the record read after it proves that this is final.
    Detached,
    /// The endpoint does not exist, or no longer.
    EndpointMissing,
    /// Wait: another read will differ.
    Changing(Change),
    /// Attached, and the endpoint has no other group.
    LastGroup,
    /// Attached, and every other group is attaching or detaching: none may be left.
    OthersChanging,
    /// Attached, and free to be detached.
    Attached,
    /// The two responses contradict each other.
    Inconclusive(Contradiction),
}

/// What is under way on the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new endpoint may not list its groups yet.
    AbsentWhileCreating,
    /// The task under way may still fail and restore the group.
    AbsentWhilePending,
    Attaching,
    Detaching,
    AttachedWhilePending,
    AttachedWhileCreatingOrDeleting,
}

impl Change {
    /// Whether an accepted detach would look like this.
    #[must_use]
    pub fn is_of_a_detach(self) -> bool {
        match self {
            Self::AbsentWhilePending | Self::Detaching | Self::AttachedWhilePending => true,
            Self::AbsentWhileCreating | Self::Attaching | Self::AttachedWhileCreatingOrDeleting => false,
        }
    }
}

/// Why two responses cannot both be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// `EndpointNotFound`, and then a record of the endpoint.
    NotFoundButRecorded,
    /// Groups, and then no record.
    GroupsWithoutRecord,
    /// The group is absent, and the record has no status.
    NoStatus,
}

/// What this observation means.
#[must_use]
pub fn assess(observation: &Observation) -> Assessment {
    use EndpointStatus::{Active, Creating, Deleting, Other, Pending};
    use GroupStatus::{Attached, Attaching, Detaching};
    use Presence::{Absent, Listed};

    let record = observation.record.as_ref();
    let (ours, others, record) = match (&observation.groups, record) {
        (GroupList::EndpointNotFound | GroupList::Complete { ours: Absent, others: Others::None }, None) => {
            return Assessment::EndpointMissing;
        }
        (GroupList::EndpointNotFound, Some(_)) => {
            return Assessment::Inconclusive(Contradiction::NotFoundButRecorded);
        }
        (GroupList::Complete { .. }, None) => {
            return Assessment::Inconclusive(Contradiction::GroupsWithoutRecord);
        }
        (GroupList::Complete { ours, others }, Some(record)) => (*ours, *others, record),
    };
    match (ours, record.status.as_ref(), others) {
        (Absent, None, _) => Assessment::Inconclusive(Contradiction::NoStatus),
        (Absent, Some(Creating), _) => Assessment::Changing(Change::AbsentWhileCreating),
        (Absent, Some(Pending), _) => Assessment::Changing(Change::AbsentWhilePending),
        (Absent, Some(Active | Deleting | Other(_)), _) => Assessment::Detached,
        (Listed(Attaching), _, _) => Assessment::Changing(Change::Attaching),
        (Listed(Detaching), _, _) => Assessment::Changing(Change::Detaching),
        (Listed(Attached), Some(Pending), _) => Assessment::Changing(Change::AttachedWhilePending),
        (Listed(Attached), Some(Creating | Deleting), _) => {
            Assessment::Changing(Change::AttachedWhileCreatingOrDeleting)
        }
        (Listed(Attached), Some(Active | Other(_)) | None, Others::None) => Assessment::LastGroup,
        (Listed(Attached), Some(Active | Other(_)) | None, Others::AllChanging) => Assessment::OthersChanging,
        (Listed(Attached), Some(Active | Other(_)) | None, Others::Attached) => Assessment::Attached,
    }
}
