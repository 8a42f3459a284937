//! A worker that panics, in AWS's own runtime loop. It runs production's code for an invocation, but with Alibaba Cloud
//! in memory, where calls about one endpoint panic, and with a queue and a bus that accept everything.
//!
//! `tests/python/emulator/test_panics.py` runs it under the runtime emulator. Production has no input that makes it
//! panic.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::aws::bus::{Bus, PublishError};
use privatelink_detach::aws::sqs::QueueError;
use privatelink_detach::aws::sqs_event::Delivery;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::lambda;
use privatelink_detach::random::Random;
use privatelink_detach::request::Rules;
use privatelink_detach::telemetry::{self, Level};
use privatelink_detach::transport::{SendError, Transport};
use privatelink_detach::worker::DeferralLimits;
use privatelink_detach::worker::handler;
use privatelink_detach::worker::queue::{DeadLetter, Queue};
use privatelink_detach::worker::{Settings, Worker};
use privatelink_simulator::{AccessKey, Cloud, Endpoint, Seed};
use serde::Serialize;

/// The endpoint whose calls panic.
const PANICKING_ENDPOINT: &str = "ep-cursed";

/// Everything outside the worker.
struct Outside(RefCell<Cloud>);

impl Transport for &Outside {
    #[expect(clippy::disallowed_methods, reason = "a test program, with the real clock")]
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(PANICKING_ENDPOINT), "cursed");
        Ok(self.0.borrow_mut().handle(&request, SystemTime::now()).response)
    }
}

impl Queue for &Outside {
    async fn delete(&self, _: &Delivery) -> Result<(), QueueError> {
        Ok(())
    }

    async fn defer(&self, _: &[Delivery], _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn send_dead_letter(&self, _: &DeadLetter<'_>) -> Result<(), QueueError> {
        Ok(())
    }
}

impl Bus for &Outside {
    async fn publish<D: Serialize>(&self, _: &'static str, _: &D) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(Level::default());
    let endpoints = ["ep-a", "ep-b"].map(|id| Endpoint::new("eu-west-1", id, ["sg-a", "sg-b"]));
    let outside = Outside(RefCell::new(Cloud::new(Seed { endpoints: endpoints.into(), ..Seed::default() })?));

    let key = AccessKey::default();
    let credentials = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let client = Client::new(&outside, source, ServiceUrl::Regional, Random::System);
    let settings = Settings {
        runbook_url: RunbookUrl::default(),
        rules: Rules::default(),
        deadline: Duration::from_hours(1),
        concurrency: WorkerConfig::CONCURRENCY_DEFAULT,
        limits: Limits::default(),
        time: TimeLimits::default(),
        deferral: DeferralLimits::default(),
    };
    let worker = &Worker::new(client, &outside, &outside, settings, Random::System);
    lambda::serve(|payload, invocation| async move { handler::handle(worker, &payload, &invocation).await })
        .await
}
