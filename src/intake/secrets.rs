//! The live signing secrets: where they are kept, and how long what was read holds.
//!
//! A rotation is a change of the list in Secrets Manager and nothing else: it is read again every few minutes, and at once
//! when a signature matches no key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::sync::Mutex;
use tracing::{debug, error};

use super::signature::{SecretFault, SigningKey};
use crate::aws;
use crate::clock::{Clock, is_past};

/// How long a list that was read is used without another look: a secret that is taken off the list lives so much longer.
pub const REFRESH_AFTER: Duration = Duration::from_mins(5);

/// How long a list is used while it cannot be read again. Secrets Manager may be out of reach for a moment; but a secret
/// that was revoked together with the permission to read it must end, too.
pub const STALE_MAX: Duration = Duration::from_mins(15);

/// Time between two reads that failed.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Time between two reads that a wrong signature caused. Anybody can send one; a read costs money and quota.
pub const MISMATCH_READ_AFTER: Duration = Duration::from_secs(30);

/// Most secrets of a list. Every wrong signature is checked against each.
const SECRETS_MAX: usize = 10;

/// The keys of the live secrets.
pub type SigningKeys = Arc<[SigningKey]>;

/// The secrets cannot be read, and what was read before does not answer the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signing secrets cannot be read")]
pub struct SecretsUnavailable;

/// Why a read brought no keys. No secret is repeated.
#[derive(Debug, Error)]
enum ReadFault {
    #[error("GetSecretValue failed: {0}")]
    Aws(String),
    #[error("the secret has no text: it must be a JSON list of strings")]
    NoText,
    #[error("the secret is no JSON list of strings")]
    NoList,
    #[error("the list has {0} secrets, and {SECRETS_MAX} is the most")]
    TooMany(usize),
    #[error("secret number {number} of the list {fault}")]
    Secret { number: usize, fault: SecretFault },
}

/// The signing secrets in AWS Secrets Manager.
#[derive(Debug)]
pub struct SigningSecrets {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    cache: Mutex<Cache>,
}

impl SigningSecrets {
    /// The secrets of this ARN; nothing is read yet.
    #[must_use]
    pub fn new(client: aws_sdk_secretsmanager::Client, arn: String) -> Self {
        Self { client, arn, cache: Mutex::default() }
    }

    /// The keys, read anew if it is time.
    pub async fn current(&self, clock: &Clock) -> Result<SigningKeys, SecretsUnavailable> {
        let mut cache = self.cache.lock().await;
        if cache.is_read_due(clock.wall()) {
            self.read(&mut cache, clock).await;
        }
        cache.keys(clock.wall()).ok_or(SecretsUnavailable)
    }

    /// The keys, read anew because a signature matched none; `None` if that was done just now.
    ///
    /// While the list cannot be read, nobody knows whether the signature is wrong or the list is old.
    pub async fn after_mismatch(&self, clock: &Clock) -> Result<Option<SigningKeys>, SecretsUnavailable> {
        let mut cache = self.cache.lock().await;
        let is_read = cache.admit_mismatch_read(clock.wall());
        if is_read {
            self.read(&mut cache, clock).await;
        }
        if cache.is_failing() {
            return Err(SecretsUnavailable);
        }
        Ok(cache.keys(clock.wall()).filter(|_| is_read))
    }

    async fn read(&self, cache: &mut Cache, clock: &Clock) {
        let keys = self.fetch().await;
        let count = keys.as_ref().ok().map(|keys| keys.len());
        match &keys {
            Ok(_) => debug!(count, "signing secrets read"),
            Err(fault) => error!("the signing secrets cannot be read: {fault}"),
        }
        if count == Some(0) {
            error!("the list of signing secrets is empty: no webhook is let in");
        }
        cache.note(keys.ok(), clock.wall());
    }

    async fn fetch(&self) -> Result<SigningKeys, ReadFault> {
        let answer = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let answer = answer.map_err(|error| ReadFault::Aws(aws::cause(&error)))?;
        keys(answer.secret_string().ok_or(ReadFault::NoText)?)
    }
}

/// The keys in a secret's text. One that is not usable spoils the list: half a rotation is found when it is made, and not
/// when the old secret is taken off.
fn keys(text: &str) -> Result<SigningKeys, ReadFault> {
    let secrets: Vec<String> = serde_json::from_str(text).map_err(|_| ReadFault::NoList)?;
    if secrets.len() > SECRETS_MAX {
        return Err(ReadFault::TooMany(secrets.len()));
    }
    let key = |(index, secret): (usize, &String)| {
        SigningKey::parse(secret).map_err(|fault| ReadFault::Secret { number: index + 1, fault })
    };
    secrets.iter().enumerate().map(key).collect()
}

/// What was read and when. Pure: the time is an argument, and the wall clock's, because a process can be frozen for hours.
#[derive(Debug, Default)]
struct Cache {
    read: Option<(SigningKeys, SystemTime)>,
    tried_at: Option<SystemTime>,
    mismatch_read_at: Option<SystemTime>,
}

