//! `detach`: one request, its confirmation, its output and its exit status.

use std::time::Duration;

use privatelink_simulator::{Action, Cloud, Effect, Endpoint, Fault, SecurityGroup, Seed, Task, Work};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::program::signal;
use crate::program::{Ended, run, spawn, wait};
use crate::schema::check_completion;
use crate::simulation::{REGION, Simulation, endpoint, seed};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// The arguments of a detach of `sg-a` from `ep-a` that prints JSON.
const ARGUMENTS: [&str; 8] = ["detach", "sg-a", "ep-a", "--region", REGION, "--yes", "-o", "json"];

/// An outcome, its reason's code and the exit status.
type Expected = (&'static str, Option<&'static str>, i32);

/// An endpoint with the group and another one.
fn usual() -> Endpoint {
    endpoint("ep-a", ["sg-a", "sg-b"])
}

fn with_faults(faults: impl IntoIterator<Item = Fault>) -> Seed {
    Seed { faults: faults.into_iter().collect(), ..seed(vec![usual()]) }
}

/// Checks the result of a run with `-o json`.
fn assert_ended(ended: &Ended, (outcome, code, status): Expected) -> Value {
    assert!(!ended.stdout.is_empty(), "{ended:?}");
    let detail = ended.json();
    check_completion(&detail);
    let found = (detail["outcome"].as_str().unwrap(), detail["reason"]["code"].as_str(), ended.status);
    assert_eq!(found, (outcome, code, status), "{ended:?}");
    assert_eq!(detail["trigger"], json!("cli"));
    detail
}

#[test]
fn every_outcome_has_its_exit_status() {
    let gone = Seed { endpoints: vec![endpoint("ep-a", ["sg-b"])], ..seed(vec![]) };
    let only = seed(vec![endpoint("ep-a", ["sg-a"])]);
    let lookalike = seed(vec![endpoint("ep-a", ["sg-A", "sg-b"])]);
    let cases: [(&str, Seed, Expected); 9] = [
        ("detached", seed(vec![usual()]), ("detached", None, 0)),
        ("already detached", gone, ("already_detached", None, 0)),
        ("the last group", only, ("refused", Some("EndpointMustContainSecurityGroup"), 1)),
        ("no such endpoint", seed(vec![]), ("refused", Some("EndpointNotFound"), 1)),
        ("other letter case", lookalike, ("refused", Some("SecurityGroupNotAttached"), 1)),
        (
            "denied",
            with_faults([Fault::on(DETACH, Effect::code("NoPermission"))]),
            ("refused", Some("NoPermission"), 1),
        ),
        (
            "locked, then free",
            with_faults([Fault::on(DETACH, Effect::code("EndpointLocked")).next(1)]),
            ("detached", None, 0),
        ),
        (
            "the response is lost",
            with_faults([Fault::on(DETACH, Effect::Reset).next(1).after_execution()]),
            ("detached", None, 0),
        ),
        (
            "throttled",
            with_faults([
                Fault::on(DETACH, Effect::throttled(Duration::from_millis(50))).next(2),
                Fault::on(Action::ListVpcEndpoints, Effect::throttled(Duration::from_millis(50))).next(2),
            ]),
            ("detached", None, 0),
        ),
    ];
    for (name, seed, expected) in cases {
        let ended = Simulation::start(seed).run(&ARGUMENTS);
        println!("{name}");
        let detail = assert_ended(&ended, expected);
        assert_eq!(detail["effort"]["deliveries"], json!(1));
    }
}

#[test]
fn detach_that_is_not_confirmed_in_time_ends_with_status_3() {
    let mut seed = seed(vec![usual()]);
    seed.settings.detach_takes = Duration::from_hours(1);
    let simulation = Simulation::start(seed);
    let ended = simulation.run(&[&ARGUMENTS[..], &["--timeout", "30s"]].concat());
    let detail = assert_ended(&ended, ("unconfirmed", Some("DeadlineExceeded"), 3));
    assert_eq!(simulation.detaches(), 1);
    let advice = detail["reason"]["advice"].as_str().unwrap();
    assert!(advice.contains("run the command again") && !advice.contains("queue"), "{advice}");
}

