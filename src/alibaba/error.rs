//! What went wrong with one call to Alibaba Cloud, named by what it means for the request.
//!
//! The table of codes lives here and nowhere else. A code is matched whole, then by four dotted families, never by another
//! part of it and never by its message.

use std::fmt;
use std::time::Duration;

use super::privatelink::Action;

/// Longest error code that is taken for one. Alibaba's longest in this product has 44 characters.
const CODE_LENGTH_MAX: usize = 128;

/// Largest error body that is read for a code. An honest one has less than 1 KiB, and whoever sends more must not
/// keep the processor busy with it.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Most elements of an XML error body; an honest one has about ten.
const XML_NODES_MAX: u32 = 200;

/// Most characters of Alibaba's own message that travel further.
const MESSAGE_LENGTH_MAX: usize = 200;

/// An error code exactly as Alibaba Cloud sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code(String);

impl Code {
    /// The code, if it looks like one: up to 128 letters, digits, `.`, `_` and `-`.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let is_code = (1..=CODE_LENGTH_MAX).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_code.then(|| Self(code.to_owned()))
    }

    /// The code as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a fault means, by what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Another operation holds the endpoint, or it is locked for arrears.
    Locked,
    /// The endpoint is being connected.
    Connecting,
    /// The endpoint's state does not allow the call now.
    WrongState,
    /// The service is busy or broken for the moment.
    Transient,
    /// A quota is used up.
    Throttled,
    /// The first call with this client token still runs.
    StillRunning,
    /// The signature's nonce was seen before.
    NonceUsed,
    /// Our clock is wrong.
    Clock,
    /// Our session credentials ran out.
    CredentialsExpired,
    /// Our credentials are wrong.
    Credentials,
    /// We have no credentials: nothing was sent.
    NoCredentials,
    /// The group does not exist, or is not attached.
    SecurityGroupNotFound,
    /// The endpoint does not exist in this region.
    EndpointNotFound,
    /// The client token was used with other parameters.
    TokenMismatch,
    /// The check of a dry run passed.
    DryRunPassed,
    /// RAM, Alibaba's access control, says no.
    Denied,
    /// Any other definite no.
    Refused,
    /// No usable answer: whether the call was carried out is unknown.
    Unanswered,
}

/// One call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The call.
    pub action: Action,
    /// What it means.
    pub kind: Kind,
    /// Alibaba's code, or the name this project gives to a fault without one: `Timeout`, `ConnectionLost`,
    /// `UnreadableAnswer`, `Http500` and the like, and `NoCredentials` for a call that was not sent.
    pub name: String,
    /// Whether [`Self::name`] is Alibaba's.
    pub is_coded: bool,
    /// Alibaba's message, shortened and without our secrets.
    pub message: Option<String>,
    /// How long the server asks us to stay away.
    pub retry_after: Option<Duration>,
    /// The call may have been carried out, or may still be: the same client token must go with its repetition.
    pub keeps_token: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            Kind::NoCredentials => "was not sent:",
            _ if self.is_coded => "answered",
            _ => "got no usable answer:",
        };
        write!(f, "{} {verb} {}", self.action.name(), self.name)
    }
}

/// Why there is no answer to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// Nothing came in time.
    Timeout,
    /// The connection could not be opened, or broke.
    ConnectionLost,
    /// Something came that cannot be this answer: not its format, too large, cut off, or at odds with itself.
    UnreadableAnswer,
    /// An HTTP status without a code to explain it.
    Status(u16),
}

impl Unanswered {
    /// The name that this project gives to it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Timeout => "Timeout".to_owned(),
            Self::ConnectionLost => "ConnectionLost".to_owned(),
            Self::UnreadableAnswer => "UnreadableAnswer".to_owned(),
            Self::Status(status) => format!("Http{status}"),
        }
    }
}

impl Fault {
    /// A fault without a code.
    #[must_use]
    pub fn unanswered(action: Action, why: Unanswered) -> Self {
        let kind = if why == Unanswered::Status(429) { Kind::Throttled } else { Kind::Unanswered };
        Self::uncoded(action, kind, why.name())
    }

