//! Alibaba Cloud's STS: verifies a token or the caller, checks the role's trust policy, and issues a session; and tells
//! a caller who it is.
//!
//! The parameters are checked first, then the token, then the role. This module stores no sessions; [`crate::Cloud`]
//! does.

mod identity;
mod jwks;
mod parameters;
mod policy;
mod session_credentials;
mod token;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    call::Call,
    codes,
    ids::{OidcProviderArn, RoleArn},
    response::Refusal,
    seed::{AccessKey, OidcProvider, ProviderState, Role, SESSION_SECONDS_MAX, Session},
    settings::Settings,
    wire_time::{acs_date, later},
};
pub(crate) use identity::caller_identity;
use identity::{assumed_role_arn, assumed_role_id};
pub use jwks::JwksError;
pub(crate) use jwks::check as check_jwks;
use parameters::{Parameters, SessionParameters, check_timestamp, external_id};
pub(crate) use policy::Decision;
pub use policy::SessionPolicy;
use session_credentials::SessionCredentials;
use token::{Claims, Token};

/// The registered OIDC providers and roles.
#[derive(Clone, Debug)]
pub(crate) struct Sts {
    pub(crate) providers: BTreeMap<OidcProviderArn, OidcProvider>,
    pub(crate) roles: BTreeMap<RoleArn, Role>,
}

/// An issued session: its access key, and the fields of the response.
pub(crate) struct IssuedSession {
    pub(crate) key: AccessKey,
    pub(crate) fields: Value,
}

impl Sts {
    pub(crate) fn new(providers: Vec<OidcProvider>, roles: Vec<Role>) -> Self {
        Self {
            providers: providers.into_iter().map(|provider| (provider.arn.clone(), provider)).collect(),
            roles: roles.into_iter().map(|role| (role.arn.clone(), role)).collect(),
        }
    }

    /// Issues a session for a token. `now` is the server's own time; the credentials are derived from the request
    /// id.
    pub(crate) fn exchange_token(
        &self,
        call: &Call,
        settings: &Settings,
        request_id: &str,
        now: SystemTime,
    ) -> Result<IssuedSession, Refusal> {
        let parameters = Parameters::read(call, |role| self.seconds_max(role))?;
        if settings.sts_checks_timestamp {
            check_timestamp(call, now)?;
        }
        let provider = self.provider(&parameters.provider)?;
        let token = Token::read(parameters.token)?;
        token.check(provider, now)?;
        let role = self.trusting(&parameters.session.role, provider, &token.claims)?;
        let mut issued = issue(role, parameters.session, settings, request_id, now);
        issued.fields["OIDCTokenInfo"] = token_info(&token.claims);
        Ok(issued)
    }

    /// Issues a session for the caller with this key, as [`Self::exchange_token`] does for a token.
    pub(crate) fn assume_role(
        &self,
        call: &Call,
        key: &AccessKey,
        settings: &Settings,
        request_id: &str,
        now: SystemTime,
    ) -> Result<IssuedSession, Refusal> {
        let parameters = SessionParameters::read(call, |role| self.seconds_max(role))?;
        let external_id = external_id(call)?;
        let caller = key.principal();
        if caller.is_account() {
            return Err(not_authorized("Roles may not be assumed by root accounts."));
        }
        let role = self.role(&parameters.role)?;
        let is_expected = role.external_id.as_deref().is_none_or(|expected| external_id == Some(expected));
        if !role.trusts(&caller) || !is_expected {
            let message = "You are not authorized to do this action. You should be authorized by RAM.";
            return Err(not_authorized(message));
        }
        Ok(issue(role, parameters, settings, request_id, now))
    }

    /// The maximum duration of a role's sessions.
    fn seconds_max(&self, role: &RoleArn) -> u32 {
        self.roles.get(role).map_or(SESSION_SECONDS_MAX, |role| role.max_session_duration_seconds)
    }

