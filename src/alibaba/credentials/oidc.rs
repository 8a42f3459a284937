//! Keys without a key: AWS vouches for the function with a signed token, and Alibaba Cloud's STS gives a role's session
//! for it. Nothing is stored anywhere.
//!
//! Token and session pass through here and are never shown: not in a URL, a log line or an error.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sts::Client;
use serde_json::json;
use tracing::warn;

use super::refresh::Cached;
use super::{CredentialError, REDACTED, advice, redact};
use crate::alibaba::error::{Coded, Kind, Unanswered};
use crate::alibaba::privatelink::Action;
use crate::alibaba::service_clock::{self, ServiceClock};
use crate::alibaba::service_url::BaseUrl;
use crate::alibaba::sts::{self, AssumeRoleWithOidc, POLICY_LENGTH_MAX, SESSION_LIFETIME};
use crate::alibaba::transport::Transport;
use crate::aws::AwsError;
use crate::calendar;
use crate::clock::Clock;
use crate::request::RegionId;

/// How long AWS's token may be used: it is exchanged within seconds. AWS's own default, and the policy's limit.
const TOKEN_LIFETIME_SECONDS: i32 = 300;

/// The signature that both sides know.
const TOKEN_ALGORITHM: &str = "RS256";

/// Time for one try of the exchange. Beside what AWS takes for the token it fits into the time that a call may give to
/// its keys; a second try, after the clock was corrected, gets what is left.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Shortest session that is one: times travel in whole seconds.
const SESSION_LIFETIME_MIN: Duration = Duration::from_secs(1);

/// Shortest piece of a token that is looked for in what Alibaba Cloud says: anything shorter gives nothing away.
const TOKEN_PIECE_MIN: usize = 12;

/// Who is trusted with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// The RAM role whose session is wanted.
    pub role_arn: String,
    /// The OIDC provider in RAM that stands for the AWS account.
    pub oidc_provider_arn: String,
    /// The session's name, as Alibaba Cloud's audit log shows it.
    pub role_session_name: String,
    /// Whom AWS's token is for: one of the provider's client ids.
    pub audience: String,
    /// Alibaba Cloud's STS.
    pub sts_url: BaseUrl,
}

/// The exchange.
#[derive(Debug)]
pub(super) struct Oidc {
    aws: Client,
    config: OidcConfig,
    session_policy: String,
}

impl Oidc {
    pub(super) fn new(aws: Client, config: OidcConfig, allowed_regions: &BTreeSet<RegionId>) -> Self {
        let session_policy = session_policy(allowed_regions).unwrap_or_else(|| {
            warn!("ALLOWED_REGIONS is too long for a session's policy: sessions are not limited to these regions");
            policy_for(["*"])
        });
        Self { aws, config, session_policy }
    }

    /// A new session.
    pub(super) async fn exchange<T: Transport>(
        &self,
        transport: &T,
        service_clock: &ServiceClock,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        let token = self.token().await?;
        self.assume_by_the_right_clock(&token, transport, service_clock, clock).await
    }

    /// AWS's word for who this function is.
    async fn token(&self) -> Result<String, CredentialError> {
        let call = self.aws.get_web_identity_token().audience(&self.config.audience);
        let call = call.signing_algorithm(TOKEN_ALGORITHM).duration_seconds(TOKEN_LIFETIME_SECONDS);
        let answer = call.send().await.map_err(|error| {
            CredentialError::from_aws("GetWebIdentityToken", AwsError::of(&error), advice::of_token)
        })?;
        answer.web_identity_token.ok_or_else(|| unreadable("GetWebIdentityToken"))
    }

    /// The role's session for a token, asked for a second time if the first answer has corrected our clock.
    async fn assume_by_the_right_clock<T: Transport>(
        &self,
        token: &str,
        transport: &T,
        service_clock: &ServiceClock,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        let assumed = match self.assume(token, transport, service_clock, clock).await {
            Err(ExchangeError::Clock(_)) => self.assume(token, transport, service_clock, clock).await,
            assumed => assumed,
        };
        assumed.map_err(|fault| match fault {
            ExchangeError::Clock(why) | ExchangeError::Other(why) => why,
        })
    }

