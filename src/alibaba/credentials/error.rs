//! Why there are no credentials, and what an operator must fix.

use std::borrow::Cow;
use std::rc::Rc;

use thiserror::Error;

use super::advice;
use crate::alibaba::codes::{Code, ErrorKind};
use crate::alibaba::error::clause;
use crate::alibaba::sts;
use crate::aws::AwsError;
use crate::transport::NoResponse;
use crate::transport::SendError;

/// Why no credentials are available. It contains no `AccessKey`, secret or token.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// A call to AWS failed.
    #[error("{call} failed")]
    Aws {
        call: &'static str,
        #[source]
        error: AwsError,
    },
    /// The secret was read and cannot be used.
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
    /// Alibaba Cloud's STS issues no session.
    #[error("{} failed with {code}{}", sts::ACTION, clause(message.as_deref()))]
    Rejected {
        code: Code,
        kind: ErrorKind,
        /// Alibaba's message, shortened and without the token.
        message: Option<String>,
    },
    /// A source that is not the worker's has no session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is no readable response of Alibaba Cloud's STS.
    #[error("{} got no usable response: {}", sts::ACTION, .0.why.name())]
    NoResponse(#[source] SendError),
    /// A successful response without token or session.
    #[error("the response to {call} has no usable content")]
    NoContent { call: &'static str },
    /// The read did not end in the time of the call that needed it.
    #[error("the read took too long")]
    Canceled,
    #[error("the first read has not finished")]
    NotRead,
}

/// Why a program's own source has no session. It contains no `AccessKey`, secret or token.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct SessionError {
    /// The exact code from Alibaba Cloud, or the program's name for an error without one.
    pub code: Cow<'static, str>,
    /// What happened, to what.
    pub message: String,
    /// Whether the error can disappear without a change.
    pub is_transient: bool,
    /// The setting to change.
    pub advice: String,
}

/// A secret whose text contains no credentials. The text is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnusableSecret {
    #[error("the secret has no text")]
    NoText,
    #[error("the secret is not a JSON object with the strings access_key_id and access_key_secret")]
    WrongFormat,
    #[error("the secret has a value that is empty or has spaces, line ends or characters beyond ASCII")]
    UnsendableValue,
}

impl CredentialError {
    /// The exact code from AWS or Alibaba Cloud, or this project's name for an error without one.
    #[must_use]
    pub fn code(&self) -> Cow<'_, str> {
        match self {
            Self::Aws { error, .. } => Cow::Borrowed(&error.code),
            Self::Secret(_) => Cow::Borrowed("SecretUnusable"),
            Self::Rejected { code, .. } => Cow::Borrowed(code.as_str()),
            Self::Session(error) => Cow::Borrowed(&error.code),
            Self::NoResponse(error) => error.why.name(),
            Self::NoContent { .. } => NoResponse::UnreadableAnswer.name(),
            Self::Canceled => NoResponse::Timeout.name(),
            Self::NotRead => Cow::Borrowed("NotRead"),
        }
    }

    /// Whether the error can disappear without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Aws { error, .. } => error.is_transient,
            Self::Secret(_) => false,
            Self::Session(error) => error.is_transient,
            Self::Rejected { kind, .. } => {
                matches!(kind, ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::NonceUsed)
            }
            Self::NoResponse(_) | Self::NoContent { .. } | Self::Canceled | Self::NotRead => true,
        }
    }

    /// The setting to change.
    #[must_use]
    pub fn advice(&self) -> &str {
        match self {
            Self::NotRead => "wait",
            Self::NoContent { .. } => advice::UNREADABLE,
            Self::Secret(_) => advice::SECRET_TEXT,
            Self::Session(error) => &error.advice,
            Self::Aws { call, error } if !error.is_transient => advice::of(call, &error.code),
            Self::Rejected { code, .. } if !self.is_transient() => advice::of(sts::ACTION, code.as_str()),
            Self::Aws { .. } | Self::Rejected { .. } | Self::NoResponse(_) | Self::Canceled => advice::WAIT,
        }
    }
}

/// A problem with the credentials that an operator must fix.
#[derive(Debug, Clone)]
pub enum CredentialProblem {
    /// The source provides no credentials.
    Unavailable(Rc<CredentialError>),
    /// Alibaba Cloud refuses the credentials, and they cannot be read again or a new read did not help.
    Refused {
        /// The setting to change.
        advice: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aws(error: AwsError) -> CredentialError {
        CredentialError::Aws { call: advice::GET_SECRET_VALUE, error }
    }

    #[test]
    fn aws_error_keeps_its_message() {
        let error = |is_transient| {
            let message = Some("no permission".to_owned());
            aws(AwsError { code: "AccessDenied".into(), message, is_transient, cause: None })
        };
        assert_eq!(error(false).to_string(), "GetSecretValue failed");
        let shown = crate::telemetry::cause(&error(false));
        assert_eq!(shown, "GetSecretValue failed: AccessDenied: no permission");
        assert_eq!(error(false).advice(), advice::of("GetSecretValue", "AccessDenied"));
        assert_eq!(error(true).advice(), advice::WAIT);
    }

    #[test]
    fn logged_chain_of_a_lost_connection_names_its_cause() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let cause = Some(Box::from(refused));
        let error = aws(AwsError { code: "ConnectionLost".into(), message: None, is_transient: true, cause });
        assert_eq!(
            crate::telemetry::cause(&error),
            "GetSecretValue failed: ConnectionLost: connection refused"
        );
    }

    #[test]
    fn error_without_a_code_of_a_service_has_this_projects() {
        let unreadable = CredentialError::NoContent { call: sts::ACTION };
        for (error, code, is_transient, text) in [
            (
                CredentialError::from(UnusableSecret::NoText),
                "SecretUnusable",
                false,
                "the secret has no text",
            ),
            (
                CredentialError::NoResponse(NoResponse::Status(502).into()),
                "Http502",
                true,
                "AssumeRoleWithOIDC got no usable response: Http502",
            ),
            (
                unreadable,
                "UnreadableAnswer",
                true,
                "the response to AssumeRoleWithOIDC has no usable content",
            ),
            (CredentialError::Canceled, "Timeout", true, "the read took too long"),
            (CredentialError::NotRead, "NotRead", true, "the first read has not finished"),
        ] {
            assert_eq!((&*error.code(), error.is_transient()), (code, is_transient));
            assert_eq!(error.to_string(), text);
        }
    }
}
