//! Faults in AWS: of calls to SQS and `EventBridge`, of invocations, and of receives. They are drawn from a seeded
//! generator until they end; misconfigurations last for a planned time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::record::{InvocationNumber, Operation};
use crate::sandbox::Interruption;

/// The probabilities of faults, each from 0 (never) to 1 (always). The default is never.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// An AWS call, or one entry of several in it, is rejected and changes nothing.
    pub rejected: f64,
    /// Something before AWS responds with an empty success, and nothing changes.
    pub empty_success: f64,
    /// It takes effect, and its response is lost.
    pub response_lost: f64,
    /// Its response is lost, and it takes effect later.
    pub late: f64,
    /// It takes effect twice, because a client repeated it.
    pub repeated: f64,
    /// A call to Alibaba Cloud arrives after the worker stopped waiting for its response.
    pub call_late: f64,
    /// The connection of a call to Alibaba Cloud opens slowly: the call leaves later, or not at all.
    pub connects_slowly: f64,
    /// A call to Alibaba Cloud that was in transit when its process was killed arrives anyway.
    pub outliving: f64,
    /// Planned interruptions by invocation.
    pub interruptions: BTreeMap<InvocationNumber, Interruption>,
    /// An invocation is killed at one of its waits.
    pub killed: f64,
    /// An invocation is suspended for a time.
    pub suspended: f64,
    /// A sandbox is discarded after an invocation, and the next one starts cold.
    pub recycled: f64,
    /// A receive is lost: its messages are in flight, but the function is not invoked.
    pub receive_lost: f64,
    /// A standard queue delivers a message again while it is in flight.
    pub duplicated: f64,
    /// The longest cold start.
    pub cold_start_max: Duration,
    /// The queue's maximum receive count, if it is not the template's.
    pub receives_max: Option<u32>,
    /// Misconfigurations, each for a planned time.
    pub misconfigurations: Vec<Misconfiguration>,
    /// Planned effects of AWS calls.
    pub planned: Vec<PlannedEffect>,
}

/// The planned effect of the next AWS calls of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedEffect {
    pub operation: Operation,
    pub effect: AwsEffect,
    /// The number of calls.
    pub calls: u32,
    /// When it ends, since the start of the history.
    pub until: Duration,
}

/// A misconfiguration that is fixed later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misconfiguration {
    pub breaks: Breaks,
    /// When it begins, since the start of the history.
    pub from: Duration,
    /// When it ends, since the start of the history.
    pub until: Duration,
}

/// What a misconfiguration breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// The function does not start, so every invocation fails.
    Start,
    /// AWS rejects this operation: no permission, or a bus or queue that does not exist.
    Operation(Operation),
    /// The function has this short timeout.
    Timeout(Duration),
}

/// The effect of one AWS call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsEffect {
    /// It takes effect.
    Applied,
    /// It takes effect twice, because a client repeated it.
    AppliedTwice,
    /// It is rejected and changes nothing.
    Rejected,
    /// Something before AWS, such as a proxy, responds with a success and no content, and nothing changes.
    EmptySuccess,
    /// It takes effect, and its response is lost.
    ResponseLost,
    /// It takes effect this much later.
    AppliedLate(Duration),
}

/// Draws which faults occur.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    faults: Faults,
    rng: fastrand::Rng,
    began: SystemTime,
    is_over: bool,
}

/// The latest poll of an invocation at which it is killed or suspended. A detach of one message takes about forty.
const POLLS_MAX: u32 = 120;

/// The longest suspension: longer than the function's timeout.
const SUSPENSION_MAX: Duration = Duration::from_mins(2);

/// The longest time in which a connection opens: production's timeout of the handshakes.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The longest delay of an abandoned change or call.
const LATE_MAX: Duration = Duration::from_secs(25);

impl FaultInjector {
    pub(crate) fn new(faults: Faults, random: u64, began: SystemTime) -> Self {
        Self { faults, rng: fastrand::Rng::with_seed(random), began, is_over: false }
    }

