//! The requests that Feishu sends to the app, encrypted and signed: messages that mention the app, clicks, and the
//! verification of the URL. Without clock and I/O.
//!
//! Source: open.feishu.cn, "Receive messages" (`im.message.receive_v1`) and "Card callback" (`card.action.trigger`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use thiserror::Error;

use crate::request::{self, unique_digits};

use super::cards;
use super::mentions::{Mentions, union_id};
use super::signature::{NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, encrypt, signature};
use super::workspace::{Author, Chat, Content, Message, Workspace, digits};

/// A request to the app, whose body is JSON with the encrypted event.
pub type SignedRequest = request::SignedRequest<UserAction>;

/// What the user did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAction {
    /// Sent a message that mentions the app.
    Message { id: String },
    Click {
        message: String,
        /// The text on the button.
        label: String,
    },
    /// Saved the URL in the app's configuration.
    VerifyUrl { challenge: String },
}

/// A message that a user sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Every word that is `@` and the id of a member or the name of the app becomes a mention.
    pub text: String,
    pub kind: MessageKind,
    /// Whether the app is mentioned first, in addition to the text.
    pub mentions_app: bool,
    /// The message that this one replies to.
    pub reply_to: Option<String>,
}

/// The `message_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    Text,
    /// A text with a layout.
    Post,
    Image,
}

/// Why a user cannot do this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    #[error("there is no chat {0}")]
    NoChat(String),
    #[error("{user} is not a member of {chat}")]
    NotAMember { user: String, chat: String },
    #[error("the app is not a member of {0}, so it receives no events")]
    AppNotAMember(String),
    #[error("{user} sees no message {id} in {chat}")]
    NoMessage { user: String, id: String, chat: String },
    #[error("the message {id} has no button {action}")]
    NoButton { id: String, action: String },
    #[error("{user} sees no message with a button {action} in {chat}")]
    NoMessageWithButton { user: String, action: String, chat: String },
    #[error("there is no event for a message {0}")]
    NoEvent(String),
}

impl NewMessage {
    /// A text message that mentions the app first.
    #[must_use]
    pub fn to_app(text: &str) -> Self {
        Self { text: text.to_owned(), kind: MessageKind::Text, mentions_app: true, reply_to: None }
    }
}

impl Workspace {
    /// Adds a message of a user to a chat, and returns the event for the app.
    pub fn send_message(
        &mut self,
        new: &NewMessage,
        user: &str,
        chat: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let found = self.chat_of(user, chat)?;
        let parent = match &new.reply_to {
            None => None,
            Some(id) => Some(visible(found, chat, id, user)?.clone()),
        };
        let mentions = Mentions::of(new, self, found);
        let author = Author::User(user.to_owned());
        let content = Content::Text(mentions.shown.clone());
        let Some(found) = self.chats.get_mut(chat) else { return Err(ActionError::NoChat(chat.to_owned())) };
        let message = match &parent {
            Some(parent) => found.reply(parent, false, author, content, now),
            None => found.post(author, content, now),
        };
        let message = message.clone();
        let event = self.message_event(&message, &mentions, new.kind, user, chat);
        if let Some(message) = self.chats.get_mut(chat).and_then(|chat| chat.message_mut(&message.id)) {
            message.event = Some(event.clone());
        }
        let action = UserAction::Message { id: message.id };
        Ok(self.event("im.message.receive_v1", &milliseconds(message.at), &event, (chat, user), action, now))
    }

    /// The event for an earlier message, as Feishu sends it again: the same message, signed now.
    pub fn repeat(&mut self, message_id: &str, now: SystemTime) -> Result<SignedRequest, ActionError> {
        let found = self.message(message_id).and_then(|(chat, message)| {
            let Author::User(user) = &message.author else { return None };
            Some((chat.to_owned(), user.clone(), message.at, message.event.clone()?))
        });
        let no_event = || ActionError::NoEvent(message_id.to_owned());
        let (chat, user, at, event) = found.ok_or_else(no_event)?;
        let action = UserAction::Message { id: message_id.to_owned() };
        Ok(self.event("im.message.receive_v1", &milliseconds(at), &event, (&chat, &user), action, now))
    }

    /// The request for a click on the button for this action that a message has now.
    pub fn click(
        &mut self,
        chat: &str,
        message_id: &str,
        action: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let message = visible(self.chat_of(user, chat)?, chat, message_id, user)?;
        let button = message.buttons().find(|button| cards::action_of(button) == Some(action));
        let button = button
            .ok_or_else(|| ActionError::NoButton { id: message_id.to_owned(), action: action.to_owned() })?;
        let event = json!({
            "operator": {
                "tenant_key": self.tenant,
                "user_id": user_id(user),
                "open_id": user,
                "union_id": union_id(user),
            },
            "token": format!("c-{}", &unique_digits(now)[..40]),
            "action": { "value": cards::value_of(button), "tag": "button", "timezone": "Asia/Shanghai" },
            "host": "im_message",
            "context": { "open_message_id": message_id, "open_chat_id": chat },
        });
        let label = button["text"]["content"].as_str().unwrap_or_default().to_owned();
        let action = UserAction::Click { message: message_id.to_owned(), label };
        // Microseconds here, and milliseconds in a message.
        let created = since_epoch(now).as_micros().to_string();
        Ok(self.event("card.action.trigger", &created, &event, (chat, user), action, now))
    }

