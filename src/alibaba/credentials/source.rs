//! The configured source: caches what it reads, and lets one lane read for all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use aws_types::SdkConfig;
use futures_util::future::LocalBoxFuture;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::error::{CredentialError, CredentialProblem};
use super::oidc::{Oidc, OidcConfig, Permissions};
use super::refresh::{Cached, Refresh};
use super::secret::Secret;
use crate::alibaba::access_key::Credentials;
use crate::alibaba::service_clock::ServiceClock;
use crate::aws::LazyClient;
use crate::clock::Clock;
use crate::request::RegionId;
use crate::telemetry;
use crate::transport::Transport;

/// The configured source of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsConfig {
    /// Credentials in the function's environment.
    Environment(Credentials),
    /// A secret in AWS Secrets Manager.
    SecretsManager { secret_arn: String },
    /// No stored credentials: Alibaba Cloud's STS issues a role session for a token that AWS signs.
    Oidc(OidcConfig),
}

impl CredentialsConfig {
    /// Whether a service of Alibaba Cloud that issues the credentials has a loopback address.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        match self {
            Self::Oidc(config) => config.sts_url.is_loopback(),
            Self::Environment(_) | Self::SecretsManager { .. } => false,
        }
    }
}

/// Where credentials come from. They are refreshed before every read, if that is due: they can change while the process
/// runs.
#[derive(Debug)]
pub enum CredentialsSource<T> {
    /// Given once, at start.
    Fixed(Rc<Credentials>),
    /// Read from another service, and read again when they are about to expire or are refused.
    Refreshed(Box<Refreshed<T>>),
}

/// Credentials that are read from another service.
#[derive(Debug)]
pub struct Refreshed<T> {
    origin: Origin<T>,
    refresh: RefCell<Refresh>,
    /// Locked by the lane that reads.
    reading: Mutex<()>,
}

#[derive(Debug)]
enum Origin<T> {
    Secret(Secret),
    Oidc(Box<Oidc<T>>),
    Program(Box<dyn SessionSource>),
}

/// A program's own source of credentials. The worker has none.
pub trait SessionSource: fmt::Debug {
    /// Reads credentials that replace all earlier ones.
    fn read<'a>(&'a self, clock: &'a Clock) -> LocalBoxFuture<'a, Result<Cached, CredentialError>>;

    /// As the log names it.
    fn name(&self) -> &'static str;

    /// The setting to change when Alibaba Cloud repeatedly refuses credentials from here.
    fn advice(&self) -> &'static str;

    /// The clock of Alibaba Cloud that the source corrects.
    fn service_clock(&self) -> &Rc<ServiceClock>;
}

impl<T: Transport> CredentialsSource<T> {
    /// The configured source; it reads nothing yet. A session is limited to these permissions, and to the allowed
    /// regions if there are any.
    ///
    /// `transport` sends the calls to Alibaba Cloud's STS.
    #[must_use]
    pub fn new(
        config: CredentialsConfig,
        permissions: &Permissions,
        allowed_regions: &BTreeSet<RegionId>,
        aws: &SdkConfig,
        transport: T,
    ) -> Self {
        let origin = match config {
            CredentialsConfig::Environment(credentials) => return Self::Fixed(Rc::new(credentials)),
            CredentialsConfig::SecretsManager { secret_arn } => {
                let client = LazyClient::new(aws, aws_sdk_secretsmanager::Client::new);
                Origin::Secret(Secret::new(client, secret_arn))
            }
            CredentialsConfig::Oidc(config) => {
                let aws = aws_sdk_sts::Client::new(aws);
                Origin::Oidc(Box::new(Oidc::new(aws, transport, config, permissions, allowed_regions)))
            }
        };
        Self::refreshed(origin)
    }

    /// A program's own source; it reads nothing yet.
    #[must_use]
    pub fn refreshed_by(source: Box<dyn SessionSource>) -> Self {
        Self::refreshed(Origin::Program(source))
    }

    fn refreshed(origin: Origin<T>) -> Self {
        Self::Refreshed(Box::new(Refreshed {
            origin,
            refresh: RefCell::default(),
            reading: Mutex::default(),
        }))
    }

    /// The clock of Alibaba Cloud that the source corrects; the client signs by the same one.
    pub(in crate::alibaba) fn service_clock(&self) -> Rc<ServiceClock> {
        match self {
            Self::Refreshed(source) => match &source.origin {
                Origin::Oidc(oidc) => Rc::clone(oidc.service_clock()),
                Origin::Program(source) => Rc::clone(source.service_clock()),
                Origin::Secret(_) => Rc::default(),
            },
            Self::Fixed(_) => Rc::default(),
        }
    }

