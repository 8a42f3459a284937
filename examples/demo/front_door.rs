//! The front door: what reaches the request queue through the intake.
//!
//! An HTTP call goes over a connection to a function URL on loopback, which invokes the intake's own code. The event of
//! a rule, a topic or a schedule invokes it as it stands. What either comes to is shown at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use lambda_runtime::Diagnostic;
use local_aws::{FunctionUrl, InvocationResult};
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::clock::Clock;
use privatelink_detach::intake::{Intake, IntakeError, Invocation};
use privatelink_detach::telemetry::Level;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing_subscriber::layer::SubscriberExt;

use crate::Failure;
use crate::call::{Call, CallError, Proof};
use crate::input::Source;
use crate::listener::Warnings;
use crate::screen::{Look, Screen};
use crate::stage::{REQUESTS, Stage};

/// The intake's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a call, and shows its answer; whether that settles it. A signed one that was accepted is sent once more.
pub(crate) async fn call(stage: &Stage, call: &Call, path: &Path, screen: Screen) -> Result<bool, Failure> {
    let intake = Arc::clone(stage.intakes.of(&call.proof));
    let invoke = move |event: Bytes| {
        let intake = Arc::clone(&intake);
        async move { invoke(&intake, &event).await }
    };
    let url = FunctionUrl::start(call.settings.clone(), invoke).await?;
    let clock = Clock::start();
    let request = || {
        let request = call.to_request(&url.url(), clock.wall());
        request.map_err(|source: CallError| Failure::Call { path: path.to_owned(), source })
    };
    let first = request()?;
    screen.line(&format!("\n{}", screen.paint(Look::Bold, &format!("{} {}", first.method(), first.uri()))));
    screen.line(&format!("  from {}{}\n", path.display(), told(&call.proof)));
    let Some(answer) = send(stage, first, screen).await else {
        return Ok(false);
    };
    if answer.status() == StatusCode::ACCEPTED && matches!(call.proof, Proof::Signature { .. }) {
        return Ok(is_harmless(stage, request()?, &answer, screen).await);
    }
    Ok(!answer.status().is_server_error())
}

/// Sends a request, and shows what comes back and what the intake's log has to say.
async fn send(stage: &Stage, request: Request<Bytes>, screen: Screen) -> Option<Response<Bytes>> {
    let warnings = Warnings::default();
    let lines = tracing_subscriber::registry().with(Level::default().filter()).with(warnings.clone());
    let listening = tracing::subscriber::set_default(lines);
    let answer = stage.http.send(request, FUNCTION_TIMEOUT).await.ok();
    drop(listening);
    let look = if answer.as_ref().is_some_and(|answer| answer.status().is_success()) {
        Look::Good
    } else {
        Look::Bad
    };
    let status = answer.as_ref().map_or_else(|| "no answer".to_owned(), |answer| answer.status().to_string());
    screen.line(&format!("  {}", screen.paint(look, &status)));
    if let Some(body) = answer.as_ref().and_then(|answer| serde_json::from_slice(answer.body()).ok()) {
        show(&body, screen);
    }
    for warning in warnings.heard() {
        screen.line(&format!("  In the intake's log: {warning}"));
    }
    answer
}

/// Sends an accepted webhook again; whether it gets the same answer and puts nothing into the queue.
async fn is_harmless(
    stage: &Stage,
    request: Request<Bytes>,
    first: &Response<Bytes>,
    screen: Screen,
) -> bool {
    let waiting = || stage.aws.queues().messages(REQUESTS).map_or(0, <[_]>::len);
    let before = waiting();
    let again = stage.http.send(request, FUNCTION_TIMEOUT).await;
    let is_same =
        again.as_ref().is_ok_and(|again| (again.status(), again.body()) == (first.status(), first.body()));
    let added = waiting() - before;
    let status = again.map_or_else(|_| "no answer".to_owned(), |again| again.status().to_string());
    let same = if is_same { ", the same answer" } else { "" };
    let new = if added == 0 { "nothing new".to_owned() } else { format!("{added} more") };
    screen.line(&format!("  The same webhook once more: {status}{same}, and {new} in the queue."));
    is_same && added == 0
}

/// Invokes the intake with an event, and shows what it says; whether it took the event or refused it for good.
pub(crate) async fn event(
    stage: &Stage,
    payload: &RawValue,
    source: Source,
    path: &Path,
    screen: Screen,
) -> bool {
    let title = format!("The intake, invoked by {}", source.name());
    screen.line(&format!("\n{}", screen.paint(Look::Bold, &title)));
    screen.line(&format!("  with {}\n", path.display()));
    let invocation = invocation(format!("local-{}", path.file_stem().unwrap_or_default().display()));
    match stage.intakes.signed.handle(payload, &invocation).await {
        Ok(answer) => {
            show(&answer, screen);
            true
        }
        Err(error) => {
            let is_final = matches!(error, IntakeError::Unsupported(_) | IntakeError::InvalidEvent(_));
            let Diagnostic { error_type, error_message } = error.into();
            screen.field("failed", &screen.paint(Look::Bad, &error_type));
            screen.field("", &error_message);
            if !matches!(source, Source::OtherCall) {
                screen
                    .line("  Lambda would repeat it twice, and then keep it in the intake's failure queue.");
            }
            is_final
        }
    }
}

async fn invoke(intake: &Intake, event: &[u8]) -> InvocationResult {
    let answered = match serde_json::from_slice::<Box<RawValue>>(event) {
        Ok(payload) => intake.handle(&payload, &invocation("local-call".to_owned())).await,
        Err(error) => Err(IntakeError::InvalidEvent(error.to_string())),
    };
    match answered {
        Ok(answer) => InvocationResult::Response(answer.to_string().into()),
        Err(error) => InvocationResult::Error(error.to_string().into()),
    }
}

fn invocation(lambda_request_id: String) -> Invocation {
    Invocation { clock: Clock::start(), lambda_request_id, xray_trace_id: None }
}

fn told(proof: &Proof) -> String {
    match proof {
        Proof::Signature { of: Some(date) } => format!(", signed anew: its own signature is of {date}"),
        Proof::Signature { of: None } => ", signed anew".to_owned(),
        Proof::Forgery => ", with a new time but its own signature".to_owned(),
        Proof::Iam(arn) => format!(", let in by AWS IAM as {arn}"),
        Proof::Nothing => String::new(),
    }
}

/// An answer's JSON, with a line for each member and for each item of a list.
fn show(body: &Value, screen: Screen) {
    let Value::Object(members) = body else {
        screen.line(&format!("  {body}"));
        return;
    };
    let mut lines = Vec::new();
    for (name, value) in members {
        let value = match value.as_array().filter(|items| !items.is_empty()) {
            Some(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("      {item}")).collect();
                format!("[\n{}\n    ]", items.join(",\n"))
            }
            None => value.to_string(),
        };
        lines.push(format!("    {}: {value}", Value::from(name.as_str())));
    }
    screen.line(&format!("  {{\n{}\n  }}", lines.join(",\n")));
}
