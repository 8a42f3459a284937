//! Sweeps in mode `apply` in which the queue, the second reading or the bus fails, or the time ends.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use privatelink_detach::sweeper::SweepError;
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Fault, SecurityGroup};
use serde_json::{Value, json};

use crate::account::{Account, apply, endpoints, references, summary};
use crate::wire::WANTED;

const GROUPS: Action = Action::ListVpcEndpointSecurityGroups;

/// A change by another client.
type Change = fn(&mut Cloud, SystemTime);

/// Makes each change once, before the call to Alibaba Cloud with its number.
fn change(account: &Account, changes: Vec<(u64, Change)>) {
    let worker = RefCell::new(account.wire.interference.borrow_mut().take().unwrap());
    let next = Cell::new(0);
    *account.wire.interference.borrow_mut() = Some(Box::new(move |call, cloud, now| {
        worker.borrow_mut()(call, cloud, now);
        while let Some((_, change)) = changes.get(next.get()).filter(|(number, _)| call >= *number) {
            next.set(next.get() + 1);
            change(cloud, now);
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn request_that_the_queue_did_not_confirm_is_sent_again() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &[]);
    account.queue.failures.set(2);
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!((summary(&detail), account.requests().len()), (("no_references", 2, 0), 2));
    assert_eq!(detail["reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn requests_that_never_reach_the_queue_are_named_in_the_event() {
    let account = Account::with(endpoints(2));
    account.queue.failures.set(usize::MAX);
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 0, 2));
    assert_eq!(detail["reason"]["code"], "NotRequested");
    assert_eq!(detail["reason"]["runbook"], "docs/runbook.md#notrequested");
    // Within the four minutes for which requests are sent again.
    assert!(account.queue.calls.get() <= 14, "{}", account.queue.calls.get());
    assert!(account.wire.elapsed() < Duration::from_secs(270), "{:?}", account.wire.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_for_which_no_time_is_left_are_not_blamed_on_the_queue() {
    // ECS responds when the time of the sweep is over, so the check of the groups lasts until then.
    let account = Account { timeout: Duration::from_secs(13), ..Account::with(endpoints(2)) };
    account.work(Duration::from_secs(1), &[]);
    account.wire.cloud.borrow_mut().inject(Fault::on(Action::DescribeSecurityGroups, Effect::Hang));
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(
        (summary(&detail), &detail["reason"]["code"]),
        (("references_found", 0, 2), &json!("NotRequested"))
    );
    let message = detail["reason"]["message"].as_str().unwrap();
    assert!(message.starts_with("The time of the sweep ended before 2 of its requests"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn request_that_became_blocked_is_not_sent_again() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &[]);
    account.queue.failures.set(1);
    // Five calls precede the second reading: four of the first reading, and one to ECS.
    change(
        &account,
        vec![(6, |cloud, now| {
            cloud.detach_now("ep-001", "sg-x", now);
        })],
    );
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(account.requested(), ["ep-000"]);
    assert_eq!(references(&detail), [("ep-001", Some("EndpointMustContainSecurityGroup"))]);
    assert_eq!(detail["references"][0]["requested"], false);
}

#[tokio::test(start_paused = true)]
async fn request_whose_reference_is_gone_is_not_sent_again() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &[]);
    account.queue.failures.set(1);
    change(
        &account,
        vec![(6, |cloud, now| {
            cloud.detach_now("ep-001", WANTED, now);
        })],
    );
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!((account.requested(), summary(&detail)), (vec!["ep-000".to_owned()], ("no_references", 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn group_that_is_attached_again_during_the_sweep_is_reported() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &["ep-000", "ep-001"]);
    // A reading of both endpoints makes three calls. Only the second reading does not find the group on ep-001.
    change(
        &account,
        vec![
            (6, |cloud, now| {
                cloud.detach_now("ep-001", WANTED, now);
            }),
            (9, |cloud, now| {
                cloud.attach_now("ep-001", WANTED, now);
                cloud.detach_now("ep-000", WANTED, now);
            }),
        ],
    );
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!((summary(&detail), references(&detail)), (("references_found", 2, 1), vec![("ep-001", None)]));
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_seems_to_be_deleted_stays_a_reference() {
    let account = Account::with(endpoints(1));
    account.work(Duration::from_secs(1), &["ep-000"]);
    let gone = Fault::on(GROUPS, Effect::code("EndpointNotFound"));
    account.wire.cloud.borrow_mut().inject(gone.nth(2));
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 1, 1));
}

#[tokio::test(start_paused = true)]
async fn reference_that_appears_during_the_sweep_is_found_and_over_no_limit() {
    let account = Account::with(endpoints(1));
    account.work(Duration::from_secs(1), &[]);
    let mut request = apply(1);
    request["security_group_ids"] = json!([WANTED, "sg-second"]);
    let denied = Fault::on(Action::DescribeSecurityGroups, Effect::code("Forbidden.RAM"));
    account.wire.cloud.borrow_mut().inject(denied);
    let attach = |cloud: &mut Cloud, now| {
        for group in ["sg-second", "sg-third"] {
            cloud.change_endpoint("ep-000", now, |endpoint| {
                endpoint.security_groups.push(SecurityGroup::attached(group));
            });
        }
    };
    change(&account, vec![(5, attach)]);
    let detail = account.sweep(&request).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 1, 1), "{detail}");
    let left = &detail["references"][0];
    assert_eq!((&left["security_group_id"], &left["requested"]), (&json!("sg-second"), &json!(false)));
    assert_eq!(detail["reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn failed_second_reading_is_named_in_the_event() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &[]);
    change(&account, vec![(6, |cloud, _| cloud.inject(Fault::on(GROUPS, Effect::code("NoPermission"))))]);
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(summary(&detail), ("references_found", 2, 2));
    assert_eq!(detail["reason"]["code"], "NotReadAgain");
    let message = detail["reason"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("2 of the requested endpoints could not be read again (NoPermission)"),
        "{message}"
    );
    assert_eq!(detail["reason"]["runbook"], "docs/runbook.md#notreadagain");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_refused_for_a_while_only_delay_the_second_reading() {
    let account = Account::with(endpoints(2));
    account.work(Duration::from_secs(1), &[]);
    let refuse = |cloud: &mut Cloud, _| {
        cloud.set_access_key(AccessKey { access_key_secret: "new".to_owned(), ..AccessKey::default() });
    };
    change(&account, vec![(6, refuse), (9, |cloud, _| cloud.set_access_key(AccessKey::default()))]);
    let detail = account.sweep(&apply(2)).await.unwrap();
    assert_eq!(summary(&detail), ("no_references", 2, 0), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn event_that_cannot_be_published_fails_the_invocation() {
    let mut account = Account::with(endpoints(2));
    account.bus.is_broken = true;
    account.work(Duration::from_secs(1), &[]);
    let error = account.sweep(&apply(2)).await.unwrap_err();
    assert!(
        matches!(error, SweepError::EventNotPublished { verdict: "no_references", requested: 2 }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn event_is_published_again_until_the_bus_has_it() {
    let account = Account::with(endpoints(1));
    account.work(Duration::from_secs(1), &[]);
    account.bus.failures.set(20);
    let detail = account.sweep(&apply(1)).await.unwrap();
    assert_eq!(account.bus.published.borrow().len(), 1);
    assert_eq!(summary(&detail), ("no_references", 1, 0));
}

#[tokio::test(start_paused = true)]
async fn bus_that_never_responds_ends_the_invocation_in_time() {
    // The end of the last one is a clock error: Lambda runs no invocation for hours.
    for (timeout, limit) in [(1, 1), (15, 15), (300, 15)] {
        let timeout = Duration::from_mins(timeout);
        let mut account = Account { timeout, ..Account::with(endpoints(1)) };
        account.bus.hangs = true;
        let error = account.sweep(&apply(1)).await.unwrap_err();
        assert!(matches!(error, SweepError::EventNotPublished { .. }), "{error}");
        assert!(account.wire.elapsed() <= Duration::from_mins(limit), "{:?}", account.wire.elapsed());
    }
}
