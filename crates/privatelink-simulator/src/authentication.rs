//! Authenticates requests. The checks run in the order in which a caller can fix the errors: missing parts, access
//! key, session, time, signature, reuse of the nonce.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Request;

use crate::{
    call::{Call, header_of, missing},
    codes,
    ids::AccessKeyId,
    response::Refusal,
    seed::AccessKey,
    settings::Settings,
    signature::{Authorization, content_hash},
    wire_time::{acs_date, distance, later, parse_acs_date},
};

/// The maximum difference between a request's time and the server's time, in either direction.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(15);

/// How long a nonce is kept. A request is valid from 15 minutes before the server's time until 15 minutes after it.
const NONCE_LIFETIME: Duration = Duration::from_mins(31);

/// The maximum number of nonces kept. At 1,000 requests a second, 31 minutes would need 1.9 million.
const NONCES_MAX: usize = 2_000_000;

/// The maximum number of sessions kept; a memory bound that no test scenario reaches.
pub const SESSIONS_MAX: usize = 10_000;

/// The known access keys, and the nonces of the authenticated requests.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    pub(crate) access_keys: BTreeMap<AccessKeyId, AccessKey>,
    nonces: Nonces,
}

impl Authenticator {
    pub(crate) fn new(access_keys: Vec<AccessKey>) -> Self {
        let access_keys = access_keys.into_iter().map(|key| (key.access_key_id.clone(), key)).collect();
        Self { access_keys, nonces: Nonces::default() }
    }

    /// Adds the access key of a session. If there are too many sessions, the one that expires first is removed.
    pub(crate) fn add_session(&mut self, key: AccessKey) {
        let sessions = || self.access_keys.values().filter(|key| key.session.is_some());
        if sessions().count() >= SESSIONS_MAX {
            let first = sessions().min_by_key(|key| key.security_token_expires_at);
            let first = first.map(|key| key.access_key_id.clone());
            first.and_then(|id| self.access_keys.remove(&id));
        }
        self.access_keys.insert(key.access_key_id.clone(), key);
    }

    /// Returns the access key that signed this request. `now` is the server's own time.
    pub(crate) fn authenticate(
        &mut self,
        request: &Request<Bytes>,
        call: &Call,
        settings: &Settings,
        now: SystemTime,
    ) -> Result<AccessKey, Refusal> {
        let authorization = header_of(request, "authorization");
        let authorization = authorization.as_deref().and_then(Authorization::parse);
        if !settings.verify_signatures {
            let id = authorization.map(|authorization| AccessKeyId::from(authorization.access_key_id));
            let known = id.and_then(|id| self.access_keys.get(&id).cloned());
            return Ok(known.unwrap_or_else(AccessKey::anonymous));
        }
        let authorization = authorization.ok_or(codes::INCOMPLETE_SIGNATURE)?;
        let signed_headers = SignedHeaders::read(request)?;
        let key = self.access_key(&authorization.access_key_id)?;
        self.check_session(request, key, now)?;
        check_time(&signed_headers.date, now)?;
        if !authorization.signs_required_headers(request) {
            let message =
                "SignedHeaders must name host, every x-acs header, and content-type if it is present.";
            return Err(Refusal::with_message(codes::INCOMPLETE_SIGNATURE, message));
        }
        if signed_headers.content_hash != content_hash(request) {
            let message = "x-acs-content-sha256 is not the hash of the received body.";
            return Err(Refusal::with_message(codes::SIGNATURE_DOES_NOT_MATCH, message));
        }
        if !authorization.is_signed_with(&key.access_key_secret, request) {
            return Err(codes::SIGNATURE_DOES_NOT_MATCH.into());
        }
        let key = key.clone();
        if !self.nonces.is_new(call.nonce.as_deref().unwrap_or_default(), now) {
            return Err(codes::SIGNATURE_NONCE_USED.into());
        }
        Ok(key)
    }

    fn access_key(&self, id: &str) -> Result<&AccessKey, Refusal> {
        let key = self.access_keys.get(id).ok_or(codes::INVALID_ACCESS_KEY_ID_NOT_FOUND)?;
        if key.inactive {
            return Err(codes::INVALID_ACCESS_KEY_ID_INACTIVE.into());
        }
        Ok(key)
    }

