//! How much time a run of calls may use. A run is an invocation of the worker, or any other period with an end.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::select;
use tokio::sync::Notify;

use super::observer::{Alert, Observer};
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::response::Response;
use crate::clock::{Clock, shifted};

/// The limits of a run. The default is that of an invocation of the worker; tests shorten it, and a program without
/// Lambda's limits sets longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// How long a run waits at most: a longer wait costs compute time, a shorter one costs receives.
    pub wait_max: Duration,
    /// Reserved at the end for AWS calls: copy, publish and return to the queue, at most 3 s each. The delete uses what
    /// they leave.
    pub reserve: Duration,
    /// The part of the reserve that a last read must leave, so that its outcome can be published.
    pub last_read_reserve: Duration,
    /// The longest call to Alibaba Cloud, the read timeout of its own SDKs.
    pub call_timeout: Duration,
    /// The shortest time in which a call is started.
    pub call_time_min: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_mins(1),
            reserve: Duration::from_secs(10),
            last_read_reserve: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            call_time_min: Duration::from_millis(500),
        }
    }
}

/// The assumed length of an invocation whose given end is not possible, because our clock is wrong, or an emulator's:
/// the template's function timeout.
pub const LENGTH_ASSUMED: Duration = Duration::from_secs(90);

/// The longest invocation, Lambda's limit.
const LENGTH_MAX: Duration = Duration::from_mins(15);

/// One run of calls, from its start to its end.
#[derive(Debug)]
pub struct Run {
    pub clock: Clock,
    pub limits: TimeLimits,
    pub(super) alarms: Alarms,
    pub(super) responses: Responses,
    /// When Lambda ends the invocation, by Lambda's clock; `None` if the run is no invocation.
    ends_at: Option<SystemTime>,
    ends: Cell<Instant>,
    /// Whether it ends before the first write.
    is_read_only: bool,
    stop: Stop,
}

/// The request to make no further call.
#[derive(Debug, Default)]
struct Stop {
    is_requested: Cell<bool>,
    requested: Notify,
}

/// Errors that concern every request: each is logged once per run.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    has_raised_credentials: Cell<bool>,
    has_raised_clock: Cell<bool>,
    has_raised_unlisted_code: Cell<bool>,
    has_raised_correction: Cell<bool>,
    clock_corrected_at: Cell<Option<Instant>>,
}

impl Alarms {
    /// True the first time.
    pub(super) fn raise_credentials(&self) -> bool {
        !self.has_raised_credentials.replace(true)
    }

    /// True the first time.
    pub(super) fn raise_unlisted_code(&self) -> bool {
        !self.has_raised_unlisted_code.replace(true)
    }

    /// True the first time that a call which began after the clock was corrected is refused for the clock.
    pub(super) fn raise_clock(&self, began: Instant, now: Instant) -> bool {
        match self.clock_corrected_at.get() {
            None => {
                self.clock_corrected_at.set(Some(now));
                false
            }
            Some(corrected_at) => began >= corrected_at && !self.has_raised_clock.replace(true),
        }
    }
}

/// Whether the service responds to the calls of a run.
#[derive(Debug, Default)]
pub(super) struct Responses {
    is_any: Cell<bool>,
    missing: Cell<u32>,
    error_last: RefCell<Option<CallError>>,
}

impl Responses {
    /// Counts a call by its result. A call that was not sent does not count. A status without a code, or a body that cannot
    /// be read, is no response of the service: a proxy, a gateway or a firewall can send it.
    pub(super) fn note(&self, result: &Result<Response, CallError>) {
        let Err(error) = result else {
            self.is_any.set(true);
            return;
        };
        match error.code {
            ErrorCode::Alibaba(_) => self.is_any.set(true),
            ErrorCode::NoResponse(_) => {
                self.missing.set(self.missing.get() + 1);
                self.error_last.replace(Some(error.clone()));
            }
            ErrorCode::NoCredentials => {}
        }
    }

