//! A Lambda Function URL, or an API Gateway HTTP API in front of one function: an HTTP server on 127.0.0.1 that invokes
//! the function once per request.
//!
//! This file owns the clock and the server. What the function is given is decided in `request`, what becomes of its
//! answer in `response`; neither does any I/O.
//!
//! Sources: Lambda developer guide, "Invoking Lambda function URLs"; API Gateway developer guide, "Create AWS Lambda proxy
//! integrations for HTTP APIs"; and where these are silent, events that were recorded on AWS and published.

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
use crate::runtime_api::InvocationAnswer;
use crate::wire::Reaction;

/// The largest event, in bytes. Lambda quota: 6 MB for a synchronous invocation; the request's body is part of it, and
/// larger by a third as base64.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// How many requests came, to whatever function URL of this process: the ids of two of them must differ too, since both
/// may lead to the same queue.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// A running function URL. Dropping it ends the server.
#[derive(Debug)]
pub struct FunctionUrl {
    http: Loopback,
    stage: Option<String>,
}

/// What a function URL is like. By default it is one with the auth type `NONE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionUrlSettings {
    /// The ARN of the caller of every request, as if AWS IAM had let it through. Signatures are not checked.
    pub caller_arn: Option<String>,
    /// Whether every body arrives encoded in base64, not only one whose content type AWS takes for binary.
    pub is_base64_forced: bool,
    /// The stage of an API Gateway HTTP API, which every path begins with; without one it is a function URL.
    pub stage: Option<String>,
}

impl FunctionUrl {
    /// Starts the server on a free port. Each request is a call of `invoke` with the event.
    ///
    /// What `invoke` returns is dropped if the client leaves, and no timeout is enforced.
    pub async fn start<I, F>(settings: FunctionUrlSettings, invoke: I) -> io::Result<Self>
    where
        I: Fn(Bytes) -> F + Clone + Send + 'static,
        F: Future<Output = InvocationAnswer> + Send + 'static,
    {
        let stage = settings.stage.clone();
        let settings = Arc::new(settings);
        let http = Loopback::serve(move |head, body| {
            let settings = Arc::clone(&settings);
            let invocation = payload(&settings, &head, &body).map(&invoke);
            async move {
                Reaction::Answer(match invocation {
                    Ok(invocation) => http_response(&settings, &invocation.await),
                    Err((status, message)) => refusal(status, message),
                })
            }
        });
        Ok(Self { http: http.await?, stage })
    }

    /// Where the function is, without a slash at the end. The stage is part of it.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.http.address();
        match &self.stage {
            None => format!("http://{address}"),
            Some(stage) => format!("http://{address}/{stage}"),
        }
    }
}

/// The event of a request, or the status and the message for a request that does not get as far as the function.
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
    #[expect(clippy::disallowed_methods, reason = "an event says when its request came")]
    let now = SystemTime::now();
    let event = event(settings, head, body, &request_id, now).to_string();
    if event.len() > EVENT_BYTES_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"));
    }
    Ok(event.into())
}

/// An answer that is not the function's.
fn refusal(status: StatusCode, message: &str) -> Response<Bytes> {
    response::json(status, &json!({ "message": message }).to_string())
}
