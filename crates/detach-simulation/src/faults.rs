//! What goes wrong in AWS: with calls to SQS and `EventBridge`, with invocations, with receives. By chance, from one seeded
//! source, until it ends; and for some while by somebody's mistake.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::record::{InvocationNumber, Operation};
use crate::sandbox::Interruption;

/// How often things go wrong, each from 0 (never) to 1 (always). The default is never.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Troubles {
    /// An AWS call, or one entry of several in it, is refused and changes nothing.
    pub refused: f64,
    /// It takes effect, and its answer is lost.
    pub answer_lost: f64,
    /// Its answer is lost, and it takes effect later.
    pub late: f64,
    /// It takes effect twice, because a client repeated it.
    pub repeated: f64,
    /// A call to Alibaba Cloud arrives when nobody waits for its answer any more.
    pub call_late: f64,
    /// A call to Alibaba Cloud that was on its way when its process died arrives all the same.
    pub outliving: f64,
    /// What befalls certain invocations, by their number.
    pub interruptions: BTreeMap<InvocationNumber, Interruption>,
    /// An invocation is killed somewhere on its way.
    pub killed: f64,
    /// An invocation stands still for a while, everything in it.
    pub stalled: f64,
    /// A sandbox is given up after an invocation, and the next one starts cold.
    pub recycled: f64,
    /// A receive is lost: its messages are in flight, and nobody has them.
    pub receive_lost: f64,
    /// A standard queue delivers a message that is in flight once more.
    pub duplicated: f64,
    /// How long a cold start takes at most.
    pub cold_start_max: Duration,
    /// The queue gives a message up after so few receives, if not after as many as the template says.
    pub receives_max: Option<u32>,
    /// What somebody's mistake breaks for a while.
    pub mistakes: Vec<Mistake>,
    /// What becomes of certain AWS calls.
    pub planned: Vec<Planned>,
}

/// What becomes of the next AWS calls of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The operation.
    pub operation: Operation,
    /// What becomes of them.
    pub fate: Fate,
    /// Of how many of them.
    pub calls: u32,
    /// Until then, counted from the beginning.
    pub until: Duration,
}

/// A configuration that is broken, and mended later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// What does not work.
    pub breaks: Breaks,
    /// From then on, counted from the beginning.
    pub from: Duration,
    /// Until then.
    pub until: Duration,
}

/// What a mistake breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// The function does not start, so every invocation fails.
    Start,
    /// AWS refuses this operation: no permission, or a bus or queue that does not exist.
    Operation(Operation),
    /// The function's timeout is this short.
    Timeout(Duration),
}

/// What becomes of one AWS call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect.
    Done,
    /// It takes effect twice, because a client repeated it.
    Repeated,
    /// It is refused and changes nothing.
    Refused,
    /// It takes effect, and its answer is lost.
    ResponseLost,
    /// It takes effect so much later.
    Late(Duration),
}

/// The troubles, and the chance that deals them out.
#[derive(Debug)]
pub(crate) struct Chance {
    troubles: Troubles,
    rng: fastrand::Rng,
    began: SystemTime,
    is_over: bool,
}

/// Most polls of an invocation that a kill or a standstill waits for. A detach of one message takes some forty.
const POLLS_MAX: u32 = 120;

/// The longest standstill: longer than the function's timeout.
const STALL_MAX: Duration = Duration::from_mins(2);

/// The latest that a change may take effect after it was given up, and a call may arrive.
const LATE_MAX: Duration = Duration::from_secs(25);

impl Chance {
    pub(crate) fn new(troubles: Troubles, random: u64, began: SystemTime) -> Self {
        Self { troubles, rng: fastrand::Rng::with_seed(random), began, is_over: false }
    }