    async fn assume<T: Transport>(
        &self,
        token: &str,
        transport: &T,
        service_clock: &ServiceClock,
        clock: &Clock,
    ) -> Result<Cached, ExchangeError> {
        let call = AssumeRoleWithOidc {
            role_arn: &self.config.role_arn,
            oidc_provider_arn: &self.config.oidc_provider_arn,
            oidc_token: token,
            role_session_name: &self.config.role_session_name,
            policy: &self.session_policy,
        };
        let began = clock.wall();
        // The address was parsed at start, and everything else is encoded: a request always comes out.
        let request = sts::request(&self.config.sts_url, &call, service_clock.at(began))
            .map_err(|_| unanswered(Unanswered::ConnectionLost))?;
        let response = transport.send(request, EXCHANGE_TIMEOUT).await.map_err(unanswered)?;
        let status = response.status().as_u16();
        if status == 200 {
            // By the service's clock: ours may be wrong.
            let date = service_clock::date(response.headers())
                .unwrap_or_else(|| calendar::utc(service_clock.at(clock.wall())));
            let session = sts::read(response.body());
            let session = session.and_then(|session| {
                let lifetime = Duration::try_from(session.expiration - date).ok()?.min(SESSION_LIFETIME);
                let is_usable = session.credentials.can_be_sent() && lifetime >= SESSION_LIFETIME_MIN;
                is_usable.then(|| Cached::session(session.credentials, began, lifetime))
            });
            return session.ok_or_else(|| ExchangeError::Other(unreadable(sts::ACTION)));
        }
        let (coded, _) = Coded::read(status, response.body(), |message| without_token(message, token));
        let Some(coded) = coded else {
            return Err(unanswered(Unanswered::Status(status)));
        };
        if coded.kind == Kind::Clock {
            service_clock.correct(began, response.headers());
            return Err(ExchangeError::Clock(refused(coded)));
        }
        Err(ExchangeError::Other(refused(coded)))
    }
}

/// Why an exchange brought no session.
enum ExchangeError {
    /// Our clock is wrong, and now corrected if that was possible.
    Clock(CredentialError),
    Other(CredentialError),
}

/// A message without the token, whole or in parts, and without what a quotation left of a part that it cut.
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

fn refused(coded: Coded) -> CredentialError {
    let code = coded.code.as_str().to_owned();
    let says = coded.message.map_or(String::new(), |message| format!(": {message}"));
    let is_passing = matches!(coded.kind, Kind::Transient | Kind::Throttled | Kind::NonceUsed);
    CredentialError {
        problem: format!("{} answered {code}{says}", sts::ACTION),
        advice: if is_passing { advice::WAIT } else { advice::of_exchange(&code) },
        is_passing,
        code,
    }
}

fn unanswered(why: Unanswered) -> ExchangeError {
    let code = why.name();
    ExchangeError::Other(CredentialError {
        problem: format!("{} got no usable answer: {code}", sts::ACTION),
        advice: advice::WAIT,
        is_passing: true,
        code,
    })
}

fn unreadable(call: &str) -> CredentialError {
    CredentialError {
        code: Unanswered::UnreadableAnswer.name(),
        problem: format!("{call} answered something that holds nothing usable"),
        advice: advice::UNREADABLE,
        is_passing: true,
    }
}

