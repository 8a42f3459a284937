//! `plan`: saves what `find` reads, for review and for `apply`.

use std::path::Path;

use super::arguments::{self, Format};
use super::exit::Exit;
use super::failure::Failure;
use super::interruption::Interruption;
use super::output::terminal::Terminal;
use super::output::{streams, table, verdict};
use super::plan_file::{NewPlanFile, PlanFile};
use super::scope::Scope;
use super::session::Session;
use super::{NAME, reading};
use crate::random::Random;
use crate::sweep::Verdict;

/// Reads the scope and saves it, if it was read completely.
pub(super) async fn run(arguments: &arguments::Plan) -> Result<Exit, Failure> {
    let mut interruption = Interruption::listen()?;
    interruption.unless(plan(arguments)).await.unwrap_or(Err(Failure::Interrupted))
}

async fn plan(arguments: &arguments::Plan) -> Result<Exit, Failure> {
    let terminal = Terminal::detect();
    let session = Session::open(&arguments.connection).await?;
    let scope = Scope::new(&arguments.scope, &session)?;
    // Created first: a reading can take minutes, and must not end with a file that cannot be written.
    let new = NewPlanFile::create(&arguments.file, Random::System.u128())?;
    reading::announce(&scope, &session);
    let account = session.account().await?;
    let plan = reading::read(&scope, &session, &terminal).await?;
    let max_detaches = Some(arguments.max_detaches);
    let (found, reason) =
        (plan.verdict(max_detaches), reading::detail(&scope, &plan, max_detaches, &session).reason);
    let sentences = verdict::sentences(&scope, &plan, found, reason.as_ref());
    let table = table::references(&plan.references, terminal.stdout_width);
    let file = PlanFile {
        account_id: account.account_id,
        arn: account.arn,
        filter: scope.filter,
        max_detaches: arguments.max_detaches,
        plan,
    };
    let is_known = matches!(found, Verdict::NoReferences | Verdict::ReferencesFound | Verdict::OverLimit);
    if is_known {
        new.finish(&file)?;
    }
    match arguments.output.output {
        Format::Table => streams::print(&table)?,
        // Without a complete reading there is no plan.
        Format::Json if is_known => streams::print(&file.to_json())?,
        Format::Json => {}
    }
    streams::note(format_args!("{sentences}\n{}", end(&file, &arguments.file, found)));
    Ok(match found {
        Verdict::NoReferences | Verdict::ReferencesFound => Exit::Success,
        Verdict::OverLimit | Verdict::Incomplete | Verdict::NoEndpoints => Exit::Refused,
    })
}

/// The sentence about the file.
fn end(file: &PlanFile, path: &Path, found: Verdict) -> String {
    let path = path.display();
    let detaches = verdict::counted(file.requestable().count(), "detach");
    match found {
        Verdict::NoReferences => format!("Plan written to {path}: nothing to detach."),
        Verdict::ReferencesFound => format!(
            "Plan written to {path}: {detaches} in account {}. Review it, then run: {NAME} apply {path}",
            file.account_id
        ),
        Verdict::OverLimit => format!(
            "Plan written to {path} for review only: it has {detaches}, and `{NAME} apply` refuses more than {}.",
            file.max_detaches
        ),
        Verdict::Incomplete | Verdict::NoEndpoints => format!("No plan was written to {path}."),
    }
}
