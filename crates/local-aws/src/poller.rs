//! The event source mapping as a loop: receives messages from a queue, invokes the function, deletes messages.
//!
//! A poller processes one batch at a time, as one execution environment of the function does. Its receives and
//! deletes are AWS's own and do not appear in the journal, which records the calls of the function.

use std::time::Duration;

use crate::mapping::{Failure, Verdict, evaluate_response, event};
use crate::queues::{QueueError, ReceivedMessage};
use crate::runtime_api::{InvocationResult, RuntimeApi};
use crate::server::LocalAws;

/// An event source mapping of one queue to one function process.
#[derive(Clone, Debug)]
pub struct Poller<'a> {
    pub aws: &'a LocalAws,
    pub runtime_api: &'a RuntimeApi,
    pub queue: String,
    /// The maximum number of messages in a batch, 1 to 10.
    pub batch_max: usize,
    pub timeout: Duration,
}

/// One batch and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub batch: Vec<ReceivedMessage>,
    /// The function's result. `None` if the timeout passed, after which Lambda would end the process.
    pub result: Option<InvocationResult>,
    pub verdict: Verdict,
}

impl Poller<'_> {
    /// Waits for messages, invokes the function with them as one batch, and deletes those that succeeded.
    ///
    /// If this future is dropped while the function runs, the batch stays in flight, as after a crash of the
    /// function's host.
    #[expect(clippy::disallowed_methods, reason = "Lambda ends an invocation at its timeout")]
    pub async fn round(&self) -> Result<Round, QueueError> {
        let batch = self.batch().await?;
        let invocation = self.runtime_api.invoke(event(&self.queue, &batch).to_string(), self.timeout);
        let result = tokio::time::timeout(self.timeout, invocation).await.ok();
        let verdict = match &result {
            Some(InvocationResult::Response(body)) => evaluate_response(&batch, body),
            Some(InvocationResult::Error(_)) | None => Verdict::BatchFailed(Failure::FunctionError),
        };
        let now = self.aws.now();
        let mut queues = self.aws.queues();
        for received in verdict.deleted(&batch) {
            // A delete that arrives too late has no effect: the message is delivered again.
            let _ = queues.delete(&self.queue, &received.receipt_handle, now);
        }
        drop(queues);
        Ok(Round { batch, result, verdict })
    }

    /// Receives until there is a batch to deliver: after each change, and when a message becomes visible.
    #[expect(clippy::disallowed_methods, reason = "a message can become visible by the passage of time")]
    async fn batch(&self) -> Result<Vec<ReceivedMessage>, QueueError> {
        loop {
            // Subscribe before the check, so that a change after the check is not missed.
            let changed = self.aws.changed();
            let now = self.aws.now();
            if self.aws.queues().is_receivable(&self.queue, now)? {
                let batch = self.aws.queues().receive(&self.queue, self.batch_max, None, now)?;
                if !batch.is_empty() {
                    return Ok(batch);
                }
            }
            let visible_at = self.aws.queues().next_visible_at(&self.queue, now)?;
            match visible_at.and_then(|at| at.duration_since(now).ok()) {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                None => changed.await,
            }
        }
    }
}
