//! One set of credentials as a value: what signs a call, and what no log line and no event may contain.

use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::percent_encoding::ENCODED;

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

/// Shortest part of a secret's base64 that is redacted: six bytes of it. A shorter part could be part of any word.
const BASE64_PART_MIN: usize = 8;

/// `text` without this secret: plain, percent-encoded once or twice, or in base64, by itself or inside a longer text.
pub(super) fn redact(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let mut forms = vec![secret.to_owned()];
    for set in [NON_ALPHANUMERIC, ENCODED] {
        // The text that Alibaba Cloud signs contains parameters that are encoded twice, and its errors quote that text.
        let encode = |text: &str| utf8_percent_encode(text, set).to_string();
        let once = encode(secret);
        let lowercase = lowercase_escapes(&once);
        forms.extend([encode(&once), encode(&lowercase), once, lowercase]);
    }
    forms.extend(base64_forms(secret));
    // The longest first: a shorter form can be a part of it.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    replace(text, &forms)
}

/// `text` with [`REDACTED`] in place of every form, in one pass: a short form can be a part of that word, and would be
/// replaced again and again.
fn replace(text: &str, forms: &[String]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(form) = forms.iter().find(|form| rest.starts_with(form.as_str())) {
            replaced.push_str(REDACTED);
            rest = &rest[form.len()..];
        } else {
            replaced.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    replaced
}

/// The characters of the secret's base64 that do not depend on the text around it, for the three positions at which it can
/// begin in a longer text, in both alphabets.
fn base64_forms(secret: &str) -> Vec<String> {
    let at = |before: usize| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        // Six bits are a character: those with a bit of the bytes before, or of those behind, are left out.
        let characters = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        [BASE64_STANDARD_NO_PAD.encode(&bytes), BASE64_URL_SAFE_NO_PAD.encode(&bytes)]
            .map(|encoded| encoded[characters.clone()].to_owned())
    };
    (0..3).flat_map(at).filter(|form| form.len() >= BASE64_PART_MIN).collect()
}

/// The same percent-encoding with lowercase escapes.
fn lowercase_escapes(encoded: &str) -> String {
    let mut digits_left = 0;
    let lowercase = |c: char| {
        let is_digit = digits_left > 0;
        digits_left = if c == '%' { 2 } else { digits_left - i32::from(is_digit) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lowercase).collect()
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
    use crate::transport::Https;

    #[test]
    fn secret_that_is_a_part_of_the_replacement_is_replaced_once() {
        for secret in ["e", "redacted", "["] {
            let text = format!("é{secret}{secret}x");
            assert_eq!(redact(&text, secret), format!("é{REDACTED}{REDACTED}x"), "{secret}");
        }
        let long = "e".repeat(10_000);
        assert_eq!(redact(&long, "e").len(), REDACTED.len() * long.len());
    }

    #[test]
    fn debug_and_redacted_messages_contain_no_credentials() {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let source = CredentialsSource::<Https>::Fixed(Rc::new(credentials.clone()));
        let debug = format!("{credentials:?} {source:?}");
        let message = credentials.redact("StringToSign has s3cret and x-acs-security-token:t0ken of LTAIid");
        for text in [debug, message] {
            assert!(
                !text.contains("s3cret") && !text.contains("t0ken") && !text.contains("LTAIid"),
                "{text}"
            );
        }
    }

    #[test]
    fn every_encoding_of_a_secret_is_redacted() {
        let secret = "aK/3+x~Z=9-qPw7/J";
        for text in [
            "aK/3+x~Z=9-qPw7/J",
            "aK%2F3%2Bx%7EZ%3D9%2DqPw7%2FJ",
            "aK%2f3%2bx%7eZ%3d9%2dqPw7%2fJ",
            "aK%2F3%2Bx~Z%3D9-qPw7%2FJ",
            "aK%252F3%252Bx~Z%253D9-qPw7%252FJ",
            "aK%252f3%252bx~Z%253d9-qPw7%252fJ",
        ] {
            assert_eq!(redact(&format!("Secret={text}."), secret), "Secret=[redacted].");
        }
        for engine in [base64::prelude::BASE64_STANDARD, base64::prelude::BASE64_URL_SAFE] {
            for before in ["", "i", "id", "id:"] {
                for after in ["", "&", "\n", "more"] {
                    let encoded = engine.encode(format!("{before}{secret}{after}"));
                    let redacted = redact(&encoded, secret);
                    assert!(redacted.contains(REDACTED), "{before:?} {after:?}: {redacted}");
                    let left = redacted.replace(REDACTED, "");
                    let context = engine.encode(format!("{before}{after}"));
                    assert!(left.len() <= context.len() + 6, "{before:?} {after:?}: {redacted}");
                }
            }
        }
    }

    #[test]
    fn text_without_the_secret_is_unchanged() {
        let text = "The specified signature 4a7d1ed4 does not match; see YUsvMw==";
        assert_eq!(redact(text, "aK/3+x~Z=9-qPw7/J"), text);
        assert_eq!(redact(text, ""), text);
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
