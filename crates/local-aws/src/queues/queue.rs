//! One queue: the order of delivery, visibility, receipts and deduplication.
//!
//! The caller passes the time. A queue does not know other queues: the caller moves messages to a dead-letter queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, SystemTime};

use super::acceptance::invalid;
use super::message::{Message, MessageId, NewMessage, Receipt, ReceiptHandle, ReceivedMessage};
use super::{Counts, DeduplicationScope, Deleted, QueueError, QueueSettings, Sent, VISIBILITY_TIMEOUT_MAX};

/// How long a FIFO queue keeps a deduplication id, even after the message was deleted. Source: SQS developer guide.
const DEDUPLICATION_WINDOW: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub(super) struct Queue {
    name: String,
    pub(super) settings: QueueSettings,
    /// In the order of arrival.
    messages: Vec<Message>,
    /// The messages sent within [`DEDUPLICATION_WINDOW`], by scope and deduplication id.
    deduplicated: HashMap<DeduplicationKey, (SystemTime, Sent)>,
    /// The keys of `deduplicated` in the order of sending, which is the order of their removal.
    expiry_order: VecDeque<(SystemTime, DeduplicationKey)>,
    receipts_issued: u64,
    sequence_number: u64,
}

/// The scope of a deduplication id, and the id.
type DeduplicationKey = (Option<String>, String);

/// The messages that one receive removed or delivered.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) delivered: Vec<ReceivedMessage>,
    /// Messages that have reached the maximum receive count; they are no longer in this queue.
    pub(super) exhausted: Vec<Message>,
}

impl Queue {
    pub(super) fn new(name: &str, settings: QueueSettings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            messages: Vec::new(),
            deduplicated: HashMap::new(),
            expiry_order: VecDeque::new(),
            receipts_issued: 0,
            sequence_number: 0,
        }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Sends a message that the caller has checked. A duplicate within the window is accepted and not delivered.
    pub(super) fn send(&mut self, id: MessageId, message: NewMessage, now: SystemTime) -> Sent {
        let key = message.deduplication_id.clone().map(|deduplication_id| {
            let scope = match self.settings.deduplication {
                DeduplicationScope::Queue => None,
                DeduplicationScope::MessageGroup => message.group.clone(),
            };
            (scope, deduplication_id)
        });
        while let Some((_, key)) = self.expiry_order.pop_front_if(|(at, _)| *at + DEDUPLICATION_WINDOW <= now)
        {
            self.deduplicated.remove(&key);
        }
        if let Some((_, sent)) = key.as_ref().and_then(|key| self.deduplicated.get(key)) {
            return Sent { is_duplicate: true, ..sent.clone() };
        }

        let sequence_number = self.next_sequence_number();
        let sent = Sent { message_id: id.clone(), sequence_number, is_duplicate: false };
        if let Some(key) = key {
            self.expiry_order.push_back((now, key.clone()));
            self.deduplicated.insert(key, (now, sent.clone()));
        }
        self.messages.push(Message {
            id,
            body: message.body,
            attributes: message.attributes,
            group: message.group,
            deduplication_id: message.deduplication_id,
            sequence_number,
            sent_at: now,
            first_received_at: None,
            receive_count: 0,
            dead_letter_source: None,
            visible_at: now + message.delay.unwrap_or_default(),
            receipt: None,
        });
        sent
    }

    /// Adds a message that a redrive policy moved to this queue.
    pub(super) fn receive_redriven(&mut self, mut message: Message, source: &str, now: SystemTime) {
        message.dead_letter_source = Some(source.to_owned());
        message.sequence_number = self.next_sequence_number();
        message.receipt = None;
        message.visible_at = now;
        if self.settings.fifo {
            // A standard queue keeps the original timestamp, a FIFO queue sets a new one. Source: SQS developer
            // guide, "Message retention periods for dead-letter queues".
            message.sent_at = now;
        }
        self.messages.push(message);
    }

    pub(super) fn receive(
        &mut self,
        count_max: usize,
        visibility_timeout: Duration,
        now: SystemTime,
    ) -> Received {
        let mut received = Received::default();
        let mut exhausted_ids = HashSet::new();
        for index in self.deliverable(now) {
            if received.delivered.len() == count_max {
                break;
            }
            let receives_max =
                self.settings.redrive.as_ref().map_or(u32::MAX, |redrive| redrive.receive_count_max);
            let message = &mut self.messages[index];
            if message.receive_count >= receives_max {
                received.exhausted.push(message.clone());
                exhausted_ids.insert(message.id.clone());
                continue;
            }
            self.receipts_issued += 1;
            message.receive_count += 1;
            message.first_received_at.get_or_insert(now);
            message.visible_at = now + visibility_timeout;
            message.receipt = Some(Receipt { number: self.receipts_issued, at: now });
            received.delivered.push(ReceivedMessage {
                receipt_handle: ReceiptHandle::new(&self.name, &message.id, self.receipts_issued),
                message: message.clone(),
            });
        }
        if !exhausted_ids.is_empty() {
            self.messages.retain(|message| !exhausted_ids.contains(&message.id));
        }
        received
    }

