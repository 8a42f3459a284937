//! `find`: every verdict, and what is said about it.

use privatelink_simulator::{Action, Effect, Endpoint, Fault, SecurityGroup};
use serde_json::{Value, json};

use crate::program::{Ended, signal, spawn, wait};
use crate::schema::check_sweep;
use crate::simulation::{REGION, Simulation, endpoint, seed};

const OTHER_REGION: &str = "eu-central-1";

fn find(simulation: &Simulation, arguments: &[&str]) -> Ended {
    simulation.run(&[&["find", "sg-a", "--region", REGION], arguments].concat())
}

/// The event that `find` prints, checked against its schema.
fn event(simulation: &Simulation, arguments: &[&str]) -> (i32, Value) {
    let ended = find(simulation, &[&["-o", "json"], arguments].concat());
    let event = ended.json();
    check_sweep(&event);
    (ended.status, event)
}

fn denied(endpoint: &str) -> Fault {
    Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::code("NoPermission")).for_endpoint(endpoint)
}

#[test]
fn references_are_data_and_everything_else_is_on_standard_error() {
    let mut web = endpoint("ep-a", ["sg-a", "sg-b"]);
    web.endpoint_name = Some("数据库".to_owned());
    let mut balancer = endpoint("ep-g", []);
    "GatewayLoadBalancer".clone_into(&mut balancer.endpoint_type);
    let simulation =
        Simulation::of(vec![web, endpoint("ep-b", ["sg-b", "sg-a"]), endpoint("ep-c", ["sg-b"]), balancer]);
    let ended = find(&simulation, &[]);
    assert_eq!(ended.status, 5, "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        "\
REGION     ENDPOINT  NAME    GROUP  STATUS    BLOCKED BY
eu-west-1  ep-a      数据库  sg-a   Attached  -
eu-west-1  ep-b      -       sg-a   Attached  -
"
    );
    let first = ended.stderr.lines().next().unwrap();
    assert!(first.starts_with("Reading every endpoint of eu-west-1, using the credentials from "), "{first}");
    for part in [
        "Do not delete sg-a yet: 2 endpoints use it (2 references: 2 can be detached, 0 blocked).",
        "Read: 3 endpoints of eu-west-1 (and 1 skipped: gateway load balancer endpoints have no groups), from 20",
        "ECS confirms that sg-a exists.",
    ] {
        assert!(ended.stderr.contains(part), "{part}\n{}", ended.stderr);
    }
    assert!(
        !ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'),
        "no color without a terminal"
    );
}

#[test]
fn json_is_the_event_of_the_sweep() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"])]);
    let (status, event) = event(&simulation, &["--tag", "env=prod"]);
    assert_eq!((status, &event["verdict"]), (1, &json!("no_endpoints")), "the endpoint has no tag");
    let mut tagged = endpoint("ep-a", ["sg-a", "sg-b"]);
    tagged.tags.insert("env".to_owned(), "prod".to_owned());
    let simulation = Simulation::of(vec![tagged, endpoint("ep-b", ["sg-a", "sg-b"])]);
    let (status, mut event) = self::event(&simulation, &["--tag", "env=prod"]);
    assert_eq!(status, 5);
    for name in ["sweep_id", "started_at", "completed_at"] {
        event.as_object_mut().unwrap().remove(name);
    }
    let expected = json!({
        "version": "1", "mode": "report", "mode_requested": "report", "verdict": "references_found",
        "security_group_ids": ["sg-a"], "security_groups_found": true, "scope": { "tags": { "env": "prod" } },
        "endpoints_read": { "eu-west-1": 1 }, "endpoints_skipped": { "eu-west-1": 0 }, "endpoints_unread": {},
        "references": [{
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "endpoint_name": null, "security_group_id": "sg-a",
            "status": "Attached", "requested": false, "blocked_by": null, "replacement_security_group_id": null,
        }],
        "references_total": 1, "requested_count": 0, "remaining_count": 1, "reason": null,
    });
    assert_eq!(event, expected);
}

#[test]
fn unused_group_ends_with_success_and_the_limits_of_the_answer() {
    let mut seed = seed(vec![endpoint("ep-c", ["sg-b"])]);
    seed.security_groups.insert("sg-a".into());
    let simulation = Simulation::start(seed);
    let ended = find(&simulation, &[]);
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    for part in [
        "No endpoint of eu-west-1 uses sg-a.",
        "Read: 1 endpoint of eu-west-1, from 20",
        "ECS confirms that sg-a exists.",
        "other products",
    ] {
        assert!(ended.stderr.contains(part), "{part}\n{}", ended.stderr);
    }
    let (status, event) = event(&simulation, &[]);
    assert_eq!(
        (status, &event["verdict"], &event["security_groups_found"]),
        (0, &json!("no_references"), &json!(true))
    );
}

#[test]
fn existence_that_was_not_checked_is_said() {
    let mut seed = seed(vec![endpoint("ep-c", ["sg-b"])]);
    seed.security_groups.insert("sg-a".into());
    seed.faults.push(Fault::on(Action::DescribeSecurityGroups, Effect::code("Forbidden.RAM")));
    let simulation = Simulation::start(seed);
    let ended = find(&simulation, &[]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("Whether sg-a exists was not checked"), "{}", ended.stderr);
    assert_eq!(event(&simulation, &[]).1["security_groups_found"], Value::Null);
}

