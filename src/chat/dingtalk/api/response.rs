//! Reads a response: `DingTalk`'s own, that of its network's protection, or that of a proxy or a failing server.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::json::Object;

/// Longest wait that a response can ask for. A message cannot stay invisible for more than 12 h.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Length of an access token in characters. `DingTalk`'s have 32.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 1..=1024;

/// The status in a body by which the network's protection refuses every call for some minutes.
const BANNED: i64 = 1111;

/// The code of a rate limit, for a response without a body.
const LIMIT: &str = "qps.exceed.limit";

/// What a response is.
pub(super) enum Read {
    Success(Reply),
    /// The code of the failure.
    Failure(String),
    /// A card was not delivered: the reason, which is not always a code.
    Undelivered(String),
    /// The network's protection refuses every call for some minutes.
    Banned,
    /// Not `DingTalk`'s: a proxy's page and an outage are transient.
    Unreadable,
}

/// What a successful response contains.
pub(super) struct Reply {
    pub(super) issued: Option<Issued>,
}

/// An access token.
pub(super) struct Issued {
    pub(super) value: HeaderValue,
    pub(super) lifetime: Duration,
}

/// The members that matter, of every response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// The code of a failure: a text, or a number in older interfaces.
    code: Option<Value>,
    success: Option<bool>,
    status: Option<Value>,
    /// Whether a card was changed, or how it was delivered.
    result: Option<Value>,
    /// The name of a message that was accepted.
    process_query_key: Option<String>,
    access_token: Option<String>,
    /// In seconds.
    expire_in: Option<u64>,
}

pub(super) fn read(response: &Response<Bytes>) -> Read {
    let status = response.status();
    if is_html(response) {
        return if status.is_server_error() { Read::Unreadable } else { Read::Banned };
    }
    let Ok(Object(body)): Result<Object<Body>, _> = serde_json::from_slice(response.body()) else {
        let is_limit = status == StatusCode::TOO_MANY_REQUESTS;
        return if is_limit { Read::Failure(LIMIT.to_owned()) } else { Read::Unreadable };
    };
    if body.status.as_ref().and_then(Value::as_i64) == Some(BANNED) {
        return Read::Banned;
    }
    let code = match &body.code {
        Some(Value::String(code)) => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    if code.is_none()
        && let Some(why) = undelivered(&body)
    {
        return Read::Undelivered(why);
    }
    match code.or_else(|| refused(&body)) {
        Some(code) => Read::Failure(code),
        None if status == StatusCode::TOO_MANY_REQUESTS => Read::Failure(LIMIT.to_owned()),
        None if status.is_success() && is_accepted(&body) => Read::Success(Reply { issued: issued(&body) }),
        None => Read::Unreadable,
    }
}

/// Why a card was not delivered, which neither the status nor a code shows.
fn undelivered(body: &Body) -> Option<String> {
    let result = body.result.as_ref();
    // `createAndDeliver` has a member for the deliveries, `deliver` has them alone.
    let deliveries =
        result.and_then(|result| result.get("deliverResults").or(Some(result))).and_then(Value::as_array);
    let mut failed =
        deliveries.into_iter().flatten().filter(|delivery| delivery["success"] == Value::Bool(false));
    failed.next().map(|delivery| delivery["errorMsg"].as_str().unwrap_or_default().to_owned())
}

/// The code of a failure that the status does not show.
fn refused(body: &Body) -> Option<String> {
    let is_refused = body.success == Some(false) || body.result == Some(Value::Bool(false));
    is_refused.then(String::new)
}

/// Whether `DingTalk` says that it carried out the call. Without that, the response can be another server's.
fn is_accepted(body: &Body) -> bool {
    body.success == Some(true)
        || body.result.is_some()
        || body.process_query_key.is_some()
        || body.access_token.is_some()
}

fn issued(body: &Body) -> Option<Issued> {
    let token = body.access_token.as_ref().filter(|token| TOKEN_LENGTH.contains(&token.len()))?;
    let mut value = HeaderValue::try_from(token).ok()?;
    value.set_sensitive(true);
    Some(Issued { value, lifetime: Duration::from_secs(body.expire_in?) })
}

fn is_html(response: &Response<Bytes>) -> bool {
    let media_type =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.starts_with("text/html") || response.body().trim_ascii_start().starts_with(b"<")
}

/// The header `Retry-After` in seconds.
pub(super) fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
