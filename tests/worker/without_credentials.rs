//! The worker while its credentials are missing or refused for hours, on a virtual clock: what an invocation costs, when a
//! request returns to the queue, and what it waits for.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use detach_simulation::record::{Change, EntryKind};
use detach_simulation::{
    CredentialsPlace, Deployment, Ending, Pace, REGION, Sandbox, SecretState, World, mapping,
};
use privatelink_detach::clock::Clock;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::worker::handler;
use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, Seed};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::environment::request;
use crate::log;
use crate::memory::DETACH;
use crate::schema;

/// How the credentials are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    UnusableSecret,
    /// Secrets Manager does not respond.
    SilentSecret,
    RefusedSecret,
    RefusedEnvironment,
}

const ALL: [Broken; 4] =
    [Broken::UnusableSecret, Broken::SilentSecret, Broken::RefusedSecret, Broken::RefusedEnvironment];

/// The longest visibility timeout of a message that returns: 60 s and a jitter of 20 %.
const VISIBILITY_MAX: Duration = Duration::from_secs(72);

/// Long enough for a wait that begins without credentials: three attempts with their back-offs, or two reads of a secret
/// that does not respond. The lanes of a batch share the reads, so a lane can meet several short pauses.
const INVOCATION_MAX: Duration = Duration::from_secs(15);

impl Broken {
    fn place(self) -> CredentialsPlace {
        match self {
            Self::UnusableSecret | Self::SilentSecret | Self::RefusedSecret => CredentialsPlace::Secret,
            Self::RefusedEnvironment => CredentialsPlace::Environment,
        }
    }

    /// Breaks the credentials.
    fn begin(self, world: &World) {
        match self {
            Self::UnusableSecret => world.secret.set(SecretState::Unusable),
            Self::SilentSecret => world.secret.set(SecretState::Silent),
            Self::RefusedSecret | Self::RefusedEnvironment => {
                world.cloud.borrow_mut().set_access_key(AccessKey { inactive: true, ..world.key() });
            }
        }
    }

    /// The last error of a request that ends without a confirmation.
    fn code(self) -> &'static str {
        match self {
            Self::UnusableSecret | Self::SilentSecret => "NoCredentials",
            Self::RefusedSecret | Self::RefusedEnvironment => "InvalidAccessKeyId.Inactive",
        }
    }
}

/// Repairs the credentials.
fn repair(world: &World) {
    world.secret.set(SecretState::Readable);
    world.cloud.borrow_mut().set_access_key(world.key());
}

/// A world with this many endpoints, `ep-0` and so on.
fn world(endpoints: usize) -> Rc<World> {
    log::start();
    let endpoint = |n| Endpoint::new(REGION, format!("ep-{n}"), ["sg-a", "sg-b"]);
    let seed = Seed { endpoints: (0..endpoints).map(endpoint).collect(), ..Seed::default() };
    World::new(seed, Pace::default(), 1)
}

/// This many of `concurrency` workers, with their credentials in that place.
fn workers(world: &Rc<World>, place: CredentialsPlace, count: usize, concurrency: u16) -> Vec<Sandbox> {
    let concurrency = NonZeroU16::new(concurrency).unwrap();
    let deployment = Rc::new(Deployment { concurrency, credentials: place, ..Deployment::default() });
    (0..count).zip(1..).map(|(n, random)| Sandbox::deployed(&deployment, n, world, random)).collect()
}

/// Sends a request for each endpoint, with the longest deadline.
fn send(world: &World, endpoints: usize) {
    for n in 0..endpoints {
        let mut body = request(&format!("ep-{n}"), "sg-a");
        body["deadline_seconds"] = 39_600.into();
        world.send(&body);
    }
}

/// The time of all invocations so far.
fn billed(world: &World) -> Duration {
    world.invocations.borrow().iter().map(|invoked| invoked.took).sum()
}

fn longest_invocation(world: &World) -> Duration {
    world.invocations.borrow().iter().map(|invoked| invoked.took).max().unwrap_or_default()
}

/// When each return to the queue was requested, and for how long.
fn returns(world: &World) -> Vec<(SystemTime, Duration)> {
    let record = world.record.borrow();
    let returns = record.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Changed { change: Change::Defer { visibility, .. }, requested_at, .. } => {
            Some((*requested_at, *visibility))
        }
        _ => None,
    });
    returns.collect()
}

/// The number of deliveries of each event, all of which must be about a detached group.
fn deliveries_until_detached(world: &World) -> Vec<u64> {
    let events = world.events.borrow();
    let deliveries = |detail: &Value| {
        schema::check(detail);
        assert_eq!(detail["outcome"], "detached", "{detail:#}");
        detail["effort"]["deliveries"].as_u64().unwrap()
    };
    events.iter().map(|event| deliveries(&event.detail)).collect()
}

