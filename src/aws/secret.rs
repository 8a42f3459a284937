//! Secrets in AWS Secrets Manager: reads a secret, parses it, and caches the parsed value.
//!
//! A rotation changes the secret and needs no deployment: the secret is read again every few minutes, and at once when the
//! cached value does not verify a signature. No part of a secret enters a log or an error message.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tokio::sync::Mutex;
use tracing::{debug, error};

use super::AwsError;
use crate::clock::{Clock, is_past};
use crate::json::without_byte_order_mark;
use crate::telemetry;

/// How long a value stays in use before the secret is read again: a key that was removed from the secret is accepted so
/// much longer.
pub const REFRESH_AFTER: Duration = Duration::from_mins(5);

/// How long the last valid value stays in use while the secret cannot be read again: longer than a short outage of Secrets
/// Manager, and short enough to end a key that was revoked together with the permission to read it.
pub const STALE_MAX: Duration = Duration::from_mins(15);

/// Time from a failed read to the next one.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Longest time of a read for a caller whose time is short, while a cached value is usable: the rest of that time is for
/// what the caller needs the value for. A healthy Secrets Manager responds within a tenth of it.
pub const READ_TIME_WITH_VALUE: Duration = Duration::from_millis(500);

/// Time between two reads that an unknown signature causes. Any caller can send one, and a read uses quota and costs money.
pub const MISMATCH_READ_AFTER: Duration = Duration::from_secs(30);

/// What the text of a secret contains.
pub trait SecretValue: Sized {
    /// Why a text is not usable. `Display` is one clause that does not quote the text.
    type Error: std::error::Error;

    /// What log lines call the secret, in the plural.
    const NAME: &'static str;

    /// Parses the text, which has no byte order mark. One unusable part makes the whole text unusable, so that a mistake in
    /// a rotation shows when it is made, and not when the old part is removed.
    fn parse(text: &str) -> Result<Self, Self::Error>;

    /// What a value that contains nothing leads to, as a log line; `None` for every other value.
    fn emptiness(&self) -> Option<&'static str> {
        None
    }
}

/// The secret cannot be read, and the cached value is too old or does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the secret cannot be read")]
pub struct SecretUnavailable;

/// Why a read returned no value. No variant contains a secret.
#[derive(Debug, Error)]
enum ReadError<E: std::error::Error> {
    #[error("GetSecretValue failed")]
    Aws(#[source] AwsError),
    #[error("Secrets Manager did not respond within {:.1} s", .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("the secret has no text")]
    NoText,
    #[error(transparent)]
    Unusable(E),
}

/// One secret in AWS Secrets Manager.
#[derive(Debug)]
pub struct Secret<V> {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    cache: Mutex<Cache<V>>,
}

impl<V: SecretValue> Secret<V> {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(client: aws_sdk_secretsmanager::Client, arn: String) -> Self {
        Self { client, arn, cache: Mutex::new(Cache::new()) }
    }

    /// The value, read again if it is time.
    pub async fn current(&self, clock: &Clock) -> Result<Arc<V>, SecretUnavailable> {
        self.current_within(None, clock).await
    }

    /// As [`Self::current`], for a caller that needs the value by then.
    ///
    /// A read ends then, and after [`READ_TIME_WITH_VALUE`] while a cached value is usable. A read that is ended counts as a
    /// failed one.
    pub async fn current_by(&self, until: Instant, clock: &Clock) -> Result<Arc<V>, SecretUnavailable> {
        self.current_within(Some(until), clock).await
    }

    /// The value, read again because a signature matched no key in it; `None` if such a read happened just before.
    ///
    /// While the secret cannot be read this is an error: the signature may be wrong, or the cached value may be outdated.
    pub async fn after_mismatch(&self, clock: &Clock) -> Result<Option<Arc<V>>, SecretUnavailable> {
        self.after_mismatch_within(None, clock).await
    }

    /// As [`Self::after_mismatch`], with the time limit of [`Self::current_by`].
    pub async fn after_mismatch_by(
        &self,
        until: Instant,
        clock: &Clock,
    ) -> Result<Option<Arc<V>>, SecretUnavailable> {
        self.after_mismatch_within(Some(until), clock).await
    }

    async fn current_within(
        &self,
        until: Option<Instant>,
        clock: &Clock,
    ) -> Result<Arc<V>, SecretUnavailable> {
        let mut cache = self.cache.lock().await;
        if cache.is_read_due(clock.wall()) {
            self.read(&mut cache, until, clock).await;
        }
        cache.value(clock.wall()).ok_or(SecretUnavailable)
    }

