//! What only Feishu does: calls are encrypted, its check of the address is not signed, and it repeats an event for hours.

use privatelink_detach::chat::texts::Answer;
use serde_json::{Value, json};

use super::super::lines;
use crate::deployment::{Call, Response};
use crate::feishu::{
    DRIVER, ENCRYPT_KEY, OTHER_KEY, OTHER_TOKEN, VERIFICATION_TOKEN, address_check, body_of, call, call_of,
    click, decrypted, encrypted, encrypted_blocks, message, signed,
};
use crate::platforms::{Clicked, Typed, notices};

fn typed() -> Typed {
    Typed::new(&DRIVER, "detach sg-a ep-a eu-west-1")
}

/// The signed call with the event of a command, changed at this place.
fn changed(pointer: &str, value: Value) -> Call {
    let mut event = message(&typed());
    *event.pointer_mut(pointer).expect("the event has it") = value;
    call_of(&event, ENCRYPT_KEY, 0)
}

/// Asserts that the call is accepted without any effect, with one line at this level.
async fn assert_no_effect(call: Call, level: &str, message: &str) {
    let deployment = DRIVER.deployment().await;
    DRIVER.assert_shows_nothing(&deployment.call(call).await);
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
    let output = deployment.output();
    let lines = lines(&output, level);
    let is_logged = |line: &&Value| line["message"].as_str().unwrap().starts_with(message);
    assert_eq!(lines.iter().filter(is_logged).count(), 1, "{output}");
}

#[tokio::test]
async fn check_of_the_address_returns_its_challenge() {
    let deployment = DRIVER.deployment().await;
    let check = |token: &str, key: &str| call(encrypted(address_check(token).to_string().as_bytes(), key));
    let is_accepted = |response: &Response| {
        assert_eq!((response.status.as_u16(), &response.body), (200, &json!({ "challenge": "ch4llenge" })));
    };
    // Feishu does not sign it, but may.
    is_accepted(&deployment.call(check(VERIFICATION_TOKEN, ENCRYPT_KEY)).await);
    is_accepted(&deployment.call(signed(check(VERIFICATION_TOKEN, ENCRYPT_KEY), ENCRYPT_KEY, 0)).await);
    for call in [
        check(OTHER_TOKEN, ENCRYPT_KEY),
        check("", ENCRYPT_KEY),
        check(VERIFICATION_TOKEN, OTHER_KEY),
        signed(check(OTHER_TOKEN, ENCRYPT_KEY), ENCRYPT_KEY, 0),
        // Not encrypted.
        call(address_check(VERIFICATION_TOKEN).to_string()),
    ] {
        DRIVER.assert_unauthorized(&deployment.call(call).await);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn event_beside_a_check_of_the_address_is_not_carried_out_unsigned() {
    let deployment = DRIVER.deployment().await;
    let mut event = message(&typed());
    for (field, value) in address_check(VERIFICATION_TOKEN).as_object().unwrap() {
        event[field] = value.clone();
    }
    let unsigned = call(encrypted(event.to_string().as_bytes(), ENCRYPT_KEY));
    let response = deployment.call(unsigned).await;
    assert_eq!((response.status.as_u16(), response.body), (200, json!({ "challenge": "ch4llenge" })));
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn call_that_is_not_encrypted_is_refused() {
    let deployment = DRIVER.deployment().await;
    let clicked = Clicked::approve(&DRIVER, &DRIVER.button(1));
    for event in [message(&typed()), click(&clicked)] {
        let plain = signed(call(event.to_string()), ENCRYPT_KEY, 0);
        deployment.call(plain).await.assert_problem(400);
        DRIVER.assert_unauthorized(&deployment.call(call(event.to_string())).await);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn body_that_cannot_be_decrypted_is_invalid() {
    let deployment = DRIVER.deployment().await;
    let text = message(&typed()).to_string();
    let padded = |padding: &[u8]| {
        let mut bytes = text.clone().into_bytes();
        bytes.resize(bytes.len().next_multiple_of(16), b' ');
        body_of(&encrypted_blocks(&[&bytes, padding].concat(), ENCRYPT_KEY))
    };
    let whole = encrypted_blocks(&[16; 16], ENCRYPT_KEY);
    for body in [
        // No byte of the padding is checked alone: all of them are its length.
        padded(&[[0; 15].as_slice(), &[16]].concat()),
        padded(&[[b' '; 14].as_slice(), &[1, 2]].concat()),
        padded(&[0; 16]),
        padded(&[17; 16]),
        body_of(&whole[..16]),
        body_of(&whole[..15]),
        body_of(&[]),
        json!({ "encrypt": "!" }).to_string(),
        json!({ "encrypt": 7 }).to_string(),
        encrypted(text.as_bytes(), OTHER_KEY),
    ] {
        deployment.call(signed(call(body), ENCRYPT_KEY, 0)).await.assert_problem(400);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
    // The helper that pads by hand makes valid calls, too.
    let body = padded(&[16; 16]);
    assert!(decrypted(body.as_bytes(), ENCRYPT_KEY).is_some());
    assert_eq!(deployment.call(signed(call(body), ENCRYPT_KEY, 0)).await.status, 200);
    assert_eq!(deployment.messages().len(), 1);
}

#[tokio::test]
async fn event_with_another_verification_token_is_unauthorized() {
    let deployment = DRIVER.deployment().await;
    DRIVER.assert_unauthorized(&deployment.call(changed("/header/token", json!(OTHER_TOKEN))).await);
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn command_that_is_repeated_minutes_later_is_not_carried_out() {
    let late = "a chat command arrived too late and is not carried out";
    // Signed when it was first sent, or anew.
    assert_no_effect(typed().signed(ENCRYPT_KEY, -250), "WARN", late).await;
    assert_no_effect(Typed { age: 250, ..typed() }.call(), "WARN", late).await;
}

#[tokio::test]
async fn event_of_another_kind_is_ignored() {
    for call in [
        changed("/header/event_type", json!("im.message.reaction.created_v1")),
        changed("/event/sender/sender_type", json!("app")),
        changed("/event/message/mentions", json!([])),
        changed("/event/message/mentions", Value::Null),
    ] {
        assert_no_effect(call, "INFO", "chat call ignored: ").await;
    }
}

#[tokio::test]
async fn message_of_another_type_is_answered_with_the_help() {
    let deployment = DRIVER.deployment().await;
    let response = deployment.call(changed("/event/message/message_type", json!("image"))).await;
    DRIVER.assert_told(&deployment, &response, &Answer::Help);
}

#[tokio::test]
async fn person_of_another_tenant_in_an_external_group_is_refused() {
    let deployment = DRIVER.deployment().await;
    let other = changed("/event/sender/tenant_key", json!(DRIVER.other_tenant));
    DRIVER.assert_shows_nothing(&deployment.call(other).await);
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn event_without_the_ids_is_invalid() {
    let deployment = DRIVER.deployment().await;
    for pointer in ["/event/sender/sender_id/open_id", "/event/message/chat_id", "/event/message/message_id"]
    {
        for value in [Value::Null, json!(""), json!("<ou>"), json!(7)] {
            deployment.call(changed(pointer, value)).await.assert_problem(400);
        }
    }
    assert_eq!(deployment.messages().len(), 0);
}
