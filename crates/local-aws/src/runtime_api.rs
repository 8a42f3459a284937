//! The server side of the Lambda runtime API: an HTTP server from which a function process fetches invocations.
//!
//! Each invocation is delivered to one request for the next invocation. This module does not start, stop or time out
//! the process, and it does not serve the extensions API.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Response, StatusCode, request};
use tokio::sync::{Notify, oneshot, watch};

use crate::loopback::Loopback;
use crate::wire::{ACCOUNT, REGION, Reaction};

/// The prefix of every path: the version of the API.
const PREFIX: &str = "/2018-06-01/runtime/";

/// The result of an invocation, as the function reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationResult {
    /// The function's response.
    Response(Bytes),
    /// The function's error report.
    Error(Bytes),
}

/// A running runtime API. Dropping it stops the server.
#[derive(Debug)]
pub struct RuntimeApi {
    http: Loopback,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    invocations: Mutex<Invocations>,
    /// Notified when an invocation is queued.
    queued: Notify,
    /// The time of each request for the next invocation.
    requests: watch::Sender<Vec<Instant>>,
    init_errors: watch::Sender<Vec<Bytes>>,
    results: watch::Sender<Vec<(String, InvocationResult)>>,
}

#[derive(Debug, Default)]
struct Invocations {
    count: u64,
    waiting: VecDeque<Invocation>,
    running: HashMap<String, oneshot::Sender<InvocationResult>>,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    payload: Bytes,
    timeout: Duration,
    answer: oneshot::Sender<InvocationResult>,
}

impl RuntimeApi {
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State {
            invocations: Mutex::default(),
            queued: Notify::new(),
            requests: watch::Sender::default(),
            init_errors: watch::Sender::default(),
            results: watch::Sender::default(),
        });
        let serving = Arc::clone(&state);
        let http = Loopback::serve(0, move |head, body| {
            let serving = Arc::clone(&serving);
            async move { Reaction::Respond(serving.call(&head, body).await) }
        });
        Ok(Self { http: http.await?, state })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API` for the function process: host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.http.address().to_string()
    }

    /// Queues an invocation and resolves to the function's result.
    ///
    /// The deadline is `timeout` after a process fetches the invocation. It is not enforced, and if the process
    /// ends, the future does not resolve; the caller must drop it then. An invocation whose future was dropped is
    /// not delivered to a process.
    pub fn invoke(
        &self,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = InvocationResult> + Send + 'static {
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
                // The server has stopped, so no result will arrive.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Resolves when a process first requests an invocation, to the time of the request.
    pub async fn first_request(&self) -> Instant {
        self.nth_request(1).await
    }

    /// Resolves when the `n`-th request for an invocation has arrived, counted from 1, to the time of the request.
    pub async fn nth_request(&self, n: usize) -> Instant {
        nth(&self.state.requests, n).await
    }

    /// The number of requests for an invocation, by all processes so far.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.state.requests.borrow().len()
    }

    /// Every error report of a process that failed to initialize.
    #[must_use]
    pub fn init_errors(&self) -> Vec<Bytes> {
        self.state.init_errors.borrow().clone()
    }

    /// Every result by request id, in order, including those whose caller no longer waits.
    #[must_use]
    pub fn results(&self) -> Vec<(String, InvocationResult)> {
        self.state.results.borrow().clone()
    }
}

impl State {
    async fn call(&self, head: &request::Parts, body: Bytes) -> Response<Bytes> {
        let path: Vec<&str> = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                self.answer(id, InvocationResult::Response(body))
            }
            (&Method::POST, ["invocation", id, "error"]) => self.answer(id, InvocationResult::Error(body)),
            (&Method::POST, ["init", "error"]) => {
                self.init_errors.send_modify(|reports| reports.push(body));
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Holds the request until an invocation is queued, as Lambda freezes an idle process.
    async fn next(&self) -> Response<Bytes> {
        #[allow(clippy::disallowed_methods, reason = "tests measure the time at which a process is ready")]
        let now = Instant::now();
        self.requests.send_modify(|requests| requests.push(now));
        let mut queued = std::pin::pin!(self.queued.notified());
        loop {
            queued.as_mut().enable();
            if let Some(invocation) = self.take() {
                return self.start(invocation);
            }
            queued.as_mut().await;
            // The process may have ended while it waited. After one turn of the event loop, its connection and with
            // it this future are dropped; without the turn, the invocation could be delivered to a process that has
            // ended.
            tokio::task::yield_now().await;
            queued.set(self.queued.notified());
        }
    }

    /// Removes and returns the oldest queued invocation whose caller still waits.
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
        #[expect(clippy::disallowed_methods, reason = "a deadline is a point in wall-clock time")]
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

    fn answer(&self, id: &str, answer: InvocationResult) -> Response<Bytes> {
        let Some(waiting) = self.invocations().running.remove(id) else {
            let mut refusal = status(StatusCode::BAD_REQUEST);
            *refusal.body_mut() = Bytes::from_static(
                br#"{"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}"#,
            );
            return refusal;
        };
        self.results.send_modify(|results| results.push((id.to_owned(), answer.clone())));
        // This fails if the caller no longer waits; the result is then not needed.
        let _ = waiting.send(answer);
        status(StatusCode::ACCEPTED)
    }

    /// Locks the invocations. Ignores a poisoned lock: the test that panicked has failed already, and others can
    /// continue.
    fn invocations(&self) -> MutexGuard<'_, Invocations> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the n-th element of a growing list, counted from 1.
async fn nth<T: Clone>(list: &watch::Sender<Vec<T>>, n: usize) -> T {
    let mut list = list.subscribe();
    loop {
        let nth = list.borrow_and_update().get(n.saturating_sub(1)).cloned();
        if let Some(nth) = nth {
            return nth;
        }
        // An error means that the list no longer grows, but `self` borrows the server that appends to it.
        let _ = list.changed().await;
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}
