//! The cost of a sweep of 200, 1,000 and 10,000 endpoints: `cargo bench --bench sweep`.
//!
//! [`time`] compares the time of a sweep with the minimum that its share of the quotas allows, on a virtual clock and,
//! for 1,000 endpoints, on the real one. [`memory`] measures the peak memory of a process. The benchmark stops with an
//! error if a result is above its limit.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at an error")]

mod memory;
mod time;

use privatelink_simulator::{Endpoint, Seed, documented_quotas};

/// The numbers of endpoints.
const ENDPOINTS: [usize; 3] = [200, 1_000, 10_000];

const REGION: &str = "eu-west-1";

/// The group that the sweep finds. Half of the endpoints use it.
const GROUP: &str = "sg-wanted";

fn main() {
    // Cargo adds an option.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if arguments.first().is_some_and(|word| word == memory::CHILD) {
        memory::sweep_in_this_process();
        return;
    }
    time::measure();
    memory::measure();
}

/// Endpoints of an account with the documented quotas.
fn seed(endpoints: usize) -> Seed {
    let endpoint = |n: usize| {
        let groups = if n.is_multiple_of(2) { [GROUP, "sg-other"] } else { ["sg-another", "sg-other"] };
        Endpoint::new(REGION, format!("ep-{n:05}"), groups)
    };
    Seed { endpoints: (0..endpoints).map(endpoint).collect(), quotas: documented_quotas(), ..Seed::default() }
}
