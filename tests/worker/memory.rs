//! The same worker on a virtual clock: Alibaba Cloud, queue and bus in memory, production's waits, and hours that pass
//! at once. Nothing here touches a socket.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use local_aws::mapping;
use local_aws::{NewMessage, QueueSettings, Queues};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::error::Unanswered;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::Completion;
use privatelink_detach::detach::Limits;
use privatelink_detach::handler;
use privatelink_detach::publisher::{Bus, BusFault};
use privatelink_detach::queue::{DeadLetter, Delivery, Queue, QueueFault};
use privatelink_detach::request::Rules;
use privatelink_detach::worker::{Invocation, InvocationLimits, Settings, Worker};
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Endpoint, Fault, Manner, Seed};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::log;
use crate::schema;
use crate::stage::{DEAD_LETTERS, REGION, REQUESTS, request};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// How long a call to Alibaba Cloud takes to get there and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// Everything but the worker, as state.
struct World {
    began: (SystemTime, tokio::time::Instant),
    cloud: RefCell<Cloud>,
    queues: RefCell<Queues>,
    events: RefCell<Vec<(SystemTime, Value)>>,
    /// An endpoint whose calls make the worker panic.
    cursed: &'static str,
}

type SharedWorld = Rc<World>;

impl World {
    fn new(endpoints: Vec<Endpoint>, detach_takes: Duration) -> SharedWorld {
        log::start();
        let mut seed = Seed { endpoints, ..Seed::default() };
        seed.settings.detach_takes = detach_takes;
        let mut queues = Queues::default();
        queues.create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
        let settings =
            QueueSettings::fifo().visibility_timeout(Duration::from_mins(9)).redrive(1000, DEAD_LETTERS);
        queues.create(REQUESTS, settings).unwrap();
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Rc::new(Self {
            began: (epoch, tokio::time::Instant::now()),
            cloud: RefCell::new(Cloud::new(seed).unwrap()),
            queues: RefCell::new(queues),
            events: RefCell::default(),
            cursed: "ep-cursed",
        })
    }

    fn now(&self) -> SystemTime {
        self.began.0 + self.began.1.elapsed()
    }

    fn send(&self, body: &Value) {
        let lane = format!("{REGION}/{}", body["endpoint_id"].as_str().unwrap());
        let unique = format!("{}", self.queues.borrow().messages(REQUESTS).unwrap().len());
        let message = NewMessage::fifo(body.to_string(), &lane, &unique);
        self.queues.borrow_mut().send(REQUESTS, message, self.now()).unwrap();
    }

    fn outcomes(&self) -> Vec<String> {
        self.events.borrow().iter().map(|(_, event)| event["outcome"].as_str().unwrap().to_owned()).collect()
    }

    fn waiting(&self) -> usize {
        self.queues.borrow().messages(REQUESTS).unwrap().len()
    }
}

/// The world as Alibaba Cloud, as the queue and as the bus.
struct Seam(SharedWorld);

impl Transport for Seam {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(self.0.cursed), "cursed");
        tokio::time::sleep(ROUND_TRIP / 2).await;
        let answer = self.0.cloud.borrow_mut().answer(&request, self.0.now());
        tokio::time::sleep(ROUND_TRIP / 2).await;
        match answer.manner {
            Manner::Whole { after } => {
                tokio::time::sleep(after).await;
                Ok(answer.response)
            }
            Manner::Hang => {
                tokio::time::sleep(timeout).await;
                Err(Unanswered::Timeout)
            }
            Manner::Reset { .. } | Manner::Truncated { .. } => Err(Unanswered::ConnectionLost),
        }
    }
}

impl Queue for Seam {
    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueFault> {
        let handle = delivery.receipt_handle.as_str().into();
        let deleted = self.0.queues.borrow_mut().delete(REQUESTS, &handle, self.0.now());
        deleted.map(drop).map_err(|error| QueueFault { operation: "delete", cause: error.to_string() })
    }

    async fn hand_back(&self, deliveries: &[Delivery], visibility: Duration) -> Result<(), QueueFault> {
        for delivery in deliveries {
            let handle = delivery.receipt_handle.as_str().into();
            let mut queues = self.0.queues.borrow_mut();
            queues.change_visibility(REQUESTS, &handle, visibility, self.0.now()).unwrap();
        }
        Ok(())
    }

    async fn bury(&self, letter: &DeadLetter<'_>) -> Result<(), QueueFault> {
        let body = letter.delivery.body.clone().unwrap_or_else(|| "null".to_owned());
        let message = NewMessage::fifo(body, "lane", &letter.delivery.message_id);
        self.0.queues.borrow_mut().send(DEAD_LETTERS, message, self.0.now()).unwrap();
        Ok(())
    }
}

