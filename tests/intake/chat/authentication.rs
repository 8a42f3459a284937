//! Which calls are verified, and how their secrets are rotated.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use local_aws::{Action, FunctionUrlSettings};
use serde_json::json;

use super::{assert_acknowledged, count};
use crate::deployment::{Deployment, Response};
use crate::slack::{
    Clicked, KEY, KEY_NEXT, SIGNING_ARN, SLACK_SECRET, Typed, VERIFICATION_ARN, aws, button, call,
    deployment, deployment_on, keys, notices, pending, results, signed, verification,
};

const SECRET_NEXT: &str = "c87879816b60ace29da36143581967dc";

fn typed() -> Typed {
    Typed::new("detach sg-a ep-a eu-west-1")
}

/// Asserts that the response is the one for every call that is not authenticated, without a reason.
#[track_caller]
fn assert_unauthorized(response: &Response) {
    response.assert_problem(401);
    assert_eq!(response.header("x-amzn-remapped-www-authenticate"), Some("slack"));
    assert_eq!(response.body["detail"], "The call is not authenticated.");
}

#[tokio::test]
async fn call_that_slack_did_not_sign_now_is_unauthorized() {
    let deployment = deployment().await;
    let approve = Clicked::approve(&button(1));
    for body in [typed().body(), approve.body()] {
        let unsigned = || call(body.clone());
        let whole = || signed(unsigned(), SLACK_SECRET, 0);
        for call in [
            unsigned(),
            signed(unsigned(), SECRET_NEXT, 0),
            // A clock that is a few seconds off must not decide.
            signed(unsigned(), SLACK_SECRET, -250),
            signed(unsigned(), SLACK_SECRET, 40),
            whole().with_body(format!("{body}&x=1")),
            whole().without("x-slack-signature"),
            whole().without("x-slack-request-timestamp"),
            whole().with("x-slack-signature", "v0=x"),
            whole().with("x-slack-request-timestamp", "x"),
        ] {
            assert_unauthorized(&deployment.call(call).await);
        }
    }
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
    for seconds in [-230, 20] {
        let call = signed(call(typed().body()), SLACK_SECRET, seconds);
        assert_eq!(deployment.call(call).await.status, 200);
    }
}

#[tokio::test]
async fn wrong_signatures_cause_one_read() {
    let deployment = deployment().await;
    for _ in 0..10 {
        let call = signed(call(typed().body()), SECRET_NEXT, 0);
        assert_unauthorized(&deployment.call(call).await);
    }
    assert_eq!(count(&deployment, Action::GetSecretValue), 3 + 1, "at start, and after the first mismatch");
}

#[tokio::test]
async fn signing_secret_is_rotated_without_a_deployment() {
    let deployment = deployment().await;
    deployment.aws.secrets().put(VERIFICATION_ARN, verification(&[SLACK_SECRET, SECRET_NEXT]));
    for secret in [SECRET_NEXT, SLACK_SECRET] {
        let call = signed(call(typed().body()), secret, 0);
        assert_eq!(deployment.call(call).await.status, 200);
    }
    assert_eq!((deployment.messages().len(), count(&deployment, Action::GetSecretValue)), (2, 4));
}

#[tokio::test]
async fn chat_signing_key_is_rotated_without_a_deployment() {
    let deployment = deployment().await;
    deployment.aws.secrets().put(SIGNING_ARN, json!([KEY_NEXT, KEY]).to_string());
    // The messenger read the new list already, and the intake did not.
    let newer = privatelink_detach::chat::signed::button(&pending(2), &keys(&[KEY_NEXT]));
    for value in [newer, button(1)] {
        assert_acknowledged(&deployment.call(Clicked::approve(&value).call()).await);
    }
    assert_eq!(results(&deployment), ["approved"; 2]);
    assert_eq!((deployment.messages().len(), count(&deployment, Action::GetSecretValue)), (2, 4));
}

