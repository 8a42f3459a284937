//! Messages, clicks and the verification of the URL: their bodies and signatures, and what the app's response shows.

use std::collections::BTreeMap;
use std::time::Duration;

use local_chat::feishu::{
    APP_ID, APPROVER, ActionError, CHAT, ENCRYPT_KEY, MessageKind, NONCE_HEADER, NewMessage, REQUESTER,
    SIGNATURE_HEADER, SignedRequest, TENANT, TIMESTAMP_HEADER, VERIFICATION_TOKEN, Workspace, signature,
};
use local_chat::{Feishu, Platform};
use serde_json::{Value, json};

use crate::app::{App, approval, card, decrypted, interactive, lines, patch, post, reply, text};

/// A message that a person sends by the simulator's lower interface.
fn sent(feishu: &Feishu, change: impl FnOnce(&mut NewMessage)) -> SignedRequest {
    let mut new = NewMessage::to_app("detach sg-old");
    change(&mut new);
    let now = feishu.workspace().chats[CHAT].messages.last().map_or(std::time::UNIX_EPOCH, |last| last.at);
    feishu.workspace().send_message(&new, REQUESTER, CHAT, now).unwrap()
}

#[tokio::test]
async fn message_has_every_field_that_feishu_sends() {
    let feishu = Feishu::start().await.unwrap();
    let request = feishu.command("移除 sg-old", REQUESTER, CHAT).unwrap();
    let mut event = decrypted(&request.body);

    let header = &mut event["header"];
    assert_eq!(header["event_id"].take().as_str().unwrap().len(), 32);
    let created = header["create_time"].take();
    assert_eq!(created.as_str().unwrap().len(), "1795330800001".len());
    let expected = json!({ "event_id": null, "create_time": null, "token": VERIFICATION_TOKEN,
        "event_type": "im.message.receive_v1", "tenant_key": TENANT, "app_id": APP_ID });
    assert_eq!((&event["schema"], &event["header"]), (&json!("2.0"), &expected));

    let mut event = event["event"].take();
    let sender = json!({ "sender_type": "user", "tenant_key": TENANT, "sender_id": {
        "open_id": REQUESTER, "union_id": "on_7d8a6e6df7621556ce0d21922b676706", "user_id": "7d8a6e6d" } });
    assert_eq!(event["sender"], sender);
    let message = &mut event["message"];
    let id = message["message_id"].take();
    assert_eq!(id.as_str().unwrap(), feishu.workspace().chats[CHAT].messages[0].id);
    let bot = feishu.workspace().app.bot.clone();
    let mention = json!({ "key": "@_user_1", "name": "privatelink", "tenant_key": TENANT,
        "id": { "open_id": bot, "union_id": bot.replace("ou_", "on_"), "user_id": "" } });
    let expected = json!({ "message_id": null, "create_time": created, "update_time": created, "chat_id": CHAT,
        "chat_type": "group", "message_type": "text", "content": "{\"text\":\"@_user_1 移除 sg-old\"}",
        "mentions": [mention] });
    assert_eq!(*message, expected);
}

#[tokio::test]
async fn every_mention_in_the_text_becomes_a_key() {
    let feishu = Feishu::start().await.unwrap();
    let request = sent(&feishu, |new| {
        new.mentions_app = false;
        new.text = format!("ask @{APPROVER}  and @privatelink, @privatelink @nobody");
    });
    let event = decrypted(&request.body);
    let content: Value =
        serde_json::from_str(event["event"]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["text"], "ask @_user_1  and @privatelink, @_user_2 @nobody");
    let mentions = event["event"]["message"]["mentions"].as_array().unwrap();
    assert_eq!((mentions.len(), &mentions[0]["id"]["open_id"]), (2, &json!(APPROVER)));
}

#[tokio::test]
async fn message_without_a_mention_and_other_kinds_are_sent_too() {
    let feishu = Feishu::start().await.unwrap();
    let plain = decrypted(&sent(&feishu, |new| new.mentions_app = false).body);
    assert_eq!(plain["event"]["message"]["mentions"], Value::Null);
    let image = decrypted(&sent(&feishu, |new| new.kind = MessageKind::Image).body);
    assert_eq!(image["event"]["message"]["message_type"], "image");
    let rich = decrypted(&sent(&feishu, |new| new.kind = MessageKind::Post).body);
    assert_eq!(rich["event"]["message"]["message_type"], "post");
}

