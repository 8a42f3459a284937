//! The credentials that sign calls to Alibaba Cloud, and their three sources: the environment, a secret in AWS Secrets
//! Manager, and a role session that Alibaba Cloud's STS issues for the function's AWS identity (OIDC federation).
//!
//! Credentials from another service are cached until they are about to expire or are refused; one read serves all
//! lanes. Nothing here sleeps: a caller gets the credentials, or the reason why there are none.

mod advice;
mod oidc;
mod refresh;
mod secret;
mod source;

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use super::error::shortened;
use crate::aws::AwsError;

pub use advice::{ADVICE, Advice};
pub use oidc::OidcConfig;
pub use source::{CredentialsSource, Refreshed};

/// An `AccessKey`, or the three parts of a session. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

impl Credentials {
    #[must_use]
    pub fn new(access_key_id: String, access_key_secret: String, security_token: Option<String>) -> Self {
        Self { access_key_id, access_key_secret, security_token }
    }

    /// Sent with every request.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Signs every request and is never sent.
    #[must_use]
    pub fn access_key_secret(&self) -> &str {
        &self.access_key_secret
    }

    /// Sent with every request of a session.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }

    /// `text` without any part of these credentials.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let parts = [Some(self.access_key_secret()), self.security_token(), Some(self.access_key_id())];
        parts.into_iter().flatten().fold(text.to_owned(), |text, part| redact(&text, part))
    }

    /// Whether every part is one non-empty word, so that id and token are valid header values.
    #[must_use]
    pub fn can_be_sent(&self) -> bool {
        let parts = [Some(self.access_key_id()), Some(self.access_key_secret()), self.security_token()];
        parts.into_iter().flatten().all(|part| !part.is_empty() && is_one_word(part))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// Replaces a secret.
const REDACTED: &str = "[redacted]";

/// `text` without this secret, plain or percent-encoded.
fn redact(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    text.replace(secret, REDACTED).replace(&encoded, REDACTED)
}

/// Whether a value has no spaces, line ends or characters beyond ASCII.
#[must_use]
pub fn is_one_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// The configured source of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsConfig {
    /// Credentials in the function's environment.
    Environment(Credentials),
    /// A secret in AWS Secrets Manager.
    SecretsManager { secret_arn: String },
    /// No stored credentials: Alibaba Cloud's STS issues a role session for a token that AWS signs.
    Oidc(OidcConfig),
}

/// Why no credentials are available. It contains no access key, secret or token.
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
    fn from_aws(call: &str, error: AwsError) -> Self {
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
    use std::rc::Rc;

    use super::*;
    use crate::alibaba::transport::Https;

    #[test]
    fn debug_and_redacted_messages_contain_no_credentials() {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let source = CredentialsSource::<Https>::Fixed(Rc::new(credentials.clone()));
        let debug = format!("{credentials:?} {source:?}");
        let message = credentials.redact("StringToSign has s3cret and x-acs-security-token:t0ken of LTAIid");
        let encoded = Credentials::new("id".into(), "a/b+c=".into(), None).redact("Secret=a%2Fb%2Bc%3D");
        assert_eq!(encoded, "Secret=[redacted]");
        for text in [debug, message] {
            assert!(
                !text.contains("s3cret") && !text.contains("t0ken") && !text.contains("LTAIid"),
                "{text}"
            );
        }
    }

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

    #[test]
    fn credentials_that_no_header_can_contain_cannot_be_sent() {
        let can_be_sent = |id: &str, secret: &str, token: Option<&str>| {
            Credentials::new(id.into(), secret.into(), token.map(Into::into)).can_be_sent()
        };
        assert!(can_be_sent("LTAIid", "s3cret", None) && can_be_sent("STS.id", "s3cret", Some("t0ken")));
        for (id, secret, token) in
            [("", "s", None), ("i", "", None), ("i", "s", Some("")), ("i\n", "s", None), ("i", "ü", None)]
        {
            assert!(!can_be_sent(id, secret, token), "{id:?} {secret:?} {token:?}");
        }
    }
}
