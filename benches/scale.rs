//! How long 10,000 requests take, against the bound that quotas and locks set: `cargo bench --bench scale`.
//!
//! 2,000 endpoints, five groups to be taken off each, one Alibaba account, one region, the documented quotas. The clock is
//! virtual, everything else the worker's own: twenty minutes pass in seconds, and the same seed gives the same table.
//!
//! # The bound
//!
//! Nobody who proves what he does can be faster than this:
//!
//! * Quotas. A detach is one write, and at least two reads of the endpoint's groups and two of its record: a look before
//!   the write, and one that proves it. A window of a quota opens with its first call and then takes all of its calls at
//!   any moment, so the last of `calls` begins at least `⌈calls ÷ quota⌉ − 1` windows after the first. That is 19 minutes
//!   for 10,000 writes at 500 a minute, 19 for 20,000 records at 1,000, and 6 for 20,000 lists at 3,000. What comes before
//!   the first write and after the last one is a whole detach: four round trips, and the time that Alibaba Cloud takes.
//! * Locks. Five detaches, one after the other, on every endpoint.
//!
//! The bound is the longest of these, 19 minutes and about 3 seconds. To reach it, each minute's 500 writes would have to
//! come at its beginning; whoever spreads them evenly needs 20 minutes, which is 1.05 times the bound.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use detach_simulation::{Pace, REGION, Sandbox, World, mapping};
use privatelink_simulator::{Action, Endpoint, Quota, Seed, documented_quotas};
use serde_json::json;

const REQUESTS: usize = 10_000;

const WRITES: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const LISTS: Action = Action::ListVpcEndpointSecurityGroups;
const RECORDS: Action = Action::ListVpcEndpoints;

/// The template's default of `WorkerMaximumConcurrency`.
const DEFAULT: u16 = 10;

/// What keeps closest to the bound whatever the queue looks like. A worker's share of the quota is then 20 requests a
/// minute, a little less than a batch of two lanes can use: nobody is throttled, and hardly anybody waits.
const TUNED: u16 = 24;

/// The memory that the template gives the worker, in gigabytes: what an invocation's time is billed by.
const MEMORY_GB: f64 = 0.125;

/// Longer than any drain here: past their deadline requests end soon.
const PATIENCE: Duration = Duration::from_hours(12);

/// One drain of the queue.
#[derive(Clone, Copy)]
struct Run {
    /// How many sandboxes work at the same time: `WorkerMaximumConcurrency`.
    concurrency: u16,
    /// How long Alibaba Cloud takes for a detach.
    takes: Duration,
    /// Over how many endpoints the requests are spread evenly.
    endpoints: usize,
    arrival: Arrival,
    seed: u64,
}

/// How the requests come into the queue.
#[derive(Clone, Copy)]
enum Arrival {
    /// All are there before the worker starts, sent endpoint by endpoint.
    ByEndpoint,
    /// The same, but sent group by group: one for each endpoint, and then the next for each.
    ByGroup,
    /// Group by group, ten every tenth of a second, while the worker works.
    Meanwhile,
}

/// What came of it.
struct Drained {
    run: Run,
    took: Duration,
    bound: Duration,
    calls: [u64; 3],
    throttled: u64,
    locked: u64,
    /// Requests without an event, and events beyond a request's first.
    lost: usize,
    doubled: usize,
    outcomes: BTreeMap<String, usize>,
    receives_max: u64,
    buried: usize,
    invocations: usize,
    gigabyte_seconds: f64,
    /// From a message's send to its event, in order.
    latencies: Vec<Duration>,
}

fn main() {
    let usual = Run {
        concurrency: TUNED,
        takes: Duration::from_secs(3),
        endpoints: REQUESTS / 5,
        arrival: Arrival::ByEndpoint,
        seed: 1,
    };
    let limits = |limits: &[u16], usual: Run| -> Vec<Run> {
        limits.iter().map(|&concurrency| Run { concurrency, ..usual }).collect()
    };
    let one_each = Run { endpoints: REQUESTS, ..usual };
    let seconds = |seconds| Run { takes: Duration::from_secs(seconds), ..usual };
    table("A detach takes 3 s", limits(&[2, 6, DEFAULT, 15, 20, 22, TUNED, 26, 30, 40, 50], usual));
    table("Other seeds", [2, 3].map(|seed| Run { seed, ..usual }).to_vec());
    let arrivals = [Arrival::ByGroup, Arrival::Meanwhile];
    table(
        "Sent group by group, before and meanwhile",
        arrivals.map(|arrival| Run { arrival, ..usual }).to_vec(),
    );
    table("A detach takes 1 s", limits(&[DEFAULT, TUNED], seconds(1)));
    table("A detach takes 10 s", limits(&[DEFAULT, TUNED, 50], seconds(10)));
    table("10,000 endpoints, one group each", limits(&[DEFAULT, TUNED], one_each));
}

