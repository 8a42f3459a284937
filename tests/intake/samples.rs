//! Invokes the intake with every sample in `events/` that is for it, at the time for which the samples were signed.

use std::collections::BTreeSet;

use crate::in_process::InProcess;

/// When the samples' webhooks were signed: 2026-11-22T07:00:00Z.
const SIGNED_AT: u64 = 1_795_330_800;

/// The expected result of a sample.
enum Expected {
    /// A response with this status, and the number of messages in the queue.
    Response(u64, usize),
    /// A successful invocation by an event, and the number of messages in the queue.
    Accepted(usize),
    /// A failed invocation.
    Failed,
}

use Expected::{Accepted, Failed, Response};

#[tokio::test]
async fn every_sample_has_the_result_that_its_name_says() {
    let expected = [
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
        let messages = intake.message_count();
        let actual = (result.as_ref().ok().map(|response| response["statusCode"].as_u64()), messages);
        let expected = match expected {
            Response(status, messages) => (Some(Some(status)), messages),
            Accepted(messages) => (Some(None), messages),
            Failed => (None, 0),
        };
        assert_eq!(actual, expected, "{name}: {result:?}");
    }
}
