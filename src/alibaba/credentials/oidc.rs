//! OIDC federation: AWS signs a token for the function, and Alibaba Cloud's STS issues a role session for the token.
//!
//! Neither token nor session is stored, and neither may appear in a URL, a log line or an error.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use aws_sdk_sts::Client;
use http::header::DATE;
use serde_json::json;
use tracing::warn;

use super::advice;
use super::error::CredentialError;
use super::refresh::Cached;
use crate::alibaba::access_key::{REDACTED, redact};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::{Coded, NoResponse};
use crate::alibaba::privatelink::Action;
use crate::alibaba::service_clock::{self, ServiceClock};
use crate::alibaba::service_url::BaseUrl;
use crate::alibaba::sts::{self, AssumeRoleWithOidc, POLICY_LENGTH_MAX, SESSION_LIFETIME};
use crate::alibaba::transport::Transport;
use crate::clock::Clock;
use crate::clock::calendar;
use crate::request::RegionId;

/// Lifetime of the token, which is exchanged within seconds: AWS's default, and the maximum that the role's policy
/// allows.
const TOKEN_LIFETIME_SECONDS: i32 = 300;

/// The signing algorithm that both AWS and Alibaba Cloud support.
const TOKEN_ALGORITHM: &str = "RS256";

/// Timeout of one request to Alibaba Cloud's STS. Together with AWS's time for the token it fits into the share of a
/// call's time that its credentials may take; a second request, after a clock correction, gets the rest of that share.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Shortest usable session: the service states times in whole seconds.
const SESSION_LIFETIME_MIN: Duration = Duration::from_secs(1);

/// Shortest piece of a token that is redacted from messages; a shorter piece reveals nothing.
const TOKEN_PIECE_MIN: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// The RAM role whose session the worker uses.
    pub role_arn: String,
    /// The OIDC provider in RAM that stands for the AWS account.
    pub oidc_provider_arn: String,
    /// The session's name in Alibaba Cloud's audit log.
    pub role_session_name: String,
    /// The audience of AWS's token: one of the provider's client IDs.
    pub audience: String,
    /// The address of Alibaba Cloud's STS.
    pub sts_url: BaseUrl,
}

/// Exchanges AWS's token for a session of Alibaba Cloud.
#[derive(Debug)]
pub(super) struct Oidc<T> {
    aws: Client,
    transport: T,
    service_clock: Rc<ServiceClock>,
    config: OidcConfig,
    session_policy: String,
}

impl<T> Oidc<T> {
    pub(super) fn new(
        aws: Client,
        transport: T,
        config: OidcConfig,
        allowed_regions: &BTreeSet<RegionId>,
    ) -> Self {
        let session_policy = session_policy(allowed_regions).unwrap_or_else(|| {
            warn!(
                "ALLOWED_REGIONS is too long for a session policy: sessions are not limited to these regions"
            );
            policy_for(["*"])
        });
        Self { aws, transport, service_clock: Rc::default(), config, session_policy }
    }

    /// Alibaba Cloud's clock, corrected when the STS rejects a timestamp.
    pub(super) fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

impl<T: Transport> Oidc<T> {
    /// A new session.
    pub(super) async fn exchange(&self, clock: &Clock) -> Result<Cached, CredentialError> {
        let token = self.token().await?;
        self.session(&token, clock).await
    }

    /// A token in which AWS states the function's role.
    async fn token(&self) -> Result<String, CredentialError> {
        let call = self.aws.get_web_identity_token().audience(&self.config.audience);
        let call = call.signing_algorithm(TOKEN_ALGORITHM).duration_seconds(TOKEN_LIFETIME_SECONDS);
        let response = call.send().await;
        let call = advice::GET_WEB_IDENTITY_TOKEN;
        let response = response.map_err(|error| CredentialError::Aws { call, error: error.into() })?;
        response.web_identity_token.ok_or(CredentialError::NoContent { call })
    }