/// Runs all of these side by side, which does not change what comes out.
fn table(title: &str, runs: Vec<Run>) {
    println!("\n{title}\n");
    println!(
        "limit seed | drained s  ratio | writes   lists records throttled locked | lost doubled receives buried | \
         invocations   GB-s | p50 s p99 s max s | outcomes"
    );
    let drained: Vec<Drained> = thread::scope(|scope| {
        let started: Vec<_> = runs.into_iter().map(|run| scope.spawn(move || run.drained())).collect();
        started.into_iter().map(|run| run.join().expect("a run that ends")).collect()
    });
    for drained in drained {
        println!("{drained}");
    }
}

impl Run {
    fn drained(self) -> Drained {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(self.drain())
    }

    async fn drain(self) -> Drained {
        let round_trip = Duration::from_millis(40)..=Duration::from_millis(150);
        let bound = self.bound(*round_trip.start());
        let pace = Pace { alibaba: round_trip, aws: Duration::from_millis(5)..=Duration::from_millis(15) };
        let world = World::new(self.cloud(), pace, self.seed);
        let began = world.now();
        let concurrency = NonZeroU16::new(self.concurrency).expect("a worker at least");
        let mut sandboxes = Sandbox::several(&world, concurrency, self.seed);
        let drain = mapping::drain(&world, &mut sandboxes, PATIENCE);
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
        let took = world.now().duration_since(began).unwrap();
        self.account(&world, took, bound)
    }

    /// Each endpoint with the groups that are to go, and one that stays.
    fn cloud(&self) -> Seed {
        let groups: Vec<String> = (0..=self.groups()).map(|n| format!("sg-{n}")).collect();
        let endpoint = |n| Endpoint::new(REGION, format!("ep-{n}"), groups.iter().map(String::as_str));
        let endpoints = (0..self.endpoints).map(endpoint).collect();
        let mut seed = Seed { endpoints, quotas: documented_quotas(), ..Seed::default() };
        seed.settings.detach_takes = self.takes;
        seed
    }

    /// How many groups are taken off each endpoint.
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

    /// See the head of this file.
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

    fn account(self, world: &World, took: Duration, bound: Duration) -> Drained {
        let cloud = world.cloud.borrow();
        let counts = cloud.counts();
        let mut events_of: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        let (mut receives_max, mut latencies) = (0, Vec::new());
        for event in world.events.borrow().iter() {
            let text = |field: &str| event.detail[field].as_str().unwrap().to_owned();
            *events_of.entry((text("endpoint_id"), text("security_group_id"))).or_default() += 1;
            *outcomes.entry(text("outcome")).or_default() += 1;
            receives_max = receives_max.max(event.detail["effort"]["deliveries"].as_u64().unwrap());
            latencies.push(Duration::from_millis(event.detail["duration_ms"].as_u64().unwrap()));
        }
        latencies.sort();
        let invocations = world.invocations.borrow();
        let billed: Duration = invocations.iter().map(|invoked| invoked.took).sum();
        Drained {
            run: self,
            took,
            bound,
            calls: [WRITES, LISTS, RECORDS].map(|action| counts.of(action)),
            throttled: counts.throttled,
            locked: counts.endpoints.values().map(|endpoint| endpoint.lock_rejections).sum(),
            lost: REQUESTS - events_of.len(),
            doubled: events_of.values().map(|events| events - 1).sum(),
            outcomes,
            receives_max,
            buried: world.buried(),
            invocations: invocations.len(),
            gigabyte_seconds: billed.as_secs_f64() * MEMORY_GB,
            latencies,
        }
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, took, bound, calls: [writes, lists, records], throttled, locked, .. } = self;
        let Self { lost, doubled, receives_max, buried, invocations, gigabyte_seconds, .. } = self;
        let ratio = took.as_secs_f64() / bound.as_secs_f64();
        let percentile =
            |percent: usize| self.latencies[(self.latencies.len() - 1) * percent / 100].as_secs();
        let outcomes: Vec<String> = self.outcomes.iter().map(|(name, n)| format!("{n} {name}")).collect();
        write!(
            formatter,
            "{:5} {:4} | {:9} {ratio:6.3} | {writes:6} {lists:7} {records:7} {throttled:9} {locked:6} | {lost:4} \
             {doubled:7} {receives_max:8} {buried:6} | {invocations:11} {gigabyte_seconds:6.0} | {:5} {:5} {:5} | {}",
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
