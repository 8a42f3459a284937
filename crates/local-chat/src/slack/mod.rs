//! Slack from both sides: the Web API that the app calls, and the signed requests that Slack sends to the app.
//!
//! In reading order:
//!
//! * `workspace`: the state: channels, members, messages.
//! * `timestamp`: `ts`, the id of a message.
//! * `web_api`: the methods that post and change messages; `blocks` checks Block Kit.
//! * `requests`: slash commands and clicks; `signature` signs them.
//! * `responses`: what the app's response shows to the user.
//! * `text`: a message without its markup.
//! * `control`: the control endpoints of Slack alone.

mod blocks;
mod control;
mod requests;
mod responses;
mod signature;
mod text;
mod timestamp;
mod web_api;
mod workspace;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, request};
use serde_json::Value;

pub use crate::rate_limit::RateLimit;
pub use requests::{ActionError, SignedRequest, UserAction};
pub use signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
pub use timestamp::{NotATimestamp, Timestamp};
pub use workspace::{
    APPROVER, App, Author, BOT_TOKEN, BYSTANDER, CHANNEL, Channel, Message, REQUESTER, SIGNING_SECRET, TEAM,
    Workspace,
};

use crate::client::{AppResponse, PostError};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::loopback::Reaction;
use crate::simulator::{Control, Platform, Simulator, now};

/// The time that Slack waits for the app's response to a command or a click.
pub const RESPONSE_LIMIT: Duration = Duration::from_secs(3);

/// Slack on loopback.
pub type Slack = Simulator<Workspace>;

impl Slack {
    /// The request for a slash command, signed now. Nothing is sent.
    pub fn command(&self, text: &str, user: &str, channel: &str) -> Result<SignedRequest, ActionError> {
        self.workspace().command(text, user, channel, now())
    }

    /// The request for a click on a button that a message has now, signed now. Nothing is sent.
    pub fn click(
        &self,
        channel: &str,
        ts: Timestamp,
        action_id: &str,
        user: &str,
    ) -> Result<SignedRequest, ActionError> {
        self.workspace().click(channel, ts, action_id, user, now())
    }

    /// The same for the newest message that has this button.
    pub fn click_newest(
        &self,
        channel: &str,
        action_id: &str,
        user: &str,
    ) -> Result<SignedRequest, ActionError> {
        self.workspace().click_newest(channel, action_id, user, now())
    }

    /// The headers that sign a body at this time, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, body: &str, timestamp: u64) -> [(&'static str, String); 2] {
        self.workspace().sign(body, timestamp)
    }
}

impl Platform for Workspace {
    type Action = UserAction;

    const CONVERSATION: &'static str = "channel";
    const METHODS: &'static [&'static str] = &web_api::METHODS;
    const CONTROLS: &'static [(&'static str, Control<Self>)] = &control::CONTROLS;
    const UNKNOWN_PATH: &'static str = "use POST /api/{method} or /control/";

    fn response_limit(_action: &UserAction) -> Duration {
        RESPONSE_LIMIT
    }

    fn call(&mut self, head: &request::Parts, body: &Bytes, now: SystemTime) -> Option<Reaction> {
        let method = head.uri.path().strip_prefix(web_api::PREFIX).filter(|_| head.method == Method::POST)?;
        Some(web_api::call(self, method, &head.headers, body, now))
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
        self.channels.keys().map(String::as_str).collect()
    }

    fn conversation(&self, id: &str) -> Option<String> {
        Self::conversation(self, id)
    }

    fn messages(&self, id: &str) -> Option<Vec<Value>> {
        Some(self.channels.get(id)?.messages.iter().map(control::message).collect())
    }
}
