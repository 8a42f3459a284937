//! The command line program: finds the endpoints that use a security group, and detaches it from them, without AWS.
//!
//! In reading order: `arguments` (the command line), `session` (configuration, addresses and rules) with `credentials`, one
//! module for each command (`find` and `plan` share `reading`; `detach` and `apply` share `lanes`), and `exit` (the exit
//! status). Data goes to standard output, everything else to standard error.

mod apply;
mod arguments;
mod comparison;
mod confirmation;
mod credentials;
mod detach;
mod doctor;
mod exit;
mod failure;
mod find;
mod finished;
mod interruption;
mod lanes;
mod output;
mod plan;
mod plan_file;
mod reading;
mod scope;
mod session;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::generate;

use arguments::{Arguments, Command};
use exit::Exit;
use failure::Failure;
use output::streams;

/// The name of the program, as the usage and the completion scripts spell it.
const NAME: &str = "privatelink-detach";

/// Runs the command that the process's arguments name. The status says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    // Ends the process with the usage and status 2 if the arguments are not valid.
    let arguments = Arguments::parse();
    let ended = output(run(arguments)).map_err(Failure::Runtime).flatten();
    let exit = ended.unwrap_or_else(|failure| {
        streams::note(format_args!("{NAME}: {failure}"));
        failure.exit()
    });
    exit.into()
}

/// The output of `work`. Threads that look up a name are not waited for: they cannot be canceled, and a DNS server that does
/// not respond keeps them for half a minute after an interruption.
fn output<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(output)
}

async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Completion { shell } => {
            // Into memory, where it cannot fail: an error of standard output would be a panic.
            let mut script = Vec::new();
            generate(shell, &mut Arguments::command(), NAME, &mut script);
            streams::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Success)
        }
        Command::Find(arguments) => find::run(&arguments).await,
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Detach(arguments) => detach::detach(&arguments).await,
        Command::Doctor(doctor) => doctor::run(&doctor).await,
        Command::Apply(arguments) => apply::apply(&arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn end_waits_for_no_thread_that_is_still_blocked() {
        let (release, blocked) = mpsc::channel::<()>();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let output = output(async {
                drop(tokio::task::spawn_blocking(move || blocked.recv()));
                tokio::task::yield_now().await;
            });
            sender.send(output.is_ok())
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(true));
        drop(release);
    }
}
