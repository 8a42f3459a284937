//! Every row of the error table and every unreadable response, for every call.

use std::time::Duration;

use http::StatusCode;
use privatelink_detach::alibaba::codes;
use privatelink_simulator::{Action, Effect, Fault};
use serde_json::{Value, json};

use crate::environment::{TestEnvironment, request};
use crate::log;

const CALLS: [Action; 3] = [
    Action::DetachSecurityGroupFromVpcEndpoint,
    Action::ListVpcEndpointSecurityGroups,
    Action::ListVpcEndpoints,
];

/// Codes that are transient for every call.
const TRANSIENT: [&str; 29] = [
    "EndpointLocked",
    "ConcurrentCallNotSupported",
    "EndpointConnectionOperationDenied",
    "EndpointOperationDenied",
    "IncorrectStatus.VpcEndpoint",
    "SystemBusy",
    "ServiceUnavailable",
    "InternalError",
    "InternalServerError",
    "Throttling",
    "Throttling.User",
    "Throttling.Api",
    "Rejected.Throttling",
    "Throttling.NeverSeenBefore",
    "IdempotenceProcessing",
    "SignatureNonceUsed",
    "InvalidTimeStamp.Expired",
    "InvalidSecurityToken.Expired",
    "InvalidAccessKeyId.NotFound",
    "InvalidAccessKeyId.Inactive",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingSecurityToken",
    "InvalidSecurityToken.Malformed",
    "InvalidSecurityToken.MismatchWithAccessKey",
    "IdempotenceSignatureMismatch",
    "IdempotentParameterMismatch",
    "InvalidApi.NotFound",
    "NeverSeenBefore",
];

/// Codes that are permanent for every call.
const PERMANENT: [&str; 10] = [
    "EndpointMustContainSecurityGroup",
    "GatewayLoadBalancerNotSupportSecurityGroup",
    "EndpointServiceDeleted",
    "NoPermission",
    "Forbidden.RAM",
    "Forbidden.Anything",
    "RegionNotFound",
    "UnsupportedRegion",
    "MissingEndpointId",
    "InvalidParameter",
];

/// Runs a detach with an injected fault.
async fn detach_with(fault: Fault) -> (TestEnvironment, Value) {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.cloud.cloud().inject(fault);
    let event = env.detach("sg-a").await;
    (env, event)
}

#[tokio::test]
async fn transient_code_costs_exactly_one_retry() {
    for code in TRANSIENT {
        for call in CALLS {
            let (env, event) = detach_with(Fault::on(call, Effect::code(code)).nth(1)).await;
            assert_eq!(event["outcome"], "detached", "{code} at {call:?}: {event:#}");
            // A read whose credentials are refused is retried by the next delivery: the environment has no others.
            let is_redelivered = call != Action::DetachSecurityGroupFromVpcEndpoint
                && codes::kind(code, 403).is_about_credentials();
            let (deliveries, retries) = if is_redelivered { (2, json!({})) } else { (1, json!({ code: 1 })) };
            let effort = &event["effort"];
            assert_eq!(
                (&effort["deliveries"], &effort["retries"]),
                (&json!(deliveries), &retries),
                "{code} at {call:?}"
            );
            assert_eq!(env.cloud.cloud().counts().endpoint("ep-a").detaches_accepted, 1);
        }
    }
}

#[tokio::test]
async fn permanent_code_is_the_reason_of_the_refusal() {
    for code in PERMANENT {
        for call in CALLS {
            let (env, event) = detach_with(Fault::on(call, Effect::code(code)).nth(1)).await;
            assert_eq!(
                (&event["outcome"], &event["reason"]["code"]),
                (&json!("refused"), &json!(code)),
                "{call:?}"
            );
            for text in ["message", "advice", "runbook"] {
                assert!(event["reason"][text].as_str().unwrap().len() > 20, "{code} has a {text}");
            }
            let is_denial = code == "NoPermission" || code.starts_with("Forbidden.");
            assert_eq!(
                env.dead_letters().len(),
                usize::from(is_denial),
                "{code}: only a denial has a dead-letter copy"
            );
            assert!(env.is_attached("ep-a", "sg-a"));
        }
    }
}

