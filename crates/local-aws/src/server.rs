//! SQS, EventBridge, Secrets Manager, STS and Lambda's `Invoke` as an HTTP server on 127.0.0.1.
//!
//! This file owns the clock, the locks and the waiting. [`crate::wire`] and the models carry out the calls.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, header, request};
use thiserror::Error;
use tokio::sync::watch;

use crate::bus::Bus;
use crate::invoke::Functions;
use crate::journal::JournalEntry;
use crate::loopback::Loopback;
use crate::queues::Queues;
use crate::secrets::Secrets;
use crate::web_identity::WebIdentity;
use crate::wire::{
    self, ACCOUNT, DESCRIBE_EVENT_BUS, GET_SECRET_VALUE, PUT_EVENTS, QUERY_CONTENT_TYPE, Reaction, SQS_PREFIX,
};

/// The timeout of [`LocalAws::until`]. A condition normally becomes true within milliseconds; the value leaves time
/// for a machine that is busy with a build, and still ends a test that waits for a condition that never becomes
/// true.
const UNTIL_TIMEOUT: Duration = Duration::from_secs(30);

/// SQS, EventBridge, Secrets Manager and STS on loopback. Dropping it stops the server.
#[derive(Debug)]
pub struct LocalAws {
    http: Loopback,
    state: Arc<State>,
}

/// A locked model. Changing the model through it wakes the tasks that wait for a change.
///
/// Hold at most one at a time and none across an `await`, because the server needs the same locks.
#[derive(Debug)]
pub struct Held<'a, T> {
    guard: MutexGuard<'a, T>,
    changes: &'a watch::Sender<u64>,
    is_changed: bool,
}

/// The state that a condition passed to [`LocalAws::until`] can read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub queues: &'a Queues,
    pub bus: &'a Bus,
    pub secrets: &'a Secrets,
    pub sts: &'a WebIdentity,
    /// All calls so far.
    pub journal: &'a [JournalEntry],
    /// The current time of the services.
    pub now: SystemTime,
}

/// A condition did not become true before the timeout. The message contains the journal, which usually shows why.
#[derive(Debug, Error)]
#[error("the condition was not true within {}s; the calls were: {journal:#?}", UNTIL_TIMEOUT.as_secs())]
pub struct ConditionTimeout {
    /// All calls so far.
    pub journal: Vec<JournalEntry>,
}

#[derive(Debug)]
struct State {
    queues: Mutex<Queues>,
    bus: Mutex<Bus>,
    secrets: Mutex<Secrets>,
    sts: Mutex<WebIdentity>,
    functions: Mutex<Functions>,
    journal: Mutex<Vec<JournalEntry>>,
    /// The total by which [`LocalAws::advance`] has moved the clock.
    ahead: Mutex<Duration>,
    changes: watch::Sender<u64>,
}

