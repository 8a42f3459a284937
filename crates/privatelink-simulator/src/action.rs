//! The actions that the simulator supports. A call of any other action is refused with `InvalidApi.NotFound`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The only version of the PrivateLink API.
pub const VERSION: &str = "2020-04-15";

/// The only version of the STS API.
pub const STS_VERSION: &str = "2015-04-01";

/// The only version of the ECS API.
pub const ECS_VERSION: &str = "2014-05-26";

/// An API action. Its JSON and `Display` forms are the API's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Returns credentials of a role's session in exchange for the caller's own. An STS action.
    AssumeRole,
    /// Returns credentials of a role's session in exchange for a token signed by an OIDC provider. An STS action; it
    /// is not signed.
    AssumeRoleWithOIDC,
    /// Starts to attach a group; an asynchronous task.
    AttachSecurityGroupToVpcEndpoint,
    DescribeRegions,
    /// Lists the security groups of a region, in pages. An ECS action.
    DescribeSecurityGroups,
    /// Starts to detach a group; an asynchronous task.
    DetachSecurityGroupFromVpcEndpoint,
    /// Returns whose credentials signed the call. An STS action.
    GetCallerIdentity,
    /// Returns one endpoint's record.
    GetVpcEndpointAttribute,
    /// Lists one endpoint's groups, in pages.
    ListVpcEndpointSecurityGroups,
    /// Lists endpoint records, in pages.
    ListVpcEndpoints,
}

impl Action {
    /// Every action, sorted by name.
    pub const ALL: [Self; 10] = [
        Self::AssumeRole,
        Self::AssumeRoleWithOIDC,
        Self::AttachSecurityGroupToVpcEndpoint,
        Self::DescribeRegions,
        Self::DescribeSecurityGroups,
        Self::DetachSecurityGroupFromVpcEndpoint,
        Self::GetCallerIdentity,
        Self::GetVpcEndpointAttribute,
        Self::ListVpcEndpointSecurityGroups,
        Self::ListVpcEndpoints,
    ];

    /// The API's name of the action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithOIDC => "AssumeRoleWithOIDC",
            Self::AttachSecurityGroupToVpcEndpoint => "AttachSecurityGroupToVpcEndpoint",
            Self::DescribeRegions => "DescribeRegions",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::DetachSecurityGroupFromVpcEndpoint => "DetachSecurityGroupFromVpcEndpoint",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::GetVpcEndpointAttribute => "GetVpcEndpointAttribute",
            Self::ListVpcEndpointSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::ListVpcEndpoints => "ListVpcEndpoints",
        }
    }

    /// The version of the API that the action belongs to.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self.product() {
            Product::Ecs => ECS_VERSION,
            Product::PrivateLink => VERSION,
            Product::Sts => STS_VERSION,
        }
    }

    pub(crate) fn product(self) -> Product {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithOIDC | Self::GetCallerIdentity => Product::Sts,
            Self::DescribeSecurityGroups => Product::Ecs,
            Self::AttachSecurityGroupToVpcEndpoint
            | Self::DescribeRegions
            | Self::DetachSecurityGroupFromVpcEndpoint
            | Self::GetVpcEndpointAttribute
            | Self::ListVpcEndpointSecurityGroups
            | Self::ListVpcEndpoints => Product::PrivateLink,
        }
    }

    /// Whether the action is called without an access key and a signature.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        self == Self::AssumeRoleWithOIDC
    }

    /// The action with exactly this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// The product of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Ecs,
    PrivateLink,
    Sts,
}

impl Product {
    /// The name in the URL of Alibaba's troubleshooter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ecs => "Ecs",
            Self::PrivateLink => "Privatelink",
            Self::Sts => "Sts",
        }
    }

    /// The name before the action in a RAM policy.
    pub(crate) fn ram_name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::PrivateLink => "privatelink",
            Self::Sts => "sts",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
