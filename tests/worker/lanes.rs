//! Lanes, and messages that return to the queue: which ones, for how long, and that other lanes do not wait for them.

use std::time::{Duration, SystemTime};

use local_aws::mapping::{Success, Verdict};
use local_aws::{Action as Aws, Ending, Fault as AwsFault, QueueSettings};
use privatelink_simulator::{Action, Effect, Fault};
use serde_json::{Value, json};

use crate::environment::{DEAD_LETTERS, REQUESTS, TestEnvironment, TestSettings, request};
use crate::log;

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// An environment whose invocations wait at most `wait_max`.
async fn environment_waiting(endpoints: &[(&str, &[&str])], wait_max: Duration) -> TestEnvironment {
    let mut settings = TestSettings::with_endpoints(endpoints);
    settings.time.wait_max = wait_max;
    TestEnvironment::start(settings).await
}

/// Locks an endpoint for an hour, as another client's operation does.
fn lock(env: &TestEnvironment, endpoint: &str) {
    assert!(env.cloud.cloud().hold_endpoint(endpoint, Duration::from_hours(1), SystemTime::now()));
}

/// The visibility timeouts of the messages in the request queue, in seconds, in the order of the queue.
fn visibility_timeouts(env: &TestEnvironment) -> Vec<f64> {
    let now = env.aws.now();
    let queues = env.aws.queues();
    let messages = queues.messages(REQUESTS).unwrap();
    messages.iter().map(|m| m.visible_at.duration_since(now).unwrap_or_default().as_secs_f64()).collect()
}

/// The ids of the messages that the worker reported as failed.
fn failed(verdict: &Verdict) -> Vec<&str> {
    match verdict {
        Verdict::SomeFailed(ids) => ids.iter().map(String::as_str).collect(),
        other => panic!("not a partial failure: {other:?}"),
    }
}

#[tokio::test]
async fn nine_detaches_of_one_endpoint_run_one_at_a_time_without_lock_rejections() {
    let groups = ["sg-0", "sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6", "sg-7", "sg-8", "sg-9"];
    let env = TestEnvironment::with_groups(&groups).await;
    for group in &groups[..9] {
        env.send(&request("ep-a", group));
    }
    env.run().await;
    assert_eq!(env.events().iter().filter(|event| event["outcome"] == "detached").count(), 9);
    let counts = env.cloud.cloud().counts().endpoint("ep-a");
    assert_eq!((counts.detaches_accepted, counts.calls[&DETACH]), (9, 9), "each Detach call is accepted");
    assert_eq!((counts.lock_rejections, counts.detaches_in_flight_max), (0, 1));
}

#[tokio::test]
async fn ten_lanes_run_concurrently_within_one_invocation() {
    let names: Vec<String> = (0..10).map(|n| format!("ep-{n}")).collect();
    let endpoints: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &["sg-a", "sg-b"] as &[&str])).collect();
    let mut settings = TestSettings::with_endpoints(&endpoints);
    // One after the other, the lanes would take 6 s. The invocation waits at most 3 s.
    settings.seed.settings.detach_takes = Duration::from_millis(600);
    let env = TestEnvironment::start(settings).await;
    for name in &names {
        env.send(&request(name, "sg-a"));
    }
    assert_eq!(env.deliver().await, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(env.events().iter().filter(|event| event["outcome"] == "detached").count(), 10);
}

#[tokio::test]
async fn slow_lane_delays_no_other_lane() {
    let env = TestEnvironment::start(TestSettings::with_endpoints(&[
        ("ep-slow", &["sg-a", "sg-b"]),
        ("ep-1", &["sg-a", "sg-b"]),
        ("ep-2", &["sg-a", "sg-b"]),
    ]))
    .await;
    lock(&env, "ep-slow");
    for endpoint in ["ep-slow", "ep-1", "ep-2"] {
        env.send(&request(endpoint, "sg-a"));
    }
    let others_settled = env.aws.until(|view| {
        let deleted = view.journal.iter().filter(|entry| entry.action == Aws::DeleteMessage);
        view.bus.events().len() == 2 && deleted.count() == 2
    });
    tokio::select! {
        biased;
        settled = others_settled => settled.unwrap(),
        verdict = env.deliver() => panic!("the invocation ended before the other lanes: {verdict:?}"),
    }
    assert_eq!(env.waiting(), 1);
}

