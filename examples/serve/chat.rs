//! Chat: the simulated Slack, the secrets, and the variables of the intake and the messenger.

use std::time::Duration;

use local_aws::{LocalAws, QueueSettings, wire};
use local_chat::Slack;
use local_chat::slack::{APPROVER, BOT_TOKEN, CHANNEL, REQUESTER, SIGNING_SECRET, TEAM};
use serde_json::json;

/// The queue that the messenger reads: the target of a rule for completion events of chat, and of the intake's notices.
pub(crate) const NOTICES: &str = "notices";

const DEAD_LETTERS: &str = "notices-dead-letter";

const VERIFICATION_SECRET: &str = "chat-verification";
const SIGNING_KEYS: &str = "chat-signing";
const TOKENS: &str = "chat-tokens";

/// The key that signs buttons and reply addresses: the base64 of 32 bytes. Never use it elsewhere.
const SIGNING_KEY: &str = "bG9jYWwga2V5IG9mIHRoZSBzaW11bGF0ZWQgY2hhdCE=";

/// The template's visibility timeout of a notice: six times the messenger's timeout.
const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(3);

/// Receives in the template before a notice becomes a dead letter.
const RECEIVES_MAX: u32 = 20;

/// Sends Slack's commands and clicks to the intake.
pub(crate) fn connect(slack: &Slack, intake_url: &str) {
    slack.workspace().request_url = Some(format!("{intake_url}/chat/slack"));
}

/// Creates the queues and the secrets.
pub(crate) fn create(aws: &LocalAws) -> Result<(), local_aws::queues::QueueError> {
    aws.queues().create(DEAD_LETTERS, QueueSettings::standard())?;
    let settings = QueueSettings::standard().visibility_timeout(VISIBILITY_TIMEOUT);
    aws.queues().create(NOTICES, settings.redrive(RECEIVES_MAX, DEAD_LETTERS))?;
    let verification = json!({ "slack": { "signing_secrets": [SIGNING_SECRET] } });
    let tokens = json!({ "slack": { "bot_tokens": { TEAM: BOT_TOKEN } } });
    let keys = json!([SIGNING_KEY]);
    for (name, value) in [(VERIFICATION_SECRET, verification), (SIGNING_KEYS, keys), (TOKENS, tokens)] {
        aws.secrets().put(name, value.to_string());
    }
    Ok(())
}

/// The variables of chat in the intake.
pub(crate) fn intake_variables(aws: &LocalAws) -> Vec<(&'static str, String)> {
    vec![
        ("CHAT_TENANTS", format!("slack:{TEAM}")),
        ("CHAT_CONVERSATIONS", format!("slack:{TEAM}/{CHANNEL}")),
        ("CHAT_REQUESTERS", format!("slack:{TEAM}/{REQUESTER}")),
        ("CHAT_APPROVERS", format!("slack:{TEAM}/{APPROVER}")),
        ("CHAT_VERIFICATION_SECRET_ARN", wire::secret_arn(VERIFICATION_SECRET)),
        ("CHAT_SIGNING_SECRET_ARN", wire::secret_arn(SIGNING_KEYS)),
        ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
    ]
}

/// The variables of the messenger beside those that lead to AWS.
pub(crate) fn messenger_variables(aws: &LocalAws, slack: &Slack) -> Vec<(&'static str, String)> {
    vec![
        ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
        ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTERS)),
        ("CHAT_TOKEN_SECRET_ARN", wire::secret_arn(TOKENS)),
        ("CHAT_SIGNING_SECRET_ARN", wire::secret_arn(SIGNING_KEYS)),
        ("SLACK_ENDPOINT_URL", slack.url()),
    ]
}
