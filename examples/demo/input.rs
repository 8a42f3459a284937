//! What an event file holds, and the way on which it reaches a function.
//!
//! What the intake takes goes through the front door: HTTP calls, the events of rules and topics, and lists of
//! requests, which only a schedule sends as they are. The messages of an SQS event go into the local queue, so that
//! they are received, handed back and delivered again as real ones are. What no queue would hold, an event without
//! records or a message without a body, is given to the worker as it stands, as a test event of Lambda's console is.
//! Everything else is a direct invocation of the worker.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use local_aws::NewMessage;
use local_aws::queues::{AttributeValue, MessageAttribute};
use privatelink_detach::request::{DetachRequest, EndpointId, RegionId, Rules};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Failure;
use crate::call::{Call, CallError};

/// What a file's name has in it if the signature in it is wrong on purpose.
const FORGED: &str = "forged";

/// One event file.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) way: Way,
}

/// How it reaches a function.
#[derive(Debug)]
pub(crate) enum Way {
    /// Through the front door, over HTTP.
    Call(Box<Call>),
    /// Through the front door, as an invocation of the intake.
    Event { payload: Box<RawValue>, source: Source },
    /// Through the queue.
    Queue(Vec<NewMessage>),
    /// As it stands: a batch that no queue would make.
    Batch { payload: Box<RawValue>, bodies: Vec<Option<String>> },
    /// As a direct invocation of the worker.
    Direct(Box<RawValue>),
}

/// What invokes the intake with an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    EventBridge,
    Sns,
    Schedule,
    /// An HTTP call in a format that a Function URL does not have.
    OtherCall,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: Option<String>,
    message_id: Option<String>,
    body: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl Input {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(Failure::Read { path, source }),
        };
        let payload: Box<RawValue> = match serde_json::from_str(&text) {
            Ok(payload) => payload,
            Err(source) => return Err(Failure::NotJson { path, source }),
        };
        if !payload.get().starts_with('{') {
            return Err(Failure::NotAnEvent { path });
        }
        let is_forged = path.file_stem().is_some_and(|name| name.to_string_lossy().contains(FORGED));
        match Way::of(payload, is_forged) {
            Ok(way) => Ok(Self { path, way }),
            Err(source) => Err(Failure::Call { path, source }),
        }
    }
}

impl Source {
    /// The source of an event for the intake, told by its shape; none if it is for somebody else.
    fn of(event: &Value) -> Option<Self> {
        let is_sns = |record: &Value| record["EventSource"] == "aws:sns";
        if event.get("detail-type").is_some() {
            Some(Self::EventBridge)
        } else if event["Records"].as_array().is_some_and(|records| records.iter().any(is_sns)) {
            Some(Self::Sns)
        } else if event.get("requests").is_some() {
            Some(Self::Schedule)
        } else if event.get("requestContext").or(event.get("httpMethod")).is_some() {
            Some(Self::OtherCall)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EventBridge => "an EventBridge rule",
            Self::Sns => "an SNS topic",
            Self::Schedule => "a schedule",
            Self::OtherCall => "a REST API or a load balancer",
        }
    }
}

impl Way {
    fn of(payload: Box<RawValue>, is_forged: bool) -> Result<Self, CallError> {
        let shape: Value = serde_json::from_str(payload.get())?;
        if shape["requestContext"]["http"].is_object() {
            return Ok(Self::Call(Box::new(Call::read(payload.get(), is_forged)?)));
        }
        if let Some(source) = Source::of(&shape) {
            return Ok(Self::Event { payload, source });
        }
        Ok(match serde_json::from_str::<Event>(payload.get()) {
            Ok(event) => Self::of_records(event.records, payload),
            Err(_) => Self::Direct(payload),
        })
    }

    fn of_records(records: Vec<Record>, payload: Box<RawValue>) -> Self {
        let is_queueable = |record: &Record| {
            record.event_source.as_deref() == Some("aws:sqs")
                && record.body.as_deref().is_some_and(|body| !body.is_empty())
        };
        if records.is_empty() || !records.iter().all(is_queueable) {
            let bodies = records.into_iter().map(|record| record.body).collect();
            return Self::Batch { payload, bodies };
        }
        let message = |(index, record): (usize, Record)| record.into_message(index);
        Self::Queue(records.into_iter().enumerate().map(message).collect())
    }
}

impl Record {
    /// The message as its sender sent it. The file's own times and receive counts are history; the queue makes new ones.
    fn into_message(self, index: usize) -> NewMessage {
        let body = self.body.unwrap_or_default();
        let id = self.message_id.unwrap_or_else(|| format!("record-{index}"));
        let attribute = |name: &str| self.attributes.get(name).filter(|value| !value.is_empty());
        let group = attribute("MessageGroupId").cloned();
        let group = group.or_else(|| lane(&body)).unwrap_or_else(|| id.clone());
        let deduplication_id = attribute("MessageDeduplicationId").unwrap_or(&id);
        let mut message = NewMessage::fifo(body, &group, deduplication_id);
        message.attributes =
            self.message_attributes.into_iter().map(|(name, attribute)| (name, attribute.into())).collect();
        message
    }
}

/// The message group that the contract gives a request.
fn lane(body: &str) -> Option<String> {
    let named = |region: &RegionId, endpoint: &EndpointId| format!("{region}/{endpoint}");
    match DetachRequest::parse(body, &Rules::default()) {
        Ok(request) => Some(named(&request.region_id, &request.endpoint_id)),
        Err(rejection) => Some(named(rejection.region_id.as_ref()?, rejection.endpoint_id.as_ref()?)),
    }
}

impl From<Attribute> for MessageAttribute {
    fn from(attribute: Attribute) -> Self {
        let value = match (attribute.string_value, attribute.binary_value) {
            (None, Some(base64)) => AttributeValue::Binary(base64),
            (text, _) => AttributeValue::Text(text.unwrap_or_default()),
        };
        Self { data_type: attribute.data_type, value }
    }
}
