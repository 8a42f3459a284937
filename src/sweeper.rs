//! The sweeper: a sweep request in; one event and, if the deployment allows them, requests for the queue out. It only
//! reads from Alibaba Cloud.
//!
//! In reading order: [`request`] parses the invocation's payload, `run` carries out one sweep, `detaches` makes its
//! requests, `apply` sends them and reads again, `log` writes the lines for operators, [`assemble`] builds the sweeper
//! of production. The reading is in [`crate::sweep`] and [`crate::drive::sweep`], the event in
//! [`crate::completion::sweep`].

mod apply;
pub mod assemble;
mod detaches;
mod log;
pub mod request;
mod run;

use std::time::Duration;

use lambda_runtime::Diagnostic;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::alibaba::services::Services;
use crate::aws::bus::Bus;
use crate::aws::request_queue::RequestQueue;
use crate::completion::reason::RunbookUrl;
use crate::drive::cloud::Cloud;
use crate::drive::pace::Pace;
use crate::lambda::{self, Invocation};
use crate::request::Rules;
use crate::sweep::Limits;
use crate::telemetry;
use crate::transport::Transport;
use request::InvalidSweep;

/// The clients and the settings of a process.
#[derive(Debug)]
pub struct Sweeper<T, Q, B> {
    cloud: Cloud<T>,
    /// ECS. Without it, no sweep checks whether its groups exist.
    services: Option<Services<T>>,
    queue: Q,
    bus: B,
    settings: Settings,
}

/// What the deployment configures, and the limits.
#[derive(Debug, Clone)]
pub struct Settings {
    pub rules: Rules,
    /// Whether a sweep may request detaches.
    pub is_apply_allowed: bool,
    pub runbook_url: RunbookUrl,
    pub limits: Limits,
    pub pace: Pace,
    pub time: TimeLimits,
}

/// How long a sweep takes at most, and how often it reads again. Only tests use other values than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// The longest time from the start of the invocation to the last read.
    pub sweep: Duration,
    /// The time at the end of the invocation that is reserved for publishing the event.
    pub reserve: Duration,
    /// The pause before the requested endpoints are read again for the first time. It doubles before each further
    /// reading.
    pub pause_min: Duration,
    /// The longest pause between two readings.
    pub pause_max: Duration,
    /// The time at the end of the sweep that is reserved for the last reading.
    pub last_reading: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            sweep: Duration::from_mins(14),
            reserve: Duration::from_secs(10),
            pause_min: Duration::from_secs(2),
            pause_max: Duration::from_secs(30),
            last_reading: Duration::from_secs(15),
        }
    }
}

/// Why an invocation failed. Lambda does not retry it. If it was asynchronous, Lambda sends its payload to the failure
/// queue.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The payload is not a sweep request, or not one that this deployment allows.
    #[error("the sweep request is not valid: {}", .0.logged())]
    InvalidSweep(InvalidSweep),
    /// The sweep ended, but its event could not be published.
    #[error("the verdict is {verdict} after {requested} requests, but the event could not be published")]
    EventNotPublished { verdict: &'static str, requested: usize },
    #[error("the event could not be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl From<SweepError> for Diagnostic {
    fn from(error: SweepError) -> Self {
        let (error_type, error_message) = match &error {
            // The sender also sees the names of unknown fields.
            SweepError::InvalidSweep(invalid) => {
                ("InvalidSweep", format!("the sweep request is not valid: {invalid}"))
            }
            SweepError::EventNotPublished { .. } => ("EventNotPublished", telemetry::cause(&error)),
            SweepError::Unwritable(_) => ("Unwritable", telemetry::cause(&error)),
        };
        Self { error_type: error_type.to_owned(), error_message }
    }
}

impl<T: Transport, Q: RequestQueue, B: Bus> Sweeper<T, Q, B> {
    pub fn new(cloud: Cloud<T>, services: Option<Services<T>>, queue: Q, bus: B, settings: Settings) -> Self {
        Self { cloud, services, queue, bus, settings }
    }

    /// Carries out the sweep request of an invocation. Returns the detail of its event.
    pub async fn handle(&self, payload: &RawValue, invocation: &Invocation) -> Result<Value, SweepError> {
        lambda::traced(invocation, self.respond(payload.get(), invocation)).await
    }
}
