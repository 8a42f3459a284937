//! The scenarios in which the worker dies.

use std::collections::BTreeMap;
use std::time::Duration;

use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, Quota, Seed};
use serde_json::{Value, json};

use crate::history::{Plan, Request, Wanted};
use crate::outside::Outside;
use crate::record::Operation;
use crate::trouble::{Breaks, Mistake};
use crate::world::{QueueKind, REGION};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

/// The deployment's deadline, and one that passes in the first invocation.
const DEADLINE: Duration = Duration::from_hours(1);
const SHORT_DEADLINE: Duration = Duration::from_secs(40);

/// A scenario, and how it ends if nobody dies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) plan: fn() -> Plan,
    /// The end of each of its requests.
    pub(super) end: &'static str,
    /// Ends that are as true after a crash, because only the delivery that died had seen enough for the other one.
    pub(super) other_ends: &'static [&'static str],
    /// A code that Alibaba Cloud must have answered with, or the scenario is not what it says.
    pub(super) meets: Option<&'static str>,
    /// Its dead letters.
    pub(super) copies: usize,
    /// Its invocations.
    pub(super) invocations: usize,
    /// Whether it also stands still at every point.
    pub(super) is_for_standstills: bool,
    /// Whether its redelivery is killed, too.
    pub(super) is_for_pairs: bool,
}

impl Scenario {
    const fn new(name: &'static str, end: &'static str, plan: fn() -> Plan) -> Self {
        Self {
            name,
            plan,
            end,
            other_ends: &[],
            meets: None,
            copies: 0,
            invocations: 1,
            is_for_standstills: false,
            is_for_pairs: false,
        }
    }

    const fn copied(self) -> Self {
        Self { copies: 1, ..self }
    }

    const fn meeting(self, code: &'static str) -> Self {
        Self { meets: Some(code), ..self }
    }

    const fn taking(self, invocations: usize) -> Self {
        Self { invocations, ..self }
    }
}

