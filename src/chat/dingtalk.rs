//! `DingTalk`: verifies and parses its calls. [`message`] renders what it shows, [`api`] calls its API.
//!
//! A signature covers the time of sending alone, so a call with a valid one can have any body. This application's own signed
//! value decides what a click may do, and a message must be recent by both of its times. Source of the protocol:
//! `DingTalk`'s documentation of robot messages and card callbacks, and `open-dingtalk/dingtalk-stream-sdk-python`.

pub mod api;
pub mod message;
mod secrets;

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Acknowledgement, Action, ChatCall, Click, CommandCall, Unopened};
use super::content::Content;
use super::decision::{ClickNotice, ClickResult};
use super::identity::{Conversation, ConversationId, MessageId, Person, Platform, Tenant, TenantId, UserId};
use super::notice::Notice;
use crate::freshness::{self, Untimely};
use crate::json::Object;
use message::{Status, card, note};
pub use secrets::Secrets;

/// The headers of a robot message: the time of sending in milliseconds, and the signature.
const MESSAGE_HEADERS: [&str; 2] = ["timestamp", "sign"];

/// The headers of a click. The unit of its time is not documented.
const CLICK_HEADERS: [&str; 2] = ["x-ddpaas-signature-timestamp", "x-ddpaas-signature"];

/// The smallest time that is in milliseconds: as seconds it would be in the year 5138, as milliseconds it is in 1973.
const MILLISECONDS_MIN: u64 = 100_000_000_000;

/// The `conversationType` of a group. The messenger cannot post to other conversations.
const GROUP: &str = "2";

/// The command's name in texts: people mention the robot.
const COMMAND: &str = "@bot";

/// How long the messenger waits after a click: `DingTalk` waits 2 s for the response, and a card must not be changed before.
const NOTICE_AFTER: Duration = Duration::from_secs(5);

/// See [`super::call::open`].
pub(super) fn open(
    headers: &HeaderMap,
    body: &[u8],
    received_at: SystemTime,
    secrets: &Secrets,
) -> Result<ChatCall, Unopened> {
    let is_click = CLICK_HEADERS.iter().any(|name| headers.contains_key(*name));
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Unopened::Headers);
    let [time, sign] = if is_click { CLICK_HEADERS } else { MESSAGE_HEADERS };
    let timestamp = header(time)?;
    check(timestamp, received_at)?;
    let signature = signature(header(sign)?).ok_or(Unopened::Headers)?;
    let is_signed = if is_click {
        secrets.verify_click(timestamp, signature)
    } else {
        secrets.verify_message(timestamp, signature)
    };
    match (is_signed, is_click) {
        (false, _) => Err(Unopened::NoMatch),
        (true, true) => click(body).map(ChatCall::Click).ok_or(Unopened::Unknown),
        (true, false) => message(body, received_at),
    }
}

/// Checks a time of sending, in seconds or milliseconds since 1970-01-01.
fn check(timestamp: &str, received_at: SystemTime) -> Result<(), Untimely> {
    // `parse` alone would accept a sign.
    let is_number = timestamp.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = timestamp.parse().ok().filter(|_| is_number).ok_or(Untimely::NotANumber)?;
    let seconds = if number < MILLISECONDS_MIN { number } else { number / 1000 };
    freshness::check(&seconds.to_string(), received_at)
}

/// The bytes of a signature in base64.
fn signature(text: &str) -> Option<[u8; 32]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// The parts of a robot message that matter. `sessionWebhook`, an address to post to, is not one of them: no signature
/// covers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    msg_id: String,
    conversation_type: String,
    conversation_id: String,
    /// The organization of the sender. `chatbotCorpId` is that of the robot.
    sender_corp_id: Option<String>,
    /// Missing if the sender is not a member of the organization.
    sender_staff_id: Option<String>,
    /// When the message was typed, in milliseconds since 1970-01-01.
    create_at: Option<u64>,
    text: Option<MessageText>,
    /// The text in another place; in a message of another kind, an object.
    content: Option<Value>,
}

#[derive(Deserialize)]
struct MessageText {
    content: Option<String>,
}

impl Message {
    /// What was typed, without mentions. Empty for a message of another kind, such as a picture.
    fn typed(&self) -> String {
        let nested = self.text.as_ref().and_then(|text| text.content.as_deref());
        let text = nested.or_else(|| self.content.as_ref()?.as_str()).unwrap_or_default();
        let words: Vec<_> = text.split_whitespace().filter(|word| !word.starts_with('@')).collect();
        words.join(" ")
    }
}

