//! Checks template.yaml against the code: programs, variables, permissions, queues, alarms and metrics, each in a
//! file of its own. This file checks the parameters and rules of each source of credentials.

mod alarms;
mod calls;
mod chat;
mod chat_lists;
mod completion_webhook;
mod filters;
mod metrics;
mod operations;
mod permissions;
mod programs;
mod queries;
mod queues;
mod schedules;
mod variables;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use local_aws::LocalAws;
use privatelink_detach::alibaba::credentials::{
    Credentials, CredentialsConfig, CredentialsSource, OidcConfig, Permissions,
};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use serde_json::{Value, json};

use self::schedules::SCHEDULES;
use crate::cloudformation::{Deployment, Node, PARAMETERS, SOURCES, TEMPLATE, file};

/// The source files of all programs without their unit tests, by path.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let code = file(&path);
                let code = code.split("\n#[cfg(test)]\n").next().unwrap_or_default().to_owned();
                sources.push((path, code));
            }
        }
    }
    sources.sort();
    sources
}

/// The parameters of every source at once, which a stack can have only where rules are not evaluated.
fn all_credential_parameters() -> Vec<(&'static str, &'static str)> {
    PARAMETERS.into_iter().map(|(_, name, value)| (name, value)).collect()
}

#[test]
fn worker_receives_only_the_chosen_credentials() {
    let url = |host| BaseUrl {
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static(host),
    };
    let environment = |token: Option<&str>| {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), token.map(Into::into));
        CredentialsConfig::Environment(credentials)
    };
    let secret = CredentialsConfig::SecretsManager {
        secret_arn: "arn:aws:secretsmanager:eu-west-1:1:secret:keys-abcdef".into(),
    };
    let oidc = |session: &str, sts_url| {
        CredentialsConfig::Oidc(OidcConfig {
            role_arn: "acs:ram::1:role/r".into(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".into(),
            role_session_name: session.into(),
            audience: "aud".into(),
            sts_url,
        })
    };
    let received = |deployment: &Deployment| {
        let variables = deployment.variables("WorkerFunction");
        WorkerConfig::read(|name| variables.get(name).cloned()).unwrap().credentials
    };
    let all = all_credential_parameters();
    assert_eq!(received(&Deployment::of("ENVIRONMENT", &all)), environment(Some("t0ken")));
    assert_eq!(received(&Deployment::of("SECRETS_MANAGER", &all)), secret);
    let sts = url("sts.eu-west-1.aliyuncs.com");
    assert_eq!(received(&Deployment::of("OIDC", &all)), oidc("session", sts));

    // With only the required parameters of a source, the template's defaults apply.
    let mut minimal = Deployment::of("ENVIRONMENT", &[]);
    minimal.parameters.remove("AlibabaCloudSecurityToken");
    assert_eq!(received(&minimal), environment(None));
    let mut minimal = Deployment::of("SECRETS_MANAGER", &[]);
    minimal.parameters.remove("AlibabaCredentials");
    assert_eq!(received(&minimal), secret, "SECRETS_MANAGER is the default");
    let mut minimal = Deployment::of("OIDC", &[]);
    minimal
        .parameters
        .retain(|name, _| !["AlibabaCloudRoleSessionName", "AlibabaStsEndpointUrl"].contains(name));
    assert_eq!(received(&minimal), oidc("privatelink-detach", url("sts.aliyuncs.com")));
}

#[test]
fn rules_require_the_chosen_credentials_and_reject_all_others() {
    let required = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
        "AlibabaCloudOidcProviderArn",
        "AlibabaOidcAudience",
    ];
    // These identify a source or are secrets, so they must be empty for the other sources.
    let exclusive = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCloudSecurityToken",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
    ];
    for source in SOURCES {
        assert_eq!(Deployment::of(source, &[]).failed_assertions(), Vec::<String>::new(), "{source}");
        for (owner, parameter, value) in PARAMETERS {
            let (change, is_rejected) = if owner == source {
                ("", required.contains(&parameter))
            } else {
                (value, exclusive.contains(&parameter))
            };
            let failures = Deployment::of(source, &[(parameter, change)]).failed_assertions();
            assert_eq!(failures.len(), usize::from(is_rejected), "{source} {parameter}: {failures:?}");
            let names_both = |text: &String| text.contains(source) && text.contains(parameter);
            assert!(failures.iter().all(names_both), "{source} {parameter}: {failures:?}");
        }
    }
}

#[test]
fn rules_require_a_secret_by_default() {
    let defaults = Deployment { parameters: BTreeMap::new() };
    let failures = defaults.failed_assertions();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].contains("AlibabaCredentialsSecretArn"), "{failures:?}");
}

