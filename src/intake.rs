//! The front door: webhooks, schedules and events are verified, validated, put into the request queue and answered.
//!
//! It never calls Alibaba Cloud and has no keys for it. What it does not take is answered to whoever sent it and makes no
//! completion event, because it was never accepted.
//!
//! In reading order: [`payload`] tells what came, [`webhook`] checks an HTTP call, [`signature`] and [`secrets`] who sent
//! it, [`submission`] what it asks for, and [`answer`] has every answer. All of them are pure but the secrets' reading.

pub mod answer;
pub mod payload;
pub mod secrets;
pub mod sender;
pub mod signature;
pub mod submission;
pub mod webhook;

use std::borrow::Cow;

use aws_lambda_events::event::lambda_function_urls::{LambdaFunctionUrlRequest, LambdaFunctionUrlResponse};
use aws_types::SdkConfig;
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;
use tracing::{Instrument, error, info, info_span, warn};

use crate::clock::Clock;
use crate::config::IntakeConfig;
use crate::intake::sender::{Message, SEND_TIME_MAX, Sender};
use crate::request::{RequestId, Rules, Trigger};
use answer::Answer;
use payload::{Event, Payload, Unsupported};
use secrets::{SecretsUnavailable, SigningSecrets};
use signature::{Signed, Unauthorized};
use submission::{Fault, Source, Submission};
use webhook::Route;

/// Most faults of a body that a log line or an error message lists. An answer over HTTP has them all.
const FAULTS_LISTED_MAX: usize = 20;

/// How a caller shows to AWS IAM who it is, as AWS names it.
const IAM_SCHEME: &str = "AWS4-HMAC-SHA256";

/// The intake with everything that it uses.
#[derive(Debug)]
pub struct Intake {
    rules: Rules,
    /// Without them, webhooks are let in by AWS IAM alone.
    secrets: Option<SigningSecrets>,
    queue: Sender,
}

/// One invocation of the intake.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Started with the invocation.
    pub clock: Clock,
    /// Lambda's id of it, which asynchronous repetitions keep.
    pub lambda_request_id: String,
    /// Its trace.
    pub xray_trace_id: Option<String>,
}

/// Why an invocation by an event failed. Lambda repeats it twice, and then its failure destination keeps the event.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The payload is nothing that the intake takes.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The event asks for something that is not valid or not allowed.
    #[error("nothing of the event was accepted: {0}")]
    InvalidEvent(String),
    /// The queue did not take all of it.
    #[error(
        "the queue took {accepted} of {of} requests; a repetition sends the others, and does not repeat these"
    )]
    QueueUnavailable {
        /// Requests that the queue has.
        accepted: usize,
        /// Requests of the event.
        of: usize,
    },
    /// The answer could not be written as JSON.
    #[error("the answer is not JSON: {0}")]
    UnwritableAnswer(#[source] serde_json::Error),
}

