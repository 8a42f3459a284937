//! A tenant: its chats, their members and messages, and the app that is installed in it. Without clock and I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::conversation::{self, Entry};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::rate_limit::RateLimit;
use crate::request::unique_digits;

use super::cards;
use super::text;
use super::tokens::Tokens;

/// The default tenant.
pub const TENANT: &str = "2ed263bf32cf1651";
/// The only chat at the start. The app and all three people are members.
pub const CHAT: &str = "oc_5ad11d72b830411d72b836c20f9b4e17";
/// A person who may request, by convention; the simulator gives no one permissions.
pub const REQUESTER: &str = "ou_7d8a6e6df7621556ce0d21922b676706";
/// A person who may approve, by convention.
pub const APPROVER: &str = "ou_c99c5f35d542efc7ee492afe11af19ef";
/// A person who may do neither, by convention.
pub const BYSTANDER: &str = "ou_84aad35d084aa403a838cf73ee18467a";
/// The id of the default app.
pub const APP_ID: &str = "cli_9f5343c580712544";
/// The secret of the default app, for which the API issues tokens.
pub const APP_SECRET: &str = "dskLLdkasdjlasdKKe5VwDPmbQUqz6Fv";
/// The default Encrypt Key.
pub const ENCRYPT_KEY: &str = "9ffbc6f03c9157079cf8f526729114a7";
/// The default Verification Token.
pub const VERIFICATION_TOKEN: &str = "v2JX7qcRmYbHd0TnLw3sKzEoUaG5fP81";

/// A tenant with one app.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The `tenant_key`.
    pub tenant: String,
    pub app: App,
    /// By id.
    pub chats: BTreeMap<String, Chat>,
    pub faults: Faults,
    /// The limit of new messages in a chat; `None` is no limit.
    pub rate_limit: Option<RateLimit>,
    /// How long a tenant access token is valid.
    pub token_lifetime: Duration,
    /// The URL to which Feishu sends events and clicks.
    pub request_url: Option<String>,
    /// Whether the app has answered the last `url_verification` correctly.
    pub is_url_verified: bool,
    pub(super) tokens: Tokens,
    pub(super) journal: Vec<JournalEntry>,
}

/// The app that is installed in the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: String,
    pub secret: String,
    pub name: String,
    /// The `open_id` of its bot, which mentions name.
    pub bot: String,
    pub encrypt_key: String,
    pub verification_token: String,
}

#[derive(Clone, Debug)]
pub struct Chat {
    pub name: String,
    pub members: BTreeSet<String>,
    /// Whether the app is a member.
    pub has_app: bool,
    /// Whether a message can be replied to in a thread.
    pub has_threads: bool,
    /// In the order in which they were sent.
    pub messages: Vec<Message>,
    /// The messages that were posted with a `uuid`: what they reply to, if anything, and the `uuid`; the time and the
    /// id of the message.
    pub(super) uuids: BTreeMap<(Option<String>, String), (SystemTime, String)>,
    pub(super) rate_used_until: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: String,
    pub at: SystemTime,
    pub author: Author,
    pub content: Content,
    /// The message that this one replies to.
    pub parent: Option<String>,
    /// The first message of the replies.
    pub root: Option<String>,
    /// The thread that this message is in.
    pub thread: Option<String>,
    /// The time of the last change of a card.
    pub edited: Option<SystemTime>,
    pub is_recalled: bool,
    /// The only user who sees the message; `None` if all members do.
    pub visible_to: Option<String>,
    /// The event that the app received for the message.
    pub(super) event: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(String),
    /// A card of schema 2.0.
    Card(Value),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The app.
    App,
    /// Feishu itself, such as for a toast.
    Feishu,
    User(String),
}

impl Default for Workspace {
    fn default() -> Self {
        let chat = Chat::new("运维变更", [REQUESTER, APPROVER, BYSTANDER].map(str::to_owned));
        Self {
            tenant: TENANT.to_owned(),
            app: App::default(),
            chats: BTreeMap::from([(CHAT.to_owned(), chat)]),
            faults: Faults::default(),
            rate_limit: None,
            token_lifetime: Duration::from_hours(2),
            request_url: None,
            is_url_verified: false,
            tokens: Tokens::default(),
            journal: Vec::new(),
        }
    }
}

impl Default for App {
    fn default() -> Self {
        Self {
            id: APP_ID.to_owned(),
            secret: APP_SECRET.to_owned(),
            name: "privatelink".to_owned(),
            bot: "ou_5d10210889c39309a3c2cd56eb24f1c2".to_owned(),
            encrypt_key: ENCRYPT_KEY.to_owned(),
            verification_token: VERIFICATION_TOKEN.to_owned(),
        }
    }
}

impl Workspace {
    /// All calls of the API so far, in order.
    #[must_use]
    pub fn journal(&self) -> &[JournalEntry] {
        &self.journal
    }

