//! The intake's own types for HTTP: a call, parsed once, and a response.
//!
//! Pure. No other file names the Lambda library's types for an HTTP call or its response. Nothing here decides what a call
//! is for or who sent it.

use std::time::{Duration, SystemTime};

use aws_lambda_events::event::lambda_function_urls::{LambdaFunctionUrlRequest, LambdaFunctionUrlResponse};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

/// The stage of an HTTP API that is not part of the path.
pub const STAGE_DEFAULT: &str = "$default";

/// Largest body in bytes: 100 requests with the longest ids and all the metadata that a request may have, in UTF-8.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// A call of a Function URL or of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// As received; empty if the event has none.
    pub method: String,
    /// Without the stage of an HTTP API.
    pub path: String,
    /// As received. A value may have any bytes that HTTP allows.
    pub headers: HeaderMap,
    /// The bytes that were sent. A body that cannot be read is a value here, because an unknown path or a wrong method is
    /// reported before it.
    pub body: Result<Vec<u8>, BodyError>,
    /// When the call arrived, as AWS reports it; `None` if the event's time is not after 1970-01-01.
    pub received_at: Option<SystemTime>,
    /// The address that called, as AWS reports it.
    pub source_ip: Option<String>,
    /// The ARN of the principal that AWS IAM authenticated, if it authenticated one. It is not empty.
    pub caller_arn: Option<String>,
    /// The id that AWS gave this call.
    pub aws_request_id: Option<String>,
}

/// Why the body of a call cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The body has more than [`BODY_BYTES_MAX`] bytes.
    #[error("the body has more than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The event says that the body is base64, and it is not.
    #[error("the body is not valid base64")]
    InvalidBase64,
}

impl HttpCall {
    /// Parses an event of payload format 2.0. The library's type does not include the stage.
    pub fn parse(payload: &RawValue, stage: Option<&str>) -> Result<Self, serde_json::Error> {
        let event: LambdaFunctionUrlRequest = serde_json::from_str(payload.get())?;
        let context = event.request_context;
        let iam = context.authorizer.and_then(|authorizer| authorizer.iam);
        Ok(Self {
            method: context.http.method.unwrap_or_default(),
            path: without_stage(event.raw_path.as_deref().unwrap_or("/"), stage).to_owned(),
            headers: event.headers,
            body: decode(event.body.unwrap_or_default(), event.is_base64_encoded),
            received_at: since_1970(context.time_epoch),
            source_ip: context.http.source_ip,
            caller_arn: iam.and_then(|iam| iam.user_arn).filter(|arn| !arn.is_empty()),
            aws_request_id: context.request_id,
        })
    }
}

