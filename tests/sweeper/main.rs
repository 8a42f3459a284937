//! The sweeper, and the reading of a sweep that it shares with the command line program, against the simulator: the
//! references that it finds, the detaches that it requests, the pace of its calls, and the errors that end it.
//!
//! Most tests run on a virtual clock, without sockets, so that a minute of quota passes in milliseconds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod account;
mod apply;
mod errors;
mod existence;
mod pace;
mod process;
#[path = "../shared/process.rs"]
mod program;
mod random;
mod samples;
mod schema;
#[path = "../shared/schema.rs"]
mod schemas;
mod shortfall;
mod sockets;
mod wire;
