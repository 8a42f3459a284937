//! When keys are read again, and which hold meanwhile. Pure: the time is an argument, and the wall clock's, because a
//! process can be frozen for hours.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{CredentialError, CredentialProblem, Credentials};
use crate::clock::is_past;

/// How long before its end a session is renewed: time for many tries, and no call is signed with its last seconds.
const RENEW_BEFORE: Duration = Duration::from_mins(5);

/// Of a short session, this part at most is given to that.
const RENEW_BEFORE_SHARE: u32 = 3;

/// The pause after a reading that brought nothing, doubled with each further one. Readings cost money and quota, and
/// anything that is wrong for longer is not cured by more of them.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Its ceiling: so soon after the mending the keys are read.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// After so much time without a refusal the next begins a new row: longer than a request rests between two deliveries.
const QUIET: Duration = Duration::from_mins(5);

/// Failures that may pass are told to nobody before there are so many in a row.
const PASSING_MAX: u32 = 2;

/// Keys, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cached {
    credentials: Rc<Credentials>,
    session: Option<Validity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    ages_at: SystemTime,
    ends_at: SystemTime,
}

impl Cached {
    /// Keys that hold until they are refused.
    pub(super) fn lasting(credentials: Credentials) -> Self {
        Self { credentials: Rc::new(credentials), session: None }
    }

    /// Keys of a session that began at `now` and lasts so long.
    pub(super) fn session(credentials: Credentials, now: SystemTime, lifetime: Duration) -> Self {
        let before = RENEW_BEFORE.min(lifetime / RENEW_BEFORE_SHARE);
        let session = Validity { ages_at: now + lifetime.saturating_sub(before), ends_at: now + lifetime };
        Self { credentials: Rc::new(credentials), session: Some(session) }
    }

    fn has_ended(&self, now: SystemTime) -> bool {
        self.session.is_some_and(|session| now >= session.ends_at)
    }
}

/// What was read, what became of it, and what the next reading has to wait for.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    kept: Option<Cached>,
    /// The last that was heard of the kept keys is a refusal.
    is_refused: bool,
    /// Somebody accepted the kept keys.
    is_accepted: bool,
    /// The kept keys were refused, and nothing has been read since. Who accepts them meanwhile does not change that: it may
    /// be another region.
    is_wanted: bool,
    /// When any keys were refused for the last time.
    refused_at: Option<SystemTime>,
    /// Why the latest reading failed.
    failure: Option<CredentialError>,
    read_at: Option<SystemTime>,
    /// Readings in a row that brought no keys, or keys in the place of refused ones.
    in_vain: u32,
}

