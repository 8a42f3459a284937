//! A request that a platform sends to the app. Without clock and I/O.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// The number of ids that this process has made.
static IDS: AtomicU64 = AtomicU64::new(0);

/// A request to the app, signed as the platform signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest<A> {
    /// With names in lowercase.
    pub headers: Vec<(&'static str, String)>,
    /// A form or JSON.
    pub body: String,
    pub conversation: String,
    pub user: String,
    /// What the user did.
    pub action: A,
}

/// 64 hex digits that no other call returns, in this process or in another one: the functions derive the ids of requests
/// from a platform's ids.
pub(crate) fn unique_digits(now: SystemTime) -> String {
    let count = IDS.fetch_add(1, Ordering::Relaxed);
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{}:{count}:{}", std::process::id(), since_epoch.as_nanos());
    hex(&Sha256::digest(seed.as_bytes()))
}

/// Lowercase hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
