//! The requests to the app: robot messages and card callbacks, signed. Without clock and I/O.
//!
//! Source: open.dingtalk.com, "Receive messages" of robots in HTTP mode, and "Callback of a card event".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::request::{self, unique_digits};

use super::cards::{CLICK_PARAMETERS, Card};
use super::signature::{
    CARD_SIGNATURE_HEADER, CARD_TIMESTAMP_HEADER, MESSAGE_SIGNATURE_HEADER, MESSAGE_TIMESTAMP_HEADER, base64,
    card_signature, message_signature,
};
use super::workspace::{Author, Content, Conversation, Workspace};

/// The lifetime of a session webhook in the documented example.
const SESSION_WEBHOOK_LIFETIME: Duration = Duration::from_secs(5402);

/// A request to the app, whose body is JSON.
pub type SignedRequest = request::SignedRequest<UserAction>;

/// What the user did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAction {
    Message,
    Click {
        out_track_id: String,
        /// The route of the callback.
        route_key: String,
        /// The text on the button.
        label: String,
    },
}

/// Why a user cannot do this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    #[error("there is no conversation {0}")]
    NoConversation(String),
    #[error("{user} is not a member of {conversation}")]
    NotAMember { user: String, conversation: String },
    #[error("the robot is not a member of {0}")]
    NoRobot(String),
    #[error("there is no card {0}")]
    NoCard(String),
    #[error("{user} sees no button {action_id} on the card {out_track_id}")]
    NoButton { user: String, action_id: String, out_track_id: String },
    #[error("{user} sees no card with a button {action_id} in {conversation}")]
    NoCardWithButton { user: String, action_id: String, conversation: String },
}

impl Workspace {
    /// Sends a message that mentions the robot to a conversation, and returns the request for it.
    pub fn command(
        &mut self,
        text: &str,
        user: &str,
        id: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let name = self.app.name.clone();
        let conversation =
            self.conversations.get_mut(id).ok_or_else(|| ActionError::NoConversation(id.to_owned()))?;
        if !conversation.members.contains(user) && !conversation.guests.contains(user) {
            return Err(ActionError::NotAMember { user: user.to_owned(), conversation: id.to_owned() });
        }
        if !conversation.has_robot {
            return Err(ActionError::NoRobot(id.to_owned()));
        }
        let shown = if conversation.is_single { text.to_owned() } else { format!("@{name} {text}") };
        conversation.post(Author::User(user.to_owned()), Content::Text(shown), now);
        let conversation = &self.conversations[id];
        let body = self.message_body(text, user, (id, conversation), now);
        let headers = self.sign_message(milliseconds(now)).to_vec();
        Ok(signed(headers, &body, id, user, UserAction::Message))
    }

    fn message_body(
        &self,
        text: &str,
        user: &str,
        (id, conversation): (&str, &Conversation),
        now: SystemTime,
    ) -> Value {
        let mut body = json!({
            "conversationId": id,
            "atUsers": [{ "dingtalkId": self.app.robot_user }],
            "chatbotCorpId": self.corp,
            "chatbotUserId": self.app.robot_user,
            "msgId": format!("msg{}", base64(&unique_digits(now).as_bytes()[..16])),
            "senderNick": nick(user),
            "isAdmin": false,
            // The URL of the real platform, as in real requests. The functions must not use it.
            "sessionWebhook": format!("https://oapi.dingtalk.com/robot/sendBySession?session={}", &unique_digits(now)[..32]),
            "sessionWebhookExpiredTime": milliseconds(now + SESSION_WEBHOOK_LIFETIME),
            "createAt": milliseconds(now),
            "senderCorpId": self.corp,
            "senderId": encrypted_id(user),
            "conversationType": if conversation.is_single { "1" } else { "2" },
            "robotCode": self.app.robot_code,
            "msgtype": "text",
        });
        // The platform removes the mention and keeps the spaces around it.
        let content = if conversation.is_single { text.to_owned() } else { format!(" {text}") };
        if self.forms.has_top_level_content {
            body["content"] = json!(content);
        } else {
            body["text"] = json!({ "content": content });
        }
        if !conversation.is_single {
            body["conversationTitle"] = json!(conversation.title);
            body["isInAtList"] = json!(true);
        }
        if conversation.members.contains(user) {
            body["senderStaffId"] = json!(user);
        }
        body
    }

