//! The JSON protocols of SQS, EventBridge and Secrets Manager and the query protocol of STS: parses a request,
//! changes a model, and returns a response.
//!
//! No I/O and no clock. The owner of the connection applies the [`Reaction`]. Signatures are not checked.

mod events;
mod secrets;
mod sqs;
mod sts;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

pub use events::{describe_event_bus, put_events};
pub use secrets::get_secret_value;
pub use sqs::call as call_sqs;
pub use sts::call as call_sts;

use crate::faults::Fault;
use crate::journal::{Ending, JournalEntry};
pub(crate) use sqs::system_attributes;

/// The id of the simulated AWS account.
pub const ACCOUNT: &str = "000000000000";

/// The simulated AWS Region.
pub const REGION: &str = "us-east-1";

/// The `x-amz-target` of `PutEvents`.
pub const PUT_EVENTS: &str = "AWSEvents.PutEvents";

/// The `x-amz-target` of `DescribeEventBus`.
pub const DESCRIBE_EVENT_BUS: &str = "AWSEvents.DescribeEventBus";

/// The `x-amz-target` of `GetSecretValue`.
pub const GET_SECRET_VALUE: &str = "secretsmanager.GetSecretValue";

/// The prefix of `x-amz-target` for SQS; the action follows it.
pub const SQS_PREFIX: &str = "AmazonSQS.";

/// The content type of the query protocol, in which the body, not `x-amz-target`, names the action.
pub const QUERY_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// What the server does with the connection after a call.
#[derive(Debug)]
pub enum Reaction {
    /// Sends this response.
    Respond(Response<Bytes>),
    /// Sends this response after this time.
    RespondLater { response: Response<Bytes>, after: Duration },
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Resets the connection.
    Reset,
}

#[must_use]
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The ARN of a secret. AWS appends six random characters to the name; this model does not.
#[must_use]
pub fn secret_arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}")
}

/// The response to a call of an unsupported action.
#[must_use]
pub fn unknown_operation() -> Response<Bytes> {
    json_response(400, &json!({ "__type": "com.amazon.coral.service#UnknownOperationException" }))
}

/// The result of a call that was carried out completely or in part.
#[derive(Debug)]
struct Executed<A = Value> {
    response: A,
    message_ids: Vec<String>,
    failed: usize,
}

/// The refusal of a whole call.
#[derive(Debug)]
struct Refusal {
    status: u16,
    /// The error code that the client sees.
    code: &'static str,
    /// The value of `__type` in the JSON protocol.
    shape: &'static str,
    message: String,
    /// The party that caused the error, `Sender` or `Receiver`; set only if the service's response contains it.
    party: Option<&'static str>,
}

/// Adds a call to the journal and returns what to do with the connection.
fn finish(
    journal: &mut Vec<JournalEntry>,
    entry: JournalEntry,
    fault: Option<Fault>,
    result: Result<Executed, Refusal>,
) -> Reaction {
    finish_with(journal, entry, fault, result, |result| match result {
        Ok(body) => json_response(200, &body),
        Err(refusal) => refusal.response(),
    })
}

/// The same as `finish`, for a service with its own response format.
fn finish_with<A>(
    journal: &mut Vec<JournalEntry>,
    mut entry: JournalEntry,
    fault: Option<Fault>,
    result: Result<Executed<A>, Refusal>,
    write: impl FnOnce(Result<A, Refusal>) -> Response<Bytes>,
) -> Reaction {
    let response = match result {
        Ok(Executed { response, message_ids, failed }) => {
            entry.message_ids = message_ids;
            if failed > 0 {
                entry.ending = Ending::Partly { failed };
            }
            write(Ok(response))
        }
        Err(refusal) => {
            entry.ending = Ending::Refused(refusal.code.to_owned());
            write(Err(refusal))
        }
    };
    if let Some(fault) = fault {
        entry.ending = Ending::Faulted(fault);
    }
    journal.push(entry);
    match fault {
        Some(Fault::Hang) => Reaction::Hang,
        Some(Fault::ResponseLost) => Reaction::Reset,
        Some(Fault::Slow(after)) => Reaction::RespondLater { response, after },
        Some(Fault::EmptyResponse) => Reaction::Respond(json_response(200, &json!({}))),
        Some(
            Fault::ServerError
            | Fault::Throttled
            | Fault::EntryFails(_)
            | Fault::OtherMd5
            | Fault::QuotesRequest,
        )
        | None => Reaction::Respond(response),
    }
}

