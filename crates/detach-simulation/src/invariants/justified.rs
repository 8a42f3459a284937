//! I9: every other outcome rests on what was served, too.

use std::collections::BTreeSet;
use std::time::Duration;

use privatelink_simulator::Action;
use serde_json::Value;

use super::facts::{Call, Facts, Publication, Sent};
use super::proof::Looks;
use super::{Breach, Promise, breach};
use crate::history::Wanted;
use crate::meaning::{Meaning, of_code};
use crate::record::Served;

const LIST: Option<Action> = Some(Action::ListVpcEndpointSecurityGroups);
const DETACH: Option<Action> = Some(Action::DetachSecurityGroupFromVpcEndpoint);

/// What may pass between a step and the one that follows at once.
const AT_ONCE: Duration = Duration::from_millis(20);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    facts.publications.iter().try_for_each(|publication| one(facts, publication))
}

fn one(facts: &Facts<'_>, event: &Publication<'_>) -> Result<(), Breach> {
    let Some(place) = event.request else { return Ok(()) };
    let wanted = facts.request(place).and_then(|request| request.wanted.as_ref());
    let is_justified = match (event.outcome(), wanted) {
        // Gone is proof's to judge.
        ("rejected", None) | ("detached" | "already_detached", Some(_)) => true,
        ("rejected", Some(_)) | (_, None) => false,
        (_, Some(wanted)) => {
            facts.given(event.invocation, place).any(|(_, sent)| rests(facts, event, wanted, sent))
        }
    };
    if is_justified {
        return Ok(());
    }
    let outcome = event.outcome();
    let how = format!("{outcome} ({}) at {} rests on nothing", event.reason(), facts.after(event.at));
    breach(Promise::Justified, how)
}

/// Whether the outcome follows from what this delivery was answered.
fn rests(facts: &Facts<'_>, event: &Publication<'_>, wanted: &Wanted, sent: Sent<'_>) -> bool {
    let calls: Vec<&Call<'_>> =
        facts.calls_of_delivery(event.invocation, &wanted.endpoint, event.request, event.asked_at).collect();
    let looks = Looks::of(calls.iter().copied(), &wanted.group, event.asked_at);
    let has_code = |action: Option<Action>, code: &str| {
        let mut answers = answers(&calls, action);
        answers.any(|served| served.code.as_deref() == Some(code))
    };
    match event.outcome() {
        // No end before its time, and none without a last look.
        "unconfirmed" => {
            let deadline = sent.at + wanted.deadline;
            let mut lists = calls.iter().filter(|call| call.asked.action == LIST);
            event.asked_at >= deadline && lists.any(|call| call.at + AT_ONCE >= deadline)
        }
        "dry_run_passed" => wanted.dry_run && has_code(DETACH, "DryRunOperation"),
        "endpoint_gone" => {
            let is_denied = has_code(Some(Action::ListVpcEndpoints), "EndpointNotFound");
            looks.has_shown_record && is_nothing_listed(&looks) && (looks.is_record_missing || is_denied)
        }
        "refused" => is_refused(event.reason(), wanted, &calls, &looks),
        _ => false,
    }
}

/// The latest list had no groups, or there was no endpoint to list them of.
fn is_nothing_listed(looks: &Looks) -> bool {
    looks.is_list_missing || looks.listed.as_ref().is_some_and(BTreeSet::is_empty)
}

fn is_refused(code: &str, wanted: &Wanted, calls: &[&Call<'_>], looks: &Looks) -> bool {
    let is_served = |served: &&Served| served.code.as_deref() == Some(code);
    let any = || answers(calls, None).filter(is_served);
    let write = || answers(calls, DETACH).find(is_served);
    let record = |field: &str, values: &[&str]| {
        records(calls).any(|record| record[field].as_str().is_some_and(|value| values.contains(&value)))
    };
    let is_alone = looks.listed.as_ref().is_some_and(|ids| ids.len() == 1 && ids.contains(&wanted.group));
    match code {
        "EndpointMustContainSecurityGroup" => is_alone || any().next().is_some(),
        "FinancialLocked" => {
            let codes = ["EndpointLocked", "ConcurrentCallNotSupported"];
            let is_locked = answers(calls, DETACH)
                .any(|served| served.code.as_deref().is_some_and(|code| codes.contains(&code)));
            is_locked && record("EndpointBusinessStatus", &["FinancialLocked"])
        }
        "DryRunIgnored" => wanted.dry_run && answers(calls, DETACH).any(|served| served.status == Some(200)),
        "EndpointNotFound" => {
            let is_denied = answers(calls, Some(Action::ListVpcEndpoints)).any(|served| is_served(&served));
            let is_missing = looks.is_record_missing || is_denied;
            is_missing && is_nothing_listed(looks) && !looks.has_shown_record
        }
        "EndpointConnectionOperationDenied" => {
            write().is_some() && record("ConnectionStatus", &["ServiceDeleted", "Deleting"])
        }
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" | "SecurityGroupNotFound" => {
            write().is_some() && looks.has_listed_group
        }
        "IdempotenceSignatureMismatch" | "IdempotentParameterMismatch" => write().is_some(),
        _ => any().any(|served| {
            let meaning = of_code(code, served.status.unwrap_or_default());
            matches!(meaning, Meaning::Refuses(_) | Meaning::Denies(_))
        }),
    }
}

fn answers<'a>(calls: &'a [&Call<'a>], action: Option<Action>) -> impl Iterator<Item = &'a Served> + use<'a> {
    let calls = calls.iter().filter(move |call| action.is_none() || call.asked.action == action);
    calls.filter_map(|call| call.answer())
}

/// The endpoint's own record, each time that it was served.
fn records<'a>(calls: &'a [&Call<'a>]) -> impl Iterator<Item = Value> + use<'a> {
    let lists = calls.iter().filter(|call| call.asked.action == Some(Action::ListVpcEndpoints));
    lists.filter_map(|call| {
        let fields: Value = serde_json::from_slice(&call.answer()?.body).ok()?;
        let records = fields["Endpoints"].as_array()?;
        records.iter().find(|record| record["EndpointId"] == call.asked.endpoint.as_str()).cloned()
    })
}