    /// A call that there were no keys for. Whatever was unknown before it still is.
    #[must_use]
    pub fn unsent(action: Action) -> Self {
        Self::uncoded(action, Kind::NoCredentials, "NoCredentials".to_owned())
    }

    fn uncoded(action: Action, kind: Kind, name: String) -> Self {
        Self { action, kind, name, is_coded: false, message: None, retry_after: None, keeps_token: true }
    }

    /// The fault that an answer other than 200 stands for, and Alibaba's id of the call.
    ///
    /// `redact` takes our secrets out of the message, before anything is cut off it.
    #[must_use]
    pub fn answered(
        action: Action,
        status: u16,
        body: &[u8],
        retry_after: Option<Duration>,
        redact: impl Fn(&str) -> String,
    ) -> (Self, Option<String>) {
        let (coded, api_request_id) = Coded::read(status, body, redact);
        let Some(Coded { code, kind, message }) = coded else {
            let fault = Self { retry_after, ..Self::unanswered(action, Unanswered::Status(status)) };
            return (fault, api_request_id);
        };
        let is_undecided = matches!(kind, Kind::Transient | Kind::StillRunning | Kind::NonceUsed);
        let fault = Self {
            action,
            kind,
            name: code.0,
            is_coded: true,
            message,
            retry_after,
            keeps_token: is_undecided || status >= 500,
        };
        (fault, api_request_id)
    }
}

/// An answer other than 200 that says why, whichever of Alibaba Cloud's services gave it.
pub(super) struct Coded {
    pub(super) code: Code,
    pub(super) kind: Kind,
    pub(super) message: Option<String>,
}

impl Coded {
    /// What an error's status and body say, if they hold a code, and Alibaba's id of the call.
    ///
    /// `redact` takes our secrets out of the message, once nothing is left in it that could hide one, and before anything
    /// is cut off. A code or an id that holds one is none.
    pub(super) fn read(
        status: u16,
        body: &[u8],
        redact: impl Fn(&str) -> String,
    ) -> (Option<Self>, Option<String>) {
        let is_error = (400..600).contains(&status);
        let body = if is_error { ErrorBody::read(body) } else { ErrorBody::default() };
        let is_harmless = |text: &str| redact(text) == text;
        let code = body.code.as_deref().and_then(Code::parse).filter(|code| is_harmless(code.as_str()));
        let coded = code.map(|code| Self {
            kind: kind_of(code.as_str(), status),
            code,
            message: body.message.map(|message| cut(&redact(&visible(&message)))),
        });
        (coded, body.request_id.filter(|id| is_harmless(&visible(id))))
    }
}

/// The table of codes: exact code, then family, then HTTP status.
fn kind_of(code: &str, status: u16) -> Kind {
    match code {
        "EndpointLocked" | "ConcurrentCallNotSupported" => Kind::Locked,
        "EndpointConnectionOperationDenied" => Kind::Connecting,
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" => Kind::WrongState,
        "SystemBusy" | "ServiceUnavailable" | "InternalError" | "InternalServerError" => Kind::Transient,
        "Throttling" | "Rejected.Throttling" => Kind::Throttled,
        "IdempotenceProcessing" => Kind::StillRunning,
        "SignatureNonceUsed" => Kind::NonceUsed,
        "InvalidTimeStamp.Expired" => Kind::Clock,
        "InvalidSecurityToken.Expired" => Kind::CredentialsExpired,
        "InvalidAccessKeyId.NotFound"
        | "InvalidAccessKeyId.Inactive"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingSecurityToken"
        | "InvalidSecurityToken.Malformed"
        | "InvalidSecurityToken.MismatchWithAccessKey" => Kind::Credentials,
        // Not documented for this product; but nothing else than our keys can be meant.
        "InvalidAccessKeyId" | "InvalidAccessKeySecret" | "InvalidSecurityToken" | "MissingAccessKeyId" => {
            Kind::Credentials
        }
        "SecurityGroupNotFound" => Kind::SecurityGroupNotFound,
        "EndpointNotFound" => Kind::EndpointNotFound,
        "IdempotenceSignatureMismatch" | "IdempotentParameterMismatch" => Kind::TokenMismatch,
        "DryRunOperation" => Kind::DryRunPassed,
        "NoPermission" => Kind::Denied,
        _ if code.starts_with("Throttling.") || status == 429 => Kind::Throttled,
        _ if code.starts_with("Forbidden.") => Kind::Denied,
        _ if status >= 500 => Kind::Transient,
        // Whatever else is wrong with our keys: it is not the request's fault.
        _ if code.starts_with("InvalidAccessKeyId.") || code.starts_with("InvalidSecurityToken.") => {
            Kind::Credentials
        }
        // EndpointMustContainSecurityGroup, RegionNotFound, Invalid…, Missing… and every code not known here.
        _ => Kind::Refused,
    }
}

