//! A JWKS as far as RS256 goes: which keys it holds, and whether one of them made a signature.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde_json::Value;

/// The only algorithm.
pub(super) const ALGORITHM: &str = "RS256";

/// The sizes of a modulus with which RS256 is verified, in bytes.
const MODULUS_MIN: usize = 2048 / 8;
const MODULUS_MAX: usize = 8192 / 8;

/// Why no token can be verified with a JWKS.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not the shape of a JWKS.
    #[error("it is no object with a list of keys: {0}")]
    Shape(serde_json::Error),
    /// Only keys for other algorithms.
    #[error("it has no RSA key for RS256")]
    NoRsaKey,
    /// An RSA key that lacks a part.
    #[error("RSA key {0:?} needs kid, n and e, the latter two as base64url without padding")]
    Incomplete(String),
    /// An RSA key with which RS256 cannot be verified.
    #[error("RSA key {0:?} has not between 2048 and 8192 bits")]
    Size(String),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// One key as it stands. What is not read here does not matter.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

struct RsaKey {
    kid: String,
    components: RsaPublicKeyComponents<Vec<u8>>,
}

/// Whether tokens can be verified with this JWKS.
pub(crate) fn check(jwks: &Value) -> Result<(), JwksError> {
    let keys = rsa_keys(jwks)?;
    if keys.is_empty() {
        return Err(JwksError::NoRsaKey);
    }
    let sizes = MODULUS_MIN..=MODULUS_MAX;
    match keys.into_iter().find(|key| !sizes.contains(&key.components.n.len())) {
        Some(key) => Err(JwksError::Size(key.kid)),
        None => Ok(()),
    }
}

/// Whether the key of this id in the JWKS signed the message.
pub(super) fn is_signed(jwks: &Value, kid: &str, message: &str, signature: &[u8]) -> bool {
    let keys = rsa_keys(jwks).unwrap_or_default();
    keys.iter().filter(|key| key.kid == kid).any(|key| {
        let verified = key.components.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), signature);
        verified.is_ok()
    })
}

fn rsa_keys(jwks: &Value) -> Result<Vec<RsaKey>, JwksError> {
    let Jwks { keys } = Jwks::deserialize(jwks).map_err(JwksError::Shape)?;
    let keys = keys.into_iter().filter(|key| {
        key.kty == "RSA"
            && key.alg.as_deref().is_none_or(|alg| alg == ALGORITHM)
            && key.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
    });
    keys.map(|key| {
        let kid = key.kid.unwrap_or_default();
        let n = key.n.and_then(|text| unsigned(&text));
        let e = key.e.and_then(|text| unsigned(&text));
        match (n, e) {
            (Some(n), Some(e)) if !kid.is_empty() => {
                Ok(RsaKey { kid, components: RsaPublicKeyComponents { n, e } })
            }
            _ => Err(JwksError::Incomplete(kid)),
        }
    })
    .collect()
}

/// A number without leading zeros, which the verification does not take.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
