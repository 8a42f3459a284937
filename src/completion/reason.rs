//! The reason of a failure, for the operator who reads it: what it means and what to do.
//!
//! Pure. The texts of Alibaba's codes are in [`crate::alibaba::codes`]; here are those of this project's own.

use crate::alibaba::codes;
use crate::alibaba::privatelink::Action;
use crate::detach::assessment::Presence;
use crate::detach::{Evidence, Ground, Outcome, ReasonCode, Refusal, TimeExpired};
use crate::request::{Rejection, RejectionCode, Trigger};

/// Where the operators of this deployment find the runbook: an address, or a path in this project's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookUrl(String);

/// The path in this project's repository.
impl Default for RunbookUrl {
    fn default() -> Self {
        Self("docs/runbook.md".to_owned())
    }
}

impl RunbookUrl {
    /// What a URL looks like; it completes the sentence "the variable …".
    pub const RULE: &str = "must be 1 to 512 printable ASCII characters without spaces and without #";

    /// A URL without an anchor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_url =
            (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        is_url.then(|| Self(text.to_owned()))
    }

    /// The address of one section.
    #[must_use]
    pub fn section(&self, anchor: &str) -> String {
        format!("{}#{anchor}", self.0)
    }
}

/// A failure explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: ReasonCode,
    /// What it means here.
    pub message: String,
    /// What the operator does about it.
    pub advice: String,
    /// The anchor of the runbook's section.
    pub section: String,
}

impl Reason {
    fn new(code: ReasonCode, message: impl Into<String>, advice: impl Into<String>) -> Self {
        let section = code.as_str().to_ascii_lowercase();
        Self { code, message: message.into(), advice: advice.into(), section }
    }

    /// Why an outcome of a request with this trigger is a failure; `None` if it is a success.
    #[must_use]
    pub fn of(outcome: &Outcome, evidence: &Evidence, trigger: Trigger) -> Option<Self> {
        match outcome {
            Outcome::Detached | Outcome::AlreadyDetached | Outcome::DryRunPassed | Outcome::EndpointGone => {
                None
            }
            Outcome::Refused(refusal) => Some(Self::of_refusal(refusal, evidence)),
            Outcome::Rejected(rejection) => Some(Self::of_rejection(rejection)),
            Outcome::Unconfirmed(time) => Some(Self::of_expired_time(*time, evidence, trigger)),
        }
    }

    fn of_rejection(rejection: &Rejection) -> Self {
        let advice = match rejection.code {
            RejectionCode::InvalidRequest => {
                "Correct the fields named in the message and repeat the request (a webhook with a new webhook-id, a \
                 queue message with a new deduplication id). A request from the queue is unchanged in the \
                 dead-letter queue."
            }
            RejectionCode::RegionNotAllowed => {
                "If this region should be allowed, add it to ALLOWED_REGIONS and repeat the request (a webhook with \
                 a new webhook-id, a queue message with a new deduplication id); otherwise correct or discard the request."
            }
            RejectionCode::ProtectedEndpoint => {
                "This deployment never changes the endpoint. If it should, remove it from PROTECTED_ENDPOINTS and \
                 repeat the request (a webhook with a new webhook-id, a queue message with a new deduplication id); \
                 otherwise find out who sent the request."
            }
            RejectionCode::ProtectedSecurityGroup => {
                "This deployment never detaches the group. If it should, remove it from PROTECTED_SECURITY_GROUPS \
                 and repeat the request (a webhook with a new webhook-id, a queue message with a new deduplication \
                 id); otherwise find out who sent the request."
            }
        };
        Self::new(rejection.code.into(), rejection.to_string(), advice)
    }

    fn of_refusal(refusal: &Refusal, evidence: &Evidence) -> Self {
        let (section, mut message, advice) = explain(refusal);
        if let Some(theirs) = &refusal.message {
            message = format!("{message}. Alibaba Cloud says: {}", theirs.trim_end_matches('.'));
        }
        if refusal.code != ReasonCode::DryRunIgnored {
            if evidence.detach_accepted > 0 {
                message
                    .push_str(". An earlier detach was accepted, so the group may be detached nevertheless");
            }
            message.push_str(&replacement_that_stays(evidence));
        }
        Self { code: refusal.code.clone(), message, advice, section }
    }

