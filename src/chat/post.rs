//! The calls that post one notice: the next step after each response. Only the messenger sends and waits.
//!
//! ```text
//! Notice ─▶ Post ─▶ Step::Call(request) ─▶ messenger ─▶ response ─▶ Post::next ─▶ Step::Call | Step::End
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::access::AccessTokens;
use super::apps::Apps;
use super::call::{UnusableSecrets, members};
use super::identity::Platform;
use super::notice::Notice;
use super::{dingtalk, feishu, slack};
use crate::aws::secret::SecretValue;
use crate::transport::BaseUrl;

/// What the messenger does next.
pub enum Step {
    /// Sends this once.
    Call(Box<http::Request<Bytes>>),
    End(End),
}

impl fmt::Debug for Step {
    /// Without headers and body: a call for an access token contains an app's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(request) => write!(f, "Call({} {})", request.method(), request.uri()),
            Self::End(end) => f.debug_tuple("End").field(end).finish(),
        }
    }
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
    dingtalk: Option<Apps<dingtalk::api::App>>,
    feishu: Option<Apps<feishu::api::App>>,
}

impl SecretValue for Tokens {
    type Error = UnusableSecrets;

    const NAME: &'static str = "chat tokens";

    fn parse(text: &str) -> Result<Self, UnusableSecrets> {
        let mut tokens = Self { slack: None, dingtalk: None, feishu: None };
        for (platform, member) in members(text)? {
            match platform {
                Platform::Slack => tokens.slack = Some(slack::api::Tokens::parse(&member)?),
                Platform::DingTalk => tokens.dingtalk = Some(Apps::parse(&member)?),
                Platform::Feishu => tokens.feishu = Some(Apps::parse(&member)?),
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
    /// `DINGTALK_ENDPOINT_URL`
    pub dingtalk: BaseUrl,
    /// `FEISHU_ENDPOINT_URL`
    pub feishu: BaseUrl,
}

/// The state of posting one notice.
#[derive(Debug)]
pub enum Post {
    Slack(slack::api::Post),
    DingTalk(dingtalk::api::Post),
    Feishu(feishu::api::Post),
}

impl Post {
    /// Begins to post a notice. Without a token for its tenant the notice is undeliverable.
    pub fn new(notice: &Notice, addresses: &Addresses, tokens: &Tokens) -> Result<Self, End> {
        match notice.conversation().tenant.platform {
            Platform::Slack => {
                slack::api::Post::new(notice, &addresses.slack, tokens.slack.as_ref()).map(Self::Slack)
            }
            Platform::DingTalk => {
                let apps = tokens.dingtalk.as_ref();
                dingtalk::api::Post::new(notice, &addresses.dingtalk, apps).map(Self::DingTalk)
            }
            Platform::Feishu => {
                feishu::api::Post::new(notice, &addresses.feishu, tokens.feishu.as_ref()).map(Self::Feishu)
            }
        }
    }

    /// What follows the result of the last call at `now`; the first step if there was none.
    #[must_use]
    pub fn next(&mut self, last: Option<CallResult>, access: &mut AccessTokens, now: SystemTime) -> Step {
        match self {
            Self::Slack(post) => post.next(last),
            Self::DingTalk(post) => post.next(last, access, now),
            Self::Feishu(post) => post.next(last, access, now),
        }
    }
}
