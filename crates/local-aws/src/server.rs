//! SQS, EventBridge, Secrets Manager and STS as an HTTP server on 127.0.0.1.
//!
//! This file owns the clock, the locks and the waiting; what a call means is decided in [`crate::wire`] and the models.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, header, request};
use thiserror::Error;
use tokio::sync::watch;

use crate::bus::Bus;
use crate::journal::JournalEntry;
use crate::loopback::Loopback;
use crate::queues::Queues;
use crate::secrets::Secrets;
use crate::web_identity::WebIdentity;
use crate::wire::{
    self, ACCOUNT, DESCRIBE_EVENT_BUS, GET_SECRET_VALUE, PUT_EVENTS, QUERY_CONTENT_TYPE, Reaction, SQS_PREFIX,
};

/// How long [`LocalAws::until`] waits. On loopback things happen within milliseconds; this is for a machine that is busy
/// with a build, and short enough to name the condition that never held before a whole run is given up.
const UNTIL_MAX: Duration = Duration::from_secs(30);

/// SQS, EventBridge, Secrets Manager and STS on loopback. Dropping it ends the server.
#[derive(Debug)]
pub struct LocalAws {
    http: Loopback,
    state: Arc<State>,
}

/// The models, locked. Whoever changes something through it wakes those who wait for a change.
///
/// Hold at most one at a time and none across an `await`: the server needs the same locks.
#[derive(Debug)]
pub struct Held<'a, T> {
    guard: MutexGuard<'a, T>,
    changes: &'a watch::Sender<u64>,
    is_changed: bool,
}

/// What a condition given to [`LocalAws::until`] can look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The queues.
    pub queues: &'a Queues,
    /// The buses.
    pub bus: &'a Bus,
    /// The secrets.
    pub secrets: &'a Secrets,
    /// The issuer of web identity tokens.
    pub sts: &'a WebIdentity,
    /// Every call so far.
    pub journal: &'a [JournalEntry],
    /// The time the services go by.
    pub now: SystemTime,
}

/// A condition did not come true in time. Shows the journal, which usually says why.
#[derive(Debug, Error)]
#[error("the condition did not come true within {}s; the calls were: {journal:#?}", UNTIL_MAX.as_secs())]
pub struct NeverTrue {
    /// Every call so far.
    pub journal: Vec<JournalEntry>,
}

#[derive(Debug)]
struct State {
    queues: Mutex<Queues>,
    bus: Mutex<Bus>,
    secrets: Mutex<Secrets>,
    sts: Mutex<WebIdentity>,
    journal: Mutex<Vec<JournalEntry>>,
    /// How far [`LocalAws::advance`] has moved the clock.
    ahead: Mutex<Duration>,
    changes: watch::Sender<u64>,
}

impl LocalAws {
    /// Starts the server on a free port, without any queue or secret, with the default bus alone and with a role that
    /// may ask for tokens.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State {
            queues: Mutex::default(),
            bus: Mutex::default(),
            secrets: Mutex::default(),
            sts: Mutex::new(WebIdentity::new().map_err(io::Error::other)?),
            journal: Mutex::default(),
            ahead: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let serving = Arc::clone(&state);
        let http = Loopback::serve(move |head, body| {
            let reaction = serving.call(&head, &body);
            std::future::ready(reaction)
        });
        Ok(Self { http: http.await?, state })
    }

    /// What to give a client as its endpoint, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// The variables that lead a client of AWS here, by name.
    pub fn environment(&self) -> impl Fn(&str) -> Option<String> + Clone + Send + Sync + use<> {
        let url = self.url();
        move |name| match name {
            "AWS_REGION" => Some(wire::REGION.to_owned()),
            "AWS_ENDPOINT_URL" => Some(url.clone()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
            _ => None,
        }
    }

    /// The URL of a queue, which need not exist.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.url())
    }

    /// The queues, to look at or to change at the time of [`LocalAws::now`].
    #[must_use]
    pub fn queues(&self) -> Held<'_, Queues> {
        self.state.hold(&self.state.queues)
    }

    /// The buses, to look at or to change.
    #[must_use]
    pub fn bus(&self) -> Held<'_, Bus> {
        self.state.hold(&self.state.bus)
    }

    /// The secrets, to look at or to change.
    #[must_use]
    pub fn secrets(&self) -> Held<'_, Secrets> {
        self.state.hold(&self.state.secrets)
    }

    /// The issuer of web identity tokens, to look at or to change.
    #[must_use]
    pub fn sts(&self) -> Held<'_, WebIdentity> {
        self.state.hold(&self.state.sts)
    }

    /// Every call so far, in the order in which they were carried out.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        lock(&self.state.journal).clone()
    }

    /// The time the services go by.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.state.now()
    }

    /// Moves the services' time forward, so that a visibility timeout passes without waiting for it.
    ///
    /// The client's clock stays: a message sent afterwards carries a time in the client's future.
    pub fn advance(&self, by: Duration) {
        *lock(&self.state.ahead) += by;
        self.state.has_changed();
    }

    /// Resolves upon the first change after this call: a request, a change through [`LocalAws::queues`],
    /// [`LocalAws::bus`], [`LocalAws::secrets`] or [`LocalAws::sts`], or a moved clock. Time that merely passes is no
    /// change.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut changes = self.state.changes.subscribe();
        async move {
            // The sender is gone when the server is: no further change will come, so nobody should wait for one.
            let _ = changes.changed().await;
        }
    }

    /// Resolves as soon as a condition holds, now or after a change.
    ///
    /// The condition must not use this `LocalAws`, whose locks are held while it looks.
    #[expect(clippy::disallowed_methods, reason = "a test that waits in vain must end")]
    pub async fn until(&self, mut condition: impl FnMut(View<'_>) -> bool) -> Result<(), NeverTrue> {
        let mut changes = self.state.changes.subscribe();
        let come_true = async {
            while !self.state.look(&mut condition) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(UNTIL_MAX, come_true).await.map_err(|_| NeverTrue { journal: self.journal() })
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
            // A client reaches the server under the name it was given, so the queue's URL repeats it.
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
            Reaction::Answer(wire::unknown_operation())
        };
        self.has_changed();
        reaction
    }

    fn look(&self, condition: &mut impl FnMut(View<'_>) -> bool) -> bool {
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

    #[allow(clippy::disallowed_methods, reason = "the services' clock starts from the machine's")]
    fn now(&self) -> SystemTime {
        SystemTime::now() + *lock(&self.ahead)
    }

    fn hold<'a, T>(&'a self, part: &'a Mutex<T>) -> Held<'a, T> {
        Held { guard: lock(part), changes: &self.changes, is_changed: false }
    }

    fn has_changed(&self) {
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

/// Whether a call without a target is one in the query protocol, which STS alone speaks here.
fn is_query(head: &request::Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    head.method == Method::POST
        && head.uri.path() == "/"
        && !head.headers.contains_key("x-amz-target")
        && content_type.eq_ignore_ascii_case(QUERY_CONTENT_TYPE)
}

/// A test that panicked while it held a lock has failed already; the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
