//! Feishu, which is Lark outside China, from both sides: the server API that the app calls, and the encrypted and signed
//! requests that Feishu sends to the app.
//!
//! In reading order:
//!
//! * `workspace`: the state: chats, members, messages.
//! * `api`: the methods that issue tokens, post messages and change cards; `tokens` are the tokens, `cards` checks cards,
//!   `refusal` has the error codes.
//! * `requests`: messages that mention the app (`mentions`), and clicks; `signature` encrypts and signs them.
//! * `responses`: what the app's response shows to the user.
//! * `text`: a message without its markup.
//! * `control`: the control endpoints of Feishu alone.

mod api;
mod cards;
mod control;
mod mentions;
mod refusal;
mod requests;
mod responses;
mod signature;
mod text;
mod tokens;
mod workspace;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request;
use serde_json::Value;

pub use crate::rate_limit::RateLimit;
pub use requests::{ActionError, MessageKind, NewMessage, SignedRequest, UserAction};
pub use signature::{NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, encrypt, signature};
pub use workspace::{
    APP_ID, APP_SECRET, APPROVER, App, Author, BYSTANDER, CHAT, Chat, Content, ENCRYPT_KEY, Message,
    REQUESTER, TENANT, VERIFICATION_TOKEN, Workspace,
};

use crate::client::{AppResponse, PostError};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::loopback::Reaction;
use crate::simulator::{Control, Platform, Simulator, now};

/// The time that Feishu waits for the app's response to an event or a click.
pub const RESPONSE_LIMIT: Duration = Duration::from_secs(3);

/// The time that Feishu waits for the response to the verification of the URL.
pub const VERIFICATION_LIMIT: Duration = Duration::from_secs(1);

/// Feishu on loopback.
pub type Feishu = Simulator<Workspace>;

impl Feishu {
    /// Adds a message that mentions the app to a chat. The request for it is signed now; nothing is sent.
    pub fn command(&self, text: &str, user: &str, chat: &str) -> Result<SignedRequest, ActionError> {
        self.workspace().send_message(&NewMessage::to_app(text), user, chat, now())
    }

    /// The request for the event of an earlier message, as Feishu sends it again. Nothing is sent.
    pub fn repeat(&self, message_id: &str) -> Result<SignedRequest, ActionError> {
        self.workspace().repeat(message_id, now())
    }

    /// The request for a click on a button that a message has now, signed now. Nothing is sent.
    pub fn click(
        &self,
        chat: &str,
        message_id: &str,
        action: &str,
        user: &str,
    ) -> Result<SignedRequest, ActionError> {
        self.workspace().click(chat, message_id, action, user, now())
    }

    /// The same for the newest message that has this button.
    pub fn click_newest(&self, chat: &str, action: &str, user: &str) -> Result<SignedRequest, ActionError> {
        self.workspace().click_newest(chat, action, user, now())
    }

    /// The request that verifies the URL. Nothing is sent.
    #[must_use]
    pub fn verify_url(&self) -> SignedRequest {
        self.workspace().verify_url(now())
    }
}

impl Platform for Workspace {
    type Action = UserAction;

    const CONVERSATION: &'static str = "chat";
    const METHODS: &'static [&'static str] = &api::METHODS;
    const CONTROLS: &'static [(&'static str, Control<Self>)] = &control::CONTROLS;
    const UNKNOWN_PATH: &'static str = "use a method below /open-apis/ or /control/";

    fn response_limit(action: &UserAction) -> Duration {
        match action {
            UserAction::Message { .. } | UserAction::Click { .. } => RESPONSE_LIMIT,
            UserAction::VerifyUrl { .. } => VERIFICATION_LIMIT,
        }
    }

    fn call(&mut self, head: &request::Parts, body: &Bytes, now: SystemTime) -> Option<Reaction> {
        api::call(self, head, body, now)
    }

    fn show(&mut self, request: &SignedRequest, response: &Result<AppResponse, PostError>, now: SystemTime) {
        responses::show(self, request, response, now);
    }

    fn journal(&self) -> &[JournalEntry] {
        &self.journal
    }

    fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    fn request_url(&self) -> Option<&str> {
        self.request_url.as_deref()
    }

    fn conversation_ids(&self) -> Vec<&str> {
        self.chats.keys().map(String::as_str).collect()
    }

    fn conversation(&self, id: &str) -> Option<String> {
        Self::conversation(self, id)
    }

    fn messages(&self, id: &str) -> Option<Vec<Value>> {
        Some(self.chats.get(id)?.messages.iter().map(control::message).collect())
    }
}
