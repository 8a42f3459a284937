//! The event source mapping between a queue and the function, as pure functions: the event that Lambda builds from
//! received messages, and its evaluation of the function's response.
//!
//! The verdict follows the Lambda developer guide, "Implementing partial batch responses", exactly: one invalid
//! identifier fails the whole batch. A verdict names the rule that determined it, so that a test can distinguish a
//! correct response from one that has the right effect by accident.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::queues::{AttributeValue, MessageAttribute, ReceivedMessage};
use crate::wire::{REGION, queue_arn, system_attributes};

/// Lambda's evaluation of the function's response to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lambda deletes every message.
    AllSucceeded(Success),
    /// Lambda keeps the messages with these ids and deletes the others.
    SomeFailed(BTreeSet<String>),
    /// Lambda keeps every message.
    BatchFailed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// `batchItemFailures` is an empty list.
    EmptyList,
    /// `batchItemFailures` is null.
    NullList,
    /// The response is an object without `batchItemFailures`, as after a misspelled key.
    NoList,
    /// The response is empty or null.
    NoAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The function returned an error or no response.
    FunctionError,
    /// The response is not JSON.
    NotJson,
    /// The response is JSON, but not an object.
    NotAnObject,
    /// `batchItemFailures` is not a list.
    NotAList,
    /// An item of the list has no `itemIdentifier`.
    MisnamedIdentifier,
    /// An `itemIdentifier` is null.
    NullIdentifier,
    /// An `itemIdentifier` is the empty string.
    EmptyIdentifier,
    /// An `itemIdentifier` is not a string.
    NotAString,
    /// An `itemIdentifier` does not name a message of the batch.
    UnknownIdentifier(String),
}

/// The event for a batch, as the function receives it.
///
/// It omits `md5OfBody`, which no function here reads.
#[must_use]
pub fn event(queue: &str, batch: &[ReceivedMessage]) -> Value {
    let records: Vec<Value> = batch.iter().map(|received| record(queue, received)).collect();
    json!({ "Records": records })
}

/// Evaluates the function's response as Lambda does for a mapping with `ReportBatchItemFailures`.
#[must_use]
pub fn evaluate_response(batch: &[ReceivedMessage], answer: &[u8]) -> Verdict {
    if answer.is_empty() {
        return Verdict::AllSucceeded(Success::NoAnswer);
    }
    let failures = match serde_json::from_slice::<Value>(answer) {
        Err(_) => return Verdict::BatchFailed(Failure::NotJson),
        Ok(Value::Null) => return Verdict::AllSucceeded(Success::NoAnswer),
        Ok(Value::Object(mut answer)) => answer.remove("batchItemFailures"),
        Ok(_) => return Verdict::BatchFailed(Failure::NotAnObject),
    };
    let items = match failures {
        None => return Verdict::AllSucceeded(Success::NoList),
        Some(Value::Null) => return Verdict::AllSucceeded(Success::NullList),
        Some(Value::Array(items)) => items,
        Some(_) => return Verdict::BatchFailed(Failure::NotAList),
    };
    if items.is_empty() {
        return Verdict::AllSucceeded(Success::EmptyList);
    }
    match items.iter().map(|item| identifier(batch, item)).collect() {
        Ok(failed) => Verdict::SomeFailed(failed),
        Err(failure) => Verdict::BatchFailed(failure),
    }
}

impl Verdict {
    /// The messages of the batch that Lambda deletes. The others become visible after their visibility timeout.
    pub fn deleted<'a>(&self, batch: &'a [ReceivedMessage]) -> impl Iterator<Item = &'a ReceivedMessage> {
        batch.iter().filter(|received| match self {
            Self::AllSucceeded(_) => true,
            Self::SomeFailed(failed) => !failed.contains(received.message.id.as_str()),
            Self::BatchFailed(_) => false,
        })
    }
}

fn identifier(batch: &[ReceivedMessage], item: &Value) -> Result<String, Failure> {
    match item.get("itemIdentifier") {
        None => Err(Failure::MisnamedIdentifier),
        Some(Value::Null) => Err(Failure::NullIdentifier),
        Some(Value::String(id)) if id.is_empty() => Err(Failure::EmptyIdentifier),
        Some(Value::String(id)) if batch.iter().any(|received| received.message.id == id.as_str()) => {
            Ok(id.clone())
        }
        Some(Value::String(id)) => Err(Failure::UnknownIdentifier(id.clone())),
        Some(_) => Err(Failure::NotAString),
    }
}

fn record(queue: &str, received: &ReceivedMessage) -> Value {
    let message = &received.message;
    let attributes: Map<String, Value> = message
        .attributes
        .iter()
        .map(|(name, attribute)| (name.clone(), attribute_of_event(attribute)))
        .collect();
    let system: Map<String, Value> =
        system_attributes(message).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "messageId": message.id.as_str(),
        "receiptHandle": received.receipt_handle.as_str(),
        "body": message.body,
        "attributes": system,
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn(queue),
        "awsRegion": REGION,
    })
}

