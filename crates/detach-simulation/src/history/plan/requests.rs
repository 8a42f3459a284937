//! The requests of a history: mostly good ones, and some of every other kind.

use std::time::Duration;

use local_aws::NewMessage;
use privatelink_simulator::Seed;
use serde_json::{Value, json};

use super::{Dice, GROUPS, PROTECTED_ENDPOINT, PROTECTED_GROUP};
use crate::world::{REGION, World};

/// One request, and what is known about it without reading its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it is sent, counted from the beginning.
    pub at: Duration,
    /// The body of its message. No two requests have the same.
    pub body: String,
    /// The endpoint that names its lane.
    pub lane: String,
    /// The name that it gives itself.
    pub request_id: Option<String>,
    /// What it asks for; none if it must be rejected.
    pub wanted: Option<Wanted>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The endpoint.
    pub endpoint: String,
    /// The group.
    pub group: String,
    /// Whether Alibaba Cloud is only to check.
    pub dry_run: bool,
    /// Its own deadline, or the deployment's.
    pub deadline: Duration,
}

/// The deployment's deadline.
const DEADLINE: Duration = Duration::from_hours(1);

impl Request {
    /// The `number`th request, for what is wanted, with further fields.
    #[must_use]
    pub fn asking(number: u64, wanted: Wanted, at: Duration, further: &Value) -> Self {
        let mut body = json!({
            "region_id": REGION,
            "endpoint_id": wanted.endpoint,
            "security_group_id": wanted.group,
            "metadata": { "number": number.to_string() },
        });
        if wanted.dry_run {
            body["dry_run"] = true.into();
        }
        if wanted.deadline != DEADLINE {
            body["deadline_seconds"] = wanted.deadline.as_secs().into();
        }
        for (name, value) in further.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let request_id = body["request_id"].as_str().map(str::to_owned);
        let (lane, body) = (wanted.endpoint.clone(), body.to_string());
        Self { at, body, lane, request_id, wanted: Some(wanted) }
    }

    /// Its message.
    #[must_use]
    pub fn message(&self, world: &World) -> NewMessage {
        world.message(self.body.clone(), &self.lane)
    }
}

/// Between one and six requests before everything is calm.
pub(super) fn draw(cloud: &Seed, calm_at: Duration, dice: &mut Dice) -> Vec<Request> {
    let count = dice.number(1, 6);
    // Often all at once, as a batch.
    let is_burst = dice.is(0.4);
    (0..count)
        .map(|number| {
            let at = if is_burst { Duration::ZERO } else { dice.before(calm_at.mul_f64(0.7)) };
            one(number, at, cloud, dice)
        })
        .collect()
}

fn one(number: u64, at: Duration, cloud: &Seed, dice: &mut Dice) -> Request {
    let endpoint = dice.one_of(&cloud.endpoints);
    let attached: Vec<String> = endpoint.security_groups.iter().map(|group| group.id.to_string()).collect();
    let is_attached = dice.is(0.85) && !attached.is_empty();
    let group = if is_attached { dice.one_of(&attached) } else { dice.one_of(&GROUPS).to_owned() };
    let is_known = dice.is(0.96);
    let endpoint = if is_known { endpoint.endpoint_id.to_string() } else { "ep-nowhere".to_owned() };
    let deadline = match dice.number(0, 3) {
        0 => Duration::from_secs(dice.number(30, 120)),
        1 => Duration::from_secs(dice.number(120, 900)),
        _ => DEADLINE,
    };
    let dry_run = dice.is(0.08);
    let mut further = json!({});
    if dice.is(0.4) {
        further["request_id"] = format!("request-{number}").into();
    }
    if dice.is(0.1) {
        // Two requests of one history may bring the same.
        further["client_token"] = "a token of the caller's".into();
    }
    let request = Request::asking(number, Wanted { endpoint, group, dry_run, deadline }, at, &further);
    if dice.is(0.06) { spoilt(request, number, dice) } else { request }
}

/// The same request with something in it that must be rejected.
fn spoilt(request: Request, number: u64, dice: &mut Dice) -> Request {
    let mut body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let (field, value) = match dice.number(0, 4) {
        0 => {
            let body = format!("this is no JSON: {number}");
            return Request { body, request_id: None, wanted: None, ..request };
        }
        1 => ("security_group_id", PROTECTED_GROUP.into()),
        2 => ("endpoint_id", PROTECTED_ENDPOINT.into()),
        3 => ("dryrun", true.into()),
        _ => ("region_id", "nowhere.example.com".into()),
    };
    body[field] = value;
    Request { body: body.to_string(), wanted: None, ..request }
}
