//! The service as a state machine. Every operation that depends on time takes it as an argument; nothing here reads
//! a clock or waits.

mod endpoint;
mod groups;
mod operations;
mod sessions;
mod test_access;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};

use crate::{
    action::{Action, Product},
    authentication::Authenticator,
    call::Call,
    codes,
    fault::{CallPosition, Effect, Fault, Faults, When},
    ids::{EndpointId, RegionId, SecurityGroupId},
    journal::{Counts, Journal, JournalEntry},
    quota::Meter,
    response::{Outcome, Refusal, ResponseContext, SimulatedResponse, Transmission},
    seed::{AccessKey, SecurityGroupRecord, Seed, SeedError},
    settings::Settings,
    sts::Sts,
    tokens::Tokens,
    wire_time::later,
};
use endpoint::Tracked;

/// The simulated service.
///
/// Tasks advance lazily: before a call is handled, every task step due by the call's `now` takes effect at its own
/// time. Times must not run backwards.
#[derive(Clone, Debug)]
pub struct Cloud {
    settings: Settings,
    regions: Vec<RegionId>,
    security_groups: BTreeSet<SecurityGroupId>,
    security_group_records: BTreeMap<SecurityGroupId, SecurityGroupRecord>,
    endpoints: BTreeMap<EndpointId, Tracked>,
    /// The endpoints that can still change by the passage of time; only these must be advanced before a call.
    changing: BTreeSet<EndpointId>,
    authenticator: Authenticator,
    sts: Sts,
    meter: Meter,
    tokens: Tokens,
    faults: Faults,
    counts: Counts,
    journal: Journal,
}

/// An authenticated call and what is needed to carry it out.
#[derive(Clone, Copy)]
struct CallContext<'a> {
    action: Action,
    call: &'a Call,
    key: &'a AccessKey,
    effect: Option<&'a Effect>,
    request_id: &'a str,
    now: SystemTime,
}

/// The result of handling one call.
struct Attempt {
    fault: Option<Fault>,
    /// `None` if a fault applied before the call was carried out.
    outcome: Option<Outcome>,
    executed: bool,
}

impl Cloud {
    /// Creates a cloud in this state, with all counts at zero.
    pub fn new(seed: Seed) -> Result<Self, SeedError> {
        seed.check()?;
        let mut cloud = Self {
            settings: seed.settings,
            regions: seed.regions,
            security_groups: seed.security_groups,
            security_group_records: seed.security_group_records,
            endpoints: BTreeMap::new(),
            changing: BTreeSet::new(),
            authenticator: Authenticator::new(seed.access_keys),
            sts: Sts::new(seed.oidc_providers, seed.roles),
            meter: Meter::new(seed.quotas),
            tokens: Tokens::default(),
            faults: Faults::new(seed.faults),
            counts: Counts::default(),
            journal: Journal::default(),
        };
        for endpoint in seed.endpoints {
            cloud.security_groups.extend(endpoint.security_groups.iter().map(|group| group.id.clone()));
            cloud.changing.insert(endpoint.endpoint_id.clone());
            cloud.endpoints.insert(endpoint.endpoint_id.clone(), Tracked::new(Some(endpoint)));
        }
        Ok(cloud)
    }

    /// Handles one request that arrives at `now`. The body must be complete, and the `Host` header as the caller
    /// sent it.
    pub fn handle(&mut self, request: &Request<Bytes>, now: SystemTime) -> SimulatedResponse {
        self.advance(now);
        let call = Call::read(request);
        let position = self.counts.record_arrival(&call);
        let request_id = request_id(self.settings.request_id_seed, self.counts.calls_total);
        let date = self.server_time(now);
        let attempt = self.attempt(request, &call, position, &request_id, now);
        let error_format = self.settings.error_format;
        let product = call.action().map_or(Product::PrivateLink, Action::product).name();
        let client_token = call.get("ClientToken").unwrap_or_default();
        let context = ResponseContext {
            request_id: &request_id,
            host: &call.host,
            client_token,
            date,
            error_format,
            product,
        };
        let response = match (&attempt.fault, &attempt.outcome) {
            (Some(fault), outcome) => context.with_fault(fault, outcome.as_ref()),
            (None, Some(outcome)) => context.without_fault(outcome),
            (None, None) => context.without_fault(&Err(codes::INTERNAL_ERROR.into())),
        };
        self.journal.push(entry(&call, &attempt, &response, now));
        response
    }

    /// The state at `now`, usable as the seed of another cloud. It omits nonces, client tokens, counts and the past
    /// states that lagging reads return.
    pub fn snapshot(&mut self, now: SystemTime) -> Seed {
        self.advance(now);
        Seed {
            settings: self.settings.clone(),
            regions: self.regions.clone(),
            access_keys: self.authenticator.access_keys.values().cloned().collect(),
            oidc_providers: self.sts.providers.values().cloned().collect(),
            roles: self.sts.roles.values().cloned().collect(),
            security_groups: self.security_groups.clone(),
            security_group_records: self.security_group_records.clone(),
            endpoints: self.endpoints.values().filter_map(Tracked::current).cloned().collect(),
            quotas: self.meter.quotas.clone(),
            faults: self.faults.pending().to_vec(),
        }
    }

    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The last calls, oldest first: at least [`crate::JOURNAL_ENTRIES_MIN`] of them, or all if there were fewer.
    #[must_use]
    pub fn journal(&self) -> &[JournalEntry] {
        self.journal.entries()
    }

