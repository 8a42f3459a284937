//! Copy, event, delete: what happens when one of them fails, before the deadline and after it.

use std::time::Duration;

use local_aws::{Action as Aws, Fault as AwsFault};
use privatelink_detach::clock::Clock;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::stage::{Setting, Stage, attribute, request};

/// More calls than the SDK makes of one operation.
const ALL_ATTEMPTS: usize = 9;

/// Every way in which an event is not known to be published.
const UNPUBLISHED: [AwsFault; 4] =
    [AwsFault::ServerError, AwsFault::EntryFails(0), AwsFault::ResponseLost, AwsFault::Hang];

fn brief(endpoint: &str, group: &str) -> Value {
    let mut body = request(endpoint, group);
    body["deadline_seconds"] = json!(30);
    body
}

#[tokio::test]
async fn an_event_that_fails_keeps_the_message_and_is_sent_by_the_next_delivery() {
    for fault in UNPUBLISHED {
        let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
        let message_id = stage.send(&request("ep-a", "sg-a"));
        stage.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, fault);
        stage.deliver().await;
        assert_eq!((stage.waiting(), stage.dead_letters().len()), (1, 0), "{fault:?}");
        assert!(!stage.aws_calls().contains(&Aws::DeleteMessage), "{fault:?}");
        stage.aws.bus().faults().clear();
        stage.run().await;
        let events = stage.events();
        assert!(
            events.iter().all(|event| event["request_id"] == message_id.as_str()),
            "repeats carry the same id"
        );
        let last = events.last().unwrap();
        assert_eq!(
            (&last["outcome"], &last["effort"]["deliveries"]),
            (&json!("already_detached"), &json!(2))
        );
        assert_eq!(stage.waiting(), 0);
    }
}

#[tokio::test]
async fn after_the_deadline_an_event_that_fails_becomes_a_dead_letter_that_says_so() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    stage.send(&brief("ep-a", "sg-a"));
    stage.aws.advance(Duration::from_secs(31));
    stage.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    stage.run().await;
    let letters = stage.dead_letters();
    assert_eq!(attribute(&letters[0], "reason_code").as_deref(), Some("CompletionNotPublished"));
    assert_eq!(attribute(&letters[0], "outcome").as_deref(), Some("already_detached"));
    let message = attribute(&letters[0], "reason_message").unwrap();
    assert!(message.contains("already_detached"), "{message}");
    assert_eq!((stage.events().len(), stage.waiting()), (0, 0));
}

#[tokio::test]
async fn after_the_deadline_a_copy_that_was_written_already_is_enough() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    stage.send(&brief("ep-a", "sg-a"));
    stage.aws.advance(Duration::from_secs(31));
    stage.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    stage.run().await;
    let letters = stage.dead_letters();
    assert_eq!(
        (letters.len(), attribute(&letters[0], "reason_code").as_deref()),
        (1, Some("DeadlineExceeded"))
    );
    assert_eq!(stage.waiting(), 0);
}

#[tokio::test]
async fn a_bus_that_does_not_exist_swallows_nothing() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-b"])]);
    setting.environment = vec![("COMPLETION_BUS_NAME", "completions".to_owned())];
    let stage = Stage::set(setting).await;
    stage.send(&request("ep-a", "sg-a"));
    stage.deliver().await;
    assert_eq!((stage.waiting(), stage.aws_calls().contains(&Aws::PutEvents)), (1, false));
    stage.aws.bus().create("completions");
    stage.run().await;
    assert_eq!((stage.waiting(), stage.aws.bus().events().len()), (0, 1));
    stage.send(&request("ep-a", "sg-c"));
    stage.run().await;
    let looks = stage.aws_calls().into_iter().filter(|call| *call == Aws::DescribeEventBus);
    assert_eq!(looks.count(), 2, "once it is known to exist, it is not looked at again");
}

#[tokio::test]
async fn a_bus_that_was_seen_while_the_process_started_is_not_looked_at_again() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-b"])]);
    setting.environment = vec![("COMPLETION_BUS_NAME", "completions".to_owned())];
    let stage = Stage::set(setting).await;
    stage.aws.bus().create("completions");
    stage.worker.prepare(&Clock::start()).await;
    assert_eq!(stage.aws_calls(), [Aws::DescribeEventBus]);
    stage.send(&request("ep-a", "sg-a"));
    stage.run().await;
    let calls = stage.aws_calls();
    let looks = calls.iter().filter(|call| **call == Aws::DescribeEventBus).count();
    assert_eq!((looks, calls.contains(&Aws::PutEvents)), (1, true));
}

/// How the next request to a listener begins. Nobody answers it.
async fn asked(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut began = [0; 6];
    stream.read_exact(&mut began).await.unwrap();
    String::from_utf8_lossy(&began).into_owned()
}

#[tokio::test]
async fn the_only_region_is_connected_to_while_the_process_starts_and_of_several_none() {
    for (regions, expected) in [("eu-west-1", Some("HEAD /")), ("eu-west-1,us-east-1", None), ("", None)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut setting = Setting::with_endpoints(&[]);
        setting.environment =
            vec![("ALLOWED_REGIONS", regions.to_owned()), ("PRIVATELINK_ENDPOINT_URL", url)];
        let stage = Stage::set(setting).await;
        let clock = Clock::start();
        let began = tokio::select! {
            biased;
            began = asked(&listener) => Some(began),
            () = stage.worker.prepare(&clock) => None,
        };
        assert_eq!(began.as_deref(), expected, "{regions}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_keeps_the_message_and_publishes_nothing() {
    let stage = Stage::with_groups(&["sg-a"]).await;
    stage.send_message("not JSON".to_owned(), "lane", &[]);
    stage.aws.queues().faults().plan(Aws::SendMessage, ALL_ATTEMPTS, AwsFault::ServerError);
    stage.deliver().await;
    assert_eq!((stage.events().len(), stage.waiting()), (0, 1), "copy, event, delete: in this order");
    stage.aws.queues().faults().clear();
    stage.run().await;
    assert_eq!((stage.events().len(), stage.dead_letters().len(), stage.waiting()), (1, 1, 0));
}

#[tokio::test]
async fn a_repeated_copy_is_one_letter() {
    let stage = Stage::with_groups(&["sg-a"]).await;
    stage.send_message("not JSON".to_owned(), "lane", &[]);
    stage.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    stage.deliver().await;
    stage.aws.bus().faults().clear();
    stage.run().await;
    assert_eq!((stage.events().len(), stage.dead_letters().len()), (1, 1));
}

#[tokio::test]
async fn a_passing_fault_of_aws_is_the_sdks_to_retry() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    stage.send(&request("ep-a", "sg-a"));
    stage.aws.bus().faults().plan(Aws::PutEvents, 1, AwsFault::ServerError);
    stage.deliver().await;
    assert_eq!((stage.events().len(), stage.waiting()), (1, 0));
}
