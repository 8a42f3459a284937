//! The queue of notices and its dead-letter queue: the two operations on a delivery.
//!
//! The event source mapping deletes a message that the response does not name, so the messenger deletes none.

use std::time::Duration;

use aws_sdk_sqs::types::MessageAttributeValue;

use crate::aws::LazyClient;
use crate::aws::sqs::{QueueError, SEND, attribute_text, check_sent, visibility_seconds};
use crate::aws::sqs_event::Delivery;

/// The operation that returns one message to its queue.
pub(super) const CHANGE_VISIBILITY: &str = "ChangeMessageVisibility";

/// The name of the attribute of a dead-letter copy that says why no retry can deliver the notice.
const REASON: &str = "reason";

/// The visibility timeout after the first receive; doubled with every further one. A platform that fails is rarely back
/// within seconds.
const VISIBILITY_MIN: Duration = Duration::from_secs(30);

/// The longest visibility timeout that the messenger chooses by itself: people wait for the notice.
const VISIBILITY_MAX: Duration = Duration::from_mins(15);

/// The longest time that a platform can ask the messenger to wait. A longer one would outlast most approvals.
const AFTER_MAX: Duration = Duration::from_hours(1);

/// Jitter added to a visibility timeout, as a share of it.
const JITTER: f64 = 0.2;

/// Amazon SQS.
#[derive(Debug, Clone)]
pub(super) struct NoticeQueue {
    client: LazyClient<aws_sdk_sqs::Client>,
    queue_url: String,
    dead_letter_queue_url: String,
}

impl NoticeQueue {
    pub(super) fn new(
        client: LazyClient<aws_sdk_sqs::Client>,
        queue_url: String,
        dead_letter_queue_url: String,
    ) -> Self {
        Self { client, queue_url, dead_letter_queue_url }
    }

    /// Does the CPU-bound preparation for the first call. It makes no call.
    pub(super) fn prepare(&self) {
        self.client.build();
    }

    /// Returns a message to the queue, which delivers it again after `visibility`.
    pub(super) async fn defer(&self, delivery: &Delivery, visibility: Duration) -> Result<(), QueueError> {
        let request = self.client.change_message_visibility().queue_url(&self.queue_url);
        let request = request.receipt_handle(&delivery.receipt_handle);
        let response = request.visibility_timeout(visibility_seconds(visibility)).send().await;
        response.map(drop).map_err(|error| QueueError::call(CHANGE_VISIBILITY, error))
    }

    /// Copies a message to the dead-letter queue. `Ok` only if the queue returned a receipt for the copy.
    #[expect(clippy::expect_used, reason = "every required field is set")]
    pub(super) async fn send_dead_letter(&self, body: &str, why: &str) -> Result<(), QueueError> {
        let reason = MessageAttributeValue::builder().data_type("String").string_value(attribute_text(why));
        let reason = reason.build().expect("an attribute with a data type");
        let request = self.client.send_message().queue_url(&self.dead_letter_queue_url).message_body(body);
        let response = request.message_attributes(REASON, reason).send().await;
        let response = response.map_err(|error| QueueError::call(SEND, error))?;
        check_sent(&response, body)
    }
}

/// How long a message stays invisible after this many receives: at least as long as the platform asks for. `jitter` is a
/// random share, from 0 to 1.
pub(super) fn visibility(receive_count: u32, after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = 2_u32.checked_pow(receive_count.saturating_sub(1));
    let grown = doubled.and_then(|factor| VISIBILITY_MIN.checked_mul(factor));
    let usual = grown.unwrap_or(VISIBILITY_MAX).min(VISIBILITY_MAX);
    usual.max(after.unwrap_or_default().min(AFTER_MAX)).mul_f64(1.0 + JITTER * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_timeout_doubles_up_to_15_minutes() {
        let seconds = [1, 2, 3, 4, 5, 6, 7, 1000, u32::MAX].map(|n| visibility(n, None, 0.0).as_secs());
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900, 900, 900]);
    }

    #[test]
    fn platform_can_lengthen_the_visibility_timeout_up_to_an_hour() {
        let after = |receive_count, seconds| {
            visibility(receive_count, Some(Duration::from_secs(seconds)), 0.0).as_secs()
        };
        assert_eq!([after(1, 1), after(1, 31), after(9, 31), after(9, 3_600)], [30, 31, 900, 3_600]);
        assert_eq!([after(1, 3_601), after(1, u64::MAX)], [3_600, 3_600]);
    }

    #[test]
    fn jitter_adds_up_to_a_fifth_and_shortens_nothing() {
        let seconds = [0.0, 0.5, 1.0].map(|jitter| visibility(1, None, jitter).as_secs());
        assert_eq!(seconds, [30, 33, 36]);
        assert_eq!(visibility(1, Some(Duration::from_hours(1)), 1.0), Duration::from_mins(72));
    }
}
