//! The Lambda runtime API, from Lambda's side: an HTTP server that a function process asks for work.
//!
//! One invocation is given to one request for work. Nothing here starts, stops or times out the process, and the
//! extensions API is not served.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Response, StatusCode, request};
use tokio::sync::{Notify, oneshot, watch};

use crate::loopback::Loopback;
use crate::wire::{ACCOUNT, REGION, Reaction};

/// What every path begins with: the version of the API.
const PREFIX: &str = "/2018-06-01/runtime/";

/// How a function answered an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationAnswer {
    /// With a response.
    Response(Bytes),
    /// With an error report.
    Error(Bytes),
}

/// A running runtime API. Dropping it ends the server.
#[derive(Debug)]
pub struct RuntimeApi {
    http: Loopback,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    invocations: Mutex<Invocations>,
    /// Somebody may find an invocation waiting.
    queued: Notify,
    /// When each request for work came.
    requests: watch::Sender<Vec<Instant>>,
    /// The request id of each invocation that was given to a process.
    init_errors: watch::Sender<Vec<Bytes>>,
    answers: watch::Sender<Vec<(String, InvocationAnswer)>>,
}

#[derive(Debug, Default)]
struct Invocations {
    count: u64,
    waiting: VecDeque<Invocation>,
    running: HashMap<String, oneshot::Sender<InvocationAnswer>>,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    payload: Bytes,
    timeout: Duration,
    answer: oneshot::Sender<InvocationAnswer>,
}

impl RuntimeApi {
    /// Starts the server on a free port.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State {
            invocations: Mutex::default(),
            queued: Notify::new(),
            requests: watch::Sender::default(),
            init_errors: watch::Sender::default(),
            answers: watch::Sender::default(),
        });
        let serving = Arc::clone(&state);
        let http = Loopback::serve(move |head, body| {
            let serving = Arc::clone(&serving);
            async move { Reaction::Answer(serving.call(&head, body).await) }
        });
        Ok(Self { http: http.await?, state })
    }

    /// What the function process needs as `AWS_LAMBDA_RUNTIME_API`: host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.http.address().to_string()
    }

    /// Queues an invocation and resolves to the function's answer.
    ///
    /// The deadline is `timeout` after the process takes the invocation. Nobody enforces it, and if the process dies no
    /// answer comes: then drop the future. An invocation whose future was dropped is not given to a process any more.
    pub fn invoke(
        &self,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = InvocationAnswer> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let mut invocations = self.state.invocations();
        invocations.count += 1;
        let id = format!("00000000-0000-4000-a000-{:012x}", invocations.count);
        invocations.waiting.push_back(Invocation { id, payload: payload.into(), timeout, answer });
        drop(invocations);
        self.state.queued.notify_waiters();
        async move {
            match answered.await {
                Ok(answer) => answer,
                // The server is gone, and with it the hope for an answer.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Resolves when a process first asks for work, to the time at which it did.
    pub async fn first_request(&self) -> Instant {
        self.nth_request(1).await
    }

    /// Resolves when work was asked for `n` times in all, from 1, to the time of the n-th request.
    pub async fn nth_request(&self, n: usize) -> Instant {
        nth(&self.state.requests, n).await
    }

    /// How often work was asked for, by all processes so far.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.state.requests.borrow().len()
    }

    /// Every report of a process that could not start.
    #[must_use]
    pub fn init_errors(&self) -> Vec<Bytes> {
        self.state.init_errors.borrow().clone()
    }

    /// Every answer by request id, in order, also those that nobody waited for.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, InvocationAnswer)> {
        self.state.answers.borrow().clone()
    }
}

impl State {
    async fn call(&self, head: &request::Parts, body: Bytes) -> Response<Bytes> {
        let path: Vec<&str> = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                self.answer(id, InvocationAnswer::Response(body))
            }
            (&Method::POST, ["invocation", id, "error"]) => self.answer(id, InvocationAnswer::Error(body)),
            (&Method::POST, ["init", "error"]) => {
                self.init_errors.send_modify(|reports| reports.push(body));
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Holds the request until there is work, as Lambda freezes a process that has nothing to do.
    async fn next(&self) -> Response<Bytes> {
        #[allow(clippy::disallowed_methods, reason = "the time at which a process is ready is measured")]
        let now = Instant::now();
        self.requests.send_modify(|requests| requests.push(now));
        let mut queued = std::pin::pin!(self.queued.notified());
        loop {
            queued.as_mut().enable();
            if let Some(invocation) = self.take() {
                return self.start(invocation);
            }
            queued.as_mut().await;
            // The process may have died while it waited. After a turn of the event loop its connection, and this future
            // with it, is gone; without, the invocation could be given to a dead process.
            tokio::task::yield_now().await;
            queued.set(self.queued.notified());
        }
    }

    /// The oldest waiting invocation that somebody still waits for.
    fn take(&self) -> Option<Invocation> {
        let mut invocations = self.invocations();
        while let Some(invocation) = invocations.waiting.pop_front() {
            if !invocation.answer.is_closed() {
                return Some(invocation);
            }
        }
        None
    }

    fn start(&self, invocation: Invocation) -> Response<Bytes> {
        let Invocation { id, payload, timeout, answer } = invocation;
        #[expect(clippy::disallowed_methods, reason = "a deadline is a time of day")]
        let deadline = SystemTime::now() + timeout;
        let deadline_ms = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let started = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker"),
            )
            .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")
            .body(payload);
        self.invocations().running.insert(id, answer);
        started.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn answer(&self, id: &str, answer: InvocationAnswer) -> Response<Bytes> {
        let Some(waiting) = self.invocations().running.remove(id) else {
            let mut refusal = status(StatusCode::BAD_REQUEST);
            *refusal.body_mut() = Bytes::from_static(
                br#"{"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}"#,
            );
            return refusal;
        };
        self.answers.send_modify(|answers| answers.push((id.to_owned(), answer.clone())));
        // Whoever dropped the invocation does not want the answer.
        let _ = waiting.send(answer);
        status(StatusCode::ACCEPTED)
    }

    /// A test that panicked while it held the lock has failed already; the others may go on.
    fn invocations(&self) -> MutexGuard<'_, Invocations> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The n-th of a growing list, from 1, as soon as there is one.
async fn nth<T: Clone>(list: &watch::Sender<Vec<T>>, n: usize) -> T {
    let mut list = list.subscribe();
    loop {
        let nth = list.borrow_and_update().get(n.saturating_sub(1)).cloned();
        if let Some(nth) = nth {
            return nth;
        }
        // It fails if the list can no longer grow, but the list is borrowed from the server that makes it grow.
        let _ = list.changed().await;
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}
