//! Signatures of the Standard Webhooks scheme, version `v1`: HMAC-SHA256 over `{id}.{timestamp}.{body}`.
//!
//! Pure: it reads no clock and no secret store. The scheme's own crate is not used here, because it reads the clock itself,
//! with a tolerance that is longer than the queue's deduplication interval; the tests sign with it.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use thiserror::Error;

use crate::freshness::{self, Untimely};

/// The name of the scheme in a `WWW-Authenticate` header.
pub const SCHEME: &str = "StandardWebhooks";

/// The header with the id of the webhook; a repeated delivery has the same.
const ID: &str = "webhook-id";

/// The header with the time of sending, in seconds since 1970-01-01.
const TIMESTAMP: &str = "webhook-timestamp";

/// The header with the signatures, separated by spaces; by commas where AWS joined a repeated header.
const SIGNATURE: &str = "webhook-signature";

/// The prefix of every secret.
const SECRET_PREFIX: &str = "whsec_";

/// Length of a key in bytes, from the scheme's specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The HMAC key of one signing secret.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

/// Why a secret is not usable. `Display` completes the sentence "the secret …" and does not contain the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The prefix is missing, or the rest is not base64.
    #[error("must be whsec_ followed by base64")]
    Encoding,
    /// The key is shorter or longer than the specification allows.
    #[error("must have a key of {} to {} bytes", KEY_BYTES.start(), KEY_BYTES.end())]
    Length,
}

impl SigningKey {
    /// Parses a secret.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "HMAC accepts a key of any length")]
    pub fn parse(secret: &str) -> Result<Self, SecretError> {
        let base64 = secret.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Encoding)?;
        let key = BASE64_STANDARD.decode(base64).map_err(|_| SecretError::Encoding)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(Hmac::new_from_slice(&key).expect("HMAC accepts a key of any length")))
    }
}

/// Why a call is not authenticated. For the log only: the response does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unauthorized {
    /// A header of the scheme is missing or cannot be parsed.
    #[error("a signature header is missing or not valid")]
    Headers,
    /// The timestamp is more than [`freshness::AGE_MAX`] old.
    #[error("the timestamp is too old")]
    TooOld,
    /// The timestamp is more than [`freshness::AHEAD_MAX`] in the future.
    #[error("the timestamp is too far ahead")]
    TooEarly,
    /// No signing secret made any of the signatures.
    #[error("no signature matches")]
    NoMatch,
    /// AWS IAM authenticated no caller, and this deployment has no signing secrets.
    #[error("AWS IAM authenticated no caller")]
    NoIdentity,
}

impl From<Untimely> for Unauthorized {
    fn from(untimely: Untimely) -> Self {
        match untimely {
            Untimely::NotANumber => Self::Headers,
            Untimely::TooOld => Self::TooOld,
            Untimely::TooEarly => Self::TooEarly,
        }
    }
}

/// A webhook with signatures that are not verified yet, and a timestamp that is acceptable.
#[derive(Debug)]
pub struct SignedWebhook<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: Vec<[u8; 32]>,
    body: &'a [u8],
}

impl<'a> SignedWebhook<'a> {
    /// Parses the headers of a webhook that arrived at `received_at`. The body must be the bytes that were received.
    pub fn parse(
        headers: &'a HeaderMap,
        body: &'a [u8],
        received_at: SystemTime,
    ) -> Result<Self, Unauthorized> {
        let header = |name: &str| {
            let text = headers.get(name).and_then(|value| value.to_str().ok());
            text.filter(|text| !text.is_empty()).ok_or(Unauthorized::Headers)
        };
        let (id, timestamp) = (header(ID)?, header(TIMESTAMP)?);
        freshness::check(timestamp, received_at)?;
        let signatures: Vec<_> = header(SIGNATURE)?.split(' ').flat_map(signatures).collect();
        if signatures.is_empty() {
            return Err(Unauthorized::Headers);
        }
        Ok(Self { id, timestamp, signatures, body })
    }

