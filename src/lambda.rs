//! A Lambda function's process and its invocations, the same for every function of this project.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::{Instrument, error, error_span};

use crate::clock::Clock;
use crate::config::{self, ConfigError};
use crate::telemetry;

/// One invocation of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Started with the invocation.
    pub clock: Clock,
    /// When Lambda ends the invocation.
    pub ends_at: SystemTime,
    /// Lambda's id of the invocation, the same in its asynchronous retries.
    pub lambda_request_id: String,
    /// X-Ray's id of its trace.
    pub xray_trace_id: Option<String>,
}

/// Reads the configuration and serves with it until the process ends.
///
/// With an invalid configuration the process ends before it requests an invocation, after one log line that names every
/// error.
pub fn run<C, S>(
    read: impl FnOnce(fn(&str) -> Option<String>) -> Result<C, Vec<ConfigError>>,
    serve: impl FnOnce(C) -> S,
) -> ExitCode
where
    S: Future<Output = Result<(), lambda_runtime::Error>>,
{
    let level = config::log_level(config::environment);
    telemetry::start(level.as_ref().copied().unwrap_or_default());
    let mut errors = config::check_lambda(config::environment);
    errors.extend(level.err());
    let config = match read(config::environment) {
        Ok(config) if errors.is_empty() => config,
        config => {
            errors.extend(config.err().into_iter().flatten());
            let faults = serde_json::to_string(&errors).unwrap_or_default();
            error!(faults, "the configuration is not usable");
            return ExitCode::FAILURE;
        }
    };
    // One thread: it starts sooner and responds sooner on the share of a processor that a small function has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served =
        runtime.map_err(lambda_runtime::Error::from).and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the function cannot continue: {}", telemetry::cause(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prepares a function before it requests an invocation, so that the first invocation is faster. A panic is logged and
/// has no other effect, like an error: the invocation then does this work itself.
pub fn prepare<'a>(preparation: impl Future<Output = ()> + 'a) -> impl Future<Output = ()> + 'a {
    // Boxed, which hides its type: the SDK's futures are nested too deeply for the compiler.
    AssertUnwindSafe(preparation.boxed_local()).catch_unwind().map(drop)
}

/// Passes every invocation to `handle`, one at a time, for as long as the process lives.
pub async fn serve<E, H>(handle: impl Fn(Box<RawValue>, Invocation) -> H) -> Result<(), lambda_runtime::Error>
where
    E: Into<Diagnostic> + std::fmt::Debug,
    H: Future<Output = Result<Value, E>>,
{
    let handle = |event: LambdaEvent<Box<RawValue>>| {
        let invocation = Invocation {
            clock: Clock::start(),
            ends_at: SystemTime::UNIX_EPOCH + Duration::from_millis(event.context.deadline),
            lambda_request_id: event.context.request_id,
            xray_trace_id: event.context.xray_trace_id,
        };
        // Boxed: otherwise the function's future would be nested too deeply for the compiler.
        Box::pin(handle(event.payload, invocation))
    };
    Runtime::new(service_fn(handle)).run().await
}

/// Runs the work of one invocation in its span, and logs the error that it ends with: the runtime reports the error to
/// Lambda, and its own log line is switched off.
pub async fn traced<T, E: std::error::Error>(
    invocation: &Invocation,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let span = error_span!(
        "invocation",
        lambda_request_id = invocation.lambda_request_id,
        xray_trace_id = invocation.xray_trace_id
    );
    let result = work.instrument(span.clone()).await;
    result.inspect_err(|error| span.in_scope(|| error!("the invocation failed: {}", telemetry::cause(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_of_the_preparation_does_not_stop_the_function() {
        prepare(async { panic!("a planned panic") }).await;
    }
}
