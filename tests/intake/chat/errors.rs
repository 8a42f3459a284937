//! How the intake responds if an AWS service does not.

use local_aws::{Action, Fault, FunctionUrlSettings};
use privatelink_detach::chat;
use privatelink_detach::chat::texts::Answer;
use serde_json::json;

use super::{assert_acknowledged, assert_answer, assert_unavailable, count, lines};
use crate::deployment::{request, webhook};
use crate::in_process::InProcess;
use crate::slack::{
    Clicked, KEY_NEXT, SIGNING_ARN, SLACK_SECRET, Typed, VERIFICATION_ARN, aws, button, call, deployment,
    deployment_on, keys, notices, pending, results, signed,
};

/// An arbitrary time, in seconds since 1970-01-01.
const START: u64 = 1_795_330_800;

fn typed() -> Typed {
    Typed::new("detach sg-a ep-a eu-west-1")
}

/// The body of a command of the requester in the in-process intake.
fn typed_in_process(text: &str) -> String {
    Typed { team: "T0LOCALCHAT", channel: "C0OPSCHANGE", user: "U0REQUESTER", ..Typed::new(text) }.body()
}

#[tokio::test]
async fn secret_that_cannot_be_read_accepts_nothing() {
    for (arn, value) in [
        (VERIFICATION_ARN, None),
        (VERIFICATION_ARN, Some("{}s3cret")),
        (VERIFICATION_ARN, Some(r#"{"slack":{"signing_secrets":["s3cret"]}}"#)),
        (SIGNING_ARN, None),
        (SIGNING_ARN, Some(r#"["s3cret"]"#)),
    ] {
        let aws = aws().await;
        match value {
            Some(value) => aws.secrets().put(arn, value),
            None => aws.secrets().remove(arn),
        }
        let deployment = deployment_on(aws, &[], FunctionUrlSettings::default()).await;
        assert_answer(&deployment.call(typed().call()).await, &Answer::TryAgain);
        assert_unavailable(&deployment.call(Clicked::approve(&button(1)).call()).await);
        assert_unavailable(&deployment.call(Clicked::decline(&button(1)).call()).await);
        assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0), "{arn} {value:?}");
        assert_eq!(count(&deployment, Action::GetSecretValue), 3, "not read again for every call");
        // The other entry points do not need it.
        assert_eq!(deployment.call(webhook(&request("sg-a")).signed()).await.status, 202);
        let output = deployment.output();
        assert!(output.contains("cannot be read") && !output.contains("s3cret"), "{output}");
    }
}

#[tokio::test]
async fn verification_secret_without_slack_verifies_nothing() {
    let aws = aws().await;
    aws.secrets().put(VERIFICATION_ARN, "{}");
    let deployment = deployment_on(aws, &[], FunctionUrlSettings::default()).await;
    deployment.call(typed().call()).await.assert_problem(401);
    deployment.call(Clicked::approve(&button(1)).call()).await.assert_problem(401);
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn secrets_manager_that_never_responds_does_not_delay_the_response() {
    let deployment = deployment().await;
    // An unknown signature causes a read, which hangs.
    deployment.aws.secrets().faults().plan(Action::GetSecretValue, 9, Fault::Hang);
    let by_other = |body: String| signed(call(body), "c87879816b60ace29da36143581967dc", 0);
    // The second call does not read again, and is not told that it is not authenticated either.
    for _ in 0..2 {
        assert_answer(&deployment.call(by_other(typed().body())).await, &Answer::TryAgain);
        assert_unavailable(&deployment.call(by_other(Clicked::approve(&button(1)).body())).await);
    }
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
    // The cached secrets still serve.
    assert_acknowledged(&deployment.call(Clicked::approve(&button(1)).call()).await);
    let output = deployment.output();
    let [line] = &lines(&output, "ERROR")[..] else { panic!("one line: {output}") };
    let cause = "the chat verification secrets cannot be read: Secrets Manager did not respond within 0.5 s";
    assert_eq!(line["message"], cause);
}

#[tokio::test]
async fn button_is_not_judged_while_the_keys_cannot_be_read_again() {
    for fault in [Fault::ServerError, Fault::Hang] {
        let deployment = deployment().await;
        // The messenger has the next key already, and the intake cannot read it.
        deployment.aws.secrets().faults().plan(Action::GetSecretValue, 99, fault);
        let newer = Clicked::approve(&chat::signed::button(&pending(1), &keys(&[KEY_NEXT])));
        for _ in 0..2 {
            assert_unavailable(&deployment.call(newer.call()).await);
        }
        assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0), "{fault:?}");
        let output = deployment.output();
        let [line] = &lines(&output, "ERROR")[..] else { panic!("one line: {output}") };
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("the chat signing keys cannot be read: "), "{message}");
    }
}

#[tokio::test]
async fn both_secrets_are_read_side_by_side_on_new_connections() {
    let intake = InProcess::new(false).await;
    // One after the other, the first attempts alone would take the time that chat has.
    intake.aws.secrets().faults().plan(Action::GetSecretValue, 2, Fault::Hang);
    intake.chat(&typed_in_process("detach sg-a ep-a eu-west-1"), START).await;
    assert_eq!(intake.message_count(), 1);
}

