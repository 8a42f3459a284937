//! The check that the groups of a sweep exist.

use std::time::Duration;

use privatelink_detach::sweep::Verdict;
use privatelink_simulator::{Action, Effect, Endpoint, Fault, Seed};

use super::wire::{REGIONS, Scope, WANTED, Wire};

const DESCRIBE: Action = Action::DescribeSecurityGroups;

/// What is found of these groups, the verdict, and how long the sweep took.
async fn check(groups: &[&str], faults: Vec<Fault>) -> (Option<bool>, Verdict, Duration) {
    let endpoints =
        vec![Endpoint::new(REGIONS[0], "ep-a", ["sg-x"]), Endpoint::new(REGIONS[1], "ep-b", ["sg-y"])];
    let security_groups = [WANTED.into()].into();
    let wire = Wire::to(Seed { endpoints, security_groups, faults, ..Seed::default() });
    let scope = Scope { checks_existence: true, ..Scope::of(groups, &REGIONS) };
    let plan = scope.read(&wire).await.plan;
    (plan.security_groups_found, plan.verdict(None), wire.elapsed())
}

/// How long the sweep takes without the check: two lists, with the distance of the pace.
const READING: Duration = Duration::from_millis(1_600);

#[tokio::test(start_paused = true)]
async fn group_that_exists_nowhere_leaves_the_answer_open() {
    let (found, verdict, took) = check(&["sg-mistyped"], Vec::new()).await;
    assert_eq!((found, verdict), (Some(false), Verdict::Incomplete));
    assert!(took <= READING, "{took:?}");
    let (found, verdict, _) = check(&[WANTED], Vec::new()).await;
    assert_eq!((found, verdict), (Some(true), Verdict::NoReferences));
}

#[tokio::test(start_paused = true)]
async fn denied_check_is_no_check_and_changes_nothing_else() {
    let denied = Fault::on(DESCRIBE, Effect::code("Forbidden.RAM"));
    let (found, verdict, took) = check(&["sg-mistyped"], vec![denied]).await;
    assert_eq!((found, verdict), (None, Verdict::NoReferences));
    assert!(took <= READING, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn transient_error_of_the_check_is_retried() {
    let busy = Fault::on(DESCRIBE, Effect::code("ServiceUnavailable")).next(2);
    let (found, verdict, _) = check(&["sg-mistyped"], vec![busy]).await;
    assert_eq!((found, verdict), (Some(false), Verdict::Incomplete));
}

#[tokio::test(start_paused = true)]
async fn check_without_a_response_ends_soon_after_the_reading() {
    let hang = Fault::on(DESCRIBE, Effect::Hang);
    let (found, verdict, took) = check(&[WANTED], vec![hang.clone()]).await;
    assert_eq!((found, verdict), (None, Verdict::NoReferences));
    assert!(took <= READING + Duration::from_secs(5), "{took:?}");

    // Another region has all of them.
    let (found, _, took) = check(&[WANTED], vec![hang.nth(1)]).await;
    assert_eq!(found, Some(true));
    assert!(took <= READING, "{took:?}");
}
