//! The responses to HTTP calls: what a call ends with, and its status, headers and body.
//!
//! Pure. Errors are problem details as defined by RFC 9457, written in one exhaustive match. No response says why a call
//! was not authenticated.

use std::borrow::Cow;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::http::{BODY_BYTES_MAX, BodyError, HttpResponse};
use super::submission::{Submission, SubmissionError};
use crate::request::RejectionCode;

/// How long a sender should wait before it retries, in seconds.
const RETRY_AFTER_SECONDS: &str = "10";

/// Why a call did not succeed. Unless [`Self::QueueUnavailable`] says otherwise, nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The payload has the shape of a call, but is not valid HTTP.
    InvalidCall,
    /// No route has the path.
    NotFound,
    /// The path has only this method.
    MethodNotAllowed(&'static str),
    /// The body has more than [`BODY_BYTES_MAX`] bytes.
    BodyTooLarge,
    /// The call is not authenticated. The value is the authentication scheme that would have been accepted.
    Unauthorized(&'static str),
    /// A chat platform's verified call is neither a command nor a click on a button of this application.
    UnknownChatCall,
    /// AWS did not respond in the time that a chat platform waits.
    ChatUnavailable,
    /// The signing secrets cannot be read, so the signature cannot be verified.
    SecretsUnavailable,
    /// The body is not declared as plain JSON.
    UnsupportedMediaType,
    /// The body or requests in it are not valid, or not allowed in this deployment.
    InvalidRequests(Vec<SubmissionError>),
    /// The queue did not accept every request.
    QueueUnavailable {
        /// The requests that are in the queue.
        accepted: Vec<Submission>,
        /// The requests that are not.
        send_again: Vec<Submission>,
    },
}

impl From<BodyError> for HttpError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::InvalidBase64 => {
                Self::InvalidRequests(vec![SubmissionError::of_body("is not valid base64")])
            }
        }
    }
}

/// The response to a call that submits requests.
#[must_use]
pub fn detachments(result: &Result<Vec<Submission>, HttpError>) -> HttpResponse {
    match result {
        Ok(accepted) => HttpResponse {
            status: StatusCode::ACCEPTED,
            header: None,
            body: Some(("application/json", json!({ "accepted": receipts(accepted) }))),
        },
        Err(error) => problem(error),
    }
}

/// The response to a health check. It has no content, because the caller is not authenticated.
#[must_use]
pub fn health() -> HttpResponse {
    HttpResponse { status: StatusCode::NO_CONTENT, header: None, body: None }
}

/// What the sender learns about each request, in the given order.
#[must_use]
pub fn receipts(submissions: &[Submission]) -> Value {
    let receipt = |Submission { request, request_id, .. }: &Submission| {
        json!({
            "request_id": request_id,
            "region_id": request.region_id,
            "endpoint_id": request.endpoint_id,
            "security_group_id": request.security_group_id,
            "dry_run": request.dry_run,
        })
    };
    submissions.iter().map(receipt).collect()
}

/// The problem details of an error.
#[must_use]
pub fn problem(error: &HttpError) -> HttpResponse {
    let plain = |status, detail: &'static str| Problem::new(status, None, detail);
    let with_header =
        |status, name, value, detail: &'static str| Problem::new(status, Some((name, value)), detail);
    let problem = match error {
        HttpError::InvalidCall => {
            invalid_requests(&[SubmissionError::of_body("belongs to a call that is not valid HTTP")])
        }
        HttpError::NotFound => plain(StatusCode::NOT_FOUND, "No resource has this path."),
        HttpError::MethodNotAllowed(allowed) => with_header(
            StatusCode::METHOD_NOT_ALLOWED,
            ALLOW,
            allowed,
            "This path does not support the method. The Allow header names what it supports.",
        ),
        HttpError::BodyTooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            None,
            format!("The body has more than {BODY_BYTES_MAX} bytes."),
        ),
        HttpError::Unauthorized(scheme) => with_header(
            StatusCode::UNAUTHORIZED,
            WWW_AUTHENTICATE,
            scheme,
            "The call is not authenticated.",
        ),
        HttpError::UnknownChatCall => plain(
            StatusCode::BAD_REQUEST,
            "The call is neither a command nor a click on a button of this application. Nothing was accepted.",
        ),
        HttpError::ChatUnavailable => with_header(
            StatusCode::SERVICE_UNAVAILABLE,
            RETRY_AFTER,
            RETRY_AFTER_SECONDS,
            "Nothing is known to be accepted. Click or type again.",
        ),
        HttpError::SecretsUnavailable => with_header(
            StatusCode::SERVICE_UNAVAILABLE,
            RETRY_AFTER,
            RETRY_AFTER_SECONDS,
            "The signature cannot be verified now. Send the same webhook again.",
        ),
        HttpError::UnsupportedMediaType => plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON, with content-type: application/json and without a content-encoding.",
        ),
        HttpError::InvalidRequests(errors) => invalid_requests(errors),
        HttpError::QueueUnavailable { accepted, send_again } => with_header(
            StatusCode::SERVICE_UNAVAILABLE,
            RETRY_AFTER,
            RETRY_AFTER_SECONDS,
            "The queue did not accept the requests in send_again. Send the same body again with the same webhook-id; \
             the requests in accepted are not carried out twice.",
        )
        .with("accepted", receipts(accepted))
        .with("send_again", receipts(send_again)),
    };
    problem.into_response()
}

