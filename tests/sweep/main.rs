//! The reading of a sweep against the simulator: what it finds, how fast it calls, and what ends it.
//!
//! Most tests run on a virtual clock, without sockets, so that a minute of quota passes in milliseconds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod existence;
mod pace;
mod random;
mod sockets;
mod wire;
