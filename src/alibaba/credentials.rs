//! The keys that sign, and where they come from: the environment, a secret in AWS Secrets Manager, or nowhere at all,
//! in exchange for the function's own AWS identity.
//!
//! What is read from elsewhere is kept until it ages or is refused, and read once for all lanes. Nothing here waits for
//! better times: whoever wants keys gets them now, or is told why there are none.

mod advice;
mod keyless;
mod renewal;
mod secret;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use aws_types::SdkConfig;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::error::{Unanswered, shortened};
use super::service_clock::ServiceClock;
use super::transport::Transport;
use crate::aws::AwsFault;
use crate::clock::Clock;
use crate::request::RegionId;
use keyless::Keyless;
use renewal::{Kept, Renewal};
use secret::Secret;

pub use keyless::KeylessConfig;

/// One set of keys. Its `Debug` shows that there is one, and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

impl Credentials {
    /// Keys, with the security token of a session if they belong to one.
    #[must_use]
    pub fn new(access_key_id: String, access_key_secret: String, security_token: Option<String>) -> Self {
        Self { access_key_id, access_key_secret, security_token }
    }

    /// The key's id, sent with every request.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The key's secret, never sent.
    #[must_use]
    pub fn access_key_secret(&self) -> &str {
        &self.access_key_secret
    }

    /// The session's token, sent with every request.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }

    /// `text` without any of these keys, wherever it quotes one.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let quoted = [Some(self.access_key_secret()), self.security_token(), Some(self.access_key_id())];
        quoted.into_iter().flatten().fold(text.to_owned(), |text, key| redact(&text, key))
    }

    /// Whether each part can be a header's value, as it must to be sent; an empty part cannot.
    #[must_use]
    pub fn can_be_sent(&self) -> bool {
        let parts = [Some(self.access_key_id()), Some(self.access_key_secret()), self.security_token()];
        parts.into_iter().flatten().all(|part| !part.is_empty() && is_one_word(part))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// `text` without this secret, as it is and as a query has it.
fn redact(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    text.replace(secret, "[redacted]").replace(&encoded, "[redacted]")
}

/// Whether a key, a token or a name has no spaces, line ends or characters beyond ASCII.
#[must_use]
pub fn is_one_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// Which source the keys come from, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsConfig {
    /// Keys in the function's environment.
    Environment(Credentials),
    /// A secret in AWS Secrets Manager.
    SecretsManager {
        /// The secret's ARN.
        secret_arn: String,
    },
    /// No stored key: AWS vouches for the function, and Alibaba Cloud gives it a role's session.
    Keyless(KeylessConfig),
}

/// Why there are no keys to sign with. It quotes no key, secret or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredentials {
    /// AWS's or Alibaba Cloud's exact code, or this project's name for what has none.
    pub code: String,
    /// What happened, in one clause.
    pub problem: String,
    /// Which setting to change.
    pub advice: &'static str,
    /// Whether it may pass by itself.
    pub is_passing: bool,
}

impl NoCredentials {
    fn from_aws(call: &str, fault: AwsFault, advice: fn(&str) -> &'static str) -> Self {
        let says = fault.message.map_or(String::new(), |message| format!(": {}", shortened(&message)));
        Self {
            problem: format!("{call} failed with {}{says}", fault.code),
            advice: if fault.is_passing { advice::WAIT } else { advice(&fault.code) },
            code: fault.code,
            is_passing: fault.is_passing,
        }
    }
}

/// What somebody must do something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No keys can be had.
    NoCredentials(NoCredentials),
    /// Alibaba Cloud refuses the keys, and reading them again did not help, or there is nothing to read again.
    Refused {
        /// Which setting to change.
        advice: &'static str,
    },
}

/// Where keys come from. The client asks before every call, so that keys can change while the process lives.
#[derive(Debug)]
pub enum CredentialsSource {
    /// Given once, at start.
    Fixed(Rc<Credentials>),
    /// Read from elsewhere, and read again when they age or are refused.
    Renewed(Box<Renewed>),
}

/// Keys that are read from elsewhere.
#[derive(Debug)]
pub struct Renewed {
    origin: Origin,
    renewal: RefCell<Renewal>,
    /// Held by the one lane that reads.
    reading: Mutex<()>,
}

