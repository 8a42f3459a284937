//! What an event file holds, and the way on which it reaches the function.
//!
//! The messages of an SQS event go into the local queue, so that they are received, handed back and delivered again as
//! real ones are. What no queue would hold, an event without records or a message without a body, is given to the
//! function as it stands, as a test event of Lambda's console is. Everything else is a direct invocation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use local_aws::NewMessage;
use local_aws::queues::{AttributeValue, MessageAttribute};
use privatelink_detach::request::{DetachRequest, EndpointId, RegionId, Rejection, Rules};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Failure;

/// One event file.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) way: Way,
}

/// How it reaches the function.
#[derive(Debug)]
pub(crate) enum Way {
    /// Through the queue.
    Queue(Vec<NewMessage>),
    /// As it stands: a batch that no queue would make.
    Batch { payload: Box<RawValue>, bodies: Vec<Option<String>> },
    /// As a direct invocation.
    Direct(Box<RawValue>),
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
        let way = match serde_json::from_str::<Event>(payload.get()) {
            Ok(event) => Way::of_records(event.records, payload),
            Err(_) => Way::Direct(payload),
        };
        Ok(Self { path, way })
    }

    /// What it asks for, one by one.
    pub(crate) fn requests(&self, rules: &Rules) -> Vec<Result<DetachRequest, Box<Rejection>>> {
        let parse = |body: &str| DetachRequest::parse(body, rules);
        match &self.way {
            Way::Queue(messages) => messages.iter().map(|message| parse(&message.body)).collect(),
            Way::Batch { bodies, .. } => {
                bodies.iter().map(|body| parse(body.as_deref().unwrap_or_default())).collect()
            }
            Way::Direct(payload) => vec![parse(payload.get())],
        }
    }
}

impl Way {
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
