//! The worker on a virtual clock: Alibaba Cloud, the queue and the event bus are in memory, and the waits are those of
//! production. These tests use no sockets.

use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use detach_simulation::record::Operation;
use detach_simulation::{
    AwsEffect, Ending, Faults, Interruption, Pace, PlannedEffect, QueueKind, REGION, Sandbox,
    VISIBILITY_TIMEOUT, World, mapping,
};
use privatelink_detach::clock::Clock;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::worker::handler;
use privatelink_simulator::{Action, Effect, Endpoint, Fault, Seed};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::environment::request;
use crate::log;
use crate::schema;

pub(crate) const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// Longer than the longest deadline.
const TEST_TIMEOUT: Duration = Duration::from_hours(12);

fn world(endpoints: Vec<Endpoint>, detach_takes: Duration) -> Rc<World> {
    log::start();
    let mut seed = Seed { endpoints, ..Seed::default() };
    seed.settings.detach_takes = detach_takes;
    World::new(seed, Pace::default(), 1)
}

/// Delivers to one sandbox until the queue is empty. Checks every event against the schema.
async fn run(world: &World, sandbox: Sandbox) {
    mapping::drain(world, &mut [sandbox], TEST_TIMEOUT).await.unwrap();
    world.events.borrow().iter().for_each(|event| schema::check(&event.detail));
}

fn endpoints(count: usize) -> Vec<Endpoint> {
    (0..count).map(|n| Endpoint::new(REGION, format!("ep-{n}"), ["sg-a", "sg-b"])).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_lanes_take_about_as_long_as_one() {
    let time = async |lanes: usize| {
        let world = world(endpoints(lanes), Duration::from_secs(20));
        let began = world.now();
        for n in 0..lanes {
            world.send(&request(&format!("ep-{n}"), "sg-a"));
        }
        run(&world, Sandbox::new(&world, 1)).await;
        assert_eq!(world.outcomes(), vec!["detached"; lanes]);
        world.now().duration_since(began).unwrap()
    };
    let (one, ten) = (time(1).await, time(10).await);
    assert!(ten < one + Duration::from_secs(4), "one lane {one:?}, ten lanes {ten:?}");
}

#[tokio::test(start_paused = true)]
async fn permanently_locked_endpoint_ends_at_the_deadline_after_a_bounded_number_of_calls() {
    let world = world(endpoints(1), Duration::from_secs(3));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, Effect::code("EndpointLocked")));
    let began = world.now();
    world.send(&request("ep-0", "sg-a"));
    run(&world, Sandbox::new(&world, 1)).await;
    assert_eq!(world.outcomes(), ["unconfirmed"]);
    let took = world.now().duration_since(began).unwrap().as_secs();
    assert!((3_600..3_600 + 150).contains(&took), "deadline, one poll and one visibility timeout: {took} s");
    let calls = world.cloud.borrow().counts().calls_total;
    assert!((100..2_000).contains(&calls), "{calls} calls in an hour");
    let event = world.events.borrow()[0].detail.clone();
    assert!(event["reason"]["message"].as_str().unwrap().contains("last error"), "{event:#}");
    assert_eq!(world.dead_letter_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn longest_deadline_stays_far_below_the_maximum_receive_count() {
    let world = world(endpoints(1), Duration::from_secs(3));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, Effect::code("EndpointLocked")));
    let mut body = request("ep-0", "sg-a");
    body["deadline_seconds"] = 39_600.into();
    world.send(&body);
    run(&world, Sandbox::new(&world, 1)).await;
    let event = world.events.borrow()[0].detail.clone();
    let deliveries = event["effort"]["deliveries"].as_u64().unwrap();
    assert!((200..=664).contains(&deliveries), "{deliveries} receives of 1000");
}

