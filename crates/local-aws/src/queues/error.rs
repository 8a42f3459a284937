//! The errors of SQS, with the codes and statuses that a client sees.
//!
//! Codes and shapes are those of the SQS API reference and of the service model of the AWS SDKs: every error has a
//! JSON shape and a query code, for clients of the older query protocol.

use thiserror::Error;

/// Why SQS refuses a call or one entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// There is no queue with this name.
    #[error("The specified queue does not exist.")]
    NonExistentQueue,
    /// A queue with this name already exists.
    #[error("A queue already exists with this name.")]
    QueueNameExists,
    /// A required parameter is absent or empty.
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(&'static str),
    /// A parameter's value is not valid.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// The body contains a character that SQS does not permit.
    #[error("The message contains characters outside the allowed set.")]
    InvalidMessageContents,
    /// SQS did not issue this receipt handle for this queue.
    #[error("The input receipt handle is invalid.")]
    ReceiptHandleIsInvalid,
    /// The message is visible, so its visibility cannot be changed.
    #[error("The message referred to isn't in flight.")]
    MessageNotInflight,
    /// The batch has no entries.
    #[error("There should be at least one entry in the request.")]
    EmptyBatchRequest,
    /// The batch has more than ten entries.
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntriesInBatchRequest(usize),
    /// Two entries of the batch have the same id.
    #[error("Id {0} repeated.")]
    BatchEntryIdsNotDistinct(String),
    /// An entry's id is empty, too long or contains a character that is not permitted.
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    InvalidBatchEntryId,
    /// The messages of the batch are together larger than the maximum size of one message.
    #[error("Batch requests cannot be longer than 1048576 bytes. You have sent {0} bytes.")]
    BatchRequestTooLong(usize),
    /// An injected fault: the service failed.
    #[error("We encountered an internal error. Please try again.")]
    InternalFailure,
    /// An injected fault: the call was throttled.
    #[error("Request is throttled.")]
    RequestThrottled,
}

impl QueueError {
    /// The code of the query protocol, which the SDKs prefer, and of a failed batch entry.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NonExistentQueue => "AWS.SimpleQueueService.NonExistentQueue",
            Self::QueueNameExists => "QueueAlreadyExists",
            Self::MissingParameter(_) => "MissingParameter",
            Self::InvalidParameterValue(_) => "InvalidParameterValue",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::MessageNotInflight => "AWS.SimpleQueueService.MessageNotInflight",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::TooManyEntriesInBatchRequest(_) => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            Self::BatchEntryIdsNotDistinct(_) => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::BatchRequestTooLong(_) => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::InternalFailure => "InternalFailure",
            Self::RequestThrottled => "RequestThrottled",
        }
    }

    /// The value of `__type` in the JSON protocol.
    #[must_use]
    pub fn shape(&self) -> &'static str {
        match self {
            Self::NonExistentQueue => "com.amazonaws.sqs#QueueDoesNotExist",
            Self::QueueNameExists => "com.amazonaws.sqs#QueueNameExists",
            Self::MissingParameter(_) => "com.amazon.coral.service#MissingRequiredParameterException",
            Self::InvalidParameterValue(_) => "com.amazon.coral.service#InvalidParameterValueException",
            Self::InvalidMessageContents => "com.amazonaws.sqs#InvalidMessageContents",
            Self::ReceiptHandleIsInvalid => "com.amazonaws.sqs#ReceiptHandleIsInvalid",
            Self::MessageNotInflight => "com.amazonaws.sqs#MessageNotInflight",
            Self::EmptyBatchRequest => "com.amazonaws.sqs#EmptyBatchRequest",
            Self::TooManyEntriesInBatchRequest(_) => "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            Self::BatchEntryIdsNotDistinct(_) => "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            Self::InvalidBatchEntryId => "com.amazonaws.sqs#InvalidBatchEntryId",
            Self::BatchRequestTooLong(_) => "com.amazonaws.sqs#BatchRequestTooLong",
            Self::InternalFailure => "com.amazon.coral.service#InternalFailure",
            Self::RequestThrottled => "com.amazonaws.sqs#RequestThrottled",
        }
    }

    /// The HTTP status of the error response.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InternalFailure => 500,
            Self::RequestThrottled => 403,
            _ => 400,
        }
    }

    /// Whether the caller, not the service, caused the error.
    #[must_use]
    pub fn is_sender_fault(&self) -> bool {
        !matches!(self, Self::InternalFailure)
    }
}
