//! Processes one message: verifies its notice, posts it, and ends the message.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::field::Empty;
use tracing::{Instrument, Span, error, error_span, info, warn};

use super::Messenger;
use super::deliver::deliver;
use super::queue::{CHANGE_VISIBILITY, visibility};
use crate::aws::OPERATION_TIMEOUT;
use crate::aws::sqs::{QueueError, SEND};
use crate::aws::sqs_event::Delivery;
use crate::chat::notice::{NoNotice, Notice};
use crate::chat::post::{End, Post};
use crate::chat::signed::ChatKeys;
use crate::clock::Clock;
use crate::lambda::Invocation;
use crate::telemetry;
use crate::transport::Transport;

/// Number of receives after which a post is not repeated if its response was lost: the conversation has at most this many
/// copies of it by lost responses.
const POSTS_MAX: u32 = 3;

/// Number of receives after which SQS leaves a message out of the age of its oldest message, so that the queue's alarm no
/// longer sees it. From the next receive on, a message that returns to the queue is an error.
const AGE_RECEIVES_MAX: u32 = 3;

/// The time at the end of an invocation for its response.
const RESPONSE_TIME: Duration = Duration::from_millis(500);

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The event source mapping deletes it.
    Finished,
    /// The response reports it as failed: the queue delivers it again.
    Returned,
}

/// How the attempt to post a message ended.
enum Attempt {
    /// The message is not a notice of this deployment.
    NotANotice(NoNotice),
    Ended(End),
}

impl Attempt {
    fn retry(why: &str) -> Self {
        Self::Ended(End::Retry { why: why.to_owned(), after: None })
    }
}

/// When the parts of an invocation's work end.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The calls to platforms. The time that remains is for a dead-letter copy, and for a return to the queue if the copy
    /// fails.
    calls_end: Instant,
    /// The calls to the queues.
    queue_ends: Instant,
}

impl Times {
    fn of(invocation: &Invocation) -> Self {
        let ends_at = invocation.clock.instant_of(invocation.ends_at);
        let before_end = |time| ends_at.checked_sub(time).unwrap_or(ends_at);
        Self {
            calls_end: before_end(2 * OPERATION_TIMEOUT + RESPONSE_TIME),
            queue_ends: before_end(RESPONSE_TIME),
        }
    }
}

impl<T: Transport> Messenger<T> {
    /// Processes one message. A panic concerns this message alone: it returns to the queue.
    pub(super) async fn settle(&self, delivery: &Delivery, invocation: &Invocation) -> Settled {
        let span = error_span!(
            "message",
            notice = Empty,
            request_id = Empty,
            conversation = Empty,
            message_id = delivery.message_id,
            lambda_request_id = invocation.lambda_request_id,
            xray_trace_id = invocation.xray_trace_id,
        );
        // State that outlives a message is the cached secrets and tokens, and a random number: a panic leaves none half-changed.
        let settled = AssertUnwindSafe(self.attempt_and_settle(delivery, invocation)).catch_unwind();
        settled.instrument(span.clone()).await.unwrap_or_else(|_| {
            span.in_scope(|| error!("a panic stopped this message; it returns to the queue"));
            Settled::Returned
        })
    }

    async fn attempt_and_settle(&self, delivery: &Delivery, invocation: &Invocation) -> Settled {
        let (clock, times) = (&invocation.clock, Times::of(invocation));
        // Boxed: the futures of the SDK are large.
        let attempt = Box::pin(self.attempt(delivery, times.calls_end, clock));
        let attempt = clock.by(times.calls_end, attempt).await;
        match attempt.unwrap_or_else(|| Attempt::retry("no time is left in this invocation")) {
            Attempt::NotANotice(why) => {
                if let NoNotice::Unverified { request_id: Some(request_id) } = &why {
                    Span::current().record("request_id", request_id.as_str());
                }
                error!("the message is deleted: {why}");
                Settled::Finished
            }
            Attempt::Ended(End::Posted) => {
                info!("posted");
                Settled::Finished
            }
            Attempt::Ended(End::Dropped(why)) => {
                warn!("not posted, and not tried again: {why}");
                Settled::Finished
            }
            Attempt::Ended(End::Lost { why, .. }) if delivery.receive_count >= POSTS_MAX => {
                let why = format!("{why}; it may have been posted");
                self.send_dead_letter(delivery, &why, times, clock).await
            }
            Attempt::Ended(End::Retry { why, after } | End::Lost { why, after }) => {
                self.return_to_queue(delivery, &why, after, times, clock).await
            }
            Attempt::Ended(End::Undeliverable { why }) => {
                self.send_dead_letter(delivery, &why, times, clock).await
            }
        }
    }

