//! How messages appear to a client: in SQS's answers and, what their system attributes are, in the events of the mapping.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::call::Call;
use crate::queues::{AttributeValue, Message, MessageAttribute, ReceivedMessage, Sent};
use crate::wire::queue_arn;

/// Who sent every message: the unique id of an IAM user.
const SENDER_ID: &str = "AIDALOCALLOCALLOCAL00";

/// The attributes that SQS itself gives a received message.
pub(crate) fn system_attributes(message: &Message) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("ApproximateReceiveCount", message.receive_count.to_string()),
        ("SentTimestamp", milliseconds(message.sent_at)),
        ("SenderId", SENDER_ID.to_owned()),
    ];
    let optional = [
        ("ApproximateFirstReceiveTimestamp", message.first_received_at.map(milliseconds)),
        ("MessageGroupId", message.group.clone()),
        ("MessageDeduplicationId", message.deduplication_id.clone()),
        // SQS documents a number of 20 digits.
        ("SequenceNumber", message.sequence_number.map(sequence_number)),
        ("DeadLetterQueueSourceArn", message.dead_letter_source.as_deref().map(queue_arn)),
    ];
    attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    attributes
}

/// A received message with those attributes that the call asks for.
pub(super) fn show_message(call: &Call, received: &ReceivedMessage) -> Value {
    let message = &received.message;
    let mut shown = json!({
        "MessageId": message.id.as_str(),
        "ReceiptHandle": received.receipt_handle.as_str(),
        "Body": message.body,
    });
    let is_wanted_by_either = |name: &str| {
        is_wanted(&call.attribute_names, name) || is_wanted(&call.message_system_attribute_names, name)
    };
    let system: Map<String, Value> = system_attributes(message)
        .into_iter()
        .filter(|(name, _)| is_wanted_by_either(name))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let user: Map<String, Value> = message
        .attributes
        .iter()
        .filter(|(name, _)| is_wanted(&call.message_attribute_names, name))
        .map(|(name, attribute)| (name.clone(), show_attribute(attribute)))
        .collect();
    if !system.is_empty() {
        shown["Attributes"] = system.into();
    }
    if !user.is_empty() {
        shown["MessageAttributes"] = user.into();
    }
    shown
}

/// A message that was sent.
pub(super) fn sent_answer(sent: &Sent) -> Value {
    let mut answer = json!({ "MessageId": sent.message_id.as_str() });
    if let Some(number) = sent.sequence_number {
        answer["SequenceNumber"] = sequence_number(number).into();
    }
    answer
}

fn show_attribute(attribute: &MessageAttribute) -> Value {
    match &attribute.value {
        AttributeValue::Text(text) => json!({ "DataType": attribute.data_type, "StringValue": text }),
        AttributeValue::Binary(base64) => json!({ "DataType": attribute.data_type, "BinaryValue": base64 }),
    }
}

/// Whether a list of names, of `All` or of prefixes such as `trace.*` asks for a name.
pub(super) fn is_wanted(names: &[String], name: &str) -> bool {
    names.iter().any(|wanted| {
        wanted == "All"
            || wanted == name
            || wanted.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
    })
}

fn sequence_number(number: u64) -> String {
    format!("{number:020}")
}

fn milliseconds(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis().to_string()
}
