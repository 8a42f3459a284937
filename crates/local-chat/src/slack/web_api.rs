//! The Web API: `chat.postMessage`, `chat.update` and `chat.postEphemeral`. Without clock and I/O.
//!
//! Source: docs.slack.dev, "Web API" and the pages of the methods.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::api::{self, json_response};
use crate::journal::JournalEntry;
use crate::loopback::Reaction;

use super::blocks;
use super::timestamp::Timestamp;
use super::workspace::{Author, Channel, Workspace};

/// The path prefix of the methods.
pub(super) const PREFIX: &str = "/api/";

/// The methods that are simulated.
pub(super) const METHODS: [&str; 3] = ["chat.postMessage", "chat.postEphemeral", "chat.update"];

/// The longest text of a new message, in characters.
const TEXT_MAX: usize = 40_000;

/// The longest text of an update and of an ephemeral message, in characters.
const SHORT_TEXT_MAX: usize = 4000;

type Arguments = Map<String, Value>;

/// A call that is not carried out.
#[derive(Debug)]
struct Refusal {
    code: String,
    /// What is wrong with the arguments.
    errors: Vec<String>,
    /// The time until the caller may call again.
    retry_after: Option<Duration>,
}

impl From<&str> for Refusal {
    fn from(code: &str) -> Self {
        Self { code: code.to_owned(), errors: Vec::new(), retry_after: None }
    }
}

impl Refusal {
    fn with_errors(code: &str, errors: Vec<String>) -> Self {
        Self { errors, ..Self::from(code) }
    }

    fn response(&self) -> Response<Bytes> {
        let mut body = json!({ "ok": false, "error": self.code });
        if !self.errors.is_empty() {
            let messages: Vec<_> = self.errors.iter().map(|error| format!("[ERROR] {error}")).collect();
            body["errors"] = json!(self.errors);
            body["response_metadata"] = json!({ "messages": messages });
        }
        let mut response = json_response(&body);
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never earlier than the end of the wait.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Carries out a call, or applies the fault that is planned for it, and records it in the journal.
pub(super) fn call(
    workspace: &mut Workspace,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let fault = workspace.faults.take(method);
    let refuse = |code: &str| Refusal::from(code).response();
    let (reaction, ending) =
        api::answer(fault, refuse, || match carry_out(workspace, method, headers, body, now) {
            Ok(body) => (json_response(&body), None),
            Err(refusal) => (refusal.response(), Some(refusal.code)),
        });
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(arguments) = body.as_object_mut() {
        arguments.remove("token");
    }
    workspace.journal.push(JournalEntry { at: now, method: method.to_owned(), body, ending });
    reaction
}

fn carry_out(
    workspace: &mut Workspace,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Result<Value, Refusal> {
    let carry_out = match method {
        "chat.postMessage" => post_message,
        "chat.postEphemeral" => post_ephemeral,
        "chat.update" => update,
        _ => return Err(Refusal::from("unknown_method")),
    };
    authenticate(workspace, headers)?;
    let has_charset = check_content_type(headers)?;
    let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::from("invalid_json"))?;
    let arguments = body.as_object().ok_or("json_not_object")?;
    let mut response = carry_out(workspace, arguments, now)?;
    response["ok"] = json!(true);
    if !has_charset {
        response["warning"] = json!("missing_charset");
        response["response_metadata"] = json!({ "warnings": ["missing_charset"] });
    }
    Ok(response)
}

fn authenticate(workspace: &Workspace, headers: &HeaderMap) -> Result<(), Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match authorization.and_then(|value| value.strip_prefix("Bearer ")) {
        None => Err(Refusal::from("not_authed")),
        Some(token) if workspace.app.bot_tokens.contains(token) => Ok(()),
        Some(_) => Err(Refusal::from("invalid_auth")),
    }
}

/// Returns whether the content type names its character set, which Slack asks for.
fn check_content_type(headers: &HeaderMap) -> Result<bool, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).ok_or("missing_post_type")?;
    let content_type = content_type.to_str().map_err(|_| "invalid_post_type")?.to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    match parts.next() {
        Some("application/json") => {}
        // Slack accepts forms too; the simulator does not read them.
        Some("application/x-www-form-urlencoded" | "multipart/form-data") => {
            return Err(Refusal::from("invalid_form_data"));
        }
        _ => return Err(Refusal::from("invalid_post_type")),
    }
    match parts.find_map(|part| part.strip_prefix("charset=")) {
        None => Ok(false),
        Some("utf-8" | "\"utf-8\"") => Ok(true),
        Some(_) => Err(Refusal::from("invalid_charset")),
    }
}

fn post_message(workspace: &mut Workspace, arguments: &Arguments, now: SystemTime) -> Result<Value, Refusal> {
    let channel_id = required(arguments, "channel")?;
    let content = Content::of(arguments, TEXT_MAX)?;
    let rate_limit = workspace.rate_limit;
    let channel = open_channel(workspace, channel_id)?;
    let thread_ts = thread(channel, arguments)?;
    if let Some(limit) = rate_limit {
        limit
            .admit(&mut channel.rate_used_until, now)
            .map_err(|wait| Refusal { retry_after: Some(wait), ..Refusal::from("ratelimited") })?;
    }
    let message = channel.post(Author::App, content.text.unwrap_or_default(), now);
    message.blocks = content.blocks.unwrap_or_default();
    message.thread_ts = thread_ts;
    let message = message.clone();
    let object = workspace.message_object(&message, false);
    Ok(json!({ "channel": channel_id, "ts": message.ts, "message": object }))
}

