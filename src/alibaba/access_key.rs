//! One set of credentials as a value: what signs a call, and what no log line and no event may contain.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

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
pub(super) const REDACTED: &str = "[redacted]";

/// `text` without this secret, plain or percent-encoded.
pub(super) fn redact(text: &str, secret: &str) -> String {
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::alibaba::credentials::CredentialsSource;
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