    fn attempt(
        &mut self,
        request: &Request<Bytes>,
        call: &Call,
        position: CallPosition,
        request_id: &str,
        now: SystemTime,
    ) -> Attempt {
        let without_execution =
            |refusal| Attempt { fault: None, outcome: Some(Err(refusal)), executed: false };
        let authenticated = if call.is_anonymous() {
            Ok(AccessKey::anonymous())
        } else {
            self.authenticator.authenticate(request, call, &self.settings, self.server_time(now))
        };
        let key = match authenticated {
            Ok(key) => key,
            Err(refusal) => {
                self.counts.signatures_rejected += 1;
                return without_execution(refusal);
            }
        };
        let action = match known_action(request, call) {
            Ok(action) => action,
            Err(refusal) => return without_execution(refusal),
        };
        let fault = self.faults.take(action, call.get("EndpointId"), position);
        if let Some(fault) = &fault {
            self.counts.faults += 1;
            if fault.when == When::Before && !fault.fault.modifies_response() {
                return Attempt { fault: Some(fault.clone()), outcome: None, executed: false };
            }
        }
        let effect = fault.as_ref().map(|fault| &fault.fault);
        let key = &key;
        let outcome = self.carry_out(CallContext { action, call, key, effect, request_id, now });
        Attempt { fault, outcome: Some(outcome), executed: true }
    }

    fn advance(&mut self, now: SystemTime) {
        let lag = self.settings.read_lag.max(self.settings.record_lag);
        let horizon = now.checked_sub(lag).unwrap_or(SystemTime::UNIX_EPOCH);
        let endpoints = &mut self.endpoints;
        self.changing.retain(|id| {
            endpoints.get_mut(id).is_some_and(|endpoint| {
                endpoint.advance(now, horizon);
                !endpoint.is_stable()
            })
        });
    }

    /// The time that the server's own clock shows.
    fn server_time(&self, now: SystemTime) -> SystemTime {
        let offset = Duration::from_millis(self.settings.clock_offset_ms.unsigned_abs());
        if self.settings.clock_offset_ms >= 0 {
            later(now, offset)
        } else {
            now.checked_sub(offset).unwrap_or(SystemTime::UNIX_EPOCH)
        }
    }
}

fn known_action(request: &Request<Bytes>, call: &Call) -> Result<Action, Refusal> {
    if !matches!(request.method().as_str(), "POST" | "GET") {
        return Err(codes::UNSUPPORTED_HTTP_METHOD.into());
    }
    let path_is_known = matches!(request.uri().path(), "" | "/");
    call.action()
        .filter(|action| call.version.as_deref() == Some(action.version()) && path_is_known)
        .ok_or_else(|| codes::INVALID_API_NOT_FOUND.into())
}

fn entry(call: &Call, attempt: &Attempt, response: &SimulatedResponse, now: SystemTime) -> JournalEntry {
    let injected = attempt.fault.as_ref().and_then(|fault| match &fault.fault {
        Effect::Code { code, .. } => Some(code.clone()),
        _ => None,
    });
    let without_execution = match &attempt.outcome {
        Some(Err(refusal)) => Some(refusal.code.clone()),
        _ => None,
    };
    let status = match response.transmission {
        Transmission::Whole { .. } | Transmission::Truncated { .. } => Some(response.response.status()),
        Transmission::Hang | Transmission::Reset { .. } => None,
    };
    JournalEntry {
        at: now,
        action: call.action_name.clone(),
        endpoint_id: call.get("EndpointId").map(EndpointId::from),
        security_group_id: call.get("SecurityGroupId").map(SecurityGroupId::from),
        client_token: call.get("ClientToken").map(str::to_owned),
        dry_run: call.dry_run().unwrap_or_default(),
        nonce: call.nonce.clone(),
        session_name: call.get("RoleSessionName").map(str::to_owned),
        token_in_url: call.token_in_url,
        executed: attempt.executed,
        fault: attempt.fault.is_some(),
        status: status.as_ref().map(StatusCode::as_u16),
        code: injected.or(without_execution),
    }
}

/// A request id in Alibaba's format, derived from the seed and the number of the call.
fn request_id(seed: u64, number: u64) -> String {
    let (high, low) = (split_mix_64(seed ^ number.rotate_left(32)), split_mix_64(seed.wrapping_add(number)));
    let hex = format!("{high:016X}{low:016X}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// One step of `SplitMix64`: maps neighboring numbers to distant ones.
fn split_mix_64(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