#[tokio::test]
async fn unfinished_request_returns_to_the_queue_with_only_the_rest_of_its_lane() {
    let env = environment_waiting(
        &[("ep-a", &["sg-a", "sg-b", "sg-c"]), ("ep-b", &["sg-a", "sg-b"])],
        Duration::from_millis(1500),
    )
    .await;
    lock(&env, "ep-a");
    let first = env.send(&request("ep-a", "sg-a"));
    let other = env.send(&request("ep-b", "sg-a"));
    let second = env.send(&request("ep-a", "sg-b"));
    let verdict = env.deliver().await;

    let mut expected = vec![first.as_str(), second.as_str()];
    expected.sort_unstable();
    assert_eq!(failed(&verdict), expected);
    assert_eq!(env.only_event()["request_id"], other.as_str());
    let waits = visibility_timeouts(&env);
    assert!((4.5..=6.0).contains(&waits[0]), "5 s plus up to 20 %, rounded up: {waits:?}");
    assert!((waits[0] - waits[1]).abs() < 0.01, "the second message waits as long: {waits:?}");
    assert_eq!(env.calls(DETACH), 1, "only the other lane calls Detach");
    let visibility_calls =
        env.aws_calls().into_iter().filter(|call| *call == Aws::ChangeMessageVisibilityBatch);
    assert_eq!(visibility_calls.count(), 1, "one call for the whole lane");
    let is_logged =
        |line: &Value| line["message"].as_str().unwrap().starts_with("returned to the queue untouched");
    assert_eq!(log::lines().into_iter().filter(is_logged).count(), 1, "one line, for the second message");
}

#[tokio::test]
async fn visibility_timeout_grows_with_every_receive() {
    let env = environment_waiting(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(60)).await;
    lock(&env, "ep-a");
    env.send(&request("ep-a", "sg-a"));
    for seconds in [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] {
        env.deliver().await;
        let wait = visibility_timeouts(&env)[0];
        assert!((seconds * 0.95..=seconds * 1.2 + 1.0).contains(&wait), "{seconds}: {wait}");
        env.advance(env.next_delivery_in().unwrap());
    }
}

#[tokio::test]
async fn request_that_takes_several_invocations_counts_its_deliveries() {
    let env = environment_waiting(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(1500)).await;
    lock(&env, "ep-a");
    env.send(&request("ep-a", "sg-a"));
    for _ in 0..3 {
        env.deliver().await;
        env.advance(env.next_delivery_in().unwrap());
    }
    env.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
        endpoint.task = None;
        endpoint.endpoint_status = "Active".to_owned();
    });
    env.run().await;
    let event = env.only_event();
    assert_eq!(event["outcome"], "detached");
    assert!(event["effort"]["deliveries"].as_u64().unwrap() >= 4);
    assert!(event["duration_ms"].as_u64().unwrap() > 30_000, "counted from SentTimestamp");
}

#[tokio::test]
async fn throttled_region_gets_no_call_from_any_lane_before_its_hint_has_passed() {
    let env = TestEnvironment::start(TestSettings::with_endpoints(&[
        ("ep-a", &["sg-a", "sg-b"]),
        ("ep-b", &["sg-a", "sg-b"]),
    ]))
    .await;
    let throttled = Effect::throttled(Duration::from_secs(90));
    env.cloud.cloud().inject(Fault::on(DETACH, throttled).for_endpoint("ep-a").nth(1));
    // Delays the second lane until the first one is throttled.
    let slow =
        Fault::on(Action::ListVpcEndpoints, Effect::ActualResponse).delayed(Duration::from_millis(200));
    env.cloud.cloud().inject(slow.for_endpoint("ep-b").nth(1));
    env.send(&request("ep-a", "sg-a"));
    env.send(&request("ep-b", "sg-a"));
    let verdict = env.deliver().await;
    assert_eq!(failed(&verdict).len(), 2);
    let waits = visibility_timeouts(&env);
    assert!(waits.iter().all(|wait| (88.0..=91.0).contains(wait)), "as long as the hint says: {waits:?}");
    {
        let cloud = env.cloud.cloud();
        let throttled_at = cloud.journal().iter().position(|entry| entry.code.is_some()).unwrap();
        assert_eq!(
            cloud.journal().len(),
            throttled_at + 1,
            "no call after it: {:?}",
            &cloud.journal()[throttled_at..]
        );
    }
}

#[tokio::test]
async fn retry_hint_of_an_unavailable_service_extends_the_visibility_timeout() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("x-acs-retry-after", http::HeaderValue::from_static("80000"));
    let code = "ServiceUnavailable".to_owned();
    let unavailable = Effect::Code { code, status: None, message: None, headers };
    env.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, unavailable).nth(1));
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert!((78.0..=81.0).contains(&visibility_timeouts(&env)[0]), "{:?}", visibility_timeouts(&env));
}

