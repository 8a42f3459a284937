//! The control endpoints of Feishu alone. Without clock and I/O.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::{ControlError, Parameters};
use crate::endpoints::{Outgoing, RequestError, conversation_of, url_of};
use crate::simulator::Control;

use super::cards;
use super::requests::{ActionError, MessageKind, NewMessage, UserAction, milliseconds};
use super::text;
use super::workspace::{Author, Chat, Content, Message, Workspace};

pub(super) const CONTROLS: [(&str, Control<Workspace>); 7] = [
    ("command", Control::Act(command)),
    ("click", Control::Act(click)),
    ("repeat", Control::Act(repeat)),
    ("verify", Control::Act(verify)),
    ("chats", Control::Change(set_chat)),
    ("recall", Control::Change(recall)),
    ("expire-tokens", Control::Change(expire_tokens)),
];

impl From<ActionError> for RequestError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NoChat(_) => Self::NotFound(error.to_string()),
            _ => Self::NotAllowed(error.to_string()),
        }
    }
}

fn command(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let known = ["text", "user", "chat", "mention", "type", "reply_to", "url", "send"];
    let parameters = Parameters::parse(body, &known)?;
    let new = NewMessage {
        text: parameters.text("text")?.unwrap_or_default().to_owned(),
        kind: match parameters.text("type")? {
            None | Some("text") => MessageKind::Text,
            Some("post") => MessageKind::Post,
            Some("image") => MessageKind::Image,
            Some(_) => {
                return Err(ControlError::Invalid { name: "type", expected: "text, post or image" }.into());
            }
        },
        mentions_app: parameters.flag("mention")?.unwrap_or(true),
        reply_to: parameters.text("reply_to")?.map(str::to_owned),
    };
    let user = parameters.required("user")?;
    let chat = conversation_of(workspace, &parameters)?;
    let url = url_of(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.send_message(&new, user, &chat, now)?, url })
}

fn click(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["action", "user", "chat", "message_id", "url", "send"])?;
    let (action, user) = (parameters.required("action")?, parameters.required("user")?);
    let chat = conversation_of(workspace, &parameters)?;
    let url = url_of(workspace, &parameters)?;
    let request = match parameters.text("message_id")? {
        Some(id) => workspace.click(&chat, id, action, user, now)?,
        None => workspace.click_newest(&chat, action, user, now)?,
    };
    Ok(Outgoing { request, url })
}

fn repeat(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["message_id", "url", "send"])?;
    let url = url_of(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.repeat(parameters.required("message_id")?, now)?, url })
}

fn verify(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["url", "send"])?;
    let url = url_of(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.verify_url(now), url })
}

/// Creates or changes a chat. What is not given stays, or has the default of a new chat: no members, without the app, with
/// threads.
fn set_chat(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    let parameters = Parameters::parse(body, &["id", "name", "members", "app", "threads"])?;
    let id = parameters.required("id")?;
    let (name, members) = (parameters.text("name")?, parameters.list("members")?);
    let (app, threads) = (parameters.flag("app")?, parameters.flag("threads")?);
    let new = || Chat { has_app: false, ..Chat::new("", []) };
    let chat = workspace.chats.entry(id.to_owned()).or_insert_with(new);
    if let Some(name) = name {
        name.clone_into(&mut chat.name);
    }
    if let Some(members) = members {
        chat.members = members.into_iter().collect();
    }
    chat.has_app = app.unwrap_or(chat.has_app);
    chat.has_threads = threads.unwrap_or(chat.has_threads);
    Ok(())
}

/// Recalls a message, as its author or a group's owner does.
fn recall(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    let parameters = Parameters::parse(body, &["message_id"])?;
    let id = parameters.required("message_id")?;
    let message = workspace.chats.values_mut().find_map(|chat| chat.message_mut(id));
    let message = message.ok_or_else(|| RequestError::NotFound(format!("there is no message {id}")))?;
    message.is_recalled = true;
    Ok(())
}

/// Ends the validity of every tenant access token.
fn expire_tokens(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    Parameters::parse(body, &[])?;
    workspace.expire_tokens();
    Ok(())
}

/// A message for programs.
pub(super) fn message(message: &Message) -> Value {
    let buttons = message.buttons().map(|button| {
        json!({
            "action": cards::action_of(button),
            "text": button["text"]["content"],
            "value": cards::value_of(button),
        })
    });
    let (text, card) = match &message.content {
        Content::Text(text) => (Some(text), None),
        Content::Card(card) => (None, Some(card)),
    };
    json!({
        "message_id": message.id,
        "parent_id": message.parent,
        "root_id": message.root,
        "thread_id": message.thread,
        "author": match &message.author {
            Author::App => "app",
            Author::Feishu => "feishu",
            Author::User(user) => user,
        },
        "text": text,
        "card": card,
        "buttons": buttons.collect::<Vec<_>>(),
        "edited": message.edited.map(milliseconds),
        "recalled": message.is_recalled,
        "visible_to": message.visible_to,
        "shown": text::lines(message).join("\n"),
    })
}
