//! One sweep: read the scope, request the detaches, read the requested endpoints again, publish the event.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{Instrument, error, info, info_span, warn};

use super::detaches::{self, Detach};
use super::request::{self, SweepRequest};
use super::{SweepError, Sweeper};
use crate::alibaba::credentials::CredentialProblem;
use crate::alibaba::privatelink::Target;
use crate::alibaba::transport::Transport;
use crate::aws::bus::{Bus, PublishError};
use crate::aws::request_queue::RequestQueue;
use crate::clock::{Clock, shifted};
use crate::completion::sweep::{self as event, Detail, Mode};
use crate::drive::sweep::{Rejected, Sweep, read_again, sweep};
use crate::lambda::Invocation;
use crate::request::RequestId;
use crate::sweep::{Plan, Reference, Verdict};
use crate::telemetry;

/// The longest time of a Lambda invocation. An end that is later by our clock is a mistake of the clock.
const INVOCATION_TIME_MAX: Duration = Duration::from_mins(15);

/// Time between the end of the last call and the end of the invocation, for the response.
const RESPONSE_TIME: Duration = Duration::from_millis(500);

/// The requests of a sweep.
#[derive(Debug, Default)]
struct Requests {
    /// Those that the queue has.
    accepted: HashSet<Target>,
    /// Those that the queue has not confirmed.
    unsent: Vec<Detach>,
}

