//! `make serve` as a process: its addresses, a signed webhook, the completion event, a request in each chat platform, and
//! the end of its children.
//!
//! The process is the example `serve`, which cargo builds with the tests of the whole package.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "every step of a test has a time limit")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use privatelink_detach::transport::{Https, Transport};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The longest that any step may take on a busy machine; each takes well below a second otherwise.
const STEP_MAX: Duration = Duration::from_mins(1);

const FREE_PORTS: [&str; 6] = [
    "--webhook-port=0",
    "--aws-port=0",
    "--alibaba-port=0",
    "--slack-port=0",
    "--dingtalk-port=0",
    "--feishu-port=0",
];

/// Time between two reads of the conversation.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A running `serve`, which is killed if its test fails.
struct Serve {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    client: Https,
}

impl Serve {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("`cargo build --example serve` has built the program");
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, output, client: Https::new(true).unwrap() }
    }

    /// What follows this text in the first line that contains it, from now on.
    async fn printed(&mut self, text: &str) -> String {
        let find = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once(text) {
                    return rest.trim().to_owned();
                }
            }
            panic!("it ended without printing {text:?}");
        };
        timeout(STEP_MAX, find).await.unwrap_or_else(|_| panic!("it did not print {text:?}"))
    }

    /// The next commands, up to an empty line: each begins with two spaces, and its further lines with more.
    async fn printed_commands(&mut self) -> Vec<String> {
        let mut commands: Vec<String> = Vec::new();
        loop {
            let line = timeout(STEP_MAX, self.output.next_line()).await.expect("it is printed");
            match line.unwrap().expect("it is running") {
                line if line.starts_with("    ") => commands.last_mut().unwrap().extend(["\n", &line]),
                line if line.starts_with("  ") => commands.push(line),
                line if line.is_empty() => return commands,
                _ => {}
            }
        }
    }

    async fn post(&self, url: &str, headers: &[(&str, &str)], body: &Value) -> Response<Bytes> {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_string().into()).unwrap();
        self.client.send(request, STEP_MAX).await.expect("there is a response")
    }

    /// Sends a webhook with this id and returns the status of the response.
    async fn send_webhook(&self, url: &str, secret: &str, id: &str, body: &Value) -> u16 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let signature = Webhook::new(secret).unwrap().sign(id, now, body.to_string().as_bytes()).unwrap();
        let now = now.to_string();
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", &now),
            ("webhook-signature", &signature),
        ];
        self.post(url, &headers, body).await.status().as_u16()
    }

    /// The processes that it has started, where the operating system lists them.
    fn children(&self) -> Vec<String> {
        let id = self.process.id().unwrap();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }
}

/// The example, in the directory beside the one of this test's program.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join("serve")
}

async fn signal(name: &str, process: &str) {
    let killed = Command::new("kill").args([name, process]).status().await.unwrap();
    assert!(killed.success());
}

fn dry_run() -> Value {
    json!({
        "region_id": "eu-west-1",
        "endpoint_id": "ep-hp3shop",
        "security_group_id": "sg-hp3web",
        "dry_run": true,
    })
}

