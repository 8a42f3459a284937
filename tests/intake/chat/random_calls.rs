//! Thousands of commands and clicks, mutated before and after they were signed, or signed by others.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fastrand::Rng;
use privatelink_detach::chat::identity::Tenant;
use privatelink_detach::chat::request::{ChatRequest, id_of};
use privatelink_detach::chat::signed;
use privatelink_detach::request::{self, Rules};
use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, REQUESTS, now};
use crate::random_calls::{mutate, text};
use crate::slack::{
    APPROVER, CHANNEL, Clicked, KEY, KEY_NEXT, NOTICES, REQUESTER, SLACK_SECRET, TEAM, Typed,
    deployment_with, form, keys, notices, pending, signature,
};

/// Number of calls. Enough to reach every branch many times, and done within seconds.
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

fn one_of(rng: &mut Rng, usual: &'static str, others: &[&'static str]) -> &'static str {
    if rng.u8(..8) == 0 { rng.choice(others).unwrap() } else { usual }
}

fn command(rng: &mut Rng) -> String {
    let text = if rng.bool() {
        "detach sg-a ep-a eu-west-1 ticket=CHG-7".to_owned()
    } else {
        (0..rng.usize(..8)).map(|_| *rng.choice(&WORDS).unwrap()).collect::<Vec<_>>().join(" ")
    };
    let typed = Typed {
        team: one_of(rng, TEAM, &["T04OTHER", "", "*"]),
        channel: one_of(rng, CHANNEL, &["C04OTHER", "", "*"]),
        user: one_of(rng, REQUESTER, &[APPROVER, "", "*"]),
        text,
        trigger_id: format!("tr1gger.{:x}", rng.u64(..)),
    };
    typed.body()
}

fn click(rng: &mut Rng) -> String {
    let request = pending(rng.u32(..2000));
    let request = match rng.u8(..10) {
        0 => ChatRequest { expires_at: u64::try_from(now() - 1).unwrap(), ..request },
        _ => request,
    };
    let key = one_of(rng, KEY, &[KEY_NEXT]);
    let mut value = signed::button(&request, &keys(&[key]));
    if rng.u8(..8) == 0 {
        let mut bytes = value.into_bytes();
        mutate(&mut bytes, rng);
        value = String::from_utf8_lossy(&bytes).into_owned();
    }
    let clicked = Clicked {
        channel: one_of(rng, CHANNEL, &["C04OTHER", "", "*"]),
        user: one_of(rng, APPROVER, &[REQUESTER, "U04OTHER", ""]),
        user_team: one_of(rng, TEAM, &["T04OTHER", ""]),
        action: one_of(rng, "approve", &["decline", "other"]),
        value,
    };
    let mut payload = clicked.payload();
    if rng.u8(..10) == 0 {
        let fields: Vec<String> = payload.as_object().unwrap().keys().cloned().collect();
        let field = rng.choice(fields).unwrap();
        payload[field] = [json!([]), json!(1), Value::Null, json!("x"), json!({})][rng.usize(..5)].clone();
    }
    form(&[("payload", &payload.to_string())])
}

/// A call, and whether Slack signed exactly this body now.
struct RandomCall {
    event: Value,
    body: Vec<u8>,
    is_signed: bool,
}

fn random_call(rng: &mut Rng) -> RandomCall {
    let mut body = if rng.bool() { command(rng) } else { click(rng) }.into_bytes();
    // Mutated, then signed: what a bug of Slack, or a holder of the signing secret, could send.
    for _ in 0..rng.u8(..6).saturating_sub(3) {
        mutate(&mut body, rng);
    }
    if rng.u16(..500) == 0 {
        body.resize(rng.usize(..300_000), b'x');
    }
    let (secret, age) = match rng.u8(..12) {
        0 => ("c87879816b60ace29da36143581967dc", 0),
        1 => (SLACK_SECRET, [250, 3600, -60][rng.usize(..3)]),
        _ => (SLACK_SECRET, 0),
    };
    let timestamp = (now() - age).to_string();
    let mut headers = Map::new();
    headers.insert("x-slack-signature".to_owned(), signature(secret, &timestamp, &body).into());
    headers.insert("x-slack-request-timestamp".to_owned(), timestamp.into());
    let mut is_signed = secret == SLACK_SECRET && age == 0;
    // Signed, then mutated: what any other caller can send.
    if rng.u8(..4) == 0 {
        let before = body.clone();
        mutate(&mut body, rng);
        is_signed &= body == before;
    }
    if rng.u8(..10) == 0 {
        let name = *rng.choice(&["x-slack-signature", "x-slack-request-timestamp"]).unwrap();
        let value = match rng.u8(..4) {
            0 => Value::Null,
            1 => json!(text(rng)),
            2 => json!([text(rng)]),
            _ => json!(format!("{} ,", headers[name].as_str().unwrap())),
        };
        headers.insert(name.to_owned(), value);
        is_signed = false;
    }
    let is_other_path = rng.u8(..40) == 0;
    let path = if is_other_path { format!("/chat/{}", text(rng)) } else { "/chat/slack".to_owned() };
    let method = if rng.u8(..40) == 0 { "GET" } else { "POST" };
    is_signed &= !is_other_path && method == "POST";
    let event = json!({
        "version": "2.0", "rawPath": path, "headers": headers, "body": BASE64_STANDARD.encode(&body),
        "isBase64Encoded": true,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default", "timeEpoch": 0 },
    });
    RandomCall { event, body, is_signed }
}

