//! Cards: how an app creates and changes them, and what a click and its response do.

use std::time::Duration;

use local_chat::dingtalk::{
    APPROVER, ActionError, BYSTANDER, CONVERSATION, CardParameters, Conversation, DingTalk, ROBOT_CODE,
};
use serde_json::{Value, json};

use crate::app::{App, CARDS, CREATE, DELIVER, call, card, done, lines};

const OPEN: [&str; 4] =
    ["privatelink: Detach sg-old?", "Asked by manager4220", "from ep-shop", "[Approve detach] [Decline]"];

/// What an app responds to an approval.
const APPROVED: &str = r#"{"cardUpdateOptions":{"updateCardDataByKey":true,"updatePrivateDataByKey":true},
    "cardData":{"cardParamMap":{"status":"approved","title":"Approved"}}}"#;

fn status(status: &str) -> Value {
    json!({ "outTrackId": "track", "cardUpdateOptions": { "updateCardDataByKey": true },
        "cardData": { "cardParamMap": { "status": status } } })
}

#[tokio::test]
async fn card_is_shown_with_its_buttons() {
    let dingtalk = DingTalk::start().await.unwrap();
    let response = done(&dingtalk, CREATE, &card("track")).await;

    assert_eq!(lines(&dingtalk), OPEN);
    assert_eq!(response["result"]["outTrackId"], "track");
    let mut delivery = response["result"]["deliverResults"][0].clone();
    assert!(delivery["carrierId"].take().is_string());
    let expected =
        json!({ "spaceType": "IM_GROUP", "spaceId": CONVERSATION, "success": true, "carrierId": null });
    assert_eq!(delivery, expected);
}

#[tokio::test]
async fn same_out_track_id_is_the_same_card() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    done(&dingtalk, CARDS, &status("approved")).await;
    let before = lines(&dingtalk);

    let response = done(&dingtalk, CREATE, &card("track")).await;

    assert_eq!(response["result"]["deliverResults"][0]["success"], true);
    assert_eq!(lines(&dingtalk), before);
    done(&dingtalk, CREATE, &card("another")).await;
    assert_eq!(dingtalk.workspace().conversations[CONVERSATION].cards().count(), 2);
}

#[tokio::test]
async fn failed_delivery_is_reported_in_a_success() {
    let dingtalk = DingTalk::start().await.unwrap();
    {
        let mut workspace = dingtalk.workspace();
        let conversation =
            |is_single| Conversation { is_single, has_robot: is_single, ..Conversation::new("other", []) };
        workspace.conversations.insert("cidwithout==".to_owned(), conversation(false));
        workspace.conversations.insert("cidsingle==".to_owned(), conversation(true));
    }
    for (id, robot_code) in [
        ("cidwithout==", ROBOT_CODE),
        ("cidsingle==", ROBOT_CODE),
        ("cidmissing==", ROBOT_CODE),
        (CONVERSATION, "dinganother"),
    ] {
        let mut body = card("track");
        body["openSpaceId"] = json!(format!("dtv1.card//IM_GROUP.{id}"));
        body["imGroupOpenDeliverModel"]["robotCode"] = json!(robot_code);

        let response = done(&dingtalk, CREATE, &body).await;

        assert_eq!(response["success"], true);
        let delivery = json!({ "spaceType": "IM_GROUP", "spaceId": id, "success": false,
            "errorMsg": "chatbotNotInstall" });
        assert_eq!(response["result"]["deliverResults"], json!([delivery]));
        assert!(dingtalk.workspace().card("track").is_none());
    }
}

#[tokio::test]
async fn card_that_was_not_delivered_is_delivered_once() {
    let dingtalk = DingTalk::start().await.unwrap();
    let delivery = |id: &str| {
        json!({ "outTrackId": id, "openSpaceId": format!("dtv1.card//im_group.{CONVERSATION}"),
            "imGroupOpenDeliverModel": { "robotCode": ROBOT_CODE } })
    };
    dingtalk.workspace().conversations.get_mut(CONVERSATION).unwrap().has_robot = false;
    done(&dingtalk, CREATE, &card("track")).await;
    let response = done(&dingtalk, DELIVER, &delivery("track")).await;
    assert_eq!(response["result"][0]["errorMsg"], "chatbotNotInstall");
    assert_eq!(lines(&dingtalk), [""; 0]);

    dingtalk.workspace().conversations.get_mut(CONVERSATION).unwrap().has_robot = true;
    for _ in 0..2 {
        let response = done(&dingtalk, DELIVER, &delivery("track")).await;
        assert_eq!(response["result"][0]["success"], true);
    }

    assert_eq!(lines(&dingtalk), OPEN);
    let response = call(&dingtalk, DELIVER, &delivery("another")).await.unwrap();
    assert_eq!(response.error(), (400, "param.cardNotExist".to_owned()));
}

