//! The worker's credentials: their sources, rotation, expiry and errors, over HTTP with a simulator of each cloud.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use local_aws::web_identity::{Denial, SigningKey};
use local_aws::{Action as Aws, Fault as AwsFault, WebIdentity, wire};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::codes::ErrorKind;
use privatelink_detach::alibaba::credentials::{CredentialsConfig, CredentialsSource, Permissions};
use privatelink_detach::alibaba::privatelink::{Call, Target, Write};
use privatelink_detach::alibaba::response::Response;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::Https;
use privatelink_simulator::{AccessKey, Action, Effect, Fault, OidcProvider, ProviderState, Role};
use serde_json::{Value, json};

use crate::environment::{
    AUDIENCE, PROVIDER, REGION, ROLE, SECRET, TestCredentials, TestEnvironment, TestSettings, request,
    secret_of,
};
use crate::log;

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const EXCHANGE: Action = Action::AssumeRoleWithOIDC;
const LIST: Action = Action::ListVpcEndpointSecurityGroups;

/// Part of the log line and of the advice without credentials.
const NO_CREDENTIALS: &str = "no credentials";

/// Part of the log line for refused credentials.
const CREDENTIALS_REFUSED: &str = "rejects the worker's credentials";

/// An environment with one endpoint, `ep-a`, and credentials from this source.
async fn environment(credentials: TestCredentials) -> TestEnvironment {
    environment_with(credentials, &["ep-a"]).await
}

/// An environment with these endpoints, each with two groups.
async fn environment_with(credentials: TestCredentials, endpoints: &[&str]) -> TestEnvironment {
    let endpoints: Vec<_> = endpoints.iter().map(|id| (*id, &["sg-a", "sg-b"][..])).collect();
    TestEnvironment::start(TestSettings { credentials, ..TestSettings::with_endpoints(&endpoints) }).await
}

