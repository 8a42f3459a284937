//! Every switch of the simulator: whatever the real service turns out to do, the worker is right.

use std::time::{Duration, SystemTime};

use privatelink_simulator::{
    AbsentGroup, AccessKey, Action, DenialCode, DetachEffect, Effect, ErrorFormat, Fault, LockCode, Settings,
    ThrottleHint, documented_quotas,
};
use serde_json::{Value, json};

use crate::log;
use crate::stage::{Setting, Stage, request};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

async fn stage(change: impl FnOnce(&mut Settings)) -> Stage {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b", "sg-c"])]);
    change(&mut setting.seed.settings);
    Stage::set(setting).await
}

async fn detached_with(change: impl FnOnce(&mut Settings)) -> (Stage, Value) {
    let stage = stage(change).await;
    let event = stage.detach("sg-a").await;
    assert_eq!(event["outcome"], "detached", "{event:#}");
    assert!(!stage.is_attached("ep-a", "sg-a"));
    (stage, event)
}

/// How long after the truth the event was accepted.
fn lag(stage: &Stage) -> Duration {
    let gone = stage.cloud.cloud().absent_since("ep-a", "sg-a", SystemTime::now()).unwrap();
    stage.aws.bus().events()[0].accepted_at.duration_since(gone).unwrap()
}

#[tokio::test]
async fn what_is_not_over_is_not_believed() {
    let wait = Duration::from_millis(150);
    let (pending, _) = detached_with(|settings| settings.pending_after = wait).await;
    assert!(lag(&pending) >= wait, "the endpoint is pending so long");
    let (list, _) = detached_with(|settings| settings.read_lag = wait).await;
    assert!(lag(&list) >= wait, "the list lags so long behind the truth");
    // A record that lags shows the endpoint at rest, before it shows it pending: the list alone tells the truth then.
    let (record, _) = detached_with(|settings| settings.record_lag = wait).await;
    assert!(lag(&record) < wait, "the record is not what was waited for");
}

#[tokio::test]
async fn a_detach_that_does_nothing_is_asked_again_with_a_new_token() {
    let stage = stage(|_| ()).await;
    stage.cloud.cloud().inject(Fault::on(DETACH, Effect::AcceptedWithoutEffect).nth(1));
    let event = stage.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["detach_calls"]), (&json!("detached"), &json!(2)));
    assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn a_detach_that_fails_later_is_asked_again_with_a_new_token() {
    let stage = stage(|_| ()).await;
    stage.cloud.cloud().inject(Fault::on(DETACH, Effect::AcceptedThenFails).nth(1));
    let event = stage.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["effort"]["detach_calls"]), (&json!("detached"), &json!(2)));
    assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn detaches_that_never_work_are_not_reported_gone() {
    for effect in [DetachEffect::Nothing, DetachEffect::FailsLater] {
        let stage = stage(|settings| settings.detach_effect = effect).await;
        let mut body = request("ep-a", "sg-a");
        body["deadline_seconds"] = json!(30);
        stage.send(&body);
        stage.deliver().await;
        assert_eq!((stage.waiting(), stage.events().len()), (1, 0), "{effect:?}");
        assert!(stage.calls(DETACH) > 1, "{effect:?} is asked again");
        stage.aws.advance(Duration::from_secs(31));
        stage.run().await;
        assert_eq!(stage.only_event()["outcome"], "unconfirmed", "{effect:?}");
    }
}

#[tokio::test]
async fn somebody_elses_lock_is_waited_out_under_any_code() {
    for lock_code in [
        LockCode::EndpointLocked,
        LockCode::ConcurrentCallNotSupported,
        LockCode::EndpointOperationDenied,
        LockCode::IncorrectStatus,
    ] {
        let stage = stage(|settings| settings.lock_code = lock_code).await;
        stage.send(&request("ep-a", "sg-a"));
        // Taken between the first look and the call, so that the lock is met and not foreseen.
        let other = async {
            stage.called(Action::ListVpcEndpoints, 1).await;
            assert!(stage.cloud.cloud().hold_endpoint("ep-a", Duration::from_millis(250), SystemTime::now()));
        };
        tokio::join!(stage.run(), other);
        assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").lock_rejections, 1, "{lock_code:?}");
        assert_eq!(stage.only_event()["outcome"], "detached", "{lock_code:?}");
        assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").detaches_accepted, 1);
    }
}

