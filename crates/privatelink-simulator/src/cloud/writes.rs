//! Attach and detach: their checks, in order, and the task that an accepted call starts.

use serde_json::json;

use super::{
    CallContext, Cloud,
    endpoint::{Tracked, start},
};
use crate::{
    codes,
    fault::Effect,
    ids::{EndpointId, RegionId, SecurityGroupId},
    journal::EndpointCounts,
    response::{Outcome, Refusal},
    seed::{Endpoint, GROUPS_PER_ENDPOINT_MAX, Task, Work},
    settings::{AbsentGroup, DetachEffect},
    tokens::Lookup,
    wire_time::later,
};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Write {
    Attach,
    Detach,
}

/// The parameters of a write.
struct Target {
    region: RegionId,
    endpoint: EndpointId,
    group: SecurityGroupId,
    dry_run: bool,
}

impl Cloud {
    /// Attaches or detaches, unless the call repeats an earlier one with the same client token.
    pub(super) fn write_once(&mut self, write: Write, region: RegionId, context: CallContext<'_>) -> Outcome {
        let CallContext { call, key, now, .. } = context;
        let target = Target {
            region,
            endpoint: call.endpoint_id()?,
            group: call.security_group_id()?,
            dry_run: call.dry_run()?,
        };
        let Some(token) = call.client_token()? else {
            return self.write(write, &target, context);
        };
        let token = (key.access_key_id.clone(), token.to_owned());
        match self.tokens.look_up(&token, &call.fingerprint(), now) {
            Lookup::Same(outcome) => {
                self.count(&target.endpoint, |counts| counts.replays += 1);
                return outcome;
            }
            Lookup::OtherParameters => return Err(codes::IDEMPOTENT_PARAMETER_MISMATCH.into()),
            Lookup::New => {}
        }
        let outcome = self.write(write, &target, context);
        if outcome.is_ok() || self.settings.client_token_remembers_refusals {
            self.tokens.store(token, call.fingerprint(), outcome.clone(), now);
        }
        outcome
    }

    fn write(&mut self, write: Write, target: &Target, context: CallContext<'_>) -> Outcome {
        if write == Write::Detach && !target.dry_run {
            self.count_in_flight(&target.endpoint);
        }
        let absent = self.settings.absent_group;
        let endpoint = self.check_state(target)?;
        if endpoint.task.is_some() || endpoint.endpoint_status == "Pending" {
            self.count(&target.endpoint, |counts| counts.lock_rejections += 1);
            return Err(self.settings.lock_code.code().into());
        }
        let has_work = match write {
            Write::Attach => check_attach(endpoint, target)?,
            Write::Detach => check_detach(endpoint, target, absent)?,
        };
        if !self.security_groups.contains(&target.group) {
            return Err(codes::SECURITY_GROUP_NOT_FOUND.into());
        }
        if target.dry_run {
            return Err(codes::DRY_RUN_OPERATION.into());
        }
        self.count(&target.endpoint, |counts| match write {
            Write::Attach => counts.attaches_accepted += 1,
            Write::Detach => counts.detaches_accepted += 1,
        });
        if has_work {
            self.start_task(write, target, context);
        }
        Ok(json!({ "RequestId": context.request_id }))
    }

