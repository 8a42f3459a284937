//! A history as text: its plan, and one line for each entry of its record.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{History, Plan};
use crate::faults::Faults;
use crate::record::{Change, EntryKind, RequestedCall, Served};
use crate::sandbox::{Ending, Interruption};

/// The maximum length of a quoted text, in characters.
const SHOWN_MAX: usize = 400;

/// Formats a history.
#[derive(Debug)]
pub struct Trace<'a>(pub &'a History);

impl fmt::Display for Trace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(history) = self;
        beginning(&history.plan, formatter)?;
        let mut callers = std::collections::BTreeMap::new();
        for entry in &history.record {
            if let EntryKind::Called { invocation, call, requested } = &entry.kind {
                callers.insert(*call, (*invocation, requested));
            }
            write!(formatter, "{:>11}  ", seconds(entry.at, history.began))?;
            match &entry.kind {
                EntryKind::Called { invocation, call, requested } => {
                    writeln!(formatter, "#{invocation} call {call}: {}", shown(requested))?;
                }
                EntryKind::Left { call } => {
                    writeln!(formatter, "   call {call} leaves: its connection opened slowly")?;
                }
                EntryKind::Served { call, served } => {
                    writeln!(formatter, "   call {call} arrives: {}", outcome(served))?;
                }
                EntryKind::Returned { call, has_response } => {
                    let invocation = callers.get(call).map_or(0, |(invocation, _)| *invocation);
                    let result = if *has_response { "gets its response" } else { "gets no response" };
                    writeln!(formatter, "#{invocation} call {call} {result}")?;
                }
                other => line(other, history.began, formatter)?,
            }
        }
        let (waiting, dead_letters) = (history.waiting.len(), history.dead_letters.len());
        writeln!(
            formatter,
            "{:>11}  end: {waiting} messages in the queue, {dead_letters} dead letters",
            seconds(history.ended, history.began)
        )
    }
}

fn beginning(plan: &Plan, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Plan { seed, kind, sandboxes, cloud, pace, faults_end_at, faults, .. } = plan;
    writeln!(
        formatter,
        "seed {seed}: {kind:?} queues, {sandboxes} sandbox(es), faults end at +{} s",
        faults_end_at.as_secs_f64()
    )?;
    writeln!(formatter, "  latency: {:?} to Alibaba Cloud, {:?} to AWS", pace.alibaba, pace.aws)?;
    for endpoint in &cloud.endpoints {
        let groups: Vec<&str> = endpoint.security_groups.iter().map(|group| group.id.as_str()).collect();
        write!(
            formatter,
            "  {} is {} with {}",
            endpoint.endpoint_id,
            endpoint.endpoint_status,
            groups.join(", ")
        )?;
        match &endpoint.vpc_id {
            Some(vpc) => writeln!(formatter, " in {vpc}")?,
            None => writeln!(formatter)?,
        }
    }
    for (vpc, group) in plan.deployment.rules.replacements.iter() {
        let record = cloud.security_group_records.get(group.as_str());
        writeln!(formatter, "  {group} replaces the last group in {vpc}: {record:?}")?;
    }
    if cloud.settings != privatelink_simulator::Settings::default() {
        writeln!(formatter, "  {:?}", cloud.settings)?;
    }
    for (action, quota) in &cloud.quotas {
        writeln!(formatter, "  quota of {action}: {} in {:?}", quota.calls, quota.window)?;
    }
    if plan.deployment.clock_ahead_seconds != 0 {
        writeln!(
            formatter,
            "  every other sandbox's clock is {} s ahead",
            plan.deployment.clock_ahead_seconds
        )?;
    }
    if *faults != Faults::default() {
        writeln!(formatter, "  {faults:?}")?;
    }
    Ok(())
}

fn interrupted(interruption: Option<Interruption>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match interruption {
        Some(Interruption::Kill { polls }) => writeln!(formatter, "; killed at its wait {polls}"),
        Some(Interruption::Suspend { polls, duration }) => {
            writeln!(formatter, "; suspended at its wait {polls} for {duration:?}")
        }
        None => writeln!(formatter),
    }
}

