//! Calls the API of `DingTalk`: the state machine that posts one notice. The module `app` has its credentials, `codes` what
//! responses mean.
//!
//! Source: `DingTalk`'s documentation of `oauth2/accessToken`, `createAndDeliver`, `card/instances` and
//! `groupMessages/send`, and `alibabacloud-dingtalk`, its SDK.

mod app;
mod codes;
mod response;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::super::access::AccessTokens;
use super::super::apps::Apps;
use super::super::content::Content;
use super::super::decision::ClickResult;
use super::super::identity::Tenant;
use super::super::notice::Notice;
use super::super::post::{CallResult, End, NoResponse, Step};
use super::super::request::ChatRequest;
use super::message::{self, Status};
use crate::request::RequestId;
use crate::transport::BaseUrl;
pub use app::App;
use codes::Meaning;
use response::{Issued, Read, Reply};

/// The header with the access token.
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-acs-dingtalk-access-token");

/// The path of the call for an access token.
const TOKEN_PATH: &str = "/v1.0/oauth2/accessToken";

/// How long `DingTalk` refuses every call of a caller that exceeded a limit of its network.
const BANNED_FOR: Duration = Duration::from_mins(5);

/// The state of posting one notice.
#[derive(Debug)]
pub struct Post {
    address: BaseUrl,
    tenant: Tenant,
    app: Box<App>,
    /// `DingTalk`'s id of the conversation.
    conversation: String,
    content: Box<Content>,
    call: Call,
    /// The access token of the next call.
    token: Option<HeaderValue>,
    /// Whether the response that is awaited is that to the call for an access token.
    is_token_awaited: bool,
    /// Whether a token was refused, and another one requested.
    is_token_renewed: bool,
}

/// The next call, or the one whose response is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    /// A card with buttons. Its id is that of the request, so a repeated call creates no second one.
    Create { card: RequestId },
    /// A card that an earlier attempt created, and may not have delivered.
    Deliver { card: RequestId },
    /// A decision on a card. If the card cannot be changed, a message says the same.
    Update { card: RequestId, status: Status },
    /// A message in markdown.
    Markdown,
    /// A message in plain text.
    Text,
}

impl Call {
    /// The first call for a notice.
    fn first(notice: &Notice) -> Result<Self, End> {
        // By the signed name of the request: no signature covers the card's id in a click.
        let update = |request: &ChatRequest, status| Self::Update { card: request.id.clone(), status };
        match notice {
            Notice::ApprovalRequest { request, .. } => Ok(Self::Create { card: request.id.clone() }),
            Notice::PreviewExpired { .. } | Notice::Preview { .. } | Notice::Outcome { .. } => {
                Ok(Self::Markdown)
            }
            Notice::Answer(_) => Ok(Self::Text),
            Notice::Click(click) => match &click.result {
                ClickResult::Approved(request) => Ok(update(request, Status::Approved)),
                ClickResult::Declined(request) => Ok(update(request, Status::Declined)),
                // A message would be visible to the whole group.
                ClickResult::Expired(_) | ClickResult::NotAllowed(_) => {
                    Err(End::Dropped("the response to the click already informed the person"))
                }
            },
        }
    }

    /// The name in log lines.
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "createAndDeliver",
            Self::Deliver { .. } => "deliver",
            Self::Update { .. } => "the update of the card",
            Self::Markdown | Self::Text => "groupMessages/send",
        }
    }

    fn method_and_path(&self) -> (Method, &'static str) {
        match self {
            Self::Create { .. } => (Method::POST, "/v1.0/card/instances/createAndDeliver"),
            Self::Deliver { .. } => (Method::POST, "/v1.0/card/instances/deliver"),
            Self::Update { .. } => (Method::PUT, "/v1.0/card/instances"),
            Self::Markdown | Self::Text => (Method::POST, "/v1.0/robot/groupMessages/send"),
        }
    }
}

