//! The event of a sweep: a plan and its verdict, in the contract's fields.
//!
//! Pure, and the only place that knows the event's shape, which `docs/sweep-completed.schema.json` describes.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use serde::Serialize;

use super::reason::RunbookUrl;
use super::{ReasonDetail, VERSION, date};
use crate::alibaba::error::ErrorCode;
use crate::alibaba::privatelink::{EndpointFilter, Target};
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};
use crate::sweep::{Plan, Reference, Region, Verdict};
use crate::text::shortened;

/// The event's `detail-type`.
pub const DETAIL_TYPE: &str = "Security Group Sweep Completed";

/// Maximum number of references in an event. The event also contains their total number.
const REFERENCES_MAX: usize = 300;

/// Maximum number of bytes of the detail: `EventBridge` accepts 256 KiB for the whole event. Only long names with
/// non-ASCII characters make a detail that large.
const BYTES_MAX: usize = 240 * 1024;

/// Maximum number of unread endpoints in an event, over all regions.
const UNREAD_MAX: usize = 300;

/// Maximum number of letter-case variants that a reason names.
const LOOKALIKES_NAMED_MAX: usize = 5;

/// Whether detaches are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Report,
    Apply,
}

impl Mode {
    /// The name in requests and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Apply => "apply",
        }
    }
}

/// A sweep that ended.
#[derive(Debug, Clone, Copy)]
pub struct Sweep<'a> {
    pub sweep_id: &'a RequestId,
    /// How the sweep was carried out.
    pub mode: Mode,
    pub mode_requested: Mode,
    pub filter: &'a EndpointFilter,
    pub plan: &'a Plan,
    /// The most detaches that the sweep may request; `None` only if it just reads.
    pub max_detaches: Option<u32>,
    pub verdict: Verdict,
    /// The detaches that were requested.
    pub requested: &'a HashSet<Target>,
    pub shortfall: &'a Shortfall,
    pub completed_at: SystemTime,
}

/// What a sweep in mode `apply` could not do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shortfall {
    /// The number of requests that the queue did not confirm.
    pub unsent: usize,
    /// Whether the time of the sweep ended before all requests were sent.
    pub is_out_of_time: bool,
    /// The number of requested endpoints that the latest reading could not read, and the code of the first error.
    pub not_read_again: usize,
    pub code: Option<ErrorCode>,
}

/// The event's `detail`; also the output of `find`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    version: &'static str,
    sweep_id: RequestId,
    mode: Mode,
    mode_requested: Mode,
    pub verdict: &'static str,
    security_group_ids: Vec<SecurityGroupId>,
    security_groups_found: Option<bool>,
    scope: ScopeDetail,
    endpoints_read: BTreeMap<RegionId, usize>,
    /// Gateway load balancer endpoints, which have no groups.
    endpoints_skipped: BTreeMap<RegionId, usize>,
    /// Only regions that were not read completely.
    endpoints_unread: BTreeMap<RegionId, UnreadDetail>,
    started_at: String,
    completed_at: String,
    references: Vec<ReferenceDetail>,
    references_total: usize,
    requested_count: usize,
    /// The number of references that were left at the last reading, which is `references_total`.
    remaining_count: usize,
    pub reason: Option<ReasonDetail>,
}

/// Which endpoints were read: all endpoints of the regions, or those that pass every filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ScopeDetail {
    All(&'static str),
    Filter(FilterDetail),
}

/// The parts of a filter that were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilterDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct UnreadDetail {
    /// The code of the error if the list of endpoints could not be read; the region may then have more endpoints.
    list_error: Option<String>,
    total: usize,
    endpoints: Vec<UnreadEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct UnreadEndpoint {
    endpoint_id: EndpointId,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ReferenceDetail {
    region_id: RegionId,
    endpoint_id: EndpointId,
    endpoint_name: Option<String>,
    security_group_id: SecurityGroupId,
    status: &'static str,
    requested: bool,
    blocked_by: Option<String>,
    replacement_security_group_id: Option<SecurityGroupId>,
}

impl Detail {
    /// The event of a sweep. Its reason names a section of the runbook.
    #[must_use]
    pub fn new(sweep: &Sweep<'_>, runbook: &RunbookUrl) -> Self {
        let plan = sweep.plan;
        let count = |count: fn(&Region) -> usize| {
            plan.regions.iter().map(|(id, region)| (id.clone(), count(region))).collect()
        };
        let references = plan.references.iter().take(REFERENCES_MAX);
        let mut detail = Self {
            version: VERSION,
            sweep_id: sweep.sweep_id.clone(),
            mode: sweep.mode,
            mode_requested: sweep.mode_requested,
            verdict: sweep.verdict.as_str(),
            security_group_ids: plan.security_group_ids.clone(),
            security_groups_found: plan.security_groups_found,
            scope: ScopeDetail::new(sweep.filter),
            endpoints_read: count(|region| region.endpoints_read),
            endpoints_skipped: count(|region| region.endpoints_skipped),
            endpoints_unread: unread(plan),
            started_at: date(plan.started_at),
            completed_at: date(sweep.completed_at),
            references: references.map(|one| ReferenceDetail::new(one, sweep.requested)).collect(),
            references_total: plan.references.len(),
            requested_count: sweep.requested.len(),
            remaining_count: plan.references.len(),
            reason: reason(sweep, runbook),
        };
        while !detail.references.is_empty() && detail.bytes() > BYTES_MAX {
            detail.references.truncate(detail.references.len() / 2);
        }
        detail
    }

    /// The length of the event's detail as JSON.
    fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(0, |json| json.len())
    }
}

