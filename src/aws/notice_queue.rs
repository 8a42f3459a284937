//! Sends notices to the queue of the messenger, a standard queue.

use super::sqs::{QueueError, SEND, check_sent};

/// Sends to the queue of notices.
#[derive(Debug, Clone)]
pub struct NoticeSender {
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl NoticeSender {
    #[must_use]
    pub fn new(client: aws_sdk_sqs::Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends one notice. `Ok` only if the queue returned a receipt for it.
    pub async fn send(&self, body: &str) -> Result<(), QueueError> {
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body);
        let response = request.send().await.map_err(|error| QueueError::call(SEND, error))?;
        check_sent(&response, body)
    }
}
