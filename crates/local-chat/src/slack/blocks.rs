//! Block Kit: checks the blocks of a message as Slack does, and adds the ids that the app left out.
//!
//! Source: docs.slack.dev, "Block Kit" reference. Only the blocks and elements that this project uses are known.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Blocks of a message.
const BLOCKS_MAX: usize = 50;
/// Buttons of an actions block.
const ACTIONS_MAX: usize = 25;
/// Texts of a context block.
const CONTEXT_MAX: usize = 10;
/// Fields of a section.
const FIELDS_MAX: usize = 10;
/// Lengths, in UTF-16 code units: Slack does not say what it counts, and no other count is larger for these texts.
const TEXT_MAX: usize = 3000;
const FIELD_MAX: usize = 2000;
const HEADER_MAX: usize = 150;
const BUTTON_TEXT_MAX: usize = 75;
const VALUE_MAX: usize = 2000;
const URL_MAX: usize = 3000;
const ID_MAX: usize = 255;
const CONFIRM_TITLE_MAX: usize = 100;
const CONFIRM_TEXT_MAX: usize = 300;
const CONFIRM_BUTTON_MAX: usize = 30;

const PLAIN: &[&str] = &["plain_text"];
const ANY_TEXT: &[&str] = &["plain_text", "mrkdwn"];

/// The blocks with all their ids, or what is wrong with them, in the form of Slack's messages.
pub(super) fn checked(blocks: &[Value]) -> Result<Vec<Value>, Vec<String>> {
    let mut checker = Checker::default();
    checker.count("/blocks", blocks.len(), 0, BLOCKS_MAX);
    for (index, block) in blocks.iter().enumerate() {
        checker.block(&format!("/blocks/{index}"), block);
    }
    if checker.errors.is_empty() { Ok(with_ids(blocks)) } else { Err(checker.errors) }
}

fn with_ids(blocks: &[Value]) -> Vec<Value> {
    let mut blocks = blocks.to_vec();
    for (index, block) in blocks.iter_mut().enumerate() {
        add_id(block, "block_id", &format!("blk{index}"));
        let elements = block.get_mut("elements").and_then(Value::as_array_mut).into_iter().flatten();
        for (position, element) in elements.enumerate() {
            if element["type"] == "button" {
                add_id(element, "action_id", &format!("act{index}.{position}"));
            }
        }
        if let Some(accessory) = block.get_mut("accessory") {
            add_id(accessory, "action_id", &format!("act{index}.0"));
        }
    }
    blocks
}

fn add_id(object: &mut Value, name: &str, id: &str) {
    if object.get(name).is_none() {
        object[name] = json!(id);
    }
}

#[derive(Default)]
struct Checker {
    errors: Vec<String>,
    block_ids: BTreeSet<String>,
}

impl Checker {
    fn error(&mut self, pointer: &str, message: &str) {
        self.errors.push(format!("{message} [json-pointer:{pointer}]"));
    }

    fn block(&mut self, pointer: &str, block: &Value) {
        let Some(block) = block.as_object() else { return self.error(pointer, "must be an object") };
        if let Some(id) = self.id(pointer, block, "block_id")
            && !self.block_ids.insert(id.to_owned())
        {
            self.error(&format!("{pointer}/block_id"), "`block_id` already exists");
        }
        match block.get("type").and_then(Value::as_str) {
            Some("section") => self.section(pointer, block),
            Some("header") => {
                self.members(pointer, block, &["type", "block_id", "text"]);
                self.text(pointer, block, "text", PLAIN, HEADER_MAX);
            }
            Some("divider") => self.members(pointer, block, &["type", "block_id"]),
            Some("context") => {
                self.members(pointer, block, &["type", "block_id", "elements"]);
                let elements = self.list(pointer, block, "elements", CONTEXT_MAX);
                for (index, element) in elements.iter().enumerate() {
                    self.text_object(&format!("{pointer}/elements/{index}"), element, ANY_TEXT, TEXT_MAX);
                }
            }
            Some("actions") => {
                self.members(pointer, block, &["type", "block_id", "elements"]);
                let elements = self.list(pointer, block, "elements", ACTIONS_MAX);
                let mut ids = BTreeSet::new();
                for (index, element) in elements.iter().enumerate() {
                    let pointer = format!("{pointer}/elements/{index}");
                    self.button(&pointer, element);
                    if let Some(id) = element["action_id"].as_str()
                        && !ids.insert(id)
                    {
                        self.error(
                            &format!("{pointer}/action_id"),
                            "`action_id` already exists in this block",
                        );
                    }
                }
            }
            Some(_) => self.error(&format!("{pointer}/type"), "unsupported type"),
            None => self.error(pointer, "missing required field: type"),
        }
    }

