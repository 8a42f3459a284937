//! Faults on demand: what the next calls of an action are to suffer.
//!
//! Only the plan is kept here. Whoever carries calls out, over HTTP or in memory, takes the fault of each call and acts
//! on it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// A call that this crate serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the AWS APIs")]
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

/// What a call suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; status 500.
    ServerError,
    /// Nothing is done; the service's throttling error.
    Throttled,
    /// Nothing is done, and no answer ever comes.
    Hang,
    /// The call is carried out, but the connection breaks before the answer.
    AnswerLost,
    /// The entry at this position (from 0) of a batch fails inside a 200; the others are carried out.
    ///
    /// A call without entries ignores it.
    EntryFails(usize),
}

/// The plan: faults by action, first planned, first taken.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<Action, VecDeque<Fault>>);

impl Action {
    /// The SQS action of this name.
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
    /// The position of the entry that fails, if this fault concerns an entry.
    #[must_use]
    pub fn broken_entry(self) -> Option<usize> {
        match self {
            Self::EntryFails(position) => Some(position),
            Self::ServerError | Self::Throttled | Self::Hang | Self::AnswerLost => None,
        }
    }
}

impl Faults {
    /// The next `calls` calls of `action` suffer `fault`, after those planned before.
    pub fn plan(&mut self, action: Action, calls: usize, fault: Fault) {
        self.0.entry(action).or_default().extend(std::iter::repeat_n(fault, calls));
    }

    /// The fault of the call that comes now, if one is planned; it is used up.
    pub fn take(&mut self, action: Action) -> Option<Fault> {
        self.0.get_mut(&action)?.pop_front()
    }

    /// Forgets every fault not yet taken.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether every planned fault was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_taken_in_the_order_of_the_plan_and_by_action() {
        let mut faults = Faults::default();
        faults.plan(Action::DeleteMessage, 2, Fault::ServerError);
        faults.plan(Action::DeleteMessage, 1, Fault::Hang);

        assert_eq!(faults.take(Action::SendMessage), None);
        let taken: Vec<_> = (0..4).map(|_| faults.take(Action::DeleteMessage)).collect();

        assert_eq!(taken, [Some(Fault::ServerError), Some(Fault::ServerError), Some(Fault::Hang), None]);
        assert!(faults.is_empty());
    }
}
