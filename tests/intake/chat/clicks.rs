//! What a click becomes.

use local_aws::Action;
use privatelink_detach::chat::decision::{ClickNotice, ClickResult};
use privatelink_detach::chat::identity::Conversation;
use privatelink_detach::chat::notice::Notice;
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::{ChatRequest, Phase};
use privatelink_detach::chat::signed;
use privatelink_detach::chat::texts::{Language, LanguageSetting};
use serde_json::{Value, json};
use std::time::SystemTime;

use super::{assert_acknowledged, lines};
use crate::deployment::{Deployment, attribute, now};
use crate::slack::{
    APPROVER, CHANNEL, Clicked, KEY, KEY_NEXT, REQUESTER, TEAM, Typed, button, deployment, deployment_with,
    keys, message, notices, pending, person, results,
};

/// The notice about a click on a message in the channel.
fn notice(result: ClickResult, user: &str) -> ClickNotice {
    ClickNotice {
        result,
        conversation: Conversation::parse(&format!("slack:{TEAM}/{CHANNEL}")).unwrap(),
        message: message(),
        person: person(user).id,
        language: Language::En,
        request_id: Some(pending(1).id),
    }
}

/// What an approval makes of a request.
fn approved(request: ChatRequest) -> ChatRequest {
    let approver = Some(person(APPROVER).id);
    ChatRequest { phase: Phase::Outcome, thread: message(), approver, ..request }
}

/// A deployment, and the only notice after this click in it. Nothing else happens.
async fn refused(click: &Clicked) -> ClickNotice {
    let deployment = deployment().await;
    assert_acknowledged(&deployment.call(click.call()).await);
    assert_eq!(deployment.messages().len(), 0, "{click:?}");
    let [notice] = &notices(&deployment)[..] else { panic!("one notice: {click:?}") };
    notice.clone()
}

/// The event of the dry run in the queue, after it passed.
fn passed(deployment: &Deployment) -> String {
    let [message] = &deployment.messages()[..] else { panic!("one message") };
    let body: Value = serde_json::from_str(&message.body).unwrap();
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
    let deployment = deployment().await;
    deployment.call(Typed::new("detach sg-a ep-a eu-west-1 deadline=2h ticket=CHG-7").call()).await;
    // What the messenger posts.
    let event = passed(&deployment);
    let parsed = Notice::parse(&event, &keys(&[KEY]), LanguageSetting::Auto, SystemTime::now());
    let Ok(Notice::ApprovalRequest { request, button, .. }) = parsed else { panic!("{parsed:?}") };

    assert_acknowledged(&deployment.call(Clicked::approve(&button).call()).await);

    let [_, message] = &deployment.messages()[..] else { panic!("two messages") };
    assert_eq!(message.group.as_deref(), Some("eu-west-1/ep-a"));
    assert_eq!(attribute(message, "trigger"), Some("chat"));
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!(
        body,
        json!({
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dry_run": false,
            "request_id": request.id, "deadline_seconds": 7200,
            "metadata": { "chat": body["metadata"]["chat"], "requested_by": format!("slack:{TEAM}/{REQUESTER}"),
                          "approved_by": format!("slack:{TEAM}/{APPROVER}"), "ticket": "CHG-7" },
        })
    );
    let request_id = Some(request.id.clone());
    let told = ClickNotice { request_id, ..notice(ClickResult::Approved(approved(request)), APPROVER) };
    assert_eq!(notices(&deployment), [told]);
}

#[tokio::test]
async fn click_calls_the_two_queues_alone() {
    let deployment = deployment().await;
    deployment.call(Clicked::approve(&button(1)).call()).await;
    deployment.call(Clicked::decline(&button(1)).call()).await;
    let (read, request, notice) = (Action::GetSecretValue, Action::SendMessageBatch, Action::SendMessage);
    // The request is in its queue before the notice says so.
    assert_eq!(deployment.aws_calls(), [read, read, read, request, notice, notice]);
}

#[tokio::test]
async fn repeated_approval_is_enqueued_once() {
    let deployment = deployment().await;
    let (first, second) = (Clicked::approve(&button(1)), Clicked::approve(&button(2)));
    for click in [&first, &first, &second, &first] {
        assert_acknowledged(&deployment.call(click.call()).await);
    }
    assert_eq!(
        deployment.bodies().iter().map(|body| &body["request_id"]).collect::<Vec<_>>(),
        [pending(1).id.as_str(), pending(2).id.as_str()]
    );
    // Each is answered like the first.
    assert_eq!(results(&deployment), ["approved"; 4]);
}

#[tokio::test]
async fn approvals_of_two_approvers_are_one_request() {
    let approvers = format!("slack:{TEAM}/{APPROVER},slack:{TEAM}/U09SECOND");
    let deployment = deployment_with(&[("CHAT_APPROVERS", &approvers)]).await;
    for user in [APPROVER, "U09SECOND"] {
        deployment.call(Clicked { user, ..Clicked::approve(&button(1)) }.call()).await;
    }
    let [body] = &deployment.bodies()[..] else { panic!("one request") };
    assert_eq!(body["metadata"]["approved_by"], format!("slack:{TEAM}/{APPROVER}"));
}

