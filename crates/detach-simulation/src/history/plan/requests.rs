//! The requests of a history: mostly valid ones, and some of every other kind.

use std::time::Duration;

use local_aws::NewMessage;
use privatelink_simulator::Seed;
use serde_json::{Value, json};

use super::{GROUPS, PROTECTED_ENDPOINT, PROTECTED_GROUP, Random};
use crate::world::{REGION, World};

/// One request, and its content as the checks know it, without parsing the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it is sent, since the start.
    pub at: Duration,
    /// The body of its message. No two requests have the same.
    pub body: String,
    /// The endpoint that names its message group.
    pub lane: String,
    /// The `request_id` in the body.
    pub request_id: Option<String>,
    /// None if the request must be rejected.
    pub parsed: Option<ParsedRequest>,
}

/// The content of a valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRequest {
    pub region: String,
    pub endpoint: String,
    pub group: String,
    /// How it must be carried out; the body can ask for a detach in a deployment that makes dry runs only.
    pub dry_run: bool,
    /// Whether the first delivery must find the group on the endpoint.
    pub expect_attached: bool,
    /// The request's own deadline, or the deployment's.
    pub deadline: Duration,
}

const DEADLINE: Duration = Duration::from_hours(1);

impl Request {
    /// The request with this number, with additional fields.
    #[must_use]
    pub fn new(number: u64, parsed: ParsedRequest, at: Duration, extra: &Value) -> Self {
        let mut body = json!({
            "region_id": parsed.region,
            "endpoint_id": parsed.endpoint,
            "security_group_id": parsed.group,
            "metadata": { "number": number.to_string() },
        });
        if parsed.dry_run {
            body["dry_run"] = true.into();
        }
        if parsed.deadline != DEADLINE {
            body["deadline_seconds"] = parsed.deadline.as_secs().into();
        }
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let request_id = body["request_id"].as_str().map(str::to_owned);
        let (lane, body) = (parsed.endpoint.clone(), body.to_string());
        Self { at, body, lane, request_id, parsed: Some(parsed) }
    }

    /// The request in a message that a sweep sent.
    #[must_use]
    pub fn of_sweep(body: &str, at: Duration) -> Self {
        let fields: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let parsed = ParsedRequest {
            region: text("region_id"),
            endpoint: text("endpoint_id"),
            group: text("security_group_id"),
            dry_run: false,
            expect_attached: false,
            deadline: fields["deadline_seconds"].as_u64().map_or(DEADLINE, Duration::from_secs),
        };
        let (body, lane) = (body.to_owned(), parsed.endpoint.clone());
        Self { at, body, lane, request_id: Some(text("request_id")), parsed: Some(parsed) }
    }

    /// Names another group in it, and perhaps asks for a dry run.
    pub(super) fn name_group(&mut self, group: &str, dry_run: bool) {
        let Some(parsed) = &mut self.parsed else { return };
        let mut body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["security_group_id"] = group.into();
        if dry_run {
            body["dry_run"] = true.into();
        }
        self.body = body.to_string();
        group.clone_into(&mut parsed.group);
        parsed.dry_run |= dry_run;
    }

    /// Whether a sweep sent it.
    #[must_use]
    pub fn is_of_sweep(&self) -> bool {
        let fields: Value = serde_json::from_str(&self.body).unwrap_or_default();
        fields["metadata"]["sweep_id"].is_string()
    }

    #[must_use]
    pub fn message(&self, world: &World) -> NewMessage {
        world.message(self.body.clone(), &self.lane)
    }
}

/// Draws one to six requests, all sent before the faults end.
pub(super) fn draw(cloud: &Seed, faults_end_at: Duration, random: &mut Random) -> Vec<Request> {
    let count = random.number(1, 6);
    // Requests that are sent at the same time form a batch.
    let is_burst = random.chance(0.4);
    (0..count)
        .map(|number| {
            let at = if is_burst { Duration::ZERO } else { random.before(faults_end_at.mul_f64(0.7)) };
            one(number, at, cloud, random)
        })
        .collect()
}

fn one(number: u64, at: Duration, cloud: &Seed, random: &mut Random) -> Request {
    let endpoint = random.one_of(&cloud.endpoints);
    let attached: Vec<String> = endpoint.security_groups.iter().map(|group| group.id.to_string()).collect();
    let is_attached = random.chance(0.85) && !attached.is_empty();
    let group = if is_attached { random.one_of(&attached) } else { random.one_of(&GROUPS).to_owned() };
    let is_known = random.chance(0.96);
    let endpoint = if is_known { endpoint.endpoint_id.to_string() } else { "ep-nowhere".to_owned() };
    let deadline = match random.number(0, 3) {
        0 => Duration::from_secs(random.number(30, 120)),
        1 => Duration::from_secs(random.number(120, 900)),
        _ => DEADLINE,
    };
    let dry_run = random.chance(0.08);
    let expect_attached = random.chance(0.2);
    let mut extra = json!({});
    if expect_attached {
        extra["expect_attached"] = true.into();
    }
    if random.chance(0.4) {
        extra["request_id"] = format!("request-{number}").into();
    }
    if random.chance(0.1) {
        // Two requests of one history can have the same token.
        extra["client_token"] = "a token of the caller's".into();
    }
    let request = Request::new(
        number,
        ParsedRequest { region: REGION.to_owned(), endpoint, group, dry_run, expect_attached, deadline },
        at,
        &extra,
    );
    if random.chance(0.06) { invalid(request, number, random) } else { request }
}

/// The same request, changed so that it must be rejected.
fn invalid(request: Request, number: u64, random: &mut Random) -> Request {
    let mut body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let (field, value) = match random.number(0, 4) {
        0 => {
            let body = format!("this is no JSON: {number}");
            return Request { body, request_id: None, parsed: None, ..request };
        }
        1 => ("security_group_id", PROTECTED_GROUP.into()),
        2 => ("endpoint_id", PROTECTED_ENDPOINT.into()),
        3 => ("dryrun", true.into()),
        _ => ("region_id", "nowhere.example.com".into()),
    };
    body[field] = value;
    Request { body: body.to_string(), parsed: None, ..request }
}
