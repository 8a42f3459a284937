//! A sweeper on a virtual clock, with its surroundings in memory: the simulated cloud, the request queue and the worker
//! that takes requests from it, and the bus.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::Services;
use privatelink_detach::aws::bus::{Bus, PublishError};
use privatelink_detach::aws::request_queue::{Message, RequestQueue, SendError};
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::request::Rules;
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::{Settings, SweepError, Sweeper, TimeLimits};
use privatelink_detach::transport::BaseUrl;
use privatelink_simulator::{AccessKey, Action, Endpoint, Seed};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::schema;
use crate::wire::{REGIONS, WANTED, Wire};

/// A message that the queue accepted, as JSON, and the time when it did.
type Accepted = Vec<(SystemTime, Value)>;

/// The surroundings of a sweeper, and its settings.
pub(crate) struct Account {
    pub(crate) wire: Wire,
    pub(crate) rules: Rules,
    pub(crate) is_apply_allowed: bool,
    pub(crate) queue: Queue,
    pub(crate) bus: Events,
    /// How long Lambda lets the invocation run.
    pub(crate) timeout: Duration,
    pub(crate) secret: String,
    /// The number of sweeps so far. Each sweep runs as a process of its own, with its own random numbers.
    pub(crate) sweeps: Cell<u64>,
}

/// The request queue, which can fail.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    accepted: Rc<RefCell<Accepted>>,
    /// The number of calls that fail, from the first one on.
    pub(crate) failures: Rc<Cell<usize>>,
    pub(crate) messages: Rc<RefCell<Vec<Message>>>,
    pub(crate) calls: Rc<Cell<usize>>,
}

/// The bus, which can fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    pub(crate) published: Rc<RefCell<Vec<(&'static str, Value)>>>,
    pub(crate) is_broken: bool,
    /// The number of calls that fail, from the first one on.
    pub(crate) failures: Rc<Cell<usize>>,
    /// Whether the bus never responds.
    pub(crate) hangs: bool,
}

impl RequestQueue for Queue {
    async fn send(&self, messages: &[Message], until: Instant, clock: &Clock) -> Vec<Result<(), SendError>> {
        self.calls.set(self.calls.get() + 1);
        if clock.now() >= until {
            return messages.iter().map(|_| Err(SendError::NoResult)).collect();
        }
        if let Some(left) = self.failures.get().checked_sub(1) {
            self.failures.set(left);
            return messages.iter().map(|_| Err(SendError::NoResult)).collect();
        }
        for message in messages {
            self.messages.borrow_mut().push(message.clone());
            let body = serde_json::from_str(&message.body).unwrap();
            self.accepted.borrow_mut().push((clock.wall(), body));
        }
        messages.iter().map(|_| Ok(())).collect()
    }
}

impl Bus for Events {
    async fn publish<D: Serialize>(&self, detail_type: &'static str, detail: &D) -> Result<(), PublishError> {
        if self.is_broken {
            return Err(PublishError::NoBus("completions".to_owned()));
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(left) = self.failures.get().checked_sub(1) {
            self.failures.set(left);
            return Err(PublishError::EntryCount(0));
        }
        self.published.borrow_mut().push((detail_type, serde_json::to_value(detail).unwrap()));
        Ok(())
    }
}

impl Account {
    /// An account with these endpoints, in a deployment that allows the mode `apply`.
    pub(crate) fn with(endpoints: Vec<Endpoint>) -> Self {
        Self::of(Seed { endpoints, security_groups: [WANTED.into()].into(), ..Seed::default() })
    }

    pub(crate) fn of(seed: Seed) -> Self {
        let wire = Wire::to(seed);
        let queue = Queue {
            accepted: Rc::default(),
            failures: Rc::default(),
            messages: Rc::default(),
            calls: Rc::default(),
        };
        Self {
            wire,
            rules: Rules::default(),
            is_apply_allowed: true,
            queue,
            bus: Events::default(),
            timeout: Duration::from_mins(15),
            secret: AccessKey::default().access_key_secret,
            sweeps: Cell::default(),
        }
    }

