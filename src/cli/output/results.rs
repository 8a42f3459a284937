//! What a detach prints: the `detail` of its completion event, or the same as aligned lines.

use serde::Serialize;
use serde_json::{Value, json};

use super::columns;
use crate::cli::finished::Finished;
use crate::completion::Detail;
use crate::detach::{Outcome, ReasonCode};
use crate::request::SecurityGroupId;
use crate::sweep::Reference;
use crate::text::shortened;

/// A value as JSON.
#[expect(clippy::expect_used, reason = "these are texts, numbers and maps with texts as keys")]
pub(in crate::cli) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("an event is JSON")
}

/// One result as aligned lines.
pub(in crate::cli) fn lines(detail: &Detail, width: Option<u16>) -> String {
    let groups =
        |groups: &Option<Vec<String>>| groups.as_ref().map_or("not read".to_owned(), |ids| shown(ids));
    let (evidence, effort) = (&detail.evidence, &detail.effort);
    let status = evidence.endpoint_status.as_ref().map_or(String::new(), |status| format!(", {status}"));
    let mut rows = vec![
        ("outcome", detail.outcome.to_owned()),
        (
            "endpoint",
            format!("{} ({}{status})", text(detail.endpoint_id.as_ref()), text(detail.region_id.as_ref())),
        ),
        ("group", text(detail.security_group_id.as_ref())),
        ("groups before", groups(&evidence.security_groups_before)),
        ("groups after", groups(&evidence.security_groups_after)),
    ];
    rows.extend(replacement(detail).map(|text| ("last group", text)));
    rows.extend([
        ("confirmed at", evidence.confirmed_at.clone().unwrap_or_else(|| "not confirmed".to_owned())),
        ("calls", calls(effort.detach_calls, effort.read_calls)),
        ("request ids", shown(&detail.api_request_ids)),
    ]);
    if let Some(reason) = &detail.reason {
        rows.push(("reason", format!("{}: {}", reason.code, reason.message)));
        rows.push(("advice", reason.advice.clone()));
        rows.push(("runbook", reason.runbook.clone()));
    }
    columns::text(rows.into_iter().map(|(name, value)| [name.to_owned(), value]), width)
}

/// The replacement that was attached, or in a dry run would be attached, because the requested group is the endpoint's
/// last one; `None` if there is none.
pub(in crate::cli) fn replacement(detail: &Detail) -> Option<String> {
    let evidence = &detail.evidence;
    let id = evidence.replacement_security_group_id.as_ref()?;
    let has = |groups: &Option<Vec<String>>| groups.iter().flatten().any(|group| group == id.as_str());
    match (has(&evidence.security_groups_before), has(&evidence.security_groups_after)) {
        (false, true) if detail.outcome == Outcome::Detached.name() => Some(format!("replaced by {id}")),
        (false, true) => Some(format!("{id} was attached, and stays")),
        (false, false) if detail.outcome == Outcome::DryRunPassed.name() => Some(format!("replace by {id}")),
        _ => None,
    }
}

/// Several results as a table; empty without results.
pub(in crate::cli) fn table(results: &[Finished], width: Option<u16>) -> String {
    if results.is_empty() {
        return String::new();
    }
    let row = |Finished { detail, .. }: &Finished| {
        [
            text(detail.region_id.as_ref()),
            text(detail.endpoint_id.as_ref()),
            text(detail.security_group_id.as_ref()),
            replacement(detail)
                .map_or_else(|| detail.outcome.to_owned(), |text| format!("{}, {text}", detail.outcome)),
            detail.reason.as_ref().map_or(String::new(), |reason| reason.code.clone()),
        ]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let header = ["REGION", "ENDPOINT", "GROUP", "OUTCOME", "REASON"];
    let table = columns::table(header, &rows, width, |[region, endpoint, group, outcome, reason]| {
        columns::paragraph(&format!("{region} {endpoint} {group}: {outcome} {reason}"), width)
    });
    table + "\n"
}

/// Why a request failed and what to do about it, if it failed.
pub(in crate::cli) fn explanation(Finished { detail, .. }: &Finished) -> Option<String> {
    let reason = detail.reason.as_ref()?;
    let (endpoint, group) = (text(detail.endpoint_id.as_ref()), text(detail.security_group_id.as_ref()));
    Some(format!(
        "{endpoint} {group}: {}: {}. {} See {}",
        reason.code, reason.message, reason.advice, reason.runbook
    ))
}

/// A reference, with the fields that it has in a sweep's event.
pub(in crate::cli) fn reference(reference: &Reference) -> Value {
    json!({
        "region_id": reference.region_id,
        "endpoint_id": reference.endpoint_id,
        "endpoint_name": reference.endpoint_name.as_deref().map(shortened),
        "security_group_id": reference.security_group_id,
        "status": reference.status.as_str(),
        "blocked_by": reference.blocked_by.as_ref().map(ReasonCode::as_str),
        "replacement_security_group_id": reference.replacement_security_group_id,
    })
}

/// The groups after a detach: those that stay, and the one that replaces the last.
pub(in crate::cli) fn after(stay: Vec<String>, replacement: Option<&SecurityGroupId>) -> String {
    let replace = replacement.map(|id| format!("replace by {id}"));
    shown(&stay.into_iter().chain(replace).collect::<Vec<_>>())
}

/// A list of ids.
pub(in crate::cli) fn shown(ids: &[String]) -> String {
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

fn calls(detaches: u32, reads: u32) -> String {
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    format!("{detaches} detach{}, {reads} read{}", if detaches == 1 { "" } else { "es" }, plural(reads))
}

/// An id, if the request names a valid one.
fn text(id: Option<&impl ToString>) -> String {
    id.map_or_else(|| "-".to_owned(), ToString::to_string)
}
