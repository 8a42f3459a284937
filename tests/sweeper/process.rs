//! The sweeper's process: its start, its invocations with production's limits, and its log.

use std::rc::Rc;
use std::time::Duration;

use local_aws::{InvocationResult, LocalAws, QueueSettings, RuntimeApi};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::codes::ErrorKind;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::error::CallError;
use privatelink_detach::alibaba::privatelink::{Call, Target};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::Https;
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Fault, OidcProvider, Role, Seed, Server};
use serde_json::{Value, json};

use crate::account::{apply, endpoints, report};
use crate::program::Process;
use crate::wire::WANTED;

const REQUESTS: &str = "requests.fifo";

/// Values that no line of the log may contain.
const SECRETS: [&str; 3] = ["alibaba-s3cret", "aws-s3cret", "aws-t0ken"];

/// The template's timeout of the function.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(15);

/// Longer than any invocation of a test takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(2);

/// The services that a sweeper process uses. The process is killed at the end of its test.
struct Environment {
    aws: LocalAws,
    cloud: Server,
    runtime_api: RuntimeApi,
    credentials: Vec<(&'static str, String)>,
}

/// The lines of a log without a secret.
fn lines(output: &str) -> Vec<Value> {
    for secret in SECRETS {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Environment {
    /// An account with this number of endpoints, all of which use the wanted group.
    async fn with(count: usize) -> Self {
        let key = AccessKey { access_key_secret: SECRETS[0].to_owned(), ..AccessKey::default() };
        let seed = Seed {
            endpoints: endpoints(count),
            security_groups: [WANTED.into()].into(),
            access_keys: vec![key.clone()],
            ..Seed::default()
        };
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
        let cloud = Server::start(Cloud::new(seed).unwrap(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let credentials = vec![
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", key.access_key_id.to_string()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.access_key_secret),
        ];
        Self { aws, cloud, runtime_api: RuntimeApi::start().await.unwrap(), credentials }
    }

    fn start(&self, changes: &[(&'static str, &str)]) -> Process {
        let variables = [
            ("AWS_LAMBDA_RUNTIME_API", self.runtime_api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "sweeper".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRETS[1].to_owned()),
            ("AWS_SESSION_TOKEN", SECRETS[2].to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("DETACH_QUEUE_URL", self.aws.queue_url(REQUESTS)),
            ("PRIVATELINK_ENDPOINT_URL", self.cloud.url()),
        ];
        let changes = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let environment: Vec<_> =
            variables.into_iter().chain(self.credentials.clone()).chain(changes).collect();
        Process::start(env!("CARGO_BIN_EXE_sweeper"), &environment)
    }

    async fn invoke(&self, payload: &str) -> Result<Value, Value> {
        self.invoke_for(payload, FUNCTION_TIMEOUT).await
    }

    /// An invocation that Lambda ends after `timeout`.
    async fn invoke_for(&self, payload: &str, timeout: Duration) -> Result<Value, Value> {
        let result = self.runtime_api.invoke(payload.to_owned(), timeout);
        let clock = Clock::start();
        match clock.by(clock.now() + TEST_TIMEOUT, result).await.unwrap() {
            InvocationResult::Response(body) => Ok(serde_json::from_slice(&body).unwrap()),
            InvocationResult::Error(body) => Err(serde_json::from_slice(&body).unwrap()),
        }
    }

    /// The details of the published events of a type.
    fn published(&self) -> Vec<(String, Value)> {
        let bus = self.aws.bus();
        bus.events().iter().map(|event| (event.detail_type.clone(), event.detail.clone())).collect()
    }
}

/// The messages of a log.
fn messages(log: &[Value]) -> Vec<&str> {
    log.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_configuration_error_is_logged_in_one_line_before_the_first_invocation() {
    let environment = Environment::with(0).await;
    let queue = environment.aws.queue_url("requests");
    let process = environment.start(&[
        ("DETACH_QUEUE_URL", &queue),
        ("COMPLETION_BUS_NAME", "bad bus"),
        ("DRY_RUN_ONLY", "yes"),
        ("PROTECTED_ENDPOINTS", "sg-a"),
        ("SWEEP_APPLY_ALLOWED", "True"),
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1234:role/sweep"),
        ("AWS_ENDPOINT_URL_SQS", "sqs.internal"),
    ]);
    let (status, output) = process.wait();
    assert_eq!(status, Some(1));
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let variables: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    assert_eq!(
        variables,
        [
            "DETACH_QUEUE_URL",
            "COMPLETION_BUS_NAME",
            "DRY_RUN_ONLY",
            "PROTECTED_ENDPOINTS",
            "SWEEP_APPLY_ALLOWED",
            "ALIBABA_CLOUD_ROLE_ARN",
            "AWS_ENDPOINT_URL_SQS",
        ]
    );
    assert_eq!(environment.runtime_api.request_count(), 0);
}

#[tokio::test]
async fn sweep_requests_detaches_and_proves_them() {
    let environment = Environment::with(2).await;
    let process = environment.start(&[("SWEEP_APPLY_ALLOWED", "true"), ("RUST_LOG", "trace")]);
    let worker = async {
        // Detaches the groups in place of the worker, as soon as the queue has the requests.
        while environment.aws.queues().messages(REQUESTS).unwrap().len() < 2 {
            environment.aws.changed().await;
        }
        for id in ["ep-000", "ep-001"] {
            environment.cloud.cloud().detach_now(id, WANTED, Clock::start().wall());
        }
    };
    let request = apply(2).to_string();
    let (detail, ()) = tokio::join!(environment.invoke(&request), worker);
    let detail = detail.unwrap();
    assert_eq!((&detail["verdict"], &detail["requested_count"]), (&json!("no_references"), &json!(2)));
    assert_eq!(environment.published(), [("Security Group Sweep Completed".to_owned(), detail)]);
    let messages_sent = environment.aws.queues().messages(REQUESTS).unwrap().to_vec();
    let triggers = messages_sent.iter().map(|message| format!("{:?}", message.attributes["trigger"]));
    assert!(triggers.clone().count() == 2 && triggers.into_iter().all(|trigger| trigger.contains("sweep")));
    let log = lines(&process.kill());
    let completed = log.iter().find(|line| line["message"] == "sweep completed").unwrap();
    assert_eq!((&completed["verdict"], &completed["requested"]), (&json!("no_references"), &json!(2)));
    let span = &completed["span"];
    assert_eq!(span["sweep_id"], "nightly-1");
    assert!(span["lambda_request_id"].is_string(), "{completed}");
    assert!(log.iter().all(|line| line["level"] != "ERROR"), "{log:?}");
}

#[tokio::test]
async fn invalid_sweep_fails_the_invocation_with_every_error_and_without_a_call() {
    let environment = Environment::with(1).await;
    let process = environment.start(&[("ALLOWED_REGIONS", "cn-hangzhou")]);
    let mut request = report();
    request["scopes"] = "body-t3xt".into();
    let error = environment.invoke(&request.to_string()).await.unwrap_err();
    assert_eq!(error["errorType"], "InvalidSweep");
    assert_eq!(
        error["errorMessage"],
        "the sweep request is not valid: scopes is not a field of a sweep request; region_ids names a region that is not \
         allowed in this deployment"
    );
    assert_eq!((environment.published(), environment.cloud.cloud().counts().calls_total), (Vec::new(), 0));
    let log = lines(&process.kill());
    let line = log.iter().find(|line| line["level"] == "ERROR").unwrap().to_string();
    assert!(line.contains("an unknown name") && !line.contains("scopes") && !line.contains("t3xt"), "{line}");
}

#[tokio::test]
async fn service_that_cannot_be_reached_or_understood_is_an_error_for_the_operator() {
    let environment = Environment::with(1).await;
    // Port 1 accepts no connection. Of the twelve seconds, ten are reserved for the event.
    let process = environment.start(&[("PRIVATELINK_ENDPOINT_URL", "http://127.0.0.1:1")]);
    let detail = environment.invoke_for(&report().to_string(), Duration::from_secs(12)).await.unwrap();
    assert_eq!(detail["verdict"], "incomplete");
    let log = lines(&process.kill());
    let line = log.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!((&line["code"], &line["action"]), (&json!("ConnectionLost"), &json!("ListVpcEndpoints")));
    assert!(line["message"].as_str().unwrap().starts_with("none of the sweeper's calls"), "{line}");

    let environment = Environment::with(1).await;
    let fault = Fault::on(Action::ListVpcEndpoints, Effect::code("InvalidApi.NotFound"));
    environment.cloud.cloud().inject(fault);
    let process = environment.start(&[]);
    let detail = environment.invoke_for(&report().to_string(), Duration::from_secs(12)).await.unwrap();
    assert_eq!(detail["verdict"], "incomplete");
    let log = lines(&process.kill());
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!((errors.len(), &errors[0]["code"]), (1, &json!("InvalidApi.NotFound")), "{errors:?}");
}

#[tokio::test]
async fn session_of_the_sweeper_is_limited_to_lists() {
    const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/aws";
    const ROLE: &str = "acs:ram::1234567890123456:role/sweep";
    let environment = Environment::with(1).await;
    let provider = {
        let sts = environment.aws.sts();
        OidcProvider::new(PROVIDER, sts.issuer.clone(), ["sweeps"], sts.jwks())
    };
    environment.cloud.cloud().set_oidc_provider(provider).unwrap();
    environment.cloud.cloud().set_role(Role::new(ROLE, PROVIDER)).unwrap();
    let credentials = vec![
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE.to_owned()),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER.to_owned()),
        ("ALIBABA_OIDC_AUDIENCE", "sweeps".to_owned()),
        ("ALIBABA_STS_ENDPOINT_URL", environment.cloud.url()),
    ];
    let environment = Environment { credentials, ..environment };
    let process = environment.start(&[]);
    let detail = environment.invoke(&report().to_string()).await.unwrap();
    assert_eq!(
        (&detail["verdict"], &detail["security_groups_found"]),
        (&json!("references_found"), &json!(true))
    );
    assert_eq!(environment.cloud.cloud().counts().of(Action::AssumeRoleWithOIDC), 1);
    let denied = detach_with_the_session(&environment.cloud).await;
    assert_eq!((denied.kind, &*denied.code.name()), (ErrorKind::Denied, "NoPermission"));
    let log = lines(&process.kill());
    assert!(messages(&log).contains(&"sweep completed"), "{log:?}");
}

/// Tries to detach a group with the session that the simulator issued.
async fn detach_with_the_session(cloud: &Server) -> CallError {
    let session = cloud.cloud().sessions().next().unwrap().clone();
    let key_id = session.access_key_id.to_string();
    let credentials = Credentials::new(key_id, session.access_key_secret, session.security_token);
    let parts = cloud.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let client = Client::new(Https::new(true).unwrap(), source, ServiceUrl::Fixed(url), 1);
    let target = Target {
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-000").unwrap(),
        security_group_id: SecurityGroupId::parse(WANTED).unwrap(),
    };
    let call = Call::Detach { client_token: ClientToken::parse("token").unwrap(), dry_run: false };
    let result = client.call(&call.request(&target), &Clock::start(), Duration::from_secs(10)).await;
    result.result.unwrap_err()
}
