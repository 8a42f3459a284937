//! The functions and their environment: queues, a bus and a secret on loopback, a simulated Alibaba Cloud, and a
//! configuration that names them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use local_aws::{LocalAws, QueueSettings, wire};
use privatelink_detach::aws;
use privatelink_detach::config::{IntakeConfig, SweeperConfig, WorkerConfig};
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::intake::Intake;
use privatelink_detach::request::Rules;
use privatelink_detach::sweeper::assemble::LiveSweeper;
use privatelink_detach::transport::Https;
use privatelink_detach::worker::assemble::{self, LiveWorker};
use privatelink_simulator::{AccessKey, Cloud, Counts, Seed, Server};

use crate::Failure;
use crate::call::{Authentication, SECRET};
use crate::sweep;

pub(crate) const REQUESTS: &str = "requests.fifo";
pub(crate) const DEAD_LETTERS: &str = "dead-letter.fifo";
pub(crate) const SECRETS: &str = "webhook-secrets";

/// The template's visibility timeout: six times the worker's timeout.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

/// Default deadline of a request to the simulated Alibaba Cloud, in seconds; the function's own is an hour.
const DEADLINE_SECONDS: &str = "120";

/// The security group of the simulated Alibaba Cloud that the configuration protects.
const PROTECTED: &str = "sg-protected";

/// The source of the sample events.
const EVENT_SOURCE: &str = "com.example.offboarding";

/// The functions and the services they use. Dropping it ends the servers.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) aws: LocalAws,
    pub(crate) cloud: Simulated,
    pub(crate) worker: LiveWorker,
    /// The worker's rules for requests.
    pub(crate) rules: Rules,
    pub(crate) intakes: Intakes,
    pub(crate) sweeper: LiveSweeper,
    /// Calls the intakes' function URLs.
    pub(crate) http: Https,
}

/// The intake in both deployments that the template offers.
#[derive(Debug)]
pub(crate) struct Intakes {
    /// With a signing secret.
    pub(crate) signed: Arc<Intake>,
    /// Without one: AWS IAM authenticates every webhook.
    iam: Arc<Intake>,
}

/// A simulated Alibaba Cloud.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) server: Server,
    /// The initial state.
    pub(crate) seed: Seed,
    access_key: AccessKey,
    /// What each state counted before the initial one replaced it.
    replaced: Mutex<Vec<Counts>>,
}

impl Environment {
    pub(crate) async fn start(seed: &Path) -> Result<Self, Failure> {
        let cloud = Simulated::start(seed).await?;
        let aws = LocalAws::start().await?;
        let settings = QueueSettings::fifo().visibility_timeout(VISIBILITY_TIMEOUT);
        for name in [REQUESTS, DEAD_LETTERS] {
            aws.queues().create(name, settings.clone())?;
        }
        aws.secrets().put(SECRETS, format!("[\"{SECRET}\"]"));
        let variable = |name: &str| match name {
            "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
            "DEAD_LETTER_QUEUE_URL" => Some(aws.queue_url(DEAD_LETTERS)),
            "WEBHOOK_SECRETS_ARN" => Some(wire::secret_arn(SECRETS)),
            "REQUEST_EVENT_SOURCES" => Some(EVENT_SOURCE.to_owned()),
            // The local account has only the default bus.
            "COMPLETION_BUS_NAME" => None,
            other => cloud.variable(other),
        };
        let config = WorkerConfig::read(variable).map_err(Failure::Config)?;
        let signed = IntakeConfig::read(variable).map_err(Failure::Config)?;
        let sweeper = SweeperConfig::read(variable).map_err(Failure::Config)?;
        let iam = IntakeConfig { webhook_secrets_arn: None, ..signed.clone() };
        let sdk = aws::config(aws.environment())?;
        let rules = config.rules.clone();
        let worker = assemble::worker(config, &sdk, Limits::default(), TimeLimits::default())?;
        let intake = |config| Arc::new(Intake::new(config, &sdk));
        let intakes = Intakes { signed: intake(signed), iam: intake(iam) };
        let sweeper = sweep::sweeper(sweeper, &sdk)?;
        Ok(Self { aws, cloud, worker, rules, intakes, sweeper, http: Https::new(true)? })
    }
}

impl Intakes {
    /// The intake whose deployment accepts this authentication.
    pub(crate) fn of(&self, authentication: &Authentication) -> &Arc<Intake> {
        match authentication {
            Authentication::Iam(_) => &self.iam,
            Authentication::Signature { .. } | Authentication::ForgedSignature | Authentication::None => {
                &self.signed
            }
        }
    }
}

impl Simulated {
    async fn start(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source) => return Err(Failure::Read { path, source }),
        };
        let read = Seed::from_json(&text).and_then(|seed| Ok((Cloud::new(seed.clone())?, seed)));
        let (cloud, seed) = match read {
            Ok(read) => read,
            Err(source) => return Err(Failure::Seed { path, source }),
        };
        let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await?;
        let access_key = seed.access_keys.first().cloned().unwrap_or_default();
        Ok(Self { server, seed, access_key, replaced: Mutex::default() })
    }

    /// Returns to the initial state, with its injected errors.
    pub(crate) fn restart(&self) {
        // The seed is valid: the server has started with it.
        if let Ok(fresh) = Cloud::new(self.seed.clone()) {
            let replaced = std::mem::replace(&mut *self.server.cloud(), fresh);
            self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(replaced.counts().clone());
        }
    }

    /// What was counted since the start of the run, for each state.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        let mut counts = self.replaced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counts.push(self.server.cloud().counts().clone());
        counts
    }

    /// The functions' variables. None comes from the real environment, so that a run is the same on every machine.
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PRIVATELINK_ENDPOINT_URL" => Some(self.server.url()),
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some(self.access_key.access_key_id.as_str().to_owned()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some(self.access_key.access_key_secret.clone()),
            "ALIBABA_CLOUD_SECURITY_TOKEN" => self.access_key.security_token.clone(),
            "DETACH_DEADLINE_SECONDS" => Some(DEADLINE_SECONDS.to_owned()),
            "PROTECTED_SECURITY_GROUPS" => Some(PROTECTED.to_owned()),
            "SWEEP_APPLY_ALLOWED" => Some("true".to_owned()),
            _ => None,
        }
    }
}
