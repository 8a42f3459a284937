//! What the intake says when the queue does not take everything.

use local_aws::{Action, Fault, LocalAws};
use privatelink_detach::clock::Clock;
use privatelink_detach::intake::sender::{Message, Sender};
use privatelink_detach::request::Trigger;
use serde_json::json;

use crate::account::{Account, Answer, SECRET, request, requests, webhook};

const SEND: Action = Action::SendMessageBatch;

fn plan(account: &Account, calls: usize, fault: Fault) {
    account.aws.queues().faults().plan(SEND, calls, fault);
}

fn sends(account: &Account) -> usize {
    account.aws_calls().into_iter().filter(|action| *action == SEND).count()
}

fn send_again(answer: &Answer) -> Vec<&str> {
    let requests = answer.body["send_again"].as_array().unwrap();
    requests.iter().map(|request| request["request_id"].as_str().unwrap()).collect()
}

fn assert_unavailable(answer: &Answer) {
    answer.assert_problem(503);
    assert_eq!(answer.header("retry-after"), Some("10"));
}

#[tokio::test]
async fn an_entry_that_fails_inside_a_success_is_sent_once_more() {
    let account = Account::new().await;
    plan(&account, 2, Fault::EntryFails(1));
    let answer = account.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_eq!((answer.status.as_u16(), answer.accepted().len()), (202, 3), "{answer:?}");
    assert_eq!(sends(&account), 2, "the second call has one entry, and none at that place");
    assert_eq!(account.messages().len(), 3);
}

#[tokio::test]
async fn an_entry_that_keeps_failing_is_reported_and_the_others_are_not_denied() {
    let account = Account::new().await;
    plan(&account, 1, Fault::EntryFails(1));
    plan(&account, 2, Fault::EntryFails(0));
    let answer = account.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&answer);
    assert_eq!((answer.accepted(), send_again(&answer)), (vec!["msg_1.1", "msg_1.3"], vec!["msg_1.2"]));
    assert_eq!((sends(&account), account.messages().len()), (3, 2));
    // The same webhook again brings the rest and repeats nothing.
    let answer = account.call(webhook(&requests(3)).signed_as("msg_1", 0, SECRET)).await;
    assert_eq!((answer.status.as_u16(), answer.accepted().len()), (202, 3));
    assert_eq!(account.messages().len(), 3);
}

#[tokio::test]
async fn a_queue_that_fails_half_way_is_asked_no_more() {
    let account = Account::new().await;
    plan(&account, 1, Fault::EntryFails(99));
    plan(&account, 9, Fault::ServerError);
    let answer = account.call(webhook(&requests(35)).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&answer);
    assert_eq!((answer.accepted().len(), send_again(&answer).len()), (10, 25));
    assert_eq!(send_again(&answer)[0], "msg_1.11");
    assert_eq!(sends(&account), 1 + 3, "one that is taken, and the client's attempts of the next");
    assert_eq!(account.messages().len(), 10);
}

#[tokio::test]
async fn a_queue_that_takes_nothing_is_told_as_such() {
    let account = Account::with(&[("DETACH_QUEUE_URL", "http://127.0.0.1/000000000000/absent.fifo")]).await;
    let answer = account.call(webhook(&request("sg-a")).signed_as("msg_1", 0, SECRET)).await;
    assert_unavailable(&answer);
    assert_eq!((answer.accepted(), send_again(&answer)), (vec![], vec!["msg_1"]));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_nothing_lies_there_twice() {
    let account = Account::new().await;
    plan(&account, 1, Fault::AnswerLost);
    assert_eq!(account.post(&requests(10)).await.status, 202);
    assert_eq!((sends(&account), account.messages().len()), (2, 10));
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_costs_an_attempt_and_not_the_webhook() {
    let account = Account::new().await;
    plan(&account, 1, Fault::Hang);
    assert_eq!(account.post(&requests(2)).await.status, 202);
    assert_eq!(account.messages().len(), 2);
}

#[tokio::test]
async fn no_call_begins_when_the_time_is_up() {
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
async fn an_event_that_the_queue_does_not_take_wholly_fails_and_its_repetition_completes_it() {
    let account = Account::new().await;
    let list = json!({ "id": "d32c5kddcf5bb8c3", "requests": requests(3)["requests"] }).to_string();
    plan(&account, 3, Fault::EntryFails(0));
    let error = account.invoke(&list).await.unwrap_err();
    assert_eq!(error["errorType"], "QueueUnavailable");
    assert!(error["errorMessage"].as_str().unwrap().contains("2 of 3"), "{error}");
    assert_eq!(account.messages().len(), 2);
    assert!(account.invoke(&list).await.is_ok());
    assert_eq!(account.messages().len(), 3);
}

#[tokio::test]
async fn every_text_that_a_request_may_hold_is_one_that_the_queue_takes() {
    let account = Account::new().await;
    let mut body = request("sg-a");
    body["metadata"] =
        json!({ "odd": "\u{0}\u{1b}\u{7f}\u{85}\u{fffe}\u{ffff}\u{10ffff}", "\u{ffff}": "key" });
    assert_eq!(account.post(&body).await.status, 202);
    assert_eq!(account.bodies()[0]["metadata"], body["metadata"]);
}
