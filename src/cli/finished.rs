//! A request of this program, and its result.

use std::borrow::Cow;
use std::time::Instant;

use super::exit::Exit;
use super::output::results;
use super::session::Session;
use crate::alibaba::privatelink::Target;
use crate::clock::shifted;
use crate::completion::{Circumstances, Completion, Detail};
use crate::detach::{Evidence, Outcome};
use crate::random::Random;
use crate::request::{
    self, DetachRequest, Parsed, Rejection, Replacements, RequestId, Rules, SecurityGroupId, Trigger,
};

/// A request with its id.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) id: RequestId,
    pub(super) parsed: Parsed,
    /// The groups that it may attach in place of an endpoint's last one.
    pub(super) replacements: Replacements,
}

impl Named {
    /// The request of a detach, as the worker would parse it.
    pub(super) fn new(target: &Target, dry_run: bool, id: RequestId, rules: &Rules) -> Self {
        let body = serde_json::json!({
            "region_id": target.region_id,
            "endpoint_id": target.endpoint_id,
            "security_group_id": target.security_group_id,
            "dry_run": dry_run,
        });
        let (parsed, replacements) = (request::parse(&body.to_string(), rules), rules.replacements.clone());
        Self { id, parsed, replacements }
    }

    /// The same request, limited to the replacement that the operator was shown.
    pub(super) fn limited_to(self, replacement: Option<&SecurityGroupId>) -> Self {
        let replacements = self.replacements.only(replacement);
        Self { replacements, ..self }
    }

    /// What is known about a request that was begun and did not end: its evidence, unless a call was still in flight.
    pub(super) fn unfinished(&self, evidence: Option<&Evidence>) -> String {
        let state: Cow<'_, str> = match evidence {
            Some(evidence) if evidence.detach_accepted > 0 => "detach accepted, not confirmed yet".into(),
            Some(evidence) if evidence.detach_calls > 0 => {
                "detach requested; it is not known whether it was accepted".into()
            }
            Some(Evidence { attach_accepted: 1.., replacement_security_group_id: Some(id), .. }) => {
                format!("the replacement {id} was attached, or is attaching; no detach requested yet").into()
            }
            Some(evidence) if evidence.attach_calls > 0 => {
                "the attach of the replacement was requested; it is not known whether it was accepted; no detach requested yet".into()
            }
            Some(_) => "read; no detach requested yet".into(),
            None if self.replacements.is_empty() => {
                "a call got no response, so the detach may have been accepted".into()
            }
            None => "a call got no response, so the attach or the detach may have been accepted".into(),
        };
        let label = self.parsed.result.as_ref().map(label).unwrap_or_default();
        format!("{label}: {state}; run the command again to continue")
    }
}

/// A random id, which no other request has.
pub(super) fn random_id() -> RequestId {
    RequestId::from_source(&format!("cli-{:032x}", Random::System.u128()))
}

/// The endpoint and the group, as messages name a detach.
pub(super) fn label(request: &DetachRequest) -> String {
    format!("{} {}", request.endpoint_id, request.security_group_id)
}

/// A request that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) outcome: Outcome,
    /// The detail of its completion event.
    pub(super) detail: Box<Detail>,
}

impl Finished {
    /// A request that began at `began` and ends now.
    pub(super) fn new(
        named: &Named,
        outcome: Outcome,
        evidence: &Evidence,
        began: Instant,
        session: &Session,
    ) -> Self {
        let Session { cloud, clock, config, .. } = session;
        // All times are from the same clock, corrected by the responses.
        let time = |at| shifted(clock.wall_of(at), cloud.clock_ahead());
        let circumstances = Circumstances {
            trigger: Trigger::Cli,
            deliveries: 1,
            accepted_at: time(began),
            started_at: time(began),
            confirmed_at: evidence.confirmed_at.map(time),
            completed_at: time(clock.now()),
        };
        let (id, subject) = (named.id.clone(), &named.parsed.subject);
        let completion = Completion::new(&outcome, evidence, id, subject, circumstances, &config.runbook_url);
        Self { outcome, detail: Box::new(completion.detail) }
    }

    /// A request that is not valid or not allowed here, so that nothing is called.
    pub(super) fn rejected(named: &Named, rejection: &Rejection, session: &Session) -> Self {
        let outcome = Outcome::Rejected(rejection.clone());
        Self::new(named, outcome, &Evidence::default(), session.clock.now(), session)
    }

    pub(super) fn exit(&self) -> Exit {
        Exit::from(&self.outcome)
    }

    /// The outcome, the code of a failure, and the group that was attached.
    pub(super) fn shown(&self) -> String {
        let Detail { outcome, reason, .. } = &*self.detail;
        let reason = reason.as_ref().map_or(String::new(), |reason| format!(" ({})", reason.code));
        let replacement =
            results::replacement(&self.detail).map_or(String::new(), |text| format!(", {text}"));
        format!("{outcome}{reason}{replacement}")
    }
}
