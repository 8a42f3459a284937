//! Invokes the intake with every sample in `events/` that is for it, at the time for which the samples were signed.

use std::collections::BTreeSet;

use crate::in_process::InProcess;

/// When the samples were signed: 2026-11-22T07:00:00Z.
const SIGNED_AT: u64 = 1_795_330_800;

/// The expected result of a sample.
enum Expected {
    /// A response with this status, and the number of messages in the queue.
    Response(u64, usize),
    /// A response with the status 200 to a chat platform, and the numbers of requests and of notices in the queues.
    Chat(usize, usize),
    /// A successful invocation by an event, and the number of messages in the queue.
    Accepted(usize),
    /// A failed invocation.
    Failed,
}

use Expected::{Accepted, Chat, Failed, Response};

#[tokio::test]
async fn every_sample_has_the_result_that_its_name_says() {
    let expected = [
        ("chat-approve", Chat(1, 1)),
        ("chat-command", Chat(1, 0)),
        ("chat-dingtalk-command", Chat(1, 1)),
        ("chat-feishu-command", Chat(1, 1)),
        ("chat-forged", Response(401, 0)),
        ("chat-own-request", Chat(0, 1)),
        ("event-invalid", Failed),
        ("event-other", Failed),
        ("event-several", Accepted(3)),
        ("event-single", Accepted(1)),
        ("health", Response(204, 0)),
        ("schedule-invalid", Failed),
        ("schedule-several", Accepted(2)),
        ("schedule-single", Accepted(1)),
        ("sns-invalid", Failed),
        ("sns-single", Accepted(1)),
        ("webhook-base64", Response(202, 1)),
        ("webhook-forged", Response(401, 0)),
        ("webhook-http-api", Response(202, 1)),
        ("webhook-iam", Response(202, 1)),
        ("webhook-invalid", Response(400, 0)),
        ("webhook-not-json", Response(415, 0)),
        ("webhook-protected", Response(403, 0)),
        ("webhook-several", Response(202, 2)),
        ("webhook-single", Response(202, 1)),
        ("webhook-wrong-method", Response(405, 0)),
        ("webhook-wrong-path", Response(404, 0)),
    ];
    let others = ["README", "direct-", "queue-", "sweep-"];
    let is_for_the_intake = |name: &String| !others.iter().any(|other| name.starts_with(other));
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(is_for_the_intake).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, expected) in expected {
        let payload = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
        let intake = InProcess::new(name == "webhook-iam").await;
        let result = intake.handle(&payload, SIGNED_AT + 1).await;
        let status = result.as_ref().ok().map(|response| response["statusCode"].as_u64());
        let actual = (status, intake.message_count(), intake.notice_count());
        let expected = match expected {
            Response(status, messages) => (Some(Some(status)), messages, 0),
            Chat(messages, notices) => (Some(Some(200)), messages, notices),
            Accepted(messages) => (Some(None), messages, 0),
            Failed => (None, 0, 0),
        };
        assert_eq!(actual, expected, "{name}: {result:?}");
    }
}
