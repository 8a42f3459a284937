//! Access keys: long-lived ones, and those of sessions.

use std::{collections::BTreeSet, fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    ids::{AccessKeyId, PrincipalArn, RoleArn},
    sts::SessionPolicy,
    wire_time::rfc3339,
};

/// The RAM user that owns every key whose owner is not given.
pub const OWNER: &str = "acs:ram::1234567890123456:user/simulator";

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    pub access_key_id: AccessKeyId,
    /// The secret. A simulator's secret must never be a real one.
    pub access_key_secret: String,
    /// The security token that a call with a session's access key must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
    /// The time at which the session ends.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub security_token_expires_at: Option<SystemTime>,
    /// The account or the RAM user that owns the key; [`OWNER`] if absent. A session's key belongs to its role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PrincipalArn>,
    /// Whether the owner has disabled the key.
    #[serde(default)]
    pub inactive: bool,
    /// The actions that RAM denies to this key.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_actions: BTreeSet<Action>,
    /// The session to which the key belongs, if STS issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

impl AccessKey {
    /// Creates a long-lived key that may call every action.
    #[must_use]
    pub fn new(id: impl Into<AccessKeyId>, secret: impl Into<String>) -> Self {
        Self {
            access_key_id: id.into(),
            access_key_secret: secret.into(),
            security_token: None,
            security_token_expires_at: None,
            owner: None,
            inactive: false,
            denied_actions: BTreeSet::new(),
            session: None,
        }
    }

    /// The caller that RAM sees: the role of a session, or the owner of the key.
    pub(crate) fn principal(&self) -> PrincipalArn {
        match (&self.session, &self.owner) {
            (Some(session), _) => (&session.role_arn).into(),
            (None, Some(owner)) => owner.clone(),
            (None, None) => OWNER.into(),
        }
    }

    /// The key of a call that needs none.
    pub(crate) fn anonymous() -> Self {
        Self::new("anonymous", "none")
    }
}

/// The key in the default seed: `LTAI5tSimulatorKey` with the secret `SimulatorSecret`.
impl Default for AccessKey {
    fn default() -> Self {
        Self::new("LTAI5tSimulatorKey", "SimulatorSecret")
    }
}

/// Omits the secret and the token, in case a user puts a real key into a seed.
impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessKey")
            .field("access_key_id", &self.access_key_id)
            .field("owner", &self.owner)
            .field("inactive", &self.inactive)
            .field("denied_actions", &self.denied_actions)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A role's session, as STS issued it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub role_arn: RoleArn,
    pub session_name: String,
    /// A policy that restricts the session to a part of its role's permissions; no restriction if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<SessionPolicy>,
}
