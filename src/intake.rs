//! The intake function: verifies webhooks and chat calls, accepts events and schedules, and puts their requests into the
//! request queue.
//!
//! It never calls Alibaba Cloud and has no credentials for it. A request that it does not accept is reported to its sender
//! and causes no completion event.
//!
//! In reading order: [`payload`] recognizes what an invocation contains, [`http`] has a call and its response as values,
//! [`routes`] is the table of HTTP entry points, [`signature`] and [`secrets`] authenticate a sender, [`submission`] parses
//! the requests, [`response`] has every HTTP response, [`crate::aws::secret`] reads the secrets, and
//! [`crate::aws::request_queue`] writes to the queue. `chat` has the entry points of chat platforms. Only this file and
//! `chat` perform I/O.

mod chat;
pub mod http;
pub mod payload;
pub mod response;
pub mod routes;
pub mod secrets;
pub mod signature;
pub mod submission;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_types::SdkConfig;
use futures_util::FutureExt;
use futures_util::future::join3;
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;
use tracing::{error, error_span, info, warn};

use crate::aws::LazyClient;
use crate::aws::request_queue::{Message, RequestQueue, Sender};
use crate::aws::secret::{Secret, SecretUnavailable};
use crate::clock::Clock;
use crate::config::{EventSource, IntakeConfig};
use crate::lambda::{self, Invocation};
use crate::request::{RequestId, Rules, Trigger};
use crate::telemetry;
use chat::Chat;
use http::{HttpCall, HttpResponse};
use payload::{Payload, RequestEvent, UnsupportedPayload};
use response::HttpError;
use routes::{CallId, Handler, ParseCall, VerifiedCall};
use secrets::SigningKeys;
use signature::{SignedWebhook, Unauthorized};
use submission::{IdSource, Submission};

/// The time within which calls to the queue may begin: the sender of a webhook waits for the response, and the
/// function's time is limited.
pub const SEND_TIME_MAX: Duration = Duration::from_secs(20);

/// The authentication scheme of AWS IAM, AWS Signature Version 4.
const IAM_SCHEME: &str = "AWS4-HMAC-SHA256";

/// The intake and what it uses.
#[derive(Debug)]
pub struct Intake {
    rules: Rules,
    /// `None`: AWS IAM alone authenticates webhooks.
    secrets: Option<Secret<SigningKeys>>,
    /// The sources whose `EventBridge` events are accepted.
    event_sources: BTreeSet<EventSource>,
    queue: Sender,
    /// `None`: no chat platform is served.
    chat: Option<Chat>,
}

/// Why an invocation by an event failed. Lambda retries it twice and then sends the event to the failure destination.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The payload is not one that the intake supports.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedPayload),
    /// The source of the event is not allowed. The error does not repeat it: it is untrusted text.
    #[error(
        "the event's source is not in REQUEST_EVENT_SOURCES: list it there, or end the rule that delivers the event"
    )]
    SourceNotAllowed,
    /// A request of the event is not valid, or not allowed in this deployment.
    #[error("no request of the event was accepted: {0}")]
    InvalidEvent(String),
    /// The queue did not accept every request.
    #[error(
        "the queue accepted {accepted} of {of} requests; a retry sends the remaining ones and creates no duplicates"
    )]
    QueueUnavailable {
        /// The number of requests that are in the queue.
        accepted: usize,
        /// The number of requests in the event.
        of: usize,
    },
}

impl From<IntakeError> for Diagnostic {
    fn from(error: IntakeError) -> Self {
        let error_type = match error {
            IntakeError::Unsupported(_) => "UnsupportedEvent",
            IntakeError::SourceNotAllowed => "SourceNotAllowed",
            IntakeError::InvalidEvent(_) => "InvalidEvent",
            IntakeError::QueueUnavailable { .. } => "QueueUnavailable",
        };
        Self { error_type: error_type.to_owned(), error_message: telemetry::cause(&error) }
    }
}

/// Which requests the queue has, and which it has not. Both keep the order of the requests.
struct Enqueued {
    accepted: Vec<Submission>,
    send_again: Vec<Submission>,
}

impl Intake {
    /// Sets up the intake; makes no call yet.
    #[must_use]
    pub fn new(config: IntakeConfig, aws: &SdkConfig) -> Self {
        let secrets =
            config.webhook_secrets_arn.map(|arn| Secret::new(aws_sdk_secretsmanager::Client::new(aws), arn));
        let queue =
            Sender::new(LazyClient::new(aws, aws_sdk_sqs::Client::new), config.request_queue_url.clone());
        let chat =
            config.chat.map(|chat| Chat::new(chat, config.rules.clone(), config.request_queue_url, aws));
        Self { rules: config.rules, secrets, event_sources: config.request_event_sources, queue, chat }
    }

