//! The app's side: its calls of the API.

use local_chat::dingtalk::{
    ACCESS_TOKEN_HEADER, APP_KEY, APP_SECRET, CALLBACK_ROUTE, CARD_TEMPLATE, CONVERSATION, DingTalk,
    ROBOT_CODE,
};
use serde_json::{Value, json};

pub(crate) use crate::http::{App, HttpResponse, JSON, http};

pub(crate) const TOKEN: &str = "oauth2/accessToken";
pub(crate) const MESSAGES: &str = "robot/groupMessages/send";
pub(crate) const CREATE: &str = "card/instances/createAndDeliver";
pub(crate) const DELIVER: &str = "card/instances/deliver";
pub(crate) const CARDS: &str = "card/instances";
pub(crate) const REGISTER: &str = "card/callbacks/register";

impl HttpResponse {
    /// The status and the error code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Calls the API with this access token.
pub(crate) async fn call_with(
    dingtalk: &DingTalk,
    token: &str,
    name: &str,
    body: &Value,
) -> Option<HttpResponse> {
    let verb = if name == CARDS { "PUT" } else { "POST" };
    let token = format!("{ACCESS_TOKEN_HEADER}: {token}");
    http(verb, &format!("{}/v1.0/{name}", dingtalk.url()), &[JSON, &token], &body.to_string()).await
}

/// Fetches an access token.
pub(crate) async fn token(dingtalk: &DingTalk) -> Value {
    let body = json!({ "appKey": APP_KEY, "appSecret": APP_SECRET });
    call_with(dingtalk, "", TOKEN, &body).await.unwrap().json()
}

/// Calls the API with a valid access token.
pub(crate) async fn call(dingtalk: &DingTalk, name: &str, body: &Value) -> Option<HttpResponse> {
    let token = token(dingtalk).await["accessToken"].as_str().unwrap().to_owned();
    call_with(dingtalk, &token, name, body).await
}

/// Calls the API and returns the body of the response, whose status must be 200.
pub(crate) async fn done(dingtalk: &DingTalk, name: &str, body: &Value) -> Value {
    let response = call(dingtalk, name, body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

pub(crate) fn message(text: &str) -> Value {
    json!({
        "robotCode": ROBOT_CODE,
        "openConversationId": CONVERSATION,
        "msgKey": "sampleText",
        "msgParam": json!({ "content": text }).to_string(),
    })
}

/// The body that creates the card of an approval.
pub(crate) fn card(out_track_id: &str) -> Value {
    json!({
        "cardTemplateId": CARD_TEMPLATE,
        "outTrackId": out_track_id,
        "callbackType": "HTTP",
        "callbackRouteKey": CALLBACK_ROUTE,
        "cardData": { "cardParamMap": {
            "title": "Detach sg-old?", "body": "Asked by **manager4220**\n\nfrom ep-shop", "status": "open",
            "approve": "Approve detach", "decline": "Decline", "request_1": "signed", "request_2": "value",
        } },
        "openSpaceId": format!("dtv1.card//IM_GROUP.{CONVERSATION}"),
        "imGroupOpenSpaceModel": { "supportForward": false },
        "imGroupOpenDeliverModel": { "robotCode": ROBOT_CODE },
        "userIdType": 1,
    })
}

/// The conversation without the times, and without the indentation of a message's further lines.
pub(crate) fn lines(dingtalk: &DingTalk) -> Vec<String> {
    let time = "00:00:00 ".len();
    let shown = dingtalk.conversation(CONVERSATION);
    let without_time = |line: &str| {
        let is_private_part = line.starts_with("    ") && !line[..time].trim().is_empty();
        let indent = if is_private_part { "    " } else { "" };
        format!("{indent}{}", &line[indent.len() + time..])
    };
    shown.lines().map(without_time).collect()
}