    /// The role session for a token, requested again if the first response has corrected the clock.
    async fn session(&self, token: &str, clock: &Clock) -> Result<Cached, CredentialError> {
        match self.assume_role(token, clock).await {
            Err(CredentialError::Rejected { kind: ErrorKind::Clock, .. }) => {
                self.assume_role(token, clock).await
            }
            session => session,
        }
    }

    async fn assume_role(&self, token: &str, clock: &Clock) -> Result<Cached, CredentialError> {
        let call = AssumeRoleWithOidc {
            role_arn: &self.config.role_arn,
            oidc_provider_arn: &self.config.oidc_provider_arn,
            oidc_token: token,
            role_session_name: &self.config.role_session_name,
            policy: &self.session_policy,
        };
        let began = clock.wall();
        let request = sts::request(&self.config.sts_url, &call, self.service_clock.at(began));
        let response =
            self.transport.send(request, EXCHANGE_TIMEOUT).await.map_err(CredentialError::NoResponse)?;
        let status = response.status().as_u16();
        if status == 200 {
            // The remaining lifetime is measured by the service's clock: the function's may be wrong.
            let date = service_clock::date(response.headers(), &DATE)
                .unwrap_or_else(|| calendar::utc(self.service_clock.at(clock.wall())));
            let session = sts::read(response.body()).and_then(|session| {
                let lifetime = Duration::try_from(session.expiration - date).ok()?.min(SESSION_LIFETIME);
                let is_usable = session.credentials.can_be_sent() && lifetime >= SESSION_LIFETIME_MIN;
                is_usable.then(|| Cached::session(session.credentials, began, lifetime))
            });
            return session.ok_or(CredentialError::NoContent { call: sts::ACTION });
        }
        let redact = |text: &str| without_token(text, token);
        let (coded, _) = Coded::read(status, response.body(), redact, redact);
        let Some(Coded { code, kind, message }) = coded else {
            return Err(CredentialError::NoResponse(NoResponse::Status(status).into()));
        };
        if kind == ErrorKind::Clock {
            self.service_clock.correct(began, response.headers());
        }
        Err(CredentialError::Rejected { code, kind, message })
    }
}

/// A message without the token, its parts, and any truncated part.
fn without_token(message: &str, token: &str) -> String {
    let mut message = redact(message, token);
    for part in token.split('.') {
        let Some(piece) = part.get(..TOKEN_PIECE_MIN) else { continue };
        message = redact(&message, part);
        while let Some(at) = message.find(piece) {
            let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let rest = at + piece.len();
            let end = message[rest..].find(|c| !is_of_token(c)).map_or(message.len(), |length| rest + length);
            message.replace_range(at..end, REDACTED);
        }
    }
    message
}

/// A policy that limits the session to the worker's API calls in the allowed regions; `None` if it is too long.
///
/// The account stays a wildcard because it is the role's; the role's own policy limits endpoints and groups.
fn session_policy(allowed_regions: &BTreeSet<RegionId>) -> Option<String> {
    if allowed_regions.is_empty() {
        return Some(policy_for(["*"]));
    }
    let policy = policy_for(allowed_regions.iter().map(RegionId::as_str));
    (policy.chars().count() <= POLICY_LENGTH_MAX).then_some(policy)
}

fn policy_for<'a>(regions: impl IntoIterator<Item = &'a str>) -> String {
    let actions = Action::ALL.map(|action| format!("privatelink:{}", action.name()));
    let on_region = |region| {
        [format!("acs:privatelink:{region}:*:vpcendpoint/*"), format!("acs:ecs:{region}:*:securitygroup/*")]
    };
    let resources: Vec<_> = regions.into_iter().flat_map(on_region).collect();
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
    json!({ "Version": "1", "Statement": [statement] }).to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::SystemTime;

    use aws_types::SdkConfig;
    use aws_types::region::Region;
    use bytes::Bytes;

    use super::*;
    use crate::alibaba::access_key::Credentials;
    use crate::alibaba::transport::SendError;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrZXIifQ.c2lnbmF0dXJlLW9mLWF3cw";

    /// How long a response takes. A session's lifetime starts before it.
    const RESPONSE_TIME: Duration = Duration::from_millis(400);

    /// Returns its responses in order, and records the requests.
    struct Canned {
        responses: RefCell<Vec<http::Response<Bytes>>>,
        sent: RefCell<Vec<http::Request<Bytes>>>,
    }

    impl Transport for &Canned {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, SendError> {
            self.sent.borrow_mut().push(request);
            tokio::time::advance(RESPONSE_TIME).await;
            Ok(self.responses.borrow_mut().remove(0))
        }
    }

    fn canned(responses: &[(u16, &str, &str)]) -> Canned {
        let response = |(status, date, body): &(u16, &str, &str)| {
            let response = http::Response::builder().status(*status).header("date", *date);
            response.body(Bytes::from((*body).to_owned())).unwrap()
        };
        Canned { responses: RefCell::new(responses.iter().map(response).collect()), sent: RefCell::default() }
    }

    fn session(expiration: &str) -> String {
        json!({ "Credentials": {
            "AccessKeyId": "STS.id", "AccessKeySecret": "s3cret", "SecurityToken": "t0ken", "Expiration": expiration,
        }})
        .to_string()
    }

    /// A session that was requested `after` 1970-01-01T00:00:00Z.
    fn cached_since(after: Duration, lifetime: Duration) -> Cached {
        let credentials = Credentials::new("STS.id".into(), "s3cret".into(), Some("t0ken".into()));
        Cached::session(credentials, SystemTime::UNIX_EPOCH + after, lifetime)
    }

    /// Exchanges the token at 1970-01-01T00:00:00Z by the function's clock.
    async fn exchange(canned: &Canned) -> Result<Cached, CredentialError> {
        let region = SdkConfig::builder().region(Region::from_static("us-east-1"));
        let region = region.behavior_version(aws_sdk_sts::config::BehaviorVersion::latest()).build();
        let config = OidcConfig {
            role_arn: "acs:ram::1234:role/r".to_owned(),
            oidc_provider_arn: "acs:ram::1234:oidc-provider/p".to_owned(),
            role_session_name: "session".to_owned(),
            audience: "audience".to_owned(),
            sts_url: BaseUrl::sts(),
        };
        let oidc = Oidc::new(Client::new(&region), canned, config, &BTreeSet::new());
        oidc.session(TOKEN, &Clock::starting_at(SystemTime::UNIX_EPOCH)).await
    }

    #[tokio::test(start_paused = true)]
    async fn session_lifetime_is_measured_by_the_services_clock() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        for (expiration, seconds) in
            [("2026-11-22T08:00:00Z", 3600), ("2026-11-22T07:15:00Z", 900), ("2026-11-23T07:00:00Z", 3600)]
        {
            let cached = exchange(&canned(&[(200, date, &session(expiration))])).await.unwrap();
            let lifetime = Duration::from_secs(seconds);
            assert_eq!(cached, cached_since(Duration::ZERO, lifetime), "{expiration}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_clock_is_corrected_once_and_the_token_sent_again() {
        let expired = r#"{"Code":"InvalidTimeStamp.Expired"}"#;
        let date = "Thu, 01 Jan 1970 02:00:00 GMT";
        let transport = canned(&[(400, date, expired), (200, date, &session("1970-01-01T03:00:00Z"))]);
        assert!(exchange(&transport).await.is_ok());
        let times: Vec<_> = transport.sent.borrow().iter().map(|sent| sent.uri().to_string()).collect();
        assert!(times[0].contains("Timestamp=1970-01-01T00%3A00%3A00Z"), "{times:?}");
        assert!(times[1].contains("Timestamp=1970-01-01T02%3A00%3A00Z"), "{times:?}");

        // Without a date, the corrected clock measures the lifetime.
        let transport = canned(&[(400, date, expired), (200, "", &session("1970-01-01T02:30:00Z"))]);
        let cached = exchange(&transport).await.unwrap();
        let lifetime = Duration::from_mins(30).saturating_sub(2 * RESPONSE_TIME);
        assert_eq!(cached, cached_since(RESPONSE_TIME, lifetime));

        let transport = canned(&[(400, date, expired), (400, date, expired), (400, date, expired)]);
        let error = exchange(&transport).await.unwrap_err();
        assert_eq!((transport.sent.borrow().len(), error.code()), (2, "InvalidTimeStamp.Expired".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn error_does_not_quote_the_token() {
        let [header, claims, signature] = TOKEN.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
        let whole = format!("Cannot read {TOKEN}");
        let parts = format!("header {header}, claims {claims}, signature {signature}");
        let cut = format!("Cannot read {}...", &TOKEN[..TOKEN.len() - 30]);
        for message in [whole.clone(), parts, whole.replace('.', "%2E"), cut] {
            let body = json!({ "Code": "AuthenticationFail.OIDCToken.Invalid", "Message": message });
            let error = exchange(&canned(&[(401, "", &body.to_string())])).await.unwrap_err();
            for part in [header, claims, signature] {
                assert!(!format!("{error:?}").contains(&part[..TOKEN_PIECE_MIN]), "{error:?}");
            }
            assert!(error.to_string().contains("[redacted]") && !error.is_transient(), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unusable_session_is_a_transient_error() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        let (expired, expiring) = (session("2026-11-22T07:00:00Z"), session("2026-11-22T07:00:00.9Z"));
        let unsendable = session("2026-11-22T08:00:00Z").replace("t0ken", "t 0ken");
        let code = r#"{"Code":"EntityNotExist.Role"}"#;
        for (status, body, name) in [
            (200, "", "UnreadableAnswer"),
            (200, "{}", "UnreadableAnswer"),
            (200, expired.as_str(), "UnreadableAnswer"),
            (200, expiring.as_str(), "UnreadableAnswer"),
            (200, unsendable.as_str(), "UnreadableAnswer"),
            (302, code, "Http302"),
            (403, "<html>proxy</html>", "Http403"),
            (502, "", "Http502"),
            (503, r#"{"Code":"ServiceUnavailable"}"#, "ServiceUnavailable"),
            (400, r#"{"Code":"Throttling.User"}"#, "Throttling.User"),
            (400, r#"{"Code":"SignatureNonceUsed"}"#, "SignatureNonceUsed"),
        ] {
            let error = exchange(&canned(&[(status, date, body)])).await.unwrap_err();
            assert_eq!((error.code(), error.is_transient()), (name.into(), true), "{body}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let error = exchange(&canned(&[(404, date, code)])).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("EntityNotExist.Role".into(), false));
    }

    fn regions(count: usize) -> BTreeSet<RegionId> {
        (0..count).map(|n| RegionId::parse(&format!("eu-west-{n}")).unwrap()).collect()
    }

    #[test]
    fn session_policy_allows_the_workers_calls_in_its_regions() {
        let expected = |resources: &[&str]| {
            json!({ "Version": "1", "Statement": [{
                "Effect": "Allow",
                "Action": [
                    "privatelink:DetachSecurityGroupFromVpcEndpoint",
                    "privatelink:ListVpcEndpointSecurityGroups",
                    "privatelink:ListVpcEndpoints",
                ],
                "Resource": resources,
            }] })
            .to_string()
        };
        let anywhere = expected(&["acs:privatelink:*:*:vpcendpoint/*", "acs:ecs:*:*:securitygroup/*"]);
        assert_eq!(session_policy(&regions(0)), Some(anywhere));
        let one = ["acs:privatelink:eu-west-0:*:vpcendpoint/*", "acs:ecs:eu-west-0:*:securitygroup/*"];
        assert_eq!(session_policy(&regions(1)), Some(expected(&one)));
        let longest = session_policy(&regions(22)).unwrap();
        assert!(longest.len() <= POLICY_LENGTH_MAX && longest.contains("eu-west-21"), "{longest}");
        assert_eq!(session_policy(&regions(23)), None, "too long for Alibaba Cloud");
    }
}
