//! A worker that panics, behind AWS's own runtime loop: production's code for an invocation, but in memory there is an
//! Alibaba Cloud that one endpoint's calls cannot reach without a panic, and a queue and a bus that take everything.
//!
//! `tests/python/emulator/test_panics.py` runs it under the runtime emulator. Production has no input that makes it panic.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::error::Unanswered;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::aws::sqs::QueueFault;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::Completion;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::request::Rules;
use privatelink_detach::telemetry::{self, Level};
use privatelink_detach::worker::bus::{Bus, BusFault};
use privatelink_detach::worker::handler;
use privatelink_detach::worker::queue::{DeadLetter, Delivery, Queue};
use privatelink_detach::worker::{Invocation, InvocationLimits, Settings, Worker};
use privatelink_simulator::{AccessKey, Cloud, Endpoint, Seed};
use serde_json::value::RawValue;

/// The endpoint whose calls panic.
const CURSED: &str = "ep-cursed";

/// Everything outside of the worker.
struct Outside(RefCell<Cloud>);

impl Transport for &Outside {
    #[expect(clippy::disallowed_methods, reason = "it is a test's, and its clock is the machine's")]
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(CURSED), "cursed");
        Ok(self.0.borrow_mut().answer(&request, SystemTime::now()).response)
    }
}

impl Queue for &Outside {
    async fn delete(&self, _: &Delivery) -> Result<(), QueueFault> {
        Ok(())
    }

    async fn hand_back(&self, _: &[Delivery], _: Duration) -> Result<(), QueueFault> {
        Ok(())
    }

    async fn bury(&self, _: &DeadLetter<'_>) -> Result<(), QueueFault> {
        Ok(())
    }
}

impl Bus for &Outside {
    async fn publish(&self, _: &Completion) -> Result<(), BusFault> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(Level::default());
    let endpoints = ["ep-a", "ep-b"].map(|id| Endpoint::new("eu-west-1", id, ["sg-a", "sg-b"]));
    let outside = Outside(RefCell::new(Cloud::new(Seed { endpoints: endpoints.into(), ..Seed::default() })?));

    let key = AccessKey::default();
    let keys = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(keys));
    let mut seeds = fastrand::Rng::new();
    let client = Client::new(&outside, source, ServiceUrl::Regional, seeds.u64(..));
    let settings = Settings {
        rules: Rules::default(),
        deadline: Duration::from_hours(1),
        concurrency: WorkerConfig::CONCURRENCY_DEFAULT,
        limits: Limits::default(),
        invocation: InvocationLimits::default(),
    };
    let worker = &Worker::new(client, &outside, &outside, settings, seeds.u64(..));
    let handle = |event: LambdaEvent<Box<RawValue>>| async move {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_millis(event.context.deadline);
        let limits = &worker.settings().invocation;
        let invocation = Invocation::new(Clock::start(), ends, event.context.request_id, None, limits);
        handler::handle(worker, &event.payload, &invocation).await
    };
    Runtime::new(service_fn(handle)).run().await
}
