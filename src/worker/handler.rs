//! One invocation of the worker: the kind of its event, and the response.

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::Diagnostic;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::error;

use super::bus::Bus;
use super::context::Context;
use super::direct::Unpublished;
use super::queue::{Delivery, Queue, Unidentified};
use super::{Worker, batch};
use crate::alibaba::transport::Transport;
use crate::json::Object;
use crate::lambda::{self, Invocation};
use crate::telemetry;

/// Longest name of an event source that an error repeats, in characters, without its `aws:`.
const EVENT_SOURCE_LENGTH_MAX: usize = 32;

/// The `eventSource` of SQS's event source mapping.
const SQS: &str = "aws:sqs";

/// Why an invocation failed as a whole. Every message of a batch is then delivered again.
#[derive(Debug, Error)]
pub enum HandlerError {
    /// The event has records, but not those of SQS. The error names the position only: the parser's own message would quote
    /// the payload.
    #[error("the event has Records that are not SQS messages: line {line}, column {column}")]
    UnreadableBatch { line: usize, column: usize },
    /// A batch of another service.
    #[error(
        "the event comes from {0}, not from SQS; send the request to the request queue, or invoke with the bare \
         request"
    )]
    UnsupportedSource(String),
    /// A record could not be reported as failed.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// A direct invocation could not publish its event.
    #[error(transparent)]
    CompletionNotPublished(#[from] Unpublished),
    #[error("the response could not be written as JSON")]
    UnwritableAnswer(#[source] serde_json::Error),
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match error {
            HandlerError::UnreadableBatch { .. } => "UnreadableBatch",
            HandlerError::UnsupportedSource(_) => "UnsupportedSource",
            HandlerError::Unidentified(_) => "Unidentified",
            HandlerError::CompletionNotPublished(_) => "CompletionNotPublished",
            HandlerError::UnwritableAnswer(_) => "UnwritableAnswer",
        };
        Self { error_type: error_type.to_owned(), error_message: telemetry::cause(&error) }
    }
}

/// What distinguishes the events: a batch has records, a direct invocation is a bare request.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "Records")]
    records: Option<Vec<Object<Record>>>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventSource")]
    event_source: Option<String>,
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
    let records = match serde_json::from_str::<Object<Shape>>(payload.get()) {
        Ok(Object(Shape { records })) => records,
        // An object whose Records cannot be read: to treat it as a request would report a batch as a success.
        Err(error) if payload.get().trim_start().starts_with('{') => {
            return Err(unreadable(&error));
        }
        // Not an object: the request's own rules say what is wrong with it.
        Err(_) => None,
    };
    let Some(records) = records else {
        let detail = worker.respond(payload.get(), context).await;
        worker.cloud.end(&context.run, &*worker.observer);
        return serde_json::to_value(detail?).map_err(HandlerError::UnwritableAnswer);
    };
    let mut origins = records.into_iter().map(|Object(origin)| origin);
    if let Some(other) = origins.find(|origin| origin.event_source.as_deref() != Some(SQS)) {
        let source = other.event_source.filter(|source| is_event_source(source));
        return Err(HandlerError::UnsupportedSource(
            source.unwrap_or_else(|| "an unnamed source".to_owned()),
        ));
    }
    let event: SqsEvent = serde_json::from_str(payload.get()).map_err(|error| unreadable(&error))?;
    let deliveries = Delivery::of_records(event.records)?;
    let mut response = SqsBatchResponse::default();
    let returned = batch::run(worker, deliveries, context).await;
    worker.cloud.end(&context.run, &*worker.observer);
    for message_id in returned {
        response.add_failure(message_id);
    }
    serde_json::to_value(response).map_err(HandlerError::UnwritableAnswer)
}

fn unreadable(error: &serde_json::Error) -> HandlerError {
    HandlerError::UnreadableBatch { line: error.line(), column: error.column() }
}

/// Whether the text names a service as AWS does; any other text is untrusted and not repeated.
fn is_event_source(source: &str) -> bool {
    let service = source.strip_prefix("aws:").unwrap_or_default();
    (1..=EVENT_SOURCE_LENGTH_MAX).contains(&service.len())
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
