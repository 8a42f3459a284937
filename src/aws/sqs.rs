//! What both sides of the request queue share: SQS's limits, and an operation that failed.

use thiserror::Error;

use super::cause;

/// Most entries of one batch call, SQS's limit.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;

/// A queue did not do what it was asked.
#[derive(Debug, Error)]
#[error("{operation} failed: {cause}")]
pub struct QueueFault {
    /// The operation.
    pub operation: &'static str,
    /// The whole chain of causes.
    pub cause: String,
}

pub(crate) fn fault(operation: &'static str, error: &dyn std::error::Error) -> QueueFault {
    QueueFault { operation, cause: cause(error) }
}
