//! The last group of an endpoint with a configured replacement, over HTTP.

use std::time::Duration;

use local_aws::Action as Aws;
use privatelink_simulator::{AccessKey, Action, Effect, Fault};
use serde_json::{Value, json};

use crate::environment::{TestCredentials, TestEnvironment, TestSettings, attribute, request};
use crate::log;

const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;
const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// An endpoint in `vpc-a` with these groups. `sg-spare` exists, and is the replacement of `vpc-a`.
fn settings(groups: &[&str]) -> TestSettings {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", groups)]);
    settings.seed.endpoints[0].vpc_id = Some("vpc-a".to_owned());
    settings.seed.security_groups.insert("sg-spare".into());
    settings.seed.settings.attach_takes = Duration::from_millis(60);
    settings.variables = vec![("REPLACEMENT_SECURITY_GROUPS", "vpc-b=sg-other,vpc-a=sg-spare".to_owned())];
    settings
}

/// Whether this action is denied to the worker's `AccessKey`.
fn denying(action: Action) -> TestSettings {
    let mut key = AccessKey::default();
    key.denied_actions.insert(action);
    let mut settings = settings(&["sg-a"]);
    settings.seed.access_keys = vec![key];
    settings
}

/// The writes in their order, each with its group.
fn writes(env: &TestEnvironment) -> Vec<(String, String)> {
    let cloud = env.cloud.cloud();
    let writes = cloud.journal().iter().filter_map(|entry| {
        let group = entry.security_group_id.as_ref()?.to_string();
        Some((entry.action.clone()?, group))
    });
    writes.collect()
}

fn write(action: Action, group: &str) -> (String, String) {
    (action.name().to_owned(), group.to_owned())
}

fn errors() -> Vec<Value> {
    log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect()
}

#[tokio::test]
async fn last_group_is_detached_after_its_replacement_is_attached() {
    let env = TestEnvironment::start(settings(&["sg-a"])).await;
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]), (&json!("detached"), &Value::Null));
    let evidence = &event["evidence"];
    assert_eq!(evidence["replacement_security_group_id"], "sg-spare");
    assert_eq!(evidence["security_groups_before"], json!(["sg-a"]));
    assert_eq!(evidence["security_groups_after"], json!(["sg-spare"]));
    assert_eq!(event["effort"]["detach_calls"], 1, "an attach is no detach call");
    let ids = event["api_request_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 4, "the attach, the detach and the two reads that confirm it");
    assert_eq!(writes(&env), [write(ATTACH, "sg-spare"), write(DETACH, "sg-a")]);
    assert!(env.is_attached("ep-a", "sg-spare") && !env.is_attached("ep-a", "sg-a"));
    assert_eq!(env.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage]);

    let lines = log::lines();
    let accepted: Vec<_> =
        lines.iter().filter(|line| line["replacement_security_group_id"].is_string()).collect();
    let [line] = accepted[..] else { panic!("not one line: {accepted:?}") };
    assert_eq!(line["replacement_security_group_id"], "sg-spare");
    assert_eq!((&line["level"], &line["api_request_id"]), (&json!("INFO"), &ids[0]));
    assert_eq!(errors(), [Value::Null; 0]);
}

#[tokio::test]
async fn session_of_oidc_allows_the_attach_of_the_replacement() {
    let settings = TestSettings { credentials: TestCredentials::Oidc, ..settings(&["sg-a"]) };
    let env = TestEnvironment::start(settings).await;
    assert_eq!(env.detach("sg-a").await["outcome"], "detached");
    let session = env.cloud.cloud().sessions().next().unwrap().clone();
    let policy = serde_json::to_string(&session.session.unwrap().policy.unwrap()).unwrap();
    for group in ["sg-spare", "sg-other"] {
        assert!(policy.contains(&format!("acs:ecs:*:*:securitygroup/{group}\"")), "{policy}");
    }
}

#[tokio::test]
async fn replacement_is_attached_only_in_place_of_a_last_group_of_its_vpc() {
    for (groups, vpc, outcome) in [
        (&["sg-a", "sg-b"][..], "vpc-a", "detached"),
        (&["sg-a", "sg-spare"], "vpc-a", "detached"),
        (&["sg-a"], "vpc-c", "refused"),
    ] {
        let mut settings = settings(groups);
        settings.seed.endpoints[0].vpc_id = Some(vpc.to_owned());
        let env = TestEnvironment::start(settings).await;
        let event = env.detach("sg-a").await;
        assert_eq!(event["outcome"], outcome, "{groups:?} {vpc}");
        let found = if groups.contains(&"sg-spare") { json!("sg-spare") } else { Value::Null };
        assert_eq!(event["evidence"]["replacement_security_group_id"], found, "{groups:?} {vpc}");
        assert_eq!(env.calls(ATTACH), 0, "{groups:?} {vpc}");
    }
    let env = TestEnvironment::start(settings(&["sg-spare"])).await;
    let event = env.detach("sg-spare").await;
    assert_eq!(event["reason"]["code"], "EndpointMustContainSecurityGroup", "no group replaces itself");
    assert_eq!(writes(&env), []);
}

#[tokio::test]
async fn dry_run_of_a_last_group_checks_the_attach_and_changes_nothing() {
    let env = TestEnvironment::start(settings(&["sg-a"])).await;
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    env.send(&body);
    env.run().await;
    let event = env.only_event();
    assert_eq!(event["outcome"], "dry_run_passed");
    assert_eq!(event["evidence"]["replacement_security_group_id"], "sg-spare", "what would be attached");
    assert_eq!(event["evidence"]["security_groups_after"], json!(["sg-a"]));
    assert_eq!(writes(&env), [write(ATTACH, "sg-spare")]);
    assert!(
        env.cloud.cloud().journal().iter().all(|entry| entry.security_group_id.is_none() || entry.dry_run)
    );
    assert!(env.is_attached("ep-a", "sg-a") && !env.is_attached("ep-a", "sg-spare"));
    let passed: Vec<_> =
        log::lines().into_iter().filter(|line| line["message"] == "dry run passed").collect();
    assert!(passed.len() == 1 && passed[0]["action"] == ATTACH.name(), "{passed:?}");
}

