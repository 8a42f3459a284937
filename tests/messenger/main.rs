//! The messenger against local AWS services, and the platforms as a transport that responds from a script: what becomes of each
//! message of the queue of notices. What the calls contain is tested with the rendering.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod deployment;
mod endings;
mod notices;
mod platforms;
mod process;
#[path = "../shared/process.rs"]
mod program;
mod server;
mod verification;
