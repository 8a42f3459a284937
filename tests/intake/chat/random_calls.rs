//! Thousands of commands and clicks of each platform, mutated before and after they were signed, or signed by others.

mod dingtalk;
mod feishu;
mod slack;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use privatelink_detach::chat::call;
use privatelink_detach::chat::request::ChatRequest;
use privatelink_detach::chat::signed;
use privatelink_detach::request::{self, Rules};
use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, REQUESTS, now};
use crate::platforms::{Clicked, Driver, Typed, answers, clicks};
use crate::random_calls::{mutate, text};
use crate::slack::{KEY, KEY_NEXT, NOTICES, keys};

/// Number of calls of each platform. Enough to reach every branch many times.
const CALLS: u32 = 10_000;

/// The statuses that are allowed. No 5xx, because the queues and the secrets are always available.
const STATUSES: [u64; 6] = [200, 400, 401, 404, 405, 413];

/// Words of commands, and texts that are often parsed wrongly.
const WORDS: [&str; 20] = [
    "detach",
    "dry-run",
    "移除",
    "help",
    "sg-a",
    "sg-7",
    "ep-a",
    "ep-",
    "eu-west-1",
    "EU-WEST-1",
    "deadline=2h",
    "deadline=",
    "ticket=CHG-7",
    "ticket=<!channel>",
    "\u{3000}",
    "\u{0}",
    "\u{feff}",
    "&payload=",
    "%",
    "=",
];

/// The headers that authenticate a call.
type SignedHeaders = Vec<(&'static str, String)>;

/// How a platform makes calls, and how to read them without the code under test.
struct Case {
    driver: &'static Driver,
    /// The texts of a command and of a click.
    command: fn(&Typed) -> String,
    click: fn(&Clicked, &mut Rng) -> String,
    /// The body of a call with this text.
    body: fn(&[u8], &mut Rng) -> Vec<u8>,
    /// The headers of a call, signed at this time in seconds.
    headers: fn(kind: Kind, secret: &str, sent_at: i64, body: &[u8]) -> SignedHeaders,
    /// Whether the signature covers the body.
    is_body_signed: bool,
    /// Whether a call without a valid signature may be accepted, provided that it has no effect.
    is_accepted_unsigned: fn(&RandomCall) -> bool,
    /// The name of the request that this body may put into the queue: an allowed person sent it, and a button is one of this
    /// deployment.
    allowed_request: fn(body: &[u8]) -> Option<String>,
    /// What is sent to the queue of notices about clicks.
    results: &'static [&'static str],
}

/// What a call claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Command,
    Click,
}

/// A call, and whether the platform signed exactly this call now.
struct RandomCall {
    event: Value,
    body: Vec<u8>,
    is_signed: bool,
    /// Whether the platform signed it some minutes ago.
    is_old: bool,
}

fn one_of(rng: &mut Rng, usual: &'static str, others: &[&'static str]) -> &'static str {
    if rng.u8(..8) == 0 { rng.choice(others).unwrap() } else { usual }
}

fn words(rng: &mut Rng) -> String {
    if rng.bool() {
        return "detach sg-a ep-a eu-west-1 ticket=CHG-7".to_owned();
    }
    (0..rng.usize(..8)).map(|_| *rng.choice(&WORDS).unwrap()).collect::<Vec<_>>().join(" ")
}

fn command(driver: &'static Driver, rng: &mut Rng) -> Typed {
    Typed {
        tenant: one_of(rng, driver.tenant, &[driver.other_tenant, "", "*"]),
        conversation: one_of(rng, driver.conversation, &[driver.other_conversation, "", "*"]),
        person: one_of(rng, driver.requester, &[driver.approver, "", "*"]),
        id: format!("tr1gger.{:x}", rng.u64(..)),
        age: if rng.u8(..12) == 0 { 250 } else { 0 },
        ..Typed::new(driver, &words(rng))
    }
}

