//! The HTTP entry points: one row of [`ROUTES`] each, and what a row does with a call.
//!
//! Pure. A new entry point is one row here and one module with its parser and its responses. A handler gets a call only
//! after it was authenticated; the intake, which reads the secrets, does that.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::http::HttpResponse;
use super::response::{self, HttpError};
use super::submission::{self, IdSource, Submission, SubmissionError};
use crate::chat::identity::Platform;
use crate::request::{Rules, Trigger};

/// Every entry point. No two have the same path.
pub const ROUTES: [Route; 5] = [
    Route {
        path: "/detachments",
        method: "POST",
        handler: Handler::SignatureOrIam {
            trigger: Trigger::Webhook,
            parse: parse_detachments,
            respond: response::detachments,
        },
    },
    Route { path: "/chat/slack", method: "POST", handler: Handler::Chat { platform: Platform::Slack } },
    Route { path: "/chat/dingtalk", method: "POST", handler: Handler::Chat { platform: Platform::DingTalk } },
    Route { path: "/chat/feishu", method: "POST", handler: Handler::Chat { platform: Platform::Feishu } },
    Route { path: "/health", method: "GET", handler: Handler::Public { respond: response::health } },
];

/// One entry point.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The whole path, without the stage of an HTTP API.
    pub path: &'static str,
    /// The only method; `HEAD` is `GET` without the content of the response.
    pub method: &'static str,
    /// What happens to a call.
    pub handler: Handler,
}

/// How a call is authenticated, and what follows. Each variant passes on only what its authentication has verified.
#[derive(Debug, Clone, Copy)]
pub enum Handler {
    /// No authentication. The response does not depend on the call.
    Public {
        /// The response to every call.
        respond: fn() -> HttpResponse,
    },
    /// A signature of the Standard Webhooks scheme or, in a deployment without signing secrets, AWS IAM. The requests in
    /// the call are put into the request queue.
    SignatureOrIam {
        /// The trigger of the requests.
        trigger: Trigger,
        /// The requests in a verified call.
        parse: ParseCall,
        /// The response: to the accepted requests, or to the error that ended the call.
        respond: fn(&Result<Vec<Submission>, HttpError>) -> HttpResponse,
    },
    /// The signature of a chat platform. A command or a click is carried out; in a deployment without chat, the path does
    /// not exist.
    Chat {
        /// The platform that calls.
        platform: Platform,
    },
}

/// Returns the requests in a verified call, at least one.
pub type ParseCall = fn(&VerifiedCall<'_>, &Rules) -> Result<Vec<Submission>, HttpError>;

/// A call whose sender is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCall<'a> {
    pub id: CallId<'a>,
    /// All headers. A signature covers none of them but the id and the time.
    pub headers: &'a HeaderMap,
    /// The bytes that were sent.
    pub body: &'a [u8],
}

/// What identifies a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallId<'a> {
    /// The sender's `webhook-id`: a call that is repeated, signed again or not, has the same.
    Webhook(Cow<'a, str>),
    /// AWS's id of a call without a `webhook-id`: every call has another one.
    Aws(&'a str),
}

impl CallId<'_> {
    fn source(&self) -> IdSource<'_> {
        match self {
            Self::Webhook(id) => IdSource::Delivery(id),
            Self::Aws(id) => IdSource::Call(id),
        }
    }
}

/// The methods of HTTP that a log line names.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// What a log line names instead of untrusted text.
const UNKNOWN: &str = "(unknown)";

impl Route {
    /// The value of an `Allow` header.
    fn allow(&self) -> &'static str {
        match self.method {
            "GET" => "GET, HEAD",
            other => other,
        }
    }
}

/// Finds the route of a call. Doubled and trailing slashes in the path do not matter.
pub fn find(method: &str, path: &str) -> Result<&'static Route, HttpError> {
    let route = of_path(path).ok_or(HttpError::NotFound)?;
    let method = if method == "HEAD" { "GET" } else { method };
    if route.method == method { Ok(route) } else { Err(HttpError::MethodNotAllowed(route.allow())) }
}

fn of_path(path: &str) -> Option<&'static Route> {
    fn segments(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|segment| !segment.is_empty())
    }
    ROUTES.iter().find(|route| path.starts_with('/') && segments(route.path).eq(segments(path)))
}

