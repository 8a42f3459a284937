//! A platform's calls to the intake: verified, then parsed into what a person wants.
//!
//! One function per direction: [`open`] for every call, [`answer`], [`acknowledge`] and [`empty`] for its response. Each
//! dispatches to the platform's own module.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

use super::decision::ClickNotice;
use super::identity::{Conversation, MessageId, Person, Platform};
use super::{dingtalk, feishu, slack};
use crate::aws::secret::SecretValue;
use crate::freshness::Untimely;
use crate::json::Entries;

/// A verified call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatCall {
    /// The platform checks the address; the body of the response.
    Handshake(Option<Value>),
    /// A person typed a command.
    Command(CommandCall),
    /// A person clicked a button.
    Click(Click),
    /// Nothing that this application carries out. The reason is for the log.
    Ignored(&'static str),
    /// A command of some minutes ago: the platform repeats a call that got no response. It is not carried out, because the
    /// queue no longer recognizes it as a repetition.
    Late,
}

/// The command's name in texts, where the call does not have a usable one.
pub const COMMAND_DEFAULT: &str = "/privatelink";

/// A command that a person typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandCall {
    pub person: Person,
    pub conversation: Conversation,
    /// The command's own name, which the operator chose in the platform: safe to show, and for texts only.
    pub name: String,
    /// The message with the command, if a platform's command is one.
    pub message: Option<MessageId>,
    /// What follows the command's or the robot's name. Untrusted.
    pub text: String,
    /// The platform's own id of the command: a repeated delivery has the same.
    pub platform_id: String,
}

/// A button that a person clicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    pub person: Person,
    /// Where it was clicked, if the platform names it.
    pub conversation: Option<Conversation>,
    /// The message with the button, if the platform names it.
    pub message: Option<MessageId>,
    pub action: Action,
    /// The value of the button, not verified.
    pub value: String,
}

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Approve,
    Decline,
}

impl Action {
    /// The name in a button.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Approve, Self::Decline].into_iter().find(|action| action.name() == name)
    }
}

/// Why a call is not carried out. For the log only: the response does not say why a call is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unopened {
    #[error("a signature header is missing or not valid")]
    Headers,
    #[error("the timestamp is too old")]
    TooOld,
    #[error("the timestamp is too far ahead")]
    TooEarly,
    /// No verification secret made the signature.
    #[error("no signature matches")]
    NoMatch,
    /// The platform's secrets are not configured.
    #[error("the verification secrets do not name the platform")]
    NotConfigured,
    /// The signature is valid, but the body is neither a command nor a click on a button of this application.
    #[error("the call is neither a command nor a click on a button of this application")]
    Unknown,
}

impl From<Untimely> for Unopened {
    fn from(untimely: Untimely) -> Self {
        match untimely {
            Untimely::NotANumber => Self::Headers,
            Untimely::TooOld => Self::TooOld,
            Untimely::TooEarly => Self::TooEarly,
        }
    }
}

/// The verification secrets of each platform: what the secret that `CHAT_VERIFICATION_SECRET_ARN` names contains.
#[derive(Debug)]
pub struct VerificationSecrets {
    slack: Option<slack::SigningSecrets>,
    dingtalk: Option<dingtalk::Secrets>,
    feishu: Option<feishu::Secrets>,
}

/// Why a text has no usable secrets of the platforms. No variant contains a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnusableSecrets {
    #[error("the secret is not a JSON object with a member for each platform")]
    NotAnObject,
    #[error("the secret has a member that is no platform, or one twice")]
    UnknownMember,
    #[error("the secret's member {} is not valid: it {rule}", .platform.name())]
    Platform { platform: Platform, rule: &'static str },
}

impl SecretValue for VerificationSecrets {
    type Error = UnusableSecrets;

    const NAME: &'static str = "chat verification secrets";

