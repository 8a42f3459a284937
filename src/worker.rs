//! Carries out what [`crate::detach`] decides, one request at a time, and settles what it decided.
//!
//! It holds no rule about detaching: it waits as long as it is told, calls what it is told, and stops in time. What
//! an outcome means for message and event is here, in one match.

mod invocation;
mod regions;
mod settle;
mod share;

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use futures_util::future::join3;
use tracing::{debug, error, info};

use crate::alibaba::client::Client;
use crate::alibaba::credentials::{CredentialError, CredentialProblem};
use crate::alibaba::error::{Fault, Kind};
use crate::alibaba::privatelink::{Action, Call, Target};
use crate::alibaba::transport::Transport;
use crate::clock::Clock;
use crate::detach::{Account, Detach, Limits, Outcome, Step};
use crate::publisher::Bus;
use crate::request::{DetachRequest, RegionId, Rules};
use regions::Regions;
use share::Share;

pub use invocation::{Invocation, InvocationLimits};
pub use settle::{HandBack, Received, Unpublished};

/// How long a region is left alone when it throttles without saying for how long, and no step says it either.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// Time for the connections that are opened while the process starts. What takes longer would be no gain.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// What a worker keeps to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is allowed here.
    pub rules: Rules,
    /// The deadline of a request that names none.
    pub deadline: Duration,
    /// How many workers may run at once: they divide Alibaba Cloud's quotas among them.
    pub concurrency: NonZeroU16,
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
    share: Share,
    rng: RefCell<fastrand::Rng>,
}

impl<T: Transport, Q, B> Worker<T, Q, B> {
    /// A worker on these three; `seed` makes jitter and client tokens, and must differ from process to process.
    pub fn new(client: Client<T>, queue: Q, bus: B, settings: Settings, seed: u64) -> Self {
        let rng = RefCell::new(fastrand::Rng::with_seed(seed));
        let share = Share::of(settings.concurrency);
        Self { client, queue, bus, settings, regions: Regions::default(), share, rng }
    }

    /// The queue that messages come from.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// What this worker keeps to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Gets the keys for Alibaba Cloud, and opens the connections that every request needs, before anybody waits for them.
    /// No failure is a reason not to start: requests wait in the queue until there are keys, and a call opens what is not
    /// open.
    pub async fn prepare(&self, clock: &Clock)
    where
        B: Bus,
    {
        let keys = self.client.prepare(clock);
        let bus = clock.by(clock.now() + CONNECT_TIME_MAX, self.bus.prepare());
        // Of several regions nobody knows which one will be asked for.
        let regions = &self.settings.rules.allowed_regions;
        let only_region = regions.first().filter(|_| regions.len() == 1);
        let service = async {
            if let Some(region) = only_region {
                self.client.connect(region, CONNECT_TIME_MAX).await;
            }
        };
        let (keys, _, ()) = join3(keys, bus, service).await;
        if let Err(CredentialError { code, .. }) = keys
            && let Some(trouble) = self.client.credential_problem()
        {
            log_trouble(&trouble, &code);
        }
    }

    /// Detaches, step by step, as far as the invocation's time reaches.
    async fn detach(
        &self,
        request: &DetachRequest,
        is_first_delivery: bool,
        deadline: Instant,
        invocation: &Invocation,
    ) -> Ended {
        let target = Target {
            region_id: request.region_id.clone(),
            endpoint_id: request.endpoint_id.clone(),
            security_group_id: request.security_group_id.clone(),
        };
        let random = self.rng.borrow_mut().u64(..);
        let mut detach = Detach::new(request, is_first_delivery, deadline, self.settings.limits, random);
        let mut step = detach.start(invocation.clock.now());
        let mut not_before = None;
        loop {
            let (after, call) = match step {
                Step::Call { after, call } => (after, call),
                Step::Finish(outcome) => return Ended::Finished(outcome, detach.account().clone()),
            };
            let is_overdue = detach.is_last_look() && deadline <= invocation.clock.now();
            let timeout = match self.wait(after, &target.region_id, is_overdue, invocation).await {
                Waited::Due { timeout } => timeout,
                Waited::Late { timeout } if call.action() != Action::Detach => timeout,
                Waited::Late { .. } => {
                    step = detach.postponed(call, invocation.clock.now());
                    continue;
                }
                Waited::OutOfTime => {
                    return Ended::Unfinished { not_before, account: detach.account().clone() };
                }
            };
            let began = invocation.clock.now();
            let seen = self.client.call(&target, &call, &invocation.clock, timeout).await;
            let now = invocation.clock.now();
            let fault = seen.result.as_ref().err().cloned();
            let api_request_id = seen.api_request_id.clone();
            not_before = fault.as_ref().and_then(|fault| fault.retry_after).map(|hint| now + hint);
            step = detach.next(seen, now);
            match &fault {
                Some(fault) => {
                    log_fault(fault, api_request_id.as_deref(), &step);
                    self.heed(fault, &step, &target.region_id, began, invocation);
                }
                None => log_answer(&call, api_request_id.as_deref(), detach.account()),
            }
        }
    }

