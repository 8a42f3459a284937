//! The HTTP response that Lambda makes of a function's answer, in payload format 2.0.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{FunctionUrlSettings, refusal};
use crate::runtime_api::InvocationAnswer;

/// What a function URL calls the header that a browser would react to with a dialogue.
const REMAPPED_WWW_AUTHENTICATE: HeaderName = HeaderName::from_static("x-amzn-remapped-www-authenticate");

/// Headers that concern the connection and the length: whoever writes the response writes them.
const WRITTEN_BY_SERVER: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

/// An answer of the full form. Other members, `multiValueHeaders` among them, mean nothing in this format.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    headers: Option<BTreeMap<String, String>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// The response to the client.
///
/// An answer without a status code is the body of a 200. An error of the function, and an answer that cannot be made a
/// response, is a 502.
#[must_use]
pub fn http_response(settings: &FunctionUrlSettings, answer: &InvocationAnswer) -> Response<Bytes> {
    let InvocationAnswer::Response(answer) = answer else { return bad_gateway() };
    match serde_json::from_slice::<Value>(answer) {
        Ok(full @ Value::Object(_)) if full.get("statusCode").is_some() => {
            full_response(settings, full).unwrap_or_else(bad_gateway)
        }
        Ok(body) => json(StatusCode::OK, &body.to_string()),
        Err(_) => bad_gateway(),
    }
}

/// A response of this server's own, or inferred for the function.
pub(super) fn json(status: StatusCode, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn bad_gateway() -> Response<Bytes> {
    refusal(StatusCode::BAD_GATEWAY, "Internal Server Error")
}

/// Nothing if the answer cannot be made a response.
fn full_response(settings: &FunctionUrlSettings, answer: Value) -> Option<Response<Bytes>> {
    let answer: Answer = serde_json::from_value(answer).ok()?;
    let body = answer.body.unwrap_or_default();
    let body = match answer.is_base64_encoded {
        Some(true) => STANDARD.decode(body).ok()?,
        Some(false) | None => body.into_bytes(),
    };
    let mut response = Response::new(body.into());
    // A status below 200 would not be the last word on the request.
    let status = StatusCode::from_u16(answer.status_code).ok();
    *response.status_mut() = status.filter(|status| !status.is_informational())?;
    for (name, value) in answer.headers.unwrap_or_default() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let is_remapped = settings.stage.is_none() && name == header::WWW_AUTHENTICATE;
        let name = if is_remapped { REMAPPED_WWW_AUTHENTICATE } else { name };
        if !WRITTEN_BY_SERVER.contains(&name) {
            response.headers_mut().append(name, HeaderValue::from_str(&value).ok()?);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn respond(settings: &FunctionUrlSettings, answer: &str) -> Response<Bytes> {
        http_response(settings, &InvocationAnswer::Response(answer.to_owned().into()))
    }

    /// Status, headers by name and value, and body.
    fn seen(response: &Response<Bytes>) -> (u16, Vec<(&str, &str)>, &[u8]) {
        let mut headers: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        headers.sort_unstable();
        (response.status().as_u16(), headers, response.body())
    }

    #[test]
    fn full_answer_becomes_status_headers_cookies_and_body() {
        let answer = json!({
            "statusCode": 201,
            "headers": { "Content-Type": "text/plain", "X-One": "1", "Content-Length": "99" },
            "multiValueHeaders": { "x-two": ["2"] },
            "cookies": ["a=1; Secure", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": true,
        });

        let response = respond(&FunctionUrlSettings::default(), &answer.to_string());

        let headers = vec![
            ("content-type", "text/plain"),
            ("set-cookie", "a=1; Secure"),
            ("set-cookie", "b=2"),
            ("x-one", "1"),
        ];
        assert_eq!(seen(&response), (201, headers, b"hi".as_slice()));
    }

    #[test]
    fn absent_and_null_members_are_left_out_of_the_response() {
        for answer in [
            r#"{"statusCode": 204}"#,
            r#"{"statusCode": 204, "headers": null, "cookies": null, "body": null, "isBase64Encoded": null}"#,
        ] {
            let response = respond(&FunctionUrlSettings::default(), answer);
            assert_eq!(seen(&response), (204, vec![], b"".as_slice()));
        }
    }

    #[test]
    fn only_a_function_url_renames_the_challenge() {
        let answer = r#"{"statusCode": 401, "headers": {"WWW-Authenticate": "StandardWebhooks"}}"#;
        let prod = FunctionUrlSettings { stage: Some("prod".to_owned()), ..FunctionUrlSettings::default() };
        for (settings, name) in
            [(FunctionUrlSettings::default(), "x-amzn-remapped-www-authenticate"), (prod, "www-authenticate")]
        {
            let response = respond(&settings, answer);
            assert_eq!(seen(&response), (401, vec![(name, "StandardWebhooks")], b"".as_slice()));
        }
    }

    #[test]
    fn answer_without_a_status_is_the_body_of_a_200() {
        for answer in [r#"{"body":"x"}"#, r#""text""#, "null", r#"[{"statusCode":404}]"#] {
            let response = respond(&FunctionUrlSettings::default(), answer);
            let headers = vec![("content-type", "application/json")];
            assert_eq!(seen(&response), (200, headers, answer.as_bytes()));
        }
    }

    #[test]
    fn error_and_unusable_answer_are_a_bad_gateway() {
        let settings = FunctionUrlSettings::default();
        let mut responses = vec![http_response(&settings, &InvocationAnswer::Error("{}".into()))];
        for unusable in [
            "",
            "{",
            r#"{"statusCode": "200"}"#,
            r#"{"statusCode": null}"#,
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": 101}"#,
            r#"{"statusCode": 200, "headers": {"x": 1}}"#,
            r#"{"statusCode": 200, "headers": {"no name": "x"}}"#,
            r#"{"statusCode": 200, "headers": {"x": "a\nb"}}"#,
            r#"{"statusCode": 200, "cookies": "a=1"}"#,
            r#"{"statusCode": 200, "body": {}}"#,
            r#"{"statusCode": 200, "body": "?", "isBase64Encoded": true}"#,
        ] {
            responses.push(respond(&settings, unusable));
        }
        for response in responses {
            let headers = vec![("content-type", "application/json")];
            let body = br#"{"message":"Internal Server Error"}"#.as_slice();
            assert_eq!(seen(&response), (502, headers, body));
        }
    }
}
