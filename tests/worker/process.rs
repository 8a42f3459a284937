//! The worker's program, started as Lambda starts it: kills, configuration errors and all output.

use std::process::Command;
use std::time::Duration;

use local_aws::server::View;
use local_aws::{
    Action as Aws, Ending, Fault as AwsFault, InvocationResult, LocalAws, NewMessage, Poller, QueueSettings,
    Round, RuntimeApi,
};
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Endpoint, Fault, Seed, Server};
use serde_json::{Value, json};

use crate::environment::{DEAD_LETTERS, REGION, REQUESTS, SECRET, TestCredentials, request, secret_of};
use crate::program::Process;
use crate::schema;

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// Values that must not appear in the log.
const SECRETS: [&str; 4] = ["alibaba-s3cret", "alibaba-t0ken", "aws-s3cret", "aws-t0ken"];

/// The access key id that belongs to the first two values of [`SECRETS`].
const KEY_ID: &str = "LTAI5tSimulatorKey";

/// Longer than any step of a scenario takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The environment of a worker process.
struct ProcessEnvironment {
    aws: LocalAws,
    cloud: Server,
    runtime_api: RuntimeApi,
    /// The environment variables of the process's credentials.
    credentials: Vec<(&'static str, String)>,
}

impl ProcessEnvironment {
    async fn new() -> Self {
        let mut seed =
            Seed { endpoints: vec![Endpoint::new(REGION, "ep-a", ["sg-a", "sg-b"])], ..Seed::default() };
        seed.settings.detach_takes = Duration::from_millis(1500);
        seed.access_keys = vec![AccessKey {
            security_token: Some(SECRETS[1].to_owned()),
            ..AccessKey::new(KEY_ID, SECRETS[0])
        }];
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
        let settings =
            QueueSettings::fifo().visibility_timeout(Duration::from_mins(9)).redrive(1000, DEAD_LETTERS);
        aws.queues().create(REQUESTS, settings).unwrap();
        let cloud = Server::start(Cloud::new(seed).unwrap(), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let credentials = vec![
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRETS[0].to_owned()),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", SECRETS[1].to_owned()),
        ];
        Self { aws, cloud, runtime_api: RuntimeApi::start().await.unwrap(), credentials }
    }

