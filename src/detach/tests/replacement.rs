//! The replacement of a last group: every response around it, and one scenario for each rule.

use super::*;

fn alone() -> [SecurityGroup; 1] {
    [group(OURS, GroupStatus::Attached)]
}

fn beside_spare(status: GroupStatus) -> [SecurityGroup; 2] {
    [group(OURS, GroupStatus::Attached), group(SPARE, status)]
}

fn spare() -> [SecurityGroup; 1] {
    [group(SPARE, GroupStatus::Attached)]
}

#[expect(clippy::unnecessary_wraps, reason = "its type is that of the errors beside it")]
fn accepted(write: Write) -> Result<Response, CallError> {
    Ok(Response::Accepted(write))
}

/// Reads until the next step is a write, and returns which.
fn read_until_write(scenario: &mut Scenario, list: &[SecurityGroup]) -> Action {
    for _ in 0..100 {
        match &scenario.step {
            Step::Call { call, .. } if call.action().write().is_some() => return call.action(),
            _ => scenario.read(list, endpoint("Active")),
        };
    }
    panic!("no write follows")
}

fn refusal_of(scenario: Scenario) -> Refusal {
    match scenario.end() {
        Outcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_response_in_the_middle_of_a_replacement_keeps_the_rules() {
    let (alone, attaching) = (|| groups(&alone()), || groups(&beside_spare(GroupStatus::Attaching)));
    let (attached, stable) =
        (|| groups(&beside_spare(GroupStatus::Attached)), || endpoints(&[endpoint("Active")]));
    let refused = |code| error(Action::Attach, 400, code);
    let attach = || vec![alone(), stable(), accepted(Write::Attach)];
    let with = |rest: Vec<_>| [attach(), rest].concat();
    let beginnings = [
        attach(),
        with(vec![attaching(), endpoints(&[endpoint("Pending")])]),
        with(vec![attaching(), stable()]),
        with(vec![attaching(), stable(), alone(), stable()]),
        with(vec![attached(), stable()]),
        with(vec![attached(), stable(), alone(), stable(), timeout(Action::Attach)]),
        with(vec![attached(), stable(), attached(), stable(), accepted(Write::Detach)]),
        with(vec![attached(), stable(), attached(), stable(), timeout(Action::Detach)]),
        vec![alone(), stable(), timeout(Action::Attach)],
        vec![alone(), stable(), refused("OperationConflict")],
        vec![
            alone(),
            stable(),
            refused("EndpointOperationDenied"),
            alone(),
            stable(),
            refused("EndpointLocked"),
        ],
        vec![attached(), stable(), timeout(Action::Detach), alone(), stable(), accepted(Write::Attach)],
    ];
    let mut outcomes = HashSet::new();
    for beginning in beginnings {
        let ends = walk_after(&beginning, true, &mut outcomes);
        assert!(ends > 100, "{ends} paths");
    }
    assert!(
        ["detached", "endpoint_gone", "refused", "unconfirmed"].iter().all(|name| outcomes.contains(name))
    );
}

#[test]
fn last_group_is_replaced_and_then_detached() {
    let mut scenario = Scenario::with_replacement(false, Some("mine"));
    scenario.read(&alone(), endpoint("Active"));
    let attach = scenario.token();
    assert_ne!(attach, "mine", "the sender's token is for the detach");
    scenario.respond(accepted(Write::Attach));
    scenario.read(&beside_spare(GroupStatus::Attaching), endpoint("Pending"));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Pending"));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    let waited = scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    assert!(waited >= Duration::from_secs(1), "a second read confirms the first: {waited:?}");
    assert_eq!(scenario.token(), "mine");
    scenario.respond(accepted(Write::Detach));
    scenario.read(&spare(), endpoint("Active"));
    let evidence = scenario.checker.detach.evidence().clone();
    assert_eq!(scenario.end(), Outcome::Detached);
    assert_eq!((evidence.attach_accepted, evidence.detach_calls), (1, 1));
    let before = vec![OURS.to_owned()];
    assert_eq!(evidence.security_groups_before, Some(before));
    assert_eq!(evidence.security_groups_after, Some(vec![SPARE.to_owned()]));
    assert_eq!(evidence.replacement_security_group_id.unwrap().as_str(), SPARE);
}

#[test]
fn later_delivery_continues_after_an_attach_by_reading() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&beside_spare(GroupStatus::Attaching), endpoint("Active"));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(accepted(Write::Detach));
    scenario.read(&spare(), endpoint("Active"));
    let evidence = scenario.checker.detach.evidence().clone();
    assert_eq!(scenario.end(), Outcome::Detached);
    assert_eq!(evidence.attach_accepted, 0);
    assert_eq!(evidence.replacement_security_group_id.unwrap().as_str(), SPARE, "it was found");
}

