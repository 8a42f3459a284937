//! The secrets that verify calls, and the two signatures.
//!
//! A signature covers the time of sending alone, not the body. Source: `DingTalk`'s documentation of robot messages and of
//! card callbacks, and its Java SDK (`DingTalkSignatureUtil`).

use std::fmt;

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::super::call::UnusableSecrets;
use super::super::identity::Platform;
use crate::json::Object;

/// Maximum number of secrets of one kind. Every wrong signature is checked against each of them.
const SECRETS_MAX: usize = 10;

/// Length of a secret in characters. `DingTalk`'s app secrets have 64; the operator chooses those of card callbacks.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// The secrets that verify calls.
pub struct Secrets {
    /// Those of the app, which sign robot messages.
    app: Vec<Secret>,
    /// Those of the registered card callback.
    card: Vec<Secret>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

impl Secrets {
    pub(super) const RULE: &'static str = "must be an object with app_secrets and card_secrets, each a list of 1 to 10 strings of 16 to 128 ASCII characters";

    /// Parses the member of the verification secrets.
    pub(in super::super) fn parse(member: &RawValue) -> Result<Self, UnusableSecrets> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Member {
            app_secrets: Vec<String>,
            card_secrets: Vec<String>,
        }
        let unusable = UnusableSecrets::Platform { platform: Platform::DingTalk, rule: Self::RULE };
        let Object(Member { app_secrets, card_secrets }) =
            serde_json::from_str(member.get()).map_err(|_| unusable)?;
        let is_secret = |secret: &String| {
            SECRET_LENGTH.contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic())
        };
        let secrets = |list: Vec<String>| {
            if !(1..=SECRETS_MAX).contains(&list.len()) || !list.iter().all(is_secret) {
                return Err(unusable);
            }
            list.into_iter().map(|text| Secret::new(text).ok_or(unusable)).collect()
        };
        Ok(Self { app: secrets(app_secrets)?, card: secrets(card_secrets)? })
    }

    /// Whether a secret of the app signed a robot message.
    pub(super) fn verify_message(&self, timestamp: &str, signature: [u8; 32]) -> bool {
        self.app.iter().any(|secret| secret.verify_message(timestamp, signature))
    }

    /// Whether a secret of the card callback signed a click.
    pub(super) fn verify_click(&self, timestamp: &str, signature: [u8; 32]) -> bool {
        self.card.iter().any(|secret| secret.verify_click(timestamp, signature))
    }
}

/// One secret. Each comparison takes constant time.
pub(super) struct Secret {
    key: Hmac<Sha256>,
    text: String,
}

impl Secret {
    pub(super) fn new(text: String) -> Option<Self> {
        Some(Self { key: Hmac::new_from_slice(text.as_bytes()).ok()?, text })
    }

    /// The signature of a robot message, and of a message to a custom robot: it covers the time and the secret itself.
    pub(super) fn verify_message(&self, timestamp: &str, signature: [u8; 32]) -> bool {
        self.verify(&[timestamp.as_bytes(), b"\n", self.text.as_bytes()], signature)
    }

    pub(super) fn verify_click(&self, timestamp: &str, signature: [u8; 32]) -> bool {
        self.verify(&[timestamp.as_bytes()], signature)
    }

    fn verify(&self, signed: &[&[u8]], signature: [u8; 32]) -> bool {
        let mut mac = self.key.clone();
        for part in signed {
            mac.update(part);
        }
        mac.finalize() == CtOutput::new(signature.into())
    }
}
