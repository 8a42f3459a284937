//! Builds the worker of production from its configuration: HTTPS to Alibaba Cloud, SQS and EventBridge.

use aws_types::SdkConfig;

use crate::alibaba::client::Client;
use crate::alibaba::credentials::{CredentialsSource, Permissions};
use crate::aws::LazyClient;
use crate::aws::bus::EventBridge;
use crate::config::WorkerConfig;
use crate::detach::Limits;
use crate::drive::time_budget::TimeLimits;
use crate::random::Random;
use crate::transport::{Https, HttpsUnavailable};

use super::Worker;
use super::queue::Sqs;
use super::settings::{DeferralLimits, Settings};

/// The worker of production.
pub type LiveWorker = Worker<Https, Sqs, EventBridge>;

/// Builds every client once, for the life of the process. Tests pass shorter limits than production.
pub fn worker(
    config: WorkerConfig,
    aws: &SdkConfig,
    limits: Limits,
    time: TimeLimits,
) -> Result<LiveWorker, HttpsUnavailable> {
    let transport = Https::new(config.has_loopback())?;
    let sqs = LazyClient::new(aws, aws_sdk_sqs::Client::new);
    let queue = Sqs::new(sqs, config.request_queue_url, config.dead_letter_queue_url);
    let bus = EventBridge::new(LazyClient::new(aws, aws_sdk_eventbridge::Client::new), config.bus_name);
    let permissions = Permissions::of_detaches(&config.rules.replacements);
    let regions = &config.rules.allowed_regions;
    let credentials =
        CredentialsSource::new(config.credentials, &permissions, regions, aws, transport.clone());
    let client = Client::new(transport, credentials, config.service_url, Random::System);
    let settings = Settings {
        rules: config.rules,
        deadline: config.deadline,
        concurrency: config.concurrency,
        runbook_url: config.runbook_url,
        limits,
        time,
        deferral: DeferralLimits::default(),
    };
    Ok(Worker::new(client, queue, bus, settings, Random::System))
}