/// Method and path as a log line names them: those of HTTP and of a route, and nothing that the caller invented.
#[must_use]
pub fn logged(method: &str, path: &str) -> (&'static str, &'static str) {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(UNKNOWN);
    (method, of_path(path).map_or(UNKNOWN, |route| route.path))
}

fn parse_detachments(call: &VerifiedCall<'_>, rules: &Rules) -> Result<Vec<Submission>, HttpError> {
    if !is_plain_json(call.headers) {
        return Err(HttpError::UnsupportedMediaType);
    }
    let body = std::str::from_utf8(call.body)
        .map_err(|_| HttpError::InvalidRequests(vec![SubmissionError::of_body("is not UTF-8")]))?;
    submission::parse(body, call.id.source(), rules).map_err(HttpError::InvalidRequests)
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let media_type = text(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    let encoding = text(CONTENT_ENCODING).unwrap_or("identity");
    media_type.trim().eq_ignore_ascii_case("application/json")
        && encoding.trim().eq_ignore_ascii_case("identity")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn parse(headers: &[(HeaderName, &'static str)], body: &[u8]) -> Result<Vec<Submission>, HttpError> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let headers = headers.collect();
        let call = VerifiedCall { id: CallId::Webhook("msg_1".into()), headers: &headers, body };
        parse_detachments(&call, &Rules::default())
    }

    #[test]
    fn paths_are_distinct() {
        let mut paths = ROUTES.map(|route| route.path);
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "{paths:?}");
    }

    #[test]
    fn call_without_a_route_is_not_found_or_has_another_method() {
        assert_eq!(find("POST", "/detachments").unwrap().path, "/detachments");
        assert_eq!(find("GET", "/health").unwrap().path, "/health");
        assert_eq!(find("HEAD", "/health").unwrap().path, "/health");
        for path in ["//detachments", "/detachments/", "///detachments//"] {
            assert_eq!(find("POST", path).unwrap().path, "/detachments", "{path}");
        }
        for (method, path, error) in [
            ("POST", "/", HttpError::NotFound),
            ("POST", "//", HttpError::NotFound),
            ("POST", "detachments", HttpError::NotFound),
            ("POST", "/detachments/x", HttpError::NotFound),
            ("POST", "/detach//ments", HttpError::NotFound),
            ("GET", "/detachments", HttpError::MethodNotAllowed("POST")),
            ("HEAD", "/detachments/", HttpError::MethodNotAllowed("POST")),
            ("post", "/detachments", HttpError::MethodNotAllowed("POST")),
            ("", "/health", HttpError::MethodNotAllowed("GET, HEAD")),
        ] {
            assert_eq!(find(method, path).unwrap_err(), error, "{method} {path}");
        }
    }

    #[test]
    fn log_line_names_no_text_of_the_caller() {
        assert_eq!(logged("POST", "//detachments/"), ("POST", "/detachments"));
        assert_eq!(logged("OPTIONS", "/hunter2"), ("OPTIONS", UNKNOWN));
        assert_eq!(logged("hunter2", "/health/hunter2"), (UNKNOWN, UNKNOWN));
        assert_eq!(logged("post", ""), (UNKNOWN, UNKNOWN));
    }

    #[test]
    fn requests_are_parsed_from_a_verified_call() {
        let body = br#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a"}"#;
        let json = (CONTENT_TYPE, "application/json; charset=utf-8");
        let submissions = parse(std::slice::from_ref(&json), body).unwrap();
        assert_eq!(submissions.len(), 1);
        assert_eq!(submissions[0].request_id.as_str(), "msg_1");
        assert!(parse(&[json.clone(), (CONTENT_ENCODING, "Identity")], body).is_ok());
        for headers in [&[][..], &[(CONTENT_TYPE, "text/plain")], &[json.clone(), (CONTENT_ENCODING, "gzip")]]
        {
            assert_eq!(parse(headers, body), Err(HttpError::UnsupportedMediaType), "{headers:?}");
        }
        let error = SubmissionError::of_body("is not UTF-8");
        assert_eq!(parse(&[json], b"\xff"), Err(HttpError::InvalidRequests(vec![error])));
    }
}
