//! Invokes the sweeper with each of its samples in `events/`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use local_aws::{LocalAws, QueueSettings};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::SweeperConfig;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::sweep::Limits;
use privatelink_detach::sweeper::{SweepError, TimeLimits, assemble};
use privatelink_simulator::{AccessKey, Cloud, Seed, Server};
use serde_json::Value;
use serde_json::value::RawValue;

const REQUESTS: &str = "requests.fifo";

/// The result of a sample.
struct Effects {
    result: Result<Value, SweepError>,
    events: usize,
    messages: usize,
}

#[tokio::test]
async fn every_sample_has_the_result_that_its_name_says() {
    // Verdict, references and requests; none for an invocation that fails.
    let expected = [
        ("sweep-apply", Some(("references_found", 4, 3))),
        ("sweep-invalid", None),
        ("sweep-mistyped", Some(("incomplete", 0, 0))),
        ("sweep-over-limit", Some(("over_limit", 8, 0))),
        ("sweep-report", Some(("references_found", 8, 0))),
    ];
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| name.starts_with("sweep-")).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());

    let all = join_all(expected.map(|(name, _)| invoke(name))).await;
    for ((name, expected), effects) in expected.into_iter().zip(all) {
        let Effects { result, events, messages } = effects;
        let Some((verdict, references, requests)) = expected else {
            assert!(matches!(result, Err(SweepError::InvalidSweep(_))), "{name}: {result:?}");
            assert_eq!((events, messages), (0, 0), "{name}");
            continue;
        };
        let detail = result.unwrap();
        assert_eq!(detail["verdict"], verdict, "{name}: {detail}");
        assert_eq!(detail["references_total"], references, "{name}: {detail}");
        assert_eq!(detail["requested_count"], requests, "{name}: {detail}");
        assert_eq!((events, messages), (1, requests), "{name}");
    }
}

/// Invokes a sweeper of its own with a sample. No worker carries out its requests, so it does not read again.
async fn invoke(name: &str) -> Effects {
    let mut seed = Seed::from_json(&std::fs::read("examples/demo/world.json").unwrap()).unwrap();
    seed.faults.clear();
    let cloud = Server::start(Cloud::new(seed).unwrap(), (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    let key = AccessKey::default();
    let config = SweeperConfig::read(|name| match name {
        "DETACH_QUEUE_URL" => Some(aws.queue_url(REQUESTS)),
        "PRIVATELINK_ENDPOINT_URL" => Some(cloud.url()),
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some(key.access_key_id.to_string()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some(key.access_key_secret.clone()),
        "SWEEP_APPLY_ALLOWED" => Some("true".to_owned()),
        _ => None,
    });
    let time = TimeLimits::default();
    let time = TimeLimits { last_reading: time.sweep, ..time };
    let sdk = aws::config(aws.environment()).unwrap();
    let sweeper = assemble::sweeper(config.unwrap(), &sdk, Limits::default(), time).unwrap();

    let clock = Clock::start();
    let invocation = Invocation {
        clock,
        ends_at: clock.wall() + Duration::from_mins(15),
        lambda_request_id: "lambda-request".to_owned(),
        xray_trace_id: None,
    };
    let text = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
    let payload: Box<RawValue> = serde_json::from_str(&text).unwrap();
    let result = sweeper.handle(&payload, &invocation).await;
    let (events, messages) = (aws.bus().events().len(), aws.queues().messages(REQUESTS).unwrap().len());
    Effects { result, events, messages }
}