    /// Starts the task of an accepted write, unless the detach has no effect.
    fn start_task(&mut self, write: Write, target: &Target, context: CallContext<'_>) {
        let detach_effect = match context.effect {
            Some(Effect::AcceptedWithoutEffect) => DetachEffect::Nothing,
            Some(Effect::AcceptedThenFails) => DetachEffect::FailsLater,
            _ => self.settings.detach_effect,
        };
        let security_group_id = target.group.clone();
        let (work, takes) = match (write, detach_effect) {
            (Write::Attach, _) => (Work::Attach { security_group_id }, self.settings.attach_takes),
            (Write::Detach, DetachEffect::Nothing) => return,
            (Write::Detach, DetachEffect::Done) => {
                (Work::Detach { security_group_id, fails: false }, self.settings.detach_takes)
            }
            (Write::Detach, DetachEffect::FailsLater) => {
                (Work::Detach { security_group_id, fails: true }, self.settings.detach_takes)
            }
        };
        let ends_at = later(context.now, takes);
        let task = Task { work, ends_at, free_at: later(ends_at, self.settings.pending_after) };
        if let Some(tracked) = self.endpoints.get_mut(&target.endpoint) {
            self.changing.insert(target.endpoint.clone());
            tracked.change(context.now, |current| {
                if let Some(endpoint) = current {
                    start(endpoint, task);
                }
            });
        }
    }

    /// Returns the endpoint if its state permits writes.
    fn check_state(&self, target: &Target) -> Result<&Endpoint, Refusal> {
        let endpoint = self.endpoints.get(&target.endpoint).and_then(Tracked::current);
        let endpoint = endpoint
            .filter(|endpoint| endpoint.region_id == target.region)
            .ok_or(codes::ENDPOINT_NOT_FOUND)?;
        if endpoint.endpoint_type == "GatewayLoadBalancer" {
            return Err(codes::GATEWAY_LOAD_BALANCER_NOT_SUPPORT_SECURITY_GROUP.into());
        }
        if endpoint.connection_status == "ServiceDeleted" {
            return Err(codes::ENDPOINT_SERVICE_DELETED.into());
        }
        if endpoint.business_status == "FinancialLocked" {
            return Err(codes::ENDPOINT_LOCKED.into());
        }
        if matches!(endpoint.endpoint_status.as_str(), "Creating" | "Deleting") {
            return Err(codes::ENDPOINT_OPERATION_DENIED.into());
        }
        if matches!(endpoint.connection_status.as_str(), "Connecting" | "Disconnecting" | "Deleting") {
            return Err(codes::ENDPOINT_CONNECTION_OPERATION_DENIED.into());
        }
        Ok(endpoint)
    }

    fn count_in_flight(&mut self, endpoint: &EndpointId) {
        let task =
            self.endpoints.get(endpoint).and_then(Tracked::current).and_then(|current| current.task.as_ref());
        let running = u64::from(task.is_some_and(|task| matches!(task.work, Work::Detach { .. })));
        self.count(endpoint, |counts| {
            counts.detaches_in_flight_max = counts.detaches_in_flight_max.max(1 + running);
        });
    }

    fn count(&mut self, endpoint: &EndpointId, count: impl FnOnce(&mut EndpointCounts)) {
        if let Some(counts) = self.counts.endpoint_mut(endpoint) {
            count(counts);
        }
    }
}

/// Checks a detach. Returns whether there is a group to detach.
fn check_detach(endpoint: &Endpoint, target: &Target, absent: AbsentGroup) -> Result<bool, Refusal> {
    if endpoint.group(&target.group).is_none() {
        return match absent {
            AbsentGroup::NotFound => Err(codes::SECURITY_GROUP_NOT_FOUND.into()),
            AbsentGroup::Accepted => Ok(false),
        };
    }
    if endpoint.security_groups.len() == 1 {
        return Err(codes::ENDPOINT_MUST_CONTAIN_SECURITY_GROUP.into());
    }
    Ok(true)
}

/// Checks an attach. Returns whether there is a group to attach, which is always true unless the call is refused.
fn check_attach(endpoint: &Endpoint, target: &Target) -> Result<bool, Refusal> {
    if endpoint.group(&target.group).is_some() {
        return Err(codes::SECURITY_GROUP_ALREADY_ATTACHED.into());
    }
    if endpoint.security_groups.len() >= GROUPS_PER_ENDPOINT_MAX {
        return Err(codes::SECURITY_GROUPS_PER_ENDPOINT_EXCEEDED.into());
    }
    Ok(true)
}
