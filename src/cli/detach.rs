//! `detach`: one request, after a confirmation.
//!
//! The endpoint is read first. The operator is asked only if a detach is due, and then the endpoint is read again.

use super::arguments::{Detach, Format, Write};
use super::confirmation::{self, Answer};
use super::exit::Exit;
use super::failure::Failure;
use super::finished::{Finished, Named, random_id};
use super::interruption::Interruption;
use super::lanes::{CarriedOut, Lanes, Look, Stopped};
use super::output::terminal::Terminal;
use super::output::{columns, results, streams};
use super::session::Session;
use crate::alibaba::privatelink::Target;
use crate::alibaba::sts::CallerIdentity;
use crate::detach::Evidence;
use crate::request::SecurityGroupId;

/// Carries out the command.
pub(super) async fn detach(arguments: &Detach) -> Result<Exit, Failure> {
    let (security_group_id, endpoint_id) =
        arguments.target().map_err(|problem| Failure::Usage(problem.to_owned()))?;
    let Write { dry_run, yes, timeout } = arguments.write;
    let terminal = Terminal::detect();
    confirmation::check_possible(dry_run || yes, &terminal)?;
    let mut interruption = Interruption::listen()?;
    let session =
        interruption.unless(Session::open(&arguments.connection)).await.ok_or(Failure::Interrupted)??;
    let region = session.regions(arguments.region.as_slice())?.swap_remove(0);
    let target = Target { region_id: region, endpoint_id, security_group_id };
    let named = Named::new(&target, dry_run, random_id(), &session.config.rules);

    let format = arguments.output.output;
    let lanes = Lanes { session: &session, terminal: &terminal, timeout };
    // A request that is rejected makes no call.
    if named.parsed.result.is_ok() {
        let account = interruption.unless(session.account()).await.ok_or(Failure::Interrupted)??;
        streams::note(columns::text(credentials(&session, &account), terminal.stderr_width));
    }
    let (evidence, replacement) = match lanes.look(&named, &mut interruption).await? {
        Look::Finished(finished) => return print(&finished, format, &terminal),
        Look::WriteDue { evidence, replacement } => (evidence, replacement),
    };
    let changes = change(&target, &evidence, replacement.as_ref());
    streams::note(columns::text(changes, terminal.stderr_width));
    // Only the group that was shown may be attached, even if the requested group becomes the last one while the
    // operator decides.
    let named = named.limited_to(replacement.as_ref());
    if !dry_run && !yes {
        let question = confirmation::question(replacement.as_ref().as_slice());
        match confirmation::ask(&question, &mut interruption).await {
            Answer::Yes => {}
            Answer::No => return Err(Failure::Declined),
            Answer::Interrupted => return Err(Failure::Interrupted),
        }
    }
    let CarriedOut { finished, unfinished, stopped, .. } =
        lanes.carry_out(std::slice::from_ref(&named), &mut interruption).await;
    for state in unfinished {
        streams::note(columns::paragraph(&state, terminal.stderr_width));
    }
    match (finished.first(), stopped) {
        (Some(finished), _) => print(finished, format, &terminal),
        // The lines above say whether a detach was requested.
        (None, Some(Stopped::Interrupted)) => {
            streams::note("interrupted");
            Ok(Exit::Interrupted)
        }
        (None, Some(stopped @ Stopped::Credentials(_))) => Err(stopped.into()),
        (None, None) => Ok(Exit::Unconfirmed),
    }
}

/// Whose credentials are used.
pub(super) fn credentials(session: &Session, account: &CallerIdentity) -> Vec<[String; 2]> {
    vec![
        ["credentials".to_owned(), session.source.clone()],
        ["account".to_owned(), format!("{} ({})", account.account_id, account.arn)],
    ]
}

/// The endpoint, and its groups before and after the detach.
fn change(target: &Target, evidence: &Evidence, replacement: Option<&SecurityGroupId>) -> Vec<[String; 2]> {
    let Target { region_id, endpoint_id, security_group_id } = target;
    let ids = evidence.security_groups_after.as_deref().unwrap_or_default();
    let now =
        ids.iter().zip(&evidence.statuses_after).map(|(id, status)| format!("{id} ({})", status.as_str()));
    let after: Vec<String> = ids.iter().filter(|id| *id != security_group_id.as_str()).cloned().collect();
    let status = evidence.endpoint_status.as_ref().map_or("not read", |status| status.as_str());
    vec![
        ["endpoint".to_owned(), format!("{endpoint_id} ({status})")],
        ["region".to_owned(), region_id.to_string()],
        ["groups now".to_owned(), now.collect::<Vec<_>>().join(", ")],
        ["groups after".to_owned(), results::after(after, replacement)],
    ]
}

/// Prints a result. The exit status says how it ended.
fn print(finished: &Finished, format: Format, terminal: &Terminal) -> Result<Exit, Failure> {
    match format {
        Format::Json => streams::print(&(results::json(&*finished.detail) + "\n"))?,
        Format::Table => {
            streams::print(&(results::lines(&finished.detail, terminal.stdout_width) + "\n"))?;
        }
    }
    Ok(finished.exit())
}