impl Refresh {
    /// Whether the keys should be read now.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let is_aging = |kept: &Cached| kept.session.is_some_and(|session| now >= session.ages_at);
        let is_wanted = self.is_wanted || self.kept.as_ref().is_none_or(is_aging);
        is_wanted && self.read_at.is_none_or(|at| is_past(at, pause(self.in_vain), now))
    }

    /// The keys, if they have not ended and nobody has refused them.
    pub(super) fn holding(&self, now: SystemTime) -> Option<Rc<Credentials>> {
        self.credentials(now).ok().filter(|_| !self.is_refused)
    }

    /// The keys to sign with. Refused ones are tried on until there are others: somebody may enable them again, and what
    /// refuses them may be one region of many.
    pub(super) fn credentials(&self, now: SystemTime) -> Result<Rc<Credentials>, CredentialError> {
        let usable = self.kept.as_ref().filter(|kept| !kept.has_ended(now));
        match (usable, &self.failure) {
            (Some(kept), _) => Ok(Rc::clone(&kept.credentials)),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(CredentialError {
                code: "NotRead".to_owned(),
                problem: "they are being read".to_owned(),
                advice: "wait",
                is_passing: true,
            }),
        }
    }

    /// A reading ended.
    pub(super) fn note(&mut self, read: Result<Cached, CredentialError>, now: SystemTime) {
        self.read_at = Some(now);
        match read {
            Ok(kept) => {
                self.in_vain = match (self.is_wanted, &self.failure) {
                    (false, _) => 0,
                    (true, Some(_)) => 1,
                    (true, None) => self.in_vain.saturating_add(1),
                };
                (self.kept, self.failure) = (Some(kept), None);
                (self.is_refused, self.is_accepted, self.is_wanted) = (false, false, false);
            }
            Err(failure) => {
                self.in_vain = self.in_vain.saturating_add(1);
                self.failure = Some(failure);
            }
        }
    }

    /// These keys were accepted.
    pub(super) fn accepted(&mut self, credentials: &Rc<Credentials>) {
        if self.is_kept(credentials) {
            (self.is_refused, self.is_accepted) = (false, true);
        }
    }

    /// These keys were refused. Of keys that are replaced already nothing follows.
    pub(super) fn refused(&mut self, credentials: &Rc<Credentials>, now: SystemTime) {
        if !self.is_kept(credentials) {
            return;
        }
        if self.refused_at.is_none_or(|at| is_past(at, QUIET, now)) {
            (self.in_vain, self.failure) = (0, None);
        }
        self.refused_at = Some(now);
        (self.is_refused, self.is_wanted) = (true, true);
    }

    /// What somebody must do something about, `advice` if it is that keys from here are refused.
    ///
    /// Keys that somebody has accepted get one reading more: they may have been exchanged twice in a short time.
    pub(super) fn problem(&self, advice: &'static str) -> Option<CredentialProblem> {
        match &self.failure {
            Some(failure) if !failure.is_passing || self.in_vain >= PASSING_MAX => {
                Some(CredentialProblem::Unavailable(failure.clone()))
            }
            None if self.is_wanted && self.in_vain > u32::from(self.is_accepted) => {
                Some(CredentialProblem::Refused { advice })
            }
            _ => None,
        }
    }

    fn is_kept(&self, credentials: &Rc<Credentials>) -> bool {
        self.kept.as_ref().is_some_and(|kept| Rc::ptr_eq(&kept.credentials, credentials))
    }
}

