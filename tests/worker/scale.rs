//! Many requests at once on the virtual clock: several sandboxes, few endpoints, and quotas that they can exceed.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::Duration;

use detach_simulation::{Pace, REGION, Sandbox, World, mapping};
use privatelink_simulator::{Endpoint, Quota, Seed, documented_quotas};

use crate::environment::request;
use crate::log;

const ENDPOINTS: usize = 40;
/// The number of groups to detach from each endpoint.
const GROUPS: usize = 5;

/// A world with all requests in its queue. Its quotas are the documented ones, divided by `quota_divisor`.
fn backlog(quota_divisor: u32) -> Rc<World> {
    backlog_with(ENDPOINTS, GROUPS, quota_divisor)
}

fn backlog_with(endpoints: usize, groups_each: usize, quota_divisor: u32) -> Rc<World> {
    log::start();
    let groups: Vec<String> =
        ["sg-keep".to_owned()].into_iter().chain((0..groups_each).map(|n| format!("sg-{n}"))).collect();
    let endpoint = |n| Endpoint::new(REGION, format!("ep-{n:02}"), groups.iter().map(String::as_str));
    let quotas = documented_quotas();
    let quotas = quotas
        .into_iter()
        .map(|(action, quota)| (action, Quota { calls: quota.calls / quota_divisor, ..quota }));
    let (all, quotas) = ((0..endpoints).map(endpoint).collect(), quotas.collect());
    let ms = Duration::from_millis;
    let pace = Pace { alibaba: ms(40)..=ms(150), aws: ms(5)..=ms(15) };
    let world = World::new(Seed { endpoints: all, quotas, ..Seed::default() }, pace, 1);
    for n in 0..groups_each {
        for endpoint in 0..endpoints {
            world.send(&request(&format!("ep-{endpoint:02}"), &format!("sg-{n}")));
        }
    }
    world
}

/// Delivers until the queue is empty, and checks everything that must be true however often calls are throttled.
async fn drain(world: &Rc<World>, sandboxes: u16) {
    let mut sandboxes = Sandbox::several(world, NonZeroU16::new(sandboxes).unwrap(), 1);
    mapping::drain(world, &mut sandboxes, Duration::from_hours(1)).await.unwrap();
    assert_eq!(world.dead_letter_count(), 0);

    let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in world.events.borrow().iter() {
        let text = |field: &str| event.detail[field].as_str().unwrap().to_owned();
        // A delivery that is throttled between the detach and its confirmation returns the message to the queue. The
        // next delivery finds the group detached.
        let is_redelivered = event.detail["effort"]["deliveries"].as_u64() > Some(1);
        let is_success =
            text("outcome") == "detached" || (is_redelivered && text("outcome") == "already_detached");
        assert!(is_success, "{:#}", event.detail);
        lanes.entry(text("endpoint_id")).or_default().push(text("security_group_id"));
    }
    let in_order: Vec<String> = (0..GROUPS).map(|n| format!("sg-{n}")).collect();
    assert_eq!(lanes.len(), ENDPOINTS);
    assert!(
        lanes.values().all(|lane| *lane == in_order),
        "events are missing, repeated or out of order: {lanes:#?}"
    );

    let cloud = world.cloud.borrow();
    for (endpoint, counts) in &cloud.counts().endpoints {
        assert_eq!(
            (counts.detaches_accepted, counts.detaches_in_flight_max, counts.lock_rejections),
            (GROUPS as u64, 1, 0),
            "{endpoint}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sandboxes_within_the_quotas_are_never_throttled() {
    // Half of the quota for lists is what the polls of all lanes may use together.
    let world = backlog(2);
    drain(&world, 4).await;
    assert_eq!(world.outcomes(), vec!["detached"; ENDPOINTS * GROUPS]);
    let counts = world.cloud.borrow().counts().clone();
    assert_eq!((counts.throttled, counts.of(crate::memory::DETACH)), (0, 200));
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_could_exceed_the_quotas_stay_within_their_shares() {
    let world = backlog_with(600, 1, 1);
    let mut sandboxes = Sandbox::several(&world, NonZeroU16::new(48).unwrap(), 1);
    mapping::drain(&world, &mut sandboxes, Duration::from_hours(1)).await.unwrap();
    assert_eq!(world.outcomes(), vec!["detached"; 600]);
    assert_eq!(world.cloud.borrow().counts().throttled, 0);
}

#[tokio::test(start_paused = true)]
async fn throttled_sandboxes_complete_every_request() {
    let world = backlog(20);
    drain(&world, 6).await;
    assert!(
        world.cloud.borrow().counts().throttled > 0,
        "the scenario throttles no call, so it shows nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn sandbox_keeps_no_state_of_finished_requests() {
    let world = backlog(1);
    let mut sandbox = [Sandbox::new(&world, 1)];
    mapping::deliver(&world, &mut sandbox[0], None).await.unwrap();
    let after_ten = format!("{:?}", sandbox[0].worker()).len();
    mapping::drain(&world, &mut sandbox, Duration::from_hours(1)).await.unwrap();

    // The quota share keeps the start times of the last minute.
    tokio::time::sleep(Duration::from_mins(2)).await;
    (0..10)
        .for_each(|n| world.send(&request(&format!("ep-{:02}", n / GROUPS), &format!("sg-{}", n % GROUPS))));
    mapping::deliver(&world, &mut sandbox[0], None).await.unwrap();
    let after_all = format!("{:?}", sandbox[0].worker()).len();
    // Only the digits of numbers may differ.
    assert!(after_all.abs_diff(after_ten) < 100, "{after_ten} characters after ten, {after_all} after 210");
}
