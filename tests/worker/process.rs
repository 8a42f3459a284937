//! The worker's own program, started as Lambda starts it: killed at the worst moments, misconfigured, and listened to.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use local_aws::server::View;
use local_aws::{
    Action as Aws, Ending, Fault as AwsFault, InvocationResult, LocalAws, NewMessage, Poller, QueueSettings,
    Round, RuntimeApi,
};
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Endpoint, Fault, Seed, Server};
use serde_json::{Value, json};

use crate::schema;
use crate::stage::{DEAD_LETTERS, Keys, REGION, REQUESTS, SECRET, request, secret_of};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// What must never be seen in a line of the log.
const SECRETS: [&str; 4] = ["alibaba-s3cret", "alibaba-t0ken", "aws-s3cret", "aws-t0ken"];

/// The id of the key that goes with the first two.
const KEY_ID: &str = "LTAI5tSimulatorKey";

/// Longer than any scenario takes; one that needs more waits for something that will never come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything around a function process.
struct Account {
    aws: LocalAws,
    cloud: Server,
    runtime_api: RuntimeApi,
    /// The variables that lead the process to its keys.
    keys: Vec<(&'static str, String)>,
}

/// A function process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// SIGKILL, and all that it ever wrote.
    fn kill(mut self) -> String {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        self.output()
    }

    fn output(&mut self) -> String {
        let mut output = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        output
    }
}

