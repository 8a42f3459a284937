//! The AWS services around the functions, on loopback, for their demo and their tests.
//!
//! In reading order:
//!
//! * [`queues`]: a model of SQS on whatever clock the caller keeps. No clock, no I/O.
//! * [`bus`]: a model of EventBridge's `PutEvents`, likewise.
//! * [`secrets`]: a model of Secrets Manager, as far as secrets are read.
//! * [`web_identity`]: a model of STS, as far as it issues web identity tokens.
//! * [`mapping`]: the event source mapping as pure functions: messages to an event, an answer to a verdict.
//! * [`faults`]: what coming calls are to suffer.
//! * [`journal`]: which call came when, and how it ended.
//! * [`wire`]: the protocols of the four: bytes in, models changed, bytes out. Still no I/O, so an AWS SDK client
//!   with a transport in memory can use it on a virtual clock.
//! * [`server`]: the four as an HTTP server on 127.0.0.1.
//! * [`runtime_api`]: the Lambda runtime API, which a function process asks for work.
//! * [`poller`]: the event source mapping at work: from the queue to the function and back.
//! * [`function_url`]: an HTTP request to an event, an answer to an HTTP response, and a server that does both.
//!
//! `loopback` is the HTTP that all servers share.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

pub mod bus;
pub mod faults;
pub mod function_url;
pub mod journal;
mod loopback;
pub mod mapping;
pub mod poller;
pub mod queues;
pub mod runtime_api;
pub mod secrets;
pub mod server;
pub mod web_identity;
pub mod wire;

pub use bus::Bus;
pub use faults::{Action, Fault};
pub use function_url::{FunctionUrl, FunctionUrlSettings};
pub use journal::{Ending, JournalEntry};
pub use poller::{Poller, Round};
pub use queues::{NewMessage, QueueSettings, Queues};
pub use runtime_api::{InvocationAnswer, RuntimeApi};
pub use secrets::Secrets;
pub use server::LocalAws;
pub use web_identity::WebIdentity;
