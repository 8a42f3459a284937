//! What a user sees after the app's response to a click: a toast, and the replaced card. Without clock and I/O.
//!
//! Source: open.feishu.cn, "Card callback", sections on the response and its error codes.

use std::time::SystemTime;

use serde_json::Value;

use crate::client::{AppResponse, PostError};

use super::cards;
use super::requests::{SignedRequest, UserAction};
use super::workspace::{Author, Content, Workspace};

/// The kinds of a toast.
const TOASTS: [&str; 4] = ["info", "success", "error", "warning"];

/// The codes that Feishu shows after a failed click.
const UNREACHABLE: u32 = 200_340;
const TIMED_OUT: u32 = 200_341;
const STATUS: u32 = 200_671;
const BODY: u32 = 200_672;
const CARD: u32 = 200_673;
const SCHEMA: u32 = 200_830;

/// Applies the app's response. Does nothing if the chat no longer exists.
pub(super) fn show(
    workspace: &mut Workspace,
    request: &SignedRequest,
    response: &Result<AppResponse, PostError>,
    now: SystemTime,
) {
    match &request.action {
        // Feishu shows nothing of a response to an event. After another status than 200 it sends the event again.
        UserAction::Message { .. } => {}
        UserAction::VerifyUrl { challenge } => {
            let answer = body(response).ok();
            workspace.is_url_verified = answer.is_some_and(|answer| answer["challenge"] == **challenge);
        }
        UserAction::Click { message, label } => {
            let Some(chat) = workspace.chats.get_mut(&request.conversation) else { return };
            let toast = match effect(response) {
                Ok(Effect { toast, card }) => {
                    if let Some(card) = card
                        && let Some(message) = chat.message_mut(message)
                    {
                        message.content = Content::Card(card);
                        message.edited = Some(now);
                    }
                    toast
                }
                Err(code) => Some(format!("[{label}] failed with the code {code}")),
            };
            if let Some(toast) = toast {
                chat.post(Author::Feishu, Content::Text(toast), now).visible_to = Some(request.user.clone());
            }
        }
    }
}

/// What a response to a click does.
#[derive(Debug, PartialEq)]
struct Effect {
    toast: Option<String>,
    card: Option<Value>,
}

/// The effect of a response, or the code that Feishu shows.
fn effect(response: &Result<AppResponse, PostError>) -> Result<Effect, u32> {
    let body = body(response)?;
    let toast = match &body["toast"] {
        Value::Null => None,
        toast => {
            let kind = toast["type"].as_str().unwrap_or("info");
            let content = toast["content"].as_str().filter(|_| TOASTS.contains(&kind)).ok_or(BODY)?;
            Some(format!("{kind}: {content}"))
        }
    };
    let card = match &body["card"] {
        Value::Null => None,
        card if card["type"] != "raw" => return Err(CARD),
        card if card["data"]["schema"] != "2.0" => return Err(SCHEMA),
        card => {
            let data = &card["data"];
            let is_small = data.to_string().len() <= cards::BYTES_MAX;
            if !is_small || cards::check(data).is_err() {
                return Err(CARD);
            }
            Some(data.clone())
        }
    };
    Ok(Effect { toast, card })
}

/// The body of a response, an object; an empty body is an empty object.
fn body(response: &Result<AppResponse, PostError>) -> Result<Value, u32> {
    match response {
        Ok(response) if response.status != 200 => Err(STATUS),
        Ok(response) if response.body.is_empty() => Ok(Value::Object(serde_json::Map::new())),
        Ok(response) => {
            let body: Value = serde_json::from_slice(&response.body).map_err(|_| BODY)?;
            if body.is_object() { Ok(body) } else { Err(BODY) }
        }
        Err(PostError::TimedOut(_)) => Err(TIMED_OUT),
        Err(_) => Err(UNREACHABLE),
    }
}