#[tokio::test(start_paused = true)]
async fn night_without_credentials_costs_less_than_a_tenth_of_waiting_for_them() {
    const WORKERS: usize = 2;
    const LANES: usize = 6;
    const NIGHT: Duration = Duration::from_hours(3);
    /// Without returns, both workers run all the time: 2 × 3 h = 21,600 s.
    const WAITING: Duration = Duration::from_hours(6);
    for (broken, expected) in ALL.into_iter().zip([60, 1_500, 200, 100]) {
        let world = world(LANES);
        let mut workers = workers(&world, broken.place(), WORKERS, 10);
        broken.begin(&world);
        send(&world, LANES);
        mapping::drain(&world, &mut workers, NIGHT).await.unwrap_err();
        let billed = billed(&world);
        println!(
            "{broken:?}: {:.0} s billed, {} secret reads",
            billed.as_secs_f64(),
            world.secret_reads.get()
        );
        assert!(billed < WAITING / 10, "{broken:?}: {billed:?}");
        assert!(billed < Duration::from_secs(expected), "{broken:?}: {billed:?}");
        assert!(longest_invocation(&world) < INVOCATION_MAX, "{broken:?}: {:?}", longest_invocation(&world));
        let longest = returns(&world).into_iter().map(|(_, visibility)| visibility).max().unwrap();
        assert!(longest <= VISIBILITY_MAX, "{broken:?}: {longest:?}");
        assert_eq!((world.waiting(), world.dead_letter_count()), (LANES, 0), "{broken:?}");

        repair(&world);
        let repaired_at = world.now();
        mapping::drain(&world, &mut workers, Duration::from_hours(1)).await.unwrap();
        let took = world.now().duration_since(repaired_at).unwrap();
        assert!(took < Duration::from_secs(90), "{broken:?}: {took:?} after the repair");
        assert_eq!(deliveries_until_detached(&world).len(), LANES, "{broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn longest_deadline_without_credentials_stays_below_the_maximum_receive_count() {
    for broken in ALL {
        let world = world(1);
        let mut workers = workers(&world, broken.place(), 1, 10);
        broken.begin(&world);
        send(&world, 1);
        mapping::drain(&world, &mut workers, Duration::from_hours(12)).await.unwrap();
        let event = world.events.borrow()[0].detail.clone();
        schema::check(&event);
        assert_eq!((&event["outcome"], world.dead_letter_count()), (&"unconfirmed".into(), 1));
        let message = event["reason"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("last error: {}", broken.code())), "{event:#}");
        assert!(event["reason"]["advice"].as_str().unwrap().contains("credentials"), "{event:#}");
        let deliveries = event["effort"]["deliveries"].as_u64().unwrap();
        println!("{broken:?}: {deliveries} receives in 11 h");
        assert!((500..=664).contains(&deliveries), "{broken:?}: {deliveries} receives of 1000");
    }
}

#[tokio::test(start_paused = true)]
async fn every_lane_of_a_batch_returns_without_credentials() {
    for broken in ALL {
        let world = world(10);
        let mut workers = workers(&world, broken.place(), 1, 10);
        broken.begin(&world);
        send(&world, 10);
        let lines_before = log::lines().len();
        mapping::deliver(&world, &mut workers[0], None).await.unwrap();
        assert_eq!(world.invocations.borrow()[0].messages, 10);
        assert!(longest_invocation(&world) < INVOCATION_MAX, "{broken:?}: {:?}", longest_invocation(&world));
        assert_eq!(returns(&world).len(), 10, "{broken:?}");
        let lines = log::lines().split_off(lines_before);
        let is_returned = |line: &&Value| line["message"] == "returned to the queue: no usable credentials";
        assert_eq!(lines.iter().filter(is_returned).count(), 10, "{broken:?}: one line for each request");
        let errors = lines.iter().filter(|line| line["level"] == "ERROR").count();
        assert_eq!(errors, 1, "{broken:?}: one alert for the invocation");
    }
}

/// The longest time from the end of a call to the next one of the same invocation, if an invocation has one lane.
fn longest_wait_for_a_call(world: &World) -> Duration {
    let mut longest = Duration::ZERO;
    let mut returned_at = None;
    for entry in world.record.borrow().iter() {
        match &entry.kind {
            EntryKind::Invoked { .. } => returned_at = None,
            EntryKind::Returned { .. } => returned_at = Some(entry.at),
            EntryKind::Called { .. } => {
                if let Some(at) = returned_at {
                    longest = longest.max(entry.at.duration_since(at).unwrap());
                }
            }
            _ => {}
        }
    }
    longest
}

#[tokio::test(start_paused = true)]
async fn request_whose_back_off_has_grown_returns_although_the_next_read_is_due() {
    // Each refused call takes 4 s, so the next read of the secret is due after each of the first three pauses.
    let latency = Duration::from_secs(4);
    log::start();
    let endpoint = Endpoint::new(REGION, "ep-0", ["sg-a", "sg-b"]);
    let seed = Seed { endpoints: vec![endpoint], ..Seed::default() };
    let world = World::new(seed, Pace { alibaba: latency..=latency, ..Pace::default() }, 1);
    let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
    Broken::RefusedSecret.begin(&world);
    send(&world, 1);
    mapping::drain(&world, &mut workers, Duration::from_hours(1)).await.unwrap_err();
    let waited = longest_wait_for_a_call(&world);
    // The back-off, and the read of the secret.
    assert!((500..1_100).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_timeout_of_the_secret_causes_no_return() {
    let world = world(1);
    let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
    world.secret.set(SecretState::Silent);
    send(&world, 1);
    let repair = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        repair(&world);
    };
    tokio::join!(mapping::deliver(&world, &mut workers[0], None), repair);
    assert_eq!((world.secret_reads.get(), deliveries_until_detached(&world)), (2, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn replaced_key_in_the_secret_causes_no_return() {
    let world = world(1);
    let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
    // The first call is refused, as after a rotation; the second read of the secret has the new key.
    let refusal = Effect::code("InvalidAccessKeyId.Inactive");
    world.cloud.borrow_mut().inject(Fault::on(Action::ListVpcEndpointSecurityGroups, refusal).nth(1));
    send(&world, 1);
    mapping::deliver(&world, &mut workers[0], None).await.unwrap();
    assert_eq!((world.secret_reads.get(), deliveries_until_detached(&world)), (2, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn read_that_waits_for_the_secret_is_not_sent_into_a_region_that_throttles_meanwhile() {
    const HINT: Duration = Duration::from_secs(30);
    const DELAY: Duration = Duration::from_secs(2);
    let list = Action::ListVpcEndpointSecurityGroups;
    let world = world(2);
    let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
    // ep-0 reads the secret again, which takes 3 s, when ep-1 waits for a response that throttles the region.
    let refused = Fault::on(list, Effect::code("InvalidAccessKeyId.Inactive")).for_endpoint("ep-0").nth(1);
    let throttled = Fault::on(list, Effect::throttled(HINT)).for_endpoint("ep-1").nth(1).delayed(DELAY);
    for fault in [refused, throttled] {
        world.cloud.borrow_mut().inject(fault);
    }
    send(&world, 2);
    let silence = async {
        while world.cloud.borrow().counts().calls_total < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.secret.set(SecretState::Silent);
        tokio::time::sleep(DELAY).await;
        assert_eq!(world.secret_reads.get(), 2, "ep-0 waits for the secret when ep-1 is throttled");
    };
    let (ending, ()) = tokio::join!(mapping::deliver(&world, &mut workers[0], None), silence);
    assert!(matches!(ending, Some(Ending::Returned(_))), "{ending:?}");
    let cloud = world.cloud.borrow();
    let is_throttled =
        |code: &Option<String>| code.as_ref().is_some_and(|code| code.starts_with("Throttling"));
    let (before, after) = cloud
        .journal()
        .split_at(1 + cloud.journal().iter().position(|call| is_throttled(&call.code)).unwrap());
    let until = before.last().unwrap().at + DELAY + HINT;
    let early: Vec<_> = after.iter().filter(|call| call.at < until).collect();
    assert!(early.is_empty(), "{early:?}");
    let is_called = |id: &str| {
        after.iter().any(|call| call.endpoint_id.as_ref().is_some_and(|endpoint| endpoint.as_str() == id))
    };
    assert!(is_called("ep-0") && is_called("ep-1"));
}

#[tokio::test(start_paused = true)]
async fn new_request_is_not_delivered_again_before_the_next_read_is_due() {
    let world = world(2);
    let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
    world.secret.set(SecretState::Unusable);
    send(&world, 1);
    mapping::drain(&world, &mut workers, Duration::from_mins(10)).await.unwrap_err();
    // The next delivery of the first request reads the secret, and the pause after that is the longest one.
    mapping::deliver(&world, &mut workers[0], None).await.unwrap();
    let (read_at, reads) = (world.invocations.borrow().last().unwrap().at, world.secret_reads.get());
    world.send(&request("ep-1", "sg-a"));
    mapping::deliver(&world, &mut workers[0], None).await.unwrap();
    assert_eq!(world.secret_reads.get(), reads);
    let (returned_at, visibility) = *returns(&world).last().unwrap();
    let visible_after = (returned_at + visibility).duration_since(read_at).unwrap().as_secs_f64();
    assert!((30.0..30.1).contains(&visible_after), "{visible_after} s after the read");
    let billed = world.invocations.borrow().last().unwrap().took;
    assert!(billed < Duration::from_millis(100), "{billed:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoint_whose_calls_are_refused_returns_no_other_endpoint() {
    // The refusal arrives at every moment of the other detaches.
    for delay in (0..200).step_by(20).map(Duration::from_millis) {
        let world = world(6);
        let mut workers = workers(&world, CredentialsPlace::Secret, 1, 10);
        let refusal = Effect::code("InvalidAccessKeyId.NotFound");
        let refusal = Fault::on(Action::ListVpcEndpointSecurityGroups, refusal).for_endpoint("ep-5");
        world.cloud.borrow_mut().inject(refusal.delayed(delay));
        send(&world, 6);
        mapping::deliver(&world, &mut workers[0], None).await.unwrap();
        assert_eq!(deliveries_until_detached(&world), [1; 5], "{delay:?}");
    }
}

/// Runs a request whose detach takes 20 s. The key is refused for 8 s, from when Alibaba Cloud has this many Detach calls,
/// and is in the environment. Returns the deliveries until its event.
async fn refused_after_a_write(world: &Rc<World>) -> Vec<u64> {
    world.cloud.borrow_mut().change_settings(|settings| settings.detach_takes = Duration::from_secs(20));
    let mut workers = workers(world, CredentialsPlace::Environment, 1, 10);
    send(world, 1);
    let refuse = async {
        while world.cloud.borrow().counts().of(DETACH) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Broken::RefusedEnvironment.begin(world);
        tokio::time::sleep(Duration::from_secs(8)).await;
        repair(world);
    };
    let (drained, ()) = tokio::join!(mapping::drain(world, &mut workers, Duration::from_hours(1)), refuse);
    drained.unwrap();
    assert!(world.cloud.borrow().counts().signatures_rejected > 1, "the worker went on");
    deliveries_until_detached(world)
}

#[tokio::test(start_paused = true)]
async fn request_with_an_accepted_write_waits_for_credentials() {
    let world = world(1);
    assert_eq!(refused_after_a_write(&world).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn request_with_a_write_whose_response_was_lost_waits_for_credentials() {
    let world = world(1);
    world.cloud.borrow_mut().inject(Fault::on(DETACH, Effect::Reset).after_execution().nth(1));
    assert_eq!(refused_after_a_write(&world).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_return_for_credentials_use_no_share_of_the_quota() {
    // One of 48 workers: its share is ten requests a minute, and its lanes return more often.
    for broken in ALL {
        let world = world(60);
        let mut workers = workers(&world, broken.place(), 1, 48);
        broken.begin(&world);
        send(&world, 60);
        mapping::drain(&world, &mut workers, Duration::from_mins(10)).await.unwrap_err();
        assert!(longest_invocation(&world) < INVOCATION_MAX, "{broken:?}: {:?}", longest_invocation(&world));
        let mut endpoints: BTreeMap<String, u32> = BTreeMap::new();
        for call in world.cloud.borrow().journal() {
            *endpoints
                .entry(call.endpoint_id.as_ref().map_or(String::new(), ToString::to_string))
                .or_default() += 1;
        }
        assert!(endpoints.values().all(|calls| *calls < 20), "{broken:?}: {endpoints:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn direct_invocation_waits_for_credentials() {
    for broken in ALL {
        let world = world(1);
        let workers = workers(&world, broken.place(), 1, 10);
        broken.begin(&world);
        let began = world.now();
        let invocation = Invocation {
            clock: Clock::starting_at(began),
            ends_at: began + Duration::from_secs(90),
            lambda_request_id: "lambda".to_owned(),
            xray_trace_id: None,
        };
        let payload = RawValue::from_string(request("ep-0", "sg-a").to_string()).unwrap();
        let invoke = handler::handle(workers[0].worker(), &payload, &invocation);
        let repair = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            repair(&world);
        };
        let (response, ()) = tokio::join!(invoke, repair);
        assert_eq!(response.unwrap()["outcome"], "detached", "{broken:?}");
        assert!(world.now() > began + Duration::from_secs(20));
    }
}
