//! Carries out detaches with the worker's core: several endpoints at the same time, the groups of one endpoint one after
//! another.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;

use super::failure::Failure;
use super::finished::{Finished, Named, label};
use super::interruption::Interruption;
use super::output::progress::detaches::Progress;
use super::output::terminal::Terminal;
use super::session::Session;
use super::watch::Watch;
use crate::clock::Clock;
use crate::detach::{Evidence, Limits, Outcome, TimeExpired};
use crate::drive::time_budget::{Run, TimeLimits};
use crate::drive::{Attempt, Deadline, Ended, drive};
use crate::request::{DetachRequest, EndpointId, RegionId, SecurityGroupId};

/// How many endpoints of a region are changed at the same time.
///
/// With [`SPACING`] and the polls of [`Limits`], each endpoint needs at most two group lists a second, so together they need
/// at most 960 a minute. The share of the quota for a sweep is 1,000.
const ENDPOINTS_MAX: usize = 8;

/// The shortest time between the starts of two successive detaches in the same place.
const SPACING: Duration = Duration::from_secs(1);

/// The time after a timeout for the last read, pages and a throttled region included.
const LAST_READ_TIME: Duration = Duration::from_mins(1);

/// How long the calls in flight may take to end after an interruption: most responses arrive within a second.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(3);

/// Why requests did not end.
#[derive(Debug)]
pub(super) enum Stopped {
    Interrupted,
    /// What is wrong with the credentials.
    Credentials(String),
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Interrupted => Self::Interrupted,
            Stopped::Credentials(problem) => Self::Credentials(problem),
        }
    }
}

/// How some requests ended.
#[derive(Debug)]
pub(super) struct CarriedOut {
    /// Those that ended, in their order.
    pub(super) finished: Vec<Finished>,
    /// Those that were begun and did not end, each with what is known about it.
    pub(super) unfinished: Vec<String>,
    /// How many were not begun.
    pub(super) untouched: usize,
    pub(super) stopped: Option<Stopped>,
}

/// A reading of one endpoint.
#[derive(Debug)]
pub(super) enum Look {
    /// The request ends without a write.
    Finished(Finished),
    /// A write is due.
    WriteDue {
        /// What was read.
        evidence: Evidence,
        /// The replacement, which is attached first; `None` if the requested group is not the endpoint's last one.
        replacement: Option<SecurityGroupId>,
    },
}

/// How requests are carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) session: &'a Session,
    pub(super) terminal: &'a Terminal,
    /// For each request.
    pub(super) timeout: Duration,
}

/// One run of requests, and how far each is.
struct Working<'a> {
    lanes: Lanes<'a>,
    run: &'a Run,
    watch: &'a Watch<'a>,
    progress: &'a Progress,
    requests: &'a [Named],
    begun: RefCell<BTreeMap<usize, Progressed>>,
}

/// How far a request is.
enum Progressed {
    InFlight,
    Finished(Finished),
    Unfinished(Evidence),
}

