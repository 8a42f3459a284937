//! One invocation of the worker: the kind of its event, and the response.

use aws_lambda_events::event::sqs::SqsBatchResponse;
use lambda_runtime::Diagnostic;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::error;

use super::context::Context;
use super::direct::Unpublished;
use super::queue::Queue;
use super::{Worker, batch};
use crate::aws::bus::Bus;
use crate::aws::sqs_event::{self, BatchError};
use crate::lambda::{self, Invocation};
use crate::transport::Transport;
use crate::{request, telemetry};

/// Why an invocation failed as a whole. Every message of a batch is then delivered again.
#[derive(Debug, Error)]
pub enum HandlerError {
    /// The batch cannot be read, or a record fails all of it.
    #[error("{}{}", .0, advice(.0))]
    Batch(#[from] BatchError),
    /// Neither records nor any field of a request.
    #[error(
        "the payload is neither an SQS event nor one request: invoke with the bare request, an object with region_id, \
         endpoint_id and security_group_id"
    )]
    UnsupportedPayload,
    /// A direct invocation could not publish its event.
    #[error(transparent)]
    CompletionNotPublished(#[from] Unpublished),
    #[error("the response could not be written as JSON")]
    UnwritableAnswer(#[source] serde_json::Error),
}

/// What the caller can do about the error.
fn advice(error: &BatchError) -> &'static str {
    match error {
        BatchError::UnsupportedSource(_) => {
            "; send the request to the request queue, or invoke with the bare request"
        }
        BatchError::Unreadable { .. } | BatchError::NotAnObject { .. } | BatchError::Unidentified { .. } => {
            ""
        }
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match &error {
            HandlerError::Batch(error) => error.error_type(),
            HandlerError::UnsupportedPayload => "UnsupportedPayload",
            HandlerError::CompletionNotPublished(_) => "CompletionNotPublished",
            HandlerError::UnwritableAnswer(_) => "UnwritableAnswer",
        };
        Self { error_type: error_type.to_owned(), error_message: telemetry::cause(&error) }
    }
}

/// What an invocation contains.
enum Payload {
    /// The records of SQS's event, or of EventBridge Pipes, which sends them without an envelope.
    Batch(Vec<Box<RawValue>>),
    /// One request, as it was sent.
    Request,
}

impl Payload {
    /// Recognizes a payload by its shape. A payload that is neither a batch nor a request fails the invocation: as a
    /// request it would be rejected, and the response to that would report a batch as a success.
    fn recognize(payload: &RawValue) -> Result<Self, HandlerError> {
        let text = payload.get();
        match sqs_event::records(payload)? {
            Some(records) => Ok(Self::Batch(records)),
            None if request::has_any_field(text) => Ok(Self::Request),
            None => Err(HandlerError::UnsupportedPayload),
        }
    }
}

/// Responds to one invocation. The payload is read as it was sent: a field that is given twice must be reported.
pub async fn handle<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    payload: &RawValue,
    invocation: &Invocation,
) -> Result<Value, HandlerError> {
    lambda::traced(invocation, respond(worker, payload, &worker.context(invocation))).await
}

async fn respond<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    payload: &RawValue,
    context: &Context<'_>,
) -> Result<Value, HandlerError> {
    if context.run.is_too_short() {
        error!(
            reserve_s = context.run.limits.reserve.as_secs(),
            "the function's timeout is no longer than the reserve for AWS calls, so no request can be carried out; raise \
             the timeout"
        );
    }
    let records = match Payload::recognize(payload)? {
        Payload::Batch(records) => records,
        Payload::Request => {
            let detail = worker.respond(payload.get(), context).await;
            worker.cloud.end(&context.run, &*worker.observer);
            return serde_json::to_value(detail?).map_err(HandlerError::UnwritableAnswer);
        }
    };
    let deliveries = sqs_event::once_each(sqs_event::deliveries(&records)?);
    let mut response = SqsBatchResponse::default();
    let returned = batch::run(worker, deliveries, context).await;
    worker.cloud.end(&context.run, &*worker.observer);
    for message_id in returned {
        response.add_failure(message_id);
    }
    serde_json::to_value(response).map_err(HandlerError::UnwritableAnswer)
}
