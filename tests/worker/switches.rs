//! Every switch of the simulator: the worker handles each variant of the real service's behavior.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use privatelink_simulator::{
    AbsentGroup, AccessKey, Action, DenialCode, DetachEffect, Effect, ErrorFormat, Fault, LockCode, Settings,
    ThrottleHint, documented_quotas,
};
use serde_json::{Value, json};

use crate::environment::{TestEnvironment, TestSettings, request};
use crate::log;

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

async fn environment(change: impl FnOnce(&mut Settings)) -> TestEnvironment {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b", "sg-c"])]);
    change(&mut settings.seed.settings);
    TestEnvironment::start(settings).await
}

async fn detached_with(change: impl FnOnce(&mut Settings)) -> (TestEnvironment, Value) {
    let env = environment(change).await;
    let event = env.detach("sg-a").await;
    assert_eq!(event["outcome"], "detached", "{event:#}");
    assert!(!env.is_attached("ep-a", "sg-a"));
    (env, event)
}

/// The time from the detach in Alibaba Cloud's own state to the event.
fn lag(env: &TestEnvironment) -> Duration {
    let detached_at = env.cloud.cloud().absent_since("ep-a", "sg-a", SystemTime::now()).unwrap();
    env.aws.bus().events()[0].accepted_at.duration_since(detached_at).unwrap()
}

#[tokio::test]
async fn detach_is_not_confirmed_while_the_endpoint_is_pending_or_the_list_lags() {
    let wait = Duration::from_millis(150);
    let (pending, _) = detached_with(|settings| settings.pending_after = wait).await;
    assert!(lag(&pending) >= wait, "the endpoint is Pending for this time");
    let (list, _) = detached_with(|settings| settings.read_lag = wait).await;
    assert!(lag(&list) >= wait, "the list shows the group for this time");
    // A record that lags shows the endpoint as Active before it shows it as Pending: only the list is current.
    let (record, _) = detached_with(|settings| settings.record_lag = wait).await;
    assert!(lag(&record) < wait, "the worker does not wait for the record");
}

#[tokio::test]
async fn accepted_detach_without_effect_is_repeated_with_a_new_token() {
    let env = environment(|_| ()).await;
    env.cloud.cloud().inject(Fault::on(DETACH, Effect::AcceptedWithoutEffect).nth(1));
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["detach_calls"]), (&json!("detached"), &json!(2)));
    assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn detach_that_fails_after_acceptance_is_repeated_with_a_new_token() {
    let env = environment(|_| ()).await;
    env.cloud.cloud().inject(Fault::on(DETACH, Effect::AcceptedThenFails).nth(1));
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["detach_calls"]), (&json!("detached"), &json!(2)));
    assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn detach_that_never_takes_effect_ends_unconfirmed() {
    for effect in [DetachEffect::Nothing, DetachEffect::FailsLater] {
        let env = environment(|settings| settings.detach_effect = effect).await;
        let mut body = request("ep-a", "sg-a");
        body["deadline_seconds"] = json!(30);
        env.send(&body);
        env.deliver().await;
        assert_eq!((env.waiting(), env.events().len()), (1, 0), "{effect:?}");
        assert!(env.calls(DETACH) > 1, "{effect:?} is repeated");
        env.advance(Duration::from_secs(31));
        env.run().await;
        assert_eq!(env.only_event()["outcome"], "unconfirmed", "{effect:?}");
    }
}

#[tokio::test]
async fn lock_of_another_client_is_waited_for_with_every_lock_code() {
    for lock_code in [
        LockCode::EndpointLocked,
        LockCode::ConcurrentCallNotSupported,
        LockCode::EndpointOperationDenied,
        LockCode::IncorrectStatus,
    ] {
        let env = environment(|settings| settings.lock_code = lock_code).await;
        env.send(&request("ep-a", "sg-a"));
        // The other client takes the lock between the first read and the Detach call, so the call meets the lock.
        let other = async {
            env.wait_for_calls(Action::ListVpcEndpoints, 1).await;
            assert!(env.cloud.cloud().hold_endpoint("ep-a", Duration::from_millis(250), SystemTime::now()));
        };
        tokio::join!(env.run(), other);
        assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").lock_rejections, 1, "{lock_code:?}");
        assert_eq!(env.only_event()["outcome"], "detached", "{lock_code:?}");
        assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").detaches_accepted, 1);
    }
}

#[tokio::test]
async fn locked_endpoint_with_overdue_payments_is_refused() {
    let env = environment(|_| ()).await;
    let now = SystemTime::now();
    env.cloud
        .cloud()
        .change_endpoint("ep-a", now, |endpoint| endpoint.business_status = "FinancialLocked".into());
    let event = env.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("FinancialLocked")));
    assert_eq!(event["effort"]["retries"], json!({ "EndpointLocked": 1 }));
}

