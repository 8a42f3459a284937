//! A completion event as chat shows it, parsed once.
//!
//! The event is trusted only after its reply address was verified: everyone with access to the request queue can cause one
//! with the trigger `chat`.

use std::time::Duration;

use serde::Deserialize;

use crate::json::Object;
use crate::request::{EndpointId, Metadata, RegionId, RequestId, SecurityGroupId};

/// How a request ended, by its name in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeName {
    Detached,
    AlreadyDetached,
    DryRunPassed,
    EndpointGone,
    Refused,
    Rejected,
    Unconfirmed,
}

impl OutcomeName {
    pub const ALL: [Self; 7] = [
        Self::Detached,
        Self::AlreadyDetached,
        Self::DryRunPassed,
        Self::EndpointGone,
        Self::Refused,
        Self::Rejected,
        Self::Unconfirmed,
    ];
}

/// The parts of an event's `detail` that chat shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatCompletion {
    pub request_id: RequestId,
    pub outcome: OutcomeName,
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub security_group_id: SecurityGroupId,
    /// How the request was carried out.
    pub dry_run: bool,
    pub reason: Option<ChatReason>,
    /// The endpoint's groups, as first read.
    pub groups_before: Option<Vec<String>>,
    /// The endpoint's groups, as last read.
    pub groups_after: Option<Vec<String>>,
    /// The configured replacement of the endpoint's last group, if it was attached or found, or if a dry run showed that it can
    /// be attached.
    pub replacement: Option<SecurityGroupId>,
    /// When the detach was confirmed, in the form of RFC 3339.
    pub confirmed_at: Option<String>,
    /// From accepted to completed.
    pub duration: Duration,
    pub deliveries: u32,
    pub metadata: Metadata,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChatReason {
    pub code: String,
    /// In English; it may contain texts of Alibaba Cloud.
    pub message: String,
    /// The section of the runbook.
    pub runbook: String,
}

#[derive(Deserialize)]
struct Detail {
    request_id: String,
    outcome: OutcomeName,
    trigger: String,
    dry_run: bool,
    region_id: String,
    endpoint_id: String,
    security_group_id: String,
    reason: Option<ChatReason>,
    evidence: Evidence,
    effort: Effort,
    duration_ms: u64,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Evidence {
    security_groups_before: Option<Vec<String>>,
    security_groups_after: Option<Vec<String>>,
    replacement_security_group_id: Option<String>,
    confirmed_at: Option<String>,
}

#[derive(Deserialize)]
struct Effort {
    deliveries: u32,
}

impl ChatCompletion {
    /// The detail of a completion event with the trigger `chat`; `None` if it is not one.
    #[must_use]
    pub fn parse(detail: &str) -> Option<Self> {
        let Object(detail): Object<Detail> = serde_json::from_str(detail).ok()?;
        if detail.trigger != "chat" {
            return None;
        }
        let replacement = match detail.evidence.replacement_security_group_id {
            None => None,
            Some(id) => Some(SecurityGroupId::parse(&id)?),
        };
        Some(Self {
            request_id: RequestId::parse(&detail.request_id)?,
            outcome: detail.outcome,
            region_id: RegionId::parse(&detail.region_id)?,
            endpoint_id: EndpointId::parse(&detail.endpoint_id)?,
            security_group_id: SecurityGroupId::parse(&detail.security_group_id)?,
            dry_run: detail.dry_run,
            reason: detail.reason,
            groups_before: detail.evidence.security_groups_before,
            groups_after: detail.evidence.security_groups_after,
            replacement,
            confirmed_at: detail.evidence.confirmed_at,
            duration: Duration::from_millis(detail.duration_ms),
            deliveries: detail.effort.deliveries,
            metadata: detail.metadata,
        })
    }

    /// The replacement that would be attached before the detach, because a dry run showed the requested group to be the
    /// endpoint's last one.
    #[must_use]
    pub fn replacement_due(&self) -> Option<&SecurityGroupId> {
        let is_passed = self.dry_run && self.outcome == OutcomeName::DryRunPassed;
        self.replacement.as_ref().filter(|id| is_passed && !has(self.groups_after.as_ref(), id))
    }

