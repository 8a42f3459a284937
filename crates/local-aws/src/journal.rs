//! The journal: every call that reached SQS, EventBridge, Secrets Manager or STS, in order.
//!
//! It is there to be asserted on: that the copy came before the event and the event before the delete, or that nothing
//! was called at all.

use std::time::SystemTime;

use crate::faults::{Action, Fault};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// When it came.
    pub at: SystemTime,
    /// What it asked for.
    pub action: Action,
    /// The queue, the bus of the first entry or the secret, by name, or the first audience of a token; empty if the call
    /// named none.
    pub target: String,
    /// The messages, or events, on which the call took effect; of a secret, the version that was read; the token's id.
    pub message_ids: Vec<String>,
    /// How it ended.
    pub ending: Ending,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Carried out and answered.
    Done,
    /// Answered with success, although some entries failed.
    Partly {
        /// How many entries failed.
        failed: usize,
    },
    /// Refused with this code.
    Refused(String),
    /// Made to suffer a fault. After [`Fault::AnswerLost`] and [`Fault::EntryFails`] the messages say what was done.
    Faulted(Fault),
}
