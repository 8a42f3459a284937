//! The time to read 1,000 endpoints, compared with the sweep's share of the quotas: `cargo bench --bench sweep`.
//!
//! The simulator is behind a socket and responds after 50 ms. Half of the endpoints use the group. The lower bound is 1,000
//! lists of groups at the pace of the share, 60 s; it stops with an error above 1.1 times that.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at an error")]

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::privatelink::EndpointFilter;
use privatelink_detach::alibaba::service_url::{BaseUrl, ServiceUrl};
use privatelink_detach::alibaba::transport::Https;
use privatelink_detach::clock::Clock;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::drive::sweep::{Sweep, sweep};
use privatelink_detach::request::{RegionId, Rules, SecurityGroupId};
use privatelink_detach::sweep::Limits;
use privatelink_simulator::{AccessKey, Effect, Endpoint, Fault, Seed, Server, documented_quotas};

const ENDPOINTS: u32 = 1_000;

const REGION: &str = "eu-west-1";

/// From the arrival of a call to its response.
const RESPONSE_TIME: Duration = Duration::from_millis(50);

/// The largest multiple of the bound.
const RATIO_MAX: f64 = 1.1;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(read());
}

async fn read() {
    let endpoint = |n| {
        let groups = if n % 2 == 0 { ["sg-wanted", "sg-other"] } else { ["sg-another", "sg-other"] };
        Endpoint::new(REGION, format!("ep-{n:04}"), groups)
    };
    let seed = Seed {
        endpoints: (0..ENDPOINTS).map(endpoint).collect(),
        quotas: documented_quotas(),
        faults: vec![Fault::anywhere(Effect::ActualResponse).delayed(RESPONSE_TIME)],
        ..Seed::default()
    };
    let cloud = privatelink_simulator::Cloud::new(seed).unwrap();
    let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let parts = server.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
    let key = AccessKey::default();
    let credentials = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let transport = Https::new(true).unwrap().for_sweeps();
    let cloud = Cloud::new(Client::new(transport, source, ServiceUrl::Fixed(url), 1), 1);

    let request = Sweep {
        security_group_ids: &[SecurityGroupId::parse("sg-wanted").unwrap()],
        region_ids: &[RegionId::parse(REGION).unwrap()],
        filter: &EndpointFilter::default(),
        rules: &Rules::default(),
        limits: Limits::default(),
        pace: Pace::default(),
    };
    let clock = Clock::start();
    let swept = sweep(&cloud, None, &request, &clock, None, &|_| {}).await;
    let took = clock.now() - clock.started();
    let bound = Pace::default().security_groups * ENDPOINTS;
    let ratio = took.as_secs_f64() / bound.as_secs_f64();
    let (plan, calls) = (&swept.plan, server.cloud().counts().calls_total);
    println!("endpoints references   calls  read s bound s  ratio | verdict");
    println!(
        "{ENDPOINTS:9} {:10} {calls:7} {:7.1} {:7.1} {ratio:6.3} | {}",
        plan.references.len(),
        took.as_secs_f64(),
        bound.as_secs_f64(),
        plan.verdict(None).as_str(),
    );
    assert_eq!(plan.references.len(), ENDPOINTS as usize / 2);
    assert!(ratio <= RATIO_MAX, "the sweep takes {ratio:.3} times the bound");
}
