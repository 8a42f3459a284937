//! ACS3-HMAC-SHA256, computed from the received request. This code shares nothing with any client, so that a
//! client's signing error cannot be repeated in the verification.

use std::fmt::Write as _;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::call;

/// The only accepted algorithm.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// All characters except RFC 3986's unreserved ones are percent-encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A parsed `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) access_key_id: String,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
}

impl Authorization {
    /// Returns `None` for another algorithm, or if a part is missing, empty or unknown.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (algorithm, rest) = text.trim().split_once(' ')?;
        if algorithm != ALGORITHM {
            return None;
        }
        let (mut access_key_id, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').filter(|(_, value)| !value.is_empty())?;
            match name {
                "Credential" => access_key_id = Some(value.to_owned()),
                "SignedHeaders" => signed_headers = Some(value.split(';').map(str::to_owned).collect()),
                "Signature" => signature = Some(value.to_owned()),
                _ => return None,
            }
        }
        Some(Self { access_key_id: access_key_id?, signed_headers: signed_headers?, signature: signature? })
    }

    /// Whether every header that must be signed is signed: `host`, each `x-acs-*`, and `content-type` if present.
    /// The `content-type` of an empty body may be unsigned: some HTTP clients add it after the signing, such as the
    /// one that the official Python SDK uses for asynchronous calls.
    pub(crate) fn signs_required_headers(&self, request: &Request<Bytes>) -> bool {
        let signed = |name: &str| {
            self.signed_headers.iter().any(|header| header == name)
                || (name == "content-type" && request.body().is_empty())
        };
        signed("host") && names_to_sign(request).iter().all(|name| signed(name))
    }

    /// Whether the signature was made with this secret for this request.
    pub(crate) fn is_signed_with(&self, secret: &str, request: &Request<Bytes>) -> bool {
        // A constant-time comparison; the simulator does not need it, but it is the correct practice.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
            return false;
        };
        mac.update(string_to_sign(request, &self.signed_headers).as_bytes());
        unhex(&self.signature).is_some_and(|signature| mac.verify_slice(&signature).is_ok())
    }
}