    fn parse(text: &str) -> Result<Self, UnusableSecrets> {
        let mut secrets = Self { slack: None, dingtalk: None, feishu: None };
        for (platform, member) in members(text)? {
            match platform {
                Platform::Slack => secrets.slack = Some(slack::SigningSecrets::parse(&member)?),
                Platform::DingTalk => secrets.dingtalk = Some(dingtalk::Secrets::parse(&member)?),
                Platform::Feishu => secrets.feishu = Some(feishu::Secrets::parse(&member)?),
            }
        }
        Ok(secrets)
    }
}

/// The members of a secret that has one for each platform.
pub(super) fn members(text: &str) -> Result<Vec<(Platform, Box<RawValue>)>, UnusableSecrets> {
    let Entries(entries) = serde_json::from_str(text).map_err(|_| UnusableSecrets::NotAnObject)?;
    let mut members: Vec<(Platform, Box<RawValue>)> = Vec::new();
    for (name, value) in entries {
        let platform = Platform::parse(&name).ok_or(UnusableSecrets::UnknownMember)?;
        if members.iter().any(|(known, _)| *known == platform) {
            return Err(UnusableSecrets::UnknownMember);
        }
        members.push((platform, value));
    }
    Ok(members)
}

/// Verifies and parses a call that arrived at `received_at`. The body must be the bytes that were received.
pub fn open(
    platform: Platform,
    headers: &HeaderMap,
    body: &[u8],
    received_at: SystemTime,
    secrets: &VerificationSecrets,
) -> Result<ChatCall, Unopened> {
    match platform {
        Platform::Slack => {
            let secrets = secrets.slack.as_ref().ok_or(Unopened::NotConfigured)?;
            slack::open(headers, body, received_at, secrets)
        }
        Platform::DingTalk => {
            let secrets = secrets.dingtalk.as_ref().ok_or(Unopened::NotConfigured)?;
            dingtalk::open(headers, body, received_at, secrets)
        }
        Platform::Feishu => {
            let secrets = secrets.feishu.as_ref().ok_or(Unopened::NotConfigured)?;
            feishu::open(headers, body, received_at, secrets)
        }
    }
}

/// Whether a call is the platform's check of the address and nothing else: its response is empty and does not depend on the sender.
#[must_use]
pub fn is_check(platform: Platform, body: &[u8]) -> bool {
    match platform {
        Platform::Slack => slack::is_check(body),
        Platform::DingTalk | Platform::Feishu => false,
    }
}

/// Whether a call that is not verified looks like a command whose sender reads the response.
#[must_use]
pub fn looks_like_a_command(platform: Platform, body: &[u8]) -> bool {
    match platform {
        Platform::Slack => slack::looks_like_a_command(body),
        Platform::DingTalk | Platform::Feishu => false,
    }
}

/// The body of the response to a command: a text for the person who typed it, as plain text. `None` if the platform does not
/// show a response: a notice then says it.
#[must_use]
pub fn answer(platform: Platform, text: &str) -> Option<Value> {
    match platform {
        Platform::Slack => Some(slack::answer(text)),
        Platform::DingTalk | Platform::Feishu => None,
    }
}

/// The response to a click that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledgement {
    pub body: Option<Value>,
    /// After how long the messenger may post the notice; `None` if the response says all that the notice would.
    pub notice_after: Option<Duration>,
}

/// The response to a click that ended as this notice says.
#[must_use]
pub fn acknowledge(notice: &ClickNotice) -> Acknowledgement {
    match notice.conversation.tenant.platform {
        // The response to a click changes nothing in Slack.
        Platform::Slack => Acknowledgement { body: None, notice_after: Some(Duration::ZERO) },
        Platform::DingTalk => dingtalk::acknowledge(notice),
        Platform::Feishu => feishu::acknowledge(notice),
    }
}

/// The body of a response that shows nothing.
#[must_use]
pub fn empty(platform: Platform) -> Option<Value> {
    match platform {
        Platform::Slack => None,
        Platform::DingTalk | Platform::Feishu => Some(json!({})),
    }
}
