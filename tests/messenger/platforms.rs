//! `DingTalk` and Feishu: the access token of each call, which calls a notice becomes, and what becomes of its message.

use std::time::Duration;

use serde_json::{Value, json};

use crate::deployment::{APP_SECRETS, DEAD_LETTERS, Deployment, TOKENS};
use crate::notices::{
    DINGTALK, FEISHU, Place, answer_at, approved_at, declined_at, not_allowed_at, outcome_at, preview_at,
};
use crate::server::{Received, Reply};

/// The call for an access token of each platform.
const TOKEN_CALLS: [(&Place, &str); 2] = [
    (&DINGTALK, "https://api.dingtalk.com/v1.0/oauth2/accessToken"),
    (&FEISHU, "https://open.feishu.cn/open-apis/auth/v3/tenant_access_token/internal"),
];

/// The code of an access token that the platform does not accept.
const TOKEN_REFUSED: [(&Place, &str); 2] = [(&DINGTALK, "InvalidAuthentication"), (&FEISHU, "99991663")];

/// Posts a notice, whose message is deleted.
async fn post(deployment: &Deployment, body: String) {
    deployment.send(body);
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
}

/// The calls of one notice, without that for the access token.
async fn calls_of(body: String) -> Vec<Received> {
    let deployment = Deployment::new().await;
    post(&deployment, body).await;
    deployment.server.received().split_off(1)
}

/// The token of each call; that for a token has none.
fn tokens(deployment: &Deployment) -> Vec<String> {
    let token = |call: Received| call.authorization.trim_start_matches("Bearer ").to_owned();
    deployment.server.received().into_iter().map(token).collect()
}

/// The reason of the only dead letter.
fn reason(deployment: &Deployment) -> String {
    let messages = deployment.messages(DEAD_LETTERS);
    let [message] = &messages[..] else { panic!("one dead letter: {messages:?}") };
    format!("{:?}", message.attributes["reason"])
}

#[tokio::test]
async fn access_token_is_requested_once_and_used_by_every_notice() {
    for (place, url) in TOKEN_CALLS {
        let deployment = Deployment::new().await;
        for body in [preview_at(place), answer_at(place), declined_at(place)] {
            post(&deployment, body).await;
        }
        assert_eq!(tokens(&deployment), ["", "acc3ss-1", "acc3ss-1", "acc3ss-1"], "{url}");
        assert_eq!(deployment.server.received()[0].url, url);
        // Both are read once.
        assert_eq!(deployment.secret_reads(), 2);
    }
    let of = |place: &'static Place| async move {
        let deployment = Deployment::new().await;
        post(&deployment, preview_at(place)).await;
        deployment.server.received()[0].body.clone()
    };
    assert_eq!(of(&DINGTALK).await, json!({ "appKey": "ding-app-key", "appSecret": APP_SECRETS[0] }));
    assert_eq!(of(&FEISHU).await, json!({ "app_id": "cli_app04", "app_secret": APP_SECRETS[1] }));
}

#[tokio::test]
async fn access_token_is_renewed_ten_minutes_before_its_end() {
    for (place, url) in TOKEN_CALLS {
        let deployment = Deployment::new().await;
        post(&deployment, preview_at(place)).await;
        deployment.advance(Duration::from_secs(6_500));
        post(&deployment, declined_at(place)).await;
        deployment.advance(Duration::from_secs(101));
        post(&deployment, declined_at(place)).await;
        assert_eq!(tokens(&deployment), ["", "acc3ss-1", "acc3ss-1", "", "acc3ss-2"], "{url}");
    }
}

#[tokio::test]
async fn access_token_that_ends_at_once_serves_one_notice() {
    for (place, url) in TOKEN_CALLS {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Expires(60)]);
        post(&deployment, preview_at(place)).await;
        post(&deployment, declined_at(place)).await;
        assert_eq!(tokens(&deployment), ["", "acc3ss-1", "", "acc3ss-2"], "{url}");
    }
}

