//! The apps of a platform, one for each tenant: a member of the secret that `CHAT_TOKEN_SECRET_ARN` names.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::call::UnusableSecrets;
use super::identity::{Platform, TenantId};
use crate::json::{Entries, Object};

/// What the messenger needs to post as an app of a platform.
pub trait App: DeserializeOwned {
    const PLATFORM: Platform;

    /// What the member must be; it completes the sentence "the member …".
    const RULE: &str;

    /// Whether every value can be one of the platform's.
    fn is_valid(&self) -> bool;
}

/// The apps of a platform.
pub struct Apps<A>(BTreeMap<TenantId, A>);

impl<A> fmt::Debug for Apps<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Apps(redacted)")
    }
}

impl<A: App> Apps<A> {
    /// Parses the member of the tokens.
    pub(super) fn parse(member: &RawValue) -> Result<Self, UnusableSecrets> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Member {
            apps: Entries,
        }
        let unusable = UnusableSecrets::Platform { platform: A::PLATFORM, rule: A::RULE };
        let Object(Member { apps: Entries(entries) }) =
            serde_json::from_str(member.get()).map_err(|_| unusable)?;
        let mut apps = BTreeMap::new();
        for (tenant, app) in entries {
            let tenant = TenantId::parse(&tenant).ok_or(unusable)?;
            let Object(app): Object<A> = serde_json::from_str(app.get()).map_err(|_| unusable)?;
            if !app.is_valid() || apps.insert(tenant, app).is_some() {
                return Err(unusable);
            }
        }
        if apps.is_empty() { Err(unusable) } else { Ok(Self(apps)) }
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Option<&A> {
        self.0.get(tenant)
    }
}
