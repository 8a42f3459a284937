//! OIDC federation: AWS signs a token for the function, and Alibaba Cloud's STS issues a role session for the token.
//!
//! Neither token nor session is stored, and neither may appear in a URL, a log line or an error.

use std::collections::BTreeSet;
use std::rc::Rc;

use aws_sdk_sts::Client;
use serde_json::json;
use tracing::warn;

use super::advice;
use super::error::CredentialError;
use super::exchange::TokenExchange;
use super::refresh::Cached;
use crate::alibaba::ecs;
use crate::alibaba::privatelink::Action;
use crate::alibaba::service_clock::ServiceClock;
use crate::alibaba::sts::{AssumeRoleWithOidc, POLICY_LENGTH_MAX};
use crate::clock::Clock;
use crate::request::RegionId;
use crate::transport::BaseUrl;
use crate::transport::Transport;

/// Lifetime of the token, which is exchanged within seconds: AWS's default, and the maximum that the role's policy
/// allows.
const TOKEN_LIFETIME_SECONDS: i32 = 300;

/// The signing algorithm that both AWS and Alibaba Cloud support.
const TOKEN_ALGORITHM: &str = "RS256";

/// The calls that a program's session allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// The three calls of a detach.
    Detach,
    /// The calls of a sweep, which change nothing.
    ListOnly,
}

impl Permissions {
    /// The actions of a RAM policy.
    fn actions(self) -> Vec<String> {
        let of_privatelink = |action: Action| format!("privatelink:{}", action.name());
        let lists = [Action::ListSecurityGroups, Action::ListEndpoints];
        match self {
            Self::Detach => [Action::Detach].into_iter().chain(lists).map(of_privatelink).collect(),
            Self::ListOnly => {
                let ecs = format!("ecs:{}", ecs::DESCRIBE_SECURITY_GROUPS);
                lists.into_iter().map(of_privatelink).chain([ecs]).collect()
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// The RAM role whose session the program uses.
    pub role_arn: String,
    /// The OIDC provider in RAM that stands for the AWS account.
    pub oidc_provider_arn: String,
    /// The session's name in Alibaba Cloud's audit log.
    pub role_session_name: String,
    /// The audience of AWS's token: one of the provider's client IDs.
    pub audience: String,
    /// The address of Alibaba Cloud's STS.
    pub sts_url: BaseUrl,
}

/// Exchanges AWS's token for a session of Alibaba Cloud.
#[derive(Debug)]
pub(super) struct Oidc<T> {
    aws: Client,
    exchange: TokenExchange<T>,
    config: OidcConfig,
    session_policy: String,
}

impl<T> Oidc<T> {
    pub(super) fn new(
        aws: Client,
        transport: T,
        config: OidcConfig,
        permissions: Permissions,
        allowed_regions: &BTreeSet<RegionId>,
    ) -> Self {
        let session_policy = session_policy(permissions, allowed_regions).unwrap_or_else(|| {
            warn!(
                "ALLOWED_REGIONS is too long for a session policy: sessions are not limited to these regions"
            );
            policy_for(permissions, ["*"])
        });
        let exchange = TokenExchange::new(transport, config.sts_url.clone(), Rc::default());
        Self { aws, exchange, config, session_policy }
    }

    /// Alibaba Cloud's clock, corrected when the STS rejects a timestamp.
    pub(super) fn service_clock(&self) -> &Rc<ServiceClock> {
        self.exchange.service_clock()
    }
}

impl<T: Transport> Oidc<T> {
    /// A new session.
    pub(super) async fn exchange(&self, clock: &Clock) -> Result<Cached, CredentialError> {
        let token = self.token().await?;
        let call = AssumeRoleWithOidc {
            role_arn: &self.config.role_arn,
            oidc_provider_arn: &self.config.oidc_provider_arn,
            oidc_token: &token,
            role_session_name: &self.config.role_session_name,
            policy: Some(&self.session_policy),
        };
        self.exchange.session(&call, clock).await
    }

    /// A token in which AWS states the function's role.
    async fn token(&self) -> Result<String, CredentialError> {
        let call = self.aws.get_web_identity_token().audience(&self.config.audience);
        let call = call.signing_algorithm(TOKEN_ALGORITHM).duration_seconds(TOKEN_LIFETIME_SECONDS);
        let response = call.send().await;
        let call = advice::GET_WEB_IDENTITY_TOKEN;
        let response = response.map_err(|error| CredentialError::Aws { call, error: error.into() })?;
        response.web_identity_token.ok_or(CredentialError::NoContent { call })
    }
}

/// A policy that limits the session to the program's API calls in the allowed regions; `None` if it is too long.
///
/// The account stays a wildcard because it is the role's; the role's own policy limits endpoints and groups.
fn session_policy(permissions: Permissions, allowed_regions: &BTreeSet<RegionId>) -> Option<String> {
    if allowed_regions.is_empty() {
        return Some(policy_for(permissions, ["*"]));
    }
    let policy = policy_for(permissions, allowed_regions.iter().map(RegionId::as_str));
    (policy.chars().count() <= POLICY_LENGTH_MAX).then_some(policy)
}

fn policy_for<'a>(permissions: Permissions, regions: impl IntoIterator<Item = &'a str>) -> String {
    let actions = permissions.actions();
    let on_region = |region| {
        [format!("acs:privatelink:{region}:*:vpcendpoint/*"), format!("acs:ecs:{region}:*:securitygroup/*")]
    };
    let resources: Vec<_> = regions.into_iter().flat_map(on_region).collect();
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
    json!({ "Version": "1", "Statement": [statement] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(count: usize) -> BTreeSet<RegionId> {
        (0..count).map(|n| RegionId::parse(&format!("eu-west-{n}")).unwrap()).collect()
    }

    fn policy(actions: &[&str], resources: &[&str]) -> String {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
        json!({ "Version": "1", "Statement": [statement] }).to_string()
    }

    #[test]
    fn session_policy_allows_the_workers_calls_in_its_regions() {
        let expected = |resources: &[&str]| {
            let actions = [
                "privatelink:DetachSecurityGroupFromVpcEndpoint",
                "privatelink:ListVpcEndpointSecurityGroups",
                "privatelink:ListVpcEndpoints",
            ];
            policy(&actions, resources)
        };
        let of_worker = |count| session_policy(Permissions::Detach, &regions(count));
        let anywhere = expected(&["acs:privatelink:*:*:vpcendpoint/*", "acs:ecs:*:*:securitygroup/*"]);
        assert_eq!(of_worker(0), Some(anywhere));
        let one = ["acs:privatelink:eu-west-0:*:vpcendpoint/*", "acs:ecs:eu-west-0:*:securitygroup/*"];
        assert_eq!(of_worker(1), Some(expected(&one)));
        let longest = of_worker(22).unwrap();
        assert!(longest.len() <= POLICY_LENGTH_MAX && longest.contains("eu-west-21"), "{longest}");
        assert_eq!(of_worker(23), None, "too long for Alibaba Cloud");
    }

    #[test]
    fn session_policy_of_a_sweep_allows_no_write() {
        let actions = [
            "privatelink:ListVpcEndpointSecurityGroups",
            "privatelink:ListVpcEndpoints",
            "ecs:DescribeSecurityGroups",
        ];
        let one = ["acs:privatelink:eu-west-0:*:vpcendpoint/*", "acs:ecs:eu-west-0:*:securitygroup/*"];
        assert_eq!(session_policy(Permissions::ListOnly, &regions(1)), Some(policy(&actions, &one)));
    }
}
