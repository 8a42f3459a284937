//! Thousands of calls with mutated and random bodies and headers, with and without a valid signature.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use privatelink_detach::request::{self, Rules};
use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, request};
use crate::signatures::sign_bytes;

/// Number of calls. Enough to reach every branch of the intake many times, and done within seconds.
const CALLS: u64 = 10_000;

/// The statuses that are allowed. No 5xx, because the queue and the secrets are always available.
const STATUSES: [u64; 9] = [202, 204, 400, 401, 403, 404, 405, 413, 415];

/// Text that is often parsed wrongly.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "-0",
    "1e999",
    "\\ud800",
    "\\u0000",
    "\u{feff}",
    "\u{ffff}",
    "\"requests\":",
    "\"dry_run\":",
    "\"RegionId\":",
    "\"metadata\":{}",
    "\"request_id\":\"r\"",
    "sg-",
    "ep-",
    "[[[[[[[[[[[[[[[[",
];

fn body(rng: &mut Rng) -> Vec<u8> {
    let mut one = request(&format!("sg-{}", rng.u8(..)));
    for (field, value) in [
        ("dry_run", json!(true)),
        ("client_token", json!("token")),
        ("deadline_seconds", json!(60)),
        ("metadata", json!({ "a": "b" })),
    ] {
        if rng.bool() {
            one[field] = value;
        }
    }
    let whole = match rng.u8(..100) {
        0 => json!({ "requests": vec![one; rng.usize(..120)] }),
        1..40 => json!({ "requests": [one, request("sg-b"), request("sg-c")] }),
        _ => one,
    };
    let mut bytes = whole.to_string().into_bytes();
    for _ in 0..rng.usize(..4) {
        mutate(&mut bytes, rng);
    }
    if rng.u16(..500) == 0 { (0..rng.usize(..300_000)).map(|_| rng.u8(..)).collect() } else { bytes }
}

/// Changes, removes, adds or repeats some bytes.
pub(crate) fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    match rng.u8(..5) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..(at + rng.usize(..9)).min(bytes.len()))),
        3 => drop(bytes.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
        _ => {
            let piece = bytes[at..(at + rng.usize(..40)).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, piece));
        }
    }
}

/// Mostly characters that a header value may have, sometimes others.
pub(crate) fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..30)).map(|_| if rng.u8(..10) == 0 { rng.char(..) } else { rng.char(' '..='~') }).collect()
}

fn headers(id: &str, body: &[u8], rng: &mut Rng) -> Value {
    let (timestamp, signature) = sign_bytes(id, body);
    let mut headers: Map<String, Value> = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into_iter()
    .collect();
    for _ in 0..rng.u8(..6).saturating_sub(3) {
        let names: Vec<String> = headers.keys().cloned().collect();
        let name = rng.choice(names).unwrap();
        let value = match rng.u8(..8) {
            0 => json!(rng.u32(..)),
            1 => json!([text(rng), text(rng)]),
            2 => Value::Null,
            3 => json!(format!("{} {}", headers[&name].as_str().unwrap_or_default(), text(rng))),
            4 => json!(text(rng)),
            5 => drop_one(&mut headers, &name),
            _ => json!(headers[&name].as_str().unwrap_or_default().chars().rev().collect::<String>()),
        };
        let name = if rng.u8(..10) == 0 { text(rng) } else { name };
        headers.insert(name, value);
    }
    headers.into()
}

fn drop_one(headers: &mut Map<String, Value>, name: &str) -> Value {
    headers.remove(name).unwrap_or_default()
}

fn event(number: u64, rng: &mut Rng) -> Value {
    let body = body(rng);
    let headers = headers(&format!("msg_{number}"), &body, rng);
    let (text, is_base64) = match String::from_utf8(body) {
        Ok(text) if rng.bool() => (text, false),
        Ok(text) => (BASE64_STANDARD.encode(text), true),
        Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), true),
    };
    let path = if rng.u8(..20) == 0 { format!("/{}", self::text(rng)) } else { "/detachments".to_owned() };
    let method = if rng.u8(..20) == 0 { self::text(rng) } else { "POST".to_owned() };
    json!({
        "version": "2.0", "rawPath": path, "headers": headers, "body": text,
        "isBase64Encoded": is_base64 ^ (rng.u8(..50) == 0),
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default", "timeEpoch": 0 },
    })
}

#[tokio::test]
async fn random_calls_cause_no_panic_and_no_5xx() {
    let deployment = Deployment::with(&[("PROTECTED_SECURITY_GROUPS", "sg-7")]).await;
    let mut rng = Rng::with_seed(20_261_122);
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..CALLS {
        let event = event(number, &mut rng);
        let response = deployment.invoke(&event.to_string()).await;
        let response = response.unwrap_or_else(|error| panic!("call {number} failed: {error}: {event}"));
        let status = response["statusCode"].as_u64().unwrap();
        assert!(STATUSES.contains(&status), "call {number}: {response}: {event}");
        *counts.entry(status).or_insert(0) += 1;
    }
    for (status, count_min) in
        [(202, 500), (400, 1000), (401, 500), (403, 1), (404, 100), (405, 100), (413, 1), (415, 50)]
    {
        assert!(counts.get(&status).is_some_and(|count| *count >= count_min), "too few {status}: {counts:?}");
    }
    for message in deployment.messages() {
        let request =
            request::parse(&message.body, &Rules::default()).result.expect("an enqueued request is valid");
        let group = format!("{}/{}", request.region_id, request.endpoint_id);
        assert_eq!((message.group, request.request_id.is_some()), (Some(group), true));
    }
    let output = deployment.output();
    assert!(!output.contains("panicked"), "{output}");
}
