//! Replacements in a history: endpoints with a single group in VPCs with and without a replacement, and everything that
//! can be wrong with one.

use std::time::Duration;

use privatelink_detach::request::{SecurityGroupId, VpcId};
use privatelink_simulator::{
    Action, AttachEffect, Effect, Fault, Quota, SecurityGroup, SecurityGroupRecord, SecurityGroupType,
};

use super::{GROUPS, Plan, Random, faults};
use crate::faults::Faults;
use crate::outside::Outside;
use crate::world::QueueKind;

const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;

/// The VPCs with a replacement, and the group.
const REPLACEMENTS: [(&str, &str); 2] = [("vpc-a", "sg-spare-a"), ("vpc-b", "sg-spare-b")];

/// The VPCs of endpoints. The last one has no replacement.
const VPCS: [&str; 4] = ["vpc-a", "vpc-a", "vpc-b", "vpc-c"];

/// Configures replacements, and leaves most endpoints of the plan with one group. The plan is complete otherwise.
pub(super) fn draw(plan: &mut Plan, random: &mut Random) {
    for (vpc, group) in REPLACEMENTS {
        configure(plan, vpc, group, random);
    }
    for place in 0..plan.cloud.endpoints.len() {
        plan.cloud.endpoints[place].vpc_id = Some(random.one_of(&VPCS).to_owned());
        if random.chance(0.75) {
            leave_one_group(plan, place, random);
        }
    }
    let endpoints = plan.cloud.endpoints.clone();
    for (_, outside) in &mut plan.outside {
        if let Outside::Create { endpoint } = outside {
            let original = endpoints.iter().find(|original| original.endpoint_id == endpoint.endpoint_id);
            endpoint.vpc_id = original.and_then(|original| original.vpc_id.clone());
        }
    }
    if random.chance(0.3) {
        draw_other_clients(plan, random);
    }
    if random.chance(0.4) {
        draw_faults(plan, random);
    }
    if random.chance(0.15) {
        plan.cloud.settings.attach_effect = random.one_of(&[AttachEffect::Nothing, AttachEffect::FailsLater]);
    }
    plan.cloud.settings.refuse_last_group = !may_rely_on_reads(plan);
}

/// Configures replacements for sweeps, and leaves many endpoints of the plan with one or two groups. The plan is complete
/// otherwise.
pub(super) fn draw_for_sweeps(plan: &mut Plan, random: &mut Random) {
    for (vpc, group) in REPLACEMENTS {
        if random.chance(0.8) {
            configure(plan, vpc, group, random);
        }
    }
    for endpoint in &mut plan.cloud.endpoints {
        if random.chance(0.6) {
            let left = if random.chance(0.6) { 1 } else { 2 };
            endpoint.security_groups.truncate(left);
        }
    }
    let endpoints = plan.cloud.endpoints.clone();
    for (_, outside) in &mut plan.outside {
        if let Outside::Create { endpoint } = outside {
            let original = endpoints.iter().find(|original| original.endpoint_id == endpoint.endpoint_id);
            // The checks know no VPC of a new endpoint.
            endpoint.vpc_id = original.map_or_else(|| Some("vpc-c".to_owned()), |one| one.vpc_id.clone());
        }
    }
    if random.chance(0.3) {
        draw_other_clients(plan, random);
    }
    if random.chance(0.3) {
        let fault = faults::one(ATTACH, &plan.cloud, random);
        plan.outside.push((random.before(plan.faults_end_at), Outside::Fault(Box::new(fault))));
    }
}

/// Configures the replacement of a VPC: usually one that can be attached there.
fn configure(plan: &mut Plan, vpc: &str, group: &str, random: &mut Random) {
    // It may be the group that a request names.
    let group = if random.chance(0.08) { random.one_of(&GROUPS[..3]) } else { group };
    let ids = (VpcId::parse(vpc), SecurityGroupId::parse(group));
    let (Some(vpc_id), Some(security_group_id)) = ids else { return };
    plan.deployment.rules.replacements.insert(vpc_id, security_group_id);
    let mut record = SecurityGroupRecord { vpc_id: Some(vpc.to_owned()), ..SecurityGroupRecord::default() };
    match random.number(0, 11) {
        // It does not exist.
        0 => return,
        1 => record.vpc_id = Some("vpc-elsewhere".to_owned()),
        2 => record.security_group_type = SecurityGroupType::Enterprise,
        _ => {}
    }
    if !GROUPS.contains(&group) {
        plan.cloud.security_groups.insert(group.into());
        plan.cloud.security_group_records.insert(group.into(), record);
    }
}

