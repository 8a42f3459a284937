//! The server API: the tenant access token, new messages, replies and changes of cards. Without clock and I/O.
//!
//! Source: open.feishu.cn, "Server API": authentication, and the pages of `im/v1/messages`.

use std::time::{Duration, SystemTime};

use http::{Method, header, request};
use serde_json::{Map, Value, json};

use crate::api::{self, json_response};
use crate::journal::JournalEntry;
use crate::loopback::Reaction;

use super::cards;
use super::refusal::{
    INVALID_CARD, INVALID_FIELD, INVALID_JSON, INVALID_PARAMETER, INVALID_REQUEST, INVALID_SECRET,
    INVALID_TOKEN, MISSING_TOKEN, NO_THREADS, NOT_A_CARD, NOT_IN_CHAT, RECALLED, Refusal, TOO_FAST, TOO_LONG,
    TOO_OLD,
};
use super::requests::milliseconds;
use super::workspace::{Author, Content, Message, Workspace};

const PREFIX: &str = "/open-apis/";

const TOKEN: &str = "auth.tenant_access_token.internal";
const CREATE: &str = "im.message.create";
const REPLY: &str = "im.message.reply";
const PATCH: &str = "im.message.patch";

/// The methods that are simulated, by the names that Feishu's own clients use.
pub(super) const METHODS: [&str; 4] = [TOKEN, CREATE, REPLY, PATCH];

/// The largest text message, in bytes of its content.
const TEXT_BYTES_MAX: usize = 150 * 1024;

/// Characters of a `uuid`.
const UUID_MAX: usize = 50;

/// How long a `uuid` prevents a second message.
const UUID_LIFETIME: Duration = Duration::from_hours(1);

/// How long a card can be changed.
const CHANGED_FOR: Duration = Duration::from_hours(14 * 24);

type Arguments = Map<String, Value>;

