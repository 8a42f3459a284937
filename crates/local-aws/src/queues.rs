//! A model of SQS: named queues, FIFO or standard, with the caller's clock.
//!
//! Every call takes the time as an argument and returns immediately. There is no clock, no I/O and no randomness
//! here, so the same calls at the same times return the same results, including ids.

mod acceptance;
mod batch;
mod error;
mod message;
mod queue;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub use acceptance::{ATTRIBUTES_MAX, MESSAGE_BYTES_MAX};
pub use batch::{BATCH_ENTRIES_MAX, BatchEntry, BatchOutcome};
pub use error::QueueError;
pub use message::{
    AttributeValue, Message, MessageAttribute, MessageId, NewMessage, ReceiptHandle, ReceivedMessage,
};
pub use settings::{DeduplicationScope, QueueSettings, Redrive};

use crate::faults::Faults;
use acceptance::invalid;
use queue::{Queue, check_visibility_timeout};

/// The maximum visibility timeout in total since the receive. SQS quota: 12 hours.
pub const VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_hours(12);

/// The largest `maxReceiveCount` of a redrive policy. Source: SQS API reference, `RedrivePolicy`.
const RECEIVE_COUNT_MAX: u32 = 1000;

/// The queues of one account in one region.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    by_name: BTreeMap<String, Queue>,
    messages_sent: u64,
    faults: Faults,
}

/// The result of an accepted send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message's id. For a duplicate, the id of the first message.
    pub message_id: MessageId,
    /// The sequence number, on a FIFO queue only.
    pub sequence_number: Option<u64>,
    /// Whether the message repeats an earlier one and is not delivered.
    pub is_duplicate: bool,
}

/// The result of an accepted delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The call deleted the message.
    Deleted(MessageId),
    /// The message was deleted before, which SQS reports as a success.
    AlreadyDeleted(MessageId),
    /// On a standard queue: the message was received again since, so it is not deleted. SQS reports this as a
    /// success too.
    NotDeleted(MessageId),
}

/// The number of messages in a queue, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that are visible, including those of FIFO groups that are blocked.
    pub visible: usize,
    /// Messages that were received and are not visible again yet.
    pub in_flight: usize,
    /// Messages that were sent with a delay that has not passed yet.
    pub delayed: usize,
}

/// An entry of a `ChangeMessageVisibilityBatch` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibilityChange {
    /// The receipt handle of the delivery.
    pub receipt_handle: ReceiptHandle,
    /// The time from now until the message becomes visible again.
    pub timeout: Duration,
}

impl Deleted {
    /// The id of the message that the call named.
    #[must_use]
    pub fn message_id(&self) -> &MessageId {
        match self {
            Self::Deleted(id) | Self::AlreadyDeleted(id) | Self::NotDeleted(id) => id,
        }
    }
}

impl Queues {
    /// Creates a queue. Its dead-letter queue must exist and be of the same type.
    pub fn create(&mut self, name: &str, settings: QueueSettings) -> Result<(), QueueError> {
        if self.by_name.contains_key(name) {
            return Err(QueueError::QueueNameExists);
        }
        if settings.fifo != name.strip_suffix(".fifo").is_some() {
            return invalid(
                "The name of a FIFO queue can only end in .fifo, and no other name may.".to_owned(),
            );
        }
        check_visibility_timeout(settings.visibility_timeout)?;
        if let Some(Redrive { receive_count_max, dead_letter_queue }) = &settings.redrive {
            if !(1..=RECEIVE_COUNT_MAX).contains(receive_count_max) {
                return invalid(format!("maxReceiveCount must be between 1 and {RECEIVE_COUNT_MAX}."));
            }
            if self.queue(dead_letter_queue)?.settings.fifo != settings.fifo {
                return invalid("A dead-letter queue must be of the same type as its source.".to_owned());
            }
        }
        self.by_name.insert(name.to_owned(), Queue::new(name, settings));
        Ok(())
    }

    /// `SendMessage`.
    pub fn send(&mut self, queue: &str, message: NewMessage, now: SystemTime) -> Result<Sent, QueueError> {
        let id = message_id(self.messages_sent + 1);
        let queue = self.queue_mut(queue)?;
        message.check(queue.settings.fifo)?;
        let sent = queue.send(id, message, now);
        if !sent.is_duplicate {
            self.messages_sent += 1;
        }
        Ok(sent)
    }

