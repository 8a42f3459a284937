//! What the app's response to a robot message or a click changes. Without clock and I/O.

use std::time::SystemTime;

use serde_json::Value;

use crate::client::{AppResponse, PostError};

use super::cards::CardChange;
use super::requests::{SignedRequest, UserAction};
use super::workspace::{Author, Content, Workspace};

/// Applies the response to a click to the card, and tells the user of an error. The body of the response to a message
/// has no effect.
pub(super) fn show(
    workspace: &mut Workspace,
    request: &SignedRequest,
    response: &Result<AppResponse, PostError>,
    now: SystemTime,
) {
    let body = match response {
        Ok(response) if response.status == 200 => Ok(&response.body),
        Ok(response) => Err(format!("the app responded with the status {}", response.status)),
        Err(error) => Err(error.to_string()),
    };
    let (name, result) = match &request.action {
        UserAction::Message => ("message", body.map(|_| ())),
        UserAction::Click { out_track_id, label, .. } => {
            let change = body.and_then(|body| change(body, &request.user));
            let result = change.map(|change| {
                if let (Some(change), Some(card)) = (change, workspace.card_mut(out_track_id)) {
                    card.apply(change, now);
                }
            });
            (label.as_str(), result)
        }
    };
    let conversation = workspace.conversations.get_mut(&request.conversation);
    if let (Err(problem), Some(conversation)) = (result, conversation) {
        let text = format!("[{name}] failed: {problem}");
        let message = conversation.post(Author::DingTalk, Content::Text(text), now);
        message.visible_to = Some(request.user.clone());
    }
}

/// The change that the response to a click describes; `None` if it changes nothing.
fn change(body: &[u8], user: &str) -> Result<Option<CardChange>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| "the response is not JSON")?;
    if !body.is_object() {
        return Err("the response is not a JSON object".to_owned());
    }
    let private = body.get("userPrivateData").map(|data| (user.to_owned(), data.clone()));
    let change = CardChange::parse(&body, private)?;
    Ok((!change.is_empty()).then_some(change))
}