#[test]
fn last_group_is_refused_where_no_replacement_is_for_it() {
    let elsewhere = Endpoint { vpc_id: Some("vpc-b".to_owned()), ..endpoint("Active") };
    let mut other_vpc = Scenario::with_replacement(false, None);
    other_vpc.read(&alone(), elsewhere);
    assert_eq!(code_of(other_vpc.end()), "EndpointMustContainSecurityGroup");

    let mut itself = Scenario::with_replacement(false, None);
    let body =
        serde_json::json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": SPARE });
    let request = request::parse(&body.to_string(), &Rules::default()).result.unwrap();
    let (limits, jitter) = (Limits::default(), fastrand::Rng::with_seed(1));
    let deadline = itself.checker.deadline;
    let mut detach = Detach::new(&request, &replacements(true), true, deadline, limits, 1, jitter);
    let now = itself.checker.now;
    detach.start(now);
    for response in [groups(&spare()), endpoints(&[endpoint("Active")])] {
        itself.step = detach.next(CallResult { api_request_id: None, result: response }, now);
    }
    let Step::Finish(outcome) = itself.step else { panic!("not ended") };
    assert_eq!(code_of(outcome), "EndpointMustContainSecurityGroup");
    assert_eq!(detach.evidence().replacement_security_group_id, None);
}

#[test]
fn record_without_a_vpc_is_read_again() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), without_vpc());
    scenario.read(&alone(), endpoint("Active"));
    scenario.respond(accepted(Write::Attach));
}

#[test]
fn replacement_is_read_twice_although_a_record_names_no_vpc() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), endpoint("Active"));
    scenario.respond(accepted(Write::Attach));
    scenario.read(&beside_spare(GroupStatus::Attached), without_vpc());
    assert!(matches!(scenario.step, Step::Call { call: Call::ListSecurityGroups { .. }, .. }));
    scenario.read(&beside_spare(GroupStatus::Attached), without_vpc());
    scenario.respond(accepted(Write::Detach));
    scenario.read(&spare(), without_vpc());
    assert_eq!(scenario.end(), Outcome::Detached);
}

#[test]
fn dry_run_of_a_last_group_checks_the_attach_alone() {
    let mut passed = Scenario::with_replacement(true, None);
    passed.read(&alone(), endpoint("Active"));
    passed.respond(error(Action::Attach, 400, "DryRunOperation"));
    let evidence = passed.checker.detach.evidence().clone();
    assert_eq!(passed.end(), Outcome::DryRunPassed);
    assert_eq!((evidence.attach_calls, evidence.detach_calls, evidence.attach_accepted), (1, 0, 0));
    assert_eq!(evidence.security_groups_after, Some(vec![OURS.to_owned()]));
    assert_eq!(evidence.replacement_security_group_id.unwrap().as_str(), SPARE, "what would be attached");

    let mut ignored = Scenario::with_replacement(true, None);
    ignored.read(&alone(), endpoint("Active"));
    ignored.respond(accepted(Write::Attach));
    let refusal = refusal_of(ignored);
    assert_eq!((refusal.code, refusal.action), (ReasonCode::DryRunIgnored, Some(Action::Attach)));
}

