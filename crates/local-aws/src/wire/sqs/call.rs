//! The parameters of SQS calls, as they are in the request's body.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::queues::{
    AttributeValue, MessageAttribute, NewMessage, QueueError, ReceiptHandle, VisibilityChange,
};
use crate::wire::ACCOUNT;

/// The parameters of all actions; each action reads its own.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Call {
    #[serde(default)]
    queue_url: String,
    queue_name: Option<String>,
    #[serde(flatten)]
    pub(super) one: Entry,
    #[serde(default)]
    pub(super) entries: Vec<Entry>,
    pub(super) max_number_of_messages: Option<usize>,
    #[serde(default)]
    pub(super) attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_system_attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_attribute_names: Vec<String>,
}

/// One entry of a batch call, or the parameters of a single call.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
    delay_seconds: Option<u64>,
    #[serde(default)]
    pub(super) receipt_handle: String,
    pub(super) visibility_timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    #[serde(default)]
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl Call {
    /// The queue's name: the last segment of its URL, with any host.
    pub(super) fn queue(&self) -> &str {
        match (&self.queue_name, self.queue_url.rsplit_once('/')) {
            (Some(name), _) => name,
            (None, Some((rest, name))) if rest.ends_with(ACCOUNT) => name,
            (None, _) => "",
        }
    }
}

impl Entry {
    pub(super) fn message(self) -> NewMessage {
        let attributes =
            self.message_attributes.into_iter().map(|(name, attribute)| (name, attribute.into()));
        NewMessage {
            body: self.message_body,
            attributes: attributes.collect(),
            group: self.message_group_id,
            deduplication_id: self.message_deduplication_id,
            delay: self.delay_seconds.map(Duration::from_secs),
        }
    }

    pub(super) fn handle(&self) -> Result<ReceiptHandle, QueueError> {
        if self.receipt_handle.is_empty() {
            return Err(QueueError::MissingParameter("ReceiptHandle"));
        }
        Ok(ReceiptHandle::from(self.receipt_handle.as_str()))
    }

    pub(super) fn change(self) -> VisibilityChange {
        VisibilityChange {
            receipt_handle: ReceiptHandle::from(self.receipt_handle.as_str()),
            // The parameter is optional, and the API does not define its default; the model uses zero.
            timeout: Duration::from_secs(self.visibility_timeout.unwrap_or_default()),
        }
    }
}

impl From<Attribute> for MessageAttribute {
    fn from(attribute: Attribute) -> Self {
        let value = match attribute {
            Attribute { binary_value: Some(base64), string_value: None, .. } => {
                AttributeValue::Binary(base64)
            }
            Attribute { string_value, .. } => AttributeValue::Text(string_value.unwrap_or_default()),
        };
        Self { data_type: attribute.data_type, value }
    }
}
