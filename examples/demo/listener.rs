//! Follows the functions: the worker's events go into the timeline, and the sweeper's log lines and the warnings of the
//! others are printed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use privatelink_detach::alibaba::privatelink::{Action, Write};
use privatelink_detach::drive::observer::{Alert, Event, Log, Observer};
use privatelink_detach::request::RequestId;
use privatelink_detach::telemetry;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::timeline::{Change, Subject, Timeline};

/// The target of the sweeper's log lines.
const SWEEPER: &str = "privatelink_detach::sweeper";

/// An observer of the worker that fills a timeline. From now on, and until the process ends, the warnings of its log and
/// the sweeper's log lines are in the timeline, too.
pub(crate) fn follow_worker(timeline: &Arc<Timeline>) -> Box<dyn Observer> {
    let printed = Arc::clone(timeline);
    let warnings = Warnings(move |text: String| printed.say(&text));
    let lines = tracing_subscriber::registry().with(telemetry::Level::default().filter()).with(warnings);
    // Nothing else in this process sets a global subscriber.
    let _ = tracing::subscriber::set_global_default(lines);
    Box::new(Follower { timeline: Arc::clone(timeline), numbers: Mutex::default() })
}

/// The result of some work of the intake, and the warnings that it logs meanwhile.
pub(crate) async fn with_warnings<F: Future>(work: F) -> (F::Output, Vec<String>) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&texts);
    let warnings = Warnings(move |text| lock(&kept).push(text));
    let lines = tracing_subscriber::registry().with(telemetry::Level::default().filter()).with(warnings);
    let guard = tracing::subscriber::set_default(lines);
    let output = work.await;
    drop(guard);
    let texts = std::mem::take(&mut *lock(&texts));
    (output, texts)
}

/// Fills a timeline with the worker's events.
#[derive(Debug)]
struct Follower {
    timeline: Arc<Timeline>,
    /// The number in the timeline of the newest delivery with each request id.
    numbers: Mutex<HashMap<String, usize>>,
}

impl Observer for Follower {
    fn observe(&self, request_id: &RequestId, event: &Event<'_>) {
        let request = request_id.as_str().to_owned();
        let number = match event {
            Event::Received { subject, .. } => {
                let number = self.timeline.open(Subject {
                    request: request.clone(),
                    endpoint: subject.endpoint_id.as_ref().map(|id| id.as_str().to_owned()),
                    group: subject.security_group_id.as_ref().map(|id| id.as_str().to_owned()),
                });
                lock(&self.numbers).insert(request, number);
                Some(number)
            }
            _ => lock(&self.numbers).get(&request).copied(),
        };
        if let Some(number) = number {
            self.timeline.record(number, &change(event));
        }
    }

    /// An alert goes to the log, whose errors are printed.
    fn alert(&self, alert: &Alert<'_>) {
        Log.alert(alert);
    }
}

fn change(event: &Event<'_>) -> Change {
    let waiting = |text: &str, seconds: f64| Change::Other(format!("{text}, waiting {seconds:.1} s"));
    match event {
        Event::Received { deliveries, trigger, .. } => {
            Change::Received { deliveries: *deliveries, trigger: trigger.as_str().to_owned() }
        }
        Event::RegionThrottled { wait, .. } => waiting("region throttled", wait.as_secs_f64()),
        Event::ShareUsedUp { wait } => waiting("share of the quota used up", wait.as_secs_f64()),
        Event::Read { action, evidence, .. } => Change::Read {
            group: evidence.group.map(|presence| presence.as_str().to_owned()),
            endpoint: evidence
                .endpoint_status
                .as_ref()
                .filter(|_| *action == Action::ListEndpoints)
                .map(|status| status.as_str().to_owned()),
        },
        Event::Accepted { write: Write::Detach, .. } => Change::Accepted,
        Event::Accepted { write: Write::Attach, .. } => {
            Change::Other("attach of the replacement accepted".to_owned())
        }
        Event::DryRunPassed { .. } => Change::Other("dry run passed".to_owned()),
        Event::CallFailed { error, wait, .. } => Change::CallFailed {
            is_detach: error.action == Action::Detach,
            code: error.code.name().into_owned(),
            wait: *wait,
            retry_after: error.retry_after,
        },
        Event::Deferred { why, visibility } => {
            Change::Deferred { why: (*why).to_owned(), visibility: *visibility }
        }
        Event::Completed { outcome, completion } => Change::Finished {
            outcome: outcome.name().to_owned(),
            reason: completion.reason.as_ref().map(|reason| reason.code.as_str().to_owned()),
            duration_ms: completion.detail.duration_ms,
        },
    }
}

/// A layer that passes on the messages of warnings and errors, except those that only repeat a response, and all lines of
/// the sweeper, with their fields.
struct Warnings<F>(F);

impl<S: Subscriber, F: Fn(String) + 'static> Layer<S> for Warnings<F> {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target().starts_with(SWEEPER) {
            let others = if fields.others.is_empty() {
                String::new()
            } else {
                format!(" ({})", fields.others.join(", "))
            };
            (self.0)(format!("sweeper: {}{others}", fields.message));
        } else if *event.metadata().level() <= Level::WARN && !fields.has_status {
            (self.0)(fields.message);
        }
    }
}

/// The fields of a log line that the demo uses.
#[derive(Default)]
struct Fields {
    message: String,
    /// The line has the status of an HTTP response.
    has_status: bool,
    /// The other fields, each with its value.
    others: Vec<String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "status" => self.has_status = true,
            other => self.others.push(format!("{other} {value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
