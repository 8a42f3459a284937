//! Logs: one JSON line per change of state, and never a secret in one.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Our own target. Everybody else's lines end at warnings: below, HTTP clients print headers and bodies.
const OUR_TARGET: &str = "privatelink_detach";

/// Where the runtime repeats, in the words of a debugger, what the handler and the panic hook have logged already.
const REPEATED_TARGET: &str = "lambda_runtime::layers::panic";

/// Most characters of a panic's message in a log line.
const PANIC_MESSAGE_LENGTH_MAX: usize = 500;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl Level {
    /// The level of this name in any case; `fatal`, which Lambda has and Rust has not, is `error`.
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

    /// Lets our own lines through at this level, and nobody else's below a warning.
    #[must_use]
    pub fn filter(self) -> Targets {
        Targets::new()
            .with_default(self.0.min(LevelFilter::WARN))
            .with_target(OUR_TARGET, self.0)
            .with_target(REPEATED_TARGET, LevelFilter::OFF)
    }
}

/// The subscriber that writes JSON lines: the event's own fields at the top, those of the request it belongs to
/// under `span`.
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

/// Logs to standard output, where Lambda collects it, and turns every panic into one line of it.
pub fn start(level: Level) {
    // A second start, which only a test could make, keeps the first.
    let _ = tracing::subscriber::set_global_default(json_lines(level, std::io::stdout));
    std::panic::set_hook(Box::new(log_panic));
}

/// One panic as one line.
pub fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message: String =
        panic.payload_as_str().unwrap_or("no message").chars().take(PANIC_MESSAGE_LENGTH_MAX).collect();
    let location = panic.location().map(ToString::to_string);
    tracing::error!(panic_message = message, location, "panicked: this is a defect, please report it");
}
