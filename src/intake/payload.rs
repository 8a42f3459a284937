//! What an invocation of the intake contains, recognized by its shape: an HTTP call, or the text of requests in an event.
//!
//! Pure, and it does not parse requests. `EventBridge` and SNS events are parsed here, because the library's types for
//! them depend on a second crate for dates.

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::http::HttpCall;
use crate::json::Object;
use crate::request::Trigger;

/// The `detail-type` of an `EventBridge` event that requests detaches.
pub const DETAIL_TYPE: &str = "Security Group Detach Requested";

/// What an invocation contains.
#[derive(Debug)]
pub enum Payload {
    /// A call of the Function URL or of an HTTP API.
    Call(Box<HttpCall>),
    /// The shape of a call, with a part that HTTP does not allow. AWS sends none; a direct invocation can.
    InvalidCall,
    /// The events of a schedule, an `EventBridge` rule or an SNS topic.
    Events {
        /// The trigger of their requests.
        trigger: Trigger,
        /// At least one. Only an SNS topic delivers several at once.
        events: Vec<RequestEvent>,
    },
}

/// The text of one request or of a list of requests.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestEvent {
    /// The id that every delivery of the event has. It is not empty.
    pub id: Option<String>,
    /// The `source` of an `EventBridge` event, empty if it has none; `None` for a schedule and for an SNS topic.
    pub source: Option<String>,
    /// JSON, not parsed yet.
    pub body: String,
}

/// Why the intake does not support a payload. No variant repeats a part of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnsupportedPayload {
    /// The payload is not a JSON object, or a part of it has another type than expected.
    #[error("the payload is not an event that the intake supports: line {line}, column {column}")]
    Unreadable {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// An `EventBridge` event of another type.
    #[error("the event's detail-type is not \"{DETAIL_TYPE}\"")]
    DetailType,
    /// An `EventBridge` event that an archive sends again. Its requests were made before, perhaps months ago.
    #[error("the event is replayed from an archive: send the requests that are still wanted in a new event")]
    Replay,
    /// A batch of records from another service than SNS.
    #[error(
        "the Records are not SNS messages: subscribe the intake to an SNS topic, or send requests to the request queue"
    )]
    Records,
    /// An HTTP call in the format of a REST API or of a load balancer.
    #[error(
        "the HTTP call does not have payload format 2.0: use a Function URL, or an HTTP API with that format"
    )]
    PayloadFormat,
    /// Lambda's record of a failed event instead of the event.
    #[error("the payload is Lambda's record of a failed event: invoke the function with its requestPayload")]
    FailureRecord,
}

/// The parts that distinguish the payloads.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "requestContext")]
    context: Option<Object<RequestContext>>,
    #[serde(rename = "httpMethod")]
    http_method: Option<Box<RawValue>>,
    #[serde(rename = "Records")]
    records: Option<Vec<Object<Record>>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<Box<RawValue>>,
    id: Option<Box<RawValue>>,
    source: Option<Box<RawValue>>,
    #[serde(rename = "replay-name")]
    replay_name: Option<Box<RawValue>>,
    #[serde(rename = "requestPayload")]
    failed: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct RequestContext {
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
    /// Recognizes and parses a payload.
    pub fn parse(payload: &RawValue) -> Result<Self, UnsupportedPayload> {
        let Object(shape): Object<Shape> = serde_json::from_str(payload.get())
            .map_err(|error| UnsupportedPayload::Unreadable { line: error.line(), column: error.column() })?;
        match shape {
            Shape { failed: Some(_), .. } => Err(UnsupportedPayload::FailureRecord),
            Shape { context: Some(Object(RequestContext { http: Some(_), stage })), .. } => {
                let call = HttpCall::parse(payload, stage.as_deref());
                Ok(call.map_or(Self::InvalidCall, |call| Self::Call(Box::new(call))))
            }
            Shape { context: Some(_), .. } | Shape { http_method: Some(_), .. } => {
                Err(UnsupportedPayload::PayloadFormat)
            }
            Shape { records: Some(records), .. } => notifications(records),
            Shape { detail_type: Some(_), replay_name: Some(_), .. } => Err(UnsupportedPayload::Replay),
            Shape { detail_type: Some(detail_type), detail, id, source, .. }
                if detail_type == DETAIL_TYPE =>
            {
                let text = |value: Option<Box<RawValue>>| {
                    value.and_then(|value| serde_json::from_str::<String>(value.get()).ok())
                };
                let (id, source) = (text(id).filter(is_not_empty), Some(text(source).unwrap_or_default()));
                let body = detail.as_deref().map_or("null", RawValue::get).to_owned();
                Ok(Self::one(Trigger::Event, RequestEvent { id, source, body }))
            }
            Shape { detail_type: Some(_), .. } => Err(UnsupportedPayload::DetailType),
            _ => Ok(Self::one(
                Trigger::Schedule,
                RequestEvent { id: None, source: None, body: payload.get().to_owned() },
            )),
        }
    }

    fn one(trigger: Trigger, event: RequestEvent) -> Self {
        Self::Events { trigger, events: vec![event] }
    }
}

