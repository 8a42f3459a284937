//! Slack's calls to the intake, and a deployment with chat.

use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use local_aws::queues::QueueSettings;
use local_aws::{FunctionUrlSettings, LocalAws};
use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::decision::ClickNotice;
use privatelink_detach::chat::identity::{Conversation, MessageId, Person, Platform};
use privatelink_detach::chat::notice::Notice;
use privatelink_detach::chat::request::{ChatRequest, Phase};
use privatelink_detach::chat::signed::{self, ChatKeys};
use privatelink_detach::chat::texts::{Language, LanguageSetting};
use privatelink_detach::request::{EndpointId, RegionId, RequestId, SecurityGroupId};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::deployment::{Call, Deployment, REQUESTS, SECRET, SECRETS_ARN, Settings, now};
use crate::platforms::{self, Driver};

/// The name of the queue of notices.
pub(crate) const NOTICES: &str = "notices";

pub(crate) const VERIFICATION_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:verification";
pub(crate) const SIGNING_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:signing";

/// The app's signing secret.
pub(crate) const SLACK_SECRET: &str = "e8389b8132c248b35650e20ca8942bb1";

/// The secrets of the apps in `DingTalk` and Feishu.
pub(crate) const DINGTALK_SECRET: &str = "b557815d05a6981aaec78f5215242caa344321f2e6c740281735c8385e17376d";
pub(crate) const FEISHU_KEY: &str = "9ffbc6f03c9157079cf8f526729114a7";

/// A chat signing key.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Another one.
pub(crate) const KEY_NEXT: &str = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(crate) const TEAM: &str = "T04TEAMAAAA";
pub(crate) const CHANNEL: &str = "C04OPSAAAAA";
pub(crate) const REQUESTER: &str = "U04REQUESTR";
pub(crate) const APPROVER: &str = "U09APPROVER";

/// The approval request in the channel.
pub(crate) const MESSAGE: &str = "1795330710.000100";

/// What a call contains and no log line, message or response may repeat: the deprecated token, the address for responses, and
/// the id of the interaction.
pub(crate) const SLACK_SECRETS: [&str; 3] = ["depr3cated-token", "hooks.slack.com", "tr1gger"];

/// Slack in the tests of every platform.
pub(crate) const DRIVER: Driver = Driver {
    platform: Platform::Slack,
    tenant: TEAM,
    conversation: CHANNEL,
    requester: REQUESTER,
    approver: APPROVER,
    other_tenant: "T04OTHER",
    other_conversation: "C04OTHER",
    other_person: "U04OTHER",
    command_name: "/privatelink",
    card: MESSAGE,
    command_secret: SLACK_SECRET,
    click_secret: SLACK_SECRET,
    other_secret: "c87879816b60ace29da36143581967dc",
    command_headers: &["x-slack-request-timestamp", "x-slack-signature"],
    click_headers: &["x-slack-request-timestamp", "x-slack-signature"],
    type_command: |typed, secret, seconds| {
        let platforms::Typed { tenant, conversation, person, text, id, .. } = typed.clone();
        let typed = Typed { team: tenant, channel: conversation, user: person, text, trigger_id: id };
        signed(call(typed.body()), secret, seconds)
    },
    click_button: |clicked, secret, seconds| {
        let platforms::Clicked { tenant, conversation, person, action, value, .. } = clicked.clone();
        let clicked = Clicked { channel: conversation, user: person, user_team: tenant, action, value };
        signed(call(clicked.body()), secret, seconds)
    },
};

/// A command of Slack.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) team: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) user: &'static str,
    pub(crate) text: String,
    pub(crate) trigger_id: String,
}

/// A click in Slack.
#[derive(Debug, Clone)]
pub(crate) struct Clicked {
    pub(crate) channel: &'static str,
    pub(crate) user: &'static str,
    pub(crate) user_team: &'static str,
    pub(crate) action: &'static str,
    pub(crate) value: String,
}