fn line(kind: &EntryKind, began: SystemTime, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |by: &Option<u32>| by.map_or("the mapping".to_owned(), |invocation| format!("#{invocation}"));
    match kind {
        EntryKind::Sent { message, body } => writeln!(formatter, "message {} sent: {body}", short(message)),
        EntryKind::Invoked { invocation, sandbox, batch, ends, interruption, .. } => {
            let messages: Vec<String> = batch
                .iter()
                .map(|received| format!("{} (receive {})", short(&received.message), received.receive_count))
                .collect();
            write!(formatter, "#{invocation} begins in sandbox {sandbox} with {}", messages.join(", "))?;
            write!(formatter, "; timeout at {}", seconds(*ends, began))?;
            interrupted(*interruption, formatter)
        }
        EntryKind::SweepInvoked { invocation, sweep, ends, interruption, .. } => {
            write!(
                formatter,
                "#{invocation} begins with sweep {sweep}; timeout at {}",
                seconds(*ends, began)
            )?;
            interrupted(*interruption, formatter)
        }
        EntryKind::Actual { invocation, endpoints } => {
            write!(formatter, "#{invocation} actual state:")?;
            for endpoint in endpoints {
                let groups = endpoint.security_groups.iter();
                let groups: Vec<_> = groups.map(|group| format!("{} {}", group.id, group.status)).collect();
                write!(formatter, " {} [{}]", endpoint.endpoint_id, groups.join(", "))?;
            }
            writeln!(formatter)
        }
        EntryKind::Requesting { invocation, requests } => {
            let bodies: Vec<_> = requests.iter().map(|request| request.body.as_str()).collect();
            writeln!(formatter, "#{invocation} sends {}", bodies.join(" "))
        }
        EntryKind::Changed { by, change, refusal, .. } => {
            write!(formatter, "{}: {}", name(by), changed(change))?;
            match refusal {
                Some(refusal) => writeln!(formatter, ": no effect: {}", cut(refusal)),
                None => writeln!(formatter),
            }
        }
        EntryKind::Failed { by, operation } => writeln!(formatter, "{}: {operation:?} failed", name(by)),
        EntryKind::ReceiveLost { messages } => {
            writeln!(formatter, "a receive of {} is lost", messages.join(", "))
        }
        EntryKind::Duplicated { message } => {
            writeln!(formatter, "the queue delivers {} again", short(message))
        }
        EntryKind::Ended { invocation, ending } => match ending {
            Ending::Returned(response) => writeln!(formatter, "#{invocation} returns {response}"),
            Ending::Failed(error) => writeln!(formatter, "#{invocation} fails: {error}"),
            Ending::Killed => writeln!(formatter, "#{invocation} is killed"),
        },
        EntryKind::Outside(outside) => writeln!(formatter, "outside: {outside:?}"),
        EntryKind::Called { .. }
        | EntryKind::Left { .. }
        | EntryKind::Served { .. }
        | EntryKind::Returned { .. } => Ok(()),
    }
}

fn shown(requested: &RequestedCall) -> String {
    let RequestedCall { action, endpoint, group, dry_run, client_token, next_token, .. } = requested;
    let fields = [("group", group), ("token", client_token), ("page", next_token)];
    let fields =
        fields.map(|(name, value)| value.as_ref().map_or(String::new(), |value| format!(" {name} {value}")));
    let action = action.map_or("?", privatelink_simulator::Action::name);
    let mode = if *dry_run { " (dry run)" } else { "" };
    format!("{action} {endpoint}{}{mode}", fields.concat())
}

fn outcome(served: &Served) -> String {
    let status = served.status.map_or("no response".to_owned(), |status| format!("HTTP {status}"));
    let content = served.code.clone().unwrap_or_else(|| cut(&String::from_utf8_lossy(&served.body)));
    let fault = match (served.is_fault, served.is_executed) {
        (false, _) => "",
        (true, false) => " [fault]",
        (true, true) => " [fault, executed]",
    };
    let actual = served.actual.as_ref().map_or("no such endpoint".to_owned(), |endpoint| {
        let groups: Vec<String> =
            endpoint.security_groups.iter().map(|group| format!("{} {}", group.id, group.status)).collect();
        format!("{} with {}", endpoint.endpoint_status, groups.join(", "))
    });
    format!("{status} {content}{fault}; actual state: {actual}")
}

fn changed(change: &Change) -> String {
    match change {
        Change::Delete { message, .. } => format!("deletes {}", short(message)),
        Change::Defer { messages, visibility } => {
            let messages: Vec<&str> = messages.iter().map(|(message, _)| short(message)).collect();
            format!("returns {} to the queue for {visibility:?}", messages.join(", "))
        }
        Change::SendDeadLetter { message, copy } => {
            let reason = copy.attributes.get("reason_code").map(|attribute| &attribute.value);
            format!("copies {} to the dead-letter queue: {reason:?}", short(message))
        }
        Change::Publish { detail, .. } => format!("publishes {}", cut(&detail.to_string())),
        Change::Request { requests } => format!("requests {} detaches", requests.len()),
    }
}

/// The end of an id distinguishes it from the others.
fn short(message: &str) -> &str {
    message.rsplit('-').next().unwrap_or(message).trim_start_matches('0')
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

fn seconds(at: SystemTime, began: SystemTime) -> String {
    let passed: Duration = at.duration_since(began).unwrap_or_default();
    format!("+{:.3} s", passed.as_secs_f64())
}
