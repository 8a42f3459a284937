//! The messenger's process: its start, its calls over HTTP, and its log.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use local_aws::{LocalAws, NewMessage, Poller, RuntimeApi};
use privatelink_detach::clock::Clock;
use serde_json::{Value, json};

use crate::deployment::{APP_SECRETS, DEAD_LETTERS, FUNCTION_TIMEOUT, NOTICES, TOKEN, local_aws, variables};
use crate::notices::{
    DINGTALK, FEISHU, FOREIGN_KEY, KEY, answer_at, declined, declined_at, outcome_at, preview, preview_at,
    preview_event, preview_signed_by,
};
use crate::program::Process;

/// Longer than any invocation of a test takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Values of AWS's credentials.
const AWS_SECRETS: [&str; 2] = ["aws-s3cret", "aws-t0ken"];

/// A Slack on loopback that responds to every request with this body. Returns its URL.
fn slack(response: &'static str) -> String {
    platform(response, response)
}

/// A platform on loopback that responds with these bodies to a call for an access token, and to every other call. Returns
/// its URL.
fn platform(issued: &'static str, response: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            respond(connection.unwrap(), issued, response);
        }
    });
    url
}

/// Reads one request with its body, and responds to it.
fn respond(mut connection: TcpStream, issued: &str, response: &str) {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    let is_complete = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split_once("content-length: ")?.1.lines().next()?.parse::<usize>().ok()?;
        Some(body.len() >= length)
    };
    while is_complete(&request) != Some(true) {
        let length = connection.read(&mut chunk).unwrap();
        assert!(length > 0, "the request is complete");
        request.extend_from_slice(&chunk[..length]);
    }
    let is_token = ["/oauth2/accessToken", "/tenant_access_token/"]
        .iter()
        .any(|path| String::from_utf8_lossy(&request).lines().next().is_some_and(|line| line.contains(path)));
    let response = if is_token { issued } else { response };
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", response.len());
    connection.write_all(format!("{head}{response}").as_bytes()).unwrap();
}

struct Environment {
    aws: LocalAws,
    runtime_api: RuntimeApi,
    /// The number of requests for an invocation that idle processes have made.
    requests: Cell<usize>,
}

impl Environment {
    async fn new() -> Self {
        let (aws, runtime_api) = (local_aws().await, RuntimeApi::start().await.unwrap());
        Self { aws, runtime_api, requests: Cell::new(0) }
    }

