//! The entry points of chat platforms: a `command` becomes a dry run, an approval becomes a request, and every `click` becomes
//! a notice for the messenger.
//!
//! It contains no rules: [`crate::chat`] verifies, parses, decides and words. All calls to AWS together have
//! [`AWS_TIME_MAX`], because a platform waits 3 s for the response and shows an error after that. A call to AWS that is not
//! over by then is ended, with one ERROR line.

mod click;
mod command;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_types::SdkConfig;
use http::StatusCode;
use serde_json::Value;
use tracing::{error, info, warn};

use super::http::{HttpCall, HttpResponse};
use super::response::HttpError;
use super::submission::Submission;
use super::{Enqueued, Intake, enqueue};
use crate::aws::notice_queue::NoticeSender;
use crate::aws::request_queue::Sender;
use crate::aws::secret::{Secret, SecretUnavailable};
use crate::aws::{self, LazyClient};
use crate::chat::call::{self, COMMAND_DEFAULT, ChatCall, Unopened, VerificationSecrets};
use crate::chat::identity::Platform;
use crate::chat::policy::Policy;
use crate::chat::signed::ChatKeys;
use crate::chat::texts::{Answer, Language, LanguageSetting};
use crate::clock::Clock;
use crate::config::ChatConfig;
use crate::lambda::Invocation;
use crate::request::{DetachRequest, RequestId, Rules, Trigger};
use crate::telemetry;

/// The time that all calls to AWS take together. The rest of the 3 s that a platform waits is for the start of the function
/// and for the way to the platform.
const AWS_TIME_MAX: Duration = Duration::from_millis(1200);

/// Timeout of one attempt of a call to AWS. A connection can be lost while the process is frozen: a second attempt on a new
/// one, at most 200 ms later, then still has as long within [`AWS_TIME_MAX`].
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// The media type of every response with a body.
const JSON: &str = "application/json";

/// Chat, as this deployment configures it.
#[derive(Debug)]
pub(super) struct Chat {
    policy: Policy,
    rules: Rules,
    approval_timeout: Duration,
    language: LanguageSetting,
    verification: Secret<VerificationSecrets>,
    keys: Secret<ChatKeys>,
    requests: Sender,
    notices: NoticeSender,
}

/// The signing keys, as far as they can be read.
type Keys = Result<Arc<ChatKeys>, SecretUnavailable>;

/// What happens to a verified call.
enum Handled {
    /// The body of the response, for the person or for the platform.
    Done(Option<Value>),
    /// A click was not carried out: another status than 200 shows the person an error.
    Failed,
}

/// Why a call is not opened.
enum NotOpened {
    Call(Unopened),
    /// The verification secrets cannot be read.
    Secrets,
}

/// A request is not known to be in the queue.
struct NotEnqueued;

impl Intake {
    /// Responds to a call of a platform.
    pub(super) async fn handle_chat(
        &self,
        platform: Platform,
        call: &HttpCall,
        invocation: &Invocation,
    ) -> Result<HttpResponse, HttpError> {
        let chat = self.chat.as_ref().ok_or(HttpError::NotFound)?;
        // A body that is too large is refused before its signature is computed.
        let body = call.body.as_deref().map_err(|error| HttpError::from(*error))?;
        if call::is_check(platform, body) {
            return Ok(done(None));
        }
        let clock = &invocation.clock;
        let until = clock.now() + AWS_TIME_MAX;
        // Side by side, because after minutes without a call both are read again.
        let (secrets, keys) =
            tokio::join!(chat.verification.current_by(until, clock), chat.keys.current_by(until, clock));
        let handled = match chat.open(platform, call, body, secrets, until, clock).await {
            Ok(ChatCall::Handshake(body)) => Handled::Done(body),
            Ok(ChatCall::Command(command)) => chat.command(platform, command, keys, until, invocation).await,
            Ok(ChatCall::Click(clicked)) => chat.click(platform, clicked, keys, until, invocation).await,
            Ok(ChatCall::Ignored(why)) => {
                info!("chat call ignored: {why}");
                Handled::Done(call::empty(platform))
            }
            Ok(ChatCall::Late) => {
                warn!(
                    "a chat command arrived too late and is not carried out: its first delivery got no response in time"
                );
                Handled::Done(call::empty(platform))
            }
            Err(NotOpened::Secrets) if call::looks_like_a_command(platform, body) => {
                // A person reads the response to a command; for everything else the status shows an error.
                let text = Answer::TryAgain.text(chat.language.resolve(Language::default()), COMMAND_DEFAULT);
                Handled::Done(call::answer(platform, &text))
            }
            Err(NotOpened::Secrets) => Handled::Failed,
            Err(NotOpened::Call(Unopened::Unknown)) => return Err(HttpError::UnknownChatCall),
            Err(NotOpened::Call(why)) => {
                warn!(source_ip = call.source_ip, "not authenticated: {why}");
                return Err(HttpError::Unauthorized(platform.name()));
            }
        };
        match handled {
            Handled::Done(body) => Ok(done(body)),
            Handled::Failed => Err(HttpError::ChatUnavailable),
        }
    }
}

