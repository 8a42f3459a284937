//! The rules for messages that SQS accepts, as far as they do not depend on the queue's state.

use std::time::Duration;

use super::{AttributeValue, MessageAttribute, NewMessage, QueueError};

/// The maximum size of a message, body and attributes together, in bytes. SQS quota "Message size": 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The maximum number of user attributes of a message. SQS quota "Message attributes".
pub const ATTRIBUTES_MAX: usize = 10;

/// The maximum length of an attribute name. Source: SQS developer guide, "Message attribute components".
const ATTRIBUTE_NAME_MAX: usize = 256;

/// The maximum length of a message group id and of a deduplication id. Source: SQS API reference, `SendMessage`.
const FIFO_ID_MAX: usize = 128;

/// The maximum delay of a message. SQS quota "Message timers": 15 minutes.
const DELAY_MAX: Duration = Duration::from_mins(15);

impl NewMessage {
    /// Checks everything that does not depend on the queue's state.
    pub(super) fn check(&self, fifo: bool) -> Result<(), QueueError> {
        if self.body.is_empty() {
            return Err(QueueError::MissingParameter("MessageBody"));
        }
        if !self.body.chars().all(is_allowed) {
            return Err(QueueError::InvalidMessageContents);
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return invalid(format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                self.attributes.len()
            ));
        }
        for (name, attribute) in &self.attributes {
            attribute.check(name)?;
        }
        if self.size() > MESSAGE_BYTES_MAX {
            return invalid(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {MESSAGE_BYTES_MAX} bytes."
            ));
        }
        if fifo { self.check_fifo() } else { self.check_standard() }
    }

    fn check_fifo(&self) -> Result<(), QueueError> {
        check_fifo_id("MessageGroupId", self.group.as_deref())?;
        if self.deduplication_id.is_none() {
            return invalid(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly"
                    .to_owned(),
            );
        }
        check_fifo_id("MessageDeduplicationId", self.deduplication_id.as_deref())?;
        if let Some(delay) = self.delay.filter(|delay| !delay.is_zero()) {
            return invalid(format!(
                "Value {} for parameter DelaySeconds is invalid. Reason: The request include parameter that is not \
                 valid for this queue type.",
                delay.as_secs()
            ));
        }
        Ok(())
    }

    fn check_standard(&self) -> Result<(), QueueError> {
        if self.deduplication_id.is_some() {
            return invalid(
                "The request include parameter MessageDeduplicationId which is not valid for this queue type"
                    .to_owned(),
            );
        }
        if let Some(delay) = self.delay.filter(|delay| *delay > DELAY_MAX) {
            return invalid(format!(
                "Value {} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= {}.",
                delay.as_secs(),
                DELAY_MAX.as_secs()
            ));
        }
        Ok(())
    }
}