/// An environment with `ep-a` and invocations that wait at most this long. A permanent error alerts at once, a
/// transient one when it repeats after one second.
async fn environment_waiting(credentials: TestCredentials, wait_max: Duration) -> TestEnvironment {
    let mut settings =
        TestSettings { credentials, ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
    settings.time.wait_max = wait_max;
    TestEnvironment::start(settings).await
}

/// Long enough for a permanent error to alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

impl TestEnvironment {
    /// The number of AWS calls of this action.
    fn aws_call_count(&self, action: Aws) -> usize {
        self.aws_calls().into_iter().filter(|called| *called == action).count()
    }

    /// Delivers once. No request may end and no event may be published; returns the one ERROR line of the log.
    async fn deliver_without_outcome(&self) -> Value {
        let (waiting, lines) = (self.waiting(), log::lines().len());
        self.deliver().await;
        assert_eq!((self.waiting(), self.events().len(), self.dead_letters().len()), (waiting, 0, 0));
        let mut errors: Vec<Value> = log::lines().split_off(lines);
        errors.retain(|line| line["level"] == "ERROR");
        assert_eq!(errors.len(), 1, "one ERROR line per invocation: {errors:#?}");
        errors.remove(0)
    }

    /// Delivers until every request has ended as `detached`.
    async fn run_until_detached(&self, requests: usize) {
        self.run().await;
        let events = self.events();
        assert_eq!(events.len(), requests, "{events:#?}");
        assert!(events.iter().all(|event| event["outcome"] == "detached"), "{events:#?}");
        assert!(self.dead_letters().is_empty());
    }
}

/// The ERROR lines of the log.
fn error_lines() -> Vec<Value> {
    log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect()
}

/// The text of a field of a log line.
fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

/// A second access key of the account.
fn second_key() -> AccessKey {
    AccessKey::new("LTAI5tAnotherKey", "AnotherKeysSecret")
}

#[tokio::test]
async fn each_source_signs_a_detach_and_is_read_once() {
    for (credentials, secrets_read, exchanges) in
        [(TestCredentials::Environment, 0, 0), (TestCredentials::Secret, 1, 0), (TestCredentials::Oidc, 0, 1)]
    {
        let env = environment(credentials).await;
        let event = env.detach("sg-a").await;
        assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
        assert_eq!(env.aws_call_count(Aws::GetSecretValue), secrets_read, "{credentials:?}");
        assert_eq!(env.aws_call_count(Aws::GetWebIdentityToken), exchanges, "{credentials:?}");
        assert_eq!(env.calls(EXCHANGE), exchanges as u64, "{credentials:?}");
        let counts = env.cloud.cloud().counts().clone();
        assert_eq!(counts.signatures_rejected, 0, "{credentials:?}");
    }
}

#[tokio::test]
async fn credentials_are_read_at_start() {
    for (credentials, action) in
        [(TestCredentials::Secret, Aws::GetSecretValue), (TestCredentials::Oidc, Aws::GetWebIdentityToken)]
    {
        let env = environment(credentials).await;
        env.worker.prepare(&Clock::start()).await;
        assert_eq!(env.aws_call_count(action), 1);
        env.detach("sg-a").await;
        assert_eq!(env.aws_call_count(action), 1, "one read in total");
    }
}

#[tokio::test]
async fn start_without_credentials_logs_an_error_and_succeeds() {
    let env = environment(TestCredentials::Oidc).await;
    env.aws.sts().denial = Some(Denial::FederationDisabled);
    env.worker.prepare(&Clock::start()).await;
    let lines = error_lines();
    assert!(lines.len() == 1 && text(&lines[0], "message").contains(NO_CREDENTIALS), "{lines:#?}");
    env.aws.sts().denial = None;
    env.send(&request("ep-a", "sg-a"));
    env.run_until_detached(1).await;
}

#[tokio::test]
async fn secret_can_contain_a_session_and_other_fields() {
    let env = environment(TestCredentials::Secret).await;
    let session = AccessKey { security_token: Some("SessionToken".to_owned()), ..second_key() };
    env.cloud.cloud().set_access_key(session.clone());
    let mut text: Value = serde_json::from_str(&secret_of(&session)).unwrap();
    text["owner"] = json!({ "team": ["platform"] });
    env.aws.secrets().put(SECRET, text.to_string());
    env.send(&request("ep-a", "sg-a"));
    env.run_until_detached(1).await;
    assert_eq!(env.cloud.cloud().counts().signatures_rejected, 0);
}

/// Sends eleven requests in four lanes, so that a rotation affects calls of all kinds.
fn send_load(env: &TestEnvironment) -> usize {
    let mut sent = 0;
    for endpoint in ["ep-a", "ep-b", "ep-c", "ep-d"] {
        for group in ["sg-a", "sg-a", "sg-b"] {
            if !(endpoint == "ep-d" && group == "sg-b") {
                env.send(&request(endpoint, group));
                sent += 1;
            }
        }
    }
    sent
}

#[tokio::test]
async fn rotation_under_load_neither_fails_requests_nor_alerts() {
    let env = environment_with(TestCredentials::Secret, &["ep-a", "ep-b", "ep-c", "ep-d"]).await;
    let sent = send_load(&env);
    let old = AccessKey::default();
    let rotate = async {
        for (calls, next, previous) in
            [(4, second_key(), old.clone()), (20, AccessKey::new("LTAI5tThird", "ThirdSecret"), second_key())]
        {
            env.wait_for_calls(LIST, calls).await;
            env.cloud.cloud().set_access_key(next.clone());
            env.aws.secrets().put(SECRET, secret_of(&next));
            env.cloud.cloud().set_access_key(AccessKey { inactive: true, ..previous });
        }
    };
    tokio::join!(env.run(), rotate);
    let events = env.events();
    assert_eq!(events.len(), sent, "{events:#?}");
    for event in &events {
        let outcome = event["outcome"].as_str().unwrap();
        // The last group of an endpoint cannot be detached.
        let is_last = event["security_group_id"] == "sg-b";
        let expected: &[&str] = if is_last { &["refused"] } else { &["detached", "already_detached"] };
        assert!(expected.contains(&outcome), "{event:#}");
    }
    assert!(env.dead_letters().is_empty());
    assert_eq!(env.aws_call_count(Aws::GetSecretValue), 3, "one read per access key for all lanes");
    assert!(env.cloud.cloud().counts().signatures_rejected >= 2, "calls with the old access keys");
    assert!(error_lines().is_empty(), "{:#?}", error_lines());
}

#[tokio::test]
async fn wrong_access_key_keeps_every_request_until_the_secret_changes() {
    let key = AccessKey::default;
    let with_token = AccessKey { security_token: Some("session".to_owned()), ..key() };
    // The account's access key, the one in the secret, and the error code of the difference.
    for (valid_key, secret, code) in [
        (AccessKey { inactive: true, ..key() }, key(), "InvalidAccessKeyId.Inactive"),
        (key(), AccessKey::new("LTAI5tUnheardOf", "secret"), "InvalidAccessKeyId.NotFound"),
        (AccessKey { access_key_secret: "other".to_owned(), ..key() }, key(), "SignatureDoesNotMatch"),
        (with_token.clone(), key(), "MissingSecurityToken"),
        (key(), with_token, "InvalidSecurityToken.Malformed"),
    ] {
        let env = environment_with(TestCredentials::Secret, &["ep-a", "ep-b"]).await;
        env.cloud.cloud().set_access_key(valid_key);
        env.aws.secrets().put(SECRET, secret_of(&secret));
        env.send(&request("ep-a", "sg-a"));
        env.send(&request("ep-b", "sg-a"));
        let line = env.deliver_without_outcome().await;
        assert_eq!(line["code"], code);
        assert!(text(&line, "message").contains(CREDENTIALS_REFUSED), "{line:#}");
        assert!(text(&line, "advice").contains("ALIBABA_CREDENTIALS_SECRET_ARN"), "{line:#}");
        let reads = env.aws_call_count(Aws::GetSecretValue);
        assert!((2..=5).contains(&reads), "{reads} reads in a delivery of 3 s");
        env.cloud.cloud().set_access_key(second_key());
        env.aws.secrets().put(SECRET, secret_of(&second_key()));
        env.run_until_detached(2).await;
    }
}

#[tokio::test]
async fn refusal_at_one_endpoint_neither_stops_the_others_nor_repeats_reads_without_limit() {
    for secrets_manager_is_down in [false, true] {
        let env = environment_with(TestCredentials::Secret, &["ep-a", "ep-b", "ep-c"]).await;
        env.worker.prepare(&Clock::start()).await;
        let refusal = Effect::code_with_status("InvalidAccessKeyId.NotFound", StatusCode::NOT_FOUND);
        env.cloud.cloud().inject(Fault::on(LIST, refusal).for_endpoint("ep-a"));
        // Calls that are accepted during the whole delivery.
        env.cloud.cloud().inject(Fault::on(DETACH, Effect::code("EndpointLocked")).for_endpoint("ep-c"));
        if secrets_manager_is_down {
            env.aws.secrets().faults().plan(Aws::GetSecretValue, 1000, AwsFault::ServerError);
        }
        for endpoint in ["ep-a", "ep-b", "ep-c"] {
            env.send(&request(endpoint, "sg-a"));
        }
        let lines_before = error_lines().len();
        env.deliver().await;
        let event = env.only_event();
        assert_eq!((&event["endpoint_id"], &event["outcome"]), (&json!("ep-b"), &json!("detached")));
        assert_eq!(event["effort"]["retries"], json!({}), "its own calls were accepted");
        // The SDK makes up to three attempts per read while the service is down.
        let reads = env.aws_call_count(Aws::GetSecretValue);
        let bound = if secrets_manager_is_down { 15 } else { 5 };
        assert!((2..=bound).contains(&reads), "{reads} reads in a delivery of 3 s");
        assert_eq!(error_lines().len() - lines_before, 1, "{:#?}", error_lines());
    }
}

#[tokio::test]
async fn refused_credentials_of_the_environment_log_one_error_per_invocation_and_keep_every_request() {
    let session = AccessKey { security_token: Some("session".to_owned()), ..AccessKey::default() };
    for (broken, code) in [
        (AccessKey { inactive: true, ..AccessKey::default() }, "InvalidAccessKeyId.Inactive"),
        (session, "MissingSecurityToken"),
    ] {
        let env = environment_with(TestCredentials::Environment, &["ep-a", "ep-b"]).await;
        env.cloud.cloud().set_access_key(broken);
        env.send(&request("ep-a", "sg-a"));
        env.send(&request("ep-b", "sg-a"));
        let line = env.deliver_without_outcome().await;
        assert_eq!(line["code"], code);
        assert!(text(&line, "message").contains(CREDENTIALS_REFUSED), "{line:#}");
        assert!(text(&line, "advice").contains("ALIBABA_CLOUD_ACCESS_KEY_ID"), "{line:#}");
        env.cloud.cloud().set_access_key(AccessKey::default());
        env.run_until_detached(2).await;
    }
}

#[tokio::test]
async fn unusable_secret_keeps_the_request_and_logs_the_setting_to_change() {
    let put = |value: &'static str| move |env: &TestEnvironment| env.aws.secrets().put(SECRET, value);
    let mistakes: [(&str, Mistake, &str); 3] = [
        (
            "ResourceNotFoundException",
            Box::new(|env| env.aws.secrets().remove(SECRET)),
            "ALIBABA_CREDENTIALS_SECRET_ARN",
        ),
        ("SecretUnusable", Box::new(put("LTAI5tSimulatorKey SimulatorSecret")), "access_key_secret"),
        ("SecretUnusable", Box::new(put(r#"{"access_key_id":"LTAI5tSimulatorKey"}"#)), "access_key_secret"),
    ];
    for (code, mistake, setting) in mistakes {
        let env = environment_waiting(TestCredentials::Secret, ALERT_TIME).await;
        mistake(&env);
        env.send(&request("ep-a", "sg-a"));
        let line = env.deliver_without_outcome().await;
        assert_eq!(line["code"], code);
        assert!(
            text(&line, "message").contains(NO_CREDENTIALS) && text(&line, "advice").contains(setting),
            "{line:#}"
        );
        assert_eq!(env.cloud.cloud().counts().calls_total, 0, "no call is sent without credentials");
        env.aws.secrets().put(SECRET, secret_of(&AccessKey::default()));
        env.run_until_detached(1).await;
    }
}

#[tokio::test]
async fn short_outage_of_secrets_manager_is_retried_without_an_alert() {
    for fault in [AwsFault::ServerError, AwsFault::Throttled, AwsFault::ResponseLost] {
        let mut settings = TestSettings {
            credentials: TestCredentials::Secret,
            ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])])
        };
        // Long enough for the SDK's attempts, as in production.
        (settings.time.call_timeout, settings.time.wait_max) =
            (Duration::from_secs(8), Duration::from_secs(8));
        let mut env = TestEnvironment::start(settings).await;
        env.invocation_length = Duration::from_secs(30);
        env.aws.secrets().faults().plan(Aws::GetSecretValue, 3, fault);
        env.send(&request("ep-a", "sg-a"));
        env.run_until_detached(1).await;
        assert!(error_lines().is_empty(), "{fault:?}: {:#?}", error_lines());
        assert_eq!(env.only_event()["effort"]["retries"].as_object().unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn request_without_credentials_ends_unconfirmed_at_its_deadline() {
    let env = environment(TestCredentials::Secret).await;
    env.aws.secrets().remove(SECRET);
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    env.send(&body);
    env.deliver_without_outcome().await;
    env.advance(Duration::from_secs(31));
    env.run().await;
    let event = env.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("unconfirmed"), &json!("DeadlineExceeded"))
    );
    assert!(text(&event["reason"], "message").contains("last error: NoCredentials"), "{event:#}");
    assert!(text(&event["reason"], "advice").contains(NO_CREDENTIALS), "{event:#}");
    assert_eq!((&event["effort"]["read_calls"], &event["effort"]["detach_calls"]), (&json!(0), &json!(0)));
    assert_eq!(env.dead_letters().len(), 1, "one dead-letter copy");
}

#[tokio::test]
async fn direct_invocation_without_credentials_reports_them_as_the_reason() {
    let env = environment(TestCredentials::Oidc).await;
    env.aws.sts().denial = Some(Denial::NotAllowed);
    let detail = env.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(
        (&detail["outcome"], &detail["reason"]["code"]),
        (&json!("unconfirmed"), &json!("InvocationTimeout"))
    );
    assert!(text(&detail["reason"], "advice").contains(NO_CREDENTIALS), "{detail:#}");
    assert!(detail["effort"]["retries"]["NoCredentials"].as_u64().unwrap() >= 1, "{detail:#}");
}

#[tokio::test]
async fn write_uses_the_credentials_of_the_read_before_it() {
    let env = environment(TestCredentials::Secret).await;
    let config = CredentialsConfig::SecretsManager { secret_arn: wire::secret_arn(SECRET) };
    let sdk = aws::config(env.aws.environment()).unwrap();
    let https = Https::new(true).unwrap();
    let source = CredentialsSource::new(config, &Permissions::Detach, &BTreeSet::new(), &sdk, https.clone());
    let url = env.cloud.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: url.scheme.unwrap(), authority: url.authority.unwrap() };
    let client = Client::new(https, source, ServiceUrl::Fixed(url), 7);
    let target = Target {
        region_id: RegionId::parse(REGION).unwrap(),
        endpoint_id: EndpointId::parse("ep-a").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
    };
    let clock = Clock::start();
    let call =
        async |call: Call| client.call(&call.request(&target), &clock, Duration::from_secs(5)).await.result;
    let detach = || Call::Detach { client_token: ClientToken::parse("t").unwrap(), dry_run: false };
    let unsent = call(detach()).await.unwrap_err();
    assert_eq!((unsent.kind, unsent.keeps_token), (ErrorKind::NoCredentials, true));
    assert_eq!((env.aws_calls().len(), env.cloud.cloud().counts().calls_total), (0, 0));
    assert!(call(Call::ListSecurityGroups { next_token: None }).await.is_ok());
    assert_eq!(call(detach()).await, Ok(Response::Accepted(Write::Detach)));
}

