//! Renders notices as cards of the schema 2.0.
//!
//! A text of the table, an id or a name is markdown, in which every markup character is an HTML entity or replaced; an
//! untrusted text is `plain_text`, which Feishu shows as it is. Source: Feishu's documentation of cards, JSON 2.0: its
//! structure, and the components rich text, plain text, column set and button. Feishu rejects a card with an unknown field.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::call::Action;
use super::super::content::{Buttons, Content, Line, Span};
use crate::clock::calendar;

/// Maximum number of characters that are shown of an id, a code or an entry of a list. The longest, that of a conversation,
/// has 199.
const CODE_LENGTH_MAX: usize = 200;

/// Maximum length of a link's address, in characters. A runbook's address has at most 512 before the name of the section.
const URL_LENGTH_MAX: usize = 1024;

/// The characters that have a meaning in Feishu's markdown, except those that have one only at the beginning of a line: no
/// text of the table begins with them.
const MARKUP: &str = r"&<>[]()*_#`~|@!$\";

/// The latest time that is shown as a time, in seconds since 1970-01-01: the end of the year 9999.
const TIME_MAX: u64 = 253_402_300_799;

/// The card with what a notice says.
#[must_use]
pub fn card(content: &Content) -> Value {
    let Content { title, lead, notification, rows, details, runbook, buttons } = content;
    let mut elements = vec![markdown(&line(lead))];
    // The space after a label ends its markup also where a full-width colon precedes it.
    let rows: Vec<_> =
        rows.iter().map(|(label, value)| format!("**{}** {}", escaped(label), line(value))).collect();
    if !rows.is_empty() {
        elements.push(markdown(&rows.join("\n")));
    }
    elements.extend(details.as_ref().map(|details| note(details)));
    elements.extend(runbook.as_ref().map(|(label, url)| link(label, url)));
    elements.extend(buttons.as_ref().map(actions));
    let template = if buttons.is_some() { "blue" } else { "default" };
    json!({
        "schema": "2.0",
        // A card can be changed only if it is shared by all who see it.
        "config": { "update_multi": true, "summary": { "content": notification } },
        "header": { "template": template, "title": text(title) },
        "body": { "elements": elements },
    })
}

/// A line as plain text.
#[must_use]
pub fn plain(line: &Line) -> String {
    let span = |span: &Span| match span {
        Span::Words(words) => words.clone(),
        Span::Code(code) => code.clone(),
        Span::Person(id) => id.to_string(),
        Span::Time(seconds) => utc(*seconds),
    };
    line.iter().map(span).collect()
}

fn line(line: &Line) -> String {
    line.iter().map(span).collect()
}

fn span(span: &Span) -> String {
    match span {
        Span::Words(words) => escaped(words),
        Span::Code(text) => format!("`{}`", code(text)),
        Span::Person(id) => format!("<at id={id}></at>"),
        // The reader's time zone.
        Span::Time(seconds) if *seconds <= TIME_MAX => {
            let part = |format: &str| {
                format!("<local_datetime millisecond='{seconds}000' format_type='{format}'></local_datetime>")
            };
            format!("{} {} {}", part("date_num"), part("time"), part("timezone"))
        }
        Span::Time(seconds) => escaped(&utc(*seconds)),
    }
}

/// A time in UTC.
fn utc(seconds: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    at.map_or_else(|| seconds.to_string(), |at| calendar::text(at, calendar::SECONDS))
}

/// A text in which no character is markup.
fn escaped(text: &str) -> String {
    let shown = |c: char| if MARKUP.contains(c) { format!("&#{};", u32::from(c)) } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// An id between backticks: other characters than those of ids are replaced, because they could end the markup.
fn code(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "._:/+=-".contains(c) { c } else { '?' };
    text.chars().take(CODE_LENGTH_MAX).map(shown).collect()
}

/// The address of the runbook: a link if it is one.
fn link(label: &str, url: &str) -> Value {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._/:?=&#%+,@".contains(&b);
    let is_link = url.starts_with("https://") && url.len() <= URL_LENGTH_MAX && url.bytes().all(is_allowed);
    if is_link {
        markdown(&format!("[{}]({url})", escaped(label)))
    } else {
        note(&format!("{label} {url}").chars().take(URL_LENGTH_MAX).collect::<String>())
    }
}

fn markdown(content: &str) -> Value {
    json!({ "tag": "markdown", "content": content })
}

fn text(content: &str) -> Value {
    json!({ "tag": "plain_text", "content": content })
}

/// An untrusted text, in small letters.
fn note(content: &str) -> Value {
    json!({ "tag": "div", "text": { "tag": "plain_text", "content": content, "text_size": "notation" } })
}

/// The buttons, side by side.
fn actions(buttons: &Buttons) -> Value {
    let Buttons { value, approve, decline, confirm_title, confirm, cancel: _ } = buttons;
    let button = |action: Action, label: &str, kind: &str| {
        let value = json!({ "action": action.name(), "request": value });
        json!({
            "tag": "button",
            "text": text(label),
            "type": kind,
            "behaviors": [{ "type": "callback", "value": value }],
        })
    };
    let mut approval = button(Action::Approve, approve, "primary");
    approval["confirm"] = json!({ "title": text(confirm_title), "text": text(confirm) });
    let column = |button: Value| json!({ "tag": "column", "width": "auto", "elements": [button] });
    json!({
        "tag": "column_set",
        "columns": [column(approval), column(button(Action::Decline, decline, "default"))],
    })
}

#[cfg(test)]
mod tests;
