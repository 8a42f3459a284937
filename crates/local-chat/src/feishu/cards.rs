//! Cards of schema 2.0: checks a card as Feishu does, and finds its buttons.
//!
//! Source: open.feishu.cn, "Card JSON 2.0 structure" and its components. Only the components that this project may use
//! are known. Feishu refuses members that it does not know, from schema 2.0 on.

use serde_json::{Map, Value};

/// The largest card, in bytes of its JSON.
pub(super) const BYTES_MAX: usize = 30 * 1024;

/// Components of a card.
const COMPONENTS_MAX: usize = 200;

/// Characters of a button's text.
const BUTTON_TEXT_MAX: usize = 100;

/// Characters of an `element_id`.
const ELEMENT_ID_MAX: usize = 20;

const COLORS: &[&str] = &[
    "default",
    "blue",
    "wathet",
    "turquoise",
    "green",
    "yellow",
    "orange",
    "red",
    "carmine",
    "violet",
    "purple",
    "indigo",
    "grey",
];

const BUTTON_TYPES: &[&str] = &[
    "default",
    "primary",
    "danger",
    "text",
    "primary_text",
    "danger_text",
    "primary_filled",
    "danger_filled",
    "laser",
];

const PLAIN: &[&str] = &["plain_text"];
const ANY_TEXT: &[&str] = &["plain_text", "lark_md"];

/// What is wrong with a card, or nothing.
pub(super) fn check(card: &Value) -> Result<(), String> {
    let mut checker = Checker::default();
    checker.card(card);
    checker.errors.into_iter().next().map_or(Ok(()), Err)
}

/// The buttons of a card, in the order in which they are shown.
pub(super) fn buttons(card: &Value) -> impl Iterator<Item = &Value> {
    let mut found = Vec::new();
    let mut rest: Vec<&Value> = list(&card["body"], "elements").iter().rev().collect();
    while let Some(component) = rest.pop() {
        if component["tag"] == "button" {
            found.push(component);
        }
        rest.extend(children(component).rev());
    }
    found.into_iter()
}

/// The components within a component.
pub(super) fn children(component: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list(component, "columns").iter().chain(list(component, "elements"))
}

/// The value that a click on a button sends to the app.
pub(super) fn value_of(button: &Value) -> Option<&Value> {
    list(button, "behaviors")
        .iter()
        .find(|behavior| behavior["type"] == "callback")
        .map(|found| &found["value"])
}

/// The member `action` of that value, by which people name a button.
pub(super) fn action_of(button: &Value) -> Option<&str> {
    value_of(button)?["action"].as_str()
}

pub(super) fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[derive(Default)]
struct Checker {
    errors: Vec<String>,
    components: usize,
}

impl Checker {
    fn error(&mut self, path: &str, message: &str) {
        self.errors.push(format!("{path}: {message}"));
    }

    fn card(&mut self, card: &Value) {
        let Some(object) = self.object("card", card) else { return };
        if card["schema"] != "2.0" {
            self.error("schema", "only 2.0 is simulated");
        }
        self.members("card", object, &["schema", "config", "card_link", "header", "body"]);
        if let Some(config) = object.get("config") {
            self.config(config);
        }
        if let Some(header) = object.get("header") {
            self.header(header);
        }
        if let Some(body) = object.get("body").and_then(|body| self.object("body", body)) {
            let known = [LAYOUT, &["elements", "direction", "padding"]].concat();
            self.members("body", body, &known);
            self.components("body.elements", body.get("elements"));
        }
        if self.components > COMPONENTS_MAX {
            self.error("body", "more than 200 components");
        }
    }

    fn config(&mut self, config: &Value) {
        let Some(object) = self.object("config", config) else { return };
        let known = [
            "update_multi",
            "enable_forward",
            "enable_forward_interaction",
            "width_mode",
            "summary",
            "style",
            "locales",
            "use_custom_translation",
            "streaming_mode",
            "streaming_config",
        ];
        self.members("config", object, &known);
        if object.get("update_multi").is_some_and(|shared| shared != true) {
            self.error("config.update_multi", "must be true");
        }
    }

    fn header(&mut self, header: &Value) {
        let Some(object) = self.object("header", header) else { return };
        let known = ["title", "subtitle", "text_tag_list", "template", "icon", "padding"];
        self.members("header", object, &known);
        self.text("header.title", object.get("title"), ANY_TEXT);
        if object.contains_key("subtitle") {
            self.text("header.subtitle", object.get("subtitle"), ANY_TEXT);
        }
        self.one_of("header.template", object.get("template"), COLORS);
    }

