//! The scenarios in which the worker is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use privatelink_simulator::{AccessKey, Action, Effect, Endpoint, Fault, Quota, Seed};
use serde_json::{Value, json};

use crate::faults::{Breaks, Misconfiguration};
use crate::history::{ParsedRequest, Plan, Request, with_replacement};
use crate::outside::Outside;
use crate::record::Operation;
use crate::world::{QueueKind, REGION};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;

/// The deployment's deadline, and one that passes in the first invocation.
const DEADLINE: Duration = Duration::from_hours(1);
const SHORT_DEADLINE: Duration = Duration::from_secs(40);

/// A scenario, and how it ends without a crash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) plan: fn() -> Plan,
    /// The outcome of each of its requests.
    pub(super) end: &'static str,
    /// Outcomes that are also correct after a crash, because only the killed delivery saw enough for the regular one.
    pub(super) other_ends: &'static [&'static str],
    /// A code that Alibaba Cloud must return, or the scenario does not test what its name says.
    pub(super) meets: Option<&'static str>,
    /// The number of dead letters.
    pub(super) copies: usize,
    /// The number of invocations.
    pub(super) invocations: usize,
    /// Whether the scenario is also suspended at every point.
    pub(super) is_for_suspensions: bool,
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
            is_for_suspensions: false,
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

pub(super) fn all() -> Vec<Scenario> {
    let mut all = of_detaches();
    all.extend(of_replacements());
    all
}