    pub(super) fn delete(&mut self, handle: &ReceiptHandle, now: SystemTime) -> Result<Deleted, QueueError> {
        let (id, receipt) = self.issued(handle)?;
        let Some(index) = self.messages.iter().position(|message| message.id == id) else {
            return Ok(Deleted::AlreadyDeleted(id));
        };
        let message = &self.messages[index];
        let is_latest = message.receipt.is_some_and(|latest| latest.number == receipt);
        if self.settings.fifo && !(is_latest && message.visible_at > now) {
            return invalid(format!(
                "Value {} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
                handle.as_str()
            ));
        }
        if !is_latest {
            return Ok(Deleted::NotDeleted(id));
        }
        self.messages.remove(index);
        Ok(Deleted::Deleted(id))
    }

    pub(super) fn change_visibility(
        &mut self,
        handle: &ReceiptHandle,
        timeout: Duration,
        now: SystemTime,
    ) -> Result<MessageId, QueueError> {
        check_visibility_timeout(timeout)?;
        let (id, receipt) = self.issued(handle)?;
        let found = self.messages.iter_mut().find(|message| message.id == id);
        let latest = found.and_then(|message| {
            let latest = message.receipt.filter(|latest| latest.number == receipt)?;
            Some((message, latest))
        });
        let Some((message, latest)) = latest else {
            return invalid(format!(
                "Value {} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available \
                 for visibility timeout change.",
                handle.as_str()
            ));
        };
        if message.visible_at <= now {
            return Err(QueueError::MessageNotInflight);
        }
        if now + timeout > latest.at + VISIBILITY_TIMEOUT_MAX {
            return invalid(format!(
                "Value {} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message \
                 is beyond the limit [{} seconds].",
                timeout.as_secs(),
                VISIBILITY_TIMEOUT_MAX.as_secs()
            ));
        }
        message.visible_at = now + timeout;
        Ok(id)
    }

    pub(super) fn counts(&self, now: SystemTime) -> Counts {
        let mut counts = Counts::default();
        for message in &self.messages {
            match (message.visible_at > now, message.receipt) {
                (false, _) => counts.visible += 1,
                (true, Some(_)) => counts.in_flight += 1,
                (true, None) => counts.delayed += 1,
            }
        }
        counts
    }

    pub(super) fn is_receivable(&self, now: SystemTime) -> bool {
        !self.deliverable(now).is_empty()
    }

    /// The next time after `now` at which a message becomes visible.
    pub(super) fn next_visible_at(&self, now: SystemTime) -> Option<SystemTime> {
        self.messages.iter().map(|message| message.visible_at).filter(|at| *at > now).min()
    }

    /// The indexes of the messages that can be delivered now, in the order of delivery.
    ///
    /// A message in flight blocks its whole message group on a FIFO queue. A receive returns messages group by
    /// group, starting with the group that has waited longest. Source: SQS developer guide, "FIFO delivery logic".
    fn deliverable(&self, now: SystemTime) -> Vec<usize> {
        let visible = |message: &Message| message.visible_at <= now;
        let indexes = 0..self.messages.len();
        if !self.settings.fifo {
            return indexes.filter(|index| visible(&self.messages[*index])).collect();
        }
        let hidden = self.messages.iter().filter(|message| !visible(message));
        let blocked: HashSet<&Option<String>> = hidden.map(|message| &message.group).collect();
        let mut first_of_group: HashMap<&Option<String>, usize> = HashMap::new();
        for (index, message) in self.messages.iter().enumerate() {
            first_of_group.entry(&message.group).or_insert(index);
        }
        let mut indexes: Vec<usize> =
            indexes.filter(|index| !blocked.contains(&self.messages[*index].group)).collect();
        indexes.sort_by_key(|index| (first_of_group[&self.messages[*index].group], *index));
        indexes
    }

    /// The message and the number of the receive in a handle, if this queue may have issued it.
    fn issued(&self, handle: &ReceiptHandle) -> Result<(MessageId, u64), QueueError> {
        match handle.parts() {
            Some((queue, message, receipt))
                if queue == self.name && (1..=self.receipts_issued).contains(&receipt) =>
            {
                Ok((MessageId::from(message), receipt))
            }
            _ => Err(QueueError::ReceiptHandleIsInvalid),
        }
    }

    fn next_sequence_number(&mut self) -> Option<u64> {
        self.sequence_number += 1;
        self.settings.fifo.then_some(self.sequence_number)
    }
}

/// Checks that a visibility timeout is at most 12 hours.
pub(super) fn check_visibility_timeout(timeout: Duration) -> Result<(), QueueError> {
    if timeout <= VISIBILITY_TIMEOUT_MAX {
        return Ok(());
    }
    invalid(format!(
        "Value {} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and {}.",
        timeout.as_secs(),
        VISIBILITY_TIMEOUT_MAX.as_secs()
    ))
}
