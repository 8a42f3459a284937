//! `apply`: detaches the entries of a plan that are still true, after one confirmation.
//!
//! The scope of the plan is read again first. References that are new or blocked are listed and not detached.

use std::collections::BTreeMap;

use serde_json::json;

use super::arguments::{Apply, Format, Write};
use super::comparison::{Comparison, by_key, compare, key};
use super::confirmation::{self, Answer};
use super::detach::credentials;
use super::exit::Exit;
use super::failure::Failure;
use super::finished::{Finished, Named, random_id};
use super::interruption::Interruption;
use super::lanes::{CarriedOut, Lanes, Stopped};
use super::output::terminal::Terminal;
use super::output::verdict::counted;
use super::output::{columns, results, streams};
use super::plan_file::PlanFile;
use super::reading;
use super::scope::Scope;
use super::session::Session;
use crate::alibaba::records::SecurityGroup;
use crate::clock::shifted;
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};
use crate::sweep::{Plan, Reference};
use crate::text::UNREADABLE;

/// Carries out the command.
pub(super) async fn apply(arguments: &Apply) -> Result<Exit, Failure> {
    let Write { dry_run, yes, timeout } = arguments.write;
    let terminal = Terminal::detect();
    confirmation::check_possible(dry_run || yes, &terminal)?;
    let plan = PlanFile::read(&arguments.file)?;
    check_limit(plan.plan.requestable().count(), plan.max_detaches)?;
    let mut interruption = Interruption::listen()?;
    let session =
        interruption.unless(Session::open(&arguments.connection)).await.ok_or(Failure::Interrupted)??;
    let scope = scope(&plan);
    check_regions(&scope, &session)?;

    let account = interruption.unless(session.account()).await.ok_or(Failure::Interrupted)??;
    if account.account_id != plan.account_id {
        let (theirs, ours) = (&plan.account_id, &account.account_id);
        return Err(Failure::Refused(format!(
            "the plan belongs to account {theirs}, but the credentials belong to account {ours}"
        )));
    }
    // By Alibaba Cloud's clock, which the response has shown.
    let now = shifted(session.clock.wall(), session.services.service_clock().ahead());
    plan.check_age(now).map_err(|error| Failure::Refused(error.to_string()))?;
    streams::note(columns::text(credentials(&session, &account), terminal.stderr_width));

    streams::note(format_args!("Reading {} again.", scope.endpoints()));
    let now = interruption.unless(read(&scope, &session, &terminal)).await.ok_or(Failure::Interrupted)??;
    let comparison = compare(&plan.plan, &now);
    let Comparison { due, .. } = &comparison;
    // The plan does not exceed the limit, so its entries that are still true cannot either.
    check_limit(due.len(), plan.max_detaches)?;
    show(&comparison, dry_run, &terminal);
    if !due.is_empty() && !dry_run && !yes {
        let replacements: Vec<_> =
            due.iter().filter_map(|reference| reference.replacement_security_group_id.as_ref()).collect();
        match confirmation::ask(&confirmation::question(&replacements), &mut interruption).await {
            Answer::Yes => {}
            Answer::No => return Err(Failure::Declined),
            Answer::Interrupted => return Err(Failure::Interrupted),
        }
    }
    let requests = requests(due, &plan.plan, dry_run, &session);
    let lanes = Lanes { session: &session, terminal: &terminal, timeout };
    let carried = lanes.carry_out(&requests, &mut interruption).await;
    print(&carried, &comparison, arguments.output.output, &terminal)?;
    Ok(exit(carried, &comparison))
}

/// A plan with more detaches than its limit is not carried out, not even in part.
fn check_limit(detaches: usize, max: u32) -> Result<(), Failure> {
    if detaches <= max as usize {
        return Ok(());
    }
    let problem = format!(
        "over the limit: the plan has {detaches} detaches, but its max_detaches is {max}; make a new plan with a smaller \
         scope or a larger --max-detaches"
    );
    Err(Failure::Refused(problem))
}

