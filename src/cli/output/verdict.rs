//! A verdict in sentences: whether the groups can be deleted, what was read, and what was not read.

use std::time::SystemTime;

use crate::cli::exit::Exit;
use crate::cli::scope::{Scope, listed};
use crate::clock::calendar;
use crate::completion::ReasonDetail;
use crate::sweep::{Plan, Reference, Verdict};

/// Maximum number of unread endpoints that are listed. All of them are in the JSON output.
const UNREAD_LISTED_MAX: usize = 20;

/// The exit status of a verdict of `find`.
pub(in crate::cli) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::NoReferences => Exit::Success,
        Verdict::ReferencesFound => Exit::ReferencesRemain,
        Verdict::OverLimit | Verdict::Incomplete | Verdict::NoEndpoints => Exit::Refused,
    }
}

/// What a plan means for an operator who wants to delete the groups. `reason` explains a verdict that leaves this open.
pub(in crate::cli) fn sentences(
    scope: &Scope,
    plan: &Plan,
    verdict: Verdict,
    reason: Option<&ReasonDetail>,
) -> String {
    let groups = listed(&plan.security_group_ids);
    let mut lines = vec![match verdict {
        Verdict::NoReferences => format!("No endpoint {} uses {groups}.", within(scope)),
        Verdict::ReferencesFound | Verdict::OverLimit => found(plan, &groups),
        Verdict::Incomplete | Verdict::NoEndpoints => {
            format!("It is not known whether {groups} can be deleted (verdict: {}).", verdict.as_str())
        }
    }];
    if let Some(reason) = reason {
        lines.push(format!("{}.", reason.message));
        lines.push(format!("{} See {}", reason.advice, reason.runbook));
    }
    lines.push(read(plan));
    lines.extend(unread(plan));
    lines.push(existence(plan, &groups));
    if verdict == Verdict::NoReferences {
        lines.push(other_products(scope));
    }
    lines.join("\n")
}

/// The scope of "no endpoint", which must not claim more than what was read.
fn within(scope: &Scope) -> String {
    let regions = listed(&scope.regions);
    if scope.is_filtered() {
        format!("of {regions} that matches the filters")
    } else {
        format!("of {regions}")
    }
}

fn found(plan: &Plan, groups: &str) -> String {
    let mut endpoints: Vec<_> =
        plan.references.iter().map(|one| (&one.region_id, &one.endpoint_id)).collect();
    endpoints.dedup();
    let blocked = plan.references.iter().filter(|one| one.blocked_by.is_some()).count();
    let uses = if endpoints.len() == 1 { "uses" } else { "use" };
    let groups_used = if plan.security_group_ids.len() == 1 { "it" } else { "at least one of them" };
    format!(
        "Do not delete {groups} yet: {} {uses} {groups_used} ({}: {} can be detached{}, {blocked} blocked{}).",
        counted(endpoints.len(), "endpoint"),
        counted(plan.references.len(), "reference"),
        plan.requestable().count(),
        replaced(&plan.references),
        causes(&plan.references),
    )
}

/// How many of the references are detached only after another group is attached.
fn replaced(references: &[Reference]) -> String {
    let replaced = references.iter().filter(|one| one.replacement_security_group_id.is_some()).count();
    match replaced {
        0 => String::new(),
        1 => " (1 is the last group of its endpoint, and is replaced)".to_owned(),
        more => format!(" ({more} are the last groups of their endpoints, and are replaced)"),
    }
}

/// The different causes of blocked references.
fn causes(references: &[Reference]) -> String {
    let mut causes: Vec<_> =
        references.iter().filter_map(|one| Some(one.blocked_by.as_ref()?.as_str())).collect();
    causes.sort_unstable();
    causes.dedup();
    if causes.is_empty() { String::new() } else { format!(" by {}", listed(causes)) }
}

/// How much was read, and when.
fn read(plan: &Plan) -> String {
    let regions = plan.regions.iter().map(|(id, region)| {
        let skipped = match region.endpoints_skipped {
            0 => String::new(),
            skipped => format!(" (and {skipped} skipped: gateway load balancer endpoints have no groups)"),
        };
        format!("{} of {id}{skipped}", counted(region.endpoints_read, "endpoint"))
    });
    format!("Read: {}, from {} to {}.", listed(regions), second(plan.started_at), second(plan.completed_at))
}

fn unread(plan: &Plan) -> Vec<String> {
    let lists = plan.regions.iter().filter_map(|(id, region)| {
        let code = region.list_error.as_ref()?;
        Some(format!("Not read: the list of endpoints of {id} ({code})."))
    });
    let endpoints: Vec<_> = plan
        .regions
        .iter()
        .flat_map(|(id, region)| region.unread.iter().map(move |one| (id, one)))
        .map(|(id, one)| format!("Not read: {} of {id} ({}).", one.endpoint_id, one.code))
        .collect();
    let more = endpoints.len().saturating_sub(UNREAD_LISTED_MAX);
    let last = (more > 0).then(|| format!("Not read: {}.", counted(more, "more endpoint")));
    lists.chain(endpoints.into_iter().take(UNREAD_LISTED_MAX)).chain(last).collect()
}

/// Whether the groups exist: a mistyped group looks unused.
fn existence(plan: &Plan, groups: &str) -> String {
    let exist = if plan.security_group_ids.len() == 1 { "exists" } else { "exist" };
    match plan.security_groups_found {
        Some(true) => format!("ECS confirms that {groups} {exist}."),
        Some(false) if plan.security_group_ids.len() == 1 => {
            format!("ECS does not find {groups} in the regions that were read: check the id and the regions.")
        }
        Some(false) => {
            format!(
                "ECS does not find all of {groups} in the regions that were read: check the ids and the regions."
            )
        }
        None => format!(
            "Whether {groups} {exist} was not checked: ECS denied DescribeSecurityGroups or did not respond. Check the \
             spelling, because a mistyped id looks like an unused group."
        ),
    }
}

fn other_products(scope: &Scope) -> String {
    let outside = if scope.is_filtered() { "endpoints that the filters exclude, " } else { "" };
    format!(
        "Not read: {outside}other regions and other products. If an instance, a network interface or a rule of another group \
         still uses a group, ECS refuses to delete it with DependencyViolation."
    )
}

/// A number and its noun.
pub(in crate::cli) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ if noun.ends_with("ch") => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

fn second(at: SystemTime) -> String {
    calendar::text(at, calendar::SECONDS)
}
