//! Chat: the simulated platforms, the secrets, and the variables of the intake and the messenger.

use std::time::Duration;

use local_aws::{LocalAws, QueueSettings, wire};
use local_chat::{DingTalk, Feishu, Slack, dingtalk, feishu, slack};
use serde_json::json;

use crate::arguments::Arguments;
use crate::services::ServiceError;

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

/// The simulated platforms. Dropping them ends their servers.
#[derive(Debug)]
pub(crate) struct Platforms {
    slack: Slack,
    dingtalk: DingTalk,
    feishu: Feishu,
}

/// A platform in the lists of the intake and in the printed commands: one tenant, one conversation and two people.
pub(crate) struct Place {
    pub(crate) title: &'static str,
    /// The name in the lists.
    name: &'static str,
    pub(crate) url: String,
    tenant: &'static str,
    pub(crate) conversation: &'static str,
    pub(crate) requester: &'static str,
    pub(crate) approver: &'static str,
    /// The endpoint that the printed command names, another one for each platform.
    pub(crate) endpoint: &'static str,
}

impl Platforms {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, ServiceError> {
        let port = arguments.slack_port;
        let slack = Slack::start_with(slack::Workspace::default(), port).await;
        let slack = slack.map_err(ServiceError::listen(port, "--slack-port"))?;
        let port = arguments.dingtalk_port;
        let dingtalk = DingTalk::start_with(dingtalk::Workspace::default(), port).await;
        let dingtalk = dingtalk.map_err(ServiceError::listen(port, "--dingtalk-port"))?;
        let port = arguments.feishu_port;
        let feishu = Feishu::start_with(feishu::Workspace::default(), port).await;
        let feishu = feishu.map_err(ServiceError::listen(port, "--feishu-port"))?;
        Ok(Self { slack, dingtalk, feishu })
    }

    /// Sends commands and clicks to the intake.
    pub(crate) fn connect(&self, intake_url: &str) {
        let url = |name: &str| Some(format!("{intake_url}/chat/{name}"));
        self.slack.workspace().request_url = url("slack");
        self.dingtalk.workspace().request_url = url("dingtalk");
        self.feishu.workspace().request_url = url("feishu");
    }

    pub(crate) fn places(&self) -> [Place; 3] {
        [
            Place {
                title: "Slack",
                name: "slack",
                url: self.slack.url(),
                tenant: slack::TEAM,
                conversation: slack::CHANNEL,
                requester: slack::REQUESTER,
                approver: slack::APPROVER,
                endpoint: "ep-hp3search",
            },
            Place {
                title: "DingTalk",
                name: "dingtalk",
                url: self.dingtalk.url(),
                tenant: dingtalk::CORP,
                conversation: dingtalk::CONVERSATION,
                requester: dingtalk::REQUESTER,
                approver: dingtalk::APPROVER,
                endpoint: "ep-hp3billing",
            },
            Place {
                title: "Feishu",
                name: "feishu",
                url: self.feishu.url(),
                tenant: feishu::TENANT,
                conversation: feishu::CHAT,
                requester: feishu::REQUESTER,
                approver: feishu::APPROVER,
                endpoint: "ep-hp3shop",
            },
        ]
    }

    /// The variables of chat in the intake.
    pub(crate) fn intake_variables(&self, aws: &LocalAws) -> Vec<(&'static str, String)> {
        let places = self.places();
        let list = |entry: fn(&Place) -> String| places.iter().map(entry).collect::<Vec<_>>().join(",");
        vec![
            ("CHAT_TENANTS", list(|place| format!("{}:{}", place.name, place.tenant))),
            ("CHAT_CONVERSATIONS", list(|place| place.entry(place.conversation))),
            ("CHAT_REQUESTERS", list(|place| place.entry(place.requester))),
            ("CHAT_APPROVERS", list(|place| place.entry(place.approver))),
            ("CHAT_VERIFICATION_SECRET_ARN", wire::secret_arn(VERIFICATION_SECRET)),
            ("CHAT_SIGNING_SECRET_ARN", wire::secret_arn(SIGNING_KEYS)),
            ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
        ]
    }

    /// The variables of the messenger beside those that lead to AWS.
    pub(crate) fn messenger_variables(&self, aws: &LocalAws) -> Vec<(&'static str, String)> {
        vec![
            ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
            ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTERS)),
            ("CHAT_TOKEN_SECRET_ARN", wire::secret_arn(TOKENS)),
            ("CHAT_SIGNING_SECRET_ARN", wire::secret_arn(SIGNING_KEYS)),
            ("SLACK_ENDPOINT_URL", self.slack.url()),
            ("DINGTALK_ENDPOINT_URL", self.dingtalk.url()),
            ("FEISHU_ENDPOINT_URL", self.feishu.url()),
        ]
    }
}

impl Place {
    /// A conversation or a person, as the lists name it.
    fn entry(&self, id: &str) -> String {
        format!("{}:{}/{id}", self.name, self.tenant)
    }
}

/// Creates the queues and the secrets.
pub(crate) fn create(aws: &LocalAws) -> Result<(), local_aws::queues::QueueError> {
    aws.queues().create(DEAD_LETTERS, QueueSettings::standard())?;
    let settings = QueueSettings::standard().visibility_timeout(VISIBILITY_TIMEOUT);
    aws.queues().create(NOTICES, settings.redrive(RECEIVES_MAX, DEAD_LETTERS))?;
    let verification = json!({
        "slack": { "signing_secrets": [slack::SIGNING_SECRET] },
        "dingtalk": { "app_secrets": [dingtalk::APP_SECRET], "card_secrets": [dingtalk::CARD_SECRET] },
        "feishu": {
            "encrypt_keys": [feishu::ENCRYPT_KEY], "verification_tokens": [feishu::VERIFICATION_TOKEN],
        },
    });
    let tokens = json!({
        "slack": { "bot_tokens": { slack::TEAM: slack::BOT_TOKEN } },
        "dingtalk": { "apps": { dingtalk::CORP: {
            "app_key": dingtalk::APP_KEY,
            "app_secret": dingtalk::APP_SECRET,
            "robot_code": dingtalk::ROBOT_CODE,
            "card_template_id": dingtalk::CARD_TEMPLATE,
        } } },
        "feishu": { "apps": { feishu::TENANT: {
            "app_id": feishu::APP_ID,
            "app_secret": feishu::APP_SECRET,
        } } },
    });
    let keys = json!([SIGNING_KEY]);
    for (name, value) in [(VERIFICATION_SECRET, verification), (SIGNING_KEYS, keys), (TOKENS, tokens)] {
        aws.secrets().put(name, value.to_string());
    }
    Ok(())
}
