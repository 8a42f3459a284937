//! Alibaba Cloud PrivateLink, as far as security groups on VPC endpoints go, on one's own machine: with state, locks,
//! tasks that take time, signatures that are verified, quotas, and faults on demand; and of STS the call that gives a
//! role's session for an OIDC provider's token.
//!
//! In reading order:
//!
//! * [`Cloud`] is the service: a state machine that takes a request and a time and gives an [`Answer`]. It reads no
//!   clock, waits for nothing and does no I/O, so it runs under a virtual clock as well as behind a socket.
//! * [`Seed`] is its state as data, [`Settings`] the switches in it, [`Fault`] what can be made to go wrong.
//! * [`OidcProvider`] and [`Role`] say whose token opens which session, and [`Cloud::sessions`] which were handed out.
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
mod sts;
mod tokens;
mod wire_time;

pub use action::{Action, STS_VERSION, VERSION};
pub use answer::{Answer, Manner};
pub use cloud::Cloud;
pub use fault::{Calls, Effect, Fault, OVERSIZED_MAX, When};
pub use gate::{CLOCK_SKEW_MAX, SESSIONS_KEPT};
pub use ids::{AccessKeyId, EndpointId, OidcProviderArn, RegionId, RoleArn, SecurityGroupId};
pub use journal::{Counts, EndpointCounts, JOURNAL_KEPT, JournalEntry};
pub use quota::{Quota, documented as documented_quotas};
pub use seed::{
    AccessKey, Endpoint, GROUPS_PER_ENDPOINT_MAX, OidcProvider, ProviderState, REGIONS, Role, SecurityGroup,
    Seed, SeedError, Session, Task, Work,
};
pub use server::Server;
pub use settings::{AbsentGroup, DenialCode, DetachEffect, ErrorFormat, LockCode, Settings, ThrottleHint};
pub use signature::{ALGORITHM, sign};
pub use sts::{JwksError, SessionPolicy};
pub use wire_time::DURATION_MAX;
