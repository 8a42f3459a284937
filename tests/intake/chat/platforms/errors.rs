//! How the intake responds if an AWS service does not, where the answer to a command is a notice.

use local_aws::{Action, Fault};
use privatelink_detach::chat::texts::Answer;
use serde_json::Value;

use super::super::{count, lines};
use crate::platforms::{BY_NOTICE, Clicked, DRIVERS, Driver, Typed, answers, aws, clicks, notices};
use crate::slack::{SIGNING_ARN, VERIFICATION_ARN};

fn typed(driver: &'static Driver) -> Typed {
    Typed::new(driver, "detach sg-a ep-a eu-west-1")
}

/// The messages of the log's lines at `ERROR`.
fn errors(output: &str) -> Vec<String> {
    let message = |line: Value| line["message"].as_str().unwrap().to_owned();
    lines(output, "ERROR").into_iter().map(message).collect()
}

#[tokio::test]
async fn secret_that_cannot_be_read_accepts_nothing() {
    for driver in BY_NOTICE {
        for (arn, value) in [
            (VERIFICATION_ARN, None),
            (VERIFICATION_ARN, Some("{}s3cret")),
            (VERIFICATION_ARN, Some(r#"{"feishu":{"encrypt_keys":["s3cret-0123456789"]}}"#)),
            (VERIFICATION_ARN, Some(r#"{"dingtalk":{"app_secrets":["s3cret-0123456789"]}}"#)),
            (SIGNING_ARN, None),
            (SIGNING_ARN, Some(r#"["s3cret"]"#)),
        ] {
            let aws = aws().await;
            match value {
                Some(value) => aws.secrets().put(arn, value),
                None => aws.secrets().remove(arn),
            }
            let deployment = driver.deployment_on(aws, &[]).await;
            // The answer is a signed notice, and the button signed: without keys there is neither.
            driver.assert_unavailable(&deployment.call(typed(driver).call()).await);
            driver.assert_unavailable(&deployment.call(Typed::new(driver, "help").call()).await);
            let click = Clicked::approve(driver, &driver.button(1));
            driver.assert_unavailable(&deployment.call(click.call()).await);
            assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]), "{arn} {value:?}");
            let output = deployment.output();
            assert!(output.contains("cannot be read") && !output.contains("s3cret"), "{output}");
        }
    }
}

#[tokio::test]
async fn tenant_that_is_not_listed_gets_no_answer_without_keys_either() {
    for driver in BY_NOTICE {
        let aws = aws().await;
        aws.secrets().remove(SIGNING_ARN);
        let deployment = driver.deployment_on(aws, &[("CHAT_TENANTS", "")]).await;
        driver.assert_shows_nothing(&deployment.call(typed(driver).call()).await);
    }
}

#[tokio::test]
async fn secrets_manager_that_never_responds_does_not_delay_the_response() {
    for driver in BY_NOTICE {
        let deployment = driver.deployment().await;
        // An unknown signature causes a read, which hangs.
        deployment.aws.secrets().faults().plan(Action::GetSecretValue, 9, Fault::Hang);
        let click = Clicked::approve(driver, &driver.button(1));
        for _ in 0..2 {
            let command = typed(driver).signed(driver.other_secret, 0);
            driver.assert_unavailable(&deployment.call(command).await);
            let click = click.signed(driver.other_secret, 0);
            driver.assert_unavailable(&deployment.call(click).await);
        }
        assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
        // The cached secrets still serve.
        assert_eq!(deployment.call(click.call()).await.status, 200);
        let output = deployment.output();
        let cause =
            "the chat verification secrets cannot be read: Secrets Manager did not respond within 0.5 s";
        assert_eq!(errors(&output), [cause], "{}", driver.platform.name());
    }
}

#[tokio::test]
async fn request_queue_that_fails_is_an_answer_to_try_again() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        deployment.aws.queues().faults().plan(Action::SendMessageBatch, 99, Fault::ServerError);
        let response = deployment.call(typed(driver).call()).await;
        driver.assert_told(&deployment, &response, &Answer::TryAgain);
        let click = Clicked::approve(driver, &driver.button(1));
        driver.assert_unavailable(&deployment.call(click.call()).await);
        assert_eq!((deployment.messages().len(), clicks(&deployment)), (0, vec![]));
        // The same click succeeds later.
        deployment.aws.queues().faults().clear();
        assert_eq!(deployment.call(click.call()).await.status, 200);
        assert_eq!((deployment.messages().len(), clicks(&deployment).len()), (1, 1));
    }
}

#[tokio::test]
async fn request_queue_that_never_responds_does_not_delay_the_response() {
    for driver in BY_NOTICE {
        for is_click in [false, true] {
            let deployment = driver.deployment().await;
            deployment.aws.queues().faults().plan(Action::SendMessageBatch, 9, Fault::Hang);
            let click = Clicked::approve(driver, &driver.button(1));
            let call = if is_click { click.call() } else { typed(driver).call() };
            // All the time is used, so the platform or the person repeats the call.
            driver.assert_unavailable(&deployment.call(call).await);
            assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
            let output = deployment.output();
            let errors = errors(&output);
            assert!(
                errors[0].starts_with("not known to be accepted: SQS did not respond within 1"),
                "{output}"
            );
            assert_eq!(errors.len(), if is_click { 1 } else { 2 }, "{output}");
        }
    }
}

#[tokio::test]
async fn accepted_command_whose_answer_is_not_sent_is_accepted() {
    for driver in BY_NOTICE {
        for fault in [Fault::ServerError, Fault::Hang, Fault::EmptyResponse] {
            let deployment = driver.deployment().await;
            deployment.aws.queues().faults().plan(Action::SendMessage, 9, fault);
            driver.assert_shows_nothing(&deployment.call(typed(driver).call()).await);
            assert_eq!((deployment.messages().len(), answers(&deployment)), (1, vec![]), "{fault:?}");
            let output = deployment.output();
            let [line] = &lines(&output, "ERROR")[..] else { panic!("one line: {output}") };
            let message = line["message"].as_str().unwrap();
            assert!(message.starts_with("the answer to a chat command is not sent: "), "{line}");
            let prefix = format!("{}-", driver.platform.name());
            assert!(line["request_id"].as_str().unwrap().starts_with(&prefix), "{line}");
        }
    }
}

#[tokio::test]
async fn command_that_is_only_answered_fails_without_the_answer() {
    for driver in BY_NOTICE {
        for fault in [Fault::ServerError, Fault::Hang] {
            let deployment = driver.deployment().await;
            deployment.aws.queues().faults().plan(Action::SendMessage, 9, fault);
            for text in ["help", "detach hunter2"] {
                driver.assert_unavailable(&deployment.call(Typed::new(driver, text).call()).await);
            }
            let other = Typed { person: driver.other_person, ..typed(driver) };
            driver.assert_unavailable(&deployment.call(other.call()).await);
            deployment.aws.queues().faults().clear();
            let response = deployment.call(Typed::new(driver, "help").call()).await;
            driver.assert_told(&deployment, &response, &Answer::Help);
        }
    }
}

#[tokio::test]
async fn lost_connection_to_the_queue_of_notices_is_replaced_in_time() {
    for driver in BY_NOTICE {
        let deployment = driver.deployment().await;
        deployment.aws.queues().faults().plan(Action::SendMessage, 1, Fault::Hang);
        driver.assert_shows_nothing(&deployment.call(Typed::new(driver, "help").call()).await);
        assert_eq!((count(&deployment, Action::SendMessage), answers(&deployment).len()), (2, 1));
    }
}

#[tokio::test]
async fn decision_without_its_notice_is_kept_only_if_it_is_an_approval() {
    for driver in BY_NOTICE {
        for fault in [Fault::ServerError, Fault::Hang] {
            let deployment = driver.deployment().await;
            deployment.aws.queues().faults().plan(Action::SendMessage, 99, fault);
            let approved = deployment.call(Clicked::approve(driver, &driver.button(1)).call()).await;
            assert_eq!((approved.status.as_u16(), deployment.messages().len()), (200, 1));
            // The response changes the card, so the people of the conversation know.
            assert!(approved.body.to_string().contains("Approved"), "{approved:?}");
            let declined = Clicked::decline(driver, &driver.button(2));
            driver.assert_unavailable(&deployment.call(declined.call()).await);
            // Its response says all, so there is no notice that could fail.
            let own = Clicked { person: driver.requester, ..Clicked::approve(driver, &driver.button(2)) };
            assert_eq!(deployment.call(own.call()).await.status, 200);
            let output = deployment.output();
            let errors = errors(&output);
            assert!(
                errors.len() == 2 && errors.iter().all(|error| error.starts_with("the notice of a click")),
                "{output}"
            );
        }
    }
}
