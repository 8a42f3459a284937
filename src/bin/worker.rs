//! The Lambda function of the worker: messages of the request queue in, completion events out.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, WorkerConfig};
use privatelink_detach::detach::Limits;
use privatelink_detach::lambda;
use privatelink_detach::worker::assemble;
use privatelink_detach::worker::handler;
use privatelink_detach::worker::{Invocation, InvocationLimits};
use serde_json::value::RawValue;

fn main() -> ExitCode {
    lambda::run(WorkerConfig::read, serve)
}

async fn serve(config: WorkerConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let worker = assemble::worker(config, &aws, Limits::default(), InvocationLimits::default())?;
    // Lambda gives a starting process more of a processor than an invocation, and no request waits for it yet.
    worker.prepare(&Clock::start()).await;
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
