//! The faults of a history: in Alibaba Cloud, and in AWS.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use privatelink_simulator::{AccessKey, Action, Effect, Fault, Seed, When, codes};

use super::Random;
use crate::faults::{Breaks, Faults, Misconfiguration};
use crate::outside::Outside;
use crate::record::Operation;
use crate::secret::SecretState;
use crate::world::QueueKind;

/// The calls that the worker makes if no replacement is configured.
pub(crate) const ACTIONS: [Action; 3] = [
    Action::DetachSecurityGroupFromVpcEndpoint,
    Action::ListVpcEndpointSecurityGroups,
    Action::ListVpcEndpoints,
];

/// Codes of transient errors, which are the most common ones.
const TRANSIENT: [&str; 14] = [
    "EndpointLocked",
    "ConcurrentCallNotSupported",
    "EndpointConnectionOperationDenied",
    "EndpointOperationDenied",
    "IncorrectStatus.VpcEndpoint",
    "SystemBusy",
    "ServiceUnavailable",
    "InternalError",
    "Throttling.User",
    "Throttling.Api",
    "IdempotenceProcessing",
    "SignatureNonceUsed",
    "InvalidSecurityToken.Expired",
    "SecurityGroupNotFound",
];

pub(super) fn draw(
    cloud: &Seed,
    faults_end_at: Duration,
    outside: &mut Vec<(Duration, Outside)>,
    random: &mut Random,
) {
    let mut has_empty_list = false;
    for _ in 0..random.number(1, 4) {
        let action = random.one_of(&ACTIONS);
        let mut fault = one(action, cloud, random);
        if fault.fault == Effect::EmptyList {
            // Two wrong lists of this kind with 10 s between them would pass for a right one.
            if has_empty_list {
                continue;
            }
            has_empty_list = true;
            fault = fault.next(1);
        }
        let at = if random.chance(0.5) { Duration::ZERO } else { random.before(faults_end_at) };
        outside.push((at, Outside::Fault(Box::new(fault))));
    }
    if random.chance(0.1) {
        let (from, until) = window(faults_end_at, random);
        outside.push((from, Outside::Key { is_disabled: true }));
        outside.push((until, Outside::Key { is_disabled: false }));
    }
    if random.chance(0.06) {
        let (from, until) = window(faults_end_at, random);
        let denied = vec![random.one_of(&ACTIONS)];
        outside.push((from, Outside::Permissions { denied }));
        outside.push((until, Outside::Permissions { denied: Vec::new() }));
    }
}

/// A secret that cannot be read for a time, and a key that is refused for a time.
pub(super) fn draw_credentials(
    faults_end_at: Duration,
    outside: &mut Vec<(Duration, Outside)>,
    random: &mut Random,
) {
    if random.chance(0.6) {
        // Often from the start: later, most processes have the key.
        let (from, until) = window(faults_end_at, random);
        let from = if random.chance(0.6) { Duration::ZERO } else { from };
        let state = random.one_of(&[SecretState::Unusable, SecretState::Unusable, SecretState::Silent]);
        outside.push((from, Outside::Secret(state)));
        outside.push((until, Outside::Secret(SecretState::Readable)));
    }
    if random.chance(0.5) {
        let (from, until) = window(faults_end_at, random);
        outside.push((from, Outside::Key { is_disabled: true }));
        outside.push((until, Outside::Key { is_disabled: false }));
    }
}

/// A fault of some calls of an action.
pub(super) fn one(action: Action, cloud: &Seed, random: &mut Random) -> Fault {
    let mut fault = Fault::on(action, effect(random));
    fault = match random.number(0, 3) {
        0 => fault.nth(random.number(1, 8)),
        1 => fault.next(1),
        2 => fault.next(random.number(2, 6)),
        _ => fault.next(random.number(5, 60)),
    };
    if random.chance(0.3) {
        fault = fault.for_endpoint(random.one_of(&cloud.endpoints).endpoint_id);
    }
    if random.chance(0.4) {
        fault.when = When::After;
    }
    if random.chance(0.2) {
        fault = fault.delayed(random.seconds(0, 15));
    }
    fault
}

