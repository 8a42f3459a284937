//! Why SQS says no, with the codes and the status a client sees.
//!
//! The codes and shapes are those of the SQS API reference and of the service model behind the AWS SDKs: every
//! error has a JSON shape and, for clients that grew up with the older query protocol, a query code.

use thiserror::Error;

/// A call, or one entry of a batch, that SQS refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// No queue has this name.
    #[error("The specified queue does not exist.")]
    NonExistentQueue,
    /// A queue of this name exists already.
    #[error("A queue already exists with this name.")]
    QueueNameExists,
    /// A parameter that must be given is absent or empty.
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(&'static str),
    /// A parameter has a value that SQS does not take.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// The body holds a character outside the set that SQS allows.
    #[error("The message contains characters outside the allowed set.")]
    InvalidMessageContents,
    /// SQS never issued this receipt handle for this queue.
    #[error("The input receipt handle is invalid.")]
    ReceiptHandleIsInvalid,
    /// The message is visible, so its visibility cannot be changed.
    #[error("The message referred to isn't in flight.")]
    MessageNotInflight,
    /// A batch without entries.
    #[error("There should be at least one entry in the request.")]
    EmptyBatchRequest,
    /// A batch of more than ten entries.
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntriesInBatchRequest(usize),
    /// Two entries of a batch share an id.
    #[error("Id {0} repeated.")]
    BatchEntryIdsNotDistinct(String),
    /// An entry's id is empty, too long or holds a character that is not allowed.
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    InvalidBatchEntryId,
    /// The messages of a batch together are larger than one message may be.
    #[error("Batch requests cannot be longer than 1048576 bytes. You have sent {0} bytes.")]
    BatchRequestTooLong(usize),
    /// A fault on demand: the service itself failed.
    #[error("We encountered an internal error. Please try again.")]
    InternalFailure,
    /// A fault on demand: too many calls.
    #[error("Request is throttled.")]
    RequestThrottled,
}

impl QueueError {
    /// The code of the query protocol, which the SDKs prefer and which a failed batch entry carries.
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

    /// The JSON protocol's `__type`.
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

    /// The HTTP status of an answer that carries this error.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InternalFailure => 500,
            Self::RequestThrottled => 403,
            _ => 400,
        }
    }

    /// Whether the caller is to blame, rather than the service.
    #[must_use]
    pub fn is_senders_fault(&self) -> bool {
        !matches!(self, Self::InternalFailure)
    }
}
