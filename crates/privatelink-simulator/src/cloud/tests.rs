//! The behavior of the service, with synthetic times and without signatures, which have their own tests.

mod attach;
mod groups;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::{
    action::VERSION,
    fault::Calls,
    quota::{Quota, documented},
    seed::{AccessKey, Endpoint},
    settings::{AbsentGroup, DenialCode, DetachEffect, ErrorFormat, LockCode, ThrottleHint},
};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const ATTACH: Action = Action::AttachSecurityGroupToVpcEndpoint;
const GROUPS: Action = Action::ListVpcEndpointSecurityGroups;
const ENDPOINTS: Action = Action::ListVpcEndpoints;

#[test]
fn detach_passes_through_detaching_and_pending() {
    let mut cloud = cloud(|settings| {
        settings.detach_takes = Duration::from_secs(3);
        settings.pending_after = Duration::from_secs(2);
    });
    assert_eq!(cloud.call(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1").status(), 200);
    for (second, groups, status) in [
        (0, json!([["sg-1", "Detaching"], ["sg-2", "Attached"]]), "Pending"),
        (2, json!([["sg-1", "Detaching"], ["sg-2", "Attached"]]), "Pending"),
        (3, json!([["sg-2", "Attached"]]), "Pending"),
        (4, json!([["sg-2", "Attached"]]), "Pending"),
        (5, json!([["sg-2", "Attached"]]), "Active"),
    ] {
        assert_eq!(cloud.groups(second), groups, "at {second}");
        assert_eq!(cloud.status(second), status, "at {second}");
    }
    assert_eq!(cloud.0.absent_since("ep-a", "sg-1", at(9)), Some(at(3)));
    assert_eq!(cloud.0.absent_since("ep-a", "sg-2", at(9)), None);
    assert_eq!(cloud.0.counts().endpoint("ep-a").detaches_accepted, 1);
}

#[test]
fn reattached_group_is_not_absent() {
    let mut cloud = cloud(|_| {});
    assert!(cloud.0.detach_now("ep-a", "sg-1", at(1)));
    assert_eq!(cloud.0.absent_since("ep-a", "sg-1", at(2)), Some(at(1)));
    assert_eq!(cloud.call(2, ATTACH, "EndpointId=ep-a&SecurityGroupId=sg-1").status(), 200);
    assert_eq!(cloud.groups(3), json!([["sg-1", "Attaching"], ["sg-2", "Attached"]]));
    assert_eq!(cloud.groups(5), json!([["sg-1", "Attached"], ["sg-2", "Attached"]]));
    assert_eq!(cloud.0.absent_since("ep-a", "sg-1", at(5)), None);
}

#[test]
fn endpoint_can_be_replaced() {
    let mut cloud = cloud(|_| {});
    let another = Endpoint::new("eu-west-1", "ep-a", ["sg-9"]);
    cloud.0.set_endpoint(another, at(1)).unwrap();
    assert_eq!(cloud.groups(2), json!([["sg-9", "Attached"]]));
    let elsewhere = Endpoint::new("unknown-1", "ep-a", ["sg-9"]);
    assert!(cloud.0.set_endpoint(elsewhere, at(3)).is_err());
}

#[test]
fn call_during_a_task_is_refused_with_the_lock_code() {
    for (lock_code, code) in [
        (LockCode::EndpointLocked, "EndpointLocked"),
        (LockCode::ConcurrentCallNotSupported, "ConcurrentCallNotSupported"),
        (LockCode::IncorrectStatus, "IncorrectStatus.VpcEndpoint"),
    ] {
        let mut cloud = cloud(|settings| settings.lock_code = lock_code);
        cloud.0.attach_now("ep-a", "sg-3", at(0));
        assert_eq!(cloud.code(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1"), None);
        assert_eq!(cloud.code(2, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-2").as_deref(), Some(code));
        assert_eq!(cloud.code(2, ATTACH, "EndpointId=ep-a&SecurityGroupId=sg-9").as_deref(), Some(code));
        assert_eq!(cloud.code(3, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-2"), None);
        let counts = cloud.0.counts().endpoint("ep-a");
        assert_eq!((counts.lock_rejections, counts.detaches_in_flight_max), (2, 2));
        assert_eq!(counts.detaches_accepted, 2);
    }
}

#[test]
fn held_endpoint_is_pending_and_locked() {
    let mut cloud = cloud(|_| {});
    assert!(cloud.0.hold_endpoint("ep-a", Duration::from_secs(10), at(0)));
    assert_eq!(cloud.status(9), "Pending");
    assert_eq!(
        cloud.code(9, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1").as_deref(),
        Some("EndpointLocked")
    );
    assert_eq!(cloud.code(10, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1"), None);
}

#[test]
fn each_endpoint_state_has_its_refusal() {
    type Change = fn(&mut Endpoint);
    let cases: [(Change, &str); 8] = [
        (
            |endpoint| endpoint.endpoint_type = "GatewayLoadBalancer".into(),
            "GatewayLoadBalancerNotSupportSecurityGroup",
        ),
        (|endpoint| endpoint.connection_status = "ServiceDeleted".into(), "EndpointServiceDeleted"),
        (|endpoint| endpoint.connection_status = "Connecting".into(), "EndpointConnectionOperationDenied"),
        (|endpoint| endpoint.business_status = "FinancialLocked".into(), "EndpointLocked"),
        (|endpoint| endpoint.endpoint_status = "Creating".into(), "EndpointOperationDenied"),
        (|endpoint| endpoint.endpoint_status = "Deleting".into(), "EndpointOperationDenied"),
        (|endpoint| endpoint.endpoint_status = "Pending".into(), "EndpointLocked"),
        (|endpoint| endpoint.security_groups.truncate(1), "EndpointMustContainSecurityGroup"),
    ];
    for (change, code) in cases {
        let mut cloud = cloud(|_| {});
        assert!(cloud.0.change_endpoint("ep-a", at(0), change));
        assert_eq!(cloud.code(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1").as_deref(), Some(code));
        assert_eq!(cloud.0.counts().endpoint("ep-a").detaches_accepted, 0);
    }
}

#[test]
fn missing_or_unknown_parameter_has_its_code() {
    let mut cloud = cloud(|_| {});
    for (action, query, code) in [
        (DETACH, "EndpointId=ep-a", "MissingSecurityGroupId"),
        (DETACH, "SecurityGroupId=sg-1", "MissingEndpointId"),
        (DETACH, "EndpointId=ep-z&SecurityGroupId=sg-1", "EndpointNotFound"),
        (DETACH, "EndpointId=ep-a&SecurityGroupId=sg-z", "SecurityGroupNotFound"),
        (DETACH, "EndpointId=ep-a&SecurityGroupId=sg-9", "SecurityGroupNotFound"),
        (DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1&DryRun=1", "InvalidParameter"),
        (DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1&RegionId=unknown-1", "RegionNotFound"),
        (DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1&RegionId=us-east-1", "EndpointNotFound"),
        (ATTACH, "EndpointId=ep-a&SecurityGroupId=sg-1", "SecurityGroupAlreadyAttached"),
        (ATTACH, "EndpointId=ep-a&SecurityGroupId=sg-z", "SecurityGroupNotFound"),
        (GROUPS, "EndpointId=ep-z", "EndpointNotFound"),
        (Action::GetVpcEndpointAttribute, "EndpointId=ep-z", "EndpointNotFound"),
    ] {
        assert_eq!(cloud.code(0, action, query).as_deref(), Some(code), "{action} {query}");
    }
    let none = cloud.read(0, ENDPOINTS, "EndpointId=ep-z");
    assert_eq!((&none["Endpoints"], &none["TotalCount"]), (&json!([]), &json!(0)));
}

#[test]
fn lost_last_group_is_noticed() {
    let mut cloud = cloud(|settings| settings.refuse_last_group = false);
    assert_eq!(cloud.code(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1"), None);
    assert_eq!(cloud.0.emptied_at("ep-a", at(3)), None);
    assert_eq!(cloud.code(3, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-2"), None);
    assert_eq!(cloud.groups(6), json!([]));
    cloud.0.attach_now("ep-a", "sg-1", at(7));
    assert_eq!(cloud.0.emptied_at("ep-a", at(9)), Some(at(6)));
}

#[test]
fn endpoint_has_at_most_ten_groups() {
    let mut cloud = cloud(|_| {});
    for group in 3..=10 {
        assert!(cloud.0.attach_now("ep-a", format!("sg-x{group}"), at(0)));
    }
    let code = cloud.code(0, ATTACH, "EndpointId=ep-a&SecurityGroupId=sg-9");
    assert_eq!(code.as_deref(), Some("QuotaExceeded.SecurityGroupsPerEndpoint"));
}

#[test]
fn dry_run_returns_an_error_code_and_changes_nothing() {
    let mut cloud = cloud(|_| {});
    let before = cloud.0.snapshot(at(0));
    let query = "EndpointId=ep-a&SecurityGroupId=sg-1&DryRun=true";
    assert_eq!(cloud.code(0, DETACH, query).as_deref(), Some("DryRunOperation"));
    assert_eq!(cloud.0.snapshot(at(0)), before);
    assert_eq!(
        cloud.code(0, DETACH, &query.replace("sg-1", "sg-9")).as_deref(),
        Some("SecurityGroupNotFound")
    );
}

#[test]
fn repeated_client_token_returns_the_first_result() {
    let mut cloud = cloud(|_| {});
    let query = "EndpointId=ep-a&SecurityGroupId=sg-1&ClientToken=t";
    let first = cloud.read(0, DETACH, query);
    cloud.0.attach_now("ep-a", "sg-1", at(60));
    assert_eq!(cloud.read(60, DETACH, query), first);
    assert_eq!(cloud.groups(120), json!([["sg-1", "Attached"], ["sg-2", "Attached"]]));
    let other = cloud.code(120, DETACH, &query.replace("sg-1", "sg-2"));
    assert_eq!(other.as_deref(), Some("IdempotentParameterMismatch"));
    let counts = cloud.0.counts().endpoint("ep-a");
    assert_eq!((counts.detaches_accepted, counts.replays), (1, 1));
}

#[test]
fn refusal_is_stored_under_its_token_only_if_enabled() {
    let query = "EndpointId=ep-a&SecurityGroupId=sg-1&ClientToken=t";
    for (remembers, code) in [(false, None), (true, Some("EndpointLocked"))] {
        let mut cloud = cloud(|settings| settings.client_token_remembers_refusals = remembers);
        cloud.0.hold_endpoint("ep-a", Duration::from_secs(1), at(0));
        assert_eq!(cloud.code(0, DETACH, query).as_deref(), Some("EndpointLocked"));
        assert_eq!(cloud.code(1, DETACH, query).as_deref(), code);
    }
}

#[test]
fn lagging_read_returns_the_earlier_state() {
    let mut cloud = cloud(|settings| settings.read_lag = Duration::from_secs(2));
    cloud.call(10, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1");
    assert_eq!(cloud.status(10), "Pending", "read_lag does not delay records");
    assert_eq!(cloud.groups(11), json!([["sg-1", "Attached"], ["sg-2", "Attached"]]));
    assert_eq!(cloud.groups(12), json!([["sg-1", "Detaching"], ["sg-2", "Attached"]]));
    assert_eq!(cloud.status(13), "Active");
    assert_eq!(cloud.groups(14), json!([["sg-1", "Detaching"], ["sg-2", "Attached"]]));
    assert_eq!(cloud.groups(15), json!([["sg-2", "Attached"]]));
}

#[test]
fn accepted_detach_can_have_no_effect_or_fail() {
    let query = "EndpointId=ep-a&SecurityGroupId=sg-1";
    let both = json!([["sg-1", "Attached"], ["sg-2", "Attached"]]);
    let mut without_effect = cloud(|settings| settings.detach_effect = DetachEffect::Nothing);
    assert_eq!(without_effect.code(0, DETACH, query), None);
    assert_eq!((without_effect.groups(0), without_effect.status(0)), (both.clone(), "Active".to_owned()));

    let mut failing = cloud(|_| {});
    failing.0.inject(Fault::on(DETACH, Effect::AcceptedThenFails).nth(1));
    assert_eq!(failing.code(0, DETACH, query), None);
    assert_eq!(failing.groups(2)[0], json!(["sg-1", "Detaching"]));
    assert_eq!((failing.groups(3), failing.status(3)), (both, "Active".to_owned()));
    assert_eq!(failing.0.absent_since("ep-a", "sg-1", at(9)), None);
    assert_eq!(failing.code(9, DETACH, query), None);
    assert_eq!(failing.0.absent_since("ep-a", "sg-1", at(12)), Some(at(12)));
}

#[test]
fn detach_of_an_absent_group_can_be_accepted() {
    let mut cloud = cloud(|settings| settings.absent_group = AbsentGroup::Accepted);
    assert_eq!(cloud.code(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-9"), None);
    assert_eq!(cloud.status(0), "Active");
}

#[test]
fn removed_endpoint_is_not_found() {
    let mut cloud = cloud(|_| {});
    cloud.call(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1");
    assert!(cloud.0.remove_endpoint("ep-a", at(1)));
    assert_eq!(cloud.code(1, GROUPS, "EndpointId=ep-a").as_deref(), Some("EndpointNotFound"));
    assert_eq!(cloud.0.absent_since("ep-a", "sg-1", at(9)), Some(at(1)));
    assert!(!cloud.0.remove_endpoint("ep-a", at(9)));
}

#[test]
fn ram_denies_the_denied_actions() {
    let seed = || Seed {
        access_keys: vec![AccessKey { denied_actions: [DETACH].into(), ..AccessKey::default() }],
        ..seed(|_| {})
    };
    for (denial_code, code, status) in
        [(DenialCode::NoPermission, "NoPermission", 400), (DenialCode::ForbiddenRam, "Forbidden.RAM", 403)]
    {
        let mut cloud = TestCloud(Cloud::new(seed()).unwrap());
        cloud.0.change_settings(|settings| settings.denial_code = denial_code);
        let response = cloud.call(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((response.status().as_u16(), &body["Code"]), (status, &json!(code)));
        assert_eq!(body["AccessDeniedDetail"]["AuthAction"], format!("privatelink:{DETACH}"));
        assert_eq!(cloud.code(0, GROUPS, "EndpointId=ep-a"), None);
    }
}

#[test]
fn throttled_response_contains_a_retry_hint() {
    let query = "EndpointId=ep-a";
    let mut cloud = cloud(|_| {});
    let mut quotas = documented();
    quotas.insert(GROUPS, Quota { calls: 1, window: Duration::from_mins(1) });
    cloud.0.set_quotas(quotas);
    assert_eq!(cloud.code(0, GROUPS, query), None);
    let throttled = cloud.call(20, GROUPS, query);
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["x-acs-retry-after"]),
        (400, &"40000".parse().unwrap())
    );
    cloud.0.change_settings(|settings| settings.throttle_hint = ThrottleHint::RateLimit);
    let throttled = cloud.call(20, GROUPS, query);
    assert_eq!(throttled.headers()["x-ratelimit-user-api"], "Limit:1,Remain:0,TimeLeft:40000,Reset:40000");
    assert_eq!(cloud.0.counts().throttled, 2);
    assert_eq!(cloud.code(60, GROUPS, query), None);
}

#[test]
fn error_body_has_the_configured_format() {
    let mut cloud = cloud(|_| {});
    let response = cloud.call(0, GROUPS, "EndpointId=ep-z");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let mut keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["Code", "HostId", "Message", "Recommend", "RequestId"]);
    assert_eq!(body["HostId"], "privatelink.test");
    assert_eq!(response.headers()["date"], "Thu, 01 Jan 1970 00:00:00 GMT");

    cloud.0.change_settings(|settings| settings.error_format = ErrorFormat::JsonLowerCamel);
    let body: Value = serde_json::from_slice(cloud.call(0, GROUPS, "EndpointId=ep-z").body()).unwrap();
    assert_eq!(body["code"], "EndpointNotFound");

    cloud.0.change_settings(|settings| settings.error_format = ErrorFormat::Xml);
    let response = cloud.call(0, GROUPS, "EndpointId=ep-z");
    let text = String::from_utf8(response.into_body().into()).unwrap();
    assert!(text.contains("<Code>EndpointNotFound</Code>") && text.contains("&amp;product="), "{text}");
}

#[test]
fn unknown_action_version_path_or_method_is_refused() {
    let mut cloud = cloud(|_| {});
    let mut code = |method: &str, uri: &str, action: &str, version: &str| {
        let request = Request::builder().method(method).uri(uri).header("x-acs-action", action);
        let request = request.header("x-acs-version", version).body(Bytes::new()).unwrap();
        let body: Value = serde_json::from_slice(cloud.0.handle(&request, at(0)).response.body()).unwrap();
        body["Code"].as_str().map(str::to_owned)
    };
    assert_eq!(code("GET", "/", "DescribeRegions", VERSION), None);
    for (method, uri, action, version, expected) in [
        ("POST", "/", "DeleteVpcEndpoint", VERSION, "InvalidApi.NotFound"),
        ("POST", "/", "DescribeRegions", "2014-05-26", "InvalidApi.NotFound"),
        ("POST", "/v1", "DescribeRegions", VERSION, "InvalidApi.NotFound"),
        ("PUT", "/", "DescribeRegions", VERSION, "UnsupportedHTTPMethod"),
    ] {
        assert_eq!(code(method, uri, action, version).as_deref(), Some(expected));
    }
}

#[test]
fn parameters_can_be_sent_as_a_form() {
    let mut cloud = cloud(|_| {});
    let request = Request::post("/")
        .header("x-acs-action", GROUPS.name())
        .header("x-acs-version", VERSION)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from_static(b"RegionId=eu-west-1&EndpointId=ep-a"))
        .unwrap();
    assert_eq!(cloud.0.handle(&request, at(0)).response.status(), 200);
}

#[test]
fn fault_executes_the_call_only_if_set_to_after() {
    let query = "EndpointId=ep-a&SecurityGroupId=sg-1";
    let cases = [
        (Effect::code("SystemBusy"), Transmission::Whole { after: Duration::ZERO }, 400),
        (
            Effect::code_with_status("Odd", StatusCode::IM_A_TEAPOT),
            Transmission::Whole { after: Duration::ZERO },
            418,
        ),
        (Effect::Hang, Transmission::Hang, 200),
        (Effect::Reset, Transmission::Reset { after: Duration::ZERO }, 200),
        (Effect::html(StatusCode::BAD_GATEWAY), Transmission::Whole { after: Duration::ZERO }, 502),
        (Effect::Oversized { bytes: 2_000_000 }, Transmission::Whole { after: Duration::ZERO }, 200),
        (
            Effect::Redirect { location: "https://e.com/".parse().unwrap() },
            Transmission::Whole { after: Duration::ZERO },
            302,
        ),
        (Effect::Empty, Transmission::Whole { after: Duration::ZERO }, 200),
    ];
    for (effect, transmission, status) in cases {
        for (fault, accepted) in [
            (Fault::on(DETACH, effect.clone()).nth(1), 0),
            (Fault::on(DETACH, effect.clone()).nth(1).after_execution(), 1),
        ] {
            let mut cloud = cloud(|_| {});
            cloud.0.inject(fault);
            let response = cloud.answer(0, DETACH, query);
            assert_eq!(
                (response.transmission, response.response.status().as_u16()),
                (transmission, status),
                "{effect:?}"
            );
            assert_eq!(cloud.0.counts().endpoint("ep-a").detaches_accepted, accepted, "{effect:?}");
            assert!(cloud.0.snapshot(at(0)).faults.is_empty());
        }
    }
}

#[test]
fn truncated_response_declares_a_larger_length() {
    let mut cloud = cloud(|_| {});
    cloud.0.inject(Fault::anywhere(Effect::Truncated).next(1).delayed(Duration::from_millis(7)));
    let SimulatedResponse { response, transmission } = cloud.answer(0, GROUPS, "EndpointId=ep-a");
    let Transmission::Truncated { after, announced } = transmission else { unreachable!("{transmission:?}") };
    assert_eq!(after, Duration::from_millis(7));
    assert!(announced > response.body().len() as u64 && !response.body().is_empty());
}

#[test]
fn fault_that_no_call_can_match_is_ignored() {
    let mut cloud = cloud(|_| {});
    cloud.0.inject(Fault { call: Calls::Nth(0), ..Fault::anywhere(Effect::Hang) });
    assert!(cloud.0.snapshot(at(0)).faults.is_empty());
}

#[test]
fn cloud_restored_from_a_snapshot_behaves_the_same() {
    let mut first = cloud(|settings| settings.pending_after = Duration::from_secs(2));
    first.call(0, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1");
    let json = serde_json::to_vec(&first.0.snapshot(at(1))).unwrap();
    let mut second = TestCloud(Cloud::new(Seed::from_json(&json).unwrap()).unwrap());
    for second_of_test in [1, 3, 4, 5] {
        assert_eq!(second.0.snapshot(at(second_of_test)), first.0.snapshot(at(second_of_test)));
    }
    assert_eq!(second.status(5), "Active");
}

#[test]
fn journal_records_call_and_result() {
    let mut cloud = cloud(|_| {});
    cloud.0.inject(Fault::on(DETACH, Effect::Reset).after_execution().nth(1));
    cloud.call(1, DETACH, "EndpointId=ep-a&SecurityGroupId=sg-1&ClientToken=t&DryRun=false");
    let expected = JournalEntry {
        at: at(1),
        action: Some(DETACH.name().to_owned()),
        endpoint_id: Some("ep-a".into()),
        security_group_id: Some("sg-1".into()),
        client_token: Some("t".to_owned()),
        dry_run: false,
        nonce: None,
        session_name: None,
        token_in_url: false,
        executed: true,
        fault: true,
        status: None,
        code: None,
    };
    assert_eq!(cloud.0.journal(), [expected]);
}

#[test]
fn server_clock_can_be_offset() {
    let mut cloud = cloud(|settings| settings.clock_offset_ms = 20 * 60 * 1000);
    assert_eq!(cloud.call(0, GROUPS, "EndpointId=ep-a").headers()["date"], "Thu, 01 Jan 1970 00:20:00 GMT");
}

/// A cloud with helper methods for calls.
struct TestCloud(Cloud);

impl TestCloud {
    fn answer(&mut self, second: u64, action: Action, query: &str) -> SimulatedResponse {
        let region = if query.contains("RegionId") { "" } else { "RegionId=eu-west-1&" };
        let request = Request::post(format!("/?{region}{query}"))
            .header("host", "privatelink.test")
            .header("x-acs-action", action.name())
            .header("x-acs-version", action.version())
            .header(
                "authorization",
                "ACS3-HMAC-SHA256 Credential=LTAI5tSimulatorKey,SignedHeaders=host,Signature=0",
            )
            .body(Bytes::new())
            .unwrap();
        self.0.handle(&request, at(second))
    }

    fn call(&mut self, second: u64, action: Action, query: &str) -> http::Response<Bytes> {
        self.answer(second, action, query).response
    }

    fn read(&mut self, second: u64, action: Action, query: &str) -> Value {
        let response = self.call(second, action, query);
        assert_eq!(response.status(), 200, "{response:?}");
        serde_json::from_slice(response.body()).unwrap()
    }

    fn code(&mut self, second: u64, action: Action, query: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(self.call(second, action, query).body()).unwrap();
        body["Code"].as_str().map(str::to_owned)
    }

    fn groups(&mut self, second: u64) -> Value {
        let read = self.read(second, GROUPS, "EndpointId=ep-a");
        let groups = read["SecurityGroups"].as_array().unwrap().iter();
        groups.map(|group| json!([group["SecurityGroupId"], group["SecurityGroupStatus"]])).collect()
    }

    fn status(&mut self, second: u64) -> String {
        let read = self.read(second, ENDPOINTS, "EndpointId=ep-a");
        read["Endpoints"][0]["EndpointStatus"].as_str().unwrap().to_owned()
    }
}

fn cloud(change: impl FnOnce(&mut Settings)) -> TestCloud {
    TestCloud(Cloud::new(seed(change)).unwrap())
}

fn seed(change: impl FnOnce(&mut Settings)) -> Seed {
    let mut settings = Settings { verify_signatures: false, ..Settings::default() };
    change(&mut settings);
    Seed {
        settings,
        security_groups: ["sg-9".into()].into(),
        endpoints: vec![Endpoint::new("eu-west-1", "ep-a", ["sg-1", "sg-2"])],
        ..Seed::default()
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}
