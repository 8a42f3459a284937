//! The template, held to the code: programs, variables, permissions, queues and alarms, each in a file of its own; and here
//! what reaches the worker for each source of keys.

mod alarms;
mod calls;
mod permissions;
mod programs;
mod queues;
mod variables;

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use local_aws::LocalAws;
use privatelink_detach::alibaba::credentials::{
    Credentials, CredentialsConfig, CredentialsSource, OidcConfig,
};
use privatelink_detach::alibaba::error::Unanswered;
use privatelink_detach::alibaba::service_url::BaseUrl;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::WorkerConfig;
use serde_json::{Value, json};

use crate::cloudformation::{Deployment, Node, PARAMETERS, SOURCES, TEMPLATE, file};

/// The code of both functions without its tests, by path.
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

/// The parameters of all sources, as a stack would have them that a rule did not keep from it.
fn parameters_of_all() -> Vec<(&'static str, &'static str)> {
    PARAMETERS.into_iter().map(|(_, name, value)| (name, value)).collect()
}

#[test]
fn of_all_sources_of_keys_only_the_chosen_one_reaches_the_worker() {
    let url = |host| BaseUrl {
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static(host),
    };
    let keys = |token: Option<&str>| {
        let keys = Credentials::new("LTAIid".into(), "s3cret".into(), token.map(Into::into));
        CredentialsConfig::Environment(keys)
    };
    let secret = CredentialsConfig::SecretsManager {
        secret_arn: "arn:aws:secretsmanager:eu-west-1:1:secret:keys-abcdef".into(),
    };
    let keyless = |session: &str, sts_url| {
        CredentialsConfig::Oidc(OidcConfig {
            role_arn: "acs:ram::1:role/r".into(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".into(),
            role_session_name: session.into(),
            audience: "aud".into(),
            sts_url,
        })
    };
    let reaches = |deployment: &Deployment| {
        let variables = deployment.variables("WorkerFunction");
        WorkerConfig::read(|name| variables.get(name).cloned()).unwrap().credentials
    };
    assert_eq!(reaches(&Deployment::of("ENVIRONMENT", &parameters_of_all())), keys(Some("t0ken")));
    assert_eq!(reaches(&Deployment::of("SECRETS_MANAGER", &parameters_of_all())), secret);
    let sts = url("sts.eu-west-1.aliyuncs.com");
    assert_eq!(reaches(&Deployment::of("KEYLESS", &parameters_of_all())), keyless("session", sts));

    // With nothing but what a source demands, the rest is the template's defaults.
    let mut before = Deployment::of("ENVIRONMENT", &[]);
    before.parameters.retain(|name, _| !["AlibabaCredentials", "AlibabaCloudSecurityToken"].contains(name));
    assert_eq!(reaches(&before), keys(None), "a stack that was made before there was a choice");
    let mut least = Deployment::of("KEYLESS", &[]);
    least
        .parameters
        .retain(|name, _| !["AlibabaCloudRoleSessionName", "AlibabaStsEndpointUrl"].contains(name));
    assert_eq!(reaches(&least), keyless("privatelink-detach", url("sts.aliyuncs.com")));
}

#[test]
fn the_parameters_of_the_chosen_source_are_demanded_and_those_of_others_refused_by_name() {
    let demanded = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
        "AlibabaCloudOidcProviderArn",
        "AlibabaOidcAudience",
    ];
    // What tells one source from the others, and what must not linger where nothing uses it.
    let telling = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCloudSecurityToken",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
    ];
    for source in SOURCES {
        assert_eq!(Deployment::of(source, &[]).objections(), Vec::<String>::new(), "{source}");
        for (whose, parameter, value) in PARAMETERS {
            let (change, is_refused) = if whose == source {
                ("", demanded.contains(&parameter))
            } else {
                (value, telling.contains(&parameter))
            };
            let objections = Deployment::of(source, &[(parameter, change)]).objections();
            assert_eq!(objections.len(), usize::from(is_refused), "{source} {parameter}: {objections:?}");
            let names = |text: &String| text.contains(source) && text.contains(parameter);
            assert!(objections.iter().all(names), "{source} {parameter}: {objections:?}");
        }
    }
}

#[test]
fn whatever_else_cannot_work_is_refused_by_the_name_of_the_parameter_to_change() {
    let url = "https://sqs.eu-west-1.amazonaws.com/1/queue.fifo";
    for (changes, mends, parameter) in [
        (("CreateCompletionBus", "true"), ("CompletionBusName", "told"), "CompletionBusName"),
        (("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", url), "WebhookSecretsArn"),
        (("ScheduleExpression", "rate(1 hour)"), ("ScheduleInput", "{}"), "ScheduleInput"),
    ] {
        let objections = Deployment::of("ENVIRONMENT", &[changes]).objections();
        assert!(objections.len() == 1 && objections[0].contains(parameter), "{changes:?}: {objections:?}");
        assert_eq!(Deployment::of("ENVIRONMENT", &[changes, mends]).objections(), Vec::<String>::new());
    }
}

/// Keeps what it is given to send.
struct Kept(RefCell<Vec<http::Request<Bytes>>>);

impl Transport for &Kept {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        self.0.borrow_mut().push(request);
        Err(Unanswered::ConnectionLost)
    }
}

#[tokio::test]
async fn the_token_that_a_keyless_worker_asks_for_is_the_one_that_its_role_may_have() {
    let aws = LocalAws::start().await.unwrap();
    let sdk = aws::config(aws.environment()).unwrap();
    let deployment = Deployment::of("KEYLESS", &[]);
    let variables = deployment.variables("WorkerFunction");
    let config = WorkerConfig::read(|name| variables.get(name).cloned()).unwrap();
    let kept = Kept(RefCell::default());
    let source = CredentialsSource::new(config.credentials, &config.rules.allowed_regions, &sdk, &kept);
    let clock = Clock::starting_at(aws.now());
    source.current(&clock).await.unwrap_err();
    drop(source);
    let [request] = &kept.0.into_inner()[..] else { panic!("one exchange") };
    let form = String::from_utf8(request.body().to_vec()).unwrap();
    let token = form.split('&').find_map(|pair| pair.strip_prefix("OIDCToken=")).unwrap();
    let part = |index| -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    let granted = &deployment.statements("WorkerRole")["ProveItsRole"]["Condition"];
    let asked = json!({
        "ForAllValues:StringEquals": { "sts:IdentityTokenAudience": claims["aud"] },
        "Null": { "sts:IdentityTokenAudience": "false" },
        "NumericLessThanEquals": { "sts:DurationSeconds": lifetime.to_string() },
        "StringEquals": { "sts:SigningAlgorithm": header["alg"] },
    });
    assert_eq!(*granted, asked);
    let subject = TEMPLATE.key("Outputs").key("WorkerRoleArn").key("Value");
    let its_arn = Node::Tagged("GetAtt".to_owned(), Box::new(Node::Text("WorkerRole.Arn".to_owned())));
    assert_eq!(*subject, its_arn, "whoever writes the trust policy needs it");
}
