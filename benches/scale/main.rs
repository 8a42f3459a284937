//! The time to process 10,000 requests, compared with the lower bound from quotas and locks, alone and beside sweeps;
//! and the time from a detach to its event (`confirmation`): `cargo bench --bench scale`, or only parts of it:
//! `-- queue sweep confirmation`.
//!
//! 2,000 endpoints with five groups to detach from each, one Alibaba Cloud account, one region, the documented quotas.
//! The clock is virtual and the code is the worker's: twenty minutes pass in seconds, and the same seed gives the same
//! table.
//!
//! # The lower bound
//!
//! No client that confirms its detaches can be faster:
//!
//! * Quotas. A detach is one write, and at least two reads of the endpoint's groups and two of its record: one of each
//!   before the write, and one of each to confirm it. A quota window opens with its first call and admits all of its
//!   calls at any moment, so the last of `calls` starts at least `⌈calls ÷ quota⌉ − 1` windows after the first. That is
//!   19 minutes for 10,000 writes at 500 per minute, 19 for 20,000 records at 1,000, and 6 for 20,000 lists at 3,000.
//!   Before the first write and after the last one there is one complete detach: four round trips, and Alibaba Cloud's
//!   own time.
//! * Locks. Five consecutive detaches on every endpoint.
//!
//! The bound is the longest of these, 19 minutes and about 3 seconds. A client reaches it only if it makes each
//! minute's 500 writes at the beginning of the minute. A client that spreads them evenly needs 20 minutes, 1.05 times
//! the bound.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark stops at an error")]

mod confirmation;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use detach_simulation::history::{PlannedSweep, Sweeps};
use detach_simulation::{Pace, Plan, REGION, Sandbox, SweeperSandbox, World, mapping};
use privatelink_simulator::{Action, Endpoint, Quota, Seed, documented_quotas};
use serde_json::json;

const REQUESTS: usize = 10_000;

const WRITES: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const LISTS: Action = Action::ListVpcEndpointSecurityGroups;
const RECORDS: Action = Action::ListVpcEndpoints;

/// The template's default of `WorkerMaximumConcurrency`.
const DEFAULT: u16 = 10;

/// The recommended value for a long queue. The quota share of a worker is then 20.5 requests per minute, less than a batch
/// of two lanes can use, also if detaches take a little longer.
const TUNED: u16 = 24;

/// The worker's memory in the template, in GB. Lambda bills GB-seconds.
const MEMORY_GB: f64 = 0.125;

/// Longer than any run, because requests end soon after their deadline.
const RUN_TIME_MAX: Duration = Duration::from_hours(12);

/// Sweeps beside a run read as many endpoints as their pace allows in 25 minutes, longer than most runs last.
const SWEPT: usize = 25 * 1_000;

/// The parameters of one run, which empties the queue.
#[derive(Clone, Copy)]
struct Run {
    /// The number of concurrent sandboxes: `WorkerMaximumConcurrency`.
    concurrency: u16,
    /// Alibaba Cloud's time for a detach.
    takes: Duration,
    /// The number of endpoints, with an equal number of requests each.
    endpoints: usize,
    arrival: Arrival,
    /// Whether sweeps of all endpoints, one after the other, run beside it.
    has_sweeps: bool,
    seed: u64,
}

/// The order and time of the requests.
#[derive(Clone, Copy)]
enum Arrival {
    /// All requests are in the queue before the worker starts, grouped by endpoint.
    ByEndpoint,
    /// As `ByEndpoint`, but one request for each endpoint, then the next for each.
    ByGroup,
    /// In the order of `ByGroup`, ten requests every 0.1 s while the worker runs.
    Meanwhile,
}

/// The results of a run.
struct Results {
    run: Run,
    took: Duration,
    bound: Duration,
    calls: [u64; 3],
    throttled: u64,
    locked: u64,
    /// Requests without an event.
    lost: usize,
    /// Events after the first of a request.
    repeated: usize,
    outcomes: BTreeMap<String, usize>,
    receives_max: u64,
    dead_letters: usize,
    invocations: usize,
    gigabyte_seconds: f64,
    /// From sending a message to its event, sorted.
    latencies: Vec<Duration>,
}

fn main() {
    // Cargo adds an option of its own.
    let parts: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_chosen = |part: &str| parts.is_empty() || parts.iter().any(|chosen| chosen == part);
    if is_chosen("confirmation") {
        confirmation::measure();
    }
    if is_chosen("queue") {
        println!("\n# A long queue");
        queues(false);
    }
    if is_chosen("sweep") {
        println!("\n# A long queue, and sweeps");
        queues(true);
    }
}

