//! Listens to the functions' own logs: notes what the worker's says about each request, keeps the intake's warnings.
//!
//! Lines are known by their fields, which belong to the log's contract; only a line that has none of them is shown by its
//! words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::timeline::{Note, Subject, Timeline};

/// The span that carries a request's ids.
const REQUEST_SPAN: &str = "request";

/// The action that writes; the others look.
const DETACH: &str = "DetachSecurityGroupFromVpcEndpoint";

/// The action that reads the endpoint's record.
const LIST_ENDPOINTS: &str = "ListVpcEndpoints";

/// A layer that fills a timeline.
pub(crate) struct Listener {
    timeline: Arc<Timeline>,
}

/// A layer that keeps the words of warnings, but for those that only repeat an answer.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

/// The number of a request in the timeline, kept in its span.
struct Number(usize);

/// The fields of a line, as text.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Listener {
    pub(crate) fn new(timeline: Arc<Timeline>) -> Self {
        Self { timeline }
    }
}

impl Warnings {
    /// What was heard so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.words().clone()
    }

    fn words(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if *event.metadata().level() <= Level::WARN && fields.text("status").is_none() {
            self.words().push(fields.message());
        }
    }
}

impl<S> Layer<S> for Listener
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() != REQUEST_SPAN {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let number = self.timeline.open(Subject {
            request: fields.text("request_id").unwrap_or_default(),
            endpoint: fields.text("endpoint_id"),
            group: fields.text("security_group_id"),
        });
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Number(number));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let number = context.event_scope(event).and_then(|scope| {
            let mut numbers =
                scope.filter_map(|span| span.extensions().get::<Number>().map(|number| number.0));
            numbers.next()
        });
        match number {
            Some(number) => {
                if let Some(note) = fields.note(*event.metadata().level()) {
                    self.timeline.take(number, &note);
                }
            }
            None if *event.metadata().level() <= Level::WARN => self.timeline.say(&fields.message()),
            None => {}
        }
    }
}

impl Fields {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn millis(&self, name: &str) -> Option<Duration> {
        let millis = self.0.get(name)?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }

    fn message(&self) -> String {
        self.text("message").unwrap_or_default()
    }

    fn note(&self, level: Level) -> Option<Note> {
        let action = self.text("action");
        if let (Some(outcome), Some(took)) = (self.text("outcome"), self.millis("duration_ms")) {
            let reason = self.text("reason_code");
            return Some(Note::Ended { outcome, reason, took });
        }
        if let Some(visibility) = self.0.get("visibility_s").and_then(|s| s.parse().ok()) {
            return Some(Note::HandedBack {
                why: self.message(),
                visibility: Duration::try_from_secs_f64(visibility).unwrap_or_default(),
            });
        }
        if let (Some(trigger), Some(deliveries)) = (self.text("trigger"), self.0.get("deliveries")) {
            let deliveries = deliveries.parse().unwrap_or_default();
            return Some(Note::Received { deliveries, trigger });
        }
        if let (Some(code), Some(action)) = (self.text("code"), &action) {
            return Some(Note::Fault {
                is_detach: action == DETACH,
                code,
                wait: self.millis("wait_ms"),
                hint: self.millis("retry_after_ms"),
            });
        }
        if self.0.contains_key("look_calls") {
            let has_read_record = action.as_deref() == Some(LIST_ENDPOINTS);
            return Some(Note::Looked {
                group: self.text("group_status"),
                endpoint: self.text("endpoint_status").filter(|_| has_read_record),
            });
        }
        if self.0.contains_key("api_request_id") {
            return Some(Note::Accepted);
        }
        (level <= Level::INFO).then(|| Note::Said { text: self.message(), is_warning: level <= Level::WARN })
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
