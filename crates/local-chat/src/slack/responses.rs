//! What a user sees after the app's response to a command or a click. Without clock and I/O.

use std::time::SystemTime;

use serde_json::Value;

use crate::client::{AppResponse, PostError};

use super::blocks;
use super::requests::{SignedRequest, UserAction};
use super::workspace::{Author, Workspace};

/// A message in the response to a command.
struct Shown {
    text: String,
    blocks: Vec<Value>,
    is_for_all: bool,
}

/// Adds to the conversation what the app's response shows. Does nothing if the channel no longer exists.
pub(super) fn show(
    workspace: &mut Workspace,
    request: &SignedRequest,
    response: &Result<AppResponse, PostError>,
    now: SystemTime,
) {
    let mut add = |author, text: &str, blocks: &[Value], is_private: bool| {
        let Some(channel) = workspace.channels.get_mut(&request.conversation) else { return };
        let message = channel.post(author, text, now);
        message.blocks = blocks.to_vec();
        message.visible_to = is_private.then(|| request.user.clone());
    };
    match &request.action {
        UserAction::Command { command, text } => match command_message(response) {
            Ok(None) => {}
            Ok(Some(shown)) if shown.is_for_all => {
                // Slack then also shows the command to all members.
                add(Author::User(request.user.clone()), &format!("{command} {text}"), &[], false);
                add(Author::App, &shown.text, &shown.blocks, false);
            }
            Ok(Some(shown)) => add(Author::App, &shown.text, &shown.blocks, true),
            Err(code) => {
                let error = format!("{command} failed with the error \"{code}\"");
                add(Author::Slackbot, &error, &[], true);
            }
        },
        // Slack shows nothing of a successful response to a click, and a warning sign beside the button after an error.
        UserAction::Click { label } => {
            let problem = match response {
                Ok(response) if response.status == 200 => return,
                Ok(response) => format!("the app responded with the status {}", response.status),
                Err(error) => error.to_string(),
            };
            add(Author::Slackbot, &format!("[{label}] failed: {problem}"), &[], true);
        }
    }
}

/// The message in the response to a command, or the code of the error that Slack shows.
fn command_message(response: &Result<AppResponse, PostError>) -> Result<Option<Shown>, &'static str> {
    let response = match response {
        Ok(response) if response.status == 200 => response,
        Err(PostError::TimedOut(_)) => return Err("operation_timeout"),
        Ok(_) | Err(_) => return Err("dispatch_failed"),
    };
    if response.body.is_empty() {
        return Ok(None);
    }
    if !response.content_type.to_ascii_lowercase().starts_with("application/json") {
        let text = String::from_utf8_lossy(&response.body).into_owned();
        return Ok(Some(Shown { text, blocks: Vec::new(), is_for_all: false }));
    }
    let unknown = "dispatch_unknown_error";
    let body: Value = serde_json::from_slice(&response.body).map_err(|_| unknown)?;
    let body = body.as_object().ok_or(unknown)?;
    let is_for_all = match body.get("response_type").map(Value::as_str) {
        None | Some(Some("ephemeral")) => false,
        Some(Some("in_channel")) => true,
        Some(_) => return Err(unknown),
    };
    let text = body.get("text").map_or(Some(""), Value::as_str).ok_or(unknown)?.to_owned();
    let blocks = match body.get("blocks") {
        None => Vec::new(),
        Some(blocks) => blocks::checked(blocks.as_array().ok_or(unknown)?).map_err(|_| unknown)?,
    };
    let is_empty = text.is_empty() && blocks.is_empty();
    Ok((!is_empty).then_some(Shown { text, blocks, is_for_all }))
}
