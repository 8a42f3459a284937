//! I7: no secret in any output.

use super::facts::Facts;
use super::{Breach, Promise, breach};
use crate::sandbox::Ending;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let history = facts.history;
    let keys = history.plan.cloud.access_keys.iter();
    let secrets: Vec<&str> = keys
        .flat_map(|key| [Some(key.access_key_secret.as_str()), key.security_token.as_deref()])
        .flatten()
        .collect();
    let leaked = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    // A worker logs every request; if nobody listened, nothing was looked at.
    let has_worked = facts.runs.values().any(|run| matches!(run.ended, Some((_, Ending::Answered(_)))));
    if history.log.is_empty() && has_worked {
        return breach(Promise::NoSecret, "nobody listened to the log");
    }
    if leaked(&history.log) {
        let line = history.log.lines().find(|line| leaked(line)).unwrap_or_default();
        return breach(Promise::NoSecret, format!("in the log: {line}"));
    }
    for publication in &facts.publications {
        let event = publication.detail.to_string();
        if leaked(&event) {
            return breach(Promise::NoSecret, format!("in an event: {event}"));
        }
    }
    for letter in &history.dead_letters {
        let letter = format!("{:?}", letter.attributes);
        if leaked(&letter) {
            return breach(Promise::NoSecret, format!("in a dead letter: {letter}"));
        }
    }
    for run in facts.runs.values() {
        if let Some((_, Ending::Answered(answer) | Ending::Failed(answer))) = run.ended
            && leaked(answer)
        {
            return breach(Promise::NoSecret, format!("in an answer: {answer}"));
        }
    }
    Ok(())
}
