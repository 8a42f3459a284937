//! The template runs the programs that Cargo builds, on the platform that they are built for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::chat::with_chat;
use crate::cloudformation::{Deployment, TEMPLATE, file};

/// The names of the binaries in Cargo.toml that are built without a feature. The others are no functions.
fn binaries() -> Vec<String> {
    let manifest = file("Cargo.toml");
    let name = |section: &str| {
        let name = section.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
        name.trim_matches('"').to_owned()
    };
    let sections = manifest.split("\n[[bin]]\n").skip(1).map(|rest| rest.split("\n[").next().unwrap_or(rest));
    sections.filter(|section| !section.contains("required-features")).map(name).collect()
}

/// A function's binary and the properties that concern it.
fn program(deployment: &Deployment, name: &str) -> (String, Value) {
    let metadata = TEMPLATE.key("Resources").key(name).key("Metadata");
    assert_eq!(metadata.key("BuildMethod").text(), "rust-cargolambda");
    let mut properties = deployment.properties(name);
    let relevant = ["CodeUri", "Handler", "Runtime", "Architectures", "FunctionName", "Role", "Tracing"];
    let properties = properties.as_object_mut().expect("properties");
    properties.retain(|key, _| relevant.contains(&key.as_str()));
    (metadata.key("BuildProperties").key("Binary").text().to_owned(), properties.clone().into())
}

#[test]
fn every_binary_runs_as_one_function() {
    let deployment = with_chat(&[]);
    let functions = deployment.of_type("AWS::Serverless::Function").into_iter();
    let functions: BTreeMap<_, _> = functions.map(|name| program(&deployment, name)).collect();
    let expected = |binary: &str, role: &str| {
        json!({
            "FunctionName": format!("stack-{binary}"),
            "CodeUri": ".",
            // cargo-lambda gives every binary this name, and the runtime starts no other file.
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
    assert_eq!(functions["sweeper"], expected("sweeper", "SweeperRole"));
    assert_eq!(functions["messenger"], expected("messenger", "MessengerRole"));
}

#[test]
fn functions_have_the_given_memory_and_reserved_concurrency() {
    let changes = [
        ("WorkerMemorySize", "256"),
        ("IntakeMemorySize", "512"),
        ("IntakeReservedConcurrency", "10"),
        ("SweeperMemorySize", "1024"),
    ];
    let deployment = Deployment::of("ENVIRONMENT", &changes);
    let settings = |name: &str| {
        let properties = deployment.properties(name);
        [properties["MemorySize"].clone(), properties["ReservedConcurrentExecutions"].clone()]
    };
    assert_eq!(settings("WorkerFunction"), [json!("256"), Value::Null]);
    assert_eq!(settings("IntakeFunction"), [json!("512"), json!("10")]);
    assert_eq!(settings("SweeperFunction"), [json!("1024"), Value::Null]);
    let defaults = Deployment::of("ENVIRONMENT", &[]).properties("IntakeFunction");
    assert_eq!(defaults["ReservedConcurrentExecutions"], Value::Null, "a new account has none to reserve");
}

#[test]
fn log_groups_have_the_given_retention() {
    let deployment = with_chat(&[("LogRetentionDays", "7")]);
    let groups = deployment.of_type("AWS::Logs::LogGroup");
    let days: Vec<_> =
        groups.iter().map(|group| deployment.properties(group)["RetentionInDays"].clone()).collect();
    assert_eq!(days, ["7"; 5]);
}

#[test]
fn package_is_built_for_the_template_architecture() {
    assert!(file("tools/package.py").contains("\"--arm64\""));
}

/// cargo-lambda overrides every setting that the profile leaves out. It sets `panic` to "abort", with which a panic in
/// one request would end the process and all other requests.
#[test]
fn release_profile_sets_everything_that_cargo_lambda_would_override() {
    let manifest = file("Cargo.toml");
    let profile = manifest.split_once("\n[profile.release]\n").expect("a release profile").1;
    let profile = profile.split_once("\n[").map_or(profile, |(profile, _)| profile);
    let setting = |key: &str| {
        let line = profile.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("{key} is not set")).to_owned()
    };
    assert_eq!(
        ["lto", "codegen-units", "strip", "panic"].map(setting),
        ["\"fat\"", "1", "true", "\"unwind\""]
    );
}