#[tokio::test]
async fn unlisted_code_ends_a_request_only_when_it_repeats_and_leaves_a_copy() {
    let mut errors = 0;
    for call in CALLS {
        let (env, event) = detach_with(Fault::on(call, Effect::code("OperationConflict"))).await;
        assert_eq!(
            (&event["outcome"], &event["reason"]["code"]),
            (&json!("refused"), &json!("OperationConflict")),
            "{call:?}"
        );
        let runbook = event["reason"]["runbook"].as_str().unwrap();
        assert!(runbook.ends_with("#any-other-code"), "{runbook}");
        assert_eq!(event["effort"]["retries"], json!({ "OperationConflict": 1 }), "{call:?}");
        assert_eq!(env.dead_letters().len(), 1, "{call:?}: nothing is lost");
        errors += 1;
        let lines = log::lines();
        let is_of_code = |line: &&Value| line["level"] == "ERROR" && line["code"] == "OperationConflict";
        assert_eq!(lines.iter().filter(is_of_code).count(), errors, "{call:?}: one line for an invocation");
        assert!(env.is_attached("ep-a", "sg-a"));
    }
}

#[tokio::test]
async fn unlisted_code_is_judged_by_its_status() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    let mut errors = 0;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT] {
        let effect = Effect::code_with_status("OperationConflict", status);
        let (_, event) = detach_with(Fault::on(detach, effect).next(3)).await;
        assert_eq!(event["outcome"], "detached", "{status}: {event:#}");
        errors += 1;
        assert_eq!(error_lines().len(), errors, "{status}: one line for an invocation");
    }
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
        let effect = Effect::code_with_status("OperationConflict", status);
        detach_with(Fault::on(detach, effect).next(1)).await;
        assert_eq!(error_lines().len(), errors, "{status}: it passes without an operator");
    }
    let effect = Effect::code_with_status("UserDisable", StatusCode::FORBIDDEN);
    let (env, event) = detach_with(Fault::on(detach, effect).next(1)).await;
    assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!("UserDisable")));
    let runbook = event["reason"]["runbook"].as_str().unwrap();
    assert!(runbook.ends_with("#nopermission"), "a denial, by its status: {runbook}");
    assert_eq!((env.dead_letters().len(), error_lines().len()), (1, errors + 1));
}

#[tokio::test]
async fn security_group_not_found_for_a_listed_group_is_refused() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    let (_, event) = detach_with(Fault::on(detach, Effect::code("SecurityGroupNotFound"))).await;
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("SecurityGroupNotFound"))
    );
}

#[tokio::test]
async fn endpoint_not_found_is_inconclusive_while_the_record_exists() {
    for call in CALLS {
        let (_, event) = detach_with(Fault::on(call, Effect::code("EndpointNotFound")).nth(1)).await;
        assert_eq!(event["outcome"], "detached", "{call:?}: {event:#}");
    }
}

#[tokio::test]
async fn repeated_state_error_on_a_stable_endpoint_is_refused() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    for code in ["EndpointOperationDenied", "IncorrectStatus.VpcEndpoint"] {
        let (env, event) = detach_with(Fault::on(detach, Effect::code(code))).await;
        assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!(code)));
        assert_eq!(env.calls(detach), 2, "one more call after a read");
    }
}

#[tokio::test]
async fn mismatch_of_the_requests_client_token_is_refused() {
    for code in ["IdempotenceSignatureMismatch", "IdempotentParameterMismatch"] {
        let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
        let detach = Action::DetachSecurityGroupFromVpcEndpoint;
        env.cloud.cloud().inject(Fault::on(detach, Effect::code(code)).nth(1));
        let mut body = request("ep-a", "sg-a");
        body["client_token"] = json!("mine");
        env.send(&body);
        env.run().await;
        assert_eq!(env.only_event()["reason"]["code"], code);
    }
}

#[tokio::test]
async fn client_token_in_a_message_of_alibaba_cloud_reaches_no_output() {
    let token = "t0ken of the sender";
    for code in ["IdempotentParameterMismatch", "NoPermission", "OperationConflict"] {
        let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
        let message = Some("The client token {ClientToken} was used before.".to_owned());
        let code = code.to_owned();
        let quoting = Effect::Code { code, status: None, message, headers: http::HeaderMap::new() };
        // Only the first call has the sender's token.
        env.cloud.cloud().inject(Fault::on(Action::DetachSecurityGroupFromVpcEndpoint, quoting).nth(1));
        let mut body = request("ep-a", "sg-a");
        body["client_token"] = json!(token);
        env.send(&body);
        env.run().await;
        let event = env.only_event().to_string();
        let copies: Vec<_> = env.dead_letters().iter().map(|copy| format!("{:?}", copy.attributes)).collect();
        let logged = log::lines().iter().map(Value::to_string).collect();
        for output in [vec![event], copies, logged].concat() {
            assert!(!output.contains(token), "{output}");
        }
    }
}

#[tokio::test]
async fn dry_run_code_for_a_real_detach_is_inconclusive() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    let (_, event) = detach_with(Fault::on(detach, Effect::code("DryRunOperation")).nth(1)).await;
    assert_eq!(event["outcome"], "detached");
}