    /// Detaches the groups of accepted requests after this time, except on these endpoints.
    pub(crate) fn work(&self, takes: Duration, except: &'static [&'static str]) {
        let accepted = Rc::clone(&self.queue.accepted);
        *self.wire.interference.borrow_mut() = Some(Box::new(move |_, cloud, now| {
            for (at, request) in accepted.borrow().iter().filter(|(at, _)| *at + takes <= now) {
                let [endpoint, group] =
                    ["endpoint_id", "security_group_id"].map(|key| request[key].as_str().unwrap());
                if !except.contains(&endpoint) {
                    cloud.detach_now(endpoint, group, *at + takes);
                }
            }
        }));
    }

    /// Carries out a sweep request.
    pub(crate) async fn sweep(&self, request: &Value) -> Result<Value, SweepError> {
        let key = AccessKey::default();
        let credentials = Credentials::new(key.access_key_id.to_string(), self.secret.clone(), None);
        let source = CredentialsSource::Fixed(Rc::new(credentials));
        let wire = &self.wire;
        let settings = Settings {
            rules: self.rules.clone(),
            is_apply_allowed: self.is_apply_allowed,
            runbook_url: RunbookUrl::default(),
            limits: Limits::default(),
            pace: Pace::default(),
            time: TimeLimits::default(),
        };
        let random = self.sweeps.get() * 2;
        self.sweeps.set(self.sweeps.get() + 1);
        let cloud = Cloud::new(Client::new(wire, source, ServiceUrl::Regional, random), random);
        let services = Services::new(wire, BaseUrl::sts(), ServiceUrl::Regional, random + 1);
        let (queue, bus) = (self.queue.clone(), self.bus.clone());
        let sweeper = Sweeper::new(cloud, Some(services), queue, bus, settings);
        let clock = Clock::starting_at(wire.clock.wall());
        let invocation = Invocation {
            clock,
            ends_at: clock.wall() + self.timeout,
            lambda_request_id: "4c2c92f0-1f7c-4d3e-9c0a-2f6d6d8a1b11".to_owned(),
            xray_trace_id: None,
        };
        let payload = RawValue::from_string(request.to_string()).unwrap();
        let detail = sweeper.handle(&payload, &invocation).await;
        detail.as_ref().into_iter().for_each(schema::check);
        detail
    }

    /// The requests that the queue accepted, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.queue.accepted.borrow().iter().map(|(_, request)| request.clone()).collect()
    }

    /// The endpoints of those requests.
    pub(crate) fn requested(&self) -> Vec<String> {
        self.requests().iter().map(|request| request["endpoint_id"].as_str().unwrap().to_owned()).collect()
    }

    /// The number of calls of an action.
    pub(crate) fn calls(&self, action: Action) -> u64 {
        self.wire.cloud.borrow().counts().of(action)
    }
}

/// A sweep request for the wanted group and all endpoints of one region.
pub(crate) fn report() -> Value {
    json!({ "security_group_ids": [WANTED], "region_ids": [REGIONS[0]], "scope": "all" })
}

/// The same request in mode `apply`, with this `max_detaches`.
pub(crate) fn apply(max_detaches: usize) -> Value {
    let mut request = report();
    request["sweep_id"] = "nightly-1".into();
    request["mode"] = "apply".into();
    request["max_detaches"] = max_detaches.into();
    request
}

/// An endpoint with these groups.
pub(crate) fn endpoint<const N: usize>(id: &str, groups: [&str; N]) -> Endpoint {
    Endpoint::new(REGIONS[0], id, groups)
}

/// This number of endpoints, all of which use the wanted group and another one.
pub(crate) fn endpoints(count: usize) -> Vec<Endpoint> {
    (0..count).map(|number| endpoint(&format!("ep-{number:03}"), [WANTED, "sg-x"])).collect()
}

/// The endpoints of an event's references, each with its `blocked_by`.
pub(crate) fn references(detail: &Value) -> Vec<(&str, Option<&str>)> {
    let references = detail["references"].as_array().unwrap().iter();
    references.map(|one| (one["endpoint_id"].as_str().unwrap(), one["blocked_by"].as_str())).collect()
}

/// The verdict of an event, and the counts of requests and of references that are left.
pub(crate) fn summary(detail: &Value) -> (&str, u64, u64) {
    let count = |key: &str| detail[key].as_u64().unwrap();
    (detail["verdict"].as_str().unwrap(), count("requested_count"), count("remaining_count"))
}
