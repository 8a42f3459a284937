//! What a click becomes, its response, and whether a notice follows.

use std::time::{Duration, SystemTime};

use privatelink_detach::chat::content::Content;
use privatelink_detach::chat::decision::{ClickNotice, ClickResult};
use privatelink_detach::chat::identity::Platform;
use privatelink_detach::chat::notice::Notice;
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::{ChatRequest, Phase};
use privatelink_detach::chat::texts::{Language, LanguageSetting};
use privatelink_detach::chat::{feishu, signed};
use serde_json::{Value, json};

use super::super::lines;
use crate::deployment::{Deployment, now};
use crate::platforms::{BY_NOTICE, Clicked, DRIVERS, Driver, Typed, clicks, notices};
use crate::slack::{KEY, KEY_NEXT, NOTICES, keys};

/// The notice about a click on the card of the first pending request.
fn notice(driver: &Driver, result: ClickResult, person: &str) -> ClickNotice {
    ClickNotice {
        result,
        conversation: driver.place(driver.conversation),
        message: driver.message(),
        person: driver.person(person).id,
        language: Language::En,
        request_id: Some(driver.pending(1).id),
    }
}

/// What an approval makes of a request.
fn approved(driver: &Driver, request: ChatRequest) -> ChatRequest {
    let approver = Some(driver.person(driver.approver).id);
    ChatRequest { phase: Phase::Outcome, thread: driver.message(), approver, ..request }
}

/// How long after it is sent the only notice is delivered.
fn delay(deployment: &Deployment) -> Duration {
    let messages = deployment.aws.queues().messages(NOTICES).unwrap().to_vec();
    let [message] = &messages[..] else { panic!("one notice: {messages:?}") };
    message.visible_at.duration_since(message.sent_at).unwrap()
}

/// Asserts the response to a click of this result, and what follows it.
fn assert_acknowledged(driver: &Driver, deployment: &Deployment, response: &Value, notice: &ClickNotice) {
    let is_decision = matches!(notice.result, ClickResult::Approved(_) | ClickResult::Declined(_));
    let follows_after = match driver.platform {
        Platform::Slack => Some(Duration::ZERO),
        // DingTalk does not allow another change of the card before it has processed the response.
        Platform::DingTalk => is_decision.then_some(Duration::from_secs(5)),
        Platform::Feishu => is_decision.then_some(Duration::ZERO),
    };
    match follows_after {
        Some(after) => {
            assert_eq!(clicks(deployment), std::slice::from_ref(notice));
            assert_eq!(delay(deployment), after);
        }
        None => assert_eq!(notices(deployment), []),
    }
    match driver.platform {
        Platform::Slack => assert_eq!(response, &Value::Null),
        Platform::DingTalk => assert_dingtalk(response, notice),
        Platform::Feishu => assert_feishu(response, notice),
    }
}

/// The card changes for everybody, or a note appears for the person who clicked alone.
fn assert_dingtalk(response: &Value, notice: &ClickNotice) {
    let card = &response["cardData"]["cardParamMap"];
    let note = &response["userPrivateData"]["cardParamMap"]["note"];
    assert_eq!(
        response["cardUpdateOptions"],
        json!({ "updateCardDataByKey": true, "updatePrivateDataByKey": true })
    );
    let content = Content::of(&Notice::Click(notice.clone()));
    match notice.result {
        ClickResult::Approved(_) | ClickResult::Declined(_) => {
            assert_eq!(
                (&card["status"], &card["title"], note),
                (&json!(notice.result.name()), &json!(content.title), &json!(""))
            );
            for hidden in ["approve", "decline", "request_1", "request_2"] {
                assert_eq!(card.get(hidden), None, "no button remains: {card}");
            }
        }
        ClickResult::Expired(_) | ClickResult::NotAllowed(_) => {
            assert_eq!(card, &json!({}));
            assert!(note.as_str().unwrap().contains(content.title), "{note}");
        }
    }
}

