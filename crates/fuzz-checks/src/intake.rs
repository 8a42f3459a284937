//! Checks the intake with HTTP calls and with any other payload. The whole function handles each of them, with AWS services
//! in memory.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use lambda_runtime::Diagnostic;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::IntakeConfig;
use privatelink_detach::intake::{Intake, IntakeError};
use privatelink_detach::lambda::Invocation;
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

/// A payload is parsed by its shape, again as a call, and again as requests; each request becomes a part of a response or of
/// a message, and the AWS client needs a few kilobytes per call.
const MEMORY: Bound = Bound { base: 256 * 1024, per_byte: 200 };

/// The secret with which the samples in `events/` are signed.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Placeholder in a signature header for the valid signature. The corpus contains it.
const VALID_SIGNATURE: &str = "ours";

/// The statuses that are allowed while the queue and the secrets are available.
const STATUSES: [u64; 9] = [202, 204, 400, 401, 403, 404, 405, 413, 415];

/// Largest response in bytes: every error of 100 requests, each with the longest text.
const RESPONSE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Longest error message in characters: the maximum number of listed errors, each with the longest text.
const ERROR_LENGTH_MAX: usize = 20_000;

/// The template's timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How the deployment authenticates calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Authentication {
    Signature,
    Iam,
}

pub(crate) fn check_payload(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // The runtime rejects a payload that is not JSON.
    let Ok(payload) = RawValue::from_string(text.to_owned()) else { return };
    for authentication in [Authentication::Signature, Authentication::Iam] {
        handle(&payload, authentication);
    }
}

/// The input is an HTTP call. With a third word in the first line, the body is sent as base64.
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
        let value =
            if is_signature { value.replace(VALID_SIGNATURE, &signature) } else { value.into_owned() };
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
    handle(&RawValue::from_string(payload.to_string()).expect("JSON"), Authentication::Signature);
}

/// The valid signature of these values.
fn signature(id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC accepts a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

fn handle(payload: &RawValue, authentication: Authentication) {
    let aws = Aws::with_secret(&json!([SECRET]).to_string());
    let config = IntakeConfig::read(|name| {
        let value = match name {
            "DETACH_QUEUE_URL" => REQUESTS,
            "ALLOWED_REGIONS" => "eu-west-1,cn-hangzhou",
            "PROTECTED_SECURITY_GROUPS" => "sg-protected",
            "PROTECTED_ENDPOINTS" => "ep-protected",
            "REQUEST_EVENT_SOURCES" => "com.example.offboarding",
            "WEBHOOK_SECRETS_ARN" if authentication == Authentication::Signature => {
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:webhooks-AbCdEf"
            }
            _ => return None,
        };
        Some(value.to_owned())
    });
    let intake = Intake::new(config.expect("a configuration"), &aws.config);
    let handling = async |clock: Clock| {
        let lambda_request_id = "lambda-request".to_owned();
        let ends_at = clock.wall() + TIMEOUT;
        let invocation = Invocation { clock, ends_at, lambda_request_id, xray_trace_id: None };
        intake.handle(payload, &invocation).await
    };
    let result = bounded(&MEMORY, payload.get().len(), || virtual_time::run(handling));
    let messages = messages(&aws);
    match result {
        Ok(response) if response.get("statusCode").is_some() => {
            check_response(&response, &messages, payload, authentication);
        }
        Ok(result) => {
            let accepted = result["accepted"].as_array().expect("the accepted requests");
            assert!(!accepted.is_empty(), "{result}");
            assert_eq!(accepted.len(), messages.len(), "{result}");
            assert!(payload.get().trim_start().starts_with('{'), "an event is an object: {payload}");
            if let Some(event) = to_value(payload) {
                assert_eq!(messages.len(), count_in_event(&event), "all requests or none: {payload}");
            }
            assert!(messages.iter().all(|message| ["schedule", "event"].contains(&trigger(message))));
        }
        Err(error) => {
            assert!(messages.is_empty(), "no request is enqueued: {error}");
            assert!(!matches!(error, IntakeError::QueueUnavailable { .. }));
            assert_tame(&Diagnostic::from(error).error_message, ERROR_LENGTH_MAX);
        }
    }
}

/// The entries of every `SendMessageBatch` call.
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
    messages.iter().for_each(check_message_entry);
    messages
}

/// The message contains a valid and allowed request with an id, in the lane of its endpoint.
fn check_message_entry(message: &Value) {
    let body = message["MessageBody"].as_str().expect("a body");
    check_message(body);
    let request = request::parse(body, &rules()).result.expect("an enqueued request is valid");
    check_allowed(&request, &rules());
    assert!(request.request_id.is_some(), "{body}");
    assert_eq!(message["MessageGroupId"], format!("{}/{}", request.region_id, request.endpoint_id));
    assert_eq!(message["MessageDeduplicationId"].as_str().map(str::len), Some(43));
}

