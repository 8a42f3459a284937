//! Calls Slack's Web API: the tokens, and the state machine that posts one notice. The module `codes` has what responses mean.
//!
//! Source: Slack's reference of `chat.postMessage`, `chat.update` and `chat.postEphemeral`.

mod codes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::call::UnusableSecrets;
use super::super::content::Content;
use super::super::decision::ClickResult;
use super::super::identity::{MessageId, Platform, TenantId, UserId};
use super::super::notice::Notice;
use super::super::post::{CallResult, End, NoResponse, Step};
use super::message::Message;
use crate::json::{Entries, Object};
use crate::transport::BaseUrl;
use codes::Meaning;

/// Length of a bot token in characters. Slack documents no limit and has about 60.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 8..=512;

/// Longest wait that a response can ask for. Slack asks for seconds; a message cannot stay invisible for more than 12 h.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The bot tokens, one for each workspace, as values of the header `Authorization`.
pub struct Tokens(BTreeMap<TenantId, HeaderValue>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(redacted)")
    }
}

impl Tokens {
    const RULE: &'static str =
        "must be an object with bot_tokens, an object with a token xoxb-… for the id of each workspace";

    /// Parses the member of the tokens.
    pub(crate) fn parse(member: &RawValue) -> Result<Self, UnusableSecrets> {
        #[derive(Deserialize)]
        struct Member {
            bot_tokens: Entries,
        }
        let unusable = UnusableSecrets::Platform { platform: Platform::Slack, rule: Self::RULE };
        let Object(Member { bot_tokens: Entries(entries) }) =
            serde_json::from_str(member.get()).map_err(|_| unusable)?;
        let mut tokens = BTreeMap::new();
        for (tenant, token) in entries {
            let tenant = TenantId::parse(&tenant).ok_or(unusable)?;
            let token: String = serde_json::from_str(token.get()).map_err(|_| unusable)?;
            let bearer = bearer(&token).ok_or(unusable)?;
            if tokens.insert(tenant, bearer).is_some() {
                return Err(unusable);
            }
        }
        if tokens.is_empty() { Err(unusable) } else { Ok(Self(tokens)) }
    }
}

/// The header with a token; `None` if it cannot be one of Slack's.
fn bearer(token: &str) -> Option<HeaderValue> {
    let is_token = TOKEN_LENGTH.contains(&token.len())
        && token.starts_with("xox")
        && token.bytes().all(|b| b.is_ascii_graphic());
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token)?;
    value.set_sensitive(true);
    Some(value)
}

/// The state of posting one notice.
#[derive(Debug)]
pub struct Post {
    address: BaseUrl,
    bearer: HeaderValue,
    /// Slack's id of the conversation.
    channel: String,
    message: Message,
    call: Call,
}

/// The next call, or the one whose response is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    /// A new message, in the thread of another one.
    Post { thread: Option<MessageId> },
    /// A new text for a message. If it cannot be changed, a new message says the same.
    Update { message: MessageId },
    /// A message that only one person sees.
    Tell { person: UserId },
}

impl Call {
    /// The first call for a notice.
    fn first(notice: &Notice) -> Self {
        match notice {
            Notice::ApprovalRequest { .. } | Notice::PreviewExpired { .. } | Notice::Preview { .. } => {
                Self::Post { thread: None }
            }
            Notice::Outcome { request, .. } => Self::Post { thread: request.thread.clone() },
            Notice::Answer(answer) => Self::Tell { person: answer.person.clone() },
            Notice::Click(click) => match (&click.result, &click.message) {
                // An update could replace the text of an approval.
                (ClickResult::NotAllowed(_) | ClickResult::Expired(_), _) => {
                    Self::Tell { person: click.person.clone() }
                }
                (ClickResult::Approved(_) | ClickResult::Declined(_), Some(message)) => {
                    Self::Update { message: message.clone() }
                }
                (ClickResult::Approved(_) | ClickResult::Declined(_), None) => Self::Post { thread: None },
            },
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Post { .. } => "chat.postMessage",
            Self::Update { .. } => "chat.update",
            Self::Tell { .. } => "chat.postEphemeral",
        }
    }

    /// The arguments other than those that every method has.
    fn arguments(&self) -> Value {
        match self {
            Self::Post { thread: None } => json!({ "unfurl_links": false, "unfurl_media": false }),
            Self::Post { thread: Some(thread) } => {
                json!({ "thread_ts": thread.as_str(), "unfurl_links": false, "unfurl_media": false })
            }
            Self::Update { message } => json!({ "ts": message.as_str() }),
            Self::Tell { person } => json!({ "user": person.as_str() }),
        }
    }
}

