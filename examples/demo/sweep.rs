//! The sweeper in the demo: builds and invokes it, and prints its response.

use std::time::Duration;

use lambda_runtime::Diagnostic;
use local_aws::bus::Event;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::sweep::DETAIL_TYPE;
use privatelink_detach::config::SweeperConfig;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::assemble::{self, LiveSweeper};
use privatelink_detach::sweeper::{SweepError, TimeLimits};
use privatelink_detach::transport::HttpsUnavailable;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::environment::Environment;
use crate::screen::{Screen, Style};

/// The sweeper's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(15);

/// The longest time of a sweep, longer than the default deadline of a request in the demo. In production it is 14
/// minutes.
const SWEEP_TIME_MAX: Duration = Duration::from_mins(3);

/// The longest pause between two readings, so that a run ends soon after its last detach. In production it is 30 s.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The sweeper's response to a sweep request.
#[derive(Debug)]
pub(crate) struct SweepResponse {
    pub(crate) name: String,
    pub(crate) result: Result<Value, Diagnostic>,
    /// Whether the sweep ended with an event, or was rejected because its request is not valid.
    pub(crate) is_final: bool,
}

impl SweepResponse {
    /// How many requests the sweep sent to the queue.
    pub(crate) fn requested(&self) -> usize {
        let detail = self.result.as_ref().ok();
        let count = detail.and_then(|detail| detail["requested_count"].as_u64()).unwrap_or_default();
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// A sweeper with the time limits of the demo.
pub(crate) fn sweeper(
    config: SweeperConfig,
    aws: &aws_types::SdkConfig,
) -> Result<LiveSweeper, HttpsUnavailable> {
    let time = TimeLimits { sweep: SWEEP_TIME_MAX, pause_max: PAUSE_MAX, ..TimeLimits::default() };
    assemble::sweeper(config, aws, Limits::default(), time)
}

/// Invokes the sweeper with the sweep request of a file.
pub(crate) async fn invoke(
    environment: &Environment,
    payload: &RawValue,
    name: String,
    id: String,
) -> SweepResponse {
    let clock = Clock::start();
    let ends_at = clock.wall() + FUNCTION_TIMEOUT;
    let invocation = Invocation { clock, ends_at, lambda_request_id: id, xray_trace_id: None };
    let result = environment.sweeper.handle(payload, &invocation).await;
    let is_final = matches!(result, Ok(_) | Err(SweepError::InvalidSweep(_)));
    SweepResponse { name, result: result.map_err(Diagnostic::from), is_final }
}

/// Whether an event is that of a sweep and not that of a detach request.
pub(crate) fn is_event(event: &Event) -> bool {
    event.detail_type == DETAIL_TYPE
}

/// Prints the response, which is the detail of the sweep's event, in the event's order.
pub(crate) fn show(response: &SweepResponse, events: &[Event], screen: Screen) {
    let title = format!("The sweeper's response to {}", response.name);
    screen.line(&format!("\n{}\n", screen.paint(Style::Bold, &title)));
    match &response.result {
        Ok(detail) => match events.iter().find(|event| event.detail == *detail) {
            Some(event) => screen.json(&event.detail_text),
            None => screen.json(&detail.to_string()),
        },
        Err(Diagnostic { error_type, error_message }) => {
            screen.field("failed", &screen.paint(Style::Bad, error_type));
            screen.field("", error_message);
            screen.line("  Lambda does not retry a sweep. One that a schedule started goes to the");
            screen.line("  sweeper's failure queue.");
        }
    }
}
