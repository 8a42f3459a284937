//! The switches of the simulated service: how long its work takes, and which of several answers it gives where nobody
//! knows what the real one says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    codes::{self, Code},
    wire_time::millis,
};

/// How the service behaves. Everything has a default; in JSON durations are milliseconds in fields named `…_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, and in JSON a bool")]
pub struct Settings {
    /// Whether signatures are verified. Off, every caller is let in: for clients that sign in an older way.
    pub verify_signatures: bool,
    /// How far the server's own clock runs ahead of the true time (negative: behind it), in milliseconds.
    pub clock_offset_ms: i64,
    /// Request ids are counted up from this number, so that two runs with one seed show the same ids.
    pub request_id_seed: u64,
    /// From the acceptance of a detach until the group is gone.
    #[serde(rename = "detach_takes_ms", with = "millis")]
    pub detach_takes: Duration,
    /// From the acceptance of an attach until the group is `Attached`.
    #[serde(rename = "attach_takes_ms", with = "millis")]
    pub attach_takes: Duration,
    /// How long an endpoint stays `Pending`, and locked, after its task has ended.
    #[serde(rename = "pending_after_ms", with = "millis")]
    pub pending_after: Duration,
    /// How long `ListVpcEndpointSecurityGroups` goes on to show the state before a change.
    #[serde(rename = "read_lag_ms", with = "millis")]
    pub read_lag: Duration,
    /// The same for the records in `ListVpcEndpoints` and `GetVpcEndpointAttribute`.
    #[serde(rename = "record_lag_ms", with = "millis")]
    pub record_lag: Duration,
    /// What an accepted detach comes to.
    pub detach_effect: DetachEffect,
    /// The code of a call that meets another one's lock.
    pub lock_code: LockCode,
    /// The code of a call that RAM denies.
    pub denial_code: DenialCode,
    /// What a detach answers for a group that exists, but is not attached.
    pub absent_group: AbsentGroup,
    /// Whether a client token remembers a refusal, too, and not only an acceptance.
    pub client_token_remembers_refusals: bool,
    /// Leaves `SecurityGroupStatus` out of the answers, as the API did before 2024.
    pub omit_group_status: bool,
    /// The server's own cap on the items of a page, whatever `MaxResults` asks for.
    pub page_size_max: u32,
    /// The code of a call above its quota.
    pub throttle_code: String,
    /// How a throttled caller is told when to come back.
    pub throttle_hint: ThrottleHint,
    /// How an error body is written.
    pub error_format: ErrorFormat,
    /// Whether STS, too, refuses a call whose `Timestamp` is 15 minutes off, though nobody has signed it.
    pub sts_checks_timestamp: bool,
    /// The longest session, whatever was asked for.
    #[serde(rename = "session_max_ms", with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub session_max: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            verify_signatures: true,
            clock_offset_ms: 0,
            request_id_seed: 0,
            detach_takes: Duration::from_secs(3),
            attach_takes: Duration::from_secs(3),
            pending_after: Duration::ZERO,
            read_lag: Duration::ZERO,
            record_lag: Duration::ZERO,
            detach_effect: DetachEffect::Done,
            lock_code: LockCode::EndpointLocked,
            denial_code: DenialCode::NoPermission,
            absent_group: AbsentGroup::NotFound,
            client_token_remembers_refusals: false,
            omit_group_status: false,
            page_size_max: 1000,
            throttle_code: codes::THROTTLING_USER.name.to_owned(),
            throttle_hint: ThrottleHint::RetryAfter,
            error_format: ErrorFormat::Json,
            sts_checks_timestamp: true,
            session_max: None,
        }
    }
}

/// What an accepted detach comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetachEffect {
    /// The group is gone after a while.
    #[default]
    Done,
    /// Accepted, and nothing happens at all.
    Nothing,
    /// `Detaching` for a while, then `Attached` again.
    FailsLater,
}

/// The code for a lock that another call holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockCode {
    /// The code in the actions' own tables.
    #[default]
    EndpointLocked,
    /// The code that Terraform's provider waits for.
    ConcurrentCallNotSupported,
    /// A code of the endpoint's state.
    EndpointOperationDenied,
    /// The other code of the endpoint's state.
    #[serde(rename = "IncorrectStatus.VpcEndpoint")]
    IncorrectStatus,
}

impl LockCode {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::EndpointLocked => codes::ENDPOINT_LOCKED,
            Self::ConcurrentCallNotSupported => codes::CONCURRENT_CALL_NOT_SUPPORTED,
            Self::EndpointOperationDenied => codes::ENDPOINT_OPERATION_DENIED,
            Self::IncorrectStatus => codes::INCORRECT_STATUS_VPC_ENDPOINT,
        }
    }
}

/// The code of a denial by RAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DenialCode {
    /// HTTP 400.
    #[default]
    NoPermission,
    /// HTTP 403.
    #[serde(rename = "Forbidden.RAM")]
    ForbiddenRam,
}

impl DenialCode {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::NoPermission => codes::NO_PERMISSION,
            Self::ForbiddenRam => codes::FORBIDDEN_RAM,
        }
    }
}

/// What a detach answers for a group that exists, but is not attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentGroup {
    /// `SecurityGroupNotFound`.
    #[default]
    NotFound,
    /// HTTP 200, and nothing happens.
    Accepted,
}

/// How a throttled caller is told when to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleHint {
    /// Not at all.
    None,
    /// `x-acs-retry-after`, in milliseconds.
    #[default]
    RetryAfter,
    /// The older `x-ratelimit-user-api` and `x-ratelimit-user`.
    RateLimit,
}

/// How an error body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFormat {
    /// JSON with `Code`, `Message` and so on.
    #[default]
    Json,
    /// JSON with `code`, `message` and so on.
    JsonLowerCamel,
    /// An XML document.
    Xml,
}
