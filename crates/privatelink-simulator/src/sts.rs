//! Alibaba Cloud's STS, limited to `AssumeRoleWithOIDC`: verifies a token, checks the role's trust policy, and
//! issues a session.
//!
//! The parameters are checked first, then the token, then the role. This module stores no sessions; [`crate::Cloud`]
//! does.

mod jwks;
mod parameters;
mod policy;
mod session_credentials;
mod token;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

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
pub use jwks::JwksError;
pub(crate) use jwks::check as check_jwks;
use parameters::{Parameters, check_timestamp};
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
    pub(crate) fn assume_role(
        &self,
        call: &Call,
        settings: &Settings,
        request_id: &str,
        now: SystemTime,
    ) -> Result<IssuedSession, Refusal> {
        let seconds_max = |role: &RoleArn| {
            self.roles.get(role).map_or(SESSION_SECONDS_MAX, |role| role.max_session_duration_seconds)
        };
        let parameters = Parameters::read(call, seconds_max)?;
        if settings.sts_checks_timestamp {
            check_timestamp(call, now)?;
        }
        let provider = self.provider(&parameters.provider)?;
        let token = Token::read(parameters.token)?;
        token.check(provider, now)?;
        let role = self.trusting(&parameters.role, provider, &token.claims)?;
        let lifetime = settings.session_max.unwrap_or(Duration::MAX).min(parameters.lifetime);
        let credentials = SessionCredentials::derive(request_id);
        let key = AccessKey {
            security_token: Some(credentials.security_token),
            security_token_expires_at: Some(later(now, lifetime)),
            denied_actions: role.denied_actions.clone(),
            session: Some(Session {
                role_arn: role.arn.clone(),
                session_name: parameters.session_name.to_owned(),
                policy: parameters.policy,
            }),
            ..AccessKey::new(credentials.access_key_id, credentials.access_key_secret)
        };
        let fields = response_fields(role, &key, &token.claims, later(now, lifetime));
        Ok(IssuedSession { key, fields })
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

    /// Returns the role if its trust policy accepts these claims.
    fn trusting(&self, arn: &RoleArn, provider: &OidcProvider, claims: &Claims) -> Result<&Role, Refusal> {
        // The documented message ends with a space.
        let not_found =
            || Refusal::with_message(codes::ENTITY_NOT_EXIST_ROLE, format!("The role not exists: {arn}. "));
        let role = self.roles.get(arn).ok_or_else(not_found)?;
        let trusts_audience =
            role.audience.as_ref().is_none_or(|audience| claims.audiences.contains(audience));
        let trusts_subject = role.subject.as_ref().is_none_or(|subject| *subject == claims.subject);
        if role.oidc_provider_arn != provider.arn || !trusts_audience || !trusts_subject {
            return Err(codes::AUTHENTICATION_FAIL_NO_PERMISSION.into());
        }
        Ok(role)
    }
}

fn response_fields(role: &Role, key: &AccessKey, claims: &Claims, ends_at: SystemTime) -> Value {
    let (account, name) = (role.arn.account(), role.arn.name());
    let session_name = key.session.as_ref().map_or("", |session| &session.session_name);
    json!({
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{session_name}", session_credentials::role_id(&role.arn)),
            "Arn": format!("acs:ram::{account}:assumed-role/{name}/{session_name}"),
        },
        "OIDCTokenInfo": {
            "Subject": claims.subject,
            "Issuer": claims.issuer,
            "ClientIds": claims.audiences.join(","),
            "ExpirationTime": acs_date(claims.expires_at),
            "IssuanceTime": acs_date(claims.issued_at),
            "VerificationInfo": "Success",
        },
        "Credentials": {
            "AccessKeyId": key.access_key_id,
            "AccessKeySecret": key.access_key_secret,
            "SecurityToken": key.security_token,
            "Expiration": acs_date(ends_at),
        },
    })
}

#[cfg(test)]
mod tests;
