//! What the messenger needs to post as the robot of an organization.

use std::fmt;

use serde::Deserialize;

use super::super::super::apps;
use super::super::super::identity::Platform;

/// Length of a secret, an id or a key in characters. `DingTalk`'s app secrets, the longest, have 64.
const LENGTH: std::ops::RangeInclusive<usize> = 1..=128;

/// The key under which the operator registers the address of card callbacks.
const ROUTE_KEY: &str = "privatelink-detach";

/// An app of an organization.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    #[serde(rename = "app_key")]
    pub(super) key: String,
    #[serde(rename = "app_secret")]
    pub(super) secret: String,
    pub(super) robot_code: String,
    pub(super) card_template_id: String,
    #[serde(default = "route_key")]
    pub(super) card_callback_route_key: String,
}

fn route_key() -> String {
    ROUTE_KEY.to_owned()
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App(redacted)")
    }
}

impl apps::App for App {
    const PLATFORM: Platform = Platform::DingTalk;

    const RULE: &str = "must be an object with apps, an object that has for the corpId of each organization app_key, \
                        app_secret, robot_code, card_template_id and, if it is not privatelink-detach, \
                        card_callback_route_key";

    fn is_valid(&self) -> bool {
        let Self { key, secret, robot_code, card_template_id, card_callback_route_key } = self;
        [key, secret, robot_code, card_template_id, card_callback_route_key]
            .into_iter()
            .all(|text| LENGTH.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()))
    }
}
