//! Calls to Alibaba Cloud with the waits that its quotas require: each call is made when it is due and its region is
//! not throttled.
//!
//! It contains no rule about detaching. One match decides what an error means for other requests: a throttled region,
//! or refused credentials.

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::deadline::Deadline;
use super::lanes::{InFlight, Lanes};
use super::observer::{Alert, Event, Observer};
use super::pace::{Departures, Pace};
use super::throttled_regions::ThrottledRegions;
use super::time_budget::Run;
use crate::alibaba::client::Client;
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::credentials::{CredentialProblem, Credentials};
use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::{Call, Read, Target};
use crate::alibaba::response::{CallResult, Response};
use crate::clock::Clock;
use crate::detach::Step;
use crate::random::Random;
use crate::request::RegionId;
use crate::transport::Transport;

/// How long a region counts as throttled if the response has no hint and the request makes no other call; also the
/// maximum jitter after a throttle.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// The client, the throttled regions and the lanes of a process.
#[derive(Debug)]
pub struct Cloud<T> {
    client: Client<T>,
    throttled: ThrottledRegions,
    departures: Departures,
    lanes: Lanes,
    random: Random,
    jitter: RefCell<fastrand::Rng>,
}

/// How a wait for a call ended.
pub(super) enum Wait {
    /// When the step was due.
    Due { timeout: Duration },
    /// Later, because the region was throttled.
    Late { timeout: Duration },
    /// The call does not fit into the time budget, or the run is stopped.
    OutOfTime,
}

impl<T: Transport> Cloud<T> {
    /// `random` determines jitter and client tokens, and must be a different source in every process. The process is
    /// assumed to be the only one that detaches.
    pub fn new(client: Client<T>, random: impl Into<Random>) -> Self {
        let random = random.into();
        let jitter = RefCell::new(random.generator());
        let (throttled, departures) = (ThrottledRegions::default(), Departures::default());
        let lanes = Lanes::of(NonZeroU16::MIN);
        Self { client, throttled, departures, lanes, random, jitter }
    }

    /// The same, in one of this many processes that may detach at once.
    #[must_use]
    pub fn one_of(self, workers: NonZeroU16) -> Self {
        Self { lanes: Lanes::of(workers), ..self }
    }

    /// The client, for calls that are no part of a detach.
    pub fn client(&self) -> &Client<T> {
        &self.client
    }

    /// Gets the credentials, and opens a connection to this region, before a request needs them. A failure is an alert and
    /// prevents nothing: requests wait for credentials, and a call opens its own connection.
    pub async fn prepare(
        &self,
        region: Option<&RegionId>,
        connect_time: Duration,
        clock: &Clock,
        observer: &dyn Observer,
    ) {
        let connected = async {
            if let Some(region) = region {
                self.client.connect(region, connect_time).await;
            }
        };
        // The connection first: this round trip is the longest.
        let ((), credentials) = futures_util::future::join(connected, self.client.prepare(clock)).await;
        if let Err(error) = credentials
            && let Some(problem) = self.client.credential_problem()
        {
            observer.alert(&Alert::Credentials { problem: &problem, code: &error.code() });
        }
    }

    /// A random number between 0 and 1.
    pub(crate) fn random_share(&self) -> f64 {
        self.jitter.borrow_mut().f64()
    }

    /// The prefix of one delivery's client tokens. It leaves the process, so it does not come from the generator of jitter.
    pub(super) fn token_prefix(&self) -> u128 {
        self.random.u128()
    }