impl Post {
    pub(crate) fn new(notice: &Notice, address: &BaseUrl, tokens: Option<&Tokens>) -> Result<Self, End> {
        let conversation = notice.conversation();
        let tenant = &conversation.tenant.id;
        let bearer = tokens.and_then(|tokens| tokens.0.get(tenant)).ok_or_else(|| End::Undeliverable {
            why: format!(
                "the secret in CHAT_TOKEN_SECRET_ARN has no bot token for the workspace {tenant}: add it"
            ),
        })?;
        Ok(Self {
            address: address.clone(),
            bearer: bearer.clone(),
            channel: conversation.id.to_string(),
            message: Message::of(&Content::of(notice)),
            call: Call::first(notice),
        })
    }

    pub(crate) fn next(&mut self, last: Option<CallResult>) -> Step {
        match last {
            None => self.request(),
            Some(Err(NoResponse { why, was_sent })) => {
                let why = format!("{} got no response: {why}", self.call.method());
                Step::End(if was_sent { self.unanswered(why, None) } else { End::Retry { why, after: None } })
            }
            Some(Ok(response)) => match self.after(&response) {
                Ok(call) => {
                    self.call = call;
                    self.request()
                }
                Err(end) => Step::End(end),
            },
        }
    }

    #[expect(clippy::expect_used, reason = "every part of the request is a constant or was parsed before")]
    fn request(&self) -> Step {
        let Self { address, bearer, channel, message, call } = self;
        let mut body = call.arguments();
        body["channel"] = json!(channel);
        body["text"] = json!(message.text);
        body["blocks"] = json!(message.blocks);
        // `chat.update` would otherwise turn words into links and mentions.
        body["parse"] = json!("none");
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}://{}/api/{}", address.scheme, address.authority, call.method()))
            .header(AUTHORIZATION, bearer.clone())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(Bytes::from(body.to_string()))
            .expect("a valid request");
        Step::Call(Box::new(request))
    }

    /// What follows a response: another call, or the end.
    fn after(&self, response: &Response<Bytes>) -> Result<Call, End> {
        let (method, status) = (self.call.method(), response.status());
        let code = match read(response) {
            Read::Posted => return Err(End::Posted),
            Read::Unreadable => {
                let (why, after) =
                    (format!("{method} returned {status} without Slack's response"), retry_after(response));
                // A proxy that redirects or refuses the call does not carry it out.
                let is_refused = status.is_redirection() || status.is_client_error();
                return Err(if is_refused { End::Retry { why, after } } else { self.unanswered(why, after) });
            }
            Read::Failure(code) => code,
        };
        let shown = codes::shown(&code);
        match (codes::meaning(&code), &self.call) {
            (Meaning::Transient, _) => {
                Err(End::Retry { why: format!("{method} failed with {shown}"), after: retry_after(response) })
            }
            (Meaning::Uncertain, _) => {
                Err(self.unanswered(format!("{method} failed with {shown}"), retry_after(response)))
            }
            (Meaning::NoThread | Meaning::NoMessage, Call::Post { thread: Some(_) })
            | (Meaning::NoMessage, Call::Update { .. }) => Ok(Call::Post { thread: None }),
            (Meaning::NotEditable, Call::Update { message }) => {
                Ok(Call::Post { thread: Some(message.clone()) })
            }
            (Meaning::PersonAbsent, Call::Tell { .. }) => {
                Err(End::Dropped("the person is no longer in the conversation"))
            }
            (meaning, _) => {
                Err(End::Undeliverable { why: format!("{method} failed with {shown}: {}", meaning.advice()) })
            }
        }
    }

    /// The end of a call that Slack may have carried out. Only a post is then in the conversation twice.
    fn unanswered(&self, why: String, after: Option<Duration>) -> End {
        match self.call {
            Call::Post { .. } => End::Lost { why, after },
            Call::Update { .. } | Call::Tell { .. } => End::Retry { why, after },
        }
    }
}

/// A response: Slack's own, or one of a proxy or a failing server.
enum Read {
    Posted,
    /// The code of the failure.
    Failure(String),
    /// Not Slack's, or an error of the server: a proxy's page and an outage are transient.
    Unreadable,
}

fn read(response: &Response<Bytes>) -> Read {
    #[derive(Deserialize)]
    struct Body {
        ok: bool,
        error: Option<String>,
    }
    let status = response.status();
    if status.is_server_error() {
        return Read::Unreadable;
    }
    if status == http::StatusCode::TOO_MANY_REQUESTS {
        return Read::Failure("ratelimited".to_owned());
    }
    match serde_json::from_slice(response.body()) {
        Ok(Object(Body { ok: true, .. })) if status.is_success() => Read::Posted,
        Ok(Object(Body { ok: false, error: Some(code) })) => Read::Failure(code),
        _ => Read::Unreadable,
    }
}

/// The header `Retry-After` in seconds. Slack sends no date.
fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
