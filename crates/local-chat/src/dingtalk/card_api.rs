//! The calls that create, deliver and change cards. Without clock and I/O.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::api::{Refusal, process_query_key};
use super::cards::{Card, CardChange};
use super::workspace::{Author, Content, Workspace};

/// The prefix of a space, which is a place for cards.
const SPACE_PREFIX: &str = "dtv1.card//";

/// The kind of space that is a group's conversation.
const GROUP_SPACE: &str = "IM_GROUP";

/// Creates a card and delivers it to one group. A card that exists stays as it is, because the same `outTrackId` is the
/// same card. A delivery that fails is reported in a response that is otherwise a success.
pub(super) fn create_and_deliver(
    workspace: &mut Workspace,
    body: &Value,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let out_track_id = out_track_id(body)?;
    let template = text(body, "cardTemplateId").ok_or("param.cardTemplateIdEmpty")?;
    if !workspace.app.card_templates.contains(template) {
        return Err(Refusal::from("param.templateNotExist"));
    }
    let route_key = route_key(workspace, body)?;
    let delivery = Delivery::parse(body)?;
    if !body["imGroupOpenSpaceModel"].is_object() {
        return Err(Refusal::from("param.openSpaceModelInvalid"));
    }
    let change = change(workspace, body)?;
    if !change.has_parameters() {
        return Err(Refusal::from("param.cardPublicDataEmpty"));
    }
    if workspace.card_mut(out_track_id).is_none() {
        let card = Card::new(out_track_id, template, route_key, change);
        workspace.undelivered_cards.insert(out_track_id.to_owned(), card);
    }
    let delivered = delivery.carry_out(workspace, out_track_id, now);
    let result = json!({ "outTrackId": out_track_id, "deliverResults": [delivered] });
    Ok(json!({ "success": true, "result": result }))
}

/// Delivers a card that exists.
pub(super) fn deliver(workspace: &mut Workspace, body: &Value, now: SystemTime) -> Result<Value, Refusal> {
    let out_track_id = out_track_id(body)?;
    let delivery = Delivery::parse(body)?;
    workspace.card_mut(out_track_id).ok_or("param.cardNotExist")?;
    Ok(json!({ "success": true, "result": [delivery.carry_out(workspace, out_track_id, now)] }))
}

/// Where a card is delivered, and by which robot.
struct Delivery<'a> {
    conversation: &'a str,
    robot_code: &'a str,
}

impl<'a> Delivery<'a> {
    fn parse(body: &'a Value) -> Result<Self, Refusal> {
        let conversation = group(text(body, "openSpaceId").ok_or("param.openSpaceIdEmpty")?)?;
        let model = &body["imGroupOpenDeliverModel"];
        if !model.is_object() {
            return Err(Refusal::from("param.openDeliverModelEmpty"));
        }
        let robot_code = text(model, "robotCode").ok_or("param.openDeliverModelError")?;
        Ok(Self { conversation, robot_code })
    }

    /// Delivers a card and returns the result. A card that was delivered before is not shown again.
    fn carry_out(&self, workspace: &mut Workspace, out_track_id: &str, now: SystemTime) -> Value {
        let is_of_the_app = self.robot_code == workspace.app.robot_code;
        let conversation = workspace.conversations.get_mut(self.conversation);
        let conversation = conversation.filter(|group| is_of_the_app && group.has_robot && !group.is_single);
        let mut result = json!({ "spaceType": GROUP_SPACE, "spaceId": self.conversation,
            "success": conversation.is_some() });
        let (name, value) = match conversation {
            None => ("errorMsg", "chatbotNotInstall".to_owned()),
            Some(conversation) => {
                if let Some(card) = workspace.undelivered_cards.remove(out_track_id) {
                    conversation.post(Author::App, Content::Card(card), now);
                }
                ("carrierId", process_query_key(now))
            }
        };
        result[name] = json!(value);
        result
    }
}

/// Changes a card, unless the app has not yet responded to a click on it.
pub(super) fn update(workspace: &mut Workspace, body: &Value, now: SystemTime) -> Result<Value, Refusal> {
    let out_track_id = out_track_id(body)?;
    let change = change(workspace, body)?;
    if change.is_empty() {
        return Err(Refusal::from("param.cardDataAndPrivateDataBothEmpty"));
    }
    if workspace.has_open_callback(out_track_id) {
        return Err(Refusal::new("simulator.openCallback", "a callback of the card has no response yet"));
    }
    workspace.card_mut(out_track_id).ok_or("param.cardNotExist")?.apply(change, now);
    Ok(json!({ "success": true, "result": true }))
}

/// A text that is not empty.
fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body[name].as_str().filter(|text| !text.is_empty())
}

fn out_track_id(body: &Value) -> Result<&str, Refusal> {
    text(body, "outTrackId").ok_or_else(|| Refusal::from("param.outTrackIdEmpty"))
}

/// The route of a card's callbacks.
fn route_key<'a>(workspace: &Workspace, body: &'a Value) -> Result<&'a str, Refusal> {
    if body["callbackType"] != "HTTP" {
        return Err(Refusal::new("param.invalid", "only callbackType HTTP is simulated"));
    }
    let key = body["callbackRouteKey"].as_str().unwrap_or_default();
    let is_known = workspace.callback_routes.contains_key(key);
    is_known
        .then_some(key)
        .ok_or_else(|| Refusal::new("param.invalid", "the callbackRouteKey is not registered"))
}

/// The conversation that a space id names.
fn group(space: &str) -> Result<&str, Refusal> {
    let (kind, id) =
        space.strip_prefix(SPACE_PREFIX).and_then(|space| space.split_once('.')).unwrap_or_default();
    let is_group = kind.eq_ignore_ascii_case(GROUP_SPACE) && !id.is_empty() && !id.contains(';');
    is_group.then_some(id).ok_or_else(|| Refusal::from("param.openSpaceIdInvalid"))
}

fn change(workspace: &Workspace, body: &Value) -> Result<CardChange, Refusal> {
    if !body["userIdType"].is_null() && body["userIdType"] != 1 {
        return Err(Refusal::new("param.invalid", "only userIdType 1 is simulated"));
    }
    let private = body["privateData"].as_object().cloned().unwrap_or_default();
    let change = CardChange::parse(body, private).map_err(|error| Refusal::new("param.invalid", &error))?;
    let is_known = change.users().all(|user| workspace.has_user(user));
    if is_known { Ok(change) } else { Err(Refusal::from("param.userIdNotExist")) }
}
