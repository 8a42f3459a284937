//! Interactive cards: what a card holds, how it is changed, and how the template of this project shows it.
//!
//! Source: open.dingtalk.com, "Interactive cards": the pages of the card interfaces and of the callback. The template
//! shows the parameters `title`, `body` and `note` (both markdown), and, while `status` is `open`, the buttons `approve`
//! and `decline`, whose labels are the parameters of these names.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use super::text;

/// The longest name of a parameter, in bytes.
const KEY_BYTES_MAX: usize = 100;

/// The longest value of a parameter, in bytes: 1 KB, of its two meanings the smaller one.
const VALUE_BYTES_MAX: usize = 1000;

/// The buttons of the template. A button's action id is also the name of the parameter that has its label.
const ACTION_IDS: [&str; 2] = ["approve", "decline"];

/// The card parameters that the template passes to a click.
pub(super) const CLICK_PARAMETERS: [&str; 2] = ["request_1", "request_2"];

/// The parameters of a card.
pub type CardParameters = BTreeMap<String, String>;

/// A card that was delivered to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The id that the app chose.
    pub out_track_id: String,
    pub template_id: String,
    /// The route of the callbacks.
    pub route_key: String,
    pub parameters: CardParameters,
    /// The parameters that only one user sees, by the user's id. They take precedence.
    pub private_parameters: BTreeMap<String, CardParameters>,
    /// The time of the last change of `parameters`.
    pub edited: Option<SystemTime>,
}

/// A button as a user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    pub action_id: &'static str,
    pub label: String,
}

/// A change of a card, by a call or by the response to a click.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CardChange {
    parameters: Option<CardParameters>,
    /// By user.
    private_parameters: BTreeMap<String, CardParameters>,
    /// Whether the parameters that are not given stay.
    is_by_key: bool,
    is_private_by_key: bool,
}

impl CardChange {
    /// Parses `cardData`, the private data, and `cardUpdateOptions`. The error says what is wrong.
    pub(super) fn parse(
        body: &Value,
        private: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, String> {
        let private = private.into_iter().map(|(user, data)| {
            let parameters = parameters(&data, &format!("the private data of {user}"))?;
            Ok((user, parameters.unwrap_or_default()))
        });
        let option = |name: &str| body["cardUpdateOptions"][name].as_bool().unwrap_or(false);
        Ok(Self {
            parameters: parameters(&body["cardData"], "cardData")?,
            private_parameters: private.collect::<Result<_, String>>()?,
            is_by_key: option("updateCardDataByKey"),
            is_private_by_key: option("updatePrivateDataByKey"),
        })
    }

    pub(super) fn has_parameters(&self) -> bool {
        self.parameters.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parameters.is_none() && self.private_parameters.is_empty()
    }

    /// The users whose private data the change contains.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.private_parameters.keys().map(String::as_str)
    }

    /// Changes the parameters without marking the card as edited.
    fn change(self, card: &mut Card) {
        if let Some(parameters) = self.parameters {
            replace(&mut card.parameters, parameters, self.is_by_key);
        }
        for (user, parameters) in self.private_parameters {
            let stored = card.private_parameters.entry(user).or_default();
            replace(stored, parameters, self.is_private_by_key);
        }
    }
}

fn replace(stored: &mut CardParameters, given: CardParameters, is_by_key: bool) {
    if !is_by_key {
        stored.clear();
    }
    stored.extend(given);
}

/// The `cardParamMap` of a member, within the limits.
fn parameters(data: &Value, place: &str) -> Result<Option<CardParameters>, String> {
    if data.is_null() {
        return Ok(None);
    }
    let map = data["cardParamMap"].as_object().ok_or_else(|| format!("{place} has no cardParamMap"))?;
    let checked = map.iter().map(|(key, value)| match value {
        _ if key.len() > KEY_BYTES_MAX => {
            Err(format!("{place}: the key {key} is longer than {KEY_BYTES_MAX} bytes"))
        }
        Value::String(value) if value.len() > VALUE_BYTES_MAX => {
            Err(format!("{place}: the value of {key} is longer than {VALUE_BYTES_MAX} bytes"))
        }
        Value::String(value) => Ok((key.clone(), value.clone())),
        _ => Err(format!("{place}: the value of {key} is not a string")),
    });
    checked.collect::<Result<_, _>>().map(Some)
}

impl Card {
    /// A new card, with the parameters of this change.
    pub(super) fn new(out_track_id: &str, template_id: &str, route_key: &str, change: CardChange) -> Self {
        let mut card = Self {
            out_track_id: out_track_id.to_owned(),
            template_id: template_id.to_owned(),
            route_key: route_key.to_owned(),
            parameters: CardParameters::new(),
            private_parameters: BTreeMap::new(),
            edited: None,
        };
        change.change(&mut card);
        card
    }

    pub(super) fn apply(&mut self, change: CardChange, now: SystemTime) {
        let before = self.parameters.clone();
        change.change(self);
        if self.parameters != before {
            self.edited = Some(now);
        }
    }

    /// The parameters as a user sees them.
    #[must_use]
    pub fn parameters_of(&self, user: &str) -> CardParameters {
        let mut parameters = self.parameters.clone();
        parameters.extend(self.private_parameters.get(user).cloned().unwrap_or_default());
        parameters
    }

