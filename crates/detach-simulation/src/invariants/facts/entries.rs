//! The entries of a history's index: messages, invocations, calls, events and dead-letter copies.

use std::time::{Duration, SystemTime};

use local_aws::NewMessage;
use serde_json::Value;

use crate::invariants::is_write;
use crate::record::{BatchMessage, InvocationNumber, RequestedCall, Served};
use crate::sandbox::{Ending, Interruption};

/// A message that the request queue accepted.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    pub at: SystemTime,
    /// The index of its request in the plan.
    pub request: usize,
    pub body: &'a str,
}

#[derive(Debug)]
pub struct Run<'a> {
    pub process: u32,
    pub began: SystemTime,
    /// When its timeout ends it.
    pub ends: SystemTime,
    pub batch: &'a [BatchMessage],
    /// When and how it ended, if it did.
    pub ended: Option<(SystemTime, &'a Ending)>,
    pub interruption: Option<Interruption>,
}

impl Run<'_> {
    /// Whether it was suspended, which delays everything in it.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(self.interruption, Some(Interruption::Suspend { .. }))
    }
}

/// A call to Alibaba Cloud.
#[derive(Debug)]
pub struct Call<'a> {
    pub invocation: InvocationNumber,
    /// When the worker began it.
    pub at: SystemTime,
    /// When it left: as soon as its connection was open.
    pub left_at: SystemTime,
    pub requested: &'a RequestedCall,
    /// When it arrived at the service, and the result there.
    pub served: Option<(SystemTime, &'a Served)>,
    /// When the worker's wait ended, and whether it had a response.
    pub returned: Option<(SystemTime, bool)>,
}

impl<'a> Call<'a> {
    /// The response that the worker received.
    #[must_use]
    pub fn response(&self) -> Option<&'a Served> {
        let (_, served) = self.served?;
        self.returned.is_some_and(|(_, has_response)| has_response).then_some(served)
    }

    #[must_use]
    pub fn is_write(&self) -> bool {
        is_write(self.requested.action)
    }

    /// Whether the worker received a response that a quota is exceeded.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let is_code = |code: &String| code.starts_with("Throttling") || code == "Rejected.Throttling";
        self.response()
            .is_some_and(|served| served.status == Some(429) || served.code.as_ref().is_some_and(is_code))
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// When the bus accepted it.
    pub at: SystemTime,
    /// When the worker called `PutEvents`, after its decision.
    pub requested_at: SystemTime,
    pub invocation: InvocationNumber,
    pub detail_type: &'static str,
    pub detail: &'a Value,
    /// The index of its request in the plan.
    pub request: Option<usize>,
}

impl<'a> Publication<'a> {
    #[must_use]
    pub fn outcome(&self) -> &'a str {
        self.detail["outcome"].as_str().unwrap_or_default()
    }

    #[must_use]
    pub fn reason(&self) -> &'a str {
        self.detail["reason"]["code"].as_str().unwrap_or_default()
    }

    /// Whether its detail-type is `Security Group Detach Completed`.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        !matches!(self.outcome(), "refused" | "rejected" | "unconfirmed")
    }
}

/// Messages of one lane that a worker returned to the queue.
#[derive(Debug, Clone)]
pub struct Return<'a> {
    pub invocation: InvocationNumber,
    /// When the worker requested it.
    pub requested_at: SystemTime,
    pub messages: Vec<&'a str>,
    /// How long they stay invisible.
    pub visibility: Duration,
}

/// A copy in the dead-letter queue.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterCopy<'a> {
    /// When the queue accepted it.
    pub at: SystemTime,
    /// When the worker sent it.
    pub requested_at: SystemTime,
    /// The invocation that made it.
    pub by: Option<InvocationNumber>,
    /// The id of the copied message.
    pub message: &'a str,
    pub copy: &'a NewMessage,
}
