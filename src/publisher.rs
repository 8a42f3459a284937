//! `EventBridge`: publishes completion events, and believes only an entry that was accepted itself.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use thiserror::Error;

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
    /// Publishes one event. `Ok` only if the bus accepted this very entry.
    fn publish(&self, completion: &Completion) -> impl Future<Output = Result<(), BusFault>>;
}

/// Amazon `EventBridge`.
#[derive(Debug, Clone)]
pub struct EventBridge {
    client: aws_sdk_eventbridge::Client,
    bus_name: String,
}

impl EventBridge {
    /// One bus.
    #[must_use]
    pub fn new(client: aws_sdk_eventbridge::Client, bus_name: String) -> Self {
        Self { client, bus_name }
    }
}

impl Bus for EventBridge {
    async fn publish(&self, completion: &Completion) -> Result<(), BusFault> {
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
