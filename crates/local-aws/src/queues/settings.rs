//! The settings of a queue.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Whether it is a FIFO queue, which keeps the order of each message group and delivers each message once.
    pub fifo: bool,
    /// How long a received message stays hidden, unless the receive sets another visibility timeout.
    pub visibility_timeout: Duration,
    /// The redrive policy, if the queue has one.
    pub redrive: Option<Redrive>,
    /// The scope in which a deduplication id must be unique. Not used by a standard queue.
    pub deduplication: DeduplicationScope,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The number of deliveries after which a message is moved.
    pub receive_count_max: u32,
    /// The name of the dead-letter queue, which must be of the same type.
    pub dead_letter_queue: String,
}

/// The scope in which a deduplication id must be unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeduplicationScope {
    #[default]
    Queue,
    /// The message group, as in high-throughput mode.
    MessageGroup,
}

impl QueueSettings {
    /// A FIFO queue with SQS's default visibility timeout of 30 s and no dead-letter queue.
    #[must_use]
    pub fn fifo() -> Self {
        Self { fifo: true, ..Self::standard() }
    }

    /// A standard queue with SQS's default visibility timeout of 30 s and no dead-letter queue.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            fifo: false,
            visibility_timeout: Duration::from_secs(30),
            redrive: None,
            deduplication: DeduplicationScope::default(),
        }
    }

    #[must_use]
    pub fn visibility_timeout(self, visibility_timeout: Duration) -> Self {
        Self { visibility_timeout, ..self }
    }

    #[must_use]
    pub fn redrive(self, receive_count_max: u32, dead_letter_queue: &str) -> Self {
        let redrive = Redrive { receive_count_max, dead_letter_queue: dead_letter_queue.to_owned() };
        Self { redrive: Some(redrive), ..self }
    }
}
