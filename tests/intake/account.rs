//! An AWS account on loopback with one intake process in it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use local_aws::function_url::FunctionUrlSettings;
use local_aws::queues::{AttributeValue, Message};
use local_aws::{Action, FunctionUrl, InvocationResult, LocalAws, QueueSettings, RuntimeApi};
use privatelink_detach::alibaba::transport::{Https, Transport};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// The request queue.
pub(crate) const REQUESTS: &str = "requests.fifo";
/// The ARN of the signing secrets.
pub(crate) const SECRETS_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:webhooks";
/// A live signing secret, the one that the scheme's documentation uses.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What must never be seen in a line of the log.
pub(crate) const AWS_SECRETS: [&str; 2] = ["aws-s3cret", "aws-t0ken"];

/// Longer than any call takes; one that needs more will never be answered.
const PATIENCE: Duration = Duration::from_mins(1);

/// The function's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The services, the front and the process.
pub(crate) struct Account {
    pub(crate) aws: LocalAws,
    pub(crate) runtime_api: Arc<RuntimeApi>,
    process: Process,
    url: FunctionUrl,
    client: Https,
}

/// How an account differs from the usual one.
#[derive(Default)]
pub(crate) struct Setting {
    /// Variables that are added or replaced; an empty one counts as not set.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What is in front of the function.
    pub(crate) url: FunctionUrlSettings,
}

/// A function process that does not outlive its test.
pub(crate) struct Process {
    child: Child,
    /// Reads what it writes as it writes: with a full pipe it would stand still.
    output: Vec<JoinHandle<String>>,
}

/// An HTTP call in the making.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer, its body as JSON; null if it has none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts the intake.
    pub(crate) fn start(environment: &[(&'static str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_intake"));
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = vec![read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap())];
        Self { child, output }
    }

    /// Waits for its end: the status, and all that it ever wrote.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let output = std::mem::take(&mut self.output).into_iter().map(|output| output.join().unwrap());
        (status.code(), output.collect())
    }

    /// SIGKILL, and all that it ever wrote.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().1
    }
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

/// The variables of an intake in this account.
pub(crate) fn environment(aws: &LocalAws, runtime_api: &RuntimeApi) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.address()),
        ("AWS_LAMBDA_FUNCTION_NAME", "intake".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", AWS_SECRETS[0].to_owned()),
        ("AWS_SESSION_TOKEN", AWS_SECRETS[1].to_owned()),
        ("AWS_ENDPOINT_URL", aws.url()),
        ("DETACH_QUEUE_URL", aws.queue_url(REQUESTS)),
        ("WEBHOOK_SECRETS_ARN", SECRETS_ARN.to_owned()),
    ]
}

impl Account {
    /// The usual one: signatures, one live secret.
    pub(crate) async fn new() -> Self {
        Self::set(Setting::default()).await
    }