/// Unreadable responses, with the names under which `retries` counts them.
fn unreadable() -> Vec<(Effect, &'static str)> {
    vec![
        (Effect::Hang, "Timeout"),
        (Effect::Reset, "ConnectionLost"),
        (Effect::Truncated, "ConnectionLost"),
        (Effect::html(StatusCode::BAD_REQUEST), "Http400"),
        (Effect::html(StatusCode::FORBIDDEN), "Http403"),
        (Effect::html(StatusCode::NOT_FOUND), "Http404"),
        (Effect::html(StatusCode::BAD_GATEWAY), "Http502"),
        (Effect::html(StatusCode::TOO_MANY_REQUESTS), "Http429"),
        (Effect::html(StatusCode::OK), "UnreadableAnswer"),
        (Effect::Oversized { bytes: 2 * 1024 * 1024 }, "UnreadableAnswer"),
        (Effect::Redirect { location: http::HeaderValue::from_static("http://127.0.0.1:9/") }, "Http302"),
        (Effect::Empty, "UnreadableAnswer"),
        (Effect::code_with_status("NeverSeenBefore", StatusCode::BAD_GATEWAY), "NeverSeenBefore"),
    ]
}

#[tokio::test]
async fn unreadable_response_before_execution_costs_one_retry() {
    for (effect, name) in unreadable() {
        for call in CALLS {
            let (_, event) = detach_with(Fault::on(call, effect.clone()).nth(1)).await;
            assert_eq!(event["outcome"], "detached", "{effect:?} at {call:?}: {event:#}");
            assert_eq!(event["effort"]["retries"], json!({ name: 1 }), "{effect:?} at {call:?}");
        }
    }
}

#[tokio::test]
async fn response_lost_after_execution_causes_no_second_detach() {
    for (effect, name) in unreadable() {
        let detach = Action::DetachSecurityGroupFromVpcEndpoint;
        let (env, event) = detach_with(Fault::on(detach, effect.clone()).nth(1).after_execution()).await;
        assert_eq!(event["outcome"], "detached", "{effect:?}: {event:#}");
        assert_eq!(event["effort"]["retries"], json!({ name: 1 }), "{effect:?}");
        let counts = env.cloud.cloud().counts().endpoint("ep-a");
        assert_eq!((counts.detaches_accepted, counts.lock_rejections), (1, 0), "{effect:?}");
    }
}

/// The lines of an invocation that an operator must act on.
fn error_lines() -> Vec<Value> {
    log::lines().into_iter().filter(|line| line["level"] == "ERROR").collect()
}

#[tokio::test]
async fn invocation_without_any_response_logs_one_error_line_with_the_cause() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.cloud.cloud().inject(Fault::anywhere(Effect::Reset));
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    let errors = error_lines();
    let [line] = errors.as_slice() else { panic!("not one line: {errors:?}") };
    let text = "none of the worker's calls to Alibaba Cloud in this invocation got a response that can be read; requests \
                wait until their deadline";
    assert_eq!(line["message"], text);
    assert_eq!(line["code"], "ConnectionLost");
    assert_eq!(line["calls"].as_u64(), Some(env.cloud.cloud().counts().calls_total));
    let failed: Vec<_> = log::lines().into_iter().filter(|line| line["wait_ms"].is_u64()).collect();
    for line in failed.iter().chain([line]) {
        let cause = line["cause"].as_str().unwrap();
        assert!(cause.starts_with("reset: ") && !cause.contains("sg-a"), "{line}");
    }
    assert!(!failed.is_empty());
}

#[tokio::test]
async fn invocation_with_only_responses_of_a_proxy_logs_one_error_line() {
    let effects = [
        (Effect::html(StatusCode::FORBIDDEN), "Http403"),
        (Effect::html(StatusCode::UNAUTHORIZED), "Http401"),
        (Effect::html(StatusCode::BAD_GATEWAY), "Http502"),
        (Effect::html(StatusCode::OK), "UnreadableAnswer"),
        (Effect::Truncated, "ConnectionLost"),
    ];
    for (index, (effect, code)) in effects.into_iter().enumerate() {
        let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
        env.cloud.cloud().inject(Fault::anywhere(effect));
        env.send(&request("ep-a", "sg-a"));
        env.deliver().await;
        let errors = error_lines();
        assert_eq!(errors.len(), index + 1, "{code}: one line for an invocation: {errors:?}");
        let line = &errors[index];
        assert_eq!(line["code"], code);
        assert!(line["message"].as_str().unwrap().starts_with("none of the worker's calls"), "{line}");
    }
}

