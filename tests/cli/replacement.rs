//! The last group of an endpoint whose VPC has a replacement: what each command says, and what it attaches.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use privatelink_simulator::{Action, Effect, Endpoint, Fault, Seed};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::program::signal;
use crate::program::{Ended, run, spawn, wait};
use crate::schema::{check_completion, check_plan, check_sweep};
use crate::simulation::{REGION, Simulation, endpoint, seed};

const VARIABLE: &str = "REPLACEMENT_SECURITY_GROUPS";

/// `sg-spare` replaces last groups in `vpc-a`.
const SPARE: &str = "vpc-a=sg-spare";

const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;

/// An endpoint in `vpc-a` with these groups.
fn in_vpc<const N: usize>(id: &str, groups: [&str; N]) -> Endpoint {
    Endpoint { vpc_id: Some("vpc-a".to_owned()), ..endpoint(id, groups) }
}

/// These endpoints, and the groups that may replace their last ones. Writes take no time.
fn with_spares(endpoints: Vec<Endpoint>) -> Seed {
    let mut seed = seed(endpoints);
    seed.security_groups.extend(["sg-spare".into(), "sg-other".into()]);
    seed.settings.attach_takes = Duration::ZERO;
    seed
}

fn last_group() -> Seed {
    with_spares(vec![in_vpc("ep-a", ["sg-a"])])
}

/// A file of one test's own.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("replacement-{name}-{}.json", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.0).unwrap()).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// The program with these arguments and this configuration of replacements.
fn command(simulation: &Simulation, arguments: &[&str], replacements: &str) -> Command {
    let mut command = simulation.command(arguments);
    command.env(VARIABLE, replacements);
    command
}

fn detach(simulation: &Simulation, more: &[&str]) -> Command {
    command(simulation, &[&["detach", "sg-a", "ep-a", "--region", REGION], more].concat(), SPARE)
}

/// Writes the plan of `sg-a`, and returns what the program prints.
fn plan(simulation: &Simulation, file: &File, replacements: &str) -> Ended {
    let arguments = ["plan", "sg-a", "--region", REGION, "--max-detaches", "9", "--plan-file", file.path()];
    run(&mut command(simulation, &arguments, replacements))
}

fn apply(simulation: &Simulation, file: &File, replacements: &str) -> Ended {
    run(&mut command(simulation, &["apply", file.path(), "--yes", "-o", "json"], replacements))
}

fn attaches(simulation: &Simulation) -> u64 {
    simulation.cloud().counts().of(ATTACH)
}

#[test]
fn find_names_the_replacement_in_its_table_and_in_its_event() {
    let simulation = Simulation::start(with_spares(vec![
        in_vpc("ep-a", ["sg-a"]),
        in_vpc("ep-b", ["sg-a", "sg-b"]),
        endpoint("ep-c", ["sg-a"]),
    ]));
    let find = |arguments: &[&str]| {
        let arguments = [&["find", "sg-a", "--region", REGION], arguments].concat();
        run(&mut command(&simulation, &arguments, SPARE))
    };
    let table = find(&[]);
    assert_eq!(
        table.stdout,
        "\
REGION     ENDPOINT  NAME  GROUP  STATUS    BLOCKED BY                        REPLACE BY
eu-west-1  ep-a      -     sg-a   Attached  -                                 sg-spare
eu-west-1  ep-b      -     sg-a   Attached  -                                 -
eu-west-1  ep-c      -     sg-a   Attached  EndpointMustContainSecurityGroup  -
"
    );
    let counts = "2 can be detached (1 is the last group of its endpoint, and is replaced), 1 blocked";
    assert!(table.stderr.contains(counts), "{}", table.stderr);
    let event = find(&["-o", "json"]).json();
    check_sweep(&event);
    let replacements = [0, 1, 2].map(|n| &event["references"][n]["replacement_security_group_id"]);
    assert_eq!(replacements, [&json!("sg-spare"), &Value::Null, &Value::Null]);
}

