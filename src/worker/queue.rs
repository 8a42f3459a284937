//! The request queue and the dead-letter queue: the three operations on a delivery.

use std::time::Duration;

use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchOutput;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue};

use crate::aws::sqs::{BATCH_ENTRIES_MAX, QueueError, SEND, attribute_text, check_sent, visibility_seconds};
use crate::aws::sqs_event::Delivery;
use crate::aws::{LazyClient, shown_code};
use crate::request::RequestId;

const CHANGE_VISIBILITY: &str = "ChangeMessageVisibilityBatch";

/// Maximum number of bytes of a message with its attributes, SQS's limit.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A message that an operator must see, copied to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    pub delivery: &'a Delivery,
    pub request_id: &'a RequestId,
    /// The outcome's name.
    pub outcome: &'a str,
    pub reason_code: &'a str,
    /// Shortened to 256 characters in the copy.
    pub reason_message: &'a str,
}

impl DeadLetter<'_> {
    /// The body of the copy: the message's, byte for byte; `null` for an absent one, because SQS accepts no empty body.
    #[must_use]
    pub fn body(&self) -> &str {
        self.delivery.body.as_deref().filter(|body| !body.is_empty()).unwrap_or("null")
    }

    /// The attributes of the copy, none of them empty; none at all if the copy would be too large with them.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let attributes = vec![
            ("reason_code", attribute_text(self.reason_code)),
            ("reason_message", attribute_text(self.reason_message)),
            ("outcome", self.outcome.to_owned()),
            ("request_id", self.request_id.to_string()),
            ("source_message_id", self.delivery.message_id.clone()),
            ("trigger", self.delivery.trigger.as_str().to_owned()),
        ];
        let attribute_bytes: usize =
            attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum();
        if self.body().len() + attribute_bytes > MESSAGE_BYTES_MAX {
            return Vec::new();
        }
        attributes.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The queue as the worker uses it.
///
/// A seam: production calls SQS, a simulation on a virtual clock keeps the queue in memory.
pub trait Queue {
    /// Does the CPU-bound preparation for the first call. It makes no call.
    fn prepare(&self) {}

    /// Deletes a finished message.
    fn delete(&self, delivery: &Delivery) -> impl Future<Output = Result<(), QueueError>>;

    /// Returns messages to the queue, which delivers them again after `visibility`.
    fn defer(
        &self,
        deliveries: &[Delivery],
        visibility: Duration,
    ) -> impl Future<Output = Result<(), QueueError>>;

    /// Copies a message to the dead-letter queue. `Ok` only if the queue returned a receipt for the copy.
    fn send_dead_letter(&self, dead_letter: &DeadLetter<'_>) -> impl Future<Output = Result<(), QueueError>>;
}

/// Amazon SQS.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: LazyClient<aws_sdk_sqs::Client>,
    request_queue_url: String,
    dead_letter_queue_url: String,
}

impl Sqs {
    #[must_use]
    pub fn new(
        client: impl Into<LazyClient<aws_sdk_sqs::Client>>,
        request_queue_url: String,
        dead_letter_queue_url: String,
    ) -> Self {
        Self { client: client.into(), request_queue_url, dead_letter_queue_url }
    }
}

impl Queue for Sqs {
    fn prepare(&self) {
        self.client.build();
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        let request = self.client.delete_message().queue_url(&self.request_queue_url);
        let sent = request.receipt_handle(&delivery.receipt_handle).send().await;
        sent.map(drop).map_err(|error| QueueError::call("DeleteMessage", error))
    }

    async fn defer(&self, deliveries: &[Delivery], visibility: Duration) -> Result<(), QueueError> {
        // One call is enough, except for the batch of a standard queue, which may have more messages than a call takes.
        for some in deliveries.chunks(BATCH_ENTRIES_MAX) {
            self.change_visibility(some, visibility).await?;
        }
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "every required field is set")]
    async fn send_dead_letter(&self, dead_letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let mut request = self
            .client
            .send_message()
            .queue_url(&self.dead_letter_queue_url)
            .message_body(dead_letter.body());
        for (name, value) in dead_letter.attributes() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            request = request.message_attributes(name, value.expect("an attribute with a data type"));
        }
        if self.dead_letter_queue_url.strip_suffix(".fifo").is_some() {
            // A message of a standard queue may have no group; then its own id is the group.
            let group =
                dead_letter.delivery.message_group.as_ref().unwrap_or(&dead_letter.delivery.message_id);
            request =
                request.message_group_id(group).message_deduplication_id(&dead_letter.delivery.message_id);
        }
        let response = request.send().await.map_err(|error| QueueError::call(SEND, error))?;
        check_sent(&response, dead_letter.body())
    }
}

