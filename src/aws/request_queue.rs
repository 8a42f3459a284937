//! Sends messages to the request queue in batches of ten, and reports for each message whether the queue has it.
//!
//! It does not parse requests: the caller decides what a message contains. A message counts as accepted only if a
//! response names it as successful, with its message id and the MD5 of its body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use thiserror::Error;
use tracing::warn;

use super::sqs::{BATCH_ENTRIES_MAX, NoReceipt, QueueError, check_receipt};
use super::{LazyClient, shown_code};
use crate::clock::Clock;
use crate::request::Trigger;
use crate::telemetry;

/// Maximum number of calls that contain one entry. The SDK already retries a call that fails as a whole; it does not retry
/// an entry that fails in a successful call.
const ENTRY_ATTEMPTS_MAX: u32 = 3;

/// Time between two calls for one entry.
const ENTRY_RETRY_AFTER: Duration = Duration::from_millis(200);

const OPERATION: &str = "SendMessageBatch";

/// A message for the request queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message group, which is the lane.
    pub group: String,
    /// The same for every delivery of the same request.
    pub deduplication_id: String,
    /// The request as JSON.
    pub body: String,
    /// The trigger of the request.
    pub trigger: Trigger,
}

/// Why the queue does not have a message, as far as its sender knows.
#[derive(Debug, Clone, Error)]
pub enum SendError {
    /// No call was made in time, or no response named the message.
    #[error("SQS neither accepted nor refused the message in time")]
    NoResult,
    /// A response named the message as failed.
    #[error("SQS refused the message with {code}")]
    Refused {
        /// SQS's code.
        code: String,
    },
    /// A response named the message as successful, and does not show that SQS has it as it was sent.
    #[error("SQS accepted the message without a receipt for it")]
    NoReceipt(#[source] NoReceipt),
    /// The call that contained the message failed as a whole.
    #[error("the message was in a call that failed")]
    CallFailed(#[source] Arc<QueueError>),
    /// The message was not sent, because the call before it failed as a whole.
    #[error("the message was not sent, because an earlier call failed")]
    EarlierCallFailed,
}

/// The request queue as the functions that send to it use it.
///
/// A seam: production calls SQS, a simulation on a virtual clock keeps the queue in memory.
pub trait RequestQueue {
    /// Sends the messages in their order. Returns one result per message, in the same order.
    ///
    /// No call begins after `until`. After a call that failed as a whole, no further message is sent: the queue is
    /// unavailable.
    fn send(
        &self,
        messages: &[Message],
        until: Instant,
        clock: &Clock,
    ) -> impl Future<Output = Vec<Result<(), SendError>>>;
}

/// Sends to the request queue, a FIFO queue.
#[derive(Debug, Clone)]
pub struct Sender {
    client: LazyClient<aws_sdk_sqs::Client>,
    queue_url: String,
}

impl Sender {
    /// Sends to the queue with this URL.
    #[must_use]
    pub fn new(client: impl Into<LazyClient<aws_sdk_sqs::Client>>, queue_url: String) -> Self {
        Self { client: client.into(), queue_url }
    }

    /// Does the CPU-bound preparation for the first message, while the function waits for the network.
    pub(crate) fn prepare(&self) {
        self.client.build();
    }

    async fn send_batch(
        &self,
        messages: &[Message],
        batch: &mut Batch,
        until: Instant,
        clock: &Clock,
    ) -> Result<(), QueueError> {
        for attempt in 1..=ENTRY_ATTEMPTS_MAX {
            let pending = batch.pending();
            if pending.is_empty() {
                break;
            }
            if attempt > 1 {
                clock.sleep_until(clock.now() + ENTRY_RETRY_AFTER).await;
            }
            if clock.now() >= until {
                break;
            }
            let mut request = self.client.send_message_batch().queue_url(&self.queue_url);
            for index in pending {
                request = request.entries(entry(index, &messages[index]));
            }
            let response = request.send().await;
            let response = response.map_err(|error| QueueError::call(OPERATION, error))?;
            batch.record_response(&response, messages);
        }
        Ok(())
    }
}

impl RequestQueue for Sender {
    async fn send(&self, messages: &[Message], until: Instant, clock: &Clock) -> Vec<Result<(), SendError>> {
        let mut results = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(BATCH_ENTRIES_MAX) {
            let mut batch = Batch::new(chunk.len());
            let sent = self.send_batch(chunk, &mut batch, until, clock).await;
            if let Err(error) = sent {
                warn!("the request queue is unavailable: {}", telemetry::cause(&error));
                batch.record_failed_call(error);
                results.extend(batch.into_results());
                break;
            }
            results.extend(batch.into_results());
        }
        results.resize_with(messages.len(), || Err(SendError::EarlierCallFailed));
        results
    }
}

#[expect(clippy::expect_used, reason = "every required field is set")]
fn entry(index: usize, message: &Message) -> SendMessageBatchRequestEntry {
    let trigger =
        MessageAttributeValue::builder().data_type("String").string_value(message.trigger.as_str()).build();
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_group_id(&message.group)
        .message_deduplication_id(&message.deduplication_id)
        .message_body(&message.body)
        .message_attributes("trigger", trigger.expect("an attribute with a data type"))
        .build()
        .expect("an entry with an id and a body")
}

/// The state of each entry of one batch, by its index. The index is also the entry's id in a call.
struct Batch {
    entries: Vec<EntryState>,
}

#[derive(Debug)]
enum EntryState {
    /// Not accepted so far; the next call contains it.
    Pending { last: SendError },
    /// The queue has the message.
    Accepted,
    /// SQS refuses the message for a reason that a retry does not change.
    Refused { code: String },
}

impl Batch {
    fn new(length: usize) -> Self {
        let pending = || EntryState::Pending { last: SendError::NoResult };
        Self { entries: std::iter::repeat_with(pending).take(length).collect() }
    }

    fn pending(&self) -> Vec<usize> {
        let is_pending = |index: &usize| matches!(self.entries[*index], EntryState::Pending { .. });
        (0..self.entries.len()).filter(is_pending).collect()
    }

    /// Records the result of each entry that the response names. `messages` are those of the batch.
    fn record_response(&mut self, response: &SendMessageBatchOutput, messages: &[Message]) {
        for successful in response.successful() {
            let Some(message) = index_of(successful.id()).and_then(|index| messages.get(index)) else {
                continue;
            };
            let (id, md5) = (successful.message_id(), successful.md5_of_message_body());
            let state = match check_receipt(Some(id), Some(md5), &message.body) {
                Ok(()) => EntryState::Accepted,
                // The next call repeats it; the deduplication id makes that harmless.
                Err(why) => EntryState::Pending { last: SendError::NoReceipt(why) },
            };
            self.set(successful.id(), state);
        }
        for failed in response.failed() {
            let (code, is_senders_fault) = (shown_code(failed.code()), failed.sender_fault());
            warn!(code, is_senders_fault, "SQS did not accept a message");
            let code = code.to_owned();
            // SQS reports throttling as the sender's fault, too, but it is transient.
            let is_permanent = is_senders_fault && !code.contains("Throttl");
            let state = if is_permanent {
                EntryState::Refused { code }
            } else {
                EntryState::Pending { last: SendError::Refused { code } }
            };
            self.set(failed.id(), state);
        }
    }

    fn record_failed_call(&mut self, error: QueueError) {
        let error = Arc::new(error);
        for state in &mut self.entries {
            if let EntryState::Pending { last } = state {
                *last = SendError::CallFailed(Arc::clone(&error));
            }
        }
    }

    /// Ignores an id that is not an entry's.
    fn set(&mut self, id: &str, state: EntryState) {
        if let Some(entry) = index_of(id).and_then(|index| self.entries.get_mut(index)) {
            *entry = state;
        }
    }

    fn into_results(self) -> impl Iterator<Item = Result<(), SendError>> {
        self.entries.into_iter().map(|state| match state {
            EntryState::Accepted => Ok(()),
            EntryState::Pending { last } => Err(last),
            EntryState::Refused { code } => Err(SendError::Refused { code }),
        })
    }
}

/// The index of the entry with this id, if it has the form of our ids.
fn index_of(id: &str) -> Option<usize> {
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};

    use super::*;

    /// The MD5 of `{}`, the body of every message here.
    const MD5: &str = "99914b932bd37a50b983c5e7c90ae93b";

    /// Messages with the body `{}`.
    fn messages<const N: usize>() -> [Message; N] {
        std::array::from_fn(|index| Message {
            group: "lane".to_owned(),
            deduplication_id: index.to_string(),
            body: "{}".to_owned(),
            trigger: Trigger::Webhook,
        })
    }

    fn accepted(id: &str, message_id: &str, md5: &str) -> SendMessageBatchResultEntry {
        let entry = SendMessageBatchResultEntry::builder().id(id).message_id(message_id);
        entry.md5_of_message_body(md5).build().unwrap()
    }

    /// A response with the ids of accepted entries, and id, code and `SenderFault` of failed ones.
    fn response(accepted: &[&str], failed: &[(&str, &str, bool)]) -> SendMessageBatchOutput {
        let accepted = accepted.iter().map(|id| self::accepted(id, "m", MD5));
        let failed = failed.iter().map(|(id, code, is_senders_fault)| {
            let entry = BatchResultErrorEntry::builder().id(*id).code(*code).sender_fault(*is_senders_fault);
            entry.build().unwrap()
        });
        let response = SendMessageBatchOutput::builder().set_successful(Some(accepted.collect()));
        response.set_failed(Some(failed.collect())).build().unwrap()
    }

    fn results(batch: Batch) -> Vec<Result<(), String>> {
        batch.into_results().map(|result| result.map_err(|error| telemetry::cause(&error))).collect()
    }

    #[test]
    fn entry_is_accepted_only_if_a_response_names_it_as_successful() {
        let mut batch = Batch::new(4);
        batch.record_response(&response(&["2", "4", ""], &[("0", "Code", false)]), &messages::<4>());
        assert_eq!(batch.pending(), [0, 1, 3]);
        let unnamed = Err("SQS neither accepted nor refused the message in time".to_owned());
        let refused = Err("SQS refused the message with Code".to_owned());
        assert_eq!(results(batch), [refused, unnamed.clone(), Ok(()), unnamed]);
    }

    #[test]
    fn entry_without_a_receipt_is_not_accepted_and_sent_again() {
        let mut batch = Batch::new(4);
        let successful = [
            accepted("0", "", MD5),
            accepted("1", "m", ""),
            accepted("2", "m", "5"),
            accepted("3", "m", MD5),
        ];
        let response = SendMessageBatchOutput::builder().set_successful(Some(successful.into()));
        let response = response.set_failed(Some(Vec::new())).build().unwrap();
        batch.record_response(&response, &messages::<4>());
        assert_eq!(batch.pending(), [0, 1, 2]);
        let results = results(batch);
        let why = |why: &str| Err(format!("SQS accepted the message without a receipt for it: {why}"));
        assert_eq!(
            results[..2],
            [why("the response has no message id"), why("the response has no MD5 of the body")]
        );
        assert_eq!(results[2..], [why("the MD5 in the response is not that of the body"), Ok(())]);
    }

    #[test]
    fn entry_with_a_permanent_error_is_not_sent_again() {
        let mut batch = Batch::new(3);
        let failed = [("1", "InvalidMessageContents", true), ("2", "RequestThrottled", true)];
        batch.record_response(&response(&[], &failed), &messages::<3>());
        assert_eq!(batch.pending(), [0, 2]);
    }

    #[test]
    fn failed_call_keeps_the_accepted_entries() {
        let mut batch = Batch::new(2);
        batch.record_response(&response(&["0"], &[]), &messages::<2>());
        batch.record_failed_call(QueueError::out_of_time(OPERATION));
        let failed = "the message was in a call that failed: SendMessageBatch failed: Timeout: no time is left in this invocation".to_owned();
        assert_eq!(results(batch), [Ok(()), Err(failed)]);
    }
}
