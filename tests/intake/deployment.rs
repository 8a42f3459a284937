//! An intake process with local AWS services behind it and a local Function URL in front of it.

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
use privatelink_detach::transport::{Https, Transport};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

/// The name of the request queue.
pub(crate) const REQUESTS: &str = "requests.fifo";
/// The ARN of the signing secrets.
pub(crate) const SECRETS_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:webhooks";
/// A valid signing secret, the example in the scheme's documentation.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The AWS credentials that no log line may contain.
pub(crate) const AWS_SECRETS: [&str; 2] = ["aws-s3cret", "aws-t0ken"];

/// Longer than any call takes. A call that takes longer never ends.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The function's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The AWS services, the Function URL and the process.
pub(crate) struct Deployment {
    pub(crate) aws: LocalAws,
    pub(crate) runtime_api: Arc<RuntimeApi>,
    process: Process,
    url: FunctionUrl,
    client: Https,
}

/// How a deployment differs from the default one.
#[derive(Default)]
pub(crate) struct Settings {
    /// Variables that are added or replaced. An empty one counts as not set.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The Function URL.
    pub(crate) url: FunctionUrlSettings,
}

/// An intake process. It is killed when this value is dropped.
pub(crate) struct Process {
    child: Child,
    /// Threads that read the output as it is written, because a full pipe would block the process.
    output: Vec<JoinHandle<String>>,
}

/// An HTTP call that a test prepares.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response with its body as JSON; null if it has no body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
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
    pub(crate) fn start(environment: &[(&'static str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_intake"));
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = vec![read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap())];
        Self { child, output }
    }

    /// Waits for the process to end. Returns its exit status and its whole output.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let output = std::mem::take(&mut self.output).into_iter().map(|output| output.join().unwrap());
        (status.code(), output.collect())
    }

    /// Kills the process. Returns its whole output.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.wait().1
    }
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

/// The environment variables of an intake that uses these services.
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
        ("REQUEST_EVENT_SOURCES", "incident.response".to_owned()),
    ]
}

impl Deployment {
    /// The default deployment: webhooks are signed, and there is one signing secret.
    pub(crate) async fn new() -> Self {
        Self::with_settings(Settings::default()).await
    }

    /// A deployment with additional variables.
    pub(crate) async fn with(environment: &[(&'static str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::with_settings(Settings { environment, ..Settings::default() }).await
    }

    /// A deployment without signing secrets, behind a Function URL with `AWS_IAM` that authenticated this caller.
    pub(crate) async fn with_iam(caller_arn: Option<&str>) -> Self {
        let url = FunctionUrlSettings { caller_arn: caller_arn.map(str::to_owned), ..Default::default() };
        Self::with_settings(Settings { environment: vec![("WEBHOOK_SECRETS_ARN", String::new())], url }).await
    }

    pub(crate) async fn with_settings(settings: Settings) -> Self {
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
        aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
        Self::with_aws(aws, settings).await
    }

    /// A deployment that uses these services as they are. Returns when the process has asked for its first invocation.
    pub(crate) async fn with_aws(aws: LocalAws, settings: Settings) -> Self {
        let runtime_api = Arc::new(RuntimeApi::start().await.unwrap());
        let mut variables = environment(&aws, &runtime_api);
        variables.extend(settings.environment);
        let process = Process::start(&variables);
        let first_request = tokio::time::timeout(CALL_TIMEOUT, runtime_api.first_request());
        first_request.await.expect("the process asks for its first invocation");
        let serving = Arc::clone(&runtime_api);
        let invoke = move |event| {
            let serving = Arc::clone(&serving);
            async move { serving.invoke(event, FUNCTION_TIMEOUT).await }
        };
        let url = FunctionUrl::start(settings.url, invoke).await.unwrap();
        Self { aws, runtime_api, process, url, client: Https::new(true).unwrap() }
    }

    /// Makes one HTTP call.
    pub(crate) async fn call(&self, call: Call) -> Response {
        let mut request = http::Request::new(call.body);
        *request.method_mut() = call.method;
        *request.uri_mut() = format!("{}{}", self.url.url(), call.path).parse().unwrap();
        *request.headers_mut() = call.headers;
        let response = self.client.send(request, CALL_TIMEOUT).await.expect("a response");
        let body = match response.body() {
            body if body.is_empty() => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        Response { status: response.status(), headers: response.headers().clone(), body }
    }

    /// Posts a webhook with this body, signed now with [`SECRET`].
    pub(crate) async fn post(&self, body: &Value) -> Response {
        self.call(webhook(body).signed()).await
    }

    /// Makes one invocation with any payload.
    pub(crate) async fn invoke(&self, payload: &str) -> Result<Value, Value> {
        let result = self.runtime_api.invoke(payload.to_owned(), FUNCTION_TIMEOUT);
        match tokio::time::timeout(CALL_TIMEOUT, result).await.expect("the process responds") {
            InvocationResult::Response(body) => Ok(serde_json::from_slice(&body).unwrap()),
            InvocationResult::Error(body) => Err(serde_json::from_slice(&body).unwrap()),
        }
    }

    /// The base URL of the function.
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

    /// The AWS calls so far, in their order.
    pub(crate) fn aws_calls(&self) -> Vec<Action> {
        self.aws.journal().into_iter().map(|entry| entry.action).collect()
    }

    /// Kills the process. Returns its whole output.
    pub(crate) fn output(self) -> String {
        self.process.kill()
    }
}

impl Call {
    /// Signs the call with the scheme's own library, with a new id, now.
    pub(crate) fn signed(self) -> Self {
        let id = format!("msg_{:032x}", fastrand::u128(..));
        self.signed_as(&id, 0, SECRET)
    }

    /// Signs the call with this id and secret; the timestamp differs from now by so many seconds.
    pub(crate) fn signed_as(self, id: &str, seconds_from_now: i64, secret: &str) -> Self {
        let timestamp = now() + seconds_from_now;
        let signature = Webhook::new(secret).unwrap().sign(id, timestamp, &self.body).unwrap();
        self.with("webhook-id", id)
            .with("webhook-timestamp", &timestamp.to_string())
            .with("webhook-signature", &signature)
    }

    /// Sets a header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Removes a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name).expect("the call has the header");
        self
    }

    /// Replaces the body and keeps the signature.
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that the response is problem details (RFC 9457) with this status.
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

    /// Index, field and detail of every error.
    pub(crate) fn errors(&self) -> Vec<(Option<u64>, &str, &str)> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .map(|error| {
                (error["index"].as_u64(), error["field"].as_str().unwrap(), error["detail"].as_str().unwrap())
            })
            .collect()
    }
}

/// A webhook with this body, not signed.
pub(crate) fn webhook(body: &Value) -> Call {
    let call = Call {
        method: Method::POST,
        path: "/detachments".to_owned(),
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    };
    call.with("content-type", "application/json")
}

/// A request to detach this group from `ep-a`.
pub(crate) fn request(group: &str) -> Value {
    json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": group })
}

/// A list of so many requests, each for another group.
pub(crate) fn requests(count: usize) -> Value {
    json!({ "requests": (0..count).map(|n| request(&format!("sg-{n}"))).collect::<Vec<_>>() })
}

/// The text of a message attribute.
pub(crate) fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    match &message.attributes.get(name)?.value {
        AttributeValue::Text(text) => Some(text),
        other @ AttributeValue::Binary(_) => panic!("not text: {other:?}"),
    }
}

/// The current time in seconds since 1970-01-01.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}
