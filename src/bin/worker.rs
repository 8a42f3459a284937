//! The Lambda function of the worker: messages of the request queue in, completion events out.

use std::process::ExitCode;

use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, WorkerConfig};
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::worker::{assemble, handler};
use privatelink_detach::{aws, lambda};

fn main() -> ExitCode {
    lambda::run(WorkerConfig::read, serve)
}

async fn serve(config: WorkerConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let worker = assemble::worker(config, &aws, Limits::default(), TimeLimits::default())?;
    // Lambda gives a starting process more processor time than an invocation, and no request waits for it yet.
    lambda::prepare(worker.prepare(&Clock::start())).await;
    let worker = &worker;
    lambda::serve(|payload, invocation| async move { handler::handle(worker, &payload, &invocation).await })
        .await
}
