//! `apply`: what it refuses, what it detaches and what it leaves, and its exit status.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use privatelink_simulator::{Action, Cloud, Effect, Endpoint, Fault, Seed};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::program::signal;
use crate::program::{Ended, run, spawn, wait};
use crate::schema::check_completion;
use crate::simulation::{REGION, Simulation, endpoint, seed};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// The account of the simulator's access key.
const ACCOUNT: &str = "1234567890123456";

/// A name, a limit, changed fields, the exit status, and a part of the message.
type Refused<'a> = (&'a str, usize, &'a [(&'a str, Value)], i32, &'a str);

/// A plan in a file, which is removed with it.
struct PlanFile {
    path: PathBuf,
    content: Value,
}

impl PlanFile {
    /// The plan of all references to `sg-a`, for `max_detaches` of them. `name` makes the file's name unique.
    fn of(name: &str, endpoints: &[Endpoint], max_detaches: usize) -> Self {
        let groups = |endpoint: &Endpoint| {
            let groups = endpoint.security_groups.iter();
            groups
                .map(|group| json!({ "security_group_id": group.id, "status": group.status }))
                .collect::<Vec<_>>()
        };
        let references: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| endpoint.group(&"sg-a".into()).is_some())
            .map(|endpoint| {
                json!({
                    "region_id": endpoint.region_id,
                    "endpoint_id": endpoint.endpoint_id,
                    "endpoint_name": null,
                    "security_group_id": "sg-a",
                    "status": "Attached",
                    "security_groups": groups(endpoint),
                })
            })
            .collect();
        let over_limit = references.len() > max_detaches;
        let verdict = match references.len() {
            0 => "no_references",
            _ if over_limit => "over_limit",
            _ => "references_found",
        };
        let now = date(SystemTime::now());
        let content = json!({
            "version": "1", "account_id": ACCOUNT, "arn": format!("acs:ram::{ACCOUNT}:user/simulator"),
            "security_group_ids": ["sg-a"], "security_groups_found": null, "region_ids": [REGION], "scope": "all",
            "max_detaches": max_detaches, "verdict": verdict, "started_at": now, "completed_at": now,
            "endpoints_read": { REGION: endpoints.len() }, "endpoints_skipped": { REGION: 0 },
            "references_count": references.len(), "blocked_count": 0, "references": references, "blocked": [],
        });
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("apply-{name}-{}.json", std::process::id()));
        let file = Self { path, content };
        file.save();
        file
    }

    fn save(&self) {
        std::fs::write(&self.path, self.content.to_string()).unwrap();
    }

    /// Changes a field.
    fn set(mut self, field: &str, value: Value) -> Self {
        self.content[field] = value;
        self.save();
        self
    }

    fn command(&self, simulation: &Simulation) -> std::process::Command {
        simulation.command(&["apply", self.path.to_str().unwrap(), "--yes", "-o", "json"])
    }

    fn apply(&self, simulation: &Simulation) -> Ended {
        run(&mut self.command(simulation))
    }
}

impl Drop for PlanFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn date(at: SystemTime) -> String {
    let milliseconds = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from(at).format(&milliseconds).unwrap()
}

/// Endpoints `ep-0` and so on, each with the group and another one.
fn many(count: usize) -> Vec<Endpoint> {
    (0..count).map(|n| endpoint(&format!("ep-{n}"), ["sg-a", "sg-b"])).collect()
}

/// The outcomes of the results, each with its endpoint and the code of its reason.
fn outcomes(ended: &Ended) -> Vec<String> {
    let output = ended.json();
    let keys: Vec<_> = output.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["new", "results", "vanished"], "the contract has exactly these");
    let shown = |detail: &Value| {
        check_completion(detail);
        let code = detail["reason"]["code"].as_str().map_or(String::new(), |code| format!(" {code}"));
        format!("{} {}{code}", detail["endpoint_id"].as_str().unwrap(), detail["outcome"].as_str().unwrap())
    };
    output["results"].as_array().unwrap().iter().map(shown).collect()
}

/// The outcomes of [`many`] that are detached, in the order of a plan.
fn all_detached(count: usize) -> Vec<String> {
    let mut outcomes: Vec<_> = (0..count).map(|n| format!("ep-{n} detached")).collect();
    outcomes.sort();
    outcomes
}

/// The endpoints in one of the two lists.
fn listed(ended: &Ended, list: &str) -> Vec<String> {
    let output = ended.json();
    let id = |reference: &Value| reference["endpoint_id"].as_str().unwrap().to_owned();
    output[list].as_array().unwrap().iter().map(id).collect()
}

