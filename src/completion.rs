//! The completion event: an outcome and its evidence, in the contract's fields.
//!
//! Pure, and the only place that knows the event's shape, which `docs/completion-event.schema.json` describes.

pub mod reason;
pub mod sweep;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::clock::calendar;
use crate::detach::{Evidence, Outcome};
use crate::request::{EndpointId, Metadata, RegionId, RequestId, SecurityGroupId, Subject, Trigger};
use reason::{Reason, RunbookUrl};

/// The event's `source`.
pub const SOURCE: &str = "privatelink-detach";

/// The version of the event's shape.
const VERSION: &str = "1";

/// When and how a request was received and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    pub trigger: Trigger,
    /// How often its message was received, this time included.
    pub deliveries: u32,
    /// When the queue, or the invocation, accepted it.
    pub accepted_at: SystemTime,
    /// When it was first received.
    pub started_at: SystemTime,
    /// When the detach was confirmed.
    pub confirmed_at: Option<SystemTime>,
    pub completed_at: SystemTime,
}

/// One event, ready to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The event's `detail-type`.
    pub detail_type: &'static str,
    pub detail: Detail,
    /// Why the request failed, if it did.
    pub reason: Option<Reason>,
}

/// The event's `detail`; also the reply to a direct invocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    version: &'static str,
    pub request_id: RequestId,
    /// The outcome's name.
    pub outcome: &'static str,
    trigger: Trigger,
    /// How the request was carried out; `None` if its `dry_run` was not readable.
    dry_run: Option<bool>,
    pub region_id: Option<RegionId>,
    pub endpoint_id: Option<EndpointId>,
    pub security_group_id: Option<SecurityGroupId>,
    /// Present in a failure.
    pub reason: Option<ReasonDetail>,
    pub evidence: EvidenceDetail,
    pub effort: EffortDetail,
    accepted_at: String,
    started_at: String,
    completed_at: String,
    /// From accepted to completed.
    pub duration_ms: u64,
    pub api_request_ids: Vec<String>,
    metadata: Metadata,
}

/// The event's `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonDetail {
    /// The exact code.
    pub code: String,
    /// What it means here.
    pub message: String,
    /// What the operator does about it.
    pub advice: String,
    /// The URL of the runbook with the anchor of the section.
    pub runbook: String,
}

/// The event's `evidence`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceDetail {
    pub security_groups_before: Option<Vec<String>>,
    pub security_groups_after: Option<Vec<String>>,
    pub security_group_seen: Option<bool>,
    /// The configured replacement of the endpoint's last group, if it was attached or found, or if a dry run showed that
    /// it can be attached.
    pub replacement_security_group_id: Option<SecurityGroupId>,
    pub endpoint_status: Option<String>,
    pub confirmed_at: Option<String>,
}

/// The event's `effort`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffortDetail {
    pub deliveries: u32,
    pub detach_calls: u32,
    pub read_calls: u32,
    pub retries: BTreeMap<String, u32>,
}

impl Outcome {
    /// The outcome's name in events and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::AlreadyDetached => "already_detached",
            Self::DryRunPassed => "dry_run_passed",
            Self::EndpointGone => "endpoint_gone",
            Self::Refused(_) => "refused",
            Self::Rejected(_) => "rejected",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }
}

impl Completion {
    /// The event of one outcome of the request of this name; a failure names a section of the runbook.
    #[must_use]
    pub fn new(
        outcome: &Outcome,
        evidence: &Evidence,
        request_id: RequestId,
        subject: &Subject,
        circumstances: Circumstances,
        runbook: &RunbookUrl,
    ) -> Self {
        let reason = Reason::of(outcome, evidence, circumstances.trigger);
        let detail_type = match reason {
            None => "Security Group Detach Completed",
            Some(_) => "Security Group Detach Failed",
        };
        let duration =
            circumstances.completed_at.duration_since(circumstances.accepted_at).unwrap_or_default();
        let detail = Detail {
            version: VERSION,
            request_id,
            outcome: outcome.name(),
            trigger: circumstances.trigger,
            dry_run: subject.dry_run,
            region_id: subject.region_id.clone(),
            endpoint_id: subject.endpoint_id.clone(),
            security_group_id: subject.security_group_id.clone(),
            reason: reason.as_ref().map(|reason| ReasonDetail::new(reason, runbook)),
            evidence: EvidenceDetail {
                security_groups_before: evidence.security_groups_before.clone(),
                security_groups_after: evidence.security_groups_after.clone(),
                security_group_seen: evidence.security_group_seen,
                replacement_security_group_id: evidence.replacement_security_group_id.clone(),
                endpoint_status: evidence.endpoint_status.as_ref().map(|status| status.as_str().to_owned()),
                confirmed_at: circumstances.confirmed_at.map(date),
            },
            effort: EffortDetail {
                deliveries: circumstances.deliveries,
                detach_calls: evidence.detach_calls,
                read_calls: evidence.read_calls,
                retries: evidence.retries.clone(),
            },
            accepted_at: date(circumstances.accepted_at),
            started_at: date(circumstances.started_at),
            completed_at: date(circumstances.completed_at),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            api_request_ids: evidence.api_request_ids().map(str::to_owned).collect(),
            metadata: subject.metadata.clone(),
        };
        Self { detail_type, detail, reason }
    }
}

impl ReasonDetail {
    fn new(reason: &Reason, runbook: &RunbookUrl) -> Self {
        let Reason { code, message, advice, section } = reason.clone();
        Self { code: code.to_string(), message, advice, runbook: runbook.section(&section) }
    }
}

fn date(at: SystemTime) -> String {
    calendar::text(at, calendar::MILLISECONDS)
}
