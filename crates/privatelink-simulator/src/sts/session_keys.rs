//! The keys of a session. They are a function of the call that asked for them, so that two runs with one seed hand out
//! the same ones; they look like Alibaba's and open nothing but this simulator.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::ids::RoleArn;

/// How many hashes make a token: with its `+`, `/` and `=` it has to be encoded and quoted as carefully as a real one.
const TOKEN_HASHES: u8 = 8;

/// The smallest id of a role: such ids have eighteen digits and begin with a 3.
const ROLE_ID_MIN: u64 = 300_000_000_000_000_000;

/// The three parts. There is no `Debug`.
pub(super) struct SessionKeys {
    pub(super) access_key_id: String,
    pub(super) access_key_secret: String,
    pub(super) security_token: String,
}

impl SessionKeys {
    /// The keys of the call with this request id.
    pub(super) fn of(request_id: &str) -> Self {
        let hash = |part: &str| Sha256::digest(format!("{part} of {request_id}"));
        let token: Vec<u8> = (0..TOKEN_HASHES).flat_map(|part| hash(&format!("token {part}"))).collect();
        Self {
            access_key_id: format!("STS.{}", &hex(&hash("id"))[..24].to_uppercase()),
            access_key_secret: hex(&hash("secret"))[..44].to_owned(),
            security_token: format!("CAIS{}", BASE64_STANDARD.encode(token)),
        }
    }
}

/// A role's id: 18 digits that begin with a 3, as Alibaba's do.
pub(super) fn role_id(role: &RoleArn) -> u64 {
    let hash = Sha256::digest(role.as_str());
    let number = hash.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    // A third more still begins with a 3.
    ROLE_ID_MIN + number % (ROLE_ID_MIN / 3)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
