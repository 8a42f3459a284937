//! `doctor`.

use std::net::{Ipv4Addr, TcpListener};

use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, Seed};
use serde_json::{Value, json};

use crate::operator::{Operator, REGION};
use crate::program::Ended;

const DOCTOR: [&str; 3] = ["doctor", "--region", REGION];

/// Every check in its order, with its status.
fn statuses(report: &Value) -> Vec<(&str, &str)> {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().map(|check| (check["name"].as_str().unwrap(), check["status"].as_str().unwrap())).collect()
}

/// The statuses of a report in JSON, without the names.
fn states(ended: &Ended) -> Vec<String> {
    statuses(&ended.json()).into_iter().map(|(_, status)| status.to_owned()).collect()
}

/// The check of this name.
fn check(ended: &Ended, name: &str) -> Value {
    let report = ended.json();
    report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
}

async fn json_of(operator: &Operator) -> Ended {
    operator.run(&[&DOCTOR[..], &["-o", "json"]].concat()).await
}

#[tokio::test]
async fn machine_that_has_everything_passes_and_nothing_is_changed() {
    let operator = Operator::new().await.with_access_key();
    let ended = json_of(&operator).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    let report = ended.json();
    assert_eq!(
        statuses(&report),
        [
            ("credentials", "ok"),
            ("account", "ok"),
            ("clock", "ok"),
            ("connection", "ok"),
            ("ListVpcEndpoints", "ok"),
            ("ListVpcEndpointSecurityGroups", "ok"),
            ("DescribeSecurityGroups", "ok"),
            ("DetachSecurityGroupFromVpcEndpoint", "not_checked"),
        ]
    );
    let keys = ["name", "status", "detail", "advice"];
    for check in report["checks"].as_array().unwrap() {
        let fields: Vec<_> = check.as_object().unwrap().keys().collect();
        assert!(fields.len() == keys.len() && keys.iter().all(|key| check.get(key).is_some()), "{check}");
    }
    let counts = operator.cloud.cloud().counts().clone();
    assert_eq!(counts.of(Action::DetachSecurityGroupFromVpcEndpoint), 0);
    assert_eq!(counts.calls_total, 4, "{counts:?}");
}

#[tokio::test]
async fn table_has_one_line_for_each_check() {
    let operator = Operator::new().await.with_access_key();
    let ended = operator.run(&DOCTOR).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 8, "{}", ended.stdout);
    assert!(lines[0].starts_with("ok           credentials  "), "{}", lines[0]);
    assert!(lines[7].starts_with("not checked  DetachSecurityGroupFromVpcEndpoint  "), "{}", lines[7]);
    assert!(lines[7].contains("detach --dry-run"), "{}", lines[7]);
    assert!(!ended.stdout.contains('\u{1b}'), "no color without a terminal");
}

#[tokio::test]
async fn permission_to_attach_is_named_where_replacements_are_configured() {
    let operator = Operator::new().await.with_access_key().set("REPLACEMENT_SECURITY_GROUPS", "vpc-a=sg-s");
    let ended = json_of(&operator).await;
    let line = check(&ended, "AttachSecurityGroupToVpcEndpoint");
    assert_eq!((ended.status, &line["status"]), (0, &json!("not_checked")));
    assert!(line["detail"].as_str().unwrap().ends_with("names sg-s"), "{line}");
}

#[tokio::test]
async fn denied_permissions_fail_and_name_the_action() {
    let key = |denied: Action| AccessKey { denied_actions: [denied].into(), ..AccessKey::default() };
    let (ok, failed, not_checked) = ("ok", "failed", "not_checked");
    for (denied, status, expected) in [
        (Action::ListVpcEndpoints, 1, [failed, not_checked, not_checked, not_checked]),
        (Action::ListVpcEndpointSecurityGroups, 1, [ok, failed, not_checked, not_checked]),
        (Action::DescribeSecurityGroups, 0, [ok, ok, not_checked, not_checked]),
    ] {
        let operator = Operator::new().await.with_access_key();
        operator.cloud.cloud().set_access_key(key(denied));
        let ended = json_of(&operator).await;
        assert_eq!(
            (ended.status, &states(&ended)[4..]),
            (status, &expected.map(str::to_owned)[..]),
            "{denied}"
        );
        let advice = check(&ended, denied.name())["advice"].to_string();
        assert!(advice.contains(denied.name()), "{advice}");
    }
}

