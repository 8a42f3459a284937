//! EventBridge: publishes completion events. An event counts as published only if its own entry was accepted.

use std::cell::Cell;

use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use thiserror::Error;
use tracing::warn;

use crate::aws::{AwsError, shown_code};
use crate::completion::{Completion, SOURCE};
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

    /// A call for which the invocation had no time left.
    pub(super) fn out_of_time() -> Self {
        Self::Call(AwsError::out_of_time())
    }
}

/// The event bus as the worker uses it.
///
/// A seam: production calls EventBridge, a simulation on a virtual clock keeps the bus in memory.
pub trait Bus {
    /// Prepares what the first event needs, such as a connection. An error has no effect.
    fn prepare(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Publishes one event. `Ok` only if the bus accepted its entry.
    fn publish(&self, completion: &Completion) -> impl Future<Output = Result<(), PublishError>>;
}

/// The bus that every account has and that cannot be deleted.
const DEFAULT_BUS: &str = "default";

/// Amazon EventBridge.
#[derive(Debug, Clone)]
pub struct EventBridge {
    client: aws_sdk_eventbridge::Client,
    bus_name: String,
    is_checked: Cell<bool>,
}

impl EventBridge {
    #[must_use]
    pub fn new(client: aws_sdk_eventbridge::Client, bus_name: String) -> Self {
        let is_checked = Cell::new(bus_name == DEFAULT_BUS);
        Self { client, bus_name, is_checked }
    }

    /// `PutEvents` accepts events for a bus that does not exist and drops them, so the bus is described until it is
    /// known to exist, before the first event of a process at the latest. Any other error of this call, such as a
    /// missing permission, does not prevent publishing, and one that lasts is met once in a process.
    async fn check_bus(&self) -> Result<(), PublishError> {
        if self.is_checked.get() {
            return Ok(());
        }
        let error = match self.client.describe_event_bus().name(&self.bus_name).send().await {
            Ok(description) => {
                self.is_checked.set(description.name().is_some());
                return Ok(());
            }
            Err(error) => error,
        };
        let service_error = error.as_service_error();
        if service_error.is_some_and(DescribeEventBusError::is_resource_not_found_exception) {
            return Err(PublishError::NoBus(self.bus_name.clone()));
        }
        let error = AwsError::from(error);
        self.is_checked.set(!error.is_transient);
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
            self.is_checked.set(true);
        }
    }

    async fn publish(&self, completion: &Completion) -> Result<(), PublishError> {
        // Boxed: it runs once in a process, and the future of every publish stays small.
        Box::pin(self.check_bus()).await?;
        let detail = serde_json::to_string(&completion.detail).map_err(PublishError::Unwritable)?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus_name)
            .source(SOURCE)
            .detail_type(completion.detail_type)
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
