//! An HTTP request from an event file, as the demo sends it.
//!
//! The file contains the event that Lambda made of an earlier request. Its signature has expired, so the demo signs the
//! same request with the current time.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, InvalidHeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use local_aws::FunctionUrlSettings;
use privatelink_detach::intake::http::{BodyError, STAGE_DEFAULT};
use privatelink_detach::intake::payload::Payload;
use serde_json::Value;
use serde_json::value::RawValue;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The signing secret of the samples: the example in the documentation of Standard Webhooks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Headers that describe the connection of the original request.
const CONNECTION_HEADERS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// One HTTP request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query, without the stage.
    target: String,
    headers: HeaderMap,
    body: Bytes,
    /// Function URL or HTTP API, whichever received the original request.
    pub(crate) settings: FunctionUrlSettings,
    pub(crate) authentication: Authentication,
}

/// How the sender of a request is authenticated.
#[derive(Debug)]
pub(crate) enum Authentication {
    /// A signature, which the demo renews; `signed_at` is the time of the file's own, if it is readable.
    Signature { signed_at: Option<String> },
    /// The file's own signature with the current time, which makes it invalid.
    ForgedSignature,
    /// AWS IAM; the ARN of the caller.
    Iam(String),
    /// None, or an incomplete signature.
    None,
}

/// Why the request in a file cannot be sent.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    #[error("not JSON: {0}")]
    Event(#[from] serde_json::Error),
    #[error("the event has the shape of an HTTP request, but a part of it is not valid HTTP")]
    Unreadable,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("not a valid HTTP request: {0}")]
    Http(#[from] http::Error),
    #[error("the request cannot be signed: {0}")]
    Signature(#[from] standardwebhooks::WebhookError),
    #[error("the request cannot be signed: {0}")]
    Header(#[from] InvalidHeaderValue),
}

impl Call {
    /// The request in an event of payload format 2.0. If `is_forged`, the request keeps its signature.
    pub(crate) fn read(event: &str, is_forged: bool) -> Result<Self, CallError> {
        let payload: Box<RawValue> = serde_json::from_str(event)?;
        let Ok(Payload::Call(call)) = Payload::parse(&payload) else {
            return Err(CallError::Unreadable);
        };
        let whole: Value = serde_json::from_str(event)?;
        let stage = whole["requestContext"]["stage"].as_str().filter(|stage| *stage != STAGE_DEFAULT);
        let query = whole["rawQueryString"].as_str().filter(|query| !query.is_empty());
        let (path, caller_arn) = (call.path, call.caller_arn);
        let mut headers = call.headers;
        for name in CONNECTION_HEADERS {
            headers.remove(name);
        }
        Ok(Self {
            method: call.method,
            target: query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")),
            authentication: Authentication::of(&headers, caller_arn.as_deref(), is_forged),
            headers,
            body: call.body?.into(),
            settings: FunctionUrlSettings {
                caller_arn,
                is_base64_forced: whole["isBase64Encoded"] == true,
                stage: stage.map(str::to_owned),
            },
        })
    }

    /// The request for the function at `url`, with `now` as the time of its signature.
    pub(crate) fn to_request(&self, url: &str, now: SystemTime) -> Result<Request<Bytes>, CallError> {
        let mut headers = self.headers.clone();
        let timestamp = OffsetDateTime::from(now).unix_timestamp();
        let is_signed = matches!(self.authentication, Authentication::Signature { .. });
        if is_signed || matches!(self.authentication, Authentication::ForgedSignature) {
            headers.insert(HEADER_WEBHOOK_TIMESTAMP, timestamp.into());
        }
        if is_signed {
            let id = text(&headers, HEADER_WEBHOOK_ID).unwrap_or_default();
            let signature = Webhook::new(SECRET)?.sign(id, timestamp, &self.body)?;
            headers.insert(HEADER_WEBHOOK_SIGNATURE, HeaderValue::try_from(signature)?);
        }
        let request = Request::builder().method(self.method.as_str()).uri(format!("{url}{}", self.target));
        let mut request = request.body(self.body.clone())?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Authentication {
    fn of(headers: &HeaderMap, caller_arn: Option<&str>, is_forged: bool) -> Self {
        if let Some(arn) = caller_arn {
            return Self::Iam(arn.to_owned());
        }
        let all = [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE];
        if !all.iter().all(|name| headers.contains_key(*name)) {
            return Self::None;
        }
        if is_forged {
            return Self::ForgedSignature;
        }
        let seconds = text(headers, HEADER_WEBHOOK_TIMESTAMP).and_then(|text| text.parse().ok());
        let at = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        Self::Signature { signed_at: at.and_then(|at| at.format(&Rfc3339).ok()) }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