/// The median and the longest time from a detach to its event, over 200 detaches of 1 to 28 s.
async fn time_to_the_event(page_size_max: u32) -> (Duration, Duration) {
    let mut lags = Vec::new();
    for n in 0..200 {
        let endpoint = Endpoint::new(REGION, "ep-0", ["sg-a", "sg-b", "sg-c"]);
        let world = world(vec![endpoint], Duration::from_millis(1_000 + 137 * n));
        world.cloud.borrow_mut().change_settings(|settings| settings.page_size_max = page_size_max);
        world.send(&request("ep-0", "sg-a"));
        run(&world, Sandbox::new(&world, n)).await;
        let detached_at = world.cloud.borrow_mut().absent_since("ep-0", "sg-a", world.now()).unwrap();
        lags.push(world.events.borrow()[0].at.duration_since(detached_at).unwrap());
    }
    lags.sort();
    (lags[lags.len() / 2], lags[lags.len() - 1])
}

#[tokio::test(start_paused = true)]
async fn event_about_a_list_in_one_page_is_published_within_one_poll_of_the_detach() {
    let (median, longest) = time_to_the_event(50).await;
    println!("from the detach to its event: median {median:?}, longest {longest:?}");
    assert!(
        median <= Duration::from_millis(500) && longest <= Duration::from_millis(1_500),
        "{median:?}, {longest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn event_about_a_list_in_several_pages_is_published_within_two_polls_of_the_detach() {
    let (median, longest) = time_to_the_event(1).await;
    println!("from the detach to its event: median {median:?}, longest {longest:?}");
    assert!(median <= Duration::from_secs(2) && longest <= Duration::from_secs(3), "{median:?}, {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn detach_of_ten_seconds_alone_makes_at_most_24_calls() {
    let world = world(endpoints(1), Duration::from_secs(10));
    world.send(&request("ep-0", "sg-a"));
    run(&world, Sandbox::new(&world, 1)).await;
    let calls = world.cloud.borrow().counts().calls_total;
    assert!((20..=24).contains(&calls), "{calls}");
}

/// The shortest and the longest time between two polls of an endpoint, in seconds.
fn poll_intervals(world: &World, endpoint: &str) -> (f64, f64) {
    let cloud = world.cloud.borrow();
    let polls = cloud.journal().iter().filter(|call| {
        let is_list = call.action.as_deref() == Some(Action::ListVpcEndpointSecurityGroups.name());
        is_list && call.endpoint_id.as_ref().is_some_and(|id| id.to_string() == endpoint)
    });
    // The first list precedes the write.
    let polls: Vec<_> = polls.skip(1).map(|call| call.at).collect();
    let intervals = polls.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap().as_secs_f64());
    intervals.fold((f64::MAX, 0.0), |(shortest, longest), interval| {
        (interval.min(shortest), interval.max(longest))
    })
}

#[tokio::test(start_paused = true)]
async fn poll_intervals_follow_lanes_and_workers() {
    // The time of a call is 0.04 s.
    for (workers, lanes, expected) in [
        (1, 1, 0.54..=0.615),
        (10, 1, 0.54..=0.615),
        (10, 2, 0.84..=0.96),
        (1, 10, 0.54..=0.615),
        (48, 1, 1.96..=2.248),
        (10, 10, 2.64..=3.04),
    ] {
        let world = world(endpoints(lanes), Duration::from_secs(20));
        for n in 0..lanes {
            world.send(&request(&format!("ep-{n}"), "sg-a"));
        }
        run(&world, Sandbox::one_of(NonZeroU16::new(workers).unwrap(), &world, 1)).await;
        let (shortest, longest) = poll_intervals(&world, "ep-0");
        let is_expected = expected.contains(&shortest) && (lanes > 1 || expected.contains(&longest));
        assert!(is_expected, "{workers} workers, {lanes} lanes: {shortest} to {longest} s");
    }
}

#[tokio::test(start_paused = true)]
async fn lane_polls_faster_when_the_others_have_ended() {
    let world = world(endpoints(10), Duration::from_secs(30));
    // Nine groups are detached already.
    for n in 0..10 {
        world.send(&request(&format!("ep-{n}"), if n == 0 { "sg-a" } else { "sg-absent" }));
    }
    run(&world, Sandbox::new(&world, 1)).await;
    let (shortest, longest) = poll_intervals(&world, "ep-0");
    assert!(shortest < 0.615 && longest < 1.0, "{shortest} to {longest} s");
}

#[tokio::test(start_paused = true)]
async fn throttled_write_reads_again_and_respects_the_deadline() {
    let world = world(endpoints(2), Duration::from_secs(3));
    let throttled = Effect::throttled(Duration::from_secs(45));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, throttled).for_endpoint("ep-0").nth(1));
    // The other lane is throttled while this one reads the record, so that its write is due while the region is
    // throttled.
    let slow =
        Fault::on(Action::ListVpcEndpoints, Effect::ActualResponse).delayed(Duration::from_millis(300));
    world.cloud.borrow_mut().inject(slow.for_endpoint("ep-1").nth(1));
    world.send(&request("ep-0", "sg-a"));
    let mut body = request("ep-1", "sg-a");
    body["deadline_seconds"] = 30.into();
    world.send(&body);
    run(&world, Sandbox::new(&world, 1)).await;
    let mut outcomes = world.outcomes();
    outcomes.sort();
    assert_eq!(outcomes, ["detached", "unconfirmed"]);
    assert_eq!(
        world.cloud.borrow().counts().endpoint("ep-1").detaches_accepted,
        0,
        "no write after the deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn panic_returns_its_lane_to_the_queue_and_other_lanes_finish() {
    let mut all_endpoints = endpoints(2);
    all_endpoints.push(Endpoint::new(REGION, "ep-cursed", ["sg-a", "sg-b"]));
    let world = world(all_endpoints, Duration::from_secs(3));
    world.send(&request("ep-cursed", "sg-a"));
    world.send(&request("ep-0", "sg-a"));
    world.send(&request("ep-cursed", "sg-b"));
    world.send(&request("ep-1", "sg-a"));
    let ending = mapping::deliver(&world, &mut Sandbox::new(&world, 1), None).await;
    assert!(matches!(ending, Some(Ending::Returned(_))), "{ending:?}");
    assert_eq!(world.outcomes(), ["detached", "detached"]);
    assert_eq!(world.waiting(), 2, "both messages of the lane that panicked");

    let lines = log::lines();
    let count = |group: &str, message: &str| {
        let matches = |line: &&Value| {
            line["message"].as_str().unwrap().starts_with(message)
                && (&line["span"]["endpoint_id"], &line["span"]["security_group_id"])
                    == (&"ep-cursed".into(), &group.into())
        };
        lines.iter().filter(matches).count()
    };
    assert_eq!(count("sg-a", "panicked"), 1, "{lines:#?}");
    assert_eq!(count("sg-a", "a panic stopped this lane"), 1);
    assert_eq!(
        (count("sg-a", "returned to the queue"), count("sg-b", "returned to the queue")),
        (1, 1),
        "one line for each message"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_aws_never_makes_an_invocation_run_out_of_time() {
    // In this range, a message of the lane begins just before the reserve, with others behind it.
    for takes in (24..=48).map(|half_seconds| Duration::from_millis(500) * half_seconds) {
        log::start();
        let mut seed = Seed { endpoints: endpoints(1), ..Seed::default() };
        seed.settings.detach_takes = takes;
        let slow = Duration::from_millis(2_800);
        let world = World::new(seed, Pace { aws: slow..=slow, ..Pace::default() }, 1);
        world.send(&request("ep-0", "sg-a"));
        // Each takes a copy, an event and a delete, 8.4 s together.
        for _ in 0..9 {
            world.send_message(world.message("not JSON".to_owned(), "ep-0"));
        }
        let ending = mapping::deliver(&world, &mut Sandbox::new(&world, 1), None).await;
        assert!(matches!(ending, Some(Ending::Returned(_))), "a detach of {takes:?}: {ending:?}");
        let next = world.requests().iter().map(|message| message.visible_at).max();
        if let Some(wait) = next.and_then(|next| next.duration_since(world.now()).ok()) {
            assert!(wait < Duration::from_secs(15), "the rest of the lane was returned: {wait:?}");
        }
        run(&world, Sandbox::new(&world, 2)).await;
        assert_eq!(world.dead_letter_count(), 9, "a detach of {takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_message_is_begun_in_the_reserve_after_a_call_to_aws_timed_out() {
    for (effect, begun) in [(AwsEffect::Applied, 2), (AwsEffect::ResponseLost, 1)] {
        log::start();
        let operation = Operation::Publish;
        let until = Duration::from_hours(1);
        let faults = Faults {
            planned: vec![PlannedEffect { operation, effect, calls: 1, until }],
            ..Faults::default()
        };
        let seed = Seed { endpoints: endpoints(1), ..Seed::default() };
        let world = World::with_faults(seed, QueueKind::Fifo, Pace::default(), faults, 1);
        for group in ["sg-a", "sg-b"] {
            let mut body = request("ep-0", group);
            body["deadline_seconds"] = 30.into();
            world.send(&body);
        }
        tokio::time::advance(Duration::from_secs(31)).await;
        let now = world.now();
        let queue = world.kind.requests();
        let batch = world.queues.borrow_mut().receive(queue, 10, None, now).unwrap();
        let event = local_aws::mapping::event(queue, &batch).to_string();
        // Only the reserve is left, in which a request past its deadline gets its last read.
        let invocation = Invocation {
            clock: Clock::starting_at(now),
            ends_at: now + Duration::from_secs(9),
            lambda_request_id: "lambda".to_owned(),
            xray_trace_id: None,
        };
        let payload = RawValue::from_string(event).unwrap();
        let sandbox = Sandbox::new(&world, 1);
        let response = handler::handle(sandbox.worker(), &payload, &invocation).await.unwrap();
        let failures = response["batchItemFailures"].as_array().unwrap().len();
        assert_eq!(failures, 2 - begun, "{effect:?}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn redelivery_after_a_kill_at_any_await_completes_the_request() {
    let mut kills = 0;
    for polls in 0.. {
        let kill = Interruption::Kill { polls };
        let world = world(endpoints(1), Duration::from_secs(3));
        world.send(&request("ep-0", "sg-a"));
        let ending = mapping::deliver(&world, &mut Sandbox::new(&world, 1), Some(kill)).await;
        // A new sandbox, without the state of the killed one.
        run(&world, Sandbox::new(&world, 2)).await;
        let outcomes = world.outcomes();
        assert!(
            matches!(outcomes.last().map(String::as_str), Some("detached" | "already_detached")),
            "killed after {polls} polls: {outcomes:?}"
        );
        assert!(outcomes.len() <= 2, "an event is repeated at most once: {outcomes:?}");
        let counts = world.cloud.borrow().counts().endpoint("ep-0");
        assert_eq!(
            (counts.detaches_accepted, counts.detaches_in_flight_max),
            (1, 1),
            "killed after {polls} polls"
        );
        if ending != Some(Ending::Killed) {
            break;
        }
        kills += 1;
    }
    assert!(kills > 15, "only {kills} kills");
}

/// One of 50 workers: it begins ten requests in the first minute, and then nine or ten in each.
fn one_of_many(world: &Rc<World>) -> Sandbox {
    Sandbox::one_of(NonZeroU16::new(50).unwrap(), world, 1)
}

#[tokio::test(start_paused = true)]
async fn worker_starts_at_most_its_quota_share_per_minute() {
    let world = world(endpoints(22), Duration::from_secs(3));
    let began = world.now();
    for n in 0..22 {
        world.send(&request(&format!("ep-{n}"), "sg-a"));
    }
    run(&world, one_of_many(&world)).await;
    assert_eq!(world.outcomes(), vec!["detached"; 22]);
    let writes = per_minute(&world, began, DETACH);
    assert!(matches!(writes[..], [10, 9 | 10, 2 | 3]), "{writes:?}");
}

/// The number of calls of an action in each minute.
fn per_minute(world: &World, began: SystemTime, action: Action) -> Vec<usize> {
    let cloud = world.cloud.borrow();
    let calls = cloud.journal().iter().filter(|call| call.action.as_deref() == Some(action.name()));
    let mut minutes = Vec::new();
    for call in calls {
        let minute = call.at.duration_since(began).unwrap().as_secs() / 60;
        minutes.resize(minutes.len().max(usize::try_from(minute).unwrap() + 1), 0);
        *minutes.last_mut().unwrap() += 1;
    }
    minutes
}

#[tokio::test(start_paused = true)]
async fn last_read_past_the_deadline_waits_for_the_quota_share() {
    let world = world(endpoints(22), Duration::from_secs(3));
    for n in 0..22 {
        let mut body = request(&format!("ep-{n}"), "sg-a");
        body["deadline_seconds"] = 30.into();
        world.send(&body);
    }
    tokio::time::advance(Duration::from_secs(31)).await;
    let began = world.now();
    run(&world, one_of_many(&world)).await;
    assert_eq!(world.outcomes(), vec!["unconfirmed"; 22]);
    // The others were returned to the queue. A redelivered request may read before it has a share.
    assert_eq!(per_minute(&world, began, Action::ListVpcEndpointSecurityGroups), [10, 12]);
}

/// When a request's event was published, after its redelivery to a worker whose share was used up a moment before. A kill
/// at its `polls`th wait ended the first delivery.
async fn redelivered_without_a_share(polls: u32) -> Duration {
    let world = world(endpoints(11), Duration::from_secs(3));
    world.send(&request("ep-10", "sg-a"));
    let kill = Some(Interruption::Kill { polls });
    mapping::deliver(&world, &mut one_of_many(&world), kill).await;
    // Just before the visibility timeout ends.
    tokio::time::sleep(VISIBILITY_TIMEOUT.saturating_sub(Duration::from_secs(10))).await;
    for n in 0..10 {
        world.send(&request(&format!("ep-{n}"), "sg-a"));
    }
    let began = world.now();
    run(&world, one_of_many(&world)).await;
    let events = world.events.borrow();
    let event = events.iter().find(|event| event.detail["endpoint_id"] == "ep-10").unwrap();
    assert!(event.detail["effort"]["deliveries"].as_u64() > Some(1), "{:#}", event.detail);
    assert_eq!(events.len(), 11);
    event.at.duration_since(began).unwrap()
}

#[tokio::test(start_paused = true)]
async fn redelivery_waits_for_the_quota_share_only_before_a_write() {
    let accepted = Box::pin(redelivered_without_a_share(12)).await;
    assert!(accepted < Duration::from_secs(15), "only confirmed: {accepted:?}");
    let unwritten = Box::pin(redelivered_without_a_share(0)).await;
    assert!(unwritten >= Duration::from_mins(1), "detached: {unwritten:?}");
}

#[tokio::test(start_paused = true)]
async fn request_with_a_short_deadline_does_not_wait_for_the_quota_share() {
    let world = world(endpoints(12), Duration::from_secs(3));
    for n in 0..12 {
        let mut body = request(&format!("ep-{n}"), "sg-a");
        body["deadline_seconds"] = 30.into();
        world.send(&body);
    }
    run(&world, one_of_many(&world)).await;
    assert_eq!(world.outcomes(), vec!["detached"; 12]);
}

#[tokio::test(start_paused = true)]
async fn direct_invocation_does_not_wait_for_the_quota_share() {
    let world = world(endpoints(12), Duration::from_secs(3));
    let sandbox = one_of_many(&world);
    for n in 0..12 {
        let now = world.now();
        let invocation = Invocation {
            clock: Clock::starting_at(now),
            ends_at: now + Duration::from_secs(90),
            lambda_request_id: "lambda".to_owned(),
            xray_trace_id: None,
        };
        let payload = RawValue::from_string(request(&format!("ep-{n}"), "sg-a").to_string()).unwrap();
        let response = handler::handle(sandbox.worker(), &payload, &invocation).await;
        assert_eq!(response.unwrap()["outcome"], "detached");
        let took = world.now().duration_since(now).unwrap();
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
}