fn pause(in_vain: u32) -> Duration {
    let Some(doublings) = in_vain.checked_sub(1) else { return Duration::ZERO };
    let doubled = 2_u32.checked_pow(doublings).and_then(|factor| PAUSE_MIN.checked_mul(factor));
    doubled.map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn keys(id: &str) -> Credentials {
        Credentials::new(id.to_owned(), "secret".to_owned(), None)
    }

    fn lasting(id: &str) -> Cached {
        Cached::lasting(keys(id))
    }

    fn session(seconds: u64, lifetime: u64) -> Cached {
        Cached::session(keys("session"), at(seconds), Duration::from_secs(lifetime))
    }

    fn failure(is_passing: bool) -> CredentialError {
        let (code, problem) = ("Code".to_owned(), "problem".to_owned());
        CredentialError { code, problem, advice: "advice", is_passing }
    }

    fn noted(read: Result<Cached, CredentialError>, seconds: u64) -> Refresh {
        let mut refresh = Refresh::default();
        refresh.note(read, at(seconds));
        refresh
    }

    /// What happens when the kept keys are refused now.
    fn refuse(refresh: &mut Refresh, seconds: u64) {
        let kept = refresh.credentials(at(seconds)).unwrap();
        refresh.refused(&kept, at(seconds));
    }

    #[test]
    fn keys_are_read_at_first_and_then_never_again_unless_they_are_refused() {
        assert!(Refresh::default().is_due(at(0)) && Refresh::default().credentials(at(0)).is_err());
        let mut refresh = noted(Ok(lasting("id")), 0);
        assert!(!refresh.is_due(at(1_000_000)));
        refuse(&mut refresh, 1_000_000);
        assert!(refresh.is_due(at(1_000_000)), "at once");
    }

    #[test]
    fn a_session_is_renewed_five_minutes_before_its_end_or_in_its_last_third() {
        for (lifetime, ages) in [(3600, 3300), (1200, 900), (900, 600), (600, 400), (3, 2)] {
            let refresh = noted(Ok(session(10, lifetime)), 10);
            assert!(!refresh.is_due(at(10 + ages - 1)) && refresh.is_due(at(10 + ages)), "{lifetime}");
            assert!(refresh.credentials(at(10 + lifetime - 1)).is_ok(), "{lifetime}");
            assert!(refresh.credentials(at(10 + lifetime)).is_err(), "{lifetime}");
        }
    }

    #[test]
    fn a_renewal_that_fails_spoils_nothing_before_the_end() {
        let mut refresh = noted(Ok(session(0, 3600)), 0);
        refresh.note(Err(failure(false)), at(3300));
        assert!(refresh.credentials(at(3599)).is_ok());
        assert_eq!(refresh.credentials(at(3600)).unwrap_err(), failure(false));
        refresh.note(Ok(session(3400, 3600)), at(3400));
        assert!(refresh.credentials(at(6999)).is_ok() && refresh.problem("").is_none());
    }

    #[test]
    fn readings_in_vain_come_ever_more_seldom_and_at_least_twice_a_minute() {
        let mut refresh = Refresh::default();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            refresh.note(Err(failure(true)), at(now));
            assert!(!refresh.is_due(at(now + pause - 1)) && refresh.is_due(at(now + pause)), "{pause}");
            now += pause;
        }
        assert!(refresh.is_due(at(0)), "the clock was set back");
        refresh.note(Ok(lasting("id")), at(now));
        refuse(&mut refresh, now);
        assert!(refresh.is_due(at(now)), "a success ends the row");
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn keys_that_are_refused_although_they_are_new_are_not_read_at_every_call() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        let mut readings = 0;
        for second in 0..300 {
            refuse(&mut refresh, second);
            if refresh.is_due(at(second)) {
                refresh.note(Ok(lasting("a")), at(second));
                readings += 1;
            }
        }
        assert_eq!(readings, 1 + 5 + 8, "at once, after 1, 2, 4, 8 and 16 s, then every 30 s");
    }

    #[test]
    fn a_refusal_after_a_quiet_time_begins_a_new_row() {
        for (seconds, is_new) in [(299, false), (300, true)] {
            let mut refresh = noted(Ok(lasting("a")), 0);
            for _ in 0..12 {
                refuse(&mut refresh, 0);
                refresh.note(Ok(lasting("b")), at(0));
            }
            // The last reading is longer ago than any pause lasts, so that only the alarm tells.
            refuse(&mut refresh, seconds);
            assert_eq!(refresh.problem("").is_none(), is_new, "{seconds}");
            refresh.note(Err(failure(true)), at(seconds));
            assert_eq!(refresh.problem("").is_none(), is_new, "{seconds}: the first that may pass");
            assert_eq!(refresh.is_due(at(seconds + 1)), is_new, "{seconds}");
        }
    }

    #[test]
    fn keys_that_one_place_refuses_and_another_accepts_are_read_and_told_as_if_nobody_did() {
        let mut orders = Vec::new();
        for accepted_before_the_look in [false, true] {
            for accepted_while_it_is_read in [false, true] {
                let mut refresh = noted(Ok(lasting("a")), 0);
                let (mut readings, mut alarms) = (0, 0);
                for second in 0..300 {
                    for _ in 0..5 {
                        let kept = refresh.credentials(at(second)).unwrap();
                        refresh.accepted(&kept);
                        assert!(refresh.holding(at(second)).is_some(), "whom they serve, they serve");
                        refuse(&mut refresh, second);
                        if accepted_before_the_look {
                            refresh.accepted(&kept);
                        }
                        alarms += u32::from(refresh.problem("").is_some());
                        if refresh.is_due(at(second)) {
                            if accepted_while_it_is_read {
                                refresh.accepted(&kept);
                            }
                            refresh.note(Ok(lasting("a")), at(second));
                            readings += 1;
                        }
                    }
                }
                orders.push((readings, alarms > 1400));
            }
        }
        // At once, after 1, 2, 4, 8 and 16 s, then every 30 s.
        assert_eq!(orders, [(1 + 5 + 8, true); 4]);
    }

    #[test]
    fn a_refusal_after_a_quiet_time_is_not_told_with_a_failure_of_before() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        refuse(&mut refresh, 1);
        for second in [1, 2, 4, 8, 16] {
            refresh.note(Err(failure(false)), at(second));
        }
        assert!(refresh.problem("").is_some());
        refuse(&mut refresh, 301);
        assert!(refresh.problem("").is_none() && refresh.is_due(at(301)));
    }

    #[test]
    fn a_reading_that_brings_keys_ends_the_row_of_those_that_failed() {
        let mut refresh = Refresh::default();
        for second in [0, 1, 3, 7] {
            refresh.note(Err(failure(true)), at(second));
        }
        refresh.note(Ok(session(15, 3600)), at(15));
        refresh.note(Err(failure(true)), at(3315));
        assert_eq!(refresh.problem(""), None, "the first in its row");
        // After a refusal it leaves a pause of one second.
        let mut refresh = noted(Ok(lasting("a")), 0);
        refuse(&mut refresh, 1);
        for second in [1, 2, 4, 8] {
            refresh.note(Err(failure(true)), at(second));
        }
        refresh.note(Ok(lasting("b")), at(16));
        refuse(&mut refresh, 16);
        assert!(!refresh.is_due(at(16)) && refresh.is_due(at(17)));
    }

    #[test]
    fn a_failure_to_read_is_forgotten_with_the_next_reading_though_the_keys_are_accepted_again() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        refuse(&mut refresh, 1);
        refresh.note(Err(failure(false)), at(1));
        let kept = refresh.credentials(at(2)).unwrap();
        refresh.accepted(&kept);
        assert!(refresh.is_due(at(2)) && refresh.holding(at(2)).is_some());
        refresh.note(Ok(lasting("a")), at(2));
        refuse(&mut refresh, 86_400);
        assert_eq!(refresh.problem(""), None);
    }

    #[test]
    fn an_answer_about_keys_that_are_replaced_already_changes_nothing() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        let a = refresh.credentials(at(0)).unwrap();
        refresh.refused(&a, at(0));
        refresh.note(Ok(lasting("b")), at(0));
        refresh.refused(&a, at(0));
        assert!(!refresh.is_due(at(100)));
        refuse(&mut refresh, 100);
        refresh.accepted(&a);
        assert!(refresh.is_due(at(100)) && refresh.holding(at(100)).is_none(), "b is still refused");
    }

    #[test]
    fn refused_keys_are_tried_on_until_there_are_others_but_hold_for_nothing() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        assert!(refresh.holding(at(1)).is_some());
        refuse(&mut refresh, 1);
        assert!(refresh.credentials(at(1)).is_ok() && refresh.holding(at(1)).is_none());
        refresh.note(Err(failure(false)), at(1));
        assert!(refresh.credentials(at(1)).is_ok() && refresh.holding(at(1)).is_none());
        refresh.note(Ok(lasting("b")), at(2));
        assert!(refresh.holding(at(2)).is_some());
    }

    #[test]
    fn a_failure_to_renew_is_not_made_good_by_keys_that_still_hold() {
        let mut refresh = noted(Ok(session(0, 3600)), 0);
        for second in [3300, 3301, 3303] {
            refresh.note(Err(failure(true)), at(second));
            let kept = refresh.credentials(at(second)).unwrap();
            refresh.accepted(&kept);
        }
        assert!(!refresh.is_due(at(3306)) && refresh.is_due(at(3307)), "after 4 s, the third pause");
    }

    #[test]
    fn what_may_pass_is_trouble_only_when_it_does_not() {
        let told = Some(CredentialProblem::Unavailable(failure(false)));
        assert_eq!(noted(Err(failure(false)), 0).problem(""), told);
        let mut refresh = noted(Err(failure(true)), 0);
        assert_eq!(refresh.problem(""), None);
        refresh.note(Err(failure(true)), at(1));
        assert_eq!(refresh.problem(""), Some(CredentialProblem::Unavailable(failure(true))));
        refresh.note(Ok(lasting("a")), at(3));
        assert_eq!(refresh.problem(""), None);
    }

    #[test]
    fn refused_keys_are_trouble_only_when_reading_them_again_did_not_help() {
        let mut refresh = noted(Ok(lasting("a")), 0);
        refuse(&mut refresh, 1);
        assert_eq!(refresh.problem("advice"), None);
        refresh.note(Ok(lasting("a")), at(1));
        assert_eq!(refresh.problem("advice"), None);
        refuse(&mut refresh, 1);
        let told = Some(CredentialProblem::Refused { advice: "advice" });
        assert_eq!(refresh.problem("advice"), told);
        // The same with keys that another place accepts.
        let mut refresh = noted(Ok(lasting("a")), 0);
        for (second, expected) in [(1, None), (2, None), (3, told.clone()), (4, told)] {
            let kept = refresh.credentials(at(second)).unwrap();
            refresh.accepted(&kept);
            refuse(&mut refresh, second);
            assert_eq!(refresh.problem("advice"), expected, "{second}");
            refresh.note(Ok(lasting("a")), at(second));
        }
    }
}