    fn check_session(
        &self,
        request: &Request<Bytes>,
        key: &AccessKey,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let sent = header_of(request, "x-acs-security-token");
        match (&key.security_token, sent) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(codes::MISSING_SECURITY_TOKEN.into()),
            (Some(token), Some(sent)) if *token == sent => match key.security_token_expires_at {
                Some(end) if end <= now => Err(codes::INVALID_SECURITY_TOKEN_EXPIRED.into()),
                _ => Ok(()),
            },
            (_, Some(sent)) => {
                let known = self.access_keys.values().any(|key| key.security_token.as_ref() == Some(&sent));
                Err(if known {
                    codes::INVALID_SECURITY_TOKEN_MISMATCH.into()
                } else {
                    codes::INVALID_SECURITY_TOKEN_MALFORMED.into()
                })
            }
        }
    }
}

/// The required headers of a signed request.
struct SignedHeaders {
    date: String,
    content_hash: String,
}

impl SignedHeaders {
    fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let signed_headers = |header: &str, name: &str| {
            header_of(request, header).filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
        };
        signed_headers("x-acs-action", "Action")?;
        signed_headers("x-acs-version", "Version")?;
        signed_headers("x-acs-signature-nonce", "SignatureNonce")?;
        Ok(Self {
            date: signed_headers("x-acs-date", "Timestamp")?,
            content_hash: signed_headers("x-acs-content-sha256", "ContentSha256")?,
        })
    }
}

/// Checks that a request's own time is close to the server's.
pub(crate) fn check_time(date: &str, now: SystemTime) -> Result<(), Refusal> {
    let signed_headers = parse_acs_date(date).ok_or(codes::INVALID_TIME_STAMP_FORMAT)?;
    if distance(signed_headers, now) > CLOCK_SKEW_MAX {
        let message = format!("The request's time is {date}; the server's time is {}.", acs_date(now));
        return Err(Refusal::with_message(codes::INVALID_TIME_STAMP_EXPIRED, message));
    }
    Ok(())
}

/// The nonces of the last 31 minutes.
#[derive(Clone, Debug, Default)]
struct Nonces {
    known: HashSet<String>,
    order: VecDeque<(SystemTime, String)>,
}

