//! Where the credentials come from: every mode of a profile, the order of the sources, and what is said about those that
//! cannot be used.

use local_aws::WebIdentity;
use privatelink_detach::clock::Clock;
use privatelink_simulator::{AccessKey, Action, Effect, Fault, OWNER, OidcProvider, Role};
use serde_json::{Value, json};

use crate::operator::{Operator, REGION};
use crate::program::Ended;
#[cfg(unix)]
use crate::program::{signal, spawn, wait};

const ROLE: &str = "acs:ram::1234567890123456:role/operator";
const MIDDLE: &str = "acs:ram::1234567890123456:role/middle";
const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/idp";
const AUDIENCE: &str = "privatelink-detach";

const DOCTOR: [&str; 5] = ["doctor", "--region", REGION, "-o", "json"];

/// A profile of the simulator's `AccessKey`.
fn profile(name: &str, mode: &str, fields: &Value) -> Value {
    let key = AccessKey::default();
    let mut profile = json!({ "name": name, "mode": mode, "access_key_id": key.access_key_id,
        "access_key_secret": key.access_key_secret, "region_id": REGION });
    profile.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    profile
}

/// A check of the report: its status and detail.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    (check["status"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

/// The source and the account of a run that succeeded.
fn accepted(ended: &Ended) -> (String, String) {
    assert_eq!(ended.status, 0, "{ended:?}");
    let report = ended.json();
    let (source, account) = (check(&report, "credentials"), check(&report, "account"));
    assert_eq!((source.0, account.0), ("ok", "ok"));
    (source.1.to_owned(), account.1.to_owned())
}