impl ScopeDetail {
    #[must_use]
    pub fn new(filter: &EndpointFilter) -> Self {
        if *filter == EndpointFilter::default() {
            return Self::All("all");
        }
        let EndpointFilter { vpc_id, endpoint_name, resource_group_id, tags } = filter.clone();
        let tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        Self::Filter(FilterDetail { vpc_id, endpoint_name, resource_group_id, tags })
    }
}

impl ReferenceDetail {
    fn new(reference: &Reference, requested: &HashSet<Target>) -> Self {
        Self {
            region_id: reference.region_id.clone(),
            endpoint_id: reference.endpoint_id.clone(),
            endpoint_name: reference.endpoint_name.as_deref().map(shortened),
            security_group_id: reference.security_group_id.clone(),
            status: reference.status.as_str(),
            requested: requested.contains(&reference.target()),
            blocked_by: reference.blocked_by.as_ref().map(ToString::to_string),
            replacement_security_group_id: reference.replacement_security_group_id.clone(),
        }
    }
}

fn unread(plan: &Plan) -> BTreeMap<RegionId, UnreadDetail> {
    let mut room = UNREAD_MAX;
    let unread = plan.regions.iter().filter(|(_, region)| !region.is_complete());
    unread
        .map(|(id, region)| {
            let endpoints: Vec<_> = region
                .unread
                .iter()
                .take(room)
                .map(|one| UnreadEndpoint {
                    endpoint_id: one.endpoint_id.clone(),
                    code: one.code.to_string(),
                })
                .collect();
            room -= endpoints.len();
            let list_error = region.list_error.as_ref().map(ToString::to_string);
            (id.clone(), UnreadDetail { list_error, total: region.unread.len(), endpoints })
        })
        .collect()
}

/// Why the references are not known, or why detaches were not requested; `None` if the verdict needs no explanation.
fn reason(sweep: &Sweep<'_>, runbook: &RunbookUrl) -> Option<ReasonDetail> {
    let (plan, shortfall) = (sweep.plan, sweep.shortfall);
    let (code, message, advice) = match sweep.verdict {
        Verdict::ReferencesFound if shortfall.unsent > 0 && shortfall.is_out_of_time => (
            "NotRequested",
            format!("The time of the sweep ended before {} of its requests were sent", shortfall.unsent),
            "Divide the scope into several sweeps, and run them one after another.",
        ),
        Verdict::ReferencesFound if shortfall.unsent > 0 => (
            "NotRequested",
            format!("The request queue did not confirm {} of the requests of this sweep", shortfall.unsent),
            "Restore the sweeper's access to the request queue, which its log explains, and run the sweep again. The \
             worker carries out the requests that the queue received.",
        ),
        Verdict::ReferencesFound if shortfall.not_read_again > 0 => (
            "NotReadAgain",
            format!(
                "{} of the requested endpoints could not be read again{}; their references are those of an earlier reading",
                shortfall.not_read_again,
                shortfall.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default()
            ),
            "Correct the cause that the code names, and run the sweep again. The worker carries out the requests that were \
             sent.",
        ),
        Verdict::NoReferences | Verdict::ReferencesFound => return None,
        Verdict::Incomplete => (
            "Incomplete",
            format!("The references are not known, so no detach was requested: {}", gaps(plan).join("; ")),
            "Correct the causes that the message names, then run the sweep or the command again. Do not delete a group before \
             everything was read.",
        ),
        Verdict::OverLimit => (
            "OverLimit",
            format!(
                "{} references can be detached, but max_detaches is {}, so no detach was requested",
                plan.requestable().count(),
                sweep.max_detaches.unwrap_or_default(),
            ),
            "Review the references. To detach all of them, run the sweep or the plan again with a larger max_detaches; \
             otherwise narrow the scope.",
        ),
        Verdict::NoEndpoints => (
            "NoEndpoints",
            format!("The scope has no endpoint with security groups in {}", regions(plan)),
            "Check the account of the credentials, the regions and the filters: if one of them is wrong, the result is the \
             same. It does not mean that the group is unused.",
        ),
    };
    let runbook = runbook.section(&code.to_ascii_lowercase());
    Some(ReasonDetail { code: code.to_owned(), message, advice: advice.to_owned(), runbook })
}

/// What keeps a plan from being complete, as clauses.
fn gaps(plan: &Plan) -> Vec<String> {
    let mut gaps = Vec::new();
    for (id, region) in &plan.regions {
        if let Some(code) = &region.list_error {
            gaps.push(format!("the list of endpoints of {id} could not be read ({code})"));
        }
        match &region.unread[..] {
            [] => {}
            [one] => gaps.push(format!("{} of {id} could not be read ({})", one.endpoint_id, one.code)),
            [first, ..] => gaps.push(format!(
                "{} endpoints of {id} could not be read, such as {} ({})",
                region.unread.len(),
                first.endpoint_id,
                first.code
            )),
        }
    }
    for lookalike in plan.lookalikes.iter().take(LOOKALIKES_NAMED_MAX) {
        gaps.push(format!(
            "{} of {} has {}, which differs from {} only in letter case",
            lookalike.endpoint_id, lookalike.region_id, lookalike.listed, lookalike.security_group_id
        ));
    }
    if let Some(more) = plan.lookalikes.len().checked_sub(LOOKALIKES_NAMED_MAX).filter(|more| *more > 0) {
        gaps.push(format!("{more} more ids differ only in letter case"));
    }
    if plan.security_groups_found == Some(false) {
        gaps.push("ECS does not find every group in the regions that were read".to_owned());
    }
    gaps
}

fn regions(plan: &Plan) -> String {
    plan.regions.keys().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}
