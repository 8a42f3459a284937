//! The intake's process: its start and its log.

use std::process::Command;

use local_aws::{Action, Fault, LocalAws, RuntimeApi};
use privatelink_detach::chat::identity::Platform;
use serde_json::{Value, json};

use crate::deployment::{
    AWS_SECRETS, Call, Deployment, Process, REQUESTS, SECRET, environment, request, webhook,
};
use crate::platforms::{self, BY_NOTICE, Driver, notices};
use crate::slack::{self, Clicked, NOTICES, SLACK_SECRETS, Typed};
use crate::{dingtalk, feishu};

#[tokio::test]
async fn every_configuration_error_is_logged_in_one_line_before_the_first_invocation() {
    let (aws, runtime_api) = (LocalAws::start().await.unwrap(), RuntimeApi::start().await.unwrap());
    let mut variables = environment(&aws, &runtime_api);
    variables.extend([
        ("DETACH_QUEUE_URL", aws.queue_url("requests")),
        ("PROTECTED_ENDPOINTS", "sg-a".to_owned()),
        ("WEBHOOK_SECRETS_ARN", SECRET.to_owned()),
        ("RUST_LOG", "loud".to_owned()),
        ("AWS_ENDPOINT_URL_SQS", "sqs.internal".to_owned()),
        ("no_proxy", "http://sqs.internal".to_owned()),
    ]);
    let (status, output) = Process::start(&variables).wait();
    assert_eq!(status, Some(1));
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let variables: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    let expected = [
        "RUST_LOG",
        "DETACH_QUEUE_URL",
        "PROTECTED_ENDPOINTS",
        "WEBHOOK_SECRETS_ARN",
        "AWS_ENDPOINT_URL_SQS",
        "no_proxy",
    ];
    assert_eq!(variables, expected);
    assert!(!output.contains(SECRET));
    assert_eq!(runtime_api.request_count(), 0);
}

#[tokio::test]
async fn process_outside_lambda_logs_advice_and_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_intake")).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["faults"].as_str().unwrap().contains("make demo"), "{line}");
}

