//! The credentials of a session. They are derived from the request id of the call, so that two runs with the same
//! seed issue the same credentials. They have Alibaba's format and are valid only in this simulator.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::ids::{PrincipalArn, RoleArn};

/// The number of hashes in a token. The token contains `+`, `/` and `=`, so clients must encode it as carefully as a
/// real one.
const TOKEN_HASHES: u8 = 8;

/// The smallest id of a user: user ids have 18 digits and start with 2.
const USER_ID_MIN: u64 = 200_000_000_000_000_000;

/// The smallest id of a role: role ids have 18 digits and start with 3.
const ROLE_ID_MIN: u64 = 300_000_000_000_000_000;

/// How many ids there are of each kind. They all start with the same digit.
const IDS: u64 = 100_000_000_000_000_000;

/// The credentials. The type does not implement `Debug`.
pub(super) struct SessionCredentials {
    pub(super) access_key_id: String,
    pub(super) access_key_secret: String,
    pub(super) security_token: String,
}

impl SessionCredentials {
    /// Derives the credentials from a call's request id.
    pub(super) fn derive(request_id: &str) -> Self {
        let hash = |part: &str| Sha256::digest(format!("{part} of {request_id}"));
        let token: Vec<u8> = (0..TOKEN_HASHES).flat_map(|part| hash(&format!("token {part}"))).collect();
        Self {
            access_key_id: format!("STS.{}", &hex(&hash("id"))[..24].to_uppercase()),
            access_key_secret: hex(&hash("secret"))[..44].to_owned(),
            security_token: format!("CAIS{}", BASE64_STANDARD.encode(token)),
        }
    }
}

/// A role's id: 18 digits that start with 3, as Alibaba's do.
pub(super) fn role_id(role: &RoleArn) -> u64 {
    ROLE_ID_MIN + number_of(role.as_str())
}

/// A user's id: 18 digits that start with 2, as Alibaba's do.
pub(super) fn user_id(user: &PrincipalArn) -> u64 {
    USER_ID_MIN + number_of(user.as_str())
}

fn number_of(arn: &str) -> u64 {
    let hash = Sha256::digest(arn);
    hash.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte)) % IDS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
