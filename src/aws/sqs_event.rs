//! From the payload of an invocation by SQS to deliveries: each record is read by itself.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::SqsMessage;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::error;

use crate::json::Object;
use crate::request::{RequestId, Trigger};

/// The `eventSource` of SQS's event source mapping, and of EventBridge Pipes with a queue as its source.
const SQS: &str = "aws:sqs";

/// Longest name of an event source that an error repeats, in characters, without its `aws:`.
const EVENT_SOURCE_LENGTH_MAX: usize = 32;

/// One receive of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The same in every receive.
    pub message_id: String,
    /// Identifies this receive to the queue.
    pub receipt_handle: String,
    pub body: Option<String>,
    /// The lane that the sender chose; a message of a standard queue may have none.
    pub message_group: Option<String>,
    /// How often the message was received, this time included; at least 1.
    pub receive_count: u32,
    /// When the queue accepted the message.
    pub sent_at: Option<SystemTime>,
    pub first_received_at: Option<SystemTime>,
    pub trigger: Trigger,
    /// The request's name in a redriven dead-letter copy.
    pub request_id: Option<RequestId>,
    /// Whether the record could be read. Otherwise it has no body, and returns to the queue.
    pub is_readable: bool,
}

/// Why a batch fails as a whole. `index` is the position of a record, from 0.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// The event has records, but not a list of them. The error names the position only: the parser's own message would
    /// quote the payload.
    #[error("the event has Records that are not SQS messages: line {line}, column {column}")]
    Unreadable { line: usize, column: usize },
    #[error("record {index} of the batch is not a JSON object")]
    NotAnObject { index: usize },
    /// A batch of another service.
    #[error("the event comes from {0}, not from SQS")]
    UnsupportedSource(String),
    /// Its failure could not be reported, and the message would be lost.
    #[error("record {index} of the batch has no message id")]
    Unidentified { index: usize },
}

impl BatchError {
    /// The type of the error in Lambda's record of the invocation.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NotAnObject { .. } => "UnreadableBatch",
            Self::UnsupportedSource(_) => "UnsupportedSource",
            Self::Unidentified { .. } => "Unidentified",
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<Box<RawValue>>>,
}

/// The records of SQS's event, or of EventBridge Pipes, which sends them without an envelope; `None` if the payload has
/// neither shape.
pub(crate) fn records(payload: &RawValue) -> Result<Option<Vec<Box<RawValue>>>, BatchError> {
    let text = payload.get().trim_start();
    let unreadable =
        |error: serde_json::Error| BatchError::Unreadable { line: error.line(), column: error.column() };
    if text.starts_with('[') {
        let records: Vec<_> = serde_json::from_str(text).map_err(unreadable)?;
        return Ok(Some(records).filter(|records| !records.is_empty()));
    }
    if !text.starts_with('{') {
        return Ok(None);
    }
    let Object(Envelope { records }) = serde_json::from_str(text).map_err(unreadable)?;
    Ok(records)
}

/// The fields that identify a record. Its other fields do not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    event_source: Option<Box<RawValue>>,
    message_id: Option<Box<RawValue>>,
    receipt_handle: Option<Box<RawValue>>,
    attributes: Option<Box<RawValue>>,
}

/// The deliveries of a batch, in its order. Nothing of a batch is processed if one of its records is not SQS's or cannot be
/// identified.
pub(crate) fn deliveries(records: &[Box<RawValue>]) -> Result<Vec<Delivery>, BatchError> {
    let identity = |(index, record): (usize, &RawValue)| match serde_json::from_str(record.get()) {
        Ok(Object(identity)) => Ok(identity),
        Err(_) => Err(BatchError::NotAnObject { index }),
    };
    let records = || records.iter().map(|record| &**record);
    let identities: Vec<Identity> = records().enumerate().map(identity).collect::<Result<_, _>>()?;
    if let Some(source) = identities.iter().map(Identity::event_source).find(|source| source != SQS) {
        let is_named = is_event_source(&source);
        return Err(BatchError::UnsupportedSource(if is_named {
            source
        } else {
            "an unnamed source".to_owned()
        }));
    }
    let delivery = |(index, (record, identity)): (usize, (&RawValue, Identity))| {
        identity.delivery(index, |message_id| read(record, message_id))
    };
    records().zip(identities).enumerate().map(delivery).collect()
}

