//! What a command becomes, and who reads the answer.

use local_aws::Action;
use privatelink_detach::chat::answer::AnswerNotice;
use privatelink_detach::chat::command::{Part, Problem};
use privatelink_detach::chat::identity::{MessageId, Platform};
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::ChatRequest;
use privatelink_detach::chat::signed::{self, Subject};
use privatelink_detach::chat::texts::{Answer, Language};
use privatelink_detach::request::{self, DetachRequest, RejectionCode, Rules};
use serde_json::{Value, json};

use super::super::lines;
use crate::deployment::{Deployment, attribute, now};
use crate::platforms::{BY_NOTICE, DRIVERS, Typed, answers, notices};
use crate::slack::{KEY, NOTICES, keys};

const DETACH: &str = "detach sg-a ep-a eu-west-1";

/// The only request in the queue, and what its metadata signs.
fn queued(deployment: &Deployment) -> (DetachRequest, ChatRequest) {
    let [message] = &deployment.messages()[..] else { panic!("one message") };
    let detach = request::parse(&message.body, &Rules::default()).result.expect("a valid request");
    let subject = Subject {
        request_id: detach.request_id.as_ref().expect("a name"),
        region_id: &detach.region_id,
        endpoint_id: &detach.endpoint_id,
        security_group_id: &detach.security_group_id,
    };
    let request = signed::open_metadata(&detach.metadata, subject, &keys(&[KEY])).expect("a reply address");
    (detach, request)
}

#[tokio::test]
async fn command_becomes_a_dry_run_in_the_request_queue() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let command = Typed::new(driver, "detach sg-a ep-a eu-west-1 deadline=2h ticket=CHG-7");
        let before = now();
        let response = deployment.call(command.call()).await;
        let (_, request) = queued(&deployment);
        assert_eq!(
            (request.requester(), request.approver(), &request.conversation),
            (driver.person(driver.requester), None, &driver.place(driver.conversation))
        );
        // A platform that can reply to the message gets the result there.
        let message = MessageId::parse(&command.id).filter(|_| driver.platform == Platform::Feishu);
        assert_eq!(request.thread, message);
        assert!((before + 3600..=now() + 3600).contains(&i64::try_from(request.expires_at).unwrap()));
        let id = request.id.as_str();
        let prefix = format!("{}-", driver.platform.name());
        assert!(id.strip_prefix(&prefix).is_some_and(|hash| hash.len() == 24), "{id}");

        let [queued] = &deployment.messages()[..] else { panic!("one message") };
        assert_eq!(queued.group.as_deref(), Some("eu-west-1/ep-a"));
        assert_eq!(attribute(queued, "trigger"), Some("chat"));
        let body: Value = serde_json::from_str(&queued.body).unwrap();
        assert_eq!(
            body,
            json!({
                "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dry_run": true,
                "expect_attached": true, "request_id": format!("{id}.preview"), "deadline_seconds": 600,
                "metadata": { "chat": body["metadata"]["chat"],
                              "requested_by": driver.person(driver.requester).to_string(), "ticket": "CHG-7" },
            })
        );

        let accepted = Answer::Accepted { request, approval_seconds: 3600 };
        driver.assert_told(&deployment, &response, &accepted);
        // The request is in its queue before the answer says so.
        let mut expected = [vec![Action::GetSecretValue; 3], vec![Action::SendMessageBatch]].concat();
        expected.extend((driver.platform != Platform::Slack).then_some(Action::SendMessage));
        assert_eq!(deployment.aws_calls(), expected);
    }
}

#[tokio::test]
async fn answer_is_a_notice_where_the_response_is_not_shown() {
    for driver in BY_NOTICE {
        let deployment = driver.deployment().await;
        let command = Typed::new(driver, DETACH);
        driver.assert_shows_nothing(&deployment.call(command.call()).await);
        let (_, request) = queued(&deployment);
        let told = AnswerNotice {
            conversation: driver.place(driver.conversation),
            message: request.thread.clone(),
            person: driver.person(driver.requester).id,
            language: Language::En,
            request_id: Some(request.request_id()),
            text: Answer::Accepted { request, approval_seconds: 3600 }.text(Language::En, "@bot"),
        };
        assert_eq!(answers(&deployment), [told]);
        let [message] = &deployment.aws.queues().messages(NOTICES).unwrap().to_vec()[..] else {
            panic!("one notice")
        };
        assert_eq!(message.visible_at, message.sent_at, "it is not delayed");
    }
}