/// A call, by its path.
enum Call<'a> {
    Token,
    Create,
    Reply(&'a str),
    Patch(&'a str),
}

impl<'a> Call<'a> {
    fn of(method: &Method, path: &'a str) -> Option<Self> {
        let path = path.strip_prefix(PREFIX)?;
        match (method, path, path.strip_prefix("im/v1/messages/")) {
            (&Method::POST, "auth/v3/tenant_access_token/internal", _) => Some(Self::Token),
            (&Method::POST, "im/v1/messages", _) => Some(Self::Create),
            (&Method::POST, _, Some(rest)) => rest.strip_suffix("/reply").map(Self::Reply),
            (&Method::PATCH, _, Some(id)) => Some(Self::Patch(id)),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Token => TOKEN,
            Self::Create => CREATE,
            Self::Reply(_) => REPLY,
            Self::Patch(_) => PATCH,
        }
    }
}

/// Carries out a call, or applies the fault that is planned for it, and records it in the journal. `None` if the path is
/// that of no method.
pub(super) fn call(
    workspace: &mut Workspace,
    head: &request::Parts,
    body: &[u8],
    now: SystemTime,
) -> Option<Reaction> {
    let call = Call::of(&head.method, head.uri.path())?;
    let method = call.name();
    let fault = workspace.faults.take(method);
    let refuse = |code: &str| Refusal::from(code.parse().unwrap_or(INVALID_REQUEST)).response();
    let (reaction, ending) =
        api::answer(fault, refuse, || match carry_out(workspace, &call, head, body, now) {
            Ok(body) => (json_response(&body), None),
            Err(refusal) => (refusal.response(), Some(refusal.code.to_string())),
        });
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(arguments) = body.as_object_mut() {
        arguments.remove("app_secret");
        if let Call::Reply(id) | Call::Patch(id) = call {
            arguments.insert("message_id".to_owned(), json!(id));
        }
    }
    workspace.journal.push(JournalEntry { at: now, method: method.to_owned(), body, ending });
    Some(reaction)
}

fn carry_out(
    workspace: &mut Workspace,
    call: &Call<'_>,
    head: &request::Parts,
    body: &[u8],
    now: SystemTime,
) -> Result<Value, Refusal> {
    if !matches!(call, Call::Token) {
        authenticate(workspace, head, now)?;
    }
    // Feishu's own SDK for Python declares no type.
    let content_type = head.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    if content_type.is_some_and(|name| !name.to_ascii_lowercase().starts_with("application/json")) {
        return Err(Refusal::with(INVALID_JSON, "content-type"));
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| INVALID_JSON)?;
    let arguments = body.as_object().ok_or(INVALID_JSON)?;
    match call {
        Call::Token => token(workspace, arguments, now),
        Call::Create => create(workspace, head.uri.query().unwrap_or_default(), arguments, now),
        Call::Reply(id) => reply(workspace, id, arguments, now),
        Call::Patch(id) => patch(workspace, id, arguments, now),
    }
}

fn authenticate(workspace: &Workspace, head: &request::Parts, now: SystemTime) -> Result<(), Refusal> {
    let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match authorization.and_then(|value| value.strip_prefix("Bearer ")) {
        None => Err(Refusal::from(MISSING_TOKEN)),
        Some(token) if workspace.tokens.is_valid(token, now) => Ok(()),
        Some(_) => Err(Refusal::from(INVALID_TOKEN)),
    }
}

fn token(workspace: &mut Workspace, arguments: &Arguments, now: SystemTime) -> Result<Value, Refusal> {
    let (id, secret) = (required(arguments, "app_id")?, required(arguments, "app_secret")?);
    if id != workspace.app.id {
        return Err(Refusal::from(INVALID_PARAMETER));
    }
    if secret != workspace.app.secret {
        return Err(Refusal::from(INVALID_SECRET));
    }
    let (token, left) = workspace.tokens.issue(workspace.token_lifetime, now);
    Ok(json!({ "code": 0, "msg": "ok", "tenant_access_token": token, "expire": left.as_secs() }))
}

fn create(
    workspace: &mut Workspace,
    query: &str,
    arguments: &Arguments,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    if !parameters.any(|(name, value)| name == "receive_id_type" && value == "chat_id") {
        return Err(Refusal::with(INVALID_FIELD, "receive_id_type"));
    }
    let chat_id = required(arguments, "receive_id")?;
    let new = New::of(arguments)?;
    if !workspace.chats.contains_key(chat_id) {
        return Err(Refusal::with(INVALID_REQUEST, "invalid receive_id"));
    }
    post(workspace, chat_id, None, new, now)
}

fn reply(
    workspace: &mut Workspace,
    id: &str,
    arguments: &Arguments,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let in_thread = match arguments.get("reply_in_thread") {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().ok_or_else(|| Refusal::with(INVALID_JSON, "reply_in_thread"))?,
    };
    let new = New::of(arguments)?;
    let (chat_id, to) = app_message(workspace, id)?;
    post(workspace, &chat_id, Some((&to, in_thread)), new, now)
}

/// Posts a message, as a reply or not, unless one with the same `uuid` was posted within an hour: then the response names
/// that one.
fn post(
    workspace: &mut Workspace,
    chat_id: &str,
    reply: Option<(&Message, bool)>,
    new: New,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let rate_limit = workspace.rate_limit;
    let chat = workspace.chats.get_mut(chat_id).ok_or(INVALID_REQUEST)?;
    if !chat.has_app {
        return Err(Refusal::from(NOT_IN_CHAT));
    }
    let uuid = new.uuid.map(|uuid| (reply.map(|(to, _)| to.id.clone()), uuid));
    let earlier = uuid.as_ref().and_then(|uuid| chat.uuids.get(uuid));
    let earlier = earlier.filter(|(at, _)| now.duration_since(*at).is_ok_and(|age| age < UUID_LIFETIME));
    if let Some(message) = earlier.and_then(|(_, id)| chat.message(id)).cloned() {
        return Ok(message_response(workspace, chat_id, &message));
    }
    match reply {
        Some((to, _)) if to.is_recalled => return Err(Refusal::from(RECALLED)),
        Some((to, true)) if to.thread.is_none() && !chat.has_threads => {
            return Err(Refusal::from(NO_THREADS));
        }
        _ => {}
    }
    if let Some(limit) = rate_limit {
        limit.admit(&mut chat.rate_used_until, now).map_err(|_wait| TOO_FAST)?;
    }
    let message = match reply {
        Some((to, in_thread)) => chat.reply(to, in_thread, Author::App, new.content, now),
        None => chat.post(Author::App, new.content, now),
    };
    let message = message.clone();
    if let Some(uuid) = uuid {
        chat.uuids.insert(uuid, (now, message.id.clone()));
    }
    Ok(message_response(workspace, chat_id, &message))
}

fn patch(
    workspace: &mut Workspace,
    id: &str,
    arguments: &Arguments,
    now: SystemTime,
) -> Result<Value, Refusal> {
    let content = content("interactive", required(arguments, "content")?)?;
    let (chat_id, message) = app_message(workspace, id)?;
    let chat = workspace.chats.get_mut(&chat_id).ok_or(INVALID_REQUEST)?;
    if !chat.has_app {
        return Err(Refusal::from(NOT_IN_CHAT));
    }
    if message.author != Author::App {
        return Err(Refusal::with(INVALID_REQUEST, "the operator is not the sender of the message"));
    }
    if message.is_recalled {
        return Err(Refusal::from(RECALLED));
    }
    let (Content::Card(old), Content::Card(new)) = (&message.content, &content) else {
        return Err(Refusal::from(NOT_A_CARD));
    };
    if [old, new].iter().any(|card| card["config"]["update_multi"] != true) {
        return Err(Refusal::with(INVALID_CARD, "update_multi must be true before and after"));
    }
    if now.duration_since(message.at).is_ok_and(|age| age > CHANGED_FOR) {
        return Err(Refusal::from(TOO_OLD));
    }
    if let Some(message) = chat.message_mut(id) {
        message.content = content;
        message.edited = Some(now);
    }
    Ok(json!({ "code": 0, "msg": "success", "data": {} }))
}

/// A message that is visible to the app, and the id of its chat.
fn app_message(workspace: &Workspace, id: &str) -> Result<(String, Message), Refusal> {
    let found = workspace.message(id).filter(|(_, message)| message.visible_to.is_none());
    let (chat, message) = found.ok_or_else(|| Refusal::with(INVALID_REQUEST, "invalid message_id"))?;
    Ok((chat.to_owned(), message.clone()))
}

/// A message to post.
struct New {
    content: Content,
    uuid: Option<String>,
}

impl New {
    fn of(arguments: &Arguments) -> Result<Self, Refusal> {
        let content = content(required(arguments, "msg_type")?, required(arguments, "content")?)?;
        let uuid = optional(arguments, "uuid")?;
        if uuid.is_some_and(|uuid| uuid.chars().count() > UUID_MAX) {
            return Err(Refusal::with(INVALID_FIELD, "uuid"));
        }
        Ok(Self { content, uuid: uuid.map(str::to_owned) })
    }
}

/// A message's content, which is JSON in a string.
fn content(kind: &str, text: &str) -> Result<Content, Refusal> {
    let bytes_max = match kind {
        "text" => TEXT_BYTES_MAX,
        "interactive" => cards::BYTES_MAX,
        _ => return Err(Refusal::with(INVALID_REQUEST, "invalid msg_type")),
    };
    if text.len() > bytes_max {
        return Err(Refusal::from(TOO_LONG));
    }
    let not_json = || Refusal::with(INVALID_REQUEST, "content is not a string in json format");
    let value: Value = serde_json::from_str(text).map_err(|_| not_json())?;
    if kind == "interactive" {
        cards::check(&value).map_err(|error| Refusal::with(INVALID_CARD, &error))?;
        return Ok(Content::Card(value));
    }
    let text = value["text"].as_str().filter(|text| !text.is_empty());
    let empty = || Refusal::with(INVALID_REQUEST, "text is empty");
    text.map(|text| Content::Text(text.to_owned())).ok_or_else(empty)
}

fn message_response(workspace: &Workspace, chat: &str, message: &Message) -> Value {
    let (kind, content) = match &message.content {
        Content::Text(text) => ("text", json!({ "text": text })),
        Content::Card(card) => ("interactive", card.clone()),
    };
    let mut data = json!({
        "message_id": message.id,
        "msg_type": kind,
        "create_time": milliseconds(message.at),
        "update_time": milliseconds(message.edited.unwrap_or(message.at)),
        "deleted": message.is_recalled,
        "updated": message.edited.is_some(),
        "chat_id": chat,
        "sender": {
            "id": workspace.app.id, "id_type": "app_id", "sender_type": "app", "tenant_key": workspace.tenant,
        },
        "body": { "content": content.to_string() },
    });
    let ids = [("root_id", &message.root), ("parent_id", &message.parent), ("thread_id", &message.thread)];
    for (name, id) in ids {
        if let Some(id) = id {
            data[name] = json!(id);
        }
    }
    json!({ "code": 0, "msg": "success", "data": data })
}

fn required<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, Refusal> {
    let value = optional(arguments, name)?.filter(|value| !value.is_empty());
    value.ok_or_else(|| Refusal::with(INVALID_FIELD, name))
}

fn optional<'a>(arguments: &'a Arguments, name: &str) -> Result<Option<&'a str>, Refusal> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::with(INVALID_JSON, name)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::feishu::CHAT;

    #[test]
    fn uuid_prevents_a_second_message_for_an_hour() {
        let mut workspace = Workspace::default();
        let mut posted_at = |minutes| {
            let new = New { content: Content::Text("x".to_owned()), uuid: Some("u".to_owned()) };
            let now = UNIX_EPOCH + Duration::from_mins(minutes);
            post(&mut workspace, CHAT, None, new, now).unwrap()["data"]["message_id"].clone()
        };
        let first = posted_at(0);
        assert_eq!(posted_at(59), first);
        assert_ne!(posted_at(60), first);
    }
}
