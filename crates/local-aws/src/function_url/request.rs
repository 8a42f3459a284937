//! Converts an HTTP request to the event that Lambda passes to the function, in payload format 2.0.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::FunctionUrlSettings;
use crate::wire::{ACCOUNT, REGION};

/// The id in the host name of every function URL.
const URL_ID: &str = "localfunctionurl0000000000000000";

/// The id in the host name of every HTTP API.
const API_ID: &str = "localapi00";

/// The source IP address of every request.
const SOURCE_IP: &str = "127.0.0.1";

/// The unique id of every IAM user.
const USER_ID: &str = "AIDALOCALLOCALLOCAL00";

/// The unique id of every IAM role.
const ROLE_ID: &str = "AROALOCALLOCALLOCAL00";

/// The access key id of every caller.
const ACCESS_KEY: &str = "ASIALOCALLOCALLOCAL0";

/// The format of `12/Mar/2020:19:03:58 +0000`.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// The event of a request that arrives at `now`.
///
/// Function URLs and HTTP APIs differ beyond names: with a function URL, `rawPath` is percent-encoded, the headers
/// include the cookies, and the event has no account id unless there is a caller.
#[must_use]
pub fn event(
    settings: &FunctionUrlSettings,
    head: &Parts,
    body: &[u8],
    request_id: &str,
    now: SystemTime,
) -> Value {
    let is_function_url = settings.stage.is_none();
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
    let query = head.uri.query().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": if is_function_url { head.uri.path() } else { &path },
        "rawQueryString": query,
        "headers": headers(&head.headers, is_function_url),
        "requestContext": context(settings, head, &path, request_id, now),
        "isBase64Encoded": false,
    });
    let cookies = cookies(&head.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    let parameters = parameters(query);
    if !parameters.is_empty() {
        event["queryStringParameters"] = json!(parameters);
    }
    if !body.is_empty() {
        let text = text(&head.headers, body).filter(|_| !settings.is_base64_forced);
        event["isBase64Encoded"] = text.is_none().into();
        event["body"] = text.map_or_else(|| STANDARD.encode(body), str::to_owned).into();
    }
    event
}

fn context(
    settings: &FunctionUrlSettings,
    head: &Parts,
    path: &str,
    request_id: &str,
    now: SystemTime,
) -> Value {
    let (id, domain) = match settings.stage {
        None => (URL_ID, format!("{URL_ID}.lambda-url.{REGION}.on.aws")),
        Some(_) => (API_ID, format!("{API_ID}.execute-api.{REGION}.amazonaws.com")),
    };
    let is_anonymous = settings.stage.is_none() && settings.caller_arn.is_none();
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut context = json!({
        "accountId": if is_anonymous { "anonymous" } else { ACCOUNT },
        "apiId": id,
        "domainName": domain,
        "domainPrefix": id,
        "http": {
            "method": head.method.as_str(),
            "path": path,
            "protocol": format!("{:?}", head.version),
            "sourceIp": SOURCE_IP,
            "userAgent": joined(&head.headers, &header::USER_AGENT),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": settings.stage.as_deref().unwrap_or("$default"),
        "time": OffsetDateTime::from(now).format(TIME).unwrap_or_default(),
        "timeEpoch": u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    });
    if let Some(caller) = &settings.caller_arn {
        context["authorizer"] = json!({ "iam": iam(caller) });
    }
    context
}

/// The caller's identity as IAM reports it: a user, or a session of an assumed role.
fn iam(arn: &str) -> Value {
    let id = match arn.split_once(":assumed-role/").and_then(|(_, role)| role.rsplit_once('/')) {
        Some((_, session)) => format!("{ROLE_ID}:{session}"),
        None => USER_ID.to_owned(),
    };
    json!({
        "accessKey": ACCESS_KEY,
        "accountId": arn.split(':').nth(4).unwrap_or(ACCOUNT),
        "callerId": id,
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": arn,
        "userId": id,
    })
}

/// Every header by its lowercase name. The values of a repeated header are joined by commas.
fn headers(headers: &HeaderMap, has_cookies: bool) -> BTreeMap<&str, String> {
    let names = headers.keys().filter(|name| has_cookies || *name != header::COOKIE);
    names.map(|name| (name.as_str(), joined(headers, name))).collect()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values: Vec<String> = headers.get_all(header::COOKIE).iter().map(as_text).collect();
    let cookies = values.iter().flat_map(|value| value.split(';')).map(str::trim);
    cookies.filter(|cookie| !cookie.is_empty()).map(str::to_owned).collect()
}

/// The decoded query parameters. The values of a repeated parameter are joined by commas.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = form_decoded(value);
        parameters
            .entry(form_decoded(name))
            .and_modify(|values| *values = format!("{values},{value}"))
            .or_insert(value);
    }
    parameters
}

fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A body as text, if it is valid UTF-8 and has a content type that AWS treats as text.
///
/// AWS does not document these content types. The list comes from published experiments with an HTTP API; it does
/// not include bodies without a content type or forms.
fn text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = media_type.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&media_type.as_str());
    str::from_utf8(body).ok().filter(|_| is_text)
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get_all(name).iter().map(as_text).collect::<Vec<_>>().join(",")
}

