//! A message as a reader sees it: the text of its blocks without markup, and its buttons.

use serde_json::Value;

use super::workspace::Message;

/// The lines of a message. If it has blocks, Slack shows them and not its text.
pub(super) fn lines(message: &Message) -> Vec<String> {
    if message.blocks.is_empty() {
        return split(&readable(&message.text));
    }
    message.blocks.iter().flat_map(block_lines).collect()
}

fn block_lines(block: &Value) -> Vec<String> {
    match block["type"].as_str() {
        Some("divider") => vec!["---".to_owned()],
        Some("actions") => vec![elements(block).map(button).collect::<Vec<_>>().join(" ")],
        Some("context") => split(&elements(block).map(shown).collect::<Vec<_>>().join("  ")),
        _ => {
            let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            let texts = block.get("text").into_iter().chain(fields);
            let accessory = block.get("accessory").map(button);
            texts.flat_map(|text| split(&shown(text))).chain(accessory).collect()
        }
    }
}

fn elements(block: &Value) -> impl Iterator<Item = &Value> {
    block["elements"].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn button(button: &Value) -> String {
    format!("[{}]", shown(&button["text"]))
}

/// A text object: `plain_text` is shown as it is, `mrkdwn` without its markup.
fn shown(object: &Value) -> String {
    let text = object["text"].as_str().unwrap_or_default();
    if object["type"] == "mrkdwn" { readable(text) } else { text.to_owned() }
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The text of `mrkdwn`, with mentions and links resolved and entities decoded. Emphasis stays as it is written.
pub(super) fn readable(mrkdwn: &str) -> String {
    let (mut text, mut rest) = (String::new(), mrkdwn);
    while let Some((before, after)) = rest.split_once('<') {
        let Some((token, behind)) = after.split_once('>') else { break };
        text.push_str(&decoded(before));
        text.push_str(&decoded(&token_text(token)));
        rest = behind;
    }
    text.push_str(&decoded(rest));
    text
}

/// The text of a mention, a date or a link, which is written between angle brackets.
fn token_text(token: &str) -> String {
    let (target, label) = match token.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (token, None),
    };
    match (target.chars().next(), label) {
        (Some('@'), _) => target.to_owned(),
        (Some('#'), _) => format!("#{}", label.unwrap_or(&target[1..])),
        (Some('!'), Some(label)) if target.starts_with("!date^") => label.to_owned(),
        (Some('!'), _) => format!("@{}", label.unwrap_or(&target[1..])),
        (_, Some(label)) => format!("{label} ({target})"),
        (_, None) => target.to_owned(),
    }
}

fn decoded(text: &str) -> String {
    // The ampersand comes last, so that `&amp;lt;` becomes `&lt;`.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;
    use crate::slack::workspace::{Author, Channel};

    #[test]
    fn markup_is_resolved() {
        for (mrkdwn, text) in [
            ("<@U0REQUESTER> asks", "@U0REQUESTER asks"),
            ("<!channel> &lt;!channel&gt;", "@channel <!channel>"),
            ("<#C0OPSCHANGE|ops-变更>", "#ops-变更"),
            (
                "see <https://example.com/a?b&amp;c|the runbook>",
                "see the runbook (https://example.com/a?b&c)",
            ),
            ("<https://example.com>", "https://example.com"),
            ("until <!date^1795330800^{time}|07:00 UTC>", "until 07:00 UTC"),
            ("a &amp;lt; b", "a &lt; b"),
            ("1 < 2", "1 < 2"),
        ] {
            assert_eq!(readable(mrkdwn), text);
        }
    }

    #[test]
    fn every_block_is_shown() {
        let mut channel = Channel::default();
        let message = channel.post(Author::App, "only for notifications", UNIX_EPOCH);
        message.blocks = vec![
            json!({ "type": "header", "text": { "type": "plain_text", "text": "Detach &amp; tell" } }),
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": "one\ntwo &amp; three" },
                "fields": [{ "type": "mrkdwn", "text": "*Ticket* CHG1" }] }),
            json!({ "type": "divider" }),
            json!({ "type": "context", "elements": [
                { "type": "mrkdwn", "text": "by <@U1>" }, { "type": "plain_text", "text": "soon" }] }),
            json!({ "type": "actions", "elements": [
                { "type": "button", "text": { "type": "plain_text", "text": "Approve detach" } },
                { "type": "button", "text": { "type": "plain_text", "text": "Decline" } }] }),
        ];
        assert_eq!(
            lines(message),
            [
                "Detach &amp; tell",
                "one",
                "two & three",
                "*Ticket* CHG1",
                "---",
                "by @U1  soon",
                "[Approve detach] [Decline]",
            ]
        );
    }
}