    /// From now on nothing goes wrong by itself.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    pub(crate) fn fate(&mut self, operation: Operation, now: SystemTime) -> Fate {
        if self.is_broken(Breaks::Operation(operation), now) {
            return Fate::Refused;
        }
        if let Some(fate) = self.planned(operation, now) {
            return fate;
        }
        let Troubles { refused, answer_lost, late, repeated, .. } = self.troubles;
        if self.strikes(refused) {
            Fate::Refused
        } else if self.strikes(answer_lost) {
            Fate::ResponseLost
        } else if self.strikes(late) {
            Fate::Late(LATE_MAX.mul_f64(self.rng.f64()))
        } else if self.strikes(repeated) {
            Fate::Repeated
        } else {
            Fate::Done
        }
    }

    fn planned(&mut self, operation: Operation, now: SystemTime) -> Option<Fate> {
        let passed = now.duration_since(self.began).unwrap_or_default();
        let mut planned = self.troubles.planned.iter_mut();
        let next =
            planned.find(|next| next.operation == operation && next.calls > 0 && passed < next.until)?;
        next.calls -= 1;
        Some(next.fate)
    }

    /// Which of several entries of a batch call is refused, if one is by itself.
    pub(crate) fn failed_entry(&mut self, entries: usize) -> Option<usize> {
        (entries > 1 && self.strikes(self.troubles.refused)).then(|| self.rng.usize(0..entries))
    }

    /// By how much a call to Alibaba Cloud is late, if it is.
    pub(crate) fn call_delay(&mut self) -> Option<Duration> {
        let is_late = self.strikes(self.troubles.call_late);
        is_late.then(|| LATE_MAX.mul_f64(self.rng.f64()))
    }

    pub(crate) fn interruption(&mut self, invocation: InvocationNumber) -> Option<Interruption> {
        if let Some(planned) = self.troubles.interruptions.get(&invocation) {
            return Some(*planned);
        }
        if self.strikes(self.troubles.killed) {
            return Some(Interruption::Kill { polls: self.rng.u32(0..POLLS_MAX) });
        }
        let is_stalled = self.strikes(self.troubles.stalled);
        is_stalled.then(|| Interruption::Stall {
            polls: self.rng.u32(0..POLLS_MAX),
            lasting: STALL_MAX.mul_f64(self.rng.f64()),
        })
    }

    pub(crate) fn is_outliving(&mut self) -> bool {
        self.strikes(self.troubles.outliving)
    }

    pub(crate) fn is_recycled(&mut self) -> bool {
        self.strikes(self.troubles.recycled)
    }

    pub(crate) fn is_receive_lost(&mut self) -> bool {
        self.strikes(self.troubles.receive_lost)
    }

    pub(crate) fn is_duplicated(&mut self) -> bool {
        self.strikes(self.troubles.duplicated)
    }

    pub(crate) fn cold_start(&mut self) -> Duration {
        self.troubles.cold_start_max.mul_f64(self.rng.f64())
    }

    pub(crate) fn is_start_broken(&self, now: SystemTime) -> bool {
        self.is_broken(Breaks::Start, now)
    }

    /// The function's timeout, if a mistake made it another one.
    pub(crate) fn timeout(&self, now: SystemTime) -> Option<Duration> {
        self.mistakes(now).find_map(|mistake| match mistake.breaks {
            Breaks::Timeout(timeout) => Some(timeout),
            Breaks::Start | Breaks::Operation(_) => None,
        })
    }

    fn is_broken(&self, breaks: Breaks, now: SystemTime) -> bool {
        self.mistakes(now).any(|mistake| mistake.breaks == breaks)
    }

    fn mistakes(&self, now: SystemTime) -> impl Iterator<Item = &Mistake> {
        let passed = now.duration_since(self.began).unwrap_or_default();
        let is_over = self.is_over;
        let mistakes = self.troubles.mistakes.iter();
        mistakes.filter(move |mistake| !is_over && (mistake.from..mistake.until).contains(&passed))
    }

    fn strikes(&mut self, share: f64) -> bool {
        !self.is_over && share > 0.0 && self.rng.f64() < share
    }
}
