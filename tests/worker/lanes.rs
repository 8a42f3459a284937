//! Lanes and hand-backs: what goes back, with whom, for how long, and who does not wait for it.

use std::time::{Duration, SystemTime};

use local_aws::mapping::{Success, Verdict};
use local_aws::{Action as Aws, Ending, Fault as AwsFault, QueueSettings};
use privatelink_simulator::{Action, Effect, Fault};
use serde_json::{Value, json};

use crate::log;
use crate::stage::{DEAD_LETTERS, REQUESTS, Setting, Stage, request};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// A stage whose invocations wait no longer than this.
async fn impatient(endpoints: &[(&str, &[&str])], wait_max: Duration) -> Stage {
    let mut setting = Setting::with_endpoints(endpoints);
    setting.time.wait_max = wait_max;
    Stage::set(setting).await
}

fn hold(stage: &Stage, endpoint: &str) {
    assert!(stage.cloud.cloud().hold_endpoint(endpoint, Duration::from_hours(1), SystemTime::now()));
}

/// Visibility timeouts of the messages in the request queue, in its order.
fn visibilities(stage: &Stage) -> Vec<f64> {
    let now = stage.aws.now();
    let queues = stage.aws.queues();
    let messages = queues.messages(REQUESTS).unwrap();
    messages.iter().map(|m| m.visible_at.duration_since(now).unwrap_or_default().as_secs_f64()).collect()
}

fn failed(verdict: &Verdict) -> Vec<&str> {
    match verdict {
        Verdict::SomeFailed(ids) => ids.iter().map(String::as_str).collect(),
        other => panic!("not a partial failure: {other:?}"),
    }
}

#[tokio::test]
async fn nine_detaches_of_one_endpoint_disturb_neither_each_other_nor_the_lock() {
    let groups = ["sg-0", "sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6", "sg-7", "sg-8", "sg-9"];
    let stage = Stage::with_groups(&groups).await;
    for group in &groups[..9] {
        stage.send(&request("ep-a", group));
    }
    stage.run().await;
    assert_eq!(stage.events().iter().filter(|event| event["outcome"] == "detached").count(), 9);
    let counts = stage.cloud.cloud().counts().endpoint("ep-a");
    assert_eq!((counts.detaches_accepted, counts.calls[&DETACH]), (9, 9), "nine accepted, none in vain");
    assert_eq!((counts.lock_rejections, counts.detaches_in_flight_max), (0, 1));
}

#[tokio::test]
async fn ten_lanes_fit_into_an_invocation_that_is_too_short_for_them_in_turn() {
    let names: Vec<String> = (0..10).map(|n| format!("ep-{n}")).collect();
    let endpoints: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &["sg-a", "sg-b"] as &[&str])).collect();
    let mut setting = Setting::with_endpoints(&endpoints);
    // In turn they would need 6 s of the 3 s that an invocation waits here.
    setting.seed.settings.detach_takes = Duration::from_millis(600);
    let stage = Stage::set(setting).await;
    for name in &names {
        stage.send(&request(name, "sg-a"));
    }
    assert_eq!(stage.deliver().await, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(stage.events().iter().filter(|event| event["outcome"] == "detached").count(), 10);
}

#[tokio::test]
async fn a_slow_lane_delays_nobody() {
    let stage = Stage::set(Setting::with_endpoints(&[
        ("ep-slow", &["sg-a", "sg-b"]),
        ("ep-1", &["sg-a", "sg-b"]),
        ("ep-2", &["sg-a", "sg-b"]),
    ]))
    .await;
    hold(&stage, "ep-slow");
    for endpoint in ["ep-slow", "ep-1", "ep-2"] {
        stage.send(&request(endpoint, "sg-a"));
    }
    let others_left = stage.aws.until(|view| {
        let deleted = view.journal.iter().filter(|entry| entry.action == Aws::DeleteMessage);
        view.bus.events().len() == 2 && deleted.count() == 2
    });
    tokio::select! {
        biased;
        left = others_left => left.unwrap(),
        verdict = stage.deliver() => panic!("the slow lane ended first: {verdict:?}"),
    }
    assert_eq!(stage.waiting(), 1);
}

