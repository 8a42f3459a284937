//! The keys that sign, and where they come from: the environment, a secret in AWS Secrets Manager, or nowhere at all,
//! in exchange for the function's own AWS identity.
//!
//! What is read from elsewhere is kept until it ages or is refused, and read once for all lanes. Nothing here waits for
//! better times: whoever wants keys gets them now, or is told why there are none.

mod advice;
mod oidc;
mod refresh;
mod secret;
mod source;

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::shortened;
use crate::aws::AwsError;

pub use oidc::OidcConfig;
pub use source::{CredentialsSource, Refreshed};

/// One set of keys. Its `Debug` shows that there is one, and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

impl Credentials {
    /// Keys, with the security token of a session if they belong to one.
    #[must_use]
    pub fn new(access_key_id: String, access_key_secret: String, security_token: Option<String>) -> Self {
        Self { access_key_id, access_key_secret, security_token }
    }

    /// The key's id, sent with every request.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The key's secret, never sent.
    #[must_use]
    pub fn access_key_secret(&self) -> &str {
        &self.access_key_secret
    }

    /// The session's token, sent with every request.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }

    /// `text` without any of these keys, wherever it quotes one.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let quoted = [Some(self.access_key_secret()), self.security_token(), Some(self.access_key_id())];
        quoted.into_iter().flatten().fold(text.to_owned(), |text, key| redact(&text, key))
    }

    /// Whether id and token can be a header's value, and the secret is one word, too; an empty part is none.
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

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// `text` without this secret, as it is and as a query has it.
fn redact(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    text.replace(secret, REDACTED).replace(&encoded, REDACTED)
}

/// Whether a key, a token or a name has no spaces, line ends or characters beyond ASCII.
#[must_use]
pub fn is_one_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// Which source the keys come from, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsConfig {
    /// Keys in the function's environment.
    Environment(Credentials),
    /// A secret in AWS Secrets Manager.
    SecretsManager {
        /// The secret's ARN.
        secret_arn: String,
    },
    /// No stored key: AWS vouches for the function, and Alibaba Cloud gives it a role's session.
    Oidc(OidcConfig),
}

/// Why there are no keys to sign with. It quotes no key, secret or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialError {
    /// AWS's or Alibaba Cloud's exact code, or this project's name for what has none.
    pub code: String,
    /// What happened, in one clause.
    pub problem: String,
    /// Which setting to change.
    pub advice: &'static str,
    /// Whether it may pass by itself.
    pub is_passing: bool,
}

impl CredentialError {
    fn from_aws(call: &str, fault: AwsError, advice: fn(&str) -> &'static str) -> Self {
        let says = fault.message.map_or(String::new(), |message| format!(": {}", shortened(&message)));
        Self {
            problem: format!("{call} failed with {}{says}", fault.code),
            advice: if fault.is_passing { advice::WAIT } else { advice(&fault.code) },
            code: fault.code,
            is_passing: fault.is_passing,
        }
    }
}

/// What somebody must do something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialProblem {
    /// No keys can be had.
    Unavailable(CredentialError),
    /// Alibaba Cloud refuses the keys, and reading them again did not help, or there is nothing to read again.
    Refused {
        /// Which setting to change.
        advice: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn nothing_of_a_key_shows_in_debug_or_in_a_quoted_message() {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let shown = format!("{credentials:?} {:?}", CredentialsSource::Fixed(Rc::new(credentials.clone())));
        let quoted = credentials.redact("StringToSign has s3cret and x-acs-security-token:t0ken of LTAIid");
        let encoded = Credentials::new("id".into(), "a/b+c=".into(), None).redact("Secret=a%2Fb%2Bc%3D");
        assert_eq!(encoded, "Secret=[redacted]");
        for text in [shown, quoted] {
            assert!(
                !text.contains("s3cret") && !text.contains("t0ken") && !text.contains("LTAIid"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_fault_of_aws_is_told_in_its_words_but_not_in_too_many() {
        let told = |is_passing| {
            let fault = AwsError { code: "Code".into(), message: Some("x".repeat(900)), is_passing };
            CredentialError::from_aws("Call", fault, |code| if code == "Code" { "advice" } else { "other" })
        };
        assert_eq!(told(false).problem, format!("Call failed with Code: {}", "x".repeat(200)));
        assert_eq!((told(false).advice, told(true).advice), ("advice", advice::WAIT));
    }

    #[test]
    fn keys_that_no_header_can_hold_cannot_be_sent() {
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
