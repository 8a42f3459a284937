//! The keys that sign, and where they come from.

use std::fmt;
use std::rc::Rc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

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
        let quoted = quoted.into_iter().flatten().filter(|key| !key.is_empty());
        quoted.fold(text.to_owned(), |text, key| {
            let encoded = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
            text.replace(key, "[redacted]").replace(&encoded, "[redacted]")
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// Where keys come from. The client asks before every call, so that keys can change while the process lives.
#[derive(Debug, Clone)]
pub enum CredentialsSource {
    /// Given once, at start.
    Fixed(Rc<Credentials>),
}

impl CredentialsSource {
    /// The keys to sign with now.
    #[must_use]
    pub fn current(&self) -> Rc<Credentials> {
        match self {
            Self::Fixed(credentials) => Rc::clone(credentials),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_shows_in_debug_or_in_a_quoted_message() {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let shown = format!("{credentials:?} {:?}", CredentialsSource::Fixed(Rc::new(credentials.clone())));
        let quoted = credentials.redact("StringToSign has s3cret and x-acs-security-token:t0ken of LTAIid");
        for text in [shown, quoted] {
            assert!(
                !text.contains("s3cret") && !text.contains("t0ken") && !text.contains("LTAIid"),
                "{text}"
            );
        }
    }
}