    fn of_expired_time(time: TimeExpired, evidence: &Evidence, trigger: Trigger) -> Self {
        let (code, meaning, next) = match time {
            TimeExpired::Deadline if trigger == Trigger::Cli => (
                ReasonCode::DeadlineExceeded,
                "The timeout passed before the detach was confirmed",
                "Then run the command again to continue.",
            ),
            TimeExpired::Deadline => (
                ReasonCode::DeadlineExceeded,
                "The deadline passed before the detach was confirmed",
                "Then redrive the dead-letter queue: its copy keeps the request's id and gets a new deadline.",
            ),
            TimeExpired::Invocation => (
                ReasonCode::InvocationTimeout,
                "The invocation's time expired before the detach was confirmed",
                "Then invoke again, or send the request through the queue, which waits longer.",
            ),
        };
        let group = evidence.group.map_or("never read", |presence| match presence {
            Presence::Absent => "absent, but not confirmed",
            listed @ Presence::Listed(_) => listed.as_str(),
        });
        let endpoint = evidence.endpoint_status.as_ref().map_or("never read", |status| status.as_str());
        let error = evidence.error_last.as_ref().map_or_else(
            || "none".to_owned(),
            |(code, _)| {
                let row = codes::row(&code.name());
                if row.is_retried() { format!("{code} ({})", row.meaning) } else { code.to_string() }
            },
        );
        let message = format!(
            "{meaning}. In the last delivery: group {group}, endpoint {endpoint}; detaches accepted: {}; last error: {error}{}",
            evidence.detach_accepted,
            replacement_that_stays(evidence)
        );
        let advice = evidence.error_last.as_ref().map_or(codes::CHECK_ENDPOINT, |(_, kind)| kind.advice());
        Self::new(code, message, format!("{advice} {next}"))
    }

    /// The request has its outcome, but the event could not be published; `reason` is why the request failed, if it did.
    #[must_use]
    pub fn of_unpublished(outcome: &str, reason: Option<&ReasonCode>) -> Self {
        let why = reason.map_or(String::new(), |code| format!(" ({code})"));
        let message = format!(
            "The outcome is {outcome}{why}, but its event could not be published before the deadline"
        );
        let advice = if reason == Some(&ReasonCode::DryRunIgnored) {
            "Check the endpoint's groups at once. Do not redrive: Alibaba Cloud carries out dry runs as real calls."
        } else {
            "Check the event bus and the worker's permission events:PutEvents on it, then redrive the dead-letter \
             queue: the worker reads the endpoint again and publishes the event."
        };
        Self::new(ReasonCode::CompletionNotPublished, message, advice)
    }
}

