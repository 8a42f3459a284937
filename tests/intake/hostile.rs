//! Thousands of calls that nobody meant: bodies and headers, mutated and random, signed and not.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use privatelink_detach::request::Rules;
use serde_json::{Map, Value, json};

use crate::account::{Account, request};
use crate::signatures::sign_bytes;

/// Calls in all. Enough to meet every branch of the front door many times, and done within seconds.
const CALLS: u64 = 10_000;

/// What a call may come to. No 5xx is among them: the queue and the secrets are there all the time.
const STATUSES: [u64; 9] = [202, 204, 400, 401, 403, 404, 405, 413, 415];

/// Pieces that parsers stumble over.
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

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
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

/// Text that a header might have: mostly text, at times what no header can have.
fn text(rng: &mut Rng) -> String {
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
async fn ten_thousand_calls_that_nobody_meant_bring_no_panic_and_no_5xx() {
    let account = Account::with(&[("PROTECTED_SECURITY_GROUPS", "sg-7")]).await;
    let mut rng = Rng::with_seed(20_261_122);
    let mut seen = std::collections::BTreeMap::new();
    for number in 0..CALLS {
        let event = event(number, &mut rng);
        let answer = account.invoke(&event.to_string()).await;
        let answer = answer.unwrap_or_else(|error| panic!("call {number} failed: {error}: {event}"));
        let status = answer["statusCode"].as_u64().unwrap();
        assert!(STATUSES.contains(&status), "call {number}: {answer}: {event}");
        *seen.entry(status).or_insert(0) += 1;
    }
    for (status, often) in
        [(202, 500), (400, 1000), (401, 500), (403, 1), (404, 100), (405, 100), (413, 1), (415, 50)]
    {
        assert!(seen.get(&status).is_some_and(|count| *count >= often), "{status} is seldom met: {seen:?}");
    }
    for message in account.messages() {
        let request = privatelink_detach::request::parse(&message.body, &Rules::default())
            .result
            .expect("what is enqueued is valid");
        let group = format!("{}/{}", request.region_id, request.endpoint_id);
        assert_eq!((message.group, request.request_id.is_some()), (Some(group), true));
    }
    let output = account.output();
    assert!(!output.contains("panicked"), "{output}");
}
