//! A tenant, which is one company: its conversations, their members and messages, and the app with its robot. Without
//! clock and I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::conversation::{self, Entry};
use crate::faults::Faults;
use crate::journal::JournalEntry;

use super::cards::Card;
use super::text;

/// The default company.
pub const CORP: &str = "dingd8e1123006514592";
/// The only conversation at the start. The robot and all three people are members.
pub const CONVERSATION: &str = "cidKSrzmSb4xkWUZbz4xKbRcg==";
/// A person who may request, by convention; the simulator gives no one permissions.
pub const REQUESTER: &str = "manager4220";
/// A person who may approve, by convention.
pub const APPROVER: &str = "0123456789";
/// A person who may do neither, by convention.
pub const BYSTANDER: &str = "452523285939877041";
/// The app key, which is also the code of an internal app's robot.
pub const APP_KEY: &str = "dingue4kfzdxbyn0pjqd";
/// The default secret of the app: it signs robot messages, and the API exchanges it for access tokens.
pub const APP_SECRET: &str = "GT-local-chat-4f1c2d3b4a596877a1b2c3d4e5f60718293a4b5c6d7e8f90";
/// The code of the app's robot.
pub const ROBOT_CODE: &str = APP_KEY;
/// The published card template.
pub const CARD_TEMPLATE: &str = "8f250f96-da0f-4c9f-8302-740fa0ced1f5.schema";
/// The route of card callbacks that is registered at the start.
pub const CALLBACK_ROUTE: &str = "privatelink-detach";
/// The secret with which callbacks of [`CALLBACK_ROUTE`] are signed.
pub const CARD_SECRET: &str = "local-chat-card-secret-5b688f1d";

/// The permission to send messages as a robot.
pub const MESSAGE_PERMISSION: &str = "qyapi_robot_sendmsg";
/// The permission to create and change cards.
pub const CARD_PERMISSION: &str = "Card.Instance.Write";

/// The documented lifetime of an access token.
const TOKEN_LIFETIME: Duration = Duration::from_hours(2);

/// A company with one app.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub corp: String,
    pub app: App,
    /// By id.
    pub conversations: BTreeMap<String, Conversation>,
    /// By route key.
    pub callback_routes: BTreeMap<String, CallbackRoute>,
    pub faults: Faults,
    /// The lifetime of the access tokens that are issued from now on.
    pub token_lifetime: Duration,
    /// The URL to which robot messages go, and callbacks of a route that has no URL.
    pub request_url: Option<String>,
    /// The form of the requests to the app.
    pub forms: RequestForms,
    /// The access tokens with the ends of their lifetimes.
    pub(super) access_tokens: BTreeMap<String, SystemTime>,
    /// The cards that exist and are in no conversation, by id.
    pub(super) undelivered_cards: BTreeMap<String, Card>,
    /// The cards with a callback that has no response yet, with the number of these callbacks.
    pub(super) open_callbacks: BTreeMap<String, usize>,
    pub(super) journal: Vec<JournalEntry>,
}

/// The app and its robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The name of the robot.
    pub name: String,
    pub key: String,
    pub secret: String,
    pub robot_code: String,
    /// The encrypted id of the robot.
    pub robot_user: String,
    /// The published templates.
    pub card_templates: BTreeSet<String>,
    pub permissions: BTreeSet<String>,
}

/// A registered address for card callbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackRoute {
    /// `None` stands for [`Workspace::request_url`].
    pub url: Option<String>,
    /// Callbacks are not signed without a secret.
    pub api_secret: Option<String>,
}

/// Where the documentation has two forms, or none, the choice of one. The default is the form in most pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestForms {
    /// A message's text is the member `content` of the body instead of `text.content`.
    pub has_top_level_content: bool,
    /// A click has its data in `value` instead of `content`, with `params` beside `cardPrivateData`.
    pub has_click_in_value: bool,
    /// The timestamp of a click is in seconds instead of milliseconds.
    pub has_click_time_in_seconds: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Conversation {
    pub title: String,
    /// The ids of the members who work at the company.
    pub members: BTreeSet<String>,
    /// Members from outside the company, who have no id in it.
    pub guests: BTreeSet<String>,
    pub has_robot: bool,
    /// Whether this is a conversation of one person with the robot instead of a group.
    pub is_single: bool,
    /// In the order in which they were sent.
    pub messages: Vec<Message>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub at: SystemTime,
    pub author: Author,
    pub content: Content,
    /// The only user who sees the message; `None` if all members do.
    pub visible_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Text(String),
    Markdown {
        /// Only for the list of conversations and for notifications.
        title: String,
        text: String,
    },
    Card(Card),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The robot of the app.
    App,
    /// The platform itself, such as for a click that failed.
    DingTalk,
    User(String),
}

impl Default for Workspace {
    fn default() -> Self {
        let conversation =
            Conversation::new("网络变更群", [REQUESTER, APPROVER, BYSTANDER].map(str::to_owned));
        let route = CallbackRoute { url: None, api_secret: Some(CARD_SECRET.to_owned()) };
        Self {
            corp: CORP.to_owned(),
            app: App::default(),
            conversations: BTreeMap::from([(CONVERSATION.to_owned(), conversation)]),
            callback_routes: BTreeMap::from([(CALLBACK_ROUTE.to_owned(), route)]),
            faults: Faults::default(),
            token_lifetime: TOKEN_LIFETIME,
            request_url: None,
            forms: RequestForms::default(),
            access_tokens: BTreeMap::new(),
            undelivered_cards: BTreeMap::new(),
            open_callbacks: BTreeMap::new(),
            journal: Vec::new(),
        }
    }
}

