//! Returns unfinished messages to the queue, each with the rest of its lane, and decides how long they stay invisible.

use std::time::{Duration, Instant};

use tracing::{Span, info, warn};

use super::Worker;
use super::context::Context;
use super::queue::Queue;
use super::received::Received;
use crate::aws::sqs::QueueError;
use crate::aws::sqs_event::Delivery;
use crate::drive::observer::Event;
use crate::telemetry;
use crate::transport::Transport;

/// Jitter added to a visibility timeout, as a share of it.
const JITTER: f64 = 0.2;

/// The message is not finished: it returns to the queue with the rest of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deferral {
    /// Until the queue delivers it again.
    visibility: Duration,
}

impl<T: Transport, Q: Queue, B> Worker<T, Q, B> {
    /// Defers a message for the time that follows from its receive count, or for longer: until `not_before`, if there
    /// is one, and until the end of its region's throttling.
    pub(super) fn defer(
        &self,
        received: &Received,
        not_before: Option<Instant>,
        why: &str,
        context: &Context<'_>,
    ) -> Deferral {
        let clock = &context.run.clock;
        let usual = self.settings.deferral.visibility(received.delivery.receive_count);
        let usual = usual.mul_f64(1.0 + JITTER * self.cloud.random_share());
        let request = received.parsed.as_ref().and_then(|parsed| parsed.result.as_ref().ok());
        let region = request.map(|request| &request.region_id);
        let opens = region.and_then(|region| self.cloud.held_until(region, clock.now()));
        let visibility = usual.max(opens.max(not_before).map_or(Duration::ZERO, |at| clock.left(at)));
        self.observer.observe(&received.request_id(), &Event::Deferred { why, visibility });
        Deferral { visibility }
    }

    /// Returns a deferred message and the untouched messages behind it in its lane, all for the same time: none of them may
    /// overtake the first, or block the lane for longer. Returns the ids to report as failed.
    pub(super) async fn return_lane(
        &self,
        rest: Vec<Received>,
        Deferral { visibility }: Deferral,
        context: &Context<'_>,
    ) -> Vec<String> {
        let span = rest.first().map_or_else(Span::none, |first| first.span(context));
        for follower in rest.iter().skip(1) {
            let visibility_s = visibility.as_secs_f64();
            follower.span(context).in_scope(|| {
                info!(visibility_s, "returned to the queue untouched, behind an earlier request of its lane");
            });
        }
        let rest: Vec<Delivery> = rest.into_iter().map(|received| received.delivery).collect();
        let deferred = context.by(context.return_until(), self.queue.defer(&rest, visibility)).await;
        let deferred =
            deferred.unwrap_or_else(|| Err(QueueError::out_of_time("ChangeMessageVisibilityBatch")));
        context.record_aws_call(deferred.as_ref().is_err_and(QueueError::is_timeout));
        if let Err(error) = deferred {
            span.in_scope(|| {
                warn!(
                    "this lane comes back after the queue's own visibility timeout: {}",
                    telemetry::cause(&error)
                );
            });
        }
        rest.into_iter().map(|delivery| delivery.message_id).collect()
    }
}