#[tokio::test]
async fn retry_hint_is_capped_at_two_minutes() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let throttled = Effect::throttled(Duration::from_hours(100));
    env.cloud.cloud().inject(Fault::on(DETACH, throttled).nth(1));
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert!((110.0..=121.0).contains(&visibility_timeouts(&env)[0]), "{:?}", visibility_timeouts(&env));
}

#[tokio::test]
async fn standard_queue_works_without_message_groups() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b", "sg-c"])]);
    settings.queue = QueueSettings::standard().visibility_timeout(Duration::from_mins(9));
    settings.queue_name = "requests";
    let env = TestEnvironment::start(settings).await;
    for (group, has_valid_endpoint) in [("sg-a", true), ("sg-b", true), ("sg-x", false)] {
        let mut body = request("ep-a", group);
        if !has_valid_endpoint {
            body["endpoint_id"] = json!("invalid");
        }
        let now = env.aws.now();
        env.aws.queues().send("requests", local_aws::NewMessage::new(body.to_string()), now).unwrap();
    }
    env.run().await;
    let mut outcomes: Vec<_> = env.events().iter().map(|event| event["outcome"].to_string()).collect();
    outcomes.sort();
    assert_eq!(outcomes, [r#""detached""#, r#""detached""#, r#""rejected""#]);
    assert_eq!(
        env.cloud.cloud().counts().endpoint("ep-a").lock_rejections,
        0,
        "both requests of the endpoint are in one lane"
    );
    assert_eq!(env.aws.queues().messages(DEAD_LETTERS).unwrap().len(), 1, "the copy of the rejected message");
}

#[tokio::test]
async fn message_is_reported_as_failed_when_its_visibility_cannot_be_changed() {
    let env = environment_waiting(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(60)).await;
    lock(&env, "ep-a");
    let message_id = env.send(&request("ep-a", "sg-a"));
    env.aws.queues().faults().plan(Aws::ChangeMessageVisibilityBatch, 9, AwsFault::EntryFails(0));
    let verdict = env.deliver().await;
    assert_eq!(failed(&verdict), [message_id]);
    assert!(env.aws.journal().iter().all(|entry| entry.ending != Ending::Done));
    assert!(visibility_timeouts(&env)[0] > 500.0, "the queue's own visibility timeout applies");
    let is_logged =
        |line: &Value| line["message"].as_str().unwrap().starts_with("this lane comes back after");
    assert!(log::lines().iter().any(is_logged), "the log gives the reason for the long wait");
}

#[tokio::test]
async fn messages_received_in_the_time_reserve_return_to_the_queue_untouched() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    let ids = [env.send(&request("ep-a", "sg-a")), env.send(&json!({ "unknown": "field" }))];
    let now = env.aws.now();
    let batch = env.aws.queues().receive(REQUESTS, 10, None, now).unwrap();
    let event = local_aws::mapping::event(REQUESTS, &batch).to_string();
    let response = env.invoke_until(&event, now + Duration::from_millis(2900)).await.unwrap();
    let reported: Vec<_> = response["batchItemFailures"].as_array().unwrap().iter().collect();
    assert_eq!(reported.len(), 2, "{response}");
    for id in ids {
        assert!(reported.iter().any(|failure| failure["itemIdentifier"] == id.as_str()));
    }
    assert_eq!(env.cloud.cloud().counts().calls_total, 0);
    assert_eq!((env.events().len(), env.dead_letters().len()), (0, 0));
}

#[tokio::test]
async fn expired_request_gets_its_last_read_in_the_time_reserve() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    env.send(&body);
    env.advance(Duration::from_secs(31));
    let now = env.aws.now();
    let batch = env.aws.queues().receive(REQUESTS, 10, None, now).unwrap();
    let event = local_aws::mapping::event(REQUESTS, &batch).to_string();
    let response = env.invoke_until(&event, now + Duration::from_millis(2900)).await.unwrap();
    assert_eq!(response, json!({ "batchItemFailures": [] }));
    assert_eq!(env.only_event()["outcome"], "already_detached");
}

#[tokio::test]
async fn empty_batch_succeeds() {
    let env = TestEnvironment::with_groups(&["sg-a"]).await;
    assert_eq!(env.invoke(r#"{"Records":[]}"#).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(env.aws_calls(), []);
}

#[tokio::test]
async fn finished_message_succeeds_when_its_delete_fails() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.send(&request("ep-a", "sg-a"));
    env.aws.queues().faults().plan(Aws::DeleteMessage, 9, AwsFault::ServerError);
    assert_eq!(env.deliver().await, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(env.waiting(), 0, "the event source mapping deletes it");
}