/// The runbook's section about a refusal, what it means, and what to do about it.
fn explain(refusal: &Refusal) -> (String, String, String) {
    let section = refusal.code.as_str().to_ascii_lowercase();
    let action = refusal.action.map_or("the call", Action::name);
    match &refusal.code {
        ReasonCode::FinancialLocked => (
            section,
            "The endpoint is locked because a payment is overdue; retrying does not help".to_owned(),
            "Settle the bill of the account that pays for the endpoint, then repeat the request (a webhook with a \
             new webhook-id, a queue message with a new deduplication id)."
                .to_owned(),
        ),
        ReasonCode::SecurityGroupNotAttached => (
            section,
            match &refusal.lookalike {
                Some(listed) => format!(
                    "The endpoint has no group of this id, but {listed}, which differs only in letter case"
                ),
                None => "The request expects the group on the endpoint, but the endpoint does not have it".to_owned(),
            },
            "Check security_group_id, endpoint_id and region_id at the sender. If the group was detached before, nothing is \
             left to do; otherwise send the correct request."
                .to_owned(),
        ),
        ReasonCode::ReplacementNotAttached => {
            let theirs = refusal.alibaba_code.as_deref().unwrap_or_default();
            let row = codes::row(theirs);
            let message = format!(
                "The group is the endpoint's last one, and Alibaba Cloud refuses to attach its replacement: {theirs}"
            );
            (section, message, advice_about_a_replacement(refusal.ground, row))
        }
        ReasonCode::DryRunIgnored if refusal.action == Some(Action::Attach) => (
            section,
            "Alibaba Cloud responded to a dry run as to a real attach, so the replacement may be attached now"
                .to_owned(),
            "Check the endpoint's groups at once and detach the replacement again if it should not stay. Report this \
             event's api_request_ids to Alibaba Cloud."
                .to_owned(),
        ),
        ReasonCode::DryRunIgnored => (
            section,
            "Alibaba Cloud responded to a dry run as to a real detach, so the group may be detached now".to_owned(),
            "Check the endpoint's groups at once and attach the group again if it should stay. Report this event's \
             api_request_ids to Alibaba Cloud."
                .to_owned(),
        ),
        ReasonCode::Alibaba(_)
        | ReasonCode::EndpointMustContainSecurityGroup
        | ReasonCode::InvalidRequest
        | ReasonCode::RegionNotAllowed
        | ReasonCode::ProtectedSecurityGroup
        | ReasonCode::ProtectedEndpoint
        | ReasonCode::DeadlineExceeded
        | ReasonCode::CompletionNotPublished
        | ReasonCode::InvocationTimeout => {
            let row = match refusal.ground {
                Ground::Denial => &codes::DENIAL,
                Ground::Rule | Ground::UnlistedCode => codes::row(refusal.code.as_str()),
            };
            let fill = |text: &str| text.replace("{action}", action).replace("{grant}", grant(refusal.action));
            (row.runbook.to_owned(), fill(row.meaning), fill(row.advice))
        }
    }
}

/// What to do about the refusal to attach a replacement, with the row of Alibaba's code.
fn advice_about_a_replacement(ground: Ground, row: &codes::Row) -> String {
    const CHECK: &str = "Check the group that REPLACEMENT_SECURITY_GROUPS names for the endpoint's VPC: it must exist, be \
        in this VPC, and be of a type (basic or advanced) that the endpoint accepts.";
    match ground {
        Ground::Denial => codes::DENIAL.advice.replace("{grant}", grant(Some(Action::Attach))),
        Ground::UnlistedCode => format!(
            "{CHECK} Then repeat the request (a webhook with a new webhook-id, a queue message with a new deduplication \
             id); a request from the queue is in the dead-letter queue and can be redriven."
        ),
        // These codes are about the group or a parameter; the other rows are about the endpoint, as for a detach.
        Ground::Rule if matches!(row.runbook, "securitygroupnotfound" | "any-other-code") => format!(
            "{CHECK} Then repeat the request (a webhook with a new webhook-id, a queue message with a new deduplication id)."
        ),
        Ground::Rule => row.advice.to_owned(),
    }
}

/// The end of the message of a failure that leaves the replacement on the endpoint; otherwise empty. An earlier delivery may
/// have attached it.
fn replacement_that_stays(evidence: &Evidence) -> String {
    let Some(replacement) = &evidence.replacement_security_group_id else { return String::new() };
    let mut listed = evidence.security_groups_after.iter().flatten();
    if evidence.attach_accepted > 0 {
        format!(". The attach of the replacement {replacement} was accepted and is not undone")
    } else if listed.any(|id| id == replacement.as_str()) {
        format!(
            ". The endpoint also has the replacement {replacement}, which an earlier delivery or another caller attached"
        )
    } else {
        String::new()
    }
}

/// The RAM action that a call needs, and on which resources.
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
        Some(Action::Attach) => {
            "privatelink:AttachSecurityGroupToVpcEndpoint on \
             acs:privatelink:{region}:{account}:vpcendpoint/{endpoint} and \
             acs:ecs:{region}:{account}:securitygroup/{replacement}"
        }
    }
}

#[cfg(test)]
mod tests;
