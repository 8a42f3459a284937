//! Every sample of the intake in `events/`, by the intake's own code at the time that the samples were made for.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_sqs::config::{Credentials, Region};
use local_aws::{LocalAws, QueueSettings};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::IntakeConfig;
use privatelink_detach::intake::{Intake, IntakeError, Invocation};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::account::{REQUESTS, SECRET, SECRETS_ARN};

/// When the samples' webhooks were signed: 2026-11-22T07:00:00Z.
const SIGNED_AT: u64 = 1_795_330_800;

/// What a sample comes to.
enum End {
    /// An answer of this status, and so many messages in the queue.
    Answered(u64, usize),
    /// So many messages in the queue, and nobody to answer.
    Accepted(usize),
    /// A failed invocation.
    Failed,
}

use End::{Accepted, Answered, Failed};

#[tokio::test]
async fn every_sample_ends_as_its_name_says() {
    let expected = [
        ("event-invalid", Failed),
        ("event-other", Failed),
        ("event-several", Accepted(3)),
        ("event-single", Accepted(1)),
        ("health", Answered(204, 0)),
        ("schedule-invalid", Failed),
        ("schedule-several", Accepted(2)),
        ("schedule-single", Accepted(1)),
        ("sns-invalid", Failed),
        ("sns-single", Accepted(1)),
        ("webhook-base64", Answered(202, 1)),
        ("webhook-forged", Answered(401, 0)),
        ("webhook-http-api", Answered(202, 1)),
        ("webhook-iam", Answered(202, 1)),
        ("webhook-invalid", Answered(400, 0)),
        ("webhook-not-json", Answered(415, 0)),
        ("webhook-protected", Answered(403, 0)),
        ("webhook-several", Answered(202, 2)),
        ("webhook-single", Answered(202, 1)),
    ];
    let is_of_the_worker = |name: &String| name.starts_with("direct-") || name.starts_with("queue-");
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| !is_of_the_worker(name)).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, end) in expected {
        let payload = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
        let (result, messages) = play(&payload, name == "webhook-iam").await;
        let seen = (result.as_ref().ok().map(|answer| answer["statusCode"].as_u64()), messages);
        let expected = match end {
            Answered(status, messages) => (Some(Some(status)), messages),
            Accepted(messages) => (Some(None), messages),
            Failed => (None, 0),
        };
        assert_eq!(seen, expected, "{name}: {result:?}");
    }
}

/// What the intake makes of a payload, and how many messages it sends.
async fn play(payload: &str, is_iam: bool) -> (Result<Value, IntakeError>, usize) {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    let config = IntakeConfig::read(|name| match name {
        "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
        "PROTECTED_SECURITY_GROUPS" => Some("sg-protected".to_owned()),
        "WEBHOOK_SECRETS_ARN" => (!is_iam).then(|| SECRETS_ARN.to_owned()),
        _ => None,
    });
    let sdk = aws::loader().unwrap().endpoint_url(aws.url()).region(Region::from_static("us-east-1"));
    let sdk = sdk.credentials_provider(Credentials::new("id", "secret", None, None, "test")).load().await;
    let intake = Intake::new(config.unwrap(), &sdk);
    let invocation = Invocation {
        clock: Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(SIGNED_AT + 1)),
        lambda_request_id: "lambda-request".to_owned(),
        xray_trace_id: None,
    };
    let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
    let result = intake.handle(&payload, &invocation).await;
    (result, aws.queues().messages(REQUESTS).unwrap().len())
}
