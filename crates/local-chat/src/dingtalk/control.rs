//! The control endpoints of `DingTalk` alone. Without clock and I/O.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::Parameters;
use crate::endpoints::{Outgoing, RequestError, conversation_of, url_of};
use crate::simulator::Control;

use super::requests::{ActionError, SignedRequest, UserAction, milliseconds};
use super::workspace::{Author, Content, Message, Workspace};

pub(super) const CONTROLS: [(&str, Control<Workspace>); 5] = [
    ("command", Control::Act(command)),
    ("click", Control::Act(click)),
    ("conversations", Control::Change(set_conversation)),
    ("forms", Control::Change(set_forms)),
    ("expire-tokens", Control::Change(expire_tokens)),
];

impl From<ActionError> for RequestError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NoConversation(_) | ActionError::NoCard(_) => Self::NotFound(error.to_string()),
            _ => Self::NotAllowed(error.to_string()),
        }
    }
}

fn command(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["text", "user", "conversation", "url", "send"])?;
    let text = parameters.text("text")?.unwrap_or_default();
    let user = parameters.required("user")?;
    let conversation = conversation_of(workspace, &parameters)?;
    let url = url_of(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.command(text, user, &conversation, now)?, url })
}

fn click(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["action", "user", "conversation", "card", "url", "send"])?;
    let (action, user) = (parameters.required("action")?, parameters.required("user")?);
    let request = match parameters.text("card")? {
        Some(card) => workspace.click(card, action, user, now)?,
        None => workspace.click_newest(&conversation_of(workspace, &parameters)?, action, user, now)?,
    };
    let url = click_url(workspace, &parameters, &request)?;
    Ok(Outgoing { request, url })
}

/// The URL to which a click goes: that of the card's route, if the caller names none.
fn click_url(
    workspace: &Workspace,
    parameters: &Parameters,
    request: &SignedRequest,
) -> Result<Option<String>, RequestError> {
    let route = match &request.action {
        UserAction::Click { route_key, .. } => workspace.callback_routes.get(route_key),
        UserAction::Message => None,
    };
    match route.and_then(|route| route.url.clone()) {
        Some(url) if parameters.text("url")?.is_none() && parameters.flag("send")?.unwrap_or(true) => {
            Ok(Some(url))
        }
        _ => url_of(workspace, parameters),
    }
}

/// Creates or changes a conversation. What is not given stays, or has the default of a new one: a group without members
/// and without the robot.
fn set_conversation(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    let parameters = Parameters::parse(body, &["id", "name", "members", "guests", "app", "single"])?;
    let id = parameters.required("id")?;
    let (name, members) = (parameters.text("name")?, parameters.list("members")?);
    let (guests, app) = (parameters.list("guests")?, parameters.flag("app")?);
    let single = parameters.flag("single")?;
    let conversation = workspace.conversations.entry(id.to_owned()).or_default();
    if let Some(name) = name {
        name.clone_into(&mut conversation.title);
    }
    if let Some(members) = members {
        conversation.members = members.into_iter().collect();
    }
    if let Some(guests) = guests {
        conversation.guests = guests.into_iter().collect();
    }
    conversation.has_robot = app.unwrap_or(conversation.has_robot);
    conversation.is_single = single.unwrap_or(conversation.is_single);
    Ok(())
}

/// Ends the validity of every access token.
fn expire_tokens(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    Parameters::parse(body, &[])?;
    workspace.expire_tokens();
    Ok(())
}

/// Chooses the form of the next requests to the app. What is not given stays.
fn set_forms(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    let known = ["top_level_content", "click_in_value", "click_time_in_seconds"];
    let parameters = Parameters::parse(body, &known)?;
    let content = parameters.flag("top_level_content")?;
    let (value, seconds) = (parameters.flag("click_in_value")?, parameters.flag("click_time_in_seconds")?);
    let forms = &mut workspace.forms;
    forms.has_top_level_content = content.unwrap_or(forms.has_top_level_content);
    forms.has_click_in_value = value.unwrap_or(forms.has_click_in_value);
    forms.has_click_time_in_seconds = seconds.unwrap_or(forms.has_click_time_in_seconds);
    Ok(())
}

/// A message for programs.
pub(super) fn message(message: &Message) -> Value {
    let mut object = json!({
        "at_ms": milliseconds(message.at),
        "author": match &message.author {
            Author::App => "app",
            Author::DingTalk => "dingtalk",
            Author::User(user) => user,
        },
        "visible_to": message.visible_to,
        "shown": message.lines().join("\n"),
    });
    match &message.content {
        Content::Text(text) => object["text"] = json!(text),
        Content::Markdown { title, text } => object["markdown"] = json!({ "title": title, "text": text }),
        Content::Card(card) => {
            let buttons = card.public_buttons().into_iter();
            let buttons =
                buttons.map(|button| json!({ "action_id": button.action_id, "text": button.label }));
            object["card"] = json!({
                "out_track_id": card.out_track_id,
                "parameters": card.parameters,
                "private_parameters": card.private_parameters,
                "edited": card.edited.is_some(),
            });
            object["buttons"] = buttons.collect();
        }
    }
    object
}
