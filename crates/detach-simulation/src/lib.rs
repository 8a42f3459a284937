//! A simulation of everything around the worker and the sweeper, in memory and on a virtual clock, with checks of their
//! guarantees.
//!
//! In reading order:
//!
//! * [`World`] is everything except the two functions: Alibaba Cloud, queues and bus as state, and a [`record`] of all events.
//! * [`Pace`] is the latency of calls, [`Faults`] lists what fails in AWS, [`Outside`] what other clients do.
//! * [`Seam`] presents the world to a worker or a sweeper as its transport, its queue and its bus.
//! * [`Sandbox`] is one execution environment of the worker, invoked with one batch at a time; [`SweeperSandbox`] is one
//!   of the sweeper, invoked with one sweep at a time.
//! * [`mapping`] is the event source mapping, which delivers batches from the queue to the sandboxes.
//! * [`History`] is one complete run, derived from one number through a [`Plan`]; `Trace` prints it.
//! * [`invariants`] checks the guarantees from outside; [`campaign`] runs many histories, and [`tally`] counts.
//! * [`crashes`] kills the main scenarios at every wait; [`matrix`] applies every fault to every call.
//!
//! Only `time` reads the clock and waits. The clock is tokio's, paused: when every task waits, it advances to the next
//! timer.

#![expect(clippy::expect_used, reason = "an impossible simulation stops its test by panicking")]

pub mod campaign;
pub mod crashes;
mod faults;
pub mod history;
pub mod invariants;
pub mod log;
pub mod mapping;
pub mod matrix;
mod meaning;
mod outside;
mod pace;
pub mod record;
mod sandbox;
mod seam;
mod secret;
mod sweeper;
pub mod tally;
mod time;
mod world;

pub use faults::{AwsEffect, Breaks, Faults, Misconfiguration, PlannedEffect};
pub use history::{History, Plan};
pub use outside::Outside;
pub use pace::Pace;
pub use sandbox::{CredentialsPlace, Deployment, Ending, Interruption, Sandbox};
pub use seam::Seam;
pub use secret::SecretState;
pub use sweeper::SweeperSandbox;
pub use world::{Event, Invoked, OTHER_REGION, QueueKind, REGION, VISIBILITY_TIMEOUT, World};
