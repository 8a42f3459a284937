//! Client tokens: the first result of a token is the result of every later call with it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime},
};

use crate::{answer::Outcome, ids::AccessKeyId, wire_time::later};

/// How long a token is remembered. Nobody documents it for this product; a day is what others of the family say.
const TOKEN_KEPT: Duration = Duration::from_hours(24);

/// How many tokens are remembered: a bound for memory, beyond what any scenario sends in a day.
const TOKENS_MAX: usize = 100_000;

/// A token belongs to the key that sent it.
pub(crate) type Key = (AccessKeyId, String);

/// What is known about a token that comes in.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing.
    No,
    /// The same call was answered like this.
    Same(Outcome),
    /// It was sent with something else.
    Other,
}

/// The tokens of the last day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    remembered: BTreeMap<Key, Remembered>,
    order: VecDeque<(SystemTime, Key)>,
}

#[derive(Clone, Debug)]
struct Remembered {
    fingerprint: BTreeMap<String, String>,
    outcome: Outcome,
}

impl Tokens {
    pub(crate) fn look_up(
        &mut self,
        key: &Key,
        fingerprint: &BTreeMap<String, String>,
        now: SystemTime,
    ) -> Known {
        self.forget(now);
        match self.remembered.get(key) {
            None => Known::No,
            Some(first) if first.fingerprint == *fingerprint => Known::Same(first.outcome.clone()),
            Some(_) => Known::Other,
        }
    }

    pub(crate) fn remember(
        &mut self,
        key: Key,
        fingerprint: BTreeMap<String, String>,
        outcome: Outcome,
        now: SystemTime,
    ) {
        self.order.push_back((now, key.clone()));
        self.remembered.insert(key, Remembered { fingerprint, outcome });
    }

    fn forget(&mut self, now: SystemTime) {
        while let Some((at, oldest)) = self.order.front() {
            if self.order.len() <= TOKENS_MAX && later(*at, TOKEN_KEPT) > now {
                break;
            }
            self.remembered.remove(oldest);
            self.order.pop_front();
        }
    }
}
