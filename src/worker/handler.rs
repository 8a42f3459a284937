//! One invocation of the worker: what kind of event it is, and the answer to it.

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::Diagnostic;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::{Instrument, error, info_span};

use crate::alibaba::transport::Transport;
use crate::json::Object;
use crate::worker::batch;
use crate::worker::bus::Bus;
use crate::worker::queue::{Delivery, Queue, Unidentified};
use crate::worker::{Invocation, Unpublished, Worker};

/// Longest name of a service that is repeated, without its `aws:`.
const EVENT_SOURCE_LENGTH_MAX: usize = 32;

/// The event source that SQS's event source mapping names.
const SQS: &str = "aws:sqs";

/// Why an invocation failed as a whole. For a batch that means: every message of it comes again.
#[derive(Debug, Error)]
pub enum HandlerError {
    /// It looks like a batch, but is not one that SQS sends. What is wrong is told by its place: the parser's own
    /// words would quote the payload.
    #[error("the event has Records that are no SQS messages: line {line}, column {column}")]
    UnreadableBatch {
        /// Of the payload.
        line: usize,
        /// In that line.
        column: usize,
    },
    /// It is a batch of another service.
    #[error(
        "the event comes from {0}, not from SQS; put the request into the request queue, or invoke with the bare \
         request"
    )]
    UnsupportedSource(String),
    /// A record could not be reported as failed.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// A direct invocation could not publish its event.
    #[error(transparent)]
    CompletionNotPublished(#[from] Unpublished),
    /// The answer could not be written as JSON.
    #[error("the answer is not JSON: {0}")]
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
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// What distinguishes the events: a batch has records, a direct invocation is the bare request.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "Records")]
    records: Option<Vec<Object<Origin>>>,
}

#[derive(Deserialize)]
struct Origin {
    #[serde(rename = "eventSource")]
    event_source: Option<String>,
}

/// Answers one invocation. The payload is read as it was sent: a field that is given twice must not go unseen.
pub async fn handle<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    payload: &RawValue,
    invocation: &Invocation,
) -> Result<Value, HandlerError> {
    let span = info_span!(
        "invocation",
        lambda_request_id = invocation.lambda_request_id,
        xray_trace_id = invocation.xray_trace_id
    );
    let answered = answer(worker, payload, invocation).instrument(span.clone()).await;
    // The runtime tells Lambda; its own line for the log is a debugger's and is switched off.
    answered.inspect_err(|error| span.in_scope(|| error!("the invocation failed: {error}")))
}

async fn answer<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    payload: &RawValue,
    invocation: &Invocation,
) -> Result<Value, HandlerError> {
    let limits = &worker.settings().invocation;
    if invocation.is_too_short(limits) {
        error!(
            reserve_s = limits.reserve.as_secs(),
            "the function's timeout is no longer than the reserve for AWS calls: nothing can be done; raise it"
        );
    }
    let records = match serde_json::from_str::<Object<Shape>>(payload.get()) {
        Ok(Object(Shape { records })) => records,
        // An object whose Records cannot be read. To take it for a request would answer a batch with a success.
        Err(error) if payload.get().trim_start().starts_with('{') => {
            return Err(unreadable(&error));
        }
        // Whatever it is, the request's own rules say what is wrong with it.
        Err(_) => None,
    };
    let Some(records) = records else {
        let detail = worker.answer(payload.get(), invocation).await?;
        return serde_json::to_value(detail).map_err(HandlerError::UnwritableAnswer);
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
    for message_id in batch::run(worker, deliveries, invocation).await {
        response.add_failure(message_id);
    }
    serde_json::to_value(response).map_err(HandlerError::UnwritableAnswer)
}

fn unreadable(error: &serde_json::Error) -> HandlerError {
    HandlerError::UnreadableBatch { line: error.line(), column: error.column() }
}

/// Whether it names a service as AWS does; anything else is a stranger's text and not repeated.
fn is_event_source(source: &str) -> bool {
    let service = source.strip_prefix("aws:").unwrap_or_default();
    (1..=EVENT_SOURCE_LENGTH_MAX).contains(&service.len())
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