    /// The credentials to sign with, after a read if one is due. Concurrent lanes share one read.
    ///
    /// `clock` is the invocation's: the source outlives it.
    pub async fn current(&self, clock: &Clock) -> Result<Rc<Credentials>, Rc<CredentialError>> {
        let source = match self {
            Self::Fixed(credentials) => return Ok(Rc::clone(credentials)),
            Self::Refreshed(source) => source,
        };
        if !source.refresh.borrow().is_due(clock.wall()) {
            return self.cached(clock.wall());
        }
        let reading = match source.reading.try_lock() {
            Ok(reading) => reading,
            // A lane with credentials that are valid and not refused does not wait for another lane's read.
            Err(_) => match self.unrefused(clock.wall()) {
                Some(credentials) => return Ok(credentials),
                None => source.reading.lock().await,
            },
        };
        if source.refresh.borrow().is_due(clock.wall()) {
            // Boxed because it is rare and large: otherwise the future of every call would contain it.
            Box::pin(source.read(clock)).await;
        }
        drop(reading);
        self.cached(clock.wall())
    }

    /// The credentials without a read; `None` if they have expired or are refused.
    #[must_use]
    pub fn unrefused(&self, now: SystemTime) -> Option<Rc<Credentials>> {
        match self {
            Self::Fixed(credentials) => Some(Rc::clone(credentials)),
            Self::Refreshed(source) => source.refresh.borrow().unrefused(now),
        }
    }

    /// The credentials without a read, refused or not.
    pub fn cached(&self, now: SystemTime) -> Result<Rc<Credentials>, Rc<CredentialError>> {
        match self {
            Self::Fixed(credentials) => Ok(Rc::clone(credentials)),
            Self::Refreshed(source) => source.refresh.borrow().credentials(now),
        }
    }

    /// Records that Alibaba Cloud accepted these credentials.
    pub fn mark_accepted(&self, credentials: &Rc<Credentials>) {
        if let Self::Refreshed(source) = self {
            source.refresh.borrow_mut().mark_accepted(credentials);
        }
    }

    /// Records that Alibaba Cloud refused these credentials.
    pub fn mark_refused(&self, credentials: &Rc<Credentials>, now: SystemTime) {
        if let Self::Refreshed(source) = self {
            source.refresh.borrow_mut().mark_refused(credentials, now);
        }
    }

    /// The time until a read may succeed, after a read that failed because of its credentials: zero if there are other
    /// credentials by now, otherwise the time until the next read of the source is due. `None` if the source is never
    /// read again.
    #[must_use]
    pub fn renewal(&self, now: SystemTime) -> Option<Duration> {
        let Self::Refreshed(source) = self else { return None };
        let refresh = source.refresh.borrow();
        let is_usable = refresh.unrefused(now).is_some();
        Some(if is_usable { Duration::ZERO } else { refresh.pause_left(now) })
    }

    /// What an operator must fix, after a call that failed for its credentials; `None` if the next call may succeed.
    #[must_use]
    pub fn problem(&self) -> Option<CredentialProblem> {
        match self {
            Self::Fixed(_) => Some(CredentialProblem::Refused {
                advice: "replace ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, and for a session \
                         also ALIBABA_CLOUD_SECURITY_TOKEN",
            }),
            Self::Refreshed(source) => source.refresh.borrow().problem(source.origin.advice()),
        }
    }
}

impl<T: Transport> Refreshed<T> {
    async fn read(&self, clock: &Clock) {
        let mut pending = PendingRead { source: self, clock, is_complete: false };
        let result = match &self.origin {
            Origin::Secret(secret) => secret.read().await,
            Origin::Oidc(oidc) => oidc.exchange(clock).await,
            Origin::Program(source) => source.read(clock).await,
        };
        pending.is_complete = true;
        self.record(result, clock.wall());
    }
}

impl<T> Refreshed<T> {
    fn record(&self, result: Result<Cached, CredentialError>, now: SystemTime) {
        match &result {
            Ok(_) => info!("credentials for Alibaba Cloud read from {}", self.origin.name()),
            Err(error) => {
                let cause = telemetry::cause(error);
                warn!(code = &*error.code(), "credentials for Alibaba Cloud not read: {cause}");
            }
        }
        self.refresh.borrow_mut().record(result, now);
    }
}

/// A read that has not finished. A read that is canceled because its call ran out of time counts as failed.
struct PendingRead<'a, T> {
    source: &'a Refreshed<T>,
    clock: &'a Clock,
    is_complete: bool,
}

impl<T> Drop for PendingRead<'_, T> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.source.record(Err(CredentialError::Canceled), self.clock.wall());
        }
    }
}

impl<T> Origin<T> {
    /// As the log names it.
    fn name(&self) -> &'static str {
        match self {
            Self::Secret(_) => "Secrets Manager",
            Self::Oidc(_) => "Alibaba Cloud's STS",
            Self::Program(source) => source.name(),
        }
    }

    /// The setting to change when Alibaba Cloud repeatedly refuses credentials from here.
    fn advice(&self) -> &'static str {
        match self {
            Self::Secret(_) => {
                "put a valid AccessKey into the secret of ALIBABA_CREDENTIALS_SECRET_ARN; the function reads \
                 it again without a deployment"
            }
            Self::Oidc(_) => {
                "find out in RAM why the sessions of ALIBABA_CLOUD_ROLE_ARN are refused; if \
                 PRIVATELINK_ENDPOINT_URL or ALIBABA_STS_ENDPOINT_URL is set, both must belong to the same cloud"
            }
            Self::Program(source) => source.advice(),
        }
    }
}