#[test]
fn refused_replacement_ends_with_alibabas_code() {
    for (code, status, ground) in [
        ("SecurityGroupNotFound", 400, Ground::Rule),
        ("GatewayLoadBalancerNotSupportSecurityGroup", 400, Ground::Rule),
        ("NoPermission", 403, Ground::Denial),
    ] {
        let mut scenario = Scenario::with_replacement(false, None);
        scenario.read(&alone(), endpoint("Active"));
        scenario.respond(error(Action::Attach, status, code));
        let refusal = refusal_of(scenario);
        assert_eq!(refusal.code, ReasonCode::ReplacementNotAttached, "{code}");
        assert_eq!((refusal.alibaba_code.as_deref(), refusal.ground), (Some(code), ground));
    }
    let mut unlisted = Scenario::with_replacement(false, None);
    unlisted.read(&alone(), endpoint("Active"));
    unlisted.respond(error(Action::Attach, 400, "OperationConflict"));
    unlisted.read(&alone(), endpoint("Active"));
    unlisted.respond(error(Action::Attach, 400, "OperationConflict"));
    let refusal = refusal_of(unlisted);
    assert_eq!(refusal.alibaba_code.as_deref(), Some("OperationConflict"));
    assert_eq!((refusal.code, refusal.ground), (ReasonCode::ReplacementNotAttached, Ground::UnlistedCode));
}

#[test]
fn states_that_refuse_an_attach_for_good_are_those_of_a_detach() {
    let locked = Endpoint { business_status: Some(BusinessStatus::FinancialLocked), ..endpoint("Active") };
    let deleted =
        Endpoint { connection_status: Some(ConnectionStatus::ServiceDeleted), ..endpoint("Active") };
    for (code, record, expected) in [
        ("EndpointLocked", locked, "FinancialLocked"),
        ("EndpointConnectionOperationDenied", deleted, "ReplacementNotAttached"),
    ] {
        let mut scenario = Scenario::with_replacement(false, None);
        scenario.read(&alone(), endpoint("Active"));
        scenario.respond(error(Action::Attach, 400, code));
        scenario.read(&alone(), endpoint("Active"));
        scenario.respond(error(Action::Attach, 400, code));
        scenario.read(&alone(), record);
        assert_eq!(code_of(scenario.end()), expected);
    }
    let mut state = Scenario::with_replacement(false, None);
    for _ in 0..2 {
        state.read(&alone(), endpoint("Active"));
        state.respond(error(Action::Attach, 400, "EndpointOperationDenied"));
    }
    state.read(&alone(), endpoint("Active"));
    assert_eq!(code_of(state.end()), "ReplacementNotAttached");
}

#[test]
fn attach_without_effect_is_repeated_with_a_new_token() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), endpoint("Active"));
    let (first, requested) = (scenario.token(), scenario.checker.now);
    scenario.respond(accepted(Write::Attach));
    assert_eq!(read_until_write(&mut scenario, &alone()), Action::Attach);
    let waited = scenario.checker.now - requested;
    assert!((10.0..14.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_ne!(scenario.token(), first);

    // It begins, and fails: two reads without it decide.
    scenario.respond(accepted(Write::Attach));
    scenario.read(&beside_spare(GroupStatus::Attaching), endpoint("Active"));
    scenario.read(&alone(), endpoint("Active"));
    scenario.read(&alone(), endpoint("Active"));
    assert!(matches!(scenario.step, Step::Call { call: Call::Attach { .. }, .. }));
}

#[test]
fn lost_response_to_an_attach_keeps_its_token() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), endpoint("Active"));
    let first = scenario.token();
    scenario.respond(timeout(Action::Attach));
    scenario.read(&alone(), endpoint("Active"));
    assert_eq!(scenario.token(), first);
    scenario.respond(timeout(Action::Attach));
    // The first call was carried out: a second read confirms the first here, too.
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    let waited = scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert!(matches!(scenario.step, Step::Call { call: Call::Detach { .. }, .. }));
    assert_ne!(scenario.token(), first);
}

