//! Feishu's calls to the intake. They are encrypted with the Encrypt Key, and signed with it.

use aes::Aes256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use http::{HeaderMap, Method};
use privatelink_detach::chat::identity::Platform;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::deployment::{Call, now};
use crate::platforms::{Clicked, Driver, Typed};

/// The Encrypt Key and the Verification Token of the app.
pub(crate) const ENCRYPT_KEY: &str = "encrypt-k3y-of-the-app";
pub(crate) const VERIFICATION_TOKEN: &str = "verification-t0ken-of-the-app";

/// Others of the same forms.
pub(crate) const OTHER_KEY: &str = "another-encrypt-k3y";
pub(crate) const OTHER_TOKEN: &str = "another-verification-t0ken";

pub(crate) const DRIVER: Driver = Driver {
    platform: Platform::Feishu,
    tenant: "736588c9260f175e",
    conversation: "oc_0123456789abcdef0123456789abcdef",
    requester: "ou_requester00000000000000000000",
    approver: "ou_approver000000000000000000000",
    other_tenant: "736588c9260f175f",
    other_conversation: "oc_ffffffffffffffffffffffffffffffff",
    other_person: "ou_other00000000000000000000000",
    command_name: "@bot",
    card: "om_card000000000000000000000000",
    command_secret: ENCRYPT_KEY,
    click_secret: ENCRYPT_KEY,
    other_secret: OTHER_KEY,
    command_headers: &["x-lark-request-timestamp", "x-lark-request-nonce", "x-lark-signature"],
    click_headers: &["x-lark-request-timestamp", "x-lark-request-nonce", "x-lark-signature"],
    type_command: |typed, key, seconds| call_of(&message(typed), key, seconds),
    click_button: |clicked, key, seconds| call_of(&click(clicked), key, seconds),
};

/// The verification secrets' member with this app's key and token, and with others.
pub(crate) fn member(others: &[(&str, &str)]) -> (&'static str, Value) {
    let (mut keys, mut tokens) = (vec![ENCRYPT_KEY], vec![VERIFICATION_TOKEN]);
    keys.extend(others.iter().map(|(key, _)| *key));
    tokens.extend(others.iter().map(|(_, token)| *token));
    ("feishu", json!({ "encrypt_keys": keys, "verification_tokens": tokens }))
}

fn header(event_type: &str) -> Value {
    json!({
        "event_id": "ev3nt-1", "event_type": event_type, "create_time": "1795330800000", "token": VERIFICATION_TOKEN,
        "app_id": "cli_app0000000000000", "tenant_key": DRIVER.tenant,
    })
}

/// The event of a message that mentions the bot.
pub(crate) fn message(typed: &Typed) -> Value {
    let Typed { tenant, conversation, person, text, id, age, .. } = typed;
    let mut header = header("im.message.receive_v1");
    header["tenant_key"] = json!(tenant);
    json!({
        "schema": "2.0",
        "header": header,
        "event": {
            "sender": {
                "sender_id": { "union_id": "on_us3r-name", "user_id": "us3r-name", "open_id": person },
                "sender_type": "user", "tenant_key": tenant,
            },
            "message": {
                "message_id": id, "create_time": ((now() - age) * 1000).to_string(),
                "update_time": "1795330800000", "chat_id": conversation, "chat_type": "group",
                "message_type": "text", "content": json!({ "text": format!("@_user_1 {text}") }).to_string(),
                "mentions": [{ "key": "@_user_1", "id": { "open_id": "ou_bot" }, "name": "us3r-name" }],
            },
        },
    })
}

/// The callback of a click.
pub(crate) fn click(clicked: &Clicked) -> Value {
    let Clicked { tenant, conversation, person, action, value, .. } = clicked;
    json!({
        "schema": "2.0",
        "header": header("card.action.trigger"),
        "event": {
            "operator": { "tenant_key": tenant, "user_id": "us3r-name", "open_id": person },
            "token": "c-s3ssion",
            "action": { "value": { "action": action, "request": value }, "tag": "button" },
            "host": "im_message",
            "context": { "open_message_id": DRIVER.card, "open_chat_id": conversation },
        },
    })
}

/// The check of the address.
pub(crate) fn address_check(token: &str) -> Value {
    json!({ "challenge": "ch4llenge", "token": token, "type": "url_verification" })
}

/// An encrypted and signed call.
pub(crate) fn call_of(event: &Value, key: &str, seconds_from_now: i64) -> Call {
    signed(call(encrypted(event.to_string().as_bytes(), key)), key, seconds_from_now)
}

/// A call with this body, not signed.
pub(crate) fn call(body: impl Into<bytes::Bytes>) -> Call {
    let path = "/chat/feishu".to_owned();
    let call = Call { method: Method::POST, path, headers: HeaderMap::new(), body: body.into() };
    call.with("content-type", "application/json;charset=UTF-8")
}

/// The call, signed with this key; the timestamp differs from now by so many seconds.
pub(crate) fn signed(call: Call, key: &str, seconds_from_now: i64) -> Call {
    let (timestamp, nonce) = ((now() + seconds_from_now).to_string(), "n0nce");
    let signature = signature(key, &timestamp, nonce, &call.body);
    call.with("x-lark-request-timestamp", &timestamp)
        .with("x-lark-request-nonce", nonce)
        .with("x-lark-signature", &signature)
}

/// The signature of a body.
pub(crate) fn signature(key: &str, timestamp: &str, nonce: &str, body: &[u8]) -> String {
    use std::fmt::Write;

    let hash = Sha256::digest([timestamp.as_bytes(), nonce.as_bytes(), key.as_bytes(), body].concat());
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The body of a call with this text.
pub(crate) fn encrypted(text: &[u8], key: &str) -> String {
    let length = 16 - text.len() % 16;
    let padded = [text, &vec![u8::try_from(length).unwrap(); length]].concat();
    body_of(&encrypted_blocks(&padded, key))
}

/// The body of a call with these encrypted bytes.
pub(crate) fn body_of(encrypted: &[u8]) -> String {
    json!({ "encrypt": BASE64_STANDARD.encode(encrypted) }).to_string()
}

/// The initialization vector and whole encrypted blocks: a padding is not added.
pub(crate) fn encrypted_blocks(blocks: &[u8], key: &str) -> Vec<u8> {
    let iv: [u8; 16] = *b"0123456789abcdef";
    let mut bytes = blocks.to_vec();
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&Sha256::digest(key), &iv).unwrap();
    cipher.encrypt_padded::<NoPadding>(&mut bytes, blocks.len()).unwrap();
    [&iv[..], &bytes].concat()
}

/// The text in the body of a call.
pub(crate) fn decrypted(body: &[u8], key: &str) -> Option<Vec<u8>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let bytes = BASE64_STANDARD.decode(body["encrypt"].as_str()?).ok()?;
    let (iv, text) = bytes.split_at_checked(16)?;
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&Sha256::digest(key), iv).ok()?;
    let mut text = text.to_vec();
    Some(cipher.decrypt_padded::<Pkcs7>(&mut text).ok()?.to_vec())
}
