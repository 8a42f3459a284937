//! When credentials are read again, and which credentials are used until then.
//!
//! Pure: the time is an argument. It is wall-clock time, because a process can be frozen for hours.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::error::{CredentialError, CredentialProblem};
use crate::alibaba::access_key::Credentials;
use crate::clock::is_past;

/// How long before its end a session is refreshed: time for many attempts, and no call is signed in its last seconds.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// A session shorter than three times that is refreshed in its last third.
const REFRESH_BEFORE_SHARE: u32 = 3;

/// The pause after a read that did not help, doubled with each further one. Reads cost money and quota, and an error
/// that persists is not fixed by more of them.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause. After the operator's fix, the credentials are read within this time.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A refusal this long after the previous one starts a new streak: longer than a request waits between two deliveries.
const QUIET: Duration = Duration::from_mins(5);

/// Transient errors are reported to the operator from this length of a streak.
const TRANSIENT_MAX: u32 = 2;

/// Credentials, and how long they are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    credentials: Rc<Credentials>,
    validity: Option<Validity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    refresh_at: SystemTime,
    ends_at: SystemTime,
}

impl Cached {
    /// Credentials that are valid until they are refused.
    #[must_use]
    pub fn permanent(credentials: Credentials) -> Self {
        Self { credentials: Rc::new(credentials), validity: None }
    }

    /// Credentials of a session that started at `now`.
    #[must_use]
    pub fn session(credentials: Credentials, now: SystemTime, lifetime: Duration) -> Self {
        let before = REFRESH_BEFORE.min(lifetime / REFRESH_BEFORE_SHARE);
        let validity =
            Validity { refresh_at: now + lifetime.saturating_sub(before), ends_at: now + lifetime };
        Self { credentials: Rc::new(credentials), validity: Some(validity) }
    }

    /// The credentials, expired or not.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn has_ended(&self, now: SystemTime) -> bool {
        self.validity.is_some_and(|validity| now >= validity.ends_at)
    }

    fn is_aging(&self, now: SystemTime) -> bool {
        self.validity.is_some_and(|validity| now >= validity.refresh_at)
    }
}

/// What Alibaba Cloud has responded to calls that the cached credentials signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Untried,
    Accepted,
    Refused,
    /// Accepted by one call and refused by another, in either order. The two can be in different regions.
    Disputed {
        /// The last response was the refusal.
        is_refused_last: bool,
    },
}

impl Standing {
    fn accept(self) -> Self {
        match self {
            Self::Untried | Self::Accepted => Self::Accepted,
            Self::Refused | Self::Disputed { .. } => Self::Disputed { is_refused_last: false },
        }
    }

    fn refuse(self) -> Self {
        match self {
            Self::Untried | Self::Refused => Self::Refused,
            Self::Accepted | Self::Disputed { .. } => Self::Disputed { is_refused_last: true },
        }
    }

    /// Whether the last response was a refusal.
    fn is_refused(self) -> bool {
        matches!(self, Self::Refused | Self::Disputed { is_refused_last: true })
    }

    /// Whether a call was refused since the read. A later acceptance does not change that: it may be another region's.
    fn needs_replacement(self) -> bool {
        matches!(self, Self::Refused | Self::Disputed { .. })
    }

    /// How many reads may replace refused credentials before the operator is alerted.
    ///
    /// Credentials that a call accepted get one read more: they may have been rotated twice in a short time.
    fn replacements_max(self) -> u32 {
        match self {
            Self::Untried | Self::Refused => 0,
            Self::Accepted | Self::Disputed { .. } => 1,
        }
    }
}

/// Consecutive reads that did not help: they failed, or they replaced refused credentials.
#[derive(Debug, Default)]
struct Streak {
    length: u32,
    /// The error of the last read, if it failed.
    error: Option<Rc<CredentialError>>,
}

impl Streak {
    fn fail(&mut self, error: CredentialError) {
        self.length = self.length.saturating_add(1);
        self.error = Some(Rc::new(error));
    }

    /// A read replaced refused credentials. It ends a streak of failures.
    fn replace(&mut self) {
        self.length = if self.error.take().is_some() { 1 } else { self.length.saturating_add(1) };
    }

