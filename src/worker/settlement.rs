//! From a message to its end: parse, detach, then copy, event and delete, in this order, so that a crash between
//! any two of them repeats work and loses none.

use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tracing::{Instrument, Span, debug, error, info, info_span, warn};

use super::{Ended, Invocation, Worker};
use crate::alibaba::transport::Transport;
use crate::completion::reason::{Reason, ReasonCode};
use crate::completion::{Circumstances, Completion, Detail, REJECTED, Subject};
use crate::detach::{Account, Outcome, TimeUsedUp};
use crate::request::{DetachRequest, EndpointId, RegionId, Rejection, RequestId, SecurityGroupId, Trigger};
use crate::worker::bus::Bus;
use crate::worker::queue::{DeadLetter, Delivery, Queue};

/// Jitter on top of a visibility timeout, as a share of it.
const HAND_BACK_JITTER: f64 = 0.2;

/// What a request that waits for its share must have left then, of the invocation and of its own deadline: most detaches
/// need less. One that began later would be asked for here, and proved by the next delivery.
const DETACH_TIME: Duration = Duration::from_secs(15);

/// A delivery and the request in it.
#[derive(Debug)]
pub struct Received {
    /// The delivery.
    pub delivery: Delivery,
    /// What its body says.
    pub request: Result<DetachRequest, Box<Rejection>>,
}

impl Received {
    /// The name of the request: its own, the one that a dead-letter copy kept, or the message's.
    fn request_id(&self) -> RequestId {
        let named = match &self.request {
            Ok(request) => request.request_id.as_ref(),
            Err(rejection) => rejection.request_id.as_ref(),
        };
        let kept = named.or(self.delivery.request_id.as_ref()).cloned();
        kept.unwrap_or_else(|| RequestId::from_source(&self.delivery.message_id))
    }

    /// Carries every field that a line about this message needs.
    #[must_use]
    pub fn span(&self, invocation: &Invocation) -> Span {
        request_span(&self.request_id(), &self.request, invocation)
    }
}

/// The message is not finished: it goes back, to come again after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandBack {
    /// The visibility timeout.
    pub visibility: Duration,
}

/// A direct invocation has its outcome, but the event could not be published; its caller must be told both.
#[derive(Debug, Error)]
#[error("the outcome is {outcome}, but its completion event could not be published")]
pub struct Unpublished {
    /// The outcome's name.
    pub outcome: &'static str,
}

impl<T: Transport, Q: Queue, B: Bus> Worker<T, Q, B> {
    /// The request in a delivery. A missing body is no request, and says so.
    #[must_use]
    pub fn receive(&self, delivery: Delivery) -> Received {
        let request =
            DetachRequest::parse(delivery.body.as_deref().unwrap_or_default(), &self.settings.rules);
        Received { delivery, request }
    }

    /// Brings one message to its end: published and deleted, or to be handed back. Whoever calls it enters the
    /// message's [`Received::span`], so that the lines before and after, and a panic's, name the request too.
    pub async fn handle(&self, received: &Received, invocation: &Invocation) -> Result<(), HandBack> {
        let request_id = received.request_id();
        let delivery = &received.delivery;
        let limits = &self.settings.invocation;
        let invoked_at = invocation.clock.wall_of(invocation.clock.started());
        let accepted_at = delivery.sent_at.unwrap_or(invoked_at);
        let deadline = accepted_at + self.deadline_of(&received.request);
        let is_overdue = deadline <= invocation.clock.wall();
        let is_ending = invocation.is_ending(limits);
        if is_ending && !(is_overdue && received.request.is_ok() && invocation.admits_last_look(limits)) {
            return Err(self.hand_back(received, "no time is left in this invocation", invocation));
        }
        info!(
            message_id = delivery.message_id,
            deliveries = delivery.receive_count,
            trigger = delivery.trigger.as_str(),
            "request received"
        );
        let (outcome, account) = match &received.request {
            Err(rejection) => (Outcome::Rejected(rejection.clone()), Account::default()),
            Ok(request) => {
                let until = invocation.clock.instant_of(deadline);
                self.begin(&request.region_id, until, invocation).await.map_err(|opens| {
                    let why = "this worker's share of the quota is used up";
                    self.hand_back_until(Some(opens), received, why, invocation)
                })?;
                let is_first = delivery.receive_count == 1;
                match self.detach(request, is_first, until, invocation).await {
                    Ended::Finished(outcome, account) => (outcome, account),
                    Ended::Unfinished { not_before, .. } => {
                        let why = "not finished in this invocation";
                        return Err(self.hand_back_until(not_before, received, why, invocation));
                    }
                }
            }
        };
        let circumstances = Circumstances {
            trigger: delivery.trigger,
            deliveries: delivery.receive_count,
            accepted_at,
            started_at: delivery.first_received_at.unwrap_or(invoked_at),
            confirmed_at: account.confirmed_at.map(|at| invocation.clock.wall_of(at)),
            completed_at: invocation.clock.wall(),
        };
        let subject = Subject::new(request_id, &received.request);
        let completion = Completion::new(&outcome, &account, subject, circumstances);
        self.settle(&outcome, &completion, received, deadline, invocation).await
    }