    fn components(&mut self, path: &str, components: Option<&Value>) {
        let Some(components) = components.and_then(Value::as_array) else {
            return self.error(path, "must be a list");
        };
        for (index, component) in components.iter().enumerate() {
            self.component(&format!("{path}[{index}]"), component);
        }
    }

    fn component(&mut self, path: &str, component: &Value) {
        self.components += 1;
        let Some(object) = self.object(path, component) else { return };
        let mut known = vec!["tag", "element_id", "margin"];
        let text = || format!("{path}.text");
        match component["tag"].as_str() {
            Some("markdown") => {
                known.extend(["content", "text_align", "text_size", "icon"]);
                if component["content"].as_str().is_none_or(str::is_empty) {
                    self.error(&format!("{path}.content"), "must be a text");
                }
            }
            Some("div") => {
                known.extend(["text", "icon", "width"]);
                self.text(&text(), object.get("text"), ANY_TEXT);
            }
            Some("hr") => {}
            Some("button") => {
                known.extend(["text", "type", "size", "width", "icon", "hover_tips", "name"]);
                known.extend(["disabled", "disabled_tips", "confirm", "behaviors"]);
                self.button(path, object);
            }
            Some("column_set") => {
                known.extend(LAYOUT.iter().chain(&["columns", "flex_mode", "background_style", "action"]));
                for (index, column) in list(component, "columns").iter().enumerate() {
                    let path = format!("{path}.columns[{index}]");
                    if column["tag"] == "column" {
                        self.component(&path, column);
                    } else {
                        self.error(&path, "must be a column");
                    }
                }
            }
            Some("column") => {
                known.extend(LAYOUT.iter().chain(&["elements", "width", "weight", "padding", "direction"]));
                known.extend(["background_style", "action"]);
                self.components(&format!("{path}.elements"), object.get("elements"));
            }
            _ => self.error(&format!("{path}.tag"), "not a supported component"),
        }
        self.members(path, object, &known);
        self.element_id(path, object.get("element_id"));
    }

    fn button(&mut self, path: &str, button: &Map<String, Value>) {
        let text = format!("{path}.text");
        self.text(&text, button.get("text"), PLAIN);
        let content = button.get("text").and_then(|text| text["content"].as_str()).unwrap_or_default();
        if content.chars().count() > BUTTON_TEXT_MAX {
            self.error(&text, "longer than 100 characters");
        }
        self.one_of(&format!("{path}.type"), button.get("type"), BUTTON_TYPES);
        if let Some(confirm) = button.get("confirm") {
            let path = format!("{path}.confirm");
            if let Some(confirm) = self.object(&path, confirm) {
                self.members(&path, confirm, &["title", "text"]);
                self.text(&format!("{path}.title"), confirm.get("title"), PLAIN);
                self.text(&format!("{path}.text"), confirm.get("text"), PLAIN);
            }
        }
        let behaviors =
            button.get("behaviors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, behavior) in behaviors.iter().enumerate() {
            let path = format!("{path}.behaviors[{index}]");
            match behavior["type"].as_str() {
                Some("callback") if behavior["value"].is_object() || behavior["value"].is_string() => {}
                Some("callback") => self.error(&format!("{path}.value"), "must be an object or a text"),
                Some("open_url") if behavior["default_url"].is_string() => {}
                _ => self.error(&path, "not a supported behavior"),
            }
        }
    }

    fn text(&mut self, path: &str, text: Option<&Value>, tags: &[&str]) {
        let Some(text) = text.and_then(|text| self.object(path, text)) else {
            return self.error(path, "missing");
        };
        let known = ["tag", "content", "text_size", "text_color", "text_align", "lines", "i18n_content"];
        self.members(path, text, &known);
        self.one_of(&format!("{path}.tag"), text.get("tag").or(Some(&Value::Null)), tags);
        if !text.get("content").is_some_and(Value::is_string) {
            self.error(&format!("{path}.content"), "must be a text");
        }
    }

    fn element_id(&mut self, path: &str, id: Option<&Value>) {
        let is_id = |id: &str| {
            id.len() <= ELEMENT_ID_MAX
                && id.starts_with(|first: char| first.is_ascii_alphabetic())
                && id.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
        };
        if id.is_some_and(|id| !id.as_str().is_some_and(is_id)) {
            self.error(
                &format!("{path}.element_id"),
                "must be a letter and up to 19 letters, digits or underscores",
            );
        }
    }

