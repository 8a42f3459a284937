//! Calls the API of Feishu and Lark: the state machine that posts one notice. The module `app` has the credentials,
//! `response` reads responses, `codes` has what they mean.
//!
//! Source: Feishu's reference of `tenant_access_token/internal`, and of replying to, sending and updating messages.

mod app;
mod codes;
mod response;

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::access::AccessTokens;
use super::super::apps::Apps;
use super::super::content::Content;
use super::super::decision::{ClickNotice, ClickResult};
use super::super::identity::{Conversation, MessageId};
use super::super::notice::Notice;
use super::super::post::{CallResult, End, NoResponse, Step};
use super::message;
use crate::request::RequestId;
use crate::transport::BaseUrl;
pub use app::App;
use codes::Meaning;
use response::{AccessToken, Read, read, transient, undeliverable, unreadable};

/// The state of posting one notice.
#[derive(Debug)]
pub struct Post {
    address: BaseUrl,
    app: App,
    conversation: Conversation,
    content: MessageContent,
    /// Feishu posts a message with the same `uuid` once within an hour.
    uuid: String,
    call: Call,
    bearer: Option<HeaderValue>,
    /// Whether the access token was requested for this notice: it is not requested twice.
    is_token_new: bool,
}

/// What a message consists of, as the API names it.
#[derive(Debug)]
struct MessageContent {
    msg_type: &'static str,
    content: String,
}

/// The next call, or the one whose response is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    /// A reply to a message.
    Reply { message: MessageId, in_thread: bool },
    /// A new message in the conversation.
    Send,
    /// A new card in a message. If it cannot be changed, a new message says the same.
    Update { message: MessageId },
}

impl Call {
    /// The first call for a notice; `None` if the response to the click already informed the person.
    fn first(notice: &Notice) -> Option<Self> {
        let reply = |message: Option<&MessageId>, in_thread| match message {
            Some(message) => Self::Reply { message: message.clone(), in_thread },
            None => Self::Send,
        };
        match notice {
            Notice::ApprovalRequest { request, .. }
            | Notice::PreviewExpired { request }
            | Notice::Preview { request, .. } => Some(reply(request.thread.as_ref(), false)),
            Notice::Outcome { request, .. } => Some(reply(request.thread.as_ref(), true)),
            Notice::Answer(answer) => Some(reply(answer.message.as_ref(), false)),
            Notice::Click(ClickNotice { result, message, .. }) => match (result, message) {
                (ClickResult::Approved(_) | ClickResult::Declined(_), Some(message)) => {
                    Some(Self::Update { message: message.clone() })
                }
                (ClickResult::Approved(_) | ClickResult::Declined(_), None) => Some(Self::Send),
                (ClickResult::Expired(_) | ClickResult::NotAllowed(_), _) => None,
            },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Reply { .. } => "im.message.reply",
            Self::Send => "im.message.create",
            Self::Update { .. } => "im.message.patch",
        }
    }
}

impl Post {
    pub(crate) fn new(notice: &Notice, address: &BaseUrl, apps: Option<&Apps<App>>) -> Result<Self, End> {
        let conversation = notice.conversation();
        let tenant = &conversation.tenant.id;
        let app = apps.and_then(|apps| apps.of(tenant)).ok_or_else(|| End::Undeliverable {
            why: format!(
                "the secret in CHAT_TOKEN_SECRET_ARN has no Feishu app for the tenant {tenant}: add it"
            ),
        })?;
        let call = Call::first(notice)
            .ok_or(End::Dropped("the response to the click already informed the person"))?;
        let content = MessageContent::of(notice);
        Ok(Self {
            address: address.clone(),
            app: app.clone(),
            conversation: conversation.clone(),
            uuid: uuid(notice, &call, &content),
            content,
            call,
            bearer: None,
            is_token_new: false,
        })
    }

    pub(crate) fn next(
        &mut self,
        last: Option<CallResult>,
        access: &mut AccessTokens,
        now: SystemTime,
    ) -> Step {
        let result = match last {
            None => {
                self.bearer = access.get(&self.conversation.tenant, &self.app.app_id, now);
                Ok(())
            }
            // Every call can be repeated: an update by itself, a message because of its `uuid`.
            Some(Err(NoResponse { why, .. })) => {
                Err(End::Retry { why: format!("{} got no response: {why}", self.name()), after: None })
            }
            Some(Ok(response)) if self.bearer.is_none() => self.after_token(&response, access, now),
            Some(Ok(response)) => self.after_call(&response, access),
        };
        match result {
            Ok(()) => Step::Call(Box::new(self.request())),
            Err(end) => Step::End(end),
        }
    }