    /// No fault occurs from now on.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    pub(crate) fn effect(&mut self, operation: Operation, now: SystemTime) -> AwsEffect {
        if self.is_broken(Breaks::Operation(operation), now) {
            return AwsEffect::Rejected;
        }
        if let Some(effect) = self.planned(operation, now) {
            return effect;
        }
        let Faults { rejected, empty_success, response_lost, late, repeated, .. } = self.faults;
        if self.occurs(rejected) {
            AwsEffect::Rejected
        } else if self.occurs(empty_success) {
            AwsEffect::EmptySuccess
        } else if self.occurs(response_lost) {
            AwsEffect::ResponseLost
        } else if self.occurs(late) {
            AwsEffect::AppliedLate(LATE_MAX.mul_f64(self.rng.f64()))
        } else if self.occurs(repeated) {
            AwsEffect::AppliedTwice
        } else {
            AwsEffect::Applied
        }
    }

    fn planned(&mut self, operation: Operation, now: SystemTime) -> Option<AwsEffect> {
        let passed = now.duration_since(self.began).unwrap_or_default();
        let mut planned = self.faults.planned.iter_mut();
        let next =
            planned.find(|next| next.operation == operation && next.calls > 0 && passed < next.until)?;
        next.calls -= 1;
        Some(next.effect)
    }

    /// The entry of a batch call that is rejected alone, if any.
    pub(crate) fn failed_entry(&mut self, entries: usize) -> Option<usize> {
        (entries > 1 && self.occurs(self.faults.rejected)).then(|| self.rng.usize(0..entries))
    }

    /// The additional delay of a call to Alibaba Cloud, if any.
    pub(crate) fn call_delay(&mut self) -> Option<Duration> {
        let is_late = self.occurs(self.faults.call_late);
        is_late.then(|| LATE_MAX.mul_f64(self.rng.f64()))
    }

    /// How long the connection of a call to Alibaba Cloud takes to open, if it opens slowly.
    pub(crate) fn connect_time(&mut self) -> Option<Duration> {
        let is_slow = self.occurs(self.faults.connects_slowly);
        is_slow.then(|| CONNECT_MAX.mul_f64(self.rng.f64()))
    }

    pub(crate) fn interruption(&mut self, invocation: InvocationNumber) -> Option<Interruption> {
        if let Some(planned) = self.faults.interruptions.get(&invocation) {
            return Some(*planned);
        }
        if self.occurs(self.faults.killed) {
            return Some(Interruption::Kill { polls: self.rng.u32(0..POLLS_MAX) });
        }
        let is_suspended = self.occurs(self.faults.suspended);
        is_suspended.then(|| Interruption::Suspend {
            polls: self.rng.u32(0..POLLS_MAX),
            duration: SUSPENSION_MAX.mul_f64(self.rng.f64()),
        })
    }

    pub(crate) fn is_outliving(&mut self) -> bool {
        self.occurs(self.faults.outliving)
    }

    pub(crate) fn is_recycled(&mut self) -> bool {
        self.occurs(self.faults.recycled)
    }

    pub(crate) fn is_receive_lost(&mut self) -> bool {
        self.occurs(self.faults.receive_lost)
    }

    pub(crate) fn is_duplicated(&mut self) -> bool {
        self.occurs(self.faults.duplicated)
    }

    pub(crate) fn cold_start(&mut self) -> Duration {
        self.faults.cold_start_max.mul_f64(self.rng.f64())
    }

    pub(crate) fn is_start_broken(&self, now: SystemTime) -> bool {
        self.is_broken(Breaks::Start, now)
    }

    /// The function's timeout, if a misconfiguration changed it.
    pub(crate) fn timeout(&self, now: SystemTime) -> Option<Duration> {
        self.misconfigurations(now).find_map(|misconfiguration| match misconfiguration.breaks {
            Breaks::Timeout(timeout) => Some(timeout),
            Breaks::Start | Breaks::Operation(_) => None,
        })
    }

    fn is_broken(&self, breaks: Breaks, now: SystemTime) -> bool {
        self.misconfigurations(now).any(|misconfiguration| misconfiguration.breaks == breaks)
    }

    fn misconfigurations(&self, now: SystemTime) -> impl Iterator<Item = &Misconfiguration> {
        let passed = now.duration_since(self.began).unwrap_or_default();
        let is_over = self.is_over;
        let misconfigurations = self.faults.misconfigurations.iter();
        misconfigurations.filter(move |misconfiguration| {
            !is_over && (misconfiguration.from..misconfiguration.until).contains(&passed)
        })
    }

    fn occurs(&mut self, share: f64) -> bool {
        !self.is_over && share > 0.0 && self.rng.f64() < share
    }
}
