//! The state of a cloud as data. A seed and a snapshot have the same format, so a snapshot can be the seed of
//! another cloud.

mod access_key;
mod endpoint;
mod federation;
mod group;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    fault::{Calls, Effect, Fault, OVERSIZED_MAX},
    ids::{AccessKeyId, EndpointId, OidcProviderArn, PrincipalArn, RegionId, RoleArn, SecurityGroupId},
    quota::Quota,
    settings::Settings,
    sts::JwksError,
};
pub use access_key::{AccessKey, OWNER, Session};
pub use endpoint::{Endpoint, SecurityGroup, Task, Work};
pub use federation::{OidcProvider, ProviderState, Role};
pub(crate) use federation::{SESSION_SECONDS_MAX, SESSION_SECONDS_MIN, check as check_federation};
pub use group::{SecurityGroupRecord, SecurityGroupType};

/// The maximum number of groups of one endpoint, by the product's quota.
pub const GROUPS_PER_ENDPOINT_MAX: usize = 10;

/// The regions of a seed that defines none.
pub const REGIONS: [&str; 8] = [
    "ap-southeast-1",
    "cn-beijing",
    "cn-hangzhou",
    "cn-shanghai",
    "eu-central-1",
    "eu-west-1",
    "us-east-1",
    "us-west-1",
];

/// The initial state of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub settings: Settings,
    pub regions: Vec<RegionId>,
    /// The access keys that are accepted. The default is one key, [`AccessKey::default`].
    pub access_keys: Vec<AccessKey>,
    /// The OIDC providers whose tokens STS accepts; none by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub oidc_providers: Vec<OidcProvider>,
    /// The roles that STS can assume; none by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Groups that exist without being attached, in every region. Attached groups always exist, in the regions of their
    /// endpoints.
    pub security_groups: BTreeSet<SecurityGroupId>,
    /// VPC and type of some of the groups that exist. A group without a record is basic, and is in the VPC of each endpoint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub security_group_records: BTreeMap<SecurityGroupId, SecurityGroupRecord>,
    pub endpoints: Vec<Endpoint>,
    /// The quotas per action and region. An action without an entry has no quota.
    pub quotas: BTreeMap<Action, Quota>,
    /// The faults that have not applied yet.
    pub faults: Vec<Fault>,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            regions: REGIONS.into_iter().map(RegionId::from).collect(),
            access_keys: vec![AccessKey::default()],
            oidc_providers: Vec::new(),
            roles: Vec::new(),
            security_groups: BTreeSet::new(),
            security_group_records: BTreeMap::new(),
            endpoints: Vec::new(),
            quotas: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

impl Seed {
    /// Parses a seed from JSON and checks it.
    pub fn from_json(text: &[u8]) -> Result<Self, SeedError> {
        let seed: Self = serde_json::from_slice(text)?;
        seed.check()?;
        Ok(seed)
    }

    /// Checks that the parts are valid and consistent.
    pub fn check(&self) -> Result<(), SeedError> {
        let mut keys = BTreeSet::new();
        for key in &self.access_keys {
            if key.access_key_id.as_str().is_empty() || key.access_key_secret.is_empty() {
                return Err(SeedError::IncompleteAccessKey);
            }
            if let Some(owner) = key.owner.as_ref().filter(|owner| !owner.is_account() && !owner.is_user()) {
                return Err(SeedError::Owner(owner.clone()));
            }
            if !keys.insert(&key.access_key_id) {
                return Err(SeedError::AccessKeyTwice(key.access_key_id.clone()));
            }
        }
        if let Some(region) = self.regions.iter().find(|region| !is_region(region.as_str())) {
            return Err(SeedError::Region(region.clone()));
        }
        if self.settings.page_size_max == 0 {
            return Err(SeedError::PageSize);
        }
        if let Some(group) = self.security_groups.iter().find(|group| !is_id(group.as_str(), "sg-")) {
            return Err(SeedError::SecurityGroup(group.clone()));
        }
        let mut endpoints = BTreeSet::new();
        for endpoint in &self.endpoints {
            endpoint.check(&self.regions)?;
            if !endpoints.insert(&endpoint.endpoint_id) {
                return Err(SeedError::EndpointTwice(endpoint.endpoint_id.clone()));
            }
        }
        self.check_records()?;
        check_federation(&self.oidc_providers, &self.roles)?;
        if let Some((action, _)) = self.quotas.iter().find(|(_, quota)| quota.window.is_zero()) {
            return Err(SeedError::QuotaWindow(*action));
        }
        self.faults.iter().try_for_each(check_fault)
    }

