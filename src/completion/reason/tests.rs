//! The reasons about a replacement: why it was not attached, and what a failure says about one that stays.

use super::*;
use crate::alibaba::error::CallError;
use crate::request::SecurityGroupId;

/// The reason of a call that Alibaba Cloud refused with this HTTP status and code.
fn refused(action: Action, status: u16, code: &str, evidence: &Evidence) -> Reason {
    let body = format!(r#"{{"Code":"{code}","Message":"No."}}"#);
    let (error, _) = CallError::read(action, status, body.as_bytes(), None, str::to_owned, None);
    Reason::of(&Outcome::Refused(error.into()), evidence, Trigger::Queue).unwrap()
}

/// The evidence of a delivery whose attach was accepted.
fn after_an_attach() -> Evidence {
    let mut evidence = Evidence::default();
    evidence.replacement_security_group_id = SecurityGroupId::parse("sg-spare");
    evidence.attach_accepted = 1;
    evidence
}

#[test]
fn refused_attach_names_the_code_and_what_to_check() {
    for (status, code, advice) in [
        (400, "SecurityGroupNotFound", "REPLACEMENT_SECURITY_GROUPS"),
        (400, "InvalidParameter", "REPLACEMENT_SECURITY_GROUPS"),
        (400, "NeverSeenBefore", "redriven"),
        (400, "AddSecurityGroupNotSupportWhenHaveNoSg", "create the endpoint again"),
        (400, "EndpointOperationDenied", "prevents changes"),
        (400, "EndpointServiceDeleted", "can no longer be changed"),
        (403, "NoPermission", "privatelink:AttachSecurityGroupToVpcEndpoint on"),
        (403, "Forbidden.RAM", "securitygroup/{replacement}"),
    ] {
        let reason = refused(Action::Attach, status, code, &Evidence::default());
        assert_eq!(reason.code, ReasonCode::ReplacementNotAttached, "{code}");
        assert_eq!(reason.section, "replacementnotattached", "{code}");
        let expected = format!(
            "The group is the endpoint's last one, and Alibaba Cloud refuses to attach its replacement: {code}. Alibaba \
             Cloud says: No"
        );
        assert_eq!(reason.message, expected);
        assert!(reason.advice.contains(advice) && !reason.advice.contains("{grant}"), "{}", reason.advice);
    }
}

#[test]
fn failure_after_an_accepted_attach_says_that_it_is_not_undone() {
    const STAYS: &str = ". The attach of the replacement sg-spare was accepted and is not undone";
    let mut evidence = after_an_attach();
    let denied = |evidence: &Evidence| refused(Action::Detach, 403, "NoPermission", evidence).message;
    let expired = |evidence: &Evidence| {
        let outcome = Outcome::Unconfirmed(TimeExpired::Deadline);
        Reason::of(&outcome, evidence, Trigger::Queue).unwrap().message
    };
    for message in [denied(&evidence), expired(&evidence)] {
        assert!(message.ends_with(STAYS), "{message}");
    }
    // The endpoint had the group before.
    evidence.attach_accepted = 0;
    for message in [denied(&evidence), expired(&evidence)] {
        assert!(!message.contains("sg-spare"), "{message}");
    }
}

#[test]
fn ignored_dry_run_of_an_attach_is_about_the_replacement() {
    let reason = |action| {
        let refusal = Refusal {
            code: ReasonCode::DryRunIgnored,
            action: Some(action),
            message: None,
            ground: Ground::Rule,
            alibaba_code: None,
            lookalike: None,
        };
        Reason::of(&Outcome::Refused(refusal), &after_an_attach(), Trigger::Queue).unwrap()
    };
    let attach = reason(Action::Attach);
    assert!(attach.message.ends_with("so the replacement may be attached now"), "{}", attach.message);
    assert!(attach.advice.contains("detach the replacement again"), "{}", attach.advice);
    let detach = reason(Action::Detach);
    assert!(detach.message.ends_with("so the group may be detached now"), "{}", detach.message);
    assert_eq!((attach.section, detach.section), ("dryrunignored".to_owned(), "dryrunignored".to_owned()));
}