impl Typed {
    /// A command of the requester.
    pub(crate) fn new(text: &str) -> Self {
        let trigger_id = format!("tr1gger.{:x}", fastrand::u128(..));
        Self { team: TEAM, channel: CHANNEL, user: REQUESTER, text: text.to_owned(), trigger_id }
    }

    pub(crate) fn body(&self) -> String {
        let Self { team, channel, user, text, trigger_id } = self;
        form(&[
            ("token", SLACK_SECRETS[0]),
            ("team_id", team),
            ("team_domain", "example"),
            ("channel_id", channel),
            ("channel_name", "ops-运维"),
            ("user_id", user),
            ("user_name", "us3r-name"),
            ("command", "/privatelink"),
            ("text", text),
            ("response_url", "https://hooks.slack.com/commands/T04TEAMAAAA/1/secret"),
            ("trigger_id", trigger_id),
        ])
    }

    /// Its call, signed now.
    pub(crate) fn call(&self) -> Call {
        signed(call(self.body()), SLACK_SECRET, 0)
    }
}

impl Clicked {
    /// A click of the approver on *Approve*.
    pub(crate) fn approve(value: &str) -> Self {
        let (channel, user, user_team) = (CHANNEL, APPROVER, TEAM);
        Self { channel, user, user_team, action: "approve", value: value.to_owned() }
    }

    /// A click of the approver on *Decline*.
    pub(crate) fn decline(value: &str) -> Self {
        Self { action: "decline", ..Self::approve(value) }
    }

    pub(crate) fn payload(&self) -> Value {
        let Self { channel, user, user_team, action, value } = self;
        json!({
            "type": "block_actions",
            "api_app_id": "A04APPAAAAA",
            "token": SLACK_SECRETS[0],
            "team": { "id": TEAM, "domain": "example" },
            "user": { "id": user, "username": "us3r-name", "name": "林小雨", "team_id": user_team },
            "channel": { "id": channel, "name": "ops" },
            "container": { "type": "message", "message_ts": MESSAGE, "channel_id": channel, "is_ephemeral": false },
            "trigger_id": "tr1gger.1",
            "response_url": "https://hooks.slack.com/actions/T04TEAMAAAA/1/secret",
            "actions": [{ "action_id": action, "block_id": "b", "type": "button", "value": value,
                          "action_ts": "1795330712.1" }],
        })
    }

    pub(crate) fn body(&self) -> String {
        form(&[("payload", &self.payload().to_string())])
    }

