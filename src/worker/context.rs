//! What every part of the worker needs to know of the invocation, and how long its calls to AWS may last.

use std::cell::Cell;
use std::time::Instant;

use crate::drive::time_budget::Run;
use crate::lambda::Invocation;

/// One invocation of the worker, with the time that it may use.
///
/// The calls of its end are copy, event, delete, and the return to the queue of what is not finished. Each may last 3 s,
/// which is more together than the reserve has, and a last read may leave 3 s of the reserve only. So each is cut to what
/// the calls after it need: a message that is not returned stays invisible for the queue's own visibility timeout, and an
/// invocation that runs out of time returns no message at all.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) run: Run,
    has_aws_timed_out: Cell<bool>,
}

impl<'a> Context<'a> {
    pub(super) fn new(invocation: &'a Invocation, run: Run) -> Self {
        Self { invocation, run, has_aws_timed_out: Cell::new(false) }
    }

    /// Records that a call to AWS ended, and whether AWS did not respond in time.
    pub(super) fn record_aws_call(&self, is_timeout: bool) {
        self.has_aws_timed_out.set(self.has_aws_timed_out.get() || is_timeout);
    }

    /// Whether AWS did not respond in time to a call of this invocation. Then the reserve is too short for another message.
    pub(super) fn has_aws_timed_out(&self) -> bool {
        self.has_aws_timed_out.get()
    }

    /// Until when copy and event may last: they leave half of the time that a last read leaves, 1.5 s, in which a healthy
    /// queue takes its messages back.
    pub(super) fn publish_until(&self) -> Instant {
        self.run.before_end(self.run.limits.last_read_reserve / 2)
    }

    /// Until when a delete may last: it leaves the whole time of a return to the queue, because the event source mapping
    /// deletes a finished message anyway.
    pub(super) fn delete_until(&self) -> Instant {
        self.run.before_end(self.run.limits.last_read_reserve * 7 / 6)
    }

    /// Until when a return to the queue may last: it leaves half a second for the response of the invocation.
    pub(super) fn return_until(&self) -> Instant {
        self.run.before_end(self.run.limits.last_read_reserve / 6)
    }

    /// The result of a call to AWS, or `None` if it is not there by `until`. A call that would have no time is not made.
    pub(super) async fn by<F: Future>(&self, until: Instant, call: F) -> Option<F::Output> {
        let clock = &self.run.clock;
        if clock.left(until).is_zero() {
            return None;
        }
        // Boxed: the futures of the SDK are large and deeply nested.
        clock.by(until, Box::pin(call)).await
    }
}
