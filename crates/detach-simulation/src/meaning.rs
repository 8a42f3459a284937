//! The meaning of the service's responses for a request: a second table of codes, written from the service's
//! documentation. It verifies the worker, so it does not use the worker's own table.

/// The meaning of one fault for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Transient, or not caused by the request. The worker reports it under this name.
    Transient(String),
    /// A permanent error with this code.
    Refused(String),
    /// A denial by RAM with this code: the request is copied to the dead-letter queue.
    Denied(String),
    /// A code that the documentation does not list: one more try after a read, then a refusal with a dead-letter copy.
    Unlisted(String),
    /// Not allowed in this state: one more try after a read, then a refusal.
    WrongState(String),
    /// No such group on the endpoint: a read decides.
    NotAttached(String),
    /// A successful response, although the call may have no effect.
    FalseSuccess,
}

/// Transient codes, and codes that are not caused by the request: busy, locked, throttled, wrong credentials, a wrong
/// clock. In these cases the token is always the worker's own, so a mismatch is the worker's problem; and no dry run
/// was requested.
const TRANSIENT: [&str; 30] = [
    "EndpointLocked",
    "EndpointConnectionOperationDenied",
    "ConcurrentCallNotSupported",
    "SystemBusy",
    "ServiceUnavailable",
    "InternalError",
    "InternalServerError",
    "Throttling",
    "Throttling.User",
    "Throttling.Api",
    "Rejected.Throttling",
    "IdempotenceProcessing",
    "IdempotenceSignatureMismatch",
    "IdempotentParameterMismatch",
    "SignatureNonceUsed",
    "InvalidTimeStamp.Expired",
    "InvalidSecurityToken.Expired",
    "InvalidSecurityToken.Malformed",
    "InvalidSecurityToken.MismatchWithAccessKey",
    "InvalidAccessKeyId.NotFound",
    "InvalidAccessKeyId.Inactive",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingSecurityToken",
    "DryRunOperation",
    // The endpoint was read before, or will be: this contradicts its record.
    "EndpointNotFound",
    // In no table; they concern the worker's credentials.
    "InvalidSecurityToken",
    "InvalidAccessKeyId",
    "InvalidAccessKeySecret",
    "MissingAccessKeyId",
];

/// The transient codes that concern the worker's credentials.
const CREDENTIALS: [&str; 12] = [
    "InvalidSecurityToken.Expired",
    "InvalidSecurityToken.Malformed",
    "InvalidSecurityToken.MismatchWithAccessKey",
    "InvalidAccessKeyId.NotFound",
    "InvalidAccessKeyId.Inactive",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingSecurityToken",
    "InvalidSecurityToken",
    "InvalidAccessKeyId",
    "InvalidAccessKeySecret",
    "MissingAccessKeyId",
];

/// Permanent refusals by their exact code.
const PERMANENT: [&str; 6] = [
    "AddSecurityGroupNotSupportWhenHaveNoSg",
    "EndpointMustContainSecurityGroup",
    "EndpointServiceDeleted",
    "GatewayLoadBalancerNotSupportSecurityGroup",
    "RegionNotFound",
    "UnsupportedRegion",
];

/// The parameters that the worker sends.
const SENT: [&str; 6] =
    ["ClientToken", "EndpointId", "MaxResults", "NextToken", "RegionId", "SecurityGroupId"];

/// Whether the code says that a parameter is wrong or missing.
fn is_of_a_parameter(code: &str) -> bool {
    let starts = |prefix: &str| code.starts_with(prefix);
    let names_one = |prefix: &str| {
        SENT.iter().any(|name| {
            let whole = format!("{prefix}{name}");
            code == whole || code.starts_with(&format!("{whole}."))
        })
    };
    starts("InvalidParameter") || starts("MissingParameter") || names_one("Invalid") || names_one("Missing")
}

/// Whether a code with an HTTP status says that the worker's credentials are wrong or expired.
pub(crate) fn concerns_credentials(code: &str, status: u16) -> bool {
    let is_listed = CREDENTIALS.contains(&code)
        || code.starts_with("InvalidSecurityToken.")
        || code.starts_with("InvalidAccessKeyId.");
    let is_unlisted = status == 401 && of_code(code, 400) == Meaning::Unlisted(code.to_owned());
    (is_listed || is_unlisted) && (400..500).contains(&status) && status != 429
}

/// The meaning of a code with an HTTP status.
pub(crate) fn of_code(code: &str, status: u16) -> Meaning {
    let name = code.to_owned();
    match code {
        // A redirect is not a response of the service.
        _ if !(400..600).contains(&status) => Meaning::Transient(format!("Http{status}")),
        // These two statuses mean transient, whichever code is with them.
        _ if status == 429 || status >= 500 => Meaning::Transient(name),
        _ if TRANSIENT.contains(&code) => Meaning::Transient(name),
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" => Meaning::WrongState(name),
        "SecurityGroupNotFound" => Meaning::NotAttached(name),
        "NoPermission" => Meaning::Denied(name),
        // The two families of codes in the documentation.
        _ if code.starts_with("Throttling.") => Meaning::Transient(name),
        _ if code.starts_with("Forbidden.") => Meaning::Denied(name),
        // Not caused by the request: the credentials are wrong.
        _ if code.starts_with("InvalidSecurityToken.") || code.starts_with("InvalidAccessKeyId.") => {
            Meaning::Transient(name)
        }
        _ if PERMANENT.contains(&code) || is_of_a_parameter(code) => Meaning::Refused(name),
        // The status alone says what a code means that the documentation does not list.
        _ if matches!(status, 401 | 408 | 409) => Meaning::Transient(name),
        _ if status == 403 => Meaning::Denied(name),
        _ => Meaning::Unlisted(name),
    }
}
