//! Reads responses of the API.
//!
//! Source: Feishu's reference of `tenant_access_token/internal` and of rate limits.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Deserialize;

use super::super::super::post::End;
use super::codes::Meaning;
use crate::json::Object;

/// Longest wait that a response can ask for. Feishu asks for seconds; a message cannot stay invisible for more than 12 h.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The header with the seconds after which a rate limit ends.
pub(super) const RATE_LIMIT_RESET: &str = "x-ogw-ratelimit-reset";

/// Longest access token in characters. Feishu advises room for at least 4 KB.
const ACCESS_TOKEN_LENGTH_MAX: usize = 8192;

/// An access token that Feishu issued.
pub(super) struct AccessToken {
    /// The value of the header `Authorization`.
    pub(super) bearer: HeaderValue,
    pub(super) lifetime: Duration,
}

impl AccessToken {
    pub(super) fn parse(response: &Response<Bytes>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            tenant_access_token: String,
            expire: u64,
        }
        let Object(Body { tenant_access_token: token, expire }) =
            serde_json::from_slice(response.body()).ok()?;
        let is_token = (1..=ACCESS_TOKEN_LENGTH_MAX).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_graphic());
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token)?;
        bearer.set_sensitive(true);
        Some(Self { bearer, lifetime: Duration::from_secs(expire) })
    }
}

/// A response: Feishu's own, or one of a proxy or a failing server.
pub(super) enum Read {
    Success,
    /// The code of the failure.
    Failure(i64),
    /// Not Feishu's, or an error of the server: a proxy's page and an outage are transient.
    Unreadable,
}

pub(super) fn read(response: &Response<Bytes>) -> Read {
    #[derive(Deserialize)]
    struct Body {
        code: i64,
    }
    let status = response.status();
    if status.is_server_error() {
        return Read::Unreadable;
    }
    match serde_json::from_slice(response.body()) {
        _ if status == StatusCode::TOO_MANY_REQUESTS => Read::Failure(99_991_400),
        Ok(Object(Body { code: 0 })) if status.is_success() => Read::Success,
        Ok(Object(Body { code })) if code != 0 => Read::Failure(code),
        _ => Read::Unreadable,
    }
}

pub(super) fn unreadable(name: &str, response: &Response<Bytes>) -> End {
    let why = format!("{name} returned {} without Feishu's response", response.status());
    End::Retry { why, after: retry_after(response) }
}

pub(super) fn transient(name: &str, code: i64, response: &Response<Bytes>) -> End {
    End::Retry { why: format!("{name} failed with {code}"), after: retry_after(response) }
}

pub(super) fn undeliverable(name: &str, code: i64, meaning: Meaning) -> End {
    End::Undeliverable { why: format!("{name} failed with {code}: {}", meaning.advice()) }
}

/// The seconds after which the call can be repeated.
fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let seconds = |name| response.headers().get(name)?.to_str().ok()?.trim().parse().ok();
    let seconds = seconds(RATE_LIMIT_RESET).or_else(|| seconds(RETRY_AFTER.as_str()))?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
