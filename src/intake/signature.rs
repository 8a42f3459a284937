//! Signatures of the Standard Webhooks scheme, version `v1`: HMAC-SHA256 over `{id}.{timestamp}.{body}`.
//!
//! Pure: headers, bytes, keys and the time in, a verdict out. The scheme's own crate is not used here because it reads
//! the clock itself, with a tolerance that a replay would outlive the queue's memory by; the tests sign with it.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use thiserror::Error;

/// The scheme's name in a challenge.
pub const SCHEME: &str = "StandardWebhooks";

/// The header that names the webhook; a repeated delivery has the same.
pub const ID: &str = "webhook-id";

/// The header with the time of sending, in seconds since 1970.
const TIMESTAMP: &str = "webhook-timestamp";

/// The header with the signatures.
const SIGNATURE: &str = "webhook-signature";

/// How long ago a webhook may have been sent. Together with [`AHEAD_MAX`] it is less than the five minutes for which the
/// queue remembers a deduplication id: a recorded webhook that is sent again either comes too late or enqueues nothing, unless
/// its own sender had sent it again, too.
pub const AGE_MAX: Duration = Duration::from_mins(4);

/// How far a sender's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_secs(30);

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// Bytes of a key, as the scheme's specification has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// One live signing secret.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

/// What is wrong with a secret; it completes the sentence "the secret …" and does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretFault {
    /// It has no prefix, or is no base64.
    #[error("must be whsec_ and base64")]
    Encoding,
    /// Its key is too short to be secret, or too long to be one.
    #[error("must have a key of {} to {} bytes", KEY_BYTES.start(), KEY_BYTES.end())]
    Length,
}

impl SigningKey {
    /// The key in a secret.
    pub fn parse(secret: &str) -> Result<Self, SecretFault> {
        let base64 = secret.strip_prefix(SECRET_PREFIX).ok_or(SecretFault::Encoding)?;
        let key = BASE64_STANDARD.decode(base64).map_err(|_| SecretFault::Encoding)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SecretFault::Length);
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| SecretFault::Length)
    }
}

/// Why a webhook is not let in. For the log: whoever sent it is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unauthorized {
    /// A header of the scheme is missing or makes no sense.
    #[error("a header of the signature is missing or unreadable")]
    Headers,
    /// It was sent too long ago.
    #[error("the timestamp is too old")]
    TooOld,
    /// It was sent in the future.
    #[error("the timestamp is too far ahead")]
    TooEarly,
    /// No live secret made any of its signatures.
    #[error("no signature matches")]
    NoMatch,
    /// It came neither signed nor with an identity that AWS has checked, and this deployment asks for the second.
    #[error("AWS IAM authorised nobody")]
    NoIdentity,
}

/// A webhook that carries signatures, sent at a time that is acceptable.
#[derive(Debug)]
pub struct Signed<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: Vec<[u8; 32]>,
    body: &'a [u8],
}

impl<'a> Signed<'a> {
    /// The webhook with these headers and this body, as both were received.
    pub fn read(headers: &'a HeaderMap, body: &'a [u8], now: SystemTime) -> Result<Self, Unauthorized> {
        let header = |name: &str| {
            let text = headers.get(name).and_then(|value| value.to_str().ok());
            text.filter(|text| !text.is_empty()).ok_or(Unauthorized::Headers)
        };
        let (id, timestamp) = (header(ID)?, header(TIMESTAMP)?);
        check_time(timestamp, now)?;
        let signatures: Vec<_> = header(SIGNATURE)?.split(' ').filter_map(signature).collect();
        if signatures.is_empty() {
            return Err(Unauthorized::Headers);
        }
        Ok(Self { id, timestamp, signatures, body })
    }

