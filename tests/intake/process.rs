//! The intake's process: its start, its log, and what is linked into it.

use std::collections::BTreeSet;
use std::process::Command;

use local_aws::{LocalAws, RuntimeApi};
use object::{Object, ObjectSymbol, SymbolKind};
use serde_json::{Value, json};

use crate::account::{AWS_SECRETS, Account, Process, SECRET, environment, request, webhook};

#[tokio::test]
async fn every_fault_of_the_configuration_is_told_in_one_line_before_asking_for_work() {
    let (aws, runtime_api) = (LocalAws::start().await.unwrap(), RuntimeApi::start().await.unwrap());
    let mut variables = environment(&aws, &runtime_api);
    variables.extend([
        ("DETACH_QUEUE_URL", aws.queue_url("requests")),
        ("PROTECTED_ENDPOINTS", "sg-a".to_owned()),
        ("WEBHOOK_SECRETS_ARN", SECRET.to_owned()),
        ("RUST_LOG", "loud".to_owned()),
    ]);
    let (status, output) = Process::start(&variables).end();
    assert_eq!(status, Some(1));
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let named: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    assert_eq!(named, ["RUST_LOG", "DETACH_QUEUE_URL", "PROTECTED_ENDPOINTS", "WEBHOOK_SECRETS_ARN"]);
    assert!(!output.contains(SECRET));
    assert_eq!(runtime_api.request_count(), 0);
}

#[tokio::test]
async fn outside_lambda_it_says_so_and_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_intake")).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["faults"].as_str().unwrap().contains("make demo"), "{line}");
}

#[tokio::test]
async fn a_log_line_names_its_request_and_no_line_holds_a_secret() {
    let account = Account::with(&[("RUST_LOG", "trace")]).await;
    let mut body = request("sg-a");
    body["metadata"] = json!({ "note": "body-t3xt" });
    let call = webhook(&body).signed_as("msg_1", 0, SECRET);
    let signature = call.headers["webhook-signature"].to_str().unwrap().to_owned();
    assert_eq!(account.call(call).await.status, 202);
    let forged = webhook(&body).signed_as("msg_2", 0, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let forged_signature = forged.headers["webhook-signature"].to_str().unwrap().to_owned();
    account.call(forged).await.assert_problem(401);
    body["client_token"] = "tok3n with ü".into();
    account.post(&body).await.assert_problem(400);
    account.post(&json!("body-t3xt")).await.assert_problem(400);
    for payload in
        [r#"{"Records":["body-t3xt"]}"#, r#"{"detail-type":"body-t3xt"}"#, r#"{"region_id":"body-t3xt"}"#]
    {
        let error = account.invoke(payload).await.unwrap_err().to_string();
        assert!(!error.contains("body-t3xt"), "{error}");
    }
    let output = account.output();
    let others =
        ["whsec_", "MfKQ9r8G", "body-t3xt", "tok3n", "AWS4-HMAC", &signature[3..], &forged_signature[3..]];
    for forbidden in AWS_SECRETS.into_iter().chain(others) {
        assert!(!output.contains(forbidden), "{forbidden} in {output}");
    }
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let accepted = lines.iter().find(|line| line["message"] == "accepted").unwrap();
    assert_eq!((&accepted["level"], &accepted["trigger"]), (&json!("INFO"), &json!("webhook")));
    let span = &accepted["span"];
    assert_eq!((&span["request_id"], &span["endpoint_id"]), (&json!("msg_1"), &json!("ep-a")));
    assert!(span["lambda_request_id"].is_string() && span["xray_trace_id"].is_string(), "{span}");
    let refused =
        lines.iter().find(|line| line["message"].as_str().unwrap().starts_with("not authenticated")).unwrap();
    assert_eq!((&refused["level"], &refused["source_ip"]), (&json!("WARN"), &json!("127.0.0.1")));
    assert!(refused["span"]["lambda_request_id"].is_string());
    assert_eq!(lines.iter().filter(|line| line["level"] == "ERROR").count(), 3, "the failed invocations");
}

/// The crates and modules whose symbols a program has.
fn linked(program: &str, names: &[&'static str]) -> BTreeSet<&'static str> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols: Vec<_> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(symbols.len() > 10_000, "a test's build keeps its symbols");
    // A mangled name has each part with its length before it.
    let part = |name: &str| format!("{}{name}", name.len());
    let is_linked = |name: &&str| {
        let mangled: String = name.split("::").map(part).collect();
        symbols.iter().any(|symbol| symbol.contains(&mangled))
    };
    names.iter().copied().filter(is_linked).collect()
}

/// Every client of AWS that a program has symbols of.
fn aws_clients(program: &str) -> Vec<String> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    // A file's name says what was offered to the linker, not what it took.
    let taken = file.symbols().filter(|symbol| symbol.kind() != SymbolKind::File);
    let clients = taken.filter_map(|symbol| {
        let (_, after) = symbol.name().ok()?.split_once("aws_sdk_")?;
        let name: String = after.chars().take_while(char::is_ascii_lowercase).collect();
        Some(format!("aws_sdk_{name}"))
    });
    clients.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn it_links_no_code_of_alibaba_clouds_client_and_no_aws_client_that_it_does_not_use() {
    let names = [
        "privatelink_detach::alibaba",
        "privatelink_detach::intake",
        "privatelink_detach::worker",
        "aws_sdk_eventbridge",
        "aws_sdk_secretsmanager",
        "aws_sdk_sqs",
        "aws_sdk_sso",
        "aws_sdk_sts",
        "reqwest",
        "roxmltree",
    ];
    let intake = ["privatelink_detach::intake", "aws_sdk_secretsmanager", "aws_sdk_sqs"];
    assert_eq!(linked(env!("CARGO_BIN_EXE_intake"), &names), BTreeSet::from(intake));
    assert_eq!(aws_clients(env!("CARGO_BIN_EXE_intake")), ["aws_sdk_secretsmanager", "aws_sdk_sqs"]);
    let worker = [
        "privatelink_detach::alibaba",
        "privatelink_detach::worker",
        "aws_sdk_eventbridge",
        "aws_sdk_secretsmanager",
        "aws_sdk_sqs",
        "aws_sdk_sts",
        "reqwest",
        "roxmltree",
    ];
    assert_eq!(
        linked(env!("CARGO_BIN_EXE_worker"), &names),
        BTreeSet::from(worker),
        "so absence can be seen"
    );
}
