//! The list of signing secrets: what the secret that `WEBHOOK_SECRETS_ARN` names contains.
//!
//! Pure. [`crate::aws::secret`] reads and caches it.

use std::ops::Deref;

use thiserror::Error;

use super::signature::{SecretError, SigningKey};
use crate::aws::secret::SecretValue;

/// Maximum length of the list. Every wrong signature is checked against each secret.
const SECRETS_MAX: usize = 10;

/// The keys of the signing secrets.
#[derive(Debug)]
pub struct SigningKeys(Vec<SigningKey>);

/// Why a text is no list of signing secrets. No variant contains a secret.
#[derive(Debug, Error)]
pub enum UnusableSecrets {
    #[error("the secret is not a JSON list of strings")]
    NotAList,
    #[error("the list has {0} secrets; the maximum is {SECRETS_MAX}")]
    TooMany(usize),
    #[error("secret number {number} of the list {error}")]
    Secret { number: usize, error: SecretError },
}

impl Deref for SigningKeys {
    type Target = [SigningKey];

    fn deref(&self) -> &[SigningKey] {
        &self.0
    }
}

impl SecretValue for SigningKeys {
    type Error = UnusableSecrets;

    const NAME: &'static str = "signing secrets";

    fn parse(text: &str) -> Result<Self, UnusableSecrets> {
        let secrets: Vec<String> = serde_json::from_str(text).map_err(|_| UnusableSecrets::NotAList)?;
        if secrets.len() > SECRETS_MAX {
            return Err(UnusableSecrets::TooMany(secrets.len()));
        }
        let key = |(index, secret): (usize, &String)| {
            let number = index + 1;
            SigningKey::parse(secret).map_err(|error| UnusableSecrets::Secret { number, error })
        };
        secrets.iter().enumerate().map(key).collect::<Result<_, _>>().map(Self)
    }

    fn emptiness(&self) -> Option<&'static str> {
        self.0.is_empty().then_some("the list of signing secrets is empty: every webhook is rejected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn list_with_one_unusable_secret_is_unusable() {
        assert_eq!(SigningKeys::parse("[]").unwrap().len(), 0);
        assert_eq!(SigningKeys::parse(&format!("[\"{SECRET}\", \"{SECRET}\"]")).unwrap().len(), 2);
        let many = serde_json::to_string(&[SECRET; 11]).unwrap();
        for (text, expected) in [
            ("", "not a JSON list"),
            (SECRET, "not a JSON list"),
            ("{}", "not a JSON list"),
            ("[1]", "not a JSON list"),
            (many.as_str(), "11 secrets"),
            (
                &format!("[\"{SECRET}\", \"s3cret\"]"),
                "secret number 2 of the list must be whsec_ followed by base64",
            ),
            ("[\"whsec_c2hvcnQ=\"]", "secret number 1 of the list must have a key of 24 to 64 bytes"),
        ] {
            let error = SigningKeys::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
