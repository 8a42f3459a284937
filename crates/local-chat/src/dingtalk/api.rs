//! The API that the app calls: access tokens, group messages and the registration of callbacks; `card_api` has the
//! calls for cards. Without clock and I/O.
//!
//! Source: open.dingtalk.com, the pages of the calls and "Server API error codes". Codes that begin with `simulator.`
//! are this simulator's own, where the documentation names none.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header, request};
use serde_json::{Value, json};

use crate::api::{self, json_response};
use crate::journal::JournalEntry;
use crate::loopback::Reaction;
use crate::request::unique_digits;

use super::card_api;
use super::signature::base64;
use super::workspace::{Author, CARD_PERMISSION, CallbackRoute, Content, MESSAGE_PERMISSION, Workspace};

/// The path prefix of the calls.
pub(super) const PREFIX: &str = "/v1.0/";

const TOKEN: &str = "oauth2/accessToken";
const MESSAGES: &str = "robot/groupMessages/send";
const CREATE: &str = "card/instances/createAndDeliver";
const DELIVER: &str = "card/instances/deliver";
const CARDS: &str = "card/instances";
const REGISTER: &str = "card/callbacks/register";

/// The calls that are simulated, by the rest of their path.
pub(super) const METHODS: [&str; 6] = [TOKEN, MESSAGES, CREATE, DELIVER, CARDS, REGISTER];

/// The header that has the access token.
pub const ACCESS_TOKEN_HEADER: &str = "x-acs-dingtalk-access-token";

/// The longest `msgParam`, in bytes.
const MESSAGE_BYTES_MAX: usize = 15_000;

/// A call that is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    code: String,
    message: String,
    /// The permissions that the app lacks.
    scopes: Vec<&'static str>,
}

impl From<&str> for Refusal {
    fn from(code: &str) -> Self {
        Self::new(code, code)
    }
}

impl Refusal {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), scopes: Vec::new() }
    }

    fn response(&self, now: SystemTime) -> Response<Bytes> {
        // The protection against floods has its own form.
        if self.code == "1111" {
            let body = json!({ "status": 1111, "wait": 5, "source": "x5", "punish": "deny",
                "uuid": request_id(now) });
            return json_response(&body);
        }
        let mut body = json!({ "code": self.code, "requestid": request_id(now), "message": self.message });
        if !self.scopes.is_empty() {
            body["accessdenieddetail"] = json!({ "requiredScopes": self.scopes });
        }
        let mut response = json_response(&body);
        *response.status_mut() = status_of(&self.code);
        response
    }
}