    fn section(&mut self, pointer: &str, block: &Map<String, Value>) {
        self.members(pointer, block, &["type", "block_id", "text", "fields", "accessory", "expand"]);
        if block.contains_key("text") || !block.contains_key("fields") {
            self.text(pointer, block, "text", ANY_TEXT, TEXT_MAX);
        }
        if block.contains_key("fields") {
            let fields = self.list(pointer, block, "fields", FIELDS_MAX);
            for (index, field) in fields.iter().enumerate() {
                self.text_object(&format!("{pointer}/fields/{index}"), field, ANY_TEXT, FIELD_MAX);
            }
        }
        if let Some(accessory) = block.get("accessory") {
            self.button(&format!("{pointer}/accessory"), accessory);
        }
    }

    fn button(&mut self, pointer: &str, button: &Value) {
        let Some(button) = button.as_object() else { return self.error(pointer, "must be an object") };
        if button.get("type").and_then(Value::as_str) != Some("button") {
            return self.error(&format!("{pointer}/type"), "unsupported type");
        }
        let known = ["type", "text", "action_id", "value", "url", "style", "confirm", "accessibility_label"];
        self.members(pointer, button, &known);
        self.text(pointer, button, "text", PLAIN, BUTTON_TEXT_MAX);
        self.id(pointer, button, "action_id");
        self.string(pointer, button, "value", VALUE_MAX);
        self.string(pointer, button, "url", URL_MAX);
        self.string(pointer, button, "accessibility_label", BUTTON_TEXT_MAX);
        self.style(pointer, button);
        if let Some(confirm) = button.get("confirm") {
            self.confirm(&format!("{pointer}/confirm"), confirm);
        }
    }

    fn confirm(&mut self, pointer: &str, confirm: &Value) {
        let Some(confirm) = confirm.as_object() else { return self.error(pointer, "must be an object") };
        self.members(pointer, confirm, &["title", "text", "confirm", "deny", "style"]);
        self.text(pointer, confirm, "title", PLAIN, CONFIRM_TITLE_MAX);
        self.text(pointer, confirm, "text", ANY_TEXT, CONFIRM_TEXT_MAX);
        self.text(pointer, confirm, "confirm", PLAIN, CONFIRM_BUTTON_MAX);
        self.text(pointer, confirm, "deny", PLAIN, CONFIRM_BUTTON_MAX);
        self.style(pointer, confirm);
    }

    fn style(&mut self, pointer: &str, object: &Map<String, Value>) {
        if object.get("style").is_some_and(|style| style != "primary" && style != "danger") {
            self.error(&format!("{pointer}/style"), "must be one of: primary, danger");
        }
    }

    /// A required member that is a text object.
    fn text(
        &mut self,
        pointer: &str,
        object: &Map<String, Value>,
        name: &str,
        kinds: &[&str],
        length_max: usize,
    ) {
        match object.get(name) {
            Some(text) => self.text_object(&format!("{pointer}/{name}"), text, kinds, length_max),
            None => self.error(pointer, &format!("missing required field: {name}")),
        }
    }

