//! From a detach to its event: how long after the moment at which Alibaba Cloud has detached the group the completion
//! event is published. That is the rest of a poll interval, the confirming reads and the publication.
//!
//! In each run some endpoints, each in its own lane, are detached from in one batch; all detaches of a run take the same
//! time. The clock is virtual, and the code is the worker's.

use std::num::NonZeroU16;
use std::time::Duration;

use detach_simulation::{REGION, Sandbox, World, mapping};
use privatelink_simulator::{Endpoint, Seed, documented_quotas};
use serde_json::json;

use crate::{DEFAULT, on_virtual_clock, pace};

/// The number of batches of a row.
const BATCHES: u32 = 200;

/// A row of the table: detaches with times that are spread evenly.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// The number of lanes in a batch.
    lanes: u32,
    /// `WorkerMaximumConcurrency`.
    concurrency: u16,
    /// Alibaba Cloud's shortest and longest time for a detach, in seconds.
    takes: [u32; 2],
}

/// One detach.
struct Detached {
    lag: Duration,
    /// To Alibaba Cloud.
    calls: u64,
}

/// Prints the table.
pub(crate) fn measure() {
    let alone = Row { name: "alone", lanes: 1, concurrency: DEFAULT, takes: [1, 28] };
    let ten = Row { name: "ten lanes", lanes: 10, ..alone };
    let rows = [
        Row { name: "alone, 10 s", takes: [10, 10], ..alone },
        Row { name: "two lanes", lanes: 2, ..alone },
        Row { name: "five lanes", lanes: 5, ..alone },
        Row { name: "ten lanes, 1 to 4 s", takes: [1, 4], ..ten },
        Row { name: "ten lanes, one worker", concurrency: 1, ..ten },
        Row { name: "alone, 50 workers", concurrency: 50, ..alone },
        alone,
        ten,
    ];
    println!("\n# From a detach to its event\n");
    println!("lanes                  limit | median s  mean s  longest s | most calls");
    for row in rows {
        row.print();
    }
}

impl Row {
    fn print(&self) {
        let [shortest, longest] = self.takes.map(|seconds| Duration::from_secs(seconds.into()));
        let takes = |n| shortest + longest.saturating_sub(shortest) * n / (BATCHES - 1);
        let mut detached: Vec<Detached> =
            (0..BATCHES).flat_map(|n| on_virtual_clock(self.run(takes(n), u64::from(n)))).collect();
        detached.sort_by_key(|detached| detached.lag);
        let lags: Vec<f64> = detached.iter().map(|detached| detached.lag.as_secs_f64()).collect();
        println!(
            "{:22} {:5} | {:8.2} {:7.2} {:10.2} | {:10}",
            self.name,
            self.concurrency,
            lags[lags.len() / 2],
            lags.iter().sum::<f64>() / f64::from(BATCHES * self.lanes),
            lags[lags.len() - 1],
            detached.iter().map(|detached| detached.calls).max().unwrap(),
        );
    }

    /// Detaches from one endpoint in each lane.
    async fn run(&self, takes: Duration, seed: u64) -> Vec<Detached> {
        let id = |n| format!("ep-{n}");
        let endpoints = (0..self.lanes).map(|n| Endpoint::new(REGION, id(n), ["sg-a", "sg-b"])).collect();
        let mut cloud = Seed { endpoints, quotas: documented_quotas(), ..Seed::default() };
        cloud.settings.detach_takes = takes;
        let world = World::new(cloud, pace(), seed);
        for n in 0..self.lanes {
            let request = json!({ "region_id": REGION, "endpoint_id": id(n), "security_group_id": "sg-a" });
            world.send(&request);
        }
        let concurrency = NonZeroU16::new(self.concurrency).unwrap();
        let mut sandbox = [Sandbox::one_of(concurrency, &world, seed)];
        mapping::drain(&world, &mut sandbox, Duration::from_hours(1)).await.unwrap();
        let mut cloud = world.cloud.borrow_mut();
        let detached = |event: &detach_simulation::Event| {
            assert_eq!(event.detail["outcome"], "detached");
            let endpoint = event.detail["endpoint_id"].as_str().unwrap();
            let detached_at = cloud.absent_since(endpoint, "sg-a", world.now()).unwrap();
            Detached {
                lag: event.at.duration_since(detached_at).unwrap(),
                calls: cloud.counts().endpoint(endpoint).calls_total,
            }
        };
        world.events.borrow().iter().map(detached).collect()
    }
}
