//! The JSON protocol of SQS.
//!
//! Checksums (`MD5OfMessageBody` and the like) are left out of the answers, and `WaitTimeSeconds` is not waited for: a
//! receive that finds nothing answers at once.

mod call;
mod shown;

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use self::call::{Call, Entry};
pub(crate) use self::shown::system_attributes;
use self::shown::{is_wanted, sent_answer, show_message};
use super::{ACCOUNT, Carried, Reaction, Refusal, malformed, queue_arn, settle, unknown_operation};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};
use crate::queues::{BatchEntry, BatchOutcome, QueueError, Queues, ReceiptHandle};

/// Carries out one SQS call; `action` is what follows [`super::SQS_PREFIX`], `url` the server's own.
pub fn call(
    queues: &mut Queues,
    journal: &mut Vec<JournalEntry>,
    url: &str,
    action: &str,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let Some(action) = Action::of_sqs(action) else {
        return Reaction::Answer(unknown_operation());
    };
    let fault = queues.faults().take(action);
    let call = serde_json::from_slice::<Call>(body);
    let entry = JournalEntry {
        at: now,
        action,
        target: call.as_ref().map(|call| call.queue().to_owned()).unwrap_or_default(),
        message_ids: Vec::new(),
        ending: Ending::Done,
    };
    let result = match fault {
        Some(Fault::ServerError | Fault::Hang) => Err(QueueError::InternalFailure.into()),
        Some(Fault::Throttled) => Err(QueueError::RequestThrottled.into()),
        Some(Fault::AnswerLost | Fault::EntryFails(_)) | None => call
            .map_err(|error| malformed(&error))
            .and_then(|call| carry_out(queues, url, action, call, fault, now).map_err(Refusal::from)),
    };
    settle(journal, entry, fault, result)
}

fn carry_out(
    queues: &mut Queues,
    url: &str,
    action: Action,
    call: Call,
    fault: Option<Fault>,
    now: SystemTime,
) -> Result<Carried, QueueError> {
    let broken = fault.and_then(Fault::broken_entry);
    let queue = call.queue().to_owned();
    match action {
        Action::SendMessage => {
            let sent = queues.send(&queue, call.one.message(), now)?;
            Ok(carried(sent_answer(&sent), vec![sent.message_id.to_string()]))
        }
        Action::SendMessageBatch => {
            let outcome = queues.send_batch(&queue, entries(call.entries, Entry::message), broken, now)?;
            Ok(batch_carried(&outcome, |sent| (sent_answer(sent), sent.message_id.to_string())))
        }
        Action::ReceiveMessage => receive(queues, &queue, &call, now),
        Action::DeleteMessage => {
            let deleted = queues.delete(&queue, &call.one.handle()?, now)?;
            Ok(carried(json!({}), vec![deleted.message_id().to_string()]))
        }
        Action::DeleteMessageBatch => {
            let entries = entries(call.entries, |entry| ReceiptHandle::from(entry.receipt_handle.as_str()));
            let outcome = queues.delete_batch(&queue, entries, broken, now)?;
            Ok(batch_carried(&outcome, |deleted| (json!({}), deleted.message_id().to_string())))
        }
        Action::ChangeMessageVisibility => {
            let timeout =
                call.one.visibility_timeout.ok_or(QueueError::MissingParameter("VisibilityTimeout"))?;
            let handle = call.one.handle()?;
            let id = queues.change_visibility(&queue, &handle, Duration::from_secs(timeout), now)?;
            Ok(carried(json!({}), vec![id.to_string()]))
        }
        Action::ChangeMessageVisibilityBatch => {
            let outcome =
                queues.change_visibility_batch(&queue, entries(call.entries, Entry::change), broken, now)?;
            Ok(batch_carried(&outcome, |id| (json!({}), id.to_string())))
        }
        Action::GetQueueAttributes => {
            let attributes = queue_attributes(queues, &queue, now)?;
            let wanted = attributes.into_iter().filter(|(name, _)| is_wanted(&call.attribute_names, name));
            Ok(carried(json!({ "Attributes": wanted.collect::<Map<_, _>>() }), Vec::new()))
        }
        Action::GetQueueUrl => {
            queues.settings(&queue)?;
            Ok(carried(json!({ "QueueUrl": format!("{url}/{ACCOUNT}/{queue}") }), Vec::new()))
        }
        // Not actions of SQS.
        Action::PutEvents
        | Action::DescribeEventBus
        | Action::GetSecretValue
        | Action::GetWebIdentityToken => Err(QueueError::InternalFailure),
    }
}

fn receive(queues: &mut Queues, queue: &str, call: &Call, now: SystemTime) -> Result<Carried, QueueError> {
    let timeout = call.one.visibility_timeout.map(Duration::from_secs);
    let received = queues.receive(queue, call.max_number_of_messages.unwrap_or(1), timeout, now)?;
    let ids = received.iter().map(|received| received.message.id.to_string()).collect();
    let messages: Vec<Value> = received.iter().map(|received| show_message(call, received)).collect();
    Ok(carried(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) }, ids))
}

fn queue_attributes(
    queues: &Queues,
    queue: &str,
    now: SystemTime,
) -> Result<Vec<(String, Value)>, QueueError> {
    let settings = queues.settings(queue)?;
    let counts = queues.counts(queue, now)?;
    let mut attributes = vec![
        ("QueueArn", queue_arn(queue)),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
        ("VisibilityTimeout", settings.visibility_timeout.as_secs().to_string()),
    ];
    if settings.fifo {
        attributes.push(("FifoQueue", "true".to_owned()));
        attributes.push(("ContentBasedDeduplication", "false".to_owned()));
    }
    if let Some(redrive) = &settings.redrive {
        let policy = json!({
            "deadLetterTargetArn": queue_arn(&redrive.dead_letter_queue),
            "maxReceiveCount": redrive.receive_count_max,
        });
        attributes.push(("RedrivePolicy", policy.to_string()));
    }
    Ok(attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        Self {
            status: error.status(),
            code: error.code(),
            shape: error.shape(),
            message: error.to_string(),
            party: Some(if error.is_senders_fault() { "Sender" } else { "Receiver" }),
        }
    }
}

fn entries<T>(entries: Vec<Entry>, each: impl Fn(Entry) -> T) -> Vec<BatchEntry<T>> {
    entries.into_iter().map(|mut entry| BatchEntry::new(std::mem::take(&mut entry.id), each(entry))).collect()
}

fn carried(answer: Value, message_ids: Vec<String>) -> Carried {
    Carried { answer, message_ids, failed: 0 }
}

fn batch_carried<T>(outcome: &BatchOutcome<T>, show: impl Fn(&T) -> (Value, String)) -> Carried {
    let mut message_ids = Vec::new();
    let mut successful = Vec::new();
    for BatchEntry { id, entry } in &outcome.successful {
        let (mut answer, message_id) = show(entry);
        answer["Id"] = id.as_str().into();
        successful.push(answer);
        message_ids.push(message_id);
    }
    let failed: Vec<Value> = outcome
        .failed
        .iter()
        .map(|BatchEntry { id, entry }| {
            json!({
                "Id": id,
                "SenderFault": entry.is_senders_fault(),
                "Code": entry.code(),
                "Message": entry.to_string(),
            })
        })
        .collect();
    Carried {
        message_ids,
        failed: failed.len(),
        answer: json!({ "Successful": successful, "Failed": failed }),
    }
}
