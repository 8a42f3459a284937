//! Who may call: long-lived keys and the keys of sessions.

use std::{collections::BTreeSet, fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    ids::{AccessKeyId, RoleArn},
    sts::SessionPolicy,
    wire_time::rfc3339,
};

/// Who may call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half. A simulator's key is never a real one.
    pub access_key_secret: String,
    /// The token that a session's key has to bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
    /// When the session ends.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub security_token_expires_at: Option<SystemTime>,
    /// Switched off by its owner.
    #[serde(default)]
    pub inactive: bool,
    /// What RAM denies to this key.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_actions: BTreeSet<Action>,
    /// Whose session it is, if STS handed it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

impl AccessKey {
    /// A long-lived key that may do everything.
    #[must_use]
    pub fn new(id: impl Into<AccessKeyId>, secret: impl Into<String>) -> Self {
        Self {
            access_key_id: id.into(),
            access_key_secret: secret.into(),
            security_token: None,
            security_token_expires_at: None,
            inactive: false,
            denied_actions: BTreeSet::new(),
            session: None,
        }
    }

    /// Whoever brings no key where none is needed.
    pub(crate) fn anonymous() -> Self {
        Self::new("anonymous", "none")
    }
}

/// The key that every simulator knows unless its seed says otherwise: `LTAI5tSimulatorKey`, `SimulatorSecret`.
impl Default for AccessKey {
    fn default() -> Self {
        Self::new("LTAI5tSimulatorKey", "SimulatorSecret")
    }
}

/// Without the secret and the token: somebody will seed a real key one day.
impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessKey")
            .field("access_key_id", &self.access_key_id)
            .field("inactive", &self.inactive)
            .field("denied_actions", &self.denied_actions)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A role's session, as STS gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The role.
    pub role_arn: RoleArn,
    /// The name that the caller gave to the session.
    pub session_name: String,
    /// What the session may do of all that its role may; everything of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<SessionPolicy>,
}
