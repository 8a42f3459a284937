//! `DingTalk`'s calls to the intake. A signature covers the time of sending alone.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use privatelink_detach::chat::identity::Platform;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::deployment::{Call, now};
use crate::platforms::{Clicked, Driver, Typed};

/// The app's secret, and that of the registered card callback.
pub(crate) const APP_SECRET: &str = "app-s3cret-of-the-robot-0123456789";
pub(crate) const CARD_SECRET: &str = "card-s3cret-of-the-callback";

/// Another one.
pub(crate) const OTHER_SECRET: &str = "another-s3cret-0123456789";

pub(crate) const DRIVER: Driver = Driver {
    platform: Platform::DingTalk,
    tenant: "dingaaaa0123456789abcdef",
    conversation: "cidOps/Change+A0==",
    requester: "user-requester",
    approver: "user-approver",
    other_tenant: "dingbbbb0123456789abcdef",
    other_conversation: "cidOther/Group+B0==",
    other_person: "user-other",
    command_name: "@bot",
    card: "dingtalk-000000000000000000000001",
    command_secret: APP_SECRET,
    click_secret: CARD_SECRET,
    other_secret: OTHER_SECRET,
    command_headers: &["timestamp", "sign"],
    click_headers: &["x-ddpaas-signature-timestamp", "x-ddpaas-signature"],
    type_command: |typed, secret, seconds| signed_message(call(message(typed).to_string()), secret, seconds),
    click_button: |clicked, secret, seconds| signed_click(call(click(clicked).to_string()), secret, seconds),
};

/// Maximum length of a card's parameter in bytes, so that a signed value has two.
const PARAMETER_BYTES_MAX: usize = 1000;

/// The verification secrets' member with this app's secrets, and with others: of the app, and of card callbacks.
pub(crate) fn member(others: &[(&str, &str)]) -> (&'static str, Value) {
    let (mut app, mut card) = (vec![APP_SECRET], vec![CARD_SECRET]);
    app.extend(others.iter().map(|(secret, _)| *secret));
    card.extend(others.iter().map(|(_, secret)| *secret));
    ("dingtalk", json!({ "app_secrets": app, "card_secrets": card }))
}

/// A message that mentions the robot.
pub(crate) fn message(typed: &Typed) -> Value {
    let Typed { tenant, conversation, person, text, id, age, .. } = typed;
    json!({
        "conversationId": conversation, "conversationType": "2", "conversationTitle": "ops-运维",
        "atUsers": [{ "dingtalkId": "$:LWCP_v1:$us3r-name" }],
        "chatbotCorpId": tenant, "chatbotUserId": "$:LWCP_v1:$robot", "msgId": id, "senderNick": "us3r-name",
        "isAdmin": false, "senderStaffId": person, "senderCorpId": tenant, "senderId": "$:LWCP_v1:$us3r-name",
        "createAt": (now() - age) * 1000, "isInAtList": true, "robotCode": "robot", "msgtype": "text",
        "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=s3ssion",
        "sessionWebhookExpiredTime": 1_795_330_800_000_u64, "text": { "content": format!(" {text}") },
    })
}

/// The callback of a click on the card.
pub(crate) fn click(clicked: &Clicked) -> Value {
    let Clicked { tenant, conversation, person, action, value, .. } = clicked;
    let (first, second) = value.split_at_checked(PARAMETER_BYTES_MAX).unwrap_or((value, ""));
    let content = json!({ "cardPrivateData": {
        "actionIds": [action], "params": { "request_1": first, "request_2": second },
    }});
    json!({
        "type": "actionCallback", "outTrackId": DRIVER.card, "corpId": tenant, "userId": person, "userIdType": 1,
        "spaceType": "IM_GROUP", "spaceId": format!("dtv1.card//IM_GROUP.{conversation}"),
        "extension": "{\"token\":\"s3ssion\"}", "content": content.to_string(),
    })
}

/// A call with this body, not signed.
pub(crate) fn call(body: impl Into<bytes::Bytes>) -> Call {
    let path = "/chat/dingtalk".to_owned();
    let call = Call { method: Method::POST, path, headers: HeaderMap::new(), body: body.into() };
    call.with("content-type", "application/json; charset=utf-8")
}

/// The call as a robot message, signed with this secret; the timestamp differs from now by so many seconds.
pub(crate) fn signed_message(call: Call, secret: &str, seconds_from_now: i64) -> Call {
    let timestamp = ((now() + seconds_from_now) * 1000).to_string();
    call.with("timestamp", &timestamp).with("sign", &message_signature(secret, &timestamp))
}

/// The call as a card callback, signed with this secret; the timestamp differs from now by so many seconds.
pub(crate) fn signed_click(call: Call, secret: &str, seconds_from_now: i64) -> Call {
    let timestamp = ((now() + seconds_from_now) * 1000).to_string();
    call.with("x-ddpaas-signature-timestamp", &timestamp)
        .with("x-ddpaas-signature", &click_signature(secret, &timestamp))
}

/// The signature of a robot message.
pub(crate) fn message_signature(secret: &str, timestamp: &str) -> String {
    signature(secret, &format!("{timestamp}\n{secret}"))
}

/// The signature of a card callback.
pub(crate) fn click_signature(secret: &str, timestamp: &str) -> String {
    signature(secret, timestamp)
}

fn signature(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}
