//! Client tokens: one while the outcome of a call is unknown, then another.
//!
//! A token is never derived from the request alone: after a re-attach Alibaba Cloud would repeat the old result and do
//! nothing.

use crate::request::ClientToken;

/// The tokens of one delivery.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    prefix: u128,
    count: u32,
    /// The sender's token, until it is used.
    senders: Option<ClientToken>,
    current: Option<Current>,
}

/// The token of the latest call.
#[derive(Debug, Clone)]
struct Current {
    token: ClientToken,
    is_senders: bool,
}

impl Tokens {
    /// Our own tokens begin with a random prefix; the sender's comes first, if there is one.
    pub(super) fn new(prefix: u128, senders: Option<ClientToken>) -> Self {
        Self { prefix, count: 0, senders, current: None }
    }

    /// The token of the next call.
    pub(super) fn current(&mut self) -> ClientToken {
        let current = self.current.get_or_insert_with(|| {
            if let Some(token) = self.senders.take() {
                return Current { token, is_senders: true };
            }
            self.count += 1;
            Current { token: ClientToken::numbered(self.prefix, self.count), is_senders: false }
        });
        current.token.clone()
    }

    /// Whether the latest call had the sender's token.
    pub(super) fn is_senders(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.is_senders)
    }

    /// The outcome of the latest call is known: the next one gets another token.
    pub(super) fn renew(&mut self) {
        self.current = None;
    }
}
