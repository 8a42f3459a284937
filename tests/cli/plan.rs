//! `plan`: what is saved, and when nothing is.

use std::fs;
use std::path::PathBuf;

use privatelink_simulator::{Action, Effect, Fault};
use serde_json::{Value, json};

use crate::program::{Ended, run};
use crate::schema::check_plan;
use crate::simulation::{REGION, Simulation, endpoint, seed};

/// A directory that is deleted with its files.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plan-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn plan(&self) -> String {
        self.0.join("plan.json").to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn plan(simulation: &Simulation, directory: &Directory, arguments: &[&str]) -> Ended {
    let path = directory.plan();
    let base = ["plan", "sg-a", "--region", REGION, "--plan-file", &path];
    run(simulation.command(&[&base, arguments].concat()).env("PROTECTED_SECURITY_GROUPS", "sg-protected"))
}

/// The plan in the file, checked against its schema.
fn written(directory: &Directory) -> Value {
    assert_eq!(directory.names(), ["plan.json"], "and no temporary file");
    let plan = serde_json::from_str(&fs::read_to_string(directory.plan()).unwrap()).unwrap();
    check_plan(&plan);
    plan
}

#[test]
fn plan_has_what_apply_detaches_and_what_is_blocked() {
    let directory = Directory::new("entries");
    let mut named = endpoint("ep-a", ["sg-a", "sg-b"]);
    named.endpoint_name = Some("web".to_owned());
    let endpoints = vec![named, endpoint("ep-last", ["sg-a"]), endpoint("ep-p", ["sg-protected", "sg-b"])];
    let simulation = Simulation::of(endpoints);
    let ended = plan(&simulation, &directory, &["sg-protected", "--max-detaches", "1"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("REGION ") && ended.stdout.lines().count() == 4, "{}", ended.stdout);
    assert!(ended.stderr.contains("Plan written to "), "{}", ended.stderr);
    let mut plan = written(&directory);
    for name in ["account_id", "arn", "started_at", "completed_at"] {
        assert!(plan.as_object_mut().unwrap().remove(name).is_some());
    }
    let entry = |endpoint: &str, name: Value, group: &str, groups: &[&str]| {
        let on = |id: &&str| json!({ "security_group_id": id, "status": "Attached" });
        json!({
            "region_id": REGION, "endpoint_id": endpoint, "endpoint_name": name, "security_group_id": group,
            "status": "Attached", "security_groups": groups.iter().map(on).collect::<Vec<_>>(),
        })
    };
    let mut last = entry("ep-last", Value::Null, "sg-a", &["sg-a"]);
    last["blocked_by"] = json!("EndpointMustContainSecurityGroup");
    let mut protected = entry("ep-p", Value::Null, "sg-protected", &["sg-b", "sg-protected"]);
    protected["blocked_by"] = json!("ProtectedSecurityGroup");
    let expected = json!({
        "version": "1", "security_group_ids": ["sg-a", "sg-protected"], "security_groups_found": true,
        "region_ids": [REGION], "scope": "all", "max_detaches": 1, "verdict": "references_found",
        "endpoints_read": { REGION: 3 }, "endpoints_skipped": { REGION: 0 },
        "references_count": 1, "blocked_count": 2,
        "references": [entry("ep-a", json!("web"), "sg-a", &["sg-a", "sg-b"])], "blocked": [last, protected],
    });
    assert_eq!(plan, expected);
}

#[test]
fn plan_is_applied_and_no_reference_remains() {
    let directory = Directory::new("applied");
    let endpoints = vec![endpoint("ep-a", ["sg-a", "sg-b"]), endpoint("ep-b", ["sg-a", "sg-b"])];
    let mut seed = seed(endpoints);
    seed.security_groups.insert("sg-a".into());
    let simulation = Simulation::start(seed);
    let planned = plan(&simulation, &directory, &["--max-detaches", "2"]);
    assert_eq!(planned.status, 0, "{}", planned.stderr);
    let applied = simulation.run(&["apply", &directory.plan(), "--yes"]);
    assert_eq!((applied.status, simulation.detaches()), (0, 2), "{}", applied.stderr);
    let found = simulation.run(&["find", "sg-a", "--region", REGION]);
    assert_eq!(found.status, 0, "{}", found.stderr);
    let again = simulation.run(&["apply", &directory.plan(), "--yes"]);
    assert_eq!((again.status, simulation.detaches()), (0, 2), "{}", again.stderr);
}

#[test]
fn plan_without_references_is_written() {
    let directory = Directory::new("none");
    let mut seed = seed(vec![endpoint("ep-a", ["sg-b"])]);
    seed.security_groups.insert("sg-a".into());
    let ended = plan(&Simulation::start(seed), &directory, &["--max-detaches", "0", "-o", "json"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert_eq!(ended.json(), written(&directory), "standard output is the plan");
    assert_eq!(written(&directory)["verdict"], "no_references");
}

#[test]
fn plan_over_its_limit_is_written_for_review_only() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"]), endpoint("ep-last", ["sg-a"])]);
    for (limit, status, verdict) in [("1", 0, "references_found"), ("0", 1, "over_limit")] {
        let directory = Directory::new(&format!("limit-{limit}"));
        let ended = plan(&simulation, &directory, &["--max-detaches", limit]);
        assert_eq!(ended.status, status, "{}", ended.stderr);
        assert_eq!(written(&directory)["verdict"], verdict);
        assert_eq!(ended.stderr.contains("apply` refuses more than 0"), status == 1, "{}", ended.stderr);
    }
}

#[test]
fn nothing_is_written_without_a_complete_reading() {
    let simulation =
        Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"]), endpoint("ep-b", ["sg-a", "sg-b"])]);
    simulation.cloud().inject(
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::code("NoPermission")).for_endpoint("ep-b"),
    );
    let directory = Directory::new("incomplete");
    let ended = plan(&simulation, &directory, &["--max-detaches", "5", "-o", "json"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("ep-b") && ended.stderr.contains("No plan was written"),
        "{}",
        ended.stderr
    );
    assert_eq!(directory.names(), [""; 0]);

    let mut seed = seed(Vec::new());
    seed.security_groups.insert("sg-a".into());
    let ended = plan(&Simulation::start(seed), &directory, &["--max-detaches", "5"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("no_endpoints"), "{}", ended.stderr);
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn file_that_cannot_be_written_ends_the_command_before_any_call() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"])]);
    let directory = Directory::new("existing");
    fs::write(directory.plan(), "mine").unwrap();
    let ended = plan(&simulation, &directory, &["--max-detaches", "5"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("plan.json exists"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(directory.plan()).unwrap(), "mine");

    let none = directory.0.join("none/plan.json");
    let arguments =
        ["plan", "sg-a", "--region", REGION, "--max-detaches", "5", "--plan-file", none.to_str().unwrap()];
    let ended = simulation.run(&arguments);
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot be created"), "{}", ended.stderr);
    assert_eq!(simulation.cloud().counts().of(Action::ListVpcEndpoints), 0);
}

#[test]
fn refused_credentials_leave_no_file() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"])]);
    let directory = Directory::new("credentials");
    let path = directory.plan();
    let arguments = ["plan", "sg-a", "--region", REGION, "--max-detaches", "5", "--plan-file", &path];
    let ended = run(simulation.command(&arguments).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong"));
    assert_eq!((ended.status, ended.stdout.as_str()), (4, ""), "{}", ended.stderr);
    assert_eq!(directory.names(), [""; 0]);
}
