//! A call to Alibaba Cloud that did not succeed: why there is no response, or what the error response says. What a code
//! means is in [`super::codes`].

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::access_key;
use super::codes::{self, CODE_LENGTH_MAX, Code, ErrorKind};
use super::privatelink::Action;
use crate::json::bytes_without_byte_order_mark;
use crate::request::ClientToken;
use crate::text::{cut, visible};
use crate::transport::NoResponse;
use crate::transport::cause::Cause;

/// Largest error body that is read for a code, in bytes. Alibaba's have less than 1 KiB; a larger one must not keep the
/// processor busy.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Maximum number of elements of an XML error body; Alibaba's have about ten.
const XML_NODES_MAX: u32 = 200;

/// One call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    pub action: Action,
    pub kind: ErrorKind,
    pub code: ErrorCode,
    /// Whether it is a 4xx with a code that the table does not know: the table must be completed.
    pub is_unlisted: bool,
    /// Alibaba's message, shortened and without our credentials.
    pub message: Option<String>,
    /// What happened to the connection, if there was no complete response.
    pub cause: Option<Cause>,
    /// The wait that the service requests.
    pub retry_after: Option<Duration>,
    /// Whether the call may have been carried out, or may still be: its repetition must have the same client token.
    pub keeps_token: bool,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.code {
            ErrorCode::Alibaba(_) => "failed with",
            ErrorCode::NoResponse(_) => "got no readable response:",
            ErrorCode::NoCredentials => "was not sent:",
        };
        write!(f, "{} {verb} {}", self.action.name(), self.code)
    }
}

/// The code of an error: Alibaba's as it was sent, or this project's for an error without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    Alibaba(Code),
    NoResponse(NoResponse),
    /// The call was not sent.
    NoCredentials,
}

impl ErrorCode {
    /// The code in events and logs.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Alibaba(code) => Cow::Borrowed(code.as_str()),
            Self::NoResponse(why) => why.name(),
            Self::NoCredentials => Cow::Borrowed("NoCredentials"),
        }
    }
}

