//! A message as a reader sees it: its text or its card without markup, and the card's buttons.

use std::fmt::Write;

use serde_json::Value;
use time::OffsetDateTime;

use super::cards::{children, list};
use super::workspace::{Content, Message};

/// The lines of a message.
pub(super) fn lines(message: &Message) -> Vec<String> {
    match &message.content {
        _ if message.is_recalled => vec!["(recalled)".to_owned()],
        Content::Text(text) => split(&with_mentions(text)),
        Content::Card(card) => {
            let header = &card["header"];
            let titles = [&header["title"], &header["subtitle"]].into_iter().flat_map(text_lines);
            let mut lines: Vec<_> = titles.collect();
            components(list(&card["body"], "elements").iter(), &mut lines);
            lines
        }
    }
}

/// Adds the lines of components. Buttons that follow each other share a line.
fn components<'a>(components: impl Iterator<Item = &'a Value>, lines: &mut Vec<String>) {
    let mut row = Vec::new();
    let mut rest: Vec<_> = components.collect();
    rest.reverse();
    while let Some(component) = rest.pop() {
        if component["tag"] == "button" {
            row.push(format!("[{}]", component["text"]["content"].as_str().unwrap_or_default()));
            continue;
        }
        let mut inner: Vec<_> = children(component).collect();
        inner.reverse();
        if inner.is_empty() {
            end_row(&mut row, lines);
        }
        match component["tag"].as_str() {
            Some("hr") => lines.push("---".to_owned()),
            Some("markdown") => {
                lines.extend(split(&readable(component["content"].as_str().unwrap_or_default())));
            }
            Some("div") => lines.extend(text_lines(&component["text"])),
            _ => rest.extend(inner),
        }
    }
    end_row(&mut row, lines);
}

fn end_row(row: &mut Vec<String>, lines: &mut Vec<String>) {
    if !row.is_empty() {
        lines.push(row.join(" "));
        row.clear();
    }
}

/// A text component: `plain_text` is shown as it is, `lark_md` without its markup.
fn text_lines(object: &Value) -> Vec<String> {
    let text = object["content"].as_str().unwrap_or_default();
    if object["tag"] == "lark_md" { split(&readable(text)) } else { split(text) }
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The text of Feishu's markdown, with mentions, times and links resolved and entities decoded. Emphasis stays as it is
/// written.
fn readable(markdown: &str) -> String {
    let (mut text, mut rest) = (String::new(), markdown);
    while let Some((before, after)) = rest.split_once('<') {
        let Some((tag, behind)) = after.split_once('>') else { break };
        text.push_str(&decoded(&links(before)));
        rest = behind;
        match tag.split(' ').next().unwrap_or_default() {
            "at" => {
                text.push_str(&mention(tag));
                rest = behind.split_once("</at>").map_or(behind, |(_name, behind)| behind);
            }
            "local_datetime" => text.push_str(&local_time(tag)),
            "br" | "br/" => text.push('\n'),
            "font" | "/font" | "/local_datetime" => {}
            _ => text.extend(["<", tag, ">"]),
        }
    }
    text + &decoded(&links(rest))
}

/// The text of a text message, with mentions resolved. It has no entities.
fn with_mentions(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("<at ") {
        let Some((tag, behind)) = after.split_once('>') else { break };
        shown.extend([before, &mention(tag)]);
        // The name, which the person chooses.
        rest = behind.split_once("</at>").map_or(behind, |(_name, behind)| behind);
    }
    shown + rest
}

fn mention(tag: &str) -> String {
    let id = attribute(tag, "id").or_else(|| attribute(tag, "user_id"));
    format!("@{}", id.unwrap_or_default())
}

/// A time, or the part of it that is asked for. Feishu shows it in the reader's time zone, the simulator in UTC.
fn local_time(tag: &str) -> String {
    let seconds = attribute(tag, "millisecond").and_then(|value| value.parse::<i64>().ok());
    let time = seconds.and_then(|value| OffsetDateTime::from_unix_timestamp(value / 1000).ok());
    let Some(time) = time else { return format!("<{tag}>") };
    let minute = format!("{:02}:{:02}", time.hour(), time.minute());
    match attribute(tag, "format_type") {
        Some("date_num") => time.date().to_string(),
        Some("time") => minute,
        Some("timezone") => "UTC".to_owned(),
        _ => format!("{} {minute} UTC", time.date()),
    }
}

/// The value of a tag's attribute, quoted or not.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = tag.split_ascii_whitespace().filter_map(|part| part.split_once('='));
    let (_, value) = parts.find(|(found, _)| *found == name)?;
    Some(value.trim_end_matches('/').trim_matches(['\'', '"']))
}

