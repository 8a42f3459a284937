//! What one complete read of an endpoint means for the group, by itself: no history, no deadline, no policy.
//!
//! [`assess`] is the table in `docs/architecture.md`, row for row.

use crate::alibaba::records::{Endpoint, EndpointStatus, EndpointType, GroupStatus, SecurityGroup};
use crate::request::SecurityGroupId;

/// One complete read: every page of the endpoint's group list, then the endpoint's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub groups: GroupList,
    /// Whether the group list counts by itself: it is plain and not empty, or an earlier read had the same one.
    pub is_settled: bool,
    /// The endpoint's record in `ListVpcEndpoints`; `None` if it lists no such endpoint.
    pub record: Option<Endpoint>,
}

/// The response to `ListVpcEndpointSecurityGroups`, all pages together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The endpoint does not exist, or no longer exists.
    EndpointMissing,
    /// Wait: another read will differ.
    Changing(Change),
    /// Attached, and the endpoint has no other group.
    LastGroup,
    /// Attached, and every other group is attaching or detaching: a detach could remove the last one.
    OthersChanging,
    /// Attached to a stable endpoint that has another attached group.
    Attached,
    /// The list may be incomplete: only a second one like it counts.
    Unsettled,
    /// Nothing follows from the two responses.
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
    /// Whether an accepted write causes this state.
    #[must_use]
    pub fn is_of_a_write(self) -> bool {
        match self {
            Self::AbsentWhilePending | Self::Detaching | Self::AttachedWhilePending => true,
            Self::AbsentWhileCreating | Self::Attaching | Self::AttachedWhileCreatingOrDeleting => false,
        }
    }
}

/// Why nothing follows from two responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// `EndpointNotFound`, and then a record of the endpoint.
    NotFoundButRecorded,
    /// Groups, and then no record.
    GroupsWithoutRecord,
    /// The record has no status, or one that Alibaba Cloud's documentation does not list.
    UnknownStatus,
}

