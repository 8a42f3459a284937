//! Renders notices as markdown and as the parameters of a card.
//!
//! A text of the table is markdown as it is. Of an id or a code only the characters of ids are shown, and in an untrusted
//! text every markup character is replaced by its full-width form. Source of the markup and of the limits: `DingTalk`'s
//! documentation of message types, of `createAndDeliver` and of `groupMessages/send`.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::super::content::{Buttons, Content, Line, Span};
use crate::clock::calendar;

/// Maximum length of a card parameter's value in bytes: the documentation's 1 KB, read as the smaller of its meanings.
pub(super) const PARAMETER_BYTES_MAX: usize = 1000;

/// To how many bytes a row's value on a card is shortened at most, after a whole id: enough for the longest single id. Only
/// lists of groups are longer, and they give way to the other rows.
const ROW_BYTES_MIN: usize = 80;

/// By how many bytes the rows are shortened until a card's text fits.
const ROW_BYTES_STEP: usize = 20;

/// Maximum length of a message's parameters in bytes, as JSON.
pub(super) const MESSAGE_BYTES_MAX: usize = 15_000;

/// Maximum length of what a notification shows, in characters: that of a card's text in search results.
const NOTIFICATION_LENGTH_MAX: usize = 200;

/// Maximum number of characters that are shown of an id, a code or an entry of a list. The longest, that of a conversation,
/// has 202.
const CODE_LENGTH_MAX: usize = 210;

/// The space between two lines of markdown: without spaces at their ends, the lines would be one.
const LINE_BREAK: &str = "  \n";

/// What stands for what is not shown.
const CUT: &str = "…";

/// A time in UTC+8, the time zone of China.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] (UTC+8)");

/// The difference between UTC+8 and UTC.
const UTC_8: Duration = Duration::from_hours(8);

/// What a card shows: the buttons, or a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Open,
    Approved,
    Declined,
}

impl Status {
    /// The value of the card's parameter `status`.
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
}

/// The parameters of a card with this content.
#[must_use]
pub fn card(content: &Content, status: Status) -> Value {
    let mut parameters = Map::new();
    let mut put = |name: &str, value: &str| parameters.insert(name.to_owned(), json!(value));
    put("title", content.title);
    put("body", &parameter(&|row_bytes_max| lines(content, row_bytes_max)));
    put("status", status.name());
    if let Some(Buttons { value, approve, decline, .. }) = &content.buttons {
        let (first, second) = value.split_at_checked(PARAMETER_BYTES_MAX).unwrap_or((value, ""));
        for (name, value) in
            [("approve", *approve), ("decline", decline), ("request_1", first), ("request_2", second)]
        {
            put(name, value);
        }
    }
    Value::Object(parameters)
}

/// What the person who clicked reads on the card, as markdown.
#[must_use]
pub fn note(content: &Content) -> String {
    parameter(&|row_bytes_max| {
        let title = format!("**{}**", content.title);
        [title].into_iter().chain(lines(content, row_bytes_max)).collect()
    })
}

/// The parameters of a message in markdown, as JSON in a text.
#[must_use]
pub fn markdown(content: &Content) -> String {
    let mut shown = vec![format!("### {}", content.title)];
    shown.extend(lines(content, usize::MAX));
    if let Some(details) = &content.details {
        shown.push(plain(details));
    }
    if let Some((label, url)) = &content.runbook {
        shown.push(link(label, url));
    }
    let of = |text: &str| json!({ "title": notification(content), "text": text }).to_string();
    // JSON escapes some characters, so the length of a line is not that of its text.
    let length = |text: &str| json!(text).to_string().len() - r#""""#.len();
    of(&fitted(shown, MESSAGE_BYTES_MAX.saturating_sub(of("").len()), length))
}

/// The parameters of a message in plain text, as JSON in a text.
#[must_use]
pub fn text(content: &Content) -> String {
    json!({ "content": plain_line(&content.lead) }).to_string()
}

/// What a notification shows, as plain text.
#[must_use]
pub fn notification(content: &Content) -> String {
    content.notification.chars().take(NOTIFICATION_LENGTH_MAX).collect()
}

