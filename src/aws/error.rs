//! Why a call to AWS failed. It never contains the call's request: AWS's own texts can quote it, with the body of a message
//! and its receipt handle.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

use crate::text::shortened;

/// Maximum length of a code in bytes. The longest of the codes that this project knows has 46.
const CODE_LENGTH_MAX: usize = 64;

/// The code of a call that got no response in time.
const TIMEOUT: &str = "Timeout";

/// Why a call to AWS failed.
#[derive(Debug, Error)]
#[error("{code}{}", message.as_ref().map_or(String::new(), |message| format!(": {message}")))]
pub struct AwsError {
    /// AWS's exact code. Without one: `Http` and the status, `Timeout` or `ConnectionLost` if there was no response,
    /// and `NotSent` if the client is not configured for the call.
    pub code: String,
    /// AWS's message, shortened and without control characters. `None` for a call whose request has contents of ours: a
    /// message can quote them in any form.
    pub message: Option<String>,
    /// Whether the error can disappear without a change: AWS throttles, fails or is unreachable.
    pub is_transient: bool,
    /// What happened to the connection, if AWS did not respond.
    #[source]
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl AwsError {
    /// A call for which the invocation had no time left. Its effect is unknown.
    #[must_use]
    pub fn out_of_time() -> Self {
        let cause = Some("no time is left in this invocation".into());
        Self { code: TIMEOUT.to_owned(), message: None, is_transient: true, cause }
    }

    /// Whether AWS did not respond in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.code == TIMEOUT
    }

    /// The error of a call whose request has contents of ours, such as a message's body or its receipt handle.
    pub(crate) fn without_message<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        Self { message: None, ..Self::from(error) }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for AwsError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = match (error.code().filter(|code| is_code(code)), status, &error) {
            (Some(code), _, _) => code.to_owned(),
            (None, Some(status), _) => format!("Http{status}"),
            (None, None, SdkError::TimeoutError(_)) => TIMEOUT.to_owned(),
            (None, None, SdkError::ConstructionFailure(_)) => "NotSent".to_owned(),
            (None, None, SdkError::DispatchFailure(failure)) if failure.is_timeout() => TIMEOUT.to_owned(),
            (None, None, _) => "ConnectionLost".to_owned(),
        };
        let is_throttled = status == Some(429)
            || matches!(code.as_str(), "Throttling" | "ThrottlingException" | "RequestLimitExceeded");
        let is_transient = match status {
            Some(status) => is_throttled || status >= 500 || status == 200,
            None => !matches!(error, SdkError::ConstructionFailure(_)),
        };
        let message = error.message().map(shortened);
        // The source of a response would repeat its code and message.
        let cause = if status.is_none() { error.into_source().ok() } else { None };
        Self { code, message, is_transient, cause }
    }
}

/// The code of an entry as an error and a log line may repeat it: a text that is not one may quote the entry.
pub(crate) fn shown_code(code: &str) -> &str {
    if is_code(code) { code } else { "no code" }
}

/// Whether the text has the form of AWS's codes, such as `AWS.SimpleQueueService.NonExistentQueue`.
fn is_code(text: &str) -> bool {
    let is_of_code = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=CODE_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_of_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MESSAGE_LENGTH_MAX;

    #[test]
    fn failed_call_has_a_code_and_is_transient_or_not() {
        use aws_sdk_sts::error::ErrorMetadata;
        use aws_sdk_sts::operation::get_web_identity_token::GetWebIdentityTokenError as E;
        use aws_smithy_runtime_api::client::result::ConnectorError;
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;

        let response = |status: u16, code: Option<&str>| {
            let mut meta = ErrorMetadata::builder().message("words");
            if let Some(code) = code {
                meta = meta.code(code);
            }
            let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
            SdkError::service_error(E::generic(meta.build()), raw)
        };
        for (error, code, is_transient) in [
            (response(400, Some("{\"MessageBody\":1}")), "Http400", false),
            (response(400, Some("")), "Http400", false),
            (response(403, Some("AccessDenied")), "AccessDenied", false),
            (response(400, Some("Throttling")), "Throttling", true),
            (response(400, Some("ThrottlingException")), "ThrottlingException", true),
            (response(429, Some("Anything")), "Anything", true),
            (response(500, Some("InternalFailure")), "InternalFailure", true),
            (response(502, None), "Http502", true),
            (response(403, None), "Http403", false),
            (response(200, None), "Http200", true),
            (SdkError::timeout_error("late"), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::timeout("late".into())), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::io("broken".into())), "ConnectionLost", true),
            (SdkError::construction_failure("no region"), "NotSent", false),
        ] {
            let has_response = error.raw_response().is_some();
            let error = AwsError::from(error);
            assert_eq!((error.code.as_str(), error.is_transient), (code, is_transient), "{error:?}");
            assert_eq!(error.cause.is_none(), has_response, "{error:?}");
        }
        assert_eq!(AwsError::from(response(403, Some("X"))).message.as_deref(), Some("words"));
    }

    #[test]
    fn message_is_shortened_and_dropped_for_a_request_with_contents_of_ours() {
        use aws_sdk_sqs::error::ErrorMetadata;
        use aws_sdk_sqs::operation::send_message::SendMessageError as E;
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;

        let error = || {
            let message = format!("User\n is not authorized {}", "x".repeat(900));
            let meta = ErrorMetadata::builder().code("AccessDenied").message(message).build();
            let raw = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
            SdkError::service_error(E::generic(meta), raw)
        };
        let kept = AwsError::from(error()).to_string();
        assert!(kept.starts_with("AccessDenied: User is not authorized xxx"), "{kept}");
        assert_eq!(kept.len(), "AccessDenied: ".len() + MESSAGE_LENGTH_MAX);
        assert_eq!(AwsError::without_message(error()).to_string(), "AccessDenied");
    }
}