fn queues(has_sweeps: bool) {
    let base = Run {
        concurrency: TUNED,
        takes: Duration::from_secs(3),
        endpoints: REQUESTS / 5,
        arrival: Arrival::ByEndpoint,
        has_sweeps,
        seed: 1,
    };
    let limits = |limits: &[u16], base: Run| -> Vec<Run> {
        limits.iter().map(|&concurrency| Run { concurrency, ..base }).collect()
    };
    let one_each = Run { endpoints: REQUESTS, ..base };
    let seconds = |seconds| Run { takes: Duration::from_secs(seconds), ..base };
    table("A detach takes 3 s", limits(&[2, 6, DEFAULT, 15, 20, 22, TUNED, 26, 30, 40, 50], base));
    table("Other seeds", [2, 3].map(|seed| Run { seed, ..base }).to_vec());
    let arrivals = [Arrival::ByGroup, Arrival::Meanwhile];
    table(
        "Sent group by group, before and meanwhile",
        arrivals.map(|arrival| Run { arrival, ..base }).to_vec(),
    );
    table("A detach takes 1 s", limits(&[DEFAULT, TUNED], seconds(1)));
    table("A detach takes 10 s", limits(&[DEFAULT, TUNED, 50], seconds(10)));
    table("10,000 endpoints, one group each", limits(&[DEFAULT, TUNED], one_each));
}

/// Runs concurrently, which does not change the results, and prints a line for each run.
fn table(title: &str, runs: Vec<Run>) {
    println!("\n{title}\n");
    println!(
        "limit seed | drained s  ratio | writes   lists records throttled locked | lost repeated receives \
         dead-letters | invocations   GB-s | p50 s p99 s max s | outcomes"
    );
    let results: Vec<Results> = thread::scope(|scope| {
        let started: Vec<_> = runs.into_iter().map(|run| scope.spawn(move || run.run())).collect();
        started.into_iter().map(|run| run.join().expect("a run does not panic")).collect()
    });
    for result in results {
        println!("{result}");
    }
}

impl Run {
    fn run(self) -> Results {
        on_virtual_clock(self.drain())
    }

    async fn drain(self) -> Results {
        let bound = self.bound(*pace().alibaba.start());
        let world = World::new(self.cloud(), pace(), self.seed);
        let began = world.now();
        let concurrency = NonZeroU16::new(self.concurrency).expect("a worker at least");
        let mut sandboxes = Sandbox::several(&world, concurrency, self.seed);
        let mut sweepers = SweeperSandbox::of_plan(&self.sweeps(), &world);
        let drain = mapping::drain_with_sweeps(&world, &mut sandboxes, &mut sweepers, RUN_TIME_MAX);
        match self.arrival {
            Arrival::ByEndpoint | Arrival::ByGroup => {
                self.requests().for_each(|request| world.send(&request));
                drain.await.expect("an empty queue");
            }
            Arrival::Meanwhile => {
                let ((), drained) = tokio::join!(self.send_slowly(&world), drain);
                drained.expect("an empty queue");
            }
        }
        // Sweeps may last longer than the queue.
        let ended = world
            .events
            .borrow()
            .iter()
            .filter(|event| !is_of_sweep(&event.detail))
            .map(|event| event.at)
            .max();
        let took = ended.unwrap().duration_since(began).unwrap();
        self.results(&world, took, bound)
    }

    /// The sweeps beside the run, one after the other.
    fn sweeps(&self) -> Plan {
        let sweep = |n| PlannedSweep {
            at: Duration::ZERO,
            sandbox: 0,
            body: json!({ "security_group_ids": ["sg-0"], "region_ids": [REGION], "scope": "all" })
                .to_string(),
            is_invalid: false,
            sweep_id: Some(format!("sweep-{n}")),
            groups: vec!["sg-0".to_owned()],
            regions: vec![REGION.to_owned()],
            scope: json!("all"),
            is_apply: false,
            max_detaches: None,
        };
        let sweeps = if self.has_sweeps { SWEPT.div_ceil(self.endpoints) } else { 0 };
        let sweeps = Sweeps { planned: (0..sweeps).map(sweep).collect(), ..Sweeps::default() };
        Plan { sweeps, ..Plan::quiet(self.seed) }
    }

    /// The endpoints, each with the groups to detach and one more.
    fn cloud(&self) -> Seed {
        let groups: Vec<String> = (0..=self.groups()).map(|n| format!("sg-{n}")).collect();
        let endpoint = |n| Endpoint::new(REGION, format!("ep-{n}"), groups.iter().map(String::as_str));
        let endpoints = (0..self.endpoints).map(endpoint).collect();
        let mut seed = Seed { endpoints, quotas: documented_quotas(), ..Seed::default() };
        seed.settings.detach_takes = self.takes;
        seed
    }

