//! Every outcome: its event, its message, and the calls that lead to it.

use std::time::{Duration, SystemTime};

use local_aws::Action as Aws;
use local_aws::mapping::{Success, Verdict};
use privatelink_simulator::{AccessKey, Action, DetachEffect, Effect, Endpoint, Fault};
use serde_json::{Value, json};

use crate::environment::{REGION, TestEnvironment, TestSettings, attribute, request};
use crate::log;

#[tokio::test]
async fn detach_is_confirmed_and_published_before_the_message_is_deleted() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["metadata"] = json!({ "ticket": "7" });
    let message_id = env.send(&body);
    let verdict = env.deliver().await;
    assert_eq!(verdict, Verdict::AllSucceeded(Success::EmptyList));
    assert!(!env.is_attached("ep-a", "sg-a"));

    let event = env.only_event();
    assert_eq!(event["outcome"], "detached");
    assert_eq!(event["request_id"], message_id.as_str());
    assert_eq!((&event["trigger"], &event["dry_run"]), (&json!("queue"), &json!(false)));
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
        "the detach and the two reads that confirm it"
    );
    assert_eq!(env.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage]);
    assert_eq!(env.waiting(), 0);
}

#[tokio::test]
async fn reason_names_the_section_in_the_runbook_of_the_deployment() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a"])]);
    settings.variables.push(("RUNBOOK_URL", "https://git.example.com/runbook".to_owned()));
    let env = TestEnvironment::start(settings).await;
    let event = env.detach("sg-a").await;
    let section = "https://git.example.com/runbook#endpointmustcontainsecuritygroup";
    assert_eq!(event["reason"]["runbook"], section);
    assert_eq!(env.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap()["reason"]["runbook"], section);
}

#[tokio::test]
async fn deployment_of_dry_runs_detaches_nothing_and_its_events_say_so() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    settings.variables.push(("DRY_RUN_ONLY", "true".to_owned()));
    let env = TestEnvironment::start(settings).await;
    let mut explicit = request("ep-a", "sg-a");
    explicit["dry_run"] = json!(false);
    env.send(&request("ep-a", "sg-a"));
    env.send(&explicit);
    env.run().await;
    let direct = env.invoke(&explicit.to_string()).await.unwrap();
    let events = env.events();
    assert_eq!((events.len(), &events[2]), (3, &direct));
    for event in &events {
        assert_eq!((&event["outcome"], &event["dry_run"]), (&json!("dry_run_passed"), &json!(true)));
    }
    assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").detaches_accepted, 0);
    assert!(env.is_attached("ep-a", "sg-a"));
}

#[tokio::test]
async fn successful_detach_makes_no_unnecessary_calls() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let event = env.detach("sg-a").await;
    let polls = env.calls(Action::ListVpcEndpointSecurityGroups) - 2;
    assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
    assert_eq!(env.calls(Action::ListVpcEndpoints), 2, "the first read and the confirmation");
    assert!((0..=8).contains(&polls), "{polls} polls in 60 ms");
    assert_eq!(event["effort"]["read_calls"], json!(polls + 4));
}

#[tokio::test]
async fn repeated_request_makes_no_write() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.send(&request("ep-a", "sg-a"));
    env.send(&request("ep-a", "sg-a"));
    env.run().await;
    let outcomes: Vec<_> = env.events().iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["detached", "already_detached"]);
    assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
}

#[tokio::test]
async fn group_that_was_never_attached_ends_as_already_detached() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    let event = env.detach("sg-a").await;
    assert_eq!(event["outcome"], "already_detached");
    assert_eq!(event["evidence"]["security_groups_before"], json!(["sg-b"]));
    assert_eq!(event["evidence"]["security_groups_after"], json!(["sg-b"]));
    assert!(event["evidence"]["confirmed_at"].is_string());
    assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
}

#[tokio::test]
async fn dry_run_passes_without_detaching() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    env.send(&body);
    env.run().await;
    let event = env.only_event();
    assert_eq!(event["outcome"], "dry_run_passed");
    assert_eq!(event["evidence"]["confirmed_at"], Value::Null);
    assert!(env.is_attached("ep-a", "sg-a"));
    assert!(env.dead_letters().is_empty());
}

#[tokio::test]
async fn ignored_dry_run_is_refused_and_logged_as_an_error() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    // A service that ignores DryRun responds as to an accepted detach.
    let accepted = Effect::NonJson {
        status: http::StatusCode::OK,
        body: Some(r#"{"RequestId":"8D778FF9-7640-4C13-BCD6-9265CA9A2F81"}"#.to_owned()),
    };
    env.cloud.cloud().inject(Fault::on(Action::DetachSecurityGroupFromVpcEndpoint, accepted));
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    env.send(&body);
    env.run().await;
    let event = env.only_event();
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("DryRunIgnored")));
    assert_eq!(event["api_request_ids"], json!(["8D778FF9-7640-4C13-BCD6-9265CA9A2F81"]));
    let errors: Vec<_> = log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.len() == 1 && errors[0]["reason_code"] == "DryRunIgnored", "{errors:?}");
}