#[tokio::test]
async fn lanes_that_need_a_session_at_the_same_time_share_one_exchange() {
    let endpoints = ["ep-a", "ep-b", "ep-c", "ep-d", "ep-e"];
    let env = environment_with(TestCredentials::Oidc, &endpoints).await;
    // Slow enough that every lane needs a session before the first exchange ends.
    let slow = Fault::on(EXCHANGE, Effect::ActualResponse).delayed(Duration::from_millis(300));
    env.cloud.cloud().inject(slow);
    for endpoint in endpoints {
        env.send(&request(endpoint, "sg-a"));
    }
    let expire = async {
        env.wait_for_calls(DETACH, 5).await;
        env.cloud.cloud().expire_sessions(SystemTime::now());
    };
    tokio::join!(env.run(), expire);
    assert_eq!(env.events().len(), 5);
    let retried = |event: &Value| event["effort"]["retries"]["InvalidSecurityToken.Expired"].as_u64();
    let retried: Vec<u64> = env.events().iter().filter_map(retried).collect();
    assert!(!retried.is_empty(), "the session ended during their calls");
    assert!(retried.iter().all(|times| *times == 1), "one retry with the next session: {retried:?}");
    assert_eq!((env.calls(EXCHANGE), env.aws_call_count(Aws::GetWebIdentityToken)), (2, 2));
}