fn attribute_of_event(attribute: &MessageAttribute) -> Value {
    // SQS reserves the lists; they are always empty.
    let mut value = json!({
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": attribute.data_type,
    });
    match &attribute.value {
        AttributeValue::Text(text) => value["stringValue"] = text.as_str().into(),
        AttributeValue::Binary(base64) => value["binaryValue"] = base64.as_str().into(),
    }
    value
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::queues::{NewMessage, QueueSettings, Queues};
    use crate::wire::ACCOUNT;

    const QUEUE: &str = "requests.fifo";
    const FIRST: &str = "00000000-0000-4000-8000-000000000001";
    const SECOND: &str = "00000000-0000-4000-8000-000000000002";

    fn batch() -> Vec<ReceivedMessage> {
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_545_082_649_183);
        let mut queues = Queues::default();
        queues.create(QUEUE, QueueSettings::fifo()).unwrap();
        for body in ["one", "two"] {
            let message = NewMessage::fifo(body, "lane", body).attribute("trigger", "webhook");
            queues.send(QUEUE, message, sent_at).unwrap();
        }
        queues.receive(QUEUE, 10, None, sent_at + Duration::from_millis(2)).unwrap()
    }

    #[track_caller]
    fn assert_verdict(answer: &str, verdict: &Verdict) {
        assert_eq!(evaluate_response(&batch(), answer.as_bytes()), *verdict, "{answer}");
    }

    #[test]
    fn event_has_the_format_of_lambda() {
        let mut batch = batch();
        batch.truncate(1);
        assert_eq!(
            event(QUEUE, &batch),
            json!({ "Records": [{
                "messageId": FIRST,
                "receiptHandle": batch[0].receipt_handle.as_str(),
                "body": "one",
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDALOCALLOCALLOCAL00",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                    "MessageGroupId": "lane",
                    "MessageDeduplicationId": "one",
                    "SequenceNumber": "00000000000000000001",
                },
                "messageAttributes": { "trigger": {
                    "stringValue": "webhook",
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": "String",
                } },
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:requests.fifo"),
                "awsRegion": REGION,
            }] })
        );
    }

    #[test]
    fn response_without_failures_deletes_every_message() {
        for (answer, rule) in [
            (r#"{"batchItemFailures": []}"#, Success::EmptyList),
            (r#"{"batchItemFailures": null}"#, Success::NullList),
            (r#"{"batchItemFailure": [{"itemIdentifier": ""}]}"#, Success::NoList),
            ("{}", Success::NoList),
            ("null", Success::NoAnswer),
            ("", Success::NoAnswer),
        ] {
            assert_verdict(answer, &Verdict::AllSucceeded(rule));
        }
        assert_eq!(Verdict::AllSucceeded(Success::EmptyList).deleted(&batch()).count(), 2);
    }

    #[test]
    fn failed_messages_are_kept_and_the_others_deleted() {
        let batch = batch();
        let verdict = evaluate_response(
            &batch,
            format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{SECOND}"}}]}}"#).as_bytes(),
        );

        assert_eq!(verdict, Verdict::SomeFailed(BTreeSet::from([SECOND.to_owned()])));
        let deleted: Vec<_> = verdict.deleted(&batch).map(|received| received.message.id.as_str()).collect();
        assert_eq!(deleted, [FIRST]);
    }

    #[test]
    fn one_invalid_identifier_fails_the_whole_batch() {
        let unknown = Failure::UnknownIdentifier("unknown".to_owned());
        for (item, failure) in [
            (r#"{"itemIdentifier": ""}"#, Failure::EmptyIdentifier),
            (r#"{"itemIdentifier": null}"#, Failure::NullIdentifier),
            (r#"{"itemIdentifier": 7}"#, Failure::NotAString),
            (r#"{"ItemIdentifier": "x"}"#, Failure::MisnamedIdentifier),
            (r#""x""#, Failure::MisnamedIdentifier),
            (r#"{"itemIdentifier": "unknown"}"#, unknown),
        ] {
            let answer = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{FIRST}"}}, {item}]}}"#);
            assert_verdict(&answer, &Verdict::BatchFailed(failure));
        }
        assert_eq!(Verdict::BatchFailed(Failure::FunctionError).deleted(&batch()).count(), 0);
    }

    #[test]
    fn response_of_another_format_fails_the_whole_batch() {
        assert_verdict("oops", &Verdict::BatchFailed(Failure::NotJson));
        assert_verdict("[]", &Verdict::BatchFailed(Failure::NotAnObject));
        assert_verdict(r#"{"batchItemFailures": "none"}"#, &Verdict::BatchFailed(Failure::NotAList));
    }
}