#[tokio::test]
async fn invocation_with_one_response_logs_no_error_line() {
    let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
    env.cloud.cloud().inject(Fault::on(Action::ListVpcEndpoints, Effect::Reset));
    env.send(&request("ep-a", "sg-a"));
    env.deliver().await;
    assert_eq!(error_lines(), [] as [Value; 0]);
}

#[tokio::test]
async fn slow_response_is_used() {
    for call in CALLS {
        let slow = Fault::on(call, Effect::ActualResponse).delayed(Duration::from_millis(100)).nth(1);
        let (_, event) = detach_with(slow).await;
        assert_eq!(
            (&event["outcome"], &event["effort"]["retries"]),
            (&json!("detached"), &json!({})),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn inconsistent_pages_never_count_as_absence() {
    for effect in [Effect::RepeatNextToken, Effect::OverstatedTotal { by: 1 }, Effect::RepeatedItem] {
        let (env, event) = detach_with(Fault::on(CALLS[1], effect.clone()).next(3)).await;
        assert_eq!(event["outcome"], "detached", "{effect:?}: {event:#}");
        assert!(event["effort"]["retries"]["UnreadableAnswer"].as_u64().unwrap() >= 1, "{effect:?}");
        assert!(!env.is_attached("ep-a", "sg-a"));
    }
}

#[tokio::test]
async fn credential_in_a_successful_response_reaches_neither_event_nor_log() {
    let secret = privatelink_simulator::AccessKey::default().access_key_secret;
    for effect in [field("EndpointStatus", &secret), field("EndpointStatus", "two words")] {
        let env = TestEnvironment::with_groups(&["sg-b"]).await;
        env.cloud.cloud().inject(Fault::on(CALLS[2], effect).next(1));
        let event = env.detach("sg-a").await;
        assert_eq!(event["outcome"], "already_detached");
        assert!(!event.to_string().contains(&secret));
    }
    let logged = log::lines().iter().any(|line| line.to_string().contains(&secret));
    assert!(!logged);
}

/// A list or a record whose entries have this text in this field.
fn field(field: &str, value: &str) -> Effect {
    Effect::ItemField { field: field.to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn response_that_proves_nothing_is_never_a_proof() {
    let record = CALLS[2];
    for (call, effect) in [
        (record, field("EndpointStatus", "pending")),
        (record, field("EndpointStatus", "Modifying")),
        (record, field("EndpointStatus", "")),
        (record, field("RegionId", "us-east-1")),
        (record, Effect::Unsuccessful),
        (CALLS[1], Effect::Unsuccessful),
        (CALLS[1], Effect::code_with_status("SystemBusy", StatusCode::OK)),
    ] {
        let env = TestEnvironment::with_groups(&["sg-b"]).await;
        env.cloud.cloud().inject(Fault::on(call, effect.clone()));
        let mut body = request("ep-a", "sg-a");
        body["deadline_seconds"] = json!(30);
        env.send(&body);
        env.deliver().await;
        assert_eq!((env.waiting(), env.events().len()), (1, 0), "{effect:?}");
        env.cloud.cloud().clear_faults();
        env.run().await;
        assert_eq!(env.only_event()["outcome"], "already_detached", "{effect:?}");
    }
}

#[tokio::test]
async fn list_that_may_be_incomplete_must_repeat() {
    // One empty list beside a list with our group, as a list that lags.
    let (env, event) = detach_with(Fault::on(CALLS[1], Effect::EmptyList).nth(1)).await;
    assert_eq!((&event["outcome"], &event["effort"]["retries"]), (&json!("detached"), &json!({})));
    assert!(!env.is_attached("ep-a", "sg-a"));

    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.cloud.cloud().inject(Fault::on(CALLS[1], Effect::UnderstatedTotal { by: 1 }));
    let event = env.detach("sg-a").await;
    assert_eq!(
        (&event["outcome"], &event["effort"]["read_calls"]),
        (&json!("already_detached"), &json!(4)),
        "two lists, each with the record"
    );
}

#[tokio::test]
async fn list_that_stays_inconsistent_ends_unconfirmed_at_the_deadline() {
    let env = TestEnvironment::with_groups(&["sg-b"]).await;
    env.cloud.cloud().inject(Fault::on(CALLS[1], Effect::OverstatedTotal { by: 1 }));
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    env.send(&body);
    env.deliver().await;
    assert_eq!(
        (env.waiting(), env.events().len()),
        (1, 0),
        "before the deadline the request stays in the queue"
    );
    env.advance(Duration::from_secs(31));
    env.run().await;
    let event = env.only_event();
    assert_eq!(event["outcome"], "unconfirmed");
    assert!(event["reason"]["message"].as_str().unwrap().contains("last error: UnreadableAnswer"));
}
