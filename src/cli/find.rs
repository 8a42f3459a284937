//! `find`: lists the endpoints that use the groups, and reports whether the list is complete.

use super::arguments::{self, Format};
use super::exit::Exit;
use super::failure::Failure;
use super::interruption::Interruption;
use super::output::terminal::Terminal;
use super::output::{results, streams, table, verdict};
use super::reading;
use super::scope::Scope;
use super::session::Session;

/// Reads the scope, and prints the references and the verdict.
pub(super) async fn run(arguments: &arguments::Find) -> Result<Exit, Failure> {
    let mut interruption = Interruption::listen()?;
    interruption.unless(find(arguments)).await.unwrap_or(Err(Failure::Interrupted))
}

async fn find(arguments: &arguments::Find) -> Result<Exit, Failure> {
    let terminal = Terminal::detect();
    let session = Session::open(&arguments.connection).await?;
    let scope = Scope::new(&arguments.scope, &session)?;
    reading::announce(&scope, &session);
    let plan = reading::read(&scope, &session, &terminal).await?;
    let detail = reading::detail(&scope, &plan, None, &session);
    match arguments.output.output {
        Format::Table => streams::print(&table::references(&plan.references, terminal.stdout_width))?,
        Format::Json => streams::print(&(results::json(&detail) + "\n"))?,
    }
    let found = plan.verdict(None);
    streams::note(verdict::sentences(&scope, &plan, found, detail.reason.as_ref()));
    Ok(verdict::exit(found))
}
