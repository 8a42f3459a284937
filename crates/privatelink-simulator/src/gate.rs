//! Who is let in. The gate checks the parts of a signature in the order in which a caller can repair them: what is
//! missing, whose key, which session, what time, whether it was signed, and whether it was sent before.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Request;

use crate::{
    answer::Refusal,
    call::{Call, header_of, missing},
    codes,
    ids::AccessKeyId,
    seed::AccessKey,
    settings::Settings,
    signature::{Authorization, content_hash},
    wire_time::{acs_date, distance, later, parse_acs_date},
};

/// How far a request's time may be from the server's, either way.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(15);

/// How long a nonce is remembered: a request can be valid from 15 minutes before the server's time until 15 after.
const NONCE_KEPT: Duration = Duration::from_mins(31);

/// How many nonces are remembered: a thousand requests a second for as long as one counts would be 1.9 million.
const NONCES_MAX: usize = 2_000_000;

/// How many sessions' keys are kept: a bound for memory, beyond what any scenario asks for.
pub const SESSIONS_KEPT: usize = 10_000;

/// The keys, and the nonces of those who were let in.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) keys: BTreeMap<AccessKeyId, AccessKey>,
    nonces: Nonces,
}

impl Gate {
    pub(crate) fn new(keys: Vec<AccessKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.access_key_id.clone(), key)).collect();
        Self { keys, nonces: Nonces::default() }
    }

    /// Lets in the key of a session. Of too many sessions, the one that ends first is forgotten.
    pub(crate) fn add_session(&mut self, key: AccessKey) {
        let sessions = || self.keys.values().filter(|key| key.session.is_some());
        if sessions().count() >= SESSIONS_KEPT {
            let first = sessions().min_by_key(|key| key.security_token_expires_at);
            let first = first.map(|key| key.access_key_id.clone());
            first.and_then(|id| self.keys.remove(&id));
        }
        self.keys.insert(key.access_key_id.clone(), key);
    }

    /// The key that signed this request. `now` is the server's own time.
    pub(crate) fn admit(
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
            let known = id.and_then(|id| self.keys.get(&id).cloned());
            return Ok(known.unwrap_or_else(AccessKey::anonymous));
        }
        let authorization = authorization.ok_or(codes::INCOMPLETE_SIGNATURE)?;
        let stated = Stated::read(request)?;
        let key = self.owner(&authorization.access_key_id)?;
        self.check_session(request, key, now)?;
        check_time(&stated.date, now)?;
        if !authorization.covers(request) {
            let message =
                "SignedHeaders must name host, every x-acs header, and content-type if there is one.";
            return Err(Refusal::because(codes::INCOMPLETE_SIGNATURE, message));
        }
        if stated.content_hash != content_hash(request) {
            let message = "x-acs-content-sha256 is not the hash of the body that arrived.";
            return Err(Refusal::because(codes::SIGNATURE_DOES_NOT_MATCH, message));
        }
        if !authorization.is_by(&key.access_key_secret, request) {
            return Err(codes::SIGNATURE_DOES_NOT_MATCH.into());
        }
        let key = key.clone();
        if !self.nonces.is_new(call.nonce.as_deref().unwrap_or_default(), now) {
            return Err(codes::SIGNATURE_NONCE_USED.into());
        }
        Ok(key)
    }

    fn owner(&self, id: &str) -> Result<&AccessKey, Refusal> {
        let key = self.keys.get(id).ok_or(codes::INVALID_ACCESS_KEY_ID_NOT_FOUND)?;
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
        let brought = header_of(request, "x-acs-security-token");
        match (&key.security_token, brought) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(codes::MISSING_SECURITY_TOKEN.into()),
            (Some(token), Some(brought)) if *token == brought => match key.security_token_expires_at {
                Some(end) if end <= now => Err(codes::INVALID_SECURITY_TOKEN_EXPIRED.into()),
                _ => Ok(()),
            },
            (_, Some(brought)) => {
                let known = self.keys.values().any(|key| key.security_token.as_ref() == Some(&brought));
                Err(if known {
                    codes::INVALID_SECURITY_TOKEN_MISMATCH.into()
                } else {
                    codes::INVALID_SECURITY_TOKEN_MALFORMED.into()
                })
            }
        }
    }
}

/// The headers that every signed request states.
struct Stated {
    date: String,
    content_hash: String,
}

impl Stated {
    fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let stated = |header: &str, name: &str| {
            header_of(request, header).filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
        };
        stated("x-acs-action", "Action")?;
        stated("x-acs-version", "Version")?;
        stated("x-acs-signature-nonce", "SignatureNonce")?;
        Ok(Self {
            date: stated("x-acs-date", "Timestamp")?,
            content_hash: stated("x-acs-content-sha256", "ContentSha256")?,
        })
    }
}

/// Whether a request's own time is near the server's.
pub(crate) fn check_time(date: &str, now: SystemTime) -> Result<(), Refusal> {
    let stated = parse_acs_date(date).ok_or(codes::INVALID_TIME_STAMP_FORMAT)?;
    if distance(stated, now) > CLOCK_SKEW_MAX {
        let message = format!("The request says {date}, and the server's time is {}.", acs_date(now));
        return Err(Refusal::because(codes::INVALID_TIME_STAMP_EXPIRED, message));
    }
    Ok(())
}

/// The nonces of the last half hour.
#[derive(Clone, Debug, Default)]
struct Nonces {
    seen: HashSet<String>,
    order: VecDeque<(SystemTime, String)>,
}