#[test]
fn every_entry_is_detached_and_confirmed() {
    let endpoints = many(12);
    let plan = PlanFile::of("all", &endpoints, 12);
    let simulation = Simulation::of(endpoints);
    let ended = plan.apply(&simulation);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(outcomes(&ended), all_detached(12));
    assert_eq!(simulation.detaches(), 12);
    assert!((0..12).all(|n| simulation.groups(&format!("ep-{n}")) == ["sg-b"]));
}

#[test]
fn new_entries_are_left_and_vanished_ones_are_named() {
    let plan = PlanFile::of("changed", &many(3), 3);
    let mut now = many(5);
    now[0] = endpoint("ep-0", ["sg-b"]);
    let simulation = Simulation::of(now);
    let ended = plan.apply(&simulation);
    assert_eq!(ended.status, 5, "{ended:?}");
    assert_eq!(outcomes(&ended), ["ep-1 detached", "ep-2 detached"]);
    assert_eq!(listed(&ended, "new"), ["ep-3", "ep-4"]);
    assert_eq!(listed(&ended, "vanished"), ["ep-0"]);
    assert_eq!(simulation.groups("ep-3"), ["sg-a", "sg-b"]);
    assert!(ended.stderr.contains("new, not detached: eu-west-1 ep-3 sg-a"), "{}", ended.stderr);
}

#[test]
fn blocked_entries_are_named_and_left() {
    let endpoints = many(4);
    let plan = PlanFile::of("blocked", &endpoints, 4);
    let mut now = endpoints;
    now[1] = endpoint("ep-1", ["sg-a"]);
    now[2].business_status = "FinancialLocked".to_owned();
    let simulation = Simulation::of(now);
    let ended = run(plan.command(&simulation).env("PROTECTED_ENDPOINTS", "ep-3"));
    assert_eq!(ended.status, 5, "{ended:?}");
    assert_eq!(outcomes(&ended), ["ep-0 detached"]);
    for (endpoint, code) in [
        ("ep-1", "EndpointMustContainSecurityGroup"),
        ("ep-2", "FinancialLocked"),
        ("ep-3", "ProtectedEndpoint"),
    ] {
        let line = format!("blocked, not detached ({code}): eu-west-1 {endpoint} sg-a");
        assert!(ended.stderr.contains(&line), "{line}: {}", ended.stderr);
    }
    assert_eq!(simulation.detaches(), 1);
}

#[test]
fn plan_that_may_not_be_carried_out_is_refused_without_a_write() {
    let endpoints = many(2);
    let ago = |age| json!(date(SystemTime::now() - age));
    let old = Duration::from_hours(24) + Duration::from_mins(1);
    let ahead = json!(date(SystemTime::now() + Duration::from_mins(10)));
    let cases: [Refused<'_>; 9] = [
        ("another account", 2, &[("account_id", json!("99"))], 1, "the plan belongs to account 99"),
        ("too old", 2, &[("completed_at", ago(old)), ("started_at", ago(old))], 1, "older than 24 hours"),
        ("of the future", 2, &[("completed_at", ahead)], 1, "in the future"),
        ("over its limit", 1, &[], 1, "over the limit"),
        ("limit of none", 0, &[], 1, "over the limit"),
        ("entry removed", 2, &[("references", json!([]))], 2, "references"),
        ("verdict changed", 1, &[("verdict", json!("references_found"))], 2, "verdict"),
        ("unknown field", 2, &[("force", json!(true))], 2, "force"),
        ("version", 2, &[("version", json!("2"))], 2, "version"),
    ];
    let simulation = Simulation::of(endpoints.clone());
    for (name, max_detaches, changes, status, message) in cases {
        let mut plan = PlanFile::of("refused", &endpoints, max_detaches);
        for (field, value) in changes {
            plan = plan.set(field, value.clone());
        }
        let ended = plan.apply(&simulation);
        assert_eq!((ended.status, ended.stdout.as_str()), (status, ""), "{name} {ended:?}");
        assert!(ended.stderr.contains(message), "{name}: {}", ended.stderr);
    }
    let plan = PlanFile::of("refused", &endpoints, 2);
    let ended = run(plan.command(&simulation).env("ALLOWED_REGIONS", "eu-central-1"));
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{ended:?}");
    let text = plan.content.to_string();
    std::fs::write(&plan.path, &text[..text.len() / 2]).unwrap();
    assert_eq!(plan.apply(&simulation).status, 2, "cut off");
    std::fs::remove_file(&plan.path).unwrap();
    assert_eq!(plan.apply(&simulation).status, 2, "no such file");
    assert_eq!(simulation.detaches(), 0);
}