fn effect(random: &mut Random) -> Effect {
    match random.number(0, 19) {
        0..=5 => code(random.one_of(&TRANSIENT), random),
        6 if random.chance(0.5) => code(random.one_of(codes::ALL).name, random),
        6 => {
            let status = random.one_of(&[400, 401, 403, 404, 408, 409]);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Effect::code_with_status("OperationConflict", status)
        }
        7 => {
            let status = random.one_of(&[400, 403, 404, 429, 500, 503]);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Effect::code_with_status(random.one_of(&TRANSIENT), status)
        }
        8 => Effect::throttled(random.seconds(0, 130)),
        9 | 10 => Effect::Hang,
        11 | 12 => Effect::Reset,
        13 => Effect::Truncated,
        14 => {
            let status = random.one_of(&[200, 400, 403, 404, 502, 503]);
            Effect::html(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
        }
        15 => random.one_of(&[Effect::Empty, Effect::Oversized { bytes: 1_100_000 }]),
        16 => Effect::RepeatNextToken,
        17 => random.one_of(&[
            Effect::RepeatedItem,
            Effect::OverstatedTotal { by: 1 },
            Effect::UnderstatedTotal { by: 1 },
            Effect::EmptyList,
        ]),
        18 if random.chance(0.5) => {
            random.one_of(&[Effect::AcceptedWithoutEffect, Effect::AcceptedThenFails])
        }
        18 => random.one_of(&[
            Effect::Unsuccessful,
            field("EndpointStatus", "Modifying"),
            field("EndpointStatus", "pending"),
            field("RegionId", "us-east-1"),
        ]),
        _ => Effect::ActualResponse,
    }
}

fn field(field: &str, value: &str) -> Effect {
    Effect::ItemField { field: field.to_owned(), value: value.to_owned() }
}

/// An error that may quote the worker's access key and the call's client token in its message.
fn code(code: &str, random: &mut Random) -> Effect {
    let message = random.chance(0.3).then(|| {
        let key = AccessKey::default();
        let (secret, id) = (key.access_key_secret, key.access_key_id);
        format!("The string to sign was {secret} with {id} and {{ClientToken}}.")
    });
    let mut headers = HeaderMap::new();
    if random.chance(0.2) {
        headers.insert("x-acs-retry-after", HeaderValue::from(random.number(0, 60_000)));
    } else if random.chance(0.1) {
        headers.insert("retry-after", HeaderValue::from(random.number(0, 60)));
    }
    Effect::Code { code: code.to_owned(), status: None, message, headers }
}

pub(super) fn draw_aws(kind: QueueKind, faults_end_at: Duration, random: &mut Random) -> Faults {
    let mut some = |most: f64| if random.chance(0.4) { random.share(most) } else { 0.0 };
    let mut faults = Faults {
        rejected: some(0.3),
        empty_success: some(0.1),
        response_lost: some(0.3),
        late: some(0.2),
        repeated: some(0.2),
        interruptions: std::collections::BTreeMap::new(),
        call_late: some(0.1),
        connects_slowly: some(0.3),
        outliving: some(1.0),
        killed: some(0.6),
        suspended: some(0.3),
        recycled: some(0.6),
        receive_lost: some(0.2),
        duplicated: if kind == QueueKind::Standard { some(0.4) } else { 0.0 },
        cold_start_max: Duration::from_secs(3),
        receives_max: None,
        planned: Vec::new(),
        misconfigurations: Vec::new(),
    };
    if random.chance(0.1) {
        faults.receives_max = u32::try_from(random.number(1, 6)).ok();
    }
    if random.chance(0.25) {
        let breaks = match random.number(0, 5) {
            0 => Breaks::Start,
            1 => Breaks::Operation(Operation::Publish),
            2 => Breaks::Operation(Operation::SendDeadLetter),
            3 => Breaks::Operation(Operation::Defer),
            4 => Breaks::Operation(Operation::Delete),
            _ => Breaks::Timeout(random.seconds(2, 40)),
        };
        let (from, until) = window(faults_end_at, random);
        faults.misconfigurations.push(Misconfiguration { breaks, from, until });
    }
    faults
}

/// A function timeout that is too short, as the only fault.
pub(super) fn short_time(faults_end_at: Duration, random: &mut Random) -> Misconfiguration {
    let (from, until) = window(faults_end_at, random);
    Misconfiguration { breaks: Breaks::Timeout(random.seconds(10, 45)), from, until }
}

/// A part of the time before `end`.
pub(super) fn window(end: Duration, random: &mut Random) -> (Duration, Duration) {
    let (one, other) = (random.before(end), random.before(end));
    (one.min(other), one.max(other))
}