/// What this observation means.
#[must_use]
pub fn assess(observation: &Observation) -> Assessment {
    use EndpointStatus::{Active, Creating, Deleting, Other, Pending};
    use GroupStatus::{Attached, Attaching, Detaching};
    use Presence::{Absent, Listed};

    let record = observation.record.as_ref();
    // This type of endpoint has no groups, so its list is always empty.
    let has_no_groups =
        record.is_some_and(|record| record.endpoint_type == Some(EndpointType::GatewayLoadBalancer));
    if !observation.is_settled && !has_no_groups {
        return Assessment::Unsettled;
    }
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
        (Absent, Some(Creating), _) => Assessment::Changing(Change::AbsentWhileCreating),
        (Absent, Some(Pending), _) => Assessment::Changing(Change::AbsentWhilePending),
        (Absent, Some(Active | Deleting), _) => Assessment::Detached,
        (Listed(Attaching), _, _) => Assessment::Changing(Change::Attaching),
        (Listed(Detaching), _, _) => Assessment::Changing(Change::Detaching),
        (Listed(Attached), Some(Pending), _) => Assessment::Changing(Change::AttachedWhilePending),
        (Listed(Attached), Some(Creating | Deleting), _) => {
            Assessment::Changing(Change::AttachedWhileCreatingOrDeleting)
        }
        (Absent | Listed(Attached), Some(Other(_)) | None, _) => {
            Assessment::Inconclusive(Contradiction::UnknownStatus)
        }
        (Listed(Attached), Some(Active), Others::None) => Assessment::LastGroup,
        (Listed(Attached), Some(Active), Others::AllChanging) => Assessment::OthersChanging,
        (Listed(Attached), Some(Active), Others::Attached) => Assessment::Attached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::SecurityGroupId;

    /// Every kind of response to the group list, with the names that a row of the table may have for it.
    fn lists() -> Vec<(GroupList, &'static [&'static str])> {
        let ours = SecurityGroupId::parse("sg-ours").unwrap();
        let group = |id: &str, status| SecurityGroup { id: id.to_owned(), status };
        let (attached, other) =
            (group("sg-ours", GroupStatus::Attached), group("sg-other", GroupStatus::Attached));
        let leaving = group("sg-a", GroupStatus::Detaching);
        let joining = group("sg-b", GroupStatus::Attaching);
        let list = |groups: &[SecurityGroup]| GroupList::complete(groups, &ours);
        vec![
            (GroupList::EndpointNotFound, &["`EndpointNotFound`"]),
            (list(&[]), &["empty", "absent"]),
            (list(std::slice::from_ref(&other)), &["absent", "any groups"]),
            (list(std::slice::from_ref(&leaving)), &["absent", "any groups"]),
            (
                list(&[group("sg-ours", GroupStatus::Attaching), other.clone()]),
                &["`Attaching`", "any groups"],
            ),
            (list(&[group("sg-ours", GroupStatus::Attaching)]), &["`Attaching`", "any groups"]),
            (
                list(&[group("sg-ours", GroupStatus::Detaching), other.clone()]),
                &["`Detaching`", "any groups"],
            ),
            (list(&[group("sg-ours", GroupStatus::Detaching)]), &["`Detaching`", "any groups"]),
            (
                list(std::slice::from_ref(&attached)),
                &["`Attached`, the only group", "`Attached`", "any groups"],
            ),
            (
                list(&[attached.clone(), leaving.clone(), joining]),
                &["`Attached`, all others changing", "`Attached`", "any groups"],
            ),
            (list(&[attached.clone(), other.clone()]), &["`Attached`", "any groups"]),
            (list(&[leaving, attached, other]), &["`Attached`", "any groups"]),
        ]
    }

    /// Whether a row's second column names this record.
    fn names_record(column: &str, record: Option<&Endpoint>) -> bool {
        let status = record.map(|record| record.status.as_ref().map(EndpointStatus::as_str));
        match (column, status) {
            ("none", None) | ("any", Some(_)) | ("any or none", _) => true,
            (names, Some(status)) => {
                let name = status.unwrap_or("without a status");
                names.split(", ").any(|listed| listed.trim_matches('`') == name)
            }
            _ => false,
        }
    }

    fn assessment(name: &str) -> Assessment {
        match name {
            "`Detached`" => Assessment::Detached,
            "`EndpointMissing`" => Assessment::EndpointMissing,
            "`LastGroup`" => Assessment::LastGroup,
            "`OthersChanging`" => Assessment::OthersChanging,
            "`Attached`" => Assessment::Attached,
            "`AbsentWhileCreating`" => Assessment::Changing(Change::AbsentWhileCreating),
            "`AbsentWhilePending`" => Assessment::Changing(Change::AbsentWhilePending),
            "`Attaching`" => Assessment::Changing(Change::Attaching),
            "`Detaching`" => Assessment::Changing(Change::Detaching),
            "`AttachedWhilePending`" => Assessment::Changing(Change::AttachedWhilePending),
            "`AttachedWhileCreatingOrDeleting`" => {
                Assessment::Changing(Change::AttachedWhileCreatingOrDeleting)
            }
            "`NotFoundButRecorded`" => Assessment::Inconclusive(Contradiction::NotFoundButRecorded),
            "`GroupsWithoutRecord`" => Assessment::Inconclusive(Contradiction::GroupsWithoutRecord),
            "`UnknownStatus`" => Assessment::Inconclusive(Contradiction::UnknownStatus),
            "`Unsettled`" => Assessment::Unsettled,
            other => panic!("no such assessment: {other}"),
        }
    }

    #[test]
    fn documented_table_has_a_row_for_every_observation_and_the_code_agrees() {
        let page = include_str!("../../docs/architecture.md");
        let table = page.split("| group list | record | assessment | then |").nth(1).unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let mut used = vec![false; rows.len()];
        let statuses = ["Active", "Creating", "Pending", "Deleting", "Unheard"].map(Some);
        let record = |status: Option<&str>| Endpoint {
            id: "ep-a".to_owned(),
            status: status.map(|status| EndpointStatus::read(status.to_owned())),
            ..Endpoint::default()
        };
        let records = statuses.into_iter().chain([None]).map(|status| Some(record(status)));
        for record in records.chain([None]) {
            for (groups, names) in lists() {
                for is_settled in [true, false] {
                    let names = if is_settled { names } else { &["not settled"] };
                    let is_of =
                        |row: &&Vec<&str>| names.contains(&row[0]) && names_record(row[1], record.as_ref());
                    let row = rows.iter().position(|row| is_of(&row)).unwrap();
                    used[row] = true;
                    let observation = Observation { groups, is_settled, record: record.clone() };
                    let expected = assessment(rows[row][2]);
                    assert_eq!(assess(&observation), expected, "{:?} {observation:?}", rows[row]);
                }
            }
        }
        assert!(used.iter().all(|used| *used), "{rows:?} {used:?}");
    }

    #[test]
    fn empty_list_of_a_gateway_load_balancer_needs_no_second_one() {
        let ours = SecurityGroupId::parse("sg-ours").unwrap();
        for (endpoint_type, expected) in [
            (EndpointType::GatewayLoadBalancer, Assessment::Detached),
            (EndpointType::Interface, Assessment::Unsettled),
        ] {
            let record = Endpoint {
                endpoint_type: Some(endpoint_type),
                status: Some(EndpointStatus::Active),
                ..Endpoint::default()
            };
            let groups = GroupList::complete(&[], &ours);
            let observation = Observation { groups, is_settled: false, record: Some(record) };
            assert_eq!(assess(&observation), expected);
        }
    }
}
