//! A direct invocation: one request, and its event's detail as the response. No queue repeats it, so what is not confirmed
//! in this invocation stays unconfirmed, and nothing is copied to the dead-letter queue.

use thiserror::Error;
use tracing::{Instrument, error};

use super::Worker;
use super::context::Context;
use super::received::request_span;
use crate::aws::bus::{Bus, PublishError};
use crate::clock::shifted;
use crate::completion::{Circumstances, Completion, Detail};
use crate::detach::{Evidence, Outcome, TimeExpired};
use crate::drive::observer::Event;
use crate::drive::{Attempt, Deadline, Ended, drive};
use crate::request::{self, DetachRequest, Parsed, RequestId, Trigger};
use crate::telemetry;
use crate::transport::Transport;

/// A direct invocation has its outcome, but its event could not be published; the caller needs both.
#[derive(Debug, Error)]
#[error("the outcome is {outcome}, but its completion event could not be published")]
pub struct Unpublished {
    /// The outcome's name.
    pub outcome: &'static str,
}

impl<T: Transport, Q, B: Bus> Worker<T, Q, B> {
    /// The detail of the event of the request in `body`.
    pub(super) async fn respond(&self, body: &str, context: &Context<'_>) -> Result<Detail, Unpublished> {
        let parsed = request::parse(body, &self.settings.rules);
        let named = parsed.subject.request_id.clone();
        let request_id =
            named.unwrap_or_else(|| RequestId::from_source(&context.invocation.lambda_request_id));
        let span = request_span(&request_id, &parsed.subject, context);
        self.respond_to(request_id, &parsed, context).instrument(span).await
    }

    async fn respond_to(
        &self,
        request_id: RequestId,
        parsed: &Parsed,
        context: &Context<'_>,
    ) -> Result<Detail, Unpublished> {
        let clock = &context.run.clock;
        let subject = &parsed.subject;
        let trigger = Trigger::Direct;
        let received = Event::Received { subject, message_id: None, deliveries: 1, trigger };
        self.observer.observe(&request_id, &received);
        let (outcome, evidence) = match &parsed.result {
            Err(rejection) => (Outcome::Rejected(rejection.clone()), Evidence::default()),
            Ok(request) => self.carry_out_now(request, &request_id, parsed, context).await,
        };
        // One clock for all times: corrected, as far as the responses allow it.
        let time = |at| shifted(clock.wall_of(at), self.cloud.clock_ahead());
        let accepted_at = time(clock.started());
        let circumstances = Circumstances {
            trigger,
            deliveries: 1,
            accepted_at,
            started_at: accepted_at,
            confirmed_at: evidence.confirmed_at.map(time),
            completed_at: time(clock.now()),
        };
        let runbook = &self.settings.runbook_url;
        let completion = Completion::new(&outcome, &evidence, request_id, subject, circumstances, runbook);
        let published = context
            .by(context.return_until(), self.bus.publish(completion.detail_type, &completion.detail))
            .await;
        if let Err(error) = published.unwrap_or_else(|| Err(PublishError::out_of_time())) {
            error!(
                outcome = outcome.name(),
                "the completion event was not published: {}",
                telemetry::cause(&error)
            );
            return Err(Unpublished { outcome: outcome.name() });
        }
        let completed = Event::Completed { outcome: &outcome, completion: &completion };
        self.observer.observe(&completion.detail.request_id, &completed);
        Ok(completion.detail)
    }

    async fn carry_out_now(
        &self,
        request: &DetachRequest,
        request_id: &RequestId,
        parsed: &Parsed,
        context: &Context<'_>,
    ) -> (Outcome, Evidence) {
        let started = context.run.clock.started();
        let deadline = Deadline::Moment(started + self.settings.deadline_of(&parsed.subject));
        // The caller waits for the response, so the request counts in the share of the quota and does not wait for it.
        self.share.take(&request.region_id, started, started);
        let observer = &*self.observer;
        let replacements = &self.settings.rules.replacements;
        let attempt =
            Attempt { request, replacements, request_id, observer, is_first_delivery: true, deadline };
        match drive(&self.cloud, &attempt, self.settings.limits, &context.run).await {
            Ended::Finished(outcome, evidence) => (outcome, evidence),
            Ended::Unfinished { evidence, .. } => (Outcome::Unconfirmed(TimeExpired::Invocation), evidence),
        }
    }
}
