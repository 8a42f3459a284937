//! Why a request failed, in words for the operator who reads them at night: what it means and what to do.
//!
//! Pure. The closed list of this project's own codes stands beside Alibaba's exact ones, and each names a section
//! of the runbook.

use std::fmt;

use crate::alibaba::error::Kind;
use crate::alibaba::privatelink::Action;
use crate::detach::{Account, Refusal, TimeUsedUp};
use crate::request::{Rejection, RejectionCode};

/// The runbook, as the path that a reason carries.
const RUNBOOK: &str = "docs/runbook.md";

/// A code that a failure carries: ours, or Alibaba's as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// The request breaks the contract.
    InvalidRequest,
    /// The region is not in this deployment's list.
    RegionNotAllowed,
    /// The group is never touched here.
    ProtectedSecurityGroup,
    /// The endpoint is never touched here.
    ProtectedEndpoint,
    /// The group is the endpoint's last one. Alibaba's code, also when our guard said it.
    EndpointMustContainSecurityGroup,
    /// The endpoint is locked for arrears.
    FinancialLocked,
    /// A dry run was carried out for real.
    DryRunNotHonoured,
    /// The deadline came before the proof.
    DeadlinePassed,
    /// The request has its outcome, but the event could not be published.
    CompletionNotPublished,
    /// A direct invocation ended before the proof.
    InvocationTimeUsedUp,
    /// Alibaba's exact code.
    Alibaba(String),
}

impl ReasonCode {
    /// Alibaba's code.
    #[must_use]
    pub fn from_alibaba(code: String) -> Self {
        if code == Self::EndpointMustContainSecurityGroup.as_str() {
            return Self::EndpointMustContainSecurityGroup;
        }
        Self::Alibaba(code)
    }

    /// The code as it travels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::RegionNotAllowed => "RegionNotAllowed",
            Self::ProtectedSecurityGroup => "ProtectedSecurityGroup",
            Self::ProtectedEndpoint => "ProtectedEndpoint",
            Self::EndpointMustContainSecurityGroup => "EndpointMustContainSecurityGroup",
            Self::FinancialLocked => "FinancialLocked",
            Self::DryRunNotHonoured => "DryRunNotHonoured",
            Self::DeadlinePassed => "DeadlinePassed",
            Self::CompletionNotPublished => "CompletionNotPublished",
            Self::InvocationTimeUsedUp => "InvocationTimeUsedUp",
            Self::Alibaba(code) => code,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<RejectionCode> for ReasonCode {
    fn from(code: RejectionCode) -> Self {
        match code {
            RejectionCode::InvalidRequest => Self::InvalidRequest,
            RejectionCode::RegionNotAllowed => Self::RegionNotAllowed,
            RejectionCode::ProtectedEndpoint => Self::ProtectedEndpoint,
            RejectionCode::ProtectedSecurityGroup => Self::ProtectedSecurityGroup,
        }
    }
}

/// A failure explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// What it means here.
    pub message: String,
    /// What the reader should do.
    pub advice: String,
    /// The section of the runbook that says more.
    pub runbook: String,
}

impl Reason {
    fn new(code: ReasonCode, message: impl Into<String>, advice: impl Into<String>) -> Self {
        let runbook = format!("{RUNBOOK}#{}", section(code.as_str()));
        Self { code, message: message.into(), advice: advice.into(), runbook }
    }

    /// Why a body was rejected: every fault of it.
    #[must_use]
    pub fn of_rejection(rejection: &Rejection) -> Self {
        let advice = match rejection.code {
            RejectionCode::InvalidRequest => {
                "Correct the fields named in the message and send the request again. What came through the queue lies \
                 unchanged in the dead-letter queue."
            }
            RejectionCode::RegionNotAllowed => {
                "If this region should be served, add it to ALLOWED_REGIONS and send the request again; otherwise \
                 correct or discard it."
            }
            RejectionCode::ProtectedEndpoint => {
                "This deployment never touches the endpoint. If it should, take it off PROTECTED_ENDPOINTS and \
                 send the request again; otherwise find out who asked."
            }
            RejectionCode::ProtectedSecurityGroup => {
                "This deployment never detaches the group. If it should, take it off PROTECTED_SECURITY_GROUPS and \
                 send the request again; otherwise find out who asked."
            }
        };
        Self::new(rejection.code.into(), rejection.to_string(), advice)
    }

