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
use crate::request::{RegionId, Replacements, SecurityGroupId};
use crate::transport::BaseUrl;
use crate::transport::Transport;

/// Lifetime of the token, which is exchanged within seconds: AWS's default, and the maximum that the role's policy
/// allows.
const TOKEN_LIFETIME_SECONDS: i32 = 300;

/// The signing algorithm that both AWS and Alibaba Cloud support.
const TOKEN_ALGORITHM: &str = "RS256";

/// The calls that a program's session allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// The three calls of a detach.
    Detach,
    /// The three calls of a detach, and the attach of these groups.
    DetachAndAttach(BTreeSet<SecurityGroupId>),
    /// The calls of a sweep, which change nothing.
    ListOnly,
}

impl Permissions {
    /// The calls of detaches with these replacements. Without replacements, no attach is allowed.
    #[must_use]
    pub fn of_detaches(replacements: &Replacements) -> Self {
        if replacements.is_empty() {
            Self::Detach
        } else {
            Self::DetachAndAttach(replacements.iter().map(|(_, group)| group.clone()).collect())
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
        permissions: &Permissions,
        allowed_regions: &BTreeSet<RegionId>,
    ) -> Self {
        let SessionPolicy { text: session_policy, unlimited } =
            SessionPolicy::of(permissions, allowed_regions);
        for variable in unlimited {
            warn!("{variable} is too long for a session policy: sessions are not limited to its entries");
        }
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

/// A policy that limits a session.
#[derive(Debug, PartialEq, Eq)]
struct SessionPolicy {
    text: String,
    /// The settings whose lists would make the policy too long, so that the session is not limited to their entries.
    unlimited: Vec<&'static str>,
}

impl SessionPolicy {
    /// The policy that limits a session to the program's API calls and to the allowed regions, and attaches to the
    /// configured groups, as far as its maximum length allows. It omits the regions before the groups, because an
    /// attach opens access.
    ///
    /// The account stays a wildcard because it is the role's; the role's own policy limits endpoints and groups.
    fn of(permissions: &Permissions, allowed_regions: &BTreeSet<RegionId>) -> Self {
        const REGIONS: &str = "ALLOWED_REGIONS";
        const REPLACEMENTS: &str = "REPLACEMENT_SECURITY_GROUPS";
        const ANY: &[&str] = &["*"];
        let allowed: Vec<_> = allowed_regions.iter().map(RegionId::as_str).collect();
        let regions = if allowed.is_empty() { ANY } else { &allowed };
        let groups: Vec<_> = match permissions {
            Permissions::DetachAndAttach(groups) => groups.iter().map(SecurityGroupId::as_str).collect(),
            Permissions::Detach | Permissions::ListOnly => Vec::new(),
        };
        let policy = |regions: &[&str], groups: &[&str], unlimited: &[&'static str]| Self {
            text: policy_for(permissions, regions, groups),
            unlimited: unlimited.to_vec(),
        };
        let is_accepted = |policy: &Self| policy.text.chars().count() <= POLICY_LENGTH_MAX;
        Some(policy(regions, &groups, &[]))
            .filter(is_accepted)
            .or_else(|| Some(policy(ANY, &groups, &[REGIONS])).filter(is_accepted))
            .or_else(|| Some(policy(regions, ANY, &[REPLACEMENTS])).filter(is_accepted))
            .unwrap_or_else(|| policy(ANY, ANY, &[REGIONS, REPLACEMENTS]))
    }
}

/// A policy with these regions and these replacements, each of which may be `*`.
fn policy_for(permissions: &Permissions, regions: &[&str], replacements: &[&str]) -> String {
    let of_privatelink = |action: Action| format!("privatelink:{}", action.name());
    let [detach, attach] = [Action::Detach, Action::Attach].map(of_privatelink);
    let [list_groups, list_endpoints] =
        [Action::ListSecurityGroups, Action::ListEndpoints].map(of_privatelink);
    let describe = format!("ecs:{}", ecs::DESCRIBE_SECURITY_GROUPS);
    let endpoint = |region: &&str| format!("acs:privatelink:{region}:*:vpcendpoint/*");
    let group = |region: &&str| format!("acs:ecs:{region}:*:securitygroup/*");
    let both = || regions.iter().flat_map(|region| [endpoint(region), group(region)]).collect();
    let allow = |actions: &[&str], resources: Vec<String>| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
    let statements = match permissions {
        Permissions::Detach => vec![allow(&[&detach, &list_groups, &list_endpoints], both())],
        Permissions::DetachAndAttach(_) => {
            // A group's id is unique in all regions.
            let replacement = |id: &&str| format!("acs:ecs:*:*:securitygroup/{id}");
            vec![
                allow(
                    &[&detach, &attach, &list_groups, &list_endpoints],
                    regions.iter().map(endpoint).collect(),
                ),
                allow(&[&detach], regions.iter().map(group).collect()),
                allow(&[&attach], replacements.iter().map(replacement).collect()),
            ]
        }
        Permissions::ListOnly => vec![allow(&[&list_groups, &list_endpoints, &describe], both())],
    };
    json!({ "Version": "1", "Statement": statements }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::VpcId;

    fn regions(count: usize) -> BTreeSet<RegionId> {
        (0..count).map(|n| RegionId::parse(&format!("eu-west-{n}")).unwrap()).collect()
    }

    /// Groups with ids of the usual length.
    fn replacing(count: usize) -> Permissions {
        let mut replacements = Replacements::default();
        for n in 0..count {
            let vpc = VpcId::parse(&format!("vpc-{n}")).unwrap();
            let group = SecurityGroupId::parse(&format!("sg-bp1fg655nh68xyz9{n:04}")).unwrap();
            assert!(replacements.insert(vpc, group));
        }
        Permissions::of_detaches(&replacements)
    }

    fn policy(statements: &[(&[&str], &[&str])]) -> SessionPolicy {
        let statement = |(actions, resources): &(&[&str], &[&str])| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
        let statements: Vec<_> = statements.iter().map(statement).collect();
        SessionPolicy {
            text: json!({ "Version": "1", "Statement": statements }).to_string(),
            unlimited: Vec::new(),
        }
    }

    const DETACH: &str = "privatelink:DetachSecurityGroupFromVpcEndpoint";
    const ATTACH: &str = "privatelink:AttachSecurityGroupToVpcEndpoint";
    const LISTS: [&str; 2] = ["privatelink:ListVpcEndpointSecurityGroups", "privatelink:ListVpcEndpoints"];
    const ENDPOINTS: &str = "acs:privatelink:eu-west-0:*:vpcendpoint/*";
    const GROUPS: &str = "acs:ecs:eu-west-0:*:securitygroup/*";

    #[test]
    fn session_policy_allows_the_workers_calls_in_its_regions() {
        let expected = |resources: &[&str]| policy(&[(&[DETACH, LISTS[0], LISTS[1]], resources)]);
        let of_worker = |count| SessionPolicy::of(&replacing(0), &regions(count));
        let anywhere = expected(&["acs:privatelink:*:*:vpcendpoint/*", "acs:ecs:*:*:securitygroup/*"]);
        assert_eq!(of_worker(0), anywhere);
        assert_eq!(of_worker(1), expected(&[ENDPOINTS, GROUPS]));
        let longest = of_worker(22);
        assert!(
            longest.text.len() <= POLICY_LENGTH_MAX && longest.text.contains("eu-west-21"),
            "{longest:?}"
        );
        let too_long = SessionPolicy { unlimited: vec!["ALLOWED_REGIONS"], ..anywhere };
        assert_eq!(of_worker(23), too_long, "too long for Alibaba Cloud");
    }

    #[test]
    fn session_policy_allows_the_attach_of_replacements_only() {
        let replacements = [
            "acs:ecs:*:*:securitygroup/sg-bp1fg655nh68xyz90000",
            "acs:ecs:*:*:securitygroup/sg-bp1fg655nh68xyz90001",
        ];
        let expected = policy(&[
            (&[DETACH, ATTACH, LISTS[0], LISTS[1]], &[ENDPOINTS]),
            (&[DETACH], &[GROUPS]),
            (&[ATTACH], &replacements),
        ]);
        assert_eq!(SessionPolicy::of(&replacing(2), &regions(1)), expected);
    }

    #[test]
    fn session_policy_that_is_too_long_keeps_the_replacements_before_the_regions() {
        let of_lists = |replacements, count| SessionPolicy::of(&replacing(replacements), &regions(count));
        for (replacements, count, unlimited) in [
            (29, 0, &[][..]),
            (10, 10, &[]),
            (29, 5, &["ALLOWED_REGIONS"]),
            (30, 5, &["REPLACEMENT_SECURITY_GROUPS"]),
            (30, 0, &["REPLACEMENT_SECURITY_GROUPS"]),
            (30, 30, &["ALLOWED_REGIONS", "REPLACEMENT_SECURITY_GROUPS"]),
        ] {
            let policy = of_lists(replacements, count);
            assert_eq!(policy.unlimited, unlimited, "{replacements} {count}");
            assert!(policy.text.len() <= POLICY_LENGTH_MAX, "{replacements} {count}");
            let names = |id: &str| policy.text.contains(id);
            let (is_of_regions, is_of_groups) = (names("acs:ecs:eu-west-0:"), names("xyz90000"));
            assert_eq!(is_of_regions, count > 0 && !unlimited.contains(&"ALLOWED_REGIONS"), "{policy:?}");
            assert_eq!(is_of_groups, !unlimited.contains(&"REPLACEMENT_SECURITY_GROUPS"), "{policy:?}");
        }
    }

    #[test]
    fn session_policy_of_a_sweep_allows_no_write() {
        let actions = [LISTS[0], LISTS[1], "ecs:DescribeSecurityGroups"];
        let expected = policy(&[(&actions, &[ENDPOINTS, GROUPS])]);
        assert_eq!(SessionPolicy::of(&Permissions::ListOnly, &regions(1)), expected);
    }
}