    /// The request for a click on a button that the user sees on a card now.
    pub fn click(
        &self,
        out_track_id: &str,
        action_id: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let (id, card) =
            self.card(out_track_id).ok_or_else(|| ActionError::NoCard(out_track_id.to_owned()))?;
        if !self.conversations[id].members.contains(user) {
            return Err(ActionError::NotAMember { user: user.to_owned(), conversation: id.to_owned() });
        }
        let button = card.buttons(user).into_iter().find(|button| button.action_id == action_id);
        let button = button.ok_or_else(|| ActionError::NoButton {
            user: user.to_owned(),
            action_id: action_id.to_owned(),
            out_track_id: out_track_id.to_owned(),
        })?;
        let mut body = json!({
            "type": "actionCallback",
            "outTrackId": out_track_id,
            "corpId": self.corp,
            "userId": user,
        });
        let params = click_parameters(card, user);
        if self.forms.has_click_in_value {
            let data = json!({ "cardPrivateData": { "actionIds": [action_id] }, "params": params });
            body["value"] = json!(data.to_string());
        } else {
            let data = json!({ "cardPrivateData": { "actionIds": [action_id], "params": params } });
            body["content"] = json!(data.to_string());
        }
        let divisor = if self.forms.has_click_time_in_seconds { 1000 } else { 1 };
        let headers = self.sign_callback(&card.route_key, milliseconds(now) / divisor);
        let action = UserAction::Click {
            out_track_id: out_track_id.to_owned(),
            route_key: card.route_key.clone(),
            label: button.label,
        };
        Ok(signed(headers, &body, id, user, action))
    }

    /// The request for a click on the newest card of a conversation on which the user sees this button.
    pub fn click_newest(
        &self,
        conversation: &str,
        action_id: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        if !self.conversations.contains_key(conversation) {
            return Err(ActionError::NoConversation(conversation.to_owned()));
        }
        let newest = self.newest_with_button(conversation, action_id, user);
        let newest = newest.ok_or_else(|| ActionError::NoCardWithButton {
            user: user.to_owned(),
            action_id: action_id.to_owned(),
            conversation: conversation.to_owned(),
        })?;
        self.click(&newest.out_track_id, action_id, user, now)
    }

    /// The headers that sign a robot message at this time, in milliseconds since 1970.
    #[must_use]
    pub fn sign_message(&self, timestamp: u64) -> [(&'static str, String); 2] {
        [
            (MESSAGE_TIMESTAMP_HEADER, timestamp.to_string()),
            (MESSAGE_SIGNATURE_HEADER, message_signature(&self.app.secret, timestamp)),
        ]
    }

    /// The headers that sign a callback of a route; none if the route has no secret.
    #[must_use]
    pub fn sign_callback(&self, route_key: &str, timestamp: u64) -> Vec<(&'static str, String)> {
        let secret = self.callback_routes.get(route_key).and_then(|route| route.api_secret.as_ref());
        let headers = secret.map(|secret| {
            [
                (CARD_TIMESTAMP_HEADER, timestamp.to_string()),
                (CARD_SIGNATURE_HEADER, card_signature(secret, timestamp)),
            ]
        });
        headers.into_iter().flatten().collect()
    }
}

fn signed(
    signature: Vec<(&'static str, String)>,
    body: &Value,
    conversation: &str,
    user: &str,
    action: UserAction,
) -> SignedRequest {
    let mut headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    headers.extend(signature);
    SignedRequest {
        headers,
        body: body.to_string(),
        conversation: conversation.to_owned(),
        user: user.to_owned(),
        action,
    }
}

/// The parameters that the template's buttons pass; an absent one is empty.
fn click_parameters(card: &Card, user: &str) -> Map<String, Value> {
    let parameters = card.parameters_of(user);
    let value = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    CLICK_PARAMETERS.iter().map(|name| ((*name).to_owned(), json!(value(name)))).collect()
}

pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let milliseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

/// The id of a user that the platform made for this app.
fn encrypted_id(user: &str) -> String {
    format!("$:LWCP_v1:${}", base64(&Sha256::digest(user.as_bytes())[..16]))
}

/// The name that a user has chosen. It has markup, so that a text that shows it unescaped is noticed.
fn nick(user: &str) -> String {
    format!("小钉**[{user}](https://example.invalid)**")
}