#[tokio::test]
async fn session_that_ends_during_a_poll_is_refreshed_at_once() {
    let env = environment(TestCredentials::Oidc).await;
    env.send(&request("ep-a", "sg-a"));
    let expire = async {
        env.wait_for_calls(DETACH, 1).await;
        let reads = env.calls(LIST);
        env.wait_for_calls(LIST, reads + 1).await;
        env.cloud.cloud().expire_sessions(SystemTime::now());
    };
    tokio::join!(env.run(), expire);
    let event = env.only_event();
    assert_eq!(event["outcome"], "detached");
    assert_eq!(event["effort"]["retries"], json!({ "InvalidSecurityToken.Expired": 1 }));
    assert_eq!((&event["effort"]["deliveries"], &event["effort"]["detach_calls"]), (&json!(1), &json!(1)));
    assert_eq!(env.calls(EXCHANGE), 2);
    assert!(error_lines().is_empty(), "{:#?}", error_lines());
}

#[tokio::test]
async fn short_session_is_refreshed_before_it_ends() {
    let mut settings = TestSettings {
        credentials: TestCredentials::Oidc,
        ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])])
    };
    settings.seed.settings.session_max = Some(Duration::from_secs(3));
    settings.seed.settings.detach_takes = Duration::from_millis(2700);
    settings.time.wait_max = Duration::from_secs(6);
    let env = TestEnvironment::start(settings).await;
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
    assert_eq!(env.calls(EXCHANGE), 2);
    assert_eq!(env.cloud.cloud().counts().signatures_rejected, 0);
}

