//! How Alibaba Cloud behaves in a history: every switch of the simulator in every position.

use std::time::Duration;

use privatelink_simulator::{
    AbsentGroup, Action, DenialCode, DetachEffect, ErrorFormat, LockCode, Quota, Seed, ThrottleHint,
};

use super::Dice;

pub(super) fn draw(cloud: &mut Seed, seed: u64, dice: &mut Dice) {
    let settings = &mut cloud.settings;
    settings.request_id_seed = seed;
    let seconds = |dice: &mut Dice, some: &[f64]| Duration::from_secs_f64(dice.one_of(some));
    settings.detach_takes = seconds(dice, &[0.2, 1.0, 3.0, 3.0, 8.0, 40.0]);
    settings.attach_takes = seconds(dice, &[1.0, 3.0, 20.0]);
    settings.pending_after = seconds(dice, &[0.0, 0.0, 2.0, 30.0]);
    if dice.is(0.2) {
        settings.read_lag = seconds(dice, &[0.5, 2.0, 6.0, 20.0]);
    }
    if dice.is(0.2) {
        settings.record_lag = seconds(dice, &[0.5, 2.0, 6.0, 20.0]);
    }
    if dice.is(0.15) {
        settings.detach_effect = dice.one_of(&[DetachEffect::Nothing, DetachEffect::FailsLater]);
    }
    settings.lock_code = dice.one_of(&[
        LockCode::EndpointLocked,
        LockCode::EndpointLocked,
        LockCode::ConcurrentCallNotSupported,
        LockCode::EndpointOperationDenied,
        LockCode::IncorrectStatus,
    ]);
    settings.denial_code = dice.one_of(&[DenialCode::NoPermission, DenialCode::ForbiddenRam]);
    settings.absent_group = dice.one_of(&[AbsentGroup::NotFound, AbsentGroup::Accepted]);
    settings.client_token_remembers_refusals = dice.is(0.3);
    settings.omit_group_status = dice.is(0.1);
    settings.page_size_max = dice.one_of(&[1000, 1000, 1, 2, 3]);
    dice.one_of(&["Throttling.User", "Throttling", "Throttling.Api", "Rejected.Throttling"])
        .clone_into(&mut settings.throttle_code);
    settings.throttle_hint =
        dice.one_of(&[ThrottleHint::None, ThrottleHint::RetryAfter, ThrottleHint::RateLimit]);
    settings.error_format =
        dice.one_of(&[ErrorFormat::Json, ErrorFormat::Json, ErrorFormat::JsonLowerCamel, ErrorFormat::Xml]);
    if dice.is(0.1) {
        let minutes = dice.one_of(&[-120, -20, -5, 5, 20, 120]);
        settings.clock_offset_ms = minutes * 60_000;
    }
    if dice.is(0.15) {
        quotas(cloud, dice);
    }
}

/// Quotas so small that a few requests outrun them.
fn quotas(cloud: &mut Seed, dice: &mut Dice) {
    let window = Duration::from_secs(dice.number(5, 60));
    for (action, most) in [
        (Action::DetachSecurityGroupFromVpcEndpoint, 5),
        (Action::ListVpcEndpointSecurityGroups, 20),
        (Action::ListVpcEndpoints, 10),
    ] {
        let calls = u32::try_from(dice.number(1, most)).unwrap_or(1);
        cloud.quotas.insert(action, Quota { calls, window });
    }
}
