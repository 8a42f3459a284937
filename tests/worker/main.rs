//! The worker from a queue message to its completion event: every outcome, every error, every fault, over real HTTP
//! against the simulator, and what cannot be waited for on a virtual clock.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test measures and bounds with the machine's own clock")]

mod cloudformation;
mod credentials;
mod direct;
mod documents;
mod errors;
mod key_time;
mod lanes;
mod log;
mod memory;
mod official_sdk;
mod outcomes;
mod process;
mod scale;
mod schema;
mod settlement;
mod stage;
mod switches;
mod template;
