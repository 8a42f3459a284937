//! How fast a sweep calls.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{
    Cached, CredentialError, Credentials, CredentialsSource, SessionSource,
};
use privatelink_detach::alibaba::service_clock::ServiceClock;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::sweep::{Progress, sweep};
use privatelink_detach::sweep::Verdict;
use privatelink_simulator::{Action, Effect, Endpoint, Fault, Quota, Seed};

use super::wire::{REGIONS, Scope, WANTED, Wire, found};

const LISTS: Action = Action::ListVpcEndpointSecurityGroups;
const RECORDS: Action = Action::ListVpcEndpoints;

/// A cloud whose regions have this many endpoints each; none of them uses the wanted group.
fn seed(regions: &[&str], endpoints: usize) -> Seed {
    let endpoint = |region: &&str, n| Endpoint::new(*region, format!("ep-{region}-{n:04}"), ["sg-x"]);
    let endpoints = regions.iter().flat_map(|region| (0..endpoints).map(move |n| endpoint(region, n)));
    Seed { endpoints: endpoints.collect(), ..Seed::default() }
}

/// When the calls of an action arrived.
fn arrivals(wire: &Wire, action: Action) -> Vec<SystemTime> {
    let cloud = wire.cloud.borrow();
    let entries = cloud.journal().iter().filter(|entry| entry.action.as_deref() == Some(action.name()));
    entries.map(|entry| entry.at).collect()
}