    async fn after_mismatch_within(
        &self,
        until: Option<Instant>,
        clock: &Clock,
    ) -> Result<Option<Arc<V>>, SecretUnavailable> {
        let mut cache = self.cache.lock().await;
        let is_read = cache.is_mismatch_read_due(clock.wall());
        if is_read {
            self.read(&mut cache, until, clock).await;
            cache.record_mismatch_read(clock.wall());
        }
        if matches!(cache.state, CacheState::Failing { .. }) {
            return Err(SecretUnavailable);
        }
        Ok(cache.value(clock.wall()).filter(|_| is_read))
    }

    /// Reads the secret and records the result. A caller that drops this future records nothing: the next call reads again.
    async fn read(&self, cache: &mut Cache<V>, until: Option<Instant>, clock: &Clock) {
        // Boxed: the futures of the SDK are large.
        let fetch = Box::pin(self.fetch());
        let result = match until {
            None => fetch.await,
            Some(until) => {
                let has_value = cache.value(clock.wall()).is_some();
                let longest = clock.now() + READ_TIME_WITH_VALUE;
                let until = if has_value { until.min(longest) } else { until };
                let time = clock.left(until);
                clock.by(until, fetch).await.unwrap_or(Err(ReadError::TooSlow(time)))
            }
        };
        match result {
            Ok(value) => {
                debug!("{} read", V::NAME);
                if let Some(consequence) = value.emptiness() {
                    error!("{consequence}");
                }
                cache.record_success(value, clock.wall());
            }
            Err(error) => {
                error!("the {} cannot be read: {}", V::NAME, telemetry::cause(&error));
                cache.record_failure(clock.wall());
            }
        }
    }

    async fn fetch(&self) -> Result<V, ReadError<V::Error>> {
        let response = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let response = response.map_err(|error| ReadError::Aws(error.into()))?;
        let text = response.secret_string().ok_or(ReadError::NoText)?;
        V::parse(without_byte_order_mark(text)).map_err(ReadError::Unusable)
    }
}

/// The cached value and when to read the secret. Pure: the caller passes the time of the wall clock, because a process can
/// be frozen for hours.
#[derive(Debug)]
struct Cache<V> {
    state: CacheState<V>,
    /// The last read that an unknown signature caused.
    mismatch_read_at: Option<SystemTime>,
}

#[derive(Debug)]
enum CacheState<V> {
    /// The secret was never read.
    Empty,
    /// The last read succeeded.
    Valid(CachedValue<V>),
    /// The last read failed. An earlier value stays in use until it is [`STALE_MAX`] old.
    Failing { failed_at: SystemTime, last: Option<CachedValue<V>> },
}

#[derive(Debug)]
struct CachedValue<V> {
    value: Arc<V>,
    read_at: SystemTime,
}

impl<V> Cache<V> {
    fn new() -> Self {
        Self { state: CacheState::Empty, mismatch_read_at: None }
    }

    fn is_read_due(&self, now: SystemTime) -> bool {
        let is_old = |cached: &CachedValue<V>| is_past(cached.read_at, REFRESH_AFTER, now);
        match &self.state {
            CacheState::Empty => true,
            CacheState::Valid(cached) => is_old(cached),
            CacheState::Failing { failed_at, last } => {
                last.as_ref().is_none_or(is_old) && is_past(*failed_at, RETRY_AFTER, now)
            }
        }
    }

    /// Whether an unknown signature may cause a read now.
    fn is_mismatch_read_due(&self, now: SystemTime) -> bool {
        match &self.state {
            CacheState::Failing { failed_at, .. } => is_past(*failed_at, RETRY_AFTER, now),
            CacheState::Empty | CacheState::Valid(_) => {
                self.mismatch_read_at.is_none_or(|at| is_past(at, MISMATCH_READ_AFTER, now))
            }
        }
    }

    /// Records that a read was caused by an unknown signature. Its result is recorded before.
    fn record_mismatch_read(&mut self, now: SystemTime) {
        self.mismatch_read_at = Some(now);
    }

    fn record_success(&mut self, value: V, now: SystemTime) {
        self.state = CacheState::Valid(CachedValue { value: Arc::new(value), read_at: now });
    }