    /// Waits until this worker's share of the quota lets one more request begin. Or when that is, if the invocation's time
    /// does not reach that far.
    async fn begin(
        &self,
        region: &RegionId,
        deadline: Instant,
        invocation: &Invocation,
    ) -> Result<(), Instant> {
        let now = invocation.clock.now();
        let opens = self.share.opens(region, now);
        // A share is an estimate: a request whose time would run out meanwhile is better tried, at the risk of a throttle.
        if opens <= now || opens + DETACH_TIME > deadline {
            self.share.take(region, now, now);
            return Ok(());
        }
        let limits = &self.settings.invocation;
        invocation.call_may_last_until(opens + DETACH_TIME, false, limits).ok_or(opens)?;
        self.share.take(region, opens, now);
        let wait_ms = super::milliseconds(opens - now);
        debug!(wait_ms, "held back: this worker's share of the quota is used up");
        invocation.clock.sleep_until(opens).await;
        Ok(())
    }

    /// Copy, event, delete. A copy or an event that fails leaves the message where it is, until its deadline.
    async fn settle(
        &self,
        outcome: &Outcome,
        completion: &Completion,
        received: &Received,
        deadline: SystemTime,
        invocation: &Invocation,
    ) -> Result<(), HandBack> {
        let delivery = &received.delivery;
        let detail = &completion.detail;
        let is_copied = match outcome {
            Outcome::Rejected(_) | Outcome::Unconfirmed(_) => true,
            Outcome::Refused(refusal) => refusal.is_denial,
            Outcome::Detached | Outcome::AlreadyDetached | Outcome::DryRunPassed | Outcome::EndpointGone => {
                false
            }
        };
        let letter = |code, message| DeadLetter {
            delivery,
            request_id: &detail.request_id,
            outcome: detail.outcome,
            reason_code: code,
            reason_message: message,
        };
        if is_copied && let Some(reason) = &detail.reason {
            let buried = self.queue.bury(&letter(&reason.code, &reason.message)).await;
            buried.map_err(|fault| {
                error!(outcome = detail.outcome, "the dead-letter copy was not written: {fault}");
                self.hand_back(received, "its dead-letter copy failed", invocation)
            })?;
        }
        if let Err(fault) = self.bus.publish(completion).await {
            error!(outcome = detail.outcome, "the completion event was not published: {fault}");
            if invocation.clock.wall() < deadline {
                return Err(self.hand_back(received, "its completion event failed", invocation));
            }
            // A copy that is written already keeps its own reason: SQS would swallow a second one.
            if !is_copied {
                let reason = detail.reason.as_ref().map(|reason| reason.code.as_str());
                let reason = Reason::of_unpublished(detail.outcome, reason);
                let buried = self.queue.bury(&letter(reason.code.as_str(), &reason.message)).await;
                buried.map_err(|fault| {
                    error!(outcome = detail.outcome, "the dead-letter copy was not written: {fault}");
                    self.hand_back(received, "its dead-letter copy failed", invocation)
                })?;
            }
            error!(outcome = detail.outcome, "ended without an event; the dead-letter copy is all there is");
        } else {
            log_completed(completion);
        }
        if let Err(fault) = self.queue.delete(delivery).await {
            warn!("the message was not deleted, the event source mapping will: {fault}");
        }
        Ok(())
    }

    /// Answers a direct invocation with the detail of its event. There is no queue behind it: what is not proved in
    /// this invocation stays unconfirmed.
    pub async fn answer(&self, body: &str, invocation: &Invocation) -> Result<Detail, Unpublished> {
        let request = DetachRequest::parse(body, &self.settings.rules);
        let named = match &request {
            Ok(request) => request.request_id.clone(),
            Err(rejection) => rejection.request_id.clone(),
        };
        let request_id = named.unwrap_or_else(|| RequestId::from_source(&invocation.lambda_request_id));
        let span = request_span(&request_id, &request, invocation);
        self.answer_named(request_id, &request, invocation).instrument(span).await
    }

