//! What keys may take of the time of a call, on a virtual clock: AWS, Alibaba Cloud's STS and PrivateLink are in memory.

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
use privatelink_detach::alibaba::credentials::{
    CredentialProblem, CredentialsConfig, CredentialsSource, OidcConfig,
};
use privatelink_detach::alibaba::error::{Kind, Unanswered};
use privatelink_detach::alibaba::privatelink::{Call, Target};
use privatelink_detach::alibaba::service_url::{BaseUrl, ServiceUrl};
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{EndpointId, RegionId, SecurityGroupId};
use tokio::time::Instant;

use crate::log;

/// AWS's STS: a token after so long.
#[derive(Debug)]
struct Aws(Duration);

impl HttpConnector for Aws {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let takes = self.0;
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(takes).await;
            let body = "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>a.b.c\
                        </WebIdentityToken></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>";
            Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body)))
        })
    }
}

/// Alibaba Cloud: how long its two services take, and when its STS was asked.
#[derive(Default)]
struct Cloud {
    began: Option<Instant>,
    exchange_takes: Cell<Duration>,
    call_takes: Cell<Duration>,
    asked_at: RefCell<Vec<Duration>>,
}

impl Transport for &Cloud {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        let is_exchange = request.uri().query().unwrap().contains("Action=AssumeRoleWithOIDC");
        if is_exchange {
            self.asked_at.borrow_mut().push(self.began.unwrap().elapsed());
        }
        let takes = if is_exchange { &self.exchange_takes } else { &self.call_takes }.get();
        tokio::time::sleep(takes.min(timeout)).await;
        if takes > timeout {
            return Err(Unanswered::Timeout);
        }
        let body = if is_exchange {
            r#"{"Credentials":{"AccessKeyId":"STS.id","AccessKeySecret":"s","SecurityToken":"t",
                "Expiration":"2026-11-22T08:00:00Z"}}"#
        } else {
            r#"{"RequestId":"R","Endpoints":[]}"#
        };
        let answer = http::Response::builder().header("date", "Sun, 22 Nov 2026 07:00:00 GMT");
        Ok(answer.body(Bytes::from_static(body.as_bytes())).unwrap())
    }
}

/// A keyless client between the two.
struct Caller<'a> {
    client: Client<&'a Cloud>,
    clock: Clock,
}

impl<'a> Caller<'a> {
    fn new(cloud: &'a Cloud, aws_takes: Duration) -> Self {
        log::start();
        let keys = Credentials::new("id", "secret", None, None, "test");
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(Aws(aws_takes))))
            .build();
        let config = CredentialsConfig::Oidc(OidcConfig {
            role_arn: "acs:ram::1:role/r".to_owned(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".to_owned(),
            role_session_name: "session".to_owned(),
            audience: "audience".to_owned(),
            sts_url: BaseUrl::sts(),
        });
        let source = CredentialsSource::new(config, &BTreeSet::new(), &aws, cloud);
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH);
        Self { client: Client::new(cloud, source, ServiceUrl::Regional, 7), clock }
    }

    /// A look, and how long it took; what is wrong if it failed.
    async fn look(&self, timeout: Duration) -> (Duration, Option<Kind>) {
        let target = Target {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-a").unwrap(),
            security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        };
        let began = Instant::now();
        let call = Call::ListEndpoints { next_token: None };
        let seen = self.client.call(&target, &call, &self.clock, timeout).await;
        (began.elapsed(), seen.result.err().map(|fault| fault.kind))
    }
}

fn cloud(exchange_takes: Duration, call_takes: Duration) -> Cloud {
    Cloud {
        began: Some(Instant::now()),
        exchange_takes: Cell::new(exchange_takes),
        call_takes: Cell::new(call_takes),
        ..Cloud::default()
    }
}

const ZERO: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_hours(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_in_its_time_whatever_its_keys_took() {
    let cloud = cloud(seconds(3), NEVER);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.look(seconds(10)).await, (seconds(10), Some(Kind::Unanswered)));
}

#[tokio::test(start_paused = true)]
async fn keys_leave_a_quarter_of_its_time_to_a_call() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.look(seconds(4)).await, (seconds(3), Some(Kind::NoCredentials)));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_given_up_after_four_seconds() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    assert_eq!(caller.look(NEVER).await, (seconds(4), Some(Kind::NoCredentials)));
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_for_keys_seven_seconds_at_most() {
    for (aws_takes, waits) in [(NEVER, 7), (seconds(2), 6)] {
        let cloud = cloud(NEVER, ZERO);
        let caller = Caller::new(&cloud, aws_takes);
        let began = Instant::now();
        caller.client.prepare(&caller.clock).await.unwrap_err();
        assert_eq!(began.elapsed(), seconds(waits));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_given_up_has_failed_like_any_other() {
    let cloud = cloud(NEVER, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    let mut told = Vec::new();
    for expected in [3, 0, 3] {
        assert_eq!(caller.look(seconds(4)).await, (seconds(expected), Some(Kind::NoCredentials)));
        told.push(caller.client.credential_problem().is_some());
        tokio::time::advance(Duration::from_millis(600)).await;
    }
    assert_eq!(told, [false, false, true], "once may pass");
    assert_eq!(cloud.asked_at.borrow().len(), 2, "after a pause of a second");
    let Some(CredentialProblem::Unavailable(why)) = caller.client.credential_problem() else {
        panic!("it has no keys")
    };
    assert_eq!((why.code.as_str(), why.is_transient), ("Timeout", true));
}

#[tokio::test(start_paused = true)]
async fn keys_that_hold_are_used_when_their_renewal_fails_or_takes_too_long() {
    for (exchange_takes, timeout, waits) in [(NEVER, 4, 3), (NEVER, 10, 4)] {
        let cloud = cloud(ZERO, ZERO);
        let caller = Caller::new(&cloud, ZERO);
        assert_eq!(caller.look(seconds(10)).await, (ZERO, None));
        tokio::time::advance(seconds(3300)).await;
        cloud.exchange_takes.set(exchange_takes);
        assert_eq!(caller.look(seconds(timeout)).await, (seconds(waits), None));
        assert_eq!(cloud.asked_at.borrow().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_keys_that_hold_does_not_wait_for_their_renewal_by_another() {
    let cloud = cloud(ZERO, ZERO);
    let caller = Caller::new(&cloud, ZERO);
    caller.look(seconds(10)).await;
    tokio::time::advance(seconds(3300)).await;
    cloud.exchange_takes.set(seconds(2));
    let (renews, goes_on) = tokio::join!(caller.look(seconds(10)), caller.look(seconds(10)));
    assert_eq!((renews, goes_on), ((seconds(2), None), (ZERO, None)));
}
