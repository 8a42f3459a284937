//! The table of Alibaba Cloud's error codes: for each code its kind, what it means here, what to do about it, and the
//! section of the runbook about it.
//!
//! The one place that names codes; longer than other files because it is one table. An exact code decides, except that one
//! that can refuse a request does not with HTTP 429 or 5xx; then the prefix `Throttling.` or status 429, a status of 5xx,
//! the other families; and for a code in no row, the status alone. No other part of the code decides, and never the
//! message. Sources: PrivateLink's own error tables, and for the codes marked "undocumented" what callers of other products
//! report.

use std::borrow::Cow;
use std::fmt;

/// Longest error code that is accepted, in characters. Alibaba's longest in this product has 44.
pub(super) const CODE_LENGTH_MAX: usize = 128;

/// An error code exactly as Alibaba Cloud sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// The code, if it looks like one: up to 128 letters, digits, `.`, `_` and `-`.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let is_code = (1..=CODE_LENGTH_MAX).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_code.then(|| Self(Cow::Owned(code.to_owned())))
    }

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

/// The endpoint does not exist in this region; also concluded from a list without it.
pub const ENDPOINT_NOT_FOUND: Code = Code(Cow::Borrowed("EndpointNotFound"));

/// What an error means, by what the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Another operation holds the endpoint's lock, or a payment is overdue.
    Locked,
    /// The endpoint is being connected.
    Connecting,
    /// The endpoint's state does not allow the call now.
    WrongState,
    /// The service is busy or failing.
    Transient,
    /// A quota is used up.
    Throttled,
    /// The first call with this client token still runs.
    StillRunning,
    /// The signature's nonce was used before.
    NonceUsed,
    /// Our clock differs from the service's by more than 15 minutes.
    Clock,
    /// The session of our credentials has expired.
    CredentialsExpired,
    /// Our credentials are wrong.
    Credentials,
    /// There are no credentials; nothing was sent.
    NoCredentials,
    /// The group does not exist, or is not attached.
    SecurityGroupNotFound,
    /// The endpoint does not exist in this region.
    EndpointNotFound,
    /// The client token was used with other parameters.
    TokenMismatch,
    /// The response to a passing dry run, received for a call that was not a dry run.
    DryRunOperation,
    /// RAM, Alibaba Cloud's access control, denies the call.
    Denied,
    /// Any other permanent refusal that the table knows.
    Refused,
    /// A code that the table does not know, with a 4xx: a permanent refusal, or a passing condition of the gateway or the
    /// account.
    Unlisted,
    /// No readable response: whether the call was carried out is unknown.
    NoResponse,
}

/// What to do about a request that was not confirmed, if its last error does not say why.
pub const CHECK_ENDPOINT: &str =
    "Check in Alibaba Cloud's console which operation or lock blocks the endpoint.";

impl ErrorKind {
    /// Whether the call failed because there are no credentials, or because they are wrong or expired.
    #[must_use]
    pub const fn is_about_credentials(self) -> bool {
        matches!(self, Self::Credentials | Self::CredentialsExpired | Self::NoCredentials)
    }

    /// What to do about a request that was not confirmed before its deadline, if this was its last error.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Credentials | Self::CredentialsExpired => {
                "Alibaba Cloud rejects the worker's credentials: the ERROR lines of the worker's log name the setting to \
                 change."
            }
            Self::NoCredentials => {
                "The worker has no credentials for Alibaba Cloud: the ERROR lines of its log give the cause and the \
                 setting to change."
            }
            Self::Clock => "The worker's clock differs from Alibaba Cloud's: find the cause.",
            Self::Locked | Self::Connecting | Self::WrongState | Self::StillRunning => {
                "Another caller keeps changing the endpoint: find out in ActionTrail which one. If a payment is overdue, settle it."
            }
            Self::Throttled => {
                "The account's quota for this region is used up: find out which caller uses it, or request a higher quota."
            }
            Self::NoResponse => {
                "Alibaba Cloud sends no readable response: check that region_id exists, then the function's path to the \
                 internet and any proxy in it."
            }
            Self::Transient => "Alibaba Cloud is busy or failing: check its status page.",
            Self::NonceUsed
            | Self::SecurityGroupNotFound
            | Self::EndpointNotFound
            | Self::TokenMismatch
            | Self::DryRunOperation
            | Self::Denied
            | Self::Refused
            | Self::Unlisted => CHECK_ENDPOINT,
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The exact code; in [`FAMILIES`] what the code begins with.
    pub code: &'static str,
    pub kind: ErrorKind,
    /// One clause; `{action}` stands for the operation that was refused.
    pub meaning: &'static str,
    /// What the operator does about it; `{grant}` stands for the RAM action and resources of the operation.
    pub advice: &'static str,
    /// The runbook's section, as the anchor of its heading.
    pub runbook: &'static str,
}