#[tokio::test]
async fn reply_names_what_it_answers() {
    let feishu = Feishu::start().await.unwrap();
    let asked = post(&feishu, &text("Detach?")).await;
    let event = decrypted(&sent(&feishu, |new| new.reply_to = Some(asked.clone())).body);
    let message = &event["event"]["message"];
    assert_eq!((&message["parent_id"], &message["root_id"]), (&json!(asked), &json!(asked)));
    assert_eq!(message["thread_id"], Value::Null);
}

#[tokio::test]
async fn request_is_signed_with_its_time_nonce_and_body() {
    let feishu = Feishu::start().await.unwrap();
    let request = feishu.command("help", REQUESTER, CHAT).unwrap();
    let headers: BTreeMap<_, _> = request.headers.iter().cloned().collect();
    let timestamp = headers[TIMESTAMP_HEADER].parse().unwrap();
    let expected = signature(ENCRYPT_KEY, timestamp, &headers[NONCE_HEADER], &request.body);
    assert_eq!(headers[SIGNATURE_HEADER], expected);
}

#[tokio::test]
async fn repeated_event_has_the_same_message_and_another_signature() {
    let feishu = Feishu::start().await.unwrap();
    let first = feishu.command("detach sg-old", REQUESTER, CHAT).unwrap();
    let id = feishu.workspace().chats[CHAT].messages[0].id.clone();
    let again = feishu.repeat(&id).unwrap();

    assert_ne!(first.headers, again.headers);
    let (first, again) = (decrypted(&first.body), decrypted(&again.body));
    assert_eq!(first["event"], again["event"]);
    assert_eq!(first["header"]["create_time"], again["header"]["create_time"]);
    assert_ne!(first["header"]["event_id"], again["header"]["event_id"]);
    assert_eq!(lines(&feishu).len(), 1);
    assert_eq!(feishu.repeat("om_1"), Err(ActionError::NoEvent("om_1".to_owned())));
}

#[tokio::test]
async fn click_contains_the_value_of_the_button() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let mut event = decrypted(&feishu.click(CHAT, &id, "decline", APPROVER).unwrap().body);

    assert_eq!(event["header"]["event_type"], "card.action.trigger");
    assert_eq!(event["header"]["create_time"].as_str().unwrap().len(), "1795330800000000".len());
    assert!(event["event"]["token"].take().as_str().unwrap().starts_with("c-"));
    let expected = json!({
        "operator": { "tenant_key": TENANT, "open_id": APPROVER,
            "user_id": "c99c5f35", "union_id": "on_c99c5f35d542efc7ee492afe11af19ef" },
        "token": null,
        "action": { "value": { "action": "decline", "request": "signed decline" }, "tag": "button",
            "timezone": "Asia/Shanghai" },
        "host": "im_message",
        "context": { "open_message_id": id, "open_chat_id": CHAT },
    });
    assert_eq!(event["event"], expected);
}

#[tokio::test]
async fn only_members_act_and_only_on_buttons_that_exist() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let stranger = ActionError::NotAMember { user: "ou_1".to_owned(), chat: CHAT.to_owned() };
    assert_eq!(feishu.command("help", "ou_1", CHAT), Err(stranger.clone()));
    assert_eq!(feishu.click(CHAT, &id, "approve", "ou_1"), Err(stranger));
    assert_eq!(feishu.command("help", REQUESTER, "oc_1"), Err(ActionError::NoChat("oc_1".to_owned())));

    assert_eq!(patch(&feishu, &id, &card("Approved")).await, 0);
    let no_button = ActionError::NoButton { id: id.clone(), action: "approve".to_owned() };
    assert_eq!(feishu.click(CHAT, &id, "approve", APPROVER), Err(no_button));
    feishu.workspace().chats.get_mut(CHAT).unwrap().has_app = false;
    assert_eq!(feishu.command("help", REQUESTER, CHAT), Err(ActionError::AppNotAMember(CHAT.to_owned())));
}

