//! Detaches security groups from Alibaba Cloud PrivateLink VPC endpoints, and proves that it did.
//!
//! The map, in reading order:
//!
//! * [`request`]: the request, parsed once.
//! * [`detach`]: the rules: the next step of one detach. Pure.
//! * [`sweep`]: which endpoints of a scope use a group. Pure.
//! * [`completion`]: the completion event, and the explanation of a failure.
//! * [`chat`]: what chat platforms send and show: verified, parsed, signed and rendered. Pure.
//! * [`alibaba`]: PrivateLink's operations, signed and sent once; the table of error codes; credentials.
//! * [`drive`]: carries out the steps of one detach, and the calls of a sweep, within quotas and a time budget.
//! * [`worker`]: the function that takes requests from the queue.
//! * [`intake`]: the function that takes requests from webhooks, schedules, events, topics and chats.
//! * [`sweeper`]: the function that finds the endpoints that use a group, and requests their detaches.
//! * [`messenger`]: the function that posts notices to chat platforms.
//! * `cli`: the command line program (feature `cli`).
//! * [`config`], [`lambda`], [`aws`], [`transport`], [`clock`], [`random`], [`freshness`], [`telemetry`], `json`, `text`,
//!   `loopback`: the environment, a function's process, AWS clients, HTTPS, time, random numbers, the age of signed calls,
//!   logs, untrusted JSON and texts, and loopback addresses, each with one owner.
//!
//! Imports point down this list's layers and never up: the pure core (`request`, `detach`, `sweep`, `completion`, `chat`)
//! performs no I/O, and no shared code imports a program.

pub mod alibaba;
pub mod aws;
pub mod backoff;
pub mod chat;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod completion;
pub mod config;
pub mod detach;
pub mod drive;
pub mod freshness;
pub mod intake;
mod json;
pub mod lambda;
mod loopback;
pub mod messenger;
pub mod random;
pub mod request;
pub mod sweep;
pub mod sweeper;
pub mod telemetry;
mod text;
pub mod transport;
pub mod worker;