    /// Why a detach was refused.
    #[must_use]
    pub fn of_refusal(refusal: &Refusal, account: &Account) -> Self {
        let (meaning, advice) = explain(refusal);
        let mut message = meaning;
        if let Some(theirs) = &refusal.message {
            message = format!("{message}. Alibaba Cloud says: {}", theirs.trim_end_matches('.'));
        }
        if account.detach_accepted > 0 && refusal.code != ReasonCode::DryRunNotHonoured {
            message.push_str(". A detach had been accepted before, so the group may be gone all the same");
        }
        Self::new(refusal.code.clone(), message, advice)
    }

    /// Why there is no proof, and what was seen instead.
    #[must_use]
    pub fn of_time_used_up(time: TimeUsedUp, account: &Account) -> Self {
        let (code, meaning) = match time {
            TimeUsedUp::Deadline => (ReasonCode::DeadlinePassed, "The deadline passed without proof"),
            TimeUsedUp::Invocation => {
                (ReasonCode::InvocationTimeUsedUp, "The invocation's time ran out without proof")
            }
        };
        let group = match account.group_status {
            None => "never read".to_owned(),
            Some(None) => "absent, but not proved so".to_owned(),
            Some(Some(status)) => format!("{status:?}"),
        };
        let endpoint = account.endpoint_status.as_deref().unwrap_or("never read");
        let fault = account.fault_last.as_ref().map_or("none", |(name, _)| name);
        let message = format!(
            "{meaning}. In the last delivery: group {group}, endpoint {endpoint}; detaches accepted: {}; last fault: {fault}",
            account.detach_accepted
        );
        let advice = format!(
            "{} {}",
            unfinished_advice(account),
            match time {
                TimeUsedUp::Deadline =>
                    "Then redrive the dead-letter queue: its copy keeps its name and gets a new deadline.",
                TimeUsedUp::Invocation =>
                    "Then invoke again, or send the request through the queue, which waits longer.",
            }
        );
        Self::new(code, message, advice)
    }

    /// The request has its outcome, but nobody could be told; `reason` is why it failed, if it did.
    #[must_use]
    pub fn of_unpublished(outcome: &str, reason: Option<&str>) -> Self {
        let why = reason.map_or(String::new(), |code| format!(" ({code})"));
        let message =
            format!("The outcome is {outcome}{why}, but its event could not be published by the deadline");
        let advice = if reason == Some(ReasonCode::DryRunNotHonoured.as_str()) {
            "Check the endpoint's groups at once; do not redrive, for this service carries dry runs out."
        } else {
            "Check the event bus and the worker's permission events:PutEvents on it, then redrive the dead-letter \
             queue: the request is looked at again and its event sent."
        };
        Self::new(ReasonCode::CompletionNotPublished, message, advice)
    }
}

/// What a refusal means, and what to do about it.
fn explain(refusal: &Refusal) -> (String, String) {
    let action = refusal.action.map_or("the call", Action::name);
    let code = refusal.code.as_str();
    let (meaning, advice) = match code {
        "EndpointMustContainSecurityGroup" => (
            "The group is the endpoint's last one, and an endpoint must keep at least one",
            "Attach the group that should stay, then send the request again.",
        ),
        "FinancialLocked" => (
            "The endpoint is locked because of an overdue payment; no retry cures that",
            "Settle the bill of the account that pays for the endpoint, then send the request again.",
        ),
        "DryRunNotHonoured" => (
            "Alibaba Cloud answered a dry run as if it were a real detach, so the group may be detached now",
            "Check the endpoint's groups at once and attach the group again if it should stay. Report the request \
             ids of this event to Alibaba Cloud.",
        ),
        "EndpointNotFound" => (
            "There is no such endpoint in this region",
            "Check endpoint_id and region_id: both must name the same region's endpoint in the account whose keys \
             the worker has.",
        ),
        "SecurityGroupNotFound" => (
            "Alibaba Cloud does not find the group, although the endpoint's list shows it attached",
            "Check in the console whether the group still exists. If it does, send the request again; if it does \
             not, ask Alibaba Cloud's support to clear the endpoint's list.",
        ),
        "EndpointConnectionOperationDenied" => (
            "The endpoint's connection is being deleted, or its service is gone",
            "Nothing can be changed on this endpoint any more. Delete it if nobody needs it.",
        ),
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" => (
            "Alibaba Cloud forbids the detach in the endpoint's state, twice, although the endpoint reads as at rest",
            "Look at the endpoint in the console for a state or a protection that forbids changes, then send the \
             request again.",
        ),
        "GatewayLoadBalancerNotSupportSecurityGroup" => (
            "The endpoint is of the gateway load balancer type, which has no security groups",
            "Nothing is to be done on the endpoint; tell the sender.",
        ),
        "EndpointServiceDeleted" => (
            "The endpoint's service was deleted",
            "Nothing can be changed on this endpoint any more. Delete it if nobody needs it.",
        ),
        "IdempotenceSignatureMismatch" | "IdempotentParameterMismatch" => (
            "The client_token of the request was used before with other parameters",
            "Send the request with a fresh client_token, or without one.",
        ),
        "RegionNotFound" | "UnsupportedRegion" => (
            "Alibaba Cloud does not know the region, or does not offer PrivateLink there",
            "Correct region_id and send the request again.",
        ),
        "InvalidApi.NotFound" => (
            "The service at this address does not know the call",
            "Check region_id, and PRIVATELINK_ENDPOINT_URL if it is set: it must lead to PrivateLink 2020-04-15.",
        ),
        _ if refusal.is_denial => {
            return (
                format!("Alibaba Cloud's access control denies {action} to the worker's keys"),
                format!(
                    "Grant {} to the RAM user or role, then send the request again; what came through the queue waits \
                     in the dead-letter queue to be redriven. An explicit deny, or an endpoint with ProtectedEnabled \
                     on, refuses in spite of a grant.",
                    grant(refusal.action)
                ),
            );
        }
        _ => {
            return (
                format!("Alibaba Cloud refused {action}"),
                "Read Alibaba Cloud's own message, correct the request, and send it again. A code that should be \
                 retried instead is worth a report to this project."
                    .to_owned(),
            );
        }
    };
    (meaning.to_owned(), advice.to_owned())
}