#[tokio::test]
async fn session_whose_refresh_fails_is_used_until_its_end() {
    let mut settings = TestSettings {
        credentials: TestCredentials::Oidc,
        ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])])
    };
    // A refresh is due after four seconds.
    settings.seed.settings.session_max = Some(Duration::from_secs(6));
    settings.seed.settings.detach_takes = Duration::from_millis(4300);
    settings.time.wait_max = Duration::from_secs(8);
    let env = TestEnvironment::start(settings).await;
    let no_more_sessions = async {
        env.wait_for_calls(DETACH, 1).await;
        env.cloud.cloud().inject(Fault::on(EXCHANGE, Effect::code("EntityNotExist.Role")));
    };
    let (event, ()) = tokio::join!(env.detach("sg-a"), no_more_sessions);
    assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
    assert_eq!(env.calls(EXCHANGE), 2, "the second one failed");
    assert!(error_lines().is_empty(), "{:#?}", error_lines());
}

#[tokio::test]
async fn clock_that_is_half_an_hour_off_is_corrected_by_the_sts() {
    for minutes in [30, -30] {
        let mut settings = TestSettings {
            credentials: TestCredentials::Oidc,
            ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])])
        };
        settings.seed.settings.clock_offset_ms = minutes * 60_000;
        // AWS uses the same time as Alibaba Cloud, so that the worker's clock is the wrong one.
        let env = TestEnvironment::start(settings).await;
        env.aws.sts().clock_ahead = time::Duration::minutes(minutes);
        let event = env.detach("sg-a").await;
        assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
        assert_eq!(
            env.calls(EXCHANGE),
            2,
            "one with the wrong time, one with the correct time, and no refresh"
        );
    }
}