    /// Returns the provider if its keys can be fetched.
    fn provider(&self, arn: &OidcProviderArn) -> Result<&OidcProvider, Refusal> {
        let not_found = || {
            Refusal::with_message(
                codes::AUTHENTICATION_FAIL_NO_PERMISSION,
                "No such OIDC Provider registered.",
            )
        };
        let provider = self.providers.get(arn).ok_or_else(not_found)?;
        match provider.state {
            ProviderState::Reachable => Ok(provider),
            ProviderState::FingerprintMismatch => Err(codes::OIDC_TOKEN_FINGERPRINT_MISMATCH.into()),
            ProviderState::HttpsChainInvalid => Err(codes::OIDC_TOKEN_HTTPS_URL_INVALID.into()),
            ProviderState::IssuerUnreachable => {
                let issuer = &provider.issuer_url;
                let message = format!("Get public keys from OIDC Provider failed, the issuer is {issuer}.");
                Err(Refusal::with_message(codes::OIDC_TOKEN_ISSUER_CONFIGURATION_BROKEN, message))
            }
        }
    }

    fn role(&self, arn: &RoleArn) -> Result<&Role, Refusal> {
        // The documented message ends with a space.
        let not_found =
            || Refusal::with_message(codes::ENTITY_NOT_EXIST_ROLE, format!("The role not exists: {arn}. "));
        self.roles.get(arn).ok_or_else(not_found)
    }

    /// Returns the role if its trust policy accepts these claims.
    fn trusting(&self, arn: &RoleArn, provider: &OidcProvider, claims: &Claims) -> Result<&Role, Refusal> {
        let role = self.role(arn)?;
        let trusts_audience =
            role.audience.as_ref().is_none_or(|audience| claims.audiences.contains(audience));
        let trusts_subject = role.subject.as_ref().is_none_or(|subject| *subject == claims.subject);
        if role.oidc_provider_arn.as_ref() != Some(&provider.arn) || !trusts_audience || !trusts_subject {
            return Err(codes::AUTHENTICATION_FAIL_NO_PERMISSION.into());
        }
        Ok(role)
    }
}

/// Issues a session of a role. The credentials are derived from the request id.
fn issue(
    role: &Role,
    parameters: SessionParameters<'_>,
    settings: &Settings,
    request_id: &str,
    now: SystemTime,
) -> IssuedSession {
    let lifetime = settings.session_max.unwrap_or(Duration::MAX).min(parameters.lifetime);
    let ends_at = later(now, lifetime);
    let credentials = SessionCredentials::derive(request_id);
    let session = Session {
        role_arn: role.arn.clone(),
        session_name: parameters.session_name.to_owned(),
        policy: parameters.policy,
    };
    let fields = json!({
        "AssumedRoleUser": {
            "AssumedRoleId": assumed_role_id(&session),
            "Arn": assumed_role_arn(&session),
        },
        "Credentials": {
            "AccessKeyId": credentials.access_key_id,
            "AccessKeySecret": credentials.access_key_secret,
            "SecurityToken": credentials.security_token,
            "Expiration": acs_date(ends_at),
        },
    });
    let key = AccessKey {
        security_token: Some(credentials.security_token),
        security_token_expires_at: Some(ends_at),
        denied_actions: role.denied_actions.clone(),
        session: Some(session),
        ..AccessKey::new(credentials.access_key_id, credentials.access_key_secret)
    };
    IssuedSession { key, fields }
}

fn token_info(claims: &Claims) -> Value {
    json!({
        "Subject": claims.subject,
        "Issuer": claims.issuer,
        "ClientIds": claims.audiences.join(","),
        "ExpirationTime": acs_date(claims.expires_at),
        "IssuanceTime": acs_date(claims.issued_at),
        "VerificationInfo": "Success",
    })
}

/// The denial of a caller that RAM or the role's trust policy does not allow.
fn not_authorized(message: &str) -> Refusal {
    Refusal { status: StatusCode::FORBIDDEN, ..Refusal::with_message(codes::NO_PERMISSION, message) }
}

#[cfg(test)]
mod tests;
