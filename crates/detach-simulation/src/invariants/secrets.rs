//! I7: no credential and no client token in any output.

use std::collections::BTreeSet;

use serde_json::Value;

use super::facts::Facts;
use super::{Breach, Guarantee, breach};
use crate::sandbox::Ending;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let history = facts.history;
    let bodies = facts.messages.values().filter_map(|sent| serde_json::from_str::<Value>(sent.body).ok());
    let bodies: Vec<Value> = bodies.collect();
    let keys = history.plan.cloud.access_keys.iter();
    let keys = keys.flat_map(|key| [Some(key.access_key_secret.as_str()), key.security_token.as_deref()]);
    let senders_tokens = bodies.iter().map(|body| body["client_token"].as_str());
    let tokens =
        facts.calls.iter().chain(&facts.sweep_calls).map(|call| call.requested.client_token.as_deref());
    let secrets: BTreeSet<&str> = keys.chain(senders_tokens).chain(tokens).flatten().collect();
    let leaked = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    // A worker logs every request: an empty log means that it was not captured, and the check would be void.
    let has_worked = facts.runs.values().any(|run| matches!(run.ended, Some((_, Ending::Returned(_)))));
    if history.log.is_empty() && has_worked {
        return breach(Guarantee::NoSecret, "the log was not captured");
    }
    if leaked(&history.log) {
        let line = history.log.lines().find(|line| leaked(line)).unwrap_or_default();
        return breach(Guarantee::NoSecret, format!("in the log: {line}"));
    }
    for publication in facts.publications.iter().chain(&facts.sweep_events) {
        let event = publication.detail.to_string();
        if leaked(&event) {
            return breach(Guarantee::NoSecret, format!("in an event: {event}"));
        }
    }
    // Every copy that was made, also those that were moved back to the request queue since.
    for dead_letter in &facts.copies {
        let dead_letter = format!("{:?}", dead_letter.copy.attributes);
        if leaked(&dead_letter) {
            return breach(Guarantee::NoSecret, format!("in a dead letter: {dead_letter}"));
        }
    }
    let endings = facts.runs.values().map(|run| run.ended);
    for ended in endings.chain(facts.sweeps.values().map(|sweep| sweep.ended)) {
        if let Some((_, Ending::Returned(response) | Ending::Failed(response))) = ended
            && leaked(response)
        {
            return breach(Guarantee::NoSecret, format!("in a response: {response}"));
        }
    }
    Ok(())
}
