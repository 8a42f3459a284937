//! The Lambda function of the sweeper: sweep requests in; requests for the queue and an event for each sweep out.

use std::process::ExitCode;

use privatelink_detach::config::{self, SweeperConfig};
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::{TimeLimits, assemble};
use privatelink_detach::{aws, lambda};

fn main() -> ExitCode {
    lambda::run(SweeperConfig::read, serve)
}

async fn serve(config: SweeperConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let sweeper = assemble::sweeper(config, &aws, Limits::default(), TimeLimits::default())?;
    let sweeper = &sweeper;
    lambda::serve(|payload, invocation| async move { sweeper.handle(&payload, &invocation).await }).await
}