#[test]
fn incomplete_reading_requests_nothing() {
    let endpoints = many(3);
    let plan = PlanFile::of("incomplete", &endpoints, 3);
    let denied =
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::code("NoPermission")).for_endpoint("ep-1");
    let simulation = Simulation::start(Seed { faults: vec![denied], ..seed(endpoints) });
    let ended = plan.apply(&simulation);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("no detach was requested: ep-1 of eu-west-1 could not be read (NoPermission)"),
        "{}",
        ended.stderr
    );
    assert_eq!(simulation.detaches(), 0);

    let simulation = Simulation::of(vec![]);
    let ended = plan.apply(&simulation);
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "no endpoints: {ended:?}");
}

#[test]
fn nothing_left_to_do_asks_nothing() {
    let plan = PlanFile::of("done", &many(2), 2);
    let now = vec![endpoint("ep-0", ["sg-b"]), endpoint("ep-1", ["sg-b"])];
    let simulation = Simulation::start(Seed { security_groups: ["sg-a".into()].into(), ..seed(now) });
    let ended = plan.apply(&simulation);
    assert_eq!((ended.status, simulation.detaches()), (0, 0), "{ended:?}");
    assert_eq!(listed(&ended, "vanished"), ["ep-0", "ep-1"]);
}

#[test]
fn without_a_terminal_apply_needs_yes_and_calls_nothing_before() {
    let endpoints = many(1);
    let plan = PlanFile::of("terminal", &endpoints, 1);
    let simulation = Simulation::of(endpoints);
    let ended = simulation.run(&["apply", plan.path.to_str().unwrap()]);
    assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert_eq!(simulation.cloud().counts().calls_total, 0);
    let ended = simulation.run(&["apply", plan.path.to_str().unwrap(), "--dry-run", "-o", "json"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(outcomes(&ended), ["ep-0 dry_run_passed"]);
    assert_eq!(simulation.groups("ep-0"), ["sg-a", "sg-b"]);
}

#[test]
fn status_is_that_of_the_most_important_result() {
    let denied = |endpoint: &str| Fault::on(DETACH, Effect::code("NoPermission")).for_endpoint(endpoint);
    let silent = |endpoint: &str| Fault::on(DETACH, Effect::AcceptedWithoutEffect).for_endpoint(endpoint);
    let cases: [(&str, Vec<Fault>, usize, i32); 5] = [
        ("detached", vec![], 0, 0),
        ("detached and new", vec![], 1, 5),
        ("unconfirmed and new", vec![silent("ep-1")], 1, 3),
        ("refused and unconfirmed and new", vec![denied("ep-0"), silent("ep-1")], 1, 1),
        ("refused", vec![denied("ep-0")], 0, 1),
    ];
    // The timeout is the shortest that is allowed, so the cases run side by side.
    std::thread::scope(|scope| {
        for (index, (name, faults, new, status)) in cases.into_iter().enumerate() {
            scope.spawn(move || {
                let plan = PlanFile::of(&format!("status-{index}"), &many(3), 3);
                let simulation = Simulation::start(Seed { faults, ..seed(many(3 + new)) });
                let ended = run(plan.command(&simulation).args(["--timeout", "30s"]));
                assert_eq!(ended.status, status, "{name} {ended:?}");
                assert_eq!(outcomes(&ended).len(), 3, "{name}");
            });
        }
    });
}

#[test]
fn locks_throttles_and_lost_responses_end_with_every_reference_gone() {
    let endpoints = many(20);
    let plan = PlanFile::of("troubled", &endpoints, 20);
    let mut seed = seed(endpoints);
    seed.settings.detach_takes = Duration::from_millis(500);
    seed.settings.read_lag = Duration::from_millis(300);
    seed.faults = vec![
        Fault::on(DETACH, Effect::throttled(Duration::from_millis(200))).next(2),
        Fault::on(DETACH, Effect::Reset).next(3).after_execution(),
        Fault::on(DETACH, Effect::code("EndpointLocked")).for_endpoint("ep-7").next(2),
        Fault::on(DETACH, Effect::AcceptedThenFails).for_endpoint("ep-9").next(1),
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::Reset).for_endpoint("ep-11").next(2),
        Fault::on(Action::ListVpcEndpoints, Effect::code("ServiceUnavailable")).next(1),
    ];
    let simulation = Simulation::start(seed);
    let ended = plan.apply(&simulation);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(outcomes(&ended), all_detached(20));
    for n in 0..20 {
        let id = format!("ep-{n}");
        assert_eq!(simulation.groups(&id), ["sg-b"], "{id}");
        assert_eq!(simulation.cloud().counts().endpoint(&*id).detaches_in_flight_max, 1, "{id}");
    }
}

#[test]
fn groups_of_one_endpoint_are_detached_one_after_the_other() {
    let endpoints = vec![endpoint("ep-0", ["sg-a", "sg-b", "sg-c"])];
    let mut plan = PlanFile::of("lane", &endpoints, 2);
    let mut second = plan.content["references"][0].clone();
    second["security_group_id"] = json!("sg-b");
    plan.content["references"].as_array_mut().unwrap().push(second);
    let plan = plan.set("references_count", json!(2)).set("security_group_ids", json!(["sg-a", "sg-b"]));
    let mut seed = seed(endpoints);
    seed.settings.detach_takes = Duration::from_secs(1);
    let simulation = Simulation::start(seed);
    let ended = plan.apply(&simulation);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(outcomes(&ended), ["ep-0 detached", "ep-0 detached"]);
    let counts = simulation.cloud().counts().endpoint("ep-0");
    assert_eq!((counts.detaches_in_flight_max, counts.lock_rejections), (1, 0));
}

#[test]
fn credentials_that_are_rejected_end_with_status_4_and_the_finished_results() {
    let endpoints = many(2);
    let plan = PlanFile::of("credentials", &endpoints, 2);
    let mut seed = seed(endpoints);
    seed.settings.detach_takes = Duration::from_hours(1);
    let simulation = Simulation::start(seed);
    let child = spawn(plan.command(&simulation).args(["--timeout", "1m"]));
    simulation.until(|cloud| cloud.counts().of(DETACH) == 2);
    simulation.disable_key();
    let ended = wait(child);
    assert_eq!((ended.status, outcomes(&ended).len()), (4, 0), "{ended:?}");
    assert!(ended.stderr.contains("ep-0 sg-a: "), "{}", ended.stderr);
}

#[cfg(unix)]
#[test]
fn interruption_prints_the_finished_results_and_the_next_run_finishes_the_rest() {
    let endpoints = many(10);
    let plan = PlanFile::of("interrupted", &endpoints, 10);
    let slow =
        |n: usize| Fault::on(DETACH, Effect::AcceptedWithoutEffect).for_endpoint(format!("ep-{n}")).next(1);
    let mut seed = seed(endpoints);
    // They do not end before the group is detached again after ten seconds.
    seed.faults = vec![slow(1), slow(2)];
    let simulation = Simulation::start(seed);
    let child = spawn(&mut plan.command(&simulation));
    let is_detached = |cloud: &Cloud| cloud.counts().endpoint("ep-0").calls_total >= 5;
    simulation.until(|cloud| is_detached(cloud) && cloud.counts().endpoint("ep-2").calls_total >= 5);
    signal(&child, "INT");
    let ended = wait(child);
    assert_eq!(ended.status, 130, "{ended:?}");
    let first = outcomes(&ended);
    assert!(first.iter().all(|outcome| outcome.ends_with(" detached")), "{first:?}");
    let state = "ep-1 sg-a: detach accepted, not confirmed yet; run the command again";
    assert!(ended.stderr.contains(state), "{}", ended.stderr);

    simulation.cloud().clear_faults();
    let ended = plan.apply(&simulation);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!((0..10).all(|n| simulation.groups(&format!("ep-{n}")) == ["sg-b"]));
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_the_next_runs_finish_without_a_needless_detach() {
    let endpoints =
        [many(6), vec![endpoint("ep-other", ["sg-b", "sg-c"]), endpoint("ep-new", ["sg-a", "sg-b"])]];
    let plan = PlanFile::of("killed", &endpoints[0], 6);
    let mut seed = seed(endpoints.concat());
    seed.settings.detach_takes = Duration::from_millis(700);
    seed.settings.pending_after = Duration::from_millis(100);
    let simulation = Simulation::start(seed);
    let mut random = fastrand::Rng::with_seed(7);
    let mut calls_before = 0;
    for _ in 0..15 {
        let mut child = spawn(&mut plan.command(&simulation));
        let calls = calls_before + random.u64(1..40);
        while simulation.cloud().counts().calls_total < calls && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        calls_before = simulation.cloud().counts().calls_total;
        let _ = child.kill();
        wait(child);
    }
    let ended = plan.apply(&simulation);
    // The new endpoint's reference remains.
    assert_eq!(ended.status, 5, "{ended:?}");
    for n in 0..6 {
        let id = format!("ep-{n}");
        assert_eq!(simulation.groups(&id), ["sg-b"], "{id}");
        assert_eq!(simulation.cloud().counts().endpoint(&*id).detaches_accepted, 1, "{id}");
    }
    assert_eq!(simulation.groups("ep-other"), ["sg-b", "sg-c"]);
    assert_eq!(simulation.groups("ep-new"), ["sg-a", "sg-b"]);
}
