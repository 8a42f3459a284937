//! The requests that Slack sends to the app: slash commands and clicks, signed. Without clock and I/O.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use thiserror::Error;

use crate::request::{self, unique_digits};

use super::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
use super::timestamp::Timestamp;
use super::workspace::{Channel, Message, Workspace};

/// A request to the app, whose body is a form in ASCII.
pub type SignedRequest = request::SignedRequest<UserAction>;

/// What the user did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAction {
    Command {
        command: String,
        text: String,
    },
    Click {
        /// The text on the button.
        label: String,
    },
}

/// Why a user cannot do this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    #[error("there is no channel {0}")]
    NoChannel(String),
    #[error("{user} is not a member of {channel}")]
    NotAMember { user: String, channel: String },
    #[error("{0} is archived")]
    Archived(String),
    #[error("{user} sees no message {ts} in {channel}")]
    NoMessage { user: String, ts: Timestamp, channel: String },
    #[error("the message {ts} has no button {action_id}")]
    NoButton { ts: Timestamp, action_id: String },
    #[error("{user} sees no message with a button {action_id} in {channel}")]
    NoMessageWithButton { user: String, action_id: String, channel: String },
}

impl Workspace {
    /// The request for a slash command that a user sends in a channel.
    pub fn command(
        &mut self,
        text: &str,
        user: &str,
        channel: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let channel_name = match self.channel_of(user, channel)? {
            // Slack does not reveal a private channel's name to a command.
            Channel { is_private: true, .. } => "privategroup".to_owned(),
            Channel { name, .. } => name.clone(),
        };
        let (trigger_id, secret) = next_trigger(now);
        let response_url = self.response_url("commands", &secret);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", &self.app.verification_token)
            .append_pair("team_id", &self.team)
            .append_pair("team_domain", &self.team_domain);
        if let Some(enterprise) = &self.enterprise {
            form.append_pair("enterprise_id", enterprise).append_pair("enterprise_name", &self.team_domain);
        }
        form.append_pair("channel_id", channel)
            .append_pair("channel_name", &channel_name)
            .append_pair("user_id", user)
            .append_pair("user_name", &user_name(user))
            .append_pair("command", &self.app.command)
            .append_pair("text", text)
            .append_pair("api_app_id", &self.app.id)
            .append_pair("is_enterprise_install", "false")
            .append_pair("response_url", &response_url)
            .append_pair("trigger_id", &trigger_id);
        let action = UserAction::Command { command: self.app.command.clone(), text: text.to_owned() };
        Ok(self.signed(form.finish(), channel, user, action, now))
    }

    /// The request for a click on a button that a message has now.
    pub fn click(
        &mut self,
        channel: &str,
        ts: Timestamp,
        action_id: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        let found = self.channel_of(user, channel)?;
        let channel_name = found.name.clone();
        let message = found.messages.iter().find(|message| message.ts == ts && message.is_visible_to(user));
        let message = message.cloned().ok_or_else(|| ActionError::NoMessage {
            user: user.to_owned(),
            ts,
            channel: channel.to_owned(),
        })?;
        let has_replies = found.has_replies(ts);
        let (block, button) = message
            .buttons_in_blocks()
            .find(|(_, button)| button["action_id"] == action_id)
            .ok_or_else(|| ActionError::NoButton { ts, action_id: action_id.to_owned() })?;

        let (trigger_id, secret) = next_trigger(now);
        let mut payload = json!({
            "type": "block_actions",
            "user": {
                "id": user, "username": user_name(user), "name": user_name(user), "team_id": self.team,
            },
            "api_app_id": self.app.id,
            "token": self.app.verification_token,
            "container": container(&message, channel),
            "trigger_id": trigger_id,
            "team": { "id": self.team, "domain": self.team_domain },
            "enterprise": self.enterprise.as_ref().map(|id| json!({ "id": id, "name": self.team_domain })),
            "is_enterprise_install": false,
            "channel": { "id": channel, "name": channel_name },
            "state": { "values": {} },
            "response_url": self.response_url("actions", &secret),
            "actions": [action(block, button, Timestamp::of(now))],
        });
        // Slack does not send an ephemeral message back.
        if message.visible_to.is_none() {
            payload["message"] = self.message_object(&message, has_replies);
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &payload.to_string());
        let label = button["text"]["text"].as_str().unwrap_or_default().to_owned();
        Ok(self.signed(form.finish(), channel, user, UserAction::Click { label }, now))
    }

