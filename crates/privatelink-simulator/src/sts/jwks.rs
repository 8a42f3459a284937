//! Key sets (JWKS) for RS256: parsing, and verification of signatures.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde_json::Value;

/// The only supported algorithm.
pub(super) const ALGORITHM: &str = "RS256";

/// The permitted sizes of a modulus for RS256, in bytes.
const MODULUS_MIN: usize = 2048 / 8;
const MODULUS_MAX: usize = 8192 / 8;

/// Why a JWKS cannot verify any token.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not the format of a JWKS.
    #[error("not an object with a list of keys: {0}")]
    Shape(serde_json::Error),
    /// No RSA key for RS256.
    #[error("no RSA key for RS256")]
    NoRsaKey,
    /// An RSA key without a required part.
    #[error("RSA key {0:?} needs kid, n and e, the latter two as base64url without padding")]
    Incomplete(String),
    /// An RSA key of a size that RS256 does not permit.
    #[error("RSA key {0:?} must have between 2048 and 8192 bits")]
    Size(String),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// One key, as it is in the JSON. Other fields are ignored.
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

/// Checks that the JWKS can verify tokens.
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

/// Whether the key with this id signed the message.
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

/// Decodes a number and removes leading zeros, which the verification rejects.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