    fn end(&mut self) {
        *self = Self::default();
    }

    /// The pause after its last read.
    fn pause(&self) -> Duration {
        let Some(doublings) = self.length.checked_sub(1) else { return Duration::ZERO };
        let doubled = 2_u32.checked_pow(doublings).and_then(|factor| PAUSE_MIN.checked_mul(factor));
        doubled.map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
    }
}

/// The cached credentials, and what decides about the next read.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    current: Option<(Cached, Standing)>,
    streak: Streak,
    /// When any credentials were last refused.
    refused_at: Option<SystemTime>,
    read_at: Option<SystemTime>,
}

impl Refresh {
    /// Whether the credentials should be read now.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let is_stale = self
            .current
            .as_ref()
            .is_none_or(|(cached, standing)| standing.needs_replacement() || cached.is_aging(now));
        is_stale && self.pause_left(now).is_zero()
    }

    /// The rest of the pause after the last read; zero if the clock was set back.
    pub(super) fn pause_left(&self, now: SystemTime) -> Duration {
        let passed = self.read_at.and_then(|at| now.duration_since(at).ok());
        passed.map_or(Duration::ZERO, |passed| self.streak.pause().saturating_sub(passed))
    }

    /// The credentials, if they have not expired and the last response did not refuse them.
    pub(super) fn unrefused(&self, now: SystemTime) -> Option<Rc<Credentials>> {
        let is_refused = self.current.as_ref().is_some_and(|(_, standing)| standing.is_refused());
        self.credentials(now).ok().filter(|_| !is_refused)
    }

    /// The credentials to sign with. Refused ones stay in use until a read replaces them: they may be enabled again,
    /// and the refusal may concern one region of many.
    pub(super) fn credentials(&self, now: SystemTime) -> Result<Rc<Credentials>, Rc<CredentialError>> {
        let valid = self.current.as_ref().filter(|(cached, _)| !cached.has_ended(now));
        match (valid, &self.streak.error) {
            (Some((cached, _)), _) => Ok(Rc::clone(&cached.credentials)),
            (None, Some(error)) => Err(Rc::clone(error)),
            (None, None) => Err(Rc::new(CredentialError::NotRead)),
        }
    }

    /// Records how a read ended.
    pub(super) fn record(&mut self, result: Result<Cached, CredentialError>, now: SystemTime) {
        self.read_at = Some(now);
        match result {
            Ok(cached) => {
                if self.needs_replacement() {
                    self.streak.replace();
                } else {
                    self.streak.end();
                }
                self.current = Some((cached, Standing::Untried));
            }
            Err(error) => self.streak.fail(error),
        }
    }

    /// Records that a call accepted these credentials. It has no effect once they are replaced.
    pub(super) fn mark_accepted(&mut self, credentials: &Rc<Credentials>) {
        if let Some(standing) = self.standing_of(credentials) {
            *standing = standing.accept();
        }
    }

    /// Records that a call refused these credentials. It has no effect once they are replaced.
    pub(super) fn mark_refused(&mut self, credentials: &Rc<Credentials>, now: SystemTime) {
        let Some(standing) = self.standing_of(credentials) else { return };
        *standing = standing.refuse();
        if self.refused_at.is_none_or(|at| is_past(at, QUIET, now)) {
            self.streak.end();
        }
        self.refused_at = Some(now);
    }

    /// What an operator must fix; `advice` is for refused credentials.
    pub(super) fn problem(&self, advice: &'static str) -> Option<CredentialProblem> {
        match (&self.streak.error, &self.current) {
            (Some(error), _) if !error.is_transient() || self.streak.length >= TRANSIENT_MAX => {
                Some(CredentialProblem::Unavailable(Rc::clone(error)))
            }
            (None, Some((_, standing)))
                if standing.needs_replacement() && self.streak.length > standing.replacements_max() =>
            {
                Some(CredentialProblem::Refused { advice })
            }
            _ => None,
        }
    }

    fn needs_replacement(&self) -> bool {
        self.current.as_ref().is_some_and(|(_, standing)| standing.needs_replacement())
    }

    /// The standing of these credentials, if they are the cached ones.
    fn standing_of(&mut self, credentials: &Rc<Credentials>) -> Option<&mut Standing> {
        let (cached, standing) = self.current.as_mut()?;
        Rc::ptr_eq(&cached.credentials, credentials).then_some(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::credentials::UnusableSecret;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn credentials(id: &str) -> Credentials {
        Credentials::new(id.to_owned(), "secret".to_owned(), None)
    }

    fn permanent(id: &str) -> Cached {
        Cached::permanent(credentials(id))
    }

    fn session(seconds: u64, lifetime: u64) -> Cached {
        Cached::session(credentials("session"), at(seconds), Duration::from_secs(lifetime))
    }

    fn failure(is_transient: bool) -> CredentialError {
        if is_transient { CredentialError::Canceled } else { UnusableSecret::NoText.into() }
    }

    /// The advice of refused credentials, or the code of the error that is a problem.
    fn problem_of(refresh: &Refresh) -> Option<String> {
        Some(match refresh.problem("advice")? {
            CredentialProblem::Unavailable(error) => error.code().into_owned(),
            CredentialProblem::Refused { advice } => advice.to_owned(),
        })
    }

    fn recorded(result: Result<Cached, CredentialError>, seconds: u64) -> Refresh {
        let mut refresh = Refresh::default();
        refresh.record(result, at(seconds));
        refresh
    }

    /// A call refuses the cached credentials.
    fn refuse(refresh: &mut Refresh, seconds: u64) {
        let cached = refresh.credentials(at(seconds)).unwrap();
        refresh.mark_refused(&cached, at(seconds));
    }

    #[test]
    fn permanent_credentials_are_read_again_only_after_a_refusal() {
        assert!(Refresh::default().is_due(at(0)) && Refresh::default().credentials(at(0)).is_err());
        let mut refresh = recorded(Ok(permanent("id")), 0);
        assert!(!refresh.is_due(at(1_000_000)));
        refuse(&mut refresh, 1_000_000);
        assert!(refresh.is_due(at(1_000_000)), "at once");
    }

    #[test]
    fn session_is_refreshed_five_minutes_before_its_end_or_in_its_last_third() {
        for (lifetime, ages) in [(3600, 3300), (1200, 900), (900, 600), (600, 400), (3, 2)] {
            let refresh = recorded(Ok(session(10, lifetime)), 10);
            assert!(!refresh.is_due(at(10 + ages - 1)) && refresh.is_due(at(10 + ages)), "{lifetime}");
            assert!(refresh.credentials(at(10 + lifetime - 1)).is_ok(), "{lifetime}");
            assert!(refresh.credentials(at(10 + lifetime)).is_err(), "{lifetime}");
        }
    }

    #[test]
    fn failed_refresh_leaves_the_session_valid_until_its_end() {
        let mut refresh = recorded(Ok(session(0, 3600)), 0);
        refresh.record(Err(failure(false)), at(3300));
        assert!(refresh.credentials(at(3599)).is_ok());
        assert_eq!(refresh.credentials(at(3600)).unwrap_err().code(), failure(false).code());
        refresh.record(Ok(session(3400, 3600)), at(3400));
        assert!(refresh.credentials(at(6999)).is_ok() && refresh.problem("").is_none());
    }

    #[test]
    fn failed_reads_back_off_to_two_a_minute() {
        let mut refresh = Refresh::default();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            refresh.record(Err(failure(true)), at(now));
            assert!(!refresh.is_due(at(now + pause - 1)) && refresh.is_due(at(now + pause)), "{pause}");
            now += pause;
        }
        assert!(refresh.is_due(at(0)), "the clock was set back");
        refresh.record(Ok(permanent("id")), at(now));
        refuse(&mut refresh, now);
        assert!(refresh.is_due(at(now)), "a success ends the streak");
        assert_eq!(Streak { length: u32::MAX, error: None }.pause(), PAUSE_MAX);
    }

    #[test]
    fn pause_after_a_read_is_at_most_30_s_and_ends_when_the_clock_was_set_back() {
        let mut refresh = Refresh::default();
        assert_eq!(refresh.pause_left(at(0)), Duration::ZERO);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            refresh.record(Err(failure(false)), at(100));
            assert_eq!(refresh.pause_left(at(100)), Duration::from_secs(pause));
        }
        assert_eq!(refresh.pause_left(at(129)), Duration::from_secs(1));
        assert_eq!(
            (refresh.pause_left(at(130)), refresh.pause_left(at(99))),
            (Duration::ZERO, Duration::ZERO)
        );
    }

    #[test]
    fn new_credentials_that_are_refused_are_not_read_at_every_call() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        let mut reads = 0;
        for second in 0..300 {
            refuse(&mut refresh, second);
            if refresh.is_due(at(second)) {
                refresh.record(Ok(permanent("a")), at(second));
                reads += 1;
            }
        }
        assert_eq!(reads, 1 + 5 + 8, "at once, after 1, 2, 4, 8 and 16 s, then every 30 s");
    }

    #[test]
    fn refusal_after_a_quiet_time_starts_a_new_streak() {
        for (seconds, is_new) in [(299, false), (300, true)] {
            let mut refresh = recorded(Ok(permanent("a")), 0);
            for _ in 0..12 {
                refuse(&mut refresh, 0);
                refresh.record(Ok(permanent("b")), at(0));
            }
            // The last read is longer ago than the longest pause, so that only the problem shows the streak.
            refuse(&mut refresh, seconds);
            assert_eq!(refresh.problem("").is_none(), is_new, "{seconds}");
            refresh.record(Err(failure(true)), at(seconds));
            assert_eq!(refresh.problem("").is_none(), is_new, "{seconds}: the first transient error");
            assert_eq!(refresh.is_due(at(seconds + 1)), is_new, "{seconds}");
        }
    }

    #[test]
    fn disputed_credentials_are_read_and_reported_like_refused_ones() {
        let mut orders = Vec::new();
        for accepted_before_the_check in [false, true] {
            for accepted_during_the_read in [false, true] {
                let mut refresh = recorded(Ok(permanent("a")), 0);
                let (mut reads, mut alarms) = (0, 0);
                for second in 0..300 {
                    for _ in 0..5 {
                        let cached = refresh.credentials(at(second)).unwrap();
                        refresh.mark_accepted(&cached);
                        assert!(refresh.unrefused(at(second)).is_some(), "usable where they are accepted");
                        refuse(&mut refresh, second);
                        if accepted_before_the_check {
                            refresh.mark_accepted(&cached);
                        }
                        alarms += u32::from(refresh.problem("").is_some());
                        if refresh.is_due(at(second)) {
                            if accepted_during_the_read {
                                refresh.mark_accepted(&cached);
                            }
                            refresh.record(Ok(permanent("a")), at(second));
                            reads += 1;
                        }
                    }
                }
                orders.push((reads, alarms > 1400));
            }
        }
        // At once, after 1, 2, 4, 8 and 16 s, then every 30 s.
        assert_eq!(orders, [(1 + 5 + 8, true); 4]);
    }

    #[test]
    fn refusal_after_a_quiet_time_does_not_report_an_earlier_failure() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        refuse(&mut refresh, 1);
        for second in [1, 2, 4, 8, 16] {
            refresh.record(Err(failure(false)), at(second));
        }
        assert!(refresh.problem("").is_some());
        refuse(&mut refresh, 301);
        assert!(refresh.problem("").is_none() && refresh.is_due(at(301)));
    }

    #[test]
    fn successful_read_ends_the_streak_of_failures() {
        let mut refresh = Refresh::default();
        for second in [0, 1, 3, 7] {
            refresh.record(Err(failure(true)), at(second));
        }
        refresh.record(Ok(session(15, 3600)), at(15));
        refresh.record(Err(failure(true)), at(3315));
        assert_eq!(problem_of(&refresh), None, "the first of its streak");
        // After a refusal it is followed by a pause of one second.
        let mut refresh = recorded(Ok(permanent("a")), 0);
        refuse(&mut refresh, 1);
        for second in [1, 2, 4, 8] {
            refresh.record(Err(failure(true)), at(second));
        }
        refresh.record(Ok(permanent("b")), at(16));
        refuse(&mut refresh, 16);
        assert!(!refresh.is_due(at(16)) && refresh.is_due(at(17)));
    }

    #[test]
    fn successful_read_clears_a_failure_of_credentials_that_were_accepted_again() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        refuse(&mut refresh, 1);
        refresh.record(Err(failure(false)), at(1));
        let cached = refresh.credentials(at(2)).unwrap();
        refresh.mark_accepted(&cached);
        assert!(refresh.is_due(at(2)) && refresh.unrefused(at(2)).is_some());
        refresh.record(Ok(permanent("a")), at(2));
        refuse(&mut refresh, 86_400);
        assert_eq!(problem_of(&refresh), None);
    }

    #[test]
    fn response_about_replaced_credentials_changes_nothing() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        let a = refresh.credentials(at(0)).unwrap();
        refresh.mark_refused(&a, at(0));
        refresh.record(Ok(permanent("b")), at(0));
        refresh.mark_refused(&a, at(0));
        assert!(!refresh.is_due(at(100)));
        refuse(&mut refresh, 100);
        refresh.mark_accepted(&a);
        assert!(refresh.is_due(at(100)) && refresh.unrefused(at(100)).is_none(), "b is still refused");
    }

    #[test]
    fn refused_credentials_stay_in_use_until_they_are_replaced() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        assert!(refresh.unrefused(at(1)).is_some());
        refuse(&mut refresh, 1);
        assert!(refresh.credentials(at(1)).is_ok() && refresh.unrefused(at(1)).is_none());
        refresh.record(Err(failure(false)), at(1));
        assert!(refresh.credentials(at(1)).is_ok() && refresh.unrefused(at(1)).is_none());
        refresh.record(Ok(permanent("b")), at(2));
        assert!(refresh.unrefused(at(2)).is_some());
    }

    #[test]
    fn valid_credentials_do_not_reset_the_back_off_of_failed_reads() {
        let mut refresh = recorded(Ok(session(0, 3600)), 0);
        for second in [3300, 3301, 3303] {
            refresh.record(Err(failure(true)), at(second));
            let cached = refresh.credentials(at(second)).unwrap();
            refresh.mark_accepted(&cached);
        }
        assert!(!refresh.is_due(at(3306)) && refresh.is_due(at(3307)), "after 4 s, the third pause");
    }

    #[test]
    fn transient_error_is_a_problem_only_when_it_repeats() {
        assert_eq!(problem_of(&recorded(Err(failure(false)), 0)).as_deref(), Some("SecretUnusable"));
        let mut refresh = recorded(Err(failure(true)), 0);
        assert_eq!(problem_of(&refresh), None);
        refresh.record(Err(failure(true)), at(1));
        assert_eq!(problem_of(&refresh).as_deref(), Some("Timeout"));
        refresh.record(Ok(permanent("a")), at(3));
        assert_eq!(problem_of(&refresh), None);
    }

    #[test]
    fn refusal_is_a_problem_only_when_a_new_read_did_not_help() {
        let mut refresh = recorded(Ok(permanent("a")), 0);
        refuse(&mut refresh, 1);
        assert_eq!(problem_of(&refresh), None);
        refresh.record(Ok(permanent("a")), at(1));
        assert_eq!(problem_of(&refresh), None);
        refuse(&mut refresh, 1);
        let refused = Some("advice");
        assert_eq!(problem_of(&refresh).as_deref(), refused);
        // The same with credentials that another region accepts.
        let mut refresh = recorded(Ok(permanent("a")), 0);
        for (second, expected) in [(1, None), (2, None), (3, refused), (4, refused)] {
            let cached = refresh.credentials(at(second)).unwrap();
            refresh.mark_accepted(&cached);
            refuse(&mut refresh, second);
            assert_eq!(problem_of(&refresh).as_deref(), expected, "{second}");
            refresh.record(Ok(permanent("a")), at(second));
        }
    }
}