impl Nonces {
    fn is_new(&mut self, nonce: &str, now: SystemTime) -> bool {
        while let Some((seen_at, oldest)) = self.order.front() {
            if self.order.len() < NONCES_MAX && later(*seen_at, NONCE_KEPT) >= now {
                break;
            }
            self.seen.remove(oldest);
            self.order.pop_front();
        }
        if !self.seen.insert(nonce.to_owned()) {
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
    fn a_well_signed_request_is_let_in_once() {
        let mut gate = gate();
        let request = signed("n-1", noon(), |_| {});
        assert_eq!(code(&mut gate, &request), None);
        assert_eq!(code(&mut gate, &request).as_deref(), Some("SignatureNonceUsed"));
        assert_eq!(code(&mut gate, &signed("n-2", noon(), |_| {})), None);
    }

    #[test]
    fn each_flaw_has_its_code() {
        let flaw = |change: fn(&mut Request<Bytes>)| code(&mut gate(), &signed("n", noon(), change)).unwrap();
        assert_eq!(flaw(|r| drop(r.headers_mut().remove("x-acs-date"))), "MissingTimestamp");
        assert_eq!(flaw(|r| drop(r.headers_mut().remove("x-acs-signature-nonce"))), "MissingSignatureNonce");
        assert_eq!(flaw(|r| set(r, "x-acs-date", "yesterday")), "InvalidTimeStamp.Format");
        assert_eq!(flaw(|r| set(r, "x-acs-security-token", "unheard of")), "InvalidSecurityToken.Malformed");
        assert_eq!(
            flaw(|r| set(r, "x-acs-security-token", "token")),
            "InvalidSecurityToken.MismatchWithAccessKey"
        );

        let broken = |change: fn(&mut Request<Bytes>)| {
            let mut request = signed("n", noon(), |_| {});
            change(&mut request);
            code(&mut gate(), &request).unwrap()
        };
        assert_eq!(broken(|r| drop(r.headers_mut().remove("authorization"))), "IncompleteSignature");
        assert_eq!(broken(|r| set(r, "x-acs-extra", "unsigned")), "IncompleteSignature");
        assert_eq!(broken(|r| *r.body_mut() = Bytes::from_static(b"x")), "SignatureDoesNotMatch");
        assert_eq!(broken(|r| *r.uri_mut() = "/?RegionId=mars".parse().unwrap()), "SignatureDoesNotMatch");
        let resigned = |id: &str, secret: &str| {
            let mut request = signed("n", noon(), |_| {});
            sign(&mut request, id, secret);
            code(&mut gate(), &request)
        };
        assert_eq!(resigned("id", "wrong").as_deref(), Some("SignatureDoesNotMatch"));
        assert_eq!(resigned("nobody", "secret").as_deref(), Some("InvalidAccessKeyId.NotFound"));
        assert_eq!(resigned("asleep", "secret").as_deref(), Some("InvalidAccessKeyId.Inactive"));
        assert_eq!(resigned("session", "secret").as_deref(), Some("MissingSecurityToken"));
    }

    #[test]
    fn fifteen_minutes_are_let_through_and_a_second_more_is_not() {
        let second = Duration::from_secs(1);
        for date in [noon() - CLOCK_SKEW_MAX, noon() + CLOCK_SKEW_MAX] {
            assert_eq!(code(&mut gate(), &signed("n", date, |_| {})), None);
        }
        for date in [noon() - CLOCK_SKEW_MAX - second, noon() + CLOCK_SKEW_MAX + second] {
            assert_eq!(
                code(&mut gate(), &signed("n", date, |_| {})).as_deref(),
                Some("InvalidTimeStamp.Expired")
            );
        }
    }

    #[test]
    fn a_session_ends_when_its_token_expires() {
        let mut gate = gate();
        let mut request = signed("n", noon(), |request| {
            set(request, "x-acs-security-token", "token");
        });
        sign(&mut request, "session", "secret");
        assert_eq!(code(&mut gate, &request), None);
        gate.keys.get_mut("session").unwrap().security_token_expires_at = Some(noon());
        assert_eq!(code(&mut gate, &request).as_deref(), Some("InvalidSecurityToken.Expired"));
    }

    #[test]
    fn of_too_many_sessions_the_first_to_end_is_forgotten() {
        let session = |number: usize, ends_in: Duration| {
            let (role_arn, session_name) = ("acs:ram::1:role/r".into(), "worker".to_owned());
            AccessKey {
                security_token_expires_at: Some(noon() + ends_in),
                session: Some(Session { role_arn, session_name, policy: None }),
                ..AccessKey::new(format!("STS.{number}"), "secret")
            }
        };
        let minute = Duration::from_mins(1);
        let mut keys: Vec<_> = (0..SESSIONS_KEPT).map(|number| session(number, 2 * minute)).collect();
        keys[7] = session(7, minute);
        keys.push(AccessKey::default());
        let mut gate = Gate::new(keys);
        gate.add_session(session(SESSIONS_KEPT, minute));
        assert_eq!(gate.keys.len(), SESSIONS_KEPT + 1);
        let known = |id: String| gate.keys.contains_key(id.as_str());
        assert!(!known("STS.7".to_owned()) && known(format!("STS.{SESSIONS_KEPT}")));
        assert!(known(AccessKey::default().access_key_id.to_string()));
    }

    fn gate() -> Gate {
        let session =
            AccessKey { security_token: Some("token".to_owned()), ..AccessKey::new("session", "secret") };
        let asleep = AccessKey { inactive: true, ..AccessKey::new("asleep", "secret") };
        Gate::new(vec![AccessKey::new("id", "secret"), session, asleep])
    }

    fn code(gate: &mut Gate, request: &Request<Bytes>) -> Option<String> {
        let admitted = gate.admit(request, &Call::read(request), &Settings::default(), noon());
        admitted.err().map(|refusal| refusal.code)
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