impl Sqs {
    #[expect(clippy::expect_used, reason = "every required field is set")]
    async fn change_visibility(
        &self,
        deliveries: &[Delivery],
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let seconds = visibility_seconds(visibility);
        let mut request = self.client.change_message_visibility_batch().queue_url(&self.request_queue_url);
        for (index, delivery) in deliveries.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&delivery.receipt_handle)
                .visibility_timeout(seconds)
                .build()
                .expect("an entry with an id and a receipt handle");
            request = request.entries(entry);
        }
        let response = request.send().await.map_err(|error| QueueError::call(CHANGE_VISIBILITY, error))?;
        check_returned(&response, deliveries.len())
    }
}

/// Checks that a successful response to `ChangeMessageVisibilityBatch` names each of `of` entries, whose ids are their
/// indexes, as changed.
pub fn check_returned(response: &ChangeMessageVisibilityBatchOutput, of: usize) -> Result<(), QueueError> {
    // An entry that the response does not name is not changed.
    let is_changed = |index: &usize| {
        let id = index.to_string();
        response.successful().iter().any(|entry| entry.id() == id)
    };
    let failed = of - (0..of).filter(is_changed).count();
    if failed == 0 {
        return Ok(());
    }
    let code = response.failed().first().map_or("no result", |first| shown_code(first.code())).to_owned();
    Err(QueueError::Entries { operation: CHANGE_VISIBILITY, failed, of, code })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_sdk_sqs::types::{BatchResultErrorEntry, ChangeMessageVisibilityBatchResultEntry};

    use super::*;
    use crate::aws;

    #[test]
    fn client_is_built_by_the_preparation_and_not_with_the_queue() {
        static BUILDS: AtomicU32 = AtomicU32::new(0);
        let client = LazyClient::new(&aws::config(|_| None).unwrap(), |config| {
            BUILDS.fetch_add(1, Ordering::Relaxed);
            aws_sdk_sqs::Client::new(config)
        });
        let queue = Sqs::new(client, String::new(), String::new());
        assert_eq!(BUILDS.load(Ordering::Relaxed), 0);
        queue.prepare();
        assert_eq!(BUILDS.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn entry_that_the_response_does_not_name_as_changed_is_not() {
        let changed = |id: &str| ChangeMessageVisibilityBatchResultEntry::builder().id(id).build().unwrap();
        let refused = BatchResultErrorEntry::builder().id("1").code("ReceiptHandleIsInvalid");
        let refused = refused.sender_fault(true).build().unwrap();
        let response = |ids: &[&str], failed: &[BatchResultErrorEntry]| {
            let ids = ids.iter().map(|id| changed(id)).collect();
            let response = ChangeMessageVisibilityBatchOutput::builder().set_successful(Some(ids));
            response.set_failed(Some(failed.to_vec())).build().unwrap()
        };
        let check = |response, of| check_returned(&response, of).map_err(|error| error.to_string());
        let failed = |failed: usize, of: usize, code: &str| {
            let text = format!(
                "ChangeMessageVisibilityBatch failed for {failed} of {of} entries, for the first with {code}"
            );
            Err(text)
        };
        assert_eq!(check(response(&["0", "1"], &[]), 2), Ok(()));
        assert_eq!(check(response(&["0"], &[refused]), 2), failed(1, 2, "ReceiptHandleIsInvalid"));
        assert_eq!(check(response(&["0", "2"], &[]), 3), failed(1, 3, "no result"));
        assert_eq!(check(response(&[], &[]), 2), failed(2, 2, "no result"));
    }
}
