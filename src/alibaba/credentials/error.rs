//! Why there are no credentials, and what an operator must fix.

use thiserror::Error;

use super::advice;
use crate::alibaba::error::shortened;
use crate::aws::AwsError;

/// Why no credentials are available. It contains no `AccessKey`, secret or token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct CredentialError {
    /// The exact code from AWS or Alibaba Cloud, or this project's name for an error without one.
    pub code: String,
    /// The failed call with the service's message, as one clause.
    pub problem: String,
    /// The setting to change.
    pub advice: &'static str,
    /// Whether the error can disappear without a change.
    pub is_transient: bool,
}

impl CredentialError {
    pub(super) fn from_aws(call: &str, error: AwsError) -> Self {
        let message = error.message.map_or(String::new(), |message| format!(": {}", shortened(&message)));
        Self {
            problem: format!("{call} failed with {}{message}", error.code),
            advice: if error.is_transient { advice::WAIT } else { advice::of(call, &error.code) },
            code: error.code,
            is_transient: error.is_transient,
        }
    }
}

/// A problem with the credentials that an operator must fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialProblem {
    /// The source provides no credentials.
    Unavailable(CredentialError),
    /// Alibaba Cloud refuses the credentials, and they cannot be read again or a new read did not help.
    Refused {
        /// The setting to change.
        advice: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_error_keeps_its_message_up_to_a_length() {
        let error = |is_transient| {
            let error =
                AwsError { code: "AccessDenied".into(), message: Some("x".repeat(900)), is_transient };
            CredentialError::from_aws("GetSecretValue", error)
        };
        let problem = format!("GetSecretValue failed with AccessDenied: {}", "x".repeat(200));
        assert_eq!(error(false).problem, problem);
        assert_eq!(error(false).advice, advice::of("GetSecretValue", "AccessDenied"));
        assert_eq!(error(true).advice, advice::WAIT);
    }
}