#[test]
fn rules_name_the_parameter_that_must_be_set() {
    let url = "https://sqs.eu-west-1.amazonaws.com/1/queue.fifo";
    for (changes, fix, parameter) in [
        (("CreateCompletionBus", "true"), ("CompletionBusName", "own-bus"), "CompletionBusName"),
        (("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", url), "WebhookSecretsArn"),
        (("ScheduleExpression", "rate(1 hour)"), ("ScheduleInput", "{}"), "ScheduleInput"),
        (("SweepScheduleExpression", "rate(1 hour)"), ("SweepInput", "{}"), "SweepInput"),
    ] {
        let failures = Deployment::of("ENVIRONMENT", &[changes]).failed_assertions();
        assert!(failures.len() == 1 && failures[0].contains(parameter), "{changes:?}: {failures:?}");
        let fixed = Deployment::of("ENVIRONMENT", &[changes, fix]);
        assert_eq!(fixed.failed_assertions(), Vec::<String>::new());
    }
}

#[test]
fn rules_require_every_id_of_a_canary() {
    let ids = ["CanaryRegionId", "CanaryEndpointId", "CanarySecurityGroupId"];
    assert_eq!(Deployment::of("ENVIRONMENT", &SCHEDULES).failed_assertions(), Vec::<String>::new());
    for id in ids {
        let changes = [&SCHEDULES[..], &[(id, "")]].concat();
        let failures = Deployment::of("ENVIRONMENT", &changes).failed_assertions();
        assert!(failures.len() == 1 && failures[0].contains(id), "{id}: {failures:?}");
    }
}

#[test]
fn rules_accept_credentials_of_the_sweeper_only_with_their_source() {
    for (owner, parameter, value) in [
        (
            "SECRETS_MANAGER",
            "SweeperCredentialsSecretArn",
            "arn:aws:secretsmanager:eu-west-1:1:secret:listing-abcdef",
        ),
        ("OIDC", "SweeperRoleArn", "acs:ram::1:role/listing"),
    ] {
        for source in SOURCES {
            let failures = Deployment::of(source, &[(parameter, value)]).failed_assertions();
            assert_eq!(failures.len(), usize::from(source != owner), "{source} {parameter}: {failures:?}");
            let names_both = |text: &String| text.contains(owner) && text.contains(parameter);
            assert!(failures.iter().all(names_both), "{source} {parameter}: {failures:?}");
        }
    }
    let key = (
        "SweeperCredentialsSecretKeyArn",
        "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000",
    );
    let failures = Deployment::of("SECRETS_MANAGER", &[key]).failed_assertions();
    assert!(failures.len() == 1 && failures[0].contains("SweeperCredentialsSecretArn"), "{failures:?}");
}

/// Records requests and responds to none.
struct Recorder(RefCell<Vec<http::Request<Bytes>>>);

impl Transport for &Recorder {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        self.0.borrow_mut().push(request);
        Err(NoResponse::ConnectionLost.into())
    }
}

#[tokio::test]
async fn worker_requests_exactly_the_identity_token_that_its_role_allows() {
    let aws = LocalAws::start().await.unwrap();
    let sdk = aws::config(aws.environment()).unwrap();
    let deployment = Deployment::of("OIDC", &[]);
    let variables = deployment.variables("WorkerFunction");
    let config = WorkerConfig::read(|name| variables.get(name).cloned()).unwrap();
    let recorder = Recorder(RefCell::default());
    let clock = Clock::starting_at(aws.now());
    let source = CredentialsSource::new(
        config.credentials,
        &Permissions::Detach,
        &config.rules.allowed_regions,
        &sdk,
        &recorder,
    );
    source.current(&clock).await.unwrap_err();
    drop(source);
    let [request] = &recorder.0.into_inner()[..] else { panic!("expected one call of STS") };
    let form = String::from_utf8(request.body().to_vec()).unwrap();
    let token = form.split('&').find_map(|pair| pair.strip_prefix("OIDCToken=")).unwrap();
    let part = |index| -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    let granted = &deployment.statements("WorkerRole")["GetIdentityToken"]["Condition"];
    let requested = json!({
        "ForAllValues:StringEquals": { "sts:IdentityTokenAudience": claims["aud"] },
        "Null": { "sts:IdentityTokenAudience": "false" },
        "NumericLessThanEquals": { "sts:DurationSeconds": lifetime.to_string() },
        "StringEquals": { "sts:SigningAlgorithm": header["alg"] },
    });
    assert_eq!(*granted, requested);
    let of_the_sweeper = &deployment.statements("SweeperRole")["GetIdentityToken"];
    assert_eq!(*of_the_sweeper, deployment.statements("WorkerRole")["GetIdentityToken"]);
    for (output, role) in [("WorkerRoleArn", "WorkerRole"), ("SweeperAwsRoleArn", "SweeperRole")] {
        let subject = TEMPLATE.key("Outputs").key(output).key("Value");
        let role_arn = Node::Tagged("GetAtt".to_owned(), Box::new(Node::Text(format!("{role}.Arn"))));
        assert_eq!(*subject, role_arn, "the RAM role's trust policy names the token's subject");
    }
}