#[tokio::test]
async fn signed_webhook_ends_in_a_completion_event() {
    let mut serve = Serve::start(&FREE_PORTS);
    let webhook_url = serve.printed("Webhook URL ").await;
    let secret = serve.printed("Signing secret ").await;
    let aws = serve.printed("AWS endpoint ").await;

    assert_eq!(serve.send_webhook(&webhook_url, &secret, "msg_first", &dry_run()).await, 202);
    let printed = serve.printed("Security Group Detach Completed: ").await;
    assert_eq!(printed, "msg_first, dry_run_passed");

    // The event is also in a queue, as any target of a rule has it.
    let target = [("x-amz-target", "AmazonSQS.ReceiveMessage")];
    let queue = json!({ "QueueUrl": format!("{aws}/000000000000/completion-events") });
    let received: Value = serde_json::from_slice(serve.post(&aws, &target, &queue).await.body()).unwrap();
    let event = received["Messages"][0]["Body"].as_str().unwrap();
    assert!(event.contains(r#""detail":{"version":"#), "the detail keeps its order: {event}");
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        (&event["detail-type"], &event["detail"]["request_id"]),
        (&json!("Security Group Detach Completed"), &json!("msg_first"))
    );

    // A direct invocation of the worker.
    let url = format!("{aws}/2015-03-31/functions/worker/invocations");
    let detail: Value = serde_json::from_slice(serve.post(&url, &[], &dry_run()).await.body()).unwrap();
    assert_eq!((&detail["outcome"], &detail["trigger"]), (&json!("dry_run_passed"), &json!("direct")));
    serve.printed("dry_run_passed").await;

    // A sweep, whose event is printed, too.
    let url = format!("{aws}/2015-03-31/functions/sweeper/invocations");
    let sweep = json!({
        "sweep_id": "sweep-first",
        "security_group_ids": ["sg-hp3vendor"],
        "region_ids": ["eu-west-1"],
        "scope": "all",
    });
    let detail: Value = serde_json::from_slice(serve.post(&url, &[], &sweep).await.body()).unwrap();
    assert_eq!((&detail["verdict"], &detail["references_total"]), (&json!("references_found"), &json!(8)));
    assert_eq!(serve.printed("Security Group Sweep Completed: ").await, "sweep-first, references_found");

    // The endpoints of one team, in two regions.
    let sweep = json!({
        "sweep_id": "sweep-second",
        "security_group_ids": ["sg-hp3vendor", "sg-hp3centralvendor"],
        "region_ids": ["eu-west-1", "eu-central-1"],
        "scope": { "tags": { "team": "checkout" } },
    });
    let detail: Value = serde_json::from_slice(serve.post(&url, &[], &sweep).await.body()).unwrap();
    assert_eq!(
        (&detail["endpoints_read"], &detail["references_total"]),
        (&json!({ "eu-central-1": 1, "eu-west-1": 4 }), &json!(5)),
        "{detail}"
    );
    assert_eq!(serve.printed("Security Group Sweep Completed: ").await, "sweep-second, references_found");

    // Processes that end are started again, and go on with the work.
    let children = serve.children();
    assert!(children.is_empty() || children.len() == 6, "{children:?}");
    for child in &children {
        signal("-KILL", child).await;
        serve.printed("is started again").await;
    }
    assert_eq!(serve.send_webhook(&webhook_url, &secret, "msg_second", &dry_run()).await, 202);
    assert_eq!(serve.printed("Security Group Detach Completed: ").await, "msg_second, dry_run_passed");

    // Ctrl-C.
    let children = serve.children();
    signal("-INT", &serve.process.id().unwrap().to_string()).await;
    let status = timeout(STEP_MAX, serve.process.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    for child in children {
        assert!(!Path::new("/proc").join(&child).exists(), "process {child} has ended");
    }
}

#[tokio::test]
async fn printed_commands_are_for_both_versions_of_the_aws_cli() {
    let mut serve = Serve::start(&FREE_PORTS);
    serve.printed("Dry run, directly:").await;
    // Version 1 knows no --cli-binary-format, and version 2 reads any other payload as base64.
    let mut files = Vec::new();
    for function in ["worker", "intake", "sweeper", "sweeper"] {
        let options = serve.printed(&format!("local_aws lambda invoke --function-name {function}")).await;
        assert!(!options.contains("binary-format"), "{options}");
        let payload =
            timeout(STEP_MAX, serve.output.next_line()).await.expect("it is printed").unwrap().unwrap();
        let file = payload.trim().strip_prefix("--payload fileb://").expect(&payload);
        let (file, rest) = file.split_once(' ').unwrap();
        assert_eq!(rest, "response.json && cat response.json");
        files.push(fs::read_to_string(file).unwrap());
    }
    let apply: Value = serde_json::from_str(files.last().unwrap()).unwrap();
    assert_eq!(
        (&apply["mode"], &apply["scope"]),
        (&json!("apply"), &json!({ "tags": { "team": "checkout" } }))
    );
}

#[tokio::test]
async fn printed_commands_of_chat_end_in_the_conversation_with_the_outcome() {
    let mut serve = Serve::start(&FREE_PORTS);
    let platforms = ["slack", "dingtalk", "feishu"];
    let mut printed = Vec::new();
    for heading in ["Send a command in Slack", "The same in DingTalk", "The same in Feishu"] {
        serve.printed(heading).await;
        printed.push(serve.printed_commands().await);
    }
    for (platform, commands) in platforms.into_iter().zip(printed) {
        let [request, read, approve] = commands.as_slice() else { panic!("three commands: {commands:?}") };

        let accepted = run(request).await;
        assert!(accepted.contains("\"status\": 200"), "{platform}: {accepted}");
        let asked = conversation_with(read, "[Approve detach] [Decline]").await;
        assert!(asked.contains("Approval needed") && asked.contains("CHG0031077"), "{platform}: {asked}");

        let approved = run(approve).await;
        assert!(approved.contains("\"status\": 200"), "{platform}: {approved}");
        let ended = conversation_with(read, "The worker confirmed that").await;
        assert!(!ended.contains("[Approve detach]"), "{platform}: {ended}");
        let event = format!("Security Group Detach Completed: {platform}-");
        assert!(serve.printed(&event).await.ends_with(".preview, dry_run_passed"), "{platform}");
        assert!(serve.printed(&event).await.ends_with(", detached"), "{platform}");
    }
}

/// What the printed commands use of curl, for a machine without it.
const CURL: &str = r#"command -v curl > /dev/null || curl() { python3 -c '
import sys, urllib.request
arguments, data, url = sys.argv[1:], [], None
while arguments:
    argument = arguments.pop(0)
    if argument == "-d":
        data.append(arguments.pop(0))
    elif argument != "-sS":
        url = argument
body = "&".join(data).encode() if data else None
print(urllib.request.urlopen(url, body).read().decode(), end="")
' "$@"; }
"#;

/// Runs a printed command in a shell, and returns what it prints.
async fn run(command: &str) -> String {
    let script = format!("{CURL}{command}");
    let output = Command::new("sh").args(["-c", &script]).env("no_proxy", "*").output();
    let output = timeout(STEP_MAX, output).await.expect("it ends").expect("there is a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Reads the conversation until it contains a text.
async fn conversation_with(read: &str, text: &str) -> String {
    let mut conversation = String::new();
    let found = timeout(STEP_MAX, async {
        while !conversation.contains(text) {
            tokio::time::sleep(READ_AGAIN_AFTER).await;
            conversation = run(read).await;
        }
    });
    let is_found = found.await.is_ok();
    assert!(is_found, "{text:?} is not in the conversation:\n{conversation}");
    conversation
}

#[tokio::test]
async fn port_in_use_is_named_with_the_option_that_changes_it() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = format!("--webhook-port={}", other.local_addr().unwrap().port());
    let mut serve = Serve::start(&[&[port.as_str()], &FREE_PORTS[1..]].concat());
    let mut error = String::new();
    let stderr = serve.process.stderr.as_mut().unwrap();
    timeout(STEP_MAX, stderr.read_to_string(&mut error)).await.expect("it ends").unwrap();
    let status = serve.process.wait().await.unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("is in use") && error.contains("--webhook-port"), "{error}");
}