impl LocalAws {
    /// Starts the server on a free port, without queues and secrets, with the default event bus and with a role that
    /// may request tokens.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0).await
    }

    /// The same on this port, or on a free one if it is 0.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let state = Arc::new(State {
            queues: Mutex::default(),
            bus: Mutex::default(),
            secrets: Mutex::default(),
            sts: Mutex::new(WebIdentity::new().map_err(io::Error::other)?),
            functions: Mutex::default(),
            journal: Mutex::default(),
            ahead: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let serving = Arc::clone(&state);
        let http = Loopback::serve(port, move |head, body| {
            let serving = Arc::clone(&serving);
            async move {
                let requested = lock(&serving.functions).requested(&head, &body);
                match requested {
                    None => serving.call(&head, &body),
                    Some(Ok(invoke)) => Reaction::Respond(invoke.response().await),
                    Some(Err(refusal)) => Reaction::Respond(refusal),
                }
            }
        });
        Ok(Self { http: http.await?, state })
    }

    /// The endpoint URL for a client, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// The environment variables that configure an AWS client for this server, by name.
    pub fn environment(&self) -> impl Fn(&str) -> Option<String> + Clone + Send + Sync + use<> {
        let url = self.url();
        move |name| match name {
            "AWS_REGION" => Some(wire::REGION.to_owned()),
            "AWS_ENDPOINT_URL" => Some(url.clone()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
            _ => None,
        }
    }

    /// The URL of a queue, whether or not it exists.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.url())
    }

    /// The queues, for reads and for changes at the time of [`LocalAws::now`].
    #[must_use]
    pub fn queues(&self) -> Held<'_, Queues> {
        self.state.guard(&self.state.queues)
    }

    /// The event buses, for reads and changes.
    #[must_use]
    pub fn bus(&self) -> Held<'_, Bus> {
        self.state.guard(&self.state.bus)
    }

    /// The secrets, for reads and changes.
    #[must_use]
    pub fn secrets(&self) -> Held<'_, Secrets> {
        self.state.guard(&self.state.secrets)
    }

    /// The issuer of web identity tokens, for reads and changes.
    #[must_use]
    pub fn sts(&self) -> Held<'_, WebIdentity> {
        self.state.guard(&self.state.sts)
    }

    /// The functions that `Invoke` finds; none at the start. Invocations are not in the journal.
    #[must_use]
    pub fn functions(&self) -> Held<'_, Functions> {
        self.state.guard(&self.state.functions)
    }

    /// All calls so far, in the order in which they were carried out.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        lock(&self.state.journal).clone()
    }

    /// The current time of the services.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.state.now()
    }

    /// Moves the services' clock forward, so that a visibility timeout passes without waiting.
    ///
    /// The client's clock does not move: a message sent afterwards has a timestamp in the client's future.
    pub fn advance(&self, by: Duration) {
        *lock(&self.state.ahead) += by;
        self.state.notify_changed();
    }

    /// Resolves at the first change after this call: a request, a change through [`LocalAws::queues`],
    /// [`LocalAws::bus`], [`LocalAws::secrets`] or [`LocalAws::sts`], or an advanced clock. The passage of time is
    /// not a change.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut changes = self.state.changes.subscribe();
        async move {
            // An error means that the server has stopped; no further change will come, so the wait ends.
            let _ = changes.changed().await;
        }
    }

    /// Resolves as soon as a condition is true, now or after a change.
    ///
    /// The condition must not use this `LocalAws`, whose locks are held while the condition runs.
    #[expect(clippy::disallowed_methods, reason = "a test whose condition never becomes true must end")]
    pub async fn until(&self, mut condition: impl FnMut(View<'_>) -> bool) -> Result<(), ConditionTimeout> {
        let mut changes = self.state.changes.subscribe();
        let becomes_true = async {
            while !self.state.check(&mut condition) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(UNTIL_TIMEOUT, becomes_true)
            .await
            .map_err(|_| ConditionTimeout { journal: self.journal() })
    }
}

impl State {
    fn call(&self, head: &request::Parts, body: &Bytes) -> Reaction {
        let target =
            head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let now = self.now();
        let reaction = if target == PUT_EVENTS {
            let mut bus = lock(&self.bus);
            wire::put_events(&mut bus, &mut lock(&self.journal), body, now)
        } else if target == DESCRIBE_EVENT_BUS {
            let mut bus = lock(&self.bus);
            wire::describe_event_bus(&mut bus, &mut lock(&self.journal), body, now)
        } else if target == GET_SECRET_VALUE {
            let mut secrets = lock(&self.secrets);
            wire::get_secret_value(&mut secrets, &mut lock(&self.journal), body, now)
        } else if let Some(action) = target.strip_prefix(SQS_PREFIX) {
            // The queue's URL in the response uses the host name that the client used.
            let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let mut queues = lock(&self.queues);
            wire::call_sqs(
                &mut queues,
                &mut lock(&self.journal),
                &format!("http://{host}"),
                action,
                body,
                now,
            )
        } else if is_query(head) {
            let mut sts = lock(&self.sts);
            wire::call_sts(&mut sts, &mut lock(&self.journal), body, now)
        } else {
            Reaction::Respond(wire::unknown_operation())
        };
        self.notify_changed();
        reaction
    }

    fn check(&self, condition: &mut impl FnMut(View<'_>) -> bool) -> bool {
        let (queues, bus, secrets) = (lock(&self.queues), lock(&self.bus), lock(&self.secrets));
        let (sts, journal) = (lock(&self.sts), lock(&self.journal));
        condition(View {
            queues: &queues,
            bus: &bus,
            secrets: &secrets,
            sts: &sts,
            journal: &journal,
            now: self.now(),
        })
    }

    #[allow(clippy::disallowed_methods, reason = "the services' clock is based on the machine's clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now() + *lock(&self.ahead)
    }

    fn guard<'a, T>(&'a self, part: &'a Mutex<T>) -> Held<'a, T> {
        Held { guard: lock(part), changes: &self.changes, is_changed: false }
    }

    fn notify_changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.guard
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if self.is_changed {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}

/// Whether a call without `x-amz-target` uses the query protocol, which only STS uses here.
fn is_query(head: &request::Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    head.method == Method::POST
        && head.uri.path() == "/"
        && !head.headers.contains_key("x-amz-target")
        && content_type.eq_ignore_ascii_case(QUERY_CONTENT_TYPE)
}

/// Locks a mutex. Ignores a poisoned lock: the test that panicked has failed already, and others can continue.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