fn of_detaches() -> Vec<Scenario> {
    let detached = "confirmed detached";
    vec![
        Scenario {
            is_for_suspensions: true,
            is_for_pairs: true,
            ..Scenario::new("a plain detach", detached, plain)
        },
        Scenario::new("locked by another client at first", detached, || {
            let locked = Fault::on(DETACH, Effect::code("EndpointLocked")).next(2);
            with_fault(plain(), locked)
        })
        .meeting("EndpointLocked"),
        Scenario::new("lists in pages of one", detached, || {
            let mut plan = plain();
            plan.cloud.settings.page_size_max = 1;
            plan
        }),
        Scenario::new("throttled with a hint", detached, throttled).meeting("Throttling.User"),
        Scenario::new("an accepted detach that fails", detached, || {
            with_fault(plain(), Fault::on(DETACH, Effect::AcceptedThenFails).next(1))
        }),
        Scenario::new("a write whose response is lost", detached, || {
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
            let request = Request { body: body.to_string(), parsed: None, ..request };
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
            // A later delivery has never seen the endpoint.
            other_ends: &["refused (EndpointNotFound)"],
            ..Scenario::new("an endpoint that disappears", "endpoint_gone", || {
                let mut plan = held(plain(), DEADLINE);
                let removed = Outside::Remove { endpoint: "ep-a".to_owned() };
                plan.outside.push((Duration::from_secs(5), removed));
                plan
            })
        },
        Scenario::new("two messages of one lane", detached, || {
            let requests = [plain_request(), request(1, "ep-a", "sg-b", DEADLINE, false)];
            plan([endpoint("ep-a", &["sg-a", "sg-b", "sg-c"])], requests)
        }),
        Scenario {
            is_for_suspensions: true,
            ..Scenario::new("two lanes in one batch", detached, || {
                let requests = [plain_request(), request(1, "ep-b", "sg-b", DEADLINE, false)];
                let endpoints = [endpoint("ep-a", &["sg-a", "sg-b"]), endpoint("ep-b", &["sg-a", "sg-b"])];
                plan(endpoints, requests)
            })
        },
        Scenario::new("returned to the queue until a long lock ends", detached, || {
            held(plain(), Duration::from_secs(150))
        })
        .taking(3),
        Scenario::new("events that cannot be published at first", detached, || {
            let mut plan = plain();
            let breaks = Breaks::Operation(Operation::Publish);
            let until = Duration::from_secs(25);
            plan.faults.misconfigurations.push(Misconfiguration { breaks, from: Duration::ZERO, until });
            plan
        })
        .taking(4),
        Scenario::new("a standard queue", detached, || Plan { kind: QueueKind::Standard, ..plain() }),
    ]
}

/// Every wait of attach, polls, second read, detach and confirmation.
fn of_replacements() -> Vec<Scenario> {
    let detached = "confirmed detached";
    vec![
        Scenario {
            is_for_suspensions: true,
            is_for_pairs: true,
            ..Scenario::new("a last group that is replaced", detached, replaced)
        },
        Scenario::new("a replacement, locked by another client at first", detached, || {
            with_fault(replaced(), Fault::on(ATTACH, Effect::code("EndpointLocked")).next(2))
        })
        .meeting("EndpointLocked"),
        Scenario::new("an attach whose response is lost", detached, || {
            with_fault(replaced(), Fault::on(ATTACH, Effect::Reset).next(1).after_execution())
        }),
        Scenario::new("an accepted attach that fails", detached, || {
            with_fault(replaced(), Fault::on(ATTACH, Effect::AcceptedThenFails).next(1))
        }),
        Scenario::new("a replacement and lists that lag", detached, || {
            let mut plan = replaced();
            plan.cloud.settings.read_lag = Duration::from_secs(4);
            plan
        }),
        Scenario::new("a replacement that another client detaches", detached, || {
            let mut plan = replaced();
            plan.outside.push((
                Duration::from_secs(4),
                Outside::Detach {
                    endpoint: "ep-a".to_owned(),
                    group: "sg-spare".to_owned(),
                    takes: Duration::from_secs(1),
                    fails: false,
                },
            ));
            plan
        }),
        Scenario::new("a replacement that RAM denies", "refused (ReplacementNotAttached)", || {
            let mut plan = replaced();
            let denied_actions = [ATTACH].into();
            plan.cloud.access_keys = vec![AccessKey { denied_actions, ..AccessKey::default() }];
            plan
        })
        .meeting("NoPermission")
        .copied(),
        Scenario::new("a dry run of a replacement", "dry_run_passed", || {
            let request = request(0, "ep-a", "sg-a", DEADLINE, true);
            Plan { requests: vec![request], ..replaced() }
        })
        .meeting("DryRunOperation"),
    ]
}

fn plan<const E: usize, const R: usize>(endpoints: [Endpoint; E], requests: [Request; R]) -> Plan {
    Plan {
        cloud: Seed { endpoints: endpoints.into(), ..Seed::default() },
        requests: requests.into(),
        faults_end_at: Duration::from_mins(4),
        ..Plan::quiet(1)
    }
}

fn endpoint(id: &str, groups: &[&str]) -> Endpoint {
    Endpoint::new(REGION, id, groups.iter().copied())
}

fn request(number: u64, endpoint: &str, group: &str, deadline: Duration, dry_run: bool) -> Request {
    let (endpoint, group) = (endpoint.to_owned(), group.to_owned());
    Request::new(
        number,
        ParsedRequest {
            region: REGION.to_owned(),
            endpoint,
            group,
            dry_run,
            expect_attached: false,
            deadline,
        },
        Duration::ZERO,
        &json!({}),
    )
}

fn plain_request() -> Request {
    request(0, "ep-a", "sg-a", DEADLINE, false)
}

fn plain() -> Plan {
    plan([endpoint("ep-a", &["sg-a", "sg-b"])], [plain_request()])
}

/// The group is the endpoint's only one, and the endpoint's VPC has a replacement.
fn replaced() -> Plan {
    let only = Endpoint { vpc_id: Some("vpc-a".to_owned()), ..endpoint("ep-a", &["sg-a"]) };
    with_replacement(plan([only], [plain_request()]), "vpc-a", "sg-spare")
}

fn with_fault(mut plan: Plan, fault: Fault) -> Plan {
    plan.cloud.faults.push(fault);
    plan
}

/// Another client holds the endpoint's lock from the start, for this long.
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