/// What the session may do of all that its role may: the calls of this worker, in the regions that it serves.
///
/// The account is left open: it is the role's, and the role's own policy says which endpoints and groups. `None` if the
/// regions are too many for a policy.
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
    use crate::alibaba::credentials::Credentials;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrZXIifQ.c2lnbmF0dXJlLW9mLWF3cw";

    /// How long an answer takes: a session's life begins before it.
    const ANSWER_TAKES: Duration = Duration::from_millis(400);

    /// Gives its answers one after the other, and keeps what it was sent.
    struct Canned {
        answers: RefCell<Vec<http::Response<Bytes>>>,
        sent: RefCell<Vec<http::Request<Bytes>>>,
    }

    impl Transport for &Canned {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, Unanswered> {
            self.sent.borrow_mut().push(request);
            tokio::time::advance(ANSWER_TAKES).await;
            Ok(self.answers.borrow_mut().remove(0))
        }
    }

    fn canned(answers: &[(u16, &str, &str)]) -> Canned {
        let answer = |(status, date, body): &(u16, &str, &str)| {
            let answer = http::Response::builder().status(*status).header("date", *date);
            answer.body(Bytes::from((*body).to_owned())).unwrap()
        };
        Canned { answers: RefCell::new(answers.iter().map(answer).collect()), sent: RefCell::default() }
    }

    fn session(expiration: &str) -> String {
        json!({ "Credentials": {
            "AccessKeyId": "STS.id", "AccessKeySecret": "s3cret", "SecurityToken": "t0ken", "Expiration": expiration,
        }})
        .to_string()
    }

    /// What is kept of a session that was asked for so long after 1970-01-01T00:00:00Z, and lasts so long.
    fn kept_since(after: Duration, lifetime: Duration) -> Cached {
        let credentials = Credentials::new("STS.id".into(), "s3cret".into(), Some("t0ken".into()));
        Cached::session(credentials, SystemTime::UNIX_EPOCH + after, lifetime)
    }

    /// One exchange of the token at 1970-01-01T00:00:00Z by our clock.
    async fn assume(canned: &Canned) -> Result<Cached, CredentialError> {
        let region = SdkConfig::builder().region(Region::from_static("us-east-1"));
        let region = region.behavior_version(aws_sdk_sts::config::BehaviorVersion::latest()).build();
        let config = OidcConfig {
            role_arn: "acs:ram::1234:role/r".to_owned(),
            oidc_provider_arn: "acs:ram::1234:oidc-provider/p".to_owned(),
            role_session_name: "session".to_owned(),
            audience: "audience".to_owned(),
            sts_url: BaseUrl::sts(),
        };
        let oidc = Oidc::new(Client::new(&region), config, &BTreeSet::new());
        let (clock, service_clock) = (Clock::starting_at(SystemTime::UNIX_EPOCH), ServiceClock::default());
        oidc.assume_by_the_right_clock(TOKEN, &canned, &service_clock, &clock).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_sessions_life_is_counted_by_the_services_clock() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        for (expiration, seconds) in
            [("2026-11-22T08:00:00Z", 3600), ("2026-11-22T07:15:00Z", 900), ("2026-11-23T07:00:00Z", 3600)]
        {
            let kept = assume(&canned(&[(200, date, &session(expiration))])).await.unwrap();
            let lifetime = Duration::from_secs(seconds);
            assert_eq!(kept, kept_since(Duration::ZERO, lifetime), "{expiration}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_wrong_is_corrected_once_and_the_token_sent_again() {
        let expired = r#"{"Code":"InvalidTimeStamp.Expired"}"#;
        let date = "Thu, 01 Jan 1970 02:00:00 GMT";
        let answers = canned(&[(400, date, expired), (200, date, &session("1970-01-01T03:00:00Z"))]);
        assert!(assume(&answers).await.is_ok());
        let times: Vec<_> = answers.sent.borrow().iter().map(|sent| sent.uri().to_string()).collect();
        assert!(times[0].contains("Timestamp=1970-01-01T00%3A00%3A00Z"), "{times:?}");
        assert!(times[1].contains("Timestamp=1970-01-01T02%3A00%3A00Z"), "{times:?}");

        // Without a date, the corrected clock counts a session's life.
        let answers = canned(&[(400, date, expired), (200, "", &session("1970-01-01T02:30:00Z"))]);
        let kept = assume(&answers).await.unwrap();
        let lifetime = Duration::from_mins(30).saturating_sub(2 * ANSWER_TAKES);
        assert_eq!(kept, kept_since(ANSWER_TAKES, lifetime));

        let answers = canned(&[(400, date, expired), (400, date, expired), (400, date, expired)]);
        let fault = assume(&answers).await.unwrap_err();
        assert_eq!((answers.sent.borrow().len(), fault.code.as_str()), (2, "InvalidTimeStamp.Expired"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_quotes_the_token_is_told_without_it() {
        let [header, claims, signature] = TOKEN.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
        let whole = format!("Cannot read {TOKEN}");
        let parts = format!("header {header}, claims {claims}, signature {signature}");
        let cut = format!("Cannot read {}...", &TOKEN[..TOKEN.len() - 30]);
        for message in [whole.clone(), parts, whole.replace('.', "%2E"), cut] {
            let body = json!({ "Code": "AuthenticationFail.OIDCToken.Invalid", "Message": message });
            let fault = assume(&canned(&[(401, "", &body.to_string())])).await.unwrap_err();
            for part in [header, claims, signature] {
                assert!(!format!("{fault:?}").contains(&part[..TOKEN_PIECE_MIN]), "{fault:?}");
            }
            assert!(fault.problem.contains("[redacted]") && !fault.is_passing, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_session_is_none_and_may_pass() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        let (over, hardly) = (session("2026-11-22T07:00:00Z"), session("2026-11-22T07:00:00.9Z"));
        let unsendable = session("2026-11-22T08:00:00Z").replace("t0ken", "t 0ken");
        let code = r#"{"Code":"EntityNotExist.Role"}"#;
        for (status, body, name) in [
            (200, "", "UnreadableAnswer"),
            (200, "{}", "UnreadableAnswer"),
            (200, over.as_str(), "UnreadableAnswer"),
            (200, hardly.as_str(), "UnreadableAnswer"),
            (200, unsendable.as_str(), "UnreadableAnswer"),
            (302, code, "Http302"),
            (403, "<html>proxy</html>", "Http403"),
            (502, "", "Http502"),
            (503, r#"{"Code":"ServiceUnavailable"}"#, "ServiceUnavailable"),
            (400, r#"{"Code":"Throttling.User"}"#, "Throttling.User"),
            (400, r#"{"Code":"SignatureNonceUsed"}"#, "SignatureNonceUsed"),
        ] {
            let fault = assume(&canned(&[(status, date, body)])).await.unwrap_err();
            assert_eq!((fault.code.as_str(), fault.is_passing), (name, true), "{body}");
            assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
        }
        let fault = assume(&canned(&[(404, date, code)])).await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.is_passing), ("EntityNotExist.Role", false));
    }

    fn regions(count: usize) -> BTreeSet<RegionId> {
        (0..count).map(|n| RegionId::parse(&format!("eu-west-{n}")).unwrap()).collect()
    }

    #[test]
    fn a_session_may_do_what_the_worker_does_where_it_does_it() {
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
