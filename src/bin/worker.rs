//! The Lambda function of the worker: messages of the request queue in, completion events out.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use privatelink_detach::assemble;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, ConfigFault, WorkerConfig};
use privatelink_detach::detach::Limits;
use privatelink_detach::handler;
use privatelink_detach::telemetry::{self, Level};
use privatelink_detach::worker::{Invocation, InvocationLimits};
use serde_json::value::RawValue;
use tracing::error;

fn main() -> ExitCode {
    let level = config::log_level(config::environment);
    telemetry::start(level.as_ref().copied().unwrap_or_default());
    let config = match read_config(level) {
        Ok(config) => config,
        Err(faults) => {
            error!(
                faults = serde_json::to_string(&faults).unwrap_or_default(),
                "the configuration is not usable"
            );
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
            error!("the worker cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that is wrong with the environment, together.
fn read_config(level: Result<Level, ConfigFault>) -> Result<WorkerConfig, Vec<ConfigFault>> {
    let mut faults = config::check_lambda(config::environment);
    faults.extend(level.err());
    match WorkerConfig::read(config::environment) {
        Ok(config) if faults.is_empty() => Ok(config),
        Ok(_) => Err(faults),
        Err(others) => {
            faults.extend(others);
            Err(faults)
        }
    }
}

async fn serve(config: WorkerConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::loader()?.load().await;
    let worker = assemble::worker(config, &aws, Limits::default(), InvocationLimits::default())?;
    let worker = &worker;
    let handle = |event: LambdaEvent<Box<RawValue>>| async move {
        let clock = Clock::start();
        let ends = SystemTime::UNIX_EPOCH + Duration::from_millis(event.context.deadline);
        let invocation = Invocation::new(
            clock,
            ends,
            event.context.request_id,
            event.context.xray_trace_id,
            &worker.settings().invocation,
        );
        handler::handle(worker, &event.payload, &invocation).await
    };
    Runtime::new(service_fn(handle)).run().await
}
