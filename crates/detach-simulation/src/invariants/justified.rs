//! I9: every other outcome is based on what was served.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;
use serde_json::Value;

use super::bounds::TIMEOUT_MIN;
use super::confirmed::Reads;
use super::facts::{Call, Facts, Publication, Sent};
use super::{ATTACH, Breach, DETACH, Guarantee, breach};
use crate::history::ParsedRequest;
use crate::meaning::{Meaning, of_code};
use crate::record::Served;

const LIST: Option<Action> = Some(Action::ListVpcEndpointSecurityGroups);

/// The maximum time between a step and the next one if the next one follows directly.
const AT_ONCE: Duration = Duration::from_millis(20);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    facts.publications.iter().try_for_each(|publication| one(facts, publication))
}

fn one(facts: &Facts<'_>, event: &Publication<'_>) -> Result<(), Breach> {
    let Some(place) = event.request else { return Ok(()) };
    let parsed = facts.request(place).and_then(|request| request.parsed.as_ref());
    let is_justified = match (event.outcome(), parsed) {
        // I1 checks `detached` and `already_detached`.
        ("rejected", None) | ("detached" | "already_detached", Some(_)) => true,
        ("rejected", Some(_)) | (_, None) => false,
        (_, Some(parsed)) => facts
            .batch_messages(event.invocation, place)
            .any(|(_, sent)| follows_from_responses(facts, event, parsed, sent)),
    };
    if is_justified {
        return Ok(());
    }
    let outcome = event.outcome();
    let how =
        format!("{outcome} ({}) at {} is not based on a response", event.reason(), facts.after(event.at));
    breach(Guarantee::Justified, how)
}

/// Whether the outcome follows from the responses to this delivery.
fn follows_from_responses(
    facts: &Facts<'_>,
    event: &Publication<'_>,
    parsed: &ParsedRequest,
    sent: Sent<'_>,
) -> bool {
    let calls: Vec<&Call<'_>> = facts
        .calls_of_delivery(event.invocation, &parsed.endpoint, event.request, event.requested_at)
        .collect();
    let reads = Reads::of(calls.iter().copied(), &parsed.group, event.requested_at);
    let has_code = |action: Option<Action>, code: &str| {
        let mut responses = responses(&calls, action);
        responses.any(|served| served.code.as_deref() == Some(code))
    };
    match event.outcome() {
        // Only after the deadline, and after a last read.
        "unconfirmed" => {
            // A clock that no response has corrected is the only one that the worker has.
            let decided_at = calls.iter().filter_map(|call| call.returned).map(|(at, _)| at).max();
            let is_corrected =
                decided_at.is_some_and(|decided_at| facts.is_clock_corrected(event.invocation, decided_at));
            let early = if is_corrected { facts.clock_tolerance() } else { facts.clock_ahead() };
            let deadline = sent.at + parsed.deadline - early;
            let mut lists = calls.iter().filter(|call| call.requested.action == LIST);
            event.requested_at >= deadline
                && (facts.may_lack_key(credentials_since(facts, event)..=event.requested_at)
                    || lists.any(|call| call.at + AT_ONCE >= deadline))
        }
        "dry_run_passed" => {
            parsed.dry_run && [ATTACH, DETACH].into_iter().any(|action| has_code(action, "DryRunOperation"))
        }
        "endpoint_gone" => {
            let is_denied = has_code(Some(Action::ListVpcEndpoints), "EndpointNotFound");
            reads.has_served_record && is_nothing_listed(&reads) && (reads.is_record_missing || is_denied)
        }
        "refused" => {
            let is_first = event.request.is_some_and(|place| {
                let mut deliveries = facts.batch_messages(event.invocation, place);
                deliveries.any(|(received, _)| received.receive_count == 1)
            });
            // The calls for earlier messages of the batch may have listed the group.
            let is_alone = facts.runs.get(&event.invocation).is_some_and(|run| run.batch.len() == 1);
            let is_unseen = is_first && (!reads.has_listed_group || parsed.dry_run || !is_alone);
            // After a redrive one batch may contain a request twice, and the reads are those of both messages.
            let is_twice =
                event.request.is_some_and(|place| facts.batch_messages(event.invocation, place).count() > 1);
            let earlier = Earlier {
                has_listed_group: !is_unseen,
                has_served_record: reads.has_served_record && !is_twice,
            };
            let replacement =
                facts.replacement_of(&parsed.endpoint).filter(|replacement| *replacement != parsed.group);
            if event.reason() == "ReplacementNotAttached" {
                return replacement.is_some() && is_attach_refused(event, &calls);
            }
            let is_without = replacement.is_none();
            is_refused(event.reason(), parsed, earlier, &calls, &reads, is_without)
        }
        _ => false,
    }
}

