//! The worker with everything around it in memory, on a virtual clock; and the promises that it must keep whatever happens.
//!
//! In reading order:
//!
//! * [`World`] is everything but the worker: Alibaba Cloud, queues and bus as state, and a [`record`] of what happened.
//! * [`Pace`] is how long a call into that world takes, [`Troubles`] what goes wrong in AWS, [`Outside`] what others do.
//! * [`Seam`] shows the world to a worker as its transport, its queue and its bus.
//! * [`Sandbox`] is one execution environment of the function: a worker, invoked with one batch at a time.
//! * [`mapping`] is the event source mapping: from the queue to as many sandboxes as there are, and back.
//! * [`History`] is all of it from a beginning that one number makes, its [`Plan`], to its end, and can be told.
//! * [`invariants`] are the promises, checked from outside; [`campaign`] lives through many histories, and [`tally`] counts.
//! * [`crashes`] kills the main scenarios at every wait, [`matrix`] lets every fault strike every call.
//!
//! `time` alone reads the clock and waits. The clock is tokio's, paused: it moves when everybody waits, to the next
//! moment that somebody waits for.

#![expect(clippy::expect_used, reason = "a simulation of what cannot be stops the test that asked for it")]

pub mod campaign;
pub mod crashes;
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
pub mod tally;
mod time;
mod trouble;
mod world;

pub use history::{History, Plan};
pub use outside::Outside;
pub use pace::Pace;
pub use sandbox::{Deployment, Ending, Interruption, Sandbox};
pub use seam::Seam;
pub use trouble::{Breaks, Fate, Mistake, Planned, Troubles};
pub use world::{Event, Invoked, QueueKind, REGION, VISIBILITY_TIMEOUT, World};