    fn one_of(&mut self, path: &str, value: Option<&Value>, known: &[&str]) {
        if value.is_some_and(|value| !value.as_str().is_some_and(|value| known.contains(&value))) {
            self.error(path, &format!("must be one of {}", known.join(", ")));
        }
    }

    fn object<'a>(&mut self, path: &str, value: &'a Value) -> Option<&'a Map<String, Value>> {
        if !value.is_object() {
            self.error(path, "must be an object");
        }
        value.as_object()
    }

    fn members(&mut self, path: &str, object: &Map<String, Value>, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.error(path, &format!("unknown property {name}"));
        }
    }
}

/// How a container places its components.
const LAYOUT: &[&str] = &["horizontal_spacing", "horizontal_align", "vertical_spacing", "vertical_align"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn card(element: &Value) -> Value {
        json!({ "schema": "2.0", "body": { "elements": [element] } })
    }

    fn button(change: impl FnOnce(&mut Value)) -> Value {
        let mut button = json!({ "tag": "button", "type": "danger",
            "text": { "tag": "plain_text", "content": "Go" },
            "confirm": { "title": { "tag": "plain_text", "content": "Sure?" },
                "text": { "tag": "plain_text", "content": "It detaches." } },
            "behaviors": [{ "type": "callback", "value": { "action": "go" } }] });
        change(&mut button);
        card(&button)
    }

    #[test]
    fn valid_card_is_accepted() {
        assert_eq!(check(&button(|_| {})), Ok(()));
        let full = json!({ "schema": "2.0", "config": { "update_multi": true },
            "header": { "title": { "tag": "plain_text", "content": "Detach?" }, "template": "orange" },
            "body": { "elements": [
                { "tag": "markdown", "content": "**a** b", "element_id": "text_1" },
                { "tag": "div", "text": { "tag": "plain_text", "content": "c" } },
                { "tag": "hr" },
                { "tag": "column_set", "columns": [{ "tag": "column", "width": "auto", "elements": [{ "tag": "hr" }] }] },
            ] } });
        assert_eq!(check(&full), Ok(()));
    }

    #[test]
    fn invalid_card_is_refused_with_its_path() {
        let text = |length| json!({ "tag": "plain_text", "content": "文".repeat(length) });
        assert_eq!(check(&button(|button| button["text"] = text(100))), Ok(()));
        for (invalid, error) in [
            (json!({ "body": { "elements": [] } }), "schema: only 2.0 is simulated"),
            (json!({ "schema": "2.0", "elements": [] }), "card: unknown property elements"),
            (
                json!({ "schema": "2.0", "config": { "update_multi": false } }),
                "config.update_multi: must be true",
            ),
            (card(&json!({ "tag": "action" })), "body.elements[0].tag: not a supported component"),
            (card(&json!({ "tag": "hr", "id": 1 })), "body.elements[0]: unknown property id"),
            (card(&json!({ "tag": "markdown" })), "body.elements[0].content: must be a text"),
            (
                card(&json!({ "tag": "hr", "element_id": "1a" })),
                "body.elements[0].element_id: must be a letter and up to 19 letters, digits or underscores",
            ),
            (
                button(|button| button["text"] = text(101)),
                "body.elements[0].text: longer than 100 characters",
            ),
            (
                button(|button| button["text"]["tag"] = json!("lark_md")),
                "body.elements[0].text.tag: must be one of plain_text",
            ),
            (
                button(|button| button["behaviors"][0]["value"] = json!(5)),
                "body.elements[0].behaviors[0].value: must be an object or a text",
            ),
            (button(|button| button["value"] = json!({})), "body.elements[0]: unknown property value"),
            (
                json!({ "schema": "2.0", "body": { "elements": vec![json!({ "tag": "hr" }); 201] } }),
                "body: more than 200 components",
            ),
        ] {
            assert_eq!(check(&invalid), Err(error.to_owned()));
        }
    }

    #[test]
    fn buttons_in_columns_are_found_in_their_order() {
        let button = |action: &str| {
            json!({ "tag": "button", "text": { "tag": "plain_text", "content": action },
                "behaviors": [{ "type": "callback", "value": { "action": action } }] })
        };
        let column = |action: &str| json!({ "tag": "column", "elements": [button(action)] });
        let card = json!({ "schema": "2.0", "body": { "elements": [
            { "tag": "column_set", "columns": [column("a"), column("b")] }, button("c")] } });
        assert_eq!(check(&card), Ok(()));
        let actions: Vec<_> = buttons(&card).filter_map(action_of).collect();
        assert_eq!(actions, ["a", "b", "c"]);
    }
}
