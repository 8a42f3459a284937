//! The journal: every call that reached SQS, EventBridge, Secrets Manager or STS, in order.
//!
//! Tests use it for assertions, for example that the dead-letter copy came before the event and the event before the
//! delete, or that no call was made.

use std::time::SystemTime;

use crate::faults::{Action, Fault};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The time of arrival.
    pub at: SystemTime,
    pub action: Action,
    /// The name of the queue, of the secret or of the first entry's bus, or the first audience of a token. Empty if
    /// the call names none.
    pub target: String,
    /// The ids of the messages or events that the call affected, the version of the secret that was read, or the id
    /// of the token.
    pub message_ids: Vec<String>,
    pub ending: Ending,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The call was carried out, and the response sent.
    Done,
    /// The response reported success, but some entries failed.
    Partly {
        /// The number of entries that failed.
        failed: usize,
    },
    /// The call was refused with this error code.
    Refused(String),
    /// A fault was injected. For [`Fault::ResponseLost`] and [`Fault::EntryFails`], `message_ids` lists what was
    /// carried out.
    Faulted(Fault),
}
