//! One invocation: its clock, its end, and how much of its time a request may use.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// The bounds of an invocation and of a hand-back. Tests shorten them; nobody else changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvocationLimits {
    /// How long an invocation waits: longer costs compute time, shorter costs receives.
    pub wait_max: Duration,
    /// What is kept at the end for AWS calls: publish, delete and hand back, 3 s each at most.
    pub reserve: Duration,
    /// What even a last look leaves, so that its outcome can still be published.
    pub last_look_reserve: Duration,
    /// The longest call to Alibaba Cloud, its own SDKs' default.
    pub call_timeout: Duration,
    /// The shortest time in which a call is worth beginning.
    pub call_time_min: Duration,
    /// The visibility timeout of the first hand-back, doubled with every receive.
    pub hand_back_min: Duration,
    /// Its ceiling, so that a lane is looked at about once a minute.
    pub hand_back_max: Duration,
    /// The length of an invocation whose end is given in the past, as an emulator does. The template's timeout.
    pub length_assumed: Duration,
}

impl Default for InvocationLimits {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_mins(1),
            reserve: Duration::from_secs(10),
            last_look_reserve: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            call_time_min: Duration::from_millis(500),
            hand_back_min: Duration::from_secs(5),
            hand_back_max: Duration::from_mins(1),
            length_assumed: Duration::from_secs(90),
        }
    }
}

impl InvocationLimits {
    /// The visibility timeout after this many receives, before jitter: 5 s, 10 s, 20 s, 40 s, 60 s.
    #[must_use]
    pub fn hand_back(&self, receive_count: u32) -> Duration {
        let doubled = 2_u32.checked_pow(receive_count.saturating_sub(1));
        let grown = doubled.and_then(|factor| self.hand_back_min.checked_mul(factor));
        grown.unwrap_or(self.hand_back_max).min(self.hand_back_max)
    }
}

/// One invocation of the function.
#[derive(Debug)]
pub struct Invocation {
    /// The time of this invocation.
    pub clock: Clock,
    /// Lambda's id of it.
    pub lambda_request_id: String,
    /// X-Ray's id of the trace that it belongs to.
    pub xray_trace_id: Option<String>,
    /// What concerns every request and was told already.
    pub alarms: Alarms,
    ends: Instant,
}

/// Alarms that concern every request: each is raised once per invocation.
#[derive(Debug, Default)]
pub struct Alarms {
    has_raised_credentials: Cell<bool>,
    has_raised_clock: Cell<bool>,
    clock_corrected_at: Cell<Option<Instant>>,
}

impl Alarms {
    /// True the first time.
    #[must_use]
    pub fn raise_credentials(&self) -> bool {
        !self.has_raised_credentials.replace(true)
    }

    /// True the first time that a call which began after the clock was corrected is refused for it all the same.
    #[must_use]
    pub fn raise_clock(&self, began: Instant, now: Instant) -> bool {
        match self.clock_corrected_at.get() {
            None => {
                self.clock_corrected_at.set(Some(now));
                false
            }
            Some(corrected_at) => began >= corrected_at && !self.has_raised_clock.replace(true),
        }
    }
}

impl Invocation {
    /// The invocation that starts with `clock` and ends at `ends`.
    #[must_use]
    pub fn new(
        clock: Clock,
        ends: SystemTime,
        lambda_request_id: String,
        xray_trace_id: Option<String>,
        limits: &InvocationLimits,
    ) -> Self {
        let ends = clock.instant_of(ends);
        let ends = if ends > clock.started() { ends } else { clock.started() + limits.length_assumed };
        Self { clock, lambda_request_id, xray_trace_id, alarms: Alarms::default(), ends }
    }

    /// Whether the whole invocation is no longer than its reserve: nothing could ever be done in it.
    #[must_use]
    pub fn is_too_short(&self, limits: &InvocationLimits) -> bool {
        self.ends.saturating_duration_since(self.clock.started()) <= limits.reserve
    }

