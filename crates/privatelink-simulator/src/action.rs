//! The actions that the simulator knows; every other name answers `InvalidApi.NotFound`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The only version of PrivateLink's API.
pub const VERSION: &str = "2020-04-15";

/// The only version of STS's API.
pub const STS_VERSION: &str = "2015-04-01";

/// One API action. In JSON and in `Display` it carries the API's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Gives a role's session for a token that an OIDC provider has signed. It is STS's, and not signed itself.
    AssumeRoleWithOIDC,
    /// Starts to attach a group: a task that takes time.
    AttachSecurityGroupToVpcEndpoint,
    /// Lists the regions.
    DescribeRegions,
    /// Starts to detach a group: a task that takes time.
    DetachSecurityGroupFromVpcEndpoint,
    /// Reads one endpoint's record.
    GetVpcEndpointAttribute,
    /// Lists one endpoint's groups, in pages.
    ListVpcEndpointSecurityGroups,
    /// Lists endpoint records, in pages.
    ListVpcEndpoints,
}

impl Action {
    /// Every action, in the order of the names.
    pub const ALL: [Self; 7] = [
        Self::AssumeRoleWithOIDC,
        Self::AttachSecurityGroupToVpcEndpoint,
        Self::DescribeRegions,
        Self::DetachSecurityGroupFromVpcEndpoint,
        Self::GetVpcEndpointAttribute,
        Self::ListVpcEndpointSecurityGroups,
        Self::ListVpcEndpoints,
    ];

    /// The API's name of this action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AssumeRoleWithOIDC => "AssumeRoleWithOIDC",
            Self::AttachSecurityGroupToVpcEndpoint => "AttachSecurityGroupToVpcEndpoint",
            Self::DescribeRegions => "DescribeRegions",
            Self::DetachSecurityGroupFromVpcEndpoint => "DetachSecurityGroupFromVpcEndpoint",
            Self::GetVpcEndpointAttribute => "GetVpcEndpointAttribute",
            Self::ListVpcEndpointSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::ListVpcEndpoints => "ListVpcEndpoints",
        }
    }

    /// The version of the API that it belongs to.
    #[must_use]
    pub fn version(self) -> &'static str {
        if self.is_anonymous() { STS_VERSION } else { VERSION }
    }

    /// Whether it is called without a key and a signature. Of STS's actions, only such a one is here.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        self == Self::AssumeRoleWithOIDC
    }

    /// The action of this name, compared exactly.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
