//! Simulates on loopback the AWS services that the functions use, for the demo and the tests.
//!
//! In reading order:
//!
//! * [`queues`]: a model of SQS with the caller's clock. No clock of its own, no I/O.
//! * [`bus`]: a model of EventBridge's `PutEvents`, also without clock and I/O.
//! * [`secrets`]: a model of Secrets Manager, limited to reading secrets.
//! * [`web_identity`]: a model of STS, limited to issuing web identity tokens.
//! * [`mapping`]: the event source mapping as pure functions: from messages to an event, and from the function's response
//!   to the messages to delete.
//! * [`faults`]: the faults to inject into the next calls.
//! * [`journal`]: the time and the result of every call.
//! * [`wire`]: the protocols of the four services, without I/O: parses a request, changes a model, and returns a response.
//!   An AWS SDK client with an in-memory transport can use it with a virtual clock.
//! * [`invoke`]: `Invoke` of the Lambda API, without I/O.
//! * [`server`]: the four services and `Invoke` as an HTTP server on 127.0.0.1.
//! * [`runtime_api`]: the Lambda runtime API, from which a function process fetches invocations.
//! * [`poller`]: the event source mapping as a loop: receives messages, invokes the function, deletes messages.
//! * [`function_url`]: converts HTTP requests to events and the function's responses to HTTP responses, and serves both.
//! * [`json_layout`]: formats JSON for a reader, with its fields in their own order.
//!
//! `loopback` is the HTTP server that all of them use.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

pub mod bus;
pub mod faults;
pub mod function_url;
pub mod invoke;
pub mod journal;
pub mod json_layout;
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
pub use runtime_api::{InvocationResult, RuntimeApi};
pub use secrets::Secrets;
pub use server::LocalAws;
pub use web_identity::WebIdentity;