/// An invalid request outweighs one that is only not allowed here: the sender has to correct it in any case.
fn invalid_requests(errors: &[SubmissionError]) -> Problem {
    let problem = match errors.iter().map(|error| error.error.code).min() {
        None | Some(RejectionCode::InvalidRequest) => Problem::new(
            StatusCode::BAD_REQUEST,
            None,
            "Nothing was accepted. Correct what errors lists and send everything again.",
        ),
        Some(
            RejectionCode::RegionNotAllowed
            | RejectionCode::ProtectedEndpoint
            | RejectionCode::ProtectedSecurityGroup,
        ) => Problem::new(
            StatusCode::FORBIDDEN,
            None,
            "Nothing was accepted. This deployment does not allow what errors lists.",
        ),
    };
    let entry = |SubmissionError { index, error }: &SubmissionError| json!({ "code": error.code.as_str(), "index": index, "field": error.field, "detail": error.problem });
    problem.with("errors", errors.iter().map(entry).collect())
}

/// Problem details, as defined by RFC 9457.
struct Problem {
    status: StatusCode,
    header: Option<(HeaderName, &'static str)>,
    detail: Cow<'static, str>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    fn new(
        status: StatusCode,
        header: Option<(HeaderName, &'static str)>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, header, detail: detail.into(), members: Vec::new() }
    }

    fn with(mut self, member: &'static str, value: Value) -> Self {
        self.members.push((member, value));
        self
    }

    fn into_response(self) -> HttpResponse {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        for (member, value) in self.members {
            body[member] = value;
        }
        HttpResponse {
            status: self.status,
            header: self.header,
            body: Some(("application/problem+json", body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::FieldError;

    fn error(code: RejectionCode) -> SubmissionError {
        let error = FieldError { code, field: "region_id".to_owned(), problem: "is wrong".to_owned() };
        SubmissionError { index: Some(1), error }
    }

    #[test]
    fn every_error_has_its_status_and_header() {
        for (error, status, header) in [
            (HttpError::InvalidCall, 400, None),
            (HttpError::NotFound, 404, None),
            (HttpError::MethodNotAllowed("POST"), 405, Some((ALLOW, "POST"))),
            (BodyError::TooLarge.into(), 413, None),
            (BodyError::InvalidBase64.into(), 400, None),
            (HttpError::Unauthorized("Scheme"), 401, Some((WWW_AUTHENTICATE, "Scheme"))),
            (HttpError::UnknownChatCall, 400, None),
            (HttpError::ChatUnavailable, 503, Some((RETRY_AFTER, "10"))),
            (HttpError::SecretsUnavailable, 503, Some((RETRY_AFTER, "10"))),
            (HttpError::UnsupportedMediaType, 415, None),
            (HttpError::InvalidRequests(vec![error(RejectionCode::RegionNotAllowed)]), 403, None),
            (
                HttpError::QueueUnavailable { accepted: vec![], send_again: vec![] },
                503,
                Some((RETRY_AFTER, "10")),
            ),
        ] {
            let response = problem(&error);
            assert_eq!((response.status.as_u16(), response.header), (status, header), "{error:?}");
        }
    }

    #[test]
    fn invalid_request_outweighs_one_that_is_not_allowed() {
        let errors = [
            RejectionCode::ProtectedEndpoint,
            RejectionCode::InvalidRequest,
            RejectionCode::RegionNotAllowed,
        ];
        let errors = errors.map(error).to_vec();
        let response = problem(&HttpError::InvalidRequests(errors));
        let Some((media_type, body)) = response.body else { panic!("no body") };
        assert_eq!((response.status, media_type), (StatusCode::BAD_REQUEST, "application/problem+json"));
        assert_eq!(
            body["errors"][0],
            json!({ "code": "ProtectedEndpoint", "index": 1, "field": "region_id", "detail": "is wrong" })
        );
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(3));
    }
}
