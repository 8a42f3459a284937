//! The request queue from the sender's side: messages in tens, and the truth about each.

use std::time::{Duration, Instant};

use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use tracing::warn;

use crate::aws::sqs::{BATCH_ENTRIES_MAX, QueueFault, fault};
use crate::clock::Clock;
use crate::request::Trigger;

/// Calls that one entry is part of at most. A call that fails as a whole was repeated by the SDK already; an entry that
/// fails inside a success is nobody's business but ours.
const ENTRY_ATTEMPTS_MAX: u32 = 3;

/// Time between two calls for one entry.
const ENTRY_RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long calls may begin: the sender of a webhook waits, and the function's time is bounded.
pub const SEND_TIME_MAX: Duration = Duration::from_secs(20);

const OPERATION: &str = "SendMessageBatch";

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its lane.
    pub group: String,
    /// The same for a repetition.
    pub deduplication_id: String,
    /// The request.
    pub body: String,
    /// What made the request.
    pub trigger: Trigger,
}

/// Sends to the request queue.
#[derive(Debug, Clone)]
pub struct Sender {
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl Sender {
    /// A FIFO queue.
    #[must_use]
    pub fn new(client: aws_sdk_sqs::Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends the messages in their order; whether the queue has each, in the same order.
    ///
    /// No call begins after `until`. After a call that failed as a whole nothing more is sent: the queue cannot take it
    /// now.
    pub async fn send(
        &self,
        messages: &[Message],
        until: Instant,
        clock: &Clock,
    ) -> Vec<Result<(), QueueFault>> {
        let mut results = Vec::with_capacity(messages.len());
        let mut is_broken = false;
        for some in messages.chunks(BATCH_ENTRIES_MAX) {
            if is_broken {
                results.extend(some.iter().map(|_| Err(not_sent("an earlier call failed"))));
                continue;
            }
            let batch = self.send_some(some, until, clock).await;
            is_broken = batch.is_broken;
            results.extend(batch.results);
        }
        results
    }

    async fn send_some(&self, messages: &[Message], until: Instant, clock: &Clock) -> Batch {
        let mut batch = Batch::new(messages.len());
        for attempt in 1..=ENTRY_ATTEMPTS_MAX {
            let pending = batch.pending();
            if pending.is_empty() {
                break;
            }
            if attempt > 1 {
                clock.sleep_until(clock.now() + ENTRY_RETRY_AFTER).await;
            }
            if clock.now() >= until {
                break;
            }
            if let Err(fault) = self.call(messages, &pending, &mut batch).await {
                warn!("{fault}");
                batch.fail(&fault);
                break;
            }
        }
        batch
    }

    async fn call(
        &self,
        messages: &[Message],
        pending: &[usize],
        batch: &mut Batch,
    ) -> Result<(), QueueFault> {
        let mut request = self.client.send_message_batch().queue_url(&self.queue_url);
        for index in pending {
            request = request.entries(entry(*index, &messages[*index])?);
        }
        let answer = request.send().await.map_err(|error| fault(OPERATION, &error))?;
        batch.note(&answer);
        Ok(())
    }
}

fn entry(index: usize, message: &Message) -> Result<SendMessageBatchRequestEntry, QueueFault> {
    let trigger =
        MessageAttributeValue::builder().data_type("String").string_value(message.trigger.as_str()).build();
    let entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_group_id(&message.group)
        .message_deduplication_id(&message.deduplication_id)
        .message_body(&message.body)
        .message_attributes("trigger", trigger.map_err(|error| fault(OPERATION, &error))?);
    entry.build().map_err(|error| fault(OPERATION, &error))
}

/// What became of at most ten messages. One that no answer names was not taken.
struct Batch {
    results: Vec<Result<(), QueueFault>>,
    /// Not to be sent once more: the queue has it, or will never take it.
    is_final: Vec<bool>,
    is_broken: bool,
}

impl Batch {
    fn new(length: usize) -> Self {
        let results = (0..length).map(|_| Err(not_sent("neither taken nor refused in time"))).collect();
        Self { results, is_final: vec![false; length], is_broken: false }
    }

    fn pending(&self) -> Vec<usize> {
        (0..self.results.len()).filter(|index| !self.is_final[*index]).collect()
    }

    fn note(&mut self, answer: &SendMessageBatchOutput) {
        for accepted in answer.successful() {
            self.end(accepted.id(), Ok(()), true);
        }
        for failed in answer.failed() {
            let (code, is_senders_fault) = (failed.code(), failed.sender_fault());
            warn!(code, is_senders_fault, "the queue did not take a message");
            // Throttling is said to be the sender's fault, too, and passes.
            let is_final = is_senders_fault && !code.contains("Throttl");
            self.end(failed.id(), Err(not_sent(code)), is_final);
        }
    }

    fn fail(&mut self, fault: &QueueFault) {
        for index in self.pending() {
            self.results[index] = Err(not_sent(&fault.cause));
        }
        self.is_broken = true;
    }

    fn end(&mut self, id: &str, result: Result<(), QueueFault>, is_final: bool) {
        if let Some(index) = id.parse().ok().filter(|index: &usize| *index < self.results.len()) {
            self.results[index] = result;
            self.is_final[index] = is_final;
        }
    }
}

fn not_sent(cause: &str) -> QueueFault {
    QueueFault { operation: OPERATION, cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};

    use super::*;

    /// An answer that names these as taken and those as failed, each with whether that is the sender's fault.
    fn answer(taken: &[&str], failed: &[(&str, &str, bool)]) -> SendMessageBatchOutput {
        let taken = taken.iter().map(|id| {
            let entry =
                SendMessageBatchResultEntry::builder().id(*id).message_id("m").md5_of_message_body("5");
            entry.build().unwrap()
        });
        let failed = failed.iter().map(|(id, code, is_senders_fault)| {
            let entry = BatchResultErrorEntry::builder().id(*id).code(*code).sender_fault(*is_senders_fault);
            entry.build().unwrap()
        });
        let answer = SendMessageBatchOutput::builder().set_successful(Some(taken.collect()));
        answer.set_failed(Some(failed.collect())).build().unwrap()
    }

    fn results(batch: &Batch) -> Vec<Result<(), &str>> {
        batch.results.iter().map(|result| result.as_ref().copied().map_err(|fault| &*fault.cause)).collect()
    }

    #[test]
    fn only_what_an_answer_names_as_taken_is_taken() {
        let mut batch = Batch::new(4);
        batch.note(&answer(&["2", "4", ""], &[("0", "Code", false)]));
        let unnamed = Err("neither taken nor refused in time");
        assert_eq!(results(&batch), [Err("Code"), unnamed, Ok(()), unnamed]);
        assert_eq!(batch.pending(), [0, 1, 3]);
    }

    #[test]
    fn what_the_queue_will_never_take_is_not_sent_again() {
        let mut batch = Batch::new(3);
        batch.note(&answer(&[], &[("1", "InvalidMessageContents", true), ("2", "RequestThrottled", true)]));
        assert_eq!(batch.pending(), [0, 2]);
    }

    #[test]
    fn a_call_that_fails_takes_nothing_back() {
        let mut batch = Batch::new(2);
        batch.note(&answer(&["0"], &[]));
        batch.fail(&not_sent("timeout"));
        assert_eq!((results(&batch), batch.is_broken), (vec![Ok(()), Err("timeout")], true));
    }
}
