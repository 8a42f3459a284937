//! Slack from both sides: the Web API that the app calls, and the signed requests that Slack sends to the app.
//!
//! In reading order:
//!
//! * `workspace`: the state: channels, members, messages.
//! * `timestamp`: `ts`, the id of a message.
//! * `web_api`: the methods that post and change messages; `blocks` checks Block Kit, `rate_limit` the pace.
//! * `requests`: slash commands and clicks; `signature` signs them.
//! * `responses`: what the app's response shows to the user.
//! * `text`: a message without its markup.
//! * `control`: the control endpoints.
//!
//! This file owns the clock, the lock and the waiting; the others do no I/O.

mod blocks;
mod control;
mod rate_limit;
mod requests;
mod responses;
mod signature;
mod text;
mod timestamp;
mod web_api;
mod workspace;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, StatusCode, request};
use thiserror::Error;

pub use rate_limit::RateLimit;
pub use requests::{ActionError, SignedRequest, UserAction};
pub use signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
pub use timestamp::{NotATimestamp, Timestamp};
pub use workspace::{
    APPROVER, App, Author, BOT_TOKEN, BYSTANDER, CHANNEL, Channel, Message, REQUESTER, SIGNING_SECRET, TEAM,
    Workspace,
};

use crate::client::{self, AppResponse, PostError};
use crate::control::{PREFIX, error_response};
use crate::journal::JournalEntry;
use crate::loopback::{Loopback, Reaction};
use crate::state::{Held, Shared};

/// The time that Slack waits for the app's response to a command or a click.
pub const RESPONSE_LIMIT: Duration = Duration::from_secs(3);

/// Slack on loopback. Dropping it stops the server.
#[derive(Debug)]
pub struct Slack {
    http: Loopback,
    shared: Arc<Shared<Workspace>>,
}

/// A condition did not become true before the timeout. The message contains the journal and the conversations, which
/// usually show why.
#[derive(Debug, Error)]
#[error("the condition was not true in time; the calls were: {journal:#?}\n{conversations}")]
pub struct ConditionTimeout {
    pub journal: Vec<JournalEntry>,
    pub conversations: String,
}

impl Slack {
    /// Starts the server on a free port, with the default workspace.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Workspace::default(), 0).await
    }

    /// The same with this workspace, on this port or on a free one if it is 0.
    pub async fn start_with(workspace: Workspace, port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(workspace));
        let serving = Arc::clone(&shared);
        let http = Loopback::serve(port, move |head, body| {
            let serving = Arc::clone(&serving);
            async move { respond(&serving, &head, &body).await }
        });
        Ok(Self { http: http.await?, shared })
    }

    /// The URL that replaces `https://slack.com`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// The workspace, for reads and changes.
    #[must_use]
    pub fn workspace(&self) -> Held<'_, Workspace> {
        self.shared.hold()
    }

    /// All calls of the Web API so far, in order.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.workspace().journal.clone()
    }

    /// The conversation as text; empty if there is no such channel.
    #[must_use]
    pub fn conversation(&self, channel: &str) -> String {
        self.workspace().conversation(channel).unwrap_or_default()
    }

    /// Waits until a condition is true, now or after a change.
    ///
    /// The condition must not use this `Slack`, whose lock is held while the condition runs.
    pub async fn until(&self, condition: impl FnMut(&Workspace) -> bool) -> Result<(), ConditionTimeout> {
        if self.shared.until(condition).await {
            return Ok(());
        }
        let workspace = self.workspace();
        let conversations = workspace.channels.keys().filter_map(|id| workspace.conversation(id)).collect();
        Err(ConditionTimeout { journal: workspace.journal.clone(), conversations })
    }

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
        click_newest(&mut self.workspace(), channel, action_id, user)
    }

    /// The headers that sign a body at this time, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, body: &str, timestamp: u64) -> [(&'static str, String); 2] {
        self.workspace().sign(body, timestamp)
    }

    /// Posts a request to the app and adds to the conversation what the response shows. Waits at most
    /// [`RESPONSE_LIMIT`].
    pub async fn send(&self, request: &SignedRequest, url: &str) -> Result<AppResponse, PostError> {
        send(&self.shared, request, url, RESPONSE_LIMIT).await
    }

    /// The same with another limit.
    pub async fn send_within(
        &self,
        request: &SignedRequest,
        url: &str,
        limit: Duration,
    ) -> Result<AppResponse, PostError> {
        send(&self.shared, request, url, limit).await
    }

    /// Adds to the conversation what a response shows that the caller has fetched itself.
    pub fn show(&self, request: &SignedRequest, response: &Result<AppResponse, PostError>) {
        self.workspace().show(request, response, now());
    }
}

fn click_newest(
    workspace: &mut Workspace,
    channel: &str,
    action_id: &str,
    user: &str,
) -> Result<SignedRequest, ActionError> {
    if !workspace.channels.contains_key(channel) {
        return Err(ActionError::NoChannel(channel.to_owned()));
    }
    let newest = workspace.newest_with_button(channel, action_id, user).map(|message| message.ts);
    let ts = newest.ok_or_else(|| ActionError::NoMessageWithButton {
        user: user.to_owned(),
        action_id: action_id.to_owned(),
        channel: channel.to_owned(),
    })?;
    workspace.click(channel, ts, action_id, user, now())
}

async fn send(
    shared: &Shared<Workspace>,
    request: &SignedRequest,
    url: &str,
    limit: Duration,
) -> Result<AppResponse, PostError> {
    let response = client::post(url, &request.headers, &request.body, limit).await;
    shared.hold().show(request, &response, now());
    response
}

async fn respond(shared: &Shared<Workspace>, head: &request::Parts, body: &Bytes) -> Reaction {
    let path = head.uri.path();
    if let Some(method) = path.strip_prefix(web_api::PREFIX)
        && head.method == Method::POST
    {
        return web_api::call(&mut shared.hold(), method, &head.headers, body, now());
    }
    Reaction::respond(match path.strip_prefix(PREFIX) {
        Some(endpoint) => control::respond(shared, &head.method, endpoint, head.uri.query(), body).await,
        None => error_response(StatusCode::NOT_FOUND, &"use POST /api/{method} or /control/"),
    })
}

#[expect(clippy::disallowed_methods, reason = "Slack's clock is the machine's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
