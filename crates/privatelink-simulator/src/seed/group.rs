//! What is known about a security group besides its id.

use serde::{Deserialize, Serialize};

/// The VPC and the type of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityGroupRecord {
    /// `None` if the group can be attached to endpoints of every VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    pub security_group_type: SecurityGroupType,
}

/// The type of a group, as ECS names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityGroupType {
    /// Basic.
    #[default]
    Normal,
    /// Advanced.
    Enterprise,
}