#[test]
fn plan_names_the_replacement_and_apply_attaches_it_first() {
    let simulation =
        Simulation::start(with_spares(vec![in_vpc("ep-a", ["sg-a"]), in_vpc("ep-b", ["sg-a", "sg-b"])]));
    let file = File::new("applied");
    let planned = plan(&simulation, &file, SPARE);
    assert_eq!(planned.status, 0, "{}", planned.stderr);
    check_plan(&file.json());
    let replacement = |n: usize| file.json()["references"][n]["replacement_security_group_id"].clone();
    assert_eq!((replacement(0), replacement(1)), (json!("sg-spare"), Value::Null));

    let applied = apply(&simulation, &file, SPARE);
    assert_eq!(applied.status, 0, "{}", applied.stderr);
    for part in [
        "eu-west-1  ep-a      sg-a (Attached)                   replace by sg-spare\n",
        "ep-a sg-a: attach of sg-spare accepted; polling\n",
        "ep-a sg-a: detached, replaced by sg-spare\n",
        "ep-b sg-a: detached\n",
    ] {
        assert!(applied.stderr.contains(part), "{part}\n{}", applied.stderr);
    }
    let evidence = &applied.json()["results"][0]["evidence"];
    assert_eq!(evidence["replacement_security_group_id"], "sg-spare");
    assert_eq!((simulation.groups("ep-a"), attaches(&simulation)), (vec!["sg-spare".to_owned()], 1));
    assert_eq!(simulation.groups("ep-b"), ["sg-b"]);
}

#[test]
fn apply_leaves_a_reference_whose_replacement_the_plan_does_not_name() {
    let file = File::new("other");
    for (before, after, list) in
        [(SPARE, "vpc-a=sg-other", "new"), (SPARE, "", "blocked"), ("", SPARE, "new")]
    {
        let simulation = Simulation::start(last_group());
        std::fs::remove_file(file.path()).ok();
        assert_eq!(plan(&simulation, &file, before).status, 0);
        let applied = apply(&simulation, &file, after);
        assert_eq!((applied.status, attaches(&simulation)), (5, 0), "{}", applied.stderr);
        assert!(applied.stderr.contains(&format!("{list}, not detached (")), "{}", applied.stderr);
        let new = applied.json()["new"].clone();
        assert_eq!(new.as_array().unwrap().len(), usize::from(list == "new"), "{new}");
        if let Some((_, id)) = after.split_once('=') {
            assert_eq!(new[0]["replacement_security_group_id"], id);
            assert!(applied.stderr.contains(&format!("(replace by {id})")), "{}", applied.stderr);
        }
        assert_eq!((simulation.detaches(), simulation.groups("ep-a")), (0, vec!["sg-a".to_owned()]));
    }
}

#[cfg(unix)]
#[test]
fn apply_that_was_interrupted_after_the_attach_is_completed_by_the_next_one() {
    let mut seed = last_group();
    seed.settings.attach_takes = Duration::from_secs(4);
    let simulation = Simulation::start(seed);
    let file = File::new("interrupted");
    assert_eq!(plan(&simulation, &file, SPARE).status, 0);
    let child = spawn(&mut command(&simulation, &["apply", file.path(), "--yes"], SPARE));
    simulation.until(|cloud| cloud.counts().endpoint("ep-a").attaches_accepted == 1);
    let reads =
        |simulation: &Simulation| simulation.cloud().counts().of(Action::ListVpcEndpointSecurityGroups);
    let before = reads(&simulation);
    simulation.until(|cloud| cloud.counts().of(Action::ListVpcEndpointSecurityGroups) > before);
    signal(&child, "INT");
    let ended = wait(child);
    assert_eq!(ended.status, 130, "{ended:?}");
    let state = "the replacement sg-spare was attached, or is attaching; no detach requested yet";
    assert!(ended.stderr.contains(state), "{}", ended.stderr);

    let applied = apply(&simulation, &file, SPARE);
    assert_eq!(applied.status, 0, "{}", applied.stderr);
    assert_eq!((simulation.groups("ep-a"), attaches(&simulation)), (vec!["sg-spare".to_owned()], 1));
}

#[test]
fn detach_names_the_replacement_before_and_after() {
    let simulation = Simulation::start(last_group());
    let ended = run(&mut detach(&simulation, &["--yes"]));
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    for part in ["groups after  replace by sg-spare\n", "attach of sg-spare accepted; polling\n"] {
        assert!(ended.stderr.contains(part), "{part}\n{}", ended.stderr);
    }
    for part in
        ["groups before  sg-a\n", "groups after   sg-spare\n", "last group     replaced by sg-spare\n"]
    {
        assert!(ended.stdout.contains(part), "{part}\n{}", ended.stdout);
    }
    assert_eq!(simulation.groups("ep-a"), ["sg-spare"]);
}

