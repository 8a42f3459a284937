//! Robot messages and clicks: their bodies and signatures.

use std::collections::BTreeMap;

use local_chat::dingtalk::{
    APP_SECRET, APPROVER, ActionError, CALLBACK_ROUTE, CARD_SECRET, CARD_SIGNATURE_HEADER,
    CARD_TIMESTAMP_HEADER, CONVERSATION, CORP, DingTalk, MESSAGE_SIGNATURE_HEADER, MESSAGE_TIMESTAMP_HEADER,
    REQUESTER, ROBOT_CODE, SignedRequest, card_signature, message_signature,
};
use serde_json::{Value, json};

use crate::app::{App, CREATE, card, done, lines};

fn body(request: &SignedRequest) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

fn headers(request: &SignedRequest) -> BTreeMap<&'static str, String> {
    request.headers.iter().cloned().collect()
}

#[tokio::test]
async fn message_has_every_documented_field() {
    let dingtalk = DingTalk::start().await.unwrap();
    let request = dingtalk.command("移除 sg-old", REQUESTER, CONVERSATION).unwrap();
    let mut body = body(&request);

    let created = body["createAt"].take().as_u64().unwrap();
    let expires = body["sessionWebhookExpiredTime"].take().as_u64().unwrap();
    assert_eq!(expires, created + 5_402_000);
    let webhook = body["sessionWebhook"].take();
    assert!(webhook.as_str().unwrap().starts_with("https://oapi.dingtalk.com/robot/sendBySession?session="));
    assert!(body["msgId"].take().as_str().unwrap().starts_with("msg"));
    let sender = body["senderId"].take();
    assert!(sender.as_str().unwrap().starts_with("$:LWCP_v1:$"), "{sender}");
    let robot = body["chatbotUserId"].take();
    assert_ne!(robot, sender);
    let expected = json!({
        "conversationId": CONVERSATION,
        "conversationType": "2",
        "conversationTitle": "网络变更群",
        "atUsers": [{ "dingtalkId": robot }],
        "isInAtList": true,
        "chatbotCorpId": CORP,
        "chatbotUserId": null,
        "msgId": null,
        "senderNick": "小钉**[manager4220](https://example.invalid)**",
        "isAdmin": false,
        "senderStaffId": REQUESTER,
        "senderCorpId": CORP,
        "senderId": null,
        "sessionWebhook": null,
        "sessionWebhookExpiredTime": null,
        "createAt": null,
        "robotCode": ROBOT_CODE,
        "msgtype": "text",
        "text": { "content": " 移除 sg-old" },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn message_is_signed_with_its_time_alone() {
    let dingtalk = DingTalk::start().await.unwrap();
    let request = dingtalk.command("help", REQUESTER, CONVERSATION).unwrap();
    let headers = headers(&request);
    let timestamp: u64 = headers[MESSAGE_TIMESTAMP_HEADER].parse().unwrap();
    assert_eq!(json!(timestamp), body(&request)["createAt"]);
    assert_eq!(headers[MESSAGE_SIGNATURE_HEADER], message_signature(APP_SECRET, timestamp));
}

#[tokio::test]
async fn every_message_has_its_own_id() {
    let (dingtalk, other) = (DingTalk::start().await.unwrap(), DingTalk::start().await.unwrap());
    let id = |dingtalk: &DingTalk| {
        body(&dingtalk.command("help", REQUESTER, CONVERSATION).unwrap())["msgId"].clone()
    };
    let (first, second, third) = (id(&dingtalk), id(&dingtalk), id(&other));
    assert!(first != second && second != third && first != third, "{first} {second} {third}");
}

#[tokio::test]
async fn message_is_shown_to_all_and_its_response_is_not() {
    let dingtalk = DingTalk::start().await.unwrap();
    let app = App::start(Some((200, r#"{"msgtype":"text","text":{"content":"no effect"}}"#))).await;
    let request = dingtalk.command("help", REQUESTER, CONVERSATION).unwrap();

    dingtalk.send(&request, &app.url).await.unwrap();

    assert_eq!(lines(&dingtalk), ["manager4220: @privatelink help"]);
    let received = app.request().await;
    assert!(received.starts_with("POST /chat HTTP/1.1\r\n"), "{received}");
    assert!(received.ends_with(&format!("\r\n\r\n{}", request.body)), "{received}");
    for (name, value) in &request.headers {
        assert!(received.contains(&format!("\r\n{name}: {value}\r\n")), "{name}: {received}");
    }
}

#[tokio::test]
async fn refused_message_shows_an_error_to_its_sender() {
    let (dingtalk, app) = (DingTalk::start().await.unwrap(), App::start(Some((503, ""))).await);
    let request = dingtalk.command("help", REQUESTER, CONVERSATION).unwrap();
    dingtalk.send(&request, &app.url).await.unwrap();
    let error =
        "DingTalk (only visible to manager4220): [message] failed: the app responded with the status 503";
    assert_eq!(lines(&dingtalk)[1], error);
}

#[tokio::test]
async fn person_from_outside_has_no_staff_id() {
    let dingtalk = DingTalk::start().await.unwrap();
    let conversation = |dingtalk: &DingTalk| {
        dingtalk.workspace().conversations.get_mut(CONVERSATION).unwrap().guests.insert("guest".to_owned());
    };
    conversation(&dingtalk);
    let body = body(&dingtalk.command("help", "guest", CONVERSATION).unwrap());
    assert_eq!(body.get("senderStaffId"), None);
    assert!(body["senderId"].is_string());
}

#[tokio::test]
async fn message_to_the_robot_alone_has_another_type() {
    let dingtalk = DingTalk::start().await.unwrap();
    dingtalk.workspace().conversations.get_mut(CONVERSATION).unwrap().is_single = true;
    let body = body(&dingtalk.command("help", REQUESTER, CONVERSATION).unwrap());
    assert_eq!((&body["conversationType"], &body["text"]["content"]), (&json!("1"), &json!("help")));
    assert_eq!((body.get("conversationTitle"), body.get("isInAtList")), (None, None));
    assert_eq!(lines(&dingtalk), ["manager4220: help"]);
}

#[tokio::test]
async fn only_members_mention_the_robot_and_only_where_it_is() {
    let dingtalk = DingTalk::start().await.unwrap();
    let stranger = ActionError::NotAMember { user: "u1".to_owned(), conversation: CONVERSATION.to_owned() };
    assert_eq!(dingtalk.command("help", "u1", CONVERSATION), Err(stranger));
    let missing = ActionError::NoConversation("cid1==".to_owned());
    assert_eq!(dingtalk.command("help", REQUESTER, "cid1=="), Err(missing));
    dingtalk.workspace().conversations.get_mut(CONVERSATION).unwrap().has_robot = false;
    let error = dingtalk.command("help", REQUESTER, CONVERSATION);
    assert_eq!(error, Err(ActionError::NoRobot(CONVERSATION.to_owned())));
    assert_eq!(dingtalk.conversation(CONVERSATION), "");
}

#[tokio::test]
async fn click_has_the_parameters_of_its_card() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("older")).await;
    done(&dingtalk, CREATE, &card("track")).await;
    let request = dingtalk.click_newest(CONVERSATION, "decline", APPROVER).unwrap();

    let mut body = body(&request);
    let content: Value = serde_json::from_str(body["content"].take().as_str().unwrap()).unwrap();
    let params = json!({ "request_1": "signed", "request_2": "value" });
    assert_eq!(content, json!({ "cardPrivateData": { "actionIds": ["decline"], "params": params } }));
    let expected = json!({ "type": "actionCallback", "outTrackId": "track", "corpId": CORP, "userId": APPROVER,
        "content": null });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn click_is_signed_with_the_secret_of_its_route() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    let headers = headers(&dingtalk.click("track", "approve", APPROVER).unwrap());
    let timestamp: u64 = headers[CARD_TIMESTAMP_HEADER].parse().unwrap();
    assert!(timestamp > 1_000_000_000_000, "{timestamp} is not in milliseconds");
    assert_eq!(headers[CARD_SIGNATURE_HEADER], card_signature(CARD_SECRET, timestamp));
}

#[tokio::test]
async fn click_of_a_route_without_a_secret_is_not_signed() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    dingtalk.workspace().callback_routes.get_mut(CALLBACK_ROUTE).unwrap().api_secret = None;
    let headers = headers(&dingtalk.click("track", "approve", APPROVER).unwrap());
    assert_eq!(headers.into_keys().collect::<Vec<_>>(), ["content-type"]);
}

#[tokio::test]
async fn requests_have_the_other_documented_forms() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    {
        let forms = &mut dingtalk.workspace().forms;
        forms.has_top_level_content = true;
        forms.has_click_in_value = true;
        forms.has_click_time_in_seconds = true;
    }
    let message = body(&dingtalk.command("help", REQUESTER, CONVERSATION).unwrap());
    assert_eq!((&message["content"], message.get("text")), (&json!(" help"), None));
    let click = dingtalk.click("track", "approve", APPROVER).unwrap();
    let timestamp: u64 = headers(&click)[CARD_TIMESTAMP_HEADER].parse().unwrap();
    assert!(timestamp < 1_000_000_000_000, "{timestamp} is not in seconds");
    assert_eq!(headers(&click)[CARD_SIGNATURE_HEADER], card_signature(CARD_SECRET, timestamp));
    let click = body(&click);
    let value: Value = serde_json::from_str(click["value"].as_str().unwrap()).unwrap();
    let params = json!({ "request_1": "signed", "request_2": "value" });
    assert_eq!(value, json!({ "cardPrivateData": { "actionIds": ["approve"] }, "params": params }));
    assert_eq!(click.get("content"), None);
}