    /// The name of the call, for the log.
    fn name(&self) -> &'static str {
        if self.bearer.is_some() { self.call.name() } else { "auth.tenant_access_token" }
    }

    /// The next request: for an access token if there is none.
    #[expect(clippy::expect_used, reason = "every part of the request is a constant or was parsed before")]
    fn request(&self) -> Request<Bytes> {
        let Self { app, conversation, content: MessageContent { msg_type, content }, uuid, .. } = self;
        let (method, path, body) = match &self.call {
            _ if self.bearer.is_none() => (
                Method::POST,
                "auth/v3/tenant_access_token/internal".to_owned(),
                json!({ "app_id": app.app_id, "app_secret": app.app_secret }),
            ),
            Call::Reply { message, in_thread } => (
                Method::POST,
                format!("im/v1/messages/{message}/reply"),
                json!({ "msg_type": msg_type, "content": content, "reply_in_thread": in_thread, "uuid": uuid }),
            ),
            Call::Send => (
                Method::POST,
                "im/v1/messages?receive_id_type=chat_id".to_owned(),
                json!({
                    "receive_id": conversation.id.as_str(),
                    "msg_type": msg_type,
                    "content": content,
                    "uuid": uuid,
                }),
            ),
            Call::Update { message } => {
                (Method::PATCH, format!("im/v1/messages/{message}"), json!({ "content": content }))
            }
        };
        let BaseUrl { scheme, authority } = &self.address;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{scheme}://{authority}/open-apis/{path}"))
            .header(CONTENT_TYPE, "application/json; charset=utf-8");
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        request.body(Bytes::from(body.to_string())).expect("a valid request")
    }

    /// Stores the access token of a response.
    fn after_token(
        &mut self,
        response: &Response<Bytes>,
        access: &mut AccessTokens,
        now: SystemTime,
    ) -> Result<(), End> {
        let name = self.name();
        match read(response) {
            Read::Unreadable => return Err(unreadable(name, response)),
            Read::Failure(code) => match codes::meaning(code) {
                Meaning::Transient => return Err(transient(name, code, response)),
                // The call sends the credentials and nothing else, so every other code is about them.
                meaning @ (Meaning::AppDisabled | Meaning::Address) => {
                    return Err(undeliverable(name, code, meaning));
                }
                _ => return Err(undeliverable(name, code, Meaning::Credentials)),
            },
            Read::Success => {}
        }
        let token = AccessToken::parse(response).ok_or_else(|| unreadable(name, response))?;
        let AccessToken { bearer, lifetime } = token;
        let tenant = self.conversation.tenant.clone();
        access.put(tenant, self.app.app_id.clone(), bearer.clone(), lifetime, now);
        self.bearer = Some(bearer);
        self.is_token_new = true;
        Ok(())
    }

    /// What follows a response: another call, or the end.
    fn after_call(&mut self, response: &Response<Bytes>, access: &mut AccessTokens) -> Result<(), End> {
        let name = self.name();
        let code = match read(response) {
            Read::Success => return Err(End::Posted),
            Read::Unreadable => return Err(unreadable(name, response)),
            Read::Failure(code) => code,
        };
        self.call = match (codes::meaning(code), &self.call) {
            (Meaning::Transient, _) => return Err(transient(name, code, response)),
            (Meaning::AccessToken, call) if !self.is_token_new => {
                access.forget(&self.conversation.tenant);
                self.bearer = None;
                call.clone()
            }
            (Meaning::NoThread, Call::Reply { message, in_thread: true })
            | (Meaning::NotEditable, Call::Update { message }) => {
                Call::Reply { message: message.clone(), in_thread: false }
            }
            (Meaning::NoThread | Meaning::NoMessage, Call::Reply { .. })
            | (Meaning::NoMessage, Call::Update { .. }) => Call::Send,
            (meaning, _) => return Err(undeliverable(name, code, meaning)),
        };
        Ok(())
    }
}

impl MessageContent {
    fn of(notice: &Notice) -> Self {
        match notice {
            Notice::Answer(answer) => {
                Self { msg_type: "text", content: json!({ "text": answer.text }).to_string() }
            }
            _ => Self { msg_type: "interactive", content: message::card(&Content::of(notice)).to_string() },
        }
    }
}

/// What makes a notice the same one: its kind, its request, the message that it is about, and what it says. At most 50
/// characters.
fn uuid(notice: &Notice, call: &Call, content: &MessageContent) -> String {
    let message = match call {
        Call::Reply { message, .. } | Call::Update { message } => message.as_str(),
        Call::Send => "",
    };
    let request_id = notice.request_id();
    let request_id = request_id.as_ref().map_or("", RequestId::as_str);
    let hash = Sha256::digest([notice.name(), request_id, message, &content.content].join("\n"));
    let number = hash.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}

#[cfg(test)]
mod tests;