    /// The same with credentials from another source.
    async fn with_credentials(credentials: TestCredentials) -> Self {
        let env = Self::new().await;
        let variables = credentials.set_up(&env.aws, &env.cloud);
        Self { credentials: variables, ..env }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let variables = vec![
            ("AWS_LAMBDA_RUNTIME_API", self.runtime_api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "worker".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRETS[2].to_owned()),
            ("AWS_SESSION_TOKEN", SECRETS[3].to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("DETACH_QUEUE_URL", self.aws.queue_url(REQUESTS)),
            ("DEAD_LETTER_QUEUE_URL", self.aws.queue_url(DEAD_LETTERS)),
            ("PRIVATELINK_ENDPOINT_URL", self.cloud.url()),
        ];
        [variables, self.credentials.clone()].concat()
    }

    fn start(&self, changes: &[(&'static str, &str)]) -> Process {
        let changes = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let environment: Vec<_> = self.environment().into_iter().chain(changes).collect();
        Process::start(env!("CARGO_BIN_EXE_worker"), &environment)
    }

    fn send(&self, body: &Value) {
        let now = self.aws.now();
        let message = NewMessage::fifo(body.to_string(), "eu-west-1/ep-a", &body.to_string());
        self.aws.queues().send(REQUESTS, message, now).unwrap();
    }

    /// Delivers one batch to the process and settles its messages.
    async fn round(&self) -> Round {
        let poller = Poller {
            aws: &self.aws,
            runtime_api: &self.runtime_api,
            queue: REQUESTS.to_owned(),
            batch_max: 10,
            timeout: Duration::from_secs(90),
        };
        let round = tokio::time::timeout(TEST_TIMEOUT, poller.round()).await;
        round.expect("the process responds to the batch in time").unwrap()
    }

    /// Kills a process at this moment of its invocation, and delivers the message again to a second process. Returns
    /// the output of both.
    async fn kill_at(&self, moment: impl Future<Output = ()>) -> String {
        let first = self.start(&[]);
        tokio::select! {
            biased;
            () = moment => {}
            round = self.round() => panic!("the invocation ended before the kill: {round:?}"),
        }
        let mut output = first.kill();
        self.aws.bus().faults().clear();
        self.aws.queues().faults().clear();
        self.aws.advance(Duration::from_mins(9));
        let second = self.start(&[]);
        self.round().await;
        output.push_str(&second.kill());
        output
    }

    fn events(&self) -> Vec<Value> {
        let events: Vec<Value> = self.aws.bus().events().iter().map(|event| event.detail.clone()).collect();
        events.iter().for_each(schema::check);
        events
    }

    /// Waits until the AWS services meet the condition.
    async fn until(&self, condition: impl FnMut(View<'_>) -> bool) {
        self.aws.until(condition).await.unwrap();
    }

    /// Checks that a killed request has ended in its second delivery, with one detach.
    fn check_end(&self, outcome: &str, events: usize) {
        let all = self.events();
        assert_eq!(all.len(), events, "{all:#?}");
        let last = all.last().unwrap();
        assert_eq!(last["outcome"], outcome, "{last:#}");
        assert_eq!(last["effort"]["deliveries"], 2);
        assert!(
            all.iter().all(|event| event["request_id"] == last["request_id"]),
            "repeated events have the same request id"
        );
        let counts = self.cloud.cloud().counts().endpoint("ep-a");
        assert_eq!((counts.detaches_accepted, counts.detaches_in_flight_max), (1, 1));
        assert_eq!(self.aws.queues().messages(REQUESTS).unwrap().len(), 0);
    }
}

#[tokio::test]
async fn kill_after_a_detach_and_before_its_response_causes_no_second_detach() {
    let env = ProcessEnvironment::new().await;
    env.cloud.cloud().inject(Fault::on(DETACH, Effect::Hang).after_execution().nth(1));
    env.send(&request("ep-a", "sg-a"));
    env.kill_at(env.cloud.until(|cloud| cloud.counts().endpoint("ep-a").detaches_accepted == 1)).await;
    // The outcome depends on whether the second delivery's first read still lists the group.
    let event = env.events().pop().unwrap();
    let outcome = if event["evidence"]["security_groups_before"].as_array().unwrap().len() == 2 {
        "detached"
    } else {
        "already_detached"
    };
    env.check_end(outcome, 1);
    assert_eq!(event["effort"]["detach_calls"], 0);
}

#[tokio::test]
async fn kill_before_publishing_still_publishes_one_event() {
    let env = ProcessEnvironment::new().await;
    env.aws.bus().faults().plan(Aws::PutEvents, 9, AwsFault::Hang);
    env.send(&request("ep-a", "sg-a"));
    let hangs =
        |view: View<'_>| view.journal.iter().any(|entry| entry.ending == Ending::Faulted(AwsFault::Hang));
    env.kill_at(env.until(hangs)).await;
    env.check_end("already_detached", 1);
}

#[tokio::test]
async fn kill_after_publishing_repeats_the_event() {
    let env = ProcessEnvironment::new().await;
    env.aws.queues().faults().plan(Aws::DeleteMessage, 9, AwsFault::Hang);
    env.send(&request("ep-a", "sg-a"));
    env.kill_at(env.until(|view| view.bus.events().len() == 1)).await;
    assert_eq!(env.events()[0]["outcome"], "detached");
    env.check_end("already_detached", 2);
}

#[tokio::test]
async fn every_configuration_error_is_logged_in_one_line_before_the_first_invocation() {
    let env = ProcessEnvironment::new().await;
    let process = env.start(&[
        ("DETACH_QUEUE_URL", ""),
        ("DETACH_DEADLINE_SECONDS", "soon"),
        ("PROTECTED_SECURITY_GROUPS", "sg_a"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
        ("RUST_LOG", "loud"),
        ("AWS_REGION", ""),
        ("AWS_USE_FIPS_ENDPOINT", "yes"),
        ("AWS_ENDPOINT_URL", "127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL_STS", "sts.internal"),
        ("HTTPS_PROXY", "socks5://proxy"),
    ]);
    let (status, output) = process.wait();
    assert_eq!(status, Some(1));
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let variables: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    assert_eq!(
        variables,
        [
            "AWS_REGION",
            "RUST_LOG",
            "DETACH_QUEUE_URL",
            "DETACH_DEADLINE_SECONDS",
            "PROTECTED_SECURITY_GROUPS",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_STS",
            "AWS_USE_FIPS_ENDPOINT",
            "HTTPS_PROXY",
        ]
    );
    assert_eq!(env.runtime_api.request_count(), 0);
}

#[tokio::test]
async fn start_outside_lambda_fails_and_suggests_make_demo() {
    let output = Command::new(env!("CARGO_BIN_EXE_worker")).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["faults"].as_str().unwrap().contains("make demo"), "{line}");
}

/// Runs a detach with log level TRACE and a change of credentials during it, and a request that is rejected. Returns
/// everything that the process wrote, published, copied to the dead-letter queue and responded.
async fn output_of(env: &ProcessEnvironment, change_credentials: impl FnOnce()) -> String {
    let process = env.start(&[("RUST_LOG", "trace")]);
    let is_read = |view: View<'_>| {
        view.journal.iter().any(|call| matches!(call.action, Aws::GetSecretValue | Aws::GetWebIdentityToken))
    };
    env.until(is_read).await;
    env.send(&request("ep-a", "sg-a"));
    let change = async {
        env.cloud.until(|cloud| cloud.counts().of(DETACH) == 1).await;
        change_credentials();
    };
    let (round, ()) = tokio::join!(env.round(), change);
    assert!(matches!(round.result, Some(InvocationResult::Response(_))), "{round:?}");
    // An invalid request, which gets a dead-letter copy.
    env.send(&json!({ "region_id": "eu-west-1" }));
    env.round().await;
    let events = env.events();
    assert_eq!(events[0]["outcome"], "detached", "{events:#?}");
    let dead_letters = env.aws.queues().messages(DEAD_LETTERS).unwrap().to_vec();
    assert_eq!(dead_letters.len(), 1);
    let response = round.result;
    format!("{}{events:?}{dead_letters:?}{response:?}", process.kill())
}

#[tokio::test]
async fn exchange_on_loopback_bypasses_the_proxy() {
    let env = ProcessEnvironment::with_credentials(TestCredentials::Oidc).await;
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    // Only the STS has a loopback address. The PrivateLink address is the real one, for which the proxy applies.
    let process = env.start(&[("PRIVATELINK_ENDPOINT_URL", ""), ("HTTP_PROXY", &url), ("http_proxy", &url)]);
    let exchanged = env.cloud.until(|cloud| cloud.counts().of(Action::AssumeRoleWithOIDC) == 1);
    tokio::time::timeout(TEST_TIMEOUT, exchanged).await.unwrap();
    process.kill();
    assert_eq!(
        proxy.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "no connection to the proxy"
    );
}

#[tokio::test]
async fn access_keys_of_a_secret_appear_in_no_output() {
    let env = ProcessEnvironment::with_credentials(TestCredentials::Secret).await;
    let old = AccessKey { security_token: Some(SECRETS[1].to_owned()), ..AccessKey::new(KEY_ID, SECRETS[0]) };
    let new = AccessKey::new("LTAI5tAnotherKey", "another-s3cret");
    env.aws.secrets().put(SECRET, secret_of(&old));
    let output = output_of(&env, || {
        env.cloud.cloud().set_access_key(new.clone());
        env.aws.secrets().put(SECRET, secret_of(&new));
        env.cloud.cloud().set_access_key(AccessKey { inactive: true, ..old.clone() });
    })
    .await;
    assert!(
        output.contains("InvalidAccessKeyId.Inactive"),
        "the access key changes during the detach: {output}"
    );
    for forbidden in SECRETS.into_iter().chain([KEY_ID, "LTAI5tAnotherKey", "another-s3cret"]) {
        assert!(!output.contains(forbidden), "{forbidden} in {output}");
    }
}

#[tokio::test]
async fn tokens_and_sessions_appear_in_no_output() {
    let env = ProcessEnvironment::with_credentials(TestCredentials::Oidc).await;
    let output = output_of(&env, || {
        env.cloud.cloud().expire_sessions(std::time::SystemTime::now());
    })
    .await;
    assert!(
        output.contains("InvalidSecurityToken.Expired"),
        "the session expires during the detach: {output}"
    );
    let sessions: Vec<AccessKey> = env.cloud.cloud().sessions().cloned().collect();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let token = session.security_token.as_deref().unwrap();
        for forbidden in [session.access_key_id.as_str(), session.access_key_secret.as_str(), token] {
            assert!(!output.contains(forbidden), "{forbidden} in {output}");
        }
    }
    // "eyJ" is the start of every JSON Web Token and of its readable parts.
    for forbidden in ["eyJ", "OIDCToken=", SECRETS[2], SECRETS[3]] {
        assert!(!output.contains(forbidden), "{forbidden} in {output}");
    }
    let cloud = env.cloud.cloud();
    let exchanges: Vec<_> =
        cloud.journal().iter().filter(|call| call.action.as_deref() == Some("AssumeRoleWithOIDC")).collect();
    assert_eq!(exchanges.len(), 2);
    assert!(exchanges.iter().all(|call| !call.token_in_url), "{exchanges:?}");
}

#[tokio::test]
async fn log_lines_name_their_request_and_contain_no_secret() {
    let env = ProcessEnvironment::new().await;
    // An error message that quotes the request, as the real service sends for a wrong signature.
    let quoting_error = Effect::Code {
        code: "SignatureDoesNotMatch".to_owned(),
        status: None,
        message: Some(format!("server string: x-acs-security-token:{} {}", SECRETS[1], SECRETS[0])),
        headers: http::HeaderMap::new(),
    };
    // The second record is read after the write, so that the request waits for its credentials.
    env.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, quoting_error).nth(2));
    let mut body = request("ep-a", "sg-a");
    body["metadata"] = json!({ "note": "body-t3xt" });
    env.send(&body);
    env.aws.bus().faults().plan(Aws::PutEvents, 1, AwsFault::ServerError);
    let process = env.start(&[("RUST_LOG", "trace")]);
    let round = env.round().await;
    assert!(matches!(round.result, Some(InvocationResult::Response(_))), "{round:?}");
    for payload in [
        r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
        r#"{"Records":[{"eventSource":"body-t3xt"}]}"#,
        r#"{"Records":["body-t3xt"]}"#,
        r#"{"Records":"body-t3xt"}"#,
        r#"{"Messages":["body-t3xt"]}"#,
    ] {
        let response = env.runtime_api.invoke(payload, Duration::from_secs(90)).await;
        let InvocationResult::Error(error) = response else { panic!("{payload}: {response:?}") };
        assert!(!String::from_utf8_lossy(&error).contains("body-t3xt"), "{payload}");
    }
    for (number, body) in [r#"{"body-t3xt":"body-t3xt"}"#, "body-t3xt is not JSON"].into_iter().enumerate() {
        let now = env.aws.now();
        let message = NewMessage::fifo(body, "another", &number.to_string());
        env.aws.queues().send(REQUESTS, message, now).unwrap();
    }
    env.round().await;
    let output = process.kill();

    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 8, "{output}");
    for forbidden in
        SECRETS.into_iter().chain(["body-t3xt", "ACS3-HMAC-SHA256", "AWS4-HMAC-SHA256", "Signature="])
    {
        assert!(!output.contains(forbidden), "{forbidden} in {output}");
    }
    let completed = lines.iter().find(|line| line["message"] == "completed").unwrap();
    assert_eq!((&completed["outcome"], &completed["level"]), (&json!("detached"), &json!("INFO")));
    let span = &completed["span"];
    assert_eq!((&span["endpoint_id"], &span["security_group_id"]), (&json!("ep-a"), &json!("sg-a")));
    for field in ["request_id", "lambda_request_id", "xray_trace_id"] {
        assert!(span[field].as_str().unwrap().len() > 8, "{field}: {completed}");
    }
    let is_about_a_request = |line: &&Value| {
        let target = line["target"].as_str().unwrap();
        ["privatelink_detach::drive", "privatelink_detach::worker"]
            .iter()
            .any(|module| target.starts_with(module))
    };
    let spans: Vec<_> = lines.iter().filter(is_about_a_request).map(|line| &line["span"]).collect();
    assert!(spans.len() > 8 && spans.iter().all(|span| span["request_id"].is_string()), "{spans:?}");
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 6, "the refused credentials and five failed invocations: {errors:?}");
    assert!(errors[1]["message"].as_str().unwrap().contains("aws:s3"), "{errors:?}");
}