    /// A message, and the id of its chat.
    #[must_use]
    pub fn message(&self, id: &str) -> Option<(&str, &Message)> {
        self.chats.iter().find_map(|(chat, found)| Some((chat.as_str(), found.message(id)?)))
    }

    /// The newest message with a button for this action that the user can see.
    #[must_use]
    pub fn newest_with_button(&self, chat: &str, action: &str, user: &str) -> Option<&Message> {
        let messages = self.chats.get(chat)?.messages.iter().rev();
        messages
            .filter(|message| message.is_visible_to(user))
            .find(|message| message.buttons().any(|button| cards::action_of(button) == Some(action)))
    }

    /// Ends the validity of every tenant access token.
    pub fn expire_tokens(&mut self) {
        self.tokens = Tokens::default();
    }

    /// The conversation as text, with every reply of a thread below the thread's first message; `None` if there is no
    /// such chat.
    #[must_use]
    pub fn conversation(&self, chat: &str) -> Option<String> {
        let chat = self.chats.get(chat)?;
        let mut ordered: Vec<_> = chat.messages.iter().enumerate().collect();
        // A stable sort: the messages of a thread stay in their order.
        ordered.sort_by_key(|(index, message)| chat.thread_start(message).unwrap_or(*index));
        let entries: Vec<_> = ordered.into_iter().map(|(_, message)| self.entry(chat, message)).collect();
        Some(conversation::transcript(&entries))
    }

    fn entry(&self, chat: &Chat, message: &Message) -> Entry {
        let is_reply = chat.thread_start(message).is_some_and(|start| chat.messages[start].id != message.id);
        let mut lines = text::lines(message);
        // Feishu quotes the message that a reply outside a thread answers.
        if let Some(parent) = message.parent.as_deref().filter(|_| !is_reply) {
            let quoted = chat.message(parent).map(text::lines).unwrap_or_default();
            lines.insert(0, format!("> {}", quoted.first().map_or("", String::as_str)));
        }
        Entry {
            at: message.at,
            author: match &message.author {
                Author::App => self.app.name.clone(),
                Author::Feishu => "Feishu".to_owned(),
                Author::User(user) => user.clone(),
            },
            lines,
            is_reply,
            is_edited: message.edited.is_some(),
            visible_to: message.visible_to.clone(),
        }
    }
}

impl Chat {
    /// A group that the app and these users are in, with threads.
    #[must_use]
    pub fn new(name: &str, members: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            members: members.into_iter().collect(),
            has_app: true,
            has_threads: true,
            messages: Vec::new(),
            uuids: BTreeMap::new(),
            rate_used_until: None,
        }
    }

    #[must_use]
    pub fn message(&self, id: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.id == id)
    }

    /// The place of the first message of the thread that a message is in.
    fn thread_start(&self, message: &Message) -> Option<usize> {
        let thread = message.thread.as_ref()?;
        self.messages.iter().position(|other| other.thread.as_ref() == Some(thread))
    }

    #[must_use]
    pub fn message_mut(&mut self, id: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.id == id)
    }

    /// Adds a message with a new id, and returns it.
    pub fn post(&mut self, author: Author, content: Content, now: SystemTime) -> &mut Message {
        let message = Message {
            id: format!("om_{}", digits(now)),
            at: now,
            author,
            content,
            parent: None,
            root: None,
            thread: None,
            edited: None,
            is_recalled: false,
            visible_to: None,
            event: None,
        };
        self.messages.push(message);
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    /// Adds a reply to a message of this chat, in a thread if that message is in one or `in_thread` asks for one.
    pub(super) fn reply(
        &mut self,
        to: &Message,
        in_thread: bool,
        author: Author,
        content: Content,
        now: SystemTime,
    ) -> &mut Message {
        let thread = to.thread.clone().or_else(|| in_thread.then(|| format!("omt_{}", &digits(now)[..16])));
        // The message that a thread begins with belongs to it, too.
        if let Some(first) = self.message_mut(&to.id) {
            first.thread.clone_from(&thread);
        }
        let root = match (self.thread_start(to), &thread, &to.root) {
            (Some(start), _, _) => self.messages[start].id.clone(),
            (None, None, Some(root)) => root.clone(),
            (None, _, _) => to.id.clone(),
        };
        let message = self.post(author, content, now);
        message.parent = Some(to.id.clone());
        message.root = Some(root);
        message.thread = thread;
        message
    }
}

impl Message {
    #[must_use]
    pub fn is_visible_to(&self, user: &str) -> bool {
        self.visible_to.as_deref().is_none_or(|only| only == user)
    }

    /// The buttons, in the order in which they are shown. Each is an element of the card, as JSON.
    pub fn buttons(&self) -> impl Iterator<Item = &Value> {
        let card = match &self.content {
            Content::Card(card) if !self.is_recalled => Some(card),
            _ => None,
        };
        card.into_iter().flat_map(cards::buttons)
    }
}

/// 32 hex digits, as in an id.
pub(super) fn digits(now: SystemTime) -> String {
    let mut digits = unique_digits(now);
    digits.truncate(32);
    digits
}
