//! The messenger: messages of the queue of notices in, calls to chat platforms out.
//!
//! It has no URL and no credentials for Alibaba Cloud. It posts only what a signing key of this deployment signed.
//!
//! The queue may deliver a message twice, and a response may be lost after the platform carried out its call. An update
//! may be repeated without effect. A new message can then appear several times; nothing else happens twice, because a button's
//! request has the same `request_id` in every copy. A post whose response is lost again and again ends as a dead letter.
//!
//! In reading order: `settlement` processes one message, `deliver` makes its calls, `queue` is SQS. What is posted,
//! and what a response means, is in [`crate::chat`].

mod deliver;
mod queue;
mod settlement;

use std::cell::RefCell;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use aws_types::SdkConfig;
use futures_util::future::join3;
use lambda_runtime::Diagnostic;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::aws::LazyClient;
use crate::aws::secret::Secret;
use crate::aws::sqs_event::{self, BatchError};
use crate::chat::access::AccessTokens;
use crate::chat::post::{Addresses, Tokens};
use crate::chat::signed::ChatKeys;
use crate::chat::texts::LanguageSetting;
use crate::clock::Clock;
use crate::config::MessengerConfig;
use crate::lambda::{self, Invocation};
use crate::random::Random;
use crate::telemetry;
use crate::transport::Transport;
use queue::NoticeQueue;
use settlement::Settled;

/// The messenger's clients, settings and cached secrets. A process has one.
#[derive(Debug)]
pub struct Messenger<T> {
    transport: T,
    queue: NoticeQueue,
    keys: Secret<ChatKeys>,
    tokens: Secret<Tokens>,
    language: LanguageSetting,
    addresses: Addresses,
    access: RefCell<AccessTokens>,
    jitter: RefCell<fastrand::Rng>,
}

/// Why an invocation failed as a whole. Every message of a batch is then delivered again.
#[derive(Debug, Error)]
pub enum MessengerError {
    /// The batch cannot be read, or a record fails all of it.
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the payload is not an event of SQS: only the queue of notices invokes this function")]
    UnsupportedPayload,
    #[error("the response could not be written as JSON")]
    UnwritableResponse(#[source] serde_json::Error),
}

impl From<MessengerError> for Diagnostic {
    fn from(error: MessengerError) -> Self {
        let error_type = match &error {
            MessengerError::Batch(error) => error.error_type(),
            MessengerError::UnsupportedPayload => "UnsupportedPayload",
            MessengerError::UnwritableResponse(_) => "UnwritableResponse",
        };
        Self { error_type: error_type.to_owned(), error_message: telemetry::cause(&error) }
    }
}

impl<T: Transport> Messenger<T> {
    /// Sets up the messenger; makes no call yet.
    #[must_use]
    pub fn new(config: MessengerConfig, aws: &SdkConfig, transport: T, random: &Random) -> Self {
        let secrets = aws_sdk_secretsmanager::Client::new(aws);
        let sqs = LazyClient::new(aws, aws_sdk_sqs::Client::new);
        Self {
            transport,
            queue: NoticeQueue::new(sqs, config.notice_queue_url, config.dead_letter_queue_url),
            keys: Secret::new(secrets.clone(), config.signing_secret_arn),
            tokens: Secret::new(secrets, config.token_secret_arn),
            language: config.language,
            addresses: config.addresses,
            access: RefCell::default(),
            jitter: RefCell::new(random.generator()),
        }
    }

    /// Reads both secrets before the first notice needs them. A failure is logged and does not prevent the start: notices
    /// wait in the queue until the secrets can be read.
    pub async fn prepare(&self, clock: &Clock) {
        // Last, while the other two wait for the network.
        let queue = async { self.queue.prepare() };
        let _ = join3(self.keys.current(clock), self.tokens.current(clock), queue).await;
    }

    /// Processes the batch of an invocation, one message after the other: platforms limit the rate of calls.
    pub async fn handle(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, MessengerError> {
        lambda::traced(invocation, self.respond(payload, invocation)).await
    }

    async fn respond(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, MessengerError> {
        let records = sqs_event::records(payload)?.ok_or(MessengerError::UnsupportedPayload)?;
        let mut response = SqsBatchResponse::default();
        for delivery in sqs_event::once_each(sqs_event::deliveries(&records)?) {
            match self.settle(&delivery, invocation).await {
                Settled::Finished => {}
                Settled::Returned => response.add_failure(delivery.message_id),
            }
        }
        serde_json::to_value(response).map_err(MessengerError::UnwritableResponse)
    }
}