/// A toast, and the card that replaces the one with the buttons.
fn assert_feishu(response: &Value, notice: &ClickNotice) {
    let content = Content::of(&Notice::Click(notice.clone()));
    let kind = match notice.result {
        ClickResult::Approved(_) => "success",
        ClickResult::Declined(_) => "info",
        ClickResult::Expired(_) => "warning",
        ClickResult::NotAllowed(_) => "error",
    };
    assert_eq!(response["toast"]["type"], kind);
    match notice.result {
        ClickResult::Approved(_) | ClickResult::Declined(_) => {
            assert_eq!(response["toast"]["content"], content.title);
            let card = feishu::message::card(&content);
            assert_eq!(response["card"], json!({ "type": "raw", "data": card }));
            assert!(!response.to_string().contains("button"), "no button remains: {response}");
        }
        ClickResult::Expired(_) | ClickResult::NotAllowed(_) => {
            let text = feishu::message::plain(&content.lead);
            assert_eq!((&response["toast"]["content"], response.get("card")), (&json!(text), None));
        }
    }
}

/// The event of the dry run in the queue, after it passed.
fn passed(deployment: &Deployment) -> String {
    let [body] = &deployment.bodies()[..] else { panic!("one request") };
    let event = json!({ "source": "privatelink-detach", "detail": {
        "request_id": body["request_id"], "outcome": "dry_run_passed", "trigger": "chat", "dry_run": true,
        "region_id": body["region_id"], "endpoint_id": body["endpoint_id"],
        "security_group_id": body["security_group_id"], "reason": null,
        "evidence": { "security_groups_before": null, "security_groups_after": null, "confirmed_at": null },
        "effort": { "deliveries": 1 }, "duration_ms": 1, "metadata": body["metadata"],
    }});
    event.to_string()
}

#[tokio::test]
async fn command_and_approval_lead_to_the_request() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let command = Typed::new(driver, "detach sg-a ep-a eu-west-1 deadline=2h ticket=CHG-7");
        deployment.call(command.call()).await;
        // What the messenger posts.
        let event = passed(&deployment);
        let parsed = Notice::parse(&event, &keys(&[KEY]), LanguageSetting::Auto, SystemTime::now());
        let Ok(Notice::ApprovalRequest { request, button, .. }) = parsed else { panic!("{parsed:?}") };

        let response = deployment.call(Clicked::approve(driver, &button).call()).await;

        assert_eq!(response.status, 200, "{response:?}");
        let [_, body] = &deployment.bodies()[..] else { panic!("two requests") };
        assert_eq!(
            body,
            &json!({
                "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dry_run": false,
                "request_id": request.id, "deadline_seconds": 7200,
                "metadata": { "chat": body["metadata"]["chat"],
                              "requested_by": driver.person(driver.requester).to_string(),
                              "approved_by": driver.person(driver.approver).to_string(), "ticket": "CHG-7" },
            })
        );
        let request_id = Some(request.id.clone());
        let result = ClickResult::Approved(approved(driver, request));
        let told = ClickNotice { request_id, ..notice(driver, result, driver.approver) };
        assert_eq!(clicks(&deployment), [told]);
    }
}

#[tokio::test]
async fn response_to_a_click_shows_its_result() {
    for driver in DRIVERS {
        let request = driver.pending(1);
        let expired = ChatRequest { expires_at: u64::try_from(now() - 1).unwrap(), ..driver.pending(1) };
        let value = |request: &ChatRequest| signed::button(request, &keys(&[KEY]));
        let approve = Clicked::approve(driver, &value(&request));
        let not_allowed = ClickResult::NotAllowed;
        for (click, result) in [
            (approve.clone(), ClickResult::Approved(approved(driver, request.clone()))),
            (Clicked::decline(driver, &value(&request)), ClickResult::Declined(request.clone())),
            (
                Clicked { person: driver.requester, ..Clicked::decline(driver, &value(&request)) },
                ClickResult::Declined(request.clone()),
            ),
            (Clicked::approve(driver, &value(&expired)), ClickResult::Expired(expired.clone())),
            (Clicked { person: driver.requester, ..approve.clone() }, not_allowed(NotAllowed::OwnRequest)),
            (Clicked { person: driver.other_person, ..approve.clone() }, not_allowed(NotAllowed::Approver)),
            (
                Clicked { person: driver.other_person, action: "decline", ..approve.clone() },
                not_allowed(NotAllowed::Approver),
            ),
        ] {
            let deployment = driver.deployment().await;
            let response = deployment.call(click.call()).await;
            assert_eq!(response.status, 200, "{response:?}");
            let requests = usize::from(matches!(result, ClickResult::Approved(_)));
            assert_eq!(deployment.messages().len(), requests, "{click:?}");
            let told = notice(driver, result, click.person);
            assert_acknowledged(driver, &deployment, &response.body, &told);
        }
    }
}

