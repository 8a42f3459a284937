//! Simulates the part of Alibaba Cloud PrivateLink that manages security groups on VPC endpoints. The simulator
//! keeps state and locks, runs tasks that take time, verifies signatures, enforces quotas and injects faults. It
//! also simulates STS's `AssumeRole`, `AssumeRoleWithOIDC` and `GetCallerIdentity`, and ECS's `DescribeSecurityGroups`.
//!
//! In reading order:
//!
//! * [`Cloud`] is the service: a state machine that takes a request and a time and returns a [`SimulatedResponse`]. It
//!   reads no clock, does not wait and does no I/O, so it runs under a virtual clock as well as behind a socket.
//! * [`Seed`] is its state as data, [`Settings`] its switches, [`Fault`] an injected fault.
//! * [`OidcProvider`] and [`Role`] define which tokens and callers start which sessions; [`Cloud::sessions`] lists the
//!   sessions.
//! * [`Counts`] and [`JournalEntry`] record the calls.
//! * [`Server`] serves a cloud over HTTP on loopback.
//! * [`codes`] is the table of error codes, [`sign`] a signer for tests without an SDK.

mod action;
mod authentication;
mod call;
mod cloud;
pub mod codes;
mod control;
mod fault;
mod ids;
mod journal;
mod paging;
mod quota;
mod response;
mod seed;
mod server;
mod settings;
mod signature;
mod sts;
mod tokens;
mod wire_time;

pub use action::{Action, ECS_VERSION, STS_VERSION, VERSION};
pub use authentication::{CLOCK_SKEW_MAX, SESSIONS_MAX};
pub use cloud::Cloud;
pub use fault::{Calls, Effect, Fault, OVERSIZED_MAX, When};
pub use ids::{AccessKeyId, EndpointId, OidcProviderArn, PrincipalArn, RegionId, RoleArn, SecurityGroupId};
pub use journal::{Counts, EndpointCounts, JOURNAL_ENTRIES_MIN, JournalEntry};
pub use quota::{Quota, documented as documented_quotas};
pub use response::{SimulatedResponse, Transmission};
pub use seed::{
    AccessKey, Endpoint, GROUPS_PER_ENDPOINT_MAX, OWNER, OidcProvider, ProviderState, REGIONS, Role,
    SecurityGroup, SecurityGroupRecord, SecurityGroupType, Seed, SeedError, Session, Task, Work,
};
pub use server::Server;
pub use settings::{
    AbsentGroup, AttachEffect, DenialCode, DetachEffect, ErrorFormat, LockCode, Settings, ThrottleHint,
};
pub use signature::{ALGORITHM, sign};
pub use sts::{JwksError, SessionPolicy};
pub use wire_time::DURATION_MAX;
