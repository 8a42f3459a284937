//! Faults to inject into the next calls of an action.
//!
//! This module only stores the plan. The code that carries out calls, over HTTP or in memory, takes the fault of
//! each call and applies it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// A call that this crate supports. The names are those of the AWS APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    SendMessage,
    SendMessageBatch,
    ReceiveMessage,
    DeleteMessage,
    DeleteMessageBatch,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    GetQueueAttributes,
    GetQueueUrl,
    PutEvents,
    DescribeEventBus,
    GetSecretValue,
    GetWebIdentityToken,
}

/// A fault injected into a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not carried out; the response has the status 500.
    ServerError,
    /// The call is not carried out; the response is the service's throttling error.
    Throttled,
    /// The call is not carried out, and no response is sent.
    Hang,
    /// The call is carried out, but the connection is reset before the response.
    ResponseLost,
    /// The entry at this position (from 0) of a batch fails, although the response's status is 200. The other
    /// entries are carried out.
    ///
    /// It has no effect on a call without entries.
    EntryFails(usize),
    /// The call is not carried out; the response has the status 200 and an empty JSON object, as one of a proxy or a
    /// gateway can.
    EmptyResponse,
    /// The call is carried out, but the response has the MD5 of another body.
    ///
    /// It has no effect on a call that sends no message.
    OtherMd5,
    /// The call is not carried out; the response has the status 400, and its message repeats the request's body.
    QuotesRequest,
    /// The call is carried out, and its response is sent after this time.
    Slow(Duration),
}

/// The planned faults per action, in the order in which they apply.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<Action, VecDeque<Fault>>);

impl Action {
    /// The SQS action with this name.
    #[must_use]
    pub fn of_sqs(name: &str) -> Option<Self> {
        Some(match name {
            "SendMessage" => Self::SendMessage,
            "SendMessageBatch" => Self::SendMessageBatch,
            "ReceiveMessage" => Self::ReceiveMessage,
            "DeleteMessage" => Self::DeleteMessage,
            "DeleteMessageBatch" => Self::DeleteMessageBatch,
            "ChangeMessageVisibility" => Self::ChangeMessageVisibility,
            "ChangeMessageVisibilityBatch" => Self::ChangeMessageVisibilityBatch,
            "GetQueueAttributes" => Self::GetQueueAttributes,
            "GetQueueUrl" => Self::GetQueueUrl,
            _ => return None,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Fault {
    /// The position of the entry that fails, for [`Fault::EntryFails`].
    #[must_use]
    pub fn failed_entry(self) -> Option<usize> {
        match self {
            Self::EntryFails(position) => Some(position),
            Self::ServerError
            | Self::Throttled
            | Self::Hang
            | Self::ResponseLost
            | Self::EmptyResponse
            | Self::OtherMd5
            | Self::QuotesRequest
            | Self::Slow(_) => None,
        }
    }
}

impl Faults {
    /// Injects `fault` into the next `calls` calls of `action`, after those planned before.
    pub fn plan(&mut self, action: Action, calls: usize, fault: Fault) {
        self.0.entry(action).or_default().extend(std::iter::repeat_n(fault, calls));
    }

    /// Removes and returns the fault for the current call, if one is planned.
    pub fn take(&mut self, action: Action) -> Option<Fault> {
        self.0.get_mut(&action)?.pop_front()
    }

    /// Removes all planned faults.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether no planned fault is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_taken_per_action_in_the_planned_order() {
        let mut faults = Faults::default();
        faults.plan(Action::DeleteMessage, 2, Fault::ServerError);
        faults.plan(Action::DeleteMessage, 1, Fault::Hang);

        assert_eq!(faults.take(Action::SendMessage), None);
        let taken: Vec<_> = (0..4).map(|_| faults.take(Action::DeleteMessage)).collect();

        assert_eq!(taken, [Some(Fault::ServerError), Some(Fault::ServerError), Some(Fault::Hang), None]);
        assert!(faults.is_empty());
    }
}
