//! What goes wrong in a history: at Alibaba Cloud, and in AWS.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use privatelink_simulator::{AccessKey, Action, Effect, Fault, Seed, When, codes};

use super::Dice;
use crate::outside::Outside;
use crate::record::Operation;
use crate::trouble::{Breaks, Mistake, Troubles};
use crate::world::QueueKind;

/// The calls that the worker makes.
pub(crate) const ACTIONS: [Action; 3] = [
    Action::DetachSecurityGroupFromVpcEndpoint,
    Action::ListVpcEndpointSecurityGroups,
    Action::ListVpcEndpoints,
];

/// Codes that pass by themselves: they are what mostly happens.
const PASSING: [&str; 14] = [
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

pub(super) fn draw(cloud: &Seed, calm_at: Duration, outside: &mut Vec<(Duration, Outside)>, dice: &mut Dice) {
    for _ in 0..dice.number(1, 4) {
        let action = dice.one_of(&ACTIONS);
        let mut fault = Fault::on(action, effect(dice));
        fault = match dice.number(0, 3) {
            0 => fault.nth(dice.number(1, 8)),
            1 => fault.next(1),
            2 => fault.next(dice.number(2, 6)),
            _ => fault.next(dice.number(5, 60)),
        };
        if dice.is(0.3) {
            fault = fault.for_endpoint(dice.one_of(&cloud.endpoints).endpoint_id);
        }
        if dice.is(0.4) {
            fault.when = When::After;
        }
        if dice.is(0.2) {
            fault = fault.delayed(dice.seconds(0, 15));
        }
        let at = if dice.is(0.5) { Duration::ZERO } else { dice.before(calm_at) };
        outside.push((at, Outside::Fault(Box::new(fault))));
    }
    if dice.is(0.1) {
        let (from, until) = window(calm_at, dice);
        outside.push((from, Outside::Key { is_disabled: true }));
        outside.push((until, Outside::Key { is_disabled: false }));
    }
    if dice.is(0.06) {
        let (from, until) = window(calm_at, dice);
        let denied = vec![dice.one_of(&ACTIONS)];
        outside.push((from, Outside::Permissions { denied }));
        outside.push((until, Outside::Permissions { denied: Vec::new() }));
    }
}

fn effect(dice: &mut Dice) -> Effect {
    match dice.number(0, 19) {
        0..=5 => code(dice.one_of(&PASSING), dice),
        6 => code(dice.one_of(codes::ALL).name, dice),
        7 => {
            let status = dice.one_of(&[400, 403, 404, 429, 500, 503]);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Effect::code_with_status(dice.one_of(&PASSING), status)
        }
        8 => Effect::throttled(dice.seconds(0, 130)),
        9 | 10 => Effect::Hang,
        11 | 12 => Effect::Reset,
        13 => Effect::Truncated,
        14 => {
            let status = dice.one_of(&[200, 400, 403, 404, 502, 503]);
            Effect::html(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
        }
        15 => dice.one_of(&[Effect::Empty, Effect::Oversized { bytes: 1_100_000 }]),
        16 => Effect::RepeatNextToken,
        17 => dice.one_of(&[Effect::RepeatedItem, Effect::OverstatedTotal { by: 1 }]),
        18 => dice.one_of(&[Effect::AcceptedWithoutEffect, Effect::AcceptedThenFails]),
        _ => Effect::ActualResponse,
    }
}

/// An error whose message quotes the key that the worker signs with, as a careless service might.
fn code(code: &str, dice: &mut Dice) -> Effect {
    let message = dice.is(0.3).then(|| {
        let key = AccessKey::default();
        format!("The string to sign was {} with {}.", key.access_key_secret, key.access_key_id)
    });
    let mut headers = HeaderMap::new();
    if dice.is(0.2) {
        headers.insert("x-acs-retry-after", HeaderValue::from(dice.number(0, 60_000)));
    }
    Effect::Code { code: code.to_owned(), status: None, message, headers }
}

pub(super) fn troubles(kind: QueueKind, calm_at: Duration, dice: &mut Dice) -> Troubles {
    let mut some = |most: f64| if dice.is(0.4) { dice.share(most) } else { 0.0 };
    let mut troubles = Troubles {
        refused: some(0.3),
        answer_lost: some(0.3),
        late: some(0.2),
        repeated: some(0.2),
        interruptions: std::collections::BTreeMap::new(),
        call_late: some(0.1),
        outliving: some(1.0),
        killed: some(0.6),
        stalled: some(0.3),
        recycled: some(0.6),
        receive_lost: some(0.2),
        duplicated: if kind == QueueKind::Standard { some(0.4) } else { 0.0 },
        cold_start_max: Duration::from_secs(3),
        receives_max: None,
        planned: Vec::new(),
        mistakes: Vec::new(),
    };
    if dice.is(0.1) {
        troubles.receives_max = u32::try_from(dice.number(1, 6)).ok();
    }
    if dice.is(0.25) {
        let breaks = match dice.number(0, 5) {
            0 => Breaks::Start,
            1 => Breaks::Operation(Operation::Publish),
            2 => Breaks::Operation(Operation::Bury),
            3 => Breaks::Operation(Operation::HandBack),
            4 => Breaks::Operation(Operation::Delete),
            _ => Breaks::Timeout(dice.seconds(2, 40)),
        };
        let (from, until) = window(calm_at, dice);
        troubles.mistakes.push(Mistake { breaks, from, until });
    }
    troubles
}

/// Nothing but a function whose time is short.
pub(super) fn short_time(calm_at: Duration, dice: &mut Dice) -> Mistake {
    let (from, until) = window(calm_at, dice);
    Mistake { breaks: Breaks::Timeout(dice.seconds(10, 45)), from, until }
}

fn window(end: Duration, dice: &mut Dice) -> (Duration, Duration) {
    let (one, other) = (dice.before(end), dice.before(end));
    (one.min(other), one.max(other))
}
