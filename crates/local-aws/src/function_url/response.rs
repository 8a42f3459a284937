//! Converts the function's response to the HTTP response that Lambda sends, in payload format 2.0.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{FunctionUrlSettings, refusal};
use crate::runtime_api::InvocationResult;

/// The name under which a function URL sends `WWW-Authenticate`, to which a browser would react with a dialog.
const REMAPPED_WWW_AUTHENTICATE: HeaderName = HeaderName::from_static("x-amzn-remapped-www-authenticate");

/// Headers of the connection and of the body's length, which the HTTP server sets itself.
const WRITTEN_BY_SERVER: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

/// A response with a status code. Other fields, such as `multiValueHeaders`, have no meaning in this format.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResponse {
    status_code: u16,
    headers: Option<BTreeMap<String, String>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// The response to the client.
///
/// If the function's response has no status code, it becomes the body of a response with the status 200. An error of
/// the function, or a response that cannot be converted, becomes a 502.
#[must_use]
pub fn http_response(settings: &FunctionUrlSettings, result: &InvocationResult) -> Response<Bytes> {
    let InvocationResult::Response(response) = result else { return bad_gateway() };
    match serde_json::from_slice::<Value>(response) {
        Ok(full @ Value::Object(_)) if full.get("statusCode").is_some() => {
            full_response(settings, full).unwrap_or_else(bad_gateway)
        }
        Ok(body) => json(StatusCode::OK, &body.to_string()),
        Err(_) => bad_gateway(),
    }
}

/// A response that this server creates itself or infers from a function's response without a status code.
pub(super) fn json(status: StatusCode, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn bad_gateway() -> Response<Bytes> {
    refusal(StatusCode::BAD_GATEWAY, "Internal Server Error")
}

/// Returns `None` if the function's response cannot be converted.
fn full_response(settings: &FunctionUrlSettings, function_response: Value) -> Option<Response<Bytes>> {
    let function_response: FunctionResponse = serde_json::from_value(function_response).ok()?;
    let body = function_response.body.unwrap_or_default();
    let body = match function_response.is_base64_encoded {
        Some(true) => STANDARD.decode(body).ok()?,
        Some(false) | None => body.into_bytes(),
    };
    let mut response = Response::new(body.into());
    // An informational status is not a final response.
    let status = StatusCode::from_u16(function_response.status_code).ok();
    *response.status_mut() = status.filter(|status| !status.is_informational())?;
    for (name, value) in function_response.headers.unwrap_or_default() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let is_remapped = settings.stage.is_none() && name == header::WWW_AUTHENTICATE;
        let name = if is_remapped { REMAPPED_WWW_AUTHENTICATE } else { name };
        if !WRITTEN_BY_SERVER.contains(&name) {
            response.headers_mut().append(name, HeaderValue::from_str(&value).ok()?);
        }
    }
    for cookie in function_response.cookies.unwrap_or_default() {
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn respond(settings: &FunctionUrlSettings, function_response: &str) -> Response<Bytes> {
        http_response(settings, &InvocationResult::Response(function_response.to_owned().into()))
    }

    /// Status, headers by name and value, and body.
    fn parts(response: &Response<Bytes>) -> (u16, Vec<(&str, &str)>, &[u8]) {
        let mut headers: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        headers.sort_unstable();
        (response.status().as_u16(), headers, response.body())
    }

    #[test]
    fn full_response_is_converted() {
        let function_response = json!({
            "statusCode": 201,
            "headers": { "Content-Type": "text/plain", "X-One": "1", "Content-Length": "99" },
            "multiValueHeaders": { "x-two": ["2"] },
            "cookies": ["a=1; Secure", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": true,
        });

        let response = respond(&FunctionUrlSettings::default(), &function_response.to_string());

        let headers = vec![
            ("content-type", "text/plain"),
            ("set-cookie", "a=1; Secure"),
            ("set-cookie", "b=2"),
            ("x-one", "1"),
        ];
        assert_eq!(parts(&response), (201, headers, b"hi".as_slice()));
    }

    #[test]
    fn absent_and_null_fields_are_omitted() {
        for function_response in [
            r#"{"statusCode": 204}"#,
            r#"{"statusCode": 204, "headers": null, "cookies": null, "body": null, "isBase64Encoded": null}"#,
        ] {
            let response = respond(&FunctionUrlSettings::default(), function_response);
            assert_eq!(parts(&response), (204, vec![], b"".as_slice()));
        }
    }

    #[test]
    fn only_a_function_url_renames_www_authenticate() {
        let function_response = r#"{"statusCode": 401, "headers": {"WWW-Authenticate": "StandardWebhooks"}}"#;
        let prod = FunctionUrlSettings { stage: Some("prod".to_owned()), ..FunctionUrlSettings::default() };
        for (settings, name) in
            [(FunctionUrlSettings::default(), "x-amzn-remapped-www-authenticate"), (prod, "www-authenticate")]
        {
            let response = respond(&settings, function_response);
            assert_eq!(parts(&response), (401, vec![(name, "StandardWebhooks")], b"".as_slice()));
        }
    }

    #[test]
    fn response_without_a_status_becomes_the_body_of_a_200() {
        for function_response in [r#"{"body":"x"}"#, r#""text""#, "null", r#"[{"statusCode":404}]"#] {
            let response = respond(&FunctionUrlSettings::default(), function_response);
            let headers = vec![("content-type", "application/json")];
            assert_eq!(parts(&response), (200, headers, function_response.as_bytes()));
        }
    }

    #[test]
    fn error_or_invalid_response_becomes_a_502() {
        let settings = FunctionUrlSettings::default();
        let mut responses = vec![http_response(&settings, &InvocationResult::Error("{}".into()))];
        for invalid in [
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
            responses.push(respond(&settings, invalid));
        }
        for response in responses {
            let headers = vec![("content-type", "application/json")];
            let body = br#"{"message":"Internal Server Error"}"#.as_slice();
            assert_eq!(parts(&response), (502, headers, body));
        }
    }
}