#[tokio::test]
async fn log_line_names_its_request_and_contains_no_secret() {
    let deployment = Deployment::with(&[("RUST_LOG", "trace")]).await;
    let mut body = request("sg-a");
    body["metadata"] = json!({ "note": "body-t3xt" });
    let call = webhook(&body).signed_as("msg_1", 0, SECRET);
    let signature = call.headers["webhook-signature"].to_str().unwrap().to_owned();
    assert_eq!(deployment.call(call).await.status, 202);
    let forged = webhook(&body).signed_as("msg_2", 0, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let forged_signature = forged.headers["webhook-signature"].to_str().unwrap().to_owned();
    deployment.call(forged).await.assert_problem(401);
    body["client_token"] = "tok3n with ü".into();
    deployment.post(&body).await.assert_problem(400);
    deployment.post(&json!("body-t3xt")).await.assert_problem(400);
    for payload in
        [r#"{"Records":["body-t3xt"]}"#, r#"{"detail-type":"body-t3xt"}"#, r#"{"region_id":"body-t3xt"}"#]
    {
        let error = deployment.invoke(payload).await.unwrap_err().to_string();
        assert!(!error.contains("body-t3xt"), "{error}");
    }
    let output = deployment.output();
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
    assert_eq!(lines.iter().filter(|line| line["level"] == "ERROR").count(), 3, "one per failed invocation");
}

#[tokio::test]
async fn chat_leaves_no_secret_in_logs_messages_and_responses() {
    let deployment = slack::deployment_with(&[("RUST_LOG", "trace")]).await;
    let (value, forged) = (slack::button(1), slack::button(2).replace('.', "x."));
    let typed = |text: &str| Typed::new(text).call();
    let mut signatures = Vec::new();
    let mut responses = String::new();
    for call in [
        typed("detach sg-a ep-a eu-west-1 ticket=CHG-7"),
        typed("detach sg-body-t3xt! body-t3xt"),
        typed("help"),
        Typed { user: "U04OTHER", ..Typed::new("detach body-t3xt") }.call(),
        Clicked::approve(&value).call(),
        Clicked::decline(&value).call(),
        Clicked { user: "U04OTHER", ..Clicked::approve(&value) }.call(),
        Clicked { channel: "C04OTHER", ..Clicked::approve(&value) }.call(),
        Clicked::approve(&forged).call(),
        Clicked { action: "body-t3xt", ..Clicked::approve(&value) }.call(),
        slack::signed(slack::call(Typed::new("body-t3xt").body()), "0123456789abcdef0123", 0),
        slack::signed(slack::call(Clicked::approve(&value).body()), slack::SLACK_SECRET, -3600),
    ] {
        signatures.push(call.headers["x-slack-signature"].to_str().unwrap()["v0=".len()..].to_owned());
        responses += &deployment.call(call).await.body.to_string();
    }
    // A failure is logged with its cause.
    for action in [Action::SendMessageBatch, Action::SendMessage] {
        deployment.aws.queues().faults().plan(action, 9, Fault::QuotesRequest);
        responses += &deployment.call(Clicked::approve(&slack::button(3)).call()).await.body.to_string();
        deployment.aws.queues().faults().clear();
    }
    assert_eq!((deployment.messages().len(), slack::notices(&deployment).len()), (3, 4));
    let messages = [REQUESTS, NOTICES].map(|queue| deployment.aws.queues().messages(queue).unwrap().to_vec());
    let messages = format!("{messages:?}");
    let output = deployment.output();

    // What no text contains: both kinds of secrets, and what Slack's calls contain beside what is needed.
    let secrets = AWS_SECRETS.into_iter().chain(SLACK_SECRETS).chain([
        slack::SLACK_SECRET,
        slack::KEY,
        "body-t3xt",
        "us3r-name",
    ]);
    for forbidden in secrets.chain(signatures.iter().map(String::as_str)) {
        for (place, text) in [("log", &output), ("messages", &messages), ("responses", &responses)] {
            assert!(!text.contains(forbidden), "{forbidden} in the {place}: {text}");
        }
    }
    // The text that Slack signs, the buttons' values and the reply address are in no log line.
    for forbidden in ["v0:", &value[..40], &forged[..40], "chat_notice", "WyJ", "payload", "block_actions"] {
        assert!(!output.contains(forbidden), "{forbidden} in {output}");
    }
}

/// What no log line, message or response of chat in `DingTalk` or Feishu contains: the secrets, and what the calls contain
/// beside what is needed, such as the address for responses.
const CALL_SECRETS: [&str; 12] = [
    dingtalk::APP_SECRET,
    dingtalk::CARD_SECRET,
    dingtalk::OTHER_SECRET,
    feishu::ENCRYPT_KEY,
    feishu::VERIFICATION_TOKEN,
    feishu::OTHER_KEY,
    slack::KEY,
    "s3ssion",
    "us3r-name",
    "ev3nt-1",
    "body-t3xt",
    "n0nce",
];

/// Calls of every kind: accepted, refused, ignored, forged and unreadable.
fn calls_of_every_kind(driver: &'static Driver) -> Vec<Call> {
    let typed = |text: &str| platforms::Typed::new(driver, text);
    let (value, forged) = (driver.button(1), driver.button(2).replace('.', "x."));
    let approve = platforms::Clicked::approve(driver, &value);
    let own = driver.command_secret;
    let mut calls = vec![
        typed("detach sg-a ep-a eu-west-1 ticket=CHG-7").call(),
        typed("detach sg-body-t3xt! body-t3xt").call(),
        typed("help").call(),
        platforms::Typed { person: driver.other_person, ..typed("detach body-t3xt") }.call(),
        platforms::Typed { tenant: driver.other_tenant, ..typed("detach body-t3xt") }.call(),
        platforms::Typed { age: 300, ..typed("detach body-t3xt") }.call(),
        typed("body-t3xt").signed(driver.other_secret, 0),
        typed("body-t3xt").signed(own, 60),
        typed("body-t3xt").call().with_body("body-t3xt"),
        approve.call(),
        platforms::Clicked::decline(driver, &value).call(),
        platforms::Clicked { person: driver.requester, ..approve.clone() }.call(),
        platforms::Clicked { action: "body-t3xt", ..approve.clone() }.call(),
        platforms::Clicked::approve(driver, &forged).call(),
        approve.signed(driver.click_secret, -3600),
    ];
    let unreadable = ["body-t3xt", "{\"body-t3xt\":"];
    calls.extend(unreadable.map(|text| match driver.platform {
        Platform::Feishu => feishu::signed(feishu::call(feishu::encrypted(text.as_bytes(), own)), own, 0),
        _ => dingtalk::signed_message(dingtalk::call(text), own, 0),
    }));
    calls
}

#[tokio::test]
async fn chat_by_notices_leaves_no_secret_in_logs_messages_and_responses() {
    for driver in BY_NOTICE {
        let deployment = driver.deployment_with(&[("RUST_LOG", "trace")]).await;
        let mut signatures = Vec::new();
        let mut responses = String::new();
        for call in calls_of_every_kind(driver) {
            let signature = [driver.command_headers, driver.click_headers].map(|names| names.last().unwrap());
            let signature = signature.into_iter().find_map(|name| call.headers.get(*name)).unwrap();
            signatures.push(signature.to_str().unwrap().to_owned());
            responses += &deployment.call(call).await.body.to_string();
        }
        // A failure is logged with its cause.
        for action in [Action::SendMessageBatch, Action::SendMessage] {
            deployment.aws.queues().faults().plan(action, 9, Fault::QuotesRequest);
            for call in [
                platforms::Clicked::approve(driver, &driver.button(3)).call(),
                platforms::Typed::new(driver, "detach sg-b ep-b eu-west-1").call(),
            ] {
                responses += &deployment.call(call).await.body.to_string();
            }
            deployment.aws.queues().faults().clear();
        }
        let messages =
            [REQUESTS, NOTICES].map(|queue| deployment.aws.queues().messages(queue).unwrap().to_vec());
        let parsed = format!("{messages:?} {:?}", notices(&deployment));
        assert!(messages.iter().all(|messages| messages.len() >= 3), "{parsed}");
        let output = deployment.output();
        let secrets = AWS_SECRETS.into_iter().chain(CALL_SECRETS);
        for forbidden in secrets.chain(signatures.iter().map(String::as_str)) {
            for (place, text) in [("log", &output), ("messages", &parsed), ("responses", &responses)] {
                assert!(!text.contains(forbidden), "{forbidden} in the {place}: {text}");
            }
        }
        // The values of the buttons, the notices and the parts of a body are in no log line.
        let (value, forged) = (driver.button(1), driver.button(2).replace('.', "x."));
        for forbidden in [
            &value[..40],
            &forged[..40],
            "chat_notice",
            "chat_answer",
            "WyJ",
            "encrypt\"",
            "conversationId",
            "cardPrivateData",
            "open_id",
            "sessionWebhook",
        ] {
            assert!(!output.contains(forbidden), "{forbidden} in {output}");
        }
    }
}