impl From<IntakeError> for Diagnostic {
    fn from(error: IntakeError) -> Self {
        let error_type = match error {
            IntakeError::Unsupported(_) => "UnsupportedEvent",
            IntakeError::InvalidEvent(_) => "InvalidEvent",
            IntakeError::QueueUnavailable { .. } => "QueueUnavailable",
            IntakeError::UnwritableAnswer(_) => "UnwritableAnswer",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl Intake {
    /// The intake of this configuration.
    #[must_use]
    pub fn new(config: IntakeConfig, aws: &SdkConfig) -> Self {
        let secrets = config
            .webhook_secrets_arn
            .map(|arn| SigningSecrets::new(aws_sdk_secretsmanager::Client::new(aws), arn));
        let queue = Sender::new(aws_sdk_sqs::Client::new(aws), config.request_queue_url);
        Self { rules: config.rules, secrets, queue }
    }

    /// Reads the signing secrets before anybody waits for them. A failure is logged, and is no reason not to start:
    /// schedules and events need none.
    pub async fn prepare(&self, clock: &Clock) {
        if let Some(secrets) = &self.secrets {
            let _ = secrets.current(clock).await;
        }
    }

    /// Answers one invocation. An HTTP call always has an answer; an event that is not wholly accepted fails.
    pub async fn handle(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, IntakeError> {
        let span = info_span!(
            "invocation",
            lambda_request_id = invocation.lambda_request_id,
            xray_trace_id = invocation.xray_trace_id
        );
        let answered = self.answer(payload, invocation).instrument(span.clone()).await;
        // The runtime tells Lambda; its own line for the log is a debugger's and is switched off.
        answered.inspect_err(|error| span.in_scope(|| error!("the invocation failed: {error}")))
    }

    async fn answer(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, IntakeError> {
        match Payload::read(payload)? {
            Payload::Call { request, path } => {
                let taken = self.take_call(&request, &path, invocation).await;
                let answer = taken.unwrap_or_else(|answer| answer);
                note(&answer, &request);
                respond(&answer)
            }
            Payload::UnreadableCall => {
                let answer = Answer::Faulty(vec![Fault::of_body("comes with a call that is not HTTP")]);
                // AWS sends none: somebody invokes the function with what looks like a call.
                error!(status = answer.status().as_u16(), "a call that is not HTTP");
                respond(&answer)
            }
            Payload::Events { trigger, events } => self.take_events(trigger, &events, invocation).await,
        }
    }

    /// The answer to a call; as an error if the call came to nothing.
    async fn take_call(
        &self,
        request: &LambdaFunctionUrlRequest,
        path: &str,
        invocation: &Invocation,
    ) -> Result<Answer, Answer> {
        match webhook::route(request, path)? {
            Route::Health => return Ok(Answer::Healthy),
            Route::Detachments => {}
        }
        let body = webhook::body(request)?;
        let id = self.authenticate(request, &body, &invocation.clock).await?;
        webhook::check_media_type(&request.headers)?;
        let body =
            std::str::from_utf8(&body).map_err(|_| Answer::Faulty(vec![Fault::of_body("is not UTF-8")]))?;
        let submissions = submission::parse(body, Source::Id(&id), &self.rules).map_err(Answer::Faulty)?;
        let (accepted, send_again) = self.enqueue(submissions, Trigger::Webhook, invocation).await;
        if send_again.is_empty() {
            Ok(Answer::Accepted(accepted))
        } else {
            Err(Answer::QueueUnavailable { accepted, send_again })
        }
    }

    /// The id of the webhook, if somebody who may send one has sent it.
    async fn authenticate(
        &self,
        request: &LambdaFunctionUrlRequest,
        body: &[u8],
        clock: &Clock,
    ) -> Result<String, Answer> {
        let refused = |why: Unauthorized, scheme| {
            warn!(source_ip = source_ip(request), "not authenticated: {why}");
            Answer::Unauthorized(scheme)
        };
        let Some(secrets) = &self.secrets else {
            return id_by_iam(request).ok_or_else(|| refused(Unauthorized::NoIdentity, IAM_SCHEME));
        };
        let unsigned = |why| refused(why, signature::SCHEME);
        let unavailable = |SecretsUnavailable| Answer::SecretsUnavailable;
        let signed = Signed::read(&request.headers, body, clock.wall()).map_err(unsigned)?;
        if signed.is_by_any(&secrets.current(clock).await.map_err(unavailable)?) {
            return Ok(signed.id().to_owned());
        }
        // Perhaps the list has changed since it was read.
        match secrets.after_mismatch(clock).await.map_err(unavailable)? {
            Some(keys) if signed.is_by_any(&keys) => Ok(signed.id().to_owned()),
            _ => Err(unsigned(Unauthorized::NoMatch)),
        }
    }

    async fn take_events(
        &self,
        trigger: Trigger,
        events: &[Event],
        invocation: &Invocation,
    ) -> Result<Value, IntakeError> {
        let mut submissions = Vec::new();
        for event in events {
            let source = match (&event.id, trigger) {
                (Some(id), _) => Source::Id(id),
                (None, Trigger::Schedule) => Source::OwnIdOr(&invocation.lambda_request_id),
                (None, _) => Source::Id(&invocation.lambda_request_id),
            };
            let faulty = |faults: Vec<Fault>| IntakeError::InvalidEvent(listed(&faults));
            submissions.extend(submission::parse(&event.body, source, &self.rules).map_err(faulty)?);
        }
        let (accepted, send_again) = self.enqueue(submissions, trigger, invocation).await;
        if !send_again.is_empty() {
            let of = accepted.len() + send_again.len();
            return Err(IntakeError::QueueUnavailable { accepted: accepted.len(), of });
        }
        Ok(json!({ "accepted": answer::receipts(&accepted) }))
    }

    /// Puts the requests into the queue: which it has, and which not.
    async fn enqueue(
        &self,
        submissions: Vec<Submission>,
        trigger: Trigger,
        invocation: &Invocation,
    ) -> (Vec<Submission>, Vec<Submission>) {
        let message = |submission: &Submission| Message {
            group: submission.message_group(),
            deduplication_id: submission.deduplication_id(),
            body: submission.request.to_body(&submission.request_id),
            trigger,
        };
        let messages: Vec<_> = submissions.iter().map(message).collect();
        let until = invocation.clock.now() + SEND_TIME_MAX;
        let results = self.queue.send(&messages, until, &invocation.clock).await;
        let (mut accepted, mut send_again) = (Vec::new(), Vec::new());
        for (submission, result) in submissions.into_iter().zip(results) {
            let request = &submission.request;
            let span = info_span!(
                "request",
                lambda_request_id = invocation.lambda_request_id,
                xray_trace_id = invocation.xray_trace_id,
                request_id = submission.request_id.as_str(),
                region_id = request.region_id.as_str(),
                endpoint_id = request.endpoint_id.as_str(),
                security_group_id = request.security_group_id.as_str(),
            );
            let dry_run = request.dry_run;
            span.in_scope(|| match &result {
                Ok(()) => info!(trigger = trigger.as_str(), dry_run, "accepted"),
                Err(fault) => error!("not accepted: {fault}"),
            });
            let those = if result.is_ok() { &mut accepted } else { &mut send_again };
            those.push(submission);
        }
        (accepted, send_again)
    }
}

fn respond(answer: &Answer) -> Result<Value, IntakeError> {
    serde_json::to_value(LambdaFunctionUrlResponse::from(answer)).map_err(IntakeError::UnwritableAnswer)
}

/// Logs who was answered what. A webhook is named like a request of it, so that a stranger's text stays out of the log.
fn note(answer: &Answer, request: &LambdaFunctionUrlRequest) {
    let (status, source_ip, user_arn) = (answer.status().as_u16(), source_ip(request), user_arn(request));
    let webhook_id = webhook_id(request).map(|id| RequestId::from_source(&id));
    let webhook_id = webhook_id.as_ref().map(RequestId::as_str);
    if let Answer::Faulty(faults) = answer {
        warn!(status, source_ip, user_arn, webhook_id, faults = listed(faults), "answered");
    } else {
        info!(status, source_ip, user_arn, webhook_id, "answered");
    }
}

fn source_ip(request: &LambdaFunctionUrlRequest) -> Option<&str> {
    request.request_context.http.source_ip.as_deref()
}

/// The name that the sender gave the call.
fn webhook_id(request: &LambdaFunctionUrlRequest) -> Option<Cow<'_, str>> {
    let id = request.headers.get(signature::ID).map(|id| String::from_utf8_lossy(id.as_bytes()));
    id.filter(|id| !id.is_empty())
}

/// Whom AWS IAM let in.
fn user_arn(request: &LambdaFunctionUrlRequest) -> Option<&str> {
    let identity = request.request_context.authorizer.as_ref()?.iam.as_ref()?;
    identity.user_arn.as_deref().filter(|arn| !arn.is_empty())
}

/// How a call is named that AWS IAM let in: by its own id if it has one, or by AWS's.
fn id_by_iam(request: &LambdaFunctionUrlRequest) -> Option<String> {
    user_arn(request)?;
    let by_aws = || request.request_context.request_id.clone();
    webhook_id(request).map(Cow::into_owned).or_else(by_aws)
}

/// The faults in one line: as many as somebody reads.
fn listed(faults: &[Fault]) -> String {
    let place = |index: Option<usize>| index.map_or(String::new(), |index| format!("request {index}: "));
    let shown = faults.iter().take(FAULTS_LISTED_MAX);
    let mut lines: Vec<_> = shown.map(|Fault { index, fault }| format!("{}{fault}", place(*index))).collect();
    if faults.len() > FAULTS_LISTED_MAX {
        lines.push(format!("and {} more", faults.len() - FAULTS_LISTED_MAX));
    }
    lines.join("; ")
}