    /// Reads the secrets before the first call needs them. A failure is logged and does not prevent the start, because
    /// schedules and events need no secrets.
    pub async fn prepare(&self, clock: &Clock) {
        let webhooks = async {
            if let Some(secrets) = &self.secrets {
                let _ = secrets.current(clock).await;
            }
        };
        let chat = async {
            if let Some(chat) = &self.chat {
                chat.prepare(clock).await;
            }
        };
        // Last, while the other two wait for the network.
        let queue = async { self.queue.prepare() };
        join3(webhooks, chat, queue).await;
    }

    /// Handles one invocation. An HTTP call always gets a response; an event of which any request is not accepted fails.
    pub async fn handle(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, IntakeError> {
        lambda::traced(invocation, self.handle_payload(payload, invocation)).await
    }

    async fn handle_payload(
        &self,
        payload: &RawValue,
        invocation: &Invocation,
    ) -> Result<Value, IntakeError> {
        match Payload::parse(payload)? {
            Payload::Call(call) => Ok(self.handle_call(&call, invocation).await.into_payload()),
            Payload::InvalidCall => {
                let response = response::problem(&HttpError::InvalidCall);
                // AWS sends no such call: a direct invocation made it.
                let status = response.status.as_u16();
                error!(status, "the payload looks like an HTTP call and is not valid HTTP");
                Ok(response.into_payload())
            }
            Payload::Events { trigger, events } => self.handle_events(trigger, &events, invocation).await,
        }
    }

    async fn handle_call(&self, call: &HttpCall, invocation: &Invocation) -> HttpResponse {
        let (response, error) = match routes::find(&call.method, &call.path).map(|route| route.handler) {
            Err(error) => (response::problem(&error), Some(error)),
            Ok(Handler::Public { respond }) => (respond(), None),
            Ok(Handler::SignatureOrIam { trigger, parse, respond }) => {
                let result = self.submit(call, trigger, parse, invocation).await;
                (respond(&result), result.err())
            }
            Ok(Handler::Chat { platform }) => {
                match Box::pin(self.handle_chat(platform, call, invocation)).await {
                    Ok(response) => (response, None),
                    Err(error) => (response::problem(&error), Some(error)),
                }
            }
        };
        log_response(call, &response, error.as_ref());
        if call.method == "HEAD" { response.without_content() } else { response }
    }

    async fn submit(
        &self,
        call: &HttpCall,
        trigger: Trigger,
        parse: ParseCall,
        invocation: &Invocation,
    ) -> Result<Vec<Submission>, HttpError> {
        let verified = self.authenticate(call, &invocation.clock).await?;
        let submissions = parse(&verified, &self.rules)?;
        let until = invocation.clock.now() + SEND_TIME_MAX;
        let Enqueued { accepted, send_again } =
            enqueue(&self.queue, submissions, trigger, until, invocation).await;
        if send_again.is_empty() {
            Ok(accepted)
        } else {
            Err(HttpError::QueueUnavailable { accepted, send_again })
        }
    }

    /// Verifies the signature, or that AWS IAM authenticated the caller where no secrets are configured.
    async fn authenticate<'a>(
        &self,
        call: &'a HttpCall,
        clock: &Clock,
    ) -> Result<VerifiedCall<'a>, HttpError> {
        // A body that is too large is refused before its signature is computed.
        let body = call.body.as_deref().map_err(|error| HttpError::from(*error))?;
        let unauthorized = |why: Unauthorized, scheme| {
            warn!(source_ip = call.source_ip, "not authenticated: {why}");
            HttpError::Unauthorized(scheme)
        };
        let verified = |id| VerifiedCall { id, headers: &call.headers, body };
        let Some(secrets) = &self.secrets else {
            let id = iam_call_id(call).ok_or_else(|| unauthorized(Unauthorized::NoIdentity, IAM_SCHEME))?;
            return Ok(verified(id));
        };
        let unsigned = |why| unauthorized(why, signature::SCHEME);
        let unavailable = |SecretUnavailable| HttpError::SecretsUnavailable;
        let received_at = call.received_at.unwrap_or_else(|| clock.wall());
        let signed = SignedWebhook::parse(&call.headers, body, received_at).map_err(unsigned)?;
        if signed.is_signed_by_any(&secrets.current(clock).await.map_err(unavailable)?) {
            return Ok(verified(CallId::Webhook(signed.id().into())));
        }
        // The secret may have been added to the list after the last read.
        match secrets.after_mismatch(clock).await.map_err(unavailable)? {
            Some(keys) if signed.is_signed_by_any(&keys) => Ok(verified(CallId::Webhook(signed.id().into()))),
            _ => Err(unsigned(Unauthorized::NoMatch)),
        }
    }

    async fn handle_events(
        &self,
        trigger: Trigger,
        events: &[RequestEvent],
        invocation: &Invocation,
    ) -> Result<Value, IntakeError> {
        let mut submissions = Vec::new();
        for event in events {
            if event.source.as_ref().is_some_and(|source| !self.takes_events_from(source)) {
                return Err(IntakeError::SourceNotAllowed);
            }
            let source = match (&event.id, trigger) {
                (Some(id), _) => IdSource::Delivery(id),
                (None, Trigger::Schedule) => IdSource::Schedule(&invocation.lambda_request_id),
                (None, _) => IdSource::Delivery(&invocation.lambda_request_id),
            };
            let parsed = submission::parse(&event.body, source, &self.rules);
            submissions
                .extend(parsed.map_err(|errors| IntakeError::InvalidEvent(submission::summarize(&errors)))?);
        }
        let until = invocation.clock.now() + SEND_TIME_MAX;
        let Enqueued { accepted, send_again } =
            enqueue(&self.queue, submissions, trigger, until, invocation).await;
        if !send_again.is_empty() {
            let of = accepted.len() + send_again.len();
            return Err(IntakeError::QueueUnavailable { accepted: accepted.len(), of });
        }
        Ok(json!({ "accepted": response::receipts(&accepted) }))
    }

    fn takes_events_from(&self, source: &str) -> bool {
        self.event_sources.iter().any(|allowed| allowed.as_str() == source)
    }
}