impl Refusal {
    fn response(&self) -> Response<Bytes> {
        let mut response =
            json_response(self.status, &json!({ "__type": self.shape, "message": self.message }));
        let query_error =
            self.party.and_then(|party| HeaderValue::from_str(&format!("{};{party}", self.code)).ok());
        if let Some(query_error) = query_error {
            response.headers_mut().insert("x-amzn-query-error", query_error);
        }
        response
    }
}

/// The refusal of a call with an invalid body.
fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal {
        status: 400,
        code: "SerializationException",
        shape: "com.amazon.coral.service#SerializationException",
        message: error.to_string(),
        party: None,
    }
}

/// The refusal of a call whose message repeats the request's body.
fn quoting(body: &[u8]) -> Refusal {
    let message = format!("Could not parse the request body: {}", String::from_utf8_lossy(body));
    refusal(400, "ValidationException", &message)
}

/// A refusal by a service that has only a JSON protocol.
fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal { status, code, shape: code, message: message.to_owned(), party: None }
}

/// Sets the content type of JSON protocol version 1.1. SQS uses version 1.0.
fn json_1_1(reaction: Reaction) -> Reaction {
    let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
    let with_type = |mut response: Response<Bytes>| {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    };
    match reaction {
        Reaction::Respond(response) => Reaction::Respond(with_type(response)),
        Reaction::RespondLater { response, after } => {
            Reaction::RespondLater { response: with_type(response), after }
        }
        other => other,
    }
}

fn json_response(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::faults::Action;
    use crate::queues::{QueueSettings, Queues};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const QUEUE: &str = "requests.fifo";

    fn queues() -> Queues {
        let mut queues = Queues::default();
        queues.create(QUEUE, QueueSettings::fifo()).unwrap();
        queues
    }

    fn send(queues: &mut Queues, journal: &mut Vec<JournalEntry>, body: &str) -> Reaction {
        let call = json!({
            "QueueUrl": format!("http://127.0.0.1:1/{ACCOUNT}/{QUEUE}"),
            "MessageBody": body,
            "MessageGroupId": "lane",
            "MessageDeduplicationId": "once",
        });
        call_sqs(queues, journal, "http://127.0.0.1:1", "SendMessage", call.to_string().as_bytes(), NOW)
    }

    #[track_caller]
    fn response_of(reaction: Reaction) -> (u16, Option<String>, Value) {
        let Reaction::Respond(response) = reaction else { panic!("{reaction:?}") };
        let query_error = response.headers().get("x-amzn-query-error");
        let query_error = query_error.map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), query_error, serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn refusal_has_the_format_and_header_of_sqs() {
        let mut journal = Vec::new();
        let (status, query_error, body) = response_of(send(&mut queues(), &mut journal, ""));

        assert_eq!((status, query_error.as_deref()), (400, Some("MissingParameter;Sender")));
        assert_eq!(
            body,
            json!({
                "__type": "com.amazon.coral.service#MissingRequiredParameterException",
                "message": "The request must contain the parameter MessageBody.",
            })
        );
        assert_eq!(journal[0].ending, Ending::Refused("MissingParameter".to_owned()));
    }

    #[test]
    fn invalid_body_is_refused_and_journaled() {
        let mut journal = Vec::new();
        let reaction = call_sqs(&mut queues(), &mut journal, "", "SendMessage", b"[]", NOW);

        assert_eq!(response_of(reaction).0, 400);
        assert_eq!(journal[0].ending, Ending::Refused("SerializationException".to_owned()));
    }

    #[test]
    fn fault_determines_whether_the_call_is_executed() {
        for (fault, messages) in [
            (Fault::ServerError, 0),
            (Fault::Throttled, 0),
            (Fault::Hang, 0),
            (Fault::ResponseLost, 1),
            (Fault::EntryFails(0), 1),
            (Fault::EmptyResponse, 0),
            (Fault::OtherMd5, 1),
            (Fault::Slow(Duration::ZERO), 1),
            (Fault::QuotesRequest, 0),
        ] {
            let (mut queues, mut journal) = (queues(), Vec::new());
            queues.faults().plan(Action::SendMessage, 1, fault);

            let reaction = send(&mut queues, &mut journal, "a");

            assert_eq!(queues.messages(QUEUE).unwrap().len(), messages, "{fault:?}");
            assert_eq!(
                (journal[0].message_ids.len(), &journal[0].ending),
                (messages, &Ending::Faulted(fault))
            );
            assert_eq!(matches!(reaction, Reaction::Hang), fault == Fault::Hang);
            assert_eq!(matches!(reaction, Reaction::Reset), fault == Fault::ResponseLost);
        }
    }
}
