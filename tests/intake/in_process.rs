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
        aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
        let config = IntakeConfig::read(|name| match name {
            "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
            "PROTECTED_SECURITY_GROUPS" => Some("sg-protected".to_owned()),
            "REQUEST_EVENT_SOURCES" => Some("com.example.offboarding".to_owned()),
            "WEBHOOK_SECRETS_ARN" => (!is_iam).then(|| SECRETS_ARN.to_owned()),
            _ => None,
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

    /// The number of messages in the request queue.
    pub(crate) fn message_count(&self) -> usize {
        self.aws.queues().messages(REQUESTS).unwrap().len()
    }
}
