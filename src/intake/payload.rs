//! What an invocation of the intake brings, told by its shape: an HTTP call, or the text of a request from somewhere.
//!
//! Pure. `EventBridge` and SNS have a few lines of their own here, because the library's shapes for them bring a
//! second calendar along.

use aws_lambda_events::event::lambda_function_urls::LambdaFunctionUrlRequest;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::json::Object;
use crate::request::Trigger;

/// The `detail-type` of an `EventBridge` event that asks for detaches.
pub const DETAIL_TYPE: &str = "Security Group Detach Requested";

/// The stage of an HTTP API that leaves no trace in the path.
pub const STAGE_DEFAULT: &str = "$default";

/// What an invocation brings.
#[derive(Debug)]
pub enum Payload {
    /// A call of the Function URL or of an HTTP API.
    Call {
        /// The call, as the library reads it.
        request: Box<LambdaFunctionUrlRequest>,
        /// Its path, without the stage of an HTTP API.
        path: String,
    },
    /// It has the shape of such a call, but a part of it is not what HTTP has.
    UnreadableCall,
    /// Events: of a schedule, a rule or a topic.
    Events {
        /// What made them.
        trigger: Trigger,
        /// One, but for a topic that delivers several at once.
        events: Vec<Event>,
    },
}

/// The text of a request, or of several.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The id that every delivery of it has; none if it came without one.
    pub id: Option<String>,
    /// The request or requests.
    pub body: String,
}

/// Why a payload is nothing that the intake takes. It does not repeat the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// It is no JSON object, or one of its parts has another type than it should.
    #[error("the payload is no event that the intake knows: line {line}, column {column}")]
    Unreadable {
        /// Of the payload.
        line: usize,
        /// In that line.
        column: usize,
    },
    /// An `EventBridge` event of another kind.
    #[error("the event's detail-type is not \"{DETAIL_TYPE}\"")]
    DetailType,
    /// A batch of something else than SNS.
    #[error(
        "the Records are not SNS messages: subscribe the intake to an SNS topic, or send requests to the request queue"
    )]
    Records,
    /// A call in a format that only REST APIs and load balancers have.
    #[error(
        "the HTTP call is not of payload format 2.0: use a Function URL, or an HTTP API with that format"
    )]
    PayloadFormat,
    /// What Lambda writes about an event that failed, and not the event.
    #[error("the payload is Lambda's record of a failed event: invoke with its requestPayload")]
    FailureRecord,
}

/// What tells the payloads apart.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "requestContext")]
    context: Option<Object<Context>>,
    #[serde(rename = "httpMethod")]
    http_method: Option<Box<RawValue>>,
    #[serde(rename = "Records")]
    records: Option<Vec<Object<Record>>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<Box<RawValue>>,
    id: Option<Box<RawValue>>,
    #[serde(rename = "requestPayload")]
    failed: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Context {
    http: Option<Box<RawValue>>,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "EventSource")]
    event_source: Option<String>,
    #[serde(rename = "Sns")]
    sns: Option<Object<Notification>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    message_id: Option<String>,
    message: String,
}

impl Payload {
    /// What this payload is.
    pub fn read(payload: &RawValue) -> Result<Self, Unsupported> {
        let Object(shape): Object<Shape> = serde_json::from_str(payload.get())
            .map_err(|error| Unsupported::Unreadable { line: error.line(), column: error.column() })?;
        match shape {
            Shape { failed: Some(_), .. } => Err(Unsupported::FailureRecord),
            Shape { context: Some(Object(Context { http: Some(_), stage })), .. } => {
                Ok(call(payload, stage.as_deref()))
            }
            Shape { context: Some(_), .. } | Shape { http_method: Some(_), .. } => {
                Err(Unsupported::PayloadFormat)
            }
            Shape { records: Some(records), .. } => notifications(records),
            Shape { detail_type: Some(kind), detail, id, .. } if kind == DETAIL_TYPE => {
                let id = id.and_then(|id| serde_json::from_str(id.get()).ok()).filter(is_given);
                let body = detail.as_deref().map_or("null", RawValue::get).to_owned();
                Ok(Self::one(Trigger::Event, Event { id, body }))
            }
            Shape { detail_type: Some(_), .. } => Err(Unsupported::DetailType),
            _ => Ok(Self::one(Trigger::Schedule, Event { id: None, body: payload.get().to_owned() })),
        }
    }

    fn one(trigger: Trigger, event: Event) -> Self {
        Self::Events { trigger, events: vec![event] }
    }
}

/// An empty id is none: as a name it would be shared by strangers.
#[expect(clippy::ptr_arg, reason = "a filter of an Option<String> passes it so")]
fn is_given(id: &String) -> bool {
    !id.is_empty()
}

fn notifications(records: Vec<Object<Record>>) -> Result<Payload, Unsupported> {
    let event = |Object(record)| match record {
        Record { event_source: Some(source), sns: Some(Object(sns)) } if source == "aws:sns" => {
            Ok(Event { id: sns.message_id.filter(is_given), body: sns.message })
        }
        _ => Err(Unsupported::Records),
    };
    let events: Vec<_> = records.into_iter().map(event).collect::<Result<_, _>>()?;
    if events.is_empty() {
        return Err(Unsupported::Records);
    }
    Ok(Payload::Events { trigger: Trigger::Event, events })
}

fn call(payload: &RawValue, stage: Option<&str>) -> Payload {
    let Ok(request) = serde_json::from_str::<Box<LambdaFunctionUrlRequest>>(payload.get()) else {
        return Payload::UnreadableCall;
    };
    let path = request.raw_path.as_deref().unwrap_or("/");
    let without_stage = stage
        .filter(|stage| *stage != STAGE_DEFAULT)
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'));
    let path = without_stage.unwrap_or(path).to_owned();
    Payload::Call { request, path }
}
