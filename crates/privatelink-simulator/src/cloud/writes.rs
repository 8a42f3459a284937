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
    settings::{AbsentGroup, AttachEffect, DetachEffect, Settings},
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
        let endpoint = self.check_state(target)?;
        if endpoint.task.is_some() || endpoint.endpoint_status == "Pending" {
            self.count(&target.endpoint, |counts| counts.lock_rejections += 1);
            return Err(self.settings.lock_code.code().into());
        }
        let has_work = match write {
            Write::Attach => check_attach(endpoint, target)?,
            Write::Detach => check_detach(endpoint, target, &self.settings)?,
        };
        if !self.security_groups.contains(&target.group) {
            return Err(codes::SECURITY_GROUP_NOT_FOUND.into());
        }
        if write == Write::Attach {
            self.check_records(endpoint, &target.group)?;
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

    /// Starts the task of an accepted write, unless the write has no effect.
    fn start_task(&mut self, write: Write, target: &Target, context: CallContext<'_>) {
        let Some(fails) = self.fails(write, context.effect) else { return };
        let security_group_id = target.group.clone();
        let (work, takes) = match write {
            Write::Attach => (Work::Attach { security_group_id, fails }, self.settings.attach_takes),
            Write::Detach => (Work::Detach { security_group_id, fails }, self.settings.detach_takes),
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

    /// Whether the task of an accepted write fails; `None` if the write has no effect.
    fn fails(&self, write: Write, effect: Option<&Effect>) -> Option<bool> {
        match (effect, write, self.settings.attach_effect, self.settings.detach_effect) {
            (Some(Effect::AcceptedWithoutEffect), ..)
            | (_, Write::Attach, AttachEffect::Nothing, _)
            | (_, Write::Detach, _, DetachEffect::Nothing) => None,
            (Some(Effect::AcceptedThenFails), ..)
            | (_, Write::Attach, AttachEffect::FailsLater, _)
            | (_, Write::Detach, _, DetachEffect::FailsLater) => Some(true),
            (_, Write::Attach, AttachEffect::Done, _) | (_, Write::Detach, _, DetachEffect::Done) => {
                Some(false)
            }
        }
    }

    /// Checks that a group to attach is in the endpoint's VPC and of the type of its other groups, as far as the records
    /// of groups say.
    fn check_records(&self, endpoint: &Endpoint, group: &SecurityGroupId) -> Result<(), Refusal> {
        let record = |group| self.security_group_records.get(group);
        let vpc_id = record(group).and_then(|record| record.vpc_id.as_ref());
        if endpoint.vpc_id.is_some() && vpc_id.is_some_and(|vpc_id| endpoint.vpc_id.as_ref() != Some(vpc_id))
        {
            return Err(codes::SECURITY_GROUP_VPC_MISMATCH.into());
        }
        let type_of = |group| record(group).map(|record| record.security_group_type).unwrap_or_default();
        if endpoint.security_groups.iter().any(|other| type_of(&other.id) != type_of(group)) {
            return Err(codes::SECURITY_GROUP_TYPE_MISMATCH.into());
        }
        Ok(())
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
fn check_detach(endpoint: &Endpoint, target: &Target, settings: &Settings) -> Result<bool, Refusal> {
    if endpoint.group(&target.group).is_none() {
        return match settings.absent_group {
            AbsentGroup::NotFound => Err(codes::SECURITY_GROUP_NOT_FOUND.into()),
            AbsentGroup::Accepted => Ok(false),
        };
    }
    if endpoint.security_groups.len() == 1 && settings.refuse_last_group {
        return Err(codes::ENDPOINT_MUST_CONTAIN_SECURITY_GROUP.into());
    }
    Ok(true)
}

/// Checks an attach. Returns whether there is a group to attach, which is always true unless the call is refused.
fn check_attach(endpoint: &Endpoint, target: &Target) -> Result<bool, Refusal> {
    if endpoint.group(&target.group).is_some() {
        return Err(codes::SECURITY_GROUP_ALREADY_ATTACHED.into());
    }
    // An endpoint keeps its last group, so one without groups was created without any.
    if endpoint.security_groups.is_empty() {
        return Err(codes::ADD_SECURITY_GROUP_NOT_SUPPORT_WHEN_HAVE_NO_SG.into());
    }
    if endpoint.security_groups.len() >= GROUPS_PER_ENDPOINT_MAX {
        return Err(codes::SECURITY_GROUPS_PER_ENDPOINT_EXCEEDED.into());
    }
    Ok(true)
}