/// The scope of a plan.
fn scope(file: &PlanFile) -> Scope {
    Scope {
        security_group_ids: file.plan.security_group_ids.clone(),
        regions: file.plan.regions.keys().cloned().collect(),
        filter: file.filter.clone(),
    }
}

/// Checks, before anything is read, that every region is allowed.
fn check_regions(scope: &Scope, session: &Session) -> Result<(), Failure> {
    let allowed = &session.config.rules.allowed_regions;
    match scope.regions.iter().find(|region| !allowed.is_empty() && !allowed.contains(region)) {
        None => Ok(()),
        Some(region) => {
            Err(Failure::Refused(format!("the plan names region {region}, which is not in ALLOWED_REGIONS")))
        }
    }
}

/// The scope of a plan, read completely.
async fn read(scope: &Scope, session: &Session, terminal: &Terminal) -> Result<Plan, Failure> {
    let plan = reading::read(scope, session, terminal).await?;
    match reading::detail(scope, &plan, None, session).reason {
        // References, or none.
        None => Ok(plan),
        Some(reason) => {
            Err(Failure::Refused(format!("{}. {} See {}", reason.message, reason.advice, reason.runbook)))
        }
    }
}

/// The requests for some references of the plan.
fn requests(due: &[&Reference], plan: &Plan, dry_run: bool, session: &Session) -> Vec<Named> {
    let (source, planned) = (random_id(), by_key(plan));
    let requests = (1..).zip(due).map(|(number, reference)| {
        let id = RequestId::numbered(source.as_str(), number);
        let named = Named::new(&reference.target(), dry_run, id, &session.config.rules);
        named.limited_to(replacement(reference, planned.get(&key(reference)).copied(), plan))
    });
    requests.collect()
}

/// The replacement that the plan names, if it is attached first, or if the endpoint has it already: an earlier run may
/// have attached it. A group that the plan detaches replaces none.
fn replacement<'a>(
    reference: &'a Reference,
    planned: Option<&'a Reference>,
    plan: &Plan,
) -> Option<&'a SecurityGroupId> {
    let is_on_endpoint =
        |id: &&SecurityGroupId| reference.security_groups.iter().any(|group| group.id == id.as_str());
    let is_kept = |id: &&SecurityGroupId| !plan.security_group_ids.contains(id);
    let found = planned.and_then(|planned| planned.replacement_security_group_id.as_ref());
    let found = found.filter(is_on_endpoint).filter(is_kept);
    reference.replacement_security_group_id.as_ref().or(found)
}

/// Shows what will be detached, and what is left and why.
fn show(comparison: &Comparison<'_>, dry_run: bool, terminal: &Terminal) {
    let Comparison { due, blocked, new, vanished } = comparison;
    let width = terminal.stderr_width;
    let mut endpoints: BTreeMap<(&RegionId, &EndpointId), Vec<&Reference>> = BTreeMap::new();
    for reference in due {
        endpoints.entry((&reference.region_id, &reference.endpoint_id)).or_default().push(reference);
    }
    let rows: Vec<_> = endpoints.values().map(|references| change(references)).collect();
    if !rows.is_empty() {
        let header = ["REGION", "ENDPOINT", "GROUPS NOW", "GROUPS AFTER"];
        streams::note(columns::table(header, &rows, width, |[region, endpoint, now, after]| {
            let groups = columns::text([["  now", now], ["  after", after]], width);
            format!("{region} {endpoint}\n{groups}")
        }));
    }
    let blocked_lines = blocked.iter().map(|one| (format!("blocked, not detached{}", why(one)), one));
    let new_lines = new.iter().map(|one| (format!("new, not detached{}", why(one)), one));
    let vanished_lines = vanished.iter().map(|one| ("no longer attached".to_owned(), one));
    for (what, reference) in blocked_lines.chain(new_lines).chain(vanished_lines) {
        let Reference { region_id, endpoint_id, security_group_id, .. } = reference;
        let text = format!("{what}: {region_id} {endpoint_id} {security_group_id}");
        streams::note(columns::paragraph(&text, width));
    }
    let what = if dry_run { "dry run" } else { "detach" };
    let summary = format!(
        "{} on {}; {} blocked, {} new, {} no longer attached",
        counted(due.len(), what),
        counted(endpoints.len(), "endpoint"),
        blocked.len(),
        new.len(),
        vanished.len()
    );
    streams::note(columns::paragraph(&summary, width));
}