/// The earliest time from which a process may have the credentials, or the lack of them, with which it ends a request.
/// Without credentials the last read is not sent.
fn credentials_since(facts: &Facts<'_>, event: &Publication<'_>) -> SystemTime {
    let Some(run) = facts.runs.get(&event.invocation) else { return event.requested_at };
    let process = |call: &Call<'_>| facts.runs.get(&call.invocation).map(|run| run.process);
    let earlier = || facts.calls.iter().filter(|call| call.at < event.requested_at);
    let has_called = || earlier().any(|call| process(call) == Some(run.process));
    if run.ends < run.began + TIMEOUT_MIN && !has_called() {
        // No time is left to read the secret, and an earlier invocation may not have been able to read it.
        facts.history.began
    } else if run.is_suspended() {
        run.began
    } else {
        event.requested_at
    }
}

/// Whether the latest list had no groups, or the service had no endpoint to list them for.
fn is_nothing_listed(reads: &Reads) -> bool {
    reads.is_list_missing || reads.listed.as_ref().is_some_and(BTreeSet::is_empty)
}

/// What earlier reads of a delivery must have shown.
#[derive(Clone, Copy)]
struct Earlier {
    has_listed_group: bool,
    has_served_record: bool,
}

fn is_refused(
    code: &str,
    parsed: &ParsedRequest,
    earlier: Earlier,
    calls: &[&Call<'_>],
    reads: &Reads,
    has_no_replacement: bool,
) -> bool {
    let is_served = |served: &&Served| served.code.as_deref() == Some(code);
    let others: Vec<&Call<'_>> =
        calls.iter().copied().filter(|call| call.requested.action != ATTACH).collect();
    let any = || responses(&others, None).filter(is_served);
    let write = || responses(calls, DETACH).find(is_served);
    let record = |field: &str, values: &[&str]| {
        records(calls).any(|record| record[field].as_str().is_some_and(|value| values.contains(&value)))
    };
    let is_only_group =
        reads.listed.as_ref().is_some_and(|ids| ids.len() == 1 && ids.contains(&parsed.group));
    match code {
        "EndpointMustContainSecurityGroup" => (is_only_group && has_no_replacement) || any().next().is_some(),
        // The first delivery of a request that expects the group, which no list of it had.
        "SecurityGroupNotAttached" => {
            parsed.expect_attached && reads.is_confirmed && !earlier.has_listed_group
        }
        "FinancialLocked" => {
            let codes = ["EndpointLocked", "ConcurrentCallNotSupported"];
            let is_locked = responses(calls, DETACH)
                .chain(responses(calls, ATTACH))
                .any(|served| served.code.as_deref().is_some_and(|code| codes.contains(&code)));
            is_locked && record("EndpointBusinessStatus", &["FinancialLocked"])
        }
        "DryRunIgnored" => {
            let mut responses = responses(calls, DETACH).chain(responses(calls, ATTACH));
            parsed.dry_run && responses.any(|served| served.status == Some(200))
        }
        "EndpointNotFound" => {
            let is_denied = responses(calls, Some(Action::ListVpcEndpoints)).any(|served| is_served(&served));
            let is_missing = reads.is_record_missing || is_denied;
            is_missing && is_nothing_listed(reads) && !earlier.has_served_record
        }
        "EndpointConnectionOperationDenied" => {
            write().is_some() && record("ConnectionStatus", &["ServiceDeleted", "Deleting"])
        }
        "EndpointOperationDenied" | "IncorrectStatus.VpcEndpoint" | "SecurityGroupNotFound" => {
            write().is_some() && reads.has_listed_group
        }
        "IdempotenceSignatureMismatch" | "IdempotentParameterMismatch" => write().is_some(),
        _ => any().any(|served| match of_code(code, served.status.unwrap_or_default()) {
            Meaning::Refused(_) | Meaning::Denied(_) => true,
            // Another such code, or the same, was the response to an earlier call of this delivery.
            Meaning::Unlisted(_) => responses(calls, None).filter(|served| is_unlisted(served)).count() >= 2,
            Meaning::Transient(_)
            | Meaning::WrongState(_)
            | Meaning::NotAttached(_)
            | Meaning::FalseSuccess => false,
        }),
    }
}

/// Whether the attach of the replacement was refused, with the code that the event's reason names.
fn is_attach_refused(event: &Publication<'_>, calls: &[&Call<'_>]) -> bool {
    let message = event.detail["reason"]["message"].as_str().unwrap_or_default();
    let is_disconnected = || {
        let disconnected = |record: &Value| {
            matches!(record["ConnectionStatus"].as_str(), Some("ServiceDeleted" | "Deleting"))
        };
        records(calls).any(|record| disconnected(&record))
    };
    responses(calls, ATTACH).any(|served| {
        let (code, status) = (served.code.as_deref().unwrap_or_default(), served.status.unwrap_or_default());
        !code.is_empty()
            && message.contains(code)
            && match of_code(code, status) {
                Meaning::Refused(_)
                | Meaning::Denied(_)
                | Meaning::NotAttached(_)
                | Meaning::WrongState(_) => true,
                Meaning::Unlisted(_) => {
                    responses(calls, None).filter(|served| is_unlisted(served)).count() >= 2
                }
                Meaning::Transient(_) => code == "EndpointConnectionOperationDenied" && is_disconnected(),
                Meaning::FalseSuccess => false,
            }
    })
}

