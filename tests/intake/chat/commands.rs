//! What a command becomes.

use local_aws::Action;
use privatelink_detach::chat::command::{Part, Problem};
use privatelink_detach::chat::identity::Conversation;
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::ChatRequest;
use privatelink_detach::chat::signed::{self, Subject};
use privatelink_detach::chat::texts::{Answer, Language};
use privatelink_detach::request::{self, DetachRequest, RejectionCode, Rules};
use serde_json::{Value, json};

use super::{assert_answer, lines};
use crate::deployment::{Deployment, attribute, now};
use crate::slack::{
    APPROVER, CHANNEL, KEY, REQUESTER, TEAM, Typed, deployment, deployment_with, keys, notices, person,
};

const DETACH: &str = "detach sg-a ep-a eu-west-1";

/// The only request in the queue.
fn queued(deployment: &Deployment) -> DetachRequest {
    let [message] = &deployment.messages()[..] else { panic!("one message") };
    request::parse(&message.body, &Rules::default()).result.expect("a valid request")
}

/// The request that the metadata signs.
fn signed_request(detach: &DetachRequest) -> ChatRequest {
    let subject = Subject {
        request_id: detach.request_id.as_ref().expect("a name"),
        region_id: &detach.region_id,
        endpoint_id: &detach.endpoint_id,
        security_group_id: &detach.security_group_id,
    };
    signed::open_metadata(&detach.metadata, subject, &keys(&[KEY])).expect("a signed reply address")
}

#[tokio::test]
async fn command_becomes_a_dry_run_in_the_request_queue() {
    let deployment = deployment().await;
    let command = Typed::new("detach sg-a ep-a eu-west-1 deadline=2h ticket=CHG-7");
    let before = now();
    let response = deployment.call(command.call()).await;
    let detach = queued(&deployment);
    let request = signed_request(&detach);
    assert_eq!((request.requester(), request.approver()), (person(REQUESTER), None));
    let conversation = Conversation::parse(&format!("slack:{TEAM}/{CHANNEL}")).unwrap();
    assert_eq!((&request.conversation, &request.thread), (&conversation, &None));
    assert_eq!(request.deadline.map(|deadline| deadline.as_secs()), Some(7200));
    assert!((before + 3600..=now() + 3600).contains(&i64::try_from(request.expires_at).unwrap()));
    let id = request.id.as_str();
    assert!(id.strip_prefix("slack-").is_some_and(|hash| hash.len() == 24), "{id}");

    let [message] = &deployment.messages()[..] else { panic!("one message") };
    assert_eq!(message.group.as_deref(), Some("eu-west-1/ep-a"));
    assert_eq!(attribute(message, "trigger"), Some("chat"));
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!(
        body,
        json!({
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dry_run": true,
            "expect_attached": true, "request_id": format!("{id}.preview"), "deadline_seconds": 600,
            "metadata": { "chat": body["metadata"]["chat"], "requested_by": format!("slack:{TEAM}/{REQUESTER}"),
                          "ticket": "CHG-7" },
        })
    );

    assert!(response.body["text"].as_str().unwrap().contains(id), "{response:?}");
    assert_answer(&response, &Answer::Accepted { request, approval_seconds: 3600 });
    let calls = deployment.aws_calls();
    assert_eq!(calls, [vec![Action::GetSecretValue; 3], vec![Action::SendMessageBatch]].concat());
    assert!(notices(&deployment).is_empty());
}

#[tokio::test]
async fn repeated_command_is_enqueued_once() {
    let deployment = deployment().await;
    let command = Typed::new(DETACH);
    let first = deployment.call(command.call()).await;
    let again = deployment.call(command.call()).await;
    assert_eq!((first.status, again.status), (again.status, first.status));
    let id = signed_request(&queued(&deployment)).id;
    assert!(again.body["text"].as_str().unwrap().contains(id.as_str()), "{again:?}");
    // The same text typed again is a new request.
    deployment.call(Typed::new(DETACH).call()).await;
    assert_eq!(deployment.messages().len(), 2);
}

#[tokio::test]
async fn dry_run_alone_is_signed_as_such() {
    let deployment = deployment().await;
    deployment.call(Typed::new("dry-run sg-a ep-a eu-west-1").call()).await;
    let detach = queued(&deployment);
    assert!(detach.dry_run && signed_request(&detach).dry_run);
}

#[tokio::test]
async fn approval_timeout_and_language_are_configurable() {
    let deployment =
        deployment_with(&[("CHAT_APPROVAL_TIMEOUT_SECONDS", "60"), ("CHAT_LANGUAGE", "ZH")]).await;
    let before = now();
    let response = deployment.call(Typed::new(DETACH).call()).await;
    let request = signed_request(&queued(&deployment));
    assert!((before + 60..=now() + 60).contains(&i64::try_from(request.expires_at).unwrap()));
    assert_eq!(request.language, Language::Zh);
    let answer = Answer::Accepted { request, approval_seconds: 60 };
    assert_eq!(response.body["blocks"][0]["text"]["text"], answer.text(Language::Zh, "/privatelink"));
}

#[tokio::test]
async fn language_is_that_of_the_command() {
    let deployment = deployment().await;
    deployment.call(Typed::new("移除 sg-a ep-a eu-west-1").call()).await;
    assert_eq!(signed_request(&queued(&deployment)).language, Language::Zh);
}

