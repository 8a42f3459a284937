//! The Lambda function of the messenger: notices in, messages to chat platforms out.

use std::process::ExitCode;

use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, MessengerConfig};
use privatelink_detach::messenger::Messenger;
use privatelink_detach::random::Random;
use privatelink_detach::transport::Https;
use privatelink_detach::{aws, lambda};

fn main() -> ExitCode {
    lambda::run(MessengerConfig::read, serve)
}

async fn serve(config: MessengerConfig) -> Result<(), lambda_runtime::Error> {
    let aws = aws::config(config::environment)?;
    let https = Https::new(config.has_loopback())?;
    let messenger = Messenger::new(config, &aws, https, &Random::System);
    // Lambda gives a starting process more processor time than an invocation, and no notice waits for it yet.
    lambda::prepare(messenger.prepare(&Clock::start())).await;
    let messenger = &messenger;
    lambda::serve(|payload, invocation| async move { messenger.handle(&payload, &invocation).await }).await
}
