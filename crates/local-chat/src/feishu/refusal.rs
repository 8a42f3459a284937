//! The errors of the server API: a code, its message and its status. Without I/O.
//!
//! Source: open.feishu.cn, the error codes of the pages of `im/v1/messages`, and the generic error codes.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::api::json_response;

pub(super) const MISSING_TOKEN: u32 = 99_991_661;
pub(super) const INVALID_TOKEN: u32 = 99_991_663;
pub(super) const TOO_MANY_REQUESTS: u32 = 99_991_400;
pub(super) const INVALID_FIELD: u32 = 99_992_402;
pub(super) const INVALID_JSON: u32 = 9499;
pub(super) const INVALID_PARAMETER: u32 = 10_003;
pub(super) const INVALID_SECRET: u32 = 10_014;
pub(super) const INVALID_REQUEST: u32 = 230_001;
pub(super) const NOT_IN_CHAT: u32 = 230_002;
pub(super) const RECALLED: u32 = 230_011;
pub(super) const TOO_FAST: u32 = 230_020;
pub(super) const TOO_LONG: u32 = 230_025;
pub(super) const TOO_OLD: u32 = 230_031;
pub(super) const NOT_A_CARD: u32 = 230_054;
pub(super) const NO_THREADS: u32 = 230_071;
pub(super) const INVALID_CARD: u32 = 230_099;

/// A call that is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: u32,
    message: String,
}

impl From<u32> for Refusal {
    fn from(code: u32) -> Self {
        let message = match code {
            INVALID_PARAMETER => "invalid param",
            INVALID_SECRET => "app secret invalid",
            MISSING_TOKEN => {
                "Missing access token for authorization. Please make a test attempt with the correct token."
            }
            INVALID_TOKEN => {
                "Invalid access token for authorization. Please make a test attempt with the correct token."
            }
            TOO_MANY_REQUESTS => "request trigger frequency limit",
            INVALID_FIELD => "field validation failed",
            INVALID_JSON => "Invalid parameter type in json",
            INVALID_REQUEST => "Your request contains an invalid request parameter.",
            NOT_IN_CHAT => "Bot/User can NOT be out of the chat.",
            RECALLED => "The message was withdrawn.",
            TOO_FAST => "This operation triggers the frequency limit.",
            TOO_LONG => "The length of the message content reaches its limit.",
            TOO_OLD => "The message is too old to be updated.",
            NOT_A_CARD => "This message type does not support this operation.",
            NO_THREADS => "The chat does not support replies in a thread.",
            INVALID_CARD => "Failed to create card content.",
            _ => "An error that a control request planned.",
        };
        Self { code, message: message.to_owned() }
    }
}

impl Refusal {
    /// The same with details, as Feishu appends them to its message.
    pub(super) fn with(code: u32, details: &str) -> Self {
        let refusal = Self::from(code);
        Self { message: format!("{} ext={details}", refusal.message), ..refusal }
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = json_response(&json!({ "code": self.code, "msg": self.message }));
        *response.status_mut() = match self.code {
            // The token's method reports its errors with the status 200.
            INVALID_PARAMETER | INVALID_SECRET => StatusCode::OK,
            TOO_MANY_REQUESTS => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        if self.code == TOO_MANY_REQUESTS {
            response.headers_mut().insert("x-ogw-ratelimit-limit", HeaderValue::from_static("50"));
            response.headers_mut().insert("x-ogw-ratelimit-reset", HeaderValue::from_static("1"));
        }
        response
    }
}
