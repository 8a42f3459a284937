//! Simulates on loopback the chat platform in which people request and approve a detach, for `make serve` and the
//! tests.
//!
//! In reading order:
//!
//! * [`slack`], [`dingtalk`], [`feishu`]: a platform from both sides: the API that an app calls, and the requests that the
//!   platform sends to an app. Each module's documentation lists its files.
//! * [`simulator`]: a platform that runs: its server, its state and its requests.
//! * [`conversation`]: a conversation as text, the same for every platform.
//! * [`faults`]: the faults to inject into the next calls of the API.
//! * [`rate_limit`]: the limit of messages per conversation.
//! * [`journal`]: the time, the body and the result of every call of the API.
//! * [`state`]: a platform's state behind a lock, and waiting for a change of it.
//! * [`client`]: posts a platform's requests to the app; [`request`] is such a request.
//! * [`endpoints`]: the control endpoints; [`control`] reads their parameters, as a form or as JSON.
//!
//! `loopback` is the HTTP server, `api` applies faults to calls. Another platform is a module beside [`slack`] that
//! implements [`simulator::Platform`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

mod api;
pub mod client;
pub mod control;
pub mod conversation;
pub mod dingtalk;
pub mod endpoints;
pub mod faults;
pub mod feishu;
pub mod journal;
mod loopback;
pub mod rate_limit;
pub mod request;
pub mod simulator;
pub mod slack;
pub mod state;

pub use dingtalk::DingTalk;
pub use faults::{Fault, Faults};
pub use feishu::Feishu;
pub use journal::{Ending, JournalEntry};
pub use simulator::{Platform, Simulator};
pub use slack::Slack;
