//! Sends notices to the queue of the messenger, a standard queue.

use std::time::Duration;

use super::LazyClient;
use super::sqs::{QueueError, SEND, check_sent};

/// Sends to the queue of notices.
#[derive(Debug, Clone)]
pub struct NoticeSender {
    client: LazyClient<aws_sdk_sqs::Client>,
    queue_url: String,
}

impl NoticeSender {
    #[must_use]
    pub fn new(client: impl Into<LazyClient<aws_sdk_sqs::Client>>, queue_url: String) -> Self {
        Self { client: client.into(), queue_url }
    }

    /// Sends one notice, which the queue delivers after this time in whole seconds. `Ok` only if the queue returned a receipt for it.
    pub async fn send(&self, body: &str, after: Duration) -> Result<(), QueueError> {
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body);
        let delay = i32::try_from(after.as_secs()).ok().filter(|seconds| *seconds > 0);
        let request = request.set_delay_seconds(delay);
        let response = request.send().await.map_err(|error| QueueError::call(SEND, error))?;
        check_sent(&response, body)
    }
}
