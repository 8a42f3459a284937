//! Where the worker's keys come from, what happens when they change, run out or cannot be had, and that nobody sees
//! them. Both clouds answer over HTTP.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use local_aws::web_identity::{Denial, SigningKey};
use local_aws::{Action as Aws, Fault as AwsFault, WebIdentity, wire};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{CredentialsConfig, CredentialsSource};
use privatelink_detach::alibaba::error::Kind;
use privatelink_detach::alibaba::privatelink::{Answer, Call, Target};
use privatelink_detach::alibaba::service_url::{BaseUrl, ServiceUrl};
use privatelink_detach::alibaba::transport::Https;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};
use privatelink_simulator::{AccessKey, Action, Effect, Fault, OidcProvider, ProviderState, Role};
use serde_json::{Value, json};

use crate::log;
use crate::stage::{AUDIENCE, Keys, PROVIDER, REGION, ROLE, SECRET, Setting, Stage, request, secret_of};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const EXCHANGE: Action = Action::AssumeRoleWithOIDC;
const LIST: Action = Action::ListVpcEndpointSecurityGroups;

/// A stage with one endpoint, `ep-a`, and keys from there.
async fn stage(keys: Keys) -> Stage {
    stage_with(keys, &["ep-a"]).await
}

/// The same with these endpoints, each with two groups.
async fn stage_with(keys: Keys, endpoints: &[&str]) -> Stage {
    let endpoints: Vec<_> = endpoints.iter().map(|id| (*id, &["sg-a", "sg-b"][..])).collect();
    Stage::set(Setting { keys, ..Setting::with_endpoints(&endpoints) }).await
}