    /// The replacement, if it was attached between the first and the last list.
    #[must_use]
    pub fn replacement_attached(&self) -> Option<&SecurityGroupId> {
        let [before, after] = [&self.groups_before, &self.groups_after].map(Option::as_ref);
        self.replacement.as_ref().filter(|id| before.is_some() && !has(before, id) && has(after, id))
    }
}

fn has(groups: Option<&Vec<String>>, id: &SecurityGroupId) -> bool {
    groups.into_iter().flatten().any(|group| group == id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::samples::{self, at};
    use crate::completion::reason::RunbookUrl;
    use crate::completion::{Circumstances, Completion};
    use crate::detach::{Evidence, Ground, Outcome, ReasonCode, Refusal, TimeExpired};
    use crate::request::{FieldError, Rejection, RejectionCode, Subject, Trigger};

    fn outcomes() -> [(Outcome, OutcomeName); 7] {
        let refusal = Refusal {
            code: ReasonCode::SecurityGroupNotAttached,
            action: None,
            message: None,
            ground: Ground::Rule,
            alibaba_code: None,
            lookalike: None,
        };
        let error = FieldError {
            code: RejectionCode::RegionNotAllowed,
            field: "region_id".to_owned(),
            problem: "is not allowed here".to_owned(),
        };
        let rejection = Rejection { code: error.code, errors: vec![error] };
        [
            (Outcome::Detached, OutcomeName::Detached),
            (Outcome::AlreadyDetached, OutcomeName::AlreadyDetached),
            (Outcome::DryRunPassed, OutcomeName::DryRunPassed),
            (Outcome::EndpointGone, OutcomeName::EndpointGone),
            (Outcome::Refused(refusal), OutcomeName::Refused),
            (Outcome::Rejected(rejection), OutcomeName::Rejected),
            (Outcome::Unconfirmed(TimeExpired::Deadline), OutcomeName::Unconfirmed),
        ]
    }

    /// The detail that the worker publishes.
    fn detail(outcome: &Outcome, evidence: &Evidence, trigger: Trigger) -> serde_json::Value {
        let request = samples::request();
        let subject = Subject {
            region_id: Some(request.region_id),
            endpoint_id: Some(request.endpoint_id),
            security_group_id: Some(request.security_group_id),
            request_id: Some(request.id.clone()),
            dry_run: Some(false),
            deadline: None,
            metadata: Metadata::from([("ticket".to_owned(), "CHG-7".to_owned())]),
        };
        let circumstances = Circumstances {
            trigger,
            deliveries: 2,
            accepted_at: at(1_795_330_800),
            started_at: at(1_795_330_801),
            confirmed_at: Some(at(1_795_330_812)),
            completed_at: at(1_795_330_813),
        };
        let runbook = RunbookUrl::default();
        let completion = Completion::new(outcome, evidence, request.id, &subject, circumstances, &runbook);
        serde_json::to_value(completion.detail).unwrap()
    }

    fn parse(detail: &serde_json::Value) -> Option<ChatCompletion> {
        ChatCompletion::parse(&detail.to_string())
    }

    #[test]
    fn every_outcome_of_the_worker_is_parsed() {
        assert_eq!(outcomes().map(|(_, name)| name), OutcomeName::ALL);
        let mut evidence = Evidence::default();
        evidence.security_groups_before = Some(vec!["sg-a".to_owned(), "sg-b".to_owned()]);
        evidence.security_groups_after = Some(vec!["sg-b".to_owned()]);
        evidence.replacement_security_group_id = SecurityGroupId::parse("sg-b");
        for (outcome, name) in outcomes() {
            let detail = detail(&outcome, &evidence, Trigger::Chat);
            let parsed = parse(&detail).unwrap();
            let text = |field: &str| detail["reason"][field].as_str().unwrap_or_default().to_owned();
            let reason = detail["reason"].is_object().then(|| ChatReason {
                code: text("code"),
                message: text("message"),
                runbook: text("runbook"),
            });
            let expected = ChatCompletion {
                request_id: samples::request().id,
                outcome: name,
                region_id: samples::request().region_id,
                endpoint_id: samples::request().endpoint_id,
                security_group_id: samples::request().security_group_id,
                dry_run: false,
                reason,
                groups_before: evidence.security_groups_before.clone(),
                groups_after: evidence.security_groups_after.clone(),
                replacement: SecurityGroupId::parse("sg-b"),
                confirmed_at: Some("2026-11-22T07:00:12.000Z".to_owned()),
                duration: Duration::from_secs(13),
                deliveries: 2,
                metadata: Metadata::from([("ticket".to_owned(), "CHG-7".to_owned())]),
            };
            assert_eq!(parsed, expected);
            let is_failure =
                matches!(outcome, Outcome::Refused(_) | Outcome::Rejected(_) | Outcome::Unconfirmed(_));
            assert_eq!(parsed.reason.is_some(), is_failure, "{outcome:?}");
        }
    }

    #[test]
    fn event_without_evidence_is_parsed() {
        let parsed = parse(&detail(&Outcome::Detached, &Evidence::default(), Trigger::Chat)).unwrap();
        assert_eq!((parsed.groups_before, parsed.groups_after, parsed.replacement), (None, None, None));
    }

    #[test]
    fn event_of_a_worker_without_replacements_is_parsed() {
        let mut detail = detail(&Outcome::Detached, &Evidence::default(), Trigger::Chat);
        let field = "replacement_security_group_id";
        assert!(detail["evidence"].as_object_mut().unwrap().remove(field).is_some());
        assert_eq!(parse(&detail).unwrap().replacement, None);
        detail["evidence"][field] = "<!channel>".into();
        assert_eq!(parse(&detail), None, "it is no group");
    }

    #[test]
    fn replacement_is_due_after_a_dry_run_and_attached_after_a_detach() {
        let completion = |outcome: &Outcome, dry_run: bool, before: &[&str], after: &[&str]| {
            let mut evidence = Evidence::default();
            let groups = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
            (evidence.security_groups_before, evidence.security_groups_after) =
                (groups(before), groups(after));
            evidence.replacement_security_group_id = SecurityGroupId::parse("sg-s");
            let completion = parse(&detail(outcome, &evidence, Trigger::Chat)).unwrap();
            let completion = ChatCompletion { dry_run, ..completion };
            (completion.replacement_due().is_some(), completion.replacement_attached().is_some())
        };
        let (passed, detached) = (Outcome::DryRunPassed, Outcome::Detached);
        assert_eq!(completion(&passed, true, &["sg-a"], &["sg-a"]), (true, false));
        assert_eq!(completion(&passed, false, &["sg-a"], &["sg-a"]), (false, false), "it was no dry run");
        assert_eq!(
            completion(&passed, true, &["sg-a", "sg-s"], &["sg-a", "sg-s"]),
            (false, false),
            "not the last"
        );
        assert_eq!(completion(&detached, false, &["sg-a"], &["sg-s"]), (false, true));
        assert_eq!(completion(&detached, false, &["sg-a", "sg-s"], &["sg-s"]), (false, false), "found");
        let unconfirmed = Outcome::Unconfirmed(TimeExpired::Deadline);
        assert_eq!(completion(&unconfirmed, false, &["sg-a"], &["sg-a", "sg-s"]), (false, true));
    }

    #[test]
    fn reason_is_parsed_without_what_chat_does_not_show() {
        let mut whole = detail(&outcomes()[4].0, &Evidence::default(), Trigger::Chat);
        whole["reason"].as_object_mut().unwrap().retain(|field, _| field != "advice");
        assert!(parse(&whole).is_some());
    }

    #[test]
    fn event_with_another_trigger_is_not_one_of_chat() {
        let triggers = [Trigger::Queue, Trigger::Webhook, Trigger::Schedule, Trigger::Event, Trigger::Sweep];
        for trigger in triggers {
            assert_eq!(
                parse(&detail(&Outcome::Detached, &Evidence::default(), trigger)),
                None,
                "{trigger:?}"
            );
        }
    }

    #[test]
    fn detail_without_a_field_or_with_another_type_is_not_parsed() {
        let whole = detail(&outcomes()[4].0, &Evidence::default(), Trigger::Chat);
        assert!(parse(&whole).is_some());
        let unused = ["version", "accepted_at", "started_at", "completed_at", "api_request_ids"];
        for field in whole.as_object().unwrap().keys() {
            let mut changed = whole.clone();
            changed[field] = serde_json::json!(-1);
            assert_eq!(parse(&changed).is_some(), unused.contains(&field.as_str()), "{field}");
            changed.as_object_mut().unwrap().remove(field);
            let is_optional = unused.contains(&field.as_str()) || field == "reason";
            assert_eq!(parse(&changed).is_some(), is_optional, "{field}");
        }
        for (field, value) in [
            ("outcome", "Detached"),
            ("region_id", "eu-west-1/x"),
            ("endpoint_id", "sg-a"),
            ("security_group_id", "ep-a"),
            ("request_id", "a b"),
        ] {
            let mut changed = whole.clone();
            changed[field] = value.into();
            assert_eq!(parse(&changed), None, "{field}");
        }
        for text in ["", "null", "[]", "{"] {
            assert_eq!(ChatCompletion::parse(text), None, "{text}");
        }
    }
}
