//! The command line program: `privatelink-detach --help` prints the usage.

use std::process::ExitCode;

use privatelink_detach::cli;

fn main() -> ExitCode {
    cli::main()
}