#[test]
fn replacement_that_disappears_is_attached_again() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), endpoint("Active"));
    scenario.respond(accepted(Write::Attach));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&alone(), endpoint("Active"));
    assert!(matches!(scenario.step, Step::Call { call: Call::Attach { .. }, .. }));
}

#[test]
fn group_that_became_the_last_one_after_the_read_is_replaced() {
    let last = || error(Action::Detach, 400, "EndpointMustContainSecurityGroup");
    for record in [endpoint("Active"), without_vpc()] {
        let mut scenario = Scenario::with_replacement(false, None);
        scenario.read(&pair(GroupStatus::Attached), record);
        scenario.respond(last());
        scenario.read(&alone(), endpoint("Active"));
        scenario.respond(accepted(Write::Attach));
    }

    // A list that lags shows the other group for some seconds more: it is read, and no write is made.
    let mut lagging = Scenario::with_replacement(false, None);
    lagging.read(&pair(GroupStatus::Attached), endpoint("Active"));
    lagging.respond(last());
    let refused = lagging.checker.now;
    while lagging.checker.now < refused + Duration::from_secs(8) {
        lagging.read(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    lagging.read(&alone(), endpoint("Active"));
    lagging.respond(accepted(Write::Attach));

    // Twice, although the list shows another group all the time: no attach could help.
    let mut stuck = Scenario::with_replacement(false, None);
    for _ in 0..2 {
        assert_eq!(read_until_write(&mut stuck, &pair(GroupStatus::Attached)), Action::Detach);
        stuck.respond(last());
    }
    let refused = stuck.checker.now;
    while matches!(stuck.step, Step::Call { .. }) {
        stuck.read(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    assert!(stuck.checker.now - refused >= Duration::from_secs(10));
    assert_eq!(code_of(stuck.end()), "EndpointMustContainSecurityGroup");

    let mut without = Scenario::new(false);
    without.read(&pair(GroupStatus::Attached), endpoint("Active"));
    without.respond(last());
    assert_eq!(code_of(without.end()), "EndpointMustContainSecurityGroup");
}

#[test]
fn refused_detach_after_an_attach_leaves_both_groups_in_the_evidence() {
    let mut scenario = Scenario::with_replacement(false, None);
    scenario.read(&alone(), endpoint("Active"));
    scenario.respond(accepted(Write::Attach));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&beside_spare(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 403, "NoPermission"));
    let evidence = scenario.checker.detach.evidence().clone();
    let refusal = refusal_of(scenario);
    assert_eq!((refusal.code.as_str(), refusal.alibaba_code), ("NoPermission", None));
    assert_eq!(evidence.security_groups_after, Some(vec![OURS.to_owned(), SPARE.to_owned()]));
    assert_eq!(evidence.replacement_security_group_id.unwrap().as_str(), SPARE);
}

#[test]
fn errors_of_an_attach_do_not_count_against_the_detach() {
    for code in ["EndpointOperationDenied", "OperationConflict"] {
        let mut scenario = Scenario::with_replacement(false, None);
        scenario.read(&alone(), endpoint("Active"));
        scenario.respond(error(Action::Attach, 400, code));
        if code == "EndpointOperationDenied" {
            scenario.read(&alone(), endpoint("Active"));
            scenario.respond(error(Action::Attach, 400, code));
        }
        // Another caller attaches a group meanwhile.
        assert_eq!(read_until_write(&mut scenario, &pair(GroupStatus::Attached)), Action::Detach, "{code}");
        scenario.respond(error(Action::Detach, 400, code));
        assert_eq!(read_until_write(&mut scenario, &pair(GroupStatus::Attached)), Action::Detach, "{code}");
        scenario.respond(accepted(Write::Detach));
    }
}
