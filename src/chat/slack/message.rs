//! Renders notices as messages of Slack's Block Kit.
//!
//! A text of the table, an id or a name is `mrkdwn`, in which every markup character is escaped or replaced; an untrusted
//! text is `plain_text`, which Slack shows as it is. Source of the limits: Slack's reference of Block Kit.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::call::Action;
use super::super::content::{Buttons, Content, Line, Span};
use crate::clock::calendar;

/// Maximum length of a text, in characters: that of a section.
const TEXT_LENGTH_MAX: usize = 3000;

/// Maximum number of characters that are shown of an id, a code or an entry of a list. The longest, that of a conversation,
/// has 199.
const CODE_LENGTH_MAX: usize = 200;

/// Maximum length of a link's address with its entities, in characters, so that the link fits a text of Slack. A runbook's
/// address has at most 512 before the name of the section.
const URL_LENGTH_MAX: usize = 2900;

/// What a message consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text of notifications.
    pub text: String,
    pub blocks: Vec<Value>,
}

/// An untrusted text in Slack's `mrkdwn` or in a message's `text`: `&`, `<` and `>` as entities, and nothing else.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Message {
    /// Renders what a notice says.
    #[must_use]
    pub fn of(content: &Content) -> Self {
        let Content { title, lead, notification, rows, details, runbook, buttons } = content;
        let first = section(&format!("*{}*\n{}", escaped(title), line(lead)));
        let rows = rows.iter().map(|(label, value)| format!("*{}* {}", escaped(label), line(value)));
        let mut blocks = vec![first];
        blocks.extend(sections(rows));
        blocks.extend(details.as_ref().map(|details| context(&plain(details))));
        blocks.extend(runbook.as_ref().map(|(label, url)| context(&link(label, url))));
        blocks.extend(buttons.as_ref().map(actions));
        Self { text: escaped(notification), blocks }
    }
}

/// The lines in as few sections as possible. No line is longer than a section.
fn sections(lines: impl Iterator<Item = String>) -> Vec<Value> {
    let mut texts: Vec<String> = Vec::new();
    for line in lines {
        match texts.last_mut() {
            Some(text) if text.chars().count() + 1 + line.chars().count() <= TEXT_LENGTH_MAX => {
                text.push('\n');
                text.push_str(&line);
            }
            _ => texts.push(line),
        }
    }
    texts.iter().map(|text| section(text)).collect()
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": markdown(text) })
}

fn line(line: &Line) -> String {
    line.iter().map(span).collect()
}

fn span(span: &Span) -> String {
    match span {
        Span::Words(words) => escaped(words),
        Span::Code(text) => format!("`{}`", code(text)),
        Span::Person(id) => format!("<@{id}>"),
        Span::Time(seconds) => {
            // The reader's time zone; in UTC where a client does not know the form.
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(*seconds));
            let utc = at.map_or_else(|| seconds.to_string(), |at| calendar::text(at, calendar::SECONDS));
            format!("<!date^{seconds}^{{date_short_pretty}} {{time}}|{utc}>")
        }
    }
}

/// An id between backticks: other characters than those of ids are replaced, because they could end the markup.
fn code(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "._:/+=-".contains(c) { c } else { '?' };
    text.chars().take(CODE_LENGTH_MAX).map(shown).collect()
}

/// The address of the runbook: a link if it is one.
fn link(label: &str, url: &str) -> Value {
    let address = escaped(url);
    let is_link = url.starts_with("https://")
        && address.len() <= URL_LENGTH_MAX
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>|".contains(&b));
    if is_link {
        markdown(&format!("<{address}|{}>", escaped(label)))
    } else {
        plain(&format!("{label} {url}").chars().take(TEXT_LENGTH_MAX).collect::<String>())
    }
}

fn markdown(text: &str) -> Value {
    // Without `verbatim`, Slack turns words into links and mentions.
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

fn context(element: &Value) -> Value {
    json!({ "type": "context", "elements": [element] })
}

fn actions(buttons: &Buttons) -> Value {
    let Buttons { value, approve, decline, confirm_title, confirm, cancel } = buttons;
    let button = |action: Action, label: &str| {
        let (action, label) = (action.name(), plain(label));
        json!({ "type": "button", "action_id": action, "text": label, "value": value })
    };
    let mut approval = button(Action::Approve, approve);
    approval["style"] = json!("primary");
    approval["confirm"] = json!({
        "title": plain(confirm_title),
        "text": plain(confirm),
        "confirm": plain(approve),
        "deny": plain(cancel),
    });
    json!({ "type": "actions", "elements": [approval, button(Action::Decline, decline)] })
}

#[cfg(test)]
mod tests;
