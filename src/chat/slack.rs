//! Slack: verifies and parses its calls. [`message`] renders what it shows, [`api`] calls its Web API.
//!
//! Source of the protocol: Slack's documentation on verifying requests, slash commands and interaction payloads.

pub mod api;
pub mod message;

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::Sha256;

use super::call::{Action, COMMAND_DEFAULT, ChatCall, Click, CommandCall, Unopened, UnusableSecrets};
use super::identity::{Conversation, ConversationId, MessageId, Person, Platform, Tenant, TenantId, UserId};
use crate::freshness;
use crate::json::Object;

/// The header with the time of sending, in seconds since 1970-01-01.
const TIMESTAMP: &str = "x-slack-request-timestamp";

/// The header with the signature.
const SIGNATURE: &str = "x-slack-signature";

/// The version of the signature's scheme, which begins the signed text and the signature.
const VERSION: &str = "v0";

/// Maximum number of signing secrets. Every wrong signature is checked against each of them.
const SECRETS_MAX: usize = 10;

/// Length of a signing secret in characters. Slack's have 32.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// Longest name of a command in characters, without the slash: Slack's limit.
const COMMAND_LENGTH_MAX: usize = 32;

/// Maximum length of a check of the address in bytes. It has two fields: `ssl_check` and a token of 24 characters.
const CHECK_LENGTH_MAX: usize = 256;

/// Maximum number of fields of a form. A command has about 15.
const FIELDS_MAX: usize = 64;

/// The signing secrets of the app.
pub struct SigningSecrets(Vec<Hmac<Sha256>>);

impl fmt::Debug for SigningSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecrets(redacted)")
    }
}

impl SigningSecrets {
    const RULE: &'static str =
        "must be an object with signing_secrets, a list of 1 to 10 strings as Slack shows them";

    /// Parses the member of the verification secrets.
    pub(super) fn parse(member: &RawValue) -> Result<Self, UnusableSecrets> {
        #[derive(Deserialize)]
        struct Member {
            signing_secrets: Vec<String>,
        }
        let unusable = UnusableSecrets::Platform { platform: Platform::Slack, rule: Self::RULE };
        let Object(Member { signing_secrets }) = serde_json::from_str(member.get()).map_err(|_| unusable)?;
        let is_secret = |secret: &String| {
            SECRET_LENGTH.contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic())
        };
        if !(1..=SECRETS_MAX).contains(&signing_secrets.len()) || !signing_secrets.iter().all(is_secret) {
            return Err(unusable);
        }
        let key = |secret: &String| Hmac::new_from_slice(secret.as_bytes()).map_err(|_| unusable);
        signing_secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the secrets made the signature. Each comparison takes constant time.
    fn verify(&self, timestamp: &str, body: &[u8], signature: [u8; 32]) -> bool {
        self.0.iter().any(|key| {
            let mut mac = key.clone();
            for part in [VERSION.as_bytes(), b":", timestamp.as_bytes(), b":", body] {
                mac.update(part);
            }
            mac.finalize() == CtOutput::new(signature.into())
        })
    }
}

/// See [`super::call::open`].
pub(super) fn open(
    headers: &HeaderMap,
    body: &[u8],
    received_at: SystemTime,
    secrets: &SigningSecrets,
) -> Result<ChatCall, Unopened> {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Unopened::Headers);
    let timestamp = header(TIMESTAMP)?;
    freshness::check(timestamp, received_at)?;
    let signature = signature(header(SIGNATURE)?).ok_or(Unopened::Headers)?;
    if !secrets.verify(timestamp, body, signature) {
        return Err(Unopened::NoMatch);
    }
    parse(body).ok_or(Unopened::Unknown)
}

