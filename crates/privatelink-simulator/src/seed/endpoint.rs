//! An endpoint as data: its record, its groups and the task that runs on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{GROUPS_PER_ENDPOINT_MAX, SeedError, is_id};
use crate::{
    ids::{EndpointId, RegionId, SecurityGroupId},
    wire_time::rfc3339,
};

/// A VPC endpoint. Statuses are the API's own strings and are returned unchanged, so that a status that this program
/// does not know can be simulated too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub region_id: RegionId,
    /// Unique across all regions.
    pub endpoint_id: EndpointId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_name: Option<String>,
    /// `Creating`, `Active`, `Pending` or `Deleting`.
    #[serde(default = "active")]
    pub endpoint_status: String,
    /// `Normal` or `FinancialLocked`.
    #[serde(default = "normal")]
    pub business_status: String,
    /// `Connected`, `Connecting`, `ServiceDeleted` and so on.
    #[serde(default = "connected")]
    pub connection_status: String,
    /// `Interface`, `Reverse` or `GatewayLoadBalancer`.
    #[serde(default = "interface")]
    pub endpoint_type: String,
    /// Whether managed protection is on. It is returned, and has no other effect here.
    #[serde(default)]
    pub protected_enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub security_groups: Vec<SecurityGroup>,
    /// The task that runs on the endpoint and locks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

impl Endpoint {
    /// Creates an active endpoint with these groups attached.
    #[must_use]
    pub fn new<G: Into<SecurityGroupId>>(
        region: impl Into<RegionId>,
        endpoint: impl Into<EndpointId>,
        groups: impl IntoIterator<Item = G>,
    ) -> Self {
        Self {
            region_id: region.into(),
            endpoint_id: endpoint.into(),
            endpoint_name: None,
            endpoint_status: active(),
            business_status: normal(),
            connection_status: connected(),
            endpoint_type: interface(),
            protected_enabled: false,
            vpc_id: None,
            resource_group_id: None,
            tags: BTreeMap::new(),
            security_groups: groups.into_iter().map(SecurityGroup::attached).collect(),
            task: None,
        }
    }

    /// The group with this id, if it is on the endpoint in any status.
    #[must_use]
    pub fn group(&self, group: &SecurityGroupId) -> Option<&SecurityGroup> {
        self.security_groups.iter().find(|present| present.id == *group)
    }

    pub(crate) fn check(&self, regions: &[RegionId]) -> Result<(), SeedError> {
        if !is_id(self.endpoint_id.as_str(), "ep-") {
            return Err(SeedError::EndpointId(self.endpoint_id.clone()));
        }
        if !regions.contains(&self.region_id) {
            let (endpoint, region) = (self.endpoint_id.clone(), self.region_id.clone());
            return Err(SeedError::UnknownRegion { endpoint, region });
        }
        if self.security_groups.len() > GROUPS_PER_ENDPOINT_MAX {
            return Err(SeedError::TooManyGroups(self.endpoint_id.clone()));
        }
        let mut ids = BTreeSet::new();
        for group in &self.security_groups {
            if !is_id(group.id.as_str(), "sg-") {
                return Err(SeedError::SecurityGroup(group.id.clone()));
            }
            if !ids.insert(&group.id) {
                let (endpoint, group) = (self.endpoint_id.clone(), group.id.clone());
                return Err(SeedError::GroupTwice { endpoint, group });
            }
        }
        Ok(())
    }
}

/// A group on an endpoint. In JSON, a string is the id of an attached group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SecurityGroupJson")]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    /// `Attached`, `Attaching`, `Detaching` or an unknown status.
    pub status: String,
}

impl SecurityGroup {
    #[must_use]
    pub fn attached(group: impl Into<SecurityGroupId>) -> Self {
        Self { id: group.into(), status: attached() }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a group's id, or {\"id\": …, \"status\": …}")]
enum SecurityGroupJson {
    Id(SecurityGroupId),
    Whole(WholeSecurityGroup),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeSecurityGroup {
    id: SecurityGroupId,
    #[serde(default = "attached")]
    status: String,
}

impl From<SecurityGroupJson> for SecurityGroup {
    fn from(json: SecurityGroupJson) -> Self {
        match json {
            SecurityGroupJson::Id(id) => Self::attached(id),
            SecurityGroupJson::Whole(WholeSecurityGroup { id, status }) => Self { id, status },
        }
    }
}

/// An asynchronous operation on an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub work: Work,
    /// The time at which the work ends.
    #[serde(with = "rfc3339")]
    pub ends_at: SystemTime,
    /// The time at which the endpoint is unlocked.
    #[serde(with = "rfc3339")]
    pub free_at: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Attaches a group.
    Attach {
        security_group_id: SecurityGroupId,
        /// Whether the work fails, so that the group is absent again.
        #[serde(default)]
        fails: bool,
    },
    /// Detaches a group.
    Detach {
        security_group_id: SecurityGroupId,
        /// Whether the work fails, so that the group becomes `Attached` again.
        #[serde(default)]
        fails: bool,
    },
    /// Keeps the endpoint locked, after the work has ended or for another caller.
    Hold {},
}

fn attached() -> String {
    "Attached".to_owned()
}

fn active() -> String {
    "Active".to_owned()
}

fn normal() -> String {
    "Normal".to_owned()
}

fn connected() -> String {
    "Connected".to_owned()
}

fn interface() -> String {
    "Interface".to_owned()
}
