//! The Lambda function of the intake: webhooks, schedules and events in, messages of the request queue out.

use std::process::ExitCode;

use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, IntakeConfig};
use privatelink_detach::intake::Intake;
use privatelink_detach::{aws, lambda};

fn main() -> ExitCode {
    lambda::run(IntakeConfig::read, serve)
}

async fn serve(config: IntakeConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let intake = Intake::new(config, &aws);
    // Lambda gives a starting process more processor time than an invocation, and no sender waits for it yet.
    lambda::prepare(intake.prepare(&Clock::start())).await;
    let intake = &intake;
    lambda::serve(|payload, invocation| async move { intake.handle(&payload, &invocation).await }).await
}
