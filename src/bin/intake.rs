//! The Lambda function of the intake: webhooks, schedules and events in, messages of the request queue out.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, IntakeConfig};
use privatelink_detach::intake::{Intake, Invocation};
use privatelink_detach::lambda;
use serde_json::value::RawValue;

fn main() -> ExitCode {
    lambda::run(IntakeConfig::read, serve)
}

async fn serve(config: IntakeConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let intake = Intake::new(config, &aws);
    // Lambda gives a starting process more of a processor than an invocation, and no sender waits for it yet.
    intake.prepare(&Clock::start()).await;
    let intake = &intake;
    let handle = |event: LambdaEvent<Box<RawValue>>| async move {
        let invocation = Invocation {
            clock: Clock::start(),
            lambda_request_id: event.context.request_id,
            xray_trace_id: event.context.xray_trace_id,
        };
        intake.handle(&event.payload, &invocation).await
    };
    Runtime::new(service_fn(handle)).run().await
}