/// Applies a wrong setting in either cloud.
type Mistake = Box<dyn Fn(&TestEnvironment)>;

/// Mistakes in either cloud: the resulting code, the mistake, and the setting that the advice names.
fn mistakes() -> Vec<(&'static str, Mistake, &'static str)> {
    fn provider(env: &TestEnvironment, change: impl FnOnce(&mut OidcProvider)) {
        let (issuer, jwks) = {
            let sts = env.aws.sts();
            (sts.issuer.clone(), sts.jwks())
        };
        let mut provider = OidcProvider::new(PROVIDER, issuer, [AUDIENCE], jwks);
        change(&mut provider);
        env.cloud.cloud().set_oidc_provider(provider).unwrap();
    }
    fn role(env: &TestEnvironment, change: impl FnOnce(&mut Role)) {
        let mut role = Role::new(ROLE, PROVIDER);
        change(&mut role);
        env.cloud.cloud().set_role(role).unwrap();
    }
    fn state(state: ProviderState) -> Mistake {
        Box::new(move |env| provider(env, |provider| provider.state = state))
    }
    vec![
        (
            "OutboundWebIdentityFederationDisabledException",
            Box::new(|env| env.aws.sts().denial = Some(Denial::FederationDisabled)),
            "aws iam enable-outbound-web-identity-federation",
        ),
        (
            "AccessDenied",
            Box::new(|env| env.aws.sts().denial = Some(Denial::NotAllowed)),
            "sts:GetWebIdentityToken",
        ),
        (
            "SessionDurationEscalationException",
            Box::new(|env| env.aws.sts().denial = Some(Denial::SessionEndsSooner)),
            "AWS session",
        ),
        (
            "AuthenticationFail.OIDCToken.Expired",
            Box::new(|env| env.aws.sts().clock_ahead = -time::Duration::hours(1)),
            "issuance time limit",
        ),
        (
            "AuthenticationFail.OIDCToken.Invalid",
            Box::new(|env| env.aws.sts().clock_ahead = time::Duration::hours(1)),
            "issuer URL",
        ),
        (
            "AuthenticationFail.OIDCToken.InvalidSignature",
            Box::new(|env| env.aws.sts().signed_with = SigningKey::Unpublished),
            "issuer URL",
        ),
        (
            "AuthenticationFail.OIDCToken.IssuerNotMatch",
            Box::new(|env| "https://elsewhere.example".clone_into(&mut env.aws.sts().issuer)),
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        ),
        (
            "AuthenticationFail.OIDCToken.AudienceNotMatch",
            Box::new(|env| provider(env, |provider| provider.client_ids = vec!["other".to_owned()])),
            "ALIBABA_OIDC_AUDIENCE",
        ),
        (
            "AuthenticationFail.NoPermission",
            Box::new(|env| role(env, |role| role.subject = Some("arn:aws:iam::1:role/other".to_owned()))),
            "oidc:sub",
        ),
        (
            "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch",
            state(ProviderState::FingerprintMismatch),
            "fingerprint",
        ),
        (
            "AuthenticationFail.OIDCToken.HttpsUrlInvalid",
            state(ProviderState::HttpsChainInvalid),
            "certificate",
        ),
        (
            "AuthenticationFail.OIDCToken.IssuerConfigurationBroken",
            state(ProviderState::IssuerUnreachable),
            "issuer URL",
        ),
    ]
}

