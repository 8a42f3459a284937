//! `EventBridge`: publishes completion events, and believes only an entry that was accepted itself.

use std::cell::Cell;

use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use thiserror::Error;
use tracing::warn;

use crate::aws;
use crate::completion::{Completion, SOURCE};

/// An event was not published, as far as is known.
#[derive(Debug, Error)]
#[error("PutEvents failed: {cause}")]
pub struct BusFault {
    /// The whole chain of causes.
    pub cause: String,
}

/// The event bus as the worker uses it.
///
/// A seam: production talks to `EventBridge`, a simulation on a virtual clock keeps the bus in memory.
pub trait Bus {
    /// Does what can be done before anybody waits for an event. Nothing depends on it.
    fn prepare(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Publishes one event. `Ok` only if the bus accepted this very entry.
    fn publish(&self, completion: &Completion) -> impl Future<Output = Result<(), BusFault>>;
}

/// The bus that every account has and nobody can delete.
const DEFAULT_BUS: &str = "default";

/// Amazon `EventBridge`.
#[derive(Debug, Clone)]
pub struct EventBridge {
    client: aws_sdk_eventbridge::Client,
    bus_name: String,
    is_known_to_exist: Cell<bool>,
}

impl EventBridge {
    /// One bus.
    #[must_use]
    pub fn new(client: aws_sdk_eventbridge::Client, bus_name: String) -> Self {
        let is_known_to_exist = Cell::new(bus_name == DEFAULT_BUS);
        Self { client, bus_name, is_known_to_exist }
    }

    /// `PutEvents` takes events for a bus that does not exist and drops them, so the bus is looked at until it was seen,
    /// before the first event of a process at the latest. Whatever else keeps us from looking, such as a missing
    /// permission, keeps no event.
    async fn check_bus(&self) -> Result<(), BusFault> {
        if self.is_known_to_exist.get() {
            return Ok(());
        }
        let described = self.client.describe_event_bus().name(&self.bus_name).send().await;
        match described {
            Ok(_) => self.is_known_to_exist.set(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeEventBusError::is_resource_not_found_exception) =>
            {
                return Err(BusFault { cause: format!("there is no event bus {}", self.bus_name) });
            }
            Err(error) => warn!("it is not known whether the event bus exists: {}", aws::cause(&error)),
        }
        Ok(())
    }
}

impl Bus for EventBridge {
    /// Looks at the bus, even at the one that need not be looked at: the connection is open then, and the client has done
    /// once what it does with every call. What is wrong is told when there is an event to publish.
    async fn prepare(&self) {
        let described = self.client.describe_event_bus().name(&self.bus_name).send().await;
        if described.is_ok() {
            self.is_known_to_exist.set(true);
        }
    }

    async fn publish(&self, completion: &Completion) -> Result<(), BusFault> {
        // Boxed: once in a process, and the future of every publish stays small.
        Box::pin(self.check_bus()).await?;
        let detail = serde_json::to_string(&completion.detail)
            .map_err(|error| BusFault { cause: format!("the event is not JSON: {error}") })?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus_name)
            .source(SOURCE)
            .detail_type(completion.detail_type)
            .detail(detail)
            .build();
        let answer = self.client.put_events().entries(entry).send().await;
        let answer = answer.map_err(|error| BusFault { cause: aws::cause(&error) })?;
        match answer.entries() {
            [entry]
                if entry.event_id().is_some()
                    && entry.error_code().is_none()
                    && answer.failed_entry_count() == 0 =>
            {
                Ok(())
            }
            [entry] => Err(BusFault {
                cause: format!("the entry was refused with {}", entry.error_code().unwrap_or("no code")),
            }),
            entries => {
                Err(BusFault { cause: format!("one entry was sent, {} were answered", entries.len()) })
            }
        }
    }
}
