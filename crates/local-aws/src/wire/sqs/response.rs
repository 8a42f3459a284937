//! The JSON of messages in SQS's responses, and their system attributes, which the event source mapping also uses.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::call::Call;
use crate::queues::{AttributeValue, Message, MessageAttribute, ReceivedMessage, Sent};
use crate::wire::queue_arn;

/// The sender of every message: the unique id of an IAM user.
const SENDER_ID: &str = "AIDALOCALLOCALLOCAL00";

/// The attributes that SQS adds to a received message.
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
        // SQS documents a 20-digit number.
        ("SequenceNumber", message.sequence_number.map(sequence_number)),
        ("DeadLetterQueueSourceArn", message.dead_letter_source.as_deref().map(queue_arn)),
    ];
    attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    attributes
}

/// A received message, with the attributes that the call requests.
pub(super) fn message_json(call: &Call, received: &ReceivedMessage) -> Value {
    let message = &received.message;
    let mut json = json!({
        "MessageId": message.id.as_str(),
        "ReceiptHandle": received.receipt_handle.as_str(),
        "Body": message.body,
    });
    let is_requested_by_either = |name: &str| {
        is_requested(&call.attribute_names, name) || is_requested(&call.message_system_attribute_names, name)
    };
    let system: Map<String, Value> = system_attributes(message)
        .into_iter()
        .filter(|(name, _)| is_requested_by_either(name))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let user: Map<String, Value> = message
        .attributes
        .iter()
        .filter(|(name, _)| is_requested(&call.message_attribute_names, name))
        .map(|(name, attribute)| (name.clone(), attribute_json(attribute)))
        .collect();
    if !system.is_empty() {
        json["Attributes"] = system.into();
    }
    if !user.is_empty() {
        json["MessageAttributes"] = user.into();
    }
    json
}

/// The response to a send of a body with this MD5.
pub(super) fn sent_json(sent: &Sent, body_md5: &str) -> Value {
    let mut response = json!({ "MessageId": sent.message_id.as_str(), "MD5OfMessageBody": body_md5 });
    if let Some(number) = sent.sequence_number {
        response["SequenceNumber"] = sequence_number(number).into();
    }
    response
}

fn attribute_json(attribute: &MessageAttribute) -> Value {
    match &attribute.value {
        AttributeValue::Text(text) => json!({ "DataType": attribute.data_type, "StringValue": text }),
        AttributeValue::Binary(base64) => json!({ "DataType": attribute.data_type, "BinaryValue": base64 }),
    }
}

/// Whether a list of names requests a name. An element can be `All` or a prefix such as `trace.*`.
pub(super) fn is_requested(names: &[String], name: &str) -> bool {
    names.iter().any(|requested| {
        requested == "All"
            || requested == name
            || requested.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
    })
}

fn sequence_number(number: u64) -> String {
    format!("{number:020}")
}

fn milliseconds(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis().to_string()
}
