//! Every outcome: its event, what happens to its message, and what was called for it.

use std::time::{Duration, SystemTime};

use local_aws::Action as Aws;
use local_aws::mapping::{Success, Verdict};
use privatelink_simulator::{AccessKey, Action, DetachEffect, Effect, Endpoint, Fault};
use serde_json::{Value, json};

use crate::log;
use crate::stage::{REGION, Setting, Stage, attribute, request};

#[tokio::test]
async fn a_detach_is_proved_published_and_only_then_deleted() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["metadata"] = json!({ "ticket": "7" });
    let message_id = stage.send(&body);
    let verdict = stage.deliver().await;
    assert_eq!(verdict, Verdict::AllSucceeded(Success::EmptyList));
    assert!(!stage.is_attached("ep-a", "sg-a"));

    let event = stage.only_event();
    assert_eq!(event["outcome"], "detached");
    assert_eq!(event["request_id"], message_id.as_str());
    assert_eq!(event["trigger"], "queue");
    assert_eq!(event["evidence"]["security_groups_before"], json!(["sg-a", "sg-b"]));
    assert_eq!(event["evidence"]["security_groups_after"], json!(["sg-b"]));
    assert_eq!(event["evidence"]["endpoint_status"], "Active");
    assert_eq!(event["metadata"], json!({ "ticket": "7" }));
    assert_eq!(event["effort"]["deliveries"], 1);
    assert_eq!(event["effort"]["detach_calls"], 1);
    assert_eq!(event["effort"]["retries"], json!({}));
    assert_eq!(
        event["api_request_ids"].as_array().unwrap().len(),
        3,
        "the detach and the two reads that prove it"
    );
    assert_eq!(stage.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage]);
    assert_eq!(stage.waiting(), 0);
}

#[tokio::test]
async fn a_happy_detach_makes_no_call_too_many() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let event = stage.detach("sg-a").await;
    let polls = stage.calls(Action::ListVpcEndpointSecurityGroups) - 2;
    assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
    assert_eq!(stage.calls(Action::ListVpcEndpoints), 2, "the first look and the proof");
    assert!((0..=8).contains(&polls), "{polls} polls in 60 ms");
    assert_eq!(event["effort"]["read_calls"], json!(polls + 4));
}

#[tokio::test]
async fn a_repeated_request_writes_nothing() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    stage.send(&request("ep-a", "sg-a"));
    stage.send(&request("ep-a", "sg-a"));
    stage.run().await;
    let outcomes: Vec<_> = stage.events().iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["detached", "already_detached"]);
    assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
}

#[tokio::test]
async fn what_was_never_attached_is_already_detached() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    let event = stage.detach("sg-a").await;
    assert_eq!(event["outcome"], "already_detached");
    assert_eq!(event["evidence"]["security_groups_before"], json!(["sg-b"]));
    assert_eq!(event["evidence"]["security_groups_after"], json!(["sg-b"]));
    assert!(event["evidence"]["confirmed_at"].is_string());
    assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
}

#[tokio::test]
async fn a_dry_run_passes_without_detaching() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    stage.send(&body);
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(event["outcome"], "dry_run_passed");
    assert_eq!(event["evidence"]["confirmed_at"], Value::Null);
    assert!(stage.is_attached("ep-a", "sg-a"));
    assert!(stage.dead_letters().is_empty());
}

#[tokio::test]
async fn a_dry_run_that_was_carried_out_is_refused_loudly() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    // A service that ignores DryRun answers as if it had accepted.
    let accepted =
        Effect::NonJson { status: http::StatusCode::OK, body: Some(r#"{"RequestId":"R-1"}"#.to_owned()) };
    stage.cloud.cloud().inject(Fault::on(Action::DetachSecurityGroupFromVpcEndpoint, accepted));
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    stage.send(&body);
    stage.run().await;
    let event = stage.only_event();
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("DryRunIgnored")));
    assert_eq!(event["api_request_ids"], json!(["R-1"]));
    let alarms: Vec<_> = log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(alarms.len() == 1 && alarms[0]["reason_code"] == "DryRunIgnored", "{alarms:?}");
}

