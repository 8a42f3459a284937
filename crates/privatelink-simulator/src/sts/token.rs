//! A JSON Web Token: its three parts, its claims and its validation.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::jwks::{self, ALGORITHM};
use crate::{codes, response::Refusal, seed::OidcProvider, wire_time::later};

/// The longest token that STS accepts.
const LENGTH_MAX: usize = 20_000;

/// A parsed token. The type does not implement `Debug`, because the token's text is a credential.
pub(super) struct Token<'a> {
    kid: String,
    signed: &'a str,
    signature: Vec<u8>,
    pub(super) claims: Claims,
}

pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audiences: Vec<String>,
    pub(super) expires_at: SystemTime,
    pub(super) issued_at: SystemTime,
    not_before: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Deserialize)]
struct ClaimsJson {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl<'a> Token<'a> {
    /// Parses a token without verifying it.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > LENGTH_MAX {
            return Err(codes::OIDC_TOKEN_INVALID.into());
        }
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(invalid("The number of Jwt field should be divided into 3 parts with '.' ."));
        };
        let (header, claims, signature) = (decoded(header)?, decoded(claims)?, decoded(signature)?);
        let Header { alg, kid } = parsed(&header)?;
        if alg != ALGORITHM {
            return Err(invalid(format!("The algorithm {alg} that be specified in Jwt header is unknown.")));
        }
        let claims = Claims::read(parsed(&claims)?).ok_or(codes::OIDC_TOKEN_INVALID)?;
        let (signed, _) = text.rsplit_once('.').unwrap_or_default();
        Ok(Self { kid, signed, signature, claims })
    }

    /// Checks that the provider's issuer signed the token, that it is valid now, and that its audience is one of the
    /// provider's clients. `now` is the server's own time.
    pub(super) fn check(&self, provider: &OidcProvider, now: SystemTime) -> Result<(), Refusal> {
        let claims = &self.claims;
        if claims.issuer != provider.issuer_url {
            return Err(codes::OIDC_TOKEN_ISSUER_NOT_MATCH.into());
        }
        if !jwks::is_signed(&provider.jwks, &self.kid, self.signed, &self.signature) {
            return Err(codes::OIDC_TOKEN_INVALID_SIGNATURE.into());
        }
        if claims.expires_at <= now {
            return Err(codes::OIDC_TOKEN_EXPIRED.into());
        }
        if claims.issued_at > now || claims.not_before.is_some_and(|begin| begin > now) {
            return Err(invalid("This JsonWebToken is not valid yet."));
        }
        let limit = Duration::from_hours(provider.issuance_limit_hours.into());
        if later(claims.issued_at, limit) < now {
            return Err(invalid("This JsonWebToken was issued too long ago."));
        }
        if !claims.audiences.iter().any(|audience| provider.client_ids.contains(audience)) {
            return Err(codes::OIDC_TOKEN_AUDIENCE_NOT_MATCH.into());
        }
        Ok(())
    }
}

impl Claims {
    fn read(json: ClaimsJson) -> Option<Self> {
        // Returns `None` for a time outside the supported years.
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok().map(SystemTime::from);
        let not_before = match json.nbf {
            Some(seconds) => Some(at(seconds)?),
            None => None,
        };
        let audiences = match json.aud {
            Audience::One(audience) => vec![audience],
            Audience::Many(audiences) => audiences,
        };
        Some(Self {
            issuer: json.iss,
            subject: json.sub,
            audiences,
            expires_at: at(json.exp)?,
            issued_at: at(json.iat)?,
            not_before,
        })
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| invalid("Cannot decode base64 encoded response(format invalided)."))
}

fn parsed<T: DeserializeOwned>(part: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(part).map_err(|_| codes::OIDC_TOKEN_INVALID.into())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::with_message(codes::OIDC_TOKEN_INVALID, message)
}