    /// The buttons that a user sees.
    #[must_use]
    pub fn buttons(&self, user: &str) -> Vec<Button> {
        buttons(&self.parameters_of(user))
    }

    /// The buttons that a user without private parameters sees.
    pub(super) fn public_buttons(&self) -> Vec<Button> {
        buttons(&self.parameters)
    }

    /// The card as a user without private parameters sees it, in lines.
    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.parameters)
    }

    /// What only some users see: each user with these lines.
    pub(super) fn private_lines(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let users = self.private_parameters.keys().map(|user| {
            let public = self.lines();
            let mut lines = lines(&self.parameters_of(user));
            lines.retain(|line| !public.contains(line));
            (user.as_str(), lines)
        });
        users.filter(|(_, lines)| !lines.is_empty())
    }
}

fn parameter<'a>(parameters: &'a CardParameters, name: &str) -> &'a str {
    parameters.get(name).map_or("", String::as_str)
}

fn buttons(parameters: &CardParameters) -> Vec<Button> {
    if parameter(parameters, "status") != "open" {
        return Vec::new();
    }
    let buttons =
        ACTION_IDS.map(|action_id| Button { action_id, label: parameter(parameters, action_id).to_owned() });
    buttons.into_iter().filter(|button| !button.label.is_empty()).collect()
}

/// The lines of the template. Where the buttons were, there is the status.
fn lines(parameters: &CardParameters) -> Vec<String> {
    let mut lines = text::plain(parameter(parameters, "title"));
    lines.extend(text::markdown(parameter(parameters, "body")));
    let buttons: Vec<_> = buttons(parameters).iter().map(|button| format!("[{}]", button.label)).collect();
    match parameter(parameters, "status") {
        "open" if buttons.is_empty() => {}
        "open" => lines.push(buttons.join(" ")),
        status => lines.push(format!("({status})")),
    }
    lines.extend(text::markdown(parameter(parameters, "note")));
    lines
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    fn change(body: &Value) -> CardChange {
        CardChange::parse(body, []).unwrap()
    }

    fn card() -> Card {
        let parameters = json!({ "title": "Detach?", "body": "**sg-old**", "status": "open", "approve": "Approve",
            "decline": "Decline" });
        Card::new(
            "track",
            "template",
            "route",
            change(&json!({ "cardData": { "cardParamMap": parameters } })),
        )
    }

    #[test]
    fn limits_of_parameters_are_enforced_exactly() {
        let data = |key: usize, value: Value| json!({ "cardParamMap": { "k".repeat(key): value } });
        for (allowed, refused) in [
            (data(100, json!("")), data(101, json!(""))),
            (data(1, json!("v".repeat(1000))), data(1, json!("v".repeat(1001)))),
            // Bytes count, not characters.
            (data(1, json!("文".repeat(333))), data(1, json!("文".repeat(334)))),
            (data(1, json!("1")), data(1, json!(1))),
            (data(1, json!("true")), data(1, json!(true))),
            (json!({ "cardParamMap": {} }), json!({ "cardParamMap": [] })),
            (json!(null), json!({})),
        ] {
            assert!(parameters(&allowed, "cardData").is_ok(), "{allowed}");
            assert!(parameters(&refused, "cardData").is_err(), "{refused}");
        }
    }

    #[test]
    fn change_by_key_keeps_the_other_parameters() {
        let mut card = card();
        let body = json!({ "cardUpdateOptions": { "updateCardDataByKey": true },
            "cardData": { "cardParamMap": { "status": "approved" } } });
        card.apply(change(&body), UNIX_EPOCH);
        assert_eq!(card.lines(), ["Detach?", "sg-old", "(approved)"]);
        assert_eq!(card.edited, Some(UNIX_EPOCH));
    }

    #[test]
    fn change_as_a_whole_removes_the_other_parameters() {
        let mut card = card();
        card.apply(change(&json!({ "cardData": { "cardParamMap": { "status": "declined" } } })), UNIX_EPOCH);
        assert_eq!(card.lines(), ["(declined)"]);
    }

    #[test]
    fn private_parameters_are_of_one_user() {
        let mut card = card();
        let private = json!({ "cardParamMap": { "status": "expired", "note": "Too late" } });
        card.apply(CardChange::parse(&json!({}), [("u1".to_owned(), private)]).unwrap(), UNIX_EPOCH);

        assert_eq!(card.lines(), ["Detach?", "sg-old", "[Approve] [Decline]"]);
        assert_eq!(card.edited, None);
        let private: Vec<_> = card.private_lines().collect();
        assert_eq!(private, [("u1", vec!["(expired)".to_owned(), "Too late".to_owned()])]);
        assert_eq!((card.buttons("u1").len(), card.buttons("u2").len()), (0, 2));
    }

    #[test]
    fn only_an_open_card_has_buttons() {
        let mut card = card();
        assert_eq!(card.buttons("u1")[1], Button { action_id: "decline", label: "Decline".to_owned() });
        for status in ["approved", "declined", ""] {
            card.parameters.insert("status".to_owned(), status.to_owned());
            assert_eq!(card.buttons("u1"), []);
        }
    }
}