#[tokio::test]
async fn what_is_not_finished_goes_back_with_its_followers_and_nobody_else() {
    let stage = impatient(
        &[("ep-a", &["sg-a", "sg-b", "sg-c"]), ("ep-b", &["sg-a", "sg-b"])],
        Duration::from_millis(1500),
    )
    .await;
    hold(&stage, "ep-a");
    let first = stage.send(&request("ep-a", "sg-a"));
    let other = stage.send(&request("ep-b", "sg-a"));
    let second = stage.send(&request("ep-a", "sg-b"));
    let verdict = stage.deliver().await;

    let mut expected = vec![first.as_str(), second.as_str()];
    expected.sort_unstable();
    assert_eq!(failed(&verdict), expected);
    assert_eq!(stage.only_event()["request_id"], other.as_str());
    let waits = visibilities(&stage);
    assert!((4.5..=6.0).contains(&waits[0]), "5 s and up to a fifth, rounded up: {waits:?}");
    assert!((waits[0] - waits[1]).abs() < 0.01, "the follower waits as long: {waits:?}");
    assert_eq!(stage.calls(DETACH), 1, "the follower was not touched");
    let visibility_calls =
        stage.aws_calls().into_iter().filter(|call| *call == Aws::ChangeMessageVisibilityBatch);
    assert_eq!(visibility_calls.count(), 1, "one call for the whole lane");
    let is_told =
        |line: &Value| line["message"].as_str().unwrap().starts_with("returned to the queue untouched");
    assert_eq!(log::lines().into_iter().filter(is_told).count(), 1, "of the follower, and not of its head");
}

#[tokio::test]
async fn hand_backs_grow_with_every_receive() {
    let stage = impatient(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(60)).await;
    hold(&stage, "ep-a");
    stage.send(&request("ep-a", "sg-a"));
    for seconds in [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] {
        stage.deliver().await;
        let wait = visibilities(&stage)[0];
        assert!((seconds * 0.95..=seconds * 1.2 + 1.0).contains(&wait), "{seconds}: {wait}");
        stage.aws.advance(stage.next_delivery_in().unwrap());
    }
}

#[tokio::test]
async fn a_request_that_outlives_three_invocations_counts_its_deliveries() {
    let stage = impatient(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(1500)).await;
    hold(&stage, "ep-a");
    stage.send(&request("ep-a", "sg-a"));
    for _ in 0..3 {
        stage.deliver().await;
        stage.aws.advance(stage.next_delivery_in().unwrap());
    }
    stage.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
        endpoint.task = None;
        endpoint.endpoint_status = "Active".to_owned();
    });
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(event["outcome"], "detached");
    assert!(event["effort"]["deliveries"].as_u64().unwrap() >= 4);
    assert!(event["duration_ms"].as_u64().unwrap() > 30_000, "counted from when the queue accepted it");
}

#[tokio::test]
async fn a_throttled_region_is_left_alone_by_every_lane_as_long_as_it_asks() {
    let stage =
        Stage::set(Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"]), ("ep-b", &["sg-a", "sg-b"])]))
            .await;
    let throttled = Effect::throttled(Duration::from_secs(90));
    stage.cloud.cloud().inject(Fault::on(DETACH, throttled).for_endpoint("ep-a").nth(1));
    // The other lane is held up until the first has met the quota.
    let slow =
        Fault::on(Action::ListVpcEndpoints, Effect::ActualResponse).delayed(Duration::from_millis(200));
    stage.cloud.cloud().inject(slow.for_endpoint("ep-b").nth(1));
    stage.send(&request("ep-a", "sg-a"));
    stage.send(&request("ep-b", "sg-a"));
    let verdict = stage.deliver().await;
    assert_eq!(failed(&verdict).len(), 2);
    let waits = visibilities(&stage);
    assert!(waits.iter().all(|wait| (88.0..=91.0).contains(wait)), "as long as the hint: {waits:?}");
    {
        let cloud = stage.cloud.cloud();
        let met = cloud.journal().iter().position(|entry| entry.code.is_some()).unwrap();
        assert_eq!(cloud.journal().len(), met + 1, "nothing more was called: {:?}", &cloud.journal()[met..]);
    }
}

#[tokio::test]
async fn a_hint_of_a_service_that_is_down_makes_the_hand_back_longer_too() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("x-acs-retry-after", http::HeaderValue::from_static("80000"));
    let code = "ServiceUnavailable".to_owned();
    let down = Effect::Code { code, status: None, message: None, headers };
    stage.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, down).nth(1));
    stage.send(&request("ep-a", "sg-a"));
    stage.deliver().await;
    assert!((78.0..=81.0).contains(&visibilities(&stage)[0]), "{:?}", visibilities(&stage));
}