/// Why the detach of a reference is blocked, or which group would be attached before it; empty if neither.
fn why(reference: &Reference) -> String {
    match (&reference.blocked_by, &reference.replacement_security_group_id) {
        (Some(code), _) => format!(" ({code})"),
        (None, Some(id)) => format!(" (replace by {id})"),
        (None, None) => String::new(),
    }
}

/// The row of one endpoint: region, endpoint, groups now and after the detaches of its references.
fn change(references: &[&Reference]) -> [String; 4] {
    let Reference { region_id, endpoint_id, security_groups, .. } = references[0];
    let is_due = |group: &&SecurityGroup| {
        references.iter().any(|reference| reference.security_group_id.as_str() == group.id)
    };
    let now: Vec<String> = security_groups.iter().map(status).collect();
    let after: Vec<String> = security_groups.iter().filter(|group| !is_due(group)).map(id).collect();
    let replacement = references.iter().find_map(|one| one.replacement_security_group_id.as_ref());
    [region_id.to_string(), endpoint_id.to_string(), now.join(", "), results::after(after, replacement)]
}

/// A group's id, if it looks like one.
fn id(group: &SecurityGroup) -> String {
    SecurityGroupId::parse(&group.id).map_or_else(|| UNREADABLE.to_owned(), |id| id.to_string())
}

fn status(group: &SecurityGroup) -> String {
    format!("{} ({})", id(group), group.status.as_str())
}

/// Prints the results to standard output, and what is left to standard error.
fn print(
    carried: &CarriedOut,
    comparison: &Comparison<'_>,
    format: Format,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let CarriedOut { finished, unfinished, untouched, stopped } = carried;
    let write = |text: &str| streams::note(columns::paragraph(text, terminal.stderr_width));
    for state in unfinished {
        write(state);
    }
    if *untouched > 0 {
        write(&format!("{} not started; apply the plan again to continue", counted(*untouched, "detach")));
    }
    match stopped {
        Some(Stopped::Credentials(problem)) => write(problem),
        Some(Stopped::Interrupted) => write("interrupted"),
        None => {}
    }
    let printed = match format {
        Format::Json => {
            let references = |references: &[&Reference]| -> Vec<_> {
                references.iter().map(|reference| results::reference(reference)).collect()
            };
            let json = results::json(&json!({
                "results": finished.iter().map(|finished| &*finished.detail).collect::<Vec<_>>(),
                "new": references(&comparison.new),
                "vanished": references(&comparison.vanished),
            }));
            streams::print(&(json + "\n"))
        }
        Format::Table if finished.is_empty() => Ok(()),
        Format::Table => streams::print(&(results::table(finished, terminal.stdout_width) + "\n")),
    };
    if format == Format::Table {
        finished.iter().filter_map(results::explanation).for_each(|text| write(&text));
    }
    printed
}

fn exit(carried: CarriedOut, comparison: &Comparison<'_>) -> Exit {
    let stopped = carried.stopped.map(|stopped| match stopped {
        Stopped::Interrupted => Exit::Interrupted,
        Stopped::Credentials(_) => Exit::Credentials,
    });
    let remains = !comparison.new.is_empty() || !comparison.blocked.is_empty();
    let results = carried.finished.iter().map(Finished::exit);
    Exit::of_all(results.chain(stopped).chain(remains.then_some(Exit::ReferencesRemain)))
}
