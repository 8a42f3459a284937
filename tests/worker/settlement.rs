//! The end of a request: dead-letter copy, event, delete. What happens when one of them fails, before and after the
//! deadline; and what the worker prepares at start.

use std::time::Duration;

use local_aws::{Action as Aws, Fault as AwsFault};
use privatelink_detach::clock::Clock;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::environment::{TestEnvironment, TestSettings, attribute, request};
use crate::log;

/// More calls than the SDK makes for one operation.
const ALL_ATTEMPTS: usize = 9;

/// Every error after which the worker cannot count the event as published.
const UNPUBLISHED: [AwsFault; 4] =
    [AwsFault::ServerError, AwsFault::EntryFails(0), AwsFault::ResponseLost, AwsFault::Hang];

fn request_of_30_s(endpoint: &str, group: &str) -> Value {
    let mut body = request(endpoint, group);
    body["deadline_seconds"] = json!(30);
    body
}

#[tokio::test]
async fn unpublished_event_keeps_the_message_and_the_next_delivery_publishes_it() {
    for fault in UNPUBLISHED {
        let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
        let message_id = env.send(&request("ep-a", "sg-a"));
        env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, fault);
        env.deliver().await;
        assert_eq!((env.waiting(), env.dead_letters().len()), (1, 0), "{fault:?}");
        assert!(!env.aws_calls().contains(&Aws::DeleteMessage), "{fault:?}");
        env.aws.bus().faults().clear();
        env.run().await;
        let events = env.events();
        assert!(
            events.iter().all(|event| event["request_id"] == message_id.as_str()),
            "repeats carry the same id"
        );
        let last = events.last().unwrap();
        assert_eq!(
            (&last["outcome"], &last["effort"]["deliveries"]),
            (&json!("already_detached"), &json!(2))
        );
        assert_eq!(env.waiting(), 0);
    }
}

#[tokio::test]
async fn unpublished_event_after_the_deadline_becomes_a_dead_letter() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.send(&request_of_30_s("ep-a", "sg-a"));
    env.advance(Duration::from_secs(31));
    env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    env.run().await;
    let dead_letters = env.dead_letters();
    assert_eq!(attribute(&dead_letters[0], "reason_code").as_deref(), Some("CompletionNotPublished"));
    assert_eq!(attribute(&dead_letters[0], "outcome").as_deref(), Some("already_detached"));
    let message = attribute(&dead_letters[0], "reason_message").unwrap();
    assert!(message.contains("already_detached"), "{message}");
    assert_eq!((env.events().len(), env.waiting()), (0, 0));
}

#[tokio::test]
async fn unpublished_event_after_the_deadline_writes_no_second_dead_letter() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.send(&request_of_30_s("ep-a", "sg-a"));
    env.advance(Duration::from_secs(31));
    env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    env.run().await;
    let dead_letters = env.dead_letters();
    assert_eq!(
        (dead_letters.len(), attribute(&dead_letters[0], "reason_code").as_deref()),
        (1, Some("DeadlineExceeded"))
    );
    assert_eq!(env.waiting(), 0);
}

#[tokio::test]
async fn missing_bus_keeps_the_message_until_the_bus_exists() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-b"])]);
    settings.variables = vec![("COMPLETION_BUS_NAME", "completions".to_owned())];
    let env = TestEnvironment::start(settings).await;
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert_eq!((env.waiting(), env.aws_calls().contains(&Aws::PutEvents)), (1, false));
    env.aws.bus().create("completions");
    env.run().await;
    assert_eq!((env.waiting(), env.aws.bus().events().len()), (0, 1));
    env.send(&request("ep-a", "sg-c"));
    env.run().await;
    let reads = env.aws_calls().into_iter().filter(|call| *call == Aws::DescribeEventBus);
    assert_eq!(reads.count(), 2, "a bus that exists is not described again");
}

