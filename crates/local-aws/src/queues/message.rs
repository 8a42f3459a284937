//! Messages: what a sender gives, what a queue keeps, what a receiver gets.
//!
//! What a queue takes is in `acceptance`, in what order it delivers in `queue`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The id that SQS gives a message, for its whole life and in every queue it moves to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) String);

/// What a receiver shows to delete a message or to change its visibility; new with every receive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptHandle(String);

/// A message on its way to a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// The body; never empty.
    pub body: String,
    /// The sender's attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// The message group: required on a FIFO queue.
    pub group: Option<String>,
    /// The deduplication id: required on a FIFO queue, refused on a standard one.
    pub deduplication_id: Option<String>,
    /// How long the message stays hidden at first; a FIFO queue takes none.
    pub delay: Option<Duration>,
}

/// One attribute that a sender gave a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, possibly with a custom suffix after a dot.
    pub data_type: String,
    /// The value.
    pub value: AttributeValue,
}

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text, also of a number.
    Text(String),
    /// Bytes, in the base64 form in which both SQS and Lambda show them.
    Binary(String),
}

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id.
    pub id: MessageId,
    /// The body.
    pub body: String,
    /// The sender's attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// The message group, always present on a FIFO queue.
    pub group: Option<String>,
    /// The deduplication id, always present on a FIFO queue.
    pub deduplication_id: Option<String>,
    /// The position on a FIFO queue; a standard queue has none.
    pub sequence_number: Option<u64>,
    /// When the queue accepted the message.
    pub sent_at: SystemTime,
    /// When it was first received.
    pub first_received_at: Option<SystemTime>,
    /// How often it was received.
    pub receive_count: u32,
    /// The queue whose redrive policy moved it here.
    pub dead_letter_source: Option<String>,
    /// From when on it may be delivered.
    pub visible_at: SystemTime,
    /// The latest receive in this queue.
    pub(super) receipt: Option<Receipt>,
}

/// One receive of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) number: u64,
    pub(super) at: SystemTime,
}

/// A message as one receive delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// What the receiver shows to settle this delivery.
    pub receipt_handle: ReceiptHandle,
    /// The message as it was then.
    pub message: Message,
}

impl MessageId {
    /// The id as SQS writes it.
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
    /// The handle as SQS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn new(queue: &str, message: &MessageId, receipt: u64) -> Self {
        Self(format!("{queue}/{message}/{receipt}"))
    }

    /// The queue, the message and the number of the receive, if the handle has the shape that [`Self::new`] gives it.
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
    /// A message for a standard queue.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A message for a FIFO queue.
    pub fn fifo(body: impl Into<String>, group: &str, deduplication_id: &str) -> Self {
        Self {
            group: Some(group.to_owned()),
            deduplication_id: Some(deduplication_id.to_owned()),
            ..Self::new(body)
        }
    }

    /// The same message with one more attribute of type `String`.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), MessageAttribute::text(value));
        self
    }

    /// The size that counts against [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX).
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        self.body.len() + attributes.map(|(name, attribute)| name.len() + attribute.size()).sum::<usize>()
    }
}

impl MessageAttribute {
    /// An attribute of type `String`.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self { data_type: "String".to_owned(), value: AttributeValue::Text(value.to_owned()) }
    }

    fn size(&self) -> usize {
        self.data_type.len()
            + match &self.value {
                AttributeValue::Text(text) => text.len(),
                // Four characters of base64 stand for three bytes.
                AttributeValue::Binary(base64) => base64.trim_end_matches('=').len() * 3 / 4,
            }
    }
}