impl Chat {
    /// Makes no call yet.
    pub(super) fn new(config: ChatConfig, rules: Rules, request_queue_url: String, aws: &SdkConfig) -> Self {
        let aws = aws::with_attempt_timeout(aws, ATTEMPT_TIMEOUT);
        let secrets = aws_sdk_secretsmanager::Client::new(&aws);
        let queues = LazyClient::new(&aws, aws_sdk_sqs::Client::new);
        Self {
            policy: config.policy,
            rules,
            approval_timeout: config.approval_timeout,
            language: config.language,
            verification: Secret::new(secrets.clone(), config.verification_secret_arn),
            keys: Secret::new(secrets, config.signing_secret_arn),
            requests: Sender::new(queues.clone(), request_queue_url),
            notices: NoticeSender::new(queues, config.notice_queue_url),
        }
    }

    /// Reads both secrets before the first call needs them. A failure is logged and does not prevent the start. A platform
    /// may be waiting for this start, so the time is that of a call.
    pub(super) async fn prepare(&self, clock: &Clock) {
        let until = clock.now() + AWS_TIME_MAX;
        let _ = tokio::join!(self.verification.current_by(until, clock), self.keys.current_by(until, clock));
    }

    /// Verifies and parses a call. After a mismatch, with the secrets read again: one may have been added since.
    async fn open(
        &self,
        platform: Platform,
        call: &HttpCall,
        body: &[u8],
        secrets: Result<Arc<VerificationSecrets>, SecretUnavailable>,
        until: Instant,
        clock: &Clock,
    ) -> Result<ChatCall, NotOpened> {
        let received_at = call.received_at.unwrap_or_else(|| clock.wall());
        let open = |secrets: &VerificationSecrets| {
            call::open(platform, &call.headers, body, received_at, secrets).map_err(NotOpened::Call)
        };
        let unavailable = |SecretUnavailable| NotOpened::Secrets;
        match open(&*secrets.map_err(unavailable)?) {
            Err(NotOpened::Call(Unopened::NoMatch)) => {
                match self.verification.after_mismatch_by(until, clock).await.map_err(unavailable)? {
                    Some(secrets) => open(&secrets),
                    None => Err(NotOpened::Call(Unopened::NoMatch)),
                }
            }
            opened => opened,
        }
    }

    /// Puts a request into the request queue.
    async fn request(
        &self,
        request: DetachRequest,
        request_id: RequestId,
        until: Instant,
        invocation: &Invocation,
    ) -> Result<(), NotEnqueued> {
        let submission = Submission::of_chat(request, request_id.clone());
        let enqueued = enqueue(&self.requests, vec![submission], Trigger::Chat, until, invocation);
        let time = invocation.clock.left(until);
        match invocation.clock.by(until, enqueued).await {
            Some(Enqueued { send_again, .. }) if send_again.is_empty() => Ok(()),
            Some(_) => Err(NotEnqueued),
            None => {
                error!(request_id = request_id.as_str(), "not known to be accepted: {}", no_response(time));
                Err(NotEnqueued)
            }
        }
    }

    /// Sends a notice to the messenger, which gets it after this time. Returns why it is not sent, in the words of a log line.
    async fn notify(&self, body: &str, after: Duration, until: Instant, clock: &Clock) -> Result<(), String> {
        let time = clock.left(until);
        match clock.by(until, self.notices.send(body, after)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(telemetry::cause(&error)),
            None => Err(no_response(time)),
        }
    }
}

/// The response to a call that was handled.
fn done(body: Option<Value>) -> HttpResponse {
    HttpResponse { status: StatusCode::OK, header: None, body: body.map(|body| (JSON, body)) }
}

/// Why a call to a queue was ended.
fn no_response(time: Duration) -> String {
    format!("SQS did not respond within {:.1} s", time.as_secs_f64())
}