#[tokio::test]
async fn invalid_card_is_refused_with_its_code() {
    let dingtalk = DingTalk::start().await.unwrap();
    for (member, value, code) in [
        ("outTrackId", json!(""), "param.outTrackIdEmpty"),
        ("cardTemplateId", json!(null), "param.cardTemplateIdEmpty"),
        ("cardTemplateId", json!("another.schema"), "param.templateNotExist"),
        ("callbackType", json!("STREAM"), "param.invalid"),
        ("callbackRouteKey", json!("another"), "param.invalid"),
        ("openSpaceId", json!(null), "param.openSpaceIdEmpty"),
        ("openSpaceId", json!(CONVERSATION), "param.openSpaceIdInvalid"),
        ("openSpaceId", json!("dtv1.card//IM_ROBOT.manager4220"), "param.openSpaceIdInvalid"),
        ("openSpaceId", json!("dtv1.card//IM_GROUP.cid1==;IM_GROUP.cid2=="), "param.openSpaceIdInvalid"),
        ("imGroupOpenSpaceModel", json!(null), "param.openSpaceModelInvalid"),
        ("imGroupOpenDeliverModel", json!(null), "param.openDeliverModelEmpty"),
        ("imGroupOpenDeliverModel", json!({}), "param.openDeliverModelError"),
        ("userIdType", json!(2), "param.invalid"),
        ("cardData", json!(null), "param.cardPublicDataEmpty"),
        ("cardData", json!({ "cardParamMap": { "title": 1 } }), "param.invalid"),
        ("cardData", json!({ "cardParamMap": { "title": "x".repeat(1001) } }), "param.invalid"),
        ("cardData", json!({ "cardParamMap": { "x".repeat(101): "" } }), "param.invalid"),
        ("privateData", json!({ "stranger": { "cardParamMap": {} } }), "param.userIdNotExist"),
    ] {
        let mut body = card("track");
        body[member] = value;
        let response = call(&dingtalk, CREATE, &body).await.unwrap();
        assert_eq!(response.error(), (400, code.to_owned()), "{member}: {response:?}");
    }
    assert_eq!(dingtalk.conversation(CONVERSATION), "");
}

#[tokio::test]
async fn invalid_change_is_refused_with_its_code() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    for (member, value, code) in [
        ("outTrackId", json!(""), "param.outTrackIdEmpty"),
        ("outTrackId", json!("another"), "param.cardNotExist"),
        ("cardData", json!(null), "param.cardDataAndPrivateDataBothEmpty"),
        ("cardData", json!({ "cardParamMap": { "status": true } }), "param.invalid"),
        ("privateData", json!({ "stranger": { "cardParamMap": {} } }), "param.userIdNotExist"),
    ] {
        let mut body = status("approved");
        body[member] = value;
        let response = call(&dingtalk, CARDS, &body).await.unwrap();
        assert_eq!(response.error(), (400, code.to_owned()), "{member}: {response:?}");
    }
    assert_eq!(lines(&dingtalk), OPEN);
}

#[tokio::test]
async fn changed_card_is_marked_and_has_no_buttons() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;

    let response = done(&dingtalk, CARDS, &status("declined")).await;

    assert_eq!(response, json!({ "success": true, "result": true }));
    let shown = ["privatelink (edited): Detach sg-old?", OPEN[1], OPEN[2], "(declined)"];
    assert_eq!(lines(&dingtalk), shown);
    let error = dingtalk.click("track", "approve", APPROVER);
    assert_eq!(
        error,
        Err(ActionError::NoButton {
            user: APPROVER.to_owned(),
            action_id: "approve".to_owned(),
            out_track_id: "track".to_owned()
        })
    );
    assert!(dingtalk.click_newest(CONVERSATION, "approve", APPROVER).is_err());
}

#[tokio::test]
async fn response_to_a_click_changes_the_card() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    let app = App::start(Some((200, APPROVED))).await;

    let request = dingtalk.click_newest(CONVERSATION, "approve", APPROVER).unwrap();
    dingtalk.send(&request, &app.url).await.unwrap();

    assert_eq!(lines(&dingtalk), ["privatelink (edited): Approved", OPEN[1], OPEN[2], "(approved)"]);
}

#[tokio::test]
async fn private_data_is_shown_to_the_clicker_alone() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    let body = r#"{"cardUpdateOptions":{"updatePrivateDataByKey":true},
        "userPrivateData":{"cardParamMap":{"note":"**You may not approve**"}}}"#;
    let app = App::start(Some((200, body))).await;

    let request = dingtalk.click("track", "approve", BYSTANDER).unwrap();
    dingtalk.send(&request, &app.url).await.unwrap();

    let note = format!("    privatelink (only visible to {BYSTANDER}): You may not approve");
    assert_eq!(lines(&dingtalk), [&OPEN[..], &[&note]].concat());
    let private = CardParameters::from([("note".to_owned(), "**You may not approve**".to_owned())]);
    let workspace = dingtalk.workspace();
    let card = workspace.card("track").unwrap().1;
    assert_eq!(card.private_parameters, [(BYSTANDER.to_owned(), private)].into());
    assert_eq!(card.buttons(APPROVER).len(), 2);
}

