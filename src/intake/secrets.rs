//! The signing secrets: reads them from Secrets Manager and caches them.
//!
//! To rotate a secret, change the list in Secrets Manager: the list is read again every few minutes, and at once when a
//! signature matches no secret. No secret enters a log or an error message.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::sync::Mutex;
use tracing::{debug, error};

use super::signature::{SecretError, SigningKey};
use crate::aws::AwsError;
use crate::clock::{Clock, is_past};
use crate::json::without_byte_order_mark;
use crate::telemetry;

/// How long a list stays in use before it is read again: a secret that was removed from the list is accepted so much
/// longer.
pub const REFRESH_AFTER: Duration = Duration::from_mins(5);

/// How long the last valid list stays in use while it cannot be read again: longer than a short outage of Secrets Manager,
/// and short enough to end a secret that was revoked together with the permission to read it.
pub const STALE_MAX: Duration = Duration::from_mins(15);

/// Time from a failed read to the next one.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Time between two reads that an unknown signature causes. Any caller can send one, and a read uses quota and costs money.
pub const MISMATCH_READ_AFTER: Duration = Duration::from_secs(30);

/// Maximum length of the list. Every wrong signature is checked against each secret.
const SECRETS_MAX: usize = 10;

/// The keys of the signing secrets.
pub type SigningKeys = Arc<[SigningKey]>;

/// The signing secrets cannot be read, and the cached list does not decide about the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signing secrets cannot be read")]
pub struct SecretsUnavailable;

/// Why a read returned no keys. No variant contains a secret.
#[derive(Debug, Error)]
enum ReadError {
    #[error("GetSecretValue failed")]
    Aws(#[source] AwsError),
    #[error("the secret has no text: it must be a JSON list of strings")]
    NoText,
    #[error("the secret is not a JSON list of strings")]
    NotAList,
    #[error("the list has {0} secrets; the maximum is {SECRETS_MAX}")]
    TooMany(usize),
    #[error("secret number {number} of the list {error}")]
    Secret { number: usize, error: SecretError },
}

/// The signing secrets in AWS Secrets Manager.
#[derive(Debug)]
pub struct SigningSecrets {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    cache: Mutex<Cache>,
}

impl SigningSecrets {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(client: aws_sdk_secretsmanager::Client, arn: String) -> Self {
        Self { client, arn, cache: Mutex::default() }
    }

    /// The keys, read again if it is time.
    pub async fn current(&self, clock: &Clock) -> Result<SigningKeys, SecretsUnavailable> {
        let mut cache = self.cache.lock().await;
        if cache.is_read_due(clock.wall()) {
            self.read(&mut cache, clock).await;
        }
        cache.keys(clock.wall()).ok_or(SecretsUnavailable)
    }

    /// The keys, read again because a signature matched none; `None` if such a read happened just before.
    ///
    /// While the list cannot be read this is an error: the signature may be wrong, or the cached list may be outdated.
    pub async fn after_mismatch(&self, clock: &Clock) -> Result<Option<SigningKeys>, SecretsUnavailable> {
        let mut cache = self.cache.lock().await;
        let is_read = cache.admit_mismatch_read(clock.wall());
        if is_read {
            self.read(&mut cache, clock).await;
        }
        if matches!(cache.state, CacheState::Failing { .. }) {
            return Err(SecretsUnavailable);
        }
        Ok(cache.keys(clock.wall()).filter(|_| is_read))
    }

    async fn read(&self, cache: &mut Cache, clock: &Clock) {
        match self.fetch().await {
            Ok(keys) => {
                debug!(count = keys.len(), "signing secrets read");
                if keys.is_empty() {
                    error!("the list of signing secrets is empty: every webhook is rejected");
                }
                cache.record_success(keys, clock.wall());
            }
            Err(error) => {
                error!("the signing secrets cannot be read: {}", telemetry::cause(&error));
                cache.record_failure(clock.wall());
            }
        }
    }