#[tokio::test]
async fn connecting_endpoint_is_retried_and_deleted_service_is_refused() {
    let connecting = environment(|_| ()).await;
    let set = |env: &TestEnvironment, status: &'static str| {
        let mut cloud = env.cloud.cloud();
        cloud.change_endpoint("ep-a", SystemTime::now(), |endpoint| {
            endpoint.connection_status = status.into();
        });
    };
    set(&connecting, "Connecting");
    connecting.send(&request("ep-a", "sg-a"));
    let connects = async {
        connecting.wait_for_calls(DETACH, 2).await;
        set(&connecting, "Connected");
    };
    tokio::join!(connecting.run(), connects);
    assert_eq!(connecting.only_event()["outcome"], "detached");

    let deleted = environment(|_| ()).await;
    set(&deleted, "ServiceDeleted");
    let event = deleted.detach("sg-a").await;
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("EndpointServiceDeleted"))
    );
}

#[tokio::test]
async fn gateway_load_balancer_endpoint_is_refused() {
    let env = environment(|_| ()).await;
    let now = SystemTime::now();
    env.cloud
        .cloud()
        .change_endpoint("ep-a", now, |endpoint| endpoint.endpoint_type = "GatewayLoadBalancer".into());
    let event = env.detach("sg-a").await;
    assert_eq!(event["reason"]["code"], "GatewayLoadBalancerNotSupportSecurityGroup");
}

#[tokio::test]
async fn both_codes_of_a_ram_denial_refuse_the_request() {
    for (denial_code, code) in
        [(DenialCode::NoPermission, "NoPermission"), (DenialCode::ForbiddenRam, "Forbidden.RAM")]
    {
        let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
        let mut key = AccessKey::default();
        key.denied_actions.insert(Action::ListVpcEndpoints);
        settings.seed.access_keys = vec![key];
        settings.seed.settings.denial_code = denial_code;
        let env = TestEnvironment::start(settings).await;
        let event = env.detach("sg-a").await;
        assert_eq!(event["reason"]["code"], code);
        assert!(event["reason"]["advice"].as_str().unwrap().contains("privatelink:ListVpcEndpoints"));
        assert_eq!(env.calls(DETACH), 0, "no Detach call is made if the detach could not be confirmed");
        assert_eq!(env.dead_letters().len(), 1);
    }
}

#[tokio::test]
async fn group_detached_by_another_client_ends_as_detached() {
    // The worker calls Detach for a group that is already detached. Both possible responses end with the same outcome.
    for absent_group in [AbsentGroup::NotFound, AbsentGroup::Accepted] {
        let env = environment(|settings| settings.absent_group = absent_group).await;
        env.send(&request("ep-a", "sg-a"));
        let other = async {
            env.wait_for_calls(Action::ListVpcEndpoints, 1).await;
            env.cloud.cloud().detach_now("ep-a", "sg-a", SystemTime::now());
        };
        tokio::join!(env.run(), other);
        assert_eq!(env.only_event()["outcome"], "detached", "{absent_group:?}");
    }
}

#[tokio::test]
async fn missing_group_status_counts_as_attached() {
    let (_, event) = detached_with(|settings| settings.omit_group_status = true).await;
    assert_eq!(event["effort"]["detach_calls"], 1);
}

#[tokio::test]
async fn list_of_several_pages_is_read_completely() {
    let (_, event) = detached_with(|settings| settings.page_size_max = 1).await;
    assert_eq!(event["evidence"]["security_groups_before"], json!(["sg-a", "sg-b", "sg-c"]));
    assert!(event["effort"]["read_calls"].as_u64().unwrap() > 3 + 1 + 2);
}

#[tokio::test]
async fn error_bodies_of_every_format_are_parsed() {
    for error_format in [ErrorFormat::Json, ErrorFormat::JsonLowerCamel, ErrorFormat::Xml] {
        let env = environment(|settings| settings.error_format = error_format).await;
        env.cloud.cloud().inject(Fault::on(DETACH, Effect::code("EndpointLocked")).nth(1));
        let event = env.detach("sg-a").await;
        assert_eq!(event["effort"]["retries"], json!({ "EndpointLocked": 1 }), "{error_format:?}");
    }
}

#[tokio::test]
async fn throttled_request_still_ends_as_detached() {
    for throttle_hint in [ThrottleHint::None, ThrottleHint::RetryAfter, ThrottleHint::RateLimit] {
        let env = environment(|settings| {
            settings.throttle_hint = throttle_hint;
            settings.throttle_code = "Throttling.Api".to_owned();
        })
        .await;
        let mut quotas = documented_quotas();
        for quota in quotas.values_mut() {
            (quota.calls, quota.window) = (2, Duration::from_millis(300));
        }
        env.cloud.cloud().set_quotas(quotas);
        let event = env.detach("sg-a").await;
        assert_eq!(event["outcome"], "detached", "{throttle_hint:?}");
        assert!(event["effort"]["retries"]["Throttling.Api"].as_u64().unwrap() >= 1, "{throttle_hint:?}");
    }
}

