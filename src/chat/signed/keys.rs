//! The signing keys of chat: seal a list of fields for one purpose, and verify one.
//!
//! The signature is HMAC-SHA256 over the purpose and the fields, each with its length before it, so that no two contents have
//! the same bytes.

use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::aws::secret::SecretValue;

/// Maximum length of a signed value, in bytes: that of a button of Slack. No valid one is longer.
pub const LENGTH_MAX: usize = 2000;

/// Maximum length of a signed answer, in bytes. The longest, which names every problem of a command, takes about 2,700.
pub(super) const ANSWER_LENGTH_MAX: usize = 8000;

/// Maximum number of keys. Every wrong signature is checked against each of them.
const KEYS_MAX: usize = 10;

/// Length of a key in bytes: at least that of the hash.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=64;

/// What a signature is for. The version is that of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Button,
    Reply,
    Notice,
    Answer,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Button => "privatelink-detach chat 1 button",
            Self::Reply => "privatelink-detach chat 1 reply",
            Self::Notice => "privatelink-detach chat 1 notice",
            Self::Answer => "privatelink-detach chat 1 answer",
        }
    }
}

/// The keys of this deployment: the first signs, all verify.
#[derive(Clone)]
pub struct ChatKeys(pub(super) Vec<Hmac<Sha256>>);

impl fmt::Debug for ChatKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatKeys(redacted)")
    }
}

/// Why a text is not a list of keys. No variant contains a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnusableKeys {
    #[error("the secret is not a JSON list of strings")]
    NotAList,
    #[error("the list has {0} keys; it must have 1 to {KEYS_MAX}")]
    Count(usize),
    #[error(
        "key number {0} of the list must be base64 of {min} to {max} bytes, such as `openssl rand -base64 32` prints",
        min = KEY_BYTES.start(),
        max = KEY_BYTES.end()
    )]
    Key(usize),
}

impl SecretValue for ChatKeys {
    type Error = UnusableKeys;

    const NAME: &'static str = "chat signing keys";

    fn parse(text: &str) -> Result<Self, UnusableKeys> {
        let keys: Vec<String> = serde_json::from_str(text).map_err(|_| UnusableKeys::NotAList)?;
        if !(1..=KEYS_MAX).contains(&keys.len()) {
            return Err(UnusableKeys::Count(keys.len()));
        }
        let key = |(index, text): (usize, &String)| {
            let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| KEY_BYTES.contains(&bytes.len()));
            bytes.and_then(|bytes| Hmac::new_from_slice(&bytes).ok()).ok_or(UnusableKeys::Key(index + 1))
        };
        keys.iter().enumerate().map(key).collect::<Result<_, _>>().map(Self)
    }
}

impl ChatKeys {
    /// The signed value: what it carries, as JSON in base64, `.`, and the signature over `signed` in base64.
    #[expect(
        clippy::expect_used,
        reason = "a list has at least one key, and a list of strings is valid JSON"
    )]
    pub(super) fn seal(&self, purpose: Purpose, carried: &[String], signed: &[String]) -> String {
        let key = self.0.first().expect("at least one key");
        let json = serde_json::to_string(carried).expect("a list of strings");
        let mac = mac(key, purpose, signed).into_bytes();
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(json), BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whether one of the keys made the signature. Each comparison takes constant time.
    pub(super) fn verify(&self, purpose: Purpose, signed: &[String], signature: [u8; 32]) -> bool {
        let is_made_by = |key| mac(key, purpose, signed) == CtOutput::new(signature.into());
        self.0.iter().any(is_made_by)
    }
}

pub(super) fn mac(key: &Hmac<Sha256>, purpose: Purpose, fields: &[String]) -> CtOutput<Hmac<Sha256>> {
    let mut mac = key.clone();
    for field in std::iter::once(purpose.name()).chain(fields.iter().map(String::as_str)) {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field.as_bytes());
    }
    mac.finalize()
}

/// The two parts of a signed value, not verified; `None` if it is longer than any that this program makes.
pub(super) fn unsealed(text: &str, length_max: usize) -> Option<(Vec<String>, [u8; 32])> {
    let (carried, signature) = text.split_once('.').filter(|_| text.len() <= length_max)?;
    let carried = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(carried).ok()?).ok()?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
    Some((carried, signature))
}