#[tokio::test]
async fn repeated_click_is_enqueued_once_and_answered_like_the_first() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let click = Clicked::approve(driver, &driver.button(1));
        let first = deployment.call(click.call()).await;
        let again = deployment.call(click.call()).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        let results: Vec<_> = clicks(&deployment).iter().map(|notice| notice.result.name()).collect();
        assert_eq!((deployment.messages().len(), results), (1, vec!["approved"; 2]));
    }
}

#[tokio::test]
async fn button_that_this_deployment_did_not_make_is_not_approved() {
    for driver in DRIVERS {
        let button = driver.button(1);
        for value in [
            String::new(),
            "hunter2".to_owned(),
            signed::button(&driver.pending(1), &keys(&[KEY_NEXT])),
            button.replace('.', "x."),
            button[..button.len() - 1].to_owned(),
        ] {
            let deployment = driver.deployment().await;
            let response = deployment.call(Clicked::approve(driver, &value).call()).await;
            assert_eq!((response.status.as_u16(), deployment.messages().len()), (200, 0), "{value}");
            let told = ClickNotice {
                request_id: None,
                ..notice(driver, ClickResult::NotAllowed(NotAllowed::Unverified), driver.approver)
            };
            if driver.platform == Platform::DingTalk {
                // A click names no conversation, and a value that is not signed none either.
                driver.assert_shows_nothing(&response);
                assert_eq!(notices(&deployment), []);
            } else {
                assert_acknowledged(driver, &deployment, &response.body, &told);
            }
            let output = deployment.output();
            assert!(!output.contains("hunter2") && !output.contains(&button[..40]), "{output}");
        }
    }
}

#[tokio::test]
async fn click_in_another_conversation_than_the_signed_one_is_not_approved() {
    for driver in DRIVERS {
        let elsewhere =
            ChatRequest { conversation: driver.place(driver.other_conversation), ..driver.pending(1) };
        let value = signed::button(&elsewhere, &keys(&[KEY]));
        let deployment = driver.deployment().await;
        assert_eq!(deployment.call(Clicked::approve(driver, &value).call()).await.status, 200);
        assert_eq!(deployment.messages().len(), 0, "{}", driver.platform.name());
    }
}

#[tokio::test]
async fn click_outside_the_lists_is_only_logged() {
    for driver in DRIVERS {
        let name = driver.platform.name();
        for (variable, value) in [
            ("CHAT_TENANTS", String::new()),
            ("CHAT_TENANTS", format!("{name}:{}", driver.other_tenant)),
            ("CHAT_CONVERSATIONS", String::new()),
            ("CHAT_CONVERSATIONS", format!("{name}:{}/{}", driver.tenant, driver.other_conversation)),
        ] {
            let deployment = driver.deployment_with(&[(variable, &value)]).await;
            let button = driver.button(1);
            for click in [Clicked::approve(driver, &button), Clicked::decline(driver, &button)] {
                driver.assert_shows_nothing(&deployment.call(click.call()).await);
            }
            assert_eq!(
                (deployment.messages().len(), notices(&deployment)),
                (0, vec![]),
                "{variable}={value}"
            );
            let output = deployment.output();
            assert_eq!(lines(&output, "WARN").len(), 2, "{output}");
        }
        // A person of another tenant in a shared conversation.
        let deployment = driver.deployment().await;
        let tenant = driver.other_tenant;
        let guest = Clicked { tenant, ..Clicked::approve(driver, &driver.button(1)) };
        driver.assert_shows_nothing(&deployment.call(guest.call()).await);
        assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
    }
}

#[tokio::test]
async fn request_of_another_platform_is_not_approved() {
    // The same keys sign the buttons of every platform.
    for driver in BY_NOTICE {
        for other in DRIVERS.into_iter().filter(|other| other.platform != driver.platform) {
            let deployment = driver.deployment().await;
            let click = Clicked::approve(driver, &other.button(1));
            assert_eq!(deployment.call(click.call()).await.status, 200);
            assert_eq!((deployment.messages().len(), clicks(&deployment)), (0, vec![]));
        }
    }
}
