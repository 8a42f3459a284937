//! The credentials of an app.

use std::fmt;

use serde::Deserialize;

use super::super::super::apps;
use super::super::super::identity::Platform;

/// Length of an app's id in characters. Feishu's have 20.
const ID_LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// Length of an app's secret in characters. Feishu's have 32.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// The credentials of an app of a tenant.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub(super) app_id: String,
    pub(super) app_secret: String,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App(redacted)")
    }
}

impl apps::App for App {
    const PLATFORM: Platform = Platform::Feishu;

    const RULE: &str = "must be an object with apps, an object with app_id (cli_…) and app_secret for the tenant_key of each \
                        tenant";

    fn is_valid(&self) -> bool {
        let is_graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let Self { app_id, app_secret } = self;
        ID_LENGTH.contains(&app_id.len())
            && app_id.starts_with("cli_")
            && is_graphic(app_id)
            && SECRET_LENGTH.contains(&app_secret.len())
            && is_graphic(app_secret)
    }
}