    /// `ReceiveMessage`: returns up to `count_max` messages, 1 to 10, without waiting. Messages that have reached
    /// the redrive policy's maximum receive count move to the dead-letter queue instead.
    ///
    /// `visibility_timeout` overrides the queue's own for the messages of this receive.
    pub fn receive(
        &mut self,
        queue: &str,
        count_max: usize,
        visibility_timeout: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        if !(1..=BATCH_ENTRIES_MAX).contains(&count_max) {
            return invalid(format!(
                "Value {count_max} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and \
                 {BATCH_ENTRIES_MAX}, if provided."
            ));
        }
        let source = self.queue_mut(queue)?;
        let timeout = visibility_timeout.unwrap_or(source.settings.visibility_timeout);
        check_visibility_timeout(timeout)?;
        let received = source.receive(count_max, timeout, now);
        let target = source.settings.redrive.as_ref().map(|redrive| redrive.dead_letter_queue.clone());
        if let Some(target) = target {
            let target = self.queue_mut(&target)?;
            for message in received.exhausted {
                target.receive_redriven(message, queue, now);
            }
        }
        Ok(received.delivered)
    }

    /// `DeleteMessage`. A FIFO queue refuses a receipt handle whose visibility timeout has passed.
    pub fn delete(
        &mut self,
        queue: &str,
        handle: &ReceiptHandle,
        now: SystemTime,
    ) -> Result<Deleted, QueueError> {
        self.queue_mut(queue)?.delete(handle, now)
    }

    /// `ChangeMessageVisibility`: hides the message for `timeout` from now, up to 12 hours after the receive.
    pub fn change_visibility(
        &mut self,
        queue: &str,
        handle: &ReceiptHandle,
        timeout: Duration,
        now: SystemTime,
    ) -> Result<MessageId, QueueError> {
        self.queue_mut(queue)?.change_visibility(handle, timeout, now)
    }

    /// `SendMessageBatch`. The entry at position `failed_entry` fails with `InternalFailure`.
    pub fn send_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<NewMessage>>,
        failed_entry: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<Sent>, QueueError> {
        self.queue(queue)?;
        let size = entries.iter().map(|entry| entry.entry.size()).sum();
        if size > MESSAGE_BYTES_MAX {
            return Err(QueueError::BatchRequestTooLong(size));
        }
        batch::run(entries, failed_entry, |message| self.send(queue, message, now))
    }

    /// `DeleteMessageBatch`. The entry at position `failed_entry` fails with `InternalFailure`.
    pub fn delete_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<ReceiptHandle>>,
        failed_entry: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<Deleted>, QueueError> {
        let queue = self.queue_mut(queue)?;
        batch::run(entries, failed_entry, |handle| queue.delete(&handle, now))
    }

    /// `ChangeMessageVisibilityBatch`. The entry at position `failed_entry` fails with `InternalFailure`.
    pub fn change_visibility_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<VisibilityChange>>,
        failed_entry: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<MessageId>, QueueError> {
        let queue = self.queue_mut(queue)?;
        batch::run(entries, failed_entry, |VisibilityChange { receipt_handle, timeout }| {
            queue.change_visibility(&receipt_handle, timeout, now)
        })
    }

    pub fn settings(&self, queue: &str) -> Result<&QueueSettings, QueueError> {
        Ok(&self.queue(queue)?.settings)
    }

    /// Every message of a queue, in any state, in the order of arrival.
    pub fn messages(&self, queue: &str) -> Result<&[Message], QueueError> {
        Ok(self.queue(queue)?.messages())
    }

    /// The number of messages in a queue, by state.
    pub fn counts(&self, queue: &str, now: SystemTime) -> Result<Counts, QueueError> {
        Ok(self.queue(queue)?.counts(now))
    }

    /// Whether a receive would return a message, or move one to the dead-letter queue.
    pub fn is_receivable(&self, queue: &str, now: SystemTime) -> Result<bool, QueueError> {
        Ok(self.queue(queue)?.is_receivable(now))
    }

    /// The next time after `now` at which a message of a queue becomes visible. A receive that returned nothing can
    /// be repeated then.
    pub fn next_visible_at(&self, queue: &str, now: SystemTime) -> Result<Option<SystemTime>, QueueError> {
        Ok(self.queue(queue)?.next_visible_at(now))
    }

    /// The faults to inject into the next calls. The code that serves this model applies them, not its methods.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    fn queue(&self, name: &str) -> Result<&Queue, QueueError> {
        self.by_name.get(name).ok_or(QueueError::NonExistentQueue)
    }

    fn queue_mut(&mut self, name: &str) -> Result<&mut Queue, QueueError> {
        self.by_name.get_mut(name).ok_or(QueueError::NonExistentQueue)
    }
}

/// A message id in SQS's format. Ids are sequential, so that runs are reproducible.
fn message_id(number: u64) -> MessageId {
    MessageId(format!("00000000-0000-4000-8000-{number:012x}"))
}
