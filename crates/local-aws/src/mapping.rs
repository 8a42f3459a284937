//! The event source mapping between a queue and the function, as pure functions: the event that Lambda makes of received
//! messages, and what Lambda makes of the function's answer.
//!
//! The verdict follows the Lambda developer guide, "Implementing partial batch responses", to the letter: one bad
//! identifier fails the whole batch. A verdict names the rule that led to it, so that a test can tell an answer that is
//! right from one that merely had the right effect.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::queues::{AttributeValue, MessageAttribute, ReceivedMessage};
use crate::wire::{REGION, queue_arn, system_attributes};

/// What Lambda makes of the function's answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every message is deleted.
    AllSucceeded(Success),
    /// The messages with these ids stay; the others are deleted.
    SomeFailed(BTreeSet<String>),
    /// Every message stays.
    BatchFailed(Failure),
}

/// Why a whole batch succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// `batchItemFailures` is an empty list.
    EmptyList,
    /// `batchItemFailures` is null.
    NullList,
    /// The answer is an object without `batchItemFailures`: also what becomes of a misspelled key.
    NoList,
    /// The answer is empty or null.
    NoAnswer,
}

/// Why a whole batch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The function answered with an error, or not at all.
    FunctionError,
    /// The answer is not JSON.
    NotJson,
    /// The answer is JSON, but no object.
    NotAnObject,
    /// `batchItemFailures` is no list.
    NotAList,
    /// An item of the list has no `itemIdentifier`.
    MisnamedIdentifier,
    /// An `itemIdentifier` is null.
    NullIdentifier,
    /// An `itemIdentifier` is the empty string.
    EmptyIdentifier,
    /// An `itemIdentifier` is no string.
    NotAString,
    /// An `itemIdentifier` names no message of the batch.
    UnknownIdentifier(String),
}

/// The event for a batch, as the function sees it.
///
/// `md5OfBody` is left out: nothing here computes MD5.
#[must_use]
pub fn event(queue: &str, batch: &[ReceivedMessage]) -> Value {
    let records: Vec<Value> = batch.iter().map(|received| record(queue, received)).collect();
    json!({ "Records": records })
}

/// What Lambda makes of the function's answer, for a mapping with `ReportBatchItemFailures`.
#[must_use]
pub fn judge(batch: &[ReceivedMessage], answer: &[u8]) -> Verdict {
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
    /// The messages of the batch that Lambda deletes; the others wait for their visibility timeout.
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
    // The lists are reserved by SQS and always empty.
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
        assert_eq!(judge(&batch(), answer.as_bytes()), *verdict, "{answer}");
    }

    #[test]
    fn event_has_the_shape_that_lambda_gives_it() {
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
    fn answer_without_failures_deletes_everything_and_says_by_which_rule() {
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
    fn named_failures_stay_and_the_others_are_deleted() {
        let batch = batch();
        let verdict = judge(
            &batch,
            format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{SECOND}"}}]}}"#).as_bytes(),
        );

        assert_eq!(verdict, Verdict::SomeFailed(BTreeSet::from([SECOND.to_owned()])));
        let deleted: Vec<_> = verdict.deleted(&batch).map(|received| received.message.id.as_str()).collect();
        assert_eq!(deleted, [FIRST]);
    }

    #[test]
    fn one_bad_identifier_fails_the_whole_batch() {
        let unknown = Failure::UnknownIdentifier("elsewhere".to_owned());
        for (item, failure) in [
            (r#"{"itemIdentifier": ""}"#, Failure::EmptyIdentifier),
            (r#"{"itemIdentifier": null}"#, Failure::NullIdentifier),
            (r#"{"itemIdentifier": 7}"#, Failure::NotAString),
            (r#"{"ItemIdentifier": "x"}"#, Failure::MisnamedIdentifier),
            (r#""x""#, Failure::MisnamedIdentifier),
            (r#"{"itemIdentifier": "elsewhere"}"#, unknown),
        ] {
            let answer = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{FIRST}"}}, {item}]}}"#);
            assert_verdict(&answer, &Verdict::BatchFailed(failure));
        }
        assert_eq!(Verdict::BatchFailed(Failure::FunctionError).deleted(&batch()).count(), 0);
    }

    #[test]
    fn answer_of_another_shape_fails_the_whole_batch() {
        assert_verdict("oops", &Verdict::BatchFailed(Failure::NotJson));
        assert_verdict("[]", &Verdict::BatchFailed(Failure::NotAnObject));
        assert_verdict(r#"{"batchItemFailures": "none"}"#, &Verdict::BatchFailed(Failure::NotAList));
    }
}