/// The text of a run that ended for its credentials.
fn refused(ended: &Ended) -> String {
    assert_eq!((ended.status, ended.stderr.as_str()), (4, ""), "{ended:?}");
    let report = ended.json();
    let failed: Vec<_> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{report:#}");
    assert!(failed[0]["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{report:#}");
    format!("{}: {}", failed[0]["detail"].as_str().unwrap(), failed[0]["advice"].as_str().unwrap())
}

/// A cloud whose roles the `AccessKey` can assume, one after the other or for a token; the path of a file with a token.
async fn with_roles() -> (Operator, String) {
    let operator = Operator::new().await;
    let mut identity = WebIdentity::new().unwrap();
    {
        let mut cloud = operator.cloud.cloud();
        let provider = OidcProvider::new(PROVIDER, &identity.issuer, [AUDIENCE], identity.jwks());
        cloud.set_oidc_provider(provider).unwrap();
        let role = Role { oidc_provider_arn: Some(PROVIDER.into()), ..Role::trusting(ROLE, [MIDDLE]) };
        cloud.set_role(role).unwrap();
        cloud.set_role(Role { external_id: Some("e-1".into()), ..Role::trusting(MIDDLE, [OWNER]) }).unwrap();
    }
    let token =
        identity.issue(&[AUDIENCE.to_owned()], time::Duration::minutes(5), Clock::start().wall()).unwrap();
    let path = operator.write("token", &format!("{}\n", token.jwt));
    (operator, path)
}

fn middle() -> Value {
    profile(
        "middle",
        "RamRoleArn",
        &json!({ "ram_role_arn": MIDDLE, "ram_session_name": "me@laptop", "external_id": "e-1" }),
    )
}

fn chained() -> Value {
    json!({ "name": "chained", "mode": "chainableramrolearn", "source_profile": "middle", "ram_role_arn": ROLE,
        "ram_session_name": "me@laptop", "expired_seconds": 900 })
}

#[tokio::test]
async fn every_mode_of_a_profile_signs_calls() {
    let (operator, token) = with_roles().await;
    let session = AccessKey {
        security_token: Some("CachedSessionToken".into()),
        ..AccessKey::new("STS.cached", "CachedSessionSecret")
    };
    operator.cloud.cloud().set_access_key(session.clone());
    let session = |name: &str, mode: &str| {
        json!({ "name": name, "mode": mode, "access_key_id": "STS.cached", "access_key_secret": "CachedSessionSecret",
            "sts_token": "CachedSessionToken", "sts_expiration": 9_999_999_999_u64 })
    };
    let oidc = json!({ "name": "oidc", "mode": "OIDC", "oidc_provider_arn": PROVIDER, "oidc_token_file": token,
        "ram_role_arn": ROLE, "role_session_name": "ci" });
    let operator = operator.profiles(&[
        profile("ak", "AK", &json!({})),
        session("sts", "StsToken"),
        session("sso", "CloudSSO"),
        session("oauth", "OAuth"),
        middle(),
        chained(),
        oidc,
    ]);
    let session_of = |role: &str, name: &str| {
        format!("1234567890123456 (acs:ram::1234567890123456:assumed-role/{role}/{name})")
    };
    let owner = format!("1234567890123456 ({OWNER})");
    for (name, description, account) in [
        ("ak", "AK".to_owned(), owner.clone()),
        ("sts", "StsToken".to_owned(), owner.clone()),
        ("sso", "CloudSSO".to_owned(), owner.clone()),
        ("oauth", "OAuth".to_owned(), owner.clone()),
        ("middle", format!("RamRoleArn {MIDDLE}"), session_of("middle", "me@laptop")),
        ("chained", format!("ChainableRamRoleArn {ROLE}"), session_of("operator", "me@laptop")),
        ("oidc", format!("OIDC {ROLE}"), session_of("operator", "ci")),
    ] {
        let ended = operator.run(&[&DOCTOR[..], &["--profile", name]].concat()).await;
        let source = format!("profile `{name}` in ~/.aliyun/config.json ({description})");
        assert_eq!(accepted(&ended), (source, account), "{name}");
    }
    let counts = operator.cloud.cloud().counts().clone();
    assert_eq!(counts.signatures_rejected, 0);
    assert_eq!((counts.of(Action::AssumeRole), counts.of(Action::AssumeRoleWithOIDC)), (3, 1));
}

#[tokio::test]
async fn sources_are_tried_in_order() {
    let (operator, token) = with_roles().await;
    let operator = operator
        .profiles(&[profile("default", "AK", &json!({})), profile("dev", "AK", &json!({}))])
        .set("ALIBABA_CLOUD_PROFILE", "dev")
        .set("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &token)
        .set("ALIBABA_CLOUD_ROLE_ARN", ROLE)
        .set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER)
        .with_access_key();
    let by_option = accepted(&operator.run(&[&DOCTOR[..], &["--profile", "default"]].concat()).await);
    assert_eq!(by_option.0, "profile `default` in ~/.aliyun/config.json (AK)");
    let (source, _) = accepted(&operator.run(&DOCTOR).await);
    assert_eq!(
        source,
        "the environment variables ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    );
    let operator = operator.unset("ALIBABA_CLOUD_ACCESS_KEY_ID").unset("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    let (source, account) = accepted(&operator.run(&DOCTOR).await);
    assert!(source.contains("ALIBABA_CLOUD_OIDC_TOKEN_FILE") && source.contains(ROLE), "{source}");
    assert!(account.ends_with("assumed-role/operator/privatelink-detach)"), "{account}");
    let operator = operator.unset("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
    let (source, _) = accepted(&operator.run(&DOCTOR).await);
    assert_eq!(source, "profile `dev` in ~/.aliyun/config.json (AK)");
    let operator = operator.unset("ALIBABA_CLOUD_PROFILE");
    let (source, _) = accepted(&operator.run(&DOCTOR).await);
    assert_eq!(source, "profile `default` in ~/.aliyun/config.json (AK)");
    let operator = operator.set("ALIBABA_CLOUD_IGNORE_PROFILE", "TRUE");
    let text = refused(&operator.run(&DOCTOR).await);
    assert!(text.contains("ALIBABA_CLOUD_IGNORE_PROFILE"), "{text}");
}

#[tokio::test]
async fn source_that_cannot_be_used_ends_with_status_4_and_calls_nothing() {
    let ended_session = json!({ "name": "sso", "mode": "CloudSSO", "access_key_id": "STS.s3cret",
        "access_key_secret": "s3cret", "sts_token": "s3cret", "sts_expiration": 1_000_000_000 });
    let loop_of = |name: &str, source: &str| json!({ "name": name, "mode": "ChainableRamRoleArn", "source_profile": source, "ram_role_arn": ROLE });
    let operator = Operator::new().await.profiles(&[
        profile("default", "AK", &json!({})),
        ended_session,
        loop_of("a", "b"),
        loop_of("b", "a"),
        json!({ "name": "ecs", "mode": "EcsRamRole", "ram_role_name": "r" }),
        json!({ "name": "external", "mode": "External", "process_command": "echo s3cret" }),
        json!({ "name": "uri", "mode": "CredentialsURI", "credentials_uri": "http://localhost/s3cret" }),
        json!({ "name": "half", "mode": "AK", "access_key_id": "LTAI" }),
        json!({ "name": "file", "mode": "OIDC", "oidc_provider_arn": PROVIDER, "ram_role_arn": ROLE,
            "oidc_token_file": "/nonexistent/token" }),
    ]);
    for (name, part) in [
        ("sso", "aliyun sts GetCallerIdentity --profile sso"),
        ("a", "its own source_profile"),
        ("ecs", "EcsRamRole"),
        ("external", "process_command"),
        ("uri", "credentials_uri"),
        ("half", "`access_key_secret`"),
        ("file", "/nonexistent/token"),
        ("none", "there is no profile `none` in ~/.aliyun/config.json"),
    ] {
        let text = refused(&operator.run(&[&DOCTOR[..], &["--profile", name]].concat()).await);
        assert!(text.contains(part), "{name}: {text}");
    }
    let operator = operator.set("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI");
    let text = refused(&operator.run(&DOCTOR).await);
    assert!(text.contains("set without ALIBABA_CLOUD_ACCESS_KEY_SECRET"), "{text}");
    let operator = operator.unset("ALIBABA_CLOUD_ACCESS_KEY_ID");
    operator.write(".aliyun/config.json", "{ s3cret");
    let text = refused(&operator.run(&DOCTOR).await);
    assert!(text.contains("~/.aliyun/config.json is not valid JSON at line 1"), "{text}");
    assert_eq!(operator.cloud.cloud().counts().calls_total, 0);
}

#[tokio::test]
async fn machine_without_any_credentials_is_told_what_to_do() {
    let operator = Operator::new().await.unset("HOME");
    for operator in [operator, Operator::new().await] {
        let text = refused(&operator.run(&DOCTOR).await);
        assert!(text.contains("ALIBABA_CLOUD_ACCESS_KEY_ID") && text.contains("aliyun configure"), "{text}");
    }
}

#[tokio::test]
async fn credentials_that_alibaba_cloud_refuses_end_with_status_4() {
    let operator = Operator::new().await.profiles(&[
        profile("secret", "AK", &json!({ "access_key_secret": "wrong-s3cret" })),
        profile("id", "AK", &json!({ "access_key_id": "LTAI5tUnknown" })),
    ]);
    for (name, code) in [("secret", "SignatureDoesNotMatch"), ("id", "InvalidAccessKeyId.NotFound")] {
        let text = refused(&operator.run(&[&DOCTOR[..], &["--profile", name]].concat()).await);
        assert!(text.contains(code) && text.contains(&format!("profile `{name}`")), "{text}");
    }
}

#[tokio::test]
async fn role_that_cannot_be_assumed_ends_with_status_4_and_says_why() {
    let (operator, token) = with_roles().await;
    let role = |name: &str, more: Value| {
        let mut profile = middle();
        profile["name"] = json!(name);
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile
    };
    let operator = operator.profiles(&[
        role("external", json!({ "external_id": "" })),
        role("missing", json!({ "ram_role_arn": "acs:ram::1234567890123456:role/none", "external_id": "" })),
        role("long", json!({ "expired_seconds": 43_200 })),
        role("secret", json!({ "access_key_secret": "wrong-s3cret" })),
        json!({ "name": "oidc", "mode": "OIDC", "oidc_provider_arn": PROVIDER, "oidc_token_file": token,
            "ram_role_arn": MIDDLE }),
    ]);
    for (name, code, advice) in [
        ("external", "NoPermission", "trust policy"),
        ("missing", "EntityNotExist.Role", "ram_role_arn"),
        ("long", "InvalidParameter.DurationSeconds", "expired_seconds"),
        ("secret", "SignatureDoesNotMatch", "credentials that assume the role"),
        ("oidc", "AuthenticationFail.NoPermission", "trust policy"),
    ] {
        let text = refused(&operator.run(&[&DOCTOR[..], &["--profile", name]].concat()).await);
        let label = format!("profile `{name}` in ~/.aliyun/config.json");
        assert!(text.contains(code) && text.contains(advice) && text.contains(&label), "{name}: {text}");
    }
}

#[tokio::test]
async fn clock_that_is_wrong_is_corrected_before_a_role_is_assumed() {
    let (operator, _) = with_roles().await;
    operator.cloud.cloud().change_settings(|settings| settings.clock_offset_ms = 3 * 60 * 60 * 1000);
    let operator = operator.profiles(&[chained(), middle()]);
    let ended = operator.run(&DOCTOR).await;
    let report = ended.json();
    assert_eq!(
        (check(&report, "account").0, check(&report, "ListVpcEndpoints").0),
        ("ok", "ok"),
        "{report:#}"
    );
    assert_eq!(operator.cloud.cloud().sessions().count(), 2);
}

#[tokio::test]
async fn sts_without_a_response_ends_with_status_4_and_names_the_cause() {
    let (operator, _) = with_roles().await;
    operator.cloud.cloud().inject(Fault::on(Action::AssumeRole, Effect::Reset));
    let operator = operator.profiles(&[middle()]);
    let text = refused(&operator.run(&DOCTOR).await);
    assert!(text.contains("AssumeRole got no readable response: ConnectionLost"), "{text}");
    assert!(text.contains("run the command again"), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn interruption_ends_the_wait_for_a_role() {
    let (operator, _) = with_roles().await;
    let operator = operator.profiles(&[middle()]);
    operator.cloud.cloud().inject(Fault::on(Action::AssumeRole, Effect::Hang));
    let child = spawn(&mut operator.command(&operator.cloud.url(), &["detach", "sg-a", "ep-a", "--yes"]));
    operator.cloud.until(|cloud| cloud.counts().of(Action::AssumeRole) == 1).await;
    signal(&child, "INT");
    let ended = tokio::task::spawn_blocking(|| wait(child)).await.unwrap();
    assert_eq!(ended.status, 130, "{ended:?}");
}