#[tokio::test]
async fn deleted_endpoint_ends_as_endpoint_gone_and_unknown_endpoint_is_refused() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.cloud.cloud().change_settings(|settings| settings.detach_effect = DetachEffect::Nothing);
    env.send(&request("ep-a", "sg-a"));
    let removal = async {
        env.wait_for_calls(Action::DetachSecurityGroupFromVpcEndpoint, 1).await;
        env.cloud.cloud().remove_endpoint("ep-a", SystemTime::now());
    };
    tokio::join!(env.run(), removal);
    assert_eq!(env.only_event()["outcome"], "endpoint_gone");
    assert!(env.dead_letters().is_empty());

    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.send(&request("ep-mistyped", "sg-a"));
    env.run().await;
    let event = env.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("EndpointNotFound"))
    );
    assert!(env.dead_letters().is_empty(), "a refusal that is not a denial is not copied");
}

#[tokio::test]
async fn last_group_is_refused_without_a_detach_call() {
    let env = TestEnvironment::with_groups(&["sg-a"]).await;
    let event = env.detach("sg-a").await;
    assert_eq!(event["reason"]["code"], "EndpointMustContainSecurityGroup");
    assert_eq!(event["reason"]["runbook"], "docs/runbook.md#endpointmustcontainsecuritygroup");
    assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
    assert_eq!(env.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn ram_denial_is_copied_to_the_dead_letter_queue() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    let mut key = AccessKey::default();
    key.denied_actions.insert(Action::DetachSecurityGroupFromVpcEndpoint);
    settings.seed.access_keys = vec![key];
    let env = TestEnvironment::start(settings).await;
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("NoPermission")));
    let advice = event["reason"]["advice"].as_str().unwrap();
    assert!(advice.contains("privatelink:DetachSecurityGroupFromVpcEndpoint"), "{advice}");
    assert_eq!(
        env.aws_calls(),
        [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage],
        "first the copy, then the event, then the delete"
    );
    assert_eq!(attribute(&env.dead_letters()[0], "reason_code").as_deref(), Some("NoPermission"));
}

#[tokio::test]
async fn rejected_message_is_copied_byte_for_byte_and_makes_no_call() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let body = r#"{ "region_id":"evil.com/#", "endpoint_id":"ep-a",  "dryrun":true, "request_id":"r-1" }"#;
    let message_id = env.send_message(body.to_owned(), "lane", &[("trigger", "webhook")]);
    env.run().await;
    let event = env.only_event();
    assert_eq!((&event["outcome"], &event["request_id"]), (&json!("rejected"), &json!("r-1")));
    assert_eq!((&event["region_id"], &event["endpoint_id"]), (&Value::Null, &json!("ep-a")));
    assert_eq!((&event["trigger"], &event["reason"]["code"]), (&json!("webhook"), &json!("InvalidRequest")));
    let message = event["reason"]["message"].as_str().unwrap();
    for field in ["region_id", "dryrun", "security_group_id"] {
        assert!(message.contains(field), "{message}");
    }

    let dead_letters = env.dead_letters();
    assert_eq!((dead_letters.len(), dead_letters[0].body.as_str()), (1, body));
    assert_eq!(dead_letters[0].group.as_deref(), Some("lane"));
    assert_eq!(dead_letters[0].deduplication_id.as_deref(), Some(message_id.as_str()));
    for (name, value) in [
        ("reason_code", "InvalidRequest"),
        ("outcome", "rejected"),
        ("request_id", "r-1"),
        ("source_message_id", &message_id),
        ("trigger", "webhook"),
    ] {
        assert_eq!(attribute(&dead_letters[0], name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(env.cloud.cloud().counts().calls_total, 0);
    assert_eq!(env.aws_calls(), [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn invalid_region_ids_make_no_call() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let long = "cn-".to_owned() + &"a".repeat(300);
    let invalid = ["evil.com/#", "127.0.0.1:80", "cn-hangzhou.evil.com", "EU-WEST-1", long.as_str(), ""];
    for region in invalid {
        let body = json!({ "region_id": region, "endpoint_id": "ep-a", "security_group_id": "sg-a" });
        env.send_message(body.to_string(), "lane", &[]);
    }
    env.run().await;
    assert_eq!(env.events().len(), invalid.len());
    assert!(env.events().iter().all(|event| event["outcome"] == "rejected"));
    assert_eq!(env.cloud.cloud().counts().calls_total, 0);
}

#[tokio::test]
async fn disallowed_region_and_protected_resources_are_rejected() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    settings.variables = vec![
        ("ALLOWED_REGIONS", REGION.to_owned()),
        ("PROTECTED_SECURITY_GROUPS", "sg-protected".to_owned()),
        ("PROTECTED_ENDPOINTS", "ep-protected".to_owned()),
    ];
    let env = TestEnvironment::start(settings).await;
    env.send(&json!({ "region_id": "eu-west-2", "endpoint_id": "ep-a", "security_group_id": "sg-a" }));
    env.send(&request("ep-a", "sg-protected"));
    env.send(&request("ep-protected", "sg-a"));
    env.run().await;
    let mut codes: Vec<_> = env.events().iter().map(|event| event["reason"]["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, [r#""ProtectedEndpoint""#, r#""ProtectedSecurityGroup""#, r#""RegionNotAllowed""#]);
    assert_eq!((env.dead_letters().len(), env.cloud.cloud().counts().calls_total), (3, 0));
}

#[tokio::test]
async fn expired_request_gets_one_last_read_and_a_dead_letter() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    let message_id = env.send(&body);
    env.advance(Duration::from_secs(31));
    env.run().await;
    let event = env.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("unconfirmed"), &json!("DeadlineExceeded"))
    );
    assert!(event["reason"]["message"].as_str().unwrap().contains("group Attached, endpoint Active"));
    assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 0);
    assert_eq!(env.calls(Action::ListVpcEndpointSecurityGroups), 1);
    let dead_letters = env.dead_letters();
    assert_eq!(attribute(&dead_letters[0], "source_message_id"), Some(message_id));
    assert_eq!(attribute(&dead_letters[0], "outcome").as_deref(), Some("unconfirmed"));
    assert_eq!(env.aws_calls(), [Aws::SendMessage, Aws::PutEvents, Aws::DeleteMessage]);
}

#[tokio::test]
async fn expired_request_succeeds_if_the_group_is_detached() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    env.send(&body);
    env.advance(Duration::from_secs(31));
    env.run().await;
    assert_eq!(env.only_event()["outcome"], "already_detached");
}