impl From<NoResponse> for ErrorCode {
    fn from(why: NoResponse) -> Self {
        Self::NoResponse(why)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl NoResponse {
    pub(super) fn kind(self) -> ErrorKind {
        if self == Self::Status(429) { ErrorKind::Throttled } else { ErrorKind::NoResponse }
    }
}

impl CallError {
    /// An error without a code.
    #[must_use]
    pub fn no_response(action: Action, why: NoResponse) -> Self {
        Self::uncoded(action, why.kind(), why.into())
    }

    /// A call that was not sent, because there are no credentials. It does not affect an earlier call whose outcome is
    /// unknown.
    #[must_use]
    pub fn not_sent(action: Action) -> Self {
        Self::uncoded(action, ErrorKind::NoCredentials, ErrorCode::NoCredentials)
    }

    fn uncoded(action: Action, kind: ErrorKind, code: ErrorCode) -> Self {
        Self {
            action,
            kind,
            code,
            is_unlisted: false,
            message: None,
            cause: None,
            retry_after: None,
            keeps_token: true,
        }
    }

    /// The error in a response other than 200, and Alibaba's id of the call.
    ///
    /// `redact` removes our credentials, and the message is also without the call's client token. The sender chooses that
    /// token: it can be part of any code, so it is not removed from codes.
    #[must_use]
    pub fn read(
        action: Action,
        status: u16,
        body: &[u8],
        retry_after: Option<Duration>,
        redact: impl Fn(&str) -> String,
        client_token: Option<&ClientToken>,
    ) -> (Self, Option<String>) {
        let redact_message = |message: &str| {
            access_key::redact(&redact(message), client_token.map_or("", ClientToken::as_str))
        };
        let (coded, api_request_id) = Coded::read(status, body, &redact, redact_message);
        let Some(Coded { code, kind, message }) = coded else {
            let error = Self { retry_after, ..Self::no_response(action, NoResponse::Status(status)) };
            return (error, api_request_id);
        };
        let is_undecided =
            matches!(kind, ErrorKind::Transient | ErrorKind::StillRunning | ErrorKind::NonceUsed);
        let error = Self {
            action,
            kind,
            is_unlisted: codes::is_unlisted(code.as_str(), status),
            code: ErrorCode::Alibaba(code),
            message,
            cause: None,
            retry_after,
            keeps_token: is_undecided || status >= 500,
        };
        (error, api_request_id)
    }
}

/// A service's message, to follow its code.
pub(super) fn clause(message: Option<&str>) -> String {
    message.map_or(String::new(), |message| format!(": {message}"))
}

/// The parts of an error response of any service.
pub(super) struct Coded {
    pub(super) code: Code,
    pub(super) kind: ErrorKind,
    pub(super) message: Option<String>,
}

impl Coded {
    /// The error in this status and body, if they have a code, and Alibaba's id of the call.
    ///
    /// `redact_message` is applied to the message, after control characters that could split a secret are removed and before
    /// it is shortened. A code or an id that `redact` would change is ignored.
    pub(super) fn read(
        status: u16,
        body: &[u8],
        redact: impl Fn(&str) -> String,
        redact_message: impl Fn(&str) -> String,
    ) -> (Option<Self>, Option<String>) {
        let is_error = (400..600).contains(&status);
        let body = if is_error { ErrorBody::read(body) } else { ErrorBody::default() };
        let is_harmless = |text: &str| redact(text) == text;
        let code = body.code.as_deref().and_then(Code::parse).filter(|code| is_harmless(code.as_str()));
        let coded = code.map(|code| Self {
            kind: codes::kind(code.as_str(), status),
            code,
            message: body.message.map(|message| cut(&redact_message(&visible(&message)))),
        });
        (coded, body.request_id.filter(|id| is_harmless(&visible(id))))
    }
}

/// The parts of an error body that are read; `AccessDeniedDetail` is not.
#[derive(Default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl ErrorBody {
    /// Reads each part by itself: a malformed one must not hide the others.
    fn read(body: &[u8]) -> Self {
        let body = bytes_without_byte_order_mark(body);
        if body.len() > BODY_BYTES_MAX {
            return Self::default();
        }
        let parts = serde_json::from_slice(body).ok().map(|fields| Self::read_json(&fields));
        let mut parts = parts.or_else(|| Self::read_xml(body)).unwrap_or_default();
        parts.request_id = parts.request_id.filter(|id| (1..=CODE_LENGTH_MAX).contains(&id.len()));
        parts
    }

    fn read_json(fields: &serde_json::Map<String, serde_json::Value>) -> Self {
        let text = |names: [&str; 2]| {
            let value = names.into_iter().find_map(|name| fields.get(name));
            value.and_then(|value| value.as_str()).map(str::to_owned)
        };
        Self {
            code: text(["Code", "code"]),
            message: text(["Message", "message"]),
            request_id: text(["RequestId", "requestId"]),
        }
    }

    fn read_xml(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let options = roxmltree::ParsingOptions { nodes_limit: XML_NODES_MAX, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(text, options).ok()?;
        let child = |name: &str| {
            let element = document.root_element().children().find(|node| node.has_tag_name(name))?;
            element.text().map(|text| text.trim().to_owned())
        };
        Some(Self { code: child("Code"), message: child("Message"), request_id: child("RequestId") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MESSAGE_LENGTH_MAX;

    fn error(status: u16, body: &str) -> CallError {
        CallError::read(Action::Detach, status, body.as_bytes(), None, str::to_owned, None).0
    }

    fn coded(code: &str, status: u16) -> CallError {
        error(
            status,
            &format!(r#"{{"RequestId":"R","HostId":"h","Code":"{code}","Message":"m","Recommend":"u"}}"#),
        )
    }

    /// The code of an error that has only its status.
    fn http(status: u16) -> ErrorCode {
        ErrorCode::NoResponse(NoResponse::Status(status))
    }

    #[test]
    fn display_names_the_operation_and_the_code() {
        assert_eq!(Code::parse("Throttling.User").unwrap().to_string(), "Throttling.User");
        let text = |error: CallError| error.to_string();
        assert_eq!(
            text(coded("EndpointLocked", 400)),
            "DetachSecurityGroupFromVpcEndpoint failed with EndpointLocked"
        );
        let timeout = CallError::no_response(Action::ListEndpoints, NoResponse::Timeout);
        assert_eq!(text(timeout), "ListVpcEndpoints got no readable response: Timeout");
        assert_eq!(
            text(CallError::not_sent(Action::ListEndpoints)),
            "ListVpcEndpoints was not sent: NoCredentials"
        );
        assert_eq!(
            text(error(502, "")),
            "DetachSecurityGroupFromVpcEndpoint got no readable response: Http502"
        );
    }

    #[test]
    fn retry_hint_is_kept_with_and_without_a_code() {
        let hint = Some(Duration::from_secs(2));
        for body in [&b"<html>"[..], br#"{"Code":"SystemBusy"}"#] {
            let (error, _) = CallError::read(Action::Detach, 503, body, hint, str::to_owned, None);
            assert_eq!(error.retry_after, hint);
        }
    }

    #[test]
    fn error_body_is_read_up_to_its_size_limit() {
        let body = r#"{"Code":"EndpointLocked"}"#;
        let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
        assert_eq!(error(400, &padded(BODY_BYTES_MAX - 1)).kind, ErrorKind::Locked);
        assert_eq!(error(400, &padded(BODY_BYTES_MAX)).kind, ErrorKind::Locked);
        assert_eq!(error(400, &padded(BODY_BYTES_MAX + 1)).kind, ErrorKind::NoResponse);
    }

    #[test]
    fn credential_is_redacted_in_message_code_and_request_id() {
        let redact = |text: &str| text.replace("s3cret", "[redacted]");
        let read = |body: &str| CallError::read(Action::Detach, 400, body.as_bytes(), None, redact, None);
        let (error, _) = read(r#"{"Code":"SignatureDoesNotMatch","Message":"signed with s3c\tr\u0000et"}"#);
        assert_eq!(error.message.as_deref(), Some("signed with [redacted]"));
        let (_, api_request_id) = read(r#"{"Code":"EndpointLocked","RequestId":"R-s3\tcret"}"#);
        assert_eq!(api_request_id, None);
        let (error, api_request_id) = read(r#"{"Code":"Invalid.s3cret","RequestId":"R-s3cret"}"#);
        assert_eq!((error.code, api_request_id), (http(400), None));
    }

    #[test]
    fn every_code_has_its_kind_and_its_token_rule() {
        let (keeps, renews) = (true, false);
        for (code, status, kind, keeps_token) in [
            ("EndpointLocked", 400, ErrorKind::Locked, renews),
            ("ConcurrentCallNotSupported", 400, ErrorKind::Locked, renews),
            ("EndpointConnectionOperationDenied", 400, ErrorKind::Connecting, renews),
            ("EndpointOperationDenied", 400, ErrorKind::WrongState, renews),
            ("IncorrectStatus.VpcEndpoint", 400, ErrorKind::WrongState, renews),
            ("SystemBusy", 400, ErrorKind::Transient, keeps),
            ("ServiceUnavailable", 503, ErrorKind::Transient, keeps),
            ("InternalError", 500, ErrorKind::Transient, keeps),
            ("InternalServerError", 500, ErrorKind::Transient, keeps),
            ("SomethingNew", 502, ErrorKind::Transient, keeps),
            ("Throttling", 400, ErrorKind::Throttled, renews),
            ("Throttling.User", 400, ErrorKind::Throttled, renews),
            ("Throttling.Api", 429, ErrorKind::Throttled, renews),
            ("Throttling.Anything", 400, ErrorKind::Throttled, renews),
            ("Rejected.Throttling", 400, ErrorKind::Throttled, renews),
            ("SomethingNew", 429, ErrorKind::Throttled, renews),
            ("Throttling.User", 503, ErrorKind::Throttled, keeps),
            ("IdempotenceProcessing", 400, ErrorKind::StillRunning, keeps),
            ("SignatureNonceUsed", 400, ErrorKind::NonceUsed, keeps),
            ("InvalidTimeStamp.Expired", 400, ErrorKind::Clock, renews),
            ("InvalidSecurityToken.Expired", 403, ErrorKind::CredentialsExpired, renews),
            ("SecurityGroupNotFound", 400, ErrorKind::SecurityGroupNotFound, renews),
            ("EndpointNotFound", 400, ErrorKind::EndpointNotFound, renews),
            ("EndpointMustContainSecurityGroup", 400, ErrorKind::Refused, renews),
            ("EndpointMustContainSecurityGroup", 429, ErrorKind::Throttled, renews),
            ("EndpointMustContainSecurityGroup", 500, ErrorKind::Transient, keeps),
            ("GatewayLoadBalancerNotSupportSecurityGroup", 400, ErrorKind::Refused, renews),
            ("EndpointServiceDeleted", 400, ErrorKind::Refused, renews),
            ("IdempotenceSignatureMismatch", 400, ErrorKind::TokenMismatch, renews),
            ("IdempotentParameterMismatch", 400, ErrorKind::TokenMismatch, renews),
            ("DryRunOperation", 400, ErrorKind::DryRunOperation, renews),
            ("NoPermission", 400, ErrorKind::Denied, renews),
            ("Forbidden.RAM", 403, ErrorKind::Denied, renews),
            ("Forbidden.Else", 403, ErrorKind::Denied, renews),
            ("InvalidAccessKeyId.NotFound", 404, ErrorKind::Credentials, renews),
            ("InvalidAccessKeyId.Inactive", 400, ErrorKind::Credentials, renews),
            ("SignatureDoesNotMatch", 400, ErrorKind::Credentials, renews),
            ("IncompleteSignature", 400, ErrorKind::Credentials, renews),
            ("MissingSecurityToken", 400, ErrorKind::Credentials, renews),
            ("InvalidSecurityToken.Malformed", 400, ErrorKind::Credentials, renews),
            ("InvalidSecurityToken.MismatchWithAccessKey", 400, ErrorKind::Credentials, renews),
            ("InvalidAccessKeyId", 400, ErrorKind::Credentials, renews),
            ("InvalidAccessKeySecret", 400, ErrorKind::Credentials, renews),
            ("InvalidSecurityToken", 400, ErrorKind::Credentials, renews),
            ("MissingAccessKeyId", 400, ErrorKind::Credentials, renews),
            ("InvalidAccessKeyId.NeverSeenBefore", 403, ErrorKind::Credentials, renews),
            ("InvalidSecurityToken.NeverSeenBefore", 400, ErrorKind::Credentials, renews),
            ("InvalidSecurityToken.NeverSeenBefore", 503, ErrorKind::Transient, keeps),
            ("RegionNotFound", 400, ErrorKind::Refused, renews),
            ("UnsupportedRegion", 400, ErrorKind::Refused, renews),
            ("MissingEndpointId", 400, ErrorKind::Refused, renews),
            ("InvalidParameter", 400, ErrorKind::Refused, renews),
            ("InvalidApi.NotFound", 404, ErrorKind::Unlisted, renews),
            ("NeverSeenBefore", 400, ErrorKind::Unlisted, renews),
            ("NeverSeenBefore", 401, ErrorKind::Credentials, renews),
            ("NeverSeenBefore", 403, ErrorKind::Denied, renews),
            ("NeverSeenBefore", 408, ErrorKind::Transient, keeps),
            ("NeverSeenBefore", 409, ErrorKind::Transient, keeps),
        ] {
            let error = coded(code, status);
            let alibabas = ErrorCode::Alibaba(Code::parse(code).unwrap());
            assert_eq!(
                (error.kind, error.keeps_token, error.code),
                (kind, keeps_token, alibabas),
                "{code} {status}"
            );
        }
    }

    #[test]
    fn code_is_never_matched_by_a_part_of_it() {
        for code in
            ["EndpointLockedForever", "NotThrottling", "XForbidden.RAM", "ThrottlingX", "NoPermissionAtAll"]
        {
            assert_eq!(coded(code, 400).kind, ErrorKind::Unlisted, "{code}");
        }
    }

    #[test]
    fn status_without_a_code_is_never_a_refusal() {
        for (status, body) in [
            (400, "<html>proxy</html>"),
            (403, ""),
            (404, "not here"),
            (302, ""),
            (400, r#"{"Code":7}"#),
            (400, "[]"),
            (400, r#"{"Code":""}"#),
            (400, r#"{"Code":"has space"}"#),
            (502, "\u{0}\u{1}"),
            (400, "<Error><Code/></Error>"),
        ] {
            let error = error(status, body);
            assert_eq!(
                (error.kind, error.keeps_token, error.code),
                (ErrorKind::NoResponse, true, http(status)),
                "{status} {body}"
            );
        }
        assert_eq!(error(429, "slow down").kind, ErrorKind::Throttled);
    }

    #[test]
    fn code_in_a_redirect_is_no_refusal() {
        for code in ["NeverSeenBefore", "NoPermission", "EndpointNotFound"] {
            let error = coded(code, 302);
            assert_eq!((error.kind, error.code), (ErrorKind::NoResponse, http(302)), "{code}");
        }
    }

    #[test]
    fn malformed_part_does_not_hide_the_code() {
        for body in [
            r#"{"Code":"SystemBusy","Message":{"a":1},"RequestId":7}"#,
            "\u{feff}{\"Code\":\"SystemBusy\"}",
            r#"{"Code":"SystemBusy","Code2":null,"Recommend":[1]}"#,
        ] {
            assert_eq!(error(400, body).kind, ErrorKind::Transient, "{body}");
        }
    }

    #[test]
    fn body_that_is_expensive_to_parse_is_not_read() {
        let attributes = " a='1'".repeat(100_000);
        assert_eq!(
            error(400, &format!("<Error{attributes}><Code>SystemBusy</Code></Error>")).code,
            http(400)
        );
        let nodes = "<a/>".repeat(1000);
        assert_eq!(error(400, &format!("<Error>{nodes}<Code>SystemBusy</Code></Error>")).code, http(400));
    }

    #[test]
    fn client_token_is_redacted_in_the_message_alone() {
        let token = ClientToken::parse("Locked").unwrap();
        let body = r#"{"Code":"EndpointLocked","Message":"token Locked","RequestId":"R"}"#.as_bytes();
        let (error, _) = CallError::read(Action::Detach, 400, body, None, str::to_owned, Some(&token));
        assert_eq!((error.kind, error.message.as_deref()), (ErrorKind::Locked, Some("token [redacted]")));
    }

    #[test]
    fn credential_is_redacted_before_the_message_is_shortened() {
        let secret = "s".repeat(MESSAGE_LENGTH_MAX * 3);
        let body = serde_json::json!({ "Code": "InvalidParameter", "Message": format!("x {secret} y") });
        let redact = |message: &str| message.replace(&secret, "[redacted]");
        let (error, _) =
            CallError::read(Action::Detach, 400, body.to_string().as_bytes(), None, redact, None);
        assert_eq!(error.message.as_deref(), Some("x [redacted] y"));
    }

    #[test]
    fn lower_camel_case_and_xml_bodies_are_read() {
        assert_eq!(
            error(400, r#"{"code":"SystemBusy","message":"m","requestId":"R"}"#).kind,
            ErrorKind::Transient
        );
        let xml =
            "<?xml version='1.0'?><Error><RequestId>R-1</RequestId><Code> EndpointLocked </Code></Error>";
        let (error, request_id) =
            CallError::read(Action::Detach, 400, xml.as_bytes(), None, str::to_owned, None);
        assert_eq!((error.kind, request_id.as_deref()), (ErrorKind::Locked, Some("R-1")));
    }

    #[test]
    fn message_is_shortened_and_has_no_control_characters() {
        let message = "a\u{1b}[31m".to_owned() + &"x".repeat(1000);
        let body = serde_json::json!({ "Code": "InvalidParameter", "Message": message }).to_string();
        let message = error(400, &body).message.unwrap();
        assert_eq!(message.chars().count(), MESSAGE_LENGTH_MAX);
        assert!(!message.contains('\u{1b}'));
    }
}