#[tokio::test]
async fn bus_found_at_start_is_not_described_again() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-b"])]);
    settings.variables = vec![("COMPLETION_BUS_NAME", "completions".to_owned())];
    let env = TestEnvironment::start(settings).await;
    env.aws.bus().create("completions");
    env.worker.prepare(&Clock::start()).await;
    assert_eq!(env.aws_calls(), [Aws::DescribeEventBus]);
    env.send(&request("ep-a", "sg-a"));
    env.run().await;
    let calls = env.aws_calls();
    let reads = calls.iter().filter(|call| **call == Aws::DescribeEventBus).count();
    assert_eq!((reads, calls.contains(&Aws::PutEvents)), (1, true));
}

/// The number of calls that describe the bus until each of three events is published, if all of them have this fault.
async fn descriptions(fault: AwsFault) -> [usize; 3] {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-b"])]);
    settings.variables = vec![("COMPLETION_BUS_NAME", "completions".to_owned())];
    let env = TestEnvironment::start(settings).await;
    env.aws.bus().create("completions");
    env.aws.bus().faults().plan(Aws::DescribeEventBus, ALL_ATTEMPTS, fault);
    let mut reads = [0; 3];
    for (reads, group) in reads.iter_mut().zip(["sg-a", "sg-c", "sg-d"]) {
        env.send(&request("ep-a", group));
        env.run().await;
        *reads = env.aws_calls().iter().filter(|call| **call == Aws::DescribeEventBus).count();
    }
    assert_eq!(env.events().len(), 3);
    reads
}

#[tokio::test]
async fn bus_that_may_not_be_described_is_described_once() {
    // Any error that a repetition does not change, such as a missing permission.
    assert_eq!(Box::pin(descriptions(AwsFault::QuotesRequest)).await, [1; 3]);
}

#[tokio::test]
async fn bus_whose_description_fails_is_not_described_for_every_event() {
    let reads = Box::pin(descriptions(AwsFault::Hang)).await;
    assert!(reads[0] >= 1 && reads == [reads[0]; 3], "{reads:?}");
}

#[tokio::test]
async fn slow_aws_is_only_slow() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    let slow = AwsFault::Slow(Duration::from_secs(2));
    env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, slow);
    env.aws.queues().faults().plan(Aws::DeleteMessage, ALL_ATTEMPTS, slow);
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert_eq!(env.aws_calls(), [Aws::PutEvents, Aws::DeleteMessage], "no attempt is repeated");
    assert_eq!((env.events().len(), env.waiting()), (1, 0));
}

