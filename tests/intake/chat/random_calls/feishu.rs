//! Feishu: an encrypted text, whose signature covers the body. A check of the address is accepted without one.

use privatelink_detach::chat::identity::Tenant;
use privatelink_detach::chat::request::id_of;
use serde_json::{Value, json};

use super::{Case, approved_request, assert_no_panic_no_5xx_and_no_forged_request, parsed, with_other_field};
use crate::deployment::now;
use crate::feishu::{
    DRIVER, ENCRYPT_KEY, OTHER_KEY, OTHER_TOKEN, VERIFICATION_TOKEN, address_check, click, decrypted,
    encrypted, message, signature,
};
use crate::random_calls::mutate;

const CASE: Case = Case {
    driver: &DRIVER,
    command: |typed| message(typed).to_string(),
    click: |clicked, rng| {
        let mut event = click(clicked);
        event["event"] = with_other_field(event["event"].take(), rng);
        event["header"] = with_other_field(event["header"].take(), rng);
        event.to_string()
    },
    body: |text, rng| {
        let check = |token: &str| address_check(token).to_string().into_bytes();
        let text = match rng.u8(..40) {
            0 => check(VERIFICATION_TOKEN),
            1 => check(OTHER_TOKEN),
            // Not encrypted.
            2 => return text.to_vec(),
            _ => text.to_vec(),
        };
        let key = if rng.u8(..30) == 0 { OTHER_KEY } else { ENCRYPT_KEY };
        let mut body = encrypted(&text, key).into_bytes();
        // In the mode CBC, a change of one block changes the text in a way that its sender can choose.
        if rng.u8(..12) == 0 {
            mutate(&mut body, rng);
        }
        body
    },
    headers: |_, key, sent_at, body| {
        let (timestamp, nonce) = (sent_at.to_string(), "n0nce".to_owned());
        let signature = signature(key, &timestamp, &nonce, body);
        vec![
            ("x-lark-request-timestamp", timestamp),
            ("x-lark-request-nonce", nonce),
            ("x-lark-signature", signature),
        ]
    },
    is_body_signed: true,
    is_accepted_unsigned: |call| call.is_old || is_address_check(&call.body),
    allowed_request,
    results: &["approved", "declined"],
};

fn is_address_check(body: &[u8]) -> bool {
    let check = decrypted(body, ENCRYPT_KEY).and_then(|text| parsed(&text)).unwrap_or_default();
    (&check["type"], &check["token"]) == (&json!("url_verification"), &json!(VERIFICATION_TOKEN))
}

fn allowed_request(body: &[u8]) -> Option<String> {
    let event = parsed(&decrypted(body, ENCRYPT_KEY)?)?;
    let text = |pointer: &str| event.pointer(pointer)?.as_str();
    let is_ours =
        (text("/header/token")?, text("/header/tenant_key")?) == (VERIFICATION_TOKEN, DRIVER.tenant);
    let name = match text("/header/event_type")? {
        "card.action.trigger" => {
            let is_allowed = (text("/event/operator/tenant_key")?, text("/event/operator/open_id")?)
                == (DRIVER.tenant, DRIVER.approver)
                && text("/event/context/open_chat_id")? == DRIVER.conversation
                && text("/event/action/value/action")? == "approve";
            approved_request(&DRIVER, text("/event/action/value/request")?).filter(|_| is_allowed)
        }
        "im.message.receive_v1" => {
            let tenant = event.pointer("/event/sender/tenant_key").unwrap_or(&Value::Null);
            let created_at = text("/event/message/create_time")?.parse::<i64>().ok()? / 1000;
            let is_allowed = (tenant.is_null() || tenant == DRIVER.tenant)
                && text("/event/sender/sender_id/open_id")? == DRIVER.requester
                && text("/event/message/chat_id")? == DRIVER.conversation
                && created_at >= now() - 241;
            let tenant = Tenant::parse(&format!("feishu:{}", DRIVER.tenant))?;
            let id = id_of(&tenant, text("/event/message/message_id")?);
            is_allowed.then(|| format!("{id}.preview"))
        }
        _ => None,
    };
    name.filter(|_| is_ours)
}

#[tokio::test]
async fn random_calls_cause_no_panic_no_5xx_and_no_forged_request() {
    assert_no_panic_no_5xx_and_no_forged_request(&CASE).await;
}