    /// The same for the newest message that has this button.
    pub fn click_newest(
        &mut self,
        chat: &str,
        action: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        if !self.chats.contains_key(chat) {
            return Err(ActionError::NoChat(chat.to_owned()));
        }
        let newest = self.newest_with_button(chat, action, user).map(|message| message.id.clone());
        let id = newest.ok_or_else(|| ActionError::NoMessageWithButton {
            user: user.to_owned(),
            action: action.to_owned(),
            chat: chat.to_owned(),
        })?;
        self.click(chat, &id, action, user, now)
    }

    /// The request that verifies the URL when it is saved: encrypted, and not signed.
    pub fn verify_url(&mut self, now: SystemTime) -> SignedRequest {
        self.is_url_verified = false;
        let challenge = unique_digits(now);
        let body = json!({
            "challenge": challenge, "token": self.app.verification_token, "type": "url_verification",
        });
        SignedRequest {
            headers: vec![content_type()],
            body: self.encrypted(&body, now),
            conversation: String::new(),
            user: String::new(),
            action: UserAction::VerifyUrl { challenge },
        }
    }

    /// The headers that sign a body at this time, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, body: &str, timestamp: u64, nonce: &str) -> [(&'static str, String); 3] {
        [
            (TIMESTAMP_HEADER, timestamp.to_string()),
            (NONCE_HEADER, nonce.to_owned()),
            (SIGNATURE_HEADER, signature(&self.app.encrypt_key, timestamp, nonce, body)),
        ]
    }

    /// An event as the body of a request, encrypted.
    #[must_use]
    pub fn encrypted(&self, event: &Value, now: SystemTime) -> String {
        let mut initialization_vector = [0; 16];
        initialization_vector.copy_from_slice(&unique_digits(now).as_bytes()[..16]);
        let encrypted = encrypt(&self.app.encrypt_key, initialization_vector, &event.to_string());
        json!({ "encrypt": encrypted }).to_string()
    }

    fn event(
        &self,
        kind: &str,
        created: &str,
        event: &Value,
        (chat, user): (&str, &str),
        action: UserAction,
        now: SystemTime,
    ) -> SignedRequest {
        let body = json!({
            "schema": "2.0",
            "header": {
                "event_id": digits(now),
                "token": self.app.verification_token,
                "create_time": created,
                "event_type": kind,
                "tenant_key": self.tenant,
                "app_id": self.app.id,
            },
            "event": event,
        });
        let body = self.encrypted(&body, now);
        let mut headers = vec![content_type()];
        headers.extend(self.sign(&body, since_epoch(now).as_secs(), &unique_digits(now)[..12]));
        SignedRequest { headers, body, conversation: chat.to_owned(), user: user.to_owned(), action }
    }

    fn message_event(
        &self,
        message: &Message,
        mentions: &Mentions,
        kind: MessageKind,
        user: &str,
        chat: &str,
    ) -> Value {
        let (message_type, content) = match kind {
            MessageKind::Text => ("text", json!({ "text": mentions.text })),
            MessageKind::Post => (
                "post",
                json!({ "title": "", "content": [[{ "tag": "text", "text": mentions.text, "style": [] }]] }),
            ),
            MessageKind::Image => ("image", json!({ "image_key": format!("img_v3_{}", &message.id[3..]) })),
        };
        let mut object = json!({
            "message_id": message.id,
            "create_time": milliseconds(message.at),
            "update_time": milliseconds(message.at),
            "chat_id": chat,
            "chat_type": "group",
            "message_type": message_type,
            "content": content.to_string(),
        });
        let ids =
            [("root_id", &message.root), ("parent_id", &message.parent), ("thread_id", &message.thread)];
        for (name, id) in ids {
            if let Some(id) = id {
                object[name] = json!(id);
            }
        }
        if !mentions.mentioned.is_empty() {
            object["mentions"] = json!(mentions.mentioned);
        }
        json!({
            "sender": {
                "sender_id": { "union_id": union_id(user), "user_id": user_id(user), "open_id": user },
                "sender_type": "user",
                "tenant_key": self.tenant,
            },
            "message": object,
        })
    }

    /// The chat, if the user can act in it and the app receives it.
    fn chat_of(&self, user: &str, id: &str) -> Result<&Chat, ActionError> {
        let chat = self.chats.get(id).ok_or_else(|| ActionError::NoChat(id.to_owned()))?;
        if !chat.members.contains(user) {
            return Err(ActionError::NotAMember { user: user.to_owned(), chat: id.to_owned() });
        }
        if chat.has_app { Ok(chat) } else { Err(ActionError::AppNotAMember(id.to_owned())) }
    }
}

fn visible<'a>(chat: &'a Chat, chat_id: &str, id: &str, user: &str) -> Result<&'a Message, ActionError> {
    let message = chat.message(id).filter(|message| message.is_visible_to(user));
    message.ok_or_else(|| ActionError::NoMessage {
        user: user.to_owned(),
        id: id.to_owned(),
        chat: chat_id.to_owned(),
    })
}

/// The id of a person in the company, which an app receives only with a permission.
fn user_id(open_id: &str) -> String {
    open_id.trim_start_matches("ou_").chars().take(8).collect()
}

fn content_type() -> (&'static str, String) {
    ("content-type", "application/json; charset=utf-8".to_owned())
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn milliseconds(time: SystemTime) -> String {
    since_epoch(time).as_millis().to_string()
}