#[tokio::test]
async fn arrears_end_a_request_that_only_a_lock_would_keep() {
    let stage = stage(|_| ()).await;
    let now = SystemTime::now();
    stage
        .cloud
        .cloud()
        .change_endpoint("ep-a", now, |endpoint| endpoint.business_status = "FinancialLocked".into());
    let event = stage.detach("sg-a").await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("FinancialLocked")));
    assert_eq!(event["effort"]["retries"], json!({ "EndpointLocked": 1 }));
}

#[tokio::test]
async fn a_connection_under_way_is_waited_for_and_a_deleted_service_is_not() {
    let connecting = stage(|_| ()).await;
    let set = |stage: &Stage, status: &'static str| {
        let mut cloud = stage.cloud.cloud();
        cloud.change_endpoint("ep-a", SystemTime::now(), |endpoint| {
            endpoint.connection_status = status.into();
        });
    };
    set(&connecting, "Connecting");
    connecting.send(&request("ep-a", "sg-a"));
    let connects = async {
        connecting.called(DETACH, 2).await;
        set(&connecting, "Connected");
    };
    tokio::join!(connecting.run(), connects);
    assert_eq!(connecting.only_event()["outcome"], "detached");

    let deleted = stage(|_| ()).await;
    set(&deleted, "ServiceDeleted");
    let event = deleted.detach("sg-a").await;
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("EndpointServiceDeleted"))
    );
}

#[tokio::test]
async fn a_gateway_load_balancer_endpoint_is_refused() {
    let stage = stage(|_| ()).await;
    let now = SystemTime::now();
    stage
        .cloud
        .cloud()
        .change_endpoint("ep-a", now, |endpoint| endpoint.endpoint_type = "GatewayLoadBalancer".into());
    let event = stage.detach("sg-a").await;
    assert_eq!(event["reason"]["code"], "GatewayLoadBalancerNotSupportSecurityGroup");
}

#[tokio::test]
async fn either_code_of_a_denial_is_one() {
    for (denial_code, code) in
        [(DenialCode::NoPermission, "NoPermission"), (DenialCode::ForbiddenRam, "Forbidden.RAM")]
    {
        let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
        let mut key = AccessKey::default();
        key.denied_actions.insert(Action::ListVpcEndpoints);
        setting.seed.access_keys = vec![key];
        setting.seed.settings.denial_code = denial_code;
        let stage = Stage::set(setting).await;
        let event = stage.detach("sg-a").await;
        assert_eq!(event["reason"]["code"], code);
        assert!(event["reason"]["advice"].as_str().unwrap().contains("privatelink:ListVpcEndpoints"));
        assert_eq!(stage.calls(DETACH), 0, "a detach that could not be proved is not begun");
        assert_eq!(stage.dead_letters().len(), 1);
    }
}

#[tokio::test]
async fn a_group_that_somebody_else_took_off_meanwhile_is_gone() {
    // The list lags, so the worker asks for what is gone already; accepted or not found, it ends the same.
    for absent_group in [AbsentGroup::NotFound, AbsentGroup::Accepted] {
        let stage = stage(|settings| settings.absent_group = absent_group).await;
        stage.send(&request("ep-a", "sg-a"));
        let other = async {
            stage.called(Action::ListVpcEndpoints, 1).await;
            stage.cloud.cloud().detach_now("ep-a", "sg-a", SystemTime::now());
        };
        tokio::join!(stage.run(), other);
        assert_eq!(stage.only_event()["outcome"], "detached", "{absent_group:?}");
    }
}

#[tokio::test]
async fn a_service_without_group_status_is_understood() {
    let (_, event) = detached_with(|settings| settings.omit_group_status = true).await;
    assert_eq!(event["effort"]["detach_calls"], 1);
}

#[tokio::test]
async fn pages_of_one_entry_are_read_to_the_end() {
    let (_, event) = detached_with(|settings| settings.page_size_max = 1).await;
    assert_eq!(event["evidence"]["security_groups_before"], json!(["sg-a", "sg-b", "sg-c"]));
    assert!(event["effort"]["read_calls"].as_u64().unwrap() > 3 + 1 + 2);
}

#[tokio::test]
async fn error_bodies_of_every_format_are_read() {
    for error_format in [ErrorFormat::Json, ErrorFormat::JsonLowerCamel, ErrorFormat::Xml] {
        let stage = stage(|settings| settings.error_format = error_format).await;
        stage.cloud.cloud().inject(Fault::on(DETACH, Effect::code("EndpointLocked")).nth(1));
        let event = stage.detach("sg-a").await;
        assert_eq!(event["effort"]["retries"], json!({ "EndpointLocked": 1 }), "{error_format:?}");
    }
}