impl Cache {
    fn is_read_due(&self, now: SystemTime) -> bool {
        let is_old = self.read.as_ref().is_none_or(|(_, at)| is_past(*at, REFRESH_AFTER, now));
        is_old && self.tried_at.is_none_or(|at| is_past(at, RETRY_AFTER, now))
    }

    /// Whether a wrong signature may cause a read now; if so, it counts as caused.
    fn admit_mismatch_read(&mut self, now: SystemTime) -> bool {
        let is_admitted = if self.is_failing() {
            self.tried_at.is_none_or(|at| is_past(at, RETRY_AFTER, now))
        } else {
            self.mismatch_read_at.is_none_or(|at| is_past(at, MISMATCH_READ_AFTER, now))
        };
        if is_admitted {
            self.mismatch_read_at = Some(now);
        }
        is_admitted
    }

    /// Whether the last read failed.
    fn is_failing(&self) -> bool {
        self.tried_at != self.read.as_ref().map(|(_, at)| *at)
    }

    fn note(&mut self, keys: Option<SigningKeys>, now: SystemTime) {
        self.tried_at = Some(now);
        if let Some(keys) = keys {
            self.read = Some((keys, now));
        }
    }

    fn keys(&self, now: SystemTime) -> Option<SigningKeys> {
        self.read.as_ref().filter(|(_, at)| !is_past(*at, STALE_MAX, now)).map(|(keys, _)| Arc::clone(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn read_at(seconds: u64) -> Cache {
        let mut cache = Cache::default();
        cache.note(Some(keys(&format!("[\"{SECRET}\"]")).unwrap()), at(seconds));
        cache
    }

    #[test]
    fn a_list_is_read_at_first_and_after_five_minutes() {
        assert!(Cache::default().is_read_due(at(0)));
        let cache = read_at(0);
        assert!(!cache.is_read_due(at(299)) && cache.is_read_due(at(300)));
        assert!(cache.is_read_due(at(0) - Duration::from_secs(1)), "the clock was set back");
    }

    #[test]
    fn a_failed_read_is_repeated_after_ten_seconds_and_spoils_nothing() {
        let mut cache = read_at(0);
        cache.note(None, at(300));
        assert!(!cache.is_read_due(at(309)) && cache.is_read_due(at(310)));
        assert!(cache.keys(at(310)).is_some());
        let mut never_read = Cache::default();
        never_read.note(None, at(0));
        assert!(
            !never_read.is_read_due(at(9))
                && never_read.is_read_due(at(10))
                && never_read.keys(at(0)).is_none()
        );
    }

    #[test]
    fn what_cannot_be_read_again_ends_after_a_quarter_of_an_hour() {
        let cache = read_at(0);
        assert!(cache.keys(at(899)).is_some() && cache.keys(at(900)).is_none());
    }

    #[test]
    fn wrong_signatures_cause_a_read_twice_a_minute_at_most() {
        let mut cache = read_at(0);
        assert!(cache.admit_mismatch_read(at(1)), "at once, however fresh the list is");
        let admitted = (2..=61).filter(|second| cache.admit_mismatch_read(at(*second))).count();
        assert_eq!(admitted, 2);
    }

    #[test]
    fn after_a_failed_read_a_wrong_signature_causes_the_next_as_soon_as_any() {
        let mut cache = read_at(0);
        assert!(!cache.is_failing() && cache.admit_mismatch_read(at(1)));
        cache.note(None, at(1));
        assert!(cache.is_failing());
        assert!(!cache.admit_mismatch_read(at(10)) && cache.admit_mismatch_read(at(11)));
        cache.note(Some(keys("[]").unwrap()), at(11));
        assert!(
            !cache.is_failing() && !cache.admit_mismatch_read(at(40)) && cache.admit_mismatch_read(at(41))
        );
    }

    #[test]
    fn a_list_is_usable_as_a_whole_or_not_at_all() {
        assert_eq!(keys("[]").unwrap().len(), 0);
        assert_eq!(keys(&format!("[\"{SECRET}\", \"{SECRET}\"]")).unwrap().len(), 2);
        let many = serde_json::to_string(&[SECRET; 11]).unwrap();
        for (text, says) in [
            ("", "no JSON list"),
            (SECRET, "no JSON list"),
            ("{}", "no JSON list"),
            ("[1]", "no JSON list"),
            (many.as_str(), "11 secrets"),
            (&format!("[\"{SECRET}\", \"s3cret\"]"), "secret number 2 of the list must be whsec_ and base64"),
            ("[\"whsec_c2hvcnQ=\"]", "secret number 1 of the list must have a key of 24 to 64 bytes"),
        ] {
            let fault = keys(text).unwrap_err().to_string();
            assert!(fault.contains(says) && !fault.contains("s3cret"), "{fault}");
        }
    }
}
