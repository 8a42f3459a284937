//! How the intake responds if the queue does not accept every request.

use local_aws::{Action, Fault, LocalAws};
use privatelink_detach::aws::request_queue::{Message, RequestQueue, Sender};
use privatelink_detach::clock::Clock;
use privatelink_detach::request::Trigger;
use serde_json::json;

use crate::deployment::{Deployment, Response, SECRET, request, requests, webhook};

const SEND: Action = Action::SendMessageBatch;

fn plan(deployment: &Deployment, calls: usize, fault: Fault) {
    deployment.aws.queues().faults().plan(SEND, calls, fault);
}

fn sends(deployment: &Deployment) -> usize {
    deployment.aws_calls().into_iter().filter(|action| *action == SEND).count()
}

fn send_again(response: &Response) -> Vec<&str> {
    let requests = response.body["send_again"].as_array().unwrap();
    requests.iter().map(|request| request["request_id"].as_str().unwrap()).collect()
}

fn assert_unavailable(response: &Response) {
    response.assert_problem(503);
    assert_eq!(response.header("retry-after"), Some("10"));
}

#[tokio::test]
async fn entry_that_fails_in_a_successful_call_is_sent_again() {
    let deployment = Deployment::new().await;
    plan(&deployment, 2, Fault::EntryFails(1));
    let response = deployment.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_eq!((response.status.as_u16(), response.accepted().len()), (202, 3), "{response:?}");
    assert_eq!(
        sends(&deployment),
        2,
        "the second call has one entry, so the planned fault at index 1 hits none"
    );
    assert_eq!(deployment.messages().len(), 3);
}

#[tokio::test]
async fn entry_that_keeps_failing_is_reported_and_the_others_are_accepted() {
    let deployment = Deployment::new().await;
    plan(&deployment, 1, Fault::EntryFails(1));
    plan(&deployment, 2, Fault::EntryFails(0));
    let response = deployment.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&response);
    assert_eq!((response.accepted(), send_again(&response)), (vec!["msg_1.1", "msg_1.3"], vec!["msg_1.2"]));
    assert_eq!((sends(&deployment), deployment.messages().len()), (3, 2));
    // The same webhook again enqueues the rest without duplicates.
    let response = deployment.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_eq!((response.status.as_u16(), response.accepted().len()), (202, 3));
    assert_eq!(deployment.messages().len(), 3);
}

#[tokio::test]
async fn entry_without_a_receipt_is_sent_again_and_not_accepted_without_one() {
    for fault in [Fault::EmptyResponse, Fault::OtherMd5] {
        let deployment = Deployment::new().await;
        plan(&deployment, 1, fault);
        assert_eq!(deployment.post(&requests(2)).await.status, 202, "{fault:?}");
        assert_eq!((sends(&deployment), deployment.messages().len()), (2, 2), "{fault:?}");
        plan(&deployment, 3, fault);
        let response = deployment.call(webhook(&requests(2)).signed_as("msg_2", 0, SECRET)).await;
        assert_unavailable(&response);
        assert_eq!((response.accepted(), send_again(&response)), (vec![], vec!["msg_2.1", "msg_2.2"]));
    }
}

#[tokio::test]
async fn no_call_follows_a_call_that_failed() {
    let deployment = Deployment::new().await;
    plan(&deployment, 1, Fault::EntryFails(99));
    plan(&deployment, 9, Fault::ServerError);
    let response = deployment.call(webhook(&requests(35)).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&response);
    assert_eq!((response.accepted().len(), send_again(&response).len()), (10, 25));
    assert_eq!(send_again(&response)[0], "msg_1.11");
    assert_eq!(sends(&deployment), 1 + 3, "one successful call, and the SDK's attempts of the next one");
    assert_eq!(deployment.messages().len(), 10);
}

#[tokio::test]
async fn queue_that_does_not_exist_is_reported_as_unavailable() {
    let deployment =
        Deployment::with(&[("DETACH_QUEUE_URL", "http://127.0.0.1/000000000000/absent.fifo")]).await;
    let response = deployment.call(webhook(&request("sg-a")).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&response);
    assert_eq!((response.accepted(), send_again(&response)), (vec![], vec!["msg_1"]));
}

#[tokio::test]
async fn call_whose_response_was_lost_is_retried_without_duplicates() {
    let deployment = Deployment::new().await;
    plan(&deployment, 1, Fault::ResponseLost);
    assert_eq!(deployment.post(&requests(10)).await.status, 202);
    assert_eq!((sends(&deployment), deployment.messages().len()), (2, 10));
}

#[tokio::test]
async fn call_without_a_response_times_out_and_is_retried() {
    let deployment = Deployment::new().await;
    plan(&deployment, 1, Fault::Hang);
    assert_eq!(deployment.post(&requests(2)).await.status, 202);
    assert_eq!(deployment.messages().len(), 2);
}

#[tokio::test]
async fn no_call_begins_after_the_time_limit() {
    let aws = LocalAws::start().await.unwrap();
    let sdk = privatelink_detach::aws::config(aws.environment()).unwrap();
    let sender = Sender::new(aws_sdk_sqs::Client::new(&sdk), aws.queue_url("requests.fifo"));
    let message = Message {
        group: "eu-west-1/ep-a".to_owned(),
        deduplication_id: "d".to_owned(),
        body: "{}".to_owned(),
        trigger: Trigger::Webhook,
    };
    let clock = Clock::start();
    let results = sender.send(&vec![message; 11], clock.now(), &clock).await;
    assert_eq!((results.len(), results.iter().filter(|result| result.is_ok()).count()), (11, 0));
    assert!(aws.journal().is_empty());
}

#[tokio::test]
async fn event_fails_if_the_queue_does_not_accept_all_of_it_and_a_retry_completes_it() {
    let deployment = Deployment::new().await;
    let list = json!({ "id": "d32c5kddcf5bb8c3", "requests": requests(3)["requests"] }).to_string();
    plan(&deployment, 3, Fault::EntryFails(0));
    let error = deployment.invoke(&list).await.unwrap_err();
    assert_eq!(error["errorType"], "QueueUnavailable");
    assert!(error["errorMessage"].as_str().unwrap().contains("2 of 3"), "{error}");
    assert_eq!(deployment.messages().len(), 2);
    assert!(deployment.invoke(&list).await.is_ok());
    assert_eq!(deployment.messages().len(), 3);
}

#[tokio::test]
async fn queue_accepts_every_character_that_a_request_may_contain() {
    let deployment = Deployment::new().await;
    let mut body = request("sg-a");
    body["metadata"] =
        json!({ "odd": "\u{0}\u{1b}\u{7f}\u{85}\u{fffe}\u{ffff}\u{10ffff}", "\u{ffff}": "key" });
    assert_eq!(deployment.post(&body).await.status, 202);
    assert_eq!(deployment.bodies()[0]["metadata"], body["metadata"]);
}