#[tokio::test]
async fn refused_access_token_is_replaced_at_once() {
    for (place, code) in TOKEN_REFUSED {
        let deployment = Deployment::new().await;
        post(&deployment, preview_at(place)).await;
        deployment.server.plan([Reply::Code(code)]);
        post(&deployment, declined_at(place)).await;
        post(&deployment, answer_at(place)).await;
        let expected = ["", "acc3ss-1", "acc3ss-1", "", "acc3ss-2", "acc3ss-2"];
        assert_eq!(tokens(&deployment), expected, "{code}");
        // The notice is posted as it would have been with the first token.
        let calls = deployment.server.received();
        assert_eq!((&calls[2].url, &calls[2].body), (&calls[4].url, &calls[4].body));
    }
}

#[tokio::test]
async fn new_access_token_that_is_refused_is_a_dead_letter() {
    for (place, code) in TOKEN_REFUSED {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Ok, Reply::Code(code), Reply::Ok, Reply::Code(code)]);
        deployment.send(preview_at(place));
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{code}");
        let reason = reason(&deployment);
        assert!(reason.contains("CHAT_TOKEN_SECRET_ARN") && !reason.contains("b0dy"), "{reason}");
        assert!(!reason.contains("acc3ss"), "{reason}");
    }
}

#[tokio::test]
async fn credentials_that_are_refused_are_a_dead_letter() {
    for (place, code) in [(&DINGTALK, "invalidClientIdOrSecret"), (&FEISHU, "10014")] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Code(code)]);
        deployment.send(preview_at(place));
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{code}");
        assert_eq!(deployment.server.received().len(), 1);
        let reason = reason(&deployment);
        assert!(reason.contains(code) && reason.contains("CHAT_TOKEN_SECRET_ARN"), "{reason}");
    }
}

