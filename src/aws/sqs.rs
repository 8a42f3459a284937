//! What the senders and the receivers of every queue share: SQS's limits, its receipt for a message, and the error of an
//! operation.

use std::time::Duration;

use aws_sdk_sqs::operation::send_message::SendMessageOutput;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use md5::{Digest, Md5};
use thiserror::Error;

use super::AwsError;

/// Maximum number of entries of one batch call, SQS's limit.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;

/// The operation that sends one message.
pub(crate) const SEND: &str = "SendMessage";

/// Longest visibility timeout, SQS's limit of 12 hours.
const VISIBILITY_MAX: Duration = Duration::from_hours(12);

/// Maximum number of characters of a text in an attribute of a dead-letter copy.
const ATTRIBUTE_LENGTH_MAX: usize = 256;

/// A visibility timeout in seconds, rounded up, so that no message becomes visible too early.
pub(crate) fn visibility_seconds(visibility: Duration) -> i32 {
    let seconds = visibility.min(VISIBILITY_MAX).as_millis().div_ceil(1000);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// A text as the value of an attribute: shortened, and with the characters of XML only, because SQS accepts no others.
pub(crate) fn attribute_text(text: &str) -> String {
    let is_refused = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let visible = |c: char| if is_refused(c) { ' ' } else { c };
    text.chars().map(visible).take(ATTRIBUTE_LENGTH_MAX).collect()
}

/// An operation on a queue failed.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The call failed as a whole.
    #[error("{operation} failed")]
    Call {
        operation: &'static str,
        #[source]
        source: AwsError,
    },
    /// SQS refused entries of a batch call.
    #[error("{operation} failed for {failed} of {of} entries, for the first with {code}")]
    Entries { operation: &'static str, failed: usize, of: usize, code: String },
    /// The call succeeded, and its response does not show that SQS has the message.
    #[error("{operation} succeeded without a receipt for the message")]
    NoReceipt {
        operation: &'static str,
        #[source]
        source: NoReceipt,
    },
}

/// Why a successful response does not show that SQS has the message as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoReceipt {
    #[error("the response has no message id")]
    NoMessageId,
    #[error("the response has no MD5 of the body")]
    NoBodyMd5,
    #[error("the MD5 in the response is not that of the body")]
    OtherBody,
}

/// Checks SQS's receipt for a message: its id, and the MD5 of its body. A successful status alone proves nothing: a proxy
/// or a gateway may have sent it. The SDK does not compare the MD5.
///
/// The MD5 of the attributes is not compared. SQS drops a repeated message as a duplicate although its attributes may have
/// changed, such as the reason of a dead-letter copy, and does not document whose attributes the response then describes.
pub(crate) fn check_receipt(
    message_id: Option<&str>,
    body_md5: Option<&str>,
    body: &str,
) -> Result<(), NoReceipt> {
    if message_id.is_none_or(str::is_empty) {
        return Err(NoReceipt::NoMessageId);
    }
    let body_md5 = body_md5.filter(|md5| !md5.is_empty()).ok_or(NoReceipt::NoBodyMd5)?;
    let expected = u128::from_be_bytes(Md5::digest(body).into());
    let is_of_body = body_md5.eq_ignore_ascii_case(&format!("{expected:032x}"));
    is_of_body.then_some(()).ok_or(NoReceipt::OtherBody)
}

/// Checks that a successful response to `SendMessage` has SQS's receipt for the body that was sent.
pub fn check_sent(response: &SendMessageOutput, body: &str) -> Result<(), QueueError> {
    check_receipt(response.message_id(), response.md5_of_message_body(), body)
        .map_err(|source| QueueError::NoReceipt { operation: SEND, source })
}

impl QueueError {
    /// A call that failed as a whole. Every request to a queue has a body or a receipt handle, so AWS's message is dropped.
    pub(crate) fn call<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Self::Call { operation, source: AwsError::without_message(error) }
    }

    /// Whether SQS did not respond in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_timeout())
    }

    /// A call for which the invocation had no time left.
    pub(crate) fn out_of_time(operation: &'static str) -> Self {
        Self::Call { operation, source: AwsError::out_of_time() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MD5 of `a`.
    const MD5_OF_A: &str = "0cc175b9c0f1b6a831c399e269772661";

    #[test]
    fn receipt_is_a_message_id_and_the_md5_of_the_body() {
        let upper = MD5_OF_A.to_ascii_uppercase();
        for (message_id, md5, result) in [
            (Some("m"), Some(MD5_OF_A), Ok(())),
            (Some("m"), Some(upper.as_str()), Ok(())),
            (None, Some(MD5_OF_A), Err(NoReceipt::NoMessageId)),
            (Some(""), Some(MD5_OF_A), Err(NoReceipt::NoMessageId)),
            (Some("m"), None, Err(NoReceipt::NoBodyMd5)),
            (Some("m"), Some(""), Err(NoReceipt::NoBodyMd5)),
            (Some("m"), Some(&MD5_OF_A[..31]), Err(NoReceipt::OtherBody)),
            (Some("m"), Some("d41d8cd98f00b204e9800998ecf8427e"), Err(NoReceipt::OtherBody)),
        ] {
            assert_eq!(check_receipt(message_id, md5, "a"), result, "{message_id:?} {md5:?}");
        }
    }
}