impl Account {
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
        let keys = vec![
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRETS[0].to_owned()),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", SECRETS[1].to_owned()),
        ];
        Self { aws, cloud, runtime_api: RuntimeApi::start().await.unwrap(), keys }
    }

    /// The same with the keys from there.
    async fn with_keys(keys: Keys) -> Self {
        let account = Self::new().await;
        let variables = keys.set(&account.aws, &account.cloud);
        Self { keys: variables, ..account }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let usual = vec![
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
        [usual, self.keys.clone()].concat()
    }

    fn start(&self, changes: &[(&'static str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.env_clear().envs(self.environment()).envs(changes.iter().copied());
        Process(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn send(&self, body: &Value) {
        let now = self.aws.now();
        let message = NewMessage::fifo(body.to_string(), "eu-west-1/ep-a", &body.to_string());
        self.aws.queues().send(REQUESTS, message, now).unwrap();
    }

    /// One batch to the process and back.
    async fn round(&self) -> Round {
        let poller = Poller {
            aws: &self.aws,
            runtime_api: &self.runtime_api,
            queue: REQUESTS.to_owned(),
            batch_max: 10,
            timeout: Duration::from_secs(90),
        };
        let round = tokio::time::timeout(PATIENCE, poller.round()).await;
        round.expect("there is a message, and the process answers").unwrap()
    }

    /// Runs a process until the moment has come, kills it, and lets another one finish the work.
    async fn kill_at(&self, moment: impl Future<Output = ()>) -> String {
        let first = self.start(&[]);
        tokio::select! {
            biased;
            () = moment => {}
            round = self.round() => panic!("it ended before it could be killed: {round:?}"),
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

    /// Waits until the services of AWS are in such a state.
    async fn until(&self, condition: impl FnMut(View<'_>) -> bool) {
        self.aws.until(condition).await.unwrap();
    }

    /// The end that every killed request reaches.
    fn check_end(&self, outcome: &str, events: usize) {
        let all = self.events();
        assert_eq!(all.len(), events, "{all:#?}");
        let last = all.last().unwrap();
        assert_eq!(last["outcome"], outcome, "{last:#}");
        assert_eq!(last["effort"]["deliveries"], 2);
        assert!(
            all.iter().all(|event| event["request_id"] == last["request_id"]),
            "repeats carry the same id"
        );
        let counts = self.cloud.cloud().counts().endpoint("ep-a");
        assert_eq!((counts.detaches_accepted, counts.detaches_in_flight_max), (1, 1));
        assert_eq!(self.aws.queues().messages(REQUESTS).unwrap().len(), 0);
    }
}

#[tokio::test]
async fn killed_after_the_detach_was_executed_but_before_its_answer() {
    let account = Account::new().await;
    account.cloud.cloud().inject(Fault::on(DETACH, Effect::Hang).after_execution().nth(1));
    account.send(&request("ep-a", "sg-a"));
    account
        .kill_at(account.cloud.until(|cloud| cloud.counts().endpoint("ep-a").detaches_accepted == 1))
        .await;
    // Whether the second delivery still sees it detaching is a matter of milliseconds.
    let event = account.events().pop().unwrap();
    let outcome = if event["evidence"]["security_groups_before"].as_array().unwrap().len() == 2 {
        "detached"
    } else {
        "already_detached"
    };
    account.check_end(outcome, 1);
    assert_eq!(event["effort"]["detach_calls"], 0);
}

#[tokio::test]
async fn killed_between_proof_and_publishing() {
    let account = Account::new().await;
    account.aws.bus().faults().plan(Aws::PutEvents, 9, AwsFault::Hang);
    account.send(&request("ep-a", "sg-a"));
    let hangs =
        |view: View<'_>| view.journal.iter().any(|entry| entry.ending == Ending::Faulted(AwsFault::Hang));
    account.kill_at(account.until(hangs)).await;
    account.check_end("already_detached", 1);
}

#[tokio::test]
async fn killed_between_publishing_and_answering() {
    let account = Account::new().await;
    account.aws.queues().faults().plan(Aws::DeleteMessage, 9, AwsFault::Hang);
    account.send(&request("ep-a", "sg-a"));
    account.kill_at(account.until(|view| view.bus.events().len() == 1)).await;
    assert_eq!(account.events()[0]["outcome"], "detached");
    account.check_end("already_detached", 2);
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_told_in_one_line_before_asking_for_work() {
    let account = Account::new().await;
    let mut process = account.start(&[
        ("DETACH_QUEUE_URL", ""),
        ("DETACH_DEADLINE_SECONDS", "soon"),
        ("PROTECTED_SECURITY_GROUPS", "sg_a"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
        ("RUST_LOG", "loud"),
    ]);
    assert_eq!(process.0.wait().unwrap().code(), Some(1));
    let output = process.output();
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let variables: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    assert_eq!(
        variables,
        [
            "RUST_LOG",
            "DETACH_QUEUE_URL",
            "DETACH_DEADLINE_SECONDS",
            "PROTECTED_SECURITY_GROUPS",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ]
    );
    assert_eq!(account.runtime_api.request_count(), 0);
}

#[tokio::test]
async fn outside_lambda_it_says_so_and_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_worker")).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["faults"].as_str().unwrap().contains("make demo"), "{line}");
}

/// What a process wrote and published while it detached at every log level, started from keys of this source; their
/// session ends in the middle, or they are exchanged for others.
async fn told_of(account: &Account, change_keys: impl FnOnce()) -> String {
    let process = account.start(&[("RUST_LOG", "trace")]);
    let is_read = |view: View<'_>| {
        view.journal.iter().any(|call| matches!(call.action, Aws::GetSecretValue | Aws::GetWebIdentityToken))
    };
    account.until(is_read).await;
    account.send(&request("ep-a", "sg-a"));
    let change = async {
        account.cloud.until(|cloud| cloud.counts().of(DETACH) == 1).await;
        change_keys();
    };
    let (round, ()) = tokio::join!(account.round(), change);
    assert!(matches!(round.result, Some(InvocationResult::Response(_))), "{round:?}");
    // One that nobody can answer, so that there is a dead letter, too.
    account.send(&json!({ "region_id": "eu-west-1" }));
    account.round().await;
    let events = account.events();
    assert_eq!(events[0]["outcome"], "detached", "{events:#?}");
    let letters = account.aws.queues().messages(DEAD_LETTERS).unwrap().to_vec();
    assert_eq!(letters.len(), 1);
    let answer = round.result;
    format!("{}{events:?}{letters:?}{answer:?}", process.kill())
}

#[tokio::test]
async fn an_exchange_on_this_machine_is_shown_to_no_proxy() {
    let account = Account::with_keys(Keys::Oidc).await;
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    // PrivateLink is where it always is, and the proxy leads there.
    let process =
        account.start(&[("PRIVATELINK_ENDPOINT_URL", ""), ("HTTP_PROXY", &url), ("http_proxy", &url)]);
    let exchanged = account.cloud.until(|cloud| cloud.counts().of(Action::AssumeRoleWithOIDC) == 1);
    tokio::time::timeout(PATIENCE, exchanged).await.unwrap();
    process.kill();
    assert_eq!(proxy.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody called it");
}

#[tokio::test]
async fn no_key_of_a_secret_is_seen_anywhere() {
    let account = Account::with_keys(Keys::Secret).await;
    let old = AccessKey { security_token: Some(SECRETS[1].to_owned()), ..AccessKey::new(KEY_ID, SECRETS[0]) };
    let new = AccessKey::new("LTAI5tAnotherKey", "another-s3cret");
    account.aws.secrets().put(SECRET, secret_of(&old));
    let told = told_of(&account, || {
        account.cloud.cloud().set_access_key(new.clone());
        account.aws.secrets().put(SECRET, secret_of(&new));
        account.cloud.cloud().set_access_key(AccessKey { inactive: true, ..old.clone() });
    })
    .await;
    assert!(told.contains("InvalidAccessKeyId.Inactive"), "the keys were exchanged in the middle: {told}");
    for forbidden in SECRETS.into_iter().chain([KEY_ID, "LTAI5tAnotherKey", "another-s3cret"]) {
        assert!(!told.contains(forbidden), "{forbidden} in {told}");
    }
}

#[tokio::test]
async fn no_token_and_no_session_is_seen_anywhere() {
    let account = Account::with_keys(Keys::Oidc).await;
    let told = told_of(&account, || {
        account.cloud.cloud().expire_sessions(std::time::SystemTime::now());
    })
    .await;
    assert!(told.contains("InvalidSecurityToken.Expired"), "the session ended in the middle: {told}");
    let sessions: Vec<AccessKey> = account.cloud.cloud().sessions().cloned().collect();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let token = session.security_token.as_deref().unwrap();
        for forbidden in [session.access_key_id.as_str(), session.access_key_secret.as_str(), token] {
            assert!(!told.contains(forbidden), "{forbidden} in {told}");
        }
    }
    // Every JSON Web Token begins so, as does each of its readable parts.
    for forbidden in ["eyJ", "OIDCToken=", SECRETS[2], SECRETS[3]] {
        assert!(!told.contains(forbidden), "{forbidden} in {told}");
    }
    let cloud = account.cloud.cloud();
    let exchanges: Vec<_> =
        cloud.journal().iter().filter(|call| call.action.as_deref() == Some("AssumeRoleWithOIDC")).collect();
    assert_eq!(exchanges.len(), 2);
    assert!(exchanges.iter().all(|call| !call.token_in_url), "{exchanges:?}");
}

#[tokio::test]
async fn a_log_line_names_its_request_and_no_line_holds_a_secret() {
    let account = Account::new().await;
    // A service that quotes what was sent to it, as the real one does for a wrong signature.
    let quoting = Effect::Code {
        code: "SignatureDoesNotMatch".to_owned(),
        status: None,
        message: Some(format!("server string: x-acs-security-token:{} {}", SECRETS[1], SECRETS[0])),
        headers: http::HeaderMap::new(),
    };
    account.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, quoting).nth(1));
    let mut body = request("ep-a", "sg-a");
    body["metadata"] = json!({ "note": "body-t3xt" });
    account.send(&body);
    account.aws.bus().faults().plan(Aws::PutEvents, 1, AwsFault::ServerError);
    let process = account.start(&[("RUST_LOG", "trace")]);
    let round = account.round().await;
    assert!(matches!(round.result, Some(InvocationResult::Response(_))), "{round:?}");
    for payload in [
        r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
        r#"{"Records":[{"eventSource":"body-t3xt"}]}"#,
        r#"{"Records":["body-t3xt"]}"#,
        r#"{"Records":"body-t3xt"}"#,
        r#"{"Records":[{"eventSource":"aws:sqs","messageId":"m","attributes":"body-t3xt"}]}"#,
    ] {
        let answer = account.runtime_api.invoke(payload, Duration::from_secs(90)).await;
        let InvocationResult::Error(error) = answer else { panic!("{payload}: {answer:?}") };
        assert!(!String::from_utf8_lossy(&error).contains("body-t3xt"), "{payload}");
    }
    for (number, body) in [r#"{"body-t3xt":"body-t3xt"}"#, "body-t3xt is not JSON"].into_iter().enumerate() {
        let now = account.aws.now();
        let message = NewMessage::fifo(body, "another", &number.to_string());
        account.aws.queues().send(REQUESTS, message, now).unwrap();
    }
    account.round().await;
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
    let of_request = |line: &&Value| {
        let target = line["target"].as_str().unwrap();
        ["privatelink_detach::drive", "privatelink_detach::worker"]
            .iter()
            .any(|module| target.starts_with(module))
    };
    let spans: Vec<_> = lines.iter().filter(of_request).map(|line| &line["span"]).collect();
    assert!(spans.len() > 8 && spans.iter().all(|span| span["request_id"].is_string()), "{spans:?}");
    let alarms: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(alarms.len(), 6, "the refused keys and five failed invocations: {alarms:?}");
    assert!(alarms[1]["message"].as_str().unwrap().contains("aws:s3"), "{alarms:?}");
}