#[test]
fn dry_run_of_a_last_group_names_the_replacement_and_changes_nothing() {
    let simulation = Simulation::start(last_group());
    let ended = run(&mut detach(&simulation, &["--dry-run"]));
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("last group     replace by sg-spare\n"), "{}", ended.stdout);
    let detail = run(&mut detach(&simulation, &["--dry-run", "-o", "json"])).json();
    check_completion(&detail);
    assert_eq!(detail["outcome"], "dry_run_passed");
    assert_eq!(detail["evidence"]["replacement_security_group_id"], "sg-spare");
    assert_eq!((simulation.groups("ep-a"), simulation.detaches()), (vec!["sg-a".to_owned()], 0));
}

#[test]
fn refused_attach_ends_with_status_1_and_changes_nothing() {
    let denied = Fault::on(ATTACH, Effect::code("NoPermission"));
    let simulation = Simulation::start(Seed { faults: vec![denied], ..last_group() });
    let ended = run(&mut detach(&simulation, &["--yes", "-o", "json"]));
    let detail = ended.json();
    assert_eq!((ended.status, &detail["reason"]["code"]), (1, &json!("ReplacementNotAttached")), "{ended:?}");
    assert_eq!((simulation.detaches(), simulation.groups("ep-a")), (0, vec!["sg-a".to_owned()]));
}

#[test]
fn group_that_becomes_the_last_after_it_was_shown_is_not_replaced() {
    let locked =
        Fault::on(Action::DetachSecurityGroupFromVpcEndpoint, Effect::code("EndpointLocked")).next(1);
    let seed = with_spares(vec![in_vpc("ep-a", ["sg-a", "sg-b"])]);
    let simulation = Simulation::start(Seed { faults: vec![locked], ..seed });
    let child = spawn(&mut detach(&simulation, &["--yes", "-o", "json"]));
    simulation.until(|cloud| cloud.counts().of(Action::DetachSecurityGroupFromVpcEndpoint) == 1);
    assert!(simulation.cloud().detach_now("ep-a", "sg-b", SystemTime::now()));
    let ended = wait(child);
    let code = ended.json()["reason"]["code"].clone();
    assert_eq!((ended.status, code), (1, json!("EndpointMustContainSecurityGroup")), "{ended:?}");
    assert_eq!((attaches(&simulation), simulation.groups("ep-a")), (0, vec!["sg-a".to_owned()]));
    let again = run(&mut detach(&simulation, &["--yes"]));
    assert_eq!((again.status, simulation.groups("ep-a")), (0, vec!["sg-spare".to_owned()]), "{again:?}");
}

#[test]
fn replacement_that_leaves_after_apply_has_read_it_is_attached_again_only_if_the_plan_names_it() {
    let file = File::new("left");
    for (is_in_plan, status, code, groups) in [
        (true, 0, Value::Null, ["sg-spare"]),
        (false, 1, json!("EndpointMustContainSecurityGroup"), ["sg-a"]),
    ] {
        let locked =
            Fault::on(Action::DetachSecurityGroupFromVpcEndpoint, Effect::code("EndpointLocked")).next(1);
        let seed = with_spares(vec![in_vpc("ep-a", ["sg-a"])]);
        let simulation = Simulation::start(Seed { faults: vec![locked], ..seed });
        let attach = |group| simulation.cloud().attach_now("ep-a", group, SystemTime::now());
        std::fs::remove_file(file.path()).ok();
        // A plan names the replacement only if it shows the group alone.
        if !is_in_plan {
            assert!(attach("sg-spare"));
        }
        assert_eq!(plan(&simulation, &file, SPARE).status, 0);
        if is_in_plan {
            assert!(attach("sg-spare"));
        }
        let child = spawn(&mut command(&simulation, &["apply", file.path(), "--yes", "-o", "json"], SPARE));
        simulation.until(|cloud| cloud.counts().of(Action::DetachSecurityGroupFromVpcEndpoint) == 1);
        assert!(simulation.cloud().detach_now("ep-a", "sg-spare", SystemTime::now()));
        let ended = wait(child);
        let result = ended.json()["results"][0].clone();
        assert_eq!((ended.status, &result["reason"]["code"]), (status, &code), "{ended:?}");
        assert_eq!(simulation.groups("ep-a"), groups);
    }
}
