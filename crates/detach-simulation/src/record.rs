//! What happened in a world, in order: enough to tell afterwards whether a promise was broken, and to tell the story of it.

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

/// Calls to Alibaba Cloud are numbered from 1, in the order in which they left a worker.
pub type CallNumber = u32;

/// One thing that happened, and when.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone)]
pub enum What {
    /// The request queue accepted a message.
    Sent {
        /// Its id.
        message: String,
        /// Its body.
        body: String,
    },
    /// An invocation began.
    Invoked {
        /// Which.
        invocation: InvocationNumber,
        /// The execution environment that it runs in.
        sandbox: usize,
        /// The process in it: another one after every cold start.
        process: u32,
        /// The messages that it was given.
        batch: Vec<Given>,
        /// When Lambda will end it.
        ends: SystemTime,
        /// What befalls it, if anything does.
        interruption: Option<Interruption>,
    },
    /// A worker sent a call to Alibaba Cloud.
    Called {
        /// Whose.
        invocation: InvocationNumber,
        /// Which.
        call: CallNumber,
        /// What it asks.
        asked: Asked,
    },
    /// The call arrived there.
    Served {
        /// Which.
        call: CallNumber,
        /// The answer that left, and what was true.
        served: Box<Served>,
    },
    /// The worker has its answer, or will not get one.
    Returned {
        /// Which.
        call: CallNumber,
        /// Whether the answer came whole.
        is_answered: bool,
    },
    /// Something was changed in AWS.
    Changed {
        /// By whom; nobody's invocation is the event source mapping.
        by: Option<InvocationNumber>,
        /// When it was asked for.
        asked_at: SystemTime,
        /// What.
        change: Change,
        /// Why it was not, if AWS refused it, or if there was nothing to do.
        refusal: Option<String>,
    },
    /// A worker, or the mapping, was told that its change failed, whatever has become of it.
    Failed {
        /// Whose.
        by: Option<InvocationNumber>,
        /// What was to be changed.
        operation: Operation,
    },
    /// The mapping received messages, and lost them before it could invoke anybody.
    ReceiveLost {
        /// Their ids.
        messages: Vec<String>,
    },
    /// The queue delivers a message again while it is in flight, as a standard queue may.
    Duplicated {
        /// Its id.
        message: String,
    },
    /// An invocation ended.
    Ended {
        /// Which.
        invocation: InvocationNumber,
        /// How.
        ending: Ending,
    },
    /// Somebody else did something.
    Outside(Outside),
}

/// A message as an invocation got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its id.
    pub message: String,
    /// Its message group, if it has one.
    pub lane: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// A call to Alibaba Cloud, as its request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The action, if it is one that is known.
    pub action: Option<Action>,
    /// The host that it goes to.
    pub host: String,
    /// The region in the query.
    pub region: String,
    /// The endpoint in the query.
    pub endpoint: String,
    /// The group in the query.
    pub group: Option<String>,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// The client token, as the query has it.
    pub client_token: Option<String>,
    /// The page that it asks for, if not the first.
    pub next_token: Option<String>,
}

/// A call's arrival.
#[derive(Debug, Clone)]
pub struct Served {
    /// The status; none if nothing can be read of the answer.
    pub status: Option<u16>,
    /// The body, as it left.
    pub body: Bytes,
    /// The error code in the body, if there is one.
    pub code: Option<String>,
    /// How long the answer asks to be left alone.
    pub hint: Option<Duration>,
    /// Whether an injected fault struck the call.
    pub is_fault: bool,
    /// Whether the service carried the call out.
    pub is_executed: bool,
    /// The endpoint as it truly was, before anything came of the call.
    pub truth: Option<Endpoint>,
}

/// What is asked of SQS and `EventBridge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Take a message out of the request queue.
    Delete,
    /// Give messages back.
    HandBack,
    /// Copy a message to the dead-letter queue.
    Bury,
    /// Publish a completion event.
    Publish,
}

/// A change in AWS, with all that it takes to carry it out.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Take a message out of the request queue.
    Delete {
        /// Its id.
        message: String,
        /// The receive.
        handle: ReceiptHandle,
    },
    /// Give messages back.
    HandBack {
        /// Their ids and receives.
        messages: Vec<(String, ReceiptHandle)>,
        /// For how long they stay hidden.
        visibility: Duration,
    },
    /// Copy a message to the dead-letter queue.
    Bury {
        /// The id of the message.
        message: String,
        /// The copy.
        copy: Box<NewMessage>,
    },
    /// Publish a completion event.
    Publish {
        /// Its detail.
        detail: Value,
    },
}

impl Change {
    /// What is asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Delete { .. } => Operation::Delete,
            Self::HandBack { .. } => Operation::HandBack,
            Self::Bury { .. } => Operation::Bury,
            Self::Publish { .. } => Operation::Publish,
        }
    }
}

impl Asked {
    /// Reads a request. Ids and tokens stay as the query has them: ours need no encoding.
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
