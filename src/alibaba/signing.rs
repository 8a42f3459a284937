//! Alibaba Cloud's signature version 3, `ACS3-HMAC-SHA256`.
//!
//! Pure: it turns a request into the headers to send. The caller provides time and nonce.

use std::fmt::Write;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::access_key::Credentials;
use super::percent_encoding::encoded_pairs;
use crate::clock::calendar;

/// The signed parts of a request. Path `/` and an empty body are fixed: calls in RPC style use no others.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// The `host` header as sent: with the port, unless it is the scheme's default.
    pub host: &'a str,
    /// Alibaba Cloud's name of the operation.
    pub action: &'a str,
    pub version: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    /// The time of signing; the service tolerates a difference of 15 minutes.
    pub signed_at: SystemTime,
    /// Unique for every request.
    pub nonce: &'a str,
}

/// A signed request.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// The query string, sent unchanged.
    pub query: String,
    /// The headers to send, including `host` and `authorization`.
    pub headers: Vec<(&'static str, String)>,
}

/// Signs a POST to `/` with an empty body.
#[must_use]
pub fn sign(request: &Unsigned<'_>, credentials: &Credentials) -> Signed {
    let body_hash = hex(&Sha256::digest(b""));
    // The order in which they are signed.
    let mut headers = vec![
        ("host", request.host.to_owned()),
        ("x-acs-action", request.action.to_owned()),
        ("x-acs-content-sha256", body_hash.clone()),
        ("x-acs-date", calendar::text(request.signed_at, calendar::SECONDS)),
    ];
    if let Some(token) = credentials.security_token() {
        headers.push(("x-acs-security-token", token.to_owned()));
    }
    headers.push(("x-acs-signature-nonce", request.nonce.to_owned()));
    headers.push(("x-acs-version", request.version.to_owned()));
    headers.sort_unstable_by_key(|(name, _)| *name);

    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let query = encoded_pairs(request.parameters);
    let mut canonical = format!("POST\n/\n{query}\n");
    for (name, value) in &headers {
        canonical.push_str(name);
        canonical.push(':');
        canonical.push_str(value.trim());
        canonical.push('\n');
    }
    canonical.push('\n');
    canonical.push_str(&names);
    canonical.push('\n');
    canonical.push_str(&body_hash);

    let to_sign = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let signature = hex(&hmac_sha256(credentials.access_key_secret().as_bytes(), to_sign.as_bytes()));
    let authorization = format!(
        "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}",
        credentials.access_key_id()
    );
    headers.push(("authorization", authorization));
    Signed { query, headers }
}

#[expect(clippy::expect_used, reason = "the error exists for MACs with a fixed key length; HMAC has none")]
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde::Deserialize;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        query: BTreeMap<String, String>,
        headers: BTreeMap<String, String>,
        access_key_id: String,
        access_key_secret: String,
        signature: Option<String>,
        authorization: Option<String>,
    }

    #[test]
    fn signatures_match_published_and_cross_checked_ones() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/vectors/acs3.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let parameters: Vec<_> = vector.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let signed = sign(
                &Unsigned {
                    host: &vector.headers["host"],
                    action: &vector.headers["x-acs-action"],
                    version: &vector.headers["x-acs-version"],
                    parameters: &parameters,
                    signed_at: OffsetDateTime::parse(&vector.headers["x-acs-date"], &Rfc3339).unwrap().into(),
                    nonce: &vector.headers["x-acs-signature-nonce"],
                },
                &Credentials::new(vector.access_key_id, vector.access_key_secret, None),
            );
            let headers: BTreeMap<_, _> = signed.headers.iter().cloned().collect();
            for (name, value) in &vector.headers {
                assert_eq!(&headers[name.as_str()], value, "{}: {name}", vector.name);
            }
            let authorization = &headers["authorization"];
            if let Some(expected) = vector.authorization {
                assert_eq!(*authorization, expected, "{}", vector.name);
            }
            if let Some(expected) = vector.signature {
                assert!(authorization.ends_with(&format!("Signature={expected}")), "{}", vector.name);
            }
        }
    }

    #[test]
    fn session_token_is_sent_and_signed() {
        let request = Unsigned {
            host: "h",
            action: "A",
            version: "V",
            parameters: &[],
            signed_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            nonce: "n",
        };
        let signed = sign(&request, &Credentials::new("id".into(), "secret".into(), Some("session".into())));
        assert!(signed.headers.contains(&("x-acs-security-token", "session".to_owned())));
        assert!(signed.headers.contains(&("x-acs-date", "1970-01-01T00:00:01Z".to_owned())));
        let (_, authorization) = signed.headers.last().unwrap();
        assert!(authorization.contains(";x-acs-date;x-acs-security-token;x-acs-signature-nonce;"));
        assert_eq!(signed.query, "", "no credentials in the URL");
    }

    #[test]
    fn query_is_encoded_as_in_rfc_3986() {
        assert_eq!(encoded_pairs(&[("b", "ü /~*"), ("a", "")]), "a=&b=%C3%BC%20%2F~%2A");
    }
}