#[tokio::test]
async fn cached_secrets_serve_chat_while_secrets_manager_never_responds() {
    let intake = InProcess::new(false).await;
    let typed = |number: u64| typed_in_process(&format!("detach sg-{number} ep-a eu-west-1"));
    assert_eq!(intake.chat(&typed(0), START).await["statusCode"], 200);
    intake.aws.secrets().faults().plan(Action::GetSecretValue, 99, Fault::Hang);
    // Both values are to be read again; both last for 15 minutes.
    for (number, seconds) in [(1, 310), (2, 330), (3, 880)] {
        intake.chat(&typed(number), START + seconds).await;
        assert_eq!(intake.message_count(), usize::try_from(number).unwrap() + 1, "after {seconds} s");
    }
    intake.chat(&typed(4), START + 910).await;
    assert_eq!(intake.message_count(), 4, "the values are too old");
}

#[tokio::test]
async fn lost_connection_to_a_queue_is_replaced_in_time() {
    let deployment = deployment().await;
    for action in [Action::SendMessageBatch, Action::SendMessage] {
        deployment.aws.queues().faults().plan(action, 1, Fault::Hang);
    }
    assert_eq!(deployment.call(typed().call()).await.status, 200);
    assert_eq!((count(&deployment, Action::SendMessageBatch), deployment.messages().len()), (2, 1));
    assert_acknowledged(&deployment.call(Clicked::decline(&button(1)).call()).await);
    assert_eq!((count(&deployment, Action::SendMessage), results(&deployment)), (2, vec!["declined"]));
}

#[tokio::test]
async fn request_queue_that_never_responds_does_not_delay_the_response() {
    for is_click in [false, true] {
        let deployment = deployment().await;
        deployment.aws.queues().faults().plan(Action::SendMessageBatch, 9, Fault::Hang);
        if is_click {
            assert_unavailable(&deployment.call(Clicked::approve(&button(1)).call()).await);
        } else {
            assert_answer(&deployment.call(typed().call()).await, &Answer::TryAgain);
        }
        assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
        let output = deployment.output();
        let [line] = &lines(&output, "ERROR")[..] else { panic!("one line: {output}") };
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("not known to be accepted: SQS did not respond within 1"), "{message}");
        assert!(line["request_id"].as_str().unwrap().starts_with("slack-"), "{line}");
    }
}

#[tokio::test]
async fn request_queue_that_fails_accepts_nothing_and_sends_no_notice() {
    let deployment = deployment().await;
    deployment.aws.queues().faults().plan(Action::SendMessageBatch, 99, Fault::ServerError);
    assert_answer(&deployment.call(typed().call()).await, &Answer::TryAgain);
    assert_unavailable(&deployment.call(Clicked::approve(&button(1)).call()).await);
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
    // The same click succeeds later.
    deployment.aws.queues().faults().clear();
    assert_acknowledged(&deployment.call(Clicked::approve(&button(1)).call()).await);
    assert_eq!((deployment.messages().len(), results(&deployment)), (1, vec!["approved"]));
}

#[tokio::test]
async fn approved_request_whose_notice_fails_is_still_approved() {
    for fault in [Fault::ServerError, Fault::Hang, Fault::EmptyResponse] {
        let deployment = deployment().await;
        deployment.aws.queues().faults().plan(Action::SendMessage, 9, fault);
        assert_acknowledged(&deployment.call(Clicked::approve(&button(1)).call()).await);
        assert_eq!((deployment.messages().len(), notices(&deployment).len()), (1, 0), "{fault:?}");
        let output = deployment.output();
        let [line] = &lines(&output, "ERROR")[..] else { panic!("one line: {output}") };
        assert!(line["message"].as_str().unwrap().starts_with("the notice of a click is not sent"), "{line}");
        assert_eq!(
            (&line["result"], &line["request_id"]),
            (&json!("approved"), &json!(format!("slack-{:024x}", 1)))
        );
    }
}

#[tokio::test]
async fn click_that_only_causes_a_notice_fails_without_it() {
    let deployment = deployment().await;
    deployment.aws.queues().faults().plan(Action::SendMessage, 99, Fault::ServerError);
    for click in [Clicked::decline(&button(1)), Clicked::approve("x")] {
        assert_unavailable(&deployment.call(click.call()).await);
    }
    deployment.aws.queues().faults().clear();
    assert_acknowledged(&deployment.call(Clicked::decline(&button(1)).call()).await);
    assert_eq!(results(&deployment), ["declined"]);
}

#[tokio::test]
async fn call_whose_response_was_lost_is_retried_without_duplicates() {
    let deployment = deployment().await;
    deployment.aws.queues().faults().plan(Action::SendMessageBatch, 1, Fault::ResponseLost);
    assert_eq!(deployment.call(typed().call()).await.status, 200);
    assert_eq!((count(&deployment, Action::SendMessageBatch), deployment.messages().len()), (2, 1));
    assert_eq!(deployment.call(signed(call("ssl_check=1"), SLACK_SECRET, 0)).await.status, 200);
}