/// Codes that none of the mistakes causes, with the setting that the advice names.
const OTHER_REFUSALS: [(&str, u16, &str); 11] = [
    ("AuthenticationFail.NeverSeenBefore", 401, "trust policy"),
    ("EntityNotExist.Role", 404, "ALIBABA_CLOUD_ROLE_ARN"),
    ("InvalidParameter.RoleArn", 400, "ALIBABA_CLOUD_ROLE_ARN"),
    ("InvalidParameter.RoleSessionName", 400, "ALIBABA_CLOUD_ROLE_SESSION_NAME"),
    ("InvalidParameter.DurationSeconds", 400, "maximum session duration"),
    ("InvalidParameter.PolicyGrammar", 400, "report it to this project"),
    ("MissingParameter.RoleArn", 400, "ALIBABA_CLOUD_ROLE_ARN"),
    ("InvalidTimeStamp.Format", 400, "clock"),
    ("Throttling.User", 400, "wait"),
    ("InternalError", 500, "wait"),
    ("NeverSeenBefore", 400, "docs/credentials.md"),
];

/// Checks that a request waits, that the log names the setting, and that the same worker completes it after the fix.
async fn waits_for_the_fix(code: &str, setting: &str, mistake: impl FnOnce(&TestEnvironment)) {
    let is_transient = matches!(code, "Throttling.User" | "InternalError");
    let env =
        environment_waiting(TestCredentials::Oidc, if is_transient { 3 * ALERT_TIME } else { ALERT_TIME })
            .await;
    mistake(&env);
    env.send(&request("ep-a", "sg-a"));
    let line = env.deliver_without_outcome().await;
    assert_eq!(line["code"], code, "{line:#}");
    assert!(text(&line, "message").contains(NO_CREDENTIALS), "{line:#}");
    assert!(text(&line, "advice").contains(setting), "{code}: {line:#}");
    assert_eq!(env.calls(LIST) + env.calls(DETACH), 0, "no call is sent without credentials");

    *env.aws.sts() = WebIdentity::new().unwrap();
    let _ = TestCredentials::Oidc.set_up(&env.aws, &env.cloud);
    env.cloud.cloud().clear_faults();
    env.run_until_detached(1).await;
}

