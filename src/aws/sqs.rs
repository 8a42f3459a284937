//! What the senders and the receivers of the request queue share: SQS's limits, and the error of an operation.

use thiserror::Error;

/// Maximum number of entries of one batch call, SQS's limit.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;

/// An operation on a queue failed.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The call failed as a whole.
    #[error("{operation} failed")]
    Call {
        operation: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// SQS refused entries of a batch call.
    #[error("{operation} failed for {failed} of {of} entries, for the first with {code}")]
    Entries { operation: &'static str, failed: usize, of: usize, code: String },
}

impl QueueError {
    /// A call that failed as a whole.
    pub fn call(
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Call { operation, source: source.into() }
    }
}
