//! AWS in memory: it answers each of the clients' calls as AWS does when nothing is wrong, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use privatelink_detach::aws;
use serde_json::{Value, json};

/// The request queue.
pub(crate) const REQUESTS: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests.fifo";

/// The dead-letter queue.
pub(crate) const DEAD_LETTERS: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letter.fifo";

/// AWS's word for who the function is.
pub(crate) const WEB_IDENTITY_TOKEN: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ";

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The operation.
    pub(crate) operation: String,
    /// What it was asked with; null if that is no JSON.
    pub(crate) body: Value,
}

/// AWS, and everything that is configured to call it.
#[derive(Clone)]
pub(crate) struct Aws {
    /// For clients.
    pub(crate) config: SdkConfig,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    secret: String,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Connector(Arc<Mutex<State>>);

impl Aws {
    /// With this text in every secret.
    pub(crate) fn with_secret(secret: &str) -> Self {
        let state = Arc::new(Mutex::new(State { secret: secret.to_owned(), calls: Vec::new() }));
        let connector = SharedHttpConnector::new(Connector(Arc::clone(&state)));
        let config = base_config().into_builder().http_client(http_client_fn(move |_, _| connector.clone()));
        Self { config: config.build(), state }
    }

    /// What was called, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().expect("no panic before").calls.clone()
    }
}

/// Production's configuration of all clients, made once: it reads root certificates.
fn base_config() -> SdkConfig {
    thread_local! {
        static BASE: SdkConfig = aws::config(|name| {
            let value = match name {
                "AWS_REGION" => "eu-central-1",
                "AWS_ACCESS_KEY_ID" => "AKIDNOBODY",
                "AWS_SECRET_ACCESS_KEY" => "nobody",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .expect("a configuration");
    }
    BASE.with(SdkConfig::clone)
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut state = self.0.lock().expect("no panic before");
        let bytes = request.body().bytes().unwrap_or_default();
        // `AmazonSQS.SendMessage`; STS has none, and is asked for one thing only.
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let operation = target.unwrap_or("GetWebIdentityToken").to_owned();
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        let answer = answer(&operation, &body, &state.secret);
        state.calls.push(Call { operation, body });
        let status = 200_u16.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer))))
    }
}

fn answer(operation: &str, body: &Value, secret: &str) -> String {
    let entries = body["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answer = match operation {
        "GetSecretValue" => json!({ "ARN": body["SecretId"], "Name": "secret", "SecretString": secret }),
        "SendMessageBatch" => {
            let taken =
                |entry: &Value| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "5" });
            json!({ "Successful": entries.iter().map(taken).collect::<Vec<_>>(), "Failed": [] })
        }
        "SendMessage" => json!({ "MessageId": "m", "MD5OfMessageBody": "5" }),
        "ChangeMessageVisibilityBatch" => {
            let changed = |entry: &Value| json!({ "Id": entry["Id"] });
            json!({ "Successful": entries.iter().map(changed).collect::<Vec<_>>(), "Failed": [] })
        }
        "PutEvents" => {
            let taken = entries.iter().map(|_| json!({ "EventId": "e" }));
            json!({ "FailedEntryCount": 0, "Entries": taken.collect::<Vec<_>>() })
        }
        "GetWebIdentityToken" => return web_identity(),
        _ => json!({}),
    };
    answer.to_string()
}

fn web_identity() -> String {
    format!(
        "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetWebIdentityTokenResult>\
         <WebIdentityToken>{WEB_IDENTITY_TOKEN}</WebIdentityToken>\
         <Expiration>2026-11-22T07:06:00Z</Expiration></GetWebIdentityTokenResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>"
    )
}
