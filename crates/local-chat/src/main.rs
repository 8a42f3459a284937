//! The simulator of one platform as a program. It prints its address and how to configure a client, and runs until it is stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program prints to its user")]

mod arguments;
mod platforms;

use std::env;
use std::process::ExitCode;

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
    match arguments.state.run(port).await {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("local-chat: cannot listen on port {port} of 127.0.0.1: {error}");
            ExitCode::FAILURE
        }
    }
}
