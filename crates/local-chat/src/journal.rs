//! The journal: every call of a platform's API, in order, without the token that authenticated it.
//!
//! Tests use it for assertions, for example that a message was posted once or that no call was made.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::faults::Fault;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// The time of arrival; in JSON, milliseconds since 1970.
    #[serde(rename = "at_ms", serialize_with = "milliseconds")]
    pub at: SystemTime,
    /// The name of the method, such as `chat.postMessage`.
    pub method: String,
    /// The body, or `null` if it is not JSON.
    pub body: Value,
    pub ending: Ending,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The call was carried out, and the response sent.
    Done,
    /// The call was refused with this error code.
    Refused(String),
    /// A fault was injected. After [`Fault::ResponseLost`] and [`Fault::Slow`], the call may have been carried out.
    Faulted(Fault),
}

fn milliseconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let milliseconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    serializer.serialize_u64(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}
