//! The intake's own program, started as Lambda starts it: real HTTP in at a Function URL, a runtime API, and a queue and
//! a secret on loopback behind it.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test measures and bounds with the machine's own clock")]

mod account;
mod events;
mod front;
mod hostile;
mod openapi;
mod process;
mod queue;
mod samples;
mod secrets;
mod signatures;
mod webhooks;
