//! The simulator as a program. It prints its address and how to configure a client, and runs until it is stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program prints to its user")]

mod arguments;

use std::process::ExitCode;
use std::{env, future};

use local_chat::Slack;

use arguments::{Arguments, USAGE};

/// The exit status for an invalid command line, which is 2 in most programs.
const USAGE_STATUS: u8 = 2;

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test passes secrets in the environment, not in the command line"
)]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1), |name| env::var(name).ok()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("local-chat: {error}\n\n{USAGE}");
            return ExitCode::from(USAGE_STATUS);
        }
    };
    let port = arguments.port;
    match Slack::start_with(arguments.workspace(), port).await {
        Ok(slack) => {
            print_address(&slack);
            future::pending().await
        }
        Err(error) => {
            eprintln!("local-chat: cannot listen on port {port} of 127.0.0.1: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_address(slack: &Slack) {
    let url = slack.url();
    println!("Slack is simulated at {url}");
    println!();
    println!("Set SLACK_ENDPOINT_URL={url} for the messenger.");
    for (id, channel) in &slack.workspace().channels {
        println!("Read #{}:  curl {url}/control/conversations/{id}", channel.name);
    }
    println!("Other endpoints: {url}/control/command, click, channels, faults, journal");
}
