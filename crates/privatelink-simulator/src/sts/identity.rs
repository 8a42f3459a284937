//! Whose credentials signed a call, as `GetCallerIdentity` and a session's response tell it.

use serde_json::{Value, json};

use super::session_credentials::{role_id, user_id};
use crate::seed::{AccessKey, Session};

/// The fields of the response to `GetCallerIdentity`.
pub(crate) fn caller_identity(key: &AccessKey) -> Value {
    let principal = key.principal();
    let account = principal.account();
    if let Some(session) = &key.session {
        return json!({
            "AccountId": account,
            "Arn": assumed_role_arn(session),
            "IdentityType": "AssumedRoleUser",
            "PrincipalId": assumed_role_id(session),
            "RoleId": role_id(&session.role_arn).to_string(),
        });
    }
    let (kind, id) = if principal.is_account() {
        ("Account", account.to_owned())
    } else {
        ("RAMUser", user_id(&principal).to_string())
    };
    json!({ "AccountId": account, "Arn": principal, "IdentityType": kind, "PrincipalId": id, "UserId": id })
}

/// The ARN of a session.
pub(super) fn assumed_role_arn(session: &Session) -> String {
    let Session { role_arn, session_name, .. } = session;
    format!("acs:ram::{}:assumed-role/{}/{session_name}", role_arn.account(), role_arn.name())
}

/// The id of a session.
pub(super) fn assumed_role_id(session: &Session) -> String {
    format!("{}:{}", role_id(&session.role_arn), session.session_name)
}