/// The command in a verified body.
fn message(body: &[u8], received_at: SystemTime) -> Result<ChatCall, Unopened> {
    let Object(message): Object<Message> = serde_json::from_slice(body).map_err(|_| Unopened::Unknown)?;
    if message.conversation_type != GROUP {
        return Ok(ChatCall::Ignored("a robot message outside of a group"));
    }
    let ids = (message.sender_corp_id.as_deref(), message.sender_staff_id.as_deref());
    let (Some(tenant), Some(person)) = ids else {
        return Ok(ChatCall::Ignored("the sender of a robot message is not a member of the organization"));
    };
    let Some(person) = UserId::parse(person) else {
        return Ok(ChatCall::Ignored("the sender's user id has characters that the lists cannot contain"));
    };
    match message.create_at.map(|at| check(&at.to_string(), received_at)) {
        Some(Err(Untimely::TooOld)) => return Ok(ChatCall::Late),
        Some(Err(untimely)) => return Err(untimely.into()),
        Some(Ok(())) | None => {}
    }
    command(&message, tenant, person).map(ChatCall::Command).ok_or(Unopened::Unknown)
}

fn command(message: &Message, tenant: &str, person: UserId) -> Option<CommandCall> {
    let tenant = Tenant { platform: Platform::DingTalk, id: TenantId::parse(tenant)? };
    Some(CommandCall {
        person: Person { tenant: tenant.clone(), id: person },
        conversation: Conversation { tenant, id: ConversationId::parse(&message.conversation_id)? },
        name: COMMAND.to_owned(),
        // The API cannot answer a message.
        message: None,
        text: message.typed(),
        platform_id: Some(message.msg_id.clone()).filter(|id| !id.is_empty())?,
    })
}

/// The parts of a card callback that matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Callback {
    r#type: String,
    out_track_id: String,
    corp_id: String,
    user_id: String,
    /// JSON as text: what was clicked. Some pages of the documentation name it `value`.
    content: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clicked {
    card_private_data: CardPrivateData,
    /// The parameters in another place.
    params: Option<Params>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CardPrivateData {
    action_ids: [String; 1],
    params: Option<Params>,
}

/// The signed value in two parts. That of most requests fits into the first: the second is then empty, null or missing.
#[derive(Deserialize)]
struct Params {
    request_1: Option<String>,
    request_2: Option<String>,
}

impl Params {
    fn value(self) -> String {
        self.request_1.unwrap_or_default() + &self.request_2.unwrap_or_default()
    }
}

/// The click in a verified body.
fn click(body: &[u8]) -> Option<Click> {
    let Object(callback): Object<Callback> = serde_json::from_slice(body).ok()?;
    if callback.r#type != "actionCallback" {
        return None;
    }
    let clicked = callback.content.or(callback.value)?;
    let Object(Clicked { card_private_data, params }) = serde_json::from_str(&clicked).ok()?;
    let [action] = &card_private_data.action_ids;
    let tenant = Tenant { platform: Platform::DingTalk, id: TenantId::parse(&callback.corp_id)? };
    Some(Click {
        person: Person { tenant, id: UserId::parse(&callback.user_id)? },
        // The signed value names it.
        conversation: None,
        message: Some(MessageId::parse(&callback.out_track_id)?),
        action: Action::parse(action)?,
        value: [card_private_data.params, params]
            .into_iter()
            .flatten()
            .map(Params::value)
            .find(|value| !value.is_empty())
            .unwrap_or_default(),
    })
}

/// See [`super::call::acknowledge`]. A decision changes the card for everyone, in the response and again some seconds
/// later. Only the person who clicked reads why a click was not carried out.
pub(super) fn acknowledge(notice: &ClickNotice) -> Acknowledgement {
    let content = Content::of(&Notice::Click(notice.clone()));
    let (card_data, private_data, notice_after) = match &notice.result {
        ClickResult::Approved(_) => {
            (card(&content, Status::Approved), json!({ "note": "" }), Some(NOTICE_AFTER))
        }
        ClickResult::Declined(_) => {
            (card(&content, Status::Declined), json!({ "note": "" }), Some(NOTICE_AFTER))
        }
        ClickResult::Expired(_) | ClickResult::NotAllowed(_) => {
            (json!({}), json!({ "note": note(&content) }), None)
        }
    };
    let body = json!({
        "cardUpdateOptions": { "updateCardDataByKey": true, "updatePrivateDataByKey": true },
        "cardData": { "cardParamMap": card_data },
        "userPrivateData": { "cardParamMap": private_data },
    });
    Acknowledgement { body: Some(body), notice_after }
}

#[cfg(test)]
mod tests;
