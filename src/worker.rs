//! Carries out what [`crate::detach`] decides, one request at a time, and settles what it decided.
//!
//! It holds no rule about detaching: it waits as long as it is told, calls what it is told, and stops in time. What
//! an outcome means for message and event is here, in one match.

mod invocation;
mod regions;
mod settle;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tracing::{debug, error, info};

use crate::alibaba::client::{Client, Seen};
use crate::alibaba::error::{Fault, Kind};
use crate::alibaba::privatelink::{Action, Call, Target};
use crate::alibaba::transport::Transport;
use crate::detach::{Account, Detach, Limits, Outcome, Step};
use crate::request::{DetachRequest, RegionId, Rules};
use regions::Regions;

pub use invocation::{Invocation, InvocationLimits};
pub use settle::{HandBack, Received, Unpublished};

/// How long a region is left alone when it throttles without saying for how long, and no step says it either.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// What a worker keeps to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is allowed here.
    pub rules: Rules,
    /// The deadline of a request that names none.
    pub deadline: Duration,
    /// The waits of a detach.
    pub limits: Limits,
    /// The bounds of an invocation.
    pub invocation: InvocationLimits,
}

/// Requests in, outcomes out. One for the life of the process.
#[derive(Debug)]
pub struct Worker<T, Q, B> {
    client: Client<T>,
    queue: Q,
    bus: B,
    settings: Settings,
    regions: Regions,
    rng: RefCell<fastrand::Rng>,
}

impl<T: Transport, Q, B> Worker<T, Q, B> {
    /// A worker on these three; `seed` makes jitter and client tokens, and must differ from process to process.
    pub fn new(client: Client<T>, queue: Q, bus: B, settings: Settings, seed: u64) -> Self {
        let rng = RefCell::new(fastrand::Rng::with_seed(seed));
        Self { client, queue, bus, settings, regions: Regions::default(), rng }
    }

    /// The queue that messages come from.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// What this worker keeps to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Detaches, step by step; `None` if the invocation's time does not reach to the end.
    async fn detach(
        &self,
        request: &DetachRequest,
        is_first_delivery: bool,
        deadline: Instant,
        invocation: &Invocation,
    ) -> (Option<Outcome>, Account) {
        let target = Target {
            region_id: request.region_id.clone(),
            endpoint_id: request.endpoint_id.clone(),
            security_group_id: request.security_group_id.clone(),
        };
        let random = self.rng.borrow_mut().u64(..);
        let mut detach = Detach::new(request, is_first_delivery, deadline, self.settings.limits, random);
        let mut step = detach.start(invocation.clock.now());
        loop {
            let (after, call) = match step {
                Step::Call { after, call } => (after, call),
                Step::Finish(outcome) => return (Some(outcome), detach.account().clone()),
            };
            let is_overdue = detach.is_last_look() && deadline <= invocation.clock.now();
            let Some(timeout) = self.wait(after, &target.region_id, is_overdue, invocation).await else {
                return (None, detach.account().clone());
            };
            let seen = self.client.call(&target, &call, invocation.clock.wall(), timeout).await;
            let fault = seen.result.as_ref().err().cloned();
            log_seen(&call, &seen);
            let now = invocation.clock.now();
            step = detach.next(seen, now);
            log_state(&call, detach.account());
            if let Some(fault) = fault {
                self.heed(&fault, &step, &target.region_id, now, invocation);
            }
        }
    }

    /// Waits until the step is due and the region may be called; then how long the call may take.
    async fn wait(
        &self,
        after: Duration,
        region: &RegionId,
        is_overdue: bool,
        invocation: &Invocation,
    ) -> Option<Duration> {
        let clock = invocation.clock;
        let mut at = clock.now() + after;
        loop {
            if let Some(opens) = self.regions.closed_until(region, at) {
                // Lanes that were held back together do not go on together.
                at = opens + THROTTLED_PAUSE.mul_f64(self.rng.borrow_mut().f64());
                let wait_ms = u64::try_from(clock.left(at).as_millis()).unwrap_or(u64::MAX);
                debug!(region_id = region.as_str(), wait_ms, "held back: the region asked to be left alone");
            }
            let until = invocation.call_may_last_until(at, is_overdue, &self.settings.invocation)?;
            clock.sleep_until(at).await;
            let now = clock.now();
            if self.regions.closed_until(region, now).is_none() {
                return Some(self.settings.invocation.call_timeout.min(until.saturating_duration_since(now)));
            }
            at = now;
        }
    }

    /// What a fault means beyond its own request.
    fn heed(&self, fault: &Fault, step: &Step, region: &RegionId, now: Instant, invocation: &Invocation) {
        let wait = match step {
            Step::Call { after, .. } => Some(*after),
            Step::Finish(_) => None,
        };
        info!(
            action = fault.action.name(),
            code = fault.name,
            wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            retry_after_ms =
                fault.retry_after.map(|hint| u64::try_from(hint.as_millis()).unwrap_or(u64::MAX)),
            "{fault}"
        );
        if fault.kind == Kind::Throttled {
            let pause = fault.retry_after.or(wait).unwrap_or(THROTTLED_PAUSE);
            self.regions.close(region, now, now + pause);
        }
        let advice = match fault.kind {
            Kind::Credentials | Kind::CredentialsExpired => {
                "Alibaba Cloud refuses the worker's keys: replace them; requests wait until their deadline"
            }
            Kind::Clock => "Alibaba Cloud refuses the worker's clock; it was corrected by the answer's date",
            _ => return,
        };
        if invocation.raises_alarm() {
            error!(code = fault.name, "{advice}");
        }
    }
}

fn log_seen(call: &Call, seen: &Seen) {
    let api_request_id = seen.api_request_id.as_deref();
    let is_accepted = call.action() == Action::Detach && seen.result.is_ok();
    if is_accepted {
        info!(api_request_id, "detach accepted; waiting for its effect");
    }
}

fn log_state(call: &Call, account: &Account) {
    if call.action() != Action::Detach {
        debug!(
            action = call.action().name(),
            group_status = account.group_status.map(|status| match status {
                Some(status) => format!("{status:?}"),
                None => "absent".to_owned(),
            }),
            endpoint_status = account.endpoint_status,
            look_calls = account.look_calls,
            "looked"
        );
    }
}