fn trigger(message: &Value) -> &str {
    message["MessageAttributes"]["trigger"]["StringValue"].as_str().unwrap_or_default()
}

fn check_response(response: &Value, messages: &[Value], payload: &RawValue, authentication: Authentication) {
    let status = response["statusCode"].as_u64().expect("a status");
    assert!(STATUSES.contains(&status), "{response}");
    assert_eq!(response["headers"]["cache-control"], "no-store");
    assert_eq!(response["isBase64Encoded"], false);
    let text = response["body"].as_str().unwrap_or_default();
    assert!(text.len() <= RESPONSE_BYTES_MAX, "{} bytes", text.len());
    let body = match status {
        204 => Value::Null,
        _ => serde_json::from_str(text).expect("JSON"),
    };
    if status == 202 {
        let accepted = body["accepted"].as_array().expect("the accepted requests");
        assert!((1..=100).contains(&accepted.len()), "{body}");
        assert_eq!(accepted.len(), messages.len(), "{body}");
        assert!(messages.iter().all(|message| trigger(message) == "webhook"));
        if let Some(call) = to_value(payload) {
            assert!(
                is_authenticated(&call, payload, authentication),
                "accepted without authentication: {payload}"
            );
            assert_eq!(messages.len(), count_in_body(&body_of(&call)), "all requests or none: {payload}");
        }
        return;
    }
    assert!(messages.is_empty(), "no request is enqueued with status {status}");
    if status == 401 {
        let expected = json!({ "type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "The call is not authenticated." });
        assert_eq!(body, expected, "the response does not say why");
    }
    for error in body["errors"].as_array().map(Vec::as_slice).unwrap_or_default() {
        assert_tame(error["field"].as_str().expect("a field"), 640);
        assert_tame(error["detail"].as_str().expect("a detail"), 128);
    }
}

/// The payload as a value; `None` if a field that the intake ignores has an unpaired surrogate, which `Value` does not
/// allow.
fn to_value(payload: &RawValue) -> Option<Value> {
    serde_json::from_str(payload.get()).ok()
}

/// The bytes of a call's body.
fn body_of(call: &Value) -> Vec<u8> {
    let text = call["body"].as_str().unwrap_or_default();
    let is_base64 = call["isBase64Encoded"] == true;
    if is_base64 { BASE64_STANDARD.decode(text).expect("base64") } else { text.as_bytes().to_vec() }
}

/// The number of requests in an accepted body.
fn count_in_body(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).expect("an accepted body is JSON");
    body["requests"].as_array().map_or(1, Vec::len)
}

/// The number of requests in an accepted event: in its detail, in its messages, or in the event itself.
fn count_in_event(event: &Value) -> usize {
    let message = |record: &Value| count_in_body(record["Sns"]["Message"].as_str().expect("text").as_bytes());
    match (event["Records"].as_array(), event["detail-type"].is_string()) {
        (Some(records), _) => records.iter().map(message).sum(),
        (None, true) => count_in_body(event["detail"].to_string().as_bytes()),
        (None, false) => count_in_body(event.to_string().as_bytes()),
    }
}

/// Whether the call is authenticated, decided without the intake's code.
fn is_authenticated(call: &Value, payload: &RawValue, authentication: Authentication) -> bool {
    if authentication == Authentication::Iam {
        let user = call["requestContext"]["authorizer"]["iam"]["userArn"].as_str();
        return user.is_some_and(|user| !user.is_empty());
    }
    let headers: Headers = serde_json::from_str(payload.get()).expect("a call has headers");
    let body = body_of(call);
    let (ids, times) = (headers.all("webhook-id"), headers.all("webhook-timestamp"));
    let signatures = headers.all("webhook-signature").join(" ");
    let received_at = call["requestContext"]["timeEpoch"].as_u64().filter(|millis| *millis > 0);
    let received_at = i128::from(received_at.unwrap_or(BEGINS_AT * 1000));
    let is_signed = |id: &str, time: &str| {
        let expected = signature(id, time, &body);
        let accepted = received_at - 240_000..=received_at + 30_000;
        let is_now = time.parse::<u64>().is_ok_and(|time| accepted.contains(&(i128::from(time) * 1000)));
        is_now && signatures.split(' ').any(|signature| signature == expected)
    };
    ids.iter().any(|id| times.iter().any(|time| is_signed(id, time)))
}

/// The headers of a call, including repeated ones.
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