#[tokio::test]
async fn clock_that_is_half_an_hour_off_is_corrected_by_the_date_of_the_response() {
    for minutes in [30, -30] {
        let (env, event) = detached_with(|settings| settings.clock_offset_ms = minutes * 60_000).await;
        assert_eq!(event["effort"]["retries"], json!({ "InvalidTimeStamp.Expired": 1 }));
        assert_eq!(env.cloud.cloud().counts().signatures_rejected, 1);
    }
}

#[tokio::test]
async fn difference_above_24_hours_moves_no_deadline_and_logs_one_error_line() {
    for hours in [30, -30] {
        let (_, event) = detached_with(|settings| settings.clock_offset_ms = hours * 3_600_000).await;
        let duration = Duration::from_millis(event["duration_ms"].as_u64().unwrap());
        assert!(duration < Duration::from_mins(5), "{event}");
        let lines = log::lines();
        let [.., line] = lines.iter().filter(|line| line["level"] == "ERROR").collect::<Vec<_>>()[..] else {
            panic!("no error line: {lines:?}")
        };
        let text = "the worker's clock differs from the Date of Alibaba Cloud's responses by more than 24 h; the \
                    difference is ignored, and deadlines are judged by the worker's clock";
        assert_eq!(line["message"], text);
        assert_eq!(line["ahead_s"].as_i64().unwrap() / 3600, if hours > 0 { 29 } else { -29 });
    }
}

#[tokio::test]
async fn deadline_that_only_a_rejected_clock_has_passed_ends_no_request() {
    // The worker's clock is two hours ahead. The first response rejects it, and the second is a proxy's.
    let env = environment(|settings| settings.clock_offset_ms = -2 * 3_600_000).await;
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(60);
    env.send(&body);
    env.advance(Duration::from_mins(2));
    let list = Action::ListVpcEndpointSecurityGroups;
    env.cloud.cloud().inject(Fault::on(list, Effect::html(StatusCode::BAD_GATEWAY)).nth(2));
    env.run().await;
    assert_eq!(env.only_event()["outcome"], "detached");
}

#[tokio::test]
async fn clock_that_cannot_be_corrected_keeps_the_request() {
    let env = environment(|settings| settings.clock_offset_ms = 90 * 24 * 3_600_000).await;
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert_eq!((env.waiting(), env.events().len(), env.dead_letters().len()), (1, 0, 0));
    let errors: Vec<_> = log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    let [far_off, rejected] = &errors[..] else { panic!("{errors:?}") };
    assert!(far_off["ahead_s"].as_i64().unwrap() > 24 * 3600, "{far_off}");
    assert!(rejected["message"].as_str().unwrap().contains("rejects the worker's clock"), "{rejected}");
    env.cloud.cloud().change_settings(|settings| settings.clock_offset_ms = 0);
    env.run().await;
    assert_eq!(env.only_event()["outcome"], "detached");
}

#[tokio::test]
async fn refused_detach_is_retried_with_a_new_token() {
    let env = environment(|settings| settings.client_token_remembers_refusals = true).await;
    env.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
        endpoint.connection_status = "Connecting".into();
    });
    env.send(&request("ep-a", "sg-a"));
    let connects = async {
        env.wait_for_calls(DETACH, 1).await;
        env.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
            endpoint.connection_status = "Connected".into();
        });
    };
    tokio::join!(env.run(), connects);
    assert_eq!(env.only_event()["outcome"], "detached");
    assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn wrong_access_key_keeps_the_request_until_it_is_corrected() {
    let key = AccessKey::default();
    let invalid_keys = [
        AccessKey { access_key_secret: "another".to_owned(), ..key.clone() },
        AccessKey { inactive: true, ..key.clone() },
        AccessKey { security_token: Some("session".to_owned()), ..key.clone() },
    ];
    for invalid in invalid_keys {
        let env = environment(|_| ()).await;
        env.cloud.cloud().set_access_key(invalid.clone());
        env.send(&request("ep-a", "sg-a"));
        env.deliver().await;
        assert_eq!((env.events().len(), env.dead_letters().len(), env.waiting()), (0, 0, 1), "{invalid:?}");
        env.cloud.cloud().set_access_key(key.clone());
        env.run().await;
        assert_eq!(env.only_event()["outcome"], "detached", "{invalid:?}");
    }
}

#[tokio::test]
async fn security_token_is_sent_and_its_expiry_keeps_the_request() {
    let mut settings = TestSettings::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    let session = AccessKey { security_token: Some("session".to_owned()), ..AccessKey::default() };
    settings.seed.access_keys = vec![session.clone()];
    settings.variables = vec![("ALIBABA_CLOUD_SECURITY_TOKEN", "session".to_owned())];
    let env = TestEnvironment::start(settings).await;
    let expired = AccessKey { security_token_expires_at: Some(SystemTime::UNIX_EPOCH), ..session.clone() };
    env.cloud.cloud().set_access_key(expired);
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert_eq!((env.events().len(), env.waiting()), (0, 1));
    env.cloud.cloud().set_access_key(session);
    env.run().await;
    assert_eq!(env.only_event()["outcome"], "detached");
}
