//! What invokes the intake: an HTTP call with its headers and body, and any other payload. Every one is handled by the
//! whole function, with AWS in memory behind it.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lambda_runtime::Diagnostic;
use privatelink_detach::config::IntakeConfig;
use privatelink_detach::intake::{Intake, IntakeError, Invocation};
use privatelink_detach::request;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::aws::{Aws, REQUESTS};
use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::request::{check_allowed, check_message, rules};
use crate::text::assert_tame;
use crate::virtual_time::{self, BEGINS_AT};

/// A payload is read by its shape, once more as a call, and once more as requests; each of these is answered or sent, and
/// the AWS client makes a few kilobytes of each call.
const MEMORY: Bound = Bound { base: 256 * 1024, per_byte: 200 };

/// The secret that the samples in `events/` are signed with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Stands in a signature header for the signature that the secret makes.
const OURS: &str = "ours";

/// What a call may come to while queue and secrets are there.
const STATUSES: [u64; 9] = [202, 204, 400, 401, 403, 404, 405, 413, 415];

/// Most bytes of an answer: every fault of a hundred requests, each in the longest words.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Most characters of an error's message: as many faults as somebody reads, each in the longest words.
const ERROR_LENGTH_MAX: usize = 20_000;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Who signs.
    Signed,
    /// Whom AWS IAM knows.
    Iam,
}

pub(crate) fn check_payload(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // What is no JSON ends in the runtime.
    let Ok(payload) = RawValue::from_string(text.to_owned()) else { return };
    for door in [Door::Signed, Door::Iam] {
        handle(&payload, door);
    }
}

/// The input is an HTTP call. A third word in the first line is a promise that the body is sent as base64.
pub(crate) fn check_call(input: &[u8]) {
    let Some(Message { first, headers, body }) = Message::read(input) else { return };
    let mut words = first.split(' ');
    let (method, path, base64) = (words.next(), words.next(), words.next());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signature = signature(text("webhook-id"), text("webhook-timestamp"), body);
    let mut fields = Map::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let is_signature = name == "webhook-signature";
        let value = if is_signature { value.replace(OURS, &signature) } else { value.into_owned() };
        fields.insert(name.to_string(), value.into());
    }
    let (body, is_base64) = match std::str::from_utf8(body) {
        Ok(body) if base64.is_none() => (body.to_owned(), false),
        _ => (BASE64_STANDARD.encode(body), true),
    };
    let payload = json!({
        "version": "2.0", "rawPath": path, "headers": fields, "body": body, "isBase64Encoded": is_base64,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default", "timeEpoch": 0 },
    });
    handle(&RawValue::from_string(payload.to_string()).expect("JSON"), Door::Signed);
}