#[tokio::test]
async fn mistake_in_either_cloud_keeps_the_request_and_logs_the_setting_to_change() {
    for (code, mistake, setting) in mistakes() {
        waits_for_the_fix(code, setting, mistake).await;
    }
}

#[tokio::test]
async fn every_other_refusal_of_a_session_keeps_the_request_and_logs_the_setting_to_change() {
    for (code, status, setting) in OTHER_REFUSALS {
        let effect = Effect::code_with_status(code, StatusCode::from_u16(status).unwrap());
        let inject = |env: &TestEnvironment| env.cloud.cloud().inject(Fault::on(EXCHANGE, effect));
        waits_for_the_fix(code, setting, inject).await;
    }
}

#[tokio::test]
async fn every_invalid_response_of_the_sts_keeps_the_request() {
    for effect in [
        Effect::Reset,
        Effect::Truncated,
        Effect::Empty,
        Effect::html(StatusCode::OK),
        Effect::html(StatusCode::BAD_GATEWAY),
        Effect::html(StatusCode::FORBIDDEN),
        Effect::Oversized { bytes: 2 * 1024 * 1024 },
        Effect::Redirect { location: http::HeaderValue::from_static("http://127.0.0.1:9/") },
        Effect::Hang,
    ] {
        let env = environment(TestCredentials::Oidc).await;
        env.cloud.cloud().inject(Fault::on(EXCHANGE, effect.clone()).next(1));
        env.send(&request("ep-a", "sg-a"));
        env.run_until_detached(1).await;
        let retries = &env.only_event()["effort"]["retries"];
        assert!(retries["NoCredentials"].as_u64().is_some_and(|times| times >= 1), "{effect:?}: {retries}");
    }
}

#[tokio::test]
async fn session_policy_is_limited_to_the_workers_calls() {
    let mut settings = TestSettings {
        credentials: TestCredentials::Oidc,
        ..TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])])
    };
    settings.variables = vec![("ALLOWED_REGIONS", "eu-west-1,eu-central-1".to_owned())];
    let env = TestEnvironment::start(settings).await;
    env.detach("sg-a").await;
    let session = env.cloud.cloud().sessions().next().unwrap().clone();
    let policy = serde_json::to_string(&session.session.unwrap().policy.unwrap()).unwrap();
    for word in
        ["DetachSecurityGroupFromVpcEndpoint", "ListVpcEndpoints", "acs:ecs:eu-central-1:*:securitygroup/*"]
    {
        assert!(policy.contains(word), "{policy}");
    }
    for word in ["Attach", "privatelink:*", "acs:privatelink:*"] {
        assert!(!policy.contains(word), "{policy}");
    }
}