/// The name of the request that this body may put into the queue, read without the code under test: an allowed person sent
/// it, and a button is one of this deployment.
fn allowed_request(body: &[u8]) -> Option<String> {
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if let Some(payload) = field("payload") {
        // In a field that the intake ignores, an unpaired surrogate does not matter; `Value` does not allow it.
        let payload: Value = serde_json::from_str(&payload.replace("\\ud800", "")).ok()?;
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
        let person = (text("/team/id")?, text("/user/team_id")?, text("/user/id")?);
        let is_allowed = person == (TEAM, TEAM, APPROVER)
            && (text("/channel/id")?, text("/actions/0/action_id")?) == (CHANNEL, "approve");
        let request = signed::open_button(text("/actions/0/value")?, &keys(&[KEY]))?;
        let is_pending = i64::try_from(request.expires_at).is_ok_and(|at| at > now());
        return (is_allowed && is_pending).then(|| request.id.to_string());
    }
    let is_allowed =
        (field("team_id")?, field("channel_id")?, field("user_id")?) == (TEAM, CHANNEL, REQUESTER);
    let id = id_of(&Tenant::parse(&format!("slack:{TEAM}"))?, field("trigger_id")?);
    is_allowed.then(|| format!("{id}.preview"))
}

fn counts(deployment: &Deployment) -> (usize, usize) {
    let queues = deployment.aws.queues();
    (queues.messages(REQUESTS).unwrap().len(), queues.messages(NOTICES).unwrap().len())
}

#[tokio::test]
async fn random_chat_calls_cause_no_panic_no_5xx_and_no_forged_request() {
    let deployment = deployment_with(&[("PROTECTED_SECURITY_GROUPS", "sg-7")]).await;
    let mut rng = Rng::with_seed(20_261_129);
    let mut statuses = BTreeMap::new();
    let mut allowed = BTreeSet::new();
    for number in 0..CALLS {
        let RandomCall { event, body, is_signed } = random_call(&mut rng);
        let before = counts(&deployment);
        let response = deployment.invoke(&event.to_string()).await;
        let response = response.unwrap_or_else(|error| panic!("call {number} failed: {error}: {event}"));
        let status = response["statusCode"].as_u64().unwrap();
        assert!(STATUSES.contains(&status), "call {number}: {response}: {event}");
        *statuses.entry(status).or_insert(0) += 1;
        let (requests, notices) = counts(&deployment);
        if !is_signed {
            assert_ne!(status, 200, "call {number}: {event}");
            assert_eq!((requests, notices), before, "call {number}: {event}");
        }
        if requests > before.0 {
            let name = allowed_request(&body);
            let name = name.unwrap_or_else(|| panic!("call {number}: {}", String::from_utf8_lossy(&body)));
            assert!(allowed.insert(name), "call {number}: {event}");
        }
    }
    for (status, count_min) in [(200, 2000), (400, 500), (401, 2000), (404, 100), (405, 100), (413, 1)] {
        assert!(
            statuses.get(&status).is_some_and(|count| *count >= count_min),
            "too few {status}: {statuses:?}"
        );
    }
    let mut dry_runs = 0;
    for message in deployment.messages() {
        let request = request::parse(&message.body, &Rules::default()).result.expect("a valid request");
        let name = request.request_id.expect("a name").to_string();
        assert!(allowed.remove(&name), "{name} was not requested: {}", message.body);
        assert_eq!(request.dry_run, name.ends_with(".preview"), "{}", message.body);
        dry_runs += usize::from(request.dry_run);
    }
    let approvals = deployment.messages().len() - dry_runs;
    assert!(dry_runs >= 500 && approvals >= 500, "{dry_runs} dry runs, {approvals} approvals");
    let notices = notices(&deployment);
    for result in ["approved", "declined", "expired", "not_allowed"] {
        let count = notices.iter().filter(|notice| notice.result.name() == result).count();
        assert!(count >= 20, "{count} notices {result}");
    }
    let output = deployment.output();
    assert!(!output.contains("panicked"), "{output}");
}