    /// The number of groups to detach from each endpoint.
    fn groups(&self) -> usize {
        REQUESTS / self.endpoints
    }

    fn requests(&self) -> impl Iterator<Item = serde_json::Value> {
        let (endpoints, groups, arrival) = (self.endpoints, self.groups(), self.arrival);
        (0..REQUESTS).map(move |n| {
            let (endpoint, group) = match arrival {
                Arrival::ByEndpoint => (n / groups, n % groups),
                Arrival::ByGroup | Arrival::Meanwhile => (n % endpoints, n / endpoints),
            };
            json!({
                "region_id": REGION,
                "endpoint_id": format!("ep-{endpoint}"),
                "security_group_id": format!("sg-{group}"),
            })
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the clock is virtual")]
    async fn send_slowly(&self, world: &World) {
        for (n, request) in self.requests().enumerate() {
            if n > 0 && n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            world.send(&request);
        }
    }

    /// The lower bound that the module documentation describes.
    fn bound(&self, round_trip: Duration) -> Duration {
        let quotas = documented_quotas();
        let windows = |action: Action, calls: usize| {
            let Quota { calls: quota, window } = quotas[&action];
            window * u32::try_from(calls.div_ceil(quota as usize) - 1).unwrap()
        };
        let detach = 4 * round_trip + self.takes;
        let locks = detach * u32::try_from(self.groups()).unwrap();
        let quotas = (windows(WRITES, REQUESTS) + detach)
            .max(windows(RECORDS, 2 * REQUESTS))
            .max(windows(LISTS, 2 * REQUESTS));
        quotas.max(locks)
    }

    fn results(self, world: &World, took: Duration, bound: Duration) -> Results {
        let cloud = world.cloud.borrow();
        let counts = cloud.counts();
        let mut events_of: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        let (mut receives_max, mut latencies) = (0, Vec::new());
        for event in world.events.borrow().iter().filter(|event| !is_of_sweep(&event.detail)) {
            let text = |field: &str| event.detail[field].as_str().unwrap().to_owned();
            *events_of.entry((text("endpoint_id"), text("security_group_id"))).or_default() += 1;
            *outcomes.entry(text("outcome")).or_default() += 1;
            receives_max = receives_max.max(event.detail["effort"]["deliveries"].as_u64().unwrap());
            latencies.push(Duration::from_millis(event.detail["duration_ms"].as_u64().unwrap()));
        }
        latencies.sort();
        let invocations = world.invocations.borrow();
        let billed: Duration = invocations.iter().map(|invoked| invoked.took).sum();
        Results {
            run: self,
            took,
            bound,
            calls: [WRITES, LISTS, RECORDS].map(|action| counts.of(action)),
            throttled: counts.throttled,
            locked: counts.endpoints.values().map(|endpoint| endpoint.lock_rejections).sum(),
            lost: REQUESTS - events_of.len(),
            repeated: events_of.values().map(|events| events - 1).sum(),
            outcomes,
            receives_max,
            dead_letters: world.dead_letter_count(),
            invocations: invocations.len(),
            gigabyte_seconds: billed.as_secs_f64() * MEMORY_GB,
            latencies,
        }
    }
}

fn is_of_sweep(detail: &serde_json::Value) -> bool {
    detail.get("endpoint_id").is_none()
}

/// The time of calls: those to Alibaba Cloud leave AWS.
fn pace() -> Pace {
    let ms = Duration::from_millis;
    Pace { alibaba: ms(40)..=ms(150), aws: ms(5)..=ms(15) }
}

fn on_virtual_clock<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

impl fmt::Display for Results {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, took, bound, calls: [writes, lists, records], throttled, locked, .. } = self;
        let Self { lost, repeated, receives_max, dead_letters, invocations, gigabyte_seconds, .. } = self;
        let ratio = took.as_secs_f64() / bound.as_secs_f64();
        let percentile =
            |percent: usize| self.latencies[(self.latencies.len() - 1) * percent / 100].as_secs();
        let outcomes: Vec<String> = self.outcomes.iter().map(|(name, n)| format!("{n} {name}")).collect();
        write!(
            formatter,
            "{:5} {:4} | {:9} {ratio:6.3} | {writes:6} {lists:7} {records:7} {throttled:9} {locked:6} | {lost:4} \
             {repeated:8} {receives_max:8} {dead_letters:12} | {invocations:11} {gigabyte_seconds:6.0} | \
             {:5} {:5} {:5} | {}",
            run.concurrency,
            run.seed,
            took.as_secs(),
            percentile(50),
            percentile(99),
            percentile(100),
            outcomes.join(", "),
        )
    }
}