/// All of them.
pub(super) fn all() -> Vec<Scenario> {
    let gone = "gone";
    vec![
        Scenario {
            is_for_standstills: true,
            is_for_pairs: true,
            ..Scenario::new("a plain detach", gone, plain)
        },
        Scenario::new("locked by somebody else at first", gone, || {
            let locked = Fault::on(DETACH, Effect::code("EndpointLocked")).next(2);
            with_fault(plain(), locked)
        })
        .meeting("EndpointLocked"),
        Scenario::new("lists in pages of one", gone, || {
            let mut plan = plain();
            plan.cloud.settings.page_size_max = 1;
            plan
        }),
        Scenario::new("throttled with a hint", gone, throttled).meeting("Throttling.User"),
        Scenario::new("accepted, and then it fails", gone, || {
            with_fault(plain(), Fault::on(DETACH, Effect::AcceptedThenFails).next(1))
        }),
        Scenario::new("a write whose answer is lost", gone, || {
            with_fault(plain(), Fault::on(DETACH, Effect::Reset).next(1).after_execution())
        }),
        Scenario::new("the last group", "refused (EndpointMustContainSecurityGroup)", || {
            plan([endpoint("ep-a", &["sg-a"])], [plain_request()])
        }),
        Scenario::new("denied by RAM", "refused (NoPermission)", || {
            let mut plan = plain();
            let denied_actions = [DETACH].into();
            plan.cloud.access_keys = vec![AccessKey { denied_actions, ..AccessKey::default() }];
            plan
        })
        .meeting("NoPermission")
        .copied(),
        Scenario::new("a body that is rejected", "rejected (InvalidRequest)", || {
            let request = plain_request();
            let mut body: Value = serde_json::from_str(&request.body).expect("a body in JSON");
            body["dryrun"] = true.into();
            let request = Request { body: body.to_string(), wanted: None, ..request };
            plan([endpoint("ep-a", &["sg-a", "sg-b"])], [request])
        })
        .copied(),
        Scenario::new("unconfirmed at its deadline", "unconfirmed (DeadlineExceeded)", || {
            let request = request(0, "ep-a", "sg-a", SHORT_DEADLINE, false);
            held(plan([endpoint("ep-a", &["sg-a", "sg-b"])], [request]), Duration::from_hours(2))
        })
        .copied(),
        Scenario::new("a dry run", "dry_run_passed", || {
            let request = request(0, "ep-a", "sg-a", DEADLINE, true);
            plan([endpoint("ep-a", &["sg-a", "sg-b"])], [request])
        }),
        Scenario {
            // Whoever comes later has never seen it.
            other_ends: &["refused (EndpointNotFound)"],
            ..Scenario::new("an endpoint that goes away", "endpoint_gone", || {
                let mut plan = held(plain(), DEADLINE);
                let removed = Outside::Remove { endpoint: "ep-a".to_owned() };
                plan.outside.push((Duration::from_secs(5), removed));
                plan
            })
        },
        Scenario::new("two messages of one lane", gone, || {
            let requests = [plain_request(), request(1, "ep-a", "sg-b", DEADLINE, false)];
            plan([endpoint("ep-a", &["sg-a", "sg-b", "sg-c"])], requests)
        }),
        Scenario {
            is_for_standstills: true,
            ..Scenario::new("two lanes in one batch", gone, || {
                let requests = [plain_request(), request(1, "ep-b", "sg-b", DEADLINE, false)];
                let endpoints = [endpoint("ep-a", &["sg-a", "sg-b"]), endpoint("ep-b", &["sg-a", "sg-b"])];
                plan(endpoints, requests)
            })
        },
        Scenario::new("handed back until a long lock ends", gone, || held(plain(), Duration::from_secs(150)))
            .taking(3),
        Scenario::new("events that cannot be published at first", gone, || {
            let mut plan = plain();
            let breaks = Breaks::Operation(Operation::Publish);
            let until = Duration::from_secs(25);
            plan.troubles.mistakes.push(Mistake { breaks, from: Duration::ZERO, until });
            plan
        })
        .taking(4),
        Scenario::new("a standard queue", gone, || Plan { kind: QueueKind::Standard, ..plain() }),
    ]
}

fn plan<const E: usize, const R: usize>(endpoints: [Endpoint; E], requests: [Request; R]) -> Plan {
    Plan {
        cloud: Seed { endpoints: endpoints.into(), ..Seed::default() },
        requests: requests.into(),
        calm_at: Duration::from_mins(4),
        ..Plan::quiet(1)
    }
}

fn endpoint(id: &str, groups: &[&str]) -> Endpoint {
    Endpoint::new(REGION, id, groups.iter().copied())
}

fn request(number: u64, endpoint: &str, group: &str, deadline: Duration, dry_run: bool) -> Request {
    let (endpoint, group) = (endpoint.to_owned(), group.to_owned());
    Request::asking(number, Wanted { endpoint, group, dry_run, deadline }, Duration::ZERO, &json!({}))
}

fn plain_request() -> Request {
    request(0, "ep-a", "sg-a", DEADLINE, false)
}

fn plain() -> Plan {
    plan([endpoint("ep-a", &["sg-a", "sg-b"])], [plain_request()])
}

fn with_fault(mut plan: Plan, fault: Fault) -> Plan {
    plan.cloud.faults.push(fault);
    plan
}

/// Somebody else has the endpoint from the beginning, for so long.
fn held(mut plan: Plan, takes: Duration) -> Plan {
    plan.outside.push((Duration::ZERO, Outside::Hold { endpoint: "ep-a".to_owned(), takes }));
    plan
}

fn throttled() -> Plan {
    let mut plan = plain();
    let quota = Quota { calls: 2, window: Duration::from_secs(10) };
    plan.cloud.quotas = BTreeMap::from([(Action::ListVpcEndpointSecurityGroups, quota)]);
    plan
}
