//! The access tokens that platforms issue for some time: a cache, so that a notice rarely needs a call for one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::identity::Tenant;

/// How long before its end a token is no longer used. The platforms' own clients renew theirs as early.
const RENEWED_BEFORE_END: Duration = Duration::from_mins(10);

/// Maximum lifetime that is accepted. Both platforms issue tokens for two hours.
const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// The access tokens of a process. A tenant has one app.
#[derive(Default)]
pub struct AccessTokens(BTreeMap<Tenant, AccessToken>);

struct AccessToken {
    /// The id of the app that the token was issued for.
    app: String,
    value: HeaderValue,
    used_until: SystemTime,
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokens(redacted)")
    }
}

impl AccessTokens {
    /// The token of this app, as the value of a header; `None` if there is none, or it ends soon.
    #[must_use]
    pub fn get(&self, tenant: &Tenant, app: &str, now: SystemTime) -> Option<HeaderValue> {
        let token = self.0.get(tenant).filter(|token| token.app == app && now < token.used_until)?;
        Some(token.value.clone())
    }

    /// Stores a token that the platform issued at `now` for this long.
    pub fn put(
        &mut self,
        tenant: Tenant,
        app: String,
        mut value: HeaderValue,
        lifetime: Duration,
        now: SystemTime,
    ) {
        value.set_sensitive(true);
        let used_for = lifetime.min(LIFETIME_MAX).saturating_sub(RENEWED_BEFORE_END);
        let used_until = now + used_for;
        self.0.insert(tenant, AccessToken { app, value, used_until });
    }

    /// Removes a token that the platform no longer accepts.
    pub fn forget(&mut self, tenant: &Tenant) {
        self.0.remove(tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::samples::{at, conversation};

    fn tokens() -> AccessTokens {
        let mut tokens = AccessTokens::default();
        let value = HeaderValue::from_static("t-1");
        tokens.put(conversation().tenant, "cli_a".to_owned(), value, Duration::from_hours(2), at(1000));
        tokens
    }

    #[test]
    fn token_is_used_until_ten_minutes_before_its_end() {
        let get = |seconds| tokens().get(&conversation().tenant, "cli_a", at(seconds));
        assert_eq!(get(1000 + 6599), Some(HeaderValue::from_static("t-1")));
        assert_eq!(get(1000 + 6600), None);
    }

    #[test]
    fn token_is_that_of_one_app_of_one_tenant() {
        let tenant = |text| Tenant::parse(text).unwrap();
        assert_eq!(tokens().get(&conversation().tenant, "cli_b", at(1000)), None);
        assert_eq!(tokens().get(&tenant("slack:T04OTHER"), "cli_a", at(1000)), None);
    }

    #[test]
    fn forgotten_token_is_not_used() {
        let mut tokens = tokens();
        tokens.forget(&conversation().tenant);
        assert_eq!(tokens.get(&conversation().tenant, "cli_a", at(1000)), None);
    }

    #[test]
    fn token_is_not_shown() {
        assert!(!format!("{:?}", tokens()).contains("t-1"));
        let value = tokens().get(&conversation().tenant, "cli_a", at(1000)).unwrap();
        assert!(!format!("{value:?}").contains("t-1"));
    }

    #[test]
    fn token_with_an_endless_lifetime_is_stored() {
        let mut tokens = tokens();
        let value = HeaderValue::from_static("t-2");
        tokens.put(conversation().tenant, "cli_a".to_owned(), value, Duration::MAX, at(1000));
        assert!(tokens.get(&conversation().tenant, "cli_a", at(9000)).is_some());
    }
}
