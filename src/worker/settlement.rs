//! Processes one message: parse, detach, then copy, event and delete, in this order. A crash between any two of them
//! repeats work and loses none.

use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::Worker;
use super::context::Context;
use super::deferral::Deferral;
use super::queue::{DeadLetter, Queue};
use super::received::Received;
use crate::alibaba::service_clock::CORRECTION_MAX;
use crate::aws::bus::{Bus, PublishError};
use crate::aws::sqs::QueueError;
use crate::aws::sqs_event::Delivery;
use crate::clock::shifted;
use crate::completion::reason::Reason;
use crate::completion::{Circumstances, Completion};
use crate::detach::{Evidence, Ground, Outcome};
use crate::drive::deadline::correction;
use crate::drive::observer::Event;
use crate::drive::time_budget::Run;
use crate::drive::{Attempt, Deadline, Driven, Ended, Unfinished};
use crate::request::{DetachRequest, RegionId, RequestId};
use crate::telemetry;
use crate::transport::Transport;

/// The time that must remain, of the invocation and of the request's deadline, when a request that waited for the
/// worker's share of the quota begins. Most detaches need less. A detach that began later would be requested by this
/// delivery and confirmed by the next one.
const DETACH_TIME: Duration = Duration::from_secs(15);

/// Whether the message is copied to the dead-letter queue before it is deleted.
fn is_copied(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Rejected(_) | Outcome::Unconfirmed(_) => true,
        Outcome::Refused(refusal) => refusal.ground != Ground::Rule,
        Outcome::Detached | Outcome::AlreadyDetached | Outcome::DryRunPassed | Outcome::EndpointGone => false,
    }
}

impl<T: Transport, Q: Queue, B: Bus> Worker<T, Q, B> {
    /// Processes one message: publishes its event and deletes it, or defers it. The caller enters the message's
    /// [`Received::span`], so that the lines before and after, and a panic's, name the request too.
    pub(super) async fn handle(&self, received: &Received, context: &Context<'_>) -> Result<(), Deferral> {
        let Received { delivery, parsed } = received;
        let Some(parsed) = parsed else {
            error!("the message could not be read; it returns to the queue");
            return Err(self.defer(received, None, "it could not be read", context));
        };
        let run = &context.run;
        let sent_ahead = self.sent_ahead(delivery, run);
        let deadline = self.settings.deadline_of(&parsed.subject);
        let deadline = match delivery.sent_at {
            Some(sent_at) => Deadline::Date { at: sent_at + deadline, sent_ahead },
            None => Deadline::Moment(run.clock.started() + deadline),
        };
        let is_overdue = self.is_past(&deadline, run);
        let may_begin_late =
            is_overdue && parsed.result.is_ok() && run.admits_last_read() && !context.has_aws_timed_out();
        if run.is_ending() && !may_begin_late {
            return Err(self.defer(received, None, "no time is left in this invocation", context));
        }
        let request_id = received.request_id();
        let event = Event::Received {
            subject: &parsed.subject,
            message_id: Some(&delivery.message_id),
            deliveries: delivery.receive_count,
            trigger: delivery.trigger,
        };
        self.observer.observe(&request_id, &event);
        let (outcome, evidence) = match &parsed.result {
            Err(rejection) => (Outcome::Rejected(rejection.clone()), Evidence::default()),
            Ok(request) => self.carry_out(request, received, &deadline, context).await?,
        };
        // The queue's times, and our own by the clock that judged the deadline. It may be a little behind the queue's.
        let ahead = correction(self.cloud.clock_ahead(), sent_ahead);
        let time = |at| shifted(run.clock.wall_of(at), ahead);
        let accepted_at = delivery.sent_at.unwrap_or_else(|| time(run.clock.started()));
        let started_at = delivery.first_received_at.unwrap_or_else(|| time(run.clock.started()));
        let circumstances = Circumstances {
            trigger: delivery.trigger,
            deliveries: delivery.receive_count,
            accepted_at,
            started_at,
            confirmed_at: evidence.confirmed_at.map(|at| time(at).max(started_at)),
            completed_at: time(run.clock.now()).max(started_at),
        };
        let (subject, runbook) = (&parsed.subject, &self.settings.runbook_url);
        let completion = Completion::new(&outcome, &evidence, request_id, subject, circumstances, runbook);
        self.settle(&outcome, &completion, received, &deadline, context).await
    }

    /// How far the message was sent in the future of our clock; zero if it was not, or if that cannot be true.
    fn sent_ahead(&self, delivery: &Delivery, run: &Run) -> Duration {
        let sent_ahead = delivery.sent_at.and_then(|sent_at| sent_at.duration_since(run.clock.wall()).ok());
        let sent_ahead = sent_ahead.unwrap_or_default();
        if sent_ahead <= CORRECTION_MAX {
            return sent_ahead;
        }
        let ahead = sent_ahead.try_into().unwrap_or(time::Duration::MAX);
        run.ignore_correction("the SentTimestamp of a message", ahead, &*self.observer);
        Duration::ZERO
    }

    /// Whether a deadline has passed, by the clock as it is known now.
    fn is_past(&self, deadline: &Deadline, run: &Run) -> bool {
        self.cloud.moment_of(deadline, &run.clock) <= run.clock.now()
    }

