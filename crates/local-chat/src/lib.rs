//! Simulates on loopback the chat platform in which people request and approve a detach, for `make serve` and the
//! tests.
//!
//! In reading order:
//!
//! * [`slack`]: Slack, from both sides: the Web API that an app calls, and the signed requests that Slack sends to an
//!   app. Its module documentation lists its files.
//! * [`conversation`]: a conversation as text, the same for every platform.
//! * [`faults`]: the faults to inject into the next calls of the API.
//! * [`journal`]: the time, the body and the result of every call of the API.
//! * [`state`]: a platform's state behind a lock, and waiting for a change of it.
//! * [`client`]: posts a platform's requests to the app.
//! * [`control`]: reads the parameters of the control endpoints, as a form or as JSON.
//!
//! `loopback` is the HTTP server. Another platform is a module beside [`slack`] that uses the others.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

pub mod client;
pub mod control;
pub mod conversation;
pub mod faults;
pub mod journal;
mod loopback;
pub mod slack;
pub mod state;

pub use faults::{Fault, Faults};
pub use journal::{Ending, JournalEntry};
pub use slack::Slack;