/// The same with `ep-a`, and with invocations that wait so long. What is refused for good is known in a moment; what may
/// pass is told when it comes again, after a second.
async fn stage_waiting(keys: Keys, wait_max: Duration) -> Stage {
    let mut setting = Setting { keys, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
    setting.invocation.wait_max = wait_max;
    Stage::set(setting).await
}

/// See [`stage_waiting`].
const A_MOMENT: Duration = Duration::from_secs(1);

impl Stage {
    /// How often AWS was called for this.
    fn aws_called(&self, action: Aws) -> usize {
        self.aws_calls().into_iter().filter(|called| *called == action).count()
    }

    /// One delivery, in which nothing ends and nothing is told to anybody but the operator; the line of the log that
    /// says why.
    async fn deliver_in_vain(&self) -> Value {
        let (waiting, lines) = (self.waiting(), log::lines().len());
        self.deliver().await;
        assert_eq!((self.waiting(), self.events().len(), self.dead_letters().len()), (waiting, 0, 0));
        let mut alarms: Vec<Value> = log::lines().split_off(lines);
        alarms.retain(|line| line["level"] == "ERROR");
        assert_eq!(alarms.len(), 1, "one line of an invocation says it: {alarms:#?}");
        alarms.remove(0)
    }

    /// Delivers until all of it has come to its good end.
    async fn run_to_the_end(&self, requests: usize) {
        self.run().await;
        let events = self.events();
        assert_eq!(events.len(), requests, "{events:#?}");
        assert!(events.iter().all(|event| event["outcome"] == "detached"), "{events:#?}");
        assert!(self.dead_letters().is_empty());
    }
}

/// The lines of the log that call somebody.
fn alarms() -> Vec<Value> {
    log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect()
}

/// The text of a field of a log line.
fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

/// A second key of the account.
fn another_key() -> AccessKey {
    AccessKey::new("LTAI5tAnotherKey", "AnotherKeysSecret")
}

#[tokio::test]
async fn each_source_signs_a_detach_and_is_read_once() {
    for (keys, secrets_read, exchanges) in
        [(Keys::Environment, 0, 0), (Keys::Secret, 1, 0), (Keys::Oidc, 0, 1)]
    {
        let stage = stage(keys).await;
        let event = stage.detach("sg-a").await;
        assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
        assert_eq!(stage.aws_called(Aws::GetSecretValue), secrets_read, "{keys:?}");
        assert_eq!(stage.aws_called(Aws::GetWebIdentityToken), exchanges, "{keys:?}");
        assert_eq!(stage.calls(EXCHANGE), exchanges as u64, "{keys:?}");
        let counts = stage.cloud.cloud().counts().clone();
        assert_eq!(counts.signatures_rejected, 0, "{keys:?}");
    }
}

#[tokio::test]
async fn keys_are_read_before_anybody_waits_for_them() {
    for (keys, action) in [(Keys::Secret, Aws::GetSecretValue), (Keys::Oidc, Aws::GetWebIdentityToken)] {
        let stage = stage(keys).await;
        stage.worker.prepare(&Clock::start()).await;
        assert_eq!(stage.aws_called(action), 1);
        stage.detach("sg-a").await;
        assert_eq!(stage.aws_called(action), 1, "and not again");
    }
}

#[tokio::test]
async fn a_start_without_keys_is_told_and_is_a_start_all_the_same() {
    let stage = stage(Keys::Oidc).await;
    stage.aws.sts().denial = Some(Denial::FederationDisabled);
    stage.worker.prepare(&Clock::start()).await;
    let lines = log::lines();
    let told: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(told.len() == 1 && text(told[0], "message").contains("no keys"), "{told:#?}");
    stage.aws.sts().denial = None;
    stage.send(&request("ep-a", "sg-a"));
    stage.run_to_the_end(1).await;
}

#[tokio::test]
async fn a_secret_may_hold_a_session_and_anything_beside_it() {
    let stage = stage(Keys::Secret).await;
    let session = AccessKey { security_token: Some("SessionToken".to_owned()), ..another_key() };
    stage.cloud.cloud().set_access_key(session.clone());
    let mut text: Value = serde_json::from_str(&secret_of(&session)).unwrap();
    text["owner"] = json!({ "team": ["platform"] });
    stage.aws.secrets().put(SECRET, text.to_string());
    stage.send(&request("ep-a", "sg-a"));
    stage.run_to_the_end(1).await;
    assert_eq!(stage.cloud.cloud().counts().signatures_rejected, 0);
}

/// Eleven requests in four lanes, so that keys change under calls of all kinds.
fn send_load(stage: &Stage) -> usize {
    let mut sent = 0;
    for endpoint in ["ep-a", "ep-b", "ep-c", "ep-d"] {
        for group in ["sg-a", "sg-a", "sg-b"] {
            if !(endpoint == "ep-d" && group == "sg-b") {
                stage.send(&request(endpoint, group));
                sent += 1;
            }
        }
    }
    sent
}

#[tokio::test]
async fn a_rotation_under_load_loses_and_ends_nothing_and_wakes_nobody() {
    let stage = stage_with(Keys::Secret, &["ep-a", "ep-b", "ep-c", "ep-d"]).await;
    let sent = send_load(&stage);
    let old = AccessKey::default();
    let rotate = async {
        for (calls, next, previous) in [
            (4, another_key(), old.clone()),
            (20, AccessKey::new("LTAI5tThird", "ThirdSecret"), another_key()),
        ] {
            stage.called(LIST, calls).await;
            stage.cloud.cloud().set_access_key(next.clone());
            stage.aws.secrets().put(SECRET, secret_of(&next));
            stage.cloud.cloud().set_access_key(AccessKey { inactive: true, ..previous });
        }
    };
    tokio::join!(stage.run(), rotate);
    let events = stage.events();
    assert_eq!(events.len(), sent, "{events:#?}");
    for event in &events {
        let outcome = event["outcome"].as_str().unwrap();
        // The last group of an endpoint stays, keys or not.
        let is_last = event["security_group_id"] == "sg-b";
        let expected: &[&str] = if is_last { &["refused"] } else { &["detached", "already_detached"] };
        assert!(expected.contains(&outcome), "{event:#}");
    }
    assert!(stage.dead_letters().is_empty());
    assert_eq!(stage.aws_called(Aws::GetSecretValue), 3, "once for each key, whatever the number of lanes");
    assert!(stage.cloud.cloud().counts().signatures_rejected >= 2, "the old keys were tried");
    assert!(alarms().is_empty(), "{:#?}", alarms());
}

#[tokio::test]
async fn a_key_that_is_wrong_before_the_secret_changes_keeps_every_request() {
    let usual = AccessKey::default;
    let with_token = AccessKey { security_token: Some("session".to_owned()), ..usual() };
    // The key that the account has, that in the secret, and what the difference is called.
    for (true_key, secret, code) in [
        (AccessKey { inactive: true, ..usual() }, usual(), "InvalidAccessKeyId.Inactive"),
        (usual(), AccessKey::new("LTAI5tUnheardOf", "secret"), "InvalidAccessKeyId.NotFound"),
        (AccessKey { access_key_secret: "other".to_owned(), ..usual() }, usual(), "SignatureDoesNotMatch"),
        (with_token.clone(), usual(), "MissingSecurityToken"),
        (usual(), with_token, "InvalidSecurityToken.Malformed"),
    ] {
        let stage = stage_with(Keys::Secret, &["ep-a", "ep-b"]).await;
        stage.cloud.cloud().set_access_key(true_key);
        stage.aws.secrets().put(SECRET, secret_of(&secret));
        stage.send(&request("ep-a", "sg-a"));
        stage.send(&request("ep-b", "sg-a"));
        let alarm = stage.deliver_in_vain().await;
        assert_eq!(alarm["code"], code);
        assert!(text(&alarm, "message").contains("refuses the worker's keys"), "{alarm:#}");
        assert!(text(&alarm, "advice").contains("ALIBABA_CREDENTIALS_SECRET_ARN"), "{alarm:#}");
        let readings = stage.aws_called(Aws::GetSecretValue);
        assert!((2..=5).contains(&readings), "{readings} readings in a delivery of 3 s");
        stage.cloud.cloud().set_access_key(another_key());
        stage.aws.secrets().put(SECRET, secret_of(&another_key()));
        stage.run_to_the_end(2).await;
    }
}

#[tokio::test]
async fn one_endpoint_that_refuses_the_keys_neither_stops_the_others_nor_has_the_secret_read_without_end() {
    for secrets_manager_is_down in [false, true] {
        let stage = stage_with(Keys::Secret, &["ep-a", "ep-b", "ep-c"]).await;
        stage.worker.prepare(&Clock::start()).await;
        let refusal = Effect::code_with_status("InvalidAccessKeyId.NotFound", StatusCode::NOT_FOUND);
        stage.cloud.cloud().inject(Fault::on(LIST, refusal).for_endpoint("ep-a"));
        // Calls that are accepted, all the while.
        stage.cloud.cloud().inject(Fault::on(DETACH, Effect::code("EndpointLocked")).for_endpoint("ep-c"));
        if secrets_manager_is_down {
            stage.aws.secrets().faults().plan(Aws::GetSecretValue, 1000, AwsFault::ServerError);
        }
        for endpoint in ["ep-a", "ep-b", "ep-c"] {
            stage.send(&request(endpoint, "sg-a"));
        }
        let told_before = alarms().len();
        stage.deliver().await;
        let event = stage.only_event();
        assert_eq!((&event["endpoint_id"], &event["outcome"]), (&json!("ep-b"), &json!("detached")));
        assert_eq!(event["effort"]["retries"], json!({}), "its own calls were accepted");
        // Each reading of a service that is down has up to three attempts of the SDK.
        let readings = stage.aws_called(Aws::GetSecretValue);
        let bound = if secrets_manager_is_down { 15 } else { 5 };
        assert!((2..=bound).contains(&readings), "{readings} readings in a delivery of 3 s");
        assert_eq!(alarms().len() - told_before, 1, "{:#?}", alarms());
    }
}

#[tokio::test]
async fn refused_keys_of_the_environment_are_told_once_an_invocation_and_keep_every_request() {
    let session = AccessKey { security_token: Some("session".to_owned()), ..AccessKey::default() };
    for (broken, code) in [
        (AccessKey { inactive: true, ..AccessKey::default() }, "InvalidAccessKeyId.Inactive"),
        (session, "MissingSecurityToken"),
    ] {
        let stage = stage_with(Keys::Environment, &["ep-a", "ep-b"]).await;
        stage.cloud.cloud().set_access_key(broken);
        stage.send(&request("ep-a", "sg-a"));
        stage.send(&request("ep-b", "sg-a"));
        let alarm = stage.deliver_in_vain().await;
        assert_eq!(alarm["code"], code);
        assert!(text(&alarm, "message").contains("refuses the worker's keys"), "{alarm:#}");
        assert!(text(&alarm, "advice").contains("ALIBABA_CLOUD_ACCESS_KEY_ID"), "{alarm:#}");
        stage.cloud.cloud().set_access_key(AccessKey::default());
        stage.run_to_the_end(2).await;
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_or_used_keeps_the_request_and_says_what_to_change() {
    let put = |value: &'static str| move |stage: &Stage| stage.aws.secrets().put(SECRET, value);
    let spoil: [(&str, Spoil, &str); 3] = [
        (
            "ResourceNotFoundException",
            Box::new(|stage| stage.aws.secrets().remove(SECRET)),
            "ALIBABA_CREDENTIALS_SECRET_ARN",
        ),
        ("SecretUnusable", Box::new(put("LTAI5tSimulatorKey SimulatorSecret")), "access_key_secret"),
        ("SecretUnusable", Box::new(put(r#"{"access_key_id":"LTAI5tSimulatorKey"}"#)), "access_key_secret"),
    ];
    for (code, spoil, setting) in spoil {
        let stage = stage_waiting(Keys::Secret, A_MOMENT).await;
        spoil(&stage);
        stage.send(&request("ep-a", "sg-a"));
        let alarm = stage.deliver_in_vain().await;
        assert_eq!(alarm["code"], code);
        assert!(
            text(&alarm, "message").contains("no keys") && text(&alarm, "advice").contains(setting),
            "{alarm:#}"
        );
        assert_eq!(stage.cloud.cloud().counts().calls_total, 0, "nothing is sent without keys");
        stage.aws.secrets().put(SECRET, secret_of(&AccessKey::default()));
        stage.run_to_the_end(1).await;
    }
}

#[tokio::test]
async fn a_moment_without_secrets_manager_is_waited_out_and_told_to_nobody() {
    for fault in [AwsFault::ServerError, AwsFault::Throttled, AwsFault::AnswerLost] {
        let mut setting =
            Setting { keys: Keys::Secret, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
        // The SDK's own attempts take their time, as in production.
        (setting.invocation.call_timeout, setting.invocation.wait_max) =
            (Duration::from_secs(8), Duration::from_secs(8));
        let mut stage = Stage::set(setting).await;
        stage.invocation_length = Duration::from_secs(30);
        stage.aws.secrets().faults().plan(Aws::GetSecretValue, 3, fault);
        stage.send(&request("ep-a", "sg-a"));
        stage.run_to_the_end(1).await;
        assert!(alarms().is_empty(), "{fault:?}: {:#?}", alarms());
        assert_eq!(stage.only_event()["effort"]["retries"].as_object().unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn without_keys_a_request_ends_unconfirmed_at_its_deadline() {
    let stage = stage(Keys::Secret).await;
    stage.aws.secrets().remove(SECRET);
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    stage.send(&body);
    stage.deliver_in_vain().await;
    stage.aws.advance(Duration::from_secs(31));
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("unconfirmed"), &json!("DeadlinePassed"))
    );
    assert!(text(&event["reason"], "message").contains("last fault: NoCredentials"), "{event:#}");
    assert!(text(&event["reason"], "advice").contains("no keys"), "{event:#}");
    assert_eq!((&event["effort"]["look_calls"], &event["effort"]["detach_calls"]), (&json!(0), &json!(0)));
    assert_eq!(stage.dead_letters().len(), 1, "it waits to be redriven");
}

#[tokio::test]
async fn a_direct_invocation_without_keys_says_so() {
    let stage = stage(Keys::Oidc).await;
    stage.aws.sts().denial = Some(Denial::NotAllowed);
    let detail = stage.invoke(&request("ep-a", "sg-a").to_string()).await.unwrap();
    assert_eq!(
        (&detail["outcome"], &detail["reason"]["code"]),
        (&json!("unconfirmed"), &json!("InvocationTimeUsedUp"))
    );
    assert!(text(&detail["reason"], "advice").contains("no keys"), "{detail:#}");
    assert!(detail["effort"]["retries"]["NoCredentials"].as_u64().unwrap() >= 1, "{detail:#}");
}

#[tokio::test]
async fn a_write_takes_the_keys_of_the_look_before_it_and_waits_for_no_others() {
    let stage = stage(Keys::Secret).await;
    let config = CredentialsConfig::SecretsManager { secret_arn: wire::secret_arn(SECRET) };
    let sdk = aws::config(stage.aws.environment()).unwrap();
    let https = Https::new(true).unwrap();
    let source = CredentialsSource::new(config, &BTreeSet::new(), &sdk, https.clone());
    let url = stage.cloud.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: url.scheme.unwrap(), authority: url.authority.unwrap() };
    let client = Client::new(https, source, ServiceUrl::Fixed(url), 7);
    let target = Target {
        region_id: RegionId::parse(REGION).unwrap(),
        endpoint_id: EndpointId::parse("ep-a").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
    };
    let clock = Clock::start();
    let call = async |call: Call| client.call(&target, &call, &clock, Duration::from_secs(5)).await.result;
    let detach = || Call::Detach { client_token: ClientToken::parse("t").unwrap(), dry_run: false };
    let unsent = call(detach()).await.unwrap_err();
    assert_eq!((unsent.kind, unsent.keeps_token), (Kind::NoCredentials, true));
    assert_eq!((stage.aws_calls().len(), stage.cloud.cloud().counts().calls_total), (0, 0));
    assert!(call(Call::ListSecurityGroups { next_token: None }).await.is_ok());
    assert_eq!(call(detach()).await, Ok(Answer::Accepted));
}

#[tokio::test]
async fn lanes_that_need_a_session_at_the_same_time_cause_one_exchange() {
    let endpoints = ["ep-a", "ep-b", "ep-c", "ep-d", "ep-e"];
    let stage = stage_with(Keys::Oidc, &endpoints).await;
    // Slow enough for every lane to ask before the first exchange is over.
    let slow = Fault::on(EXCHANGE, Effect::TrueAnswer).delayed(Duration::from_millis(300));
    stage.cloud.cloud().inject(slow);
    for endpoint in endpoints {
        stage.send(&request(endpoint, "sg-a"));
    }
    let expire = async {
        stage.called(DETACH, 5).await;
        stage.cloud.cloud().expire_sessions(SystemTime::now());
    };
    tokio::join!(stage.run(), expire);
    assert_eq!(stage.events().len(), 5);
    let retried = |event: &Value| event["effort"]["retries"]["InvalidSecurityToken.Expired"].as_u64();
    let retried: Vec<u64> = stage.events().iter().filter_map(retried).collect();
    assert!(!retried.is_empty(), "the session ended under them");
    assert!(retried.iter().all(|times| *times == 1), "whoever met its end waited for the next: {retried:?}");
    assert_eq!((stage.calls(EXCHANGE), stage.aws_called(Aws::GetWebIdentityToken)), (2, 2));
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_of_a_poll_is_renewed_at_once() {
    let stage = stage(Keys::Oidc).await;
    stage.send(&request("ep-a", "sg-a"));
    let expire = async {
        stage.called(DETACH, 1).await;
        let looks = stage.calls(LIST);
        stage.called(LIST, looks + 1).await;
        stage.cloud.cloud().expire_sessions(SystemTime::now());
    };
    tokio::join!(stage.run(), expire);
    let event = stage.only_event();
    assert_eq!(event["outcome"], "detached");
    assert_eq!(event["effort"]["retries"], json!({ "InvalidSecurityToken.Expired": 1 }));
    assert_eq!((&event["effort"]["deliveries"], &event["effort"]["detach_calls"]), (&json!(1), &json!(1)));
    assert_eq!(stage.calls(EXCHANGE), 2);
    assert!(alarms().is_empty(), "{:#?}", alarms());
}

#[tokio::test]
async fn a_short_session_is_renewed_before_it_ends() {
    let mut setting = Setting { keys: Keys::Oidc, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
    setting.seed.settings.session_max = Some(Duration::from_secs(3));
    setting.seed.settings.detach_takes = Duration::from_millis(2700);
    setting.invocation.wait_max = Duration::from_secs(6);
    let stage = Stage::set(setting).await;
    let event = stage.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
    assert_eq!(stage.calls(EXCHANGE), 2);
    assert_eq!(stage.cloud.cloud().counts().signatures_rejected, 0);
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_holds_to_its_end() {
    let mut setting = Setting { keys: Keys::Oidc, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
    // It ages after four seconds.
    setting.seed.settings.session_max = Some(Duration::from_secs(6));
    setting.seed.settings.detach_takes = Duration::from_millis(4300);
    setting.invocation.wait_max = Duration::from_secs(8);
    let stage = Stage::set(setting).await;
    let no_more_sessions = async {
        stage.called(DETACH, 1).await;
        stage.cloud.cloud().inject(Fault::on(EXCHANGE, Effect::code("EntityNotExist.Role")));
    };
    let (event, ()) = tokio::join!(stage.detach("sg-a"), no_more_sessions);
    assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
    assert_eq!(stage.calls(EXCHANGE), 2, "one of them in vain");
    assert!(alarms().is_empty(), "{:#?}", alarms());
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour_is_corrected_at_the_sts_too() {
    for minutes in [60, -60] {
        let mut setting =
            Setting { keys: Keys::Oidc, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
        setting.seed.settings.clock_offset_ms = minutes * 60_000;
        // Whose clock is wrong is a matter of view: AWS goes by the right one.
        let stage = Stage::set(setting).await;
        stage.aws.sts().clock_ahead = time::Duration::minutes(minutes);
        let event = stage.detach("sg-a").await;
        assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
        assert_eq!(
            stage.calls(EXCHANGE),
            2,
            "one by the wrong time, one by the right one, and none because of its age"
        );
    }
}

/// Something that is set wrong, in either cloud.
type Spoil = Box<dyn Fn(&Stage)>;

/// What a mistake in either cloud leads to: the code, the mistake, and the setting that the advice names.
fn mistakes() -> Vec<(&'static str, Spoil, &'static str)> {
    fn provider(stage: &Stage, change: impl FnOnce(&mut OidcProvider)) {
        let (issuer, jwks) = {
            let sts = stage.aws.sts();
            (sts.issuer.clone(), sts.jwks())
        };
        let mut provider = OidcProvider::new(PROVIDER, issuer, [AUDIENCE], jwks);
        change(&mut provider);
        stage.cloud.cloud().set_oidc_provider(provider).unwrap();
    }
    fn role(stage: &Stage, change: impl FnOnce(&mut Role)) {
        let mut role = Role::new(ROLE, PROVIDER);
        change(&mut role);
        stage.cloud.cloud().set_role(role).unwrap();
    }
    fn state(state: ProviderState) -> Spoil {
        Box::new(move |stage| provider(stage, |provider| provider.state = state))
    }
    vec![
        (
            "OutboundWebIdentityFederationDisabledException",
            Box::new(|stage| stage.aws.sts().denial = Some(Denial::FederationDisabled)),
            "aws iam enable-outbound-web-identity-federation",
        ),
        (
            "AccessDenied",
            Box::new(|stage| stage.aws.sts().denial = Some(Denial::NotAllowed)),
            "sts:GetWebIdentityToken",
        ),
        (
            "SessionDurationEscalationException",
            Box::new(|stage| stage.aws.sts().denial = Some(Denial::SessionEndsSooner)),
            "AWS session",
        ),
        (
            "AuthenticationFail.OIDCToken.Expired",
            Box::new(|stage| stage.aws.sts().clock_ahead = -time::Duration::hours(1)),
            "issuance time limit",
        ),
        (
            "AuthenticationFail.OIDCToken.Invalid",
            Box::new(|stage| stage.aws.sts().clock_ahead = time::Duration::hours(1)),
            "issuer URL",
        ),
        (
            "AuthenticationFail.OIDCToken.InvalidSignature",
            Box::new(|stage| stage.aws.sts().signed_with = SigningKey::Hidden),
            "issuer URL",
        ),
        (
            "AuthenticationFail.OIDCToken.IssuerNotMatch",
            Box::new(|stage| "https://elsewhere.example".clone_into(&mut stage.aws.sts().issuer)),
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        ),
        (
            "AuthenticationFail.OIDCToken.AudienceNotMatch",
            Box::new(|stage| provider(stage, |provider| provider.client_ids = vec!["other".to_owned()])),
            "ALIBABA_OIDC_AUDIENCE",
        ),
        (
            "AuthenticationFail.NoPermission",
            Box::new(|stage| role(stage, |role| role.subject = Some("arn:aws:iam::1:role/other".to_owned()))),
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

/// Codes that no mistake here leads to, with the setting that the advice names.
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

/// A request waits and the log says why; mended, it is carried out, and nobody has touched the worker.
async fn waits_for_the_mending(code: &str, setting: &str, spoil: impl FnOnce(&Stage)) {
    let may_pass = matches!(code, "Throttling.User" | "InternalError");
    let stage = stage_waiting(Keys::Oidc, if may_pass { 3 * A_MOMENT } else { A_MOMENT }).await;
    spoil(&stage);
    stage.send(&request("ep-a", "sg-a"));
    let alarm = stage.deliver_in_vain().await;
    assert_eq!(alarm["code"], code, "{alarm:#}");
    assert!(text(&alarm, "message").contains("no keys"), "{alarm:#}");
    assert!(text(&alarm, "advice").contains(setting), "{code}: {alarm:#}");
    assert_eq!(stage.calls(LIST) + stage.calls(DETACH), 0, "nothing is sent without keys");

    *stage.aws.sts() = WebIdentity::new().unwrap();
    let _ = Keys::Oidc.set(&stage.aws, &stage.cloud);
    stage.cloud.cloud().clear_faults();
    stage.run_to_the_end(1).await;
}

#[tokio::test]
async fn a_mistake_in_either_cloud_keeps_the_request_and_the_log_says_what_to_change() {
    for (code, spoil, setting) in mistakes() {
        waits_for_the_mending(code, setting, spoil).await;
    }
}

#[tokio::test]
async fn every_other_refusal_of_a_session_keeps_the_request_and_says_what_to_change() {
    for (code, status, setting) in OTHER_REFUSALS {
        let effect = Effect::code_with_status(code, StatusCode::from_u16(status).unwrap());
        let inject = |stage: &Stage| stage.cloud.cloud().inject(Fault::on(EXCHANGE, effect));
        waits_for_the_mending(code, setting, inject).await;
    }
}

#[tokio::test]
async fn every_broken_answer_of_the_sts_keeps_the_request() {
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
        let stage = stage(Keys::Oidc).await;
        stage.cloud.cloud().inject(Fault::on(EXCHANGE, effect.clone()).next(1));
        stage.send(&request("ep-a", "sg-a"));
        stage.run_to_the_end(1).await;
        let retries = &stage.only_event()["effort"]["retries"];
        assert!(retries["NoCredentials"].as_u64().is_some_and(|times| times >= 1), "{effect:?}: {retries}");
    }
}

#[tokio::test]
async fn a_session_may_not_do_more_than_the_worker_does() {
    let mut setting = Setting { keys: Keys::Oidc, ..Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]) };
    setting.environment = vec![("ALLOWED_REGIONS", "eu-west-1,eu-central-1".to_owned())];
    let stage = Stage::set(setting).await;
    stage.detach("sg-a").await;
    let session = stage.cloud.cloud().sessions().next().unwrap().clone();
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
