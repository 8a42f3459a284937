//! An HTTP call as an event file holds it, and as it goes over the wire again.
//!
//! The file has what Lambda made of a call that came long ago. Whoever sent it would sign the same call with today's
//! time, and so does this module.

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

/// What the samples are signed with, and everything that is signed here: an example that the scheme's documents use.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Headers that belong to the connection on which a call came.
const OF_THE_CONNECTION: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// One HTTP call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query, without the stage.
    target: String,
    headers: HeaderMap,
    body: Bytes,
    /// What stood in front of the function.
    pub(crate) settings: FunctionUrlSettings,
    pub(crate) proof: Proof,
}

/// What it shows of who sent it.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A signature, which is made anew; and of when that of the file is, if that can be read.
    Signature { of: Option<String> },
    /// The file's own signature, although the time is made anew.
    Forgery,
    /// The caller that AWS IAM let through.
    Iam(String),
    /// Nothing, or not enough for a signature.
    Nothing,
}

/// Why a file's call cannot be sent.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    #[error("it is not JSON: {0}")]
    Event(#[from] serde_json::Error),
    #[error("it has the shape of an HTTP call, but a part of it is not what HTTP has")]
    Unreadable,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("it is no HTTP call: {0}")]
    Http(#[from] http::Error),
    #[error("it cannot be signed: {0}")]
    Signature(#[from] standardwebhooks::WebhookError),
    #[error("it cannot be signed: {0}")]
    Header(#[from] InvalidHeaderValue),
}

impl Call {
    /// The call in an event of payload format 2.0. A forged one keeps its signature.
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
        for name in OF_THE_CONNECTION {
            headers.remove(name);
        }
        Ok(Self {
            method: call.method,
            target: query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")),
            proof: Proof::of(&headers, caller_arn.as_deref(), is_forged),
            headers,
            body: call.body?.into(),
            settings: FunctionUrlSettings {
                caller_arn,
                is_base64_forced: whole["isBase64Encoded"] == true,
                stage: stage.map(str::to_owned),
            },
        })
    }

    /// The call as it is sent at that time to a function at that address.
    pub(crate) fn to_request(&self, url: &str, now: SystemTime) -> Result<Request<Bytes>, CallError> {
        let mut headers = self.headers.clone();
        let timestamp = OffsetDateTime::from(now).unix_timestamp();
        if matches!(self.proof, Proof::Signature { .. } | Proof::Forgery) {
            headers.insert(HEADER_WEBHOOK_TIMESTAMP, timestamp.into());
        }
        if matches!(self.proof, Proof::Signature { .. }) {
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

impl Proof {
    fn of(headers: &HeaderMap, caller_arn: Option<&str>, is_forged: bool) -> Self {
        if let Some(arn) = caller_arn {
            return Self::Iam(arn.to_owned());
        }
        let all = [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE];
        if !all.iter().all(|name| headers.contains_key(*name)) {
            return Self::Nothing;
        }
        if is_forged {
            return Self::Forgery;
        }
        let seconds = text(headers, HEADER_WEBHOOK_TIMESTAMP).and_then(|text| text.parse().ok());
        let at = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        Self::Signature { of: at.and_then(|at| at.format(&Rfc3339).ok()) }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