#[tokio::test]
async fn redriven_copy_keeps_its_request_id_and_trigger() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let body = request("ep-a", "sg-a").to_string();
    env.send_message(body, "eu-west-1/ep-a", &[("request_id", "original-id"), ("trigger", "schedule")]);
    env.run().await;
    let event = env.only_event();
    assert_eq!((&event["request_id"], &event["trigger"]), (&json!("original-id"), &json!("schedule")));
}

#[tokio::test]
async fn body_too_large_for_attributes_is_copied_without_them() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let body = "x".repeat(1024 * 1024 - 100);
    env.send_message(body.clone(), "lane", &[]);
    env.run().await;
    let dead_letters = env.dead_letters();
    assert_eq!((dead_letters[0].body.len(), dead_letters[0].attributes.len()), (body.len(), 0));
}

#[tokio::test]
async fn client_token_of_the_request_is_used_only_for_the_first_call() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    env.cloud.cloud().inject(Fault::on(detach, Effect::code("EndpointLocked")).nth(1));
    let mut body = request("ep-a", "sg-a");
    body["client_token"] = json!("mine");
    env.send(&body);
    env.run().await;
    let tokens: Vec<_> = {
        let cloud = env.cloud.cloud();
        cloud.journal().iter().filter_map(|entry| entry.client_token.clone()).collect()
    };
    assert_eq!((tokens.len(), tokens[0].as_str()), (2, "mine"));
    assert_ne!(tokens[1], "mine");
}

#[tokio::test]
async fn creating_or_pending_endpoint_is_polled_until_it_is_active() {
    for (status, becomes) in [("Creating", "Active"), ("Pending", "Active")] {
        let mut settings = TestSettings::default();
        let mut endpoint = Endpoint::new(REGION, "ep-a", ["sg-a", "sg-b"]);
        endpoint.endpoint_status = status.to_owned();
        settings.seed.endpoints = vec![endpoint];
        let env = TestEnvironment::start(settings).await;
        env.send(&request("ep-a", "sg-a"));
        let change = async {
            env.wait_for_calls(Action::ListVpcEndpoints, 1).await;
            let now = SystemTime::now();
            env.cloud
                .cloud()
                .change_endpoint("ep-a", now, |endpoint| endpoint.endpoint_status = becomes.to_owned());
        };
        tokio::join!(env.run(), change);
        assert_eq!(env.only_event()["outcome"], "detached", "{status}");
        assert_eq!(env.calls(Action::DetachSecurityGroupFromVpcEndpoint), 1);
    }
}
