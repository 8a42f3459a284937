//! What a sweep requests, what it reads afterwards, and its event.

use std::time::Duration;

use privatelink_detach::request::{EndpointId, Rules, SecurityGroupId, VpcId};
use privatelink_simulator::{Action, Effect, Endpoint, Fault, Seed};
use serde_json::{Value, json};

use crate::account::{Account, apply, endpoint, endpoints, references, report, summary};
use crate::wire::{REGIONS, WANTED};

#[tokio::test(start_paused = true)]
async fn report_requests_nothing_and_publishes_what_it_found() {
    let account = Account::with(endpoints(3));
    let detail = account.sweep(&report()).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 0, 3));
    assert_eq!(detail["sweep_id"], "4c2c92f0-1f7c-4d3e-9c0a-2f6d6d8a1b11", "the invocation's id");
    assert_eq!(*account.bus.published.borrow(), [("Security Group Sweep Completed", detail)]);
    assert_eq!(account.requests(), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn apply_requests_every_reference_and_proves_that_none_is_left() {
    let account = Account::with(endpoints(12));
    account.work(Duration::from_secs(8), &[]);
    let mut request = apply(12);
    request["deadline_seconds"] = 600.into();
    request["metadata"] = json!({ "ticket": "CHG7" });
    let detail = account.sweep(&request).await.unwrap();
    assert_eq!(summary(&detail), ("no_references", 12, 0));
    assert_eq!(
        (&detail["mode"], &detail["references"], &detail["reason"]),
        (&json!("apply"), &json!([]), &Value::Null)
    );
    let mut first = account.requests()[0].clone();
    let request_id = first.as_object_mut().unwrap().remove("request_id").unwrap();
    assert!(
        request_id.as_str().unwrap().starts_with("nightly-1-eu-west-1-ep-000-sg-wanted-"),
        "{request_id}"
    );
    assert_eq!(
        first,
        json!({
            "region_id": "eu-west-1", "endpoint_id": "ep-000", "security_group_id": WANTED, "dry_run": false,
            "deadline_seconds": 600, "metadata": { "ticket": "CHG7", "sweep_id": "nightly-1" },
        })
    );
    let messages = account.queue.messages.borrow();
    assert!(messages.iter().all(|message| message.trigger.as_str() == "sweep"));
    assert_eq!(messages[0].group, "eu-west-1/ep-000");
    assert_eq!(account.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
}

#[tokio::test(start_paused = true)]
async fn requested_endpoints_alone_are_read_again() {
    let mut others: Vec<_> = (0..50).map(|n| endpoint(&format!("ep-other-{n}"), ["sg-x"])).collect();
    others.extend(endpoints(2));
    let account = Account::with(others);
    account.work(Duration::from_secs(5), &[]);
    account.sweep(&apply(2)).await.unwrap();
    // 52 endpoints, then 2 after 2 s and 2 after 6 s, each time with their records.
    assert_eq!(account.calls(Action::ListVpcEndpointSecurityGroups), 52 + 2 + 2);
    assert_eq!(account.calls(Action::ListVpcEndpoints), 2 + 1 + 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_sweep_makes_the_same_messages() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_hours(1), &[]);
    for _ in 0..2 {
        let detail = account.sweep(&apply(2)).await.unwrap();
        assert_eq!(summary(&detail), ("references_found", 2, 2), "{detail}");
    }
    let messages = account.queue.messages.borrow().clone();
    assert_eq!((&messages[..2], messages.len()), (&messages[2..], 4));
    let another = Account::with(endpoints(2));
    another.work(Duration::ZERO, &[]);
    let mut request = apply(2);
    request["sweep_id"] = "nightly-2".into();
    another.sweep(&request).await.unwrap();
    assert_ne!(another.queue.messages.borrow()[0].deduplication_id, messages[0].deduplication_id);
}

#[tokio::test(start_paused = true)]
async fn limit_of_one_less_than_the_references_requests_nothing() {
    for (max, expected, requests) in
        [(34, ("no_references", 34, 0), 34), (33, ("over_limit", 0, 34), 0), (0, ("over_limit", 0, 34), 0)]
    {
        let account = Account::with(endpoints(34));
        account.work(Duration::from_secs(1), &[]);
        let detail = account.sweep(&apply(max)).await.unwrap();
        assert_eq!((summary(&detail), account.requests().len()), (expected, requests), "{max}");
        if requests == 0 {
            let message = detail["reason"]["message"].as_str().unwrap();
            assert_eq!(detail["reason"]["code"], "OverLimit");
            assert!(
                message.starts_with(&format!("34 references can be detached, but max_detaches is {max}")),
                "{message}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn blocked_references_are_listed_and_not_requested() {
    let mut all = endpoints(4);
    all.push(endpoint("ep-last", [WANTED]));
    let mut locked = endpoint("ep-locked", [WANTED, "sg-x"]);
    locked.business_status = "FinancialLocked".to_owned();
    all.push(locked);
    let mut account = Account::with(all);
    account.rules.protected_endpoints = [EndpointId::parse("ep-002").unwrap()].into();
    account.work(Duration::from_secs(1), &[]);
    let detail = account.sweep(&apply(3)).await.unwrap();
    assert_eq!(account.requested(), ["ep-000", "ep-001", "ep-003"]);
    assert_eq!(summary(&detail), ("references_found", 3, 3));
    assert_eq!(
        references(&detail),
        [
            ("ep-002", Some("ProtectedEndpoint")),
            ("ep-last", Some("EndpointMustContainSecurityGroup")),
            ("ep-locked", Some("FinancialLocked")),
        ]
    );
    let mut account = Account::with(endpoints(1));
    account.rules.protected_security_groups = [SecurityGroupId::parse(WANTED).unwrap()].into();
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(references(&detail), [("ep-000", Some("ProtectedSecurityGroup"))]);
    assert_eq!(account.requests().len(), 0);
}

/// An account with one endpoint whose last group is wanted and has a replacement.
fn with_replacement() -> Account {
    let only = Endpoint { vpc_id: Some("vpc-a".to_owned()), ..endpoint("ep-a", [WANTED]) };
    let mut account = Account::with(vec![only]);
    let (vpc_id, spare) = (VpcId::parse("vpc-a").unwrap(), SecurityGroupId::parse("sg-spare").unwrap());
    account.rules.replacements.insert(vpc_id, spare);
    account
}

#[tokio::test(start_paused = true)]
async fn last_group_with_a_replacement_is_requested_and_counted() {
    let detail = with_replacement().sweep(&report()).await.unwrap();
    assert_eq!(references(&detail), [("ep-a", None)]);
    assert_eq!(detail["references"][0]["replacement_security_group_id"], "sg-spare");

    let detail = with_replacement().sweep(&apply(0)).await.unwrap();
    assert_eq!(summary(&detail), ("over_limit", 0, 1));

    let account = with_replacement();
    // The worker attaches the replacement, and then detaches the group.
    let accepted = account.queue.clone();
    *account.wire.interference.borrow_mut() = Some(Box::new(move |_, cloud, now| {
        if !accepted.messages.borrow().is_empty() {
            cloud.attach_now("ep-a", "sg-spare", now);
            cloud.detach_now("ep-a", WANTED, now);
        }
    }));
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(summary(&detail), ("no_references", 1, 0));
    assert_eq!(account.requests()[0].get("replacement_security_group_id"), None, "the worker decides");
    assert_eq!(account.calls(Action::AttachSecurityGroupToVpcEndpoint), 0);
}

#[tokio::test(start_paused = true)]
async fn replaced_reference_stays_one_while_the_endpoints_cannot_be_listed() {
    let account = with_replacement();
    let accepted = account.queue.clone();
    *account.wire.interference.borrow_mut() = Some(Box::new(move |_, cloud, _| {
        if !accepted.messages.borrow().is_empty() {
            cloud.inject(Fault::on(Action::ListVpcEndpoints, Effect::code("NoPermission")));
        }
    }));
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 1, 1));
    assert_eq!(references(&detail), [("ep-a", None)]);
    assert_eq!(detail["references"][0]["replacement_security_group_id"], "sg-spare");
    assert_eq!(detail["reason"]["code"], "NotReadAgain");
}

#[tokio::test(start_paused = true)]
async fn apply_is_a_report_where_the_deployment_allows_no_detach() {
    let dry_run_only = Rules { dry_run_only: true, ..Rules::default() };
    for (is_apply_allowed, rules) in [(false, Rules::default()), (true, dry_run_only)] {
        let account = Account { rules, is_apply_allowed, ..Account::with(endpoints(2)) };
        let detail = account.sweep(&apply(2)).await.unwrap();
        assert_eq!(summary(&detail), ("references_found", 0, 2));
        assert_eq!((&detail["mode"], &detail["mode_requested"]), (&json!("report"), &json!("apply")));
        assert_eq!(account.requests().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn unread_endpoint_or_mistyped_group_requests_nothing() {
    let denied = Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::code("NoPermission")).nth(3);
    let security_groups = [WANTED.into()].into();
    let seed = Seed { endpoints: endpoints(5), faults: vec![denied], security_groups, ..Seed::default() };
    let account = Account::of(seed);
    let detail = account.sweep(&apply(9)).await.unwrap();
    assert_eq!((summary(&detail), account.requests().len()), (("incomplete", 0, 4), 0));
    assert_eq!(detail["endpoints_unread"][REGIONS[0]]["total"], 1);

    for (group, found) in [("sg-unknown", json!(false)), ("sg-WANTED", json!(true))] {
        let account = Account::with(endpoints(1));
        let mut request = apply(9);
        request["security_group_ids"] = json!([group]);
        let detail = account.sweep(&request).await.unwrap();
        assert_eq!((summary(&detail), account.requests().len()), (("incomplete", 0, 0), 0), "{group}");
        if group == "sg-unknown" {
            assert_eq!(detail["security_groups_found"], found);
        }
    }
    let detail = Account::with(Vec::new()).sweep(&apply(9)).await.unwrap();
    assert_eq!(summary(&detail), ("no_endpoints", 0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_outside_the_scope_is_requested() {
    let mut all = endpoints(3);
    for (endpoint, vpc) in all.iter_mut().zip(["vpc-other", "vpc-a", "vpc-a"]) {
        endpoint.vpc_id = Some(vpc.to_owned());
    }
    let account = Account::with(all);
    account.work(Duration::from_secs(1), &[]);
    let mut request = apply(2);
    request["scope"] = json!({ "vpc_id": "vpc-a" });
    let detail = account.sweep(&request).await.unwrap();
    assert_eq!(summary(&detail), ("no_references", 2, 0));
    assert_eq!(account.requested(), ["ep-001", "ep-002"]);
}

#[tokio::test(start_paused = true)]
async fn references_that_stay_are_reported_when_the_time_ends() {
    let account = Account::with(endpoints(3));
    account.work(Duration::from_secs(1), &["ep-001"]);
    let detail = account.sweep(&apply(3)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 3, 1));
    assert_eq!(references(&detail), [("ep-001", None)]);
    assert_eq!(detail["references"][0]["requested"], true);
    let minutes = account.wire.elapsed().as_secs_f64() / 60.0;
    assert!((13.5..=14.0).contains(&minutes), "{minutes} min");
    // The pauses are 2, 4, 8 and 16 s, and then 30 s.
    assert!(account.calls(Action::ListVpcEndpointSecurityGroups) < 3 + 3 + 40);
}

#[tokio::test(start_paused = true)]
async fn shorter_function_timeout_leaves_time_for_the_event() {
    let account = Account { timeout: Duration::from_mins(2), ..Account::with(endpoints(1)) };
    account.work(Duration::from_secs(1), &["ep-000"]);
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 1, 1));
    assert!(account.wire.elapsed() <= Duration::from_secs(110), "{:?}", account.wire.elapsed());
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_only_its_owner_can_free_is_not_waited_for() {
    let account = Account::with(endpoints(2));
    let seen = std::cell::Cell::new(false);
    account.work(Duration::from_secs(1), &["ep-001"]);
    let worker = account.wire.interference.borrow_mut().take().unwrap();
    let worker = std::cell::RefCell::new(worker);
    *account.wire.interference.borrow_mut() = Some(Box::new(move |number, cloud, now| {
        worker.borrow_mut()(number, cloud, now);
        // The endpoint's owner detaches the other group after the first reading, so the wanted one is now the last.
        if number > 6 && !seen.replace(true) {
            cloud.detach_now("ep-001", "sg-x", now);
        }
    }));
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(references(&detail), [("ep-001", Some("EndpointMustContainSecurityGroup"))]);
    assert!(account.wire.elapsed() < Duration::from_mins(1), "{:?}", account.wire.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rejected_credentials_end_the_sweep_with_their_code() {
    let account = Account { secret: "wrong".to_owned(), ..Account::with(endpoints(2)) };
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(summary(&detail), ("incomplete", 0, 0));
    assert_eq!(detail["endpoints_unread"][REGIONS[0]]["list_error"], "SignatureDoesNotMatch");
}
