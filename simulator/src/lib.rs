//! Alibaba Cloud PrivateLink, as far as security groups on VPC endpoints go, on one's own machine: with state, locks,
//! tasks that take time, signatures that are verified, quotas, and faults on demand.
//!
//! In reading order:
//!
//! * [`Cloud`] is the service: a state machine that takes a request and a time and gives an [`Answer`]. It reads no
//!   clock, waits for nothing and does no I/O, so it runs under a virtual clock as well as behind a socket.
//! * [`Seed`] is its state as data, [`Settings`] the switches in it, [`Fault`] what can be made to go wrong.
//! * [`Counts`] and [`JournalEntry`] tell afterwards what was called.
//! * [`Server`] puts a cloud behind HTTP on loopback.
//! * [`codes`] is the table of error codes, [`sign`] a signer for tests without an SDK.

mod action;
mod answer;
mod call;
mod cloud;
pub mod codes;
mod control;
mod fault;
mod gate;
mod ids;
mod journal;
mod paging;
mod quota;
mod seed;
mod server;
mod settings;
mod signature;
mod tokens;
mod wire_time;

pub use action::{Action, VERSION};
pub use answer::{Answer, Manner};
pub use cloud::Cloud;
pub use fault::{Calls, Effect, Fault, OVERSIZED_MAX, When};
pub use gate::CLOCK_SKEW_MAX;
pub use ids::{AccessKeyId, EndpointId, RegionId, SecurityGroupId};
pub use journal::{Counts, EndpointCounts, JOURNAL_KEPT, JournalEntry};
pub use quota::{Quota, documented as documented_quotas};
pub use seed::{
    AccessKey, Endpoint, GROUPS_PER_ENDPOINT_MAX, REGIONS, SecurityGroup, Seed, SeedError, Task, Work,
};
pub use server::Server;
pub use settings::{AbsentGroup, DenialCode, DetachEffect, ErrorFormat, LockCode, Settings, ThrottleHint};
pub use signature::{ALGORITHM, sign};
pub use wire_time::DURATION_MAX;
