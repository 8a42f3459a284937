//! The calls that post one notice: the next step after each response. Only the messenger sends and waits.
//!
//! ```text
//! Notice ─▶ Post ─▶ Step::Call(request) ─▶ messenger ─▶ response ─▶ Post::next ─▶ Step::Call | Step::End
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::call::{UnusableSecrets, members};
use super::identity::Platform;
use super::notice::Notice;
use super::slack;
use crate::aws::secret::SecretValue;
use crate::transport::BaseUrl;

/// What the messenger does next.
#[derive(Debug)]
pub enum Step {
    /// Sends this once.
    Call(Box<http::Request<Bytes>>),
    End(End),
}

/// What becomes of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The platform accepted the message.
    Posted,
    /// The notice is no longer useful: for example, a person deleted the message. The reason is for the log.
    Dropped(&'static str),
    /// Another attempt may succeed, not before `after` if the platform says so.
    Retry { why: String, after: Option<Duration> },
    /// Like `Retry`, but the platform may have posted the message: another attempt can post it twice.
    Lost { why: String, after: Option<Duration> },
    /// No attempt succeeds before an operator changes something, such as the app's access to the conversation.
    Undeliverable { why: String },
}

/// The response to a call, or why there is none.
pub type CallResult = Result<http::Response<Bytes>, NoResponse>;

/// A call without a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoResponse {
    /// In the words of a log line.
    pub why: String,
    /// Whether the platform may have received the call, and carried it out.
    pub was_sent: bool,
}

/// The API tokens of each platform: what the secret that `CHAT_TOKEN_SECRET_ARN` names contains.
#[derive(Debug)]
pub struct Tokens {
    slack: Option<slack::api::Tokens>,
}

impl SecretValue for Tokens {
    type Error = UnusableSecrets;

    const NAME: &'static str = "chat tokens";

    fn parse(text: &str) -> Result<Self, UnusableSecrets> {
        let mut tokens = Self { slack: None };
        for (platform, member) in members(text)? {
            match platform {
                Platform::Slack => tokens.slack = Some(slack::api::Tokens::parse(&member)?),
            }
        }
        Ok(tokens)
    }
}

/// The address of each platform's API.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// `SLACK_ENDPOINT_URL`
    pub slack: BaseUrl,
}

/// The state of posting one notice.
#[derive(Debug)]
pub enum Post {
    Slack(slack::api::Post),
}

impl Post {
    /// Begins to post a notice. Without a token for its tenant the notice is undeliverable.
    pub fn new(notice: &Notice, addresses: &Addresses, tokens: &Tokens) -> Result<Self, End> {
        match notice.conversation().tenant.platform {
            Platform::Slack => {
                slack::api::Post::new(notice, &addresses.slack, tokens.slack.as_ref()).map(Self::Slack)
            }
        }
    }

    /// What follows the result of the last call; the first step if there was none.
    #[must_use]
    pub fn next(&mut self, last: Option<CallResult>) -> Step {
        match self {
            Self::Slack(post) => post.next(last),
        }
    }
}
