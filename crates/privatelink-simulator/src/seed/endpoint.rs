//! An endpoint as data: its record, its groups, and what is being done to it.

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

/// One VPC endpoint. States are the API's own words and are answered as they stand, so that a state which this program
/// does not know can be simulated, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The region that it lives in.
    pub region_id: RegionId,
    /// Its id, used once across all regions.
    pub endpoint_id: EndpointId,
    /// Its name.
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
    /// Whether managed protection is on. It is answered, and has no further effect here.
    #[serde(default)]
    pub protected_enabled: bool,
    /// The VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// The tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The groups.
    #[serde(default)]
    pub security_groups: Vec<SecurityGroup>,
    /// What is being done to the endpoint, and locks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

impl Endpoint {
    /// An endpoint in its usual state, with these groups attached.
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
            tags: BTreeMap::new(),
            security_groups: groups.into_iter().map(SecurityGroup::attached).collect(),
            task: None,
        }
    }

    /// The group of this id, if it is on the endpoint in any state.
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
        let mut seen = BTreeSet::new();
        for group in &self.security_groups {
            if !is_id(group.id.as_str(), "sg-") {
                return Err(SeedError::SecurityGroup(group.id.clone()));
            }
            if !seen.insert(&group.id) {
                let (endpoint, group) = (self.endpoint_id.clone(), group.id.clone());
                return Err(SeedError::GroupTwice { endpoint, group });
            }
        }
        Ok(())
    }
}

/// One group on an endpoint. In JSON a bare id means an attached group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SecurityGroupJson")]
pub struct SecurityGroup {
    /// The group.
    pub id: SecurityGroupId,
    /// `Attached`, `Attaching`, `Detaching`, or a word that nobody knows yet.
    pub status: String,
}

impl SecurityGroup {
    /// An attached group.
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

/// What is being done to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The work.
    pub work: Work,
    /// When the work ends.
    #[serde(with = "rfc3339")]
    pub ends_at: SystemTime,
    /// When the endpoint is free again.
    #[serde(with = "rfc3339")]
    pub free_at: SystemTime,
}

/// The work of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// A group is being attached.
    Attach {
        /// The group.
        security_group_id: SecurityGroupId,
    },
    /// A group is being detached.
    Detach {
        /// The group.
        security_group_id: SecurityGroupId,
        /// It will fail, and the group be `Attached` again.
        #[serde(default)]
        fails: bool,
    },
    /// Nothing that shows: the work is done, or somebody else holds the endpoint.
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