impl Nonces {
    fn is_new(&mut self, nonce: &str, now: SystemTime) -> bool {
        while let Some((seen_at, oldest)) = self.order.front() {
            if self.order.len() < NONCES_MAX && later(*seen_at, NONCE_LIFETIME) >= now {
                break;
            }
            self.known.remove(oldest);
            self.order.pop_front();
        }
        if !self.known.insert(nonce.to_owned()) {
            return false;
        }
        self.order.push_back((now, nonce.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{seed::Session, signature::sign};

    #[test]
    fn signed_request_is_accepted_once() {
        let mut authenticator = authenticator();
        let request = signed("n-1", noon(), |_| {});
        assert_eq!(code(&mut authenticator, &request), None);
        assert_eq!(code(&mut authenticator, &request).as_deref(), Some("SignatureNonceUsed"));
        assert_eq!(code(&mut authenticator, &signed("n-2", noon(), |_| {})), None);
    }

    #[test]
    fn each_signature_error_has_its_code() {
        let error_of = |change: fn(&mut Request<Bytes>)| {
            code(&mut authenticator(), &signed("n", noon(), change)).unwrap()
        };
        assert_eq!(error_of(|r| drop(r.headers_mut().remove("x-acs-date"))), "MissingTimestamp");
        assert_eq!(
            error_of(|r| drop(r.headers_mut().remove("x-acs-signature-nonce"))),
            "MissingSignatureNonce"
        );
        assert_eq!(error_of(|r| set(r, "x-acs-date", "yesterday")), "InvalidTimeStamp.Format");
        assert_eq!(error_of(|r| set(r, "x-acs-security-token", "unknown")), "InvalidSecurityToken.Malformed");
        assert_eq!(
            error_of(|r| set(r, "x-acs-security-token", "token")),
            "InvalidSecurityToken.MismatchWithAccessKey"
        );

        let error_after_signing = |change: fn(&mut Request<Bytes>)| {
            let mut request = signed("n", noon(), |_| {});
            change(&mut request);
            code(&mut authenticator(), &request).unwrap()
        };
        assert_eq!(
            error_after_signing(|r| drop(r.headers_mut().remove("authorization"))),
            "IncompleteSignature"
        );
        assert_eq!(error_after_signing(|r| set(r, "x-acs-extra", "unsigned")), "IncompleteSignature");
        assert_eq!(
            error_after_signing(|r| *r.body_mut() = Bytes::from_static(b"x")),
            "SignatureDoesNotMatch"
        );
        assert_eq!(
            error_after_signing(|r| *r.uri_mut() = "/?RegionId=mars".parse().unwrap()),
            "SignatureDoesNotMatch"
        );
        let error_signed_by = |id: &str, secret: &str| {
            let mut request = signed("n", noon(), |_| {});
            sign(&mut request, id, secret);
            code(&mut authenticator(), &request)
        };
        assert_eq!(error_signed_by("id", "wrong").as_deref(), Some("SignatureDoesNotMatch"));
        assert_eq!(error_signed_by("missing", "secret").as_deref(), Some("InvalidAccessKeyId.NotFound"));
        assert_eq!(error_signed_by("inactive", "secret").as_deref(), Some("InvalidAccessKeyId.Inactive"));
        assert_eq!(error_signed_by("session", "secret").as_deref(), Some("MissingSecurityToken"));
    }

    #[test]
    fn clock_difference_above_fifteen_minutes_is_rejected() {
        let second = Duration::from_secs(1);
        for date in [noon() - CLOCK_SKEW_MAX, noon() + CLOCK_SKEW_MAX] {
            assert_eq!(code(&mut authenticator(), &signed("n", date, |_| {})), None);
        }
        for date in [noon() - CLOCK_SKEW_MAX - second, noon() + CLOCK_SKEW_MAX + second] {
            assert_eq!(
                code(&mut authenticator(), &signed("n", date, |_| {})).as_deref(),
                Some("InvalidTimeStamp.Expired")
            );
        }
    }

    #[test]
    fn session_ends_when_its_token_expires() {
        let mut authenticator = authenticator();
        let mut request = signed("n", noon(), |request| {
            set(request, "x-acs-security-token", "token");
        });
        sign(&mut request, "session", "secret");
        assert_eq!(code(&mut authenticator, &request), None);
        authenticator.access_keys.get_mut("session").unwrap().security_token_expires_at = Some(noon());
        assert_eq!(code(&mut authenticator, &request).as_deref(), Some("InvalidSecurityToken.Expired"));
    }

    #[test]
    fn session_that_expires_first_is_removed_at_the_limit() {
        let session = |number: usize, ends_in: Duration| {
            let (role_arn, session_name) = ("acs:ram::1:role/r".into(), "worker".to_owned());
            AccessKey {
                security_token_expires_at: Some(noon() + ends_in),
                session: Some(Session { role_arn, session_name, policy: None }),
                ..AccessKey::new(format!("STS.{number}"), "secret")
            }
        };
        let minute = Duration::from_mins(1);
        let mut access_keys: Vec<_> = (0..SESSIONS_MAX).map(|number| session(number, 2 * minute)).collect();
        access_keys[7] = session(7, minute);
        access_keys.push(AccessKey::default());
        let mut authenticator = Authenticator::new(access_keys);
        authenticator.add_session(session(SESSIONS_MAX, minute));
        assert_eq!(authenticator.access_keys.len(), SESSIONS_MAX + 1);
        let known = |id: String| authenticator.access_keys.contains_key(id.as_str());
        assert!(!known("STS.7".to_owned()) && known(format!("STS.{SESSIONS_MAX}")));
        assert!(known(AccessKey::default().access_key_id.to_string()));
    }

    fn authenticator() -> Authenticator {
        let session =
            AccessKey { security_token: Some("token".to_owned()), ..AccessKey::new("session", "secret") };
        let inactive = AccessKey { inactive: true, ..AccessKey::new("inactive", "secret") };
        Authenticator::new(vec![AccessKey::new("id", "secret"), session, inactive])
    }

    fn code(authenticator: &mut Authenticator, request: &Request<Bytes>) -> Option<String> {
        let authenticated =
            authenticator.authenticate(request, &Call::read(request), &Settings::default(), noon());
        authenticated.err().map(|refusal| refusal.code)
    }

    fn signed(nonce: &str, date: SystemTime, change: impl FnOnce(&mut Request<Bytes>)) -> Request<Bytes> {
        let mut request = Request::post("/?RegionId=eu-west-1")
            .header("host", "127.0.0.1:4010")
            .header("x-acs-action", "DescribeRegions")
            .header("x-acs-version", "2020-04-15")
            .header("x-acs-date", acs_date(date))
            .header("x-acs-signature-nonce", nonce)
            .body(Bytes::new())
            .unwrap();
        change(&mut request);
        sign(&mut request, "id", "secret");
        request
    }

    fn set(request: &mut Request<Bytes>, name: &'static str, value: &'static str) {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }

    fn noon() -> SystemTime {
        parse_acs_date("2026-01-02T12:00:00Z").unwrap()
    }
}