fn since_1970(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    stage
        .filter(|stage| *stage != STAGE_DEFAULT)
        .and_then(|stage| path.trim_start_matches('/').strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

fn decode(text: String, is_base64: bool) -> Result<Vec<u8>, BodyError> {
    // A body that is certainly too large is not decoded. Four characters of base64 are three bytes, two of which may be padding.
    let bytes_min = if is_base64 { text.len() / 4 * 3 } else { text.len() };
    if bytes_min > BODY_BYTES_MAX + 2 {
        return Err(BodyError::TooLarge);
    }
    let body = if is_base64 {
        BASE64_STANDARD.decode(text).map_err(|_| BodyError::InvalidBase64)?
    } else {
        text.into_bytes()
    };
    if body.len() > BODY_BYTES_MAX { Err(BodyError::TooLarge) } else { Ok(body) }
}

/// A response to a call. Every response also has `cache-control: no-store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// A header of this response, beside `cache-control` and `content-type`.
    pub header: Option<(HeaderName, &'static str)>,
    /// The media type and the content; the content of a response to `HEAD` is null.
    pub body: Option<(&'static str, Value)>,
}

impl HttpResponse {
    /// The same response to a `HEAD` call: its status and headers.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self { body: self.body.map(|(media_type, _)| (media_type, Value::Null)), ..self }
    }

    /// The response as the function returns it to Lambda.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "a status, static header values and a string are always valid JSON"
    )]
    pub fn into_payload(self) -> Value {
        let mut response = LambdaFunctionUrlResponse::default();
        response.status_code = self.status.as_u16().into();
        let mut insert = |name, value| response.headers.insert(name, HeaderValue::from_static(value));
        insert(CACHE_CONTROL, "no-store");
        if let Some((name, value)) = self.header {
            insert(name, value);
        }
        if let Some((media_type, body)) = self.body {
            insert(CONTENT_TYPE, media_type);
            response.body = (!body.is_null()).then(|| body.to_string());
        }
        serde_json::to_value(response).expect("the response is valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: &Value, stage: Option<&str>) -> HttpCall {
        HttpCall::parse(&RawValue::from_string(event.to_string()).unwrap(), stage).unwrap()
    }

    fn event() -> Value {
        json!({ "headers": {}, "isBase64Encoded": false, "requestContext": { "http": {}, "timeEpoch": 0 } })
    }

    #[test]
    fn call_is_parsed_from_an_event_of_payload_format_2() {
        let event = json!({
            "version": "2.0", "rawPath": "/detachments", "headers": { "Webhook-Id": "msg_1" }, "body": "e30=",
            "isBase64Encoded": true,
            "requestContext": {
                "http": { "method": "POST", "sourceIp": "192.0.2.1" }, "requestId": "aws-1", "timeEpoch": 1500,
                "authorizer": { "iam": { "userArn": "arn:aws:iam::123456789012:role/bot" } },
            },
        });
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        assert_eq!(
            parse(&event, None),
            HttpCall {
                method: "POST".to_owned(),
                path: "/detachments".to_owned(),
                headers,
                body: Ok(b"{}".to_vec()),
                received_at: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)),
                source_ip: Some("192.0.2.1".to_owned()),
                caller_arn: Some("arn:aws:iam::123456789012:role/bot".to_owned()),
                aws_request_id: Some("aws-1".to_owned()),
            }
        );
    }

    #[test]
    fn absent_parts_of_an_event_have_no_value() {
        let mut event = event();
        event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": "" } });
        let call = parse(&event, None);
        assert_eq!((call.method.as_str(), call.path.as_str()), ("", "/"));
        assert_eq!((call.body, call.source_ip), (Ok(Vec::new()), None));
        assert_eq!((call.caller_arn, call.aws_request_id), (None, None));
    }

    #[test]
    fn time_that_is_not_after_1970_is_absent() {
        for millis in [0, -1, i64::MIN] {
            let mut event = event();
            event["requestContext"]["timeEpoch"] = millis.into();
            assert_eq!(parse(&event, None).received_at, None, "{millis}");
        }
    }

    #[test]
    fn stage_of_an_http_api_is_removed_from_the_path() {
        let path = |path: &str, stage: Option<&str>| {
            let mut event = event();
            event["rawPath"] = path.into();
            parse(&event, stage).path
        };
        assert_eq!(path("/prod/health", Some("prod")), "/health");
        assert_eq!(path("/prod/health", None), "/prod/health");
        assert_eq!(path("/prod/health", Some(STAGE_DEFAULT)), "/prod/health");
        assert_eq!(path("/production", Some("prod")), "/production");
        assert_eq!(path("/prod", Some("prod")), "/prod");
        assert_eq!(path("//prod//health", Some("prod")), "//health");
    }

    #[test]
    fn body_is_limited_to_256_kib_after_decoding() {
        let encoded = |bytes: usize| BASE64_STANDARD.encode(vec![b' '; bytes]);
        for (text, is_base64, length) in [
            (" ".repeat(BODY_BYTES_MAX), false, Ok(BODY_BYTES_MAX)),
            (" ".repeat(BODY_BYTES_MAX + 1), false, Err(BodyError::TooLarge)),
            (encoded(BODY_BYTES_MAX), true, Ok(BODY_BYTES_MAX)),
            (encoded(BODY_BYTES_MAX + 1), true, Err(BodyError::TooLarge)),
            ("!".repeat(2 * BODY_BYTES_MAX), true, Err(BodyError::TooLarge)),
            ("!".to_owned(), true, Err(BodyError::InvalidBase64)),
            ("!".to_owned(), false, Ok(1)),
        ] {
            assert_eq!(decode(text, is_base64).map(|body| body.len()), length);
        }
    }

    #[test]
    fn response_to_head_has_the_headers_and_no_body() {
        let problem = HttpResponse {
            status: StatusCode::NOT_FOUND,
            header: None,
            body: Some(("application/problem+json", json!({ "status": 404 }))),
        };
        let (get, mut head) = (problem.clone().into_payload(), problem.without_content().into_payload());
        head["body"] = get["body"].clone();
        assert_eq!(head, get);
    }

    #[test]
    fn response_has_its_headers_and_its_body_as_text() {
        let response = HttpResponse {
            status: StatusCode::METHOD_NOT_ALLOWED,
            header: Some((http::header::ALLOW, "POST")),
            body: Some(("application/json", json!({ "a": 1 }))),
        };
        assert_eq!(
            response.into_payload(),
            json!({
                "statusCode": 405, "isBase64Encoded": false, "cookies": [], "body": r#"{"a":1}"#,
                "headers": { "cache-control": "no-store", "allow": "POST", "content-type": "application/json" },
            })
        );
    }
}
