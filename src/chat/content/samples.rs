//! Notices for tests.

use std::time::Duration;

use super::super::command::Ticket;
use super::super::completion::{ChatCompletion, ChatReason, OutcomeName};
use super::super::decision::{ClickNotice, ClickResult};
use super::super::identity::{Conversation, MessageId, UserId};
use super::super::notice::Notice;
use super::super::policy::NotAllowed;
use super::super::request::{ChatRequest, Phase};
use super::super::texts::Language;
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};

pub(in super::super) fn request(phase: Phase, language: Language) -> ChatRequest {
    let is_outcome = phase == Phase::Outcome;
    ChatRequest {
        conversation: Conversation::parse("slack:T04TEAM/C04CHANNEL").unwrap(),
        thread: is_outcome.then(|| MessageId::parse("1795330800.000100").unwrap()),
        requester: UserId::parse("U04REQUESTER").unwrap(),
        approver: is_outcome.then(|| UserId::parse("U04APPROVER").unwrap()),
        language,
        phase,
        id: RequestId::parse("slack-0123456789abcdef01234567").unwrap(),
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-a_b").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-old").unwrap(),
        dry_run: false,
        expires_at: 1_795_334_400,
        deadline: Some(Duration::from_hours(2)),
        ticket: Ticket::parse("CHG-1234"),
    }
}

/// The completion of a request: `code` is that of its failure, and its section.
pub(in super::super) fn completion(
    request: &ChatRequest,
    outcome: OutcomeName,
    code: Option<(&str, &str)>,
) -> ChatCompletion {
    let groups = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let is_detached = outcome == OutcomeName::Detached;
    ChatCompletion {
        request_id: request.request_id(),
        outcome,
        region_id: request.region_id.clone(),
        endpoint_id: request.endpoint_id.clone(),
        security_group_id: request.security_group_id.clone(),
        dry_run: request.phase == Phase::Preview,
        reason: code.map(|(code, section)| ChatReason {
            code: code.to_owned(),
            message: format!("What {code} means. Alibaba Cloud says: no <!channel> & *no*"),
            runbook: format!("https://example.com/runbook.md?a=1&b=2#{section}"),
        }),
        groups_before: groups(&["sg-old", "sg-new"]),
        groups_after: if is_detached { groups(&["sg-new"]) } else { groups(&["sg-old", "sg-new"]) },
        replacement: None,
        confirmed_at: is_detached.then(|| "2026-11-22T07:00:12.431Z".to_owned()),
        duration: Duration::from_millis(12_431),
        deliveries: 1,
        metadata: [].into(),
    }
}

/// The completion of a request for the endpoint's last group, which `sg-spare` replaces.
pub(in super::super) fn replaced(request: &ChatRequest, outcome: OutcomeName) -> ChatCompletion {
    let groups = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let is_detached = outcome == OutcomeName::Detached;
    ChatCompletion {
        groups_before: groups(&["sg-old"]),
        groups_after: groups(if is_detached { &["sg-spare"] } else { &["sg-old"] }),
        replacement: SecurityGroupId::parse("sg-spare"),
        ..completion(request, outcome, None)
    }
}

pub(in super::super) fn click(result: ClickResult, language: Language) -> Notice {
    Notice::Click(ClickNotice {
        result,
        conversation: Conversation::parse("slack:T04TEAM/C04CHANNEL").unwrap(),
        message: MessageId::parse("1795330800.000100"),
        person: UserId::parse("U04APPROVER").unwrap(),
        language,
        request_id: RequestId::parse("slack-3f0c91d2a47be86015c2d97f"),
    })
}

/// A notice of every kind, with a name.
pub(in super::super) fn notices(language: Language) -> Vec<(&'static str, Notice)> {
    let previewed = request(Phase::Preview, language);
    let approved = request(Phase::Outcome, language);
    let preview = |outcome, code| Notice::Preview {
        completion: completion(&previewed, outcome, code),
        request: previewed.clone(),
    };
    let outcome = |outcome, code| Notice::Outcome {
        completion: completion(&approved, outcome, code),
        request: approved.clone(),
    };
    let last_group = Some(("EndpointMustContainSecurityGroup", "endpointmustcontainsecuritygroup"));
    let deadline = Some(("DeadlineExceeded", "deadlineexceeded"));
    let approval_request = Notice::ApprovalRequest {
        completion: completion(&previewed, OutcomeName::DryRunPassed, None),
        request: previewed.clone(),
        button: "the signed value".to_owned(),
    };
    vec![
        ("approval_request", approval_request),
        ("preview_expired", Notice::PreviewExpired { request: previewed.clone() }),
        ("preview: dry_run_passed", preview(OutcomeName::DryRunPassed, None)),
        ("preview: refused", preview(OutcomeName::Refused, last_group)),
        ("preview: unconfirmed", preview(OutcomeName::Unconfirmed, deadline)),
        ("outcome: detached", outcome(OutcomeName::Detached, None)),
        ("outcome: unconfirmed", outcome(OutcomeName::Unconfirmed, deadline)),
        ("approved", click(ClickResult::Approved(approved.clone()), language)),
        ("declined", click(ClickResult::Declined(previewed.clone()), language)),
        ("expired", click(ClickResult::Expired(previewed.clone()), language)),
        ("not_allowed", click(ClickResult::NotAllowed(NotAllowed::Approver), language)),
        (
            "approval_request: last group",
            Notice::ApprovalRequest {
                completion: replaced(&previewed, OutcomeName::DryRunPassed),
                request: previewed.clone(),
                button: "the signed value".to_owned(),
            },
        ),
        (
            "outcome: last group",
            Notice::Outcome {
                completion: replaced(&approved, OutcomeName::Detached),
                request: approved.clone(),
            },
        ),
    ]
}