/// The meaning of the latest refusal of an attach in the delivery of this event.
pub(super) fn refused_attach(facts: &Facts<'_>, event: &Publication<'_>, endpoint: &str) -> Option<Meaning> {
    let calls = facts.calls_of_delivery(event.invocation, endpoint, event.request, event.requested_at);
    let refusals = calls.filter(|call| call.requested.action == ATTACH).filter_map(Call::response);
    let latest = refusals.filter_map(|served| Some((served.code.as_deref()?, served.status?))).last();
    latest.map(|(code, status)| of_code(code, status))
}

fn is_unlisted(served: &Served) -> bool {
    let status = served.status.unwrap_or_default();
    served.code.as_deref().is_some_and(|code| matches!(of_code(code, status), Meaning::Unlisted(_)))
}

fn responses<'a>(
    calls: &'a [&Call<'a>],
    action: Option<Action>,
) -> impl Iterator<Item = &'a Served> + use<'a> {
    let calls = calls.iter().filter(move |call| action.is_none() || call.requested.action == action);
    calls.filter_map(|call| call.response())
}

/// The endpoint's own record, each time that it was served.
fn records<'a>(calls: &'a [&Call<'a>]) -> impl Iterator<Item = Value> + use<'a> {
    let lists = calls.iter().filter(|call| call.requested.action == Some(Action::ListVpcEndpoints));
    lists.filter_map(|call| {
        let fields: Value = serde_json::from_slice(&call.response()?.body).ok()?;
        let records = fields["Endpoints"].as_array()?;
        records.iter().find(|record| record["EndpointId"] == call.requested.endpoint.as_str()).cloned()
    })
}