    async fn answer_named(
        &self,
        request_id: RequestId,
        request: &Result<DetachRequest, Box<Rejection>>,
        invocation: &Invocation,
    ) -> Result<Detail, Unpublished> {
        let started = invocation.clock.started();
        info!(deliveries = 1, trigger = Trigger::Direct.as_str(), "request received");
        let (outcome, account) = match request {
            Err(rejection) => (Outcome::Rejected(rejection.clone()), Account::default()),
            Ok(valid) => {
                let deadline = started + self.deadline_of(request);
                // Somebody waits for it, and no queue would keep it: it counts, and does not wait for its share.
                self.share.take(&valid.region_id, started, started);
                match self.detach(valid, true, deadline, invocation).await {
                    Ended::Finished(outcome, account) => (outcome, account),
                    Ended::Unfinished { account, .. } => {
                        (Outcome::Unconfirmed(TimeUsedUp::Invocation), account)
                    }
                }
            }
        };
        let accepted_at = invocation.clock.wall_of(started);
        let circumstances = Circumstances {
            trigger: Trigger::Direct,
            deliveries: 1,
            accepted_at,
            started_at: accepted_at,
            confirmed_at: account.confirmed_at.map(|at| invocation.clock.wall_of(at)),
            completed_at: invocation.clock.wall(),
        };
        let subject = Subject::new(request_id, request);
        let completion = Completion::new(&outcome, &account, subject, circumstances);
        if let Err(fault) = self.bus.publish(&completion).await {
            error!(outcome = outcome.name(), "the completion event was not published: {fault}");
            return Err(Unpublished { outcome: outcome.name() });
        }
        log_completed(&completion);
        Ok(completion.detail)
    }

    /// The hand-back of a message that is not finished.
    pub(crate) fn hand_back(&self, received: &Received, why: &str, invocation: &Invocation) -> HandBack {
        self.hand_back_until(None, received, why, invocation)
    }

    /// The same, for longer if the service asked to be left alone until then, or its region did.
    fn hand_back_until(
        &self,
        not_before: Option<Instant>,
        received: &Received,
        why: &str,
        invocation: &Invocation,
    ) -> HandBack {
        let limits = &self.settings.invocation;
        let usual = limits.hand_back(received.delivery.receive_count);
        let usual = usual.mul_f64(1.0 + HAND_BACK_JITTER * self.rng.borrow_mut().f64());
        let now = invocation.clock.now();
        let region = received.request.as_ref().ok().map(|request| &request.region_id);
        let opens = region.and_then(|region| self.regions.closed_until(region, now));
        let visibility =
            usual.max(opens.max(not_before).map_or(Duration::ZERO, |at| invocation.clock.left(at)));
        info!(visibility_s = visibility.as_secs_f64(), "handed back: {why}");
        HandBack { visibility }
    }

    fn deadline_of(&self, request: &Result<DetachRequest, Box<Rejection>>) -> Duration {
        let named = match request {
            Ok(request) => request.deadline,
            Err(rejection) => rejection.deadline,
        };
        named.unwrap_or(self.settings.deadline)
    }
}

/// Carries every field that a line about this request needs.
fn request_span(
    request_id: &RequestId,
    request: &Result<DetachRequest, Box<Rejection>>,
    invocation: &Invocation,
) -> Span {
    let (endpoint_id, security_group_id) = match request {
        Ok(request) => (Some(&request.endpoint_id), Some(&request.security_group_id)),
        Err(rejection) => (rejection.endpoint_id.as_ref(), rejection.security_group_id.as_ref()),
    };
    info_span!(
        "request",
        request_id = request_id.as_str(),
        endpoint_id = endpoint_id.map(EndpointId::as_str),
        security_group_id = security_group_id.map(SecurityGroupId::as_str),
        lambda_request_id = invocation.lambda_request_id,
        xray_trace_id = invocation.xray_trace_id,
    )
}

fn log_completed(completion: &Completion) {
    let detail = &completion.detail;
    let (outcome, duration_ms) = (detail.outcome, detail.duration_ms);
    match &detail.reason {
        None => info!(outcome, duration_ms, "completed"),
        Some(reason) if reason.code == ReasonCode::DryRunNotHonoured.as_str() => {
            error!(outcome, duration_ms, reason_code = reason.code, "failed: {}", reason.message);
        }
        // A rejection quotes the names of fields that the sender made up: they are for the event, not for the log.
        Some(reason) if outcome == REJECTED => {
            warn!(outcome, duration_ms, reason_code = reason.code, "failed: its event names every fault");
        }
        Some(reason) => warn!(outcome, duration_ms, reason_code = reason.code, "failed: {}", reason.message),
    }
}