    /// Counts a detach in this region as in flight until the result is dropped.
    pub(super) fn enter(&self, region: &RegionId) -> InFlight<'_> {
        self.lanes.enter(region)
    }

    /// The generator of one delivery's jitter.
    pub(super) fn delivery_jitter(&self) -> fastrand::Rng {
        self.jitter.borrow_mut().fork()
    }

    /// The end of the region's throttling, if it is throttled at that moment.
    pub(crate) fn held_until(&self, region: &RegionId, at: Instant) -> Option<Instant> {
        self.throttled.held_until(region, at)
    }

    /// How far Alibaba Cloud's clock is ahead of the function's; negative if it is behind.
    pub(crate) fn clock_ahead(&self) -> time::Duration {
        self.client.service_clock().ahead()
    }

    /// The moment of a deadline, by the clock as it is known now.
    pub(crate) fn moment_of(&self, deadline: &Deadline, clock: &Clock) -> Instant {
        deadline.moment(clock, self.clock_ahead())
    }

    /// Waits until the call is due, for its credentials if it is a read, and until its region is not throttled.
    pub(super) async fn wait(
        &self,
        call: &Call,
        after: Duration,
        is_overdue: bool,
        attempt: &Attempt<'_>,
        run: &Run,
    ) -> Wait {
        let (clock, region) = (run.clock, &attempt.request.region_id);
        let mut at = clock.now() + after;
        let mut is_late = false;
        loop {
            if let Some(until) = self.throttled.held_until(region, at) {
                // Jitter, so that the lanes that waited do not all call at once.
                at = until + THROTTLED_PAUSE.mul_f64(self.random_share());
                is_late = true;
                let throttled = Event::RegionThrottled { region_id: region, wait: clock.left(at) };
                attempt.observer.observe(attempt.request_id, &throttled);
            }
            let Some(until) = run.call_may_last_until(at, is_overdue) else {
                return Wait::OutOfTime;
            };
            if !run.wait_until(at).await {
                return Wait::OutOfTime;
            }
            let timeout = run.limits.call_timeout.min(clock.left(until));
            let until = clock.now() + timeout;
            if call.action().write().is_none() {
                self.client.refresh_credentials(&clock, timeout).await;
            }
            if run.is_stopped() {
                return Wait::OutOfTime;
            }
            // Last, because the region may begin to throttle during each of the waits.
            let now = clock.now();
            if self.throttled.held_until(region, now).is_none() {
                let timeout = until.saturating_duration_since(now);
                return if is_late { Wait::Late { timeout } } else { Wait::Due { timeout } };
            }
            at = now;
        }
    }

    /// Makes a call that [`Self::wait`] allows.
    pub(super) async fn call(
        &self,
        target: &Target,
        call: &Call,
        attempt: &Attempt<'_>,
        run: &Run,
        timeout: Duration,
    ) -> CallResult {
        let result = self.client.send(&call.request(target), &run.clock, timeout).await;
        run.responses.note(&result.result);
        run.correct_end(self.clock_ahead());
        if let Some(ahead) = self.client.service_clock().ignored() {
            run.ignore_correction("the Date of Alibaba Cloud's responses", ahead, attempt.observer);
        }
        result
    }

    /// When a call of a sweep may leave, by its pace and its region's throttling; `None` if neither limits it.
    pub(super) fn may_read_at(&self, region: &RegionId, call: &Read, pace: &Pace) -> Option<Instant> {
        let paced = self.departures.next(region, call, pace);
        paced.max(self.throttled.until(region))
    }

    /// Records that a call of a sweep leaves now.
    pub(super) fn note_read(&self, region: &RegionId, call: &Read, now: Instant) {
        self.departures.note(region, call, now);
    }

    /// Reads the credentials for a call of a sweep if that is due.
    pub(super) async fn refresh_credentials(&self, clock: &Clock, timeout: Duration) {
        self.client.refresh_credentials(clock, timeout).await;
    }

    /// Whether there are credentials that have not expired and that the last response did not refuse.
    pub(super) fn has_usable_credentials(&self, clock: &Clock) -> bool {
        self.client.has_usable_credentials(clock)
    }

    /// Makes one call of a sweep, with the credentials as they are.
    pub(super) async fn read(
        &self,
        region: &RegionId,
        call: &Read,
        clock: &Clock,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        self.client.send(&call.request(region), clock, timeout).await.result
    }

    /// Marks a region as throttled for as long as the service requests.
    pub(super) fn hold(&self, region: &RegionId, now: Instant, retry_after: Option<Duration>) {
        self.throttled.hold(region, now, now + retry_after.unwrap_or(THROTTLED_PAUSE));
    }

    /// What an operator must fix, after a call that failed for its credentials; `None` if the next call may succeed.
    pub(super) fn credential_problem(&self) -> Option<CredentialProblem> {
        self.client.credential_problem()
    }

    /// The time until a read may succeed, after a read that failed because of its credentials; `None` if there will be
    /// no other credentials.
    pub(super) fn credential_renewal(&self, clock: &Clock) -> Option<Duration> {
        self.client.credential_renewal(clock)
    }

    /// The credentials for another service's calls; `None` if there are none.
    pub(super) async fn credentials(&self, clock: &Clock) -> Option<Rc<Credentials>> {
        self.client.credentials(clock).await.ok()
    }

    /// Ends a run: raises the alarm if none of its calls got a readable response. Requests only wait then, so that no
    /// other line says that the network is broken.
    pub fn end(&self, run: &Run, observer: &dyn Observer) {
        if let Some((calls, error)) = run.responses.all_missing() {
            observer.alert(&Alert::Unreachable { calls, error: &error });
        }
    }

    /// Applies what an error means for other requests. `began` is when its call began.
    pub(super) fn on_error(
        &self,
        error: &CallError,
        next: &Step,
        began: Instant,
        attempt: &Attempt<'_>,
        run: &Run,
    ) {
        match error.kind {
            ErrorKind::Throttled => {
                let wait = match next {
                    Step::Call { after, .. } => *after,
                    Step::Finish(_) => THROTTLED_PAUSE,
                };
                let now = run.clock.now();
                self.throttled.hold(&attempt.request.region_id, now, now + error.retry_after.unwrap_or(wait));
            }
            ErrorKind::Credentials | ErrorKind::CredentialsExpired | ErrorKind::NoCredentials => {
                if let Some(problem) = self.client.credential_problem() {
                    if run.alarms.raise_credentials() {
                        let alert = Alert::Credentials { problem: &problem, code: &error.code.name() };
                        attempt.observer.alert(&alert);
                    }
                    // That alert names the code, also one that the table does not know.
                    return;
                }
            }
            ErrorKind::Clock if run.alarms.raise_clock(began, run.clock.now()) => {
                attempt.observer.alert(&Alert::Clock { code: &error.code.name() });
            }
            _ => {}
        }
        if error.is_unlisted && run.alarms.raise_unlisted_code() {
            attempt.observer.alert(&Alert::UnlistedCode { error });
        }
    }
}
