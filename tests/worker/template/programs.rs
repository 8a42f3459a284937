//! The programs that Cargo builds are those that the template runs, where and as they were built for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloudformation::{Deployment, TEMPLATE, file};

/// The names of the programs in Cargo.toml.
fn binaries() -> Vec<String> {
    let manifest = file("Cargo.toml");
    let name = |section: &str| {
        let name = section.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
        name.trim_matches('"').to_owned()
    };
    manifest.split("\n[[bin]]\n").skip(1).map(name).collect()
}

/// What a function resource says about its program.
fn program(deployment: &Deployment, name: &str) -> (String, Value) {
    let metadata = TEMPLATE.key("Resources").key(name).key("Metadata");
    assert_eq!(metadata.key("BuildMethod").text(), "rust-cargolambda");
    let mut properties = deployment.properties(name);
    let about = ["CodeUri", "Handler", "Runtime", "Architectures", "FunctionName", "Role", "Tracing"];
    let properties = properties.as_object_mut().expect("properties");
    properties.retain(|key, _| about.contains(&key.as_str()));
    (metadata.key("BuildProperties").key("Binary").text().to_owned(), properties.clone().into())
}

#[test]
fn every_program_runs_as_one_function() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    let functions = deployment.of_type("AWS::Serverless::Function").into_iter();
    let functions: BTreeMap<_, _> = functions.map(|name| program(&deployment, name)).collect();
    let expected = |binary: &str, role: &str| {
        json!({
            "FunctionName": format!("stack-{binary}"),
            "CodeUri": ".",
            // cargo-lambda gives every program this name, and the runtime starts no other.
            "Handler": "bootstrap",
            "Runtime": "provided.al2023",
            "Architectures": ["arm64"],
            "Role": format!("arn:aws:iam::123456789012:role/{role}"),
            "Tracing": "Active",
        })
    };
    assert_eq!(functions.keys().cloned().collect::<Vec<_>>(), {
        let mut binaries = binaries();
        binaries.sort();
        binaries
    });
    assert_eq!(functions["worker"], expected("worker", "WorkerRole"));
    assert_eq!(functions["intake"], expected("intake", "IntakeRole"));
}

#[test]
fn a_function_has_the_memory_and_the_concurrency_that_it_is_given() {
    let changes =
        [("WorkerMemorySize", "256"), ("IntakeMemorySize", "512"), ("IntakeReservedConcurrency", "10")];
    let deployment = Deployment::of("ENVIRONMENT", &changes);
    let given = |name: &str| {
        let properties = deployment.properties(name);
        [properties["MemorySize"].clone(), properties["ReservedConcurrentExecutions"].clone()]
    };
    assert_eq!(given("WorkerFunction"), [json!("256"), Value::Null]);
    assert_eq!(given("IntakeFunction"), [json!("512"), json!("10")]);
    let usual = Deployment::of("ENVIRONMENT", &[]).properties("IntakeFunction");
    assert_eq!(usual["ReservedConcurrentExecutions"], Value::Null, "none can be spared in a new account");
}

#[test]
fn every_log_is_kept_for_as_long_as_it_is_told() {
    let deployment = Deployment::of("ENVIRONMENT", &[("LogRetentionDays", "7")]);
    let groups = deployment.of_type("AWS::Logs::LogGroup");
    let days: Vec<_> =
        groups.iter().map(|group| deployment.properties(group)["RetentionInDays"].clone()).collect();
    assert_eq!(days, ["7"; 3]);
}

#[test]
fn a_package_is_built_for_the_processor_that_the_template_asks_for() {
    assert!(file("tools/package.py").contains("\"--arm64\""));
}

/// cargo-lambda adds settings of its own wherever the profile says nothing, and its word for panics is "abort": one bad
/// request would then end the process with all the others.
#[test]
fn the_release_profile_leaves_nothing_for_the_packager_to_choose() {
    let manifest = file("Cargo.toml");
    let profile = manifest.split_once("\n[profile.release]\n").expect("a release profile").1;
    let profile = profile.split_once("\n[").map_or(profile, |(profile, _)| profile);
    let setting = |key: &str| {
        let line = profile.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("{key} is set")).to_owned()
    };
    assert_eq!(
        ["lto", "codegen-units", "strip", "panic"].map(setting),
        ["\"fat\"", "1", "true", "\"unwind\""]
    );
}
