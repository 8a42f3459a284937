//! What the service's answers mean for a request: a second table of codes, written from the service's documentation. It
//! judges the worker, so nothing in it asks the worker's own.

/// What a fault says about the request, by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing: it may pass, or is not the request's fault. It is told under this name.
    Passes(String),
    /// A definite no, with this code.
    Refuses(String),
    /// RAM's no, with this code: it is kept in the dead-letter queue.
    Denies(String),
    /// Not in this state: one more try after a look, then it is a no.
    Forbids(String),
    /// No such group on the endpoint: a look tells.
    NotAttached(String),
    /// Nothing at all: the call is answered as if all were well.
    Deceives,
}

/// Codes that pass, or are not the request's fault: busy, locked, throttled, wrong keys, a wrong clock. The token is ours
/// in every case, so its mismatch is our affair; and nobody asked for a dry run.
const PASSING: [&str; 30] = [
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
    // The endpoint has been read, or will be: against its record this is a contradiction.
    "EndpointNotFound",
    // In no table, and meant for our keys.
    "InvalidSecurityToken",
    "InvalidAccessKeyId",
    "InvalidAccessKeySecret",
    "MissingAccessKeyId",
];

/// What a code means under a status.
pub(crate) fn of_code(code: &str, status: u16) -> Meaning {
    let name = code.to_owned();
    match code {
        // Whatever a redirect says, it is no answer of the service.
        _ if !(400..600).contains(&status) => Meaning::Passes(format!("Http{status}")),
        _ if PASSING.contains(&code) => Meaning::Passes(name),
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" => Meaning::Forbids(name),
        "SecurityGroupNotFound" => Meaning::NotAttached(name),
        "NoPermission" => Meaning::Denies(name),
        // The two families of the documentation.
        _ if code.starts_with("Throttling.") => Meaning::Passes(name),
        _ if code.starts_with("Forbidden.") => Meaning::Denies(name),
        // Two statuses that say by themselves that it may pass, whatever stands beside them.
        _ if status == 429 || status >= 500 => Meaning::Passes(name),
        // Not the request's fault, whatever is wrong with the keys.
        _ if code.starts_with("InvalidSecurityToken.") || code.starts_with("InvalidAccessKeyId.") => {
            Meaning::Passes(name)
        }
        _ => Meaning::Refuses(name),
    }
}
