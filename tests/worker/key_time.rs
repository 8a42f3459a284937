//! How much of a call's time its credentials may take, on a virtual clock. AWS, Alibaba Cloud's STS and PrivateLink
//! are in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::codes::ErrorKind;
use privatelink_detach::alibaba::credentials::{
    CredentialProblem, CredentialsConfig, CredentialsSource, OidcConfig, Permissions,
};
use privatelink_detach::alibaba::privatelink::{Call, Target};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{EndpointId, RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use tokio::time::Instant;

use crate::log;

/// AWS's STS, which returns a token after this time.
#[derive(Debug)]
struct Aws(Duration);

impl HttpConnector for Aws {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let response_time = self.0;
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(response_time).await;
            let body = "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>a.b.c\
                        </WebIdentityToken></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>";
            Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body)))
        })
    }
}

/// Alibaba Cloud, with the response times of its two services and the times of the calls to its STS.
#[derive(Default)]
struct Cloud {
    began: Option<Instant>,
    exchange_time: Cell<Duration>,
    call_time: Cell<Duration>,
    exchanged_at: RefCell<Vec<Duration>>,
}

impl Transport for &Cloud {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let is_exchange = request.uri().query().unwrap().contains("Action=AssumeRoleWithOIDC");
        if is_exchange {
            self.exchanged_at.borrow_mut().push(self.began.unwrap().elapsed());
        }
        let response_time = if is_exchange { &self.exchange_time } else { &self.call_time }.get();
        tokio::time::sleep(response_time.min(timeout)).await;
        if response_time > timeout {
            return Err(NoResponse::Timeout.into());
        }
        let body = if is_exchange {
            r#"{"Credentials":{"AccessKeyId":"STS.id","AccessKeySecret":"s","SecurityToken":"t",
                "Expiration":"2026-11-22T08:00:00Z"}}"#
        } else {
            r#"{"RequestId":"R","Endpoints":[]}"#
        };
        let response = http::Response::builder().header("date", "Sun, 22 Nov 2026 07:00:00 GMT");
        Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap())
    }
}

/// A client that uses OIDC federation.
struct Caller<'a> {
    client: Client<&'a Cloud>,
    clock: Clock,
}

impl<'a> Caller<'a> {
    fn new(cloud: &'a Cloud, aws_time: Duration) -> Self {
        log::start();
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(Aws(aws_time))))
            .build();
        let config = CredentialsConfig::Oidc(OidcConfig {
            role_arn: "acs:ram::1:role/r".to_owned(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".to_owned(),
            role_session_name: "session".to_owned(),
            audience: "audience".to_owned(),
            sts_url: BaseUrl::sts(),
        });
        let source = CredentialsSource::new(config, &Permissions::Detach, &BTreeSet::new(), &aws, cloud);
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH);
        Self { client: Client::new(cloud, source, ServiceUrl::Regional, 7), clock }
    }

    /// Makes a read; returns how long it took, and the kind of error if it failed.
    async fn read(&self, timeout: Duration) -> (Duration, Option<ErrorKind>) {
        let target = Target {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-a").unwrap(),
            security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        };
        let began = Instant::now();
        let call = Call::ListEndpoints { next_token: None };
        let result = self.client.call(&call.request(&target), &self.clock, timeout).await.result;
        (began.elapsed(), result.err().map(|error| error.kind))
    }
}

fn cloud(exchange_time: Duration, call_time: Duration) -> Cloud {
    Cloud {
        began: Some(Instant::now()),
        exchange_time: Cell::new(exchange_time),
        call_time: Cell::new(call_time),
        ..Cloud::default()
    }
}

const ZERO: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_hours(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn call_ends_within_its_timeout_including_its_credentials() {
    let cloud = cloud(seconds(3), NEVER);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.read(seconds(10)).await, (seconds(10), Some(ErrorKind::NoResponse)));
}

#[tokio::test(start_paused = true)]
async fn credentials_take_at_most_three_quarters_of_the_timeout() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.read(seconds(4)).await, (seconds(3), Some(ErrorKind::NoCredentials)));
}

#[tokio::test(start_paused = true)]
async fn exchange_times_out_after_four_seconds() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.read(NEVER).await, (seconds(4), Some(ErrorKind::NoCredentials)));
}

#[tokio::test(start_paused = true)]
async fn start_waits_at_most_seven_seconds_for_credentials() {
    for (aws_time, waited) in [(NEVER, 7), (seconds(2), 6)] {
        let cloud = cloud(NEVER, ZERO);
        let caller = Caller::new(&cloud, aws_time);
        let began = Instant::now();
        caller.client.prepare(&caller.clock).await.unwrap_err();
        assert_eq!(began.elapsed(), seconds(waited));
    }
}

#[tokio::test(start_paused = true)]
async fn canceled_read_counts_as_failed() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    let mut has_problem = Vec::new();
    for expected in [3, 0, 3] {
        assert_eq!(caller.read(seconds(4)).await, (seconds(expected), Some(ErrorKind::NoCredentials)));
        has_problem.push(caller.client.credential_problem().is_some());
        tokio::time::advance(Duration::from_millis(600)).await;
    }
    assert_eq!(has_problem, [false, false, true], "one timeout is transient");
    assert_eq!(cloud.exchanged_at.borrow().len(), 2, "with a pause of one second");
    let Some(CredentialProblem::Unavailable(error)) = caller.client.credential_problem() else {
        panic!("no credentials were read")
    };
    assert_eq!((&*error.code(), error.is_transient()), ("Timeout", true));
}

#[tokio::test(start_paused = true)]
async fn valid_credentials_stay_in_use_when_their_refresh_fails_or_times_out() {
    for (exchange_time, timeout, waited) in [(NEVER, 4, 3), (NEVER, 10, 4)] {
        let cloud = cloud(ZERO, ZERO);
        let caller = Caller::new(&cloud, ZERO);
        assert_eq!(caller.read(seconds(10)).await, (ZERO, None));
        tokio::time::advance(seconds(3300)).await;
        cloud.exchange_time.set(exchange_time);
        assert_eq!(caller.read(seconds(timeout)).await, (seconds(waited), None));
        assert_eq!(cloud.exchanged_at.borrow().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn lane_with_valid_credentials_does_not_wait_for_another_lanes_refresh() {
    let cloud = cloud(ZERO, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    caller.read(seconds(10)).await;
    tokio::time::advance(seconds(3300)).await;
    cloud.exchange_time.set(seconds(2));
    let (refreshing, other) = tokio::join!(caller.read(seconds(10)), caller.read(seconds(10)));
    assert_eq!((refreshing, other), ((seconds(2), None), (ZERO, None)));
}
