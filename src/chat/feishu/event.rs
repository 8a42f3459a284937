//! Parses the decrypted text of a call: a check of the address, a message, or a click.
//!
//! Source: Feishu's documentation of `url_verification`, `im.message.receive_v1` and `card.action.trigger`.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::call::{Action, ChatCall, Click, CommandCall};
use super::super::identity::{
    Conversation, ConversationId, MessageId, Person, Platform, Tenant, TenantId, UserId,
};
use crate::freshness::AGE_MAX;
use crate::json::Object;

/// The bot in texts: a person types `@` and chooses its name.
const BOT: &str = "@bot";

/// The kind of a conversation of a person with the bot alone, in which no mention is needed. Every other kind is a
/// group: `group`, or `topic_group`.
const ALONE: &str = "p2p";

/// The check of the address.
#[derive(Deserialize)]
pub(super) struct AddressCheck {
    pub(super) r#type: String,
    pub(super) token: String,
    pub(super) challenge: String,
}

impl AddressCheck {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let Object(check): Object<Self> = serde_json::from_slice(text).ok()?;
        (check.r#type == "url_verification").then_some(check)
    }
}

/// An event or a callback of the version 2.0.
#[derive(Deserialize)]
pub(super) struct Event {
    header: Header,
    event: Box<RawValue>,
}

#[derive(Deserialize)]
struct Header {
    event_type: String,
    token: String,
    tenant_key: String,
}

#[derive(Deserialize)]
struct MessageEvent {
    sender: Sender,
    message: Message,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "Feishu's names")]
struct Sender {
    sender_id: SenderId,
    sender_type: String,
    /// The tenant of the person: in an external group it can differ from that of the group.
    tenant_key: Option<String>,
}

#[derive(Deserialize)]
struct SenderId {
    /// Not every app has one.
    open_id: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "Feishu's names")]
struct Message {
    message_id: String,
    /// In milliseconds since 1970-01-01.
    create_time: String,
    chat_id: String,
    chat_type: String,
    message_type: String,
    content: String,
    mentions: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct ClickEvent {
    operator: Operator,
    action: RawAction,
    context: Context,
}

#[derive(Deserialize)]
struct Operator {
    open_id: String,
    tenant_key: String,
}

#[derive(Deserialize)]
struct RawAction {
    value: Value,
}

/// The value of a button of this application.
#[derive(Deserialize)]
struct Value {
    action: String,
    request: String,
}

#[derive(Deserialize)]
struct Context {
    open_message_id: String,
    open_chat_id: String,
}

impl Event {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let Object(event): Object<Self> = serde_json::from_slice(text).ok()?;
        Some(event)
    }

    pub(super) fn token(&self) -> &str {
        &self.header.token
    }

    /// The call of a person at `received_at`; `None` if it is not one of ours.
    pub(super) fn call(&self, received_at: SystemTime) -> Option<ChatCall> {
        match self.header.event_type.as_str() {
            "im.message.receive_v1" => self.command(received_at),
            "card.action.trigger" => self.click().map(ChatCall::Click),
            _ => Some(ChatCall::Ignored("an event that is neither a message nor a click")),
        }
    }

    fn command(&self, received_at: SystemTime) -> Option<ChatCall> {
        let Object(MessageEvent { sender, message }) = serde_json::from_str(self.event.get()).ok()?;
        if sender.sender_type != "user" {
            return Some(ChatCall::Ignored("a message of an app"));
        }
        if message.chat_type != ALONE && message.mentions.as_ref().is_none_or(Vec::is_empty) {
            return Some(ChatCall::Ignored("a message in a group without a mention"));
        }
        let Some(tenant_of_sender) = sender.tenant_key else {
            // It could be a person of another tenant in an external group.
            return Some(ChatCall::Ignored("a message whose sender has no tenant"));
        };
        let command = CommandCall {
            person: Person {
                tenant: tenant(&tenant_of_sender)?,
                id: UserId::parse(&sender.sender_id.open_id?)?,
            },
            conversation: self.conversation(&message.chat_id)?,
            message: Some(MessageId::parse(&message.message_id)?),
            name: BOT.to_owned(),
            text: message.text()?,
            platform_id: message.message_id.clone(),
        };
        Some(if message.is_late(received_at)? { ChatCall::Late } else { ChatCall::Command(command) })
    }

    fn click(&self) -> Option<Click> {
        let Object(ClickEvent { operator, action: RawAction { value }, context }) =
            serde_json::from_str(self.event.get()).ok()?;
        Some(Click {
            person: Person { tenant: tenant(&operator.tenant_key)?, id: UserId::parse(&operator.open_id)? },
            conversation: Some(self.conversation(&context.open_chat_id)?),
            message: Some(MessageId::parse(&context.open_message_id)?),
            action: Action::parse(&value.action)?,
            value: value.request,
        })
    }

    fn conversation(&self, id: &str) -> Option<Conversation> {
        Some(Conversation { tenant: tenant(&self.header.tenant_key)?, id: ConversationId::parse(id)? })
    }
}

impl Message {
    /// The words without those that begin with `@`: a mention is a word such as `@_user_1`. Empty for a message of
    /// another type, such as an image.
    fn text(&self) -> Option<String> {
        if self.message_type != "text" {
            return Some(String::new());
        }
        let Object(Text { text }) = serde_json::from_str(&self.content).ok()?;
        let words: Vec<_> = text.split_whitespace().filter(|word| !word.starts_with('@')).collect();
        Some(words.join(" "))
    }

    /// Whether the message is so old that the queue no longer recognizes its repetition.
    fn is_late(&self, received_at: SystemTime) -> Option<bool> {
        let created_at = Duration::from_millis(self.create_time.parse().ok()?);
        let created_at = SystemTime::UNIX_EPOCH.checked_add(created_at)?;
        Some(received_at.duration_since(created_at).is_ok_and(|age| age > AGE_MAX))
    }
}

fn tenant(id: &str) -> Option<Tenant> {
    Some(Tenant { platform: Platform::Feishu, id: TenantId::parse(id)? })
}