#[tokio::test]
async fn help_enqueues_nothing() {
    let deployment = deployment().await;
    for text in ["", "help", "HELP me"] {
        assert_answer(&deployment.call(Typed::new(text).call()).await, &Answer::Help);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
}

#[tokio::test]
async fn command_with_problems_enqueues_nothing_and_is_not_repeated() {
    let deployment = deployment().await;
    let command = Typed::new("detach hunter2 sg-hunter2! ep-a <!channel> ticket=hunter2/2");
    let response = deployment.call(command.call()).await;
    let problems = vec![
        Problem::Invalid(Part::SecurityGroup),
        Problem::Invalid(Part::Ticket),
        Problem::Unknown(2),
        Problem::Missing(Part::Region),
    ];
    assert_answer(&response, &Answer::Problems(problems));
    assert!(!response.body.to_string().contains("hunter2"), "{response:?}");
    assert_eq!(deployment.messages().len(), 0);
    let output = deployment.output();
    assert!(!output.contains("hunter2") && !output.contains("channel>"), "{output}");
}

#[tokio::test]
async fn command_outside_the_lists_is_refused() {
    let not_allowed = |why, user: &str, channel: &str| Answer::NotAllowed {
        why,
        person: person(user),
        conversation: Conversation::parse(&format!("slack:{TEAM}/{channel}")).unwrap(),
    };
    for (variable, value, why) in [
        ("CHAT_TENANTS", "", NotAllowed::Tenant),
        ("CHAT_TENANTS", "slack:T04OTHER", NotAllowed::Tenant),
        ("CHAT_CONVERSATIONS", "", NotAllowed::Conversation),
        ("CHAT_CONVERSATIONS", "slack:T04OTHER/C04OPSAAAAA", NotAllowed::Conversation),
        ("CHAT_REQUESTERS", "", NotAllowed::Requester),
        ("CHAT_REQUESTERS", "slack:T04OTHER/U04REQUESTR", NotAllowed::Requester),
    ] {
        let deployment = deployment_with(&[(variable, value)]).await;
        let refused = not_allowed(why, REQUESTER, CHANNEL);
        for text in [DETACH, "hunter2"] {
            assert_answer(&deployment.call(Typed::new(text).call()).await, &refused);
        }
        // Everyone in an allowed conversation can read the help, and not even that outside of it.
        let is_inside = why == NotAllowed::Requester;
        let help = deployment.call(Typed::new("help").call()).await;
        assert_answer(&help, if is_inside { &Answer::Help } else { &refused });
        assert_eq!(deployment.messages().len(), 0, "{variable}={value}");
        let output = deployment.output();
        assert_eq!(lines(&output, "WARN").len(), if is_inside { 2 } else { 3 }, "{output}");
    }
    let deployment = deployment().await;
    let by_other = Typed { user: APPROVER, ..Typed::new(DETACH) };
    let response = deployment.call(by_other.call()).await;
    assert_answer(&response, &not_allowed(NotAllowed::Requester, APPROVER, CHANNEL));
    let elsewhere = Typed { channel: "C04OTHER", ..Typed::new(DETACH) };
    let response = deployment.call(elsewhere.call()).await;
    assert_answer(&response, &not_allowed(NotAllowed::Conversation, REQUESTER, "C04OTHER"));
    let other_team = Typed { team: "T04OTHER", ..Typed::new(DETACH) };
    assert_eq!(deployment.call(other_team.call()).await.status, 200);
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn anyone_in_an_allowed_conversation_may_be_a_requester() {
    let deployment = deployment_with(&[("CHAT_REQUESTERS", "*")]).await;
    deployment.call(Typed { user: "U04ANYONE", ..Typed::new(DETACH) }.call()).await;
    assert_eq!(signed_request(&queued(&deployment)).requester(), person("U04ANYONE"));
    let elsewhere = Typed { user: "U04ANYONE", channel: "C04OTHER", ..Typed::new(DETACH) };
    deployment.call(elsewhere.call()).await;
    assert_eq!(deployment.messages().len(), 1);
}

#[tokio::test]
async fn command_that_the_deployment_does_not_allow_is_refused() {
    let deployment = deployment_with(&[
        ("ALLOWED_REGIONS", "eu-west-1"),
        ("PROTECTED_SECURITY_GROUPS", "sg-safe"),
        ("PROTECTED_ENDPOINTS", "ep-safe"),
    ])
    .await;
    for (text, codes) in [
        ("detach sg-a ep-a eu-west-2", vec![RejectionCode::RegionNotAllowed]),
        ("detach sg-safe ep-a eu-west-1", vec![RejectionCode::ProtectedSecurityGroup]),
        (
            "dry-run sg-SAFE ep-safe eu-west-1",
            vec![RejectionCode::ProtectedEndpoint, RejectionCode::ProtectedSecurityGroup],
        ),
    ] {
        let response = deployment.call(Typed::new(text).call()).await;
        assert_answer(&response, &Answer::Rejected(codes));
    }
    assert_eq!(deployment.messages().len(), 0);
    deployment.call(Typed::new(DETACH).call()).await;
    assert_eq!(deployment.messages().len(), 1);
}