fn click(driver: &'static Driver, rng: &mut Rng) -> Clicked {
    let request = driver.pending(rng.u32(..2000));
    let request = match rng.u8(..10) {
        0 => ChatRequest { expires_at: u64::try_from(now() - 1).unwrap(), ..request },
        1 => ChatRequest { conversation: driver.place(driver.other_conversation), ..request },
        _ => request,
    };
    let key = one_of(rng, KEY, &[KEY_NEXT]);
    let mut value = signed::button(&request, &keys(&[key]));
    if rng.u8(..8) == 0 {
        let mut bytes = value.into_bytes();
        mutate(&mut bytes, rng);
        value = String::from_utf8_lossy(&bytes).into_owned();
    }
    Clicked {
        driver,
        conversation: one_of(rng, driver.conversation, &[driver.other_conversation, "", "*"]),
        person: one_of(rng, driver.approver, &[driver.requester, driver.other_person, ""]),
        tenant: one_of(rng, driver.tenant, &[driver.other_tenant, ""]),
        action: one_of(rng, "approve", &["decline", "other"]),
        value,
    }
}

/// Sometimes replaces a field by a value of another type.
fn with_other_field(mut object: Value, rng: &mut Rng) -> Value {
    if rng.u8(..10) == 0 {
        let fields: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
        let field = rng.choice(fields).unwrap();
        object[field] = [json!([]), json!(1), Value::Null, json!("x"), json!({})][rng.usize(..5)].clone();
    }
    object
}

/// The JSON in a text. In a field that the intake ignores, some contents do not matter that `Value` does not allow.
fn parsed(text: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(text);
    let tolerant = text.replace("\\ud800", "").replace("1e999", "1");
    serde_json::from_str(&text).or_else(|_| serde_json::from_str(&tolerant)).ok()
}

/// The name of the request that a click may approve, if it is on a button of this deployment.
fn approved_request(driver: &Driver, value: &str) -> Option<String> {
    let request = signed::open_button(value, &keys(&[KEY]))?;
    let is_pending = i64::try_from(request.expires_at).is_ok_and(|at| at > now());
    let is_here = request.conversation == driver.place(driver.conversation);
    (is_pending && is_here).then(|| request.id.to_string())
}

fn random_call(case: &Case, rng: &mut Rng) -> RandomCall {
    let Case { driver, .. } = case;
    let (mut kind, text_of_call) = if rng.bool() {
        (Kind::Command, (case.command)(&command(driver, rng)))
    } else {
        let click = click(driver, rng);
        (Kind::Click, (case.click)(&click, rng))
    };
    let mut body = text_of_call.into_bytes();
    // Mutated, then signed: what a bug of the platform, or a holder of the secret, could send.
    for _ in 0..rng.u8(..6).saturating_sub(3) {
        mutate(&mut body, rng);
    }
    let mut body = (case.body)(&body, rng);
    if rng.u16(..500) == 0 {
        body.resize(rng.usize(..300_000), b'x');
    }
    if rng.u8(..30) == 0 {
        kind = if kind == Kind::Click { Kind::Command } else { Kind::Click };
    }
    let own = if kind == Kind::Click { driver.click_secret } else { driver.command_secret };
    let (secret, age) = match rng.u8(..12) {
        0 => (driver.other_secret, 0),
        1 => (own, [250, 3600, -60][rng.usize(..3)]),
        _ => (own, 0),
    };
    let signed_headers = (case.headers)(kind, secret, now() - age, &body);
    let mut headers: Map<_, _> =
        signed_headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let (mut is_signed, mut is_old) = (secret == own && age == 0, secret == own && age > 0);
    // Signed, then mutated: what any other caller can send.
    if rng.u8(..4) == 0 {
        let before = body.clone();
        mutate(&mut body, rng);
        if case.is_body_signed && body != before {
            (is_signed, is_old) = (false, false);
        }
    }
    if rng.u8(..10) == 0 {
        let (name, signed) = rng.choice(&signed_headers).unwrap();
        let value = match rng.u8(..4) {
            0 => Value::Null,
            1 => json!(text(rng)),
            2 => json!([text(rng)]),
            _ => json!(format!("{signed} ,")),
        };
        headers.insert((*name).to_owned(), value);
        (is_signed, is_old) = (false, false);
    }
    let is_other_path = rng.u8(..40) == 0;
    let path = if is_other_path {
        format!("/chat/{}", text(rng))
    } else {
        format!("/chat/{}", driver.platform.name())
    };
    let method = if rng.u8(..40) == 0 { "GET" } else { "POST" };
    is_signed &= !is_other_path && method == "POST";
    let event = json!({
        "version": "2.0", "rawPath": path, "headers": headers, "body": BASE64_STANDARD.encode(&body),
        "isBase64Encoded": true,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default", "timeEpoch": 0 },
    });
    RandomCall { event, body, is_signed, is_old }
}

