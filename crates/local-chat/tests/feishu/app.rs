//! The app's side: its calls of the API, and the decryption of a request.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_chat::Feishu;
use local_chat::feishu::{APP_ID, APP_SECRET, CHAT, ENCRYPT_KEY};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) use crate::http::{App, HttpResponse, JSON, http};

pub(crate) const CREATE: &str = "/open-apis/im/v1/messages?receive_id_type=chat_id";
const TOKEN: &str = "/open-apis/auth/v3/tenant_access_token/internal";

/// Calls the API without a token.
pub(crate) async fn call_with(
    feishu: &Feishu,
    verb: &str,
    path: &str,
    lines: &[&str],
    body: &Value,
) -> Option<HttpResponse> {
    http(verb, &format!("{}{path}", feishu.url()), &[&[JSON], lines].concat(), &body.to_string()).await
}

/// Asks for a token.
pub(crate) async fn token(feishu: &Feishu, app_id: &str, app_secret: &str) -> Value {
    let body = json!({ "app_id": app_id, "app_secret": app_secret });
    let response = call_with(feishu, "POST", TOKEN, &[], &body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Calls the API with a valid token.
pub(crate) async fn call(feishu: &Feishu, verb: &str, path: &str, body: &Value) -> Option<HttpResponse> {
    let token = token(feishu, APP_ID, APP_SECRET).await["tenant_access_token"].as_str().unwrap().to_owned();
    call_with(feishu, verb, path, &[&format!("authorization: Bearer {token}")], body).await
}

/// Calls the API and returns the code and the data of the response.
pub(crate) async fn api(feishu: &Feishu, verb: &str, path: &str, body: &Value) -> (u64, Value) {
    let response = call(feishu, verb, path, body).await.unwrap();
    let body = response.json();
    let code = body["code"].as_u64().unwrap();
    assert_eq!(response.status, if code == 0 { 200 } else { 400 }, "{response:?}");
    (code, body["data"].clone())
}

/// Posts to the chat, and returns the id of the message.
pub(crate) async fn post(feishu: &Feishu, body: &Value) -> String {
    let (code, data) = api(feishu, "POST", CREATE, body).await;
    assert_eq!(code, 0);
    data["message_id"].as_str().unwrap().to_owned()
}

/// Replies to a message, and returns the code and the data of the response.
pub(crate) async fn reply(feishu: &Feishu, id: &str, body: &Value) -> (u64, Value) {
    api(feishu, "POST", &format!("/open-apis/im/v1/messages/{id}/reply"), body).await
}

/// Changes a card, and returns the code of the response.
pub(crate) async fn patch(feishu: &Feishu, id: &str, card: &Value) -> u64 {
    let body = json!({ "content": card.to_string() });
    api(feishu, "PATCH", &format!("/open-apis/im/v1/messages/{id}"), &body).await.0
}

pub(crate) fn text(text: &str) -> Value {
    json!({ "receive_id": CHAT, "msg_type": "text", "content": json!({ "text": text }).to_string() })
}

pub(crate) fn interactive(card: &Value) -> Value {
    json!({ "receive_id": CHAT, "msg_type": "interactive", "content": card.to_string() })
}

/// A card with a title and without buttons.
pub(crate) fn card(title: &str) -> Value {
    json!({ "schema": "2.0", "config": { "update_multi": true },
        "header": { "title": { "tag": "plain_text", "content": title } }, "body": { "elements": [] } })
}

/// The card of an approval.
pub(crate) fn approval() -> Value {
    let button = |label: &str, action: &str| {
        json!({ "tag": "button", "text": { "tag": "plain_text", "content": label },
            "behaviors": [{ "type": "callback", "value": { "action": action, "request": format!("signed {action}") } }] })
    };
    let mut card = card("Detach sg-old?");
    card["body"]["elements"] = json!([
        { "tag": "markdown", "content": "<at id=ou_1></at> asks &amp; waits" },
        button("Approve detach", "approve"),
        button("Decline", "decline"),
    ]);
    card
}

/// The conversation without the times, and without the indentation of a message's further lines.
pub(crate) fn lines(feishu: &Feishu) -> Vec<String> {
    let time = "00:00:00 ".len();
    let shown = feishu.conversation(CHAT);
    let without_time = |line: &str| {
        let is_reply = line.starts_with("    ") && !line[..time].trim().is_empty();
        let indent = if is_reply { "    " } else { "" };
        format!("{indent}{}", &line[indent.len() + time..])
    };
    shown.lines().map(without_time).collect()
}

/// The event in the body of a request.
pub(crate) fn decrypted(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    let bytes = STANDARD.decode(body["encrypt"].as_str().unwrap()).unwrap();
    let (vector, ciphertext) = bytes.split_at(16);
    let key: [u8; 32] = Sha256::digest(ENCRYPT_KEY.as_bytes()).into();
    let vector: [u8; 16] = vector.try_into().unwrap();
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&key.into(), &vector.into());
    let mut buffer = ciphertext.to_vec();
    serde_json::from_slice(cipher.decrypt_padded::<Pkcs7>(&mut buffer).unwrap()).unwrap()
}