/// The first bytes of the next HTTP request to a listener, which sends no response.
async fn first_bytes(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = [0; 6];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn start_connects_to_the_region_only_if_exactly_one_is_allowed() {
    for (regions, expected) in [("eu-west-1", Some("HEAD /")), ("eu-west-1,us-east-1", None), ("", None)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut settings = TestSettings::with_endpoints(&[]);
        settings.variables = vec![("ALLOWED_REGIONS", regions.to_owned()), ("PRIVATELINK_ENDPOINT_URL", url)];
        let env = TestEnvironment::start(settings).await;
        let clock = Clock::start();
        let request = tokio::select! {
            biased;
            bytes = first_bytes(&listener) => Some(bytes),
            () = env.worker.prepare(&clock) => None,
        };
        assert_eq!(request.as_deref(), expected, "{regions}");
    }
}

#[tokio::test]
async fn failed_dead_letter_copy_keeps_the_message_and_publishes_nothing() {
    let env = TestEnvironment::with_groups(&["sg-a"]).await;
    env.send_message("not JSON".to_owned(), "lane", &[]);
    env.aws.queues().faults().plan(Aws::SendMessage, ALL_ATTEMPTS, AwsFault::ServerError);
    env.deliver().await;
    assert_eq!((env.events().len(), env.waiting()), (0, 1), "no event is published before the copy");
    env.aws.queues().faults().clear();
    env.run().await;
    assert_eq!((env.events().len(), env.dead_letters().len(), env.waiting()), (1, 1, 0));
}

#[tokio::test]
async fn copy_without_a_receipt_is_not_believed() {
    for (fault, why) in [
        (AwsFault::EmptyResponse, "the response has no message id"),
        (AwsFault::OtherMd5, "the MD5 in the response is not that of the body"),
    ] {
        let env = TestEnvironment::with_groups(&["sg-a"]).await;
        env.send_message("not JSON".to_owned(), "lane", &[]);
        env.aws.queues().faults().plan(Aws::SendMessage, 1, fault);
        env.deliver().await;
        assert_eq!((env.events().len(), env.waiting()), (0, 1), "{fault:?}");
        let line =
            "the dead-letter copy was not written: SendMessage succeeded without a receipt for the message";
        let line = format!("{line}: {why}");
        assert!(log::lines().iter().any(|logged| logged["message"] == line.as_str()), "{fault:?}");
        env.run().await;
        assert_eq!((env.events().len(), env.dead_letters().len(), env.waiting()), (1, 1, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn error_that_quotes_the_request_is_logged_without_it() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let token = "t0ken-of-the-sender";
    let mut invalid = request("ep-b", "sg-a");
    invalid["client_token"] = json!(token);
    invalid["metadata"] = json!({ "ticket": 7, "note": token });
    let mut valid = request("ep-a", "sg-a");
    valid["client_token"] = json!(token);
    valid["metadata"] = json!({ "note": token });
    for action in [Aws::SendMessage, Aws::DeleteMessage, Aws::ChangeMessageVisibilityBatch] {
        env.aws.queues().faults().plan(action, ALL_ATTEMPTS, AwsFault::QuotesRequest);
    }
    env.send(&invalid);
    env.deliver().await;
    env.send(&valid);
    env.deliver().await;
    env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::QuotesRequest);
    env.send(&valid);
    env.deliver().await;
    let lines = log::lines();
    for expected in [
        "the dead-letter copy was not written: SendMessage failed: ValidationException",
        "the completion event was not published: PutEvents failed: ValidationException",
        "the message was not deleted; the event source mapping deletes it: DeleteMessage failed: ValidationException",
        "this lane comes back after the queue's own visibility timeout: ChangeMessageVisibilityBatch failed: ValidationException",
    ] {
        assert!(lines.iter().any(|line| line["message"] == expected), "{expected}: {lines:#?}");
    }
    for line in &lines {
        let line = line.to_string();
        assert!(!line.contains(token) && !line.contains("requests.fifo/"), "{line}");
    }
}

#[tokio::test]
async fn event_without_an_event_id_is_not_published() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.send(&request("ep-a", "sg-a"));
    env.aws.bus().faults().plan(Aws::PutEvents, 1, AwsFault::EmptyResponse);
    env.deliver().await;
    assert_eq!((env.events().len(), env.waiting()), (0, 1));
    assert!(!env.aws_calls().contains(&Aws::DeleteMessage));
}

#[tokio::test]
async fn repeated_dead_letter_copy_is_deduplicated() {
    let env = TestEnvironment::with_groups(&["sg-a"]).await;
    env.send_message("not JSON".to_owned(), "lane", &[]);
    env.aws.bus().faults().plan(Aws::PutEvents, ALL_ATTEMPTS, AwsFault::EntryFails(0));
    env.deliver().await;
    env.aws.bus().faults().clear();
    env.run().await;
    assert_eq!((env.events().len(), env.dead_letters().len()), (1, 1));
}

#[tokio::test]
async fn transient_aws_error_is_retried_by_the_sdk() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.send(&request("ep-a", "sg-a"));
    env.aws.bus().faults().plan(Aws::PutEvents, 1, AwsFault::ServerError);
    env.deliver().await;
    assert_eq!((env.events().len(), env.waiting()), (1, 0));
}