impl<T: Transport, Q: RequestQueue, B: Bus> Sweeper<T, Q, B> {
    /// See [`Self::handle`].
    pub(super) async fn respond(&self, body: &str, invocation: &Invocation) -> Result<Value, SweepError> {
        let request = request::parse(body, &self.settings.rules).map_err(SweepError::InvalidSweep)?;
        let named = request.sweep_id.clone();
        let sweep_id = named.unwrap_or_else(|| RequestId::from_source(&invocation.lambda_request_id));
        // A log line has the fields of its innermost span only.
        let span = info_span!(
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
        let until = ends.checked_sub(settings.time.reserve).unwrap_or(clock.started());
        let until = until.min(clock.started() + settings.time.sweep);
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
        if let Some(rejected) = &swept.credentials {
            log_rejected(rejected);
        }
        let mut plan = swept.plan;
        let mut verdict = plan.verdict(request.max_detaches);
        log_read(&plan, verdict, request);
        let mut requests = Requests::default();
        if mode == Mode::Apply && verdict == Verdict::ReferencesFound {
            requests.unsent = detaches::of_plan(&plan, sweep_id, request);
            self.apply(&mut requests, &mut plan, &what, clock, until).await;
            // What is read after the requests does not depend on how many of them were allowed.
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
            requested: &requests.accepted,
            unsent: requests.unsent.len(),
            completed_at: shifted(clock.wall(), self.cloud.clock_ahead()),
        };
        let detail = Detail::new(&completed, &settings.runbook_url);
        self.publish(&detail, &requests, clock, ends).await?;
        serde_json::to_value(detail).map_err(SweepError::Unwritable)
    }

    /// How a sweep is carried out. One that must not request anything only reports.
    fn mode(&self, request: &SweepRequest) -> Mode {
        let is_allowed = self.settings.is_apply_allowed && !self.settings.rules.dry_run_only;
        if is_allowed { request.mode } else { Mode::Report }
    }

    /// Sends the requests, and reads their endpoints again until none of the references is left that a request can detach, or
    /// the time ends. A request that the queue did not confirm is sent again before each reading.
    async fn apply(
        &self,
        requests: &mut Requests,
        plan: &mut Plan,
        what: &Sweep<'_>,
        clock: &Clock,
        until: Instant,
    ) {
        let time = &self.settings.time;
        let targets: HashSet<Target> = requests.unsent.iter().map(|detach| detach.target.clone()).collect();
        let is_left = |one: &Reference| one.blocked_by.is_none() && targets.contains(&one.target());
        let mut pause = time.pause_min;
        loop {
            self.send(requests, clock, until).await;
            let left: HashSet<Target> =
                plan.references.iter().filter(|one| is_left(one)).map(Reference::target).collect();
            let read_at = clock.now() + pause;
            if left.is_empty() || read_at >= until {
                return;
            }
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            info!(references = left.len(), pause_ms, "references remain; their endpoints are read again");
            clock.sleep_until(read_at).await;
            if let Some(rejected) = read_again(plan, is_left, &self.cloud, what, clock, until).await {
                log_rejected(&rejected);
                return;
            }
            let is_listed = |target: &Target| plan.references.iter().any(|one| one.target() == *target);
            requests.unsent.retain(|detach| is_listed(&detach.target));
            pause = (pause * 2).min(time.pause_max);
        }
    }

    /// Sends the requests that the queue has not confirmed.
    async fn send(&self, requests: &mut Requests, clock: &Clock, until: Instant) {
        if requests.unsent.is_empty() {
            return;
        }
        let messages: Vec<_> = requests.unsent.iter().map(|detach| detach.message.clone()).collect();
        let results = Box::pin(self.queue.send(&messages, until, clock)).await;
        for (detach, result) in std::mem::take(&mut requests.unsent).into_iter().zip(results) {
            match result {
                Ok(()) => drop(requests.accepted.insert(detach.target)),
                Err(error) => {
                    warn!(
                        endpoint_id = detach.target.endpoint_id.as_str(),
                        "the queue did not accept a request: {}",
                        telemetry::cause(&error)
                    );
                    requests.unsent.push(detach);
                }
            }
        }
        info!(accepted = requests.accepted.len(), unsent = requests.unsent.len(), "requests sent");
    }

    async fn publish(
        &self,
        detail: &Detail,
        requests: &Requests,
        clock: &Clock,
        ends: Instant,
    ) -> Result<(), SweepError> {
        let (accepted, unsent) = (requests.accepted.len(), requests.unsent.len());
        if unsent > 0 {
            error!(accepted, unsent, "the queue did not accept every request; run the sweep again");
        }
        let until = ends.checked_sub(RESPONSE_TIME).unwrap_or(ends);
        // Boxed: the futures of the SDK are large and deeply nested.
        let publish = Box::pin(self.bus.publish(event::DETAIL_TYPE, detail));
        let published = clock.by(until, publish).await;
        if let Err(error) = published.unwrap_or_else(|| Err(PublishError::out_of_time())) {
            error!("the event of the sweep was not published: {}", telemetry::cause(&error));
            return Err(SweepError::EventNotPublished { verdict: detail.verdict, requested: accepted });
        }
        let verdict = detail.verdict;
        match &detail.reason {
            None => info!(verdict, requested = accepted, "sweep completed"),
            Some(reason) => warn!(verdict, requested = accepted, "sweep completed: {}", reason.message),
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

fn log_read(plan: &Plan, verdict: Verdict, request: &SweepRequest) {
    let count = |count: fn(&crate::sweep::Region) -> usize| plan.regions.values().map(count).sum::<usize>();
    info!(
        endpoints_read = count(|region| region.endpoints_read),
        endpoints_unread = count(|region| region.unread.len()),
        references = plan.references.len(),
        requestable = plan.requestable(),
        max_detaches = request.max_detaches,
        "the scope was read: {}",
        verdict.as_str()
    );
}

fn log_rejected(Rejected { problem, code }: &Rejected) {
    match problem {
        CredentialProblem::Unavailable(unavailable) => error!(
            code = &*unavailable.code(),
            advice = unavailable.advice(),
            "the sweeper has no credentials for Alibaba Cloud: {}; the reading ends",
            telemetry::cause(&**unavailable)
        ),
        CredentialProblem::Refused { advice } => error!(
            code = &*code.name(),
            advice, "Alibaba Cloud rejects the sweeper's credentials: {code}; the reading ends"
        ),
    }
}