impl Default for App {
    fn default() -> Self {
        Self {
            name: "privatelink".to_owned(),
            key: APP_KEY.to_owned(),
            secret: APP_SECRET.to_owned(),
            robot_code: ROBOT_CODE.to_owned(),
            robot_user: "$:LWCP_v1:$Cz2rXjQ0nCzC7u8kuMzx1A==".to_owned(),
            card_templates: [CARD_TEMPLATE.to_owned()].into(),
            permissions: [MESSAGE_PERMISSION, CARD_PERMISSION].map(str::to_owned).into(),
        }
    }
}

impl Workspace {
    /// All calls of the API so far, in order.
    #[must_use]
    pub fn journal(&self) -> &[JournalEntry] {
        &self.journal
    }

    /// Ends the lifetime of every access token.
    pub fn expire_tokens(&mut self) {
        self.access_tokens.clear();
    }

    /// A card that was delivered, with the id of its conversation.
    #[must_use]
    pub fn card(&self, out_track_id: &str) -> Option<(&str, &Card)> {
        self.conversations.iter().find_map(|(id, conversation)| {
            let card = conversation.cards().find(|card| card.out_track_id == out_track_id)?;
            Some((id.as_str(), card))
        })
    }

    /// A card, delivered or not.
    pub(super) fn card_mut(&mut self, out_track_id: &str) -> Option<&mut Card> {
        let messages = self.conversations.values_mut().flat_map(|conversation| &mut conversation.messages);
        let delivered = messages.filter_map(|message| match &mut message.content {
            Content::Card(card) => Some(card),
            Content::Text(_) | Content::Markdown { .. } => None,
        });
        let mut cards = delivered.chain(self.undelivered_cards.values_mut());
        cards.find(|card| card.out_track_id == out_track_id)
    }

    /// Whether the app has not yet responded to a click on a card.
    #[must_use]
    pub fn has_open_callback(&self, out_track_id: &str) -> bool {
        self.open_callbacks.contains_key(out_track_id)
    }

    /// The newest card on which the user sees this button.
    #[must_use]
    pub fn newest_with_button(&self, conversation: &str, action_id: &str, user: &str) -> Option<&Card> {
        let cards = self.conversations.get(conversation)?.cards();
        let has_button = |card: &&Card| card.buttons(user).iter().any(|button| button.action_id == action_id);
        cards.filter(has_button).last()
    }

    /// Whether a member of any conversation has this id.
    pub(super) fn has_user(&self, user: &str) -> bool {
        self.conversations.values().any(|conversation| conversation.members.contains(user))
    }

    /// The conversation as text; `None` if there is no such conversation. What a card shows to one user alone is below
    /// the card.
    #[must_use]
    pub fn conversation(&self, id: &str) -> Option<String> {
        let messages = &self.conversations.get(id)?.messages;
        let entries: Vec<_> = messages.iter().flat_map(|message| self.entries(message)).collect();
        Some(conversation::transcript(&entries))
    }

    fn entries(&self, message: &Message) -> Vec<Entry> {
        let entry = Entry {
            at: message.at,
            author: match &message.author {
                Author::App => self.app.name.clone(),
                Author::DingTalk => "DingTalk".to_owned(),
                Author::User(user) => user.clone(),
            },
            lines: message.lines(),
            is_reply: false,
            is_edited: false,
            visible_to: message.visible_to.clone(),
        };
        let Content::Card(card) = &message.content else { return vec![entry] };
        let private = card.private_lines().map(|(user, lines)| Entry {
            lines,
            is_reply: true,
            visible_to: Some(user.to_owned()),
            ..entry.clone()
        });
        let private: Vec<_> = private.collect();
        let public = Entry { is_edited: card.edited.is_some(), ..entry };
        [vec![public], private].concat()
    }
}

impl Conversation {
    /// A group that the robot and these users are in.
    #[must_use]
    pub fn new(title: &str, members: impl IntoIterator<Item = String>) -> Self {
        Self {
            title: title.to_owned(),
            members: members.into_iter().collect(),
            has_robot: true,
            ..Self::default()
        }
    }

    /// The cards, in the order in which they were delivered.
    pub fn cards(&self) -> impl Iterator<Item = &Card> {
        self.messages.iter().filter_map(|message| match &message.content {
            Content::Card(card) => Some(card),
            Content::Text(_) | Content::Markdown { .. } => None,
        })
    }

    /// Adds a message that all members see, and returns it.
    pub fn post(&mut self, author: Author, content: Content, now: SystemTime) -> &mut Message {
        self.messages.push(Message { at: now, author, content, visible_to: None });
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }
}

impl Message {
    /// The message as all who see it see it, in lines.
    pub(super) fn lines(&self) -> Vec<String> {
        match &self.content {
            Content::Text(text) => text::plain(text),
            Content::Markdown { text, .. } => text::markdown(text),
            Content::Card(card) => card.lines(),
        }
    }
}