/// A code that can end a request as refused.
const fn refusal(
    code: &'static str,
    kind: ErrorKind,
    runbook: &'static str,
    meaning: &'static str,
    advice: &'static str,
) -> Row {
    Row { code, kind, meaning, advice, runbook }
}

/// A code that the worker retries until the deadline; its advice is that of its kind.
const fn retried(code: &'static str, kind: ErrorKind, meaning: &'static str) -> Row {
    Row { code, kind, meaning, advice: kind.advice(), runbook: RETRIED }
}

/// The runbook's section for codes that end no request by themselves.
const RETRIED: &str = "deadlineexceeded";

impl Row {
    /// Whether the worker retries the code until the deadline.
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.runbook == RETRIED
    }
}

/// Codes that are matched whole.
pub const CODES: [Row; 38] = [
    // The endpoint is in use or not ready.
    retried(
        "EndpointLocked",
        ErrorKind::Locked,
        "Another operation holds the endpoint's lock, or a payment is overdue",
    ),
    // Undocumented for this call; Terraform's provider meets it.
    retried("ConcurrentCallNotSupported", ErrorKind::Locked, "Another call on this endpoint is running"),
    refusal(
        "EndpointConnectionOperationDenied",
        ErrorKind::Connecting,
        "endpointconnectionoperationdenied",
        "The endpoint's connection is being deleted, or its service no longer exists",
        "This endpoint can no longer be changed. Delete it if it is not needed.",
    ),
    refusal(
        "EndpointOperationDenied",
        ErrorKind::WrongState,
        "endpointoperationdenied",
        "Alibaba Cloud refuses the detach in the endpoint's state, twice, although the endpoint reads as stable",
        "Check the endpoint in the console for a state or a protection that prevents changes, then repeat the \
         request (a webhook with a new webhook-id, a queue message with a new deduplication id).",
    ),
    refusal(
        "IncorrectStatus.VpcEndpoint",
        ErrorKind::WrongState,
        "endpointoperationdenied",
        "Alibaba Cloud refuses the detach in the endpoint's state, twice, although the endpoint reads as stable",
        "Check the endpoint in the console for a state or a protection that prevents changes, then repeat the \
         request (a webhook with a new webhook-id, a queue message with a new deduplication id).",
    ),
    // The service.
    retried("SystemBusy", ErrorKind::Transient, "The service is busy"),
    retried("ServiceUnavailable", ErrorKind::Transient, "The service is unavailable"),
    retried("InternalError", ErrorKind::Transient, "The service failed"),
    retried("InternalServerError", ErrorKind::Transient, "The service failed"),
    retried("Throttling", ErrorKind::Throttled, "A quota is used up"),
    retried("Rejected.Throttling", ErrorKind::Throttled, "A quota is used up"),
    // The call itself.
    retried(
        "IdempotenceProcessing",
        ErrorKind::StillRunning,
        "The first call with this client token still runs",
    ),
    retried("SignatureNonceUsed", ErrorKind::NonceUsed, "The signature's nonce was used before"),
    retried("InvalidTimeStamp.Expired", ErrorKind::Clock, "The call's time is more than 15 minutes off"),
    refusal(
        "IdempotenceSignatureMismatch",
        ErrorKind::TokenMismatch,
        "idempotentparametermismatch",
        "The client_token of the request was used before with other parameters",
        "Send the request with a new client_token, or without one.",
    ),
    refusal(
        "IdempotentParameterMismatch",
        ErrorKind::TokenMismatch,
        "idempotentparametermismatch",
        "The client_token of the request was used before with other parameters",
        "Send the request with a new client_token, or without one.",
    ),
    retried("DryRunOperation", ErrorKind::DryRunOperation, "The dry run passed"),
    // Credentials.
    retried("InvalidSecurityToken.Expired", ErrorKind::CredentialsExpired, "The session has expired"),
    retried("InvalidAccessKeyId.NotFound", ErrorKind::Credentials, "The AccessKey does not exist"),
    retried("InvalidAccessKeyId.Inactive", ErrorKind::Credentials, "The AccessKey is disabled"),
    retried("SignatureDoesNotMatch", ErrorKind::Credentials, "The AccessKey's secret is wrong"),
    retried("IncompleteSignature", ErrorKind::Credentials, "The signature is incomplete"),
    retried("MissingSecurityToken", ErrorKind::Credentials, "The session's token is missing"),
    retried("InvalidSecurityToken.Malformed", ErrorKind::Credentials, "The session's token is malformed"),
    retried(
        "InvalidSecurityToken.MismatchWithAccessKey",
        ErrorKind::Credentials,
        "The session's token belongs to another AccessKey",
    ),
    // Undocumented for this product; they can only mean our credentials.
    retried("InvalidAccessKeyId", ErrorKind::Credentials, "The AccessKey is wrong"),
    retried("InvalidAccessKeySecret", ErrorKind::Credentials, "The AccessKey's secret is wrong"),
    retried("InvalidSecurityToken", ErrorKind::Credentials, "The session's token is wrong"),
    retried("MissingAccessKeyId", ErrorKind::Credentials, "The AccessKey is missing"),
    refusal("NoPermission", ErrorKind::Denied, "nopermission", DENIED, GRANT),
    // The endpoint, the group and the region of the request.
    refusal(
        "SecurityGroupNotFound",
        ErrorKind::SecurityGroupNotFound,
        "securitygroupnotfound",
        "Alibaba Cloud does not find the group, although the endpoint's list shows it attached",
        "Check in the console whether the group still exists. If it does, repeat the request (a webhook with a new \
         webhook-id, a queue message with a new deduplication id); if it does not, ask Alibaba Cloud's support to \
         correct the endpoint's list.",
    ),
    refusal(
        "EndpointNotFound",
        ErrorKind::EndpointNotFound,
        "endpointnotfound",
        "The endpoint does not exist in this region",
        "Check endpoint_id and region_id: the endpoint must be in that region, in the account of the \
         credentials that were used.",
    ),
    refusal(
        "EndpointMustContainSecurityGroup",
        ErrorKind::Refused,
        "endpointmustcontainsecuritygroup",
        "The group is the endpoint's last one, and an endpoint must keep at least one",
        "Attach the group that should stay, or name another group for the endpoint's VPC in \
         REPLACEMENT_SECURITY_GROUPS, then repeat the request (a webhook with a new webhook-id, a queue message with a \
         new deduplication id).",
    ),
    // Only the attach of a replacement gets this code.
    refusal(
        "AddSecurityGroupNotSupportWhenHaveNoSg",
        ErrorKind::Refused,
        "replacementnotattached",
        "The endpoint was created without a security group, and such an endpoint accepts none",
        "Check the endpoint's groups in the console. If Alibaba Cloud keeps refusing the replacement, create the \
         endpoint again with a security group.",
    ),
    refusal(
        "GatewayLoadBalancerNotSupportSecurityGroup",
        ErrorKind::Refused,
        "gatewayloadbalancernotsupportsecuritygroup",
        "The endpoint is of the gateway load balancer type, which has no security groups",
        "The endpoint needs no change; inform the sender.",
    ),
    refusal(
        "EndpointServiceDeleted",
        ErrorKind::Refused,
        "endpointservicedeleted",
        "The endpoint's service was deleted",
        "This endpoint can no longer be changed. Delete it if it is not needed.",
    ),
    refusal("RegionNotFound", ErrorKind::Refused, "regionnotfound", WRONG_REGION, CORRECT_REGION),
    refusal("UnsupportedRegion", ErrorKind::Refused, "regionnotfound", WRONG_REGION, CORRECT_REGION),
];