impl Post {
    pub(crate) fn new(notice: &Notice, address: &BaseUrl, apps: Option<&Apps<App>>) -> Result<Self, End> {
        let conversation = notice.conversation();
        let tenant = &conversation.tenant;
        let app = apps.and_then(|apps| apps.of(&tenant.id)).ok_or_else(|| End::Undeliverable {
            why: format!(
                "the secret in CHAT_TOKEN_SECRET_ARN has no DingTalk app for the organization {}: add it",
                tenant.id
            ),
        })?;
        Ok(Self {
            address: address.clone(),
            tenant: tenant.clone(),
            app: Box::new(app.clone()),
            conversation: conversation.id.to_string(),
            content: Box::new(Content::of(notice)),
            call: Call::first(notice)?,
            token: None,
            is_token_awaited: false,
            is_token_renewed: false,
        })
    }

    pub(crate) fn next(
        &mut self,
        last: Option<CallResult>,
        access: &mut AccessTokens,
        now: SystemTime,
    ) -> Step {
        let result = match last {
            None => Ok(()),
            Some(Err(NoResponse { why, was_sent })) => {
                let why = format!("{} got no response: {why}", self.name());
                Err(if was_sent { self.unanswered(why, None) } else { End::Retry { why, after: None } })
            }
            Some(Ok(response)) if self.is_token_awaited => self.issued(&response, access, now),
            Some(Ok(response)) => self.after(&response, access),
        };
        match result {
            Ok(()) => Step::Call(Box::new(self.request(access, now))),
            Err(end) => Step::End(end),
        }
    }