    /// Waits until the step is due and the region may be called.
    async fn wait(
        &self,
        after: Duration,
        region: &RegionId,
        is_overdue: bool,
        invocation: &Invocation,
    ) -> Waited {
        let clock = invocation.clock;
        let mut at = clock.now() + after;
        let mut is_late = false;
        loop {
            if let Some(opens) = self.regions.closed_until(region, at) {
                // Lanes that were held back together do not go on together.
                at = opens + THROTTLED_PAUSE.mul_f64(self.rng.borrow_mut().f64());
                is_late = true;
                debug!(
                    region_id = region.as_str(),
                    wait_ms = milliseconds(clock.left(at)),
                    "held back: the region asked to be left alone"
                );
            }
            let limits = &self.settings.invocation;
            let Some(until) = invocation.call_may_last_until(at, is_overdue, limits) else {
                return Waited::OutOfTime;
            };
            clock.sleep_until(at).await;
            let now = clock.now();
            if self.regions.closed_until(region, now).is_none() {
                let timeout = limits.call_timeout.min(until.saturating_duration_since(now));
                return if is_late { Waited::Late { timeout } } else { Waited::Due { timeout } };
            }
            at = now;
        }
    }

    /// What a fault means beyond its own request. `began` is when its call did.
    fn heed(&self, fault: &Fault, step: &Step, region: &RegionId, began: Instant, invocation: &Invocation) {
        match fault.kind {
            Kind::Throttled => {
                let wait = match step {
                    Step::Call { after, .. } => *after,
                    Step::Finish(_) => THROTTLED_PAUSE,
                };
                let now = invocation.clock.now();
                self.regions.close(region, now, now + fault.retry_after.unwrap_or(wait));
            }
            Kind::Credentials | Kind::CredentialsExpired | Kind::NoCredentials => {
                if let Some(trouble) = self.client.credential_problem()
                    && invocation.alarms.raise_credentials()
                {
                    log_trouble(&trouble, &fault.name);
                }
            }
            Kind::Clock if invocation.alarms.raise_clock(began, invocation.clock.now()) => error!(
                code = fault.name,
                "Alibaba Cloud refuses the worker's clock, although the answer's date was to correct it; requests \
                 wait until their deadline"
            ),
            _ => {}
        }
    }
}

/// How far a delivery of a request came.
enum Ended {
    /// To its outcome.
    Finished(Outcome, Account),
    /// To the end of the invocation's time.
    Unfinished {
        /// Until when the service asked to be left alone.
        not_before: Option<Instant>,
        account: Account,
    },
}

/// How a wait ended.
enum Waited {
    /// When the step was due.
    Due { timeout: Duration },
    /// Later, because the region had to be left alone.
    Late { timeout: Duration },
    /// The invocation's time does not reach that far.
    OutOfTime,
}

/// `refused_with` is what keys were refused with, if they were.
fn log_trouble(trouble: &CredentialProblem, refused_with: &str) {
    match trouble {
        CredentialProblem::Unavailable(CredentialError { code, problem, advice, .. }) => error!(
            code,
            advice, "the worker has no keys for Alibaba Cloud: {problem}; requests wait until their deadline"
        ),
        CredentialProblem::Refused { advice } => error!(
            code = refused_with,
            advice,
            "Alibaba Cloud refuses the worker's keys: {refused_with}; requests wait until their deadline"
        ),
    }
}

fn log_fault(fault: &Fault, api_request_id: Option<&str>, step: &Step) {
    let wait_ms = match step {
        Step::Call { after, .. } => Some(milliseconds(*after)),
        Step::Finish(_) => None,
    };
    let (action, code) = (fault.action.name(), fault.name.as_str());
    info!(
        action,
        code,
        wait_ms,
        retry_after_ms = fault.retry_after.map(milliseconds),
        api_request_id,
        "{fault}"
    );
}

fn log_answer(call: &Call, api_request_id: Option<&str>, account: &Account) {
    if call.action() == Action::Detach {
        info!(api_request_id, "detach accepted; waiting for its effect");
        return;
    }
    let group_status = account.group_status.map(|status| match status {
        Some(status) => format!("{status:?}"),
        None => "absent".to_owned(),
    });
    debug!(
        action = call.action().name(),
        group_status,
        endpoint_status = account.endpoint_status,
        look_calls = account.look_calls,
        "looked"
    );
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