    /// The number of calls and the error of the latest one, if none of them got a response of the service.
    pub(super) fn all_missing(&self) -> Option<(u32, CallError)> {
        let error = self.error_last.borrow().clone().filter(|_| !self.is_any.get())?;
        Some((self.missing.get(), error))
    }
}

impl Run {
    /// The run that starts with `clock` and ends at that moment.
    #[must_use]
    pub fn until(clock: Clock, ends: Instant, limits: TimeLimits) -> Self {
        let (alarms, responses) = (Alarms::default(), Responses::default());
        let (is_read_only, stop) = (false, Stop::default());
        Self { clock, limits, alarms, responses, ends_at: None, ends: Cell::new(ends), is_read_only, stop }
    }

    /// The same run, which makes no write: a detach that needs one is unfinished.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { is_read_only: true, ..self }
    }

    /// Ends the run: every wait ends, and no call begins. Calls in flight and reads of credentials are not interrupted.
    pub fn stop(&self) {
        self.stop.is_requested.set(true);
        self.stop.requested.notify_waiters();
    }

    /// Whether [`Self::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested.get()
    }

    /// Whether a write may be made.
    pub(super) fn admits_writes(&self) -> bool {
        !self.is_read_only
    }

    /// Waits until then, or until the run is stopped. Whether the time was reached and the run goes on.
    pub async fn wait_until(&self, at: Instant) -> bool {
        let (due, stopped) = (pin!(self.clock.sleep_until(at)), pin!(self.stop.requested.notified()));
        if !self.is_stopped() {
            select(due, stopped).await;
        }
        !self.is_stopped()
    }

    /// The run of an invocation that starts with `clock` and that Lambda ends at `ends_at`, by Lambda's clock.
    #[must_use]
    pub fn of_invocation(clock: Clock, ends_at: SystemTime, limits: TimeLimits) -> Self {
        let run = Self { ends_at: Some(ends_at), ..Self::until(clock, clock.started(), limits) };
        run.correct_end(time::Duration::ZERO);
        run
    }

    /// Judges the end of an invocation by the corrected clock: the actual time is ahead of ours by `ahead`.
    pub(crate) fn correct_end(&self, ahead: time::Duration) {
        let Some(ends_at) = self.ends_at else { return };
        let ends = self.clock.instant_of(shifted(ends_at, -ahead));
        let length = ends.saturating_duration_since(self.clock.started());
        let is_possible = !length.is_zero() && length <= LENGTH_MAX;
        self.ends.set(if is_possible { ends } else { self.clock.started() + LENGTH_ASSUMED });
    }

    /// Raises the alarm, once, that a difference of the clocks is too large to be a correction.
    pub(crate) fn ignore_correction(&self, by: &str, ahead: time::Duration, observer: &dyn Observer) {
        if !self.alarms.has_raised_correction.replace(true) {
            observer.alert(&Alert::ClockFarOff { by, ahead });
        }
    }

    /// Whether the run is no longer than its reserve, so that no call can be made in it.
    #[must_use]
    pub fn is_too_short(&self) -> bool {
        self.ends.get().saturating_duration_since(self.clock.started()) <= self.limits.reserve
    }

    /// Whether only the reserve is left.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.clock.left(self.ends.get()) <= self.limits.reserve
    }

    /// Whether a last read may still begin.
    #[must_use]
    pub fn admits_last_read(&self) -> bool {
        self.clock.left(self.ends.get()) > self.limits.last_read_reserve
    }

    /// The moment that leaves this much of the run.
    #[must_use]
    pub fn before_end(&self, left: Duration) -> Instant {
        self.ends.get().checked_sub(left).unwrap_or(self.clock.started())
    }

    /// Until when a call that begins at `at` may last; `None` if it may not begin in this run.
    ///
    /// A request past its deadline may use the reserve for its last read, but not wait in it.
    #[must_use]
    pub fn call_may_last_until(&self, at: Instant, is_overdue: bool) -> Option<Instant> {
        let limits = &self.limits;
        let until = self.before_end(limits.reserve);
        let begins_by = self
            .before_end(limits.reserve + limits.call_time_min)
            .min(self.clock.started() + limits.wait_max);
        if at <= begins_by {
            return Some(until);
        }
        let is_last_chance = is_overdue && at <= self.clock.now() && self.admits_last_read();
        is_last_chance.then(|| self.before_end(limits.last_read_reserve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(length: Duration) -> Run {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        Run::of_invocation(Clock::starting_at(wall), wall + length, TimeLimits::default())
    }

    #[tokio::test(start_paused = true)]
    async fn call_begins_within_60_s_and_never_in_the_reserve() {
        let run = lasting(Duration::from_secs(90));
        let may = |seconds: f64| {
            let at = run.clock.started() + Duration::from_secs_f64(seconds);
            run.call_may_last_until(at, false).is_some()
        };
        assert!(may(0.0) && may(60.0) && !may(60.1));

        let run = lasting(Duration::from_secs(30));
        let at = |seconds: f64| run.clock.started() + Duration::from_secs_f64(seconds);
        assert_eq!(run.call_may_last_until(at(19.5), false), Some(at(20.0)));
        assert_eq!(run.call_may_last_until(at(19.6), false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn overdue_last_read_uses_the_reserve_down_to_3_s() {
        let run = lasting(Duration::from_secs(30));
        let started = run.clock.started();
        tokio::time::advance(Duration::from_secs(26)).await;
        let until = run.call_may_last_until(run.clock.now(), true);
        assert_eq!(until, Some(started + Duration::from_secs(27)));
        assert_eq!(run.call_may_last_until(run.clock.now(), false), None);
        let later = run.clock.now() + Duration::from_millis(1);
        assert_eq!(run.call_may_last_until(later, true), None, "it may not wait there");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(run.call_may_last_until(run.clock.now(), true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn end_in_the_past_is_ignored() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let run = Run::of_invocation(clock, SystemTime::UNIX_EPOCH, TimeLimits::default());
        assert!(!run.is_too_short());
        assert!(lasting(Duration::from_secs(10)).is_too_short());
    }

    #[tokio::test(start_paused = true)]
    async fn end_that_is_not_possible_is_replaced_by_the_functions_timeout() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(3);
        let minutes = Duration::from_mins;
        for (ends_at, length) in [
            (wall + minutes(15), minutes(15)),
            (wall + minutes(15) + Duration::from_millis(1), LENGTH_ASSUMED),
            (wall + minutes(122), LENGTH_ASSUMED),
            (wall, LENGTH_ASSUMED),
            (wall - minutes(120), LENGTH_ASSUMED),
        ] {
            let run = Run::of_invocation(Clock::starting_at(wall), ends_at, TimeLimits::default());
            assert_eq!(run.ends.get() - run.clock.started(), length, "{ends_at:?}");
        }
        // Our clock is two minutes behind, then two hours ahead.
        let run = Run::of_invocation(Clock::starting_at(wall), wall + minutes(3), TimeLimits::default());
        run.correct_end(time::Duration::minutes(2));
        assert_eq!(run.ends.get() - run.clock.started(), minutes(1));
        let run = Run::of_invocation(Clock::starting_at(wall), wall - minutes(118), TimeLimits::default());
        run.correct_end(time::Duration::minutes(-120));
        assert_eq!(run.ends.get() - run.clock.started(), minutes(2));
        let ends = run.clock.started() + Duration::from_hours(1);
        let run = Run::until(run.clock, ends, TimeLimits::default());
        run.correct_end(time::Duration::minutes(-120));
        assert_eq!(run.ends.get(), ends, "no invocation");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_clock_is_logged_only_after_its_correction() {
        let run = lasting(Duration::from_secs(90));
        let (alarms, start) = (&run.alarms, run.clock.started());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!alarms.raise_clock(at(0), at(1)), "the response corrects it");
        assert!(!alarms.raise_clock(at(0), at(1)), "the call of another lane began before the correction");
        assert!(alarms.raise_clock(at(2), at(3)));
        assert!(!alarms.raise_clock(at(4), at(5)), "once per run");
        assert!(alarms.raise_credentials() && !alarms.raise_credentials());
    }
}
