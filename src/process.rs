//! A function's process: log, configuration and one thread, the same for every function here.

use std::process::ExitCode;

use tracing::error;

use crate::config::{self, ConfigError};
use crate::telemetry;

/// Reads the configuration and serves with it until the process ends.
///
/// With a configuration that is not usable the process ends before it asks for work, after one line that names every
/// fault.
pub fn run<C, S>(
    read: impl FnOnce(fn(&str) -> Option<String>) -> Result<C, Vec<ConfigError>>,
    serve: impl FnOnce(C) -> S,
) -> ExitCode
where
    S: Future<Output = Result<(), lambda_runtime::Error>>,
{
    let level = config::log_level(config::environment);
    telemetry::start(level.as_ref().copied().unwrap_or_default());
    let mut faults = config::check_lambda(config::environment);
    faults.extend(level.err());
    let config = match read(config::environment) {
        Ok(config) if faults.is_empty() => config,
        config => {
            faults.extend(config.err().into_iter().flatten());
            let faults = serde_json::to_string(&faults).unwrap_or_default();
            error!(faults, "the configuration is not usable");
            return ExitCode::FAILURE;
        }
    };
    // One thread: it starts sooner and answers sooner on the share of a processor that a small function has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served =
        runtime.map_err(lambda_runtime::Error::from).and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the function cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}
