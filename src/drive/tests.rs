use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::datetime;

use super::observer::{Alert, Observer};
use super::time_budget::{Run, TimeLimits};
use super::*;
use crate::alibaba::client::Client;
use crate::alibaba::credentials::{Cached, CredentialError, Credentials, CredentialsSource, SessionSource};
use crate::alibaba::service_clock::ServiceClock;
use crate::alibaba::service_url::ServiceUrl;
use crate::clock::{Clock, calendar};
use crate::request::{self, Replacements, RequestId, Rules};
use crate::transport::NoResponse;
use crate::transport::SendError;

/// When the tests start, by the function's clock.
fn start() -> SystemTime {
    datetime!(2026-11-22 07:00:00 UTC).into()
}

/// Alibaba Cloud on the virtual clock: `sg-a` and `sg-b` stay attached to `ep-a`, and no detach has an effect.
struct Service {
    clock: Clock,
    /// How long the connection of a write takes to open.
    opens_for_a_write: Duration,
    /// How far the service's clock is ahead of the function's.
    ahead: time::Duration,
    /// Whether it responds.
    responds: bool,
    /// The calls that left, each with its time since the start.
    left: RefCell<Vec<(String, Duration)>>,
}

impl Service {
    fn new(opens_for_a_write: Duration) -> Self {
        let (clock, ahead) = (Clock::starting_at(start()), time::Duration::ZERO);
        Self { clock, opens_for_a_write, ahead, responds: true, left: RefCell::default() }
    }

    /// A service whose clock is ahead of the function's.
    fn ahead_by(ahead: time::Duration) -> Self {
        Self { ahead, ..Self::new(Duration::ZERO) }
    }

    /// Now, by the clock of the service and of the queue.
    fn now(&self) -> OffsetDateTime {
        calendar::utc(self.clock.wall()) + self.ahead
    }

    /// The status and the body of the response.
    fn handle(&self, action: &str, signed_at: &str) -> (u16, Value) {
        let signed_at = OffsetDateTime::parse(signed_at, &Rfc3339).unwrap();
        if (signed_at - self.now()).abs() > time::Duration::minutes(15) {
            return (400, json!({ "RequestId": "R", "Code": "InvalidTimeStamp.Expired" }));
        }
        (200, Self::respond(action))
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
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let action = header("x-acs-action");
        let is_write = action == Action::Detach.name();
        let opens = if is_write { self.opens_for_a_write } else { Duration::ZERO };
        self.clock.sleep_until(self.clock.now() + opens.min(timeout)).await;
        if opens >= timeout {
            return Err(NoResponse::Timeout.into());
        }
        self.left.borrow_mut().push((action.to_owned(), self.clock.now() - self.clock.started()));
        if !self.responds {
            self.clock.sleep_until(self.clock.now() + timeout).await;
            return Err(NoResponse::Timeout.into());
        }
        let (status, body) = self.handle(action, header("x-acs-date"));
        let date = self.now().format(&Rfc2822).unwrap().replace("+0000", "GMT");
        let response = http::Response::builder().status(status).header("date", date);
        Ok(response.body(body.to_string().into()).unwrap())
    }
}

/// Credentials whose reads take this long.
#[derive(Debug)]
struct SlowSource {
    takes: Duration,
    /// When each read began, since the start.
    began: Rc<RefCell<Vec<Duration>>>,
    service_clock: Rc<ServiceClock>,
}

impl SessionSource for SlowSource {
    fn read<'a>(&'a self, clock: &'a Clock) -> LocalBoxFuture<'a, Result<Cached, CredentialError>> {
        self.began.borrow_mut().push(clock.now() - clock.started());
        let read = async move {
            clock.sleep_until(clock.now() + self.takes).await;
            Ok(Cached::permanent(credentials()))
        };
        read.boxed_local()
    }

    fn name(&self) -> &'static str {
        "a slow source"
    }

    fn advice(&self) -> &'static str {
        "wait"
    }

    fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

/// Drives one detach with credentials whose reads take this long, in a run that is stopped after that time. Returns when
/// the reads began and when the calls left, since the start.
async fn detach_slowly(
    service: &Service,
    takes: Duration,
    stopped_after: Duration,
) -> (Vec<Duration>, Vec<Duration>) {
    let began = Rc::default();
    let source = SlowSource { takes, began: Rc::clone(&began), service_clock: Rc::default() };
    let source = CredentialsSource::refreshed_by(Box::new(source));
    let (run, deadline) = long_run(service);
    let stop = async {
        service.clock.sleep_until(service.clock.started() + stopped_after).await;
        run.stop();
    };
    let detach = detach_with(source, service, deadline, &run);
    let (ended, ()) = futures_util::future::join(detach, stop).await;
    assert!(matches!(ended, Ended::Unfinished { .. }), "{ended:?}");
    let left = service.left.borrow().iter().map(|(_, at)| *at).collect();
    (began.take(), left)
}

#[derive(Debug)]
struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &RequestId, _: &Event<'_>) {}

    fn alert(&self, _: &Alert<'_>) {}
}

/// Drives one detach that must end within this time.
async fn detach(service: &Service, deadline: Duration) -> Ended {
    detach_by(service, Deadline::Moment(service.clock.now() + deadline)).await
}

/// Drives one detach that the queue accepted this long ago, with a deadline of an hour.
async fn detach_sent(service: &Service, ago: time::Duration) -> Ended {
    let sent_at = SystemTime::from(service.now() - ago);
    let sent_ahead = sent_at.duration_since(service.clock.wall()).unwrap_or_default();
    detach_by(service, Deadline::Date { at: sent_at + Duration::from_hours(1), sent_ahead }).await
}