/// `[label](url)` as `label (url)`.
fn links(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("](") {
        let (Some((lead, label)), Some((url, behind))) = (before.rsplit_once('['), after.split_once(')'))
        else {
            break;
        };
        let _ = write!(shown, "{lead}{label} ({url})");
        rest = behind;
    }
    shown + rest
}

/// Decodes the entities: `&lt;`, `&amp;` and others, and `&#42;`.
fn decoded(text: &str) -> String {
    let (mut decoded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        let entity = after.split_once(';').and_then(|(name, behind)| Some((character(name)?, behind)));
        if let Some((character, behind)) = entity {
            decoded.push(character);
            rest = behind;
        } else {
            decoded.push('&');
            rest = after;
        }
    }
    decoded + rest
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "nbsp" => Some(' '),
        _ => char::from_u32(entity.strip_prefix('#')?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;
    use crate::feishu::workspace::{Author, Chat};

    #[test]
    fn markup_is_resolved() {
        for (markdown, text) in [
            ("<at id=ou_1></at> asks", "@ou_1 asks"),
            ("<at id='ou_1'>Name</at> asks", "@ou_1 asks"),
            ("a<br>b <font color='red'>c</font>", "a\nb c"),
            ("&#42;&#42;a&#42;&#42; &lt;at&gt; &amp;lt; & b", "**a** <at> &lt; & b"),
            (
                "[the runbook](https://example.com/a?b&amp;c), &#91;no&#93;&#40;link&#41;",
                "the runbook (https://example.com/a?b&c), [no](link)",
            ),
            (
                "<local_datetime millisecond='1795330800000' format_type='date_num'></local_datetime> \
                <local_datetime millisecond='1795330800000' format_type='time'></local_datetime> \
                <local_datetime millisecond='1795330800000' format_type='timezone'></local_datetime>",
                "2026-11-22 07:00 UTC",
            ),
            ("&#91;no&#93;&#40;link&#41;<br>", "[no](link)\n"),
            ("1 < 2 <b>", "1 < 2 <b>"),
        ] {
            assert_eq!(readable(markdown), text);
        }
    }

    #[test]
    fn every_component_is_shown_and_buttons_share_a_line() {
        let plain = |content: &str| json!({ "tag": "plain_text", "content": content });
        let button = |content: &str| json!({ "tag": "button", "text": plain(content) });
        let column = |element: Value| json!({ "tag": "column", "elements": [element] });
        let mut chat = Chat::new("ops", []);
        let card = json!({
            "header": { "title": plain("Detach?"), "subtitle": plain("CHG1") },
            "body": { "elements": [
                { "tag": "markdown", "content": "one\ntwo &amp; three" },
                { "tag": "div", "text": plain("as it is &amp;") },
                { "tag": "hr" },
                { "tag": "column_set", "columns": [column(button("Approve")), column(button("Decline"))] },
                { "tag": "markdown", "content": "end" },
                button("More"),
            ] },
        });
        let message = chat.post(Author::App, Content::Card(card), UNIX_EPOCH);
        assert_eq!(
            lines(message),
            [
                "Detach?",
                "CHG1",
                "one",
                "two & three",
                "as it is &amp;",
                "---",
                "[Approve] [Decline]",
                "end",
                "[More]",
            ]
        );
    }

    #[test]
    fn text_message_has_mentions_and_no_entities() {
        let mut chat = Chat::new("ops", []);
        let text = Content::Text("<at user_id=\"ou_1\">Zoe</at> a &lt; b".to_owned());
        assert_eq!(lines(chat.post(Author::App, text, UNIX_EPOCH)), ["@ou_1 a &lt; b"]);
    }
}
