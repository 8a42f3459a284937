//! The one source that is configured: what was read is kept, and read again by one lane for all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use aws_types::SdkConfig;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::oidc::Oidc;
use super::refresh::{Cached, Refresh};
use super::secret::Secret;
use super::{CredentialError, CredentialProblem, Credentials, CredentialsConfig, advice};
use crate::alibaba::error::Unanswered;
use crate::alibaba::service_clock::ServiceClock;
use crate::alibaba::transport::Transport;
use crate::clock::Clock;
use crate::request::RegionId;

/// Where keys come from. The client asks before every call, so that keys can change while the process lives.
#[derive(Debug)]
pub enum CredentialsSource {
    /// Given once, at start.
    Fixed(Rc<Credentials>),
    /// Read from elsewhere, and read again when they age or are refused.
    Refreshed(Box<Refreshed>),
}

/// Keys that are read from elsewhere.
#[derive(Debug)]
pub struct Refreshed {
    origin: Origin,
    refresh: RefCell<Refresh>,
    /// Held by the one lane that reads.
    reading: Mutex<()>,
}

#[derive(Debug)]
enum Origin {
    Secret(Secret),
    Oidc(Box<Oidc>),
}

impl CredentialsSource {
    /// The configured source; nothing is read yet. A session is given for these regions alone, unless there are none.
    #[must_use]
    pub fn new(config: CredentialsConfig, allowed_regions: &BTreeSet<RegionId>, aws: &SdkConfig) -> Self {
        let origin = match config {
            CredentialsConfig::Environment(credentials) => return Self::Fixed(Rc::new(credentials)),
            CredentialsConfig::SecretsManager { secret_arn } => {
                Origin::Secret(Secret::new(aws_sdk_secretsmanager::Client::new(aws), secret_arn))
            }
            CredentialsConfig::Oidc(config) => {
                let aws = aws_sdk_sts::Client::new(aws);
                Origin::Oidc(Box::new(Oidc::new(aws, config, allowed_regions)))
            }
        };
        Self::Refreshed(Box::new(Refreshed {
            origin,
            refresh: RefCell::default(),
            reading: Mutex::default(),
        }))
    }

    /// The keys to sign with, read first if that is due. Lanes that ask at the same time cause one reading.
    pub async fn current<T: Transport>(
        &self,
        transport: &T,
        service_clock: &ServiceClock,
        clock: &Clock,
    ) -> Result<Rc<Credentials>, CredentialError> {
        let source = match self {
            Self::Fixed(credentials) => return Ok(Rc::clone(credentials)),
            Self::Refreshed(source) => source,
        };
        if !source.refresh.borrow().is_due(clock.wall()) {
            return self.at_hand(clock);
        }
        let reading = match source.reading.try_lock() {
            Ok(reading) => reading,
            // Who has keys that still hold does not wait for somebody else's reading.
            Err(_) => match self.holding(clock) {
                Some(credentials) => return Ok(credentials),
                None => source.reading.lock().await,
            },
        };
        if source.refresh.borrow().is_due(clock.wall()) {
            // Boxed, for it is rare and large: otherwise every call of every lane would carry it along.
            Box::pin(source.read(transport, service_clock, clock)).await;
        }
        drop(reading);
        self.at_hand(clock)
    }

    /// The keys that nobody has refused, as far as no reading is needed for them.
    #[must_use]
    pub fn holding(&self, clock: &Clock) -> Option<Rc<Credentials>> {
        match self {
            Self::Fixed(credentials) => Some(Rc::clone(credentials)),
            Self::Refreshed(source) => source.refresh.borrow().holding(clock.wall()),
        }
    }

    /// The keys as far as no reading is needed for them.
    pub fn at_hand(&self, clock: &Clock) -> Result<Rc<Credentials>, CredentialError> {
        match self {
            Self::Fixed(credentials) => Ok(Rc::clone(credentials)),
            Self::Refreshed(source) => source.refresh.borrow().credentials(clock.wall()),
        }
    }

    /// Alibaba Cloud took these keys.
    pub fn accepted(&self, credentials: &Rc<Credentials>) {
        if let Self::Refreshed(source) = self {
            source.refresh.borrow_mut().accepted(credentials);
        }
    }

    /// Alibaba Cloud refused these keys.
    pub fn refused(&self, credentials: &Rc<Credentials>, clock: &Clock) {
        if let Self::Refreshed(source) = self {
            source.refresh.borrow_mut().refused(credentials, clock.wall());
        }
    }

    /// What keeps the worker from signing, after a call that failed for it; `None` if it may be over with the next.
    #[must_use]
    pub fn problem(&self) -> Option<CredentialProblem> {
        match self {
            Self::Fixed(_) => Some(CredentialProblem::Refused {
                advice: "replace ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, and the \
                         ALIBABA_CLOUD_SECURITY_TOKEN of a session with them",
            }),
            Self::Refreshed(source) => source.refresh.borrow().problem(source.origin.advice()),
        }
    }
}

impl Refreshed {
    async fn read<T: Transport>(&self, transport: &T, service_clock: &ServiceClock, clock: &Clock) {
        let mut reading = Reading { source: self, clock, is_over: false };
        let read = match &self.origin {
            Origin::Secret(secret) => secret.read().await,
            Origin::Oidc(oidc) => oidc.exchange(transport, service_clock, clock).await,
        };
        reading.is_over = true;
        self.note(read, clock);
    }

    fn note(&self, read: Result<Cached, CredentialError>, clock: &Clock) {
        match &read {
            Ok(_) => info!("keys for Alibaba Cloud read from {}", self.origin.name()),
            Err(CredentialError { code, problem, .. }) => {
                warn!(code, "keys for Alibaba Cloud not read: {problem}");
            }
        }
        self.refresh.borrow_mut().note(read, clock.wall());
    }
}

/// A reading under way. One that is given up, because its call's time is over, has failed like any other.
struct Reading<'a> {
    source: &'a Refreshed,
    clock: &'a Clock,
    is_over: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let given_up = CredentialError {
                code: Unanswered::Timeout.name(),
                problem: "reading them took too long".to_owned(),
                advice: advice::WAIT,
                is_passing: true,
            };
            self.source.note(Err(given_up), self.clock);
        }
    }
}

impl Origin {
    fn name(&self) -> &'static str {
        match self {
            Self::Secret(_) => "Secrets Manager",
            Self::Oidc(_) => "Alibaba Cloud's STS",
        }
    }

    /// What to do when keys from here are refused again and again.
    fn advice(&self) -> &'static str {
        match self {
            Self::Secret(_) => {
                "put a working AccessKey into the secret of ALIBABA_CREDENTIALS_SECRET_ARN; it is read again by itself"
            }
            Self::Oidc(_) => {
                "find out in RAM why the sessions of ALIBABA_CLOUD_ROLE_ARN are refused; if \
                 PRIVATELINK_ENDPOINT_URL or ALIBABA_STS_ENDPOINT_URL is set, both must lead to the same cloud"
            }
        }
    }
}