    /// Checks that every record is of a group that exists, and names a VPC or none.
    fn check_records(&self) -> Result<(), SeedError> {
        let attached = || self.endpoints.iter().flat_map(|endpoint| &endpoint.security_groups);
        for (group, record) in &self.security_group_records {
            if !self.security_groups.contains(group) && attached().all(|attached| attached.id != *group) {
                return Err(SeedError::UnknownSecurityGroup(group.clone()));
            }
            if let Some(vpc) = record.vpc_id.as_ref().filter(|vpc| !is_id(vpc, "vpc-")) {
                return Err(SeedError::Vpc { group: group.clone(), vpc: vpc.clone() });
            }
        }
        Ok(())
    }
}

/// Checks that a fault can apply to a call.
pub(crate) fn check_fault(fault: &Fault) -> Result<(), SeedError> {
    match (&fault.fault, fault.call) {
        (Effect::Oversized { bytes }, _) if *bytes > OVERSIZED_MAX => Err(SeedError::Oversized(*bytes)),
        (_, Calls::Nth(0) | Calls::Next(0)) => Err(SeedError::CallNumber),
        _ => Ok(()),
    }
}

/// Why a seed, or a part of one, is invalid.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not JSON, or not the format of a seed.
    #[error("the seed is not valid JSON or has an invalid field: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an access key needs an id and a secret")]
    IncompleteAccessKey,
    /// Two access keys with the same id.
    #[error("access key {0} is listed twice")]
    AccessKeyTwice(AccessKeyId),
    #[error("{arn:?} is not an OIDC provider: expected an ARN like acs:ram::1234567890123456:oidc-provider/name", arn = .0.as_str())]
    OidcProviderArn(OidcProviderArn),
    /// Two OIDC providers with the same ARN.
    #[error("OIDC provider {0} is listed twice")]
    OidcProviderTwice(OidcProviderArn),
    /// An issuer URL that RAM does not accept.
    #[error("the issuer_url of {0} is not valid: expected https, no ?, # or @, and at most 255 characters")]
    Issuer(OidcProviderArn),
    /// Two OIDC providers of one account for the same issuer.
    #[error("another OIDC provider in the account of {0} has the same issuer")]
    IssuerTwice(OidcProviderArn),
    /// No client id, or more than RAM accepts.
    #[error("the client_ids of {0} must be 1 to 50 nonempty ids")]
    ClientIds(OidcProviderArn),
    /// An issuance limit that RAM does not accept.
    #[error("the issuance_limit_hours of {0} must be 1 to 168")]
    IssuanceLimit(OidcProviderArn),
    /// A JWKS that cannot verify any token.
    #[error("the jwks of {provider} cannot be used: {source}")]
    Jwks { provider: OidcProviderArn, source: JwksError },
    #[error("{arn:?} is not a role: expected an ARN like acs:ram::1234567890123456:role/name", arn = .0.as_str())]
    RoleArn(RoleArn),
    #[error("{arn:?} is no owner of an access key: expected an ARN like acs:ram::1234567890123456:user/name or acs:ram::1234567890123456:root", arn = .0.as_str())]
    Owner(PrincipalArn),
    /// A role that trusts a caller that cannot exist.
    #[error("{arn:?} cannot assume a role: expected the ARN of a user, a role or an account in RAM", arn = .0.as_str())]
    PrincipalArn(PrincipalArn),
    /// Two roles with the same ARN.
    #[error("role {0} is listed twice")]
    RoleTwice(RoleArn),
    /// A maximum session duration that RAM does not accept.
    #[error("the max_session_duration_seconds of {0} must be 3600 to 43200")]
    SessionDuration(RoleArn),
    /// A role that trusts a provider that does not exist.
    #[error("role {role} trusts {provider}, which is not among the oidc_providers")]
    UnknownProvider { role: RoleArn, provider: OidcProviderArn },
    #[error("{id:?} is not a region: expected a name like eu-west-1", id = .0.as_str())]
    Region(RegionId),
    /// An endpoint in a region that does not exist.
    #[error("endpoint {endpoint} is in region {region}, which is not among the regions")]
    UnknownRegion { endpoint: EndpointId, region: RegionId },
    /// Two endpoints with the same id.
    #[error("endpoint {0} is listed twice; an id must be unique across all regions")]
    EndpointTwice(EndpointId),
    #[error("{id:?} is not an endpoint id: expected ep- and 1 to 61 of 0-9 A-Z a-z _ -", id = .0.as_str())]
    EndpointId(EndpointId),
    #[error("{id:?} is not a security group id: expected sg- and 1 to 61 of 0-9 A-Z a-z _ -", id = .0.as_str())]
    SecurityGroup(SecurityGroupId),
    /// A record of a group that does not exist.
    #[error("the record of {0} is of no group in security_groups or on an endpoint")]
    UnknownSecurityGroup(SecurityGroupId),
    /// A record whose VPC is not one.
    #[error("{vpc:?} of {group} is not a VPC id: expected vpc- and 1 to 61 of 0-9 A-Z a-z _ -")]
    Vpc { group: SecurityGroupId, vpc: String },
    /// One group listed twice on one endpoint.
    #[error("endpoint {endpoint} lists group {group} twice")]
    GroupTwice { endpoint: EndpointId, group: SecurityGroupId },
    /// More groups on an endpoint than the product allows.
    #[error("endpoint {0} has more than {GROUPS_PER_ENDPOINT_MAX} groups")]
    TooManyGroups(EndpointId),
    /// A page size of 0.
    #[error("page_size_max must be at least 1")]
    PageSize,
    /// A quota with a window of 0.
    #[error("the window_ms of the quota of {0} must be above 0")]
    QuotaWindow(Action),
    /// A fault that applies to no call.
    #[error("the call number or count of a fault must be at least 1")]
    CallNumber,
    /// An oversized body that needs too much memory.
    #[error("an oversized body must be at most {OVERSIZED_MAX} bytes, not {0}")]
    Oversized(usize),
}

