//! Client tokens: one for as long as the outcome of a call is unknown, then another.
//!
//! A token is never made from what is asked alone: after a re-attach it would answer the old result and do nothing.

use crate::request::ClientToken;

/// The tokens of one delivery.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    prefix: u128,
    count: u32,
    callers: Option<ClientToken>,
    current: Option<(ClientToken, bool)>,
}

impl Tokens {
    /// Our own begin with a random prefix; the caller's comes first, if there is one.
    pub(super) fn new(prefix: u128, callers: Option<ClientToken>) -> Self {
        Self { prefix, count: 0, callers, current: None }
    }

    /// The token of the next call.
    pub(super) fn current(&mut self) -> ClientToken {
        let (token, _) = self.current.get_or_insert_with(|| {
            if let Some(callers) = self.callers.take() {
                return (callers, true);
            }
            self.count += 1;
            (ClientToken::numbered(self.prefix, self.count), false)
        });
        token.clone()
    }

    /// Whether the latest call had the caller's.
    pub(super) fn is_callers(&self) -> bool {
        self.current.as_ref().is_some_and(|(_, is_callers)| *is_callers)
    }

    /// The outcome of the latest call is known: the next one is another call.
    pub(super) fn renew(&mut self) {
        self.current = None;
    }
}