#[tokio::test]
async fn region_without_endpoints_leaves_the_groups_unchecked() {
    let operator = Operator::with(Seed::default()).await.with_access_key();
    let ended = json_of(&operator).await;
    assert_eq!(
        (ended.status, &states(&ended)[4..7]),
        (0, &["ok", "not_checked", "not_checked"].map(str::to_owned)[..])
    );
}

#[tokio::test]
async fn region_of_the_profile_is_checked_if_none_is_named() {
    let key = AccessKey::default();
    let mut profile = json!({ "name": "p", "mode": "AK", "access_key_id": key.access_key_id,
        "access_key_secret": key.access_key_secret, "region_id": REGION });
    let operator = Operator::new().await.profiles(&[profile.clone()]);
    let ended = operator.run(&["doctor", "-o", "json"]).await;
    assert_eq!(check(&ended, "connection")["detail"], format!("PrivateLink in {REGION} responds"));
    profile["region_id"] = json!("");
    let operator = operator.profiles(&[profile]);
    let ended = operator.run(&["doctor", "-o", "json"]).await;
    assert_eq!((ended.status, check(&ended, "connection")["status"].as_str()), (0, Some("not_checked")));
    assert!(check(&ended, "connection")["detail"].to_string().contains("--region"));
}

#[tokio::test]
async fn host_that_cannot_be_reached_is_named_with_its_cause() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let operator = Operator::new().await.with_access_key();
    let (url, sts) = (format!("http://{closed}"), operator.cloud.url());
    let arguments = [&DOCTOR[..], &["-o", "json", "--sts-endpoint-url", &sts]].concat();
    let ended = operator.run_at(&url, &arguments).await;
    let connection = check(&ended, "connection");
    assert_eq!((ended.status, connection["status"].as_str()), (1, Some("failed")), "{connection}");
    assert!(connection["detail"].to_string().contains("refused"), "{connection}");
    assert_eq!(check(&ended, "ListVpcEndpoints")["status"], "not_checked");

    // STS cannot be reached either: the account is not known, which is no problem of the credentials.
    let ended = operator.run_at(&url, &[&DOCTOR[..], &["-o", "json"]].concat()).await;
    let account = check(&ended, "account");
    assert_eq!((ended.status, account["status"].as_str()), (1, Some("failed")), "{account}");
    assert!(account["detail"].to_string().contains("refused"), "{account}");
    assert_eq!(check(&ended, "clock")["status"], "not_checked");
}

#[tokio::test]
async fn clock_that_is_hours_off_fails_and_the_rest_is_checked() {
    for (hours, direction) in [(3, "behind"), (-3, "ahead of")] {
        let operator = Operator::new().await.with_access_key();
        operator.cloud.cloud().change_settings(|settings| settings.clock_offset_ms = hours * 60 * 60 * 1000);
        let ended = json_of(&operator).await;
        let clock = check(&ended, "clock");
        assert_eq!((ended.status, clock["status"].as_str()), (1, Some("failed")), "{clock}");
        let detail = clock["detail"].as_str().unwrap();
        assert!(
            detail.contains(direction) && (detail.contains("3h") || detail.contains("2h 59m")),
            "{detail}"
        );
        assert_eq!(check(&ended, "DescribeSecurityGroups")["status"], "ok");
    }
}

#[tokio::test]
async fn credentials_that_are_refused_end_with_status_4() {
    let operator =
        Operator::new().await.with_access_key().set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong-s3cret");
    let ended = json_of(&operator).await;
    assert_eq!((ended.status, check(&ended, "account")["status"].as_str()), (4, Some("failed")));
    assert_eq!(operator.cloud.cloud().counts().calls_total, 1, "nothing else is called");

    // STS accepts them, PrivateLink does not.
    let operator = Operator::new().await.with_access_key();
    let refusal = Effect::code("InvalidAccessKeyId.Inactive");
    operator.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, refusal));
    let ended = json_of(&operator).await;
    assert_eq!((ended.status, check(&ended, "ListVpcEndpoints")["status"].as_str()), (4, Some("failed")));
}

#[tokio::test]
async fn endpoint_without_groups_is_read() {
    let endpoints = vec![Endpoint::new(REGION, "ep-none", [""; 0])];
    let operator = Operator::with(Seed { endpoints, ..Seed::default() }).await.with_access_key();
    let ended = json_of(&operator).await;
    assert_eq!((ended.status, &states(&ended)[5..7]), (0, &["ok", "not_checked"].map(str::to_owned)[..]));
}
