//! OIDC providers, and roles with the providers and callers that they trust.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SeedError;
use crate::{
    action::Action,
    ids::{OidcProviderArn, PrincipalArn, RoleArn},
    sts,
};

/// The longest issuer URL that RAM accepts.
const ISSUER_URL_MAX: usize = 255;

/// The maximum number of client ids of one provider in RAM.
const CLIENT_IDS_MAX: usize = 50;

/// RAM's default for the maximum age of a token.
const ISSUANCE_LIMIT_HOURS: u32 = 12;

/// The largest maximum age of a token in RAM: one week.
const ISSUANCE_LIMIT_HOURS_MAX: u32 = 168;

/// The shortest session that STS issues: 15 minutes.
pub(crate) const SESSION_SECONDS_MIN: u32 = 900;

/// RAM's default for a role's maximum session duration, and the smallest value that RAM accepts.
const ROLE_SESSION_SECONDS: u32 = 3600;

/// The largest value of a role's maximum session duration: 12 hours.
pub(crate) const SESSION_SECONDS_MAX: u32 = 43_200;

/// A token issuer: its registration in RAM, and the key set that it publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    pub arn: OidcProviderArn,
    /// The issuer URL, exactly as in the claim `iss`.
    pub issuer_url: String,
    /// The accepted audiences: a token's claim `aud` must contain one of them.
    pub client_ids: Vec<String>,
    /// The issuer's key set. Keys other than RSA keys for RS256 are ignored.
    pub jwks: Value,
    /// The maximum age of a token by its claim `iat`, in hours.
    #[serde(default = "issuance_limit_hours")]
    pub issuance_limit_hours: u32,
    /// Whether STS can fetch the issuer's keys.
    #[serde(default)]
    pub state: ProviderState,
}

impl OidcProvider {
    /// Creates a provider whose keys STS can fetch.
    #[must_use]
    pub fn new<C: Into<String>>(
        arn: impl Into<OidcProviderArn>,
        issuer_url: impl Into<String>,
        client_ids: impl IntoIterator<Item = C>,
        jwks: Value,
    ) -> Self {
        Self {
            arn: arn.into(),
            issuer_url: issuer_url.into(),
            client_ids: client_ids.into_iter().map(Into::into).collect(),
            jwks,
            issuance_limit_hours: issuance_limit_hours(),
            state: ProviderState::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SeedError> {
        let fail = |error: fn(OidcProviderArn) -> SeedError| Err(error(self.arn.clone()));
        if !self.arn.is_well_formed() {
            return fail(SeedError::OidcProviderArn);
        }
        let host = self.issuer_url.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || host.contains(['?', '#', '@']) || self.issuer_url.len() > ISSUER_URL_MAX {
            return fail(SeedError::Issuer);
        }
        let no_client = self.client_ids.is_empty() || self.client_ids.iter().any(String::is_empty);
        if no_client || self.client_ids.len() > CLIENT_IDS_MAX {
            return fail(SeedError::ClientIds);
        }
        if !(1..=ISSUANCE_LIMIT_HOURS_MAX).contains(&self.issuance_limit_hours) {
            return fail(SeedError::IssuanceLimit);
        }
        match sts::check_jwks(&self.jwks) {
            Ok(()) => Ok(()),
            Err(source) => Err(SeedError::Jwks { provider: self.arn.clone(), source }),
        }
    }
}

/// Whether STS can fetch a provider's keys, and the reason if it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// STS can fetch the keys.
    #[default]
    Reachable,
    /// The certificate of the issuer's host has a different fingerprint from the one registered in RAM.
    FingerprintMismatch,
    /// STS cannot fetch the keys.
    IssuerUnreachable,
    /// No authority that Alibaba trusts issued the certificate of the issuer's host.
    HttpsChainInvalid,
}

/// A role. Its trust policy names an OIDC provider, for `AssumeRoleWithOIDC`, or other callers, for `AssumeRole`, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub arn: RoleArn,
    /// The provider that the role trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_provider_arn: Option<OidcProviderArn>,
    /// The value that the trust policy's condition `oidc:aud` requires; no condition if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The value that the trust policy's condition `oidc:sub` requires; no condition if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The callers that the role trusts: RAM users, other roles, and accounts with all their users and roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub trusted_principals: BTreeSet<PrincipalArn>,
    /// The value that the trust policy's condition `sts:ExternalId` requires of these callers; no condition if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The maximum session duration, in seconds.
    #[serde(default = "role_session_seconds")]
    pub max_session_duration_seconds: u32,
    /// The actions that RAM denies to the role's sessions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_actions: BTreeSet<Action>,
}

impl Role {
    /// Creates a role that trusts every token of a provider and may call every action.
    #[must_use]
    pub fn new(arn: impl Into<RoleArn>, oidc_provider_arn: impl Into<OidcProviderArn>) -> Self {
        Self { oidc_provider_arn: Some(oidc_provider_arn.into()), ..Self::trusting(arn, [""; 0]) }
    }

    /// Creates a role that trusts these callers and may call every action.
    #[must_use]
    pub fn trusting<P: Into<PrincipalArn>>(
        arn: impl Into<RoleArn>,
        principals: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            arn: arn.into(),
            oidc_provider_arn: None,
            audience: None,
            subject: None,
            trusted_principals: principals.into_iter().map(Into::into).collect(),
            external_id: None,
            max_session_duration_seconds: role_session_seconds(),
            denied_actions: BTreeSet::new(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SeedError> {
        if !self.arn.is_well_formed() {
            return Err(SeedError::RoleArn(self.arn.clone()));
        }
        let seconds = ROLE_SESSION_SECONDS..=SESSION_SECONDS_MAX;
        if !seconds.contains(&self.max_session_duration_seconds) {
            return Err(SeedError::SessionDuration(self.arn.clone()));
        }
        if let Some(principal) = self.trusted_principals.iter().find(|trusted| !trusted.is_well_formed()) {
            return Err(SeedError::PrincipalArn(principal.clone()));
        }
        Ok(())
    }

    /// Whether the role's trust policy names this caller or its account.
    pub(crate) fn trusts(&self, caller: &PrincipalArn) -> bool {
        let is_named = |trusted: &PrincipalArn| {
            trusted == caller || trusted.is_account() && trusted.account() == caller.account()
        };
        self.trusted_principals.iter().any(is_named)
    }
}

/// Checks that providers and roles are valid and consistent.
pub(crate) fn check<'a>(
    providers: impl IntoIterator<Item = &'a OidcProvider>,
    roles: impl IntoIterator<Item = &'a Role>,
) -> Result<(), SeedError> {
    let (mut arns, mut issuers, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for provider in providers {
        provider.check()?;
        if !arns.insert(&provider.arn) {
            return Err(SeedError::OidcProviderTwice(provider.arn.clone()));
        }
        if !issuers.insert((provider.arn.account(), &provider.issuer_url)) {
            return Err(SeedError::IssuerTwice(provider.arn.clone()));
        }
    }
    for role in roles {
        role.check()?;
        if !names.insert(&role.arn) {
            return Err(SeedError::RoleTwice(role.arn.clone()));
        }
        if let Some(provider) = role.oidc_provider_arn.as_ref().filter(|provider| !arns.contains(provider)) {
            let (role, provider) = (role.arn.clone(), provider.clone());
            return Err(SeedError::UnknownProvider { role, provider });
        }
    }
    Ok(())
}

fn issuance_limit_hours() -> u32 {
    ISSUANCE_LIMIT_HOURS
}

fn role_session_seconds() -> u32 {
    ROLE_SESSION_SECONDS
}
