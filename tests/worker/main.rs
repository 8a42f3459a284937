//! The worker from a queue message to its completion event: every outcome and every error over HTTP against the
//! simulator, and scenarios that take minutes or hours on a virtual clock.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test measures time and sets timeouts with the system clock"
)]

mod cloudformation;
mod credentials;
mod direct;
mod documents;
mod environment;
mod errors;
mod key_time;
mod lanes;
mod log;
mod memory;
mod official_sdk;
mod outcomes;
mod process;
#[path = "../shared/process.rs"]
mod program;
mod replacement;
mod scale;
mod schema;
#[path = "../shared/schema.rs"]
mod schemas;
mod settlement;
mod switches;
mod template;
mod without_credentials;