#[test]
fn group_that_does_not_exist_is_no_unused_group() {
    let simulation = Simulation::of(vec![endpoint("ep-c", ["sg-b"])]);
    let (status, event) = event(&simulation, &[]);
    assert_eq!((status, &event["verdict"]), (1, &json!("incomplete")));
    let ended = find(&simulation, &[]);
    assert!(ended.stderr.contains("ECS does not find sg-a in the regions"), "{}", ended.stderr);
    assert!(ended.stderr.contains("docs/runbook.md#incomplete"), "{}", ended.stderr);
}

#[test]
fn region_that_was_not_read_leaves_everything_open() {
    let central = Endpoint::new(OTHER_REGION, "ep-b", ["sg-a", "sg-b"]);
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"]), central]);
    simulation.cloud().inject(denied("ep-b"));
    let (status, event) = event(&simulation, &["--region", OTHER_REGION]);
    assert_eq!((status, &event["verdict"]), (1, &json!("incomplete")));
    assert_eq!(event["endpoints_read"], json!({ "eu-west-1": 1, "eu-central-1": 0 }));
    let unread = json!({ "eu-central-1": {
        "list_error": null, "total": 1, "endpoints": [{ "endpoint_id": "ep-b", "code": "NoPermission" }],
    } });
    assert_eq!(event["endpoints_unread"], unread);
    assert_eq!(event["references_total"], 1, "what was read is shown");
    let ended = find(&simulation, &["--region", OTHER_REGION]);
    assert!(ended.stdout.contains("ep-a"), "{}", ended.stdout);
    assert!(ended.stderr.contains("Not read: ep-b of eu-central-1 (NoPermission)."), "{}", ended.stderr);
    assert!(ended.stderr.contains("It is not known whether sg-a can be deleted"), "{}", ended.stderr);
}

#[test]
fn list_that_is_denied_leaves_everything_open() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a"])]);
    simulation.cloud().inject(Fault::on(Action::ListVpcEndpoints, Effect::code("NoPermission")));
    let (status, event) = event(&simulation, &[]);
    assert_eq!((status, &event["verdict"]), (1, &json!("incomplete")));
    assert_eq!(event["endpoints_unread"]["eu-west-1"]["list_error"], "NoPermission");
}

#[test]
fn region_without_endpoints_is_no_answer() {
    let simulation = Simulation::start(seed(Vec::new()));
    simulation.cloud().inject(Fault::on(Action::DescribeSecurityGroups, Effect::code("Forbidden.RAM")));
    let (status, event) = event(&simulation, &[]);
    assert_eq!((status, &event["verdict"]), (1, &json!("no_endpoints")));
    let ended = find(&simulation, &[]);
    assert!(
        ended.stderr.contains("The scope has no endpoint with security groups in eu-west-1."),
        "{}",
        ended.stderr
    );
}

#[test]
fn id_in_other_letter_case_is_named() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-A", "sg-b"])]);
    let (status, event) = event(&simulation, &[]);
    assert_eq!((status, &event["verdict"]), (1, &json!("incomplete")));
    let message = event["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("ep-a of eu-west-1 has sg-A, which differs from sg-a only in letter case"),
        "{message}"
    );
}

#[test]
fn blocked_references_are_listed_with_their_cause() {
    let mut attaching = endpoint("ep-attaching", ["sg-b"]);
    attaching.security_groups.push(SecurityGroup { id: "sg-a".into(), status: "Attaching".to_owned() });
    let endpoints = vec![endpoint("ep-last", ["sg-a"]), endpoint("ep-mine", ["sg-a", "sg-b"]), attaching];
    let simulation = Simulation::of(endpoints);
    let mut command = simulation.command(&["find", "sg-a", "--region", REGION]);
    let ended = crate::program::run(command.env("PROTECTED_ENDPOINTS", "ep-mine"));
    assert_eq!(ended.status, 5, "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        "\
REGION     ENDPOINT      NAME  GROUP  STATUS     BLOCKED BY
eu-west-1  ep-attaching  -     sg-a   Attaching  -
eu-west-1  ep-last       -     sg-a   Attached   EndpointMustContainSecurityGroup
eu-west-1  ep-mine       -     sg-a   Attached   ProtectedEndpoint
"
    );
    let causes = "2 blocked by EndpointMustContainSecurityGroup and ProtectedEndpoint";
    assert!(ended.stderr.contains(causes), "{}", ended.stderr);
}

#[test]
fn refused_credentials_say_nothing_about_endpoints() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a"])]);
    let mut command = simulation.command(&["find", "sg-a", "--region", REGION]);
    let ended = crate::program::run(command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong"));
    assert_eq!((ended.status, ended.stdout.as_str()), (4, ""), "{}", ended.stderr);
    assert!(!ended.stderr.contains("No endpoint"), "{}", ended.stderr);
}

#[test]
fn region_that_is_not_allowed_is_a_usage_error() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a"])]);
    let mut command = simulation.command(&["find", "sg-a", "--region", REGION, "--region", OTHER_REGION]);
    let ended = crate::program::run(command.env("ALLOWED_REGIONS", REGION));
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("eu-central-1 is not in ALLOWED_REGIONS"), "{}", ended.stderr);
    assert_eq!(simulation.cloud().counts().of(Action::ListVpcEndpoints), 0);
}

#[cfg(unix)]
#[test]
fn interrupted_reading_prints_no_data() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a"])]);
    simulation.cloud().inject(Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::Hang));
    let child = spawn(&mut simulation.command(&["find", "sg-a", "--region", REGION, "-o", "json"]));
    simulation.until(|cloud| cloud.counts().of(Action::ListVpcEndpointSecurityGroups) > 0);
    signal(&child, "INT");
    let ended = wait(child);
    assert_eq!((ended.status, ended.stdout.as_str()), (130, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
}