/// Signs a request as a correct client does: sets `x-acs-content-sha256` and `Authorization`. For tests without an
/// SDK. All other headers must be set first.
pub fn sign(request: &mut Request<Bytes>, access_key_id: &str, access_key_secret: &str) {
    let hash = hex(&Sha256::digest(request.body()));
    if let Ok(hash) = HeaderValue::try_from(hash) {
        request.headers_mut().insert("x-acs-content-sha256", hash);
    }
    let mut names = names_to_sign(request);
    names.push("host".to_owned());
    names.sort_unstable();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(access_key_secret.as_bytes()) else {
        return;
    };
    mac.update(string_to_sign(request, &names).as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let names = names.join(";");
    let authorization =
        format!("{ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}");
    if let Ok(authorization) = HeaderValue::try_from(authorization) {
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
    }
}

/// The hash of the body, for comparison with `x-acs-content-sha256`.
pub(crate) fn content_hash(request: &Request<Bytes>) -> String {
    hex(&Sha256::digest(request.body()))
}

fn string_to_sign(request: &Request<Bytes>, signed_headers: &[String]) -> String {
    let hash = hex(&Sha256::digest(canonical_request(request, signed_headers)));
    format!("{ALGORITHM}\n{hash}")
}

fn canonical_request(request: &Request<Bytes>, signed_headers: &[String]) -> String {
    let mut canonical = format!("{}\n{}\n{}\n", request.method(), path(request), canonical_query(request));
    let mut names: Vec<_> = signed_headers.iter().map(String::as_str).collect();
    names.sort_unstable();
    for name in &names {
        let value = match *name {
            "host" => call::host(request),
            name => call::header_of(request, name).unwrap_or_default(),
        };
        canonical.extend([name, ":", value.trim(), "\n"]);
    }
    canonical.extend(["\n", &names.join(";"), "\n", &content_hash(request)]);
    canonical
}

fn path(request: &Request<Bytes>) -> &str {
    match request.uri().path() {
        "" => "/",
        path => path,
    }
}

fn canonical_query(request: &Request<Bytes>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let mut pairs: Vec<_> = call::pairs(request.uri().query().unwrap_or_default())
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn names_to_sign(request: &Request<Bytes>) -> Vec<String> {
    let names = request.headers().keys().map(header::HeaderName::as_str);
    names.filter(|name| name.starts_with("x-acs-") || *name == "content-type").map(str::to_owned).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Decodes lowercase hexadecimal digits, the only form that the signature's specification permits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        path: String,
        query: BTreeMap<String, String>,
        headers: BTreeMap<String, String>,
        body: String,
        access_key_id: String,
        access_key_secret: String,
        hashed_canonical_request: Option<String>,
        signature: Option<String>,
        canonical_request: Option<String>,
        string_to_sign: Option<String>,
        authorization: Option<String>,
    }

    #[test]
    fn test_vectors_match() {
        for vector in vectors() {
            let mut request = vector.request();
            sign(&mut request, &vector.access_key_id, &vector.access_key_secret);
            let authorization = call::header_of(&request, "authorization").unwrap();
            let parsed = Authorization::parse(&authorization).unwrap();
            assert!(parsed.signs_required_headers(&request), "{}", vector.name);
            assert!(parsed.is_signed_with(&vector.access_key_secret, &request), "{}", vector.name);
            let canonical = canonical_request(&request, &parsed.signed_headers);
            if let Some(hash) = vector.hashed_canonical_request {
                assert_eq!(hex(&Sha256::digest(&canonical)), hash, "{}", vector.name);
            }
            if let Some(expected) = vector.canonical_request {
                assert_eq!(canonical, expected, "{}", vector.name);
            }
            if let Some(expected) = vector.string_to_sign {
                assert_eq!(string_to_sign(&request, &parsed.signed_headers), expected, "{}", vector.name);
            }
            if let Some(expected) = vector.signature {
                assert_eq!(parsed.signature, expected, "{}", vector.name);
            }
            if let Some(expected) = vector.authorization {
                assert_eq!(authorization, expected, "{}", vector.name);
            }
        }
    }

    #[test]
    fn any_change_of_the_request_breaks_the_signature() {
        let vector = vectors().remove(1);
        let authorization = Authorization::parse(vector.authorization.as_deref().unwrap()).unwrap();
        let is_by_owner =
            |request: &Request<Bytes>| authorization.is_signed_with(&vector.access_key_secret, request);
        assert!(is_by_owner(&vector.request()));
        let mut other_method = vector.request();
        *other_method.method_mut() = http::Method::GET;
        let mut other_query = vector.request();
        *other_query.uri_mut() = http::Uri::from_static("/?RegionId=eu-west-1");
        let mut other_host = vector.request();
        other_host
            .headers_mut()
            .insert("host", HeaderValue::from_static("privatelink.us-east-1.aliyuncs.com"));
        let mut other_body = vector.request();
        *other_body.body_mut() = Bytes::from_static(b"DryRun=true");
        for request in [other_method, other_query, other_host, other_body] {
            assert!(!is_by_owner(&request), "{request:?}");
        }
        assert!(!authorization.is_signed_with("AnotherSecret", &vector.request()));
    }

    #[test]
    fn unsigned_header_is_detected() {
        let vector = vectors().remove(1);
        let authorization = Authorization::parse(vector.authorization.as_deref().unwrap()).unwrap();
        let mut request = vector.request();
        assert!(authorization.signs_required_headers(&request));
        request.headers_mut().insert("x-acs-security-token", HeaderValue::from_static("unsigned"));
        assert!(!authorization.signs_required_headers(&request));
    }

    #[test]
    fn canonical_query_is_sorted_and_encoded_by_rfc_3986() {
        let request =
            Request::builder().uri("/?b=a+b%2a%2B&a=%C3%A4%20~&empty=&b=1").body(Bytes::new()).unwrap();
        assert_eq!(canonical_query(&request), "a=%C3%A4%20~&b=1&b=a%20b%2A%2B&empty=");
    }

    impl Vector {
        fn request(&self) -> Request<Bytes> {
            let encoded = |text: &String| utf8_percent_encode(text, RESERVED).to_string();
            let query: Vec<_> = self
                .query
                .iter()
                .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
                .collect();
            let mut request = Request::builder().method(self.method.as_str()).uri(format!(
                "{}?{}",
                self.path,
                query.join("&")
            ));
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            request.body(Bytes::from(self.body.clone())).unwrap()
        }
    }

    fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../tests/acs3-vectors.json")).unwrap()
    }
}