/// An empty id counts as absent: as a request id, unrelated events would share it.
#[expect(clippy::ptr_arg, reason = "Option::filter passes a reference to the String")]
fn is_not_empty(id: &String) -> bool {
    !id.is_empty()
}

fn notifications(records: Vec<Object<Record>>) -> Result<Payload, UnsupportedPayload> {
    let event = |Object(record)| match record {
        Record { event_source: Some(source), sns: Some(Object(sns)) } if source == "aws:sns" => {
            Ok(RequestEvent { id: sns.message_id.filter(is_not_empty), source: None, body: sns.message })
        }
        _ => Err(UnsupportedPayload::Records),
    };
    let events: Vec<_> = records.into_iter().map(event).collect::<Result<_, _>>()?;
    if events.is_empty() {
        return Err(UnsupportedPayload::Records);
    }
    Ok(Payload::Events { trigger: Trigger::Event, events })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(payload: &Value) -> Result<Payload, UnsupportedPayload> {
        Payload::parse(&RawValue::from_string(payload.to_string()).unwrap())
    }

    fn events(payload: &Value) -> (Trigger, Vec<RequestEvent>) {
        match parse(payload) {
            Ok(Payload::Events { trigger, events }) => (trigger, events),
            other => panic!("{other:?}"),
        }
    }

    fn event(id: Option<&str>, body: &str) -> RequestEvent {
        RequestEvent { id: id.map(str::to_owned), source: None, body: body.to_owned() }
    }

    fn of_source(source: &str, event: RequestEvent) -> RequestEvent {
        RequestEvent { source: Some(source.to_owned()), ..event }
    }

    #[test]
    fn events_are_recognized_by_their_shape() {
        let rule =
            json!({ "detail-type": DETAIL_TYPE, "id": "e-1", "source": "my.tool", "detail": { "a": 1 } });
        let expected = of_source("my.tool", event(Some("e-1"), r#"{"a":1}"#));
        assert_eq!(events(&rule), (Trigger::Event, vec![expected]));
        for source in [Value::Null, json!(["my.tool"]), json!("")] {
            let rule = json!({ "detail-type": DETAIL_TYPE, "id": "", "source": source });
            assert_eq!(events(&rule), (Trigger::Event, vec![of_source("", event(None, "null"))]));
        }
        let record =
            |id: &str| json!({ "EventSource": "aws:sns", "Sns": { "MessageId": id, "Message": "m" } });
        let topic = json!({ "Records": [record("n-1"), record("")] });
        assert_eq!(events(&topic), (Trigger::Event, vec![event(Some("n-1"), "m"), event(None, "m")]));
        let schedule = json!({ "region_id": "eu-west-1" });
        assert_eq!(events(&schedule), (Trigger::Schedule, vec![event(None, &schedule.to_string())]));
    }

    #[test]
    fn call_is_recognized_and_an_invalid_one_is_a_value() {
        let call = |headers: Value| {
            json!({ "headers": headers, "isBase64Encoded": false, "rawPath": "/prod/health",
                "requestContext": { "http": { "method": "GET" }, "stage": "prod", "timeEpoch": 0 } })
        };
        let Ok(Payload::Call(parsed)) = parse(&call(json!({}))) else { panic!("not a call") };
        assert_eq!((parsed.method.as_str(), parsed.path.as_str()), ("GET", "/health"));
        assert!(matches!(parse(&call(json!({ "a b": "c" }))), Ok(Payload::InvalidCall)));
    }

    #[test]
    fn other_payloads_are_not_supported() {
        for (payload, error) in [
            (json!([]), UnsupportedPayload::Unreadable { line: 1, column: 0 }),
            (json!({ "detail-type": "other" }), UnsupportedPayload::DetailType),
            (json!({ "detail-type": DETAIL_TYPE, "replay-name": "r" }), UnsupportedPayload::Replay),
            (json!({ "Records": [] }), UnsupportedPayload::Records),
            (json!({ "Records": [{ "EventSource": "aws:s3" }] }), UnsupportedPayload::Records),
            (json!({ "requestContext": { "elb": {} } }), UnsupportedPayload::PayloadFormat),
            (json!({ "httpMethod": "POST" }), UnsupportedPayload::PayloadFormat),
            (json!({ "requestPayload": {}, "requestContext": {} }), UnsupportedPayload::FailureRecord),
        ] {
            assert_eq!(parse(&payload).unwrap_err(), error, "{payload}");
        }
    }
}