    async fn fetch(&self) -> Result<SigningKeys, ReadError> {
        let response = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let response = response.map_err(|error| ReadError::Aws(error.into()))?;
        parse_keys(response.secret_string().ok_or(ReadError::NoText)?)
    }
}

/// Parses the list. One unusable secret makes the whole list unusable, so that a mistake in a rotation shows when it is
/// made, and not when the old secret is removed.
fn parse_keys(text: &str) -> Result<SigningKeys, ReadError> {
    let list = serde_json::from_str(without_byte_order_mark(text));
    let secrets: Vec<String> = list.map_err(|_| ReadError::NotAList)?;
    if secrets.len() > SECRETS_MAX {
        return Err(ReadError::TooMany(secrets.len()));
    }
    let key = |(index, secret): (usize, &String)| {
        SigningKey::parse(secret).map_err(|error| ReadError::Secret { number: index + 1, error })
    };
    secrets.iter().enumerate().map(key).collect()
}

/// The cached list and when to read it. Pure: the caller passes the time of the wall clock, because a process can be frozen
/// for hours.
#[derive(Debug, Default)]
struct Cache {
    state: CacheState,
    /// The last read that an unknown signature caused.
    mismatch_read_at: Option<SystemTime>,
}

#[derive(Debug, Default)]
enum CacheState {
    /// The list was never read.
    #[default]
    Empty,
    /// The last read succeeded.
    Valid(CachedList),
    /// The last read failed. An earlier list stays in use until it is [`STALE_MAX`] old.
    Failing { failed_at: SystemTime, last: Option<CachedList> },
}

#[derive(Debug)]
struct CachedList {
    keys: SigningKeys,
    read_at: SystemTime,
}

impl Cache {
    fn is_read_due(&self, now: SystemTime) -> bool {
        let is_old = |list: &CachedList| is_past(list.read_at, REFRESH_AFTER, now);
        match &self.state {
            CacheState::Empty => true,
            CacheState::Valid(list) => is_old(list),
            CacheState::Failing { failed_at, last } => {
                last.as_ref().is_none_or(is_old) && is_past(*failed_at, RETRY_AFTER, now)
            }
        }
    }

    /// Whether an unknown signature may cause a read now. If so, the read is recorded.
    fn admit_mismatch_read(&mut self, now: SystemTime) -> bool {
        let is_admitted = match &self.state {
            CacheState::Failing { failed_at, .. } => is_past(*failed_at, RETRY_AFTER, now),
            CacheState::Empty | CacheState::Valid(_) => {
                self.mismatch_read_at.is_none_or(|at| is_past(at, MISMATCH_READ_AFTER, now))
            }
        };
        if is_admitted {
            self.mismatch_read_at = Some(now);
        }
        is_admitted
    }

    fn record_success(&mut self, keys: SigningKeys, now: SystemTime) {
        self.state = CacheState::Valid(CachedList { keys, read_at: now });
    }

    fn record_failure(&mut self, now: SystemTime) {
        let last = match std::mem::take(&mut self.state) {
            CacheState::Empty => None,
            CacheState::Valid(list) => Some(list),
            CacheState::Failing { last, .. } => last,
        };
        self.state = CacheState::Failing { failed_at: now, last };
    }

    fn keys(&self, now: SystemTime) -> Option<SigningKeys> {
        let list = match &self.state {
            CacheState::Empty => None,
            CacheState::Valid(list) => Some(list),
            CacheState::Failing { last, .. } => last.as_ref(),
        };
        list.filter(|list| !is_past(list.read_at, STALE_MAX, now)).map(|list| Arc::clone(&list.keys))
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
        cache.record_success(parse_keys(&format!("[\"{SECRET}\"]")).unwrap(), at(seconds));
        cache
    }

    fn is_failing(cache: &Cache) -> bool {
        matches!(cache.state, CacheState::Failing { .. })
    }

    #[test]
    fn list_is_read_at_first_and_after_five_minutes() {
        assert!(Cache::default().is_read_due(at(0)));
        let cache = read_at(0);
        assert!(!cache.is_read_due(at(299)));
        assert!(cache.is_read_due(at(300)));
        assert!(cache.is_read_due(at(0) - Duration::from_secs(1)), "the clock was set back");
    }

