//! How Alibaba Cloud behaves in a history: each setting of the simulator, with several values.

use std::time::Duration;

use privatelink_simulator::{
    AbsentGroup, Action, DenialCode, DetachEffect, ErrorFormat, LockCode, Quota, Seed, ThrottleHint,
};

use super::Random;

/// How wrong the clock of a sandbox is: by less than the service tolerates in a signature, and by more.
const CLOCKS_AHEAD_MINUTES: [i64; 6] = [-20 * 60, -120, -5, 5, 120, 20 * 60];

/// Draws the settings; returns how far the clocks of sandboxes are ahead, in seconds.
pub(super) fn draw(cloud: &mut Seed, seed: u64, random: &mut Random) -> i64 {
    let settings = &mut cloud.settings;
    settings.request_id_seed = seed;
    let seconds = |random: &mut Random, some: &[f64]| Duration::from_secs_f64(random.one_of(some));
    settings.detach_takes = seconds(random, &[0.2, 1.0, 3.0, 3.0, 8.0, 40.0]);
    settings.attach_takes = seconds(random, &[1.0, 3.0, 20.0]);
    settings.pending_after = seconds(random, &[0.0, 0.0, 2.0, 30.0]);
    if random.chance(0.2) {
        settings.read_lag = seconds(random, &[0.5, 2.0, 6.0, 20.0]);
    }
    if random.chance(0.2) {
        settings.record_lag = seconds(random, &[0.5, 2.0, 6.0, 20.0]);
    }
    if random.chance(0.15) {
        settings.detach_effect = random.one_of(&[DetachEffect::Nothing, DetachEffect::FailsLater]);
    }
    settings.lock_code = random.one_of(&[
        LockCode::EndpointLocked,
        LockCode::EndpointLocked,
        LockCode::ConcurrentCallNotSupported,
        LockCode::EndpointOperationDenied,
        LockCode::IncorrectStatus,
    ]);
    settings.denial_code = random.one_of(&[DenialCode::NoPermission, DenialCode::ForbiddenRam]);
    settings.absent_group = random.one_of(&[AbsentGroup::NotFound, AbsentGroup::Accepted]);
    settings.client_token_remembers_refusals = random.chance(0.3);
    settings.omit_group_status = random.chance(0.1);
    settings.page_size_max = random.one_of(&[1000, 1000, 1, 2, 3]);
    random
        .one_of(&["Throttling.User", "Throttling", "Throttling.Api", "Rejected.Throttling"])
        .clone_into(&mut settings.throttle_code);
    settings.throttle_hint =
        random.one_of(&[ThrottleHint::None, ThrottleHint::RetryAfter, ThrottleHint::RateLimit]);
    settings.error_format =
        random.one_of(&[ErrorFormat::Json, ErrorFormat::Json, ErrorFormat::JsonLowerCamel, ErrorFormat::Xml]);
    let is_clock_wrong = random.chance(0.1);
    let minutes = if is_clock_wrong { random.one_of(&CLOCKS_AHEAD_MINUTES) } else { 0 };
    if random.chance(0.15) {
        quotas(cloud, random);
    }
    minutes * 60
}

/// Quotas so low that a few requests exceed them.
fn quotas(cloud: &mut Seed, random: &mut Random) {
    let window = Duration::from_secs(random.number(5, 60));
    for (action, most) in [
        (Action::DetachSecurityGroupFromVpcEndpoint, 5),
        (Action::ListVpcEndpointSecurityGroups, 20),
        (Action::ListVpcEndpoints, 10),
    ] {
        let calls = u32::try_from(random.number(1, most)).unwrap_or(1);
        cloud.quotas.insert(action, Quota { calls, window });
    }
}
