//! Builds the sweeper of production from its configuration: HTTPS to Alibaba Cloud, SQS and EventBridge.

use aws_types::SdkConfig;

use super::{Settings, Sweeper, TimeLimits};
use crate::alibaba::client::Client;
use crate::alibaba::credentials::{CredentialsSource, Permissions};
use crate::alibaba::services::Services;
use crate::aws::bus::EventBridge;
use crate::aws::request_queue::Sender;
use crate::config::SweeperConfig;
use crate::drive::cloud::Cloud;
use crate::drive::pace::Pace;
use crate::random::Random;
use crate::sweep::Limits;
use crate::transport::BaseUrl;
use crate::transport::{Https, HttpsUnavailable};

/// The sweeper of production.
pub type LiveSweeper = Sweeper<Https, Sender, EventBridge>;

/// Builds every client once, for the life of the process. Tests pass shorter limits than production.
pub fn sweeper(
    config: SweeperConfig,
    aws: &SdkConfig,
    limits: Limits,
    time: TimeLimits,
) -> Result<LiveSweeper, HttpsUnavailable> {
    let transport = Https::new(config.has_loopback())?.for_sweeps();
    let queue = Sender::new(aws_sdk_sqs::Client::new(aws), config.request_queue_url);
    let bus = EventBridge::new(aws_sdk_eventbridge::Client::new(aws), config.bus_name);
    let ecs_url = config.service_url.of_another_product();
    let (permissions, regions) = (&Permissions::ListOnly, &config.rules.allowed_regions);
    let credentials =
        CredentialsSource::new(config.credentials, permissions, regions, aws, transport.clone());
    let services = Services::new(transport.clone(), BaseUrl::sts(), ecs_url, Random::System);
    let client = Client::new(transport, credentials, config.service_url, Random::System);
    let settings = Settings {
        rules: config.rules,
        is_apply_allowed: config.is_apply_allowed,
        runbook_url: config.runbook_url,
        limits,
        pace: Pace::default(),
        time,
    };
    Ok(Sweeper::new(Cloud::new(client, Random::System), Some(services), queue, bus, settings))
}