/// A header's value. Invalid UTF-8 is replaced, because JSON cannot represent it.
fn as_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;

    const ID: &str = "00000000-0000-4000-b000-000000000001";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_583_348_638_390)
    }

    fn request(uri: &str, headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn prod() -> FunctionUrlSettings {
        FunctionUrlSettings { stage: Some("prod".to_owned()), ..FunctionUrlSettings::default() }
    }

    #[test]
    fn event_has_the_format_of_a_function_url() {
        let head = request(
            "/my/path%20x?b=1&a=x+y%2B&b=2&empty=&bare",
            &[
                ("Content-Type", b"application/json; charset=utf-8"),
                ("User-Agent", b"agent"),
                ("X-Twice", b"first"),
                ("x-twice", b"sec\xffond"),
                ("Cookie", b"one=1; two=2"),
                ("cookie", b"three=3"),
            ],
        );

        assert_eq!(
            event(&FunctionUrlSettings::default(), &head, br#"{"a": "u"}"#, ID, now()),
            json!({
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": "/my/path%20x",
                "rawQueryString": "b=1&a=x+y%2B&b=2&empty=&bare",
                "cookies": ["one=1", "two=2", "three=3"],
                "headers": {
                    "content-type": "application/json; charset=utf-8",
                    "cookie": "one=1; two=2,three=3",
                    "user-agent": "agent",
                    "x-twice": "first,sec\u{fffd}ond",
                },
                "queryStringParameters": { "a": "x y+", "b": "1,2", "bare": "", "empty": "" },
                "requestContext": {
                    "accountId": "anonymous",
                    "apiId": URL_ID,
                    "domainName": format!("{URL_ID}.lambda-url.us-east-1.on.aws"),
                    "domainPrefix": URL_ID,
                    "http": {
                        "method": "POST",
                        "path": "/my/path x",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "127.0.0.1",
                        "userAgent": "agent",
                    },
                    "requestId": ID,
                    "routeKey": "$default",
                    "stage": "$default",
                    "time": "04/Mar/2020:19:03:58 +0000",
                    "timeEpoch": 1_583_348_638_390_u64,
                },
                "body": r#"{"a": "u"}"#,
                "isBase64Encoded": false,
            })
        );
    }

    #[test]
    fn http_api_decodes_the_path_and_removes_the_cookies_from_the_headers() {
        let event = event(&prod(), &request("/prod/a%20b", &[("cookie", b"one=1")]), b"", ID, now());

        assert_eq!(event["rawPath"], "/prod/a b");
        assert_eq!(event["headers"], json!({}));
        assert_eq!(event["cookies"], json!(["one=1"]));
        let context = &event["requestContext"];
        assert_eq!((&context["stage"], &context["http"]["path"]), (&json!("prod"), &json!("/prod/a b")));
        assert_eq!((&context["accountId"], &context["apiId"]), (&json!(ACCOUNT), &json!(API_ID)));
    }

    #[test]
    fn event_omits_what_the_request_lacks() {
        let event = event(&FunctionUrlSettings::default(), &request("/", &[]), b"", ID, now());

        for absent in ["body", "cookies", "queryStringParameters"] {
            assert_eq!(event.get(absent), None);
        }
        assert_eq!(event["requestContext"].get("authorizer"), None);
        assert_eq!((&event["rawQueryString"], &event["isBase64Encoded"]), (&json!(""), &json!(false)));
    }

    #[test]
    fn event_contains_the_arn_and_account_of_the_caller() {
        for (caller, id) in [
            ("arn:aws:iam::111122223333:user/operators/nightly", USER_ID.to_owned()),
            ("arn:aws:sts::111122223333:assumed-role/deploy/run-7", format!("{ROLE_ID}:run-7")),
        ] {
            let settings =
                FunctionUrlSettings { caller_arn: Some(caller.to_owned()), ..FunctionUrlSettings::default() };
            let event = event(&settings, &request("/", &[]), b"", ID, now());

            assert_eq!(event["requestContext"]["accountId"], ACCOUNT);
            assert_eq!(
                event["requestContext"]["authorizer"],
                json!({ "iam": {
                    "accessKey": ACCESS_KEY,
                    "accountId": "111122223333",
                    "callerId": id,
                    "cognitoIdentity": null,
                    "principalOrgId": null,
                    "userArn": caller,
                    "userId": id,
                } })
            );
        }
    }

    #[track_caller]
    fn assert_body(settings: &FunctionUrlSettings, content_type: &str, body: &[u8], expected: (&str, bool)) {
        let head = request("/", &[("content-type", content_type.as_bytes())]);
        let event = event(settings, &head, body, ID, now());
        let body = (event["body"].as_str().unwrap(), event["isBase64Encoded"].as_bool().unwrap());
        assert_eq!(body, expected, "{content_type}");
    }

    #[test]
    fn body_is_text_only_if_its_type_and_bytes_are_text() {
        let settings = FunctionUrlSettings::default();
        for text in
            ["application/json", "Application/XML;charset=utf-8", "application/javascript", "text/csv"]
        {
            assert_body(&settings, text, "ü".as_bytes(), ("ü", false));
        }
        for binary in ["", "application/octet-stream", "application/problem+json", "application/jsonx"] {
            assert_body(&settings, binary, "ü".as_bytes(), ("w7w=", true));
        }
        assert_body(&settings, "application/json", b"\xff", ("/w==", true));
        let forced = FunctionUrlSettings { is_base64_forced: true, ..settings };
        assert_body(&forced, "application/json", b"{}", ("e30=", true));
    }
}
