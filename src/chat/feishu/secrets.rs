//! The secrets that verify and decrypt calls: Encrypt Keys and Verification Tokens.
//!
//! Nothing here says which check failed, and no error contains a secret or a decrypted text.

use std::fmt;

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::digest::CtOutput;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::super::call::UnusableSecrets;
use super::super::identity::Platform;
use crate::json::Object;

/// Maximum number of keys, and of tokens. Every wrong signature is checked against each of them.
const SECRETS_MAX: usize = 10;

/// Length of an Encrypt Key in bytes. An operator can choose it; Feishu's own have 32.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Length of a Verification Token in characters. Feishu's have 32.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// Length of a block of AES, and of the initialization vector before the encrypted text, in bytes.
const BLOCK: usize = 16;

/// The secrets that verify calls.
pub struct Secrets {
    keys: Vec<EncryptKey>,
    tokens: Vec<CtOutput<Sha256>>,
}

/// An Encrypt Key: it signs calls, and its hash encrypts them.
pub(super) struct EncryptKey(String);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

impl Secrets {
    pub(super) const RULE: &'static str = "must be an object with encrypt_keys and verification_tokens, each a list of 1 to \
                                           10 strings, of 8 to 128 bytes for a key and 16 to 128 ASCII characters for a \
                                           token";

    /// Parses the member of the verification secrets.
    pub(in super::super) fn parse(member: &RawValue) -> Result<Self, UnusableSecrets> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Member {
            encrypt_keys: Vec<String>,
            verification_tokens: Vec<String>,
        }
        let unusable = UnusableSecrets::Platform { platform: Platform::Feishu, rule: Self::RULE };
        let Object(Member { encrypt_keys, verification_tokens }) =
            serde_json::from_str(member.get()).map_err(|_| unusable)?;
        let is_key = |key: &String| {
            KEY_LENGTH.contains(&key.len()) && key.trim() == key && !key.contains(char::is_control)
        };
        let is_token = |token: &String| {
            TOKEN_LENGTH.contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
        };
        let is_valid =
            [&encrypt_keys, &verification_tokens].iter().all(|list| (1..=SECRETS_MAX).contains(&list.len()))
                && encrypt_keys.iter().all(is_key)
                && verification_tokens.iter().all(is_token);
        if !is_valid {
            return Err(unusable);
        }
        let tokens = verification_tokens.iter().map(|token| hashed(token)).collect();
        Ok(Self { keys: encrypt_keys.into_iter().map(EncryptKey).collect(), tokens })
    }

    pub(super) fn keys(&self) -> &[EncryptKey] {
        &self.keys
    }

    /// Whether this is one of the Verification Tokens. Each comparison takes constant time.
    pub(super) fn has_token(&self, token: &str) -> bool {
        self.tokens.contains(&hashed(token))
    }
}

/// What is compared in place of a token: its length would otherwise matter.
fn hashed(token: &str) -> CtOutput<Sha256> {
    CtOutput::new(Sha256::digest(token))
}

impl EncryptKey {
    /// Whether the key made the signature. The comparison takes constant time.
    pub(super) fn verify(&self, timestamp: &str, nonce: &str, body: &[u8], signature: [u8; 32]) -> bool {
        let mut hash = Sha256::new();
        for part in [timestamp.as_bytes(), nonce.as_bytes(), self.0.as_bytes(), body] {
            hash.update(part);
        }
        CtOutput::<Sha256>::new(hash.finalize()) == CtOutput::new(signature.into())
    }

    /// The decrypted text; `None` if the base64, the length or the padding is not valid.
    pub(super) fn decrypt(&self, encrypted: &str) -> Option<Vec<u8>> {
        let mut bytes = STANDARD.decode(encrypted).ok()?;
        let (iv, text) = bytes.split_at_mut_checked(BLOCK)?;
        let key = Sha256::digest(&self.0);
        let cipher = Decryptor::<Aes256>::new_from_slices(&key, iv).ok()?;
        let text = cipher.decrypt_padded::<NoPadding>(text).ok()?;
        unpadded(text).map(<[u8]>::to_vec)
    }
}

/// The text without its padding by PKCS #7, in which each byte is the padding's length: all of it is checked.
fn unpadded(text: &[u8]) -> Option<&[u8]> {
    let length = *text.last()?;
    let start = text.len().checked_sub(length.into())?;
    let (text, padding) = text.split_at(start);
    let is_padding = (1..=BLOCK).contains(&padding.len()) && padding.iter().all(|byte| *byte == length);
    is_padding.then_some(text)
}
