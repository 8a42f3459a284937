//! The actions that the simulator supports. A call of any other action is refused with `InvalidApi.NotFound`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The only version of the PrivateLink API.
pub const VERSION: &str = "2020-04-15";

/// The only version of the STS API.
pub const STS_VERSION: &str = "2015-04-01";

/// An API action. Its JSON and `Display` forms are the API's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Returns credentials of a role's session in exchange for a token signed by an OIDC provider. An STS action; it
    /// is not signed.
    AssumeRoleWithOIDC,
    /// Starts to attach a group; an asynchronous task.
    AttachSecurityGroupToVpcEndpoint,
    DescribeRegions,
    /// Starts to detach a group; an asynchronous task.
    DetachSecurityGroupFromVpcEndpoint,
    /// Returns one endpoint's record.
    GetVpcEndpointAttribute,
    /// Lists one endpoint's groups, in pages.
    ListVpcEndpointSecurityGroups,
    /// Lists endpoint records, in pages.
    ListVpcEndpoints,
}

impl Action {
    /// Every action, sorted by name.
    pub const ALL: [Self; 7] = [
        Self::AssumeRoleWithOIDC,
        Self::AttachSecurityGroupToVpcEndpoint,
        Self::DescribeRegions,
        Self::DetachSecurityGroupFromVpcEndpoint,
        Self::GetVpcEndpointAttribute,
        Self::ListVpcEndpointSecurityGroups,
        Self::ListVpcEndpoints,
    ];

    /// The API's name of the action.
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

    /// The version of the API that the action belongs to.
    #[must_use]
    pub fn version(self) -> &'static str {
        if self.is_anonymous() { STS_VERSION } else { VERSION }
    }

    /// Whether the action is called without an access key and a signature. True for the only STS action here.
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

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