impl Lanes<'_> {
    /// Reads the endpoint of a request until a write is due, or until the request ends without one.
    pub(super) async fn look(&self, named: &Named, interruption: &mut Interruption) -> Result<Look, Stopped> {
        let request = match &named.parsed.result {
            Ok(request) => request,
            Err(rejection) => return Ok(Look::Finished(Finished::rejected(named, rejection, self.session))),
        };
        let run = self.run(1).read_only();
        let progress = Progress::new(1, self.terminal);
        let watch = Watch::new(&run, &progress, &self.session.source);
        progress.begin(&named.id, label(request));
        let began = run.clock.now();
        let ended = interruption.unless(self.drive(named, request, &run, &watch)).await;
        progress.end(&named.id, None);
        let Some(ended) = ended else { return Err(Stopped::Interrupted) };
        if let Some(problem) = watch.credential_problem() {
            return Err(Stopped::Credentials(problem));
        }
        match ended {
            Ended::Unfinished { evidence, attach_due, .. } if evidence.group.is_some() => {
                Ok(Look::WriteDue { evidence, replacement: attach_due })
            }
            ended => {
                self.session.cloud.end(&run, &watch);
                let (outcome, evidence) = outcome(ended);
                Ok(Look::Finished(Finished::new(named, outcome, &evidence, began, self.session)))
            }
        }
    }

    /// Carries out the requests. An interruption or rejected credentials end the run: no call starts after them.
    pub(super) async fn carry_out(&self, requests: &[Named], interruption: &mut Interruption) -> CarriedOut {
        let run = self.run(requests.len());
        let progress = Progress::new(requests.len(), self.terminal);
        let watch = Watch::new(&run, &progress, &self.session.source);
        let working = Working {
            lanes: *self,
            run: &run,
            watch: &watch,
            progress: &progress,
            requests,
            begun: RefCell::default(),
        };
        let mut work = Box::pin(working.work());
        let mut is_interrupted = interruption.unless(&mut work).await.is_none();
        if is_interrupted {
            run.stop();
            progress.note("interrupted: waiting for the calls in flight; press Ctrl-C again to end at once");
            let until = run.clock.now() + INTERRUPTED_WAIT;
            interruption.unless(run.clock.by(until, &mut work)).await;
        }
        drop(work);
        self.session.cloud.end(&run, &watch);
        let begun = working.begun.into_inner();
        let untouched = requests.len() - begun.len();
        let mut carried =
            CarriedOut { finished: Vec::new(), unfinished: Vec::new(), untouched, stopped: None };
        for (index, progressed) in begun {
            match progressed {
                Progressed::Finished(finished) => carried.finished.push(finished),
                Progressed::Unfinished(evidence) => {
                    carried.unfinished.push(requests[index].unfinished(Some(&evidence)));
                }
                Progressed::InFlight => carried.unfinished.push(requests[index].unfinished(None)),
            }
        }
        // If every request ended, the interruption changed nothing.
        is_interrupted &= carried.untouched > 0 || !carried.unfinished.is_empty();
        carried.stopped = match watch.credential_problem() {
            _ if is_interrupted => Some(Stopped::Interrupted),
            Some(problem) => Some(Stopped::Credentials(problem)),
            None => None,
        };
        carried
    }

    /// A run that is long enough for this number of requests, one after the other.
    fn run(&self, requests: usize) -> Run {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let length = (self.timeout + LAST_READ_TIME).saturating_mul(requests.max(1));
        // No step follows the last call, so no time is reserved for one.
        let limits = TimeLimits {
            wait_max: length,
            reserve: Duration::ZERO,
            last_read_reserve: Duration::ZERO,
            ..TimeLimits::default()
        };
        // The limits of a run count from the start of its clock.
        let clock = Clock::starting_at(self.session.clock.wall());
        Run::until(clock, clock.now() + length, limits)
    }

    async fn drive(&self, named: &Named, request: &DetachRequest, run: &Run, watch: &Watch<'_>) -> Ended {
        let attempt = Attempt {
            request,
            replacements: &named.replacements,
            request_id: &named.id,
            observer: watch,
            is_first_delivery: true,
            deadline: Deadline::Moment(run.clock.now() + self.timeout),
        };
        drive(&self.session.cloud, &attempt, Limits::default(), run).await
    }
}

/// The outcome of a detach that ended. Without one its time expired, because the region was throttled until after the
/// last read.
fn outcome(ended: Ended) -> (Outcome, Evidence) {
    match ended {
        Ended::Finished(outcome, evidence) => (outcome, evidence),
        Ended::Unfinished { evidence, .. } => (Outcome::Unconfirmed(TimeExpired::Deadline), evidence),
    }
}

impl Working<'_> {
    /// Carries out every request: those of an endpoint in their order.
    async fn work(&self) {
        let mut regions: BTreeMap<&RegionId, BTreeMap<&EndpointId, Vec<usize>>> = BTreeMap::new();
        for (index, named) in self.requests.iter().enumerate() {
            match &named.parsed.result {
                Ok(request) => {
                    let endpoints = regions.entry(&request.region_id).or_default();
                    endpoints.entry(&request.endpoint_id).or_default().push(index);
                }
                Err(rejection) => {
                    let finished = Finished::rejected(named, rejection, self.lanes.session);
                    self.begun.borrow_mut().insert(index, Progressed::Finished(finished));
                }
            }
        }
        let queues: Vec<RefCell<VecDeque<Vec<usize>>>> =
            regions.into_values().map(|endpoints| RefCell::new(endpoints.into_values().collect())).collect();
        let places = queues.iter().flat_map(|queue| {
            let places = queue.borrow().len().min(ENDPOINTS_MAX);
            (0..places).map(move |_| self.work_on(queue))
        });
        join_all(places).await;
    }

    /// Takes one endpoint after the other from a region's queue.
    async fn work_on(&self, queue: &RefCell<VecDeque<Vec<usize>>>) {
        let mut begins_at = self.run.clock.now();
        let next = || queue.borrow_mut().pop_front();
        while let Some(lane) = next() {
            for index in lane {
                if !self.run.wait_until(begins_at).await {
                    return;
                }
                begins_at = self.run.clock.now() + SPACING;
                self.carry_out(index).await;
            }
        }
    }

    async fn carry_out(&self, index: usize) {
        let named = &self.requests[index];
        let Ok(request) = &named.parsed.result else { return };
        self.begun.borrow_mut().insert(index, Progressed::InFlight);
        self.progress.begin(&named.id, label(request));
        let began = self.run.clock.now();
        let progressed = match self.lanes.drive(named, request, self.run, self.watch).await {
            Ended::Unfinished { evidence, .. } if self.run.is_stopped() => Progressed::Unfinished(evidence),
            ended => {
                let (outcome, evidence) = outcome(ended);
                Progressed::Finished(Finished::new(named, outcome, &evidence, began, self.lanes.session))
            }
        };
        let shown = match &progressed {
            Progressed::Finished(finished) => Some(finished.shown()),
            Progressed::Unfinished(_) | Progressed::InFlight => None,
        };
        self.progress.end(&named.id, shown.as_deref());
        self.begun.borrow_mut().insert(index, progressed);
    }
}
