//! The services around the functions, on 127.0.0.1: queues, bus and secrets, the simulated Alibaba Cloud and chat
//! platforms, and the variables that lead the functions to them.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use local_aws::bus::Event;
use local_aws::{LocalAws, NewMessage, QueueSettings, wire};
use privatelink_simulator::{AccessKey, Cloud, Seed, SeedError, Server};
use serde_json::json;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::arguments::Arguments;
use crate::chat::Platforms;
use crate::{chat, output};

/// The signing secret: the example in the documentation of Standard Webhooks, with which the samples are signed.
pub(crate) const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) const REQUESTS: &str = "requests.fifo";
pub(crate) const DEAD_LETTERS: &str = "dead-letter.fifo";

/// The target of a rule for every completion event.
pub(crate) const COMPLETION_EVENTS: &str = "completion-events";

/// The security group that the configuration protects.
pub(crate) const PROTECTED: &str = "sg-protected";

/// A VPC, and the security group that replaces the last one of its endpoints.
pub(crate) const REPLACEMENT: (&str, &str) = ("vpc-hp3shop", "sg-hp3isolated");

/// The source of the sample events.
const EVENT_SOURCE: &str = "com.example.offboarding";

const SECRETS: &str = "webhook-secrets";

/// The instances that take messages from the queue.
pub(crate) const QUEUE_WORKERS: usize = 2;

/// The template's visibility timeout: six times the worker's timeout.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(9);

const SEED_DEFAULT: &str = "examples/serve/endpoints.json";

/// The services. Dropping them ends their servers.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) aws: LocalAws,
    pub(crate) cloud: Server,
    pub(crate) chat: Platforms,
    /// The file with the initial state of the simulated Alibaba Cloud.
    pub(crate) seed: PathBuf,
    access_key: AccessKey,
}

/// Why the services cannot start.
#[derive(Debug, Error)]
pub(crate) enum ServiceError {
    #[error("{}: {source}", path.display())]
    ReadSeed { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("port {port} is in use: end the other program, or choose another port with {option}")]
    PortInUse { port: u16, option: &'static str },
    #[error("cannot listen on port {port} ({option}): {source}")]
    Listen { port: u16, option: &'static str, source: io::Error },
    #[error("the local queues cannot be created: {0}")]
    Queue(#[from] local_aws::queues::QueueError),
}

impl ServiceError {
    pub(crate) fn listen(port: u16, option: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { port, option },
            _ => Self::Listen { port, option, source },
        }
    }
}

impl Services {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, ServiceError> {
        let seed = arguments.seed.clone().unwrap_or_else(|| of_this_project(SEED_DEFAULT));
        let (cloud, access_key) = simulated(&seed)?;
        let port = arguments.alibaba_port;
        let cloud = Server::start(cloud, (Ipv4Addr::LOCALHOST, port).into()).await;
        let cloud = cloud.map_err(ServiceError::listen(port, "--alibaba-port"))?;
        let port = arguments.aws_port;
        let aws = LocalAws::start_on(port).await.map_err(ServiceError::listen(port, "--aws-port"))?;
        for name in [DEAD_LETTERS, REQUESTS] {
            aws.queues().create(name, QueueSettings::fifo().visibility_timeout(VISIBILITY_TIMEOUT))?;
        }
        aws.queues().create(COMPLETION_EVENTS, QueueSettings::standard())?;
        aws.secrets().put(SECRETS, json!([SIGNING_SECRET]).to_string());
        chat::create(&aws)?;
        let chat = Platforms::start(arguments).await?;
        Ok(Self { aws, cloud, chat, seed, access_key })
    }

    /// The variables of the messenger, which has no credentials of Alibaba Cloud and no request queue.
    pub(crate) fn messenger_variables(&self, log_level: &str) -> Vec<(&'static str, String)> {
        let mut variables = self.aws_variables(log_level);
        variables.extend(self.chat.messenger_variables(&self.aws));
        variables
    }

    /// The variables of every function. None comes from the environment of this process.
    fn aws_variables(&self, log_level: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_REGION", wire::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("RUST_LOG", log_level.to_owned()),
        ]
    }

    /// The variables of the other functions.
    pub(crate) fn variables(&self, log_level: &str) -> Vec<(&'static str, String)> {
        let (vpc_id, replacement) = REPLACEMENT;
        let mut variables = self.aws_variables(log_level);
        variables.extend([
            ("DETACH_QUEUE_URL", self.aws.queue_url(REQUESTS)),
            ("DEAD_LETTER_QUEUE_URL", self.aws.queue_url(DEAD_LETTERS)),
            ("WEBHOOK_SECRETS_ARN", wire::secret_arn(SECRETS)),
            ("REQUEST_EVENT_SOURCES", EVENT_SOURCE.to_owned()),
            ("PROTECTED_SECURITY_GROUPS", PROTECTED.to_owned()),
            ("REPLACEMENT_SECURITY_GROUPS", format!("{vpc_id}={replacement}")),
            ("WORKER_MAXIMUM_CONCURRENCY", QUEUE_WORKERS.to_string()),
            ("SWEEP_APPLY_ALLOWED", "true".to_owned()),
            ("PRIVATELINK_ENDPOINT_URL", self.cloud.url()),
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", self.access_key.access_key_id.as_str().to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", self.access_key.access_key_secret.clone()),
        ]);
        variables.extend(self.chat.intake_variables(&self.aws));
        let token = self.access_key.security_token.clone();
        variables.extend(token.map(|token| ("ALIBABA_CLOUD_SECURITY_TOKEN", token)));
        variables
    }

