//! A simulated platform that runs: its server, its state and the requests to the app, the same for every platform.
//!
//! This file owns the clock, the lock and the waiting; a platform's modules do no I/O.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{StatusCode, request};
use serde_json::Value;
use thiserror::Error;

use crate::client::{self, AppResponse, PostError};
use crate::control::{PREFIX, error_response};
use crate::endpoints::{self, Act, RequestError};
use crate::faults::Faults;
use crate::journal::JournalEntry;
use crate::loopback::{Loopback, Reaction};
use crate::request::SignedRequest;
use crate::state::{Held, Shared};

/// The state of a platform, and what differs between platforms.
pub trait Platform: Send + Sized + 'static {
    /// What a user did.
    type Action: Send + Sync;

    /// The platform's word for a conversation, which is also the name of a control request's parameter.
    const CONVERSATION: &'static str;

    /// The methods of the API, by the names that faults and the journal use.
    const METHODS: &'static [&'static str];

    /// The control endpoints of the platform alone: `POST`, and what they do.
    const CONTROLS: &'static [(&'static str, Control<Self>)];

    /// The response to a path that is neither one of the API nor a control endpoint.
    const UNKNOWN_PATH: &'static str;

    /// How long the platform waits for the app's response.
    fn response_limit(action: &Self::Action) -> Duration;

    /// Carries out a call of the API; `None` if the path is not one of the API.
    fn call(&mut self, head: &request::Parts, body: &Bytes, now: SystemTime) -> Option<Reaction>;

    /// Begins or ends the time in which a request has no response yet.
    fn wait(&mut self, _request: &SignedRequest<Self::Action>, _is_waiting: bool) {}

    /// Adds to the conversation what the app's response shows. Does nothing if the conversation no longer exists.
    fn show(
        &mut self,
        request: &SignedRequest<Self::Action>,
        response: &Result<AppResponse, PostError>,
        now: SystemTime,
    );

    /// All calls of the API so far, in order.
    fn journal(&self) -> &[JournalEntry];

    fn faults_mut(&mut self) -> &mut Faults;

    /// The URL to which the platform sends its requests.
    fn request_url(&self) -> Option<&str>;

    /// The ids of the conversations.
    fn conversation_ids(&self) -> Vec<&str>;

    /// A conversation as text; `None` if there is no such conversation.
    fn conversation(&self, id: &str) -> Option<String>;

    /// The messages of a conversation, as JSON for programs.
    fn messages(&self, id: &str) -> Option<Vec<Value>>;
}

/// What a control endpoint does.
#[derive(Debug)]
pub enum Control<P: Platform> {
    /// Makes a request to the app, and sends it.
    Act(Act<P>),
    /// Changes the state.
    Change(fn(&mut P, &[u8]) -> Result<(), RequestError>),
}

/// A platform on loopback. Dropping it stops the server.
#[derive(Debug)]
pub struct Simulator<P> {
    http: Loopback,
    shared: Arc<Shared<P>>,
}

/// A condition did not become true before the timeout. The message contains the journal and the conversations, which
/// usually show why.
#[derive(Debug, Error)]
#[error("the condition was not true in time; the calls were: {journal:#?}\n{conversations}")]
pub struct ConditionTimeout {
    pub journal: Vec<JournalEntry>,
    pub conversations: String,
}

impl<P: Platform> Simulator<P> {
    /// Starts the server on a free port, with the default state.
    pub async fn start() -> io::Result<Self>
    where
        P: Default,
    {
        Self::start_with(P::default(), 0).await
    }

    /// The same with this state, on this port or on a free one if it is 0.
    pub async fn start_with(state: P, port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(state));
        let serving = Arc::clone(&shared);
        let http = Loopback::serve(port, move |head, body| {
            let serving = Arc::clone(&serving);
            async move { respond(&serving, &head, &body).await }
        });
        Ok(Self { http: http.await?, shared })
    }

    /// The URL that replaces that of the platform's API, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// The state, for reads and changes.
    #[must_use]
    pub fn workspace(&self) -> Held<'_, P> {
        self.shared.hold()
    }

    /// All calls of the API so far, in order.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.workspace().journal().to_vec()
    }

    /// The conversation as text; empty if there is no such conversation.
    #[must_use]
    pub fn conversation(&self, id: &str) -> String {
        self.workspace().conversation(id).unwrap_or_default()
    }

    /// Waits until a condition is true, now or after a change.
    ///
    /// The condition must not use this simulator, whose lock is held while the condition runs.
    pub async fn until(&self, condition: impl FnMut(&P) -> bool) -> Result<(), ConditionTimeout> {
        if self.shared.until(condition).await {
            return Ok(());
        }
        let state = self.workspace();
        let ids = state.conversation_ids();
        let conversations = ids.into_iter().filter_map(|id| state.conversation(id)).collect();
        Err(ConditionTimeout { journal: state.journal().to_vec(), conversations })
    }

    /// Posts a request to the app and adds to the conversation what the response shows. Waits at most as long as the
    /// platform does.
    pub async fn send(
        &self,
        request: &SignedRequest<P::Action>,
        url: &str,
    ) -> Result<AppResponse, PostError> {
        self.send_within(request, url, P::response_limit(&request.action)).await
    }

    /// The same with another limit.
    pub async fn send_within(
        &self,
        request: &SignedRequest<P::Action>,
        url: &str,
        limit: Duration,
    ) -> Result<AppResponse, PostError> {
        send(&self.shared, request, url, limit).await
    }

    /// Adds to the conversation what a response shows that the caller has fetched itself.
    pub fn show(&self, request: &SignedRequest<P::Action>, response: &Result<AppResponse, PostError>) {
        self.workspace().show(request, response, now());
    }
}

pub(crate) async fn send<P: Platform>(
    shared: &Shared<P>,
    request: &SignedRequest<P::Action>,
    url: &str,
    limit: Duration,
) -> Result<AppResponse, PostError> {
    let _waiting = Waiting::begin(shared, request);
    let response = client::post(url, &request.headers, &request.body, limit).await;
    shared.hold().show(request, &response, now());
    response
}

/// The time in which a request has no response yet. Dropping it ends the time, also if the caller gives up.
struct Waiting<'a, P: Platform> {
    shared: &'a Shared<P>,
    request: &'a SignedRequest<P::Action>,
}

impl<'a, P: Platform> Waiting<'a, P> {
    fn begin(shared: &'a Shared<P>, request: &'a SignedRequest<P::Action>) -> Self {
        shared.hold().wait(request, true);
        Self { shared, request }
    }
}

impl<P: Platform> Drop for Waiting<'_, P> {
    fn drop(&mut self) {
        self.shared.hold().wait(self.request, false);
    }
}

async fn respond<P: Platform>(shared: &Shared<P>, head: &request::Parts, body: &Bytes) -> Reaction {
    if let Some(endpoint) = head.uri.path().strip_prefix(PREFIX) {
        let response = endpoints::respond(shared, &head.method, endpoint, head.uri.query(), body).await;
        return Reaction::respond(response);
    }
    let called = shared.hold().call(head, body, now());
    called.unwrap_or_else(|| Reaction::respond(error_response(StatusCode::NOT_FOUND, &P::UNKNOWN_PATH)))
}

#[expect(clippy::disallowed_methods, reason = "a simulated platform's clock is the machine's clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
