//! The answers to an HTTP call: what each means, and how it is said.
//!
//! Pure. Errors are problems as RFC 9457 describes them; one exhaustive match writes them all.

use aws_lambda_events::event::lambda_function_urls::LambdaFunctionUrlResponse;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::submission::{Fault, Submission};
use super::webhook::BODY_BYTES_MAX;
use crate::request::RejectionCode;

/// How long a sender is asked to wait, in seconds, before it tries again.
const RETRY_AFTER_SECONDS: &str = "10";

/// What an HTTP call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The queue has every request.
    Accepted(Vec<Submission>),
    /// The process lives; nothing more is told.
    Healthy,
    /// Something is wrong with these requests. Nothing was accepted.
    Faulty(Vec<Fault>),
    /// Nobody knows who sent it, who could have shown it by this scheme. Why not is for our log alone.
    Unauthorized(&'static str),
    /// There is nothing at the path.
    NotFound,
    /// The path has this method only.
    MethodNotAllowed(&'static str),
    /// The body has more than [`BODY_BYTES_MAX`] bytes.
    TooLarge,
    /// The body is not said to be plain JSON.
    UnsupportedMediaType,
    /// Signatures cannot be checked now.
    SecretsUnavailable,
    /// The queue did not take everything.
    QueueUnavailable {
        /// What it has.
        accepted: Vec<Submission>,
        /// What it has not.
        send_again: Vec<Submission>,
    },
}

impl Answer {
    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Accepted(_) => StatusCode::ACCEPTED,
            Self::Healthy => StatusCode::NO_CONTENT,
            Self::Faulty(faults) => match faults.iter().map(|fault| fault.fault.code).min() {
                None | Some(RejectionCode::InvalidRequest) => StatusCode::BAD_REQUEST,
                Some(
                    RejectionCode::RegionNotAllowed
                    | RejectionCode::ProtectedEndpoint
                    | RejectionCode::ProtectedSecurityGroup,
                ) => StatusCode::FORBIDDEN,
            },
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::SecretsUnavailable | Self::QueueUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A header of its own, beside those that all answers have.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::Unauthorized(scheme) => Some((WWW_AUTHENTICATE, scheme)),
            Self::MethodNotAllowed(allowed) => Some((ALLOW, allowed)),
            Self::SecretsUnavailable | Self::QueueUnavailable { .. } => {
                Some((RETRY_AFTER, RETRY_AFTER_SECONDS))
            }
            _ => None,
        }
    }

    /// Its body and the type of that.
    fn content(&self) -> Option<(&'static str, Value)> {
        let problem = |detail: &str, members: Vec<(&str, Value)>| {
            let title = self.status().canonical_reason().unwrap_or_default();
            let mut body = json!({ "type": "about:blank", "title": title, "status": self.status().as_u16(), "detail": detail });
            for (name, value) in members {
                body[name] = value;
            }
            Some(("application/problem+json", body))
        };
        match self {
            Self::Accepted(accepted) => Some(("application/json", json!({ "accepted": receipts(accepted) }))),
            Self::Healthy => None,
            Self::Faulty(faults) => {
                let detail = match self.status() {
                    StatusCode::FORBIDDEN => "Nothing was accepted: errors says what is not allowed here.",
                    _ => "Nothing was accepted: correct what errors lists and send everything again.",
                };
                problem(detail, vec![("errors", faults.iter().map(error).collect())])
            }
            Self::Unauthorized(_) => problem("The call is not authenticated.", vec![]),
            Self::NotFound => problem("There is nothing at this path.", vec![]),
            Self::MethodNotAllowed(_) => problem("The path has another method: Allow names it.", vec![]),
            Self::TooLarge => problem(&format!("The body has more than {BODY_BYTES_MAX} bytes."), vec![]),
            Self::UnsupportedMediaType => problem(
                "The body must be JSON, with content-type: application/json and without a content-encoding.",
                vec![],
            ),
            Self::SecretsUnavailable => {
                problem("The signature cannot be checked now. Send the same webhook again.", vec![])
            }
            Self::QueueUnavailable { accepted, send_again } => problem(
                "The queue does not take what send_again lists now. Send the same body again under the same webhook-id: \
                 then what is accepted is not carried out twice.",
                vec![("accepted", receipts(accepted)), ("send_again", receipts(send_again))],
            ),
        }
    }
}

/// What a sender is told about requests, in their order.
pub fn receipts<'a>(submissions: impl IntoIterator<Item = &'a Submission>) -> Value {
    let receipt = |submission: &Submission| {
        let request = &submission.request;
        json!({
            "request_id": submission.request_id,
            "region_id": request.region_id,
            "endpoint_id": request.endpoint_id,
            "security_group_id": request.security_group_id,
            "dry_run": request.dry_run,
        })
    };
    submissions.into_iter().map(receipt).collect()
}

fn error(Fault { index, fault }: &Fault) -> Value {
    json!({ "code": fault.code.as_str(), "index": index, "field": fault.field, "detail": fault.problem })
}

impl From<&Answer> for LambdaFunctionUrlResponse {
    fn from(answer: &Answer) -> Self {
        let mut response = Self::default();
        response.status_code = answer.status().as_u16().into();
        let mut put = |name, value| response.headers.insert(name, HeaderValue::from_static(value));
        put(CACHE_CONTROL, "no-store");
        if let Some((name, value)) = answer.header() {
            put(name, value);
        }
        if let Some((content_type, body)) = answer.content() {
            put(CONTENT_TYPE, content_type);
            response.body = Some(body.to_string());
        }
        response
    }
}
