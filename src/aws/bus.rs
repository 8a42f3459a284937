//! EventBridge: publishes the events of this project. An event counts as published only if its own entry was accepted.

use std::cell::Cell;
use std::time::{Duration, Instant};

use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde::Serialize;
use thiserror::Error;
use tracing::warn;

use super::{AwsError, LazyClient, shown_code};
use crate::clock::Clock;
use crate::completion::SOURCE;
use crate::telemetry;

/// An event was not published, or it is unknown whether it was.
#[derive(Debug, Error)]
pub enum PublishError {
    #[error("the event bus {0} does not exist")]
    NoBus(String),
    #[error("the event could not be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    /// The call failed as a whole.
    #[error("PutEvents failed")]
    Call(#[source] AwsError),
    /// EventBridge refused the entry.
    #[error("EventBridge refused the entry with {0}")]
    Entry(String),
    /// The response is not about the one entry that was sent.
    #[error("PutEvents was called with one entry and responded about {0}")]
    EntryCount(usize),
}

impl PublishError {
    /// Whether EventBridge did not respond in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_timeout())
    }

    /// Whether another attempt may succeed. A call that failed for its content or for a missing permission does not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Call(error) => error.is_transient || error.is_timeout(),
            Self::Entry(_) | Self::EntryCount(_) => true,
            Self::NoBus(_) | Self::Unwritable(_) => false,
        }
    }

    /// A call for which the invocation had no time left.
    pub(crate) fn out_of_time() -> Self {
        Self::Call(AwsError::out_of_time())
    }
}

/// The event bus as the functions use it.
///
/// A seam: production calls EventBridge, a simulation on a virtual clock keeps the bus in memory.
pub trait Bus {
    /// Prepares what the first event needs, such as a connection. An error has no effect.
    fn prepare(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Publishes one event. `Ok` only if the bus accepted its entry.
    fn publish<D: Serialize>(
        &self,
        detail_type: &'static str,
        detail: &D,
    ) -> impl Future<Output = Result<(), PublishError>>;
}

/// The bus that every account has and that cannot be deleted.
const DEFAULT_BUS: &str = "default";

/// The time after a transient error until the bus is described again: a call that hangs costs 3 s.
const DESCRIBED_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Amazon EventBridge.
#[derive(Debug, Clone)]
pub struct EventBridge {
    client: LazyClient<aws_sdk_eventbridge::Client>,
    bus_name: String,
    clock: Clock,
    /// When the bus is to be described, before the next event; `None` if it need not be.
    check_due: Cell<Option<Instant>>,
}

impl EventBridge {
    #[must_use]
    pub fn new(client: impl Into<LazyClient<aws_sdk_eventbridge::Client>>, bus_name: String) -> Self {
        let clock = Clock::start();
        let check_due = Cell::new((bus_name != DEFAULT_BUS).then(|| clock.now()));
        Self { client: client.into(), bus_name, clock, check_due }
    }

    /// `PutEvents` accepts events for a bus that does not exist and drops them, so the bus is described until it is
    /// known to exist, before the first event of a process at the latest. Any other error of this call does not prevent
    /// publishing. After a permanent error, such as a missing permission, the process does not repeat the call; after a
    /// transient one, it repeats the call at most once a minute.
    async fn check_bus(&self) -> Result<(), PublishError> {
        if self.check_due.get().is_none_or(|due| self.clock.now() < due) {
            return Ok(());
        }
        let error = match self.client.describe_event_bus().name(&self.bus_name).send().await {
            Ok(description) => {
                if description.name().is_some() {
                    self.check_due.set(None);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let service_error = error.as_service_error();
        if service_error.is_some_and(DescribeEventBusError::is_resource_not_found_exception) {
            return Err(PublishError::NoBus(self.bus_name.clone()));
        }
        let error = AwsError::from(error);
        self.check_due.set(error.is_transient.then(|| self.clock.now() + DESCRIBED_AGAIN_AFTER));
        warn!(
            "it is unknown whether the event bus exists; publishing nevertheless: {}",
            telemetry::cause(&error)
        );
        Ok(())
    }
}

impl Bus for EventBridge {
    /// Describes the bus, also the default one: this opens the connection, and the client initializes what every call
    /// needs. An error is reported when there is an event to publish.
    async fn prepare(&self) {
        let described = self.client.describe_event_bus().name(&self.bus_name).send().await;
        if described.is_ok_and(|description| description.name().is_some()) {
            self.check_due.set(None);
        }
    }

    async fn publish<D: Serialize>(&self, detail_type: &'static str, detail: &D) -> Result<(), PublishError> {
        // Boxed: it runs once in a process, and the future of every publish stays small.
        Box::pin(self.check_bus()).await?;
        let detail = serde_json::to_string(detail).map_err(PublishError::Unwritable)?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus_name)
            .source(SOURCE)
            .detail_type(detail_type)
            .detail(detail)
            .build();
        let response = self.client.put_events().entries(entry).send().await;
        let response = response.map_err(|error| PublishError::Call(AwsError::without_message(error)))?;
        check_published(&response)
    }
}

/// Checks that a successful response to `PutEvents` is about the one entry that was sent, and that it was accepted.
pub fn check_published(response: &PutEventsOutput) -> Result<(), PublishError> {
    match response.entries() {
        [entry]
            if entry.event_id().is_some_and(|id| !id.is_empty())
                && entry.error_code().is_none()
                && response.failed_entry_count() == 0 =>
        {
            Ok(())
        }
        [entry] => Err(PublishError::Entry(shown_code(entry.error_code().unwrap_or_default()).to_owned())),
        entries => Err(PublishError::EntryCount(entries.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials;
    use aws_sdk_eventbridge::config::{BehaviorVersion, Region};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::retry::RetryConfig;

    use super::*;

    /// Responds to every call with status 503, and counts the calls.
    #[derive(Debug, Clone, Default)]
    struct Unavailable(Arc<AtomicUsize>);

    impl HttpConnector for Unavailable {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.0.fetch_add(1, Ordering::Relaxed);
            let status = http::StatusCode::SERVICE_UNAVAILABLE.into();
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::empty())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bus_is_described_once_a_minute_while_that_fails() {
        let unavailable = Unavailable::default();
        let connector = SharedHttpConnector::new(unavailable.clone());
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let bus = EventBridge::new(aws_sdk_eventbridge::Client::from_conf(config), "completions".to_owned());
        let mut described = Vec::new();
        for seconds in [0, 1, 58, 1, 1, 59] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            bus.check_bus().await.unwrap();
            described.push(unavailable.0.load(Ordering::Relaxed));
        }
        assert_eq!(described, [1, 1, 1, 2, 2, 3]);
    }
}