impl MessageAttribute {
    fn check(&self, name: &str) -> Result<(), QueueError> {
        let is_name = (1..=ATTRIBUTE_NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let lower = name.to_ascii_lowercase();
        if !is_name || lower.starts_with("aws.") || lower.starts_with("amazon.") {
            return invalid(format!("Message (user) attribute name '{name}' is invalid."));
        }
        let kind = self.data_type.split('.').next().unwrap_or_default();
        match (kind, &self.value) {
            ("String" | "Number", AttributeValue::Text(text)) if !text.is_empty() => {}
            ("Binary", AttributeValue::Binary(base64)) if !base64.is_empty() => {}
            ("String" | "Number" | "Binary", _) => {
                return invalid(format!(
                    "Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
                ));
            }
            _ => {
                return invalid(format!(
                    "The type of message (user) attribute '{name}' is invalid. You must use only the following \
                     supported type prefixes: Binary, Number, String."
                ));
            }
        }
        match &self.value {
            AttributeValue::Text(text) if !text.chars().all(is_allowed) => {
                Err(QueueError::InvalidMessageContents)
            }
            AttributeValue::Text(text) if kind == "Number" && text.parse::<f64>().is_err() => {
                invalid(format!("Can't cast the value of message (user) attribute '{name}' to a number."))
            }
            _ => Ok(()),
        }
    }
}

/// Whether SQS accepts a character: the set is that of XML 1.0.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Checks a group or deduplication id: 1 to 128 printable ASCII characters without the space.
fn check_fifo_id(parameter: &'static str, id: Option<&str>) -> Result<(), QueueError> {
    let id = id.ok_or(QueueError::MissingParameter(parameter))?;
    if (1..=FIFO_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    invalid(format!(
        "Value {id} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and \
         punctuation characters. 1 to {FIFO_ID_MAX} in length."
    ))
}

pub(super) fn invalid<T>(explanation: String) -> Result<T, QueueError> {
    Err(QueueError::InvalidParameterValue(explanation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fifo(body: &str) -> NewMessage {
        NewMessage::fifo(body, "lane", "once")
    }

    #[track_caller]
    fn assert_invalid(message: &NewMessage, explanation: &str) {
        match message.check(true) {
            Err(QueueError::InvalidParameterValue(text)) if text.contains(explanation) => {}
            other => panic!("{other:?} does not contain {explanation:?}"),
        }
    }

    #[test]
    fn valid_message_is_accepted() {
        assert_eq!(fifo("{}\t\r\n😀").attribute("trigger", "webhook").check(true), Ok(()));
        assert_eq!(NewMessage::new("{}").check(false), Ok(()));
    }

    #[test]
    fn empty_body_is_rejected() {
        assert_eq!(fifo("").check(true), Err(QueueError::MissingParameter("MessageBody")));
    }

    #[test]
    fn control_character_is_rejected() {
        assert_eq!(fifo("a\u{1}").check(true), Err(QueueError::InvalidMessageContents));
        assert_eq!(fifo("a\u{FFFE}").check(true), Err(QueueError::InvalidMessageContents));
    }

    #[test]
    fn empty_attribute_value_is_rejected() {
        assert_invalid(
            &fifo("a").attribute("reason", ""),
            "'reason' must contain a non-empty value of type 'String'",
        );
    }

    #[test]
    fn eleventh_attribute_is_rejected() {
        let ten = (0..10).fold(fifo("a"), |message, n| message.attribute(&format!("a{n}"), "1"));
        assert_eq!(ten.check(true), Ok(()));
        assert_invalid(&ten.attribute("a10", "1"), "exceeds the allowed maximum [10]");
    }

    #[test]
    fn attributes_count_toward_the_size() {
        let largest = fifo(&"x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(largest.check(true), Ok(()));
        assert_invalid(&largest.attribute("a", "b"), "must be shorter than 1048576 bytes");
    }

    #[test]
    fn fifo_message_requires_group_and_deduplication_id() {
        let message = NewMessage { group: None, ..fifo("a") };
        assert_eq!(message.check(true), Err(QueueError::MissingParameter("MessageGroupId")));
        assert_invalid(&NewMessage { deduplication_id: None, ..fifo("a") }, "ContentBasedDeduplication");
        assert_invalid(&NewMessage::fifo("a", "two words", "once"), "MessageGroupId");
        assert_invalid(&NewMessage::fifo("a", &"g".repeat(129), "once"), "1 to 128 in length");
    }

    #[test]
    fn fifo_message_with_a_delay_is_rejected() {
        assert_invalid(&NewMessage { delay: Some(Duration::from_secs(1)), ..fifo("a") }, "DelaySeconds");
    }

    #[test]
    fn reserved_or_malformed_attribute_is_rejected() {
        assert_invalid(&fifo("a").attribute("AWS.trace", "1"), "name 'AWS.trace' is invalid");
        assert_invalid(&fifo("a").attribute("two words", "1"), "name 'two words' is invalid");
        let mut message = fifo("a").attribute("n", "seven");
        message.attributes.insert(
            "n".to_owned(),
            MessageAttribute {
                data_type: "Number".to_owned(),
                value: AttributeValue::Text("seven".to_owned()),
            },
        );
        assert_invalid(&message, "to a number");
    }
}