/// The status of an error code.
fn status_of(code: &str) -> StatusCode {
    match code {
        "InvalidAction.NotFound" => StatusCode::NOT_FOUND,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "Unauthorized" => StatusCode::UNAUTHORIZED,
        "system.busy" | "InternalError" | "param.callbackRouteKeyExist" => StatusCode::INTERNAL_SERVER_ERROR,
        _ if code.starts_with("Forbidden.") => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Carries out a call, or applies the fault that is planned for it, and records it in the journal without its secrets.
pub(super) fn call(
    workspace: &mut Workspace,
    head: &request::Parts,
    name: &str,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let fault = workspace.faults.take(name);
    let refuse = |code: &str| Refusal::from(code).response(now);
    let (reaction, ending) =
        api::answer(fault, refuse, || match carry_out(workspace, head, name, body, now) {
            Ok(body) => (json_response(&body), None),
            Err(refusal) => (refusal.response(now), Some(refusal.code)),
        });
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(members) = body.as_object_mut() {
        members.remove("appSecret");
        members.remove("apiSecret");
    }
    workspace.journal.push(JournalEntry { at: now, method: name.to_owned(), body, ending });
    reaction
}

fn carry_out(
    workspace: &mut Workspace,
    head: &request::Parts,
    name: &str,
    body: &[u8],
    now: SystemTime,
) -> Result<Value, Refusal> {
    let (expected, permission) = match name {
        TOKEN => (Method::POST, None),
        MESSAGES => (Method::POST, Some(MESSAGE_PERMISSION)),
        CREATE | DELIVER | REGISTER => (Method::POST, Some(CARD_PERMISSION)),
        CARDS => (Method::PUT, Some(CARD_PERMISSION)),
        _ => return Err(not_found()),
    };
    if head.method != expected {
        return Err(not_found());
    }
    if let Some(permission) = permission {
        authenticate(workspace, &head.headers, now)?;
        if !workspace.app.permissions.contains(permission) {
            let code = "Forbidden.AccessDenied.AccessTokenPermissionDenied";
            let refusal = Refusal::new(code, &format!("应用尚未开通所需的权限：[{permission}]"));
            return Err(Refusal { scopes: vec![permission], ..refusal });
        }
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json")) {
        return Err(Refusal::new("simulator.contentType", "the content type is not application/json"));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if !body.is_object() {
        return Err(Refusal::new("simulator.body", "the body is not a JSON object"));
    }
    match name {
        TOKEN => issue_token(workspace, &body, now),
        MESSAGES => send_message(workspace, &body, now),
        CREATE => card_api::create_and_deliver(workspace, &body, now),
        DELIVER => card_api::deliver(workspace, &body, now),
        CARDS => card_api::update(workspace, &body, now),
        _ => register(workspace, &body),
    }
}

fn not_found() -> Refusal {
    let message = "Specified api is not found, please check your url and method.";
    Refusal::new("InvalidAction.NotFound", message)
}

fn authenticate(workspace: &Workspace, headers: &HeaderMap, now: SystemTime) -> Result<(), Refusal> {
    let token = headers.get(ACCESS_TOKEN_HEADER).and_then(|value| value.to_str().ok());
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| {
        let message = format!("缺少参数：{ACCESS_TOKEN_HEADER}");
        Refusal::new("AuthenticationFailed.MissingParameter", &message)
    })?;
    match workspace.access_tokens.get(token) {
        Some(end) if now < *end => Ok(()),
        _ => Err(Refusal::new("InvalidAuthentication", "不合法的access_token")),
    }
}

/// Issues a token; while one is valid, the same one.
fn issue_token(workspace: &mut Workspace, body: &Value, now: SystemTime) -> Result<Value, Refusal> {
    if body["appKey"] != workspace.app.key.as_str() || body["appSecret"] != workspace.app.secret.as_str() {
        return Err(Refusal::new("invalidClientIdOrSecret", "无效的clientId或者clientSecret"));
    }
    workspace.access_tokens.retain(|_, end| now < *end);
    if workspace.access_tokens.is_empty() {
        let token = unique_digits(now)[..32].to_owned();
        workspace.access_tokens.insert(token, now + workspace.token_lifetime);
    }
    let (token, end) = workspace.access_tokens.first_key_value().ok_or("system.busy")?;
    let rest = end.duration_since(now).unwrap_or_default();
    Ok(json!({ "accessToken": token, "expireIn": rest.as_secs() }))
}

fn send_message(workspace: &mut Workspace, body: &Value, now: SystemTime) -> Result<Value, Refusal> {
    let robot_code = mandatory(body, "robotCode")?;
    let id = mandatory(body, "openConversationId")?;
    let key = mandatory(body, "msgKey")?;
    let param = mandatory(body, "msgParam")?;
    if param.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::new("invalidParameter.msgParam.tooLong", "msgParam 超过长度限制"));
    }
    let content = content(key, param)?;
    if robot_code != workspace.app.robot_code {
        return Err(Refusal::new(
            "invalidParameter.robotCode.auth",
            "应用的 appkey 与机器人的 robotCode 不匹配",
        ));
    }
    let conversation = workspace.conversations.get_mut(id).filter(|conversation| !conversation.is_single);
    let conversation =
        conversation.ok_or_else(|| Refusal::new("invalid.openConversationId", "无效的openConversationId"))?;
    if !conversation.has_robot {
        // The code is spelled like this.
        let code = "invalidParameter.robotCode.notExsit";
        return Err(Refusal::new(code, "机器人不存在,请检查机器人是否在群内"));
    }
    conversation.post(Author::App, content, now);
    Ok(json!({ "processQueryKey": process_query_key(now) }))
}

fn content(key: &str, param: &str) -> Result<Content, Refusal> {
    let invalid = || Refusal::new("invalidParameter.msgParam.invalid", "msgParam格式不正确");
    let param: Value = serde_json::from_str(param).map_err(|_| invalid())?;
    let member = |name: &str| param[name].as_str().filter(|text| !text.is_empty());
    match key {
        "sampleText" => Ok(Content::Text(member("content").ok_or_else(invalid)?.to_owned())),
        "sampleMarkdown" => Ok(Content::Markdown {
            title: member("title").ok_or("miss.param.markdownTotitle")?.to_owned(),
            text: member("text").ok_or_else(invalid)?.to_owned(),
        }),
        _ => Err(Refusal::new("invalidParameter.msgKey.invalid", "不支持的消息类型")),
    }
}

/// A required text.
fn mandatory<'a>(body: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    body[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
        Refusal::new(&format!("Missing{name}"), &format!("{name} is mandatory for this action."))
    })
}

/// Registers the URL and the secret of a route. A route that exists is changed only with `forceUpdate`.
fn register(workspace: &mut Workspace, body: &Value) -> Result<Value, Refusal> {
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let key = text("callbackRouteKey").ok_or("param.callbackRouteKeyEmpty")?;
    let url = text("callbackUrl").ok_or("param.callbackUrlEmpty")?;
    if workspace.callback_routes.contains_key(key) && body["forceUpdate"] != true {
        return Err(Refusal::from("param.callbackRouteKeyExist"));
    }
    let api_secret = text("apiSecret").map(str::to_owned);
    let result = json!({ "callbackUrl": url, "apiSecret": api_secret });
    let route = CallbackRoute { url: Some(url.to_owned()), api_secret };
    workspace.callback_routes.insert(key.to_owned(), route);
    Ok(json!({ "success": true, "result": result }))
}

/// The id of a message, with which an app could query who has read it.
pub(super) fn process_query_key(now: SystemTime) -> String {
    base64(&unique_digits(now).as_bytes()[..32])
}

/// A UUID in uppercase.
fn request_id(now: SystemTime) -> String {
    let digits = unique_digits(now).to_ascii_uppercase();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]].join("-")
}