    /// The next request: that for an access token if there is none.
    #[expect(clippy::expect_used, reason = "every part of the request is a constant or was parsed before")]
    fn request(&mut self, access: &AccessTokens, now: SystemTime) -> Request<Bytes> {
        let Self { address: BaseUrl { scheme, authority }, app, .. } = &*self;
        let token = self.token.clone().or_else(|| access.get(&self.tenant, &app.key, now));
        let ((method, path), body) = match token {
            Some(_) => (self.call.method_and_path(), self.body()),
            None => ((Method::POST, TOKEN_PATH), json!({ "appKey": app.key, "appSecret": app.secret })),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{scheme}://{authority}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a valid request");
        self.is_token_awaited = token.is_none();
        if let Some(token) = token {
            request.headers_mut().insert(ACCESS_TOKEN, token);
        }
        request
    }

    /// The body of the call.
    fn body(&self) -> Value {
        let Self { app, content, conversation, call, .. } = self;
        let group = json!({ "robotCode": app.robot_code });
        let space = format!("dtv1.card//IM_GROUP.{conversation}");
        let message = |key: &str, parameters: String| {
            json!({
                "robotCode": app.robot_code,
                "openConversationId": conversation,
                "msgKey": key,
                "msgParam": parameters,
            })
        };
        match call {
            Call::Create { card } => {
                let shown = message::notification(content);
                json!({
                    "cardTemplateId": app.card_template_id,
                    "outTrackId": card,
                    "callbackType": "HTTP",
                    "callbackRouteKey": app.card_callback_route_key,
                    "cardData": { "cardParamMap": message::card(content, Status::Open) },
                    "openSpaceId": space,
                    "imGroupOpenSpaceModel": {
                        // In another conversation, the buttons would not be accepted.
                        "supportForward": false,
                        "lastMessageI18n": { "ZH_CN": shown, "EN_US": shown },
                        "notification": { "alertContent": shown, "notificationOff": false },
                    },
                    "imGroupOpenDeliverModel": group,
                    "userIdType": 1,
                })
            }
            Call::Deliver { card } => json!({
                "outTrackId": card,
                "openSpaceId": space,
                "imGroupOpenDeliverModel": group,
                "userIdType": 1,
            }),
            Call::Update { card, status } => json!({
                "outTrackId": card,
                "cardData": { "cardParamMap": message::card(content, *status) },
                "cardUpdateOptions": { "updateCardDataByKey": true, "updatePrivateDataByKey": true },
                "userIdType": 1,
            }),
            Call::Markdown => message("sampleMarkdown", message::markdown(content)),
            Call::Text => message("sampleText", message::text(content)),
        }
    }

    /// Stores the access token in a response.
    fn issued(
        &mut self,
        response: &Response<Bytes>,
        access: &mut AccessTokens,
        now: SystemTime,
    ) -> Result<(), End> {
        match response::read(response) {
            Read::Success(Reply { issued: Some(Issued { value, lifetime }), .. }) => {
                let (tenant, app) = (self.tenant.clone(), self.app.key.clone());
                access.put(tenant, app, value.clone(), lifetime, now);
                self.token = Some(value);
                Ok(())
            }
            Read::Failure(code) => Err(self.failed(&code, codes::meaning(&code), response)),
            Read::Banned => Err(self.banned()),
            Read::Success(_) | Read::Undelivered(_) | Read::Unreadable => Err(self.unreadable(response)),
        }
    }

    /// What follows a response: another call, or the end.
    fn after(&mut self, response: &Response<Bytes>, access: &mut AccessTokens) -> Result<(), End> {
        let (code, meaning) = match response::read(response) {
            Read::Success(_) => return Err(End::Posted),
            Read::Banned => return Err(self.banned()),
            Read::Unreadable => return Err(self.unreadable(response)),
            Read::Failure(code) => {
                let meaning = codes::meaning(&code);
                (code, meaning)
            }
            // No documented code says that the robot is not in the group, which is the most likely reason.
            Read::Undelivered(why) => match codes::meaning(&why) {
                Meaning::Ours => (why, Meaning::Robot),
                meaning => (why, meaning),
            },
        };
        match (meaning, &self.call) {
            (Meaning::AccessToken, _) => {
                access.forget(&self.tenant);
                self.token = None;
                if std::mem::replace(&mut self.is_token_renewed, true) {
                    return Err(self.failed(&code, Meaning::AccessToken, response));
                }
            }
            (Meaning::CardExists, Call::Create { card }) => self.call = Call::Deliver { card: card.clone() },
            (meaning, Call::Update { .. })
                if !meaning.is_of_the_app()
                    && !matches!(meaning, Meaning::Transient | Meaning::Uncertain) =>
            {
                self.call = Call::Markdown;
            }
            (meaning, _) => return Err(self.failed(&code, meaning, response)),
        }
        Ok(())
    }

    /// The end after a failure that no other call can fix.
    fn failed(&self, code: &str, meaning: Meaning, response: &Response<Bytes>) -> End {
        let why = format!("{} failed with {}", self.name(), codes::shown(code));
        let after = response::retry_after(response);
        match meaning {
            Meaning::Transient => End::Retry { why, after },
            Meaning::Uncertain => self.unanswered(why, after),
            // A code that the table does not have is no reason to give up while the server fails.
            Meaning::Ours if response.status().is_server_error() => self.unanswered(why, after),
            _ => End::Undeliverable { why: format!("{why}: {}", meaning.advice()) },
        }
    }

    fn banned(&self) -> End {
        let why = format!("{} was refused: DingTalk limits the calls of this network", self.name());
        End::Retry { why, after: Some(BANNED_FOR) }
    }

    fn unreadable(&self, response: &Response<Bytes>) -> End {
        let status = response.status();
        let why = format!("{} returned {status} without DingTalk's response", self.name());
        let after = response::retry_after(response);
        // A proxy that redirects or refuses the call does not carry it out.
        let is_refused = status.is_redirection() || status.is_client_error();
        if is_refused { End::Retry { why, after } } else { self.unanswered(why, after) }
    }

    /// The end of a call that `DingTalk` may have carried out. A repeated call can post a message twice, but not a card.
    fn unanswered(&self, why: String, after: Option<Duration>) -> End {
        match self.call {
            Call::Markdown | Call::Text if !self.is_token_awaited => End::Lost { why, after },
            _ => End::Retry { why, after },
        }
    }

    /// The name of the call whose response is awaited.
    fn name(&self) -> &'static str {
        if self.is_token_awaited { "the call for an access token" } else { self.call.name() }
    }
}

#[cfg(test)]
mod tests;
