//! The content of an event file, and how it is delivered to a function.
//!
//! HTTP requests, the events of rules and topics, and the input of a schedule go to the intake. The messages of an SQS
//! event go into the local queue, so that they are received, returned and delivered again like real ones. An event
//! without records, or with a message that no queue accepts, goes to the worker unchanged, like a test event in the
//! Lambda console. A sweep request goes to the sweeper. Everything else is a direct invocation of the worker.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use local_aws::NewMessage;
use local_aws::queues::{AttributeValue, MessageAttribute};
use privatelink_detach::request::{self, Rules};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Failure;
use crate::call::{Call, CallError};

/// Part of the name of a file whose signature is wrong on purpose.
const FORGED: &str = "forged";

/// Beginning of the name of a file that a schedule sends. One request has the same shape whether a schedule sends it or
/// an operator invokes the worker with it, so the name decides.
const SCHEDULE: &str = "schedule";

/// One event file.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) route: Route,
}

/// How the event reaches a function.
#[derive(Debug)]
pub(crate) enum Route {
    /// Over HTTP to the intake.
    Http(Box<Call>),
    /// As an invocation of the intake.
    Intake { payload: Box<RawValue>, source: Source },
    /// Through the queue to the worker.
    Queue(Vec<NewMessage>),
    /// As an invocation of the worker with a batch that no queue delivers.
    Batch { payload: Box<RawValue>, bodies: Vec<Option<String>> },
    /// As a direct invocation of the worker.
    Direct(Box<RawValue>),
    /// As an invocation of the sweeper.
    Sweep(Box<RawValue>),
}

/// The service that invokes the intake.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    EventBridge,
    Sns,
    Schedule,
    /// An HTTP request in a payload format that function URLs do not use.
    OtherHttp,
}

/// What the name of a file says about its content.
#[derive(Debug, Clone, Copy)]
struct Name {
    is_forged: bool,
    is_schedule: bool,
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
        match Route::of(payload, Name::of(&path)) {
            Ok(route) => Ok(Self { path, route }),
            Err(source) => Err(Failure::Call { path, source }),
        }
    }
}

impl Name {
    fn of(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self { is_forged: name.contains(FORGED), is_schedule: name.starts_with(SCHEDULE) }
    }
}

impl Source {
    /// The source of an event for the intake; none if the event is for the worker.
    fn of(event: &Value, name: Name) -> Option<Self> {
        let is_sns = |record: &Value| record["EventSource"] == "aws:sns";
        if event.get("detail-type").is_some() {
            Some(Self::EventBridge)
        } else if event["Records"].as_array().is_some_and(|records| records.iter().any(is_sns)) {
            Some(Self::Sns)
        } else if event.get("requestContext").or(event.get("httpMethod")).is_some() {
            Some(Self::OtherHttp)
        } else if event.get("requests").is_some() || (name.is_schedule && event.get("Records").is_none()) {
            Some(Self::Schedule)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EventBridge => "an EventBridge rule",
            Self::Sns => "an SNS topic",
            Self::Schedule => "a schedule",
            Self::OtherHttp => "a REST API or a load balancer",
        }
    }
}

impl Route {
    fn of(payload: Box<RawValue>, name: Name) -> Result<Self, CallError> {
        let shape: Value = serde_json::from_str(payload.get())?;
        if shape["requestContext"]["http"].is_object() {
            return Ok(Self::Http(Box::new(Call::read(payload.get(), name.is_forged)?)));
        }
        if let Some(source) = Source::of(&shape, name) {
            return Ok(Self::Intake { payload, source });
        }
        if shape.get("security_group_ids").is_some() {
            return Ok(Self::Sweep(payload));
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
    /// The message as its sender sent it. The queue sets new times and a new receive count.
    fn into_message(self, index: usize) -> NewMessage {
        let body = self.body.unwrap_or_default();
        let id = self.message_id.unwrap_or_else(|| format!("record-{index}"));
        let attribute = |name: &str| self.attributes.get(name).filter(|value| !value.is_empty());
        let group = attribute("MessageGroupId").cloned();
        let group = group.or_else(|| message_group(&body)).unwrap_or_else(|| id.clone());
        let deduplication_id = attribute("MessageDeduplicationId").unwrap_or(&id);
        let mut message = NewMessage::fifo(body, &group, deduplication_id);
        message.attributes =
            self.message_attributes.into_iter().map(|(name, attribute)| (name, attribute.into())).collect();
        message
    }
}

/// The message group that the contract assigns to a request.
fn message_group(body: &str) -> Option<String> {
    let subject = request::parse(body, &Rules::default()).subject;
    Some(format!("{}/{}", subject.region_id?, subject.endpoint_id?))
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