#[test]
fn endpoint_that_cannot_be_read_in_time_is_not_offered_for_a_detach() {
    let throttled =
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::throttled(Duration::from_mins(2)));
    let simulation = Simulation::start(with_faults([throttled]));
    let ended = simulation.run(&[&ARGUMENTS[..], &["--timeout", "30s"]].concat());
    assert_ended(&ended, ("unconfirmed", Some("DeadlineExceeded"), 3));
    assert!(!ended.stderr.contains("groups after"), "{}", ended.stderr);
}

#[test]
fn endpoint_that_disappears_ends_with_status_0() {
    let mut seed = seed(vec![usual()]);
    seed.settings.detach_takes = Duration::from_hours(1);
    let simulation = Simulation::start(seed);
    let child = spawn(&mut simulation.command(&ARGUMENTS));
    simulation.until(|cloud| cloud.counts().endpoint("ep-a").detaches_accepted == 1);
    simulation.cloud().remove_endpoint("ep-a", std::time::SystemTime::now());
    assert_ended(&wait(child), ("endpoint_gone", None, 0));
}

#[test]
fn write_names_account_source_groups_and_status() {
    let mut attaching = usual();
    attaching.security_groups.push(SecurityGroup { id: "sg-c".into(), status: "Attaching".to_owned() });
    let simulation = Simulation::of(vec![attaching]);
    let ended = simulation.run(&["detach", "ep-a", "sg-a", "--region", REGION, "--yes"]);
    for part in [
        "environment variables ALIBABA_CLOUD_ACCESS_KEY_ID",
        "1234567890123456",
        "ep-a (Active)",
        "sg-a (Attached), sg-b (Attached), sg-c (Attaching)",
        "sg-b, sg-c\n",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((ended.status, lines[0]), (0, "outcome        detached"), "{ended:?}");
    assert!(ended.stdout.contains("groups after   sg-b, sg-c"), "{}", ended.stdout);
}

#[test]
fn without_a_terminal_a_detach_needs_yes_and_calls_nothing_before() {
    let simulation = Simulation::of(vec![usual()]);
    let ended = simulation.run(&["detach", "sg-a", "ep-a", "--region", REGION]);
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(ended.stderr.contains("--yes"), "{}", ended.stderr);
    assert_eq!(simulation.cloud().counts().calls_total, 0);
}

#[test]
fn protected_ids_and_regions_are_rejected_without_a_call() {
    let simulation = Simulation::of(vec![usual()]);
    for (variable, value, code) in [
        ("PROTECTED_SECURITY_GROUPS", "sg-A", "ProtectedSecurityGroup"),
        ("PROTECTED_ENDPOINTS", "ep-a", "ProtectedEndpoint"),
        ("ALLOWED_REGIONS", "eu-central-1", "RegionNotAllowed"),
    ] {
        let ended = run(simulation.command(&ARGUMENTS).env(variable, value));
        assert_ended(&ended, ("rejected", Some(code), 1));
    }
    assert_eq!(simulation.cloud().counts().calls_total, 0);
}

#[test]
fn dry_run_changes_nothing_and_needs_no_confirmation() {
    let simulation = Simulation::of(vec![usual()]);
    let arguments = ["detach", "sg-a", "ep-a", "--region", REGION, "--dry-run", "-o", "json"];
    assert_ended(&simulation.run(&arguments), ("dry_run_passed", None, 0));
    assert_eq!(simulation.groups("ep-a"), ["sg-a", "sg-b"]);
}

#[test]
fn denied_dry_run_prints_the_groups_and_their_status() {
    let simulation = Simulation::start(with_faults([Fault::on(DETACH, Effect::code("NoPermission"))]));
    let ended = simulation.run(&["detach", "sg-a", "ep-a", "--region", REGION, "--dry-run"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("NoPermission"), "{}", ended.stdout);
    assert!(ended.stderr.contains("sg-a (Attached), sg-b (Attached)"), "{}", ended.stderr);
}

#[test]
fn rejected_credentials_end_with_status_4_at_once() {
    let simulation = Simulation::of(vec![usual()]);
    let ended = run(simulation.command(&ARGUMENTS).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong"));
    assert_eq!((ended.status, ended.stdout.as_str()), (4, ""), "{ended:?}");
    assert!(simulation.cloud().counts().calls_total <= 2);
    assert!(!ended.stderr.contains("wrong"), "{}", ended.stderr);
}

#[test]
fn credentials_that_are_rejected_during_a_detach_end_it_at_once() {
    let mut seed = seed(vec![usual()]);
    seed.settings.detach_takes = Duration::from_hours(1);
    let simulation = Simulation::start(seed);
    let child = spawn(simulation.command(&ARGUMENTS).args(["--timeout", "1m"]));
    simulation.until(|cloud| cloud.counts().endpoint("ep-a").detaches_accepted == 1);
    simulation.disable_key();
    let ended = wait(child);
    assert_eq!((ended.status, ended.stdout.as_str()), (4, ""), "{ended:?}");
    assert!(ended.stderr.contains("detach accepted, not confirmed yet"), "{}", ended.stderr);
    assert_eq!(simulation.detaches(), 1);
}

#[test]
fn group_that_is_being_detached_needs_no_write() {
    let mut seed = seed(vec![usual()]);
    let ends_at = std::time::SystemTime::now() + Duration::from_secs(2);
    seed.endpoints[0].security_groups[0].status = "Detaching".to_owned();
    seed.endpoints[0].task = Some(Task {
        work: Work::Detach { security_group_id: "sg-a".into(), fails: false },
        ends_at,
        free_at: ends_at,
    });
    let simulation = Simulation::start(seed);
    assert_ended(&simulation.run(&ARGUMENTS), ("detached", None, 0));
    assert_eq!(simulation.detaches(), 0);
}

#[cfg(unix)]
#[test]
fn interrupted_detach_names_its_state_and_is_completed_by_the_next_run() {
    for name in ["INT", "TERM"] {
        let mut seed = seed(vec![usual()]);
        seed.settings.detach_takes = Duration::from_secs(5);
        let simulation = Simulation::start(seed);
        let child = spawn(&mut simulation.command(&ARGUMENTS));
        simulation.until(|cloud| cloud.counts().endpoint("ep-a").detaches_accepted == 1);
        let reads = |cloud: &Cloud| cloud.counts().of(Action::ListVpcEndpointSecurityGroups);
        let before = reads(&simulation.cloud());
        simulation.until(|cloud| reads(cloud) > before);
        signal(&child, name);
        let ended = wait(child);
        assert_eq!((ended.status, ended.stdout.as_str()), (130, ""), "{name} {ended:?}");
        let state = "ep-a sg-a: detach accepted, not confirmed yet; run the command again";
        assert!(ended.stderr.contains(state), "{name} {}", ended.stderr);
        assert!(!ended.stderr.contains("no detach was requested"), "{name} {}", ended.stderr);

        assert_ended(&simulation.run(&ARGUMENTS), ("detached", None, 0));
        assert_eq!((simulation.detaches(), simulation.groups("ep-a")), (1, vec!["sg-b".to_owned()]));
    }
}

#[cfg(unix)]
#[test]
fn interrupted_reading_ends_with_status_130_and_requests_nothing() {
    let hang = Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::Hang);
    let simulation = Simulation::start(with_faults([hang]));
    let child = spawn(&mut simulation.command(&ARGUMENTS));
    simulation.until(|cloud| cloud.counts().of(Action::ListVpcEndpointSecurityGroups) == 1);
    signal(&child, "INT");
    let ended = wait(child);
    assert_eq!((ended.status, ended.stdout.as_str()), (130, ""), "{ended:?}");
    assert!(ended.stderr.contains("no detach was requested"), "{}", ended.stderr);
    assert_eq!(simulation.detaches(), 0);
}