    /// Carries out the request within this invocation's time and this worker's share of the quota.
    async fn carry_out(
        &self,
        request: &DetachRequest,
        received: &Received,
        deadline: &Deadline,
        context: &Context<'_>,
    ) -> Result<(Outcome, Evidence), Deferral> {
        let run = &context.run;
        let request_id = received.request_id();
        let is_first_delivery = received.delivery.receive_count == 1;
        let observer = &*self.observer;
        let deadline = *deadline;
        let (request_id, replacements) = (&request_id, &self.settings.rules.replacements);
        let attempt = Attempt { request, replacements, request_id, observer, is_first_delivery, deadline };
        let begin = || Driven::new(&self.cloud, &attempt, self.settings.limits, run).returnable();
        // An earlier delivery may have detached the group. Its write had a share, which includes the confirmation. And a request
        // that finds no usable credentials has no use for a share.
        let (region, mut reading) = (&request.region_id, None);
        let lacks_credentials = self.lacks_credentials.get();
        let may_read_first = || self.redelivery_share.take_now(region, run.clock.now());
        let confirmed = if lacks_credentials || (!is_first_delivery && may_read_first()) {
            reading.insert(begin()).confirm().await
        } else {
            None
        };
        let ended = if let Some(ended) = confirmed {
            ended
        } else {
            let ends = self.cloud.moment_of(&deadline, &run.clock);
            self.wait_for_share(region, request_id, ends, context).await.map_err(|opens| {
                self.defer(received, Some(opens), "this worker's share of the quota is used up", context)
            })?;
            reading.unwrap_or_else(begin).finish().await
        };
        match ended {
            Ended::Finished(outcome, evidence) => {
                if !matches!(outcome, Outcome::Unconfirmed(_)) {
                    self.lacks_credentials.set(false);
                }
                Ok((outcome, evidence))
            }
            Ended::Unfinished { why: Unfinished::OutOfTime, not_before, .. } => {
                Err(self.defer(received, not_before, "not finished in this invocation", context))
            }
            Ended::Unfinished { why: Unfinished::NoCredentials { renewal }, not_before, .. } => {
                self.lacks_credentials.set(true);
                Err(self.defer(received, not_before.max(renewal), "no usable credentials", context))
            }
        }
    }

    /// Waits until this worker's share of the quota lets one more request begin. Fails with that time if it is
    /// beyond the invocation.
    async fn wait_for_share(
        &self,
        region: &RegionId,
        request_id: &RequestId,
        deadline: Instant,
        context: &Context<'_>,
    ) -> Result<(), Instant> {
        let clock = &context.run.clock;
        let now = clock.now();
        let opens = self.share.opens(region, now);
        // A share is an estimate: a request whose deadline would pass while it waits is better started, at the risk of a
        // throttle. One that is past its deadline needs only its last read, which can wait.
        let would_expire = now < deadline && deadline < opens + DETACH_TIME;
        if opens <= now || would_expire {
            self.share.take(region, now, now);
            return Ok(());
        }
        context.run.call_may_last_until(opens + DETACH_TIME, false).ok_or(opens)?;
        self.share.take(region, opens, now);
        self.observer.observe(request_id, &Event::ShareUsedUp { wait: opens - now });
        clock.sleep_until(opens).await;
        Ok(())
    }

    /// Copy, event, delete. A copy or an event that fails leaves the message in the queue until its deadline.
    async fn settle(
        &self,
        outcome: &Outcome,
        completion: &Completion,
        received: &Received,
        deadline: &Deadline,
        context: &Context<'_>,
    ) -> Result<(), Deferral> {
        let is_copied = is_copied(outcome);
        if is_copied && let Some(reason) = &completion.reason {
            self.copy(reason, completion, received, context).await?;
        }
        let published = context
            .by(context.publish_until(), self.bus.publish(completion.detail_type, &completion.detail))
            .await;
        let published = published.unwrap_or_else(|| Err(PublishError::out_of_time()));
        context.record_aws_call(published.as_ref().is_err_and(PublishError::is_timeout));
        if let Err(error) = published {
            error!(
                outcome = outcome.name(),
                "the completion event was not published: {}",
                telemetry::cause(&error)
            );
            if !self.is_past(deadline, &context.run) {
                return Err(self.defer(received, None, "its completion event was not published", context));
            }
            // An existing copy keeps its own reason: SQS would drop a second one as a duplicate.
            if !is_copied {
                let code = completion.reason.as_ref().map(|reason| &reason.code);
                let reason = Reason::of_unpublished(outcome.name(), code);
                self.copy(&reason, completion, received, context).await?;
            }
            error!(
                outcome = outcome.name(),
                "finished without a completion event; only the dead-letter copy records the outcome"
            );
        } else {
            self.observer.observe(&completion.detail.request_id, &Event::Completed { outcome, completion });
        }
        let deleted = context.by(context.delete_until(), self.queue.delete(&received.delivery)).await;
        let deleted = deleted.unwrap_or_else(|| Err(QueueError::out_of_time("DeleteMessage")));
        context.record_aws_call(deleted.as_ref().is_err_and(QueueError::is_timeout));
        if let Err(error) = deleted {
            warn!(
                "the message was not deleted; the event source mapping deletes it: {}",
                telemetry::cause(&error)
            );
        }
        Ok(())
    }

    /// Copies the message to the dead-letter queue.
    async fn copy(
        &self,
        reason: &Reason,
        completion: &Completion,
        received: &Received,
        context: &Context<'_>,
    ) -> Result<(), Deferral> {
        let outcome = completion.detail.outcome;
        let dead_letter = DeadLetter {
            delivery: &received.delivery,
            request_id: &completion.detail.request_id,
            outcome,
            reason_code: reason.code.as_str(),
            reason_message: &reason.message,
        };
        let copied = context.by(context.publish_until(), self.queue.send_dead_letter(&dead_letter)).await;
        let copied = copied.unwrap_or_else(|| Err(QueueError::out_of_time("SendMessage")));
        context.record_aws_call(copied.as_ref().is_err_and(QueueError::is_timeout));
        copied.map_err(|error| {
            error!(outcome, "the dead-letter copy was not written: {}", telemetry::cause(&error));
            self.defer(received, None, "its dead-letter copy was not written", context)
        })
    }
}