/// Each message once, at its first position, by its latest receive: a standard queue can deliver a message twice in one batch.
/// The response to the batch names a message, not a receive, so both must end in the same way.
pub(crate) fn once_each(deliveries: Vec<Delivery>) -> Vec<Delivery> {
    let mut once: Vec<Delivery> = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        match once.iter_mut().find(|other| other.message_id == delivery.message_id) {
            Some(other) if other.receive_count <= delivery.receive_count => *other = delivery,
            Some(_) => {}
            None => once.push(delivery),
        }
    }
    once
}

/// A part of a record is there and cannot be read.
struct Unreadable;

/// The delivery of a record, if all of it can be read.
fn read(record: &RawValue, message_id: &str) -> Result<Delivery, Unreadable> {
    let record: SqsMessage = serde_json::from_str(record.get()).map_err(|_| Unreadable)?;
    let attribute = |name: &str| record.attributes.get(name);
    let receive_count: Option<u32> = number(attribute("ApproximateReceiveCount"))?;
    let first_received_at = time(attribute("ApproximateFirstReceiveTimestamp"))?;
    let message_attribute = |name: &str| record.message_attributes.get(name)?.string_value.as_deref();
    Ok(Delivery {
        message_id: message_id.to_owned(),
        receive_count: receive_count.unwrap_or(1).max(1),
        message_group: attribute("MessageGroupId").filter(|group| !group.is_empty()).cloned(),
        // Without it the deadline would start again with every delivery.
        sent_at: time(attribute("SentTimestamp"))?.or(first_received_at),
        first_received_at,
        trigger: Trigger::of_attribute(message_attribute("trigger")),
        request_id: message_attribute("request_id").and_then(RequestId::parse),
        receipt_handle: record.receipt_handle.unwrap_or_default(),
        body: record.body,
        is_readable: true,
    })
}

impl Identity {
    fn event_source(&self) -> String {
        text(self.event_source.as_deref()).unwrap_or_default()
    }

    /// The delivery of the record at `index`.
    ///
    /// A panic in `read` concerns this message alone: without this boundary it would end the whole batch, again and again.
    fn delivery(
        self,
        index: usize,
        read: impl FnOnce(&str) -> Result<Delivery, Unreadable>,
    ) -> Result<Delivery, BatchError> {
        let message_id = text(self.message_id.as_deref()).filter(|id| !id.is_empty());
        let message_id = message_id.ok_or(BatchError::Unidentified { index })?;
        let delivery = catch_unwind(AssertUnwindSafe(|| read(&message_id))).unwrap_or(Err(Unreadable));
        Ok(delivery.unwrap_or_else(|Unreadable| {
            error!(message_id, "a record of the batch has an attribute that cannot be read; it fails alone");
            self.unreadable(message_id)
        }))
    }

    /// The delivery of a record that cannot be read: what its return to the queue needs, and its lane.
    fn unreadable(self, message_id: String) -> Delivery {
        let attributes: HashMap<String, Box<RawValue>> = json(self.attributes.as_deref()).unwrap_or_default();
        let attribute = |name: &str| text(attributes.get(name).map(|value| &**value));
        let receive_count = attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        Delivery {
            message_id,
            receipt_handle: text(self.receipt_handle.as_deref()).unwrap_or_default(),
            body: None,
            message_group: attribute("MessageGroupId").filter(|group| !group.is_empty()),
            receive_count: receive_count.unwrap_or(1).max(1),
            sent_at: None,
            first_received_at: None,
            trigger: Trigger::Queue,
            request_id: None,
            is_readable: false,
        }
    }
}

fn json<T: DeserializeOwned>(value: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

fn text(value: Option<&RawValue>) -> Option<String> {
    json(value)
}

/// A number that may be absent.
fn number<N: FromStr>(attribute: Option<&String>) -> Result<Option<N>, Unreadable> {
    attribute.map(|text| text.parse().map_err(|_| Unreadable)).transpose()
}

/// A time in milliseconds that may be absent.
fn time(attribute: Option<&String>) -> Result<Option<SystemTime>, Unreadable> {
    let at = |millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)).ok_or(Unreadable);
    number(attribute)?.map(at).transpose()
}