#[tokio::test]
async fn deployment_without_chat_has_no_entry_point() {
    let deployment = Deployment::new().await;
    deployment.call(typed().call()).await.assert_problem(404);
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn entry_point_has_one_method() {
    let deployment = deployment().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let mut call = typed().call();
        call.method = method;
        let response = deployment.call(call).await;
        response.assert_problem(405);
        assert_eq!(response.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn signature_of_a_base64_body_is_verified_over_the_decoded_bytes() {
    let url = FunctionUrlSettings { is_base64_forced: true, ..Default::default() };
    let deployment = deployment_on(aws().await, &[], url).await;
    assert_eq!(deployment.call(typed().call()).await.status, 200);
    assert_acknowledged(&deployment.call(Clicked::approve(&button(1)).call()).await);
    assert_eq!(deployment.messages().len(), 2);
    let event = json!({ "version": "2.0", "rawPath": "/chat/slack", "headers": {}, "isBase64Encoded": true,
        "body": "!", "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 } });
    assert_eq!(deployment.invoke(&event.to_string()).await.unwrap()["statusCode"], 400);
}

#[tokio::test]
async fn stage_of_an_http_api_and_slashes_are_not_part_of_the_path() {
    let url = FunctionUrlSettings { stage: Some("prod".to_owned()), ..Default::default() };
    let deployment = deployment_on(aws().await, &[], url).await;
    for path in ["/chat/slack", "//chat/slack/"] {
        let mut call = typed().call();
        path.clone_into(&mut call.path);
        assert_eq!(deployment.call(call).await.status, 200, "{path}");
    }
    assert_eq!(deployment.messages().len(), 2);
    let mut call = typed().call();
    "/chat".clone_into(&mut call.path);
    deployment.call(call).await.assert_problem(404);
}

#[tokio::test]
async fn age_is_judged_by_the_time_at_which_aws_received_the_call() {
    let deployment = deployment().await;
    let call = signed(call(typed().body()), SLACK_SECRET, 0);
    let header = |name: &str| call.headers[name].to_str().unwrap();
    let timestamp: i64 = header("x-slack-request-timestamp").parse().unwrap();
    let event = |received_at: i64| {
        json!({
            "version": "2.0", "rawPath": "/chat/slack", "isBase64Encoded": true, "body": BASE64_STANDARD.encode(&call.body),
            "headers": { "X-Slack-Request-Timestamp": timestamp.to_string(),
                         "X-Slack-Signature": header("x-slack-signature") },
            "requestContext": { "http": { "method": "POST" }, "timeEpoch": received_at * 1000 },
        })
        .to_string()
    };
    for (received_at, status) in
        [(timestamp + 241, 401), (timestamp - 31, 401), (timestamp + 240, 200), (timestamp - 30, 200)]
    {
        let response = deployment.invoke(&event(received_at)).await.unwrap();
        assert_eq!(response["statusCode"], status, "{received_at}");
    }
}

#[tokio::test]
async fn verified_call_that_is_not_ours_is_invalid() {
    let deployment = deployment().await;
    let other_action = Clicked { action: "other", ..Clicked::approve(&button(1)) };
    for body in [String::new(), "a=b".to_owned(), "{}".to_owned(), other_action.body()] {
        deployment.call(signed(call(body), SLACK_SECRET, 0)).await.assert_problem(400);
    }
    deployment.call(signed(call(&b"\xff\xfe=\xff"[..]), SLACK_SECRET, 0)).await.assert_problem(400);
    assert_eq!((deployment.messages().len(), notices(&deployment).len()), (0, 0));
}

#[tokio::test]
async fn check_of_the_certificate_has_an_empty_response() {
    let deployment = deployment().await;
    let check = || call("ssl_check=1&token=x");
    // Slack does not promise to sign it.
    for check in [signed(check(), SLACK_SECRET, 0), signed(check(), SECRET_NEXT, -3600), check()] {
        assert_acknowledged(&deployment.call(check).await);
    }
    let command = format!("ssl_check=1&{}", typed().body());
    assert_unauthorized(&deployment.call(call(command)).await);
    assert_eq!(deployment.aws_calls(), [Action::GetSecretValue; 3], "only the reads at start");
}

#[tokio::test]
async fn body_over_256_kib_is_rejected_before_authentication() {
    let deployment = deployment().await;
    deployment.call(call("x".repeat(262_145))).await.assert_problem(413);
}
