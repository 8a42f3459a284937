//! A model of SQS: named queues, FIFO or standard, on whatever clock the caller keeps.
//!
//! Every call takes the time and returns at once. There is no clock, no I/O and no randomness here, so the same calls at
//! the same times give the same answers, ids included.

mod acceptance;
mod batch;
mod error;
mod message;
mod queue;
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

use crate::faults::Faults;
use acceptance::invalid;
use queue::{Queue, check_visibility_timeout};

/// The longest visibility timeout, in all since the receive. SQS quota: 12 hours.
pub const VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_hours(12);

/// The most receives a redrive policy can allow. SQS API reference, `RedrivePolicy`.
const RECEIVE_COUNT_MAX: u32 = 1000;

/// The queues of one account in one region.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    by_name: BTreeMap<String, Queue>,
    messages_sent: u64,
    faults: Faults,
}

/// What a queue is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Whether the queue keeps the order of each message group and delivers once.
    pub fifo: bool,
    /// How long a received message stays hidden, unless the receive says otherwise.
    pub visibility_timeout: Duration,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
    /// Among what a deduplication id must be unique; a standard queue ignores it.
    pub deduplication: DeduplicationScope,
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// How often a message is delivered before it is moved.
    pub receive_count_max: u32,
    /// The name of the queue it is moved to, which must be of the same type.
    pub dead_letter_queue: String,
}

/// Among what a deduplication id must be unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeduplicationScope {
    /// The whole queue.
    #[default]
    Queue,
    /// One message group, as in high-throughput mode.
    MessageGroup,
}

/// A message that a queue accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The id; of the first message, if this one repeats it.
    pub message_id: MessageId,
    /// The position on a FIFO queue.
    pub sequence_number: Option<u64>,
    /// Whether the message repeats an earlier one, and so will not be delivered.
    pub is_duplicate: bool,
}

/// A call to delete that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The message is gone now.
    Deleted(MessageId),
    /// It had gone before; SQS calls that a success.
    Gone(MessageId),
    /// It was received again since, so it stays, on a standard queue only; SQS calls that a success too.
    Kept(MessageId),
}

/// How many messages a queue holds, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, though a FIFO group may hold some back.
    pub visible: usize,
    /// Received and not yet visible again.
    pub in_flight: usize,
    /// Sent with a delay that has not passed.
    pub delayed: usize,
}

/// An entry of a `ChangeMessageVisibilityBatch` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibilityChange {
    /// The delivery it concerns.
    pub receipt_handle: ReceiptHandle,
    /// From now until the message is visible again.
    pub timeout: Duration,
}

impl QueueSettings {
    /// A FIFO queue with SQS's default visibility timeout of 30 s and no dead-letter queue.
    #[must_use]
    pub fn fifo() -> Self {
        Self { fifo: true, ..Self::standard() }
    }

    /// A standard queue with SQS's default visibility timeout of 30 s and no dead-letter queue.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            fifo: false,
            visibility_timeout: Duration::from_secs(30),
            redrive: None,
            deduplication: DeduplicationScope::default(),
        }
    }

    /// The same settings with another visibility timeout.
    #[must_use]
    pub fn visibility_timeout(self, visibility_timeout: Duration) -> Self {
        Self { visibility_timeout, ..self }
    }

    /// The same settings with a redrive policy.
    #[must_use]
    pub fn redrive(self, receive_count_max: u32, dead_letter_queue: &str) -> Self {
        let redrive = Redrive { receive_count_max, dead_letter_queue: dead_letter_queue.to_owned() };
        Self { redrive: Some(redrive), ..self }
    }
}