/// RAM denies the call, by one of the codes for it or, with a code in no row, by the status 403.
pub const DENIAL: Row = refusal("", ErrorKind::Denied, "nopermission", DENIED, GRANT);

const DENIED: &str = "Alibaba Cloud's access control (RAM) denies {action} to the credentials that were used";

const GRANT: &str = "Grant {grant} to the RAM user or role, then repeat the request (a webhook with a new \
     webhook-id, a queue message with a new deduplication id); a request from the queue is in the dead-letter queue \
     and can be redriven. An explicit deny, or an endpoint with ProtectedEnabled on, refuses in spite of a grant.";

const WRONG_REGION: &str = "Alibaba Cloud does not know the region, or does not offer PrivateLink in it";

const CORRECT_REGION: &str = "Correct region_id and repeat the request (a webhook with a new webhook-id, a queue \
     message with a new deduplication id).";

/// Codes that are matched by what they begin with, if they are not in [`CODES`].
pub const FAMILIES: [Row; 6] = [
    retried("Throttling.", ErrorKind::Throttled, "A quota is used up"),
    refusal("Forbidden.", ErrorKind::Denied, "nopermission", DENIED, GRANT),
    retried("InvalidAccessKeyId.", ErrorKind::Credentials, "The AccessKey is wrong"),
    retried("InvalidSecurityToken.", ErrorKind::Credentials, "The session's token is wrong"),
    refusal("InvalidParameter", ErrorKind::Refused, "any-other-code", WRONG_PARAMETER, CORRECT_PARAMETER),
    refusal("MissingParameter", ErrorKind::Refused, "any-other-code", WRONG_PARAMETER, CORRECT_PARAMETER),
];

