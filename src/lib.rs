//! Detaches security groups from Alibaba Cloud PrivateLink VPC endpoints, and proves that it did.
//!
//! The map, in reading order:
//!
//! * [`request`]: what may be asked for, parsed once.
//! * [`detach`]: what to do next about one detach. Pure, and the heart of it.
//! * [`alibaba`]: PrivateLink's operations, signed, sent once, and every answer named; and the keys that sign.
//! * [`worker`]: carries out the steps and settles the outcome.
//! * [`batch`]: one batch of the queue, its lanes and hand-backs.
//! * [`handler`]: one invocation, from payload to answer.
//! * [`completion`] and [`reason`]: the event, and a failure in words for its reader.
//! * [`intake`]: the other function, the front door.
//! * [`queue`], [`publisher`], [`aws`]: SQS, `EventBridge` and what their clients share.
//! * `json`: an object in somebody's JSON, and nothing else.
//! * [`config`], [`telemetry`], [`clock`], [`calendar`]: the environment, logs, time and its dates, each with one owner.
//! * [`assemble`] and [`process`]: all of it put together for production, and the process it runs in.

pub mod alibaba;
pub mod aws;
pub mod clock;
pub mod completion;
pub mod config;
pub mod detach;
pub mod intake;
mod json;
pub mod lambda;
pub mod request;
pub mod telemetry;
pub mod worker;
