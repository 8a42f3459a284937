//! The record of a world: every event in order, enough to check the guarantees afterwards and to print the history.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use local_aws::NewMessage;
use local_aws::queues::ReceiptHandle;
use privatelink_simulator::{Action, Endpoint};
use serde_json::Value;

use crate::outside::Outside;
use crate::sandbox::{Ending, Interruption};

/// Invocations are numbered from 1, in the order in which they began.
pub type InvocationNumber = u32;

/// Calls to Alibaba Cloud are numbered from 1, in the order in which they were sent.
pub type CallNumber = u32;

#[derive(Debug, Clone)]
pub struct Entry {
    pub at: SystemTime,
    pub kind: EntryKind,
}

#[derive(Debug, Clone)]
pub enum EntryKind {
    /// The request queue accepted a message.
    Sent { message: String, body: String },
    /// An invocation began.
    Invoked {
        invocation: InvocationNumber,
        /// The execution environment that it runs in.
        sandbox: usize,
        /// The process in it: a new one after every cold start.
        process: u32,
        batch: Vec<BatchMessage>,
        /// When its timeout ends it.
        ends: SystemTime,
        interruption: Option<Interruption>,
    },
    /// An invocation of the sweeper began.
    SweepInvoked {
        invocation: InvocationNumber,
        process: u32,
        /// The index of its sweep in the plan.
        sweep: usize,
        ends: SystemTime,
        interruption: Option<Interruption>,
    },
    /// The actual endpoints when an invocation of the sweeper began or ended.
    Actual { invocation: InvocationNumber, endpoints: Vec<Endpoint> },
    /// A sweep sends requests to the queue, in the order of its plan.
    Requesting { invocation: InvocationNumber, requests: Vec<NewMessage> },
    /// A worker or a sweeper sent a call to Alibaba Cloud.
    Called { invocation: InvocationNumber, call: CallNumber, requested: RequestedCall },
    /// The connection of a call opened slowly, and the call leaves only now.
    Left { call: CallNumber },
    /// The call arrived at Alibaba Cloud.
    Served { call: CallNumber, served: Box<Served> },
    /// The worker's wait for a response ended.
    Returned {
        call: CallNumber,
        /// Whether the complete response arrived.
        has_response: bool,
    },
    /// A change in AWS was applied or rejected.
    Changed {
        /// The invocation that requested it; none for the event source mapping.
        by: Option<InvocationNumber>,
        requested_at: SystemTime,
        change: Change,
        /// Why it was not applied: an error of AWS, or nothing to do.
        refusal: Option<String>,
    },
    /// A worker received an error or an empty success for its change, which may still be applied after an error.
    Failed { by: Option<InvocationNumber>, operation: Operation },
    /// The mapping received messages and lost them before it invoked the function.
    ReceiveLost { messages: Vec<String> },
    /// The queue delivers a message again while it is in flight, as a standard queue may.
    Duplicated { message: String },
    /// An invocation ended.
    Ended { invocation: InvocationNumber, ending: Ending },
    /// Another client did something.
    Outside(Outside),
}

/// A message as an invocation received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    pub message: String,
    pub lane: Option<String>,
    /// Includes this receive.
    pub receive_count: u32,
}

/// A call to Alibaba Cloud, parsed from its HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCall {
    /// None if it is unknown.
    pub action: Option<Action>,
    pub host: String,
    pub region: String,
    pub endpoint: String,
    pub group: Option<String>,
    pub dry_run: bool,
    /// The client token as the query spells it.
    pub client_token: Option<String>,
    /// None for the first page.
    pub next_token: Option<String>,
}

/// The result of a call at Alibaba Cloud.
#[derive(Debug, Clone)]
pub struct Served {
    /// The HTTP status; none if the response cannot be read.
    pub status: Option<u16>,
    pub body: Bytes,
    pub code: Option<String>,
    /// The delay that the response requests before the next call.
    pub hint: Option<Duration>,
    /// Whether an injected fault hit the call.
    pub is_fault: bool,
    /// Whether the service executed the call.
    pub is_executed: bool,
    /// The endpoint's actual state before the call took effect.
    pub actual: Option<Endpoint>,
}

/// An operation of SQS or `EventBridge` that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Delete a message from the request queue.
    Delete,
    /// Return messages to the queue.
    Defer,
    /// Copy a message to the dead-letter queue.
    SendDeadLetter,
    /// Publish a completion event.
    Publish,
    /// Send the requests of a sweep to the request queue.
    Request,
}

/// A change in AWS, with everything that is needed to apply it.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Delete a message from the request queue.
    Delete { message: String, handle: ReceiptHandle },
    /// Return messages to the queue.
    Defer {
        /// Ids and receipt handles.
        messages: Vec<(String, ReceiptHandle)>,
        /// How long the messages stay invisible.
        visibility: Duration,
    },
    /// Copy a message to the dead-letter queue.
    SendDeadLetter {
        /// The id of the copied message.
        message: String,
        copy: Box<NewMessage>,
    },
    /// Publish a completion event.
    Publish { detail_type: &'static str, detail: Value },
    /// Send a batch of requests of a sweep to the request queue.
    Request { requests: Vec<NewMessage> },
}

impl Change {
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Delete { .. } => Operation::Delete,
            Self::Defer { .. } => Operation::Defer,
            Self::SendDeadLetter { .. } => Operation::SendDeadLetter,
            Self::Publish { .. } => Operation::Publish,
            Self::Request { .. } => Operation::Request,
        }
    }
}

impl RequestedCall {
    /// Parses a request. Ids and tokens stay as the query spells them: those of the simulation need no encoding.
    #[must_use]
    pub fn read(request: &http::Request<Bytes>) -> Self {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let query = request.uri().query().unwrap_or_default();
        let field = |name: &str| {
            let mut fields = query.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        Self {
            action: header("x-acs-action").and_then(Action::named),
            host: request.uri().host().unwrap_or_default().to_owned(),
            region: field("RegionId").unwrap_or_default(),
            endpoint: field("EndpointId").unwrap_or_default(),
            group: field("SecurityGroupId"),
            dry_run: field("DryRun").as_deref() == Some("true"),
            client_token: field("ClientToken"),
            next_token: field("NextToken"),
        }
    }
}