#[tokio::test]
async fn an_absurd_hint_is_capped_at_two_minutes() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let hours = Effect::throttled(Duration::from_hours(100));
    stage.cloud.cloud().inject(Fault::on(DETACH, hours).nth(1));
    stage.send(&request("ep-a", "sg-a"));
    stage.deliver().await;
    assert!((110.0..=121.0).contains(&visibilities(&stage)[0]), "{:?}", visibilities(&stage));
}

#[tokio::test]
async fn a_standard_queue_works_without_groups() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b", "sg-c"])]);
    setting.queue = QueueSettings::standard().visibility_timeout(Duration::from_mins(9));
    setting.queue_name = "requests";
    let stage = Stage::set(setting).await;
    for (group, lane_is_named) in [("sg-a", true), ("sg-b", true), ("sg-x", false)] {
        let mut body = request("ep-a", group);
        if !lane_is_named {
            body["endpoint_id"] = json!("mistyped");
        }
        let now = stage.aws.now();
        stage.aws.queues().send("requests", local_aws::NewMessage::new(body.to_string()), now).unwrap();
    }
    stage.run().await;
    let mut outcomes: Vec<_> = stage.events().iter().map(|event| event["outcome"].to_string()).collect();
    outcomes.sort();
    assert_eq!(outcomes, [r#""detached""#, r#""detached""#, r#""rejected""#]);
    assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").lock_rejections, 0, "one lane within the batch");
    assert_eq!(stage.aws.queues().messages(DEAD_LETTERS).unwrap().len(), 1, "its own message is its group");
}

#[tokio::test]
async fn a_hand_back_that_fails_is_still_reported() {
    let stage = impatient(&[("ep-a", &["sg-a", "sg-b"])], Duration::from_millis(60)).await;
    hold(&stage, "ep-a");
    let message_id = stage.send(&request("ep-a", "sg-a"));
    stage.aws.queues().faults().plan(Aws::ChangeMessageVisibilityBatch, 9, AwsFault::EntryFails(0));
    let verdict = stage.deliver().await;
    assert_eq!(failed(&verdict), [message_id]);
    assert!(stage.aws.journal().iter().all(|entry| entry.ending != Ending::Done));
    assert!(visibilities(&stage)[0] > 500.0, "the queue's own timeout holds");
    let is_told = |line: &Value| line["message"].as_str().unwrap().starts_with("this lane comes back after");
    assert!(log::lines().iter().any(is_told), "nobody would know why it takes so long");
}

#[tokio::test]
async fn in_the_reserve_messages_go_back_untouched() {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    let ids = [stage.send(&request("ep-a", "sg-a")), stage.send(&json!({ "not": "valid" }))];
    let now = stage.aws.now();
    let batch = stage.aws.queues().receive(REQUESTS, 10, None, now).unwrap();
    let event = local_aws::mapping::event(REQUESTS, &batch).to_string();
    let answer = stage.invoke_until(&event, now + Duration::from_millis(2900)).await.unwrap();
    let reported: Vec<_> = answer["batchItemFailures"].as_array().unwrap().iter().collect();
    assert_eq!(reported.len(), 2, "{answer}");
    for id in ids {
        assert!(reported.iter().any(|failure| failure["itemIdentifier"] == id.as_str()));
    }
    assert_eq!(stage.cloud.cloud().counts().calls_total, 0);
    assert_eq!((stage.events().len(), stage.dead_letters().len()), (0, 0));
}

#[tokio::test]
async fn an_overdue_request_gets_its_last_look_even_in_the_reserve() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    stage.send(&body);
    stage.aws.advance(Duration::from_secs(31));
    let now = stage.aws.now();
    let batch = stage.aws.queues().receive(REQUESTS, 10, None, now).unwrap();
    let event = local_aws::mapping::event(REQUESTS, &batch).to_string();
    let answer = stage.invoke_until(&event, now + Duration::from_millis(2900)).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(stage.only_event()["outcome"], "already_detached");
}

#[tokio::test]
async fn an_empty_batch_is_a_success() {
    let stage = Stage::with_groups(&["sg-a"]).await;
    assert_eq!(stage.invoke(r#"{"Records":[]}"#).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(stage.aws_calls(), []);
}

#[tokio::test]
async fn a_finished_message_is_a_success_even_if_its_delete_failed() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    stage.send(&request("ep-a", "sg-a"));
    stage.aws.queues().faults().plan(Aws::DeleteMessage, 9, AwsFault::ServerError);
    assert_eq!(stage.deliver().await, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(stage.waiting(), 0, "the mapping deletes it");
}
