//! Alibaba Cloud's STS as far as `AssumeRoleWithOIDC` goes: whose token is believed, which role it opens, and the session
//! that comes of it.
//!
//! What is asked for is checked first, then the token, then the role. Nothing here remembers anything: the sessions belong
//! to whoever lets their keys in.

mod asked;
mod jwks;
mod policy;
mod session_keys;
mod token;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    answer::Refusal,
    call::Call,
    codes,
    ids::{OidcProviderArn, RoleArn},
    seed::{AccessKey, OidcProvider, ProviderState, Role, SESSION_SECONDS_MAX, Session},
    settings::Settings,
    wire_time::{acs_date, later},
};
use asked::{Asked, check_timestamp};
pub use jwks::JwksError;
pub(crate) use jwks::check as check_jwks;
pub use policy::SessionPolicy;
pub(crate) use policy::Verdict;
use session_keys::SessionKeys;
use token::{Claims, Token};

/// Who may become whom.
#[derive(Clone, Debug)]
pub(crate) struct Sts {
    pub(crate) providers: BTreeMap<OidcProviderArn, OidcProvider>,
    pub(crate) roles: BTreeMap<RoleArn, Role>,
}

/// A session that is given: its key, and what the caller is told.
pub(crate) struct Granted {
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

    /// The session for a token. `now` is the server's own time; the keys are a function of the request id.
    pub(crate) fn assume_role(
        &self,
        call: &Call,
        settings: &Settings,
        request_id: &str,
        now: SystemTime,
    ) -> Result<Granted, Refusal> {
        let longest = |role: &RoleArn| {
            self.roles.get(role).map_or(SESSION_SECONDS_MAX, |role| role.max_session_duration_seconds)
        };
        let asked = Asked::read(call, longest)?;
        if settings.sts_checks_timestamp {
            check_timestamp(call, now)?;
        }
        let provider = self.provider(&asked.provider)?;
        let token = Token::read(asked.token)?;
        token.check(provider, now)?;
        let role = self.trusting(&asked.role, provider, &token.claims)?;
        let lifetime = settings.session_max.unwrap_or(Duration::MAX).min(asked.lifetime);
        let keys = SessionKeys::of(request_id);
        let key = AccessKey {
            security_token: Some(keys.security_token),
            security_token_expires_at: Some(later(now, lifetime)),
            denied_actions: role.denied_actions.clone(),
            session: Some(Session {
                role_arn: role.arn.clone(),
                session_name: asked.session_name.to_owned(),
                policy: asked.policy,
            }),
            ..AccessKey::new(keys.access_key_id, keys.access_key_secret)
        };
        let fields = answer(role, &key, &token.claims, later(now, lifetime));
        Ok(Granted { key, fields })
    }

    /// The provider, if its keys can be fetched.
    fn provider(&self, arn: &OidcProviderArn) -> Result<&OidcProvider, Refusal> {
        let no_such = || {
            Refusal::because(codes::AUTHENTICATION_FAIL_NO_PERMISSION, "No such OIDC Provider registered.")
        };
        let provider = self.providers.get(arn).ok_or_else(no_such)?;
        match provider.state {
            ProviderState::Reachable => Ok(provider),
            ProviderState::FingerprintMismatch => Err(codes::OIDC_TOKEN_FINGERPRINT_MISMATCH.into()),
            ProviderState::HttpsChainInvalid => Err(codes::OIDC_TOKEN_HTTPS_URL_INVALID.into()),
            ProviderState::IssuerUnreachable => {
                let issuer = &provider.issuer_url;
                let message = format!("Get public keys from OIDC Provider failed, the issuer is {issuer}.");
                Err(Refusal::because(codes::OIDC_TOKEN_ISSUER_CONFIGURATION_BROKEN, message))
            }
        }
    }

    /// The role, if its trust policy lets in whoever these claims are about.
    fn trusting(&self, arn: &RoleArn, provider: &OidcProvider, claims: &Claims) -> Result<&Role, Refusal> {
        // With the space at the end, as it is documented.
        let no_such =
            || Refusal::because(codes::ENTITY_NOT_EXIST_ROLE, format!("The role not exists: {arn}. "));
        let role = self.roles.get(arn).ok_or_else(no_such)?;
        let trusts_audience =
            role.audience.as_ref().is_none_or(|audience| claims.audiences.contains(audience));
        let trusts_subject = role.subject.as_ref().is_none_or(|subject| *subject == claims.subject);
        if role.oidc_provider_arn != provider.arn || !trusts_audience || !trusts_subject {
            return Err(codes::AUTHENTICATION_FAIL_NO_PERMISSION.into());
        }
        Ok(role)
    }
}

fn answer(role: &Role, key: &AccessKey, claims: &Claims, ends_at: SystemTime) -> Value {
    let (account, name) = (role.arn.account(), role.arn.name());
    let session_name = key.session.as_ref().map_or("", |session| &session.session_name);
    json!({
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{session_name}", session_keys::role_id(&role.arn)),
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
