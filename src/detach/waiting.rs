//! The next read, and the wait before it.

use std::time::{Duration, Instant};

use super::reading::Reading;
use super::{Detach, Outcome, Step, TimeExpired};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::ErrorCode;
use crate::alibaba::privatelink::Call;
use crate::transport::NoResponse;

impl Detach {
    /// Nothing can be concluded: back off and read everything again.
    pub(super) fn inconclusive(
        &mut self,
        code: &ErrorCode,
        kind: ErrorKind,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Step {
        self.evidence.add_error(code, kind, !self.is_last_read);
        let after = self.limits.backoff.after(self.read_errors, &mut self.rng);
        self.read_errors += 1;
        self.read_again(after.max(retry_after.unwrap_or_default()), true, now)
    }

    /// A read is complete: errors before it count no longer.
    pub(super) fn end_read_errors(&mut self) {
        self.read_errors = 0;
        self.unlisted_reads = 0;
    }

    /// The responses contradict each other, or pages of one list do.
    pub(super) fn contradicted(&mut self, now: Instant) -> Step {
        self.inconclusive(&NoResponse::UnreadableAnswer.into(), ErrorKind::NoResponse, None, now)
    }

    pub(super) fn poll(&mut self, now: Instant) -> Step {
        let after = self.limits.poll(self.lanes, &mut self.rng);
        self.read_again(after, false, now)
    }

    /// A second read must show the same before it counts.
    pub(super) fn read_twice(&mut self, now: Instant) -> Step {
        let after = self.second_read_after();
        self.read_again(after, false, now)
    }

    /// The wait before a read that confirms another one, also if polls are closer together.
    fn second_read_after(&mut self) -> Duration {
        self.limits.poll(self.lanes, &mut self.rng).max(self.limits.second_read_min)
    }

    /// The list may be incomplete: read it again, an empty one when it could be settled.
    pub(super) fn repeat(&mut self, now: Instant) -> Step {
        let settles_in = self.settling.settles_in(self.limits.empty_list_for, now);
        let after = self.second_read_after().max(settles_in);
        self.read_again(after, true, now)
    }

    /// A new read; at the deadline if that comes first, and then it is the last.
    pub(super) fn read_again(&mut self, after: Duration, is_full: bool, now: Instant) -> Step {
        if self.is_last_read {
            return Step::Finish(Outcome::Unconfirmed(TimeExpired::Deadline));
        }
        let left = self.deadline.saturating_duration_since(now);
        self.is_last_read = after >= left;
        // The event must say what the last read showed, the endpoint's status included.
        self.begin_read(after.min(left), is_full || self.is_last_read)
    }

    pub(super) fn begin_read(&mut self, after: Duration, is_full: bool) -> Step {
        self.reading = Reading::new(is_full);
        self.evidence.begin_read();
        Step::Call { after, call: Call::ListSecurityGroups { next_token: None } }
    }
}