/// The parameters of our calls. `Invalid` or `Missing` and one of these names, alone or before a `.`, is the code of a
/// wrong request.
const PARAMETERS: [&str; 6] =
    ["RegionId", "EndpointId", "SecurityGroupId", "ClientToken", "MaxResults", "NextToken"];

/// `Invalid` or `Missing` and one of [`PARAMETERS`].
const PARAMETER: Row = refusal("", ErrorKind::Refused, "any-other-code", WRONG_PARAMETER, CORRECT_PARAMETER);

const WRONG_PARAMETER: &str = "Alibaba Cloud does not accept a parameter of {action}";

const CORRECT_PARAMETER: &str = "Correct the field that Alibaba Cloud's own message names, and repeat the request (a \
     webhook with a new webhook-id, a queue message with a new deduplication id).";

/// Every other code of a 4xx.
pub const OTHER: Row = refusal(
    "",
    ErrorKind::Unlisted,
    "any-other-code",
    "Alibaba Cloud refused {action} twice, with a code that this project does not know",
    "Read Alibaba Cloud's own message. If it concerns the account, the region or PRIVATELINK_ENDPOINT_URL, correct that \
     and redrive the request from the dead-letter queue; if it concerns the request, send a correct one. Report the code \
     in this project's issue tracker, so that it gets a row of its own.",
);

/// The row of a code under any status.
#[must_use]
pub fn row(code: &str) -> &'static Row {
    listed(code).unwrap_or(&OTHER)
}

/// Whether the table must be completed: a 4xx other than 429 has a code that is in no row.
#[must_use]
pub fn is_unlisted(code: &str, status: u16) -> bool {
    listed(code).is_none() && (400..500).contains(&status) && status != 429
}