/// Whether the text names a service as AWS does; any other text is untrusted and not repeated.
fn is_event_source(source: &str) -> bool {
    let service = source.strip_prefix("aws:").unwrap_or_default();
    (1..=EVENT_SOURCE_LENGTH_MAX).contains(&service.len())
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(records: &[Value]) -> Result<Vec<Delivery>, BatchError> {
        let raw = |record: &Value| RawValue::from_string(record.to_string()).unwrap();
        deliveries(&records.iter().map(raw).collect::<Vec<_>>())
    }

    fn record(id: &str) -> Value {
        json!({
            "messageId": id, "receiptHandle": "handle", "body": "{}", "eventSource": "aws:sqs",
            "attributes": { "MessageGroupId": "lane", "ApproximateReceiveCount": "3", "SentTimestamp": "1000" },
            "messageAttributes": { "trigger": { "stringValue": "schedule", "dataType": "String" } },
        })
    }

    fn with(mut record: Value, path: &str, value: Value) -> Value {
        *record.pointer_mut(path).unwrap() = value;
        record
    }

    #[test]
    fn record_is_read_with_its_attributes() {
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let delivery = Delivery {
            message_id: "m".to_owned(),
            receipt_handle: "handle".to_owned(),
            body: Some("{}".to_owned()),
            message_group: Some("lane".to_owned()),
            receive_count: 3,
            sent_at: Some(sent_at),
            first_received_at: None,
            trigger: Trigger::Schedule,
            request_id: None,
            is_readable: true,
        };
        assert_eq!(read(&[record("m")]), Ok(vec![delivery]));
    }

    #[test]
    fn record_with_an_unreadable_attribute_keeps_its_id_and_its_lane() {
        for (path, value) in [
            ("/body", json!(7)),
            ("/attributes/SentTimestamp", json!("soon")),
            ("/attributes/SentTimestamp", json!("99999999999999999999")),
            ("/attributes/ApproximateReceiveCount", json!("many")),
            ("/messageAttributes/trigger", json!("schedule")),
            ("/messageAttributes", json!([])),
        ] {
            let deliveries = read(&[with(record("a"), path, value.clone()), record("b")]).unwrap();
            let shown = |delivery: &Delivery| (delivery.message_id.clone(), delivery.is_readable);
            let ids: Vec<_> = deliveries.iter().map(shown).collect();
            assert_eq!(ids, [("a".to_owned(), false), ("b".to_owned(), true)], "{path} {value}");
            assert_eq!(deliveries[0].message_group.as_deref(), Some("lane"));
            assert_eq!(deliveries[0].receipt_handle, "handle");
        }
    }

    #[test]
    fn panic_while_a_record_is_read_stays_with_its_message() {
        let Object(identity) = serde_json::from_value(record("a")).unwrap();
        let delivery = Identity::delivery(identity, 0, |_| panic!("cursed")).unwrap();
        let group = delivery.message_group.as_deref();
        assert_eq!((delivery.message_id.as_str(), group, delivery.is_readable), ("a", Some("lane"), false));
    }

    #[test]
    fn message_that_is_twice_in_a_batch_is_processed_once_by_its_latest_receive() {
        let received = |id, count: &str, handle: &str| {
            let record = with(record(id), "/attributes/ApproximateReceiveCount", json!(count));
            with(record, "/receiptHandle", json!(handle))
        };
        let batch = [
            received("a", "1", "old"),
            received("b", "1", "b"),
            received("a", "2", "new"),
            received("a", "1", "older"),
        ];
        let once = once_each(read(&batch).unwrap());
        let handles: Vec<_> = once.iter().map(|delivery| delivery.receipt_handle.as_str()).collect();
        assert_eq!(handles, ["new", "b"]);
    }

    #[test]
    fn record_that_cannot_be_reported_fails_the_batch() {
        let unidentified = Err(BatchError::Unidentified { index: 1 });
        for id in [json!(""), json!(7), Value::Null] {
            assert_eq!(read(&[record("a"), with(record("b"), "/messageId", id)]), unidentified);
        }
        assert_eq!(read(&[record("a"), json!("b")]), Err(BatchError::NotAnObject { index: 1 }));
        for (source, shown) in [
            (json!("aws:sns"), "aws:sns"),
            (json!("aws:SNS"), "an unnamed source"),
            (json!(7), "an unnamed source"),
        ] {
            let other = with(record("b"), "/eventSource", source);
            assert_eq!(read(&[record("a"), other]), Err(BatchError::UnsupportedSource(shown.to_owned())));
        }
    }
}
