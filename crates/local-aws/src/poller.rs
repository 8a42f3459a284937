//! The event source mapping at work: from a queue to the function process and back.
//!
//! One poller has one batch on its way at a time, as one instance of the function has. Its receives and deletes are AWS's
//! own and do not appear in the journal, which is kept for the calls of the function.

use std::time::Duration;

use crate::mapping::{Failure, Verdict, event, judge};
use crate::queues::{QueueError, ReceivedMessage};
use crate::runtime_api::{InvocationAnswer, RuntimeApi};
use crate::server::LocalAws;

/// An event source mapping of one queue to one function process.
#[derive(Clone, Debug)]
pub struct Poller<'a> {
    /// Where the queue is.
    pub aws: &'a LocalAws,
    /// Where the function process asks for work.
    pub runtime_api: &'a RuntimeApi,
    /// The name of the queue.
    pub queue: String,
    /// The most messages of one batch, 1 to 10.
    pub batch_max: usize,
    /// The function's timeout.
    pub timeout: Duration,
}

/// One batch on its way to the function and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The messages.
    pub batch: Vec<ReceivedMessage>,
    /// What the function answered; nothing if its time ran out, upon which Lambda would kill the process.
    pub answer: Option<InvocationAnswer>,
    /// What the mapping made of it.
    pub verdict: Verdict,
}

impl Poller<'_> {
    /// Waits for messages, gives them to the function as one batch, and deletes those that succeeded.
    ///
    /// Dropped while the function works, it leaves the batch in flight, as a crash of the function's host does.
    #[expect(clippy::disallowed_methods, reason = "Lambda gives up on a function whose time has run out")]
    pub async fn round(&self) -> Result<Round, QueueError> {
        let batch = self.batch().await?;
        let invocation = self.runtime_api.invoke(event(&self.queue, &batch).to_string(), self.timeout);
        let answer = tokio::time::timeout(self.timeout, invocation).await.ok();
        let verdict = match &answer {
            Some(InvocationAnswer::Response(body)) => judge(&batch, body),
            Some(InvocationAnswer::Error(_)) | None => Verdict::BatchFailed(Failure::FunctionError),
        };
        let now = self.aws.now();
        let mut queues = self.aws.queues();
        for received in verdict.deleted(&batch) {
            // A delete that comes too late changes nothing: the message is delivered again.
            let _ = queues.delete(&self.queue, &received.receipt_handle, now);
        }
        drop(queues);
        Ok(Round { batch, answer, verdict })
    }

    /// Receives until there is something to deliver: after each change, and when a message becomes visible by itself.
    #[expect(clippy::disallowed_methods, reason = "a message can become visible by the mere passing of time")]
    async fn batch(&self) -> Result<Vec<ReceivedMessage>, QueueError> {
        loop {
            // Taken before the look, so that no change after the look is missed.
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