#[tokio::test]
async fn access_token_that_cannot_be_requested_returns_the_message() {
    for (place, limit) in [(&DINGTALK, "Forbidden.AccessDenied.QpsLimitForApi"), (&FEISHU, "99991400")] {
        for reply in [Reply::Lost, Reply::Status(502, None), Reply::Code(limit)] {
            let deployment = Deployment::new().await;
            deployment.server.plan([reply.clone()]);
            deployment.send(answer_at(place));
            let hidden = deployment.returned().await;
            assert!(hidden.is_within(30..=36), "{reply:?}: {hidden:?}");
            deployment.advance(Duration::from_secs(40));
            assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn approval_request_in_dingtalk_is_a_card_of_the_requests_id() {
    let [call] = &calls_of(preview_at(&DINGTALK)).await[..] else { panic!("one call") };
    assert_eq!(
        (call.method.as_str(), call.url.as_str()),
        ("POST", "https://api.dingtalk.com/v1.0/card/instances/createAndDeliver")
    );
    let field = |pointer: &str| call.body.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, value) in [
        ("/outTrackId", DINGTALK.id),
        ("/cardTemplateId", "template.schema"),
        ("/callbackRouteKey", "privatelink-detach"),
        ("/openSpaceId", "dtv1.card//IM_GROUP.cid07/a+b=="),
        ("/imGroupOpenDeliverModel/robotCode", "ding-robot"),
        ("/cardData/cardParamMap/status", "open"),
    ] {
        assert_eq!(field(pointer), value, "{pointer}");
    }
    assert!(!field("/cardData/cardParamMap/request_1").as_str().unwrap().is_empty());
}

#[tokio::test]
async fn decision_in_dingtalk_changes_the_card_of_the_signed_request() {
    for (body, status) in [(approved_at(&DINGTALK), "approved"), (declined_at(&DINGTALK), "declined")] {
        let [call] = &calls_of(body).await[..] else { panic!("one call") };
        assert_eq!(
            (call.method.as_str(), call.url.as_str()),
            ("PUT", "https://api.dingtalk.com/v1.0/card/instances")
        );
        assert_eq!(call.body["outTrackId"], DINGTALK.id);
        assert_eq!(call.body["cardData"]["cardParamMap"]["status"], status);
        assert!(!call.body.to_string().contains("request_1"), "{call:?}");
    }
}

#[tokio::test]
async fn everything_else_in_dingtalk_is_a_message_to_the_group() {
    for (body, kind, text) in [
        (outcome_at(&DINGTALK), "sampleMarkdown", "Detached"),
        (answer_at(&DINGTALK), "sampleText", "the answer"),
    ] {
        let [call] = &calls_of(body).await[..] else { panic!("one call") };
        assert_eq!(call.url, "https://api.dingtalk.com/v1.0/robot/groupMessages/send");
        let fields = ["robotCode", "openConversationId", "msgKey"].map(|name| call.body[name].clone());
        assert_eq!(fields, ["ding-robot", "cid07/a+b==", kind]);
        assert!(call.body["msgParam"].as_str().unwrap().contains(text), "{call:?}");
    }
}

#[tokio::test]
async fn notice_in_feishu_is_a_reply_or_changes_the_card() {
    let base = "https://open.feishu.cn/open-apis/im/v1/messages";
    for (body, method, path, kind, in_thread) in [
        (preview_at(&FEISHU), "POST", "/om_command/reply", json!("interactive"), json!(false)),
        (answer_at(&FEISHU), "POST", "/om_command/reply", json!("text"), json!(false)),
        (outcome_at(&FEISHU), "POST", "/om_card/reply", json!("interactive"), json!(true)),
        (approved_at(&FEISHU), "PATCH", "/om_card", Value::Null, Value::Null),
        (declined_at(&FEISHU), "PATCH", "/om_card", Value::Null, Value::Null),
    ] {
        let [call] = &calls_of(body).await[..] else { panic!("one call") };
        assert_eq!((call.method.as_str(), &call.url), (method, &format!("{base}{path}")));
        assert_eq!((&call.body["msg_type"], &call.body["reply_in_thread"]), (&kind, &in_thread));
        let is_buttons = call.body["content"].as_str().unwrap().contains("\"button\"");
        assert_eq!(is_buttons, path == "/om_command/reply" && kind == "interactive", "{call:?}");
        if method == "POST" {
            assert!((1..=50).contains(&call.body["uuid"].as_str().unwrap().len()));
        }
    }
}

#[tokio::test]
async fn repeated_post_in_feishu_has_the_same_uuid_and_is_made_until_it_succeeds() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Ok]);
    deployment.server.plan(std::iter::repeat_n(Reply::Lost, 5));
    deployment.send(preview_at(&FEISHU));
    for _ in 0..5 {
        deployment.returned().await;
        deployment.advance(Duration::from_mins(10));
    }
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    let calls = deployment.server.received();
    let uuids: Vec<_> = calls[1..].iter().map(|call| call.body["uuid"].clone()).collect();
    assert_eq!((uuids.len(), uuids.iter().all(|uuid| *uuid == uuids[0])), (6, true), "{uuids:?}");
    // Another notice about the same request has another one.
    let [other] = &calls_of(outcome_at(&FEISHU)).await[..] else { panic!("one call") };
    assert_ne!(other.body["uuid"], uuids[0]);
}

#[tokio::test]
async fn message_in_dingtalk_whose_response_is_lost_is_made_three_times_at_most() {
    for reply in [Reply::Lost, Reply::Status(503, None), Reply::Code("system.busy")] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Ok]);
        deployment.server.plan(std::iter::repeat_n(reply.clone(), 4));
        deployment.send(answer_at(&DINGTALK));
        for _ in 0..2 {
            deployment.returned().await;
            deployment.advance(Duration::from_secs(80));
        }
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{reply:?}");
        assert!(reason(&deployment).contains("it may have been posted"));
    }
}

#[tokio::test]
async fn card_in_dingtalk_whose_response_is_lost_is_created_until_it_succeeds() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Ok]);
    deployment.server.plan(std::iter::repeat_n(Reply::Lost, 5));
    deployment.server.plan([Reply::Code("param.cardAlreadyExist")]);
    deployment.send(preview_at(&DINGTALK));
    for _ in 0..5 {
        deployment.returned().await;
        deployment.advance(Duration::from_mins(10));
    }
    // The card exists: an earlier call created it, and it may not be in the group.
    assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 0)));
    let calls = deployment.server.received();
    assert!(calls[1..].iter().all(|call| call.body["outTrackId"] == DINGTALK.id), "{calls:#?}");
    assert!(calls.last().unwrap().url.ends_with("/v1.0/card/instances/deliver"), "{calls:#?}");
}