/// The bytes of a signature: `v0=` and 64 hexadecimal digits in lower case.
fn signature(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(VERSION)?.strip_prefix('=')?.as_bytes();
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut signature = [0; 32];
    if digits.len() != 2 * signature.len() {
        return None;
    }
    for (byte, pair) in signature.iter_mut().zip(digits.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(signature)
}

/// The call in a verified body; `None` if it is not one of ours.
fn parse(body: &[u8]) -> Option<ChatCall> {
    let form = Form::parse(body)?;
    if form.get("ssl_check") == Some("1") {
        return Some(ChatCall::Handshake(None));
    }
    match form.get("payload") {
        Some(payload) => click(payload).map(ChatCall::Click),
        None => command(&form).map(ChatCall::Command),
    }
}

/// See [`super::call::is_check`]. Slack's own frameworks respond to this check before they verify a signature.
pub(super) fn is_check(body: &[u8]) -> bool {
    let is_of_check = |(name, _): &(Cow<'_, str>, Cow<'_, str>)| ["ssl_check", "token"].contains(&&**name);
    // Commands and clicks are longer, and are not parsed twice.
    body.len() <= CHECK_LENGTH_MAX
        && Form::parse(body)
            .is_some_and(|form| form.get("ssl_check") == Some("1") && form.0.iter().all(is_of_check))
}

/// See [`super::call::looks_like_a_command`].
pub(super) fn looks_like_a_command(body: &[u8]) -> bool {
    Form::parse(body).is_some_and(|form| form.get("command").is_some())
}

fn command(form: &Form<'_>) -> Option<CommandCall> {
    let name = form.get("command")?;
    let tenant = Tenant { platform: Platform::Slack, id: TenantId::parse(form.get("team_id")?)? };
    Some(CommandCall {
        person: Person { tenant: tenant.clone(), id: UserId::parse(form.get("user_id")?)? },
        conversation: Conversation { tenant, id: ConversationId::parse(form.get("channel_id")?)? },
        message: None,
        name: if is_command_name(name) { name } else { COMMAND_DEFAULT }.to_owned(),
        text: form.get("text").unwrap_or_default().to_owned(),
        platform_id: form.get("trigger_id").filter(|id| !id.is_empty())?.to_owned(),
    })
}

/// Whether this is the name of a command as Slack requires it: a slash, then letters in lower case, digits, `_` and `-`.
fn is_command_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    text.strip_prefix('/')
        .is_some_and(|name| (1..=COMMAND_LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_allowed))
}

/// The parts of an interaction payload that matter.
#[derive(Deserialize)]
struct Payload {
    r#type: String,
    team: Team,
    user: User,
    channel: Channel,
    container: Container,
    actions: Vec<RawAction>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    /// The workspace of the person: in a channel that workspaces share, it can differ from that of the channel.
    team_id: String,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
}

#[derive(Deserialize)]
struct Container {
    message_ts: String,
}

#[derive(Deserialize)]
struct RawAction {
    action_id: String,
    #[serde(default)]
    value: String,
}

fn click(payload: &str) -> Option<Click> {
    let Object(payload): Object<Payload> = serde_json::from_str(payload).ok()?;
    let [action] =
        <[RawAction; 1]>::try_from(payload.actions).ok().filter(|_| payload.r#type == "block_actions")?;
    let tenant = |id: &str| TenantId::parse(id).map(|id| Tenant { platform: Platform::Slack, id });
    let conversation =
        Conversation { tenant: tenant(&payload.team.id)?, id: ConversationId::parse(&payload.channel.id)? };
    Some(Click {
        person: Person { tenant: tenant(&payload.user.team_id)?, id: UserId::parse(&payload.user.id)? },
        conversation: Some(conversation),
        message: Some(MessageId::parse(&payload.container.message_ts)?),
        action: Action::parse(&action.action_id)?,
        value: action.value,
    })
}

/// The fields of a body of the type `application/x-www-form-urlencoded`.
struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// `None` if there are too many fields.
    fn parse(body: &'a [u8]) -> Option<Self> {
        let fields: Vec<_> = form_urlencoded::parse(body).take(FIELDS_MAX + 1).collect();
        (fields.len() <= FIELDS_MAX).then_some(Self(fields))
    }

    /// The value of a field; `None` if the form does not have it, or has it twice.
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| &**value);
        values.next().filter(|_| values.next().is_none())
    }
}

/// See [`super::call::answer`]. A section of plain text shows it as it is.
pub(super) fn answer(text: &str) -> Value {
    json!({
        "response_type": "ephemeral",
        "text": message::escaped(text),
        "blocks": [{ "type": "section", "text": { "type": "plain_text", "text": text } }],
    })
}

#[cfg(test)]
mod tests;
