//! PrivateLink 2020-04-15: the operations of a detach and their parameters. Pure: nothing is sent here.

use std::borrow::Cow;

use super::records::Tag;
use crate::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};

/// The product's name in its host names.
pub const PRODUCT: &str = "privatelink";

/// The API version of every operation.
pub const VERSION: &str = "2020-04-15";

/// Entries requested per page: the documented maximum for groups, of which an endpoint has at most 10.
const PAGE_SIZE: &str = "50";

/// Endpoints requested per page of a sweep: the documented maximum.
const ENDPOINTS_PAGE_SIZE: &str = "1000";

/// Maximum number of tags in a filter, Alibaba's limit.
pub const TAGS_MAX: usize = 20;

/// The operations that the worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Detach,
    Attach,
    /// Lists the groups of one endpoint, with their status.
    ListSecurityGroups,
    /// Lists endpoints; here the record of one.
    ListEndpoints,
}

impl Action {
    pub const ALL: [Self; 4] = [Self::Detach, Self::Attach, Self::ListSecurityGroups, Self::ListEndpoints];

    /// Alibaba's name of the operation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detach => "DetachSecurityGroupFromVpcEndpoint",
            Self::Attach => "AttachSecurityGroupToVpcEndpoint",
            Self::ListSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::ListEndpoints => "ListVpcEndpoints",
        }
    }

    /// The write that this operation is; `None` for a read.
    #[must_use]
    pub fn write(self) -> Option<Write> {
        match self {
            Self::Detach => Some(Write::Detach),
            Self::Attach => Some(Write::Attach),
            Self::ListSecurityGroups | Self::ListEndpoints => None,
        }
    }
}

/// The operations that change an endpoint. Both are asynchronous: success means that the task was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    Detach,
    Attach,
}

impl Write {
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::Detach => Action::Detach,
            Self::Attach => Action::Attach,
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
    /// Detaches the target's group.
    Detach {
        /// Makes a repetition of this call have no effect.
        client_token: ClientToken,
        dry_run: bool,
    },
    /// Attaches the replacement of the target's group.
    Attach {
        security_group_id: SecurityGroupId,
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
            Self::Attach { .. } => Action::Attach,
        }
    }

    /// The request of this call about one target.
    #[must_use]
    pub fn request<'a>(&'a self, target: &'a Target) -> Request<'a> {
        let mut request = Request::new(&target.region_id, self.action());
        request.add("EndpointId", target.endpoint_id.as_str());
        match self {
            Self::ListSecurityGroups { next_token } | Self::ListEndpoints { next_token } => {
                request.add_page(PAGE_SIZE, next_token.as_deref());
            }
            Self::Detach { client_token, dry_run } => {
                request.add_write(&target.security_group_id, client_token, *dry_run);
            }
            Self::Attach { security_group_id, client_token, dry_run } => {
                request.add_write(security_group_id, client_token, *dry_run);
            }
        }
        request
    }
}

/// Which endpoints a list contains: all of a region, or those that pass every filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointFilter {
    pub vpc_id: Option<String>,
    pub endpoint_name: Option<String>,
    pub resource_group_id: Option<String>,
    /// At most [`TAGS_MAX`]; the rest is not sent.
    pub tags: Vec<Tag>,
}

/// One HTTP call of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Read {
    /// One page of the endpoints that pass the filter.
    Endpoints {
        filter: EndpointFilter,
        /// The token of the previous page; absent for the first.
        next_token: Option<String>,
    },
    /// One page of an endpoint's groups.
    SecurityGroups {
        endpoint_id: EndpointId,
        /// The token of the previous page; absent for the first.
        next_token: Option<String>,
    },
}

impl Read {
    /// The request of this call in one region.
    #[must_use]
    pub fn request<'a>(&'a self, region_id: &'a RegionId) -> Request<'a> {
        match self {
            Self::Endpoints { filter, next_token } => {
                let mut request = Request::new(region_id, Action::ListEndpoints);
                let filters = [
                    ("VpcId", &filter.vpc_id),
                    ("EndpointName", &filter.endpoint_name),
                    ("ResourceGroupId", &filter.resource_group_id),
                ];
                let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
                filters.for_each(|(name, value)| request.add(name, value));
                for (number, tag) in (1..=TAGS_MAX).zip(&filter.tags) {
                    request.add(format!("Tag.{number}.Key"), &tag.key);
                    request.add(format!("Tag.{number}.Value"), &tag.value);
                }
                request.add_page(ENDPOINTS_PAGE_SIZE, next_token.as_deref());
                request
            }
            Self::SecurityGroups { endpoint_id, next_token } => {
                let mut request = Request::new(region_id, Action::ListSecurityGroups);
                request.add("EndpointId", endpoint_id.as_str());
                request.add_page(PAGE_SIZE, next_token.as_deref());
                request
            }
        }
    }
}

/// An operation with its parameters, to be signed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub region_id: &'a RegionId,
    pub action: Action,
    /// The query parameters, unordered.
    pub parameters: Vec<(Cow<'static, str>, &'a str)>,
    /// The token among the parameters, if there is one.
    pub client_token: Option<&'a ClientToken>,
    /// Whether nothing may be carried out.
    pub is_dry_run: bool,
}

impl<'a> Request<'a> {
    fn new(region_id: &'a RegionId, action: Action) -> Self {
        let mut request =
            Self { region_id, action, parameters: Vec::new(), client_token: None, is_dry_run: false };
        request.add("RegionId", region_id.as_str());
        request
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: &'a str) {
        self.parameters.push((name.into(), value));
    }

    fn add_write(
        &mut self,
        security_group_id: &'a SecurityGroupId,
        client_token: &'a ClientToken,
        dry_run: bool,
    ) {
        self.add("SecurityGroupId", security_group_id.as_str());
        self.add("ClientToken", client_token.as_str());
        self.add("DryRun", if dry_run { "true" } else { "false" });
        self.client_token = Some(client_token);
        self.is_dry_run = dry_run;
    }

    fn add_page(&mut self, size: &'a str, next_token: Option<&'a str>) {
        self.add("MaxResults", size);
        if let Some(token) = next_token {
            self.add("NextToken", token);
        }
    }
}