/// The lead and the rows.
fn lines(content: &Content, row_bytes_max: usize) -> Vec<String> {
    let rows = content.rows.iter();
    let rows = rows.map(|(label, value)| format!("**{label}** {}", row(value, row_bytes_max)));
    [line(&content.lead)].into_iter().chain(rows).collect()
}

/// The lines as the value of one parameter, with rows as long as possible.
fn parameter(lines: &dyn Fn(usize) -> Vec<String>) -> String {
    (ROW_BYTES_MIN..=PARAMETER_BYTES_MAX)
        .rev()
        .step_by(ROW_BYTES_STEP)
        .map(|row_bytes_max| lines(row_bytes_max).join(LINE_BREAK))
        .find(|text| text.len() <= PARAMETER_BYTES_MAX)
        .unwrap_or_else(|| fitted(lines(ROW_BYTES_MIN), PARAMETER_BYTES_MAX, str::len))
}

/// The lines that fit, in order, as `length` counts them. A line is shown whole or not at all, so that no id is cut.
fn fitted(lines: Vec<String>, length_max: usize, length: impl Fn(&str) -> usize) -> String {
    let whole = lines.join(LINE_BREAK);
    if length(&whole) <= length_max {
        return whole;
    }
    let mut left = length_max.saturating_sub(length(CUT));
    let mut fitted = String::new();
    for line in lines {
        if let Some(rest) = left.checked_sub(length(&line) + length(LINE_BREAK)) {
            left = rest;
            fitted.push_str(&line);
            fitted.push_str(LINE_BREAK);
        }
    }
    fitted + CUT
}

fn line(line: &Line) -> String {
    line.iter().map(span).collect()
}

/// The parts of a value that fit.
fn row(value: &Line, bytes_max: usize) -> String {
    let mut row = String::new();
    for span in value.iter().map(span) {
        if row.len() + span.len() > bytes_max {
            return row + CUT;
        }
        row.push_str(&span);
    }
    row
}

fn span(span: &Span) -> String {
    match span {
        // A table's text is one line.
        Span::Words(words) => words.replace(char::is_control, " "),
        Span::Code(text) => code(text),
        // The API cannot mention anyone.
        Span::Person(id) => code(id.as_str()),
        Span::Time(seconds) => {
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(*seconds));
            let at = at.and_then(|at| at.checked_add(UTC_8));
            at.map_or_else(|| seconds.to_string(), |at| calendar::text(at, TIME))
        }
    }
}

/// An id without markup: other characters than those of ids are replaced, and an address is no link.
fn code(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_alphanumeric() || "._:/+=-".contains(c) { c } else { '?' };
    let shown: String = text.chars().take(CODE_LENGTH_MAX).map(shown).collect();
    shown.replace("://", "?//")
}

/// An untrusted text in one line of markdown, in which no character is markup and no address is a link.
fn plain(text: &str) -> String {
    let text = text.replace("://", "：//");
    text.chars().map(|c| if c.is_control() { ' ' } else { full_width(c) }).collect()
}

/// A markup character in its full-width form, other characters as they are.
fn full_width(c: char) -> char {
    /// Distance between an ASCII character and its full-width form.
    const FULL_WIDTH: u32 = 0xfee0;
    if r"<>[]()*_#`~|@\&$".contains(c) { char::from_u32(u32::from(c) + FULL_WIDTH).unwrap_or('?') } else { c }
}

/// A line as plain text.
fn plain_line(line: &Line) -> String {
    let plain = |part: &Span| match part {
        Span::Words(words) => words.clone(),
        Span::Code(_) | Span::Person(_) | Span::Time(_) => span(part),
    };
    line.iter().map(plain).collect()
}

/// The address of the runbook: a link if it is one.
fn link(label: &str, url: &str) -> String {
    let is_link = url.starts_with("https://")
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>[]()|*`\\".contains(&b));
    if is_link { format!("[{label}]({url})") } else { format!("{label} {}", plain(url)) }
}

#[cfg(test)]
mod tests;