#[tokio::test]
async fn quotas_slow_the_worker_down_and_stop_nothing() {
    for throttle_hint in [ThrottleHint::None, ThrottleHint::RetryAfter, ThrottleHint::RateLimit] {
        let stage = stage(|settings| {
            settings.throttle_hint = throttle_hint;
            settings.throttle_code = "Throttling.Api".to_owned();
        })
        .await;
        let mut quotas = documented_quotas();
        for quota in quotas.values_mut() {
            (quota.calls, quota.window) = (2, Duration::from_millis(300));
        }
        stage.cloud.cloud().set_quotas(quotas);
        let event = stage.detach("sg-a").await;
        assert_eq!(event["outcome"], "detached", "{throttle_hint:?}");
        assert!(event["effort"]["retries"]["Throttling.Api"].as_u64().unwrap() >= 1, "{throttle_hint:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour_is_corrected_by_the_answers_date() {
    for minutes in [60, -60] {
        let (stage, event) = detached_with(|settings| settings.clock_offset_ms = minutes * 60_000).await;
        assert_eq!(event["effort"]["retries"], json!({ "InvalidTimeStamp.Expired": 1 }));
        assert_eq!(stage.cloud.cloud().counts().signatures_rejected, 1);
    }
}

#[tokio::test]
async fn a_clock_that_no_date_cures_keeps_the_request() {
    let stage = stage(|settings| settings.clock_offset_ms = 90 * 24 * 3_600_000).await;
    stage.send(&request("ep-a", "sg-a"));
    stage.deliver().await;
    assert_eq!((stage.waiting(), stage.events().len(), stage.dead_letters().len()), (1, 0, 0));
    let alarms: Vec<_> = log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(alarms.len() == 1 && alarms[0]["message"].as_str().unwrap().contains("clock"), "{alarms:?}");
    stage.cloud.cloud().change_settings(|settings| settings.clock_offset_ms = 0);
    stage.run().await;
    assert_eq!(stage.only_event()["outcome"], "detached");
}

#[tokio::test]
async fn a_token_that_remembers_refusals_is_not_used_again_after_one() {
    let stage = stage(|settings| settings.client_token_remembers_refusals = true).await;
    stage.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
        endpoint.connection_status = "Connecting".into();
    });
    stage.send(&request("ep-a", "sg-a"));
    let connects = async {
        stage.called(DETACH, 1).await;
        stage.cloud.cloud().change_endpoint("ep-a", SystemTime::now(), |endpoint| {
            endpoint.connection_status = "Connected".into();
        });
    };
    tokio::join!(stage.run(), connects);
    assert_eq!(stage.only_event()["outcome"], "detached");
    assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").replays, 0);
}

#[tokio::test]
async fn wrong_keys_keep_the_request_and_the_right_ones_end_it() {
    let key = AccessKey::default();
    let broken = [
        AccessKey { access_key_secret: "another".to_owned(), ..key.clone() },
        AccessKey { inactive: true, ..key.clone() },
        AccessKey { security_token: Some("session".to_owned()), ..key.clone() },
    ];
    for broken in broken {
        let stage = stage(|_| ()).await;
        stage.cloud.cloud().set_access_key(broken.clone());
        stage.send(&request("ep-a", "sg-a"));
        stage.deliver().await;
        assert_eq!(
            (stage.events().len(), stage.dead_letters().len(), stage.waiting()),
            (0, 0, 1),
            "{broken:?}"
        );
        stage.cloud.cloud().set_access_key(key.clone());
        stage.run().await;
        assert_eq!(stage.only_event()["outcome"], "detached", "{broken:?}");
    }
}

#[tokio::test]
async fn a_sessions_token_is_sent_and_its_end_keeps_the_request() {
    let mut setting = Setting::with_endpoints(&[("ep-a", &["sg-a", "sg-b"])]);
    let session = AccessKey { security_token: Some("session".to_owned()), ..AccessKey::default() };
    setting.seed.access_keys = vec![session.clone()];
    setting.environment = vec![("ALIBABA_CLOUD_SECURITY_TOKEN", "session".to_owned())];
    let stage = Stage::set(setting).await;
    let expired = AccessKey { security_token_expires_at: Some(SystemTime::UNIX_EPOCH), ..session.clone() };
    stage.cloud.cloud().set_access_key(expired);
    stage.send(&request("ep-a", "sg-a"));
    stage.deliver().await;
    assert_eq!((stage.events().len(), stage.waiting()), (0, 1));
    stage.cloud.cloud().set_access_key(session);
    stage.run().await;
    assert_eq!(stage.only_event()["outcome"], "detached");
}
