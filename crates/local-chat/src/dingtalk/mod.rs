//! `DingTalk` from both sides: the API that the app calls, and the signed requests to the app.
//!
//! In reading order:
//!
//! * `workspace`: the state: conversations, members, messages, the app.
//! * `cards`: interactive cards and the template of this project.
//! * `api`: access tokens, group messages, callback routes; `card_api` creates and changes cards.
//! * `requests`: robot messages and clicks; `signature` signs them.
//! * `responses`: what the app's response changes.
//! * `text`: a message without its markup.
//! * `control`: the control endpoints of `DingTalk` alone.
//!
//! It models one company with one app, groups and the conversation of one person with the robot. It does not model Stream
//! mode, session webhooks (their host is the real one and must not be called), cards in several places, or other kinds of
//! messages and templates.
//!
//! The documentation leaves these open, and the simulator assumes:
//!
//! * Only a failure of the gateway has its own status; a refused access token has 400, as users report it.
//! * While an access token is valid, the API issues the same one again.
//! * A repeated `createAndDeliver` succeeds and changes nothing. The list of errors also has `param.cardAlreadyExist`,
//!   which a test can plan as a fault.
//! * A card whose delivery failed exists, and a repeated call delivers it.
//! * A change of a card during its callback is refused as `simulator.openCallback`. The documentation forbids it and names
//!   no code.
//! * A value of a card parameter may have 1000 bytes: the documentation says 1 KB.
//! * The fault `1111` is the body of the protection against floods, with the status 200; [`crate::Fault::status`] is its
//!   page.
//! * The user who sent a message or clicked sees that the app failed.
//! * The template shows the status in place of the buttons once the status is not `open`.

mod api;
mod card_api;
mod cards;
mod control;
mod requests;
mod responses;
mod signature;
mod text;
mod workspace;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request;
use serde_json::Value;

pub use api::ACCESS_TOKEN_HEADER;
pub use cards::{Button, Card, CardParameters};
pub use requests::{ActionError, SignedRequest, UserAction};
pub use signature::{
    CARD_SIGNATURE_HEADER, CARD_TIMESTAMP_HEADER, MESSAGE_SIGNATURE_HEADER, MESSAGE_TIMESTAMP_HEADER,
    card_signature, message_signature,
};
pub use workspace::{
    APP_KEY, APP_SECRET, APPROVER, App, Author, BYSTANDER, CALLBACK_ROUTE, CARD_PERMISSION, CARD_SECRET,
    CARD_TEMPLATE, CONVERSATION, CORP, CallbackRoute, Content, Conversation, MESSAGE_PERMISSION, Message,
    REQUESTER, ROBOT_CODE, RequestForms, Workspace,
};

use crate::client::{AppResponse, PostError};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::loopback::Reaction;
use crate::simulator::{Control, Platform, Simulator, now};

/// The time in which an app must respond to a click.
pub const CLICK_LIMIT: Duration = Duration::from_secs(2);

/// The time that the simulator waits for the response to a message. The documentation names none.
pub const MESSAGE_LIMIT: Duration = Duration::from_secs(5);

/// `DingTalk` on loopback.
pub type DingTalk = Simulator<Workspace>;

impl DingTalk {
    /// Adds a message that mentions the robot to the conversation, and returns the request for it, signed now. The
    /// request is not sent.
    pub fn command(&self, text: &str, user: &str, conversation: &str) -> Result<SignedRequest, ActionError> {
        self.workspace().command(text, user, conversation, now())
    }

    /// The request for a click on a button that the user sees now, signed now. Nothing is sent.
    pub fn click(
        &self,
        out_track_id: &str,
        action_id: &str,
        user: &str,
    ) -> Result<SignedRequest, ActionError> {
        self.workspace().click(out_track_id, action_id, user, now())
    }

    /// The same for the newest card that shows this button to the user.
    pub fn click_newest(
        &self,
        conversation: &str,
        action_id: &str,
        user: &str,
    ) -> Result<SignedRequest, ActionError> {
        self.workspace().click_newest(conversation, action_id, user, now())
    }
}

impl Platform for Workspace {
    type Action = UserAction;

    const CONVERSATION: &'static str = "conversation";
    const METHODS: &'static [&'static str] = &api::METHODS;
    const CONTROLS: &'static [(&'static str, Control<Self>)] = &control::CONTROLS;
    const UNKNOWN_PATH: &'static str = "use /v1.0/ or /control/";

    fn response_limit(action: &UserAction) -> Duration {
        match action {
            UserAction::Message => MESSAGE_LIMIT,
            UserAction::Click { .. } => CLICK_LIMIT,
        }
    }

    fn call(&mut self, head: &request::Parts, body: &Bytes, now: SystemTime) -> Option<Reaction> {
        let name = head.uri.path().strip_prefix(api::PREFIX)?;
        Some(api::call(self, head, name, body, now))
    }

    /// Opens or closes a callback. A card must not be changed in between.
    fn wait(&mut self, request: &SignedRequest, is_waiting: bool) {
        if let UserAction::Click { out_track_id, .. } = &request.action {
            let count = self.open_callbacks.entry(out_track_id.clone()).or_default();
            *count = if is_waiting { *count + 1 } else { count.saturating_sub(1) };
            self.open_callbacks.retain(|_, count| *count > 0);
        }
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
        self.conversations.keys().map(String::as_str).collect()
    }

    fn conversation(&self, id: &str) -> Option<String> {
        Self::conversation(self, id)
    }

    fn messages(&self, id: &str) -> Option<Vec<Value>> {
        Some(self.conversations.get(id)?.messages.iter().map(control::message).collect())
    }
}
