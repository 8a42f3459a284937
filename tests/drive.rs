//! The loop that drives one detach, without a queue, an event bus or an AWS configuration: as a program on an operator's
//! machine uses it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::backoff::Backoff;
use privatelink_detach::clock::Clock;
use privatelink_detach::detach::{Limits, Outcome};
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::observer::{Alert, Event, Observer};
use privatelink_detach::drive::time_budget::{Run, TimeLimits};
use privatelink_detach::drive::{Attempt, Deadline, Ended, drive};
use privatelink_detach::request::{self, Replacements, RequestId, Rules};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::Https;
use privatelink_simulator::{AccessKey, Endpoint, Seed, Server};

/// Longer than any detach here takes.
const TIME: Duration = Duration::from_mins(1);

/// Records what happens, one word for each event.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<&'static str>>);

impl Observer for Recorder {
    fn observe(&self, request_id: &RequestId, event: &Event<'_>) {
        assert_eq!(request_id.as_str(), "CHG1");
        self.0.lock().unwrap().push(match event {
            Event::Read { .. } => "read",
            Event::Accepted { .. } => "accepted",
            Event::DryRunPassed { .. } => "dry run passed",
            Event::CallFailed { .. } => "failed",
            other => panic!("the loop alone has no such event: {other:?}"),
        });
    }

    fn alert(&self, alert: &Alert<'_>) {
        self.0.lock().unwrap().push(match alert {
            Alert::Credentials { .. } => "credentials",
            Alert::Clock { .. } => "clock",
            Alert::UnlistedCode { .. } => "unlisted code",
            Alert::ClockFarOff { .. } => "clock far off",
            Alert::Unreachable { .. } => "unreachable",
        });
    }
}

/// Drives one detach of `sg-a` from `ep-a` with this secret; its end, and what was observed.
async fn detach(dry_run: bool, secret: &str, deadline: Duration) -> (Ended, Vec<&'static str>) {
    let endpoints = vec![Endpoint::new("eu-west-1", "ep-a", ["sg-a", "sg-b"])];
    let mut seed = Seed { endpoints, ..Seed::default() };
    seed.settings.detach_takes = Duration::from_millis(50);
    let cloud = privatelink_simulator::Cloud::new(seed).unwrap();
    let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let url: http::Uri = server.url().parse().unwrap();
    let parts = url.into_parts();
    let service_url =
        ServiceUrl::Fixed(BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() });
    let key = AccessKey::default();
    let credentials = Credentials::new(key.access_key_id.to_string(), secret.to_owned(), None);
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let cloud = Cloud::new(Client::new(Https::new(true).unwrap(), source, service_url, 1), 1);

    let body = serde_json::json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
        "dry_run": dry_run });
    let request = request::parse(&body.to_string(), &Rules::default()).result.unwrap();
    let clock = Clock::start();
    let short = Duration::from_millis(20);
    let limits = Limits {
        poll_min: short,
        poll_max: short,
        backoff: Backoff { min: short, base: short, ..Backoff::default() },
        ..Limits::default()
    };
    let run = Run::until(clock, clock.now() + TIME, TimeLimits { wait_max: TIME, ..TimeLimits::default() });
    let recorder = Recorder::default();
    let attempt = Attempt {
        request: &request,
        replacements: &Replacements::default(),
        request_id: &RequestId::parse("CHG1").unwrap(),
        observer: &recorder,
        is_first_delivery: true,
        deadline: Deadline::Moment(clock.now() + deadline),
    };
    let ended = drive(&cloud, &attempt, limits, &run).await;
    let observed = recorder.0.into_inner().unwrap();
    (ended, observed)
}

fn secret() -> String {
    AccessKey::default().access_key_secret
}

#[tokio::test]
async fn detach_is_confirmed_without_aws() {
    let (ended, mut observed) = detach(false, &secret(), TIME).await;
    let Ended::Finished(outcome, evidence) = ended else { panic!("unfinished") };
    assert_eq!((outcome, evidence.detach_calls), (Outcome::Detached, 1));
    observed.dedup();
    assert_eq!(observed, ["read", "accepted", "read"]);
}

#[tokio::test]
async fn dry_run_passes_without_aws() {
    let (ended, observed) = detach(true, &secret(), TIME).await;
    assert!(matches!(ended, Ended::Finished(Outcome::DryRunPassed, _)), "{ended:?}");
    assert_eq!(observed, ["read", "read", "dry run passed"]);
}

#[tokio::test]
async fn wrong_credentials_are_alerted_once() {
    let (ended, observed) = detach(false, "wrong", Duration::from_millis(200)).await;
    assert!(matches!(ended, Ended::Finished(Outcome::Unconfirmed(_), _)), "{ended:?}");
    let alerts = observed.iter().filter(|word| **word == "credentials").count();
    assert_eq!(alerts, 1, "{observed:?}");
}
