//! Logs: one JSON line per change of state, without secrets.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Our own target. Other targets are limited to warnings: below that level, HTTP clients log headers and bodies.
const OUR_TARGET: &str = "privatelink_detach";

/// The target under which the runtime repeats what the handler and the panic hook have logged already.
const REPEATED_TARGET: &str = "lambda_runtime::layers::panic";

/// What begins a quotation in a panic's message. The standard library quotes text, such as the string that was sliced in the
/// middle of a character; the text can be from a body.
const QUOTES: [char; 3] = ['`', '\'', '"'];

/// Maximum number of characters of a panic's message in a log line.
const PANIC_MESSAGE_LENGTH_MAX: usize = 500;

/// The lowest level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl Level {
    /// The level of this name, in upper or lower case; Lambda's `fatal` is `error`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(Self(match name.to_ascii_lowercase().as_str() {
            "fatal" | "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return None,
        }))
    }

    /// Passes our own lines at this level, and those of other targets from warnings on.
    #[must_use]
    pub fn filter(self) -> Targets {
        Targets::new()
            .with_default(self.0.min(LevelFilter::WARN))
            .with_target(OUR_TARGET, self.0)
            .with_target(REPEATED_TARGET, LevelFilter::OFF)
    }
}

/// The subscriber that writes JSON lines: the event's own fields at the top level, those of its request under `span`.
pub fn json_lines<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(level.filter()).with(lines)
}

/// Logs to standard output, where Lambda collects the lines, and writes every panic as one line.
pub fn start(level: Level) {
    // A second start, which only a test makes, keeps the first.
    let _ = tracing::subscriber::set_global_default(json_lines(level, std::io::stdout));
    std::panic::set_hook(Box::new(log_panic));
}

/// An error with its sources, on one line, for the log line where the error is handled. It contains their texts and never
/// a raw response.
#[must_use]
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some errors repeat their source's text.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// Logs one panic as one line, with its message up to the first quotation, and its location.
pub fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = unquoted(panic.payload_as_str().unwrap_or("no message"));
    let location = panic.location().map(ToString::to_string);
    tracing::error!(
        panic_message = message,
        location,
        "panicked: this is a defect; report it in the project's issue tracker"
    );
}

/// The message of a panic up to its first quotation, and no longer than the limit.
fn unquoted(message: &str) -> String {
    message.split(QUOTES).next().unwrap_or_default().chars().take(PANIC_MESSAGE_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_panic_ends_before_its_first_quotation() {
        assert_eq!(unquoted("a planned panic\nof two lines"), "a planned panic\nof two lines");
        for quotation in ["`s3cret`", "'s3cret'", "\"s3cret\""] {
            assert_eq!(unquoted(&format!("index 1 of {quotation} and `more`")), "index 1 of ");
        }
        assert_eq!(unquoted(&"x".repeat(501)).len(), 500);
    }
}