    /// Its call, signed now.
    pub(crate) fn call(&self) -> Call {
        signed(call(self.body()), SLACK_SECRET, 0)
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A call with this body, not signed.
pub(crate) fn call(body: impl Into<bytes::Bytes>) -> Call {
    let path = "/chat/slack".to_owned();
    let call = Call { method: Method::POST, path, headers: HeaderMap::new(), body: body.into() };
    call.with("content-type", "application/x-www-form-urlencoded")
}

/// The call, signed with this secret; the timestamp differs from now by so many seconds.
pub(crate) fn signed(call: Call, secret: &str, seconds_from_now: i64) -> Call {
    let timestamp = (now() + seconds_from_now).to_string();
    let signature = signature(secret, &timestamp, &call.body);
    call.with("x-slack-request-timestamp", &timestamp).with("x-slack-signature", &signature)
}

/// The signature header of a call.
pub(crate) fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    use std::fmt::Write;

    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("v0=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The secret with these signing secrets of the app.
pub(crate) fn verification(secrets: &[&str]) -> String {
    json!({
        "slack": { "signing_secrets": secrets },
        "dingtalk": { "app_secrets": [DINGTALK_SECRET], "card_secrets": [DINGTALK_SECRET] },
        "feishu": { "encrypt_keys": [FEISHU_KEY], "verification_tokens": [FEISHU_KEY] },
    })
    .to_string()
}

/// The chat signing keys of this list.
pub(crate) fn keys(list: &[&str]) -> ChatKeys {
    ChatKeys::parse(&json!(list).to_string()).unwrap()
}

/// AWS services with both queues and the secrets of chat.
pub(crate) async fn aws() -> LocalAws {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    aws.queues().create(NOTICES, QueueSettings::standard()).unwrap();
    aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    aws.secrets().put(VERIFICATION_ARN, verification(&[SLACK_SECRET]));
    aws.secrets().put(SIGNING_ARN, json!([KEY]).to_string());
    aws
}

/// The variables of chat: one workspace, one conversation, one requester, and two approvers of whom one is the requester.
pub(crate) fn variables(aws: &LocalAws) -> Vec<(&'static str, String)> {
    vec![
        ("CHAT_TENANTS", format!("slack:{TEAM}")),
        ("CHAT_CONVERSATIONS", format!("slack:{TEAM}/{CHANNEL}")),
        ("CHAT_REQUESTERS", format!("slack:{TEAM}/{REQUESTER}")),
        ("CHAT_APPROVERS", format!("slack:{TEAM}/{APPROVER},slack:{TEAM}/{REQUESTER}")),
        ("CHAT_VERIFICATION_SECRET_ARN", VERIFICATION_ARN.to_owned()),
        ("CHAT_SIGNING_SECRET_ARN", SIGNING_ARN.to_owned()),
        ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
    ]
}

/// A deployment with chat.
pub(crate) async fn deployment() -> Deployment {
    deployment_with(&[]).await
}

/// A deployment with chat and additional variables.
pub(crate) async fn deployment_with(environment: &[(&'static str, &str)]) -> Deployment {
    deployment_on(aws().await, environment, FunctionUrlSettings::default()).await
}

/// A deployment with chat that uses these services as they are.
pub(crate) async fn deployment_on(
    aws: LocalAws,
    environment: &[(&'static str, &str)],
    url: FunctionUrlSettings,
) -> Deployment {
    let mut variables = variables(&aws);
    variables.extend(environment.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Deployment::with_aws(aws, Settings { environment: variables, url }).await
}

/// A request of the requester that waits for its approval for the next minutes.
pub(crate) fn pending(number: u32) -> ChatRequest {
    ChatRequest {
        conversation: Conversation::parse(&format!("slack:{TEAM}/{CHANNEL}")).unwrap(),
        thread: None,
        requester: person(REQUESTER).id,
        approver: None,
        language: Language::En,
        phase: Phase::Preview,
        id: RequestId::parse(&format!("slack-{number:024x}")).unwrap(),
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-a").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        dry_run: false,
        expires_at: u64::try_from(now() + 600).unwrap(),
        deadline: None,
        ticket: None,
    }
}

/// The value of the buttons of a pending request.
pub(crate) fn button(number: u32) -> String {
    signed::button(&pending(number), &keys(&[KEY]))
}

/// A person of the workspace.
pub(crate) fn person(user: &str) -> Person {
    Person::parse(&format!("slack:{TEAM}/{user}")).unwrap()
}

pub(crate) fn message() -> Option<MessageId> {
    MessageId::parse(MESSAGE)
}

/// The clicks in the queue of notices.
pub(crate) fn notices(deployment: &Deployment) -> Vec<ClickNotice> {
    let messages = deployment.aws.queues().messages(NOTICES).unwrap().to_vec();
    let notice = |body: &str| match Notice::parse(
        body,
        &keys(&[KEY, KEY_NEXT]),
        LanguageSetting::Auto,
        SystemTime::now(),
    ) {
        Ok(Notice::Click(notice)) => notice,
        other => panic!("{other:?}: {body}"),
    };
    messages.iter().map(|message| notice(&message.body)).collect()
}

/// The names of the results in the queue of notices.
pub(crate) fn results(deployment: &Deployment) -> Vec<&'static str> {
    notices(deployment).iter().map(|notice| notice.result.name()).collect()
}
