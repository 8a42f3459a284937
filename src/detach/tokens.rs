//! Client tokens: one for each write while the outcome of a call is unknown, then another.
//!
//! A token is never derived from the request alone: after a re-attach Alibaba Cloud would repeat the old result and do
//! nothing.

use crate::alibaba::privatelink::Write;
use crate::request::ClientToken;

/// The tokens of one delivery.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    prefix: u128,
    count: u32,
    /// The sender's token, until a detach uses it.
    senders: Option<ClientToken>,
    detach: Option<Current>,
    attach: Option<Current>,
}

/// The token of the latest call of a write.
#[derive(Debug, Clone)]
struct Current {
    token: ClientToken,
    is_senders: bool,
}

impl Tokens {
    /// Our own tokens begin with a random prefix; the first detach has the sender's, if there is one.
    pub(super) fn new(prefix: u128, senders: Option<ClientToken>) -> Self {
        Self { prefix, count: 0, senders, detach: None, attach: None }
    }

    /// The token of the next call of this write.
    pub(super) fn current(&mut self, write: Write) -> ClientToken {
        let (current, senders) = match write {
            Write::Detach => (&mut self.detach, Some(&mut self.senders)),
            Write::Attach => (&mut self.attach, None),
        };
        let current = current.get_or_insert_with(|| {
            if let Some(token) = senders.and_then(Option::take) {
                return Current { token, is_senders: true };
            }
            self.count += 1;
            Current { token: ClientToken::numbered(self.prefix, self.count), is_senders: false }
        });
        current.token.clone()
    }

    /// Whether the latest call of this write had the sender's token.
    pub(super) fn is_senders(&self, write: Write) -> bool {
        let current = match write {
            Write::Detach => &self.detach,
            Write::Attach => &self.attach,
        };
        current.as_ref().is_some_and(|current| current.is_senders)
    }

    /// The outcome of the latest call of this write is known: the next one gets another token.
    pub(super) fn renew(&mut self, write: Write) {
        match write {
            Write::Detach => self.detach = None,
            Write::Attach => self.attach = None,
        }
    }
}
