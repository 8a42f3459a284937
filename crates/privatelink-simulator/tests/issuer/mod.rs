//! A token issuer for tests. Its key protects nothing.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};

// Imported from the including file, so that both the crate's own tests and its integration tests can use this one.
use super::{OidcProvider, Role};

pub(crate) const URL: &str = "https://issuer.example";
pub(crate) const CLIENT: &str = "sts.aliyuncs.com";
pub(crate) const SUBJECT: &str = "worker";
pub(crate) const KEY_ID: &str = "key-1";
pub(crate) const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/issuer";
pub(crate) const ROLE: &str = "acs:ram::1234567890123456:role/detach";

/// The issuer as registered in RAM. The JWKS has a second key, of a type that the tests do not sign with.
pub(crate) fn provider() -> OidcProvider {
    let public: PublicKeyComponents<Vec<u8>> = key().public().into();
    let jwks = json!({ "keys": [
        { "kty": "EC", "kid": "key-0", "crv": "P-384", "x": "AA", "y": "AA", "alg": "ES384" },
        { "kty": "RSA", "kid": KEY_ID, "use": "sig", "n": base64(&public.n), "e": base64(&public.e) },
    ] });
    OidcProvider::new(PROVIDER, URL, [CLIENT], jwks)
}

/// A role that trusts the issuer's only subject.
pub(crate) fn role() -> Role {
    Role { audience: Some(CLIENT.to_owned()), subject: Some(SUBJECT.to_owned()), ..Role::new(ROLE, PROVIDER) }
}

/// The claims of a valid token issued at this time, in seconds since 1970.
pub(crate) fn claims(issued_at: u64) -> Value {
    json!({ "iss": URL, "sub": SUBJECT, "aud": CLIENT, "iat": issued_at, "exp": issued_at + 300 })
}

/// The header of a valid token.
pub(crate) fn header() -> Value {
    json!({ "alg": "RS256", "kid": KEY_ID, "typ": "JWT" })
}

/// A correctly signed token with any header and claims.
pub(crate) fn token(header: &Value, claims: &Value) -> String {
    let signed =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", base64(&signature))
}

fn key() -> KeyPair {
    KeyPair::from_pkcs8(include_bytes!("../keys/issuer.der")).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