/// Leaves one group on an endpoint, and names it in most requests about the endpoint. Sometimes the replacement is
/// there, too.
fn leave_one_group(plan: &mut Plan, place: usize, random: &mut Random) {
    let group = random.one_of(&GROUPS[..3]);
    let vpc = plan.cloud.endpoints[place].vpc_id.clone();
    let mut replacements = plan.deployment.rules.replacements.iter();
    let replacement = replacements.find(|(id, _)| Some(id.as_str()) == vpc.as_deref());
    let replacement = replacement.map(|(_, id)| id.to_string()).filter(|id| id != group);
    let endpoint = &mut plan.cloud.endpoints[place];
    endpoint.security_groups = vec![SecurityGroup::attached(group)];
    if let Some(replacement) = replacement.filter(|_| random.chance(0.1)) {
        endpoint.security_groups.push(SecurityGroup::attached(replacement));
    }
    let id = endpoint.endpoint_id.clone();
    for request in &mut plan.requests {
        let is_its = request.parsed.as_ref().is_some_and(|parsed| parsed.endpoint == id.as_str());
        if is_its && random.chance(0.85) {
            let dry_run = random.chance(0.15);
            request.name_group(group, dry_run);
        }
    }
}

/// Other clients attach and detach the replacements and other groups.
fn draw_other_clients(plan: &mut Plan, random: &mut Random) {
    for _ in 0..random.number(1, 4) {
        let endpoint = random.one_of(&plan.cloud.endpoints).endpoint_id.to_string();
        let group = if random.chance(0.7) { random.one_of(&REPLACEMENTS).1 } else { random.one_of(&GROUPS) };
        let (group, takes) = (group.to_owned(), random.seconds(0, 20));
        let outside = if random.chance(0.5) {
            Outside::Attach { endpoint, group, takes }
        } else {
            Outside::Detach { endpoint, group, takes, fails: random.chance(0.2) }
        };
        // Most of them early, when the requests are carried out.
        let end = if random.chance(0.6) { Duration::from_secs(25) } else { plan.faults_end_at };
        plan.outside.push((random.before(end), outside));
    }
}

/// Faults of the attach alone, and records without a VPC.
fn draw_faults(plan: &mut Plan, random: &mut Random) {
    let end = plan.faults_end_at;
    for _ in 0..random.number(1, 2) {
        let fault = faults::one(ATTACH, &plan.cloud, random);
        let at = if random.chance(0.7) { Duration::ZERO } else { random.before(end) };
        plan.outside.push((at, Outside::Fault(Box::new(fault))));
    }
    if random.chance(0.15) {
        let (from, until) = faults::window(end, random);
        let from = if random.chance(0.5) { Duration::ZERO } else { from };
        plan.outside.push((from, Outside::Permissions { denied: vec![ATTACH] }));
        plan.outside.push((until, Outside::Permissions { denied: Vec::new() }));
    }
    if random.chance(0.15) {
        let effect = Effect::ItemField { field: "VpcId".to_owned(), value: String::new() };
        let fault = Fault::on(Action::ListVpcEndpoints, effect).next(random.number(1, 4));
        plan.outside.push((Duration::ZERO, Outside::Fault(Box::new(fault))));
    }
    if random.chance(0.15) {
        let window = Duration::from_secs(random.number(5, 60));
        plan.cloud.quotas.insert(ATTACH, Quota { calls: 1, window });
    }
}

/// Whether the reads of the workers are current, and no write of another lane, process or client can arrive between a
/// read and the write after it. In such a history the worker must keep the last group without Alibaba Cloud's refusal.
fn may_rely_on_reads(plan: &Plan) -> bool {
    let settings = &plan.cloud.settings;
    let is_current = settings.read_lag.is_zero() && settings.record_lag.is_zero();
    let is_alone = plan.outside.iter().all(|(_, outside)| {
        matches!(outside, Outside::Fault(_) | Outside::Key { .. } | Outside::Permissions { .. })
    });
    let is_one_each = plan.cloud.endpoints.iter().all(|endpoint| {
        let requests = plan.requests.iter().filter(|request| request.lane == endpoint.endpoint_id.as_str());
        requests.count() <= 1
    });
    is_current && is_alone && is_one_each && plan.kind == QueueKind::Fifo && plan.faults == Faults::default()
}