#[tokio::test]
async fn repeated_command_has_the_same_request_and_deduplication_id() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let command = Typed::new(driver, DETACH);
        let first = deployment.call(command.call()).await;
        // The platform signs its repetition anew.
        let again = deployment.call(command.signed(driver.command_secret, -20)).await;
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200));
        let (_, request) = queued(&deployment);
        let told = answers(&deployment);
        if driver.platform != Platform::Slack {
            assert_eq!(told.len(), 2);
        }
        assert!(told.iter().all(|told| told.request_id == Some(request.request_id())), "{told:?}");
        // The same text typed again is a new request.
        deployment.call(Typed::new(driver, DETACH).call()).await;
        let ids: Vec<_> = deployment.messages().into_iter().map(|message| message.deduplication_id).collect();
        assert_eq!(ids.len(), 2);
        assert_ne!(ids[0], ids[1]);
    }
    // The clock of SQS forgets a deduplication id after five minutes: it is the id, not the queue, that is the same.
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let command = Typed::new(driver, DETACH);
        deployment.call(command.call()).await;
        deployment.aws.advance(std::time::Duration::from_mins(6));
        deployment.call(command.call()).await;
        let [first, again] = &deployment.messages()[..] else { panic!("two messages") };
        let id = |body: &str| serde_json::from_str::<Value>(body).unwrap()["request_id"].clone();
        assert_eq!(
            (&first.deduplication_id, id(&first.body)),
            (&again.deduplication_id, id(&again.body)),
            "{}",
            driver.platform.name()
        );
    }
}

#[tokio::test]
async fn command_without_a_request_is_answered_alone() {
    let problems = Answer::Problems(vec![
        Problem::Invalid(Part::SecurityGroup),
        Problem::Unknown(1),
        Problem::Missing(Part::Region),
    ]);
    for driver in DRIVERS {
        for (text, answer) in [
            ("", &Answer::Help),
            ("help", &Answer::Help),
            ("detach hunter2 sg-hunter2! ep-a", &problems),
            ("detach sg-a ep-a eu-west-2", &Answer::Rejected(vec![RejectionCode::RegionNotAllowed])),
        ] {
            let deployment = driver.deployment_with(&[("ALLOWED_REGIONS", "eu-west-1")]).await;
            let response = deployment.call(Typed::new(driver, text).call()).await;
            driver.assert_told(&deployment, &response, answer);
            assert_eq!(deployment.messages().len(), 0, "{text}");
            let told = answers(&deployment);
            assert!(told.iter().all(|told| told.request_id.is_none()), "{told:?}");
            assert!(!deployment.output().contains("hunter2"));
        }
    }
}

#[tokio::test]
async fn language_is_that_of_the_command() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        deployment.call(Typed::new(driver, "移除 sg-a ep-a eu-west-1").call()).await;
        assert_eq!(queued(&deployment).1.language, Language::Zh);
        assert!(answers(&deployment).iter().all(|told| told.language == Language::Zh));
    }
}

#[tokio::test]
async fn command_outside_the_lists_is_refused() {
    for driver in DRIVERS {
        let name = driver.platform.name();
        let of = |tenant: &str, id: &str| format!("{name}:{tenant}/{id}");
        for (variable, value, why) in [
            ("CHAT_TENANTS", String::new(), NotAllowed::Tenant),
            ("CHAT_TENANTS", format!("{name}:{}", driver.other_tenant), NotAllowed::Tenant),
            ("CHAT_CONVERSATIONS", String::new(), NotAllowed::Conversation),
            ("CHAT_CONVERSATIONS", of(driver.tenant, driver.other_conversation), NotAllowed::Conversation),
            ("CHAT_REQUESTERS", String::new(), NotAllowed::Requester),
            ("CHAT_REQUESTERS", of(driver.other_tenant, driver.requester), NotAllowed::Requester),
        ] {
            let deployment = driver.deployment_with(&[(variable, &value)]).await;
            let response = deployment.call(Typed::new(driver, DETACH).call()).await;
            assert_eq!(deployment.messages().len(), 0, "{variable}={value}");
            if why == NotAllowed::Tenant && driver.platform != Platform::Slack {
                // This deployment posts to its own tenants alone.
                driver.assert_shows_nothing(&response);
                assert_eq!(notices(&deployment), []);
            } else {
                let (person, conversation) =
                    (driver.person(driver.requester), driver.place(driver.conversation));
                let refused = Answer::NotAllowed { why, person, conversation };
                driver.assert_told(&deployment, &response, &refused);
            }
            let output = deployment.output();
            let [line] = &lines(&output, "WARN")[..] else { panic!("one line: {output}") };
            assert_eq!(line["list"], why.name());
        }
    }
}

#[tokio::test]
async fn person_or_place_outside_the_lists_is_refused() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let by = |person| Typed { person, ..Typed::new(driver, DETACH) };
        for person in [driver.approver, driver.other_person] {
            assert_eq!(deployment.call(by(person).call()).await.status, 200);
        }
        let conversation = driver.other_conversation;
        let elsewhere = Typed { conversation, ..Typed::new(driver, DETACH) };
        assert_eq!(deployment.call(elsewhere.call()).await.status, 200);
        let tenant = driver.other_tenant;
        let other_tenant = Typed { tenant, ..Typed::new(driver, DETACH) };
        driver.assert_no_notice(&deployment, &other_tenant).await;
        assert_eq!(deployment.messages().len(), 0);
        let told = answers(&deployment).len();
        assert_eq!(told, if driver.platform == Platform::Slack { 0 } else { 3 });
    }
}
