//! A history as a story that a reader can follow: what it began with, and one line for each thing that happened.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{History, Plan};
use crate::record::{Asked, Change, Served, What};
use crate::sandbox::{Ending, Interruption};
use crate::trouble::Troubles;

/// Most characters of a text that is shown within a line.
const SHOWN_MAX: usize = 400;

/// Writes a history.
#[derive(Debug)]
pub struct Story<'a>(pub &'a History);

impl fmt::Display for Story<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(history) = self;
        beginning(&history.plan, formatter)?;
        let mut callers = std::collections::BTreeMap::new();
        for entry in &history.record {
            if let What::Called { invocation, call, asked } = &entry.what {
                callers.insert(*call, (*invocation, asked));
            }
            write!(formatter, "{:>11}  ", seconds(entry.at, history.began))?;
            match &entry.what {
                What::Called { invocation, call, asked } => {
                    writeln!(formatter, "#{invocation} call {call}: {}", shown(asked))?;
                }
                What::Served { call, served } => {
                    writeln!(formatter, "   call {call} arrives: {}", outcome(served))?;
                }
                What::Returned { call, is_answered } => {
                    let invocation = callers.get(call).map_or(0, |(invocation, _)| *invocation);
                    let answer = if *is_answered { "is answered" } else { "gets no answer" };
                    writeln!(formatter, "#{invocation} call {call} {answer}")?;
                }
                other => line(other, history.began, formatter)?,
            }
        }
        let (waiting, buried) = (history.waiting.len(), history.dead_letters.len());
        writeln!(
            formatter,
            "{:>11}  the end: {waiting} in the queue, {buried} dead letters",
            seconds(history.ended, history.began)
        )
    }
}

fn beginning(plan: &Plan, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Plan { seed, kind, sandboxes, cloud, pace, calm_at, troubles, .. } = plan;
    writeln!(
        formatter,
        "seed {seed}: {kind:?} queues, {sandboxes} sandbox(es), calm at +{} s",
        calm_at.as_secs_f64()
    )?;
    writeln!(formatter, "  calls take {:?} to Alibaba Cloud, {:?} to AWS", pace.alibaba, pace.aws)?;
    for endpoint in &cloud.endpoints {
        let groups: Vec<&str> = endpoint.security_groups.iter().map(|group| group.id.as_str()).collect();
        writeln!(
            formatter,
            "  {} is {} with {}",
            endpoint.endpoint_id,
            endpoint.endpoint_status,
            groups.join(", ")
        )?;
    }
    if cloud.settings != privatelink_simulator::Settings::default() {
        writeln!(formatter, "  {:?}", cloud.settings)?;
    }
    for (action, quota) in &cloud.quotas {
        writeln!(formatter, "  quota of {action}: {} in {:?}", quota.calls, quota.window)?;
    }
    if *troubles != Troubles::default() {
        writeln!(formatter, "  {troubles:?}")?;
    }
    Ok(())
}

fn line(what: &What, began: SystemTime, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |by: &Option<u32>| by.map_or("the mapping".to_owned(), |invocation| format!("#{invocation}"));
    match what {
        What::Sent { message, body } => writeln!(formatter, "message {} is sent: {body}", short(message)),
        What::Invoked { invocation, sandbox, batch, ends, interruption, .. } => {
            let messages: Vec<String> = batch
                .iter()
                .map(|given| format!("{} (receive {})", short(&given.message), given.receive_count))
                .collect();
            write!(formatter, "#{invocation} begins in sandbox {sandbox} with {}", messages.join(", "))?;
            write!(formatter, "; time until {}", seconds(*ends, began))?;
            match interruption {
                Some(Interruption::Kill { polls }) => writeln!(formatter, "; killed at its wait {polls}"),
                Some(Interruption::Stall { polls, lasting }) => {
                    writeln!(formatter, "; stands still at its wait {polls} for {lasting:?}")
                }
                None => writeln!(formatter),
            }
        }
        What::Changed { by, change, refusal, .. } => {
            write!(formatter, "{}: {}", name(by), changed(change))?;
            match refusal {
                Some(refusal) => writeln!(formatter, ": in vain, {}", cut(refusal)),
                None => writeln!(formatter),
            }
        }
        What::Failed { by, operation } => writeln!(formatter, "{}: {operation:?} failed", name(by)),
        What::ReceiveLost { messages } => {
            writeln!(formatter, "a receive is lost, with {}", messages.join(", "))
        }
        What::Duplicated { message } => {
            writeln!(formatter, "the queue delivers {} once more", short(message))
        }
        What::Ended { invocation, ending } => match ending {
            Ending::Answered(answer) => writeln!(formatter, "#{invocation} ends with {answer}"),
            Ending::Failed(error) => writeln!(formatter, "#{invocation} fails: {error}"),
            Ending::Killed => writeln!(formatter, "#{invocation} is killed"),
        },
        What::Outside(outside) => writeln!(formatter, "somebody else: {outside:?}"),
        What::Called { .. } | What::Served { .. } | What::Returned { .. } => Ok(()),
    }
}

fn shown(asked: &Asked) -> String {
    let Asked { action, endpoint, group, dry_run, client_token, next_token, .. } = asked;
    let fields = [("group", group), ("token", client_token), ("page", next_token)];
    let fields =
        fields.map(|(name, value)| value.as_ref().map_or(String::new(), |value| format!(" {name} {value}")));
    let action = action.map_or("?", privatelink_simulator::Action::name);
    let mode = if *dry_run { " (dry run)" } else { "" };
    format!("{action} {endpoint}{}{mode}", fields.concat())
}

fn outcome(served: &Served) -> String {
    let status = served.status.map_or("no answer".to_owned(), |status| format!("HTTP {status}"));
    let says = served.code.clone().unwrap_or_else(|| cut(&String::from_utf8_lossy(&served.body)));
    let fault = match (served.is_fault, served.is_executed) {
        (false, _) => "",
        (true, false) => " [fault]",
        (true, true) => " [fault, carried out]",
    };
    let truth = served.truth.as_ref().map_or("no such endpoint".to_owned(), |endpoint| {
        let groups: Vec<String> =
            endpoint.security_groups.iter().map(|group| format!("{} {}", group.id, group.status)).collect();
        format!("{} with {}", endpoint.endpoint_status, groups.join(", "))
    });
    format!("{status} {says}{fault}; truly {truth}")
}

fn changed(change: &Change) -> String {
    match change {
        Change::Delete { message, .. } => format!("deletes {}", short(message)),
        Change::HandBack { messages, visibility } => {
            let messages: Vec<&str> = messages.iter().map(|(message, _)| short(message)).collect();
            format!("hands back {} for {visibility:?}", messages.join(", "))
        }
        Change::Bury { message, copy } => {
            let reason = copy.attributes.get("reason_code").map(|attribute| &attribute.value);
            format!("copies {} to the dead-letter queue: {reason:?}", short(message))
        }
        Change::Publish { detail } => format!("publishes {}", cut(&detail.to_string())),
    }
}

/// The end of an id tells it from the others.
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
