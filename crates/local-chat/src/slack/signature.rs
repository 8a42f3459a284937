//! Slack's signature of a request to an app, written here a second time so that an error in the functions' code shows.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::request::hex;

/// The header that has the time of the request, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";

/// The header that has the signature.
pub const SIGNATURE_HEADER: &str = "x-slack-signature";

/// The value of the signature's header for a body sent at this time, in seconds since 1970.
#[must_use]
pub fn signature(signing_secret: &str, timestamp: u64, body: &str) -> String {
    // HMAC accepts a key of any length, so the match has one case in practice.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(signing_secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_example_of_the_documentation() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
            &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J\
            %2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121\
            .803a0bc887a14d10d2c447fce8b6703c";
        assert_eq!(
            signature("8f742231b10e8888abcd99yyyzzz85a5", 1_531_420_618, body),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }

    #[test]
    fn body_that_is_not_ascii() {
        let body = "{\"type\": \"event_callback\", \"event_id\": \"Ev4F6B9DB38\", \"event\": {\"type\": \
            \"app_mention\", \"text\": \"<@U0BOT> 移除 sg-hp3c8qj1tyct90ejabcd ep-hp33b2e43fays7s8abcd \
            eu-west-1 🙏\"}}";
        assert_eq!(
            signature("c87879816b60ace29da36143581967dc", 1_795_330_860, body),
            "v0=6c8a2111385f253b19efc994846d4d3f05a7b60f45282b3ca26e3ea7790afc4a"
        );
    }
}
