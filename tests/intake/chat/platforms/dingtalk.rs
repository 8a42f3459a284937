//! What only `DingTalk` does: a signature covers the time alone, so the body of a call proves nothing.

use serde_json::{Value, json};

use super::super::lines;
use crate::deployment::{Call, now};
use crate::dingtalk::{
    APP_SECRET, CARD_SECRET, DRIVER, call, click, click_signature, message, message_signature, signed_click,
    signed_message,
};
use crate::platforms::{Clicked, Typed, clicks, notices};

fn typed() -> Typed {
    Typed::new(&DRIVER, "detach sg-a ep-a eu-west-1")
}

/// The signed call with the message of a command, changed at this place.
fn changed(pointer: &str, value: Value) -> Call {
    let mut message = message(&typed());
    *message.pointer_mut(pointer).expect("the message has it") = value;
    signed_message(call(message.to_string()), APP_SECRET, 0)
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
async fn secret_of_one_kind_of_call_does_not_sign_the_other() {
    let deployment = DRIVER.deployment().await;
    let clicked = Clicked::approve(&DRIVER, &DRIVER.button(1));
    DRIVER.assert_unauthorized(&deployment.call(typed().signed(CARD_SECRET, 0)).await);
    DRIVER.assert_unauthorized(&deployment.call(clicked.signed(APP_SECRET, 0)).await);
    // The headers decide what a body is.
    let message = call(message(&typed()).to_string());
    deployment.call(signed_click(message, CARD_SECRET, 0)).await.assert_problem(400);
    let click = call(click(&clicked).to_string());
    deployment.call(signed_message(click.clone(), APP_SECRET, 0)).await.assert_problem(400);
    // Of both pairs of headers, that of the click counts.
    let both = signed_message(signed_click(click, crate::dingtalk::OTHER_SECRET, 0), APP_SECRET, 0);
    DRIVER.assert_unauthorized(&deployment.call(both).await);
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn time_of_a_click_is_in_seconds_or_milliseconds() {
    let deployment = DRIVER.deployment().await;
    let clicked = click(&Clicked::approve(&DRIVER, &DRIVER.button(1))).to_string();
    for (timestamp, status) in [
        (now().to_string(), 200),
        ((now() * 1000).to_string(), 200),
        ((now() - 250).to_string(), 401),
        ((now() * 1_000_000).to_string(), 401),
        (format!("+{}", now()), 401),
    ] {
        let call = call(clicked.clone())
            .with("x-ddpaas-signature-timestamp", &timestamp)
            .with("x-ddpaas-signature", &click_signature(CARD_SECRET, &timestamp));
        assert_eq!(deployment.call(call).await.status, status, "{timestamp}");
    }
    let timestamp = now().to_string();
    let call = call(message(&typed()).to_string())
        .with("timestamp", &timestamp)
        .with("sign", &message_signature(APP_SECRET, &timestamp));
    assert_eq!(deployment.call(call).await.status, 200);
}

#[tokio::test]
async fn old_signature_with_a_new_body_is_unauthorized() {
    let deployment = DRIVER.deployment().await;
    for call in [
        typed().signed(APP_SECRET, -250),
        Clicked::approve(&DRIVER, &DRIVER.button(1)).signed(CARD_SECRET, -250),
    ] {
        DRIVER.assert_unauthorized(&deployment.call(call).await);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}

#[tokio::test]
async fn command_that_was_typed_minutes_ago_is_not_carried_out() {
    let late = "a chat command arrived too late and is not carried out";
    assert_no_effect(Typed { age: 250, ..typed() }.call(), "WARN", late).await;
}

#[tokio::test]
async fn message_that_the_robot_cannot_answer_is_ignored() {
    for call in [
        changed("/conversationType", json!("1")),
        changed("/senderStaffId", Value::Null),
        changed("/senderCorpId", Value::Null),
        changed("/senderStaffId", json!("用户")),
        changed("/senderStaffId", json!("user/1")),
    ] {
        assert_no_effect(call, "INFO", "chat call ignored: ").await;
    }
}

#[tokio::test]
async fn address_for_responses_is_not_used() {
    let deployment = DRIVER.deployment().await;
    // An address of another server: a request to it would be logged, or would delay the response.
    let call = changed("/sessionWebhook", json!("http://127.0.0.1:9/s3ssion"));
    DRIVER.assert_shows_nothing(&deployment.call(call).await);
    assert_eq!(deployment.messages().len(), 1);
    assert!(!deployment.output().contains("s3ssion"));
}

#[tokio::test]
async fn conversation_of_a_click_is_the_signed_one() {
    let deployment = DRIVER.deployment().await;
    // The callback names the space where it was clicked, which no signature covers.
    let elsewhere =
        Clicked { conversation: DRIVER.other_conversation, ..Clicked::approve(&DRIVER, &DRIVER.button(1)) };
    assert_eq!(deployment.call(elsewhere.call()).await.status, 200);
    let [notice] = &clicks(&deployment)[..] else { panic!("one notice") };
    assert_eq!(notice.conversation, DRIVER.place(DRIVER.conversation));
}

#[tokio::test]
async fn click_is_read_in_every_documented_form() {
    let button = DRIVER.button(1);
    let forms: [fn(&mut Value, Value); 3] = [
        |callback, content| callback["content"] = json!(content.to_string()),
        |callback, content| callback["value"] = json!(content.to_string()),
        |callback, mut content| {
            let params = content["cardPrivateData"]["params"].take();
            content["cardPrivateData"] = json!({ "actionIds": content["cardPrivateData"]["actionIds"] });
            content["params"] = params;
            callback["content"] = json!(content.to_string());
        },
    ];
    for form in forms {
        let deployment = DRIVER.deployment().await;
        let mut callback = click(&Clicked::approve(&DRIVER, &button));
        let content: Value = serde_json::from_str(callback["content"].take().as_str().unwrap()).unwrap();
        form(&mut callback, content);
        let call = signed_click(call(callback.to_string()), CARD_SECRET, 0);
        assert_eq!((deployment.call(call).await.status.as_u16(), deployment.messages().len()), (200, 1));
    }
}

#[tokio::test]
async fn message_without_the_ids_is_invalid() {
    let deployment = DRIVER.deployment().await;
    for (pointer, value) in [
        ("/msgId", json!("")),
        ("/msgId", Value::Null),
        ("/conversationId", json!("<cid>")),
        ("/senderCorpId", json!("ding corp")),
    ] {
        deployment.call(changed(pointer, value)).await.assert_problem(400);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
}