    fn start(&self, changes: &[(&'static str, &str)]) -> Process {
        let lambda = [
            ("AWS_LAMBDA_RUNTIME_API", self.runtime_api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "messenger".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", AWS_SECRETS[0].to_owned()),
            ("AWS_SESSION_TOKEN", AWS_SECRETS[1].to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
        ];
        let changes = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let environment: Vec<_> = lambda.into_iter().chain(variables(&self.aws)).chain(changes).collect();
        Process::start(env!("CARGO_BIN_EXE_messenger"), &environment)
    }

    /// Waits until the process requests an invocation. A request that arrived after the process was killed would take the
    /// invocation of the next process.
    async fn idle(&self) {
        self.requests.set(self.requests.get() + 1);
        let clock = Clock::start();
        let request = self.runtime_api.nth_request(self.requests.get());
        clock.by(clock.now() + TEST_TIMEOUT, request).await.unwrap();
    }

    /// Sends a message, and delivers it to the process.
    async fn deliver(&self, body: &str) {
        self.idle().await;
        let now = self.aws.now();
        self.aws.queues().send(NOTICES, NewMessage::new(body), now).unwrap();
        let poller = Poller {
            aws: &self.aws,
            runtime_api: &self.runtime_api,
            queue: NOTICES.to_owned(),
            batch_max: 1,
            timeout: FUNCTION_TIMEOUT,
        };
        let clock = Clock::start();
        clock.by(clock.now() + TEST_TIMEOUT, poller.round()).await.unwrap().unwrap();
    }

    fn counts(&self) -> (usize, usize) {
        let count = |queue| self.aws.queues().messages(queue).unwrap().len();
        (count(NOTICES), count(DEAD_LETTERS))
    }
}

#[tokio::test]
async fn every_configuration_error_is_logged_in_one_line_before_the_first_invocation() {
    let environment = Environment::new().await;
    let queue = environment.aws.queue_url(NOTICES);
    let process = environment.start(&[
        ("DEAD_LETTER_QUEUE_URL", &queue),
        ("CHAT_TOKEN_SECRET_ARN", TOKEN),
        ("CHAT_SIGNING_SECRET_ARN", ""),
        ("CHAT_LANGUAGE", "FR"),
        ("SLACK_ENDPOINT_URL", "http://slack.com"),
        ("AWS_ENDPOINT_URL_SQS", "sqs.internal"),
    ]);
    let (status, output) = process.wait();
    assert_eq!(status, Some(1));
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    let faults: Vec<Value> = serde_json::from_str(line["faults"].as_str().unwrap()).unwrap();
    let variables: Vec<_> = faults.iter().map(|fault| fault["variable"].as_str().unwrap()).collect();
    let expected = [
        "SLACK_ENDPOINT_URL",
        "DEAD_LETTER_QUEUE_URL",
        "CHAT_TOKEN_SECRET_ARN",
        "CHAT_SIGNING_SECRET_ARN",
        "CHAT_LANGUAGE",
        "AWS_ENDPOINT_URL_SQS",
    ];
    assert_eq!(variables, expected);
    assert!(!output.contains(TOKEN));
    assert_eq!(environment.runtime_api.request_count(), 0);
}

#[tokio::test]
async fn process_posts_notices_and_its_log_contains_no_secret_at_any_level() {
    let environment = Environment::new().await;
    let bodies = [preview(), declined(), preview_signed_by(FOREIGN_KEY)];
    let slacks = [
        slack(r#"{"ok":true,"ts":"1800000000.000100"}"#),
        slack(r#"{"ok":false,"error":"is_archived","needed":"b0dy"}"#),
        slack("b0dy"),
        // No server listens on port 1.
        "http://127.0.0.1:1".to_owned(),
    ];
    let mut output = String::new();
    for url in slacks {
        let process = environment.start(&[("SLACK_ENDPOINT_URL", &url), ("RUST_LOG", "trace")]);
        for body in &bodies {
            environment.deliver(body).await;
        }
        environment.idle().await;
        output.push_str(&process.kill());
    }
    assert_eq!(environment.counts(), (4, 2), "two are archived, four wait for a Slack that responds");
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages_of = |level: &str| {
        let lines = lines.iter().filter(|line| line["level"] == level);
        lines.map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(messages_of("INFO"), ["posted"; 2]);
    let (errors, warnings) = (messages_of("ERROR"), messages_of("WARN"));
    assert_eq!((errors.len(), warnings.len()), (2 + 4, 4), "{errors:#?} {warnings:#?}");

    let notice: Value = serde_json::from_str(&declined()).unwrap();
    let reply_address = preview_event(KEY)["detail"]["metadata"]["chat"].clone();
    let signatures = [&notice["chat_notice"], &reply_address].map(|signed| {
        let (carried, signature) = signed.as_str().unwrap().split_once('.').unwrap();
        [carried.to_owned(), signature.to_owned()]
    });
    let secrets = [TOKEN, "t0ken", KEY, "b0dy", "Bearer", "CHG-1"].map(str::to_owned);
    for secret in AWS_SECRETS.map(str::to_owned).into_iter().chain(secrets).chain(signatures.concat()) {
        assert!(!output.contains(&secret), "{secret} in {output}");
    }
}

#[tokio::test]
async fn log_contains_no_app_secret_and_no_access_token_at_any_level() {
    let dingtalk = r#"{"accessToken":"acc3ss-of-dingtalk","expireIn":7200,"message":"b0dy"}"#;
    let feishu = r#"{"code":0,"msg":"b0dy","tenant_access_token":"acc3ss-of-feishu","expire":7200}"#;
    for (place, variable, issued, failures) in [
        (
            &DINGTALK,
            "DINGTALK_ENDPOINT_URL",
            dingtalk,
            [
                r#"{"code":"chatbotNotInstall","message":"b0dy acc3ss-of-dingtalk"}"#,
                r#"{"code":"b0dy b0dy"}"#,
            ],
        ),
        (
            &FEISHU,
            "FEISHU_ENDPOINT_URL",
            feishu,
            [r#"{"code":230002,"msg":"b0dy acc3ss-of-feishu"}"#, r#"{"code":"b0dy b0dy"}"#],
        ),
    ] {
        let environment = Environment::new().await;
        let bodies = [preview_at(place), answer_at(place), declined_at(place), outcome_at(place)];
        let platforms = [
            platform(issued, issued),
            platform(issued, failures[0]),
            platform(issued, failures[1]),
            platform(issued, "<html>b0dy"),
            platform(failures[0], "b0dy"),
            platform("b0dy", "b0dy"),
            // No server listens on port 1.
            "http://127.0.0.1:1".to_owned(),
        ];
        let mut output = String::new();
        for url in platforms {
            let process = environment.start(&[(variable, &url), ("RUST_LOG", "trace")]);
            for body in &bodies {
                environment.deliver(body).await;
            }
            environment.idle().await;
            output.push_str(&process.kill());
        }
        let posted = output.lines().filter(|line| line.contains("\"posted\"")).count();
        assert!(posted >= bodies.len(), "{output}");
        let queues = [NOTICES, DEAD_LETTERS]
            .map(|queue| format!("{:?}", environment.aws.queues().messages(queue).unwrap().to_vec()));
        assert!(queues.iter().all(|messages| messages.contains("body: ")), "{queues:?}");
        // The texts of notices are in the queues, and in no log line.
        let secrets = [APP_SECRETS[0], APP_SECRETS[1], "acc3ss", KEY, "b0dy", "Bearer"];
        for secret in AWS_SECRETS.into_iter().chain(secrets) {
            assert!(!output.contains(secret), "{secret} in {output}");
            assert!(!queues.iter().any(|messages| messages.contains(secret)), "{secret} in {queues:?}");
        }
        for text in ["the answer", "chat_answer", "chat_notice", "WyJ", "CHG-1", "cli_app04", "ding-app-key"]
        {
            assert!(!output.contains(text), "{text} in {output}");
        }
    }
}

#[tokio::test]
async fn error_lines_name_their_request_at_every_log_level() {
    let environment = Environment::new().await;
    let url = slack(r#"{"ok":false,"error":"is_archived"}"#);
    let process = environment.start(&[("SLACK_ENDPOINT_URL", &url), ("RUST_LOG", "error")]);
    environment.deliver(&preview()).await;
    environment.idle().await;
    let output = process.kill();
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!((&line["level"], &line["span"]["name"]), (&json!("ERROR"), &json!("message")));
    assert!(line["span"]["request_id"].as_str().unwrap().ends_with(".preview"), "{line}");
    assert!(line["span"]["lambda_request_id"].is_string(), "{line}");
}

#[tokio::test]
async fn payload_of_another_kind_is_a_failed_invocation() {
    let environment = Environment::new().await;
    let process = environment.start(&[]);
    let result = environment.runtime_api.invoke(json!({ "b0dy": 1 }).to_string(), FUNCTION_TIMEOUT);
    let clock = Clock::start();
    let result = clock.by(clock.now() + TEST_TIMEOUT, result).await.unwrap();
    let text = format!("{result:?}");
    assert!(text.contains("UnsupportedPayload") && !text.contains("b0dy"), "{text}");
    let output = process.kill();
    assert!(output.contains("the invocation failed") && !output.contains("b0dy"), "{output}");
}