/// Sends the requests to the queue, and logs for each whether the queue accepted it.
async fn enqueue(
    queue: &Sender,
    submissions: Vec<Submission>,
    trigger: Trigger,
    until: Instant,
    invocation: &Invocation,
) -> Enqueued {
    let message = |submission: &Submission| Message {
        group: submission.request.message_group(),
        deduplication_id: submission.deduplication_id(),
        body: submission.request.to_body(&submission.request_id),
        trigger,
    };
    let messages: Vec<_> = submissions.iter().map(message).collect();
    // Without its type: the futures of the SDK are too deep for the compiler.
    let results = queue.send(&messages, until, &invocation.clock).boxed().await;
    let mut enqueued = Enqueued { accepted: Vec::new(), send_again: Vec::new() };
    for (submission, result) in submissions.into_iter().zip(results) {
        let request = &submission.request;
        let span = error_span!(
            "request",
            lambda_request_id = invocation.lambda_request_id,
            xray_trace_id = invocation.xray_trace_id,
            request_id = submission.request_id.as_str(),
            region_id = request.region_id.as_str(),
            endpoint_id = request.endpoint_id.as_str(),
            security_group_id = request.security_group_id.as_str(),
        );
        let dry_run = request.dry_run;
        let requests = match result {
            Ok(()) => {
                span.in_scope(|| info!(trigger = trigger.as_str(), dry_run, "accepted"));
                &mut enqueued.accepted
            }
            Err(error) => {
                span.in_scope(|| error!("not accepted: {}", telemetry::cause(&error)));
                &mut enqueued.send_again
            }
        };
        requests.push(submission);
    }
    enqueued
}

/// Identifies a call that AWS IAM authenticated: its own id if it has one, otherwise AWS's.
fn iam_call_id(call: &HttpCall) -> Option<CallId<'_>> {
    call.caller_arn.as_ref()?;
    let webhook_id = signature::webhook_id(&call.headers).map(CallId::Webhook);
    webhook_id.or_else(|| call.aws_request_id.as_deref().map(CallId::Aws))
}

/// Logs the response to a call. The webhook's id is logged in the form of a `request_id`, so that untrusted text stays out
/// of the log.
fn log_response(call: &HttpCall, response: &HttpResponse, error: Option<&HttpError>) {
    let HttpCall { source_ip, caller_arn: user_arn, .. } = call;
    let (method, path) = routes::logged(&call.method, &call.path);
    let status = response.status.as_u16();
    let webhook_id = signature::webhook_id(&call.headers).map(|id| RequestId::from_source(&id));
    let webhook_id = webhook_id.as_ref().map(RequestId::as_str);
    if let Some(HttpError::InvalidRequests(errors)) = error {
        let faults = submission::summarize(errors);
        warn!(method, path, status, source_ip, user_arn, webhook_id, faults, "answered");
    } else {
        info!(method, path, status, source_ip, user_arn, webhook_id, "answered");
    }
}
