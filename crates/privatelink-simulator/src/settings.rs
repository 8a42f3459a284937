//! The switches of the simulated service: how long its tasks take, and which of several possible responses it gives
//! where the real service's behavior is not known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    codes::{self, Code},
    wire_time::millis,
};

/// The behavior of the service. Every field has a default. In JSON, durations are milliseconds in fields named
/// `…_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch and a bool in JSON")]
pub struct Settings {
    /// Whether signatures are verified. If off, every caller is accepted, including clients that sign in an older
    /// way.
    pub verify_signatures: bool,
    /// The offset of the server's own clock from the actual time, in milliseconds; negative if the clock is behind.
    pub clock_offset_ms: i64,
    /// The seed of the request ids. Two runs with the same seed produce the same ids.
    pub request_id_seed: u64,
    /// The time from the acceptance of a detach until the group is detached.
    #[serde(rename = "detach_takes_ms", with = "millis")]
    pub detach_takes: Duration,
    /// The time from the acceptance of an attach until the group is `Attached`.
    #[serde(rename = "attach_takes_ms", with = "millis")]
    pub attach_takes: Duration,
    /// How long an endpoint stays `Pending`, and locked, after its task has ended.
    #[serde(rename = "pending_after_ms", with = "millis")]
    pub pending_after: Duration,
    /// How long `ListVpcEndpointSecurityGroups` continues to return the state before a change.
    #[serde(rename = "read_lag_ms", with = "millis")]
    pub read_lag: Duration,
    /// How long `ListVpcEndpoints` and `GetVpcEndpointAttribute` continue to return the record before a change.
    #[serde(rename = "record_lag_ms", with = "millis")]
    pub record_lag: Duration,
    /// The effect of an accepted detach.
    pub detach_effect: DetachEffect,
    /// The effect of an accepted attach.
    pub attach_effect: AttachEffect,
    /// Whether a detach of an endpoint's last group is refused, as the API does. If false, the detach is carried out,
    /// so that a test shows what a client does without the refusal.
    pub refuse_last_group: bool,
    /// The code returned to a call while another operation holds the endpoint's lock.
    pub lock_code: LockCode,
    /// The code returned to a call that RAM denies.
    pub denial_code: DenialCode,
    /// The response to a detach of a group that exists but is not attached.
    pub absent_group: AbsentGroup,
    /// Whether a refusal, too, is stored under its client token and returned to later calls with the token.
    pub client_token_remembers_refusals: bool,
    /// Omits `SecurityGroupStatus` from responses, as the API did before 2024.
    pub omit_group_status: bool,
    /// The server's own limit on the number of items in a page, regardless of `MaxResults`.
    pub page_size_max: u32,
    /// The code returned to a call above its quota.
    pub throttle_code: String,
    /// The form of the retry hint in a response to a throttled call.
    pub throttle_hint: ThrottleHint,
    /// The format of an error body.
    pub error_format: ErrorFormat,
    /// Whether STS rejects a call whose `Timestamp` is more than 15 minutes off, although the call is not signed.
    pub sts_checks_timestamp: bool,
    /// The maximum session duration; it shortens requested durations above it.
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
            attach_effect: AttachEffect::Done,
            refuse_last_group: true,
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

/// The effect of an accepted detach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetachEffect {
    /// The group is detached after `detach_takes`.
    #[default]
    Done,
    /// The call is accepted, and nothing changes.
    Nothing,
    /// The group is `Detaching` for `detach_takes`, then `Attached` again.
    FailsLater,
}

/// The effect of an accepted attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachEffect {
    /// The group is attached after `attach_takes`.
    #[default]
    Done,
    /// The call is accepted, and nothing changes.
    Nothing,
    /// The group is `Attaching` for `attach_takes`, then absent again.
    FailsLater,
}

/// The code returned while another operation holds the endpoint's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockCode {
    /// The code documented for the two actions.
    #[default]
    EndpointLocked,
    /// The code that Alibaba Cloud's Terraform provider retries.
    ConcurrentCallNotSupported,
    /// A code for an endpoint state that does not permit the operation.
    EndpointOperationDenied,
    /// Another code for an endpoint state that does not permit the operation.
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

/// The response to a detach of a group that exists but is not attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentGroup {
    /// `SecurityGroupNotFound`.
    #[default]
    NotFound,
    /// HTTP 200, without an effect.
    Accepted,
}

/// The form of the retry hint in a response to a throttled call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleHint {
    /// No hint.
    None,
    /// `x-acs-retry-after`, in milliseconds.
    #[default]
    RetryAfter,
    /// The older headers `x-ratelimit-user-api` and `x-ratelimit-user`.
    RateLimit,
}

/// The format of an error body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFormat {
    /// JSON with the keys `Code`, `Message` and so on.
    #[default]
    Json,
    /// JSON with the keys `code`, `message` and so on.
    JsonLowerCamel,
    /// An XML document.
    Xml,
}