    /// Verifies and posts the notice of a message. No call lasts longer than `until`.
    async fn attempt(&self, delivery: &Delivery, until: Instant, clock: &Clock) -> Attempt {
        if !delivery.is_readable {
            return Attempt::retry("its record cannot be read");
        }
        let notice = match self.verify(delivery.body.as_deref().unwrap_or_default(), clock).await {
            Ok(notice) => notice,
            Err(attempt) => return attempt,
        };
        record(&notice);
        let Ok(tokens) = self.tokens.current(clock).await else {
            return Attempt::retry("the chat tokens cannot be read");
        };
        Attempt::Ended(match Post::new(&notice, &self.addresses, &tokens) {
            Ok(mut post) => {
                let next = |last| post.next(last, &mut self.access.borrow_mut(), clock.wall());
                deliver(next, &self.transport, until, clock).await
            }
            Err(end) => end,
        })
    }

    async fn verify(&self, body: &str, clock: &Clock) -> Result<Notice, Attempt> {
        let unavailable = |_| Attempt::retry("the chat signing keys cannot be read");
        let parse = |keys: &ChatKeys| Notice::parse(body, keys, self.language, clock.wall());
        match parse(&*self.keys.current(clock).await.map_err(unavailable)?) {
            Err(NoNotice::Unverified { .. }) => {}
            result => return result.map_err(Attempt::NotANotice),
        }
        // The key may have been added to the list after the last read.
        match self.keys.after_mismatch(clock).await.map_err(unavailable)? {
            Some(keys) => parse(&keys).map_err(Attempt::NotANotice),
            // The key may even have been added since that read: a notice must not be lost because of another message.
            None => Err(Attempt::retry("the chat signing keys were read again just before")),
        }
    }

    async fn send_dead_letter(&self, delivery: &Delivery, why: &str, times: Times, clock: &Clock) -> Settled {
        // Only a message with a body is a notice.
        let copy = self.queue.send_dead_letter(delivery.body.as_deref().unwrap_or_default(), why);
        let copied = clock.by(times.queue_ends, Box::pin(copy)).await;
        match copied.unwrap_or_else(|| Err(QueueError::out_of_time(SEND))) {
            Ok(()) => {
                error!("copied to the dead-letter queue, and not tried again: {why}");
                Settled::Finished
            }
            Err(error) => {
                error!("meant for the dead-letter queue: {why}");
                let why = format!("the copy to the dead-letter queue failed: {}", telemetry::cause(&error));
                self.return_to_queue(delivery, &why, None, times, clock).await
            }
        }
    }

    /// Returns a message to the queue. If its visibility timeout cannot be changed, it returns after the queue's own.
    async fn return_to_queue(
        &self,
        delivery: &Delivery,
        why: &str,
        after: Option<Duration>,
        times: Times,
        clock: &Clock,
    ) -> Settled {
        let jitter = self.jitter.borrow_mut().f64();
        let visibility = visibility(delivery.receive_count, after, jitter);
        let visibility_s = visibility.as_secs_f64();
        if delivery.receive_count > AGE_RECEIVES_MAX {
            error!(visibility_s, receives = delivery.receive_count, "returned to the queue: {why}");
        } else {
            warn!(visibility_s, receives = delivery.receive_count, "returned to the queue: {why}");
        }
        let returned = clock.by(times.queue_ends, Box::pin(self.queue.defer(delivery, visibility))).await;
        if let Err(error) = returned.unwrap_or_else(|| Err(QueueError::out_of_time(CHANGE_VISIBILITY))) {
            let cause = telemetry::cause(&error);
            warn!("the message comes back after the queue's own visibility timeout: {cause}");
        }
        Settled::Returned
    }
}

/// Adds what a notice is about to the log lines of its message.
fn record(notice: &Notice) {
    let span = Span::current();
    span.record("notice", notice.name());
    span.record("conversation", tracing::field::display(notice.conversation()));
    if let Some(request_id) = notice.request_id() {
        span.record("request_id", request_id.as_str());
    }
}
