//! One sweep: reads the scope, requests the detaches that the verdict allows, publishes the event.

use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{Instrument, error, error_span, info, warn};

use super::apply::Applied;
use super::request::{self, SweepRequest};
use super::{SweepError, Sweeper, detaches, log};
use crate::aws::bus::{Bus, PublishError};
use crate::aws::request_queue::RequestQueue;
use crate::clock::{Clock, shifted};
use crate::completion::sweep::{self as event, Detail, Mode};
use crate::drive::sweep::{Sweep, sweep};
use crate::lambda::Invocation;
use crate::request::RequestId;
use crate::sweep::Verdict;
use crate::telemetry;
use crate::transport::Transport;

/// The longest time of a Lambda invocation. A later end means that the clock is wrong.
const INVOCATION_TIME_MAX: Duration = Duration::from_mins(15);

/// Time between the end of the last call and the end of the invocation, for the response.
const RESPONSE_TIME: Duration = Duration::from_millis(500);

/// The pause before another attempt to publish the event. The sweeper must try again itself: Lambda does not repeat a
/// sweep.
const PUBLISH_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl<T: Transport, Q: RequestQueue, B: Bus> Sweeper<T, Q, B> {
    /// See [`Self::handle`].
    pub(super) async fn respond(&self, body: &str, invocation: &Invocation) -> Result<Value, SweepError> {
        let request = request::parse(body, &self.settings.rules).map_err(SweepError::InvalidSweep)?;
        let named = request.sweep_id.clone();
        let sweep_id = named.unwrap_or_else(|| RequestId::from_source(&invocation.lambda_request_id));
        // A log line has the fields of its innermost span only.
        let span = error_span!(
            "sweep",
            lambda_request_id = invocation.lambda_request_id,
            xray_trace_id = invocation.xray_trace_id,
            sweep_id = sweep_id.as_str(),
        );
        self.carry_out(&request, &sweep_id, invocation).instrument(span).await
    }

    async fn carry_out(
        &self,
        request: &SweepRequest,
        sweep_id: &RequestId,
        invocation: &Invocation,
    ) -> Result<Value, SweepError> {
        let (clock, settings) = (&invocation.clock, &self.settings);
        let ends = end_of(invocation);
        let until = self.until(clock, ends);
        let mode = self.mode(request);
        info!(mode = mode.as_str(), mode_requested = request.mode.as_str(), "sweep started");
        let what = Sweep {
            security_group_ids: &request.security_group_ids,
            region_ids: &request.region_ids,
            filter: &request.filter,
            rules: &settings.rules,
            limits: settings.limits,
            pace: settings.pace,
        };
        let swept = sweep(&self.cloud, self.services.as_ref(), &what, clock, Some(until), &|_| {}).await;
        let mut verdict = swept.plan.verdict(request.max_detaches);
        log::read(&swept, verdict, request);
        let mut plan = swept.plan;
        let mut applied = Applied::default();
        if mode == Mode::Apply && verdict == Verdict::ReferencesFound {
            let detaches = detaches::of_plan(&plan, sweep_id, request);
            applied = self.apply(detaches, &mut plan, &what, clock, until).await;
            // max_detaches limits the requests, which have been sent; the last verdict only states what was read.
            verdict = plan.verdict(None);
        }
        let completed = event::Sweep {
            sweep_id,
            mode,
            mode_requested: request.mode,
            filter: &request.filter,
            plan: &plan,
            max_detaches: request.max_detaches,
            verdict,
            requested: &applied.requested,
            shortfall: &applied.shortfall,
            completed_at: shifted(clock.wall(), self.cloud.clock_ahead()),
        };
        let detail = Detail::new(&completed, &settings.runbook_url);
        self.publish(&detail, &applied, clock, ends).await?;
        serde_json::to_value(detail).map_err(SweepError::Unwritable)
    }

    /// The mode in which a sweep is carried out: `Report` if the deployment does not allow requests.
    fn mode(&self, request: &SweepRequest) -> Mode {
        let is_allowed = self.settings.is_apply_allowed && !self.settings.rules.dry_run_only;
        if is_allowed { request.mode } else { Mode::Report }
    }

    /// The end of the time in which a sweep may read.
    fn until(&self, clock: &Clock, ends: Instant) -> Instant {
        let time = &self.settings.time;
        let until = ends.checked_sub(time.reserve).unwrap_or(clock.started());
        if until <= clock.started() {
            error!(
                reserve_s = time.reserve.as_secs(),
                "the function's timeout is no longer than the reserve for the event, so nothing can be read; raise the timeout"
            );
        }
        until.min(clock.started() + time.sweep)
    }

    /// Publishes the event. Repeats the attempt after a transient error until the time of the invocation ends.
    async fn publish(
        &self,
        detail: &Detail,
        applied: &Applied,
        clock: &Clock,
        ends: Instant,
    ) -> Result<(), SweepError> {
        let (verdict, requested, unsent) =
            (detail.verdict, applied.requested.len(), applied.shortfall.unsent);
        if unsent > 0 {
            error!(requested, unsent, "the request queue did not accept every request; run the sweep again");
        }
        let until = ends.checked_sub(RESPONSE_TIME).unwrap_or(ends);
        loop {
            // Boxed: the futures of the SDK are large and deeply nested.
            let publish = Box::pin(self.bus.publish(event::DETAIL_TYPE, detail));
            let published = clock.by(until, publish).await;
            let Err(error) = published.unwrap_or_else(|| Err(PublishError::out_of_time())) else { break };
            let again_at = clock.now() + PUBLISH_AGAIN_AFTER;
            if !error.is_transient() || again_at >= until {
                error!(
                    verdict,
                    requested,
                    "the event of the sweep was not published: {}",
                    telemetry::cause(&error)
                );
                return Err(SweepError::EventNotPublished { verdict, requested });
            }
            warn!("the event of the sweep was not published yet; trying again: {}", telemetry::cause(&error));
            clock.sleep_until(again_at).await;
        }
        match &detail.reason {
            None => info!(verdict, requested, "sweep completed"),
            Some(reason) => warn!(verdict, requested, "sweep completed: {}", reason.message),
        }
        Ok(())
    }
}

/// When Lambda ends an invocation.
fn end_of(invocation: &Invocation) -> Instant {
    let started = invocation.clock.started();
    let length = invocation.ends_at.duration_since(invocation.clock.wall_of(started)).ok();
    let is_possible = |length: &Duration| !length.is_zero() && *length <= INVOCATION_TIME_MAX;
    started + length.filter(is_possible).unwrap_or(INVOCATION_TIME_MAX)
}
