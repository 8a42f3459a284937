//! The mentions in a message that a user sends. Without clock and I/O.

use serde_json::{Value, json};

use super::requests::NewMessage;
use super::workspace::{Chat, Workspace};

/// A text with its mentions.
pub(super) struct Mentions {
    /// As an event has it: each mention is a key such as `@_user_1`.
    pub(super) text: String,
    /// As people see it.
    pub(super) shown: String,
    pub(super) mentioned: Vec<Value>,
}

impl Mentions {
    pub(super) fn of(new: &NewMessage, workspace: &Workspace, chat: &Chat) -> Self {
        let app = format!("@{}", workspace.app.name);
        let first = new.mentions_app.then_some(app.as_str());
        let shown = first.into_iter().chain([new.text.as_str()]).filter(|part| !part.is_empty());
        let shown = shown.collect::<Vec<_>>().join(" ");
        let (mut text, mut mentioned) = (String::new(), Vec::new());
        // The white space of the text stays as it is.
        for word in shown.split_inclusive(char::is_whitespace) {
            let name = word.trim_end();
            let id = match name.strip_prefix('@') {
                Some(_) if name == app => Some(workspace.app.bot.as_str()),
                Some(id) => chat.members.get(id).map(String::as_str),
                None => None,
            };
            let Some(id) = id else {
                text.push_str(word);
                continue;
            };
            let key = format!("@_user_{}", mentioned.len() + 1);
            text.extend([key.as_str(), &word[name.len()..]]);
            let person = json!({ "union_id": union_id(id), "user_id": "", "open_id": id });
            let name = &name[1..];
            mentioned.push(json!({ "key": key, "id": person, "name": name, "tenant_key": workspace.tenant }));
        }
        Self { text, shown, mentioned }
    }
}

/// The id of a person in every app of a developer.
pub(super) fn union_id(open_id: &str) -> String {
    format!("on_{}", open_id.trim_start_matches("ou_"))
}
