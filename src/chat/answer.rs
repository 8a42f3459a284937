//! The answer to a command as a notice: for a platform that shows nothing of a response.

use super::identity::{Conversation, MessageId, UserId};
use super::texts::Language;
use crate::request::RequestId;

/// What the messenger posts for the person who typed a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerNotice {
    pub conversation: Conversation,
    /// The message with the command, if the platform names it.
    pub message: Option<MessageId>,
    /// The person who typed the command, of the conversation's tenant.
    pub person: UserId,
    /// The language of the text.
    pub language: Language,
    /// The request that was accepted, if one was.
    pub request_id: Option<RequestId>,
    /// Plain text.
    pub text: String,
}