#[tokio::test]
async fn ignored_dry_run_of_an_attach_is_refused_and_logged_as_an_error() {
    let env = TestEnvironment::start(settings(&["sg-a"])).await;
    let accepted = Effect::NonJson {
        status: http::StatusCode::OK,
        body: Some(r#"{"RequestId":"8D778FF9-7640-4C13-BCD6-9265CA9A2F81"}"#.to_owned()),
    };
    env.cloud.cloud().inject(Fault::on(ATTACH, accepted));
    let mut body = request("ep-a", "sg-a");
    body["dry_run"] = json!(true);
    env.send(&body);
    env.run().await;
    let event = env.only_event();
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("DryRunIgnored")));
    assert!(
        event["reason"]["message"].as_str().unwrap().contains("the replacement may be attached now"),
        "{event:#}"
    );
    assert_eq!(event["evidence"]["replacement_security_group_id"], "sg-spare");
    assert_eq!(event["api_request_ids"], json!(["8D778FF9-7640-4C13-BCD6-9265CA9A2F81"]));
    let errors = errors();
    assert!(errors.len() == 1 && errors[0]["reason_code"] == "DryRunIgnored", "{errors:?}");
}

#[tokio::test]
async fn refused_replacement_ends_the_request_and_leaves_the_endpoint_unchanged() {
    for (code, is_copied) in [
        ("SecurityGroupNotFound", false),
        ("AddSecurityGroupNotSupportWhenHaveNoSg", false),
        ("WrongVpc", true),
    ] {
        let env = TestEnvironment::start(settings(&["sg-a"])).await;
        let refusal = Effect::code_with_status(code, http::StatusCode::BAD_REQUEST);
        env.cloud.cloud().inject(Fault::on(ATTACH, refusal));
        let event = env.detach("sg-a").await;
        let reason = &event["reason"];
        assert_eq!(
            (&event["outcome"], &reason["code"]),
            (&json!("refused"), &json!("ReplacementNotAttached"))
        );
        assert_eq!(reason["runbook"], "docs/runbook.md#replacementnotattached");
        let message = reason["message"].as_str().unwrap();
        assert!(message.contains(&format!("refuses to attach its replacement: {code}")), "{message}");
        assert_eq!(event["evidence"]["replacement_security_group_id"], Value::Null, "{code}");
        assert_eq!(env.calls(DETACH), 0, "{code}");
        assert!(env.is_attached("ep-a", "sg-a"), "{code}");
        let copies: Vec<_> = env.dead_letters().iter().map(|copy| attribute(copy, "reason_code")).collect();
        let expected = is_copied.then(|| Some("ReplacementNotAttached".to_owned()));
        assert_eq!(copies, Vec::from_iter(expected), "{code}: a code that the table does not know is copied");
    }
}

#[tokio::test]
async fn missing_permission_to_attach_is_copied_to_the_dead_letter_queue() {
    let env = TestEnvironment::start(denying(ATTACH)).await;
    let event = env.detach("sg-a").await;
    assert_eq!(event["reason"]["code"], "ReplacementNotAttached");
    let (message, advice) = (&event["reason"]["message"], event["reason"]["advice"].as_str().unwrap());
    assert!(message.as_str().unwrap().contains("NoPermission"), "{message}");
    for part in ["privatelink:AttachSecurityGroupToVpcEndpoint", "securitygroup/{replacement}"] {
        assert!(advice.contains(part), "{advice}");
    }
    assert_eq!(attribute(&env.dead_letters()[0], "reason_code").as_deref(), Some("ReplacementNotAttached"));
    assert_eq!((env.calls(ATTACH), env.calls(DETACH)), (1, 0));
}

#[tokio::test]
async fn replacement_stays_if_the_detach_is_refused_after_it() {
    let env = TestEnvironment::start(denying(DETACH)).await;
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("NoPermission")));
    let message = event["reason"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("The attach of the replacement sg-spare was accepted and is not undone"),
        "{message}"
    );
    assert_eq!(event["evidence"]["replacement_security_group_id"], "sg-spare");
    assert_eq!(event["evidence"]["security_groups_after"], json!(["sg-a", "sg-spare"]));
    assert!(env.is_attached("ep-a", "sg-a") && env.is_attached("ep-a", "sg-spare"));
    assert_eq!(writes(&env), [write(ATTACH, "sg-spare"), write(DETACH, "sg-a")]);
}

#[tokio::test]
async fn attach_whose_response_is_lost_is_not_repeated() {
    for effect in [Effect::Hang, Effect::Reset, Effect::Empty] {
        let env = TestEnvironment::start(settings(&["sg-a"])).await;
        env.cloud.cloud().inject(Fault::on(ATTACH, effect.clone()).nth(1).after_execution());
        let event = env.detach("sg-a").await;
        assert_eq!(event["outcome"], "detached", "{effect:?}: {event:#}");
        assert_eq!(event["evidence"]["replacement_security_group_id"], "sg-spare", "{effect:?}");
        let counts = env.cloud.cloud().counts().endpoint("ep-a");
        assert_eq!((counts.attaches_accepted, counts.detaches_accepted), (1, 1), "{effect:?}");
    }
}
