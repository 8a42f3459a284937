//! A workspace: its channels, their members and messages, and the app that is installed in it. Without clock and I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::conversation::{self, Entry};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::rate_limit::RateLimit;

use super::text;
use super::timestamp::Timestamp;

/// The default workspace.
pub const TEAM: &str = "T0LOCALCHAT";
/// The only channel at the start. The app and all three people are members.
pub const CHANNEL: &str = "C0OPSCHANGE";
/// A person who may request, by convention; the simulator gives no one permissions.
pub const REQUESTER: &str = "U0REQUESTER";
/// A person who may approve, by convention.
pub const APPROVER: &str = "U00APPROVER";
/// A person who may do neither, by convention.
pub const BYSTANDER: &str = "U0BYSTANDER";
/// The default signing secret.
pub const SIGNING_SECRET: &str = "0c41a7d2e9f35b688f1d2c3b4a596877";
/// The default token of the app.
pub const BOT_TOKEN: &str = "xoxb-local-chat";

/// A workspace with one app.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub team: String,
    pub team_domain: String,
    /// The organization of an Enterprise Grid; `None` without one.
    pub enterprise: Option<String>,
    pub app: App,
    /// By id.
    pub channels: BTreeMap<String, Channel>,
    pub faults: Faults,
    /// The limit of `chat.postMessage`; `None` is no limit.
    pub rate_limit: Option<RateLimit>,
    /// The URL to which Slack sends commands and clicks.
    pub request_url: Option<String>,
    pub(super) journal: Vec<JournalEntry>,
}

/// The app that is installed in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: String,
    pub bot_id: String,
    pub bot_user: String,
    pub name: String,
    pub signing_secret: String,
    /// The tokens that the Web API accepts.
    pub bot_tokens: BTreeSet<String>,
    /// The slash command.
    pub command: String,
    /// The deprecated verification token, which every request still contains.
    pub verification_token: String,
}

#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub name: String,
    pub members: BTreeSet<String>,
    /// Whether the app is a member.
    pub has_app: bool,
    pub is_private: bool,
    pub is_archived: bool,
    /// In the order of their timestamps.
    pub messages: Vec<Message>,
    pub(super) last_ts: Option<Timestamp>,
    pub(super) rate_used_until: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub ts: Timestamp,
    /// The message that this one replies to.
    pub thread_ts: Option<Timestamp>,
    pub author: Author,
    pub text: String,
    /// With the block ids and action ids that Slack adds.
    pub blocks: Vec<Value>,
    /// The time of the last edit.
    pub edited: Option<Timestamp>,
    /// The only user who sees the message; `None` if all members do.
    pub visible_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The app.
    App,
    /// Slack itself, such as for the error of a command.
    Slackbot,
    /// A person, or another app's bot user.
    User(String),
}

impl Default for Workspace {
    fn default() -> Self {
        let channel = Channel::new("ops-变更", [REQUESTER, APPROVER, BYSTANDER].map(str::to_owned));
        Self {
            team: TEAM.to_owned(),
            team_domain: "local-chat".to_owned(),
            enterprise: None,
            app: App::default(),
            channels: BTreeMap::from([(CHANNEL.to_owned(), channel)]),
            faults: Faults::default(),
            rate_limit: None,
            request_url: None,
            journal: Vec::new(),
        }
    }
}

impl Default for App {
    fn default() -> Self {
        Self {
            id: "A0PRIVLINK1".to_owned(),
            bot_id: "B0PRIVLINK1".to_owned(),
            bot_user: "U0PRIVLINK1".to_owned(),
            name: "privatelink".to_owned(),
            signing_secret: SIGNING_SECRET.to_owned(),
            bot_tokens: [BOT_TOKEN.to_owned()].into(),
            command: "/privatelink".to_owned(),
            verification_token: "localchatverification123".to_owned(),
        }
    }
}

impl Workspace {
    /// All calls of the Web API so far, in order.
    #[must_use]
    pub fn journal(&self) -> &[JournalEntry] {
        &self.journal
    }

