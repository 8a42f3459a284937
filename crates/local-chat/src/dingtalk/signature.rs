//! The two signatures of calls to an app, written here a second time so that an error in the functions' code shows.
//! Both cover the time alone, not the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header of a robot message that has its time, in milliseconds since 1970.
pub const MESSAGE_TIMESTAMP_HEADER: &str = "timestamp";

/// The header of a robot message that has its signature.
pub const MESSAGE_SIGNATURE_HEADER: &str = "sign";

/// The header of a card callback that has its time.
pub const CARD_TIMESTAMP_HEADER: &str = "x-ddpaas-signature-timestamp";

/// The header of a card callback that has its signature.
pub const CARD_SIGNATURE_HEADER: &str = "x-ddpaas-signature";

/// The signature of a robot message that is sent at this time, in milliseconds since 1970.
#[must_use]
pub fn message_signature(app_secret: &str, timestamp: u64) -> String {
    hmac(app_secret, &format!("{timestamp}\n{app_secret}"))
}

/// The signature of a card callback with this timestamp.
#[must_use]
pub fn card_signature(api_secret: &str, timestamp: u64) -> String {
    hmac(api_secret, &timestamp.to_string())
}

fn hmac(key: &str, message: &str) -> String {
    // HMAC accepts a key of any length, so the match has one case in practice.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(message.as_bytes());
    base64(&mac.finalize().into_bytes())
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values are from DingTalk's SDK for Java.
    const SECRET: &str = "b557815d05a6981aaec78f5215242caa344321f2e6c740281735c8385e17376d";

    #[test]
    fn robot_message_of_the_official_sdk() {
        let signature = message_signature(SECRET, 1_795_330_800_123);
        assert_eq!(signature, "+2wkZ+puTEzSv7+K8+DrBZ9FPtkcUKX8TeURfBHBuL8=");
        let signature = message_signature("密钥-41d7a705f3a6b074ed45", 1_795_330_800_126);
        assert_eq!(signature, "54XAe8tykP0YrIhxlML9c6saNGE4FXCExMB0Bz8MJg0=");
    }

    #[test]
    fn card_callback_of_the_official_sdk() {
        let signature = card_signature(SECRET, 1_795_330_800_133);
        assert_eq!(signature, "oTuoG3I7Zd7o+5MGcfoSnejITk+0Pmcozo9srerpywM=");
        let signature = card_signature("密钥-41d7a705f3a6b074ed45", 1_795_330_800_136);
        assert_eq!(signature, "t5qtWCp6Rx8FqckQnN/6YYwsze1HqrzQ2Ra3nQdKqY8=");
    }
}
