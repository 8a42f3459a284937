//! AWS in memory: it returns a success for each of the clients' calls, and records the calls.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use md5::{Digest, Md5};
use privatelink_detach::aws;
use serde_json::{Value, json};

pub(crate) const REQUESTS: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests.fifo";

pub(crate) const DEAD_LETTERS: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letter.fifo";

/// The identity token that AWS issues to the function.
pub(crate) const WEB_IDENTITY_TOKEN: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ";

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: String,
    /// Null if the body is not JSON.
    pub(crate) body: Value,
}

/// AWS, and the configuration of the clients that call it.
#[derive(Clone)]
pub(crate) struct Aws {
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
    /// Returns this text as the value of every secret.
    pub(crate) fn with_secret(secret: &str) -> Self {
        let state = Arc::new(Mutex::new(State { secret: secret.to_owned(), calls: Vec::new() }));
        let connector = SharedHttpConnector::new(Connector(Arc::clone(&state)));
        let config = base_config().into_builder().http_client(http_client_fn(move |_, _| connector.clone()));
        Self { config: config.build(), state }
    }

    /// The calls, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().expect("no panic before").calls.clone()
    }
}

/// Production's configuration of all clients, built once because it reads root certificates.
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
        // The header has values such as `AmazonSQS.SendMessage`. STS does not send it, and has one operation here.
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let operation = target.unwrap_or("GetWebIdentityToken").to_owned();
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        let response = response(&operation, &body, &state.secret);
        state.calls.push(Call { operation, body });
        let status = 200_u16.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(response))))
    }
}

fn response(operation: &str, body: &Value, secret: &str) -> String {
    let entries = body["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let response = match operation {
        "GetSecretValue" => json!({ "ARN": body["SecretId"], "Name": "secret", "SecretString": secret }),
        "SendMessageBatch" => {
            let accepted = |entry: &Value| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": md5(entry) });
            json!({ "Successful": entries.iter().map(accepted).collect::<Vec<_>>(), "Failed": [] })
        }
        "SendMessage" => json!({ "MessageId": "m", "MD5OfMessageBody": md5(body) }),
        "ChangeMessageVisibilityBatch" => {
            let changed = |entry: &Value| json!({ "Id": entry["Id"] });
            json!({ "Successful": entries.iter().map(changed).collect::<Vec<_>>(), "Failed": [] })
        }
        "PutEvents" => {
            let accepted = entries.iter().map(|_| json!({ "EventId": "e" }));
            json!({ "FailedEntryCount": 0, "Entries": accepted.collect::<Vec<_>>() })
        }
        "GetWebIdentityToken" => return web_identity(),
        _ => json!({}),
    };
    response.to_string()
}

/// The MD5 of the body of a message that is sent.
fn md5(message: &Value) -> String {
    let body = message["MessageBody"].as_str().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(Md5::digest(body).into()))
}

fn web_identity() -> String {
    format!(
        "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetWebIdentityTokenResult>\
         <WebIdentityToken>{WEB_IDENTITY_TOKEN}</WebIdentityToken>\
         <Expiration>2026-11-22T07:06:00Z</Expiration></GetWebIdentityTokenResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>"
    )
}
