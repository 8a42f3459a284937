//! Every sample of the intake in `events/`, by the intake's own code at the time that the samples were made for.

use std::collections::BTreeSet;

use crate::front::Front;

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
        ("webhook-wrong-method", Answered(405, 0)),
        ("webhook-wrong-path", Answered(404, 0)),
    ];
    let is_of_the_intake = |name: &String| {
        name.ends_with(".json") && !name.starts_with("direct-") && !name.starts_with("queue-")
    };
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(is_of_the_intake).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, end) in expected {
        let payload = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
        let front = Front::new(name == "webhook-iam").await;
        let result = front.handle(&payload, SIGNED_AT + 1).await;
        let messages = front.enqueued();
        let seen = (result.as_ref().ok().map(|answer| answer["statusCode"].as_u64()), messages);
        let expected = match end {
            Answered(status, messages) => (Some(Some(status)), messages),
            Accepted(messages) => (Some(None), messages),
            Failed => (None, 0),
        };
        assert_eq!(seen, expected, "{name}: {result:?}");
    }
}