/// The kind of a code under an HTTP status: by the exact code, then by family, then by status.
#[must_use]
pub fn kind(code: &str, status: u16) -> ErrorKind {
    // A refusal with 429 or a 5xx is not permanent: the status decides.
    if let Some(row) = exact(code).filter(|row| row.is_retried()) {
        return row.kind;
    }
    match (listed(code).map(|row| row.kind), status) {
        (Some(ErrorKind::Throttled), _) | (_, 429) => ErrorKind::Throttled,
        (_, 500..) | (None, 408 | 409) => ErrorKind::Transient,
        (Some(kind), _) => kind,
        (None, 403) => ErrorKind::Denied,
        // Wrong credentials are not an error of the request.
        (None, 401) => ErrorKind::Credentials,
        (None, _) => OTHER.kind,
    }
}

fn listed(code: &str) -> Option<&'static Row> {
    exact(code).or_else(|| family(code))
}

fn exact(code: &str) -> Option<&'static Row> {
    CODES.iter().find(|row| row.code == code)
}

fn family(code: &str) -> Option<&'static Row> {
    let is_of_parameter = || {
        let subject = code.strip_prefix("Invalid").or_else(|| code.strip_prefix("Missing"));
        subject.and_then(|subject| subject.split('.').next()).is_some_and(|name| PARAMETERS.contains(&name))
    };
    FAMILIES.iter().find(|row| code.starts_with(row.code)).or_else(|| is_of_parameter().then_some(&PARAMETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_a_permanent_refusal_under_429_or_5xx() {
        let refusing = [
            ErrorKind::Connecting,
            ErrorKind::WrongState,
            ErrorKind::SecurityGroupNotFound,
            ErrorKind::EndpointNotFound,
            ErrorKind::TokenMismatch,
            ErrorKind::Denied,
            ErrorKind::Refused,
            ErrorKind::Unlisted,
        ];
        let others = ["Forbidden.RAM", "InvalidParameter.Format", "MissingRegionId", "NeverSeenBefore"];
        for code in CODES.iter().map(|row| row.code).chain(others) {
            let kinds = [429, 500, 503].map(|status| kind(code, status));
            let expected = match kind(code, 400) {
                kind if refusing.contains(&kind) => {
                    [ErrorKind::Throttled, ErrorKind::Transient, ErrorKind::Transient]
                }
                kind => [kind; 3],
            };
            assert_eq!(kinds, expected, "{code}");
        }
    }

    #[test]
    fn every_code_has_one_row_with_its_texts() {
        for (index, row) in CODES.iter().enumerate() {
            assert!(CODES[..index].iter().all(|other| other.code != row.code), "{}", row.code);
            assert!(
                !row.meaning.is_empty() && row.advice.ends_with('.') && !row.runbook.is_empty(),
                "{row:?}"
            );
        }
        assert!(FAMILIES.iter().all(|row| row.code.ends_with('.') || row.kind == ErrorKind::Refused));
    }

    #[test]
    fn code_in_no_row_is_judged_by_its_status() {
        for (status, expected) in [
            (400, ErrorKind::Unlisted),
            (401, ErrorKind::Credentials),
            (403, ErrorKind::Denied),
            (404, ErrorKind::Unlisted),
            (408, ErrorKind::Transient),
            (409, ErrorKind::Transient),
            (429, ErrorKind::Throttled),
            (503, ErrorKind::Transient),
        ] {
            for code in
                ["UserDisable", "Forbidden", "OperationConflict", "InvalidApi.NotFound", "InvalidRegionIdX"]
            {
                assert_eq!(kind(code, status), expected, "{code} {status}");
            }
        }
        for status in [400, 401, 403, 404, 408, 409] {
            for code in ["EndpointServiceDeleted", "InvalidParameter", "InvalidRegionId.NotFound"] {
                assert_eq!(kind(code, status), ErrorKind::Refused, "{code} {status}: a row decides");
            }
        }
    }
}