    #[test]
    fn failed_read_is_retried_after_ten_seconds_and_keeps_the_last_list() {
        let mut cache = read_at(0);
        cache.record_failure(at(300));
        assert!(!cache.is_read_due(at(309)));
        assert!(cache.is_read_due(at(310)));
        assert!(cache.keys(at(310)).is_some());
        let mut never_read = Cache::default();
        never_read.record_failure(at(0));
        assert!(!never_read.is_read_due(at(9)));
        assert!(never_read.is_read_due(at(10)));
        assert!(never_read.keys(at(0)).is_none());
    }

    #[test]
    fn failed_read_of_a_new_list_waits_until_that_list_is_five_minutes_old() {
        let mut cache = read_at(0);
        cache.record_failure(at(0));
        assert!(is_failing(&cache));
        assert!(!cache.is_read_due(at(299)));
        assert!(cache.is_read_due(at(300)));
    }

    #[test]
    fn list_that_cannot_be_read_again_ends_after_15_minutes() {
        let mut cache = read_at(0);
        assert!(cache.keys(at(899)).is_some());
        assert!(cache.keys(at(900)).is_none());
        cache.record_failure(at(880));
        cache.record_failure(at(890));
        assert!(cache.keys(at(899)).is_some());
        assert!(cache.keys(at(900)).is_none());
    }

    #[test]
    fn unknown_signatures_cause_at_most_two_reads_a_minute() {
        let mut cache = read_at(0);
        assert!(cache.admit_mismatch_read(at(1)), "at once, even if the list is new");
        let admitted = (2..=61).filter(|second| cache.admit_mismatch_read(at(*second))).count();
        assert_eq!(admitted, 2);
    }

    #[test]
    fn after_a_failed_read_an_unknown_signature_causes_a_read_after_ten_seconds() {
        let mut cache = read_at(0);
        assert!(!is_failing(&cache));
        assert!(cache.admit_mismatch_read(at(1)));
        cache.record_failure(at(1));
        assert!(is_failing(&cache));
        assert!(!cache.admit_mismatch_read(at(10)));
        assert!(cache.admit_mismatch_read(at(11)));
        cache.record_success(parse_keys("[]").unwrap(), at(11));
        assert!(!is_failing(&cache));
        assert!(!cache.admit_mismatch_read(at(40)));
        assert!(cache.admit_mismatch_read(at(41)));
    }

    #[test]
    fn list_with_one_unusable_secret_is_unusable() {
        assert_eq!(parse_keys("[]").unwrap().len(), 0);
        assert_eq!(parse_keys(&format!("[\"{SECRET}\", \"{SECRET}\"]")).unwrap().len(), 2);
        let with_mark = format!("\u{feff}[\"{SECRET}\"]");
        assert_eq!(parse_keys(&with_mark).unwrap().len(), 1, "a byte order mark is skipped");
        let many = serde_json::to_string(&[SECRET; 11]).unwrap();
        for (text, expected) in [
            ("", "not a JSON list"),
            (SECRET, "not a JSON list"),
            ("{}", "not a JSON list"),
            ("[1]", "not a JSON list"),
            (many.as_str(), "11 secrets"),
            (
                &format!("[\"{SECRET}\", \"s3cret\"]"),
                "secret number 2 of the list must be whsec_ followed by base64",
            ),
            ("[\"whsec_c2hvcnQ=\"]", "secret number 1 of the list must have a key of 24 to 64 bytes"),
        ] {
            let error = parse_keys(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn logged_chain_of_a_failed_read_names_its_cause() {
        let cause = Some("connection refused".into());
        let error = AwsError { code: "ConnectionLost".to_owned(), message: None, is_transient: true, cause };
        let shown = telemetry::cause(&ReadError::Aws(error));
        assert_eq!(shown, "GetSecretValue failed: ConnectionLost: connection refused");
    }
}