#[tokio::test]
async fn an_endpoint_that_disappears_is_gone_and_one_that_never_was_is_refused() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    stage.cloud.cloud().change_settings(|settings| settings.detach_effect = DetachEffect::Nothing);
    stage.send(&request("ep-a", "sg-a"));
    let removal = async {
        stage.called(Action::DetachSecurityGroupFromVpcEndpoint, 1).await;
        stage.cloud.cloud().remove_endpoint("ep-a", SystemTime::now());
    };
    tokio::join!(stage.run(), removal);
    assert_eq!(stage.only_event()["outcome"], "endpoint_gone");
    assert!(stage.dead_letters().is_empty());

    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    stage.send(&request("ep-mistyped", "sg-a"));
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("EndpointNotFound"))
    );
    assert!(stage.dead_letters().is_empty(), "an answered request is no dead letter");
}

#[tokio::test]
async fn the_last_group_is_refused_before_anything_is_asked() {
    let stage = Stage::with_groups(&["sg-a"]).await;
    let event = stage.detach("sg-a").await;
    assert_eq!(event["reason"]["code"], "EndpointMustContainSecurityGroup");
    assert_eq!(event["reason"]["runbook"], "docs/runbook.md#endpointmustcontainsecuritygroup");
    assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
    assert_eq!(stage.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn a_denial_is_copied_so_that_one_bad_policy_destroys_no_backlog() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    let mut key = AccessKey::default();
    key.denied_actions.insert(Action::DetachSecurityGroupFromVpcEndpoint);
    setting.seed.access_keys = vec![key];
    let stage = Stage::set(setting).await;
    let event = stage.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("NoPermission")));
    let advice = event["reason"]["advice"].as_str().unwrap();
    assert!(advice.contains("privatelink:DetachSecurityGroupFromVpcEndpoint"), "{advice}");
    assert_eq!(
        stage.aws_calls(),
        [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage],
        "copy, event, delete"
    );
    assert_eq!(attribute(&stage.dead_letters()[0], "reason_code").as_deref(), Some("NoPermission"));
}

