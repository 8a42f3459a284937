//! The JSON protocol of SQS.
//!
//! Responses to a send have the MD5 of the body, and omit that of the attributes. `WaitTimeSeconds` is ignored: a receive
//! that finds nothing returns immediately.

mod call;
mod response;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use self::call::{Call, Entry};
pub(crate) use self::response::system_attributes;
use self::response::{is_requested, message_json, sent_json};
use super::{ACCOUNT, Executed, Reaction, Refusal, finish, malformed, queue_arn, quoting, unknown_operation};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};
use crate::queues::{BatchEntry, BatchOutcome, QueueError, Queues, ReceiptHandle};

/// Carries out one SQS call. `action` is the part after [`super::SQS_PREFIX`], `url` the server's own URL.
pub fn call(
    queues: &mut Queues,
    journal: &mut Vec<JournalEntry>,
    url: &str,
    action: &str,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let Some(action) = Action::of_sqs(action) else {
        return Reaction::Respond(unknown_operation());
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
        Some(Fault::ServerError | Fault::Hang | Fault::EmptyResponse) => {
            Err(QueueError::InternalFailure.into())
        }
        Some(Fault::QuotesRequest) => Err(quoting(body)),
        Some(Fault::Throttled) => Err(QueueError::RequestThrottled.into()),
        Some(Fault::ResponseLost | Fault::EntryFails(_) | Fault::OtherMd5 | Fault::Slow(_)) | None => call
            .map_err(|error| malformed(&error))
            .and_then(|call| carry_out(queues, url, action, call, fault, now).map_err(Refusal::from)),
    };
    finish(journal, entry, fault, result)
}

fn carry_out(
    queues: &mut Queues,
    url: &str,
    action: Action,
    call: Call,
    fault: Option<Fault>,
    now: SystemTime,
) -> Result<Executed, QueueError> {
    let failed_entry = fault.and_then(Fault::failed_entry);
    let md5 = |body: &str| if fault == Some(Fault::OtherMd5) { md5_of("another body") } else { md5_of(body) };
    let queue = call.queue().to_owned();
    match action {
        Action::SendMessage => {
            let message = call.one.message();
            let md5 = md5(&message.body);
            let sent = queues.send(&queue, message, now)?;
            Ok(executed(sent_json(&sent, &md5), vec![sent.message_id.to_string()]))
        }
        Action::SendMessageBatch => {
            let messages = entries(call.entries, Entry::message);
            let md5s: BTreeMap<_, _> =
                messages.iter().map(|message| (message.id.clone(), md5(&message.entry.body))).collect();
            let outcome = queues.send_batch(&queue, messages, failed_entry, now)?;
            Ok(batch_executed(&outcome, |id, sent| (sent_json(sent, &md5s[id]), sent.message_id.to_string())))
        }
        Action::ReceiveMessage => receive(queues, &queue, &call, now),
        Action::DeleteMessage => {
            let deleted = queues.delete(&queue, &call.one.handle()?, now)?;
            Ok(executed(json!({}), vec![deleted.message_id().to_string()]))
        }
        Action::DeleteMessageBatch => {
            let entries = entries(call.entries, |entry| ReceiptHandle::from(entry.receipt_handle.as_str()));
            let outcome = queues.delete_batch(&queue, entries, failed_entry, now)?;
            Ok(batch_executed(&outcome, |_, deleted| (json!({}), deleted.message_id().to_string())))
        }
        Action::ChangeMessageVisibility => {
            let timeout =
                call.one.visibility_timeout.ok_or(QueueError::MissingParameter("VisibilityTimeout"))?;
            let handle = call.one.handle()?;
            let id = queues.change_visibility(&queue, &handle, Duration::from_secs(timeout), now)?;
            Ok(executed(json!({}), vec![id.to_string()]))
        }
        Action::ChangeMessageVisibilityBatch => {
            let outcome = queues.change_visibility_batch(
                &queue,
                entries(call.entries, Entry::change),
                failed_entry,
                now,
            )?;
            Ok(batch_executed(&outcome, |_, id| (json!({}), id.to_string())))
        }
        Action::GetQueueAttributes => {
            let attributes = queue_attributes(queues, &queue, now)?;
            let requested =
                attributes.into_iter().filter(|(name, _)| is_requested(&call.attribute_names, name));
            Ok(executed(json!({ "Attributes": requested.collect::<Map<_, _>>() }), Vec::new()))
        }
        Action::GetQueueUrl => {
            queues.settings(&queue)?;
            Ok(executed(json!({ "QueueUrl": format!("{url}/{ACCOUNT}/{queue}") }), Vec::new()))
        }
        // Not actions of SQS.
        Action::PutEvents
        | Action::DescribeEventBus
        | Action::GetSecretValue
        | Action::GetWebIdentityToken => Err(QueueError::InternalFailure),
    }
}

fn receive(queues: &mut Queues, queue: &str, call: &Call, now: SystemTime) -> Result<Executed, QueueError> {
    let timeout = call.one.visibility_timeout.map(Duration::from_secs);
    let received = queues.receive(queue, call.max_number_of_messages.unwrap_or(1), timeout, now)?;
    let ids = received.iter().map(|received| received.message.id.to_string()).collect();
    let messages: Vec<Value> = received.iter().map(|received| message_json(call, received)).collect();
    Ok(executed(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) }, ids))
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
            party: Some(if error.is_sender_fault() { "Sender" } else { "Receiver" }),
        }
    }
}

fn entries<T>(entries: Vec<Entry>, each: impl Fn(Entry) -> T) -> Vec<BatchEntry<T>> {
    entries.into_iter().map(|mut entry| BatchEntry::new(std::mem::take(&mut entry.id), each(entry))).collect()
}

/// The MD5 of a body, in the form of SQS's responses.
fn md5_of(body: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(body).into()))
}

fn executed(response: Value, message_ids: Vec<String>) -> Executed {
    Executed { response, message_ids, failed: 0 }
}

fn batch_executed<T>(outcome: &BatchOutcome<T>, to_json: impl Fn(&str, &T) -> (Value, String)) -> Executed {
    let mut message_ids = Vec::new();
    let mut successful = Vec::new();
    for BatchEntry { id, entry } in &outcome.successful {
        let (mut response, message_id) = to_json(id, entry);
        response["Id"] = id.as_str().into();
        successful.push(response);
        message_ids.push(message_id);
    }
    let failed: Vec<Value> = outcome
        .failed
        .iter()
        .map(|BatchEntry { id, entry }| {
            json!({
                "Id": id,
                "SenderFault": entry.is_sender_fault(),
                "Code": entry.code(),
                "Message": entry.to_string(),
            })
        })
        .collect();
    Executed {
        message_ids,
        failed: failed.len(),
        response: json!({ "Successful": successful, "Failed": failed }),
    }
}
