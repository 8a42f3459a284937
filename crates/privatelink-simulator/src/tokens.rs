//! Client tokens: the first result of a call with a token is returned to every later call with the same token.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime},
};

use crate::{ids::AccessKeyId, response::Outcome, wire_time::later};

/// How long a token is kept. Not documented for this product; other Alibaba products document 24 hours.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The maximum number of tokens kept; a memory bound that no test scenario reaches within a day.
const TOKENS_MAX: usize = 100_000;

/// A token is scoped to the access key that sent it.
pub(crate) type Key = (AccessKeyId, String);

/// The stored state of a client token.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The token was not used before.
    New,
    /// The same call was sent before, with this result.
    Same(Outcome),
    /// The token was sent before with other parameters.
    OtherParameters,
}

/// The tokens of the last 24 hours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    stored: BTreeMap<Key, StoredCall>,
    order: VecDeque<(SystemTime, Key)>,
}

#[derive(Clone, Debug)]
struct StoredCall {
    fingerprint: BTreeMap<String, String>,
    outcome: Outcome,
}

impl Tokens {
    pub(crate) fn look_up(
        &mut self,
        key: &Key,
        fingerprint: &BTreeMap<String, String>,
        now: SystemTime,
    ) -> Lookup {
        self.remove_expired(now);
        match self.stored.get(key) {
            None => Lookup::New,
            Some(first) if first.fingerprint == *fingerprint => Lookup::Same(first.outcome.clone()),
            Some(_) => Lookup::OtherParameters,
        }
    }

    pub(crate) fn store(
        &mut self,
        key: Key,
        fingerprint: BTreeMap<String, String>,
        outcome: Outcome,
        now: SystemTime,
    ) {
        self.order.push_back((now, key.clone()));
        self.stored.insert(key, StoredCall { fingerprint, outcome });
    }

    fn remove_expired(&mut self, now: SystemTime) {
        while let Some((at, oldest)) = self.order.front() {
            if self.order.len() <= TOKENS_MAX && later(*at, TOKEN_LIFETIME) > now {
                break;
            }
            self.stored.remove(oldest);
            self.order.pop_front();
        }
    }
}
