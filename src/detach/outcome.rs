//! How a request ends, and the codes of this project's own reasons.

use std::fmt;

use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::Action;
use crate::request::{Rejection, RejectionCode};

/// The one way in which a request ended. The queue's disposition, the completion event and the reply to a direct
/// invocation are each one match on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed detached, after this delivery requested it or read the group on the endpoint.
    Detached,
    /// Confirmed detached, and this delivery never read the group on the endpoint, or the request is a dry run.
    AlreadyDetached,
    /// Alibaba Cloud would accept the detach.
    DryRunPassed,
    /// The endpoint existed earlier in this delivery and no longer does.
    EndpointGone,
    /// A permanent refusal.
    Refused(Refusal),
    /// Not a valid request, or not allowed in this deployment.
    Rejected(Rejection),
    /// The time expired without confirmation.
    Unconfirmed(TimeExpired),
}

/// A permanent refusal: what was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ReasonCode,
    /// The call that was refused; `None` if our own check refused before the call.
    pub action: Option<Action>,
    /// Alibaba's own message, shortened and without credentials.
    pub message: Option<String>,
    pub ground: Ground,
    /// Alibaba's code, if `code` is this project's.
    pub alibaba_code: Option<String>,
    /// The endpoint's group whose id differs from the request's only in letter case, if that is why.
    pub lookalike: Option<String>,
}

/// What a permanent refusal rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// A rule: our own check, or a code that the table knows as permanent.
    Rule,
    /// RAM denied the call. The request is copied to the dead-letter queue: one wrong policy must not destroy a backlog.
    Denial,
    /// A code that the table does not know. The request is copied to the dead-letter queue, too: one unknown condition of
    /// the gateway or the account must not destroy a backlog.
    UnlistedCode,
}

impl Refusal {
    /// A refusal by our own check, after the endpoint was read.
    pub(super) fn by_check(code: ReasonCode, action: Option<Action>) -> Self {
        let (message, alibaba_code, lookalike) = (None, None, None);
        Self { code, action, message, ground: Ground::Rule, alibaba_code, lookalike }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let theirs = error.code.name();
        let (code, alibaba_code) = match error.action {
            Action::Attach => (ReasonCode::ReplacementNotAttached, Some(theirs.into_owned())),
            Action::Detach | Action::ListSecurityGroups | Action::ListEndpoints => {
                (ReasonCode::from_alibaba(&theirs), None)
            }
        };
        Self {
            ground: match error.kind {
                ErrorKind::Denied => Ground::Denial,
                ErrorKind::Unlisted => Ground::UnlistedCode,
                _ => Ground::Rule,
            },
            code,
            action: Some(error.action),
            message: error.message,
            alibaba_code,
            lookalike: None,
        }
    }
}

/// Which time expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeExpired {
    /// The request's deadline.
    Deadline,
    /// The time of a direct invocation, which no queue repeats.
    Invocation,
}

/// The code of a reason: this project's own, or Alibaba's as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    InvalidRequest,
    RegionNotAllowed,
    ProtectedSecurityGroup,
    ProtectedEndpoint,
    /// The group is not on the endpoint, although the sender expects it there or names it with other letter case.
    SecurityGroupNotAttached,
    /// Alibaba's code, also where our own check found it.
    EndpointMustContainSecurityGroup,
    /// The endpoint is locked because a payment is overdue.
    FinancialLocked,
    /// Alibaba Cloud refuses to attach the configured replacement of the endpoint's last group.
    ReplacementNotAttached,
    /// Alibaba Cloud carried out a dry run as a real call.
    DryRunIgnored,
    /// The deadline passed before the detach was confirmed.
    DeadlineExceeded,
    /// The request has its outcome, but its event could not be published.
    CompletionNotPublished,
    /// A direct invocation ended before the detach was confirmed.
    InvocationTimeout,
    /// Alibaba's exact code.
    Alibaba(String),
}

impl ReasonCode {
    #[must_use]
    pub fn from_alibaba(code: &str) -> Self {
        match code {
            "EndpointMustContainSecurityGroup" => Self::EndpointMustContainSecurityGroup,
            "FinancialLocked" => Self::FinancialLocked,
            _ => Self::Alibaba(code.to_owned()),
        }
    }

    /// The code as events and dead-letter copies name it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::RegionNotAllowed => "RegionNotAllowed",
            Self::ProtectedSecurityGroup => "ProtectedSecurityGroup",
            Self::ProtectedEndpoint => "ProtectedEndpoint",
            Self::SecurityGroupNotAttached => "SecurityGroupNotAttached",
            Self::EndpointMustContainSecurityGroup => "EndpointMustContainSecurityGroup",
            Self::FinancialLocked => "FinancialLocked",
            Self::ReplacementNotAttached => "ReplacementNotAttached",
            Self::DryRunIgnored => "DryRunIgnored",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::CompletionNotPublished => "CompletionNotPublished",
            Self::InvocationTimeout => "InvocationTimeout",
            Self::Alibaba(code) => code,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<RejectionCode> for ReasonCode {
    fn from(code: RejectionCode) -> Self {
        match code {
            RejectionCode::InvalidRequest => Self::InvalidRequest,
            RejectionCode::RegionNotAllowed => Self::RegionNotAllowed,
            RejectionCode::ProtectedEndpoint => Self::ProtectedEndpoint,
            RejectionCode::ProtectedSecurityGroup => Self::ProtectedSecurityGroup,
        }
    }
}