fn post_ephemeral(
    workspace: &mut Workspace,
    arguments: &Arguments,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let channel_id = required(arguments, "channel")?;
    let user = required(arguments, "user")?;
    let content = Content::of(arguments, SHORT_TEXT_MAX)?;
    let channel = open_channel(workspace, channel_id)?;
    if !channel.members.contains(user) {
        return Err(Refusal::from("user_not_in_channel"));
    }
    let thread_ts = thread(channel, arguments)?;
    let message = channel.post(Author::App, content.text.unwrap_or_default(), now);
    message.blocks = content.blocks.unwrap_or_default();
    message.thread_ts = thread_ts;
    message.visible_to = Some(user.to_owned());
    Ok(json!({ "message_ts": message.ts }))
}

fn update(workspace: &mut Workspace, arguments: &Arguments, now: SystemTime) -> Result<Value, Refusal> {
    let channel_id = required(arguments, "channel")?;
    let ts = required(arguments, "ts")?;
    let content = Content::of(arguments, SHORT_TEXT_MAX)?;
    let channel = open_channel(workspace, channel_id)?;
    let ts: Timestamp = ts.parse().map_err(|_| "message_not_found")?;
    let has_replies = channel.has_replies(ts);
    let mut messages = channel.messages.iter_mut();
    let message = messages.find(|message| message.ts == ts && message.visible_to.is_none());
    let message = message.ok_or("message_not_found")?;
    if message.author != Author::App {
        return Err(Refusal::from("cant_update_message"));
    }
    // A text without blocks removes the message's blocks.
    content.text.unwrap_or_default().clone_into(&mut message.text);
    message.blocks = content.blocks.unwrap_or_default();
    message.edited = Some(Timestamp::after(Some(ts), now));
    let message = message.clone();
    let object = workspace.message_object(&message, has_replies);
    Ok(json!({ "channel": channel_id, "ts": ts, "text": message.text, "message": object }))
}

/// The text and the blocks of a call, at least one of them.
struct Content<'a> {
    text: Option<&'a str>,
    blocks: Option<Vec<Value>>,
}

impl<'a> Content<'a> {
    fn of(arguments: &'a Arguments, text_max: usize) -> Result<Self, Refusal> {
        let text = optional(arguments, "text")?.filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.chars().count() > text_max) {
            return Err(Refusal::from("msg_too_long"));
        }
        let blocks = match arguments.get("blocks") {
            None | Some(Value::Null) => None,
            Some(Value::Array(given)) => Some(
                blocks::checked(given).map_err(|errors| Refusal::with_errors("invalid_blocks", errors))?,
            ),
            Some(_) => return Err(Refusal::from("invalid_blocks_format")),
        };
        if text.is_none() && blocks.as_ref().is_none_or(Vec::is_empty) {
            return Err(Refusal::from("no_text"));
        }
        Ok(Self { text, blocks })
    }
}

/// The channel, if the app may write in it.
fn open_channel<'a>(workspace: &'a mut Workspace, id: &str) -> Result<&'a mut Channel, Refusal> {
    match workspace.channels.get_mut(id) {
        None => Err(Refusal::from("channel_not_found")),
        // Slack does not reveal a private channel to an app that is not in it.
        Some(channel) if channel.is_private && !channel.has_app => Err(Refusal::from("channel_not_found")),
        Some(channel) if channel.is_archived => Err(Refusal::from("is_archived")),
        Some(channel) if !channel.has_app => Err(Refusal::from("not_in_channel")),
        Some(channel) => Ok(channel),
    }
}

/// The message to reply to, which must not be a reply itself.
fn thread(channel: &Channel, arguments: &Arguments) -> Result<Option<Timestamp>, Refusal> {
    let Some(ts) = optional(arguments, "thread_ts")? else { return Ok(None) };
    let ts: Timestamp = ts.parse().map_err(|_| "thread_not_found")?;
    let mut parents = channel.messages.iter().filter(|message| message.thread_ts.is_none());
    let is_parent = parents.any(|message| message.ts == ts && message.visible_to.is_none());
    if is_parent { Ok(Some(ts)) } else { Err(Refusal::from("thread_not_found")) }
}

fn required<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, Refusal> {
    let missing =
        || Refusal::with_errors("invalid_arguments", vec![format!("missing required field: {name}")]);
    optional(arguments, name)?.ok_or_else(missing)
}

fn optional<'a>(arguments: &'a Arguments, name: &str) -> Result<Option<&'a str>, Refusal> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            let error = format!("must be a string [json-pointer:/{name}]");
            Err(Refusal::with_errors("invalid_arguments", vec![error]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_rounded_up_to_whole_seconds() {
        for (wait_ms, seconds) in [(1, "1"), (1000, "1"), (1500, "2")] {
            let retry_after = Some(Duration::from_millis(wait_ms));
            let response = Refusal { retry_after, ..Refusal::from("ratelimited") }.response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