impl Bus for Seam {
    async fn publish(&self, completion: &Completion) -> Result<(), BusFault> {
        tokio::task::yield_now().await;
        let detail = serde_json::to_value(&completion.detail).unwrap();
        schema::check(&detail);
        self.0.events.borrow_mut().push((self.0.now(), detail));
        Ok(())
    }
}

fn worker(world: &SharedWorld, seed: u64) -> Worker<Seam, Seam, Seam> {
    let key = AccessKey::default();
    let keys = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(keys));
    let client = Client::new(Seam(Rc::clone(world)), source, ServiceUrl::Regional, seed);
    let settings = Settings {
        rules: Rules::default(),
        deadline: Duration::from_hours(1),
        limits: Limits::default(),
        invocation: InvocationLimits::default(),
    };
    Worker::new(client, Seam(Rc::clone(world)), Seam(Rc::clone(world)), settings, seed)
}

/// One delivery of up to ten messages to a sandbox; with `polls`, one that is killed after so many.
/// Whether the invocation came to its end.
async fn deliver(world: &SharedWorld, worker: &Worker<Seam, Seam, Seam>, polls: Option<u32>) -> bool {
    let (batch, next) = {
        let mut queues = world.queues.borrow_mut();
        (
            queues.receive(REQUESTS, 10, None, world.now()).unwrap(),
            queues.next_visible_at(REQUESTS, world.now()),
        )
    };
    if batch.is_empty() {
        let next = next.unwrap().unwrap();
        tokio::time::sleep(next.duration_since(world.now()).unwrap() + Duration::from_millis(1)).await;
        return true;
    }
    let event: Box<RawValue> = serde_json::from_str(&mapping::event(REQUESTS, &batch).to_string()).unwrap();
    let now = world.now();
    let limits = &worker.settings().invocation;
    let ends = now + Duration::from_secs(90);
    let invocation = Invocation::new(Clock::starting_at(now), ends, "lambda".to_owned(), None, limits);
    let mut handled = pin!(handler::handle(worker, &event, &invocation));
    let mut polled = 0;
    let answer = std::future::poll_fn(|context| {
        if polls.is_some_and(|polls| polled >= polls) {
            return Poll::Ready(None);
        }
        polled += 1;
        handled.as_mut().poll(context).map(Some)
    });
    let Some(answer) = answer.await else { return false };
    let verdict = mapping::judge(&batch, answer.unwrap().to_string().as_bytes());
    for message in verdict.deleted(&batch) {
        let _ = world.queues.borrow_mut().delete(REQUESTS, &message.receipt_handle, world.now());
    }
    true
}

async fn run(world: &SharedWorld, worker: &Worker<Seam, Seam, Seam>) {
    for _ in 0..2_000 {
        if world.waiting() == 0 {
            return;
        }
        deliver(world, worker, None).await;
    }
    panic!("still waiting: {:?}", world.outcomes());
}

fn endpoints(count: usize) -> Vec<Endpoint> {
    (0..count).map(|n| Endpoint::new(REGION, format!("ep-{n}"), ["sg-a", "sg-b"])).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_lanes_take_about_as_long_as_the_slowest() {
    let time = async |lanes: usize| {
        let world = World::new(endpoints(lanes), Duration::from_secs(20));
        let began = world.now();
        for n in 0..lanes {
            world.send(&request(&format!("ep-{n}"), "sg-a"));
        }
        run(&world, &worker(&world, 1)).await;
        assert_eq!(world.outcomes(), vec!["detached"; lanes]);
        world.now().duration_since(began).unwrap()
    };
    let (one, ten) = (time(1).await, time(10).await);
    assert!(ten < one + Duration::from_secs(4), "one lane {one:?}, ten lanes {ten:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_stays_locked_ends_at_the_deadline_at_a_bounded_cost() {
    let world = World::new(endpoints(1), Duration::from_secs(3));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, Effect::code("EndpointLocked")));
    let began = world.now();
    world.send(&request("ep-0", "sg-a"));
    run(&world, &worker(&world, 1)).await;
    assert_eq!(world.outcomes(), ["unconfirmed"]);
    let took = world.now().duration_since(began).unwrap().as_secs();
    assert!((3_600..3_600 + 150).contains(&took), "deadline, one poll and one visibility timeout: {took} s");
    let calls = world.cloud.borrow().counts().calls_total;
    assert!((100..2_000).contains(&calls), "{calls} calls in an hour");
    let (_, event) = world.events.borrow()[0].clone();
    assert!(event["reason"]["message"].as_str().unwrap().contains("last fault"), "{event:#}");
    assert_eq!(world.queues.borrow().messages(DEAD_LETTERS).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_stays_far_below_the_receive_count() {
    let world = World::new(endpoints(1), Duration::from_secs(3));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, Effect::code("EndpointLocked")));
    let mut body = request("ep-0", "sg-a");
    body["deadline_seconds"] = 39_600.into();
    world.send(&body);
    run(&world, &worker(&world, 1)).await;
    let (_, event) = world.events.borrow()[0].clone();
    let deliveries = event["effort"]["deliveries"].as_u64().unwrap();
    assert!((200..=664).contains(&deliveries), "{deliveries} receives of 1000");
}