    fn record_failure(&mut self, now: SystemTime) {
        let last = match std::mem::replace(&mut self.state, CacheState::Empty) {
            CacheState::Empty => None,
            CacheState::Valid(cached) => Some(cached),
            CacheState::Failing { last, .. } => last,
        };
        self.state = CacheState::Failing { failed_at: now, last };
    }

    fn value(&self, now: SystemTime) -> Option<Arc<V>> {
        let cached = match &self.state {
            CacheState::Empty => None,
            CacheState::Valid(cached) => Some(cached),
            CacheState::Failing { last, .. } => last.as_ref(),
        };
        let is_usable = |cached: &&CachedValue<V>| !is_past(cached.read_at, STALE_MAX, now);
        cached.filter(is_usable).map(|cached| Arc::clone(&cached.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn read_at(seconds: u64) -> Cache<()> {
        let mut cache = Cache::new();
        cache.record_success((), at(seconds));
        cache
    }

    fn is_failing(cache: &Cache<()>) -> bool {
        matches!(cache.state, CacheState::Failing { .. })
    }

    #[test]
    fn secret_is_read_at_first_and_after_five_minutes() {
        assert!(Cache::<()>::new().is_read_due(at(0)));
        let cache = read_at(0);
        assert!(!cache.is_read_due(at(299)));
        assert!(cache.is_read_due(at(300)));
        assert!(cache.is_read_due(at(0) - Duration::from_secs(1)), "the clock was set back");
    }

    #[test]
    fn failed_read_is_retried_after_ten_seconds_and_keeps_the_last_value() {
        let mut cache = read_at(0);
        cache.record_failure(at(300));
        assert!(!cache.is_read_due(at(309)));
        assert!(cache.is_read_due(at(310)));
        assert!(cache.value(at(310)).is_some());
        let mut never_read = Cache::<()>::new();
        never_read.record_failure(at(0));
        assert!(!never_read.is_read_due(at(9)));
        assert!(never_read.is_read_due(at(10)));
        assert!(never_read.value(at(0)).is_none());
    }

    #[test]
    fn failed_read_of_a_new_value_waits_until_that_value_is_five_minutes_old() {
        let mut cache = read_at(0);
        cache.record_failure(at(0));
        assert!(is_failing(&cache));
        assert!(!cache.is_read_due(at(299)));
        assert!(cache.is_read_due(at(300)));
    }

    #[test]
    fn value_that_cannot_be_read_again_ends_after_15_minutes() {
        let mut cache = read_at(0);
        assert!(cache.value(at(899)).is_some());
        assert!(cache.value(at(900)).is_none());
        cache.record_failure(at(880));
        cache.record_failure(at(890));
        assert!(cache.value(at(899)).is_some());
        assert!(cache.value(at(900)).is_none());
    }

    #[test]
    fn unknown_signatures_cause_at_most_two_reads_a_minute() {
        let mut cache = read_at(0);
        assert!(cache.is_mismatch_read_due(at(1)), "at once, even if the value is new");
        cache.record_mismatch_read(at(1));
        let mut read = |second: &u64| {
            let is_due = cache.is_mismatch_read_due(at(*second));
            if is_due {
                cache.record_mismatch_read(at(*second));
            }
            is_due
        };
        assert_eq!((2..=61).filter(|second| read(second)).collect::<Vec<_>>(), [31, 61]);
    }

    #[test]
    fn after_a_failed_read_an_unknown_signature_causes_a_read_after_ten_seconds() {
        let mut cache = read_at(0);
        assert!(!is_failing(&cache));
        assert!(cache.is_mismatch_read_due(at(1)));
        cache.record_failure(at(1));
        cache.record_mismatch_read(at(1));
        assert!(is_failing(&cache));
        assert!(!cache.is_mismatch_read_due(at(10)));
        assert!(cache.is_mismatch_read_due(at(11)));
        cache.record_success((), at(11));
        cache.record_mismatch_read(at(11));
        assert!(!is_failing(&cache));
        assert!(!cache.is_mismatch_read_due(at(40)));
        assert!(cache.is_mismatch_read_due(at(41)));
    }

    #[test]
    fn logged_chain_of_a_failed_read_names_its_cause() {
        let cause = Some("connection refused".into());
        let error = AwsError { code: "ConnectionLost".to_owned(), message: None, is_transient: true, cause };
        let shown = telemetry::cause(&ReadError::<std::convert::Infallible>::Aws(error));
        assert_eq!(shown, "GetSecretValue failed: ConnectionLost: connection refused");
    }
}
