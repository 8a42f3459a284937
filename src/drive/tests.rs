use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};

use super::observer::{Alert, Observer};
use super::time_budget::{Run, TimeLimits};
use super::*;
use crate::alibaba::client::Client;
use crate::alibaba::credentials::{Credentials, CredentialsSource};
use crate::alibaba::error::NoResponse;
use crate::alibaba::service_url::ServiceUrl;
use crate::alibaba::transport::SendError;
use crate::clock::Clock;
use crate::request::{self, RequestId, Rules};

/// When the tests start, by every clock that is right.
const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// Alibaba Cloud on the virtual clock: `sg-a` and `sg-b` stay attached to `ep-a`, and no detach has an effect.
struct Service {
    clock: Clock,
    /// How long the connection of a write takes to open.
    opens_for_a_write: Duration,
    /// The calls that left, each with its time since the start.
    left: RefCell<Vec<(String, Duration)>>,
}

impl Service {
    fn new(opens_for_a_write: Duration) -> Self {
        Self { clock: Clock::starting_at(NOW), opens_for_a_write, left: RefCell::default() }
    }

    fn respond(action: &str) -> Value {
        match action {
            "ListVpcEndpointSecurityGroups" => json!({ "RequestId": "R", "SecurityGroups": [
                { "SecurityGroupId": "sg-a", "SecurityGroupStatus": "Attached" },
                { "SecurityGroupId": "sg-b", "SecurityGroupStatus": "Attached" }] }),
            "ListVpcEndpoints" => json!({ "RequestId": "R", "Endpoints": [
                { "EndpointId": "ep-a", "EndpointStatus": "Active" }] }),
            _ => json!({ "RequestId": "R" }),
        }
    }
}

impl Transport for &Service {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let action = request.headers()["x-acs-action"].to_str().unwrap();
        let is_write = action == Action::Detach.name();
        let opens = if is_write { self.opens_for_a_write } else { Duration::ZERO };
        self.clock.sleep_until(self.clock.now() + opens.min(timeout)).await;
        if opens >= timeout {
            return Err(NoResponse::Timeout.into());
        }
        self.left.borrow_mut().push((action.to_owned(), self.clock.now() - self.clock.started()));
        Ok(http::Response::new(Service::respond(action).to_string().into()))
    }
}

#[derive(Debug)]
struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &RequestId, _: &Event<'_>) {}

    fn alert(&self, _: &Alert<'_>) {}
}

/// Drives one detach with this deadline.
async fn detach(service: &Service, deadline: Duration) -> Ended {
    let credentials = Credentials::new("id".to_owned(), "secret".to_owned(), None);
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let cloud = Cloud::new(Client::new(service, source, ServiceUrl::Regional, 7), 7);
    let body = r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a"}"#;
    let request = request::parse(body, &Rules::default()).result.unwrap();
    let run = Run::new(service.clock, NOW + Duration::from_secs(90), TimeLimits::default());
    let attempt = Attempt {
        request: &request,
        request_id: &RequestId::parse("CHG1").unwrap(),
        observer: &Unobserved,
        is_first_delivery: true,
        deadline: run.clock.started() + deadline,
    };
    drive(&cloud, &attempt, Limits::default(), &run).await
}

/// When the writes left, in seconds since the start.
fn writes(service: &Service) -> Vec<u64> {
    let left = service.left.borrow();
    left.iter().filter(|(action, _)| action == Action::Detach.name()).map(|(_, at)| at.as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn write_whose_connection_opens_after_the_deadline_is_not_sent() {
    let deadline = Duration::from_secs(3);
    let service = Service::new(Duration::from_secs(4));
    let ended = detach(&service, deadline).await;
    assert!(matches!(ended, Ended::Finished(Outcome::Unconfirmed(_), _)), "{ended:?}");
    assert_eq!(writes(&service), [0_u64; 0]);
    let left = service.left.borrow();
    assert!(left.last().is_some_and(|(_, at)| *at >= deadline), "the last read is made");
}

#[tokio::test(start_paused = true)]
async fn write_whose_connection_opens_before_the_deadline_is_sent() {
    let service = Service::new(Duration::from_secs(2));
    detach(&service, Duration::from_secs(3)).await;
    assert_eq!(writes(&service), [2]);
}
