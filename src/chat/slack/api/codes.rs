//! The table of Slack's error codes: for each code what the messenger does next, and what an operator does about it.
//!
//! Source: the lists of errors of `chat.postMessage`, `chat.update` and `chat.postEphemeral` in Slack's reference. A code in
//! no row is permanent: nothing is repeated by default.

/// What a code means, by what the messenger does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// A rate limit is exceeded, or Slack is busy.
    Transient,
    /// Slack failed, and its reference says that a part of the call may have succeeded.
    Uncertain,
    /// The message no longer exists.
    NoMessage,
    /// The message exists, but cannot be changed.
    NotEditable,
    /// The message cannot have replies.
    NoThread,
    /// The person is not in the conversation.
    PersonAbsent,
    /// The app is not in the conversation.
    NotInvited,
    /// The conversation is archived.
    Archived,
    /// Slack does not accept the token.
    Token,
    /// The app lacks a permission.
    Scope,
    /// A policy of the workspace prevents it.
    Policy,
    /// The messenger's call is wrong, or the code is in no row.
    Ours,
}

impl Meaning {
    /// What an operator does about a message that cannot be delivered.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::NotInvited => {
                "the app is not in the conversation, or the conversation does not exist: type /invite and the app's name in \
                 it"
            }
            Self::Archived => "the conversation is archived: unarchive it, or use another one",
            Self::Token => {
                "Slack does not accept the bot token: install the app again and put its token into the secret in \
                 CHAT_TOKEN_SECRET_ARN"
            }
            Self::Scope => {
                "the app lacks a permission: give it the bot scopes commands and chat:write, and install it again"
            }
            Self::Policy => {
                "a policy of the workspace or a setting of the conversation prevents it: ask an administrator of the \
                 workspace"
            }
            Self::Transient
            | Self::Uncertain
            | Self::NoMessage
            | Self::NotEditable
            | Self::NoThread
            | Self::PersonAbsent
            | Self::Ours => "report it in this project's issue tracker",
        }
    }
}

pub(super) const CODES: [(&str, Meaning); 76] = [
    ("ratelimited", Meaning::Transient),
    ("rate_limited", Meaning::Transient),
    ("message_limit_exceeded", Meaning::Transient),
    ("internal_error", Meaning::Uncertain),
    ("fatal_error", Meaning::Uncertain),
    ("service_unavailable", Meaning::Transient),
    // Slack received the body in part.
    ("request_timeout", Meaning::Transient),
    ("update_failed", Meaning::Transient),
    // The workspace or the conversation is being migrated.
    ("team_added_to_org", Meaning::Transient),
    ("external_channel_migrating", Meaning::Transient),
    ("message_not_found", Meaning::NoMessage),
    ("thread_not_found", Meaning::NoThread),
    ("cannot_reply_to_message", Meaning::NoThread),
    ("restricted_action_non_threadable_channel", Meaning::NoThread),
    ("restricted_action_thread_locked", Meaning::NoThread),
    ("cant_update_message", Meaning::NotEditable),
    ("edit_window_closed", Meaning::NotEditable),
    ("block_mismatch", Meaning::NotEditable),
    ("streaming_state_conflict", Meaning::NotEditable),
    ("user_not_in_channel", Meaning::PersonAbsent),
    ("user_not_found", Meaning::PersonAbsent),
    ("not_in_channel", Meaning::NotInvited),
    ("channel_not_found", Meaning::NotInvited),
    ("no_permission", Meaning::NotInvited),
    ("is_archived", Meaning::Archived),
    ("is_inactive", Meaning::Archived),
    ("not_authed", Meaning::Token),
    ("invalid_auth", Meaning::Token),
    ("account_inactive", Meaning::Token),
    ("token_revoked", Meaning::Token),
    ("token_expired", Meaning::Token),
    ("not_allowed_token_type", Meaning::Token),
    ("team_not_found", Meaning::Token),
    ("is_bot", Meaning::Token),
    ("missing_scope", Meaning::Scope),
    ("team_access_not_granted", Meaning::Scope),
    ("restricted_action", Meaning::Policy),
    ("restricted_action_read_only_channel", Meaning::Policy),
    ("restricted_action_thread_only_channel", Meaning::Policy),
    ("org_login_required", Meaning::Policy),
    ("ekm_access_denied", Meaning::Policy),
    ("access_denied", Meaning::Policy),
    ("accesslimited", Meaning::Policy),
    ("enterprise_is_restricted", Meaning::Policy),
    ("two_factor_setup_required", Meaning::Policy),
    ("messages_tab_disabled", Meaning::Policy),
    ("slack_connect_file_link_sharing_blocked", Meaning::Policy),
    ("invalid_blocks", Meaning::Ours),
    ("invalid_blocks_format", Meaning::Ours),
    ("invalid_attachments", Meaning::Ours),
    ("too_many_attachments", Meaning::Ours),
    ("attachment_payload_limit_exceeded", Meaning::Ours),
    ("msg_too_long", Meaning::Ours),
    ("msg_blocks_too_long", Meaning::Ours),
    ("no_text", Meaning::Ours),
    ("markdown_text_conflict", Meaning::Ours),
    ("invalid_metadata_format", Meaning::Ours),
    ("invalid_metadata_schema", Meaning::Ours),
    ("metadata_must_be_sent_from_app", Meaning::Ours),
    ("metadata_too_large", Meaning::Ours),
    ("as_user_not_supported", Meaning::Ours),
    ("cant_broadcast_message", Meaning::Ours),
    ("no_dual_broadcast_content_update", Meaning::Ours),
    ("invalid_arguments", Meaning::Ours),
    ("invalid_arg_name", Meaning::Ours),
    ("invalid_array_arg", Meaning::Ours),
    ("invalid_charset", Meaning::Ours),
    ("invalid_form_data", Meaning::Ours),
    ("invalid_json", Meaning::Ours),
    ("json_not_object", Meaning::Ours),
    ("invalid_post_type", Meaning::Ours),
    ("missing_post_type", Meaning::Ours),
    ("upgrade_required", Meaning::Ours),
    ("deprecated_endpoint", Meaning::Ours),
    ("method_deprecated", Meaning::Ours),
    ("unknown_method", Meaning::Ours),
];

/// What a code means.
pub(super) fn meaning(code: &str) -> Meaning {
    let row = CODES.iter().find(|(listed, _)| *listed == code);
    let of_unlisted = if code.starts_with("restricted_action") { Meaning::Policy } else { Meaning::Ours };
    row.map_or(of_unlisted, |(_, meaning)| *meaning)
}

/// A code as a log line may repeat it: untrusted until it looks like one.
pub(super) fn shown(code: &str) -> &str {
    let is_code = (1..=64).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_code { code } else { "an unreadable code" }
}
