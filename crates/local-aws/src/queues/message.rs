//! Messages: as sent, as stored in a queue, and as received.
//!
//! The rules for accepted messages are in `acceptance`, the order of delivery is in `queue`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// A message's id. It does not change when the message moves to another queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) String);

/// The handle with which a receiver deletes a message or changes its visibility. Every receive issues a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptHandle(String);

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// Must not be empty.
    pub body: String,
    /// The sender's attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// Required on a FIFO queue.
    pub group: Option<String>,
    /// Required on a FIFO queue, refused on a standard queue.
    pub deduplication_id: Option<String>,
    /// How long the message stays hidden after it was sent. Refused on a FIFO queue.
    pub delay: Option<Duration>,
}

/// A message attribute set by the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, optionally followed by a dot and a custom suffix.
    pub data_type: String,
    pub value: AttributeValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text; also the form of a number.
    Text(String),
    /// Bytes in base64, the form in which both SQS and Lambda transfer them.
    Binary(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub body: String,
    /// The sender's attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// Always set on a FIFO queue.
    pub group: Option<String>,
    /// Always set on a FIFO queue.
    pub deduplication_id: Option<String>,
    /// Set on a FIFO queue only.
    pub sequence_number: Option<u64>,
    /// The time at which the queue accepted the message.
    pub sent_at: SystemTime,
    /// The time of the first receive.
    pub first_received_at: Option<SystemTime>,
    /// The number of receives.
    pub receive_count: u32,
    /// The name of the queue whose redrive policy moved the message to this queue.
    pub dead_letter_source: Option<String>,
    /// The time from which the message can be delivered.
    pub visible_at: SystemTime,
    /// The latest receive from this queue.
    pub(super) receipt: Option<Receipt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) number: u64,
    pub(super) at: SystemTime,
}

/// A message as one receive returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    pub receipt_handle: ReceiptHandle,
    /// The state of the message at the time of the receive.
    pub message: Message,
}

impl MessageId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl PartialEq<str> for MessageId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for MessageId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl ReceiptHandle {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn new(queue: &str, message: &MessageId, receipt: u64) -> Self {
        Self(format!("{queue}/{message}/{receipt}"))
    }

    /// The queue, the message and the number of the receive, if the handle has the format of [`Self::new`].
    pub(super) fn parts(&self) -> Option<(&str, &str, u64)> {
        let (rest, receipt) = self.0.rsplit_once('/')?;
        let (queue, message) = rest.split_once('/')?;
        Some((queue, message, receipt.parse().ok()?))
    }
}

impl From<&str> for ReceiptHandle {
    fn from(handle: &str) -> Self {
        Self(handle.to_owned())
    }
}

impl NewMessage {
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    pub fn fifo(body: impl Into<String>, group: &str, deduplication_id: &str) -> Self {
        Self {
            group: Some(group.to_owned()),
            deduplication_id: Some(deduplication_id.to_owned()),
            ..Self::new(body)
        }
    }

    /// Adds an attribute of type `String`.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), MessageAttribute::text(value));
        self
    }

    /// The size that counts toward [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX).
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        self.body.len() + attributes.map(|(name, attribute)| name.len() + attribute.size()).sum::<usize>()
    }
}

impl MessageAttribute {
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self { data_type: "String".to_owned(), value: AttributeValue::Text(value.to_owned()) }
    }

    fn size(&self) -> usize {
        self.data_type.len()
            + match &self.value {
                AttributeValue::Text(text) => text.len(),
                // Four characters of base64 represent three bytes.
                AttributeValue::Binary(base64) => base64.trim_end_matches('=').len() * 3 / 4,
            }
    }
}