#[tokio::test]
async fn refusal_of_the_network_in_dingtalk_lasts_five_minutes() {
    let deployment = Deployment::new().await;
    deployment.server.plan([Reply::Ok, Reply::Status(200, None)]);
    deployment.send(preview_at(&DINGTALK));
    let hidden = deployment.returned().await;
    assert!(hidden.is_within(300..=360), "{hidden:?}");
}

#[tokio::test]
async fn platform_decides_how_long_the_message_waits() {
    for place in [&DINGTALK, &FEISHU] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Ok, Reply::Status(503, Some(200)), Reply::Status(503, Some(999_999))]);
        deployment.send(declined_at(place));
        let hidden = deployment.returned().await;
        assert!(hidden.is_within(200..=240), "{place:?}: {hidden:?}");
        deployment.advance(Duration::from_secs(250));
        let hidden = deployment.returned().await;
        assert!(hidden.is_within(3_600..=4_320), "at most an hour, and jitter: {hidden:?}");
    }
}

#[tokio::test]
async fn notice_that_no_retry_can_post_goes_to_the_dead_letter_queue() {
    for (place, code, advice) in [
        (&DINGTALK, "chatbotNotInstall", "add the robot to the group"),
        (&DINGTALK, "an.unknown.code", "report it"),
        (&FEISHU, "230002", "add it in the settings of the group"),
        (&FEISHU, "77777", "report it"),
    ] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Ok, Reply::Code(code)]);
        let body = preview_at(place);
        deployment.send(body.clone());
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{code}");
        assert_eq!(deployment.messages(DEAD_LETTERS)[0].body, body);
        let reason = reason(&deployment);
        assert!(reason.contains(advice) && !reason.contains("b0dy"), "{reason}");
        let line = deployment.line("ERROR");
        assert!(line["message"].as_str().unwrap().contains(advice), "{line}");
        assert_eq!(line["span"]["conversation"], place.conversation);
    }
}

#[tokio::test]
async fn decision_whose_card_is_gone_is_a_message() {
    for (place, code, path) in [
        (&DINGTALK, "param.cardNotExist", "/v1.0/robot/groupMessages/send"),
        (&FEISHU, "230011", "/open-apis/im/v1/messages?receive_id_type=chat_id"),
        (&FEISHU, "230031", "/open-apis/im/v1/messages/om_card/reply"),
    ] {
        let deployment = Deployment::new().await;
        deployment.server.plan([Reply::Ok, Reply::Code(code)]);
        post(&deployment, declined_at(place)).await;
        let calls = deployment.server.received();
        assert_eq!(calls.len(), 3);
        assert!(calls[2].url.ends_with(path), "{calls:#?}");
    }
}

#[tokio::test]
async fn tenant_without_an_app_is_a_dead_letter_without_a_call() {
    let feishu = json!({ "apps": { "other": { "app_id": "cli_other", "app_secret": APP_SECRETS[1] } } });
    for (place, secret, tenant) in [
        (&DINGTALK, json!({}), "ding04"),
        (&FEISHU, json!({}), "tenant04"),
        (&FEISHU, json!({ "feishu": feishu }), "tenant04"),
    ] {
        let deployment = Deployment::new().await;
        deployment.aws.secrets().put(TOKENS, secret.to_string());
        deployment.send(preview_at(place));
        assert_eq!((deployment.round().await, deployment.counts()), (0, (0, 1)), "{tenant}");
        assert!(deployment.server.received().is_empty());
        let reason = reason(&deployment);
        assert!(reason.contains(tenant) && reason.contains("CHAT_TOKEN_SECRET_ARN"), "{reason}");
    }
}

#[tokio::test]
async fn refusal_that_the_response_to_a_click_showed_is_not_posted() {
    for place in [&DINGTALK, &FEISHU] {
        let deployment = Deployment::new().await;
        post(&deployment, not_allowed_at(place)).await;
        assert!(deployment.server.received().is_empty());
        let line = deployment.line("WARN");
        assert!(line["message"].as_str().unwrap().starts_with("not posted, and not tried again"), "{line}");
    }
}
