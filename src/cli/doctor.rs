//! `doctor`: checks what the other commands need, one line for each check. It only reads.

mod checks;
mod report;

use super::arguments::{self, Format};
use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;

use checks::Checks;
use report::Report;

/// Runs every check and prints the report.
pub(super) async fn run(arguments: &arguments::Doctor) -> Result<Exit, Failure> {
    let mut report = Report::default();
    match Session::open(&arguments.connection).await {
        Ok(session) => Checks { session: &session, report: &mut report }.run(arguments.region.as_ref()).await,
        Err(Failure::Unusable(unusable)) => report.no_credentials(unusable),
        Err(failure) => return Err(failure),
    }
    report.print(arguments.output.output == Format::Json).map_err(Failure::Output)?;
    Ok(report.exit())
}