/// The parts of an error body that are read; its `AccessDeniedDetail` is left where it is.
#[derive(Default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl ErrorBody {
    /// Each part by itself: one that is odd must not hide the others.
    fn read(body: &[u8]) -> Self {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
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

/// A service's own words, for a log line or an event: not too many, and none that a terminal would obey.
pub(super) fn shortened(message: &str) -> String {
    cut(&visible(message))
}

fn visible(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).collect()
}

fn cut(message: &str) -> String {
    message.chars().take(MESSAGE_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Fault {
        Fault::answered(Action::Detach, status, body.as_bytes(), None, str::to_owned).0
    }

    fn coded(code: &str, status: u16) -> Fault {
        fault(
            status,
            &format!(r#"{{"RequestId":"R","HostId":"h","Code":"{code}","Message":"m","Recommend":"u"}}"#),
        )
    }

    #[test]
    fn codes_and_faults_are_told_in_their_own_words() {
        assert_eq!(Code::parse("Throttling.User").unwrap().to_string(), "Throttling.User");
        let told = |fault: Fault| fault.to_string();
        assert_eq!(
            told(coded("EndpointLocked", 400)),
            "DetachSecurityGroupFromVpcEndpoint answered EndpointLocked"
        );
        let timeout = Fault::unanswered(Action::ListEndpoints, Unanswered::Timeout);
        assert_eq!(told(timeout), "ListVpcEndpoints got no usable answer: Timeout");
        assert_eq!(
            told(Fault::unsent(Action::ListEndpoints)),
            "ListVpcEndpoints was not sent: NoCredentials"
        );
    }

    #[test]
    fn a_hint_is_kept_with_and_without_a_code() {
        let hint = Some(Duration::from_secs(2));
        for body in [&b"<html>"[..], br#"{"Code":"SystemBusy"}"#] {
            let (fault, _) = Fault::answered(Action::Detach, 503, body, hint, str::to_owned);
            assert_eq!(fault.retry_after, hint);
        }
    }

    #[test]
    fn an_error_body_is_read_up_to_its_largest_size() {
        let body = r#"{"Code":"EndpointLocked"}"#;
        let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
        assert_eq!(fault(400, &padded(BODY_BYTES_MAX - 1)).kind, Kind::Locked);
        assert_eq!(fault(400, &padded(BODY_BYTES_MAX)).kind, Kind::Locked);
        assert_eq!(fault(400, &padded(BODY_BYTES_MAX + 1)).kind, Kind::Unanswered);
    }

    #[test]
    fn a_key_is_told_neither_in_pieces_nor_as_a_code() {
        let redact = |text: &str| text.replace("s3cret", "[redacted]");
        let read = |body: &str| Fault::answered(Action::Detach, 400, body.as_bytes(), None, redact);
        let (fault, _) = read(r#"{"Code":"SignatureDoesNotMatch","Message":"signed with s3c\tr\u0000et"}"#);
        assert_eq!(fault.message.as_deref(), Some("signed with [redacted]"));
        let (_, api_request_id) = read(r#"{"Code":"EndpointLocked","RequestId":"R-s3\tcret"}"#);
        assert_eq!(api_request_id, None);
        let (fault, api_request_id) = read(r#"{"Code":"Invalid.s3cret","RequestId":"R-s3cret"}"#);
        assert_eq!((fault.name.as_str(), fault.is_coded, api_request_id), ("Http400", false, None));
    }

    #[test]
    fn every_code_of_the_table_has_its_kind_and_its_token_rule() {
        let (keeps, renews) = (true, false);
        for (code, status, kind, keeps_token) in [
            ("EndpointLocked", 400, Kind::Locked, renews),
            ("ConcurrentCallNotSupported", 400, Kind::Locked, renews),
            ("EndpointConnectionOperationDenied", 400, Kind::Connecting, renews),
            ("EndpointOperationDenied", 400, Kind::WrongState, renews),
            ("IncorrectStatus.VpcEndpoint", 400, Kind::WrongState, renews),
            ("SystemBusy", 400, Kind::Transient, keeps),
            ("ServiceUnavailable", 503, Kind::Transient, keeps),
            ("InternalError", 500, Kind::Transient, keeps),
            ("InternalServerError", 500, Kind::Transient, keeps),
            ("SomethingNew", 502, Kind::Transient, keeps),
            ("Throttling", 400, Kind::Throttled, renews),
            ("Throttling.User", 400, Kind::Throttled, renews),
            ("Throttling.Api", 429, Kind::Throttled, renews),
            ("Throttling.Anything", 400, Kind::Throttled, renews),
            ("Rejected.Throttling", 400, Kind::Throttled, renews),
            ("SomethingNew", 429, Kind::Throttled, renews),
            ("Throttling.User", 503, Kind::Throttled, keeps),
            ("IdempotenceProcessing", 400, Kind::StillRunning, keeps),
            ("SignatureNonceUsed", 400, Kind::NonceUsed, keeps),
            ("InvalidTimeStamp.Expired", 400, Kind::Clock, renews),
            ("InvalidSecurityToken.Expired", 403, Kind::CredentialsExpired, renews),
            ("SecurityGroupNotFound", 400, Kind::SecurityGroupNotFound, renews),
            ("EndpointNotFound", 400, Kind::EndpointNotFound, renews),
            ("EndpointMustContainSecurityGroup", 400, Kind::Refused, renews),
            ("GatewayLoadBalancerNotSupportSecurityGroup", 400, Kind::Refused, renews),
            ("EndpointServiceDeleted", 400, Kind::Refused, renews),
            ("IdempotenceSignatureMismatch", 400, Kind::TokenMismatch, renews),
            ("IdempotentParameterMismatch", 400, Kind::TokenMismatch, renews),
            ("DryRunOperation", 400, Kind::DryRunPassed, renews),
            ("NoPermission", 400, Kind::Denied, renews),
            ("Forbidden.RAM", 403, Kind::Denied, renews),
            ("Forbidden.Else", 403, Kind::Denied, renews),
            ("InvalidAccessKeyId.NotFound", 404, Kind::Credentials, renews),
            ("InvalidAccessKeyId.Inactive", 400, Kind::Credentials, renews),
            ("SignatureDoesNotMatch", 400, Kind::Credentials, renews),
            ("IncompleteSignature", 400, Kind::Credentials, renews),
            ("MissingSecurityToken", 400, Kind::Credentials, renews),
            ("InvalidSecurityToken.Malformed", 400, Kind::Credentials, renews),
            ("InvalidSecurityToken.MismatchWithAccessKey", 400, Kind::Credentials, renews),
            ("InvalidAccessKeyId", 400, Kind::Credentials, renews),
            ("InvalidAccessKeySecret", 400, Kind::Credentials, renews),
            ("InvalidSecurityToken", 400, Kind::Credentials, renews),
            ("MissingAccessKeyId", 400, Kind::Credentials, renews),
            ("InvalidAccessKeyId.NeverSeenBefore", 403, Kind::Credentials, renews),
            ("InvalidSecurityToken.NeverSeenBefore", 400, Kind::Credentials, renews),
            ("InvalidSecurityToken.NeverSeenBefore", 503, Kind::Transient, keeps),
            ("RegionNotFound", 400, Kind::Refused, renews),
            ("UnsupportedRegion", 400, Kind::Refused, renews),
            ("MissingEndpointId", 400, Kind::Refused, renews),
            ("InvalidParameter", 400, Kind::Refused, renews),
            ("InvalidApi.NotFound", 404, Kind::Refused, renews),
            ("NeverSeenBefore", 400, Kind::Refused, renews),
        ] {
            let fault = coded(code, status);
            assert_eq!(
                (fault.kind, fault.keeps_token, fault.name.as_str()),
                (kind, keeps_token, code),
                "{code} {status}"
            );
            assert!(fault.is_coded);
        }
    }

    #[test]
    fn a_code_is_never_matched_by_a_part_of_it() {
        for code in
            ["EndpointLockedForever", "NotThrottling", "XForbidden.RAM", "ThrottlingX", "NoPermissionAtAll"]
        {
            assert_eq!(coded(code, 400).kind, Kind::Refused, "{code}");
        }
    }

    #[test]
    fn a_status_without_a_code_is_a_fault_and_never_a_refusal() {
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
            let fault = fault(status, body);
            assert_eq!(
                (fault.kind, fault.keeps_token, fault.is_coded),
                (Kind::Unanswered, true, false),
                "{status} {body}"
            );
            assert_eq!(fault.name, format!("Http{status}"));
        }
        assert_eq!(fault(429, "slow down").kind, Kind::Throttled);
    }

    #[test]
    fn a_code_in_a_redirect_is_no_refusal() {
        for code in ["NeverSeenBefore", "NoPermission", "EndpointNotFound"] {
            let fault = coded(code, 302);
            assert_eq!((fault.kind, fault.name.as_str()), (Kind::Unanswered, "Http302"), "{code}");
        }
    }

    #[test]
    fn an_odd_part_does_not_hide_the_code() {
        for body in [
            r#"{"Code":"SystemBusy","Message":{"a":1},"RequestId":7}"#,
            "\u{feff}{\"Code\":\"SystemBusy\"}",
            r#"{"Code":"SystemBusy","Code2":null,"Recommend":[1]}"#,
        ] {
            assert_eq!(fault(400, body).kind, Kind::Transient, "{body}");
        }
    }

    #[test]
    fn a_body_that_would_keep_the_processor_busy_is_not_read() {
        let attributes = " a='1'".repeat(100_000);
        assert_eq!(
            fault(400, &format!("<Error{attributes}><Code>SystemBusy</Code></Error>")).name,
            "Http400"
        );
        let nodes = "<a/>".repeat(1000);
        assert_eq!(fault(400, &format!("<Error>{nodes}<Code>SystemBusy</Code></Error>")).name, "Http400");
    }

    #[test]
    fn a_secret_is_taken_out_before_the_message_is_cut() {
        let secret = "s".repeat(MESSAGE_LENGTH_MAX * 3);
        let body = serde_json::json!({ "Code": "InvalidParameter", "Message": format!("x {secret} y") });
        let redact = |message: &str| message.replace(&secret, "[redacted]");
        let (fault, _) = Fault::answered(Action::Detach, 400, body.to_string().as_bytes(), None, redact);
        assert_eq!(fault.message.as_deref(), Some("x [redacted] y"));
    }

    #[test]
    fn lower_camel_and_xml_bodies_are_read() {
        assert_eq!(
            fault(400, r#"{"code":"SystemBusy","message":"m","requestId":"R"}"#).kind,
            Kind::Transient
        );
        let xml =
            "<?xml version='1.0'?><Error><RequestId>R-1</RequestId><Code> EndpointLocked </Code></Error>";
        let (fault, request_id) = Fault::answered(Action::Detach, 400, xml.as_bytes(), None, str::to_owned);
        assert_eq!((fault.kind, request_id.as_deref()), (Kind::Locked, Some("R-1")));
    }

    #[test]
    fn a_message_is_shortened_and_holds_no_control_characters() {
        let message = "a\u{1b}[31m".to_owned() + &"x".repeat(1000);
        let body = serde_json::json!({ "Code": "InvalidParameter", "Message": message }).to_string();
        let message = fault(400, &body).message.unwrap();
        assert_eq!(message.chars().count(), MESSAGE_LENGTH_MAX);
        assert!(!message.contains('\u{1b}'));
    }
}