fn counts(deployment: &Deployment) -> (usize, usize) {
    let queues = deployment.aws.queues();
    (queues.messages(REQUESTS).unwrap().len(), queues.messages(NOTICES).unwrap().len())
}

/// Makes the calls of a platform, and checks the effect of each.
async fn assert_no_panic_no_5xx_and_no_forged_request(case: &Case) {
    let Case { driver, .. } = case;
    let deployment = driver.deployment_with(&[("PROTECTED_SECURITY_GROUPS", "sg-7")]).await;
    let mut rng = Rng::with_seed(20_261_129);
    let mut statuses = BTreeMap::new();
    let mut allowed = BTreeSet::new();
    for number in 0..CALLS {
        let call = random_call(case, &mut rng);
        let RandomCall { event, body, is_signed, .. } = &call;
        let before = counts(&deployment);
        let response = deployment.invoke(&event.to_string()).await;
        let response = response.unwrap_or_else(|error| panic!("call {number} failed: {error}: {event}"));
        let status = response["statusCode"].as_u64().unwrap();
        assert!(STATUSES.contains(&status), "call {number}: {response}: {event}");
        *statuses.entry(status).or_insert(0) += 1;
        let (requests, notices) = counts(&deployment);
        if !is_signed {
            assert!(status != 200 || (case.is_accepted_unsigned)(&call), "call {number}: {event}");
            assert_eq!((requests, notices), before, "call {number}: {event}");
        }
        if requests > before.0 {
            let name = (case.allowed_request)(body);
            let name = name.unwrap_or_else(|| panic!("call {number}: {}", String::from_utf8_lossy(body)));
            assert!(allowed.insert(name), "call {number}: {event}");
        }
    }
    for (status, count_min) in [(200, 2000), (400, 500), (401, 1500), (404, 100), (405, 100), (413, 1)] {
        assert!(
            statuses.get(&status).is_some_and(|count| *count >= count_min),
            "too few {status}: {statuses:?}"
        );
    }
    assert_requests(&deployment, allowed);
    let clicks = clicks(&deployment);
    for result in case.results {
        let count = clicks.iter().filter(|notice| notice.result.name() == *result).count();
        assert!(count >= 20, "{count} notices {result}");
    }
    assert!(clicks.iter().all(|notice| case.results.contains(&notice.result.name())));
    let answers = answers(&deployment);
    let is_by_notice = call::answer(driver.platform, "").is_none();
    assert!(if is_by_notice { answers.len() >= 500 } else { answers.is_empty() }, "{}", answers.len());
    let tenant = driver.place(driver.conversation).tenant;
    assert!(answers.iter().all(|answer| answer.conversation.tenant == tenant));
    let output = deployment.output();
    assert!(!output.contains("panicked"), "{output}");
}

/// Asserts that the queue contains valid requests, each allowed once.
fn assert_requests(deployment: &Deployment, mut allowed: BTreeSet<String>) {
    let mut dry_runs = 0;
    for message in deployment.messages() {
        let request = request::parse(&message.body, &Rules::default()).result.expect("a valid request");
        let name = request.request_id.expect("a name").to_string();
        assert!(allowed.remove(&name), "{name} was not requested: {}", message.body);
        assert_eq!(request.dry_run, name.ends_with(".preview"), "{}", message.body);
        dry_runs += usize::from(request.dry_run);
    }
    let approvals = deployment.messages().len() - dry_runs;
    assert!(dry_runs >= 400 && approvals >= 400, "{dry_runs} dry runs, {approvals} approvals");
}