impl Deleted {
    /// The message the call was about.
    #[must_use]
    pub fn message_id(&self) -> &MessageId {
        match self {
            Self::Deleted(id) | Self::Gone(id) | Self::Kept(id) => id,
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

    /// `ReceiveMessage`: up to `count_max` messages, 1 to 10, at once. Messages that have used up their receives move to
    /// the dead-letter queue instead.
    ///
    /// `visibility_timeout` replaces the queue's own for the messages of this receive.
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
        let taken = source.receive(count_max, timeout, now);
        let target = source.settings.redrive.as_ref().map(|redrive| redrive.dead_letter_queue.clone());
        if let Some(target) = target {
            let target = self.queue_mut(&target)?;
            for message in taken.exhausted {
                target.take_in(message, queue, now);
            }
        }
        Ok(taken.delivered)
    }

    /// `DeleteMessage`. A FIFO queue refuses a handle whose visibility timeout has passed.
    pub fn delete(
        &mut self,
        queue: &str,
        handle: &ReceiptHandle,
        now: SystemTime,
    ) -> Result<Deleted, QueueError> {
        self.queue_mut(queue)?.delete(handle, now)
    }

    /// `ChangeMessageVisibility`: hidden from now for `timeout`, at most twelve hours after the receive.
    pub fn change_visibility(
        &mut self,
        queue: &str,
        handle: &ReceiptHandle,
        timeout: Duration,
        now: SystemTime,
    ) -> Result<MessageId, QueueError> {
        self.queue_mut(queue)?.change_visibility(handle, timeout, now)
    }

    /// `SendMessageBatch`. The entry at position `broken` fails as if the service had stumbled over it.
    pub fn send_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<NewMessage>>,
        broken: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<Sent>, QueueError> {
        self.queue(queue)?;
        let size = entries.iter().map(|entry| entry.entry.size()).sum();
        if size > MESSAGE_BYTES_MAX {
            return Err(QueueError::BatchRequestTooLong(size));
        }
        batch::run(entries, broken, |message| self.send(queue, message, now))
    }

    /// `DeleteMessageBatch`. The entry at position `broken` fails as if the service had stumbled over it.
    pub fn delete_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<ReceiptHandle>>,
        broken: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<Deleted>, QueueError> {
        let queue = self.queue_mut(queue)?;
        batch::run(entries, broken, |handle| queue.delete(&handle, now))
    }

    /// `ChangeMessageVisibilityBatch`. The entry at position `broken` fails as if the service had stumbled over it.
    pub fn change_visibility_batch(
        &mut self,
        queue: &str,
        entries: Vec<BatchEntry<VisibilityChange>>,
        broken: Option<usize>,
        now: SystemTime,
    ) -> Result<BatchOutcome<MessageId>, QueueError> {
        let queue = self.queue_mut(queue)?;
        batch::run(entries, broken, |VisibilityChange { receipt_handle, timeout }| {
            queue.change_visibility(&receipt_handle, timeout, now)
        })
    }

    /// What a queue is like.
    pub fn settings(&self, queue: &str) -> Result<&QueueSettings, QueueError> {
        Ok(&self.queue(queue)?.settings)
    }

    /// Every message of a queue, whatever its state, in the order of arrival.
    pub fn messages(&self, queue: &str) -> Result<&[Message], QueueError> {
        Ok(self.queue(queue)?.messages())
    }

    /// How many messages a queue holds, by state.
    pub fn counts(&self, queue: &str, now: SystemTime) -> Result<Counts, QueueError> {
        Ok(self.queue(queue)?.counts(now))
    }

    /// Whether a receive would find something: a message to deliver, or one to move to the dead-letter queue.
    pub fn is_receivable(&self, queue: &str, now: SystemTime) -> Result<bool, QueueError> {
        Ok(self.queue(queue)?.is_receivable(now))
    }

    /// The next moment after `now` at which a message of a queue becomes visible by itself: when a receive that found
    /// nothing is worth repeating.
    pub fn next_visible_at(&self, queue: &str, now: SystemTime) -> Result<Option<SystemTime>, QueueError> {
        Ok(self.queue(queue)?.next_visible_at(now))
    }

    /// The faults that coming calls will suffer. The calls of this model do not look at them: whoever serves it does.
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

/// Ids look like SQS's and count up, so that a run can be repeated.
fn message_id(number: u64) -> MessageId {
    MessageId(format!("00000000-0000-4000-8000-{number:012x}"))
}