    /// The same for the newest message that has this button.
    pub fn click_newest(
        &mut self,
        channel: &str,
        action_id: &str,
        user: &str,
        now: SystemTime,
    ) -> Result<SignedRequest, ActionError> {
        if !self.channels.contains_key(channel) {
            return Err(ActionError::NoChannel(channel.to_owned()));
        }
        let newest = self.newest_with_button(channel, action_id, user).map(|message| message.ts);
        let ts = newest.ok_or_else(|| ActionError::NoMessageWithButton {
            user: user.to_owned(),
            action_id: action_id.to_owned(),
            channel: channel.to_owned(),
        })?;
        self.click(channel, ts, action_id, user, now)
    }

    /// The headers that sign a body at this time, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, body: &str, timestamp: u64) -> [(&'static str, String); 2] {
        [
            (TIMESTAMP_HEADER, timestamp.to_string()),
            (SIGNATURE_HEADER, signature(&self.app.signing_secret, timestamp, body)),
        ]
    }

    fn signed(
        &self,
        body: String,
        channel: &str,
        user: &str,
        action: UserAction,
        now: SystemTime,
    ) -> SignedRequest {
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("accept", "application/json,*/*".to_owned()),
            ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)".to_owned()),
        ];
        headers.extend(self.sign(&body, now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()));
        SignedRequest { headers, body, conversation: channel.to_owned(), user: user.to_owned(), action }
    }

    /// The channel, if the user can act in it.
    fn channel_of(&self, user: &str, id: &str) -> Result<&Channel, ActionError> {
        let channel = self.channels.get(id).ok_or_else(|| ActionError::NoChannel(id.to_owned()))?;
        if !channel.members.contains(user) {
            return Err(ActionError::NotAMember { user: user.to_owned(), channel: id.to_owned() });
        }
        if channel.is_archived { Err(ActionError::Archived(id.to_owned())) } else { Ok(channel) }
    }

    /// A URL of Slack, as in real requests. The simulator does not serve it, because the functions must not use it.
    fn response_url(&self, kind: &str, secret: &str) -> String {
        format!("https://hooks.slack.com/{kind}/{}/{secret}", self.team)
    }
}

fn container(message: &Message, channel: &str) -> Value {
    let mut container = json!({
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel,
        "is_ephemeral": message.visible_to.is_some(),
    });
    if let Some(thread) = message.thread_ts {
        container["thread_ts"] = json!(thread);
    }
    container
}

/// The button as it is in the stored message, and the time of the click.
fn action(block: &Value, button: &Value, at: Timestamp) -> Value {
    let mut action = json!({ "type": "button", "block_id": block["block_id"], "action_ts": at });
    for name in ["action_id", "text", "value", "style", "url"] {
        if let Some(value) = button.get(name) {
            action[name] = value.clone();
        }
    }
    action
}

/// A new trigger id, and the secret of a response URL.
fn next_trigger(now: SystemTime) -> (String, String) {
    let milliseconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let digits = unique_digits(now);
    let (trigger, secret) = digits.split_at(32);
    (format!("{milliseconds}.47445629121.{trigger}"), format!("{milliseconds}/{secret}"))
}

/// A user's name, which the user can change; an app must not rely on it.
fn user_name(user: &str) -> String {
    user.to_ascii_lowercase()
}