/// Whether a name has the format of a region. A pattern, not a list, because Alibaba adds regions.
fn is_region(name: &str) -> bool {
    let mut parts = name.split('-');
    let continent =
        parts.next().is_some_and(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_lowercase()));
    let mut rest = parts.peekable();
    continent
        && name.len() <= 32
        && rest.peek().is_some()
        && rest.all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

fn is_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| {
        (1..=61).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_seed_survives_serialization() {
        let seed = Seed::from_json(include_bytes!("../seeds/example.json")).unwrap();
        let reparsed = Seed::from_json(&serde_json::to_vec(&seed).unwrap()).unwrap();
        assert_eq!(reparsed, seed);
    }

    #[test]
    fn empty_seed_is_the_default() {
        assert_eq!(Seed::from_json(b"{}").unwrap(), Seed::default());
    }

    #[test]
    fn invalid_seed_is_rejected_with_the_reason() {
        for (text, reason) in [
            (r#"{"endpoint": []}"#, "unknown field `endpoint`"),
            (
                r#"{"endpoints": [{"region_id": "eu-west-1", "endpoint_id": "vpc-1"}]}"#,
                "\"vpc-1\" is not an endpoint id",
            ),
            (r#"{"endpoints": [{"region_id": "mars-1", "endpoint_id": "ep-1"}]}"#, "not among the regions"),
            (r#"{"regions": ["eu west"]}"#, "\"eu west\" is not a region"),
            (
                r#"{"endpoints": [{"region_id": "eu-west-1", "endpoint_id": "ep-1", "security_groups": ["sg-a", "sg-a"]}]}"#,
                "lists group sg-a twice",
            ),
            (
                r#"{"security_groups": ["sg-a"], "security_group_records": {"sg-b": {}}}"#,
                "the record of sg-b is of no group",
            ),
            (
                r#"{"security_groups": ["sg-a"], "security_group_records": {"sg-a": {"vpc_id": "a"}}}"#,
                "\"a\" of sg-a is not a VPC id",
            ),
            (
                r#"{"security_groups": ["sg-a"], "security_group_records": {"sg-a": {"vpc": "vpc-a"}}}"#,
                "unknown field `vpc`",
            ),
            (
                r#"{"security_groups": ["sg-a"], "security_group_records": {"sg-a": {"security_group_type": "basic"}}}"#,
                "unknown variant `basic`",
            ),
            (r#"{"settings": {"page_size_max": 0}}"#, "page_size_max"),
            (r#"{"settings": {"detach_takes_ms": 99999999999}}"#, "too long"),
            (
                r#"{"access_keys": [{"access_key_id": "a", "access_key_secret": ""}]}"#,
                "needs an id and a secret",
            ),
            (r#"{"faults": [{"call": 0, "fault": {"kind": "hang"}}]}"#, "must be at least 1"),
            (
                r#"{"access_keys": [{"access_key_id": "a", "access_key_secret": "b", "session":
                    {"role_arn": "acs:ram::1:role/r", "session_name": "n", "policy": {"Version": "1"}}}]}"#,
                "missing field `Statement`",
            ),
        ] {
            let message = Seed::from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        }
    }
}
