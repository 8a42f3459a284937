//! The intake's code in the test process, for tests that depend on time and would take too long with a real clock.

use std::time::{Duration, SystemTime};

use local_aws::{LocalAws, QueueSettings};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::IntakeConfig;
use privatelink_detach::intake::{Intake, IntakeError};
use privatelink_detach::lambda::Invocation;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::deployment::{REQUESTS, SECRET, SECRETS_ARN, request};
use crate::slack;

const NOTICES: &str = "notices";

/// The variables of chat, which name the default workspaces and people of the simulated platforms, and the samples' secrets.
const CHAT: [(&str, &str); 6] = [
    ("CHAT_TENANTS", "slack:T0LOCALCHAT,dingtalk:dingd8e1123006514592,feishu:2ed263bf32cf1651"),
    (
        "CHAT_CONVERSATIONS",
        "slack:T0LOCALCHAT/C0OPSCHANGE,dingtalk:dingd8e1123006514592/cidKSrzmSb4xkWUZbz4xKbRcg==,\
         feishu:2ed263bf32cf1651/oc_5ad11d72b830411d72b836c20f9b4e17",
    ),
    (
        "CHAT_REQUESTERS",
        "slack:T0LOCALCHAT/U0REQUESTER,dingtalk:dingd8e1123006514592/manager4220,\
         feishu:2ed263bf32cf1651/ou_7d8a6e6df7621556ce0d21922b676706",
    ),
    ("CHAT_APPROVERS", "slack:T0LOCALCHAT/U0REQUESTER,slack:T0LOCALCHAT/U00APPROVER"),
    (
        "CHAT_VERIFICATION_SECRET_ARN",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:chat-verification",
    ),
    ("CHAT_SIGNING_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:000000000000:secret:chat-signing"),
];

/// The signing secret of the simulated Slack app.
const CHAT_SECRET: &str = "0c41a7d2e9f35b688f1d2c3b4a596877";

/// The values of both secrets of chat. The key is the bytes 0 to 31.
const CHAT_SECRETS: [(&str, &str); 2] = [
    (
        "chat-verification",
        r#"{
            "slack": {"signing_secrets": ["0c41a7d2e9f35b688f1d2c3b4a596877"]},
            "dingtalk": {
                "app_secrets": ["GT-local-chat-4f1c2d3b4a596877a1b2c3d4e5f60718293a4b5c6d7e8f90"],
                "card_secrets": ["local-chat-card-secret-5b688f1d"]
            },
            "feishu": {
                "encrypt_keys": ["9ffbc6f03c9157079cf8f526729114a7"],
                "verification_tokens": ["v2JX7qcRmYbHd0TnLw3sKzEoUaG5fP81"]
            }
        }"#,
    ),
    ("chat-signing", r#"["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]"#),
];

/// An intake with local AWS services.
pub(crate) struct InProcess {
    pub(crate) aws: LocalAws,
    intake: Intake,
}

impl InProcess {
    /// An intake that verifies signatures, or one that relies on AWS IAM.
    pub(crate) async fn new(is_iam: bool) -> Self {
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
        aws.queues().create(NOTICES, QueueSettings::standard()).unwrap();
        aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
        for (name, value) in CHAT_SECRETS {
            aws.secrets().put(name, value);
        }
        let config = IntakeConfig::read(|name| match name {
            "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
            "PROTECTED_SECURITY_GROUPS" => Some("sg-protected".to_owned()),
            "REQUEST_EVENT_SOURCES" => Some("com.example.offboarding".to_owned()),
            "WEBHOOK_SECRETS_ARN" => (!is_iam).then(|| SECRETS_ARN.to_owned()),
            "NOTICE_QUEUE_URL" => Some(aws.queue_url(NOTICES)),
            _ => CHAT.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned()),
        });
        let intake = Intake::new(config.unwrap(), &aws::config(aws.environment()).unwrap());
        Self { aws, intake }
    }

    /// Makes one invocation, so many seconds after 1970-01-01.
    pub(crate) async fn handle(&self, payload: &str, at: u64) -> Result<Value, IntakeError> {
        let invocation = Invocation {
            clock: Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(at)),
            ends_at: SystemTime::UNIX_EPOCH + Duration::from_secs(at + 30),
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: None,
        };
        let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
        self.intake.handle(&payload, &invocation).await
    }

    /// Posts a webhook that is signed with this secret at that time. Returns the status of the response.
    pub(crate) async fn post(&self, secret: &str, at: u64) -> u64 {
        let (id, body) = (format!("msg_{at}"), request("sg-a").to_string());
        let timestamp = i64::try_from(at).unwrap();
        let event = json!({
            "version": "2.0", "rawPath": "/detachments", "body": body, "isBase64Encoded": false,
            "headers": {
                "content-type": "application/json", "webhook-id": id, "webhook-timestamp": timestamp.to_string(),
                "webhook-signature": Webhook::new(secret).unwrap().sign(&id, timestamp, body.as_bytes()).unwrap(),
            },
            "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 },
        });
        self.handle(&event.to_string(), at).await.unwrap()["statusCode"].as_u64().unwrap()
    }

    /// Posts a call of Slack that is signed at that time. Returns the response.
    pub(crate) async fn chat(&self, body: &str, at: u64) -> Value {
        let timestamp = at.to_string();
        let event = json!({
            "version": "2.0", "rawPath": "/chat/slack", "body": body, "isBase64Encoded": false,
            "headers": {
                "x-slack-request-timestamp": timestamp,
                "x-slack-signature": slack::signature(CHAT_SECRET, &timestamp, body.as_bytes()),
            },
            "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 },
        });
        self.handle(&event.to_string(), at).await.unwrap()
    }

    /// The number of messages in the request queue.
    pub(crate) fn message_count(&self) -> usize {
        self.aws.queues().messages(REQUESTS).unwrap().len()
    }

    /// The number of messages in the queue of notices.
    pub(crate) fn notice_count(&self) -> usize {
        self.aws.queues().messages(NOTICES).unwrap().len()
    }
}