    /// The name that its sender gave it.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// Whether one of the keys made one of the signatures. Each comparison takes the same time wherever they differ.
    #[must_use]
    pub fn is_by_any(&self, keys: &[SigningKey]) -> bool {
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

/// The bytes of one entry of the signature header, if it is of this version.
fn signature(entry: &str) -> Option<[u8; 32]> {
    let base64 = entry.strip_prefix("v1,")?;
    BASE64_STANDARD.decode(base64).ok()?.try_into().ok()
}

fn check_time(timestamp: &str, now: SystemTime) -> Result<(), Unauthorized> {
    let is_number = timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds = timestamp.parse().ok().filter(|_| is_number).ok_or(Unauthorized::Headers)?;
    let sent_at =
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Unauthorized::TooEarly)?;
    match now.duration_since(sent_at) {
        Ok(age) if age > AGE_MAX => Err(Unauthorized::TooOld),
        Err(ahead) if ahead.duration() > AHEAD_MAX => Err(Unauthorized::TooEarly),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SENT_AT: u64 = 1_614_265_330;

    /// The signature that the scheme's reference libraries publish for this id, time, body and secret.
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

    fn verdict(changes: &[(&'static str, &str)], body: &[u8], now: u64) -> Result<bool, Unauthorized> {
        let headers = headers(changes);
        Signed::read(&headers, body, after(now)).map(|signed| signed.is_by_any(&[key()]))
    }

    #[test]
    fn published_vectors_pass() {
        assert_eq!(verdict(&[], BODY, SENT_AT), Ok(true));
        let others = [
            (ID, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            (TIMESTAMP, "1649367553"),
            (SIGNATURE, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ];
        let headers = headers(&others);
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = Signed::read(&headers, body, after(1_649_367_553)).unwrap();
        assert!(
            signed.is_by_any(&[key(), SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()])
        );
        assert!(!signed.is_by_any(&[key()]) && !signed.is_by_any(&[]));
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
            assert_eq!(verdict(&[(SIGNATURE, &header)], BODY, SENT_AT), Ok(passes), "{header}");
        }
    }

    #[test]
    fn whatever_is_signed_is_covered_by_the_signature() {
        assert_eq!(verdict(&[(ID, "msg_p5jXN8AQM9LWM0D4loKWxJel")], BODY, SENT_AT), Ok(false));
        assert_eq!(verdict(&[(TIMESTAMP, "1614265331")], BODY, SENT_AT), Ok(false));
        assert_eq!(
            verdict(&[(TIMESTAMP, "01614265330")], BODY, SENT_AT),
            Ok(false),
            "the same time, written otherwise"
        );
        for body in
            [&BODY[1..], &BODY[..BODY.len() - 1], br#"{"test":2432232314}"#, br#"{"test": 2432232315}"#, b""]
        {
            assert_eq!(verdict(&[], body, SENT_AT), Ok(false), "{body:?}");
        }
    }

    #[test]
    fn a_signature_that_is_cut_or_encoded_otherwise_is_none() {
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
            &format!("{PUBLISHED},{PUBLISHED}"),
        ] {
            assert_eq!(
                verdict(&[(SIGNATURE, header)], BODY, SENT_AT),
                Err(Unauthorized::Headers),
                "{header}"
            );
        }
    }

    #[test]
    fn the_tolerance_is_four_minutes_back_and_thirty_seconds_ahead() {
        let at = |now| verdict(&[], BODY, now);
        assert_eq!((at(SENT_AT + 240), at(SENT_AT - 30)), (Ok(true), Ok(true)));
        assert_eq!(at(SENT_AT + 241), Err(Unauthorized::TooOld));
        assert_eq!(at(SENT_AT - 31), Err(Unauthorized::TooEarly));
        assert!(AGE_MAX + AHEAD_MAX < Duration::from_mins(5), "the queue's memory outlives every replay");
    }

    #[test]
    fn a_header_that_is_missing_or_no_time_is_no_signature() {
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut headers = headers(&[]);
            headers.remove(name);
            assert_eq!(Signed::read(&headers, BODY, after(SENT_AT)).unwrap_err(), Unauthorized::Headers);
            headers.insert(name, http::HeaderValue::from_static(""));
            assert_eq!(Signed::read(&headers, BODY, after(SENT_AT)).unwrap_err(), Unauthorized::Headers);
        }
        for timestamp in
            ["soon", "-1614265330", "+1614265330", "1614265330.0", "1e9", " ", "99999999999999999999999"]
        {
            assert_eq!(
                verdict(&[(TIMESTAMP, timestamp)], BODY, SENT_AT),
                Err(Unauthorized::Headers),
                "{timestamp}"
            );
        }
        let last = u64::MAX.to_string();
        assert_eq!(verdict(&[(TIMESTAMP, &last)], BODY, SENT_AT), Err(Unauthorized::TooEarly));
        assert_eq!(verdict(&[(TIMESTAMP, "0")], BODY, SENT_AT), Err(Unauthorized::TooOld));
    }

    #[test]
    fn a_secret_has_its_prefix_and_a_key_of_a_secrets_length() {
        let secret = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        assert!(SigningKey::parse(&secret(24)).is_ok() && SigningKey::parse(&secret(64)).is_ok());
        for bytes in [0, 23, 65] {
            assert_eq!(SigningKey::parse(&secret(bytes)).unwrap_err(), SecretFault::Length, "{bytes}");
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