    /// One with these variables besides.
    pub(crate) async fn with(environment: &[(&'static str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::set(Setting { environment, ..Setting::default() }).await
    }

    /// One behind a Function URL with `AWS_IAM` that let this caller through.
    pub(crate) async fn with_iam(caller_arn: Option<&str>) -> Self {
        let url = FunctionUrlSettings { caller_arn: caller_arn.map(str::to_owned), ..Default::default() };
        Self::set(Setting { environment: vec![("WEBHOOK_SECRETS_ARN", String::new())], url }).await
    }

    /// One set like this. The process has started when it returns.
    pub(crate) async fn set(setting: Setting) -> Self {
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
        aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
        Self::around(aws, setting).await
    }

    /// One with these services, as they are.
    pub(crate) async fn around(aws: LocalAws, setting: Setting) -> Self {
        let runtime_api = Arc::new(RuntimeApi::start().await.unwrap());
        let mut variables = environment(&aws, &runtime_api);
        variables.extend(setting.environment);
        let process = Process::start(&variables);
        let asked = tokio::time::timeout(PATIENCE, runtime_api.first_request());
        asked.await.expect("the process asks for work");
        let serving = Arc::clone(&runtime_api);
        let invoke = move |event| {
            let serving = Arc::clone(&serving);
            async move { serving.invoke(event, FUNCTION_TIMEOUT).await }
        };
        let url = FunctionUrl::start(setting.url, invoke).await.unwrap();
        Self { aws, runtime_api, process, url, client: Https::new(true).unwrap() }
    }

    /// One HTTP call.
    pub(crate) async fn call(&self, call: Call) -> Answer {
        let mut request = http::Request::new(call.body);
        *request.method_mut() = call.method;
        *request.uri_mut() = format!("{}{}", self.url.url(), call.path).parse().unwrap();
        *request.headers_mut() = call.headers;
        let answer = self.client.send(request, PATIENCE).await.expect("there is an answer");
        let body = match answer.body() {
            body if body.is_empty() => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        Answer { status: answer.status(), headers: answer.headers().clone(), body }
    }

    /// A webhook with this body, signed now by the live secret.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.call(webhook(body).signed()).await
    }

    /// One invocation with any payload.
    pub(crate) async fn invoke(&self, payload: &str) -> Result<Value, Value> {
        let answer = self.runtime_api.invoke(payload.to_owned(), FUNCTION_TIMEOUT);
        match tokio::time::timeout(PATIENCE, answer).await.expect("the process answers") {
            InvocationResult::Response(body) => Ok(serde_json::from_slice(&body).unwrap()),
            InvocationResult::Error(body) => Err(serde_json::from_slice(&body).unwrap()),
        }
    }

    /// Where the function is.
    pub(crate) fn url(&self) -> String {
        self.url.url()
    }

    /// The messages in the request queue.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.aws.queues().messages(REQUESTS).unwrap().to_vec()
    }

    /// The bodies of the messages in the request queue.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.messages().iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// The calls of AWS so far.
    pub(crate) fn aws_calls(&self) -> Vec<Action> {
        self.aws.journal().into_iter().map(|entry| entry.action).collect()
    }

    /// Kills the process; all that it wrote.
    pub(crate) fn output(self) -> String {
        self.process.kill()
    }
}

impl Call {
    /// Signs it as the scheme's own library does, under a fresh id and at this moment.
    pub(crate) fn signed(self) -> Self {
        let id = format!("msg_{:032x}", fastrand::u128(..));
        self.signed_as(&id, 0, SECRET)
    }

    /// Signs it under this id, so many seconds from now, with this secret.
    pub(crate) fn signed_as(self, id: &str, seconds_from_now: i64, secret: &str) -> Self {
        let timestamp = now() + seconds_from_now;
        let signature = Webhook::new(secret).unwrap().sign(id, timestamp, &self.body).unwrap();
        self.with("webhook-id", id)
            .with("webhook-timestamp", &timestamp.to_string())
            .with("webhook-signature", &signature)
    }

    /// With this header instead of what it had.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Without this header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name).expect("it is there to be removed");
        self
    }

    /// With this body instead, whatever was signed.
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl Answer {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is a problem with this status, as RFC 9457 describes one.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.body["status"], status);
        assert_eq!(
            (&self.body["type"], &self.body["title"]),
            (&json!("about:blank"), &json!(self.status.canonical_reason()))
        );
        assert!(self.body["detail"].as_str().unwrap().ends_with('.'), "{self:?}");
    }

    /// The `request_id` of every accepted request.
    pub(crate) fn accepted(&self) -> Vec<&str> {
        let accepted = self.body["accepted"].as_array().into_iter().flatten();
        accepted.map(|receipt| receipt["request_id"].as_str().unwrap()).collect()
    }

    /// Every error as place, field and what is wrong.
    pub(crate) fn errors(&self) -> Vec<(Option<u64>, &str, &str)> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .map(|error| {
                (error["index"].as_u64(), error["field"].as_str().unwrap(), error["detail"].as_str().unwrap())
            })
            .collect()
    }
}

/// An unsigned webhook with this body.
pub(crate) fn webhook(body: &Value) -> Call {
    let call = Call {
        method: Method::POST,
        path: "/detachments".to_owned(),
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    };
    call.with("content-type", "application/json")
}

/// A request to take this group off `ep-a`.
pub(crate) fn request(group: &str) -> Value {
    json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": group })
}

/// So many different requests.
pub(crate) fn requests(count: usize) -> Value {
    json!({ "requests": (0..count).map(|n| request(&format!("sg-{n}"))).collect::<Vec<_>>() })
}

/// The text of a message's attribute.
pub(crate) fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    match &message.attributes.get(name)?.value {
        AttributeValue::Text(text) => Some(text),
        other @ AttributeValue::Binary(_) => panic!("not text: {other:?}"),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}
