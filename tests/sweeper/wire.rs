//! The simulator behind a transport on a virtual clock, and a sweep of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::privatelink::EndpointFilter;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::Services;
use privatelink_detach::clock::Clock;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::drive::sweep::{Progress, Sweep, Swept, sweep};
use privatelink_detach::request::{RegionId, Rules, SecurityGroupId};
use privatelink_detach::sweep::{Limits, Plan};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use privatelink_simulator::{AccessKey, Seed, Transmission};
use serde_json::Value;

/// When the tests start, by the wall clock.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(10)
}

/// The regions of most tests.
pub(crate) const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "cn-hangzhou"];

/// The group that most tests look for.
pub(crate) const WANTED: &str = "sg-wanted";

/// A call that left.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) action: String,
    pub(crate) region: String,
}

/// Changes the simulated cloud when a call arrives, before it is carried out. Gets the number of the call, from 1.
type Interference = Box<dyn FnMut(u64, &mut privatelink_simulator::Cloud, SystemTime)>;

/// The simulated cloud and the way to it.
pub(crate) struct Wire {
    pub(crate) clock: Clock,
    pub(crate) cloud: RefCell<privatelink_simulator::Cloud>,
    /// The round-trip time; a call takes effect in the middle of it.
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) interference: RefCell<Option<Interference>>,
    /// The calls that left, in order.
    pub(crate) sent: RefCell<Vec<Sent>>,
    /// The endpoints that the latest complete list named, by region.
    pub(crate) listed: RefCell<BTreeMap<String, Vec<String>>>,
    /// The lists that are not complete, by region.
    listing: RefCell<BTreeMap<String, Vec<String>>>,
    arrived: Cell<u64>,
    rng: RefCell<fastrand::Rng>,
}

impl Wire {
    pub(crate) fn to(seed: Seed) -> Self {
        let cloud = privatelink_simulator::Cloud::new(seed).unwrap();
        let latency = Duration::from_millis(50);
        Self {
            clock: Clock::starting_at(start()),
            cloud: RefCell::new(cloud),
            latency: latency..=latency,
            interference: RefCell::default(),
            sent: RefCell::default(),
            listed: RefCell::default(),
            listing: RefCell::default(),
            arrived: Cell::default(),
            rng: RefCell::new(fastrand::Rng::with_seed(1)),
        }
    }

    /// Remembers the endpoints in a response that the program gets.
    fn note_listed(&self, region: &str, is_first_page: bool, response: &http::Response<Bytes>) {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let (200, Some(endpoints)) = (response.status().as_u16(), body["Endpoints"].as_array()) else {
            return;
        };
        let mut listings = self.listing.borrow_mut();
        let listing = listings.entry(region.to_owned()).or_default();
        if is_first_page {
            listing.clear();
        }
        listing.extend(endpoints.iter().map(|endpoint| endpoint["EndpointId"].as_str().unwrap().to_owned()));
        if body.get("NextToken").is_none() {
            self.listed.borrow_mut().insert(region.to_owned(), listing.clone());
        }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now() - self.clock.started()
    }
}

impl Transport for &Wire {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let (left, action) = (self.clock.now(), request.headers()["x-acs-action"].to_str().unwrap());
        let query = request.uri().query().unwrap().to_owned();
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let region = parameter("RegionId").unwrap();
        self.sent.borrow_mut().push(Sent { at: left, action: action.to_owned(), region: region.clone() });
        let range = self.latency.end().saturating_sub(*self.latency.start());
        let half = (*self.latency.start() + range.mul_f64(self.rng.borrow_mut().f64())) / 2;
        self.clock.sleep_until(left + half).await;

        let now = self.clock.wall();
        self.arrived.set(self.arrived.get() + 1);
        if let Some(interfere) = &mut *self.interference.borrow_mut() {
            interfere(self.arrived.get(), &mut self.cloud.borrow_mut(), now);
        }
        let simulated = self.cloud.borrow_mut().handle(&request, now);
        let (after, result) = match simulated.transmission {
            Transmission::Whole { after } => (half * 2 + after, Ok(simulated.response)),
            Transmission::Hang => (timeout, Err(NoResponse::Timeout.into())),
            Transmission::Reset { after } | Transmission::Truncated { after, .. } => {
                (half * 2 + after, Err(NoResponse::ConnectionLost.into()))
            }
        };
        self.clock.sleep_until(left + after.min(timeout)).await;
        if after >= timeout {
            return Err(NoResponse::Timeout.into());
        }
        if let Ok(response) = &result
            && action == "ListVpcEndpoints"
        {
            self.note_listed(&region, parameter("NextToken").is_none(), response);
        }
        result
    }
}

/// The parameters of a sweep that tests change.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) groups: Vec<SecurityGroupId>,
    pub(crate) regions: Vec<RegionId>,
    pub(crate) filter: EndpointFilter,
    pub(crate) rules: Rules,
    pub(crate) pace: Pace,
    pub(crate) secret: String,
    pub(crate) until: Option<Duration>,
    pub(crate) checks_existence: bool,
}

impl Scope {
    pub(crate) fn of(groups: &[&str], regions: &[&str]) -> Self {
        Self {
            groups: groups.iter().map(|id| SecurityGroupId::parse(id).unwrap()).collect(),
            regions: regions.iter().map(|id| RegionId::parse(id).unwrap()).collect(),
            filter: EndpointFilter::default(),
            rules: Rules::default(),
            pace: Pace::default(),
            secret: AccessKey::default().access_key_secret,
            until: None,
            checks_existence: false,
        }
    }

    /// The group that most tests look for, in one region.
    pub(crate) fn default() -> Self {
        Self::of(&[WANTED], &REGIONS[..1])
    }

    pub(crate) fn credentials(&self) -> Rc<Credentials> {
        let key = AccessKey::default();
        Rc::new(Credentials::new(key.access_key_id.to_string(), self.secret.clone(), None))
    }

    pub(crate) fn sweep(&self) -> Sweep<'_> {
        Sweep {
            security_group_ids: &self.groups,
            region_ids: &self.regions,
            filter: &self.filter,
            rules: &self.rules,
            limits: Limits::default(),
            pace: self.pace,
        }
    }

    pub(crate) async fn read(&self, wire: &Wire) -> Swept {
        self.read_with(wire, &|_| {}).await
    }

    /// Carries the sweep out, with a cloud of its own.
    pub(crate) async fn read_with(&self, wire: &Wire, progress: &dyn Fn(&Progress<'_>)) -> Swept {
        let cloud = self.cloud(wire);
        let services =
            self.checks_existence.then(|| Services::new(wire, BaseUrl::sts(), ServiceUrl::Regional, 3));
        let until = self.until.map(|time| wire.clock.now() + time);
        sweep(&cloud, services.as_ref(), &self.sweep(), &wire.clock, until, progress).await
    }

    pub(crate) fn cloud<'a>(&self, wire: &'a Wire) -> Cloud<&'a Wire> {
        let source = CredentialsSource::Fixed(self.credentials());
        Cloud::new(Client::new(wire, source, ServiceUrl::Regional, 1), 1)
    }
}

/// The endpoints of a plan's references, in order.
pub(crate) fn found(plan: &Plan) -> Vec<&str> {
    plan.references.iter().map(|reference| reference.endpoint_id.as_str()).collect()
}
