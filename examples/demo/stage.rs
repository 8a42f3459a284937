//! The two functions and what they find around them: queues, a bus and a secret on loopback, Alibaba Cloud simulated or
//! real, and a configuration that leads there.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use local_aws::{LocalAws, QueueSettings, wire};
use privatelink_detach::alibaba::credentials::CredentialsConfig;
use privatelink_detach::alibaba::transport::Https;
use privatelink_detach::aws;
use privatelink_detach::config::{self, ConfigError, IntakeConfig, WorkerConfig};
use privatelink_detach::detach::Limits;
use privatelink_detach::intake::Intake;
use privatelink_detach::worker::InvocationLimits;
use privatelink_detach::worker::assemble::{self, LiveWorker};
use privatelink_simulator::{AccessKey, Cloud, Seed, Server};

use crate::Failure;
use crate::call::{Proof, SECRET};

pub(crate) const REQUESTS: &str = "requests.fifo";
pub(crate) const DEAD_LETTERS: &str = "dead-letter.fifo";
pub(crate) const SECRETS: &str = "webhook-secrets";

/// The template's visibility timeout: six times the function's.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

/// A simulated request that names no deadline ends after this at the latest, instead of an hour.
const DEADLINE_SECONDS: &str = "120";

/// A group of the simulated world that is never to be detached.
const PROTECTED: &str = "sg-protected";

/// Everything that the play needs. Dropping it ends the servers.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) aws: LocalAws,
    /// None if Alibaba Cloud is the real one.
    pub(crate) cloud: Option<Simulated>,
    pub(crate) worker: LiveWorker,
    pub(crate) intakes: Intakes,
    /// Calls the intakes' function URLs.
    pub(crate) http: Https,
}

/// The intake as it can be deployed.
#[derive(Debug)]
pub(crate) struct Intakes {
    /// With a signing secret.
    pub(crate) signed: Arc<Intake>,
    /// Without one, so that webhooks are let in by AWS IAM alone.
    by_iam: Arc<Intake>,
}

/// A simulated Alibaba Cloud.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) server: Server,
    key: AccessKey,
}

impl Stage {
    pub(crate) async fn set(is_live: bool, seed: &Path) -> Result<Self, Failure> {
        let cloud = if is_live { None } else { Some(Simulated::start(seed).await?) };
        let aws = LocalAws::start().await?;
        let settings = QueueSettings::fifo().visibility_timeout(VISIBILITY_TIMEOUT);
        for name in [REQUESTS, DEAD_LETTERS] {
            aws.queues().create(name, settings.clone())?;
        }
        aws.secrets().put(SECRETS, format!("[\"{SECRET}\"]"));
        let environment = |name: &str| match name {
            "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
            "DEAD_LETTER_QUEUE_URL" => Some(aws.queue_url(DEAD_LETTERS)),
            "WEBHOOK_SECRETS_ARN" => Some(wire::secret_arn(SECRETS)),
            // The local account has the default bus alone.
            "COMPLETION_BUS_NAME" => None,
            other => match &cloud {
                Some(simulated) => simulated.variable(other),
                None => config::environment(other),
            },
        };
        let config =
            WorkerConfig::read(environment).and_then(with_keys_of_its_own).map_err(Failure::Config)?;
        let signed = IntakeConfig::read(environment).map_err(Failure::Config)?;
        let by_iam = IntakeConfig { webhook_secrets_arn: None, ..signed.clone() };
        let sdk = aws::config(aws.environment())?;
        let worker = assemble::worker(config, &sdk, Limits::default(), InvocationLimits::default())?;
        let intake = |config| Arc::new(Intake::new(config, &sdk));
        let intakes = Intakes { signed: intake(signed), by_iam: intake(by_iam) };
        Ok(Self { aws, cloud, worker, intakes, http: Https::new(true)? })
    }
}

/// A configuration that needs nothing of the real AWS, which is not here.
fn with_keys_of_its_own(config: WorkerConfig) -> Result<WorkerConfig, Vec<ConfigError>> {
    let variable = match config.credentials {
        CredentialsConfig::Environment(_) => return Ok(config),
        CredentialsConfig::SecretsManager { .. } => "ALIBABA_CREDENTIALS_SECRET_ARN",
        CredentialsConfig::Oidc(_) => "ALIBABA_CLOUD_ROLE_ARN",
    };
    let problem =
        "is of no use here, where AWS is local: set ALIBABA_CLOUD_ACCESS_KEY_ID and the others of a key";
    Err(vec![ConfigError { variable, problem: problem.to_owned() }])
}

impl Intakes {
    /// The one that takes calls with such a proof.
    pub(crate) fn of(&self, proof: &Proof) -> &Arc<Intake> {
        match proof {
            Proof::Iam(_) => &self.by_iam,
            Proof::Signature { .. } | Proof::Forgery | Proof::Nothing => &self.signed,
        }
    }
}

impl Simulated {
    async fn start(seed: &Path) -> Result<Self, Failure> {
        let path = seed.to_owned();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source) => return Err(Failure::Read { path, source }),
        };
        let read = Seed::from_json(&text).and_then(|seed| {
            let key = seed.access_keys.first().cloned().unwrap_or_default();
            Ok((Cloud::new(seed)?, key))
        });
        let (cloud, key) = match read {
            Ok(read) => read,
            Err(source) => return Err(Failure::Seed { path, source }),
        };
        let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await?;
        Ok(Self { server, key })
    }

    /// The functions' variables, without a look at the real environment: a run is the same on every machine.
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PRIVATELINK_ENDPOINT_URL" => Some(self.server.url()),
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some(self.key.access_key_id.as_str().to_owned()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some(self.key.access_key_secret.clone()),
            "ALIBABA_CLOUD_SECURITY_TOKEN" => self.key.security_token.clone(),
            "DETACH_DEADLINE_SECONDS" => Some(DEADLINE_SECONDS.to_owned()),
            "PROTECTED_SECURITY_GROUPS" => Some(PROTECTED.to_owned()),
            _ => None,
        }
    }
}