    /// Whether only the reserve is left.
    #[must_use]
    pub fn is_ending(&self, limits: &InvocationLimits) -> bool {
        self.clock.left(self.ends) <= limits.reserve
    }

    /// Whether a last look may still begin.
    #[must_use]
    pub fn admits_last_look(&self, limits: &InvocationLimits) -> bool {
        self.clock.left(self.ends) > limits.last_look_reserve
    }

    /// How long a call that begins at `at` may last; `None` if it may not begin in this invocation.
    ///
    /// A request past its deadline may use the reserve for its last look, but not wait in it.
    #[must_use]
    pub fn call_may_last_until(
        &self,
        at: Instant,
        is_overdue: bool,
        limits: &InvocationLimits,
    ) -> Option<Instant> {
        let before_end = |reserve: Duration| self.ends.checked_sub(reserve).unwrap_or(self.clock.started());
        let until = before_end(limits.reserve);
        let begins_by =
            before_end(limits.reserve + limits.call_time_min).min(self.clock.started() + limits.wait_max);
        if at <= begins_by {
            return Some(until);
        }
        let is_last_chance = is_overdue && at <= self.clock.now() && self.admits_last_look(limits);
        is_last_chance.then(|| before_end(limits.last_look_reserve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> InvocationLimits = InvocationLimits::default;

    fn lasting(length: Duration) -> Invocation {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        Invocation::new(Clock::starting_at(wall), wall + length, String::new(), None, &LIMITS())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_begins_within_60_s_and_never_in_the_reserve() {
        let invocation = lasting(Duration::from_secs(90));
        let may = |seconds: f64| {
            let at = invocation.clock.started() + Duration::from_secs_f64(seconds);
            invocation.call_may_last_until(at, false, &LIMITS()).is_some()
        };
        assert!(may(0.0) && may(60.0) && !may(60.1));

        let invocation = lasting(Duration::from_secs(30));
        let at = |seconds: f64| invocation.clock.started() + Duration::from_secs_f64(seconds);
        assert_eq!(invocation.call_may_last_until(at(19.5), false, &LIMITS()), Some(at(20.0)));
        assert_eq!(invocation.call_may_last_until(at(19.6), false, &LIMITS()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_overdue_last_look_uses_the_reserve_down_to_3_s() {
        let invocation = lasting(Duration::from_secs(30));
        let started = invocation.clock.started();
        tokio::time::advance(Duration::from_secs(26)).await;
        let until = invocation.call_may_last_until(invocation.clock.now(), true, &LIMITS());
        assert_eq!(until, Some(started + Duration::from_secs(27)));
        assert_eq!(invocation.call_may_last_until(invocation.clock.now(), false, &LIMITS()), None);
        let later = invocation.clock.now() + Duration::from_millis(1);
        assert_eq!(invocation.call_may_last_until(later, true, &LIMITS()), None, "it may not wait there");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(invocation.call_may_last_until(invocation.clock.now(), true, &LIMITS()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_in_the_past_counts_as_none() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let invocation = Invocation::new(clock, SystemTime::UNIX_EPOCH, String::new(), None, &LIMITS());
        assert!(!invocation.is_too_short(&LIMITS()));
        assert!(lasting(Duration::from_secs(10)).is_too_short(&LIMITS()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_refused_alarms_only_after_its_correction() {
        let invocation = lasting(Duration::from_secs(90));
        let (alarms, start) = (&invocation.alarms, invocation.clock.started());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!alarms.raise_clock(at(0), at(1)), "it is being corrected");
        assert!(!alarms.raise_clock(at(0), at(1)), "another lane's call was on its way");
        assert!(alarms.raise_clock(at(2), at(3)));
        assert!(!alarms.raise_clock(at(4), at(5)), "once is enough");
        assert!(alarms.raise_credentials() && !alarms.raise_credentials());
    }

    #[test]
    fn hand_backs_double_up_to_a_minute() {
        let seconds = [1, 2, 3, 4, 5, 6, 1000, u32::MAX].map(|n| LIMITS().hand_back(n).as_secs());
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60, 60]);
    }
}