#[derive(Debug)]
enum Origin {
    Secret(Secret),
    Keyless(Box<Keyless>),
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
            CredentialsConfig::Keyless(config) => {
                let aws = aws_sdk_sts::Client::new(aws);
                Origin::Keyless(Box::new(Keyless::new(aws, config, allowed_regions)))
            }
        };
        Self::Renewed(Box::new(Renewed { origin, renewal: RefCell::default(), reading: Mutex::default() }))
    }

    /// The keys to sign with, read first if that is due. Lanes that ask at the same time cause one reading.
    pub async fn current<T: Transport>(
        &self,
        transport: &T,
        service_clock: &ServiceClock,
        clock: &Clock,
    ) -> Result<Rc<Credentials>, NoCredentials> {
        let source = match self {
            Self::Fixed(credentials) => return Ok(Rc::clone(credentials)),
            Self::Renewed(source) => source,
        };
        if !source.renewal.borrow().is_due(clock.wall()) {
            return self.at_hand(clock);
        }
        let reading = match source.reading.try_lock() {
            Ok(reading) => reading,
            // Who has keys that still hold does not wait for somebody else's reading.
            Err(_) if source.renewal.borrow().holds(clock.wall()) => return self.at_hand(clock),
            Err(_) => source.reading.lock().await,
        };
        if source.renewal.borrow().is_due(clock.wall()) {
            // Boxed, for it is rare and large: otherwise every call of every lane would carry it along.
            Box::pin(source.read(transport, service_clock, clock)).await;
        }
        drop(reading);
        self.at_hand(clock)
    }

    /// The keys as far as no reading is needed for them.
    pub fn at_hand(&self, clock: &Clock) -> Result<Rc<Credentials>, NoCredentials> {
        match self {
            Self::Fixed(credentials) => Ok(Rc::clone(credentials)),
            Self::Renewed(source) => source.renewal.borrow().credentials(clock.wall()),
        }
    }

    /// Alibaba Cloud took these keys.
    pub fn accepted(&self, credentials: &Rc<Credentials>) {
        if let Self::Renewed(source) = self {
            source.renewal.borrow_mut().accepted(credentials);
        }
    }

    /// Alibaba Cloud refused these keys.
    pub fn refused(&self, credentials: &Rc<Credentials>) {
        if let Self::Renewed(source) = self {
            source.renewal.borrow_mut().refused(credentials);
        }
    }

    /// What keeps the worker from signing, after a call that failed for it; `None` if it may be over with the next.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Fixed(_) => Some(Trouble::Refused {
                advice: "replace ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, and the \
                         ALIBABA_CLOUD_SECURITY_TOKEN of a session with them",
            }),
            Self::Renewed(source) => source.renewal.borrow().trouble(source.origin.advice()),
        }
    }
}

impl Renewed {
    async fn read<T: Transport>(&self, transport: &T, service_clock: &ServiceClock, clock: &Clock) {
        let mut reading = Reading { source: self, clock, is_over: false };
        let read = match &self.origin {
            Origin::Secret(secret) => secret.read().await,
            Origin::Keyless(keyless) => keyless.exchange(transport, service_clock, clock).await,
        };
        reading.is_over = true;
        self.note(read, clock);
    }

    fn note(&self, read: Result<Kept, NoCredentials>, clock: &Clock) {
        match &read {
            Ok(_) => info!("keys for Alibaba Cloud read from {}", self.origin.name()),
            Err(NoCredentials { code, problem, .. }) => {
                warn!(code, "keys for Alibaba Cloud not read: {problem}");
            }
        }
        self.renewal.borrow_mut().note(read, clock.wall());
    }
}

/// A reading under way. One that is given up, because its call's time is over, has failed like any other.
struct Reading<'a> {
    source: &'a Renewed,
    clock: &'a Clock,
    is_over: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let given_up = NoCredentials {
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
            Self::Keyless(_) => "Alibaba Cloud's STS",
        }
    }

    /// What to do when keys from here are refused again and again.
    fn advice(&self) -> &'static str {
        match self {
            Self::Secret(_) => {
                "put a working AccessKey into the secret of ALIBABA_CREDENTIALS_SECRET_ARN; it is read again by itself"
            }
            Self::Keyless(_) => {
                "find out in RAM why the sessions of ALIBABA_CLOUD_ROLE_ARN are refused; if \
                 PRIVATELINK_ENDPOINT_URL or ALIBABA_STS_ENDPOINT_URL is set, both must lead to the same cloud"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_shows_in_debug_or_in_a_quoted_message() {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let shown = format!("{credentials:?} {:?}", CredentialsSource::Fixed(Rc::new(credentials.clone())));
        let quoted = credentials.redact("StringToSign has s3cret and x-acs-security-token:t0ken of LTAIid");
        for text in [shown, quoted] {
            assert!(
                !text.contains("s3cret") && !text.contains("t0ken") && !text.contains("LTAIid"),
                "{text}"
            );
        }
    }

    #[test]
    fn keys_that_no_header_can_hold_cannot_be_sent() {
        let can_be_sent = |id: &str, secret: &str, token: Option<&str>| {
            Credentials::new(id.into(), secret.into(), token.map(Into::into)).can_be_sent()
        };
        assert!(can_be_sent("LTAIid", "s3cret", None) && can_be_sent("STS.id", "s3cret", Some("t0ken")));
        for (id, secret, token) in
            [("", "s", None), ("i", "", None), ("i", "s", Some("")), ("i\n", "s", None), ("i", "ü", None)]
        {
            assert!(!can_be_sent(id, secret, token), "{id:?} {secret:?} {token:?}");
        }
    }
}
