//! Every row of the error table and every broken answer, at every call.

use std::time::Duration;

use http::StatusCode;
use privatelink_simulator::{Action, Effect, Fault};
use serde_json::{Value, json};

use crate::stage::{Stage, request};

const CALLS: [Action; 3] = [
    Action::DetachSecurityGroupFromVpcEndpoint,
    Action::ListVpcEndpointSecurityGroups,
    Action::ListVpcEndpoints,
];

/// Codes that pass, whichever call meets them.
const PASSING: [&str; 27] = [
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
];

/// Codes that last, whichever call meets them.
const LASTING: [&str; 12] = [
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
    "InvalidApi.NotFound",
    "NeverSeenBefore",
];

/// The event of a detach whose first call of this action meets a fault.
async fn after(fault: Fault) -> (Stage, Value) {
    let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
    stage.cloud.cloud().inject(fault);
    let event = stage.detach("sg-a").await;
    (stage, event)
}

#[tokio::test]
async fn a_code_that_passes_costs_a_retry_and_nothing_else() {
    for code in PASSING {
        for call in CALLS {
            let (stage, event) = after(Fault::on(call, Effect::code(code)).nth(1)).await;
            assert_eq!(event["outcome"], "detached", "{code} at {call:?}: {event:#}");
            assert_eq!(event["effort"]["retries"], json!({ code: 1 }), "{code} at {call:?}");
            assert_eq!(stage.cloud.cloud().counts().endpoint("ep-a").detaches_accepted, 1);
        }
    }
}

#[tokio::test]
async fn a_code_that_lasts_is_the_reason_of_a_refusal() {
    for code in LASTING {
        for call in CALLS {
            let (stage, event) = after(Fault::on(call, Effect::code(code)).nth(1)).await;
            assert_eq!(
                (&event["outcome"], &event["reason"]["code"]),
                (&json!("refused"), &json!(code)),
                "{call:?}"
            );
            for text in ["message", "advice", "runbook"] {
                assert!(event["reason"][text].as_str().unwrap().len() > 20, "{code} has its {text}");
            }
            let is_denial = code == "NoPermission" || code.starts_with("Forbidden.");
            assert_eq!(stage.dead_letters().len(), usize::from(is_denial), "{code}: only a denial is copied");
            assert!(stage.is_attached("ep-a", "sg-a"));
        }
    }
}

#[tokio::test]
async fn a_group_that_is_not_found_is_refused_while_it_is_listed() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    let (_, event) = after(Fault::on(detach, Effect::code("SecurityGroupNotFound"))).await;
    assert_eq!(
        (&event["outcome"], &event["reason"]["code"]),
        (&json!("refused"), &json!("SecurityGroupNotFound"))
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_found_beside_its_record_is_doubted() {
    for call in CALLS {
        let (_, event) = after(Fault::on(call, Effect::code("EndpointNotFound")).nth(1)).await;
        assert_eq!(event["outcome"], "detached", "{call:?}: {event:#}");
    }
}

#[tokio::test]
async fn a_state_that_forbids_it_twice_at_rest_is_refused() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    for code in ["EndpointOperationDenied", "IncorrectStatus.VpcEndpoint"] {
        let (stage, event) = after(Fault::on(detach, Effect::code(code))).await;
        assert_eq!((&event["outcome"], &event["reason"]["code"]), (&json!("refused"), &json!(code)));
        assert_eq!(stage.calls(detach), 2, "one more try after a look");
    }
}

#[tokio::test]
async fn a_callers_token_that_does_not_match_is_the_callers_to_know() {
    for code in ["IdempotenceSignatureMismatch", "IdempotentParameterMismatch"] {
        let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
        let detach = Action::DetachSecurityGroupFromVpcEndpoint;
        stage.cloud.cloud().inject(Fault::on(detach, Effect::code(code)).nth(1));
        let mut body = request("ep-a", "sg-a");
        body["client_token"] = json!("mine");
        stage.send(&body);
        stage.run().await;
        assert_eq!(stage.only_event()["reason"]["code"], code);
    }
}

#[tokio::test]
async fn a_dry_run_code_to_a_real_detach_is_doubted() {
    let detach = Action::DetachSecurityGroupFromVpcEndpoint;
    let (_, event) = after(Fault::on(detach, Effect::code("DryRunOperation")).nth(1)).await;
    assert_eq!(event["outcome"], "detached");
}

/// Answers that cannot be read, and what they are called.
fn broken() -> Vec<(Effect, &'static str)> {
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
async fn a_broken_answer_before_the_call_was_carried_out_costs_a_retry() {
    for (effect, name) in broken() {
        for call in CALLS {
            let (_, event) = after(Fault::on(call, effect.clone()).nth(1)).await;
            assert_eq!(event["outcome"], "detached", "{effect:?} at {call:?}: {event:#}");
            assert_eq!(event["effort"]["retries"], json!({ name: 1 }), "{effect:?} at {call:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_detach_was_carried_out_makes_no_second_detach() {
    for (effect, name) in broken() {
        let detach = Action::DetachSecurityGroupFromVpcEndpoint;
        let (stage, event) = after(Fault::on(detach, effect.clone()).nth(1).after_execution()).await;
        assert_eq!(event["outcome"], "detached", "{effect:?}: {event:#}");
        assert_eq!(event["effort"]["retries"], json!({ name: 1 }), "{effect:?}");
        let counts = stage.cloud.cloud().counts().endpoint("ep-a");
        assert_eq!((counts.detaches_accepted, counts.lock_rejections), (1, 0), "{effect:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_still_an_answer() {
    for call in CALLS {
        let slow = Fault::on(call, Effect::ActualResponse).delayed(Duration::from_millis(100)).nth(1);
        let (_, event) = after(slow).await;
        assert_eq!(
            (&event["outcome"], &event["effort"]["retries"]),
            (&json!("detached"), &json!({})),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn pages_that_do_not_add_up_are_never_read_as_absence() {
    for effect in [Effect::RepeatNextToken, Effect::OverstatedTotal { by: 1 }, Effect::RepeatedItem] {
        let (stage, event) = after(Fault::on(CALLS[1], effect.clone()).next(3)).await;
        assert_eq!(event["outcome"], "detached", "{effect:?}: {event:#}");
        assert!(event["effort"]["retries"]["UnreadableAnswer"].as_u64().unwrap() >= 1, "{effect:?}");
        assert!(!stage.is_attached("ep-a", "sg-a"));
    }
}

#[tokio::test]
async fn a_list_that_never_adds_up_ends_unconfirmed_at_the_deadline() {
    let stage = Stage::with_groups(&["sg-b"]).await;
    stage.cloud.cloud().inject(Fault::on(CALLS[1], Effect::OverstatedTotal { by: 1 }));
    let mut body = request("ep-a", "sg-a");
    body["deadline_seconds"] = json!(30);
    stage.send(&body);
    stage.deliver().await;
    assert_eq!((stage.waiting(), stage.events().len()), (1, 0), "until then it is neither gone nor given up");
    stage.aws.advance(Duration::from_secs(31));
    stage.run().await;
    let event = stage.only_event();
    assert_eq!(event["outcome"], "unconfirmed");
    assert!(event["reason"]["message"].as_str().unwrap().contains("last error: UnreadableAnswer"));
}
