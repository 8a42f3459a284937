//! Tenant access tokens: issued for an app's secret, and valid for some time.
//!
//! Source: open.feishu.cn, "Store applications and custom apps get `tenant_access_token`".

use std::time::{Duration, SystemTime};

use crate::request::unique_digits;

/// An older token is issued again as long as it is valid for this long; afterwards a second one is valid beside it.
const ISSUED_AGAIN: Duration = Duration::from_mins(30);

/// The issued tokens, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Vec<Token>);

#[derive(Clone, Debug)]
struct Token {
    value: String,
    valid_until: SystemTime,
}

impl Tokens {
    /// A token and the time until its end.
    pub(super) fn issue(&mut self, lifetime: Duration, now: SystemTime) -> (String, Duration) {
        if let Some(token) = self.0.last()
            && let Ok(left) = token.valid_until.duration_since(now)
            && left >= ISSUED_AGAIN
        {
            return (token.value.clone(), left);
        }
        let value = format!("t-g1{}", unique_digits(now)[..38].to_ascii_uppercase());
        self.0.push(Token { value: value.clone(), valid_until: now + lifetime });
        (value, lifetime)
    }

    pub(super) fn is_valid(&self, value: &str, now: SystemTime) -> bool {
        self.0.iter().any(|token| token.value == value && now < token.valid_until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn token_is_issued_again_until_half_an_hour_before_its_end() {
        let at = |minutes| UNIX_EPOCH + Duration::from_mins(minutes);
        let lifetime = Duration::from_hours(2);
        let mut tokens = Tokens::default();
        let (first, _) = tokens.issue(lifetime, at(0));

        assert_eq!(tokens.issue(lifetime, at(90)), (first.clone(), ISSUED_AGAIN));
        let (second, left) = tokens.issue(lifetime, at(91));

        assert!(second != first && left == lifetime);
        assert!(tokens.is_valid(&first, at(119)) && tokens.is_valid(&second, at(119)));
        assert!(!tokens.is_valid(&first, at(120)) && tokens.is_valid(&second, at(120)));
    }
}