/// The secret's signature of these words.
fn signature(id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

fn handle(payload: &RawValue, door: Door) {
    let aws = Aws::with_secret(&json!([SECRET]).to_string());
    let config = IntakeConfig::read(|name| {
        let value = match name {
            "DETACH_QUEUE_URL" => REQUESTS,
            "ALLOWED_REGIONS" => "eu-west-1,cn-hangzhou",
            "PROTECTED_SECURITY_GROUPS" => "sg-protected",
            "PROTECTED_ENDPOINTS" => "ep-protected",
            "WEBHOOK_SECRETS_ARN" if door == Door::Signed => {
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:webhooks-AbCdEf"
            }
            _ => return None,
        };
        Some(value.to_owned())
    });
    let intake = Intake::new(config.expect("a configuration"), &aws.config);
    let handling = async |clock| {
        let lambda_request_id = "lambda-request".to_owned();
        intake.handle(payload, &Invocation { clock, lambda_request_id, xray_trace_id: None }).await
    };
    let result = bounded(&MEMORY, payload.get().len(), || virtual_time::run(handling));
    let messages = messages(&aws);
    match result {
        Ok(answer) if answer.get("statusCode").is_some() => check_answer(&answer, &messages, payload, door),
        Ok(answer) => {
            let accepted = answer["accepted"].as_array().expect("what was accepted");
            assert!(!accepted.is_empty() && accepted.len() == messages.len(), "{answer}");
            assert!(payload.get().trim_start().starts_with('{'), "no event is a list: {payload}");
            if let Some(event) = tree(payload) {
                assert_eq!(messages.len(), asked_by(&event), "all of it or nothing: {payload}");
            }
            assert!(messages.iter().all(|message| ["schedule", "event"].contains(&trigger(message))));
        }
        Err(error) => {
            assert!(messages.is_empty(), "nothing of it is taken: {error}");
            assert!(!matches!(
                error,
                IntakeError::QueueUnavailable { .. } | IntakeError::UnwritableAnswer(_)
            ));
            assert_tame(&Diagnostic::from(error).error_message, ERROR_LENGTH_MAX);
        }
    }
}

/// What was put into the queue.
fn messages(aws: &Aws) -> Vec<Value> {
    let mut messages = Vec::new();
    for call in aws.calls() {
        match call.operation.as_str() {
            "GetSecretValue" => {}
            "SendMessageBatch" => {
                let entries = call.body["Entries"].as_array().expect("entries").clone();
                assert!((1..=10).contains(&entries.len()));
                messages.extend(entries);
            }
            other => panic!("the intake calls {other}"),
        }
    }
    messages.iter().for_each(check_queued);
    messages
}

/// The worker finds a request in it that is allowed, named, and in its endpoint's lane.
fn check_queued(message: &Value) {
    let body = message["MessageBody"].as_str().expect("a body");
    check_message(body);
    let request = request::parse(body, &rules()).result.expect("what is queued is valid");
    check_allowed(&request, &rules());
    assert!(request.request_id.is_some(), "{body}");
    assert_eq!(message["MessageGroupId"], format!("{}/{}", request.region_id, request.endpoint_id));
    assert_eq!(message["MessageDeduplicationId"].as_str().map(str::len), Some(43));
}

fn trigger(message: &Value) -> &str {
    message["MessageAttributes"]["trigger"]["StringValue"].as_str().unwrap_or_default()
}

fn check_answer(answer: &Value, messages: &[Value], payload: &RawValue, door: Door) {
    let status = answer["statusCode"].as_u64().expect("a status");
    assert!(STATUSES.contains(&status), "{answer}");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    assert_eq!(answer["isBase64Encoded"], false);
    let text = answer["body"].as_str().unwrap_or_default();
    assert!(text.len() <= ANSWER_BYTES_MAX, "{} bytes", text.len());
    let body = match status {
        204 => Value::Null,
        _ => serde_json::from_str(text).expect("JSON"),
    };
    if status == 202 {
        let accepted = body["accepted"].as_array().expect("what was accepted");
        assert!(!accepted.is_empty() && accepted.len() == messages.len() && messages.len() <= 100, "{body}");
        assert!(messages.iter().all(|message| trigger(message) == "webhook"));
        if let Some(call) = tree(payload) {
            assert!(is_authenticated(&call, payload, door), "a stranger is let in: {payload}");
            assert_eq!(messages.len(), asked_in(&body_of(&call)), "all of it or nothing: {payload}");
        }
        return;
    }
    assert!(messages.is_empty(), "{status} is a no to all of it");
    if status == 401 {
        let told = json!({ "type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "The call is not authenticated." });
        assert_eq!(body, told, "whoever sent it is told nothing");
    }
    for error in body["errors"].as_array().map(Vec::as_slice).unwrap_or_default() {
        assert_tame(error["field"].as_str().expect("a field"), 640);
        assert_tame(error["detail"].as_str().expect("words"), 128);
    }
}

/// The payload as a tree. Half a character in a field that nobody reads is no JSON to this reader, and passes the other.
fn tree(payload: &RawValue) -> Option<Value> {
    serde_json::from_str(payload.get()).ok()
}

/// The body of a call as it was sent.
fn body_of(call: &Value) -> Vec<u8> {
    let text = call["body"].as_str().unwrap_or_default();
    let is_base64 = call["isBase64Encoded"] == true;
    if is_base64 { BASE64_STANDARD.decode(text).expect("base64") } else { text.as_bytes().to_vec() }
}

/// How many requests an accepted body has.
fn asked_in(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).expect("what is accepted is JSON");
    body["requests"].as_array().map_or(1, Vec::len)
}

/// How many an accepted event has: its detail, its messages, or itself.
fn asked_by(event: &Value) -> usize {
    let message = |record: &Value| asked_in(record["Sns"]["Message"].as_str().expect("text").as_bytes());
    match (event["Records"].as_array(), event["detail-type"].is_string()) {
        (Some(records), _) => records.iter().map(message).sum(),
        (None, true) => asked_in(event["detail"].to_string().as_bytes()),
        (None, false) => asked_in(event.to_string().as_bytes()),
    }
}

/// Whether who sent this call has shown to be somebody, told without the intake's own code.
fn is_authenticated(call: &Value, payload: &RawValue, door: Door) -> bool {
    if door == Door::Iam {
        let user = call["requestContext"]["authorizer"]["iam"]["userArn"].as_str();
        return user.is_some_and(|user| !user.is_empty());
    }
    let headers: Headers = serde_json::from_str(payload.get()).expect("a call has headers");
    let body = body_of(call);
    let (ids, times) = (headers.all("webhook-id"), headers.all("webhook-timestamp"));
    let signatures = headers.all("webhook-signature").join(" ");
    let is_signed = |id: &str, time: &str| {
        let expected = signature(id, time, &body);
        let is_now = time.parse::<u64>().is_ok_and(|time| (BEGINS_AT - 240..=BEGINS_AT + 30).contains(&time));
        is_now && signatures.split(' ').any(|signature| signature == expected)
    };
    ids.iter().any(|id| times.iter().any(|time| is_signed(id, time)))
}

/// A call's headers, repeated ones included.
#[derive(Deserialize)]
struct Headers {
    headers: Pairs,
}

impl Headers {
    fn all(&self, name: &str) -> Vec<String> {
        let same = self.headers.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let texts = |value: &Value| match value {
            Value::Array(values) => {
                values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
            }
            value => value.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        };
        same.flat_map(|(_, value)| texts(value)).collect()
    }
}

struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
