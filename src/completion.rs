//! The completion event: an outcome and its account, in the words of the contract.
//!
//! Pure, and the only place that knows the event's shape. `docs/completion-event.schema.json` describes it to others.

pub mod reason;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::clock::calendar;
use crate::completion::reason::Reason;
use crate::detach::{Account, Outcome};
use crate::request::{
    DetachRequest, EndpointId, Metadata, RegionId, Rejection, RequestId, SecurityGroupId, Trigger,
};

/// The event's `source`.
pub const SOURCE: &str = "privatelink-detach";

/// The outcome's name of what was no valid request.
pub const REJECTED: &str = "rejected";

/// The version of the event's shape.
const VERSION: &str = "1";

/// What a request is about, as far as it is known: of a rejected one, what was valid by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name of the request.
    pub request_id: RequestId,
    /// The region.
    pub region_id: Option<RegionId>,
    /// The endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// The group.
    pub security_group_id: Option<SecurityGroupId>,
    /// Echoed.
    pub metadata: Metadata,
}

impl Subject {
    /// Of a request, or of what was none.
    #[must_use]
    pub fn new(request_id: RequestId, request: &Result<DetachRequest, Box<Rejection>>) -> Self {
        match request {
            Ok(request) => Self {
                request_id,
                region_id: Some(request.region_id.clone()),
                endpoint_id: Some(request.endpoint_id.clone()),
                security_group_id: Some(request.security_group_id.clone()),
                metadata: request.metadata.clone(),
            },
            Err(rejection) => Self {
                request_id,
                region_id: rejection.region_id.clone(),
                endpoint_id: rejection.endpoint_id.clone(),
                security_group_id: rejection.security_group_id.clone(),
                metadata: rejection.metadata.clone(),
            },
        }
    }
}

/// When and how a request came here and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// What made it.
    pub trigger: Trigger,
    /// How often its message was received.
    pub deliveries: u32,
    /// When the queue, or the invocation, accepted it.
    pub accepted_at: SystemTime,
    /// When it was first received.
    pub started_at: SystemTime,
    /// When gone was proved.
    pub confirmed_at: Option<SystemTime>,
    /// When it ended.
    pub completed_at: SystemTime,
}

/// One event, ready to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// `detail-type`.
    pub detail_type: &'static str,
    /// `detail`.
    pub detail: Detail,
}

/// The event's `detail`; also the reply to a direct invocation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    version: &'static str,
    /// The name of the request.
    pub request_id: RequestId,
    /// The outcome's name.
    pub outcome: &'static str,
    trigger: Trigger,
    region_id: Option<RegionId>,
    endpoint_id: Option<EndpointId>,
    security_group_id: Option<SecurityGroupId>,
    /// Of a failure.
    pub reason: Option<ReasonDetail>,
    evidence: Evidence,
    effort: Effort,
    accepted_at: String,
    started_at: String,
    completed_at: String,
    /// From accepted to completed.
    pub duration_ms: u64,
    api_request_ids: Vec<String>,
    metadata: Metadata,
}

/// A reason as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonDetail {
    /// The exact code.
    pub code: String,
    /// What it means here.
    pub message: String,
    /// What the reader should do.
    pub advice: String,
    /// The path of the runbook's section.
    pub runbook: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Evidence {
    security_groups_before: Option<Vec<String>>,
    security_groups_after: Option<Vec<String>>,
    endpoint_status: Option<String>,
    confirmed_at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Effort {
    deliveries: u32,
    detach_calls: u32,
    look_calls: u32,
    retries: BTreeMap<String, u32>,
}

impl Outcome {
    /// The outcome's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::AlreadyDetached => "already_detached",
            Self::DryRunPassed => "dry_run_passed",
            Self::EndpointGone => "endpoint_gone",
            Self::Refused(_) => "refused",
            Self::Rejected(_) => REJECTED,
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }

    /// Why it is a failure, if it is one.
    #[must_use]
    pub fn reason(&self, account: &Account) -> Option<Reason> {
        match self {
            Self::Detached | Self::AlreadyDetached | Self::DryRunPassed | Self::EndpointGone => None,
            Self::Refused(refusal) => Some(Reason::of_refusal(refusal, account)),
            Self::Rejected(rejection) => Some(Reason::of_rejection(rejection)),
            Self::Unconfirmed(time) => Some(Reason::of_time_used_up(*time, account)),
        }
    }
}

impl Completion {
    /// The event for one outcome.
    #[must_use]
    pub fn new(outcome: &Outcome, account: &Account, subject: Subject, circumstances: Circumstances) -> Self {
        let reason = outcome.reason(account);
        let detail_type = match reason {
            None => "Security Group Detach Completed",
            Some(_) => "Security Group Detach Failed",
        };
        let duration =
            circumstances.completed_at.duration_since(circumstances.accepted_at).unwrap_or_default();
        let detail = Detail {
            version: VERSION,
            request_id: subject.request_id,
            outcome: outcome.name(),
            trigger: circumstances.trigger,
            region_id: subject.region_id,
            endpoint_id: subject.endpoint_id,
            security_group_id: subject.security_group_id,
            reason: reason.map(|reason| ReasonDetail {
                code: reason.code.to_string(),
                message: reason.message,
                advice: reason.advice,
                runbook: reason.runbook,
            }),
            evidence: Evidence {
                security_groups_before: account.security_groups_before.clone(),
                security_groups_after: account.security_groups_after.clone(),
                endpoint_status: account.endpoint_status.clone(),
                confirmed_at: circumstances.confirmed_at.map(date),
            },
            effort: Effort {
                deliveries: circumstances.deliveries,
                detach_calls: account.detach_calls,
                look_calls: account.look_calls,
                retries: account.retries.clone(),
            },
            accepted_at: date(circumstances.accepted_at),
            started_at: date(circumstances.started_at),
            completed_at: date(circumstances.completed_at),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            api_request_ids: account.api_request_ids().map(str::to_owned).collect(),
            metadata: subject.metadata,
        };
        Self { detail_type, detail }
    }
}

fn date(at: SystemTime) -> String {
    calendar::text(at, calendar::MILLISECONDS)
}