    fn text_object(&mut self, pointer: &str, text: &Value, kinds: &[&str], length_max: usize) {
        let Some(text) = text.as_object() else { return self.error(pointer, "must be an object") };
        let kind = text.get("type").and_then(Value::as_str).unwrap_or_default();
        if !kinds.contains(&kind) {
            self.error(&format!("{pointer}/type"), &format!("must be one of: {}", kinds.join(", ")));
        }
        let flag = if kind == "mrkdwn" { "verbatim" } else { "emoji" };
        self.members(pointer, text, &["type", "text", flag]);
        if text.contains_key("text") {
            self.string(pointer, text, "text", length_max);
        } else {
            self.error(pointer, "missing required field: text");
        }
        if text.get("text").and_then(Value::as_str) == Some("") {
            self.error(&format!("{pointer}/text"), "must be more than 0 characters");
        }
    }

    /// An id, which may be absent.
    fn id<'a>(&mut self, pointer: &str, object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
        self.string(pointer, object, name, ID_MAX);
        object.get(name).and_then(Value::as_str)
    }

    /// A member that is a string, which may be absent.
    fn string(&mut self, pointer: &str, object: &Map<String, Value>, name: &str, length_max: usize) {
        let pointer = format!("{pointer}/{name}");
        match object.get(name).map(Value::as_str) {
            Some(None) => self.error(&pointer, "must be a string"),
            Some(Some(text)) if text.encode_utf16().count() > length_max => {
                self.error(&pointer, &format!("must be less than {} characters", length_max + 1));
            }
            None | Some(Some(_)) => {}
        }
    }

    fn list<'a>(
        &mut self,
        pointer: &str,
        object: &'a Map<String, Value>,
        name: &str,
        count_max: usize,
    ) -> &'a [Value] {
        match object.get(name).map(Value::as_array) {
            Some(Some(list)) => {
                self.count(&format!("{pointer}/{name}"), list.len(), 1, count_max);
                list
            }
            Some(None) => {
                self.error(&format!("{pointer}/{name}"), "must be an array");
                &[]
            }
            None => {
                self.error(pointer, &format!("missing required field: {name}"));
                &[]
            }
        }
    }

    fn count(&mut self, pointer: &str, count: usize, count_min: usize, count_max: usize) {
        if count < count_min {
            self.error(pointer, "no less than 1 items allowed");
        }
        if count > count_max {
            self.error(pointer, &format!("no more than {count_max} items allowed"));
        }
    }

    fn members(&mut self, pointer: &str, object: &Map<String, Value>, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.error(pointer, &format!("invalid additional property: {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_enforced_exactly() {
        let plain = |length| json!({ "type": "plain_text", "text": "文".repeat(length) });
        let mrkdwn = |length| json!({ "type": "mrkdwn", "text": "x".repeat(length) });
        let button = || json!({ "type": "button", "text": plain(1), "action_id": "approve", "value": "v1" });
        let with = |name: &str, value: Value| {
            let mut button = button();
            button[name] = value;
            json!([{ "type": "actions", "elements": [button] }])
        };
        let confirm = |name: &str, text: Value| {
            let mut confirm =
                json!({ "title": plain(1), "text": plain(1), "confirm": plain(1), "deny": plain(1) });
            confirm[name] = text;
            with("confirm", confirm)
        };
        let buttons = |count: usize| {
            let numbered = (0..count).map(|number| {
                let mut button = button();
                button["action_id"] = json!(number.to_string());
                button
            });
            json!([{ "type": "actions", "elements": numbered.collect::<Vec<_>>() }])
        };
        let section = |length| json!([{ "type": "section", "text": mrkdwn(length) }]);
        let fields = |count, length| json!([{ "type": "section", "fields": vec![mrkdwn(length); count] }]);
        let context = |count| json!([{ "type": "context", "elements": vec![mrkdwn(1); count] }]);
        let header = |length| json!([{ "type": "header", "text": plain(length) }]);
        let dividers = |count: usize| json!(vec![json!({ "type": "divider" }); count]);
        let block_id = |length| json!([{ "type": "divider", "block_id": "b".repeat(length) }]);

        for (name, largest, too_large) in [
            ("value", with("value", json!("v".repeat(2000))), with("value", json!("v".repeat(2001)))),
            (
                "action_id",
                with("action_id", json!("a".repeat(255))),
                with("action_id", json!("a".repeat(256))),
            ),
            ("button", with("text", plain(75)), with("text", plain(76))),
            ("title", confirm("title", plain(100)), confirm("title", plain(101))),
            ("confirm text", confirm("text", mrkdwn(300)), confirm("text", mrkdwn(301))),
            ("confirm", confirm("confirm", plain(30)), confirm("confirm", plain(31))),
            ("deny", confirm("deny", plain(30)), confirm("deny", plain(31))),
            ("elements", buttons(25), buttons(26)),
            ("section", section(3000), section(3001)),
            ("fields", fields(10, 1), fields(11, 1)),
            ("field", fields(1, 2000), fields(1, 2001)),
            ("context", context(10), context(11)),
            ("header", header(150), header(151)),
            ("blocks", dividers(50), dividers(51)),
            ("block_id", block_id(255), block_id(256)),
        ] {
            assert!(checked(largest.as_array().unwrap()).is_ok(), "{name} at its limit");
            let errors = checked(too_large.as_array().unwrap()).expect_err(name);
            assert_eq!(errors.len(), 1, "{name}: {errors:?}");
        }
    }

    #[test]
    fn invalid_block_is_named_by_its_pointer() {
        let plain = json!({ "type": "plain_text", "text": "Go" });
        for (block, error) in [
            (json!({ "text": plain }), "missing required field: type [json-pointer:/blocks/0]"),
            (json!({ "type": "image" }), "unsupported type [json-pointer:/blocks/0/type]"),
            (json!({ "type": "section" }), "missing required field: text [json-pointer:/blocks/0]"),
            (
                json!({ "type": "section", "text": { "type": "mrkdwn", "text": "" } }),
                "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
            ),
            (
                json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x", "emoji": true } }),
                "invalid additional property: emoji [json-pointer:/blocks/0/text]",
            ),
            (
                json!({ "type": "header", "text": { "type": "mrkdwn", "text": "x" } }),
                "must be one of: plain_text [json-pointer:/blocks/0/text/type]",
            ),
            (
                json!({ "type": "actions", "elements": [] }),
                "no less than 1 items allowed [json-pointer:/blocks/0/elements]",
            ),
            (
                json!({ "type": "actions", "elements": [{ "type": "button", "text": plain, "value": 5 }] }),
                "must be a string [json-pointer:/blocks/0/elements/0/value]",
            ),
            (
                json!({ "type": "actions", "elements": [{ "type": "button", "text": plain, "style": "green" }] }),
                "must be one of: primary, danger [json-pointer:/blocks/0/elements/0/style]",
            ),
            (
                json!({ "type": "actions", "elements": [
                    { "type": "button", "text": plain, "action_id": "a" },
                    { "type": "button", "text": plain, "action_id": "a" }] }),
                "`action_id` already exists in this block [json-pointer:/blocks/0/elements/1/action_id]",
            ),
        ] {
            assert_eq!(checked(&[block]), Err(vec![error.to_owned()]));
        }
    }

    #[test]
    fn block_id_is_unique_in_a_message() {
        let block = json!({ "type": "divider", "block_id": "b" });
        let error = "`block_id` already exists [json-pointer:/blocks/1/block_id]".to_owned();
        assert_eq!(checked(&[block.clone(), block]), Err(vec![error]));
    }

    #[test]
    fn missing_ids_are_added() {
        let button = json!({ "type": "button", "text": { "type": "plain_text", "text": "Go" } });
        let blocks = checked(&[json!({ "type": "actions", "elements": [button] })]).unwrap();
        assert_eq!(blocks[0]["block_id"], "blk0");
        assert_eq!(blocks[0]["elements"][0]["action_id"], "act0.0");
    }
}