#[tokio::test(start_paused = true)]
async fn the_event_leaves_within_two_seconds_of_the_truth() {
    let mut lags = Vec::new();
    for n in 0..200 {
        let world = World::new(endpoints(1), Duration::from_millis(1_000 + 137 * n));
        world.send(&request("ep-0", "sg-a"));
        run(&world, &worker(&world, n)).await;
        let gone = world.cloud.borrow_mut().gone_since("ep-0", "sg-a", world.now()).unwrap();
        lags.push(world.events.borrow()[0].0.duration_since(gone).unwrap());
    }
    lags.sort();
    let (median, longest) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("from the truth to its event: median {median:?}, longest {longest:?}");
    assert!(median <= Duration::from_secs(2) && longest <= Duration::from_secs(4), "{median:?}, {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_its_region_held_back_looks_again_and_respects_the_deadline() {
    let world = World::new(endpoints(2), Duration::from_secs(3));
    let throttled = Effect::throttled(Duration::from_secs(45));
    world.cloud.borrow_mut().inject(Fault::on(DETACH, throttled).for_endpoint("ep-0").nth(1));
    // Its record is read while the other lane meets the quota, so that its write is due when the region is closed.
    let slow = Fault::on(Action::ListVpcEndpoints, Effect::TrueAnswer).delayed(Duration::from_millis(300));
    world.cloud.borrow_mut().inject(slow.for_endpoint("ep-1").nth(1));
    world.send(&request("ep-0", "sg-a"));
    let mut brief = request("ep-1", "sg-a");
    brief["deadline_seconds"] = 30.into();
    world.send(&brief);
    run(&world, &worker(&world, 1)).await;
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
async fn a_panic_hands_its_lane_back_and_leaves_the_others_alone() {
    let mut all = endpoints(2);
    all.push(Endpoint::new(REGION, "ep-cursed", ["sg-a", "sg-b"]));
    let world = World::new(all, Duration::from_secs(3));
    world.send(&request("ep-cursed", "sg-a"));
    world.send(&request("ep-0", "sg-a"));
    world.send(&request("ep-cursed", "sg-b"));
    world.send(&request("ep-1", "sg-a"));
    assert!(deliver(&world, &worker(&world, 1), None).await);
    assert_eq!(world.outcomes(), ["detached", "detached"]);
    assert_eq!(world.waiting(), 2, "the cursed lane and its follower wait");

    let lines = log::lines();
    let of = |group: &str, message: &str| {
        let is_it = |line: &&Value| {
            line["message"].as_str().unwrap().starts_with(message)
                && (&line["span"]["endpoint_id"], &line["span"]["security_group_id"])
                    == (&"ep-cursed".into(), &group.into())
        };
        lines.iter().filter(is_it).count()
    };
    assert_eq!(of("sg-a", "panicked"), 1, "{lines:#?}");
    assert_eq!(of("sg-a", "a panic stopped this lane"), 1);
    assert_eq!(
        (of("sg-a", "handed back"), of("sg-b", "handed back")),
        (1, 1),
        "the follower has a line of its own"
    );
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_await_a_redelivery_reaches_the_same_end() {
    let mut kills = 0;
    for polls in 0.. {
        let world = World::new(endpoints(1), Duration::from_secs(3));
        world.send(&request("ep-0", "sg-a"));
        let came_to_its_end = deliver(&world, &worker(&world, 1), Some(polls)).await;
        // Another sandbox, which knows nothing of the first.
        run(&world, &worker(&world, 2)).await;
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
        if came_to_its_end {
            break;
        }
        kills += 1;
    }
    assert!(kills > 15, "{kills} places to die were tried");
}