    /// A message of a channel.
    #[must_use]
    pub fn message(&self, channel: &str, ts: Timestamp) -> Option<&Message> {
        self.channels.get(channel)?.messages.iter().find(|message| message.ts == ts)
    }

    /// The newest message with this button that the user can see.
    #[must_use]
    pub fn newest_with_button(&self, channel: &str, action_id: &str, user: &str) -> Option<&Message> {
        let messages = self.channels.get(channel)?.messages.iter().rev();
        messages
            .filter(|message| message.is_visible_to(user))
            .find(|message| message.buttons().any(|button| button["action_id"] == action_id))
    }

    /// The conversation as text, with every reply below the message that it replies to; `None` if there is no such
    /// channel.
    #[must_use]
    pub fn conversation(&self, channel: &str) -> Option<String> {
        let messages = &self.channels.get(channel)?.messages;
        let mut ordered: Vec<_> = messages.iter().collect();
        ordered.sort_by_key(|message| (message.thread_ts.unwrap_or(message.ts), message.ts));
        let entries: Vec<_> = ordered.into_iter().map(|message| self.entry(message)).collect();
        Some(conversation::transcript(&entries))
    }

    fn entry(&self, message: &Message) -> Entry {
        Entry {
            at: message.ts.time(),
            author: match &message.author {
                Author::App => self.app.name.clone(),
                Author::Slackbot => "Slackbot".to_owned(),
                Author::User(user) => user.clone(),
            },
            lines: text::lines(message),
            is_reply: message.thread_ts.is_some(),
            is_edited: message.edited.is_some(),
            visible_to: message.visible_to.clone(),
        }
    }

    /// A message in Slack's own shape.
    pub(super) fn message_object(&self, message: &Message, has_replies: bool) -> Value {
        let mut object =
            json!({ "type": "message", "ts": message.ts, "text": message.text, "team": self.team });
        match &message.author {
            Author::App => {
                object["user"] = json!(self.app.bot_user);
                object["bot_id"] = json!(self.app.bot_id);
                object["app_id"] = json!(self.app.id);
            }
            Author::Slackbot => object["user"] = json!("USLACKBOT"),
            Author::User(user) => object["user"] = json!(user),
        }
        if !message.blocks.is_empty() {
            object["blocks"] = json!(message.blocks);
        }
        if let Some(thread) = message.thread_ts.or(has_replies.then_some(message.ts)) {
            object["thread_ts"] = json!(thread);
        }
        if let Some(edited) = message.edited {
            object["edited"] = json!({ "user": self.app.bot_id, "ts": edited });
        }
        object
    }
}

impl Channel {
    /// A public channel that the app and these users are in.
    #[must_use]
    pub fn new(name: &str, members: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            members: members.into_iter().collect(),
            has_app: true,
            ..Self::default()
        }
    }

    /// Adds a message with the next timestamp, and returns it.
    pub fn post(&mut self, author: Author, text: &str, now: SystemTime) -> &mut Message {
        let ts = Timestamp::after(self.last_ts, now);
        self.last_ts = Some(ts);
        let message = Message {
            ts,
            thread_ts: None,
            author,
            text: text.to_owned(),
            blocks: Vec::new(),
            edited: None,
            visible_to: None,
        };
        self.messages.push(message);
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    pub(super) fn has_replies(&self, ts: Timestamp) -> bool {
        self.messages.iter().any(|message| message.thread_ts == Some(ts) && message.visible_to.is_none())
    }
}

impl Message {
    #[must_use]
    pub fn is_visible_to(&self, user: &str) -> bool {
        self.visible_to.as_deref().is_none_or(|only| only == user)
    }

    /// The buttons, in the order in which they are shown. Each is an element of a block, as JSON.
    pub fn buttons(&self) -> impl Iterator<Item = &Value> {
        self.buttons_in_blocks().map(|(_, button)| button)
    }

    /// The buttons, each with its block.
    pub(super) fn buttons_in_blocks(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.blocks.iter().flat_map(|block| {
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            let buttons = elements.iter().chain(block.get("accessory"));
            buttons.filter(|element| element["type"] == "button").map(move |button| (block, button))
        })
    }
}
