//! Requests that reach the queue through the intake.
//!
//! An HTTP request is sent to a function URL on loopback, which invokes the intake. The event of a rule, a topic or a
//! schedule invokes the intake unchanged. The response is printed at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use lambda_runtime::Diagnostic;
use local_aws::{FunctionUrl, InvocationResult};
use privatelink_detach::clock::Clock;
use privatelink_detach::intake::{Intake, IntakeError};
use privatelink_detach::lambda::Invocation;
use privatelink_detach::transport::Transport;
use serde_json::value::RawValue;

use crate::Failure;
use crate::call::{Authentication, Call, CallError};
use crate::environment::{Environment, REQUESTS};
use crate::input::Source;
use crate::listener;
use crate::screen::{Screen, Style};

/// The intake's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends an HTTP request and prints the response. Returns whether the response is final; a 5xx is not. An accepted
/// signed request is sent a second time.
pub(crate) async fn send(
    environment: &Environment,
    call: &Call,
    path: &Path,
    screen: Screen,
) -> Result<bool, Failure> {
    let intake = Arc::clone(environment.intakes.of(&call.authentication));
    let invoke = move |event: Bytes| {
        let intake = Arc::clone(&intake);
        async move { invoke_intake(&intake, &event).await }
    };
    let url = FunctionUrl::start(call.settings.clone(), invoke).await?;
    let clock = Clock::start();
    let request = || {
        let request = call.to_request(&url.url(), clock.wall());
        request.map_err(|source: CallError| Failure::Call { path: path.to_owned(), source })
    };
    let first = request()?;
    screen.line(&format!("\n{}", screen.paint(Style::Bold, &format!("{} {}", first.method(), first.uri()))));
    screen.line(&format!("  {}{}\n", path.display(), described(&call.authentication)));
    let Some(response) = send_and_show(environment, first, screen).await else {
        return Ok(false);
    };
    let is_signed = matches!(call.authentication, Authentication::Signature { .. });
    if response.status() == StatusCode::ACCEPTED && is_signed {
        return Ok(is_idempotent(environment, request()?, &response, screen).await);
    }
    Ok(!response.status().is_server_error())
}

/// Sends a request, and prints the response and the warnings in the intake's log.
async fn send_and_show(
    environment: &Environment,
    request: Request<Bytes>,
    screen: Screen,
) -> Option<Response<Bytes>> {
    let (response, warnings) =
        listener::with_warnings(environment.http.send(request, FUNCTION_TIMEOUT)).await;
    let response = response.ok();
    let is_success = response.as_ref().is_some_and(|response| response.status().is_success());
    let style = if is_success { Style::Good } else { Style::Bad };
    let status = response.as_ref().map_or_else(|| "no response".to_owned(), |it| it.status().to_string());
    screen.line(&format!("  {}", screen.paint(style, &status)));
    if let Some(body) = response.as_ref().and_then(|response| str::from_utf8(response.body()).ok()) {
        screen.json(body);
    }
    for warning in warnings {
        screen.field("log", &warning);
    }
    response
}

/// Sends an accepted webhook a second time. Returns whether the response is the same and the queue is unchanged.
async fn is_idempotent(
    environment: &Environment,
    request: Request<Bytes>,
    first: &Response<Bytes>,
    screen: Screen,
) -> bool {
    let waiting = || environment.aws.queues().messages(REQUESTS).map_or(0, <[_]>::len);
    let before = waiting();
    let second = environment.http.send(request, FUNCTION_TIMEOUT).await;
    let is_same = second.as_ref().is_ok_and(|it| (it.status(), it.body()) == (first.status(), first.body()));
    let added = waiting() - before;
    let status = second.map_or_else(|_| "no response".to_owned(), |second| second.status().to_string());
    let same = if is_same { "the same response" } else { "another response" };
    let new = if added == 0 { "no new message".to_owned() } else { format!("{added} new messages") };
    screen.line(&format!("  Sent again: {status}, {same}, {new} in the queue."));
    is_same && added == 0
}

/// Invokes the intake with an event and prints the result. Returns whether the result is final: accepted, or refused in
/// a way that a retry cannot change.
pub(crate) async fn invoke(
    environment: &Environment,
    payload: &RawValue,
    source: Source,
    path: &Path,
    screen: Screen,
) -> bool {
    let title = format!("Invoking the intake as {} does", source.name());
    screen.line(&format!("\n{}", screen.paint(Style::Bold, &title)));
    screen.line(&format!("  {}\n", path.display()));
    let invocation = invocation(format!("local-{}", path.file_stem().unwrap_or_default().display()));
    match environment.intakes.signed.handle(payload, &invocation).await {
        Ok(response) => {
            screen.json(&response.to_string());
            true
        }
        Err(error) => {
            let is_final = matches!(error, IntakeError::Unsupported(_) | IntakeError::InvalidEvent(_));
            let Diagnostic { error_type, error_message } = error.into();
            screen.field("failed", &screen.paint(Style::Bad, &error_type));
            screen.field("", &error_message);
            if !matches!(source, Source::OtherHttp) {
                screen.line("  Lambda retries the event twice, then sends it to the intake's failure queue.");
            }
            is_final
        }
    }
}

async fn invoke_intake(intake: &Intake, event: &[u8]) -> InvocationResult {
    let payload: Box<RawValue> = match serde_json::from_slice(event) {
        Ok(payload) => payload,
        Err(error) => return InvocationResult::Error(error.to_string().into()),
    };
    match intake.handle(&payload, &invocation("local-call".to_owned())).await {
        Ok(response) => InvocationResult::Response(response.to_string().into()),
        Err(error) => InvocationResult::Error(error.to_string().into()),
    }
}

fn invocation(lambda_request_id: String) -> Invocation {
    let clock = Clock::start();
    Invocation { clock, ends_at: clock.wall() + FUNCTION_TIMEOUT, lambda_request_id, xray_trace_id: None }
}

fn described(authentication: &Authentication) -> String {
    match authentication {
        Authentication::Signature { signed_at: Some(date) } => {
            format!(", signed again (originally {date})")
        }
        Authentication::Signature { signed_at: None } => ", signed again".to_owned(),
        Authentication::ForgedSignature => ", with the current time and its own signature".to_owned(),
        Authentication::Iam(arn) => format!(", authenticated by AWS IAM as {arn}"),
        Authentication::None => String::new(),
    }
}
