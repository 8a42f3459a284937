//! The JSON protocols of SQS, EventBridge and Secrets Manager and the query protocol of STS: the bytes of a request in,
//! a changed model and the bytes of an answer out.
//!
//! No I/O and no clock. Whoever owns the connection acts on the [`Reaction`]. Signatures are not checked.

mod events;
mod secrets;
mod sqs;
mod sts;

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

/// The account everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// The region everything is in.
pub const REGION: &str = "us-east-1";

/// The `x-amz-target` of publishing events.
pub const PUT_EVENTS: &str = "AWSEvents.PutEvents";

/// The `x-amz-target` of a look at a bus.
pub const DESCRIBE_EVENT_BUS: &str = "AWSEvents.DescribeEventBus";

/// The `x-amz-target` of reading a secret.
pub const GET_SECRET_VALUE: &str = "secretsmanager.GetSecretValue";

/// What `x-amz-target` begins with for SQS; the action follows.
pub const SQS_PREFIX: &str = "AmazonSQS.";

/// The content type of a call in the query protocol, which has no `x-amz-target`; the body names the action.
pub const QUERY_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// What becomes of a connection after a call.
#[derive(Debug)]
pub enum Reaction {
    /// This answer is written.
    Answer(Response<Bytes>),
    /// Nothing is ever written.
    Hang,
    /// The connection breaks without an answer.
    Lost,
}

/// The ARN of a queue.
#[must_use]
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The ARN of a secret. AWS appends six random characters to the name; here nothing is appended.
#[must_use]
pub fn secret_arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}")
}

/// The answer to a call that names no action served here.
#[must_use]
pub fn unknown_operation() -> Response<Bytes> {
    answer(400, &json!({ "__type": "com.amazon.coral.service#UnknownOperationException" }))
}

/// A call that was carried out, wholly or in part.
#[derive(Debug)]
struct Carried<A = Value> {
    answer: A,
    message_ids: Vec<String>,
    failed: usize,
}

/// A call that was refused as a whole.
#[derive(Debug)]
struct Refusal {
    status: u16,
    /// What the client sees as the error's code.
    code: &'static str,
    /// The JSON protocol's `__type`.
    shape: &'static str,
    message: String,
    /// Who is to blame, where the service answers in the query protocol or for it.
    party: Option<&'static str>,
}

/// Puts a finished call in the journal and says what becomes of the connection.
fn settle(
    journal: &mut Vec<JournalEntry>,
    entry: JournalEntry,
    fault: Option<Fault>,
    result: Result<Carried, Refusal>,
) -> Reaction {
    settle_as(journal, entry, fault, result, |result| match result {
        Ok(body) => answer(200, &body),
        Err(refusal) => refusal.answer(),
    })
}

/// The same with an answer in the service's own writing.
fn settle_as<A>(
    journal: &mut Vec<JournalEntry>,
    mut entry: JournalEntry,
    fault: Option<Fault>,
    result: Result<Carried<A>, Refusal>,
    write: impl FnOnce(Result<A, Refusal>) -> Response<Bytes>,
) -> Reaction {
    let answer = match result {
        Ok(Carried { answer, message_ids, failed }) => {
            entry.message_ids = message_ids;
            if failed > 0 {
                entry.ending = Ending::Partly { failed };
            }
            write(Ok(answer))
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
        Some(Fault::AnswerLost) => Reaction::Lost,
        Some(Fault::ServerError | Fault::Throttled | Fault::EntryFails(_)) | None => Reaction::Answer(answer),
    }
}

impl Refusal {
    fn answer(&self) -> Response<Bytes> {
        let mut answer = answer(self.status, &json!({ "__type": self.shape, "message": self.message }));
        let query_error =
            self.party.and_then(|party| HeaderValue::from_str(&format!("{};{party}", self.code)).ok());
        if let Some(query_error) = query_error {
            answer.headers_mut().insert("x-amzn-query-error", query_error);
        }
        answer
    }
}

/// The call's body is not what the action takes.
fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal {
        status: 400,
        code: "SerializationException",
        shape: "com.amazon.coral.service#SerializationException",
        message: error.to_string(),
        party: None,
    }
}

/// A refusal by a service that only ever spoke JSON.
fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal { status, code, shape: code, message: message.to_owned(), party: None }
}

/// The reaction of a service whose protocol is version 1.1 of JSON; SQS speaks 1.0.
fn json_1_1(reaction: Reaction) -> Reaction {
    match reaction {
        Reaction::Answer(mut answer) => {
            let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
            answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
            Reaction::Answer(answer)
        }
        other => other,
    }
}

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static("application/x-amz-json-1.0");
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
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
    fn answered(reaction: Reaction) -> (u16, Option<String>, Value) {
        let Reaction::Answer(answer) = reaction else { panic!("{reaction:?}") };
        let query_error = answer.headers().get("x-amzn-query-error");
        let query_error = query_error.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), query_error, serde_json::from_slice(answer.body()).unwrap())
    }

    #[test]
    fn refusal_has_the_shape_and_the_header_of_sqs() {
        let mut journal = Vec::new();
        let (status, query_error, body) = answered(send(&mut queues(), &mut journal, ""));

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
    fn body_that_is_no_call_is_refused_and_journaled() {
        let mut journal = Vec::new();
        let reaction = call_sqs(&mut queues(), &mut journal, "", "SendMessage", b"[]", NOW);

        assert_eq!(answered(reaction).0, 400);
        assert_eq!(journal[0].ending, Ending::Refused("SerializationException".to_owned()));
    }

    #[test]
    fn fault_decides_whether_the_call_is_carried_out() {
        for (fault, messages) in [
            (Fault::ServerError, 0),
            (Fault::Throttled, 0),
            (Fault::Hang, 0),
            (Fault::AnswerLost, 1),
            (Fault::EntryFails(0), 1),
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
            assert_eq!(matches!(reaction, Reaction::Lost), fault == Fault::AnswerLost);
        }
    }
}
