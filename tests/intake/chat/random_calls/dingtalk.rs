//! `DingTalk`: JSON, whose signature covers the time alone. What a call may do is decided by the lists, and a button by its
//! signed value.

use privatelink_detach::chat::identity::Tenant;
use privatelink_detach::chat::request::id_of;
use serde_json::json;

use super::{
    Case, Kind, approved_request, assert_no_panic_no_5xx_and_no_forged_request, parsed, with_other_field,
};
use crate::deployment::now;
use crate::dingtalk::{DRIVER, click, click_signature, message, message_signature};

const CASE: Case = Case {
    driver: &DRIVER,
    command: |typed| message(typed).to_string(),
    click: |clicked, rng| with_other_field(click(clicked), rng).to_string(),
    body: |text, _| text.to_vec(),
    headers: |kind, secret, sent_at, _| {
        let timestamp = (sent_at * 1000).to_string();
        match kind {
            Kind::Command => {
                let signature = message_signature(secret, &timestamp);
                vec![("timestamp", timestamp), ("sign", signature)]
            }
            Kind::Click => {
                let signature = click_signature(secret, &timestamp);
                vec![("x-ddpaas-signature-timestamp", timestamp), ("x-ddpaas-signature", signature)]
            }
        }
    },
    is_body_signed: false,
    is_accepted_unsigned: |_| false,
    allowed_request,
    results: &["approved", "declined"],
};

fn allowed_request(body: &[u8]) -> Option<String> {
    let call = parsed(body)?;
    let text = |pointer: &str| call.pointer(pointer)?.as_str();
    if text("/type") == Some("actionCallback") {
        let content = parsed(text("/content").or_else(|| text("/value"))?.as_bytes())?;
        let clicked = &content["cardPrivateData"];
        let params = if clicked["params"].is_null() { &content["params"] } else { &clicked["params"] };
        let value: String = ["request_1", "request_2"]
            .iter()
            .map(|part| params[*part].as_str().unwrap_or_default())
            .collect();
        let is_allowed = (text("/corpId")?, text("/userId")?) == (DRIVER.tenant, DRIVER.approver)
            && clicked["actionIds"] == json!(["approve"]);
        return approved_request(&DRIVER, &value).filter(|_| is_allowed);
    }
    let is_allowed = (text("/senderCorpId")?, text("/senderStaffId")?) == (DRIVER.tenant, DRIVER.requester)
        && (text("/conversationType")?, text("/conversationId")?) == ("2", DRIVER.conversation)
        && call["createAt"].as_i64().is_none_or(is_recent);
    let id = id_of(&Tenant::parse(&format!("dingtalk:{}", DRIVER.tenant))?, text("/msgId")?);
    is_allowed.then(|| format!("{id}.preview"))
}

/// In seconds or milliseconds.
fn is_recent(created_at: i64) -> bool {
    let seconds = if created_at < 100_000_000_000 { created_at } else { created_at / 1000 };
    seconds >= now() - 241
}

#[tokio::test]
async fn random_calls_cause_no_panic_no_5xx_and_no_forged_request() {
    assert_no_panic_no_5xx_and_no_forged_request(&CASE).await;
}