/// The RAM action that a call needs, and on what.
fn grant(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::ListSecurityGroups) => {
            "privatelink:ListVpcEndpointSecurityGroups on acs:privatelink:{region}:{account}:vpcendpoint/{endpoint}"
        }
        Some(Action::ListEndpoints) => {
            "privatelink:ListVpcEndpoints on acs:privatelink:{region}:{account}:vpcendpoint/{endpoint}"
        }
        Some(Action::Detach) | None => {
            "privatelink:DetachSecurityGroupFromVpcEndpoint on \
             acs:privatelink:{region}:{account}:vpcendpoint/{endpoint} and \
             acs:ecs:{region}:{account}:securitygroup/{group}"
        }
    }
}

/// What usually keeps a detach from its end, by the last fault.
fn unfinished_advice(account: &Account) -> &'static str {
    match account.fault_last.as_ref().map(|(_, kind)| kind) {
        Some(Kind::Credentials | Kind::CredentialsExpired) => {
            "The worker's Alibaba Cloud keys are refused: the error lines of its log say which setting to change."
        }
        Some(Kind::NoCredentials) => {
            "The worker had no keys for Alibaba Cloud: the error lines of its log say why and which setting to change."
        }
        Some(Kind::Clock) => "The worker's clock differs from Alibaba Cloud's: find out why.",
        Some(Kind::Locked | Kind::Connecting | Kind::WrongState | Kind::StillRunning) => {
            "Somebody else keeps changing the endpoint: find out who holds it."
        }
        Some(Kind::Throttled) => {
            "The account's quota for this region is used up: find out who calls so often, or ask for more."
        }
        Some(Kind::Unanswered) => {
            "Alibaba Cloud gave no usable answer: check that region_id exists, then the function's way to the \
             internet and what stands in it."
        }
        Some(Kind::Transient) => "Alibaba Cloud is busy or broken: look at its status page.",
        _ => "Look at the endpoint in Alibaba Cloud's console for what holds it.",
    }
}

/// The runbook's section for a code, as the anchor of its heading.
fn section(code: &str) -> String {
    let heading = match code {
        "InvalidRequest"
        | "RegionNotAllowed"
        | "ProtectedSecurityGroup"
        | "ProtectedEndpoint"
        | "EndpointMustContainSecurityGroup"
        | "FinancialLocked"
        | "DryRunNotHonoured"
        | "DeadlinePassed"
        | "CompletionNotPublished"
        | "InvocationTimeUsedUp"
        | "EndpointNotFound"
        | "SecurityGroupNotFound"
        | "EndpointConnectionOperationDenied"
        | "EndpointOperationDenied"
        | "GatewayLoadBalancerNotSupportSecurityGroup"
        | "EndpointServiceDeleted"
        | "IdempotentParameterMismatch"
        | "RegionNotFound"
        | "NoPermission" => code,
        "IncorrectStatus.VpcEndpoint" => "EndpointOperationDenied",
        "IdempotenceSignatureMismatch" => "IdempotentParameterMismatch",
        "UnsupportedRegion" => "RegionNotFound",
        _ if code.starts_with("Forbidden.") => "NoPermission",
        _ => "any-other-code",
    };
    heading.to_ascii_lowercase()
}
