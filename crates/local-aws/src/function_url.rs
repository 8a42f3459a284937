//! A Lambda function URL, or an API Gateway HTTP API with one function: an HTTP server on 127.0.0.1 that invokes the
//! function once per request.
//!
//! This file owns the clock and the server. `request` builds the event, `response` converts the function's response;
//! neither does any I/O.
//!
//! Sources: Lambda developer guide, "Invoking Lambda function URLs"; API Gateway developer guide, "Create AWS Lambda
//! proxy integrations for HTTP APIs"; and, where these give no details, published recordings of events on AWS.

mod request;
mod response;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use serde_json::json;

pub use request::event;
pub use response::http_response;

use crate::loopback::Loopback;
use crate::runtime_api::InvocationResult;
use crate::wire::Reaction;

/// The maximum size of an event, in bytes. Lambda quota: 6 MB for a synchronous invocation. The event contains the
/// request's body, which base64 enlarges by one third.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// The number of requests to all function URLs of this process. The count is shared so that request ids are unique,
/// because several function URLs may lead to the same queue.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// A running function URL. Dropping it stops the server.
#[derive(Debug)]
pub struct FunctionUrl {
    http: Loopback,
    stage: Option<String>,
}

/// The settings of a function URL. The default is one with the auth type `NONE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionUrlSettings {
    /// The ARN of the caller of every request, as if AWS IAM had authenticated it. Signatures are not checked.
    pub caller_arn: Option<String>,
    /// Whether every body is encoded in base64, instead of only those with a binary content type.
    pub is_base64_forced: bool,
    /// The stage of an API Gateway HTTP API, the first segment of every path. `None` makes it a function URL.
    pub stage: Option<String>,
}

impl FunctionUrl {
    /// Starts the server on a free port. Each request calls `invoke` with the event.
    ///
    /// The future that `invoke` returns is dropped if the client disconnects. No timeout is enforced.
    pub async fn start<I, F>(settings: FunctionUrlSettings, invoke: I) -> io::Result<Self>
    where
        I: Fn(Bytes) -> F + Clone + Send + 'static,
        F: Future<Output = InvocationResult> + Send + 'static,
    {
        Self::start_on(0, settings, invoke).await
    }

    /// The same on this port, or on a free one if it is 0.
    pub async fn start_on<I, F>(port: u16, settings: FunctionUrlSettings, invoke: I) -> io::Result<Self>
    where
        I: Fn(Bytes) -> F + Clone + Send + 'static,
        F: Future<Output = InvocationResult> + Send + 'static,
    {
        let stage = settings.stage.clone();
        let settings = Arc::new(settings);
        let http = Loopback::serve(port, move |head, body| {
            let settings = Arc::clone(&settings);
            let invocation = payload(&settings, &head, &body).map(&invoke);
            async move {
                Reaction::Respond(match invocation {
                    Ok(invocation) => http_response(&settings, &invocation.await),
                    Err((status, message)) => refusal(status, message),
                })
            }
        });
        Ok(Self { http: http.await?, stage })
    }

    /// The URL of the function, without a trailing slash. It includes the stage.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.http.address();
        match &self.stage {
            None => format!("http://{address}"),
            Some(stage) => format!("http://{address}/{stage}"),
        }
    }
}

/// The event of a request, or the status and message of a request that is refused without an invocation.
fn payload(
    settings: &FunctionUrlSettings,
    head: &Parts,
    body: &[u8],
) -> Result<Bytes, (StatusCode, &'static str)> {
    if let Some(stage) = &settings.stage
        && head.uri.path().split('/').nth(1) != Some(stage)
    {
        return Err((StatusCode::NOT_FOUND, "Not Found"));
    }
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let request_id = format!("00000000-0000-4000-b000-{number:012x}");
    #[expect(clippy::disallowed_methods, reason = "an event contains the time of its request")]
    let now = SystemTime::now();
    let event = event(settings, head, body, &request_id, now).to_string();
    if event.len() > EVENT_BYTES_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"));
    }
    Ok(event.into())
}

/// A response that the function did not return.
fn refusal(status: StatusCode, message: &str) -> Response<Bytes> {
    response::json(status, &json!({ "message": message }).to_string())
}
