//! The command line program as its users run it, against the simulator.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the test passes the time to the simulator")]

mod apply;
mod credentials;
mod detach;
mod doctor;
mod find;
mod operator;
mod plan;
mod program;
mod replacement;
mod schema;
#[path = "../shared/schema.rs"]
mod schemas;
mod simulation;
#[cfg(target_os = "linux")]
mod streams;
mod usage;