#[tokio::test]
async fn requester_or_approver_declines() {
    for user in [REQUESTER, APPROVER] {
        let request = pending(1);
        let value = signed::button(&request, &keys(&[KEY]));
        let told = refused(&Clicked { user, ..Clicked::decline(&value) }).await;
        assert_eq!(told, notice(ClickResult::Declined(request), user));
    }
}

#[tokio::test]
async fn requester_does_not_approve_the_own_request() {
    let told = refused(&Clicked { user: REQUESTER, ..Clicked::approve(&button(1)) }).await;
    assert_eq!(told, notice(ClickResult::NotAllowed(NotAllowed::OwnRequest), REQUESTER));
}

#[tokio::test]
async fn person_who_is_not_listed_neither_approves_nor_declines() {
    for click in [Clicked::approve(&button(1)), Clicked::decline(&button(1))] {
        let told = refused(&Clicked { user: "U04OTHER", ..click }).await;
        assert_eq!(told, notice(ClickResult::NotAllowed(NotAllowed::Approver), "U04OTHER"));
    }
}

#[tokio::test]
async fn expired_request_is_not_approved() {
    let request = ChatRequest { expires_at: u64::try_from(now() - 1).unwrap(), ..pending(1) };
    let value = signed::button(&request, &keys(&[KEY]));
    let told = refused(&Clicked::approve(&value)).await;
    assert_eq!(told, notice(ClickResult::Expired(request), APPROVER));
}

#[tokio::test]
async fn button_that_this_deployment_did_not_make_is_not_approved() {
    let elsewhere = ChatRequest {
        conversation: Conversation::parse(&format!("slack:{TEAM}/C04OTHER")).unwrap(),
        ..pending(1)
    };
    for value in [
        String::new(),
        "hunter2".to_owned(),
        signed::button(&pending(1), &keys(&[KEY_NEXT])),
        signed::button(&elsewhere, &keys(&[KEY])),
        button(1).replace('.', "x."),
    ] {
        let told = refused(&Clicked::approve(&value)).await;
        let unverified = notice(ClickResult::NotAllowed(NotAllowed::Unverified), APPROVER);
        assert_eq!(told, ClickNotice { request_id: None, ..unverified }, "{value}");
    }
}

#[tokio::test]
async fn click_on_an_unverified_button_alerts_the_operator() {
    let deployment = deployment().await;
    deployment.call(Clicked::approve("hunter2").call()).await;
    let output = deployment.output();
    assert_eq!(lines(&output, "ERROR").len(), 1, "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn click_outside_the_lists_is_only_logged() {
    for (variable, value) in [
        ("CHAT_TENANTS", ""),
        ("CHAT_TENANTS", "slack:T04OTHER"),
        ("CHAT_CONVERSATIONS", ""),
        ("CHAT_CONVERSATIONS", "slack:T04TEAMAAAA/C04OTHER"),
    ] {
        let deployment = deployment_with(&[(variable, value)]).await;
        for click in [Clicked::approve(&button(1)), Clicked::decline(&button(1)), Clicked::approve("x")] {
            assert_acknowledged(&deployment.call(click.call()).await);
        }
        assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0), "{variable}={value}");
        let output = deployment.output();
        assert_eq!(lines(&output, "WARN").len(), 3, "{output}");
    }
    // A person of another workspace in a shared channel.
    let deployment = deployment().await;
    let guest = Clicked { user_team: "T04OTHER", ..Clicked::approve(&button(1)) };
    assert_acknowledged(&deployment.call(guest.call()).await);
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
}

#[tokio::test]
async fn empty_list_of_approvers_lets_no_one_approve() {
    let deployment = deployment_with(&[("CHAT_APPROVERS", "")]).await;
    deployment.call(Clicked::approve(&button(1)).call()).await;
    assert_eq!((deployment.messages().len(), results(&deployment)), (0, vec!["not_allowed"]));
}

#[tokio::test]
async fn request_of_a_removed_requester_is_declined_only() {
    let deployment = deployment_with(&[("CHAT_REQUESTERS", "slack:T04TEAMAAAA/U04OTHER")]).await;
    for click in [Clicked::approve(&button(1)), Clicked::decline(&button(1))] {
        assert_acknowledged(&deployment.call(click.call()).await);
    }
    assert_eq!(deployment.messages().len(), 0);
    let results: Vec<_> = notices(&deployment).into_iter().map(|notice| notice.result).collect();
    let [removed, ClickResult::Declined(_)] = &results[..] else { panic!("{results:?}") };
    assert_eq!(*removed, ClickResult::NotAllowed(NotAllowed::RequesterRemoved));
}
