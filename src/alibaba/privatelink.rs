//! PrivateLink 2020-04-15: the three operations of a detach and their parameters. Pure: nothing is sent here.

use crate::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};

/// The API version of every operation.
pub const VERSION: &str = "2020-04-15";

/// Entries requested per page: the documented maximum for groups, of which an endpoint has at most 10.
const PAGE_SIZE: &str = "50";

/// The operations that the worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Asynchronous: success means that the task was accepted.
    Detach,
    /// Lists the groups of one endpoint, with their status.
    ListSecurityGroups,
    /// Lists endpoints; here the record of one.
    ListEndpoints,
}

impl Action {
    pub const ALL: [Self; 3] = [Self::Detach, Self::ListSecurityGroups, Self::ListEndpoints];

    /// Alibaba's name of the operation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detach => "DetachSecurityGroupFromVpcEndpoint",
            Self::ListSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::ListEndpoints => "ListVpcEndpoints",
        }
    }
}

/// What one detach changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub security_group_id: SecurityGroupId,
}

/// One HTTP call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// One page of the endpoint's groups.
    ListSecurityGroups {
        /// The token of the previous page; absent for the first.
        next_token: Option<String>,
    },
    /// One page of the endpoint's record. One page is enough unless the service pages by fewer than one record.
    ListEndpoints {
        /// The token of the previous page; absent for the first.
        next_token: Option<String>,
    },
    /// The write.
    Detach {
        /// Makes a repetition of this call have no effect.
        client_token: ClientToken,
        dry_run: bool,
    },
}

impl Call {
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::ListSecurityGroups { .. } => Action::ListSecurityGroups,
            Self::ListEndpoints { .. } => Action::ListEndpoints,
            Self::Detach { .. } => Action::Detach,
        }
    }

    /// The client token, if the call is a write.
    #[must_use]
    pub fn client_token(&self) -> Option<&ClientToken> {
        match self {
            Self::Detach { client_token, .. } => Some(client_token),
            Self::ListSecurityGroups { .. } | Self::ListEndpoints { .. } => None,
        }
    }

    /// The query parameters for one target, unordered.
    #[must_use]
    pub fn parameters<'a>(&'a self, target: &'a Target) -> Vec<(&'static str, &'a str)> {
        let mut parameters =
            vec![("RegionId", target.region_id.as_str()), ("EndpointId", target.endpoint_id.as_str())];
        match self {
            Self::ListSecurityGroups { next_token } | Self::ListEndpoints { next_token } => {
                parameters.push(("MaxResults", PAGE_SIZE));
                parameters.extend(next_token.as_deref().map(|token| ("NextToken", token)));
            }
            Self::Detach { client_token, dry_run } => {
                parameters.push(("SecurityGroupId", target.security_group_id.as_str()));
                parameters.push(("ClientToken", client_token.as_str()));
                parameters.push(("DryRun", if *dry_run { "true" } else { "false" }));
            }
        }
        parameters
    }
}