#[tokio::test]
async fn response_without_data_changes_nothing() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    for body in [
        "",
        "{}",
        r#"{"cardUpdateOptions":{"updateCardDataByKey":true}}"#,
        r#"{"cardUpdateOptions":{"updateCardDataByKey":true},"cardData":{"cardParamMap":{}}}"#,
    ] {
        let app = App::start(Some((200, body))).await;
        let request = dingtalk.click("track", "approve", APPROVER).unwrap();
        dingtalk.send(&request, &app.url).await.unwrap();
        assert_eq!(lines(&dingtalk), OPEN, "{body}");
    }
}

#[tokio::test]
async fn invalid_response_changes_nothing_and_shows_an_error() {
    for (response, error) in [
        (Some((401, APPROVED)), "the app responded with the status 401"),
        (Some((200, "{")), "the response is not JSON"),
        (Some((200, "[]")), "the response is not a JSON object"),
        (
            Some((200, r#"{"cardData":{"cardParamMap":{"status":1}}}"#)),
            "cardData: the value of status is not a string",
        ),
        (Some((200, r#"{"cardData":{"status":"approved"}}"#)), "cardData has no cardParamMap"),
        (None, "the app did not respond within 50 ms"),
    ] {
        let dingtalk = DingTalk::start().await.unwrap();
        done(&dingtalk, CREATE, &card("track")).await;
        let app = App::start(response).await;
        let request = dingtalk.click("track", "approve", APPROVER).unwrap();
        // Only the app that never responds reaches this limit.
        let limit = Duration::from_millis(if response.is_none() { 50 } else { 30_000 });
        let _ = dingtalk.send_within(&request, &app.url, limit).await;

        let error = format!("DingTalk (only visible to {APPROVER}): [Approve detach] failed: {error}");
        assert_eq!(lines(&dingtalk), [&OPEN[..], &[&error]].concat());
    }
}

#[tokio::test]
async fn card_is_not_changed_during_its_callback() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    done(&dingtalk, CREATE, &card("another")).await;
    let request = dingtalk.click("track", "approve", APPROVER).unwrap();
    let (app, release) = App::held(Some((200, "{}"))).await;
    let limit = Duration::from_mins(1);
    let during = async {
        dingtalk.until(|workspace| workspace.has_open_callback("track")).await.unwrap();
        let refused = call(&dingtalk, CARDS, &status("approved")).await.unwrap();
        let mut other = status("approved");
        other["outTrackId"] = json!("another");
        done(&dingtalk, CARDS, &other).await;
        release.send(()).unwrap();
        refused.error()
    };
    let (sent, refused) = tokio::join!(dingtalk.send_within(&request, &app.url, limit), during);

    assert_eq!(sent.unwrap().status, 200);
    assert_eq!(refused, (400, "simulator.openCallback".to_owned()));
    done(&dingtalk, CARDS, &status("approved")).await;
}

#[tokio::test]
async fn callback_whose_sender_gives_up_is_closed() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    let request = dingtalk.click("track", "approve", APPROVER).unwrap();
    let (app, _release) = App::held(None).await;
    tokio::select! {
        sent = dingtalk.send_within(&request, &app.url, Duration::from_hours(1)) => panic!("{sent:?}"),
        opened = dingtalk.until(|workspace| workspace.has_open_callback("track")) => opened.unwrap(),
    }
    done(&dingtalk, CARDS, &status("approved")).await;
}

#[tokio::test]
async fn card_is_clicked_only_by_members_of_its_conversation() {
    let dingtalk = DingTalk::start().await.unwrap();
    done(&dingtalk, CREATE, &card("track")).await;
    dingtalk
        .workspace()
        .conversations
        .insert("cidother==".to_owned(), Conversation::new("other", ["u1".to_owned()]));
    let error = dingtalk.click("track", "approve", "u1");
    let expected = ActionError::NotAMember { user: "u1".to_owned(), conversation: CONVERSATION.to_owned() };
    assert_eq!(error, Err(expected));
    assert_eq!(
        dingtalk.click("another", "approve", APPROVER),
        Err(ActionError::NoCard("another".to_owned()))
    );
    let error = dingtalk.click_newest("cidother==", "approve", "u1");
    assert!(matches!(error, Err(ActionError::NoCardWithButton { .. })), "{error:?}");
}
