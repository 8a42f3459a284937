//! The request queue as a sweeper sends to it: in batches, with the effects that the fault injector draws.

use std::sync::Arc;
use std::time::Instant;

use local_aws::NewMessage;
use local_aws::queues::BATCH_ENTRIES_MAX;
use privatelink_detach::aws::request_queue::{Message, RequestQueue, SendError};
use privatelink_detach::clock::Clock;

use super::{Seam, Success, queue_error};
use crate::record::{Change, EntryKind, Operation};

impl RequestQueue for Seam {
    async fn send(&self, messages: &[Message], until: Instant, clock: &Clock) -> Vec<Result<(), SendError>> {
        let requests: Vec<NewMessage> = messages.iter().map(request).collect();
        let invocation = self.invocation.get();
        self.world.note(EntryKind::Requesting { invocation, requests: requests.clone() });
        let mut results = Vec::new();
        for batch in requests.chunks(BATCH_ENTRIES_MAX) {
            if clock.now() >= until {
                results.resize_with(messages.len(), || Err(SendError::NoResult));
            } else if let Err(error) = self.send_batch(batch, &mut results).await {
                results.resize_with(results.len() + batch.len(), || Err(error.clone()));
                results.resize_with(messages.len(), || Err(SendError::EarlierCallFailed));
            }
        }
        results.truncate(messages.len());
        results
    }
}

impl Seam {
    /// Sends one batch, and adds the result of each entry. An error is that of the whole call.
    async fn send_batch(
        &self,
        batch: &[NewMessage],
        results: &mut Vec<Result<(), SendError>>,
    ) -> Result<(), SendError> {
        let mut requests = batch.to_vec();
        let failed = self.world.injector.borrow_mut().failed_entry(requests.len());
        if let Some(failed) = failed {
            requests.remove(failed);
        }
        let sent = self.change(Change::Request { requests }).await;
        let sent =
            sent.map_err(|error| SendError::CallFailed(Arc::new(queue_error("SendMessageBatch", error))))?;
        let by = Some(self.invocation.get());
        for entry in 0..batch.len() {
            results.push(match sent {
                // The sender's own check of the response finds no entry in it.
                Success::Empty => Err(SendError::NoResult),
                Success::Whole if failed == Some(entry) => {
                    self.world.note(EntryKind::Failed { by, operation: Operation::Request });
                    Err(SendError::Refused { code: "InternalFailure".to_owned() })
                }
                Success::Whole => Ok(()),
            });
        }
        Ok(())
    }
}

/// The message as SQS gets it.
fn request(message: &Message) -> NewMessage {
    let Message { group, deduplication_id, body, trigger } = message;
    NewMessage::fifo(body.as_str(), group, deduplication_id).attribute("trigger", trigger.as_str())
}