/// The largest number of these calls in a minute.
fn calls_per_minute(arrivals: &[SystemTime]) -> usize {
    let until = |from: &SystemTime| *from + Duration::from_mins(1);
    let calls = |(at, from): (usize, &SystemTime)| arrivals[at..].partition_point(|call| *call < until(from));
    arrivals.iter().enumerate().map(calls).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_than_the_share_of_the_quotas() {
    let mut seed = seed(&REGIONS[..1], 1_200);
    seed.settings.page_size_max = 20;
    let wire = Wire::to(seed);
    let swept = Scope::default().read(&wire).await;
    assert_eq!(swept.plan.verdict(None), Verdict::NoReferences);
    let (lists, records) = (arrivals(&wire, LISTS), arrivals(&wire, RECORDS));
    assert_eq!((lists.len(), records.len()), (1_200, 120));
    assert_eq!((calls_per_minute(&lists), calls_per_minute(&records)), (1_000, 40));
}

#[tokio::test(start_paused = true)]
async fn second_sweep_of_a_process_keeps_the_distance_from_the_first() {
    let wire = Wire::to(seed(&REGIONS[..1], 3));
    let scope = Scope::default();
    let cloud = scope.cloud(&wire);
    for _ in 0..2 {
        let sweep = privatelink_detach::drive::sweep::sweep;
        sweep(&cloud, None, &scope.sweep(), &wire.clock, None, &|_| {}).await;
    }
    let records = arrivals(&wire, RECORDS);
    let gaps = records.windows(2).map(|two| two[1].duration_since(two[0]).unwrap());
    assert!(records.len() == 4 && gaps.min() >= Some(Duration::from_millis(1500)), "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn whole_share_is_used_up_to_a_response_time_of_a_second_and_a_half() {
    for milliseconds in [50, 1_500] {
        let mut wire = Wire::to(seed(&REGIONS[..1], 500));
        let latency = Duration::from_millis(milliseconds);
        wire.latency = latency..=latency;
        Scope::default().read(&wire).await;
        let groups = arrivals(&wire, LISTS);
        let took = groups[499].duration_since(groups[0]).unwrap();
        assert!(took < Duration::from_secs(32), "500 calls take 30 s, not {took:?}, at {latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_in_a_throttled_region_before_the_hint_has_passed() {
    let (throttled, other) = (REGIONS[0], REGIONS[1]);
    let mut seed = seed(&[throttled, other], 120);
    seed.endpoints.push(Endpoint::new(throttled, "ep-wanted", [WANTED, "sg-x"]));
    seed.quotas = BTreeMap::from([(LISTS, Quota { calls: 100, window: Duration::from_mins(1) })]);
    let wire = Wire::to(seed);
    let held = RefCell::new(Vec::new());
    let swept = Scope::of(&[WANTED], &[throttled, other])
        .read_with(&wire, &|progress| held.borrow_mut().extend(progress.throttled_until))
        .await;
    assert_eq!(found(&swept.plan), ["ep-wanted"]);
    assert_eq!(swept.plan.verdict(None), Verdict::ReferencesFound);
    // The call that was throttled in each region, and at most one that had left before its response.
    assert!(wire.cloud.borrow().counts().throttled <= 4, "{}", wire.cloud.borrow().counts().throttled);
    let until = *held.borrow().iter().max().unwrap();
    let sent = wire.sent.borrow();
    let during = sent.iter().filter(|call| call.at < until && call.at + Duration::from_secs(50) > until);
    assert_eq!(during.count(), 0, "the window closes about 54 s after the throttled call");
    assert!(sent.iter().any(|call| call.at >= until));
}

/// A secret whose first read takes this long, and each other one 3 s.
#[derive(Debug)]
struct SlowSecret {
    takes_first: Duration,
    reads: Rc<Cell<u32>>,
    service_clock: Rc<ServiceClock>,
}

impl SlowSecret {
    /// A cloud with credentials from such a secret, and the number of its reads.
    fn cloud(wire: &Wire, takes_first: Duration) -> (Cloud<&Wire>, Rc<Cell<u32>>) {
        let reads = Rc::new(Cell::new(0));
        let secret = Self { takes_first, reads: Rc::clone(&reads), service_clock: Rc::default() };
        let source = CredentialsSource::refreshed_by(Box::new(secret));
        (Cloud::new(Client::new(wire, source, ServiceUrl::Regional, 1), 1), reads)
    }
}

impl SessionSource for SlowSecret {
    fn read<'a>(&'a self, clock: &'a Clock) -> LocalBoxFuture<'a, Result<Cached, CredentialError>> {
        let reads = self.reads.replace(self.reads.get() + 1);
        let takes = if reads == 0 { self.takes_first } else { Duration::from_secs(3) };
        let read = async move {
            clock.sleep_until(clock.now() + takes).await;
            Ok(Cached::permanent(Credentials::clone(&Scope::default().credentials())))
        };
        read.boxed_local()
    }

    fn name(&self) -> &'static str {
        "Secrets Manager"
    }

    fn advice(&self) -> &'static str {
        "wait"
    }

    fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_the_secret_keep_the_pace_and_the_hint_of_a_throttle() {
    let mut wire = Wire::to(seed(&REGIONS[..1], 40));
    // Four lists leave before a response arrives. Three are refused, so that the others wait for the secret when the
    // fourth one is throttled.
    let latency = Duration::from_millis(200);
    wire.latency = latency..=latency;
    let list =
        |effect, n: u32| Fault::on(LISTS, effect).for_endpoint(format!("ep-{}-{n:04}", REGIONS[0])).nth(1);
    let refused = [0, 1, 2].map(|n| list(Effect::code("InvalidAccessKeyId.Inactive"), n));
    let throttled = list(Effect::throttled(Duration::from_secs(30)), 3).delayed(Duration::from_secs(2));
    for fault in refused.into_iter().chain([throttled]) {
        wire.cloud.borrow_mut().inject(fault);
    }
    let (cloud, reads) = SlowSecret::cloud(&wire, Duration::ZERO);
    let throttled = Cell::new(None);
    let note = |progress: &Progress<'_>| {
        let until = progress.throttled_until.map(|until| (wire.clock.now(), until));
        throttled.set(throttled.get().or(until));
    };
    let swept = sweep(&cloud, None, &Scope::default().sweep(), &wire.clock, None, &note).await;
    assert_eq!((swept.plan.verdict(None), reads.get()), (Verdict::NoReferences, 2));

    let (from, until) = throttled.get().unwrap();
    let sent = wire.sent.borrow();
    let lists: Vec<_> = sent.iter().filter(|call| call.action == LISTS.name()).map(|call| call.at).collect();
    assert_eq!(lists.iter().filter(|at| **at < from).count(), 4, "the others wait for the secret");
    assert_eq!(lists.iter().filter(|at| (from..until).contains(*at)).count(), 0);
    let gaps = lists.windows(2).map(|two| two[1] - two[0]);
    assert!(lists.len() == 44 && gaps.min() >= Some(Duration::from_millis(60)), "{lists:?}");
}

#[tokio::test(start_paused = true)]
async fn call_and_its_credentials_share_one_timeout() {
    let wire = Wire::to(seed(&REGIONS[..1], 1));
    wire.cloud.borrow_mut().inject(Fault::on(RECORDS, Effect::Hang).nth(1));
    let (cloud, _) = SlowSecret::cloud(&wire, Duration::from_secs(4));
    sweep(&cloud, None, &Scope::default().sweep(), &wire.clock, None, &|_| {}).await;
    let sent: Vec<_> = wire.sent.borrow().iter().map(|call| call.at - wire.clock.started()).collect();
    // The call ends after 10 s, and the back-off takes 0.5 to 1 s.
    let again = Duration::from_millis(10_500)..=Duration::from_secs(11);
    assert!(sent[0] == Duration::from_secs(4) && again.contains(&sent[1]), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn regions_are_read_at_the_same_time() {
    let wire = Wire::to(seed(&REGIONS, 200));
    let swept = Scope::of(&[WANTED], &REGIONS).read(&wire).await;
    assert_eq!(swept.plan.regions.len(), 3);
    assert!(
        wire.elapsed() < Duration::from_secs(15),
        "one region takes 12 s, all three {:?}",
        wire.elapsed()
    );
    let sent = wire.sent.borrow();
    let (first, last) = sent.split_at(sent.len() / 2);
    for region in REGIONS {
        assert!([first, last].iter().all(|half| half.iter().any(|call| call.region == region)), "{region}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_grows_to_the_whole_region() {
    let mut seed = seed(&REGIONS[..1], 30);
    "GatewayLoadBalancer".clone_into(&mut seed.endpoints[7].endpoint_type);
    seed.settings.page_size_max = 10;
    let wire = Wire::to(seed);
    let counts = RefCell::new(Vec::new());
    Scope::default()
        .read_with(&wire, &|progress| counts.borrow_mut().push((progress.listed, progress.read)))
        .await;
    let counts = counts.borrow();
    assert_eq!(counts[..4], [(10, 0), (20, 0), (29, 0), (29, 1)]);
    assert!(counts.is_sorted() && counts.last() == Some(&(29, 29)), "{counts:?}");
}