#[tokio::test]
async fn response_to_a_click_replaces_the_card_and_shows_a_toast() {
    let body = json!({ "toast": { "type": "success", "content": "Approved" },
        "card": { "type": "raw", "data": card("Approved by you") } });
    let app = App::start(Some((200, &body.to_string()))).await;
    let feishu = Feishu::start().await.unwrap();
    post(&feishu, &interactive(&approval())).await;

    let request = feishu.click_newest(CHAT, "approve", APPROVER).unwrap();
    feishu.send(&request, &app.url).await.unwrap();

    let toast = format!("Feishu (only visible to {APPROVER}): success: Approved");
    assert_eq!(lines(&feishu), ["privatelink (edited): Approved by you", &toast]);
    assert!(app.request().await.ends_with(&format!("\r\n\r\n{}", request.body)));
}

#[tokio::test]
async fn response_to_a_click_without_content_shows_nothing() {
    for body in ["", "{}"] {
        let (feishu, app) = (Feishu::start().await.unwrap(), App::start(Some((200, body))).await);
        post(&feishu, &interactive(&approval())).await;
        let before = lines(&feishu);
        let request = feishu.click_newest(CHAT, "approve", APPROVER).unwrap();
        feishu.send(&request, &app.url).await.unwrap();
        assert_eq!(lines(&feishu), before);
    }
}

#[tokio::test]
async fn failed_click_shows_its_code_and_leaves_the_card() {
    let old = json!({ "card": { "type": "raw", "data": { "elements": [] } } }).to_string();
    let invalid =
        json!({ "card": { "type": "raw", "data": { "schema": "2.0", "elements": [] } } }).to_string();
    let template = json!({ "card": { "type": "template", "data": card("x") } }).to_string();
    let toast = json!({ "toast": { "type": "loud", "content": "x" } }).to_string();
    for (response, code) in [
        (Some((500, "{}")), 200_671),
        (Some((200, "{")), 200_672),
        (Some((200, "[]")), 200_672),
        (Some((200, toast.as_str())), 200_672),
        (Some((200, invalid.as_str())), 200_673),
        (Some((200, template.as_str())), 200_673),
        (Some((200, old.as_str())), 200_830),
        (None, 200_341),
    ] {
        let (feishu, app) = (Feishu::start().await.unwrap(), App::start(response).await);
        post(&feishu, &interactive(&approval())).await;
        let request = feishu.click_newest(CHAT, "approve", APPROVER).unwrap();
        // Only the app that never responds reaches this limit.
        let limit = Duration::from_millis(if response.is_none() { 50 } else { 30_000 });
        let _ = feishu.send_within(&request, &app.url, limit).await;

        let shown = lines(&feishu);
        let failed =
            format!("Feishu (only visible to {APPROVER}): [Approve detach] failed with the code {code}");
        assert_eq!(shown.last(), Some(&failed));
        assert_eq!(shown[0], "privatelink: Detach sg-old?");
    }
}

#[tokio::test]
async fn url_is_verified_by_its_challenge() {
    let feishu = Feishu::start().await.unwrap();
    let request = feishu.verify_url();
    let body = decrypted(&request.body);
    assert_eq!((&body["type"], &body["token"]), (&json!("url_verification"), &json!(VERIFICATION_TOKEN)));
    assert!(request.headers.iter().all(|(name, _)| !name.starts_with("x-lark")), "it is not signed");
    assert_eq!(Workspace::response_limit(&request.action), Duration::from_secs(1));

    let challenge = json!({ "challenge": body["challenge"] }).to_string();
    for (answer, is_verified) in [("{\"challenge\":\"other\"}", false), (challenge.as_str(), true)] {
        let app = App::start(Some((200, answer))).await;
        feishu.send(&request, &app.url).await.unwrap();
        assert_eq!(feishu.workspace().is_url_verified, is_verified);
    }
}

#[tokio::test]
async fn recalled_message_is_marked_and_has_no_buttons() {
    let feishu = Feishu::start().await.unwrap();
    let id = post(&feishu, &interactive(&approval())).await;
    let (code, _) = reply(&feishu, &id, &text("a reply")).await;
    feishu.workspace().chats.get_mut(CHAT).unwrap().message_mut(&id).unwrap().is_recalled = true;
    assert_eq!(code, 0);
    assert_eq!(lines(&feishu), ["privatelink: (recalled)", "privatelink: > (recalled)", "a reply"]);
    assert!(feishu.click_newest(CHAT, "approve", APPROVER).is_err());
}
