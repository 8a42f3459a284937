//! The time of a sweep, compared with the minimum that its share of the quotas allows.
//!
//! The bound is the longer of two times, each from the first call to the last: that of the lists of groups at one every
//! 60 ms, and that of the lists of endpoints at one every 1.5 s. With the virtual clock the simulator is in memory, and
//! waits take no time; with the real clock it is behind a socket. A call takes 50 ms on both clocks.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::privatelink::EndpointFilter;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::drive::sweep::{Sweep, sweep};
use privatelink_detach::request::{RegionId, Rules, SecurityGroupId};
use privatelink_detach::sweep::{Limits, Plan};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{Https, SendError, Transport};
use privatelink_simulator::{AccessKey, Action, Counts, Effect, Fault, Seed, Server, Transmission};

use crate::{ENDPOINTS, GROUP, REGION, seed};

/// The time from sending a call to its response.
const RESPONSE_TIME: Duration = Duration::from_millis(50);

/// The number of endpoints that are read on the real clock, too.
const ON_REAL_CLOCK: usize = 1_000;

/// The largest allowed ratio of the time to the bound.
const RATIO_MAX: f64 = 1.1;

/// The simulator in memory.
struct InMemory {
    cloud: RefCell<privatelink_simulator::Cloud>,
    clock: Clock,
}

impl Transport for &InMemory {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let arrives = self.clock.now() + RESPONSE_TIME / 2;
        self.clock.sleep_until(arrives).await;
        let simulated = self.cloud.borrow_mut().handle(&request, self.clock.wall());
        self.clock.sleep_until(arrives + RESPONSE_TIME / 2).await;
        match simulated.transmission {
            Transmission::Whole { .. } => Ok(simulated.response),
            _ => Err(NoResponse::ConnectionLost.into()),
        }
    }
}

/// Prints the table.
pub(crate) fn measure() {
    println!("\nTime, with a response time of 50 ms\n");
    println!("| endpoints | clock | references | lists of groups, of endpoints | s | bound, s | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for endpoints in ENDPOINTS {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(on_virtual_clock(endpoints));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(on_real_clock());
}

async fn on_virtual_clock(endpoints: usize) {
    let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_hours(10));
    let cloud = RefCell::new(privatelink_simulator::Cloud::new(seed(endpoints)).unwrap());
    let service = InMemory { cloud, clock };
    let (plan, took) = read(&service, ServiceUrl::Regional, &clock).await;
    let counts = service.cloud.borrow().counts().clone();
    print_row(endpoints, "virtual", &plan, &counts, took);
}

async fn on_real_clock() {
    let faults = vec![Fault::anywhere(Effect::ActualResponse).delayed(RESPONSE_TIME)];
    let cloud = privatelink_simulator::Cloud::new(Seed { faults, ..seed(ON_REAL_CLOCK) }).unwrap();
    let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let parts = server.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
    let transport = Https::new(true).unwrap().for_sweeps();
    let (plan, took) = read(transport, ServiceUrl::Fixed(url), &Clock::start()).await;
    let counts = server.cloud().counts().clone();
    print_row(ON_REAL_CLOCK, "real, over a socket", &plan, &counts, took);
}

/// Reads every endpoint at the pace of production. Returns the time that it took.
async fn read<T: Transport>(transport: T, url: ServiceUrl, clock: &Clock) -> (Plan, Duration) {
    let key = AccessKey::default();
    let credentials = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let cloud = Cloud::new(Client::new(transport, source, url, 1), 1);
    let request = Sweep {
        security_group_ids: &[SecurityGroupId::parse(GROUP).unwrap()],
        region_ids: &[RegionId::parse(REGION).unwrap()],
        filter: &EndpointFilter::default(),
        rules: &Rules::default(),
        limits: Limits::default(),
        pace: Pace::default(),
    };
    let swept = sweep(&cloud, None, &request, clock, None, &|_| {}).await;
    (swept.plan, clock.now() - clock.started())
}

fn print_row(endpoints: usize, clock: &str, plan: &Plan, counts: &Counts, took: Duration) {
    let [groups, records] =
        [Action::ListVpcEndpointSecurityGroups, Action::ListVpcEndpoints].map(|action| counts.of(action));
    let span = |calls: u64, interval: Duration| interval * u32::try_from(calls - 1).unwrap();
    let pace = Pace::default();
    let bound = span(groups, pace.security_groups).max(span(records, pace.endpoints));
    let ratio = took.as_secs_f64() / bound.as_secs_f64();
    println!(
        "| {endpoints} | {clock} | {} | {groups}, {records} | {:.1} | {:.1} | {ratio:.3} |",
        plan.references.len(),
        took.as_secs_f64(),
        bound.as_secs_f64(),
    );
    assert_eq!((plan.verdict(None).as_str(), plan.references.len()), ("references_found", endpoints / 2));
    assert_eq!(counts.throttled, 0);
    assert!(ratio <= RATIO_MAX, "the sweep takes {ratio:.3} times the bound");
}
