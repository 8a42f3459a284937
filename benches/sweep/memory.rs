//! The peak memory of a process with the sweeper in it, which reads every endpoint and requests a detach for each reference.
//!
//! The process is this program, started again with production's clients over HTTP; the simulator and the queue are in
//! the parent process. The pace is faster than in production, so that 10,000 endpoints take seconds instead of ten
//! minutes. It does not change what the sweeper keeps in memory.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use local_aws::{LocalAws, QueueSettings};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{CredentialsSource, Permissions};
use privatelink_detach::aws;
use privatelink_detach::aws::bus::EventBridge;
use privatelink_detach::aws::request_queue::Sender;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::{self, SweeperConfig};
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::random::Random;
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::{Settings, Sweeper, TimeLimits};
use privatelink_detach::transport::Https;
use privatelink_simulator::{AccessKey, Server};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{ENDPOINTS, GROUP, REGION, seed};

/// The argument of the process that is measured.
pub(crate) const CHILD: &str = "sweep-in-this-process";

const REQUESTS: &str = "requests.fifo";

/// The pace: faster than production's, but slow enough that few calls are in flight, as in production.
const PACE: Pace = Pace { endpoints: Duration::from_millis(2), security_groups: Duration::from_millis(1) };

/// The largest allowed peak, in MiB: a quarter of the memory that the template gives the function.
const PEAK_MAX: f64 = 64.0;

/// Prints the table.
pub(crate) fn measure() {
    println!("\nPeak resident memory of the process (VmHWM), MiB\n");
    println!("| endpoints | requests | before the sweep | after it |");
    println!("| --- | --- | --- | --- |");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    for endpoints in ENDPOINTS {
        let (server, aws) = runtime.block_on(services(endpoints));
        let key = AccessKey::default();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(CHILD)
            .env_clear()
            .envs(
                ["AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
                    .map(|name| (name, aws.environment()(name).unwrap())),
            )
            .env("DETACH_QUEUE_URL", aws.queue_url(REQUESTS))
            .env("SWEEP_APPLY_ALLOWED", "true")
            .env("PRIVATELINK_ENDPOINT_URL", server.url())
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", key.access_key_id.as_str())
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.access_key_secret)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let [before, after, requests]: [f64; 3] = serde_json::from_slice(&child.stdout).unwrap();
        println!("| {endpoints} | {requests} | {before:.1} | {after:.1} |");
        assert_eq!(aws.queues().messages(REQUESTS).unwrap().len(), endpoints / 2);
        assert!(after <= PEAK_MAX, "the peak is {after:.1} MiB");
    }
}

async fn services(endpoints: usize) -> (Server, LocalAws) {
    let mut seed = seed(endpoints);
    // The pace is faster than they allow.
    seed.quotas.clear();
    let cloud = privatelink_simulator::Cloud::new(seed).unwrap();
    let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    (server, aws)
}

/// Carries out a sweep, and prints the peaks before and after it and the number of requests.
pub(crate) fn sweep_in_this_process() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let sweeper = sweeper();
        let clock = Clock::start();
        let invocation = Invocation {
            clock,
            ends_at: clock.wall() + Duration::from_mins(15),
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: None,
        };
        let request = json!({
            "security_group_ids": [GROUP],
            "region_ids": [REGION],
            "scope": "all",
            "mode": "apply",
            "max_detaches": 10_000,
        });
        let request = RawValue::from_string(request.to_string()).unwrap();
        let before = peak();
        let detail: Value = sweeper.handle(&request, &invocation).await.unwrap();
        println!("{}", json!([before, peak(), detail["requested_count"].as_f64()]));
    });
}

/// Production's sweeper, with a faster pace and without a second reading: no worker carries out its requests.
fn sweeper() -> Sweeper<Https, Sender, EventBridge> {
    let config = SweeperConfig::read(config::environment).unwrap();
    let sdk = aws::config(config::environment).unwrap();
    let transport = Https::new(config.has_loopback()).unwrap().for_sweeps();
    let regions = &config.rules.allowed_regions;
    let credentials =
        CredentialsSource::new(config.credentials, &Permissions::ListOnly, regions, &sdk, transport.clone());
    let client = Client::new(transport, credentials, config.service_url, Random::System);
    let settings = Settings {
        rules: config.rules,
        is_apply_allowed: config.is_apply_allowed,
        runbook_url: config.runbook_url,
        limits: Limits::default(),
        pace: PACE,
        time: TimeLimits { last_reading: TimeLimits::default().sweep, ..TimeLimits::default() },
    };
    let queue = Sender::new(aws_sdk_sqs::Client::new(&sdk), config.request_queue_url);
    let bus = EventBridge::new(aws_sdk_eventbridge::Client::new(&sdk), config.bus_name);
    Sweeper::new(Cloud::new(client, Random::System), None, queue, bus, settings)
}

/// The peak resident memory of this process, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u32 = line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    f64::from(kib) / 1024.0
}