async fn detach_by(service: &Service, deadline: Deadline) -> Ended {
    let run = Run::of_invocation(service.clock, start() + Duration::from_secs(90), TimeLimits::default());
    detach_in(service, deadline, &run).await
}

fn credentials() -> Credentials {
    Credentials::new("LTAIid".to_owned(), "s3cret".to_owned(), None)
}

async fn detach_in(service: &Service, deadline: Deadline, run: &Run) -> Ended {
    detach_with(CredentialsSource::Fixed(Rc::new(credentials())), service, deadline, run).await
}

async fn detach_with<'a>(
    source: CredentialsSource<&'a Service>,
    service: &'a Service,
    deadline: Deadline,
    run: &Run,
) -> Ended {
    let cloud = Cloud::new(Client::new(service, source, ServiceUrl::Regional, 7), 7);
    let body = r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a"}"#;
    let request = request::parse(body, &Rules::default()).result.unwrap();
    let attempt = Attempt {
        request: &request,
        replacements: &Replacements::default(),
        request_id: &RequestId::parse("CHG1").unwrap(),
        observer: &Unobserved,
        is_first_delivery: true,
        deadline,
    };
    drive(&cloud, &attempt, Limits::default(), run).await
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

#[tokio::test(start_paused = true)]
async fn fresh_request_is_carried_out_although_the_clock_is_ahead() {
    for minutes in [70, 120, 20 * 60] {
        let service = Service::ahead_by(time::Duration::minutes(-minutes));
        let ended = detach_sent(&service, time::Duration::minutes(1)).await;
        assert!(matches!(ended, Ended::Unfinished { .. }), "{minutes}: {ended:?}");
        assert_eq!(writes(&service).first(), Some(&0), "{minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_request_gets_no_write_although_the_clock_is_behind() {
    for minutes in [10, 120, 20 * 60] {
        let service = Service::ahead_by(time::Duration::minutes(minutes));
        let ended = detach_sent(&service, time::Duration::minutes(61)).await;
        assert!(matches!(ended, Ended::Finished(Outcome::Unconfirmed(_), _)), "{minutes}: {ended:?}");
        assert_eq!(writes(&service), [0_u64; 0], "{minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_that_only_a_wrong_clock_has_passed_is_judged_again_after_the_read() {
    // Ten minutes too fast: the service accepts the signature at once.
    let service = Service::ahead_by(time::Duration::minutes(-10));
    let ended = detach_sent(&service, time::Duration::minutes(55)).await;
    assert!(matches!(ended, Ended::Unfinished { .. }), "{ended:?}");
    let expired = detach_sent(&service, time::Duration::minutes(61)).await;
    assert!(matches!(expired, Ended::Finished(Outcome::Unconfirmed(_), _)), "{expired:?}");
}

/// A run without Lambda's limits, with a deadline of an hour.
fn long_run(service: &Service) -> (Run, Deadline) {
    let hour = Duration::from_hours(1);
    let ends = service.clock.now() + hour;
    (
        Run::until(service.clock, ends, TimeLimits { wait_max: hour, ..TimeLimits::default() }),
        Deadline::Moment(ends),
    )
}

#[tokio::test(start_paused = true)]
async fn read_only_run_ends_when_a_write_is_due() {
    let service = Service::new(Duration::ZERO);
    let (run, deadline) = long_run(&service);
    let Ended::Unfinished { evidence, .. } = detach_in(&service, deadline, &run.read_only()).await else {
        panic!("a detach without a write is not finished")
    };
    assert_eq!(writes(&service), [0_u64; 0]);
    assert_eq!(evidence.security_groups_after, Some(vec!["sg-a".to_owned(), "sg-b".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn stopped_run_ends_its_wait_and_makes_no_other_call() {
    let service = Service::new(Duration::ZERO);
    let (run, deadline) = long_run(&service);
    let stop = async {
        // In a wait between two polls.
        service.clock.sleep_until(service.clock.now() + Duration::from_millis(500)).await;
        run.stop();
        service.left.borrow().len()
    };
    let (ended, calls) = futures_util::future::join(detach_in(&service, deadline, &run), stop).await;
    let Ended::Unfinished { evidence, .. } = ended else { panic!("{ended:?}") };
    assert_eq!(evidence.detach_accepted, 1);
    assert_eq!(service.left.borrow().len(), calls);
    assert_eq!(service.clock.now() - service.clock.started(), Duration::from_millis(500));
    assert!(matches!(detach_in(&service, deadline, &run).await, Ended::Unfinished { .. }));
    assert_eq!(service.left.borrow().len(), calls, "it stays stopped");
}

#[tokio::test(start_paused = true)]
async fn read_and_its_credentials_share_one_timeout() {
    let seconds = Duration::from_secs;
    let service = Service { responds: false, ..Service::new(Duration::ZERO) };
    let (_, left) = detach_slowly(&service, seconds(4), seconds(12)).await;
    // The call ends after 10 s, and the back-off takes 0.5 to 1 s.
    let again = Duration::from_millis(10_500)..=seconds(11);
    assert!(left[0] == seconds(4) && again.contains(&left[1]), "{left:?}");

    let service = Service::new(Duration::ZERO);
    let (began, left) = detach_slowly(&service, Duration::from_hours(1), seconds(9)).await;
    // Three quarters of the timeout, and the pause of a second.
    let again = Duration::from_millis(8_500)..=seconds(9);
    assert!(left.is_empty() && again.contains(&began[1]), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn read_that_waits_for_its_credentials_when_the_run_is_stopped_is_not_sent() {
    let service = Service::new(Duration::ZERO);
    let (began, left) = detach_slowly(&service, Duration::from_secs(3), Duration::from_secs(1)).await;
    assert_eq!((began.len(), left.len()), (1, 0));
}