    /// The id that the sender gave the webhook.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// Whether one of the keys made one of the signatures. Each comparison takes constant time.
    #[must_use]
    pub fn is_signed_by_any(&self, keys: &[SigningKey]) -> bool {
        keys.iter().any(|key| {
            let mut mac = key.0.clone();
            for part in [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body] {
                mac.update(part);
            }
            let expected = mac.finalize();
            self.signatures.iter().any(|signature| CtOutput::new((*signature).into()) == expected)
        })
    }
}

/// The id that the sender gave a webhook, signed or not, with invalid UTF-8 replaced.
#[must_use]
pub fn webhook_id(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(ID).map(|id| String::from_utf8_lossy(id.as_bytes())).filter(|id| !id.is_empty())
}

/// The signatures in one entry of the header, `v1,` and base64; other versions of the scheme have none. AWS joins the values
/// of a repeated header by commas, so one entry can be `v1,A,v1,B`; what is beside a signature does not matter.
fn signatures(entry: &str) -> Vec<[u8; 32]> {
    let parts: Vec<&str> = entry.split(',').collect();
    let pairs = parts.windows(2).filter(|pair| pair[0] == "v1");
    pairs.filter_map(|pair| BASE64_STANDARD.decode(pair[1]).ok()?.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SENT_AT: u64 = 1_614_265_330;

    /// The signature in the scheme's reference libraries for this id, time, body and secret.
    const PUBLISHED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key() -> SigningKey {
        SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    fn after(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"), (TIMESTAMP, "1614265330"), (SIGNATURE, PUBLISHED)]
                .iter()
                .chain(changes)
        {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    fn verify(changes: &[(&'static str, &str)], body: &[u8], now: u64) -> Result<bool, Unauthorized> {
        let headers = headers(changes);
        SignedWebhook::parse(&headers, body, after(now)).map(|signed| signed.is_signed_by_any(&[key()]))
    }

    #[test]
    fn published_test_vectors_are_verified() {
        assert_eq!(verify(&[], BODY, SENT_AT), Ok(true));
        let others = [
            (ID, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            (TIMESTAMP, "1649367553"),
            (SIGNATURE, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ];
        let headers = headers(&others);
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = SignedWebhook::parse(&headers, body, after(1_649_367_553)).unwrap();
        assert!(signed.is_signed_by_any(&[
            key(),
            SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()
        ]));
        assert!(!signed.is_signed_by_any(&[key()]) && !signed.is_signed_by_any(&[]));
    }

    #[test]
    fn repeated_headers_that_aws_joins_by_commas_are_read_in_any_order() {
        let wrong = "v1,AAAA9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        for other in [wrong, "v1a,AAAA", "v2,a,b", "junk", "v1", "", &format!("{wrong} {wrong}")] {
            for separator in [",", ", "] {
                for joined in [[other, PUBLISHED].join(separator), [PUBLISHED, other].join(separator)] {
                    assert_eq!(verify(&[(SIGNATURE, &joined)], BODY, SENT_AT), Ok(true), "{joined}");
                }
            }
        }
        for joined in [format!("{wrong},{wrong}"), format!("{wrong}, v1a,AAAA")] {
            assert_eq!(verify(&[(SIGNATURE, &joined)], BODY, SENT_AT), Ok(false), "{joined}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let wrong = "v1,AAAA9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        for (header, passes) in [
            (format!("{wrong} {PUBLISHED}"), true),
            (format!("{PUBLISHED} {wrong}"), true),
            (format!("v1a,{} {PUBLISHED}", "A".repeat(88)), true),
            (format!("{wrong} {wrong}"), false),
        ] {
            assert_eq!(verify(&[(SIGNATURE, &header)], BODY, SENT_AT), Ok(passes), "{header}");
        }
    }

    #[test]
    fn signature_covers_id_timestamp_and_body() {
        assert_eq!(verify(&[(ID, "msg_p5jXN8AQM9LWM0D4loKWxJel")], BODY, SENT_AT), Ok(false));
        assert_eq!(verify(&[(TIMESTAMP, "1614265331")], BODY, SENT_AT), Ok(false));
        assert_eq!(
            verify(&[(TIMESTAMP, "01614265330")], BODY, SENT_AT),
            Ok(false),
            "the same time with a leading zero"
        );
        for body in
            [&BODY[1..], &BODY[..BODY.len() - 1], br#"{"test":2432232314}"#, br#"{"test": 2432232315}"#, b""]
        {
            assert_eq!(verify(&[], body, SENT_AT), Ok(false), "{body:?}");
        }
    }

    #[test]
    fn truncated_or_differently_encoded_signature_is_ignored() {
        let url_safe = PUBLISHED.replace('+', "-").replace('/', "_");
        for header in [
            &PUBLISHED[..PUBLISHED.len() - 1],
            &PUBLISHED[..PUBLISHED.len() - 4],
            &PUBLISHED[3..],
            "v1,",
            "v1",
            url_safe.as_str(),
            &PUBLISHED.replace("v1,", "v2,"),
            &PUBLISHED.replace("v1,", "V1,"),
            &PUBLISHED.replace("v1,", "v1="),
            &PUBLISHED.replace("E=", "F="),
            &format!("v1,{}", "83484cf52b04f8e4cf2531adfed9882ad4b2665944b8"),
        ] {
            assert_eq!(verify(&[(SIGNATURE, header)], BODY, SENT_AT), Err(Unauthorized::Headers), "{header}");
        }
    }

    #[test]
    fn timestamp_may_be_4_minutes_old_or_30_seconds_ahead() {
        let at = |now| verify(&[], BODY, now);
        assert_eq!((at(SENT_AT + 240), at(SENT_AT - 30)), (Ok(true), Ok(true)));
        assert_eq!(at(SENT_AT + 241), Err(Unauthorized::TooOld));
        assert_eq!(at(SENT_AT - 31), Err(Unauthorized::TooEarly));
        assert!(
            freshness::AGE_MAX + freshness::AHEAD_MAX < Duration::from_mins(5),
            "shorter than the deduplication interval of SQS"
        );
    }

    #[test]
    fn missing_header_or_invalid_timestamp_is_an_error() {
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut headers = headers(&[]);
            headers.remove(name);
            assert_eq!(
                SignedWebhook::parse(&headers, BODY, after(SENT_AT)).unwrap_err(),
                Unauthorized::Headers
            );
            headers.insert(name, http::HeaderValue::from_static(""));
            assert_eq!(
                SignedWebhook::parse(&headers, BODY, after(SENT_AT)).unwrap_err(),
                Unauthorized::Headers
            );
        }
        for timestamp in
            ["soon", "-1614265330", "+1614265330", "1614265330.0", "1e9", " ", "99999999999999999999999"]
        {
            assert_eq!(
                verify(&[(TIMESTAMP, timestamp)], BODY, SENT_AT),
                Err(Unauthorized::Headers),
                "{timestamp}"
            );
        }
        let last = u64::MAX.to_string();
        assert_eq!(verify(&[(TIMESTAMP, &last)], BODY, SENT_AT), Err(Unauthorized::TooEarly));
        assert_eq!(verify(&[(TIMESTAMP, "0")], BODY, SENT_AT), Err(Unauthorized::TooOld));
    }

    #[test]
    fn secret_has_the_prefix_and_a_key_of_24_to_64_bytes() {
        let secret = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        assert!(SigningKey::parse(&secret(24)).is_ok() && SigningKey::parse(&secret(64)).is_ok());
        for bytes in [0, 23, 65] {
            assert_eq!(SigningKey::parse(&secret(bytes)).unwrap_err(), SecretError::Length, "{bytes}");
        }
        for secret in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_not base64",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningKey::parse(secret).is_err(), "{secret}");
        }
        assert_eq!(format!("{:?}", key()), "SigningKey(redacted)");
    }
}