    /// Sends each event to the queues of its rules as it arrives, and prints it.
    pub(crate) async fn deliver_events(&self) -> Infallible {
        let mut delivered = 0;
        loop {
            // Subscribed before the bus is read, so that no later event is missed.
            let changed = self.aws.changed();
            let events = self.aws.bus().events().get(delivered..).unwrap_or_default().to_vec();
            for event in &events {
                for queue in targets(event) {
                    let message = NewMessage::new(envelope(event));
                    let now = self.aws.now();
                    if let Err(error) = self.aws.queues().send(queue, message, now) {
                        output::error(&format!("an event was not sent to {queue}: {error}"));
                    }
                }
                output::event(event);
            }
            delivered += events.len();
            changed.await;
        }
    }
}

/// The targets of the rules that an event matches.
fn targets(event: &Event) -> impl Iterator<Item = &'static str> {
    let is_of_chat = event.detail["trigger"] == "chat";
    std::iter::once(COMPLETION_EVENTS).chain(is_of_chat.then_some(chat::NOTICES))
}

/// An event as a rule sends it to a target, its detail unchanged.
fn envelope(event: &Event) -> String {
    let head = json!({
        "account": wire::ACCOUNT,
        "detail-type": event.detail_type,
        "id": event.id,
        "region": wire::REGION,
        "resources": event.resources,
        "source": event.source,
        "time": rfc3339(event.accepted_at),
        "version": "0",
    });
    // The detail comes last, in the text of its publisher: its fields keep their order.
    let head = head.to_string();
    format!("{},\"detail\":{}}}", head.trim_end_matches('}'), event.detail_text)
}

fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

fn simulated(path: &Path) -> Result<(Cloud, AccessKey), ServiceError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(source) => return Err(ServiceError::ReadSeed { path: path.to_owned(), source }),
    };
    let read = Seed::from_json(&text).and_then(|seed| {
        let access_key = seed.access_keys.first().cloned().unwrap_or_default();
        Ok((Cloud::new(seed)?, access_key))
    });
    read.map_err(|source| ServiceError::Seed { path: path.to_owned(), source })
}

/// A file of this project, from any working directory; by its short name where that works.
pub(crate) fn of_this_project(path: &str) -> PathBuf {
    let short = PathBuf::from(path);
    if short.exists() { short } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) }
}