#[tokio::test]
async fn a_rejected_message_is_copied_byte_for_byte_and_nothing_is_called() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let body = r#"{ "region_id":"evil.com/#", "endpoint_id":"ep-a",  "dryrun":true, "request_id":"r-1" }"#;
    let message_id = stage.send_message(body.to_owned(), "lane", &[("trigger", "webhook")]);
    stage.run().await;
    let event = stage.only_event();
    assert_eq!((&event["outcome"], &event["request_id"]), (&json!("rejected"), &json!("r-1")));
    assert_eq!((&event["region_id"], &event["endpoint_id"]), (&Value::Null, &json!("ep-a")));
    assert_eq!((&event["trigger"], &event["reason"]["code"]), (&json!("webhook"), &json!("InvalidRequest")));
    let message = event["reason"]["message"].as_str().unwrap();
    for field in ["region_id", "dryrun", "security_group_id"] {
        assert!(message.contains(field), "{message}");
    }

    let letters = stage.dead_letters();
    assert_eq!((letters.len(), letters[0].body.as_str()), (1, body));
    assert_eq!(letters[0].group.as_deref(), Some("lane"));
    assert_eq!(letters[0].deduplication_id.as_deref(), Some(message_id.as_str()));
    for (name, value) in [
        ("reason_code", "InvalidRequest"),
        ("outcome", "rejected"),
        ("request_id", "r-1"),
        ("source_message_id", &message_id),
        ("trigger", "webhook"),
    ] {
        assert_eq!(attribute(&letters[0], name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(stage.cloud.cloud().counts().calls_total, 0);
    assert_eq!(stage.aws_calls(), [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn no_hostile_region_makes_a_call() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let long = "cn-".to_owned() + &"a".repeat(300);
    let hostile = ["evil.com/#", "127.0.0.1:80", "cn-hangzhou.evil.com", "EU-WEST-1", long.as_str(), ""];
    for region in hostile {
        let body = json!({ "region_id": region, "endpoint_id": "ep-a", "security_group_id": "sg-a" });
        stage.send_message(body.to_string(), "lane", &[]);
    }
    stage.run().await;
    assert_eq!(stage.events().len(), hostile.len());
    assert!(stage.events().iter().all(|event| event["outcome"] == "rejected"));
    assert_eq!(stage.cloud.cloud().counts().calls_total, 0);
}

#[tokio::test]
async fn what_this_deployment_forbids_is_rejected_by_its_code() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    setting.environment = vec![
        ("ALLOWED_REGIONS", REGION.to_owned()),
        ("PROTECTED_SECURITY_GROUPS", "sg-safe".to_owned()),
        ("PROTECTED_ENDPOINTS", "ep-safe".to_owned()),
    ];
    let stage = Stage::set(setting).await;
    stage.send(&json!({ "region_id": "eu-west-2", "endpoint_id": "ep-a", "security_group_id": "sg-a" }));
    stage.send(&request("ep-a", "sg-safe"));
    stage.send(&request("ep-safe", "sg-a"));
    stage.run().await;
    let mut codes: Vec<_> = stage.events().iter().map(|event| event["reason"]["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, [r#""ProtectedEndpoint""#, r#""ProtectedSecurityGroup""#, r#""RegionNotAllowed""#]);
    assert_eq!((stage.dead_letters().len(), stage.cloud.cloud().counts().calls_total), (3, 0));
}

#[tokio::test]
async fn past_its_deadline_a_request_gets_one_last_look_and_a_dead_letter() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    let message_id = stage.send(&body);
    stage.aws.advance(Duration::from_secs(31));
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("unconfirmed"), &json!("DeadlineExceeded"))
    );
    assert!(event["reason"]["message"].as_str().unwrap().contains("group Attached, endpoint Active"));
    assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
    assert_eq!(stage.calls(Action::ListVpcEndpointSecurityGroups), 1);
    let letters = stage.dead_letters();
    assert_eq!(attribute(&letters[0], "source_message_id"), Some(message_id));
    assert_eq!(attribute(&letters[0], "outcome").as_deref(), Some("unconfirmed"));
    assert_eq!(stage.aws_calls(), [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn past_its_deadline_a_detached_group_is_still_a_success() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    stage.send(&body);
    stage.aws.advance(Duration::from_secs(31));
    stage.run().await;
    assert_eq!(stage.only_event()["outcome"], "already_detached");
}

#[tokio::test]
async fn a_redriven_copy_keeps_its_name() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let body = request("ep-a", "sg-a").to_string();
    stage.send_message(body, "eu-west-1/ep-a", &[("request_id", "first-name"), ("trigger", "schedule")]);
    stage.run().await;
    let event = stage.only_event();
    assert_eq!((&event["request_id"], &event["trigger"]), (&json!("first-name"), &json!("schedule")));
}

#[tokio::test]
async fn a_body_too_large_for_attributes_is_copied_without_them() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let body = "x".repeat(1024 * 1024 - 100);
    stage.send_message(body.clone(), "lane", &[]);
    stage.run().await;
    let letters = stage.dead_letters();
    assert_eq!((letters[0].body.len(), letters[0].attributes.len()), (body.len(), 0));
}

#[tokio::test]
async fn the_callers_client_token_is_used_for_the_first_call_only() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    stage.cloud.cloud().inject(Fault::on(detach, Effect::code("EndpointLocked")).nth(1));
    let mut body = request("ep-a", "sg-a");
    body["client_token"] = json!("mine");
    stage.send(&body);
    stage.run().await;
    let tokens: Vec<_> = {
        let cloud = stage.cloud.cloud();
        cloud.journal().iter().filter_map(|entry| entry.client_token.clone()).collect()
    };
    assert_eq!((tokens.len(), tokens[0].as_str()), (2, "mine"));
    assert_ne!(tokens[1], "mine");
}

#[tokio::test]
async fn an_endpoint_in_another_state_is_waited_for() {
    for (status, becomes) in [("Creating", "Active"), ("Pending", "Active")] {
        let mut setting = Setting::default();
        let mut endpoint = Endpoint::new(REGION, "ep-a", ["sg-a", "sg-b"]);
        endpoint.endpoint_status = status.to_owned();
        setting.seed.endpoints = vec![endpoint];
        let stage = Stage::set(setting).await;
        stage.send(&request("ep-a", "sg-a"));
        let change = async {
            stage.called(Action::ListVpcEndpoints, 1).await;
            let now = SystemTime::now();
            stage
                .cloud
                .cloud()
                .change_endpoint("ep-a", now, |endpoint| endpoint.endpoint_status = becomes.to_owned());
        };
        tokio::join!(stage.run(), change);
        assert_eq!(stage.only_event()["outcome"], "detached", "{status}");
        assert_eq!(stage.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
    }
}
